//! What the tasks of one thread share: no locks, no atomics.

mod slot;
mod turns;

pub use slot::Slot;
pub use turns::{Turn, Turns};
