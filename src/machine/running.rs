//! The call that runs on this thread: whose it is, what it has used up, and its way out of its
//! fiber.
//!
//! A fiber that waits takes all of it along ([`put_away`]) and brings it back ([`take_up`]), so
//! that nothing else has to be saved where others run meanwhile.

use std::any::Any;
use std::cell::Cell;
use std::mem::ManuallyDrop;
use std::ptr::NonNull;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::budget::Budget;
use super::heap;
use super::wait::Suspend;

/// What a call has used up.
#[derive(Debug, Clone, Copy)]
pub(super) struct Usage {
    /// Operations since it began or last waited.
    pub ticks: u32,
    /// How many of them there are at the next look at the clock.
    pub next: u32,
    /// Operations from the last look to the next.
    pub interval: u32,
    /// When its slice of time ends.
    pub slice_ends: Option<Instant>,
    /// When the operations since the last look at the clock have taken long.
    pub heavy_from: Option<Instant>,
    /// Computing time before this slice.
    pub spent: Duration,
    /// Bytes that the thread held when the call was let run, less those that the call held already
    /// then.
    pub base: isize,
}

/// The running call. Cells one by one, since some of them are touched by every operation.
pub(super) struct Running {
    pub ticks: Cell<u32>,
    pub next: Cell<u32>,
    pub interval: Cell<u32>,
    pub slice_ends: Cell<Option<Instant>>,
    pub heavy_from: Cell<Option<Instant>>,
    pub spent: Cell<Duration>,
    pub base: Cell<isize>,
    pub budget: Cell<Budget>,
    /// Whether it may wait for more than its turn.
    pub may_wait: Cell<bool>,
    /// What the thread had allocated at the last look at the clock.
    pub seen: Cell<usize>,
    /// Never dropped by the thread: a thread-local without a destructor is an address, one with it
    /// asks first whether it is there. Nothing is left in it at a thread's end.
    caller: Cell<ManuallyDrop<Option<Rc<dyn Any>>>>,
    way_out: Cell<Option<NonNull<dyn Suspend>>>,
}

thread_local! {
    static RUNNING: Running = const {
        Running {
            ticks: Cell::new(0),
            next: Cell::new(0),
            interval: Cell::new(0),
            slice_ends: Cell::new(None),
            heavy_from: Cell::new(None),
            spent: Cell::new(Duration::ZERO),
            base: Cell::new(0),
            budget: Cell::new(Budget::UNLIMITED),
            may_wait: Cell::new(true),
            seen: Cell::new(0),
            caller: Cell::new(ManuallyDrop::new(None)),
            way_out: Cell::new(None),
        }
    };
}

/// Looks at the running call.
#[inline]
pub(super) fn with<R>(look: impl FnOnce(&Running) -> R) -> R {
    RUNNING.with(look)
}

impl Running {
    fn set_caller(&self, caller: Option<Rc<dyn Any>>) -> Option<Rc<dyn Any>> {
        ManuallyDrop::into_inner(self.caller.replace(ManuallyDrop::new(caller)))
    }

    pub fn usage(&self) -> Usage {
        Usage {
            ticks: self.ticks.get(),
            next: self.next.get(),
            interval: self.interval.get(),
            slice_ends: self.slice_ends.get(),
            heavy_from: self.heavy_from.get(),
            spent: self.spent.get(),
            base: self.base.get(),
        }
    }

    pub fn set_usage(&self, usage: Usage) {
        self.ticks.set(usage.ticks);
        self.next.set(usage.next);
        self.interval.set(usage.interval);
        self.slice_ends.set(usage.slice_ends);
        self.heavy_from.set(usage.heavy_from);
        self.spent.set(usage.spent);
        self.base.set(usage.base);
    }
}

/// Does work in the name of a caller, whatever whoever runs calls takes for one.
#[inline]
pub fn in_the_name_of<R>(caller: Rc<dyn Any>, work: impl FnOnce() -> R) -> R {
    with(|running| running.set_caller(Some(caller)));
    let result = work();
    with(|running| running.set_caller(None));
    result
}

/// In whose name the running call is.
pub fn caller() -> Option<Rc<dyn Any>> {
    with(|running| {
        let caller = running.set_caller(None);
        running.set_caller(caller.clone());
        caller
    })
}

/// The way out of the fiber that this thread is on, if it is on one.
pub(super) fn way_out() -> Option<NonNull<dyn Suspend>> {
    with(|running| running.way_out.get())
}

/// A call begins on a fiber.
pub(super) fn begin(way_out: NonNull<dyn Suspend>) {
    with(|running| running.way_out.set(Some(way_out)));
}

/// The call has ended, if only because a function of the server panicked.
pub(super) fn end() {
    with(|running| {
        running.way_out.set(None);
        running.set_caller(None);
    });
}

/// A call that waits.
pub(super) struct Away {
    usage: Usage,
    budget: Budget,
    may_wait: bool,
    /// Bytes that it holds.
    held: isize,
    caller: Option<Rc<dyn Any>>,
    way_out: Option<NonNull<dyn Suspend>>,
}

/// The running call begins to wait.
pub(super) fn put_away() -> Away {
    with(|running| Away {
        usage: running.usage(),
        budget: running.budget.get(),
        may_wait: running.may_wait.replace(true),
        held: heap::held() - running.base.get(),
        caller: running.set_caller(None),
        way_out: running.way_out.take(),
    })
}

/// It goes on; what others have taken of memory meanwhile is not its own.
pub(super) fn take_up(away: Away) {
    with(|running| {
        running.set_usage(away.usage);
        running.base.set(heap::held() - away.held);
        running.budget.set(away.budget);
        running.may_wait.set(away.may_wait);
        running.set_caller(away.caller);
        running.way_out.set(away.way_out);
    });
}
