//! The allocator, with a count of the bytes that the current thread holds: what a script makes the
//! process keep.
//!
//! Rhai bounds each value and not their number, nor what closures hold; and freeing nested data
//! takes stack for every level. So a run is bounded by what it holds, of which every level takes a
//! block.

#![allow(
    unsafe_code,
    reason = "an allocator cannot be had without; each use says what it relies on"
)]

use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;
use std::thread::LocalKey;

use mimalloc::MiMalloc;

use crate::config::limits::WEBSOCKET;

/// Bytes that a block counts beside its own: freeing a quarter of a million small ones, which
/// closures in closures can be, takes 25 ms in which nobody else's turn comes. So a budget of 64
/// MiB is at most 65,536 blocks.
pub const BLOCK: usize = 1024;

/// A long array counts eightfold. Rhai copies one in a single operation that nothing interrupts: a
/// million elements take 30 ms. So a budget of 64 MiB is at most half a million of them, and 2 ms
/// for the others.
const ARRAY: (usize, usize) = (1024 * 1024, 8);

/// So does a string or blob of more than twice the longest message, so that no budget holds it: one
/// operation copies it, too, at the speed of memory. Twice, since one that grows takes up to twice
/// what it needs. It is told apart by its alignment.
const BYTES: (usize, usize) = (2 * WEBSOCKET.message, 8);

/// Blocks of this size are what makes a process large: the buffers of long messages. Those below it
/// are used again soon.
const LARGE: usize = 256 * 1024;

/// Freed bytes that are worth giving back.
const WORTH: usize = 4 * 1024 * 1024;

thread_local! {
    /// Bytes allocated and bytes freed on this thread. They have no destructors and allocate
    /// nothing themselves.
    static ALLOCATED: Cell<usize> = const { Cell::new(0) };
    static FREED: Cell<usize> = const { Cell::new(0) };
    /// Bytes of large blocks freed on this thread, and of small ones that were given up: ever, at
    /// the last look, and when memory was given back last.
    static LARGE_FREED: [Cell<usize>; 3] = const { [const { Cell::new(0) }; 3] };
}

/// Global allocator: mimalloc with a count of the bytes of each thread.
#[derive(Debug)]
pub struct Heap;

/// Bytes that this thread has allocated and not freed, and [`BLOCK`] for each block of them; memory
/// that other threads freed or gave it makes it inexact.
pub fn held() -> isize {
    ALLOCATED.get().wrapping_sub(FREED.get()) as isize
}

/// Bytes that this thread has ever allocated, as a measure of work done; it wraps around.
pub fn allocated() -> usize {
    ALLOCATED.get()
}

/// Gives back what this thread has freed, once it has freed enough and nothing more of late: to be
/// called now and then. Until then the allocator keeps it, which is quicker for whoever needs it
/// again.
pub fn tidy() {
    LARGE_FREED.with(|[ever, seen, given]| {
        let now = ever.get();
        let is_quiet = seen.replace(now) == now;
        if is_quiet && now.wrapping_sub(given.get()) >= WORTH {
            given.set(now);
            // SAFETY: it has no precondition, and touches only memory that nobody holds.
            unsafe { libmimalloc_sys::mi_collect(true) };
        }
    });
}

/// About so many bytes of small blocks were freed that are not used again soon.
pub fn gave_up(bytes: usize) {
    LARGE_FREED.with(|[ever, ..]| ever.set(ever.get().wrapping_add(bytes)));
}

fn freed(size: usize, align: usize) {
    count(&FREED, weight(size, align) + BLOCK);
    large_freed(size);
}

fn large_freed(size: usize) {
    if size >= LARGE {
        gave_up(size);
    }
}

/// Returns the bytes that a block of this size counts.
fn weight(size: usize, align: usize) -> usize {
    let (long, times) = if align >= align_of::<usize>() {
        ARRAY
    } else {
        BYTES
    };
    if size > long {
        size.saturating_mul(times)
    } else {
        size
    }
}

fn count(counter: &'static LocalKey<Cell<usize>>, bytes: usize) {
    counter.set(counter.get().wrapping_add(bytes));
}

// SAFETY: every call is passed on to mimalloc as it came, and its answer back; counting touches
// neither.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(&ALLOCATED, weight(layout.size(), layout.align()) + BLOCK);
        // SAFETY: the caller's promise is mimalloc's precondition.
        unsafe { MiMalloc.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(&ALLOCATED, weight(layout.size(), layout.align()) + BLOCK);
        // SAFETY: as above.
        unsafe { MiMalloc.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        freed(layout.size(), layout.align());
        // SAFETY: as above.
        unsafe { MiMalloc.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(&ALLOCATED, weight(size, layout.align()));
        count(&FREED, weight(layout.size(), layout.align()));
        large_freed(layout.size());
        // SAFETY: as above.
        unsafe { MiMalloc.realloc(pointer, layout, size) }
    }
}
