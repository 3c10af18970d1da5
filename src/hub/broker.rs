//! The contract of what topics go through when several nodes share them.
//!
//! A node is a replica of the topics that it uses: what is published anywhere comes back to every
//! node, the publishing one among them, as one sequence, and is appended there and delivered. So
//! each node has a topic's one order, and its own copy of what the topic keeps.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use super::direct::{Address, Direct};
use super::publication::Draft;
use crate::link::{Failed, Health};

/// An answer that is waited for, without borrowing anything.
pub type Answer<T> = Pin<Box<dyn Future<Output = Result<T, Failed>>>>;

/// What a topic is to keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kept {
    /// Messages, at the most.
    pub messages: usize,
    /// How long each.
    pub age: Duration,
}

/// Something that the table of topics wants of the broker, which does it when it can.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// Make this node a replica of a topic, with what it keeps or without.
    Join(Arc<str>, bool),
    /// Look whether there is more of a topic than this node has.
    Refresh(Arc<str>),
    /// Nobody here uses it any more.
    Leave(Arc<str>),
}

/// An engine between nodes.
pub trait Broker: fmt::Debug + Send + Sync {
    /// Whether it is there.
    fn health(&self) -> &Arc<Health>;

    /// How long a call may wait for it.
    fn patience(&self) -> Duration;

    /// Why topics cannot keep messages, where the engine has nothing for that.
    fn keeps_nothing(&self) -> Option<&'static str>;

    /// Which life of the connection this is: a replica is in force in the one that it has joined
    /// in. 0 before the first.
    fn life(&self) -> u64;

    /// Wants something, at some time: never waits.
    fn ask(&self, ask: Ask);

    /// The number of a topic's subscribers here is another one.
    fn changed(&self, topic: &Arc<str>);

    /// There may be somebody to report to the other nodes.
    fn people_changed(&self);

    /// Hands something to a connection of another node: whether it was done there.
    fn direct(self: Arc<Self>, address: &Address, direct: Direct) -> Answer<bool>;

    /// Publishes a message. In a topic that keeps messages it is ready once it has its
    /// number and, where this node is a replica of the topic, its place there.
    fn publish(self: Arc<Self>, topic: &str, kept: Option<Kept>, draft: &Draft) -> Answer<()>;

    /// How many subscribe to a topic on other nodes, some seconds ago at most.
    fn subscribers(self: Arc<Self>, topic: &str) -> Answer<u64>;

    /// How many commands that nobody waited for were lost.
    fn lost(&self) -> u64;
}
