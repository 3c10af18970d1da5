//! Metering of scripts' computing time: slices of time, and a budget over them.
//!
//! Rhai calls [`tick`] at every operation. A script that has used up its slice lets others go
//! first; one that has used up its budget between two waits ends with an error. To Rhai a native
//! function is one operation, however long it takes: one that can take long works in pieces and
//! [paces](Pace) itself. What Rhai does by itself to large values mostly copies them, so that
//! memory that was taken counts as well.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use rhai::Dynamic;

use super::budget::{Budget, Stop};
use super::running::{self, Running, Usage};
use super::wait::{Wait, Wake};
use super::{fiber, heap};

/// Time slice for which a script may hold its worker. A quarter of a millisecond is a hundred echo
/// hooks, and keeps the round trips of the other connections well under the 5 ms that a connection
/// may wait for others.
const SLICE: Duration = Duration::from_micros(250);
/// Operations between two looks at the clock, at most: about 1 µs of them for 25 ns of it.
const INTERVAL: u32 = 16;
/// Operations before the first look: an echo does without, and heavy ones are soon found out.
const FIRST: u32 = 8;
/// Time between two looks beyond which they are closer together: an operation on long values takes
/// that long by itself.
const HEAVY: Duration = Duration::from_micros(25);
/// Bytes that a native function works on between two looks at the clock: some 50 µs of copying,
/// searching or hashing.
pub const PIECE: usize = 64 * 1024;

/// A new call begins, with this budget.
pub fn start(budget: Budget) {
    running::with(|running| {
        running.set_usage(fresh(heap::held()));
        running.budget.set(budget);
        running.may_wait.set(true);
    });
}

/// What a call has used that held this much when it began.
fn fresh(base: isize) -> Usage {
    Usage {
        ticks: 0,
        next: FIRST,
        interval: FIRST,
        slice_ends: None,
        heavy_from: None,
        spent: Duration::ZERO,
        base,
    }
}

/// Does work whose memory is not the call's own, though it is taken meanwhile: what waits for the
/// peer or for the log has bounds of its own, and is given back by others.
#[inline]
pub fn exempt<R>(work: impl FnOnce() -> R) -> R {
    // What others take while it lets them go first is not in this.
    let own = |running: &Running| heap::held() - running.base.get();
    let before = running::with(own);
    let result = work();
    running::with(|running| running.base.set(running.base.get() + own(running) - before));
    result
}

/// Operations since the call began or last waited.
pub fn operations() -> u32 {
    running::with(|running| running.ticks.get())
}

/// Bytes that the call holds by now, beside what it began with.
pub fn held() -> usize {
    running::with(|running| usize::try_from(heap::held() - running.base.get()).unwrap_or(0))
}

/// Does work in which a call that waits throws: what others may change meanwhile is to stay as it
/// is. Its turn to compute it waits for as ever.
pub fn without_waits<R>(work: impl FnOnce() -> R) -> R {
    let before = running::with(|running| running.may_wait.replace(false));
    let result = work();
    running::with(|running| running.may_wait.set(before));
    result
}

/// Whether a call that waits may do so here.
pub fn may_wait() -> bool {
    running::with(|running| running.may_wait.get())
}

/// Waits for what has come; what is used after it is counted anew. `Err` when the call must end.
pub fn wait(wait: Wait) -> Result<Dynamic, Stop> {
    if !may_wait() {
        return Err(Stop::MayNotWait);
    }
    let wake = fiber::wait(wait);
    running::with(|running| running.set_usage(fresh(running.base.get())));
    match wake {
        Wake::Ready(value) => Ok(value),
        Wake::Cancelled => Err(Stop::Cancelled),
    }
}

/// Waits for what a future gives. `Err` when the call must end, and where nothing can be waited
/// for.
pub fn until<T: 'static>(future: impl Future<Output = T> + 'static) -> Result<T, Stop> {
    let given = Rc::new(Cell::new(None));
    let place = Rc::clone(&given);
    let _ = wait(Wait::Until(Box::pin(async move {
        place.set(Some(future.await));
    })))?;
    given.take().ok_or(Stop::Cancelled)
}

/// One operation of what cannot be stopped, such as a token of a source that is being compiled:
/// others may go first.
pub fn yield_now() {
    let budget = running::with(|running| {
        let budget = running.budget.get();
        running.budget.set(Budget {
            yields: budget.yields,
            ..Budget::UNLIMITED
        });
        budget
    });
    tick();
    running::with(|running| running.budget.set(budget));
}

/// One operation of a script; a value ends it.
#[inline]
pub fn tick() -> Option<Dynamic> {
    running::with(|running| {
        let ticks = running.ticks.get().saturating_add(1);
        running.ticks.set(ticks);
        let allocated = heap::allocated().wrapping_sub(running.seen.get());
        if ticks < running.next.get() && allocated < PIECE {
            return None;
        }
        pause().err().map(Dynamic::from)
    })
}

/// Counts so many operations that follow each other, if nothing is to be looked at before the last
/// of them; if not, they are to be counted one by one.
#[inline]
pub fn tick_at_once(operations: u32) -> bool {
    running::with(|running| {
        let ticks = running.ticks.get().saturating_add(operations);
        let allocated = heap::allocated().wrapping_sub(running.seen.get());
        let is_quiet = ticks < running.next.get() && allocated < PIECE;
        if is_quiet {
            running.ticks.set(ticks);
        }
        is_quiet
    })
}

/// Takes back so many operations that were counted, or will be, and are not the script's; how many
/// of them have yet to be taken back.
pub fn forgive(operations: u32) -> u32 {
    running::with(|running| {
        let ticks = running.ticks.get();
        running.ticks.set(ticks.saturating_sub(operations));
        operations.saturating_sub(ticks)
    })
}

/// Lets others go first if the slice is used up. `Err` when the call must end.
#[cold]
pub fn pause() -> Result<(), Stop> {
    running::with(|running| {
        running.seen.set(heap::allocated());
        let budget = running.budget.get();
        if running.ticks.get() > budget.operations {
            return Err(Stop::Operations(budget.operations));
        }
        let limit = budget.memory;
        let held = heap::held().saturating_sub(running.base.get());
        if held > isize::try_from(limit).unwrap_or(isize::MAX) {
            return Err(Stop::Memory(limit));
        }
        let now = Instant::now();
        plan(running, now);
        let ends = running.slice_ends.get();
        let ends = ends.unwrap_or_else(|| {
            let ends = now + SLICE;
            running.slice_ends.set(Some(ends));
            ends
        });
        if now < ends {
            return Ok(());
        }
        let spent = running.spent.get() + SLICE + (now - ends);
        if spent > budget.time {
            return Err(Stop::Time(budget.time));
        }
        if !budget.yields {
            return Ok(());
        }
        running.spent.set(spent);
        let wake = fiber::wait(Wait::Slice);
        let now = Instant::now();
        running.slice_ends.set(Some(now + SLICE));
        running.heavy_from.set(Some(now + HEAVY));
        match wake {
            Wake::Ready(_) => Ok(()),
            Wake::Cancelled => Err(Stop::Cancelled),
        }
    })
}

/// Decides when the next look is: twice as far away as this one was, but for operations that take
/// long.
fn plan(running: &Running, now: Instant) {
    let interval = running.interval.get();
    running.interval.set(match running.heavy_from.get() {
        Some(heavy_from) if now > heavy_from => (interval / 4).max(1),
        Some(_) => (interval * 2).min(INTERVAL),
        None => FIRST,
    });
    running.heavy_from.set(Some(now + HEAVY));
    let next = running.ticks.get().saturating_add(running.interval.get());
    running.next.set(next);
}

/// The pace of a native function that works in small steps: it [pauses](pause) after every
/// [`PIECE`] of them.
#[derive(Debug, Default)]
pub struct Pace(usize);

impl Pace {
    /// So many bytes were worked on, or as much was done as that many take.
    #[inline]
    pub fn step(&mut self, bytes: usize) -> Result<(), Stop> {
        self.0 += bytes;
        if self.0 < PIECE {
            return Ok(());
        }
        self.0 = 0;
        pause()
    }
}
