//! What Redis' answers say: portions of histories, people, nodes.

use std::collections::HashSet;
use std::sync::Arc;

use ::redis::Value;

use crate::hub::engine::{self, Found, Message, People};
use crate::hub::node::Node;
use crate::hub::position::Position;
use crate::hub::replica::Portion;
use crate::hub::wire;

/// Digits of a node's name, in front of the key.
const NODE: usize = 16;

/// A text in an answer.
pub fn text(value: &Value) -> Option<&str> {
    match value {
        Value::BulkString(bytes) => std::str::from_utf8(bytes).ok(),
        Value::SimpleString(text) => Some(text),
        _ => None,
    }
}

/// A portion as the script gives it, and whether something in it was not made by this software;
/// `None` if nothing in it can be understood.
pub fn portion(topic: &str, node: u64, value: Value) -> Found<Portion<Message>> {
    let Value::Array(parts) = value else {
        return None;
    };
    let [epoch, last, Value::Int(is_end), Value::Array(entries)] = parts.as_slice() else {
        return None;
    };
    let last = Position::parse(&format!("{}.{}", text(epoch)?, text(last)?))?;
    let (mut messages, mut is_foreign, mut until) = (Vec::new(), false, 0);
    for entry in entries.chunks_exact(2) {
        let [number, Value::BulkString(body)] = entry else {
            return None;
        };
        let place = Position {
            number: text(number)?.parse().ok()?,
            ..last
        };
        until = place.number;
        match engine::placed(topic, node, place, body) {
            Some(message) => messages.push(message),
            None => is_foreign = true,
        }
    }
    let portion = Portion {
        last,
        messages,
        until,
        is_end: *is_end == 1,
    };
    Some((portion, is_foreign))
}

/// Those of whom the script tells, and whether something was not made by this software.
pub fn people(value: &Value) -> Found<People> {
    let Value::Array(all) = value else {
        return None;
    };
    let one = |pair: &[Value]| {
        let [Value::BulkString(field), Value::BulkString(kept)] = pair else {
            return None;
        };
        let (node, key) = std::str::from_utf8(field).ok()?.split_at_checked(NODE)?;
        let node = Node(u64::from_str_radix(node, 16).ok()?);
        (!key.is_empty()).then_some((node, Arc::from(key), wire::people::read_kept(kept)?))
    };
    let (all, _) = all.as_chunks::<2>();
    let known: Vec<_> = all.iter().filter_map(|pair| one(pair)).collect();
    let is_foreign = known.len() < all.len();
    Some((known, is_foreign))
}

/// Whether this node's counts are there, whether it was known to live, and which nodes do, as the
/// script tells.
pub fn alive(value: &Value) -> Option<(bool, bool, HashSet<Node>)> {
    let Value::Array(parts) = value else {
        return None;
    };
    let [Value::Int(counts), Value::Int(known), Value::Array(nodes)] = parts.as_slice() else {
        return None;
    };
    let node = |value: &Value| {
        let name = text(value)?;
        Some(Node(u64::from_str_radix(name, 16).ok()?))
    };
    let nodes = nodes.iter().filter_map(node).collect();
    Some((*counts == 1, *known == 1, nodes))
}
