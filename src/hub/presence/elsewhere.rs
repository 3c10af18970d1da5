//! Presence on other nodes: what this one reports to them, and what they report.
//!
//! A report is the state of a key on one node and no change of it, so that one too many changes
//! nothing, and a lost one is made good by the next.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::{Changes, Entry, Info, Presence, Room, Rooms};
use crate::hub::node::Node;

/// A key on one node.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// What was said of it last.
    pub info: Info,
    /// When that was, in seconds since 1970: a report may be late.
    pub said: f64,
    /// Its connections there: none, a moment after the last was lost.
    pub connections: usize,
    /// When it came, in seconds since 1970.
    pub since: f64,
}

impl Presence {
    /// From now on it is kept who is to be reported to other nodes.
    pub fn reports(&self) {
        self.rooms().reports.get_or_insert_default();
    }

    /// Takes what is to be reported: topics, keys and how they are here, if they are.
    pub fn take_reports(&self) -> Vec<(Arc<str>, Arc<str>, Option<Report>)> {
        let mut rooms = self.rooms();
        let Some(reports) = &mut rooms.reports else {
            return Vec::new();
        };
        let reports = std::mem::take(reports);
        let state = |(topic, key): (Arc<str>, Arc<str>)| {
            let room = rooms.rooms.get(&topic);
            let entry = room.and_then(|room| room.entries.get(&key));
            let report = entry.and_then(Entry::report);
            (topic, key, report)
        };
        reports.into_iter().map(state).collect()
    }

    /// Who is in a topic here, and how.
    pub fn reports_of(&self, topic: &str) -> Vec<(Arc<str>, Report)> {
        let rooms = self.rooms();
        let room = rooms.rooms.get(topic);
        let entries = room.into_iter().flat_map(|room| &room.entries);
        let here = entries.filter_map(|(key, entry)| Some((Arc::clone(key), entry.report()?)));
        here.collect()
    }

    /// Everybody who is here is to be reported again.
    pub fn report_all(&self) {
        let mut rooms = self.rooms();
        let here = rooms.rooms.iter().flat_map(|(topic, room)| {
            let here = room.entries.iter();
            let here = here.filter(|(_, entry)| entry.here.is_some());
            here.map(|(key, _)| (Arc::clone(topic), Arc::clone(key)))
        });
        let mut all: BTreeSet<_> = here.collect();
        if let Some(reports) = &mut rooms.reports {
            reports.append(&mut all);
        }
    }

    /// How a key is on another node; whoever is not there any more has waited for its time there.
    pub fn hear(
        &self,
        topic: &Arc<str>,
        key: &str,
        (node, report): (Node, Option<Report>),
        tell: impl FnOnce(Changes),
    ) {
        let mut rooms = self.rooms();
        if report.is_none() && !rooms.rooms.contains_key(topic) {
            return;
        }
        let room = rooms.rooms.entry(Arc::clone(topic)).or_default();
        room.hear(key, node, report, true);
        rooms.settle(topic, tell);
    }

    /// Who is in a topic on all other nodes, wholly, but for those of whom a later report has come
    /// already. Whoever was there before and is not named stays for the `grace`: it may not have
    /// been reported again yet. At the first time nobody is told of those who are there.
    pub fn hear_all(
        &self,
        topic: &Arc<str>,
        all: Vec<(Node, Arc<str>, Report)>,
        later: &BTreeSet<(Node, Arc<str>)>,
        (is_first, grace): (bool, Duration),
        tell: impl FnOnce(Changes),
    ) {
        let mut rooms = self.rooms();
        if all.is_empty() && !rooms.rooms.contains_key(topic) {
            return;
        }
        let room = rooms.rooms.entry(Arc::clone(topic)).or_default();
        let mut named: BTreeMap<Arc<str>, HashSet<Node>> = BTreeMap::new();
        for (node, key) in later {
            named.entry(Arc::clone(key)).or_default().insert(*node);
        }
        for (node, key, report) in all {
            if named.entry(Arc::clone(&key)).or_default().insert(node) {
                room.hear(&key, node, Some(report), !is_first);
            }
        }
        room.forget(
            |key, node| named.get(key).is_some_and(|nodes| nodes.contains(&node)),
            grace,
        );
        rooms.settle(topic, tell);
    }

    /// These nodes are gone: whoever was there alone stays for the `grace`. What they have said of
    /// those who are here as well is reported from here.
    pub fn lose(&self, nodes: &HashSet<Node>, grace: Duration) {
        let mut rooms = self.rooms();
        let Rooms {
            rooms,
            restless,
            reports,
        } = &mut *rooms;
        restless.extend(rooms.iter_mut().filter_map(|(topic, room)| {
            let is_here = |entry: &Entry| {
                entry.here.is_some() && entry.elsewhere.keys().any(|node| nodes.contains(node))
            };
            let here = room.entries.iter().filter(|(_, entry)| is_here(entry));
            let here = here.map(|(key, _)| (Arc::clone(topic), Arc::clone(key)));
            reports
                .iter_mut()
                .for_each(|reports| reports.extend(here.clone()));
            room.forget(|_, node| !nodes.contains(&node), grace);
            room.is_restless().then(|| Arc::clone(topic))
        }));
    }

    /// A topic is not followed any more: only who is here is known.
    pub fn part(&self, topic: &Arc<str>) {
        let mut rooms = self.rooms();
        if let Some(room) = rooms.rooms.get_mut(topic) {
            room.forget(|_, _| false, Duration::ZERO);
            room.expire(Instant::now());
            room.changed.clear();
        }
        rooms.settle(topic, drop);
    }
}

impl Entry {
    /// How it is here, if it is.
    fn report(&self) -> Option<Report> {
        self.here.as_ref().map(|_| Report {
            info: self.info.clone(),
            said: self.said,
            connections: self.connections,
            since: self.since,
        })
    }
}

impl Room {
    fn hear(&mut self, key: &str, node: Node, report: Option<Report>, is_told: bool) {
        let Some(report) = report else {
            let Some((key, _)) = self.entries.get_key_value(key) else {
                return;
            };
            let key = Arc::clone(key);
            if let Some(entry) = self.entries.get_mut(&key) {
                entry.elsewhere.remove(&node);
            }
            return self.remove_if_empty(&key);
        };
        let key: Arc<str> = key.into();
        let is_new = !self.entries.contains_key(&key);
        let entry = self
            .entries
            .entry(Arc::clone(&key))
            .or_insert_with(|| Entry {
                info: None,
                said: 0.0,
                since: report.since,
                connections: 0,
                elsewhere: BTreeMap::new(),
                expected: None,
                leaves: None,
                here: None,
            });
        entry.elsewhere.insert(node, report.connections);
        entry.since = entry.since.min(report.since);
        if report.info.is_some() && report.said >= entry.said {
            (entry.info, entry.said) = (report.info, report.said);
        }
        // What is here and was lost goes from here when its time is over.
        if entry.here.is_none() && entry.leaves.take().is_some() {
            self.leaving -= 1;
        }
        if is_new && is_told {
            self.changed.entry(key).or_insert(None);
        }
    }

    /// Forgets of keys that they are on other nodes, but for those that hold.
    fn forget(&mut self, holds: impl Fn(&str, Node) -> bool, grace: Duration) {
        for (key, entry) in &mut self.entries {
            let before = entry.elsewhere.len();
            entry.elsewhere.retain(|node, _| holds(key, *node));
            let is_over = entry.elsewhere.is_empty() && before > 0 && entry.here.is_none();
            if is_over && entry.leaves.is_none() {
                entry.leaves = Some(Instant::now() + grace);
                self.leaving += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::account::Account;
    use crate::hub::presence::Arrival;

    const GRACE: Duration = Duration::from_secs(15);

    fn report(connections: usize) -> Report {
        Report {
            info: Some("1".into()),
            said: 1.0,
            connections,
            since: 1.0,
        }
    }

    fn names(changes: &Changes) -> String {
        let joined = changes.joined.keys().map(|key| format!("+{key}"));
        let left = changes.left.keys().map(|key| format!("-{key}"));
        joined.chain(left).collect()
    }

    /// What two nodes have said of a key at about the same time is on all of them what was said
    /// last, in whatever order they hear of it.
    #[tokio::test(start_paused = true)]
    async fn what_was_said_last_holds_however_late_it_comes() {
        let report = |info: &str, said: f64| Report {
            info: Some(info.into()),
            said,
            ..report(1)
        };
        let (a, b) = ((Node(1), report("1", 1.0)), (Node(2), report("2", 2.0)));
        for reports in [[&a, &b], [&b, &a]] {
            let (presence, topic) = (Presence::default(), Arc::from("t"));
            for (node, report) in reports {
                presence.hear(&topic, "ann", (*node, Some(report.clone())), drop);
            }
            assert_eq!(presence.entries("t", 9)[0].info, Some("2".into()));
            // Here, by a clock that lags behind.
            let account = Arc::<Account>::default();
            let arrival = Arrival {
                key: "ann",
                info: Some("3".into()),
                now: 0.5,
            };
            presence.join(&topic, arrival, (&account, 1), drop);
            presence.hear(&topic, "ann", (a.0, Some(a.1.clone())), drop);
            assert_eq!(presence.entries("t", 9)[0].info, Some("3".into()));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_on_two_nodes_is_one_entry() {
        let (presence, account) = (Presence::default(), Arc::<Account>::default());
        presence.reports();
        let (topic, told) = (Arc::from("t"), std::cell::RefCell::new(String::new()));
        let tell = |changes: Changes| told.borrow_mut().push_str(&names(&changes));
        let (a, b) = (Node(1), Node(2));
        // Known from the beginning: nobody is told.
        let first = vec![
            (a, Arc::from("ann"), report(2)),
            (b, "bob".into(), report(1)),
        ];
        presence.hear_all(&topic, first, &BTreeSet::new(), (true, GRACE), tell);
        let pass = async |seconds: u64| {
            for _ in 0..seconds {
                tokio::time::advance(Duration::from_secs(1)).await;
                presence.tick(|_, changes| tell(changes));
            }
            std::mem::take(&mut *told.borrow_mut())
        };
        assert_eq!(pass(1).await, "");
        let arrival = Arrival {
            key: "ann",
            info: None,
            now: 2.0,
        };
        let ann = presence
            .join(&topic, arrival, (&account, 1), tell)
            .expect("there is room");
        let reports = presence.take_reports();
        assert_eq!(reports.len(), 1);
        assert_eq!(reports[0].2, Some(report(1)));
        let entries = presence.entries("t", 9);
        assert_eq!((entries.len(), entries[0].connections), (2, 3));
        // It leaves that node, and then this one.
        presence.hear(&topic, "ann", (a, None), tell);
        assert_eq!(pass(2).await, "");
        presence.leave(&topic, &ann, (false, GRACE), tell);
        assert_eq!(presence.take_reports()[0].2, Some(report(0)));
        assert_eq!(pass(14).await, "");
        assert_eq!(pass(2).await, "-ann");
        assert_eq!(presence.take_reports()[0].2, None);
        assert!(account.is_empty());
        // A node is lost, and one that only seemed to be is back in time.
        presence.lose(&[b].into(), GRACE);
        assert_eq!(pass(10).await, "");
        presence.hear(&topic, "bob", (b, Some(report(1))), tell);
        assert_eq!(pass(30).await, "");
        presence.lose(&[b].into(), GRACE);
        assert_eq!(pass(16).await, "-bob");
        presence.hear(&topic, "cid", (b, Some(report(1))), tell);
        assert_eq!(pass(2).await, "+cid");
        // What a lost node has said of somebody who is here as well is said from here.
        let arrival = Arrival {
            key: "cid",
            info: None,
            now: 3.0,
        };
        let cid = presence.join(&topic, arrival, (&account, 1), tell);
        assert!(cid.is_some());
        presence.take_reports();
        presence.lose(&[b].into(), GRACE);
        assert_eq!(
            presence.take_reports()[0].2,
            Some(Report {
                since: 1.0,
                ..report(1)
            })
        );
        presence.leave(&topic, &"cid".into(), (true, GRACE), tell);
        assert_eq!(pass(2).await, "-cid");
        presence.take_reports();
        presence.hear(&topic, "cid", (b, Some(report(1))), tell);
        assert_eq!(pass(2).await, "+cid");
        presence.part(&topic);
        assert_eq!(pass(2).await, "");
        assert!(presence.rooms().rooms.is_empty());
    }
}
