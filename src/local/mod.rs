//! What the tasks of one thread share: no locks, no atomics.

mod turns;

pub use turns::{Turn, Turns};
