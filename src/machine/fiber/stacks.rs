//! Stacks that fibers share, as coroutines with copied stacks do.
//!
//! A stack costs two memory maps, of which a process has some ten thousand, and whole pages, of
//! which a fiber that waits needs half. So there are some thousand stacks, and each fiber has its
//! place on one of them for life, since what lies on a stack points to itself. Whoever runs finds
//! its frames there; those of another fiber, which waits, are put away before, as
//! [images](super::images) are. Fibers that wait are bounded by memory alone then, whatever the
//! kernel offers.
//!
//! What this relies on: **nothing outside points into the stack of a fiber that waits**. A thread
//! has one fiber running at a time. What a fiber hands out when it leaves is moved, and `'static`,
//! so it borrows nothing; what the thread knows of the running call is put away (see `running`);
//! and a future that a fiber waits for is polled by others, in a box of its own.

use std::cell::{Cell, RefCell};
use std::io;
use std::ops::RangeInclusive;
use std::rc::{Rc, Weak};
use std::{ptr, slice};

use corosensei::stack::{DefaultStack, Stack, StackPointer};

use super::images::{Away, Images};
use crate::machine::stack::STACK;

/// Bytes at the top of a stack in use that keep their memory; what a deeper call has touched is
/// given back.
const KEPT: usize = 64 * 1024;

/// What lies on a stack at most before its fiber has run: what it is to do.
const FIRST: usize = 1024;

/// Stacks that are looked at to find the one that the fewest fibers share.
const LOOKED_AT: usize = 8;

/// Bytes at the top of a stack that are cleared for a new fiber: what others have left there would
/// make it unlike those that began on a new one.
const CLEARED: usize = 16 * 1024;

/// Stacks whose frames are put away in one [tick](Stacks::trim), at some 5 µs each.
const AT_ONCE: usize = 256;

/// The stacks of a pool.
pub struct Stacks {
    all: Vec<Rc<Shared>>,
    most: usize,
    /// Where the next fiber looks first.
    next: usize,
    images: Rc<RefCell<Images>>,
}

/// One stack.
struct Shared {
    /// Its highest address, and its lowest one above the guard.
    base: usize,
    limit: usize,
    mapping: DefaultStack,
    /// Whose frames lie on it. Nobody's, where that is gone.
    resident: RefCell<Weak<Frames>>,
    /// Whether a thread is on it.
    is_running: Cell<bool>,
    /// Whether somebody was on it since the last tick,
    is_used: Cell<bool>,
    /// and whether it has memory.
    is_touched: Cell<bool>,
    /// How many fibers have their place on it.
    fibers: Cell<usize>,
    /// What is put away of all stacks.
    images: Rc<RefCell<Images>>,
}

/// What a fiber has on its stack.
pub struct Frames {
    stack: Rc<Shared>,
    /// The lowest address that they take while the fiber does not run.
    lowest: Cell<usize>,
    /// They themselves, while they do not lie there.
    away: Cell<Option<Away>>,
}

/// A fiber's view of its stack.
pub struct Place {
    base: StackPointer,
    limit: StackPointer,
    /// The mapping lives as long.
    _stack: Rc<Shared>,
}

// SAFETY: the addresses are those of a mapping with a guard below it, which lives as long as this.
// Others have the same view; `Frames` sees to it that one fiber's frames lie there at a time.
unsafe impl Stack for Place {
    fn base(&self) -> StackPointer {
        self.base
    }

    fn limit(&self) -> StackPointer {
        self.limit
    }
}

/// For as long as a fiber runs.
pub struct Running<'f>(&'f Shared);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.is_running.set(false);
    }
}

impl Stacks {
    /// So many at most.
    pub fn new(most: usize) -> Self {
        Self {
            all: Vec::new(),
            most,
            next: 0,
            images: Rc::default(),
        }
    }

    /// A place for another fiber, whose frames are the next to lie there: on a stack of its own as
    /// long as there are any. The error is the system's, when it has none at all to give.
    pub fn place(&mut self) -> io::Result<(Rc<Frames>, Place)> {
        let stack = self.choose()?;
        stack.fibers.set(stack.fibers.get() + 1);
        let place = Place {
            base: stack.mapping.base(),
            limit: stack.mapping.limit(),
            _stack: Rc::clone(&stack),
        };
        let frames = Rc::new(Frames {
            lowest: Cell::new(stack.base - FIRST),
            away: Cell::default(),
            stack,
        });
        let was_touched = frames.stack.is_touched.get();
        frames.come();
        if was_touched {
            frames.stack.clear();
        }
        Ok((frames, place))
    }

    fn choose(&mut self) -> io::Result<Rc<Shared>> {
        let count = self.all.len();
        let found = (0..LOOKED_AT.min(count))
            .map(|ahead| &self.all[(self.next + ahead) % count])
            .filter(|stack| !stack.is_running.get())
            .min_by_key(|stack| stack.fibers.get())
            .map(Rc::clone);
        self.next = self.next.wrapping_add(LOOKED_AT);
        match found {
            Some(found) if count >= self.most || found.fibers.get() == 0 => Ok(found),
            found => match Shared::new(&self.images) {
                Ok(new) => {
                    let new = Rc::new(new);
                    self.all.push(Rc::clone(&new));
                    Ok(new)
                }
                Err(error) => found.ok_or(error),
            },
        }
    }

    /// Gives back memory that nobody uses: what deep calls have touched, and the stacks on which
    /// nobody was since the last time, whose frames are put away. For the worker's tick.
    pub fn trim(&self) {
        let mut left = AT_ONCE;
        for stack in &self.all {
            if stack.is_used.replace(false) {
                stack.give_back(stack.lowest().min(stack.base - KEPT));
            } else if stack.is_touched.get() && left > 0 {
                left -= 1;
                stack.vacate();
                stack.give_back(stack.base);
                stack.is_touched.set(false);
            }
        }
    }

    /// How many there are, and of how many fibers the frames lie elsewhere.
    #[cfg(test)]
    pub fn count(&self) -> (usize, usize) {
        let fibers = self.all.iter().map(|stack| stack.fibers.get());
        let here = |stack: &&Rc<Shared>| stack.resident.borrow().strong_count() > 0;
        let residents = self.all.iter().filter(here).count();
        (self.all.len(), fibers.sum::<usize>() - residents)
    }
}

impl Shared {
    fn new(images: &Rc<RefCell<Images>>) -> io::Result<Self> {
        let mapping = DefaultStack::new(STACK)?;
        Ok(Self {
            base: mapping.base().get(),
            // The lowest page is the guard.
            limit: mapping.limit().get() + page_size(),
            mapping,
            resident: RefCell::default(),
            is_running: Cell::new(false),
            is_used: Cell::new(false),
            is_touched: Cell::new(false),
            fibers: Cell::new(0),
            images: Rc::clone(images),
        })
    }

    /// Its addresses.
    fn addresses(&self) -> RangeInclusive<usize> {
        self.limit..=self.base
    }

    /// Clears the top, where nobody's frames lie.
    fn clear(&self) {
        let from = (self.base - CLEARED) as *mut u8;
        // SAFETY: the range is the top of this stack's mapping, no thread is on it, and the frames
        // that lay there were put away: the fiber that comes has none yet.
        unsafe { ptr::write_bytes(from, 0, CLEARED) };
    }

    /// The lowest address of the frames that lie here.
    fn lowest(&self) -> usize {
        let resident = self.resident.borrow().upgrade();
        resident.map_or(self.base, |resident| resident.lowest.get())
    }

    /// Nobody's frames lie here any more.
    fn vacate(&self) {
        assert!(!self.is_running.get(), "the stack that is run on stays");
        if let Some(resident) = self.resident.take().upgrade() {
            resident.put_away();
        }
    }

    /// Gives back the memory of the pages below an address that nobody's frames reach down to.
    fn give_back(&self, below: usize) {
        let end = below & !(page_size() - 1);
        // SAFETY: the range lies in this stack's mapping, page-aligned, and below the frames that
        // lie here, as the caller says; no thread is on it, since a tick is not on a fiber.
        unsafe {
            libc::madvise(
                self.limit as *mut libc::c_void,
                end.saturating_sub(self.limit),
                libc::MADV_DONTNEED,
            )
        };
    }
}

impl Frames {
    /// They lie on their stack from now on; whoever else's lay there are put away.
    #[inline]
    fn come(self: &Rc<Self>) {
        let is_here = ptr::eq(self.stack.resident.borrow().as_ptr(), &raw const **self);
        if !is_here {
            self.come_back();
        }
    }

    #[cold]
    fn come_back(self: &Rc<Self>) {
        let stack = &self.stack;
        stack.vacate();
        stack.resident.replace(Rc::downgrade(self));
        stack.is_used.set(true);
        stack.is_touched.set(true);
        let Some(away) = self.away.take() else {
            return;
        };
        let lowest = self.lowest.get();
        let count = (stack.base - lowest) / size_of::<usize>();
        // SAFETY: these are words of the stack's mapping, which nobody else uses: the frames that
        // lay there are put away, and no thread is on them.
        let place = unsafe { slice::from_raw_parts_mut(lowest as *mut usize, count) };
        away.lay(place, &stack.addresses());
    }

    fn put_away(&self) {
        let (stack, lowest) = (&self.stack, self.lowest.get());
        let count = (stack.base - lowest) / size_of::<usize>();
        // SAFETY: these are words of the stack's mapping, in which every byte has a value; they are
        // frames of a fiber that does not run, so that nobody writes there. What they mean to the
        // compiler ended at the switch away from them, which it does not see through; that nobody
        // points there meanwhile is what this file relies on.
        let frames = unsafe { slice::from_raw_parts(lowest as *const usize, count) };
        let mut images = stack.images.borrow_mut();
        self.away
            .set(Some(images.put_away(frames, &stack.addresses())));
    }

    /// A thread goes on them.
    #[inline]
    pub fn run(self: &Rc<Self>) -> Running<'_> {
        self.come();
        self.stack.is_used.set(true);
        self.stack.is_running.set(true);
        Running(&self.stack)
    }

    /// It has left, and this is the lowest address that they take.
    #[inline]
    pub fn left(&self, lowest: usize) {
        // Whole words.
        self.lowest.set(lowest & !(size_of::<usize>() - 1));
    }

    /// Bytes of them.
    pub fn bytes(&self) -> usize {
        self.stack.base - self.lowest.get()
    }
}

impl Drop for Frames {
    fn drop(&mut self) {
        self.stack.fibers.set(self.stack.fibers.get() - 1);
    }
}

/// Bytes of a page.
pub fn page_size() -> usize {
    // SAFETY: it reads a constant of the system.
    unsafe { libc::sysconf(libc::_SC_PAGESIZE) as usize }
}
