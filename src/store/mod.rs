//! Stores and queues: values that outlive a connection, and that all connections share.
//!
//! | file | is about |
//! |---|---|
//! | `value` | values as engines keep them |
//! | `engine` | what keeps values and queues, and what every engine promises |
//! | `answer` | an answer that is there, or that comes |
//! | `change` | what is done to a value, in one step: a pure function, the same for all engines |
//! | `refused` | why something was not done |
//! | `memory` | the engine that ends with its process |
//! | `file` | the engine in a file: durable at every answer |
//! | `redis` | the engine in Redis or Valkey, which several servers share |
//! | `account` | what each handler keeps, within bounds of its own |
//! | `notices` | who waits for what, and is woken by whom |
//! | `present` | what is there for as long as somebody is |
//! | `turns` | updates of one key that get in each other's way go one after the other |
//! | `shelf` | what scripts reach: the engine, and the waits that no engine knows of |
//!
//! An engine does one thing at a time and waits for nothing but its disk or its peer. Whoever waits
//! for a value, or for an entry of a queue, looks, waits for a notice, and looks again. It asks for
//! the notice before it looks, so that none is missed.

mod account;
mod answer;
mod change;
mod engine;
mod file;
mod memory;
mod notices;
mod present;
mod redis;
mod refused;
mod shelf;
#[cfg(test)]
mod tests;
mod timing;
mod turns;
mod value;

pub use crate::config::limits::Stores as Limits;
pub use answer::{Answer, Later, Result};
pub use change::Change;
pub use engine::{Place, Taken};
pub use file::File;
pub use memory::Memory;
pub use notices::Notices;
pub use redis::{Shared, value as kept};
pub use shelf::Shelf;
pub use value::Bytes;
