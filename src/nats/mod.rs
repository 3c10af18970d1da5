//! NATS, for whatever uses it: one connection of many lives, and the streams of JetStream.
//!
//! | file | is about |
//! |---|---|
//! | `server` | the connection: made again and again, what is published and asked on it |
//! | `life` | one life of it: what it subscribes to, and whether it is silent |
//! | `streams` | what JetStream keeps, by the few requests that are needed for it |

mod life;
mod server;
mod streams;

pub use async_nats::{Message, Subscriber};
pub use life::Life;
pub use server::Server;
pub use streams::{Keeping, Listed, Stored, Stream, said};
