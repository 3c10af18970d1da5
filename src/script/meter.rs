//! How long a script may compute: slices of time, and a budget over them.
//!
//! Rhai calls [`tick`] at every operation. A script that has used up its slice lets others go first; one that has
//! used up its budget between two waits ends with an error.

use std::cell::Cell;
use std::time::{Duration, Instant};

use rhai::Dynamic;

use super::caller;
use super::fiber::{self, Wait, Wake};

/// How long a script may hold its worker. A quarter of a millisecond is a hundred echo hooks, and keeps the round
/// trips of the other connections well under the 5 ms of the design.
const SLICE: Duration = Duration::from_micros(250);
/// Operations between two looks at the clock: about 3 µs of them for 25 ns of it.
const INTERVAL: u32 = 64;

/// What a run may use up between two waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Computing time.
    pub time: Duration,
    /// Operations, which bound how deep it can nest data.
    pub operations: u32,
}

#[derive(Clone, Copy)]
struct Meter {
    slice_began: Option<Instant>,
    spent: Duration,
    budget: Budget,
}

impl Meter {
    const fn full(budget: Budget) -> Self {
        Self {
            slice_began: None,
            spent: Duration::ZERO,
            budget,
        }
    }
}

const UNLIMITED: Budget = Budget {
    time: Duration::MAX,
    operations: u32::MAX,
};

thread_local! {
    /// Operations since the call began or last waited; by itself, because it is touched by every one of them.
    static TICKS: Cell<u32> = const { Cell::new(0) };
    static METER: Cell<Meter> = const { Cell::new(Meter::full(UNLIMITED)) };
}

/// Why a script is ended from outside; it travels in Rhai's uncatchable `ErrorTerminated`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// It used up its computing time.
    Time(Duration),
    /// It used up its operations.
    Operations(u32),
    /// Its peer is gone, or the server's time is up.
    Cancelled,
}

/// A new call begins, with this budget.
pub fn start(budget: Budget) {
    TICKS.set(0);
    METER.set(Meter::full(budget));
}

/// Operations since the call began or last waited.
pub fn operations() -> u32 {
    TICKS.get()
}

/// Waits; what is used after it is counted anew. `Err` when the call must end.
pub fn wait(wait: Wait) -> Result<(), Stop> {
    let meter = METER.get();
    let wake = caller::aside(|| fiber::wait(wait));
    start(meter.budget);
    match wake {
        Wake::Ready => Ok(()),
        Wake::Cancelled => Err(Stop::Cancelled),
    }
}

/// One token of a source that is being compiled, which cannot be stopped but can let others go first.
pub fn breathe() {
    let budget = METER.get().budget;
    METER.set(Meter {
        budget: UNLIMITED,
        ..METER.get()
    });
    tick();
    METER.set(Meter {
        budget,
        ..METER.get()
    });
}

/// One operation of a script; a value ends it.
#[inline]
pub fn tick() -> Option<Dynamic> {
    let ticks = TICKS.get().saturating_add(1);
    TICKS.set(ticks);
    if !ticks.is_multiple_of(INTERVAL) {
        return None;
    }
    look()
}

#[cold]
fn look() -> Option<Dynamic> {
    let mut meter = METER.get();
    if TICKS.get() > meter.budget.operations {
        return Some(Dynamic::from(Stop::Operations(meter.budget.operations)));
    }
    let now = Instant::now();
    let used = now - *meter.slice_began.get_or_insert(now);
    if used < SLICE {
        METER.set(meter);
        return None;
    }
    meter.spent += used;
    if meter.spent > meter.budget.time {
        return Some(Dynamic::from(Stop::Time(meter.budget.time)));
    }
    let ticks = TICKS.get();
    let wake = caller::aside(|| fiber::wait(Wait::Slice));
    TICKS.set(ticks);
    METER.set(Meter {
        slice_began: Some(Instant::now()),
        ..meter
    });
    (wake == Wake::Cancelled).then(|| Dynamic::from(Stop::Cancelled))
}
