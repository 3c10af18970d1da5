//! Presence through Redis: a hash for each topic, of nodes and keys, and a message for each change.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use ::redis::Value;
use tokio::time::sleep;

use super::broker::RedisBroker;
use crate::hub::node::Node;
use crate::hub::presence::Report;
use crate::hub::table::Hub;
use crate::hub::wire::people;

/// Seconds for which the others take a node's word.
pub const TRUSTED: u64 = 8;
/// How long a topic's hash is kept beyond the last report.
const KEPT: Duration = Duration::from_hours(24);
/// How often everybody is reported again, so that it is kept.
pub const ANEW: Duration = Duration::from_hours(6);
/// Time before reports that did not get through are made again.
const AGAIN: Duration = Duration::from_millis(500);
/// Digits of a node's name, in front of the key.
const NODE: usize = 16;

/// Tells the other nodes who is here: one after the other, so that the last report is the last
/// state. Runs for ever.
pub async fn report(hub: Arc<Hub>, broker: Arc<RedisBroker>) {
    loop {
        broker.people.notified().await;
        for (topic, key, report) in hub.take_reports() {
            let kept = report.as_ref().map(people::kept).unwrap_or_default();
            let message = people::message(broker.node, &key, &kept);
            let bytes = kept.len() + message.len();
            let (nodes, hash) = (broker.names.nodes(), broker.names.people(&topic));
            let mut command = broker.scripts.report.call(&[&nodes, &hash]);
            command
                .arg(broker.node.to_string())
                .arg(TRUSTED)
                .arg(&*key)
                .arg(kept)
                .arg(KEPT.as_secs())
                .arg(broker.names.channel(&topic))
                .arg(message);
            if broker.commands.send(command, bytes).await.is_err() {
                sleep(AGAIN).await;
                hub.report_all();
                break;
            }
        }
    }
}

/// Those who are on other nodes.
type People = Vec<(Node, Arc<str>, Report)>;

/// Those of whom the script tells, and whether something was not made by this software.
pub fn read(value: &Value) -> Option<(People, bool)> {
    let Value::Array(all) = value else {
        return None;
    };
    let one = |pair: &[Value]| {
        let [Value::BulkString(field), Value::BulkString(kept)] = pair else {
            return None;
        };
        let (node, key) = std::str::from_utf8(field).ok()?.split_at_checked(NODE)?;
        let node = Node(u64::from_str_radix(node, 16).ok()?);
        (!key.is_empty()).then_some((node, Arc::from(key), people::read_kept(kept)?))
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
        let name = super::broker::text(value)?;
        Some(Node(u64::from_str_radix(name, 16).ok()?))
    };
    let nodes = nodes.iter().filter_map(node).collect();
    Some((*counts == 1, *known == 1, nodes))
}
