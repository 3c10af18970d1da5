//! How long a script may compute: slices of time, and a budget over them.
//!
//! Rhai calls [`tick`] at every operation. A script that has used up its slice lets others go first; one that has
//! used up its budget between two waits ends with an error. To Rhai a native function is one operation, however long
//! it takes: one that can take long works in pieces and [paces](Pace) itself. What Rhai does by itself to large values
//! mostly copies them, so that memory that was taken counts as well.

use std::cell::Cell;
use std::time::{Duration, Instant};

use rhai::{Dynamic, EvalAltResult, Position};

use super::fiber::{self, Wait, Wake};
use super::{caller, heap};

/// How long a script may hold its worker. A quarter of a millisecond is a hundred echo hooks, and keeps the round
/// trips of the other connections well under the 5 ms that a connection may wait for others.
const SLICE: Duration = Duration::from_micros(250);
/// Operations between two looks at the clock, at most: about 1 µs of them for 25 ns of it.
const INTERVAL: u32 = 16;
/// Operations before the first look: an echo does without, and heavy ones are soon found out.
const FIRST: u32 = 8;
/// Time between two looks beyond which they are closer together: an operation on long values takes that long by itself.
const HEAVY: Duration = Duration::from_micros(25);
/// Bytes that a native function works on between two looks at the clock: some 50 µs of copying, searching or hashing.
pub const PIECE: usize = 64 * 1024;

/// What a run may use up between two waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Computing time.
    pub time: Duration,
    /// Operations.
    pub operations: u32,
    /// Bytes that it may hold, counted from its call on; they bound how deep it can nest data.
    pub memory: usize,
}

#[derive(Clone, Copy)]
struct Meter {
    slice_began: Option<Instant>,
    looked: Option<Instant>,
    /// Operations from this look to the next.
    interval: u32,
    spent: Duration,
    /// What the thread held when the call was let run, less what the call held already then.
    base: isize,
    budget: Budget,
}

impl Meter {
    const fn full(budget: Budget, base: isize) -> Self {
        Self {
            slice_began: None,
            looked: None,
            interval: FIRST,
            spent: Duration::ZERO,
            base,
            budget,
        }
    }

    /// Decides when the next look is: twice as far away as this one was, but for operations that take long.
    fn plan(&mut self, now: Instant) {
        self.interval = match self.looked.map(|looked| now - looked) {
            Some(took) if took > HEAVY => (self.interval / 4).max(1),
            Some(_) => (self.interval * 2).min(INTERVAL),
            None => FIRST,
        };
        self.looked = Some(now);
        NEXT.set(TICKS.get().saturating_add(self.interval));
    }

    /// Waits, in which others run and take memory of their own.
    fn aside(&mut self, wait: Wait) -> Wake {
        let own = heap::held() - self.base;
        let wake = caller::aside(|| fiber::wait(wait));
        self.base = heap::held() - own;
        wake
    }
}

const UNLIMITED: Budget = Budget {
    time: Duration::MAX,
    operations: u32::MAX,
    memory: usize::MAX,
};

thread_local! {
    /// Operations since the call began or last waited; by itself, because it is touched by every one of them.
    static TICKS: Cell<u32> = const { Cell::new(0) };
    /// How many of them there are at the next look.
    static NEXT: Cell<u32> = const { Cell::new(FIRST) };
    /// What the thread had allocated at the last look at the clock.
    static ALLOCATED: Cell<usize> = const { Cell::new(0) };
    static METER: Cell<Meter> = const { Cell::new(Meter::full(UNLIMITED, 0)) };
}

/// Why a script is ended from outside; it travels in Rhai's uncatchable `ErrorTerminated`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// It used up its computing time.
    Time(Duration),
    /// It used up its operations.
    Operations(u32),
    /// It holds too many bytes.
    Memory(usize),
    /// Its connection's `this` has outgrown its bounds.
    State,
    /// Its peer is gone, or the server's time is up.
    Cancelled,
}

impl From<Stop> for Box<EvalAltResult> {
    fn from(stop: Stop) -> Self {
        EvalAltResult::ErrorTerminated(Dynamic::from(stop), Position::NONE).into()
    }
}

/// A new call begins, with this budget.
pub fn start(budget: Budget) {
    TICKS.set(0);
    NEXT.set(FIRST);
    METER.set(Meter::full(budget, heap::held()));
}

/// Does work on the way that is not the call's own, with a budget for it.
pub fn apart<R>(budget: Budget, work: impl FnOnce() -> R) -> R {
    let (meter, ticks, next) = (METER.get(), TICKS.get(), NEXT.get());
    let own = heap::held() - meter.base;
    start(budget);
    let result = work();
    TICKS.set(ticks);
    NEXT.set(next);
    METER.set(Meter {
        slice_began: None,
        looked: None,
        base: heap::held() - own,
        ..meter
    });
    result
}

/// Does work whose memory is not the call's own, though it is taken meanwhile: what waits for the peer or for the log has bounds
/// of its own, and is given back by others.
#[inline]
pub fn for_others<R>(work: impl FnOnce() -> R) -> R {
    let before = heap::held();
    let result = work();
    let taken = heap::held() - before;
    if taken != 0 {
        let meter = METER.get();
        METER.set(Meter {
            base: meter.base + taken,
            ..meter
        });
    }
    result
}

/// Operations since the call began or last waited.
pub fn operations() -> u32 {
    TICKS.get()
}

/// Bytes that the call holds by now, beside what it began with.
pub fn held() -> usize {
    usize::try_from(heap::held() - METER.get().base).unwrap_or(0)
}

/// Waits for what has come; what is used after it is counted anew. `Err` when the call must end.
pub fn wait(wait: Wait) -> Result<Dynamic, Stop> {
    let mut meter = METER.get();
    let wake = meter.aside(wait);
    TICKS.set(0);
    NEXT.set(FIRST);
    METER.set(Meter::full(meter.budget, meter.base));
    match wake {
        Wake::Ready(value) => Ok(value),
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
    let allocated = heap::allocated().wrapping_sub(ALLOCATED.get());
    if ticks < NEXT.get() && allocated < PIECE {
        return None;
    }
    pause().err().map(Dynamic::from)
}

/// Lets others go first if the slice is used up. `Err` when the call must end.
#[cold]
pub fn pause() -> Result<(), Stop> {
    ALLOCATED.set(heap::allocated());
    let mut meter = METER.get();
    if TICKS.get() > meter.budget.operations {
        return Err(Stop::Operations(meter.budget.operations));
    }
    let limit = meter.budget.memory;
    if heap::held().saturating_sub(meter.base) > isize::try_from(limit).unwrap_or(isize::MAX) {
        return Err(Stop::Memory(limit));
    }
    let now = Instant::now();
    meter.plan(now);
    let used = now - *meter.slice_began.get_or_insert(now);
    if used < SLICE {
        METER.set(meter);
        return Ok(());
    }
    meter.spent += used;
    if meter.spent > meter.budget.time {
        return Err(Stop::Time(meter.budget.time));
    }
    let (ticks, next) = (TICKS.get(), NEXT.get());
    let wake = meter.aside(Wait::Slice);
    TICKS.set(ticks);
    NEXT.set(next);
    let now = Some(Instant::now());
    METER.set(Meter {
        slice_began: now,
        looked: now,
        ..meter
    });
    if matches!(wake, Wake::Cancelled) {
        return Err(Stop::Cancelled);
    }
    Ok(())
}

/// The pace of a native function that works in small steps: it [pauses](pause) after every [`PIECE`] of them.
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
