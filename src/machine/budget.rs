//! What a run may use up, and why it is ended from outside.

use std::time::Duration;

use rhai::{Dynamic, EvalAltResult, Position};

use super::error::thrown;

/// Budget of a run between two waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Upper bound on computing time.
    pub time: Duration,
    /// Upper bound on Rhai operations.
    pub operations: u32,
    /// Bytes that it may hold, counted from its call on; they bound how deep it can nest data.
    pub memory: usize,
    /// Whether others may go first meanwhile. Not by a simulated clock: when they do would be a
    /// matter of the real one, and no run like another.
    pub yields: bool,
}

impl Budget {
    /// For work that nobody bounds.
    pub const UNLIMITED: Self = Self {
        time: Duration::MAX,
        operations: u32::MAX,
        memory: usize::MAX,
        yields: true,
    };
}

/// Reason why a script is ended from outside; it travels in Rhai's uncatchable `ErrorTerminated`.
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
    /// It would wait where it may not: an error that it can catch.
    MayNotWait,
}

impl Stop {
    /// The reason in an error that says one.
    pub fn of(error: &EvalAltResult) -> Option<Self> {
        match error.unwrap_inner() {
            EvalAltResult::ErrorTerminated(token, _) => token.read_lock::<Self>().map(|stop| *stop),
            _ => None,
        }
    }
}

impl From<Stop> for Box<EvalAltResult> {
    fn from(stop: Stop) -> Self {
        if stop == Stop::MayNotWait {
            return thrown(
                "update",
                "the function of an update may not wait: take what it needs before it, and do what \
                waits after it",
            );
        }
        EvalAltResult::ErrorTerminated(Dynamic::from(stop), Position::NONE).into()
    }
}
