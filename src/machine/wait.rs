//! Waits: what a fiber asks of whoever runs it, and the answer.

use std::fmt;
use std::pin::Pin;
use std::time::Duration;

use rhai::Dynamic;

/// A future that one thread polls, and that borrows nothing.
pub type LocalBoxFuture<T> = Pin<Box<dyn Future<Output = T>>>;

/// Condition that a fiber waits for.
pub enum Wait {
    /// The end of this: time, bytes, room, an answer of a service. What comes of it is not told
    /// here, see [`until`](super::meter::until).
    Until(LocalBoxFuture<()>),
    /// Its turn to compute on, since it has used up a slice of time.
    Slice,
    /// What it is given next, for so long.
    Receive(Option<Duration>),
}

impl fmt::Debug for Wait {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Until(_) => out.write_str("Until"),
            Self::Slice => out.write_str("Slice"),
            Self::Receive(time) => out.debug_tuple("Receive").field(time).finish(),
        }
    }
}

/// Reason why a wait is over.
#[derive(Debug)]
pub enum Wake {
    /// The awaited event has come, with its value: a message, or `()`.
    Ready(Dynamic),
    /// The call must end at once.
    Cancelled,
}

/// The way out of a fiber, whatever it runs.
pub trait Suspend {
    /// Leaves the fiber until it is resumed.
    fn suspend(&self, wait: Wait) -> Wake;
}
