//! Topics: a publication to the outboxes of its subscribers, whichever worker they are on.
//!
//! | file | is about |
//! |---|---|
//! | `table` | the process's topics: who subscribes where, and what was published, in one order |
//! | `settings` | what handlers say about topics by name: history, slow subscribers, envelopes |
//! | `history`, `position` | what a topic keeps for those who come back, and where they were |
//! | `publication` | one message on its way to many, encoded once and compressed once |
//! | `record` | all that was published, for tests that ask afterwards |
//! | `account` | what each handler's topics take, within a bound of its own |
//! | `mailbox` | what crosses to a worker: publications and subscriptions, in order |
//! | `delivery`, `subscriber` | from a worker's mailbox to its subscribers, and to the outbox of each |
//! | `presence` | who is in a topic, by key |
//! | `direct` | what is for one connection, on whichever worker it is |
//! | `node` | this process among others: its name in what it sends them |
//! | `letters` | what topics have for the hooks of their subscribers |
//! | `subscriptions` | what one connection subscribes to, until it ends |
//! | `broker`, `membership` | the contract of an engine that several nodes share, and how a topic is with it |
//! | `engine`, `driver`, `desk` | what a broker needs of an engine, what it does with it, and where workers ask |
//! | `wire` | a message as it goes from node to node |
//! | `said` | what hostile bytes of an engine are taken for, for tests |
//! | `replica` | one topic's copy on this node: what is next, doubled or missing |
//! | `redis` | Redis or Valkey as that engine |
//! | `nats` | NATS as that engine |
//! | `tally` | what is counted |
//!
//! A publish takes one short lock, which numbers the message and hands it to every mailbox, so that
//! all subscribers of a topic see the same order. Subscribing goes the same way: a subscription is
//! in force from its place in that order on.

mod account;
mod broker;
mod delivery;
mod desk;
mod direct;
mod driver;
mod engine;
mod history;
mod letters;
mod mailbox;
mod membership;
mod nats;
mod node;
mod position;
mod presence;
mod publication;
mod record;
mod redis;
mod replica;
mod said;
mod settings;
mod subscriber;
mod subscriptions;
mod table;
mod tally;
#[cfg(test)]
mod tests;
mod wire;

pub use crate::config::limits::Topics as Limits;
pub use delivery::Delivery;
pub use direct::{Address, Direct};
pub use letters::{Letter, Letters, Newcomers};
pub use nats::start as start_nats;
pub use position::Position;
pub use presence::{Changes, Info, People};
pub use publication::{Draft, Publication};
pub use record::Recorded;
pub use redis::start as start_redis;
pub use said::{Said, said};
pub use settings::{Settings, Slow};
pub use subscriptions::{Seat, Subscriptions, Wish};
pub use table::{Hub, Past, Purpose, Refused};
