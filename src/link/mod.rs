//! A link to an engine in another process, whichever it is: whether it is there, when to try again,
//! what is said of a call that it does not answer, and what has come from it, within a bound.

mod backoff;
mod failed;
mod health;
mod incoming;
mod thread;

pub use backoff::Backoff;
pub use failed::Failed;
pub use health::Health;
pub use incoming::{Feed, News};
pub use thread::start;
