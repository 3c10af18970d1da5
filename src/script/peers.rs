//! A worker's connections as somebody who looks on finds them: `this`, timers and topics.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::{Rc, Weak};

use serde_json::{Value, json};

use super::look;
use super::peer::Peer;

/// The connections of a developer's seat, by their numbers.
#[derive(Debug, Default)]
pub struct Peers(RefCell<BTreeMap<u64, Weak<Peer>>>);

impl Peers {
    /// A connection begins.
    pub fn enter(&self, peer: &Rc<Peer>) {
        let mut peers = self.0.borrow_mut();
        peers.insert(peer.handle.id(), Rc::downgrade(peer));
    }

    /// A connection is over.
    pub fn leave(&self, connection: u64) {
        self.0.borrow_mut().remove(&connection);
    }

    /// What this connection's handler keeps for it.
    pub fn inspect(&self, connection: u64) -> Option<Value> {
        let peer = self.0.borrow().get(&connection)?.upgrade()?;
        let (this, is_whole) = peer.state.look(look::shown);
        let timers = peer.timers(|timers| timers.list()).unwrap_or_default();
        let timers: Vec<_> = timers
            .into_iter()
            .map(|(name, left, every)| {
                let every = every.map(|every| every.as_secs_f64());
                json!({ "name": name.as_str(), "seconds": left.as_secs_f64(), "every": every })
            })
            .collect();
        let topics = peer.subscriptions(|all| all.as_ref().map(|all| all.list()));
        let topics: Vec<_> = topics
            .unwrap_or_default()
            .into_iter()
            .map(|(topic, key)| json!({ "topic": &*topic, "key": key.as_deref() }))
            .collect();
        Some(json!({ "this": this, "is_whole": is_whole, "timers": timers, "topics": topics }))
    }
}
