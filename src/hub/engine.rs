//! What the driver needs of an engine between nodes: its channels, what it keeps, and how nodes
//! hear of each other.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use super::broker::{Broker, Kept};
use super::desk::Desk;
use super::node::Node;
use super::position::Position;
use super::presence::Report;
use super::publication::Draft;
use super::replica::{Placed, Portion};
use super::wire;
use crate::link::Failed;

/// What the engine is for, as logs and metrics have it.
pub const ROLE: &str = "broker";
/// Messages in a portion of history, at the most,
pub const PORTION: usize = 256;
/// and bytes, but for the last message.
pub const PORTION_BYTES: usize = 1024 * 1024;
/// Seconds for which the others take a node's word that it lives.
pub const TRUSTED: u64 = 8;

/// A message on its way to the table, and when it was published.
pub type Message = (Draft, u64);

/// Those who are on other nodes.
pub type People = Vec<(Node, Arc<str>, Report)>;

/// Something that was read, and whether a part of it was not made by this software; `None` if
/// nothing of it can be understood.
pub type Found<T> = Option<(T, bool)>;

/// A message of a topic's history, as it is kept there; `None` if this software has not made it.
pub fn placed(topic: &str, node: u64, place: Position, body: &[u8]) -> Option<Placed<Message>> {
    let arrived = wire::read_body(topic, node, Some(place), body)?;
    Some(Placed {
        place,
        message: (arrived.draft, arrived.published),
        bytes: body.len(),
    })
}

/// Where something has come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source<'c> {
    /// The channel of what is for this node.
    Own,
    /// A topic's.
    Topic(&'c str),
}

/// The part of a topic's history that is wanted.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The topic.
    pub topic: Arc<str>,
    /// The place behind the last message that is here.
    pub known: Option<Position>,
    /// The number behind which it begins.
    pub from: u64,
    /// What the topic keeps.
    pub kept: Kept,
}

/// What the other nodes are to know of this one.
#[derive(Debug)]
pub struct Tidings {
    /// Topics whose number of subscribers here has changed, and that number.
    pub counts: Vec<(Arc<str>, usize)>,
    /// Topics whose life is to last, and how long each message is kept in them.
    pub lasting: Vec<(Arc<str>, Duration)>,
    /// Whether there are subscribers here.
    pub has_some: bool,
}

/// What came of telling it.
#[derive(Debug)]
pub struct Heard {
    /// The others have forgotten this node: all is to be told again.
    pub is_forgotten: bool,
    /// The nodes that live, if that is known.
    pub nodes: Option<HashSet<Node>>,
}

/// The channels of one life of the connection.
pub trait Channels: 'static {
    /// Subscribes to the channel of what is for this node.
    fn own(&mut self) -> impl Future<Output = Result<(), String>>;

    /// Subscribes to those of topics: ready when it is in force for all of them.
    fn join(&mut self, topics: &[Arc<str>]) -> impl Future<Output = Result<(), String>>;

    /// Ends such subscriptions: ready when that is so.
    fn leave(&mut self, topics: &[Arc<str>]) -> impl Future<Output = Result<(), String>>;
}

/// An engine as the driver has it.
pub trait Engine: Broker + Sized + 'static {
    /// What the workers ask.
    fn desk(&self) -> &Desk;

    /// Where something has come from, by its channel.
    fn source<'c>(&self, channel: &'c [u8]) -> Option<Source<'c>>;

    /// Reads a portion of a topic's history.
    fn read(
        self: Arc<Self>,
        wanted: Wanted,
    ) -> impl Future<Output = Result<Found<Portion<Message>>, Failed>> + 'static;

    /// Reads who is in a topic on other nodes.
    fn people(
        self: Arc<Self>,
        topic: Arc<str>,
    ) -> impl Future<Output = Result<Found<People>, Failed>> + 'static;

    /// Tells the other nodes how a key is in a topic here, if it is.
    fn report(
        self: Arc<Self>,
        topic: &str,
        key: &str,
        report: Option<Report>,
    ) -> impl Future<Output = Result<(), Failed>> + 'static;

    /// Tells another node whether what it has asked for was done.
    fn answer(
        self: Arc<Self>,
        to: Node,
        ticket: u64,
        done: bool,
    ) -> impl Future<Output = ()> + 'static;

    /// Tells the others of this node; `None` if that has failed.
    fn tell(self: Arc<Self>, tidings: Tidings) -> impl Future<Output = Option<Heard>> + 'static;
}
