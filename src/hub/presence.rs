//! Presence: who is in a topic, by the key that each connection gives.
//!
//! Several connections of one key are one entry. It comes at once, and it goes when the last of its
//! connections has closed properly, or some seconds after that is lost: a page that is loaded anew
//! is back by then, and nobody is told anything.

mod elsewhere;

use std::collections::btree_map::Entry as Place;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

pub use elsewhere::Report;

use super::account::Account;
use super::node::Node;

/// Time between two notices of a topic's changes.
const NOTICES: Duration = Duration::from_secs(1);
/// Keys of a topic up to which its subscribers are told who comes and goes.
const TOLD: usize = 1_000;

/// What a connection says of itself: JSON, or nothing.
pub type Info = Option<Arc<str>>;
/// Keys with what was said last.
pub type People = BTreeMap<Arc<str>, Info>;

/// Who is in which topic.
#[derive(Debug, Default)]
pub struct Presence(Mutex<Rooms>);

#[derive(Debug, Default)]
struct Rooms {
    rooms: HashMap<Arc<str>, Room>,
    /// Those in which somebody is about to leave, or with something to tell.
    restless: BTreeSet<Arc<str>>,
    /// Topics and keys that other nodes are to be told of, if there are any.
    reports: Option<BTreeSet<(Arc<str>, Arc<str>)>>,
}

/// One topic.
#[derive(Debug, Default)]
struct Room {
    entries: BTreeMap<Arc<str>, Entry>,
    /// Keys whose coming or going was not told yet; those that were there before, with their info.
    changed: BTreeMap<Arc<str>, Option<Info>>,
    /// The last notice.
    told: Option<Instant>,
    /// Entries that have no connection any more.
    leaving: usize,
}

#[derive(Debug)]
struct Entry {
    info: Info,
    /// When that was said, in seconds since 1970.
    said: f64,
    since: f64,
    /// Connections of this node.
    connections: usize,
    /// Those of other nodes on which it is, which may be none a moment after they were lost.
    elsewhere: BTreeMap<Node, usize>,
    /// Until when a connection that was lost may be back.
    expected: Option<Instant>,
    /// When it goes from here, without a connection.
    leaves: Option<Instant>,
    /// What pays for it, while it is on this node.
    here: Option<Paid>,
}

/// A key of an account.
#[derive(Debug)]
struct Paid(Arc<Account>);

impl Paid {
    /// One key more, unless the account has so many already.
    fn new(account: &Arc<Account>, most: usize) -> Option<Self> {
        let is_open = account.open_key(most);
        is_open.then(|| Self(Arc::clone(account)))
    }
}

impl Drop for Paid {
    fn drop(&mut self) {
        self.0.close_key();
    }
}

/// An entry, as it is shown.
#[derive(Debug)]
pub struct Present {
    /// The key.
    pub key: Arc<str>,
    /// What was said last.
    pub info: Info,
    /// How many connections it has.
    pub connections: usize,
    /// When it came, in seconds since 1970.
    pub since: f64,
}

/// Who came to a topic and who left it, since it was told last.
#[derive(Debug, Clone, Default)]
pub struct Changes {
    /// Those who came.
    pub joined: People,
    /// Those who left.
    pub left: People,
}

impl Changes {
    /// Adds what came after: who comes and goes in between is not told.
    pub fn extend(&mut self, later: &Self) {
        for (key, info) in &later.joined {
            if self.left.remove(key).is_none() {
                self.joined.insert(Arc::clone(key), info.clone());
            }
        }
        for (key, info) in &later.left {
            if self.joined.remove(key).is_none() {
                self.left.insert(Arc::clone(key), info.clone());
            }
        }
    }

    /// Bytes of keys and infos.
    pub fn bytes(&self) -> usize {
        let of = |people: &People| -> usize {
            let bytes = |info: &Info| info.as_ref().map_or(0, |info| info.len());
            people
                .iter()
                .map(|(key, info)| key.len() + bytes(info))
                .sum()
        };
        of(&self.joined) + of(&self.left)
    }

    fn is_empty(&self) -> bool {
        self.joined.is_empty() && self.left.is_empty()
    }
}

/// Somebody who comes.
#[derive(Debug, Clone)]
pub struct Arrival<'a> {
    /// The key.
    pub key: &'a str,
    /// What is said of it; nothing leaves what was said before.
    pub info: Info,
    /// The time, in seconds since 1970.
    pub now: f64,
}

impl Entry {
    /// Something is said of it here; nothing leaves what was said before. It holds whatever another
    /// node has said, be its clock ahead.
    fn say(&mut self, info: Info, now: f64) {
        if info.is_some() {
            (self.info, self.said) = (info, now.max(self.said));
        }
    }
}

impl Presence {
    /// A connection comes, unless its handler has `most` keys already; the key as it is kept.
    /// Whatever is to be told goes to `tell`, in order.
    pub fn join(
        &self,
        topic: &Arc<str>,
        arrival: Arrival<'_>,
        (account, most): (&Arc<Account>, usize),
        tell: impl FnOnce(Changes),
    ) -> Option<Arc<str>> {
        let mut rooms = self.rooms();
        let known = rooms.rooms.get(topic);
        let known = known.and_then(|room| room.entries.get(arrival.key));
        let is_here = known.is_some_and(|entry| entry.here.is_some());
        let paid = match is_here {
            true => None,
            false => Some(Paid::new(account, most)?),
        };
        let room = rooms.rooms.entry(Arc::clone(topic)).or_default();
        let key: Arc<str> = arrival.key.into();
        let key = match room.entries.entry(key) {
            Place::Occupied(mut known) => {
                let entry = known.get_mut();
                entry.connections += 1;
                entry.expected = None;
                if entry.leaves.take().is_some() {
                    room.leaving -= 1;
                }
                entry.say(arrival.info, arrival.now);
                if paid.is_some() {
                    entry.here = paid;
                }
                Arc::clone(known.key())
            }
            Place::Vacant(vacant) => {
                let key = Arc::clone(vacant.key());
                let mut entry = Entry {
                    info: None,
                    said: 0.0,
                    since: arrival.now,
                    connections: 1,
                    elsewhere: BTreeMap::new(),
                    expected: None,
                    leaves: None,
                    here: paid,
                };
                entry.say(arrival.info, arrival.now);
                vacant.insert(entry);
                room.changed.entry(Arc::clone(&key)).or_insert(None);
                key
            }
        };
        rooms.report(topic, &key);
        rooms.settle(topic, tell);
        Some(key)
    }

    /// Says something else of a key that is there; `now` is the time, in seconds since 1970.
    pub fn update(&self, topic: &str, key: &str, info: Info, now: f64) {
        let mut rooms = self.rooms();
        let room = rooms.rooms.get_key_value(topic);
        let known = room.and_then(|(topic, room)| {
            let (key, _) = room.entries.get_key_value(key)?;
            Some((Arc::clone(topic), Arc::clone(key)))
        });
        let Some((topic, key)) = known else { return };
        let room = rooms.rooms.get_mut(&topic);
        if let Some(entry) = room.and_then(|room| room.entries.get_mut(&key)) {
            entry.say(info, now);
        }
        rooms.report(&topic, &key);
    }

    /// A connection goes. The last one of its key takes that along at once if it has gone
    /// `properly`, else after `grace`; that of another one that was lost before counts as well.
    pub fn leave(
        &self,
        topic: &Arc<str>,
        key: &Arc<str>,
        (properly, grace): (bool, Duration),
        tell: impl FnOnce(Changes),
    ) {
        let mut rooms = self.rooms();
        let Some(room) = rooms.rooms.get_mut(topic) else {
            return;
        };
        let Some(entry) = room.entries.get_mut(key) else {
            return;
        };
        let now = Instant::now();
        entry.connections -= 1;
        if !properly {
            entry.expected = Some(now + grace);
        }
        if entry.connections == 0 {
            entry.leaves = entry.expected.take().filter(|until| *until > now);
            match entry.leaves {
                Some(_) => room.leaving += 1,
                None => {
                    entry.here = None;
                    room.remove_if_empty(key);
                }
            }
        }
        rooms.report(topic, key);
        rooms.settle(topic, tell);
    }

    /// Now and then: those whose time is over leave, and what there is to tell is told.
    pub fn tick(&self, mut tell: impl FnMut(&Arc<str>, Changes)) {
        let now = Instant::now();
        let mut rooms = self.rooms();
        for topic in std::mem::take(&mut rooms.restless) {
            let Some(room) = rooms.rooms.get_mut(&topic) else {
                continue;
            };
            for key in room.expire(now) {
                rooms.report(&topic, &key);
            }
            rooms.settle(&topic, |changes| tell(&topic, changes));
        }
    }

    /// Who is there, so many at the most, by key.
    pub fn entries(&self, topic: &str, most: usize) -> Vec<Present> {
        let rooms = self.rooms();
        let entries = rooms.rooms.get(topic).map(|room| &room.entries);
        let present = |(key, entry): (&Arc<str>, &Entry)| Present {
            key: Arc::clone(key),
            info: entry.info.clone(),
            connections: entry.connections + entry.elsewhere.values().sum::<usize>(),
            since: entry.since,
        };
        entries
            .into_iter()
            .flatten()
            .take(most)
            .map(present)
            .collect()
    }

    /// How many keys there are.
    pub fn count(&self, topic: &str) -> usize {
        let rooms = self.rooms();
        rooms.rooms.get(topic).map_or(0, |room| room.entries.len())
    }

    fn rooms(&self) -> MutexGuard<'_, Rooms> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Rooms {
    /// Other nodes are to be told of a key.
    fn report(&mut self, topic: &Arc<str>, key: &Arc<str>) {
        if let Some(reports) = &mut self.reports {
            reports.insert((Arc::clone(topic), Arc::clone(key)));
        }
    }

    /// After a change of a topic: tells what is to be told now, and forgets what is empty.
    fn settle(&mut self, topic: &Arc<str>, tell: impl FnOnce(Changes)) {
        let Some(room) = self.rooms.get_mut(topic) else {
            return;
        };
        if let Some(changes) = room.notice(Instant::now()) {
            tell(changes);
        }
        if room.is_restless() {
            self.restless.insert(Arc::clone(topic));
        } else if room.entries.is_empty() {
            self.rooms.remove(topic);
        }
    }
}

impl Room {
    /// Takes an entry away that is on no node any more.
    fn remove_if_empty(&mut self, key: &Arc<str>) {
        let is_there = |entry: &Entry| entry.here.is_some() || !entry.elsewhere.is_empty();
        if self.entries.get(key).is_none_or(is_there) {
            return;
        }
        if let Some(mut entry) = self.entries.remove(key) {
            if entry.leaves.is_some() {
                self.leaving -= 1;
            }
            let info = entry.info.take();
            self.changed.entry(Arc::clone(key)).or_insert(Some(info));
        }
    }

    /// Lets those go whose time is over.
    fn expire(&mut self, now: Instant) -> Vec<Arc<str>> {
        if self.leaving == 0 {
            return Vec::new();
        }
        let is_over = |entry: &Entry| entry.leaves.is_some_and(|leaves| leaves <= now);
        let over = self.entries.iter().filter(|(_, entry)| is_over(entry));
        let over: Vec<_> = over.map(|(key, _)| Arc::clone(key)).collect();
        for key in &over {
            if let Some(entry) = self.entries.get_mut(key) {
                self.leaving -= 1;
                (entry.leaves, entry.here) = (None, None);
            }
            self.remove_if_empty(key);
        }
        over
    }

    fn is_restless(&self) -> bool {
        self.leaving > 0 || !self.changed.is_empty()
    }

    /// What is to be told now.
    fn notice(&mut self, now: Instant) -> Option<Changes> {
        if self.changed.is_empty() {
            return None;
        }
        if self.entries.len() > TOLD {
            self.changed.clear();
            return None;
        }
        if self.told.is_some_and(|told| now - told < NOTICES) {
            return None;
        }
        let mut changes = Changes::default();
        for (key, before) in std::mem::take(&mut self.changed) {
            match (before, self.entries.get(&key)) {
                (None, Some(entry)) => drop(changes.joined.insert(key, entry.info.clone())),
                (Some(info), None) => drop(changes.left.insert(key, info)),
                _ => {}
            }
        }
        if changes.is_empty() {
            return None;
        }
        self.told = Some(now);
        Some(changes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRACE: Duration = Duration::from_secs(15);

    struct World {
        presence: Presence,
        account: Arc<Account>,
        told: Vec<(Vec<String>, Vec<String>)>,
    }

    impl World {
        fn new() -> Self {
            Self {
                presence: Presence::default(),
                account: Arc::default(),
                told: Vec::new(),
            }
        }

        fn join(&mut self, key: &str, info: Option<&str>) -> Option<Arc<str>> {
            let arrival = Arrival {
                key,
                info: info.map(Arc::from),
                now: 1.0,
            };
            let told = &mut self.told;
            let tell = |changes| told.push(names(&changes));
            self.presence
                .join(&"t".into(), arrival, (&self.account, 2000), tell)
        }

        fn leave(&mut self, key: &str, properly: bool) {
            let told = &mut self.told;
            let tell = |changes| told.push(names(&changes));
            let how = (properly, GRACE);
            self.presence.leave(&"t".into(), &key.into(), how, tell);
        }

        async fn pass(&mut self, seconds: u64) {
            for _ in 0..seconds {
                tokio::time::advance(Duration::from_secs(1)).await;
                let told = &mut self.told;
                self.presence.tick(|_, changes| told.push(names(&changes)));
            }
        }

        fn told(&mut self) -> Vec<(Vec<String>, Vec<String>)> {
            std::mem::take(&mut self.told)
        }
    }

    fn names(changes: &Changes) -> (Vec<String>, Vec<String>) {
        let of = |people: &People| {
            let name = |(key, info): (&Arc<str>, &Info)| match info {
                Some(info) => format!("{key} {info}"),
                None => key.to_string(),
            };
            people.iter().map(name).collect()
        };
        (of(&changes.joined), of(&changes.left))
    }

    fn joined(name: &str) -> Vec<(Vec<String>, Vec<String>)> {
        vec![(vec![name.to_owned()], Vec::new())]
    }

    fn left(name: &str) -> Vec<(Vec<String>, Vec<String>)> {
        vec![(Vec::new(), vec![name.to_owned()])]
    }

    /// Pitfall 15.
    #[tokio::test(start_paused = true)]
    async fn pitfall_15_two_tabs_are_one_entry_and_a_page_loaded_anew_is_no_leave() {
        let mut world = World::new();
        world.join("ann", Some("1")).unwrap();
        assert_eq!(world.told(), joined("ann 1"));
        world.join("ann", None).unwrap();
        world.pass(3).await;
        assert_eq!(world.presence.entries("t", 9)[0].connections, 2);
        world.leave("ann", true);
        world.pass(3).await;
        assert_eq!(world.told(), []);
        // Loaded anew, and then lost with something new said.
        world.leave("ann", false);
        world.pass(14).await;
        assert_eq!(world.presence.count("t"), 1);
        world.join("ann", Some("2")).unwrap();
        world.pass(30).await;
        assert_eq!(world.told(), []);
        // One is lost, and the other one says good-bye: the lost one may be back.
        world.join("ann", None).unwrap();
        world.leave("ann", false);
        world.leave("ann", true);
        world.pass(14).await;
        world.join("ann", None).unwrap();
        world.pass(30).await;
        assert_eq!(world.told(), []);
        world.presence.update("t", "ann", Some("3".into()), 9.0);
        world.leave("ann", false);
        world.pass(16).await;
        assert_eq!(world.told(), left("ann 3"));
        world.pass(60).await;
        assert_eq!(world.told(), []);
        assert_eq!(world.presence.count("t"), 0);
        assert!(world.account.is_empty());
        assert!(world.presence.rooms().rooms.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn notices_are_merged_and_a_second_apart() {
        let mut world = World::new();
        world.join("a", None).unwrap();
        assert_eq!(world.told(), joined("a"));
        for key in ["b", "c", "d"] {
            world.join(key, None).unwrap();
        }
        world.leave("c", true);
        world.leave("a", true);
        assert_eq!(world.told(), []);
        world.pass(1).await;
        let wanted = (vec!["b".to_owned(), "d".to_owned()], vec!["a".to_owned()]);
        assert_eq!(world.told(), [wanted]);
        // Properly and at once, since nothing was told of late.
        world.pass(5).await;
        world.leave("b", true);
        assert_eq!(world.told(), left("b"));
    }

    #[tokio::test(start_paused = true)]
    async fn of_a_crowd_nothing_is_told() {
        let mut world = World::new();
        for number in 0..=TOLD {
            world.join(&number.to_string(), None).unwrap();
        }
        world.told();
        world.pass(3).await;
        assert_eq!(world.told(), []);
        assert_eq!(world.presence.count("t"), TOLD + 1);
        assert_eq!(world.presence.entries("t", TOLD).len(), TOLD);
        for number in 0..=TOLD {
            world.leave(&number.to_string(), true);
        }
        world.pass(2).await;
        assert!(world.presence.rooms().rooms.is_empty() && world.account.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn keys_are_counted_for_each_handler() {
        let mut world = World::new();
        let arrival = |key| Arrival {
            key,
            info: None,
            now: 0.0,
        };
        let account = Arc::clone(&world.account);
        let join = |presence: &Presence, key| {
            let topic = "t".into();
            presence
                .join(&topic, arrival(key), (&account, 1), drop)
                .is_some()
        };
        assert!(join(&world.presence, "a") && join(&world.presence, "a"));
        assert!(!join(&world.presence, "b"));
        world.leave("a", true);
        world.leave("a", true);
        assert!(join(&world.presence, "b"));
    }

    #[test]
    fn what_waits_is_merged() {
        let people =
            |keys: &[&str]| -> People { keys.iter().map(|key| (Arc::from(*key), None)).collect() };
        let mut changes = Changes {
            joined: people(&["a", "b"]),
            left: people(&["c"]),
        };
        changes.extend(&Changes {
            joined: people(&["c", "d"]),
            left: people(&["b"]),
        });
        assert_eq!(changes.joined, people(&["a", "d"]));
        assert_eq!(changes.left, people(&[]));
    }
}
