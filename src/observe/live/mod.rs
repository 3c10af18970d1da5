//! What a developer who looks on is told: which connections there are, what goes over them, which
//! faults were met, what was saved.
//!
//! All of it is the process's, and it is there with `--dev` alone. While nobody looks, a message
//! costs a look at one flag. While somebody does, at most so many rows a second are kept, within
//! bounds, and the rest is counted.

mod faults;
mod hear;
mod journal;
mod seen;
mod switch;

pub use faults::{Cause, FAULTS, Fault, Faults, Met, Taken};
pub(super) use hear::hear;
pub use journal::{JOURNAL, Journal, RATE, Row};
pub use seen::{CONNECTIONS, Connections, Entered, Payload, Person, Seen, Way, of_bytes};
pub use switch::{Onlooker, is_looked_at, is_looked_at_closely, is_on, now, tick, turn_on};
