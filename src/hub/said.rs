//! What an engine could carry to a node, read as the driver reads it: for whoever tries what
//! hostile bytes do.

use ::redis::Value;

use super::direct::Address;
use super::node::Node;
use super::position::Position;
use super::redis::read;
use super::wire;
use super::wire::direct::Arrived;
use super::wire::nodes::{self, ToAll};

/// This node, and a topic.
const NODE: u64 = 42;
const TOPIC: &str = "room/1";

/// What bytes were taken for.
#[derive(Debug)]
pub struct Said {
    /// As what they were read.
    pub form: &'static str,
    /// The same, written again; of a publication its payload alone.
    pub bytes: Vec<u8>,
}

/// All that these bytes can be taken for.
pub fn said(bytes: &[u8]) -> Vec<Said> {
    let mut all = Vec::new();
    let mut add = |form, bytes| all.push(Said { form, bytes });
    if let Some(arrived) = wire::read(TOPIC, NODE, bytes) {
        let (_, _, payload) = arrived.draft.content();
        add("publication", payload.to_vec());
    }
    if let Some(arrived) = wire::read_body(TOPIC, NODE, None, bytes) {
        let (_, _, payload) = arrived.draft.content();
        add("publication", payload.to_vec());
    }
    match wire::direct::read(bytes) {
        Some(Arrived::Asked(worker, connection, direct, node, ticket)) => {
            let address = Address {
                node: Node(NODE),
                worker,
                connection,
            };
            let asked = wire::direct::asked(&address, direct, node, ticket);
            add("direct", asked);
        }
        Some(Arrived::Answered(ticket, done)) => {
            add("answer", wire::direct::answered(ticket, done));
        }
        None => {}
    }
    if let Some(heard) = wire::people::read(bytes) {
        let kept = heard.report.as_ref().map(wire::people::kept);
        let kept = kept.unwrap_or_default();
        add(
            "report",
            wire::people::message(heard.node, heard.key, &kept),
        );
    }
    if let Some(report) = wire::people::read_kept(bytes) {
        add("kept report", wire::people::kept(&report));
    }
    match nodes::read(bytes) {
        Some(ToAll::Lives(node, wants_all, counts)) => {
            let counts = counts.iter().map(|(topic, count)| (&**topic, *count));
            add("node", nodes::lives(node, wants_all, counts));
        }
        Some(ToAll::Who(node, ticket, topic)) => add("who", nodes::who(node, ticket, &topic)),
        None => {}
    }
    if let Some(here) = nodes::read_here(bytes) {
        add("here", nodes::here(&here));
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        if let Some(position) = Position::parse(text) {
            add("position", position.to_string().into_bytes());
        }
        if let Some(address) = Address::parse(text) {
            add("address", address.to_string().into_bytes());
        }
    }
    if let Ok(value) = ::redis::parse_redis_value(bytes) {
        answered(value);
    }
    let _ = crate::nats::said(bytes);
    all
}

/// An answer of Redis, whichever it should have been.
fn answered(value: Value) {
    let _ = read::people(&value);
    let _ = read::alive(&value);
    if let Some((portion, _)) = read::portion(TOPIC, NODE, value) {
        let (mut replica, kept) = (super::replica::Replica::new(true), portion.messages.len());
        replica.joined();
        let steps = replica.portion(portion);
        // It asks again once at the most, and gives nothing twice.
        assert!(steps.len() <= 3 * kept + 4);
    }
}
