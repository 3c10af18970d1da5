//! A link to an engine in another process, whichever it is: whether it is there, when to try again,
//! and what is said of a call that it does not answer.

mod backoff;
mod failed;
mod health;
mod thread;

pub use backoff::Backoff;
pub use failed::Failed;
pub use health::Health;
pub use thread::start;
