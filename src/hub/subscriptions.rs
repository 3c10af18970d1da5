//! A connection's subscriptions, which end with it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use super::direct::Address;
use super::letters::Letters;
use super::presence::Info;
use super::table::{Hub, Member, Refused, Subscribed};

/// Where scripts reach topics from: the hub, and the number of their worker.
#[derive(Debug, Clone)]
pub struct Seat {
    /// All topics.
    pub hub: Arc<Hub>,
    /// The worker.
    pub worker: usize,
}

impl Seat {
    /// The name of a connection of this worker, which no other has anywhere.
    pub fn address(&self, connection: u64) -> Address {
        Address {
            node: self.hub.node,
            worker: self.worker,
            connection,
        }
    }

    /// What a connection of this worker subscribes to: nothing yet. What is for its hooks goes to
    /// the letters of its handler.
    pub fn subscriptions(&self, connection: u64, letters: &Rc<Letters>) -> Subscriptions {
        Subscriptions::new(self, connection, Rc::clone(letters))
    }
}

/// How a connection wants to subscribe.
#[derive(Debug, Default)]
pub struct Wish<'a> {
    /// The handler's file.
    pub file: &'a str,
    /// The position up to which it has the messages.
    pub since: Option<&'a str>,
    /// Who it is, and what is said of it, if it wants to be seen,
    pub who: Option<(&'a str, Info)>,
    /// and since when, in seconds since 1970.
    pub now: f64,
}

/// What a connection subscribes to.
pub struct Subscriptions {
    hub: Arc<Hub>,
    member: Member,
    topics: BTreeSet<Arc<str>>,
    letters: Rc<Letters>,
    /// In which of them it is present, and by which key.
    present: BTreeMap<Arc<str>, Arc<str>>,
}

impl Subscriptions {
    /// None yet, of a connection of this worker.
    fn new(seat: &Seat, connection: u64, letters: Rc<Letters>) -> Self {
        Self {
            hub: Arc::clone(&seat.hub),
            member: Member {
                worker: seat.worker,
                connection,
            },
            topics: BTreeSet::new(),
            letters,
            present: BTreeMap::new(),
        }
    }

    /// Subscribes to one more. One that there is stays as it is, and nothing is sent again; but it
    /// may be present by another key, or with something else said of it.
    pub fn subscribe(&mut self, topic: &str, wish: Wish<'_>) -> Result<Subscribed, Refused> {
        if let Some((key, info)) = &wish.who {
            self.hub.check_presence(key, info)?;
        }
        let is_new = !self.topics.contains(topic);
        let subscribed = self.subscribe_only(topic, wish.file, wish.since)?;
        if let Some(who) = wish.who
            && let Err(refused) = self.join(&subscribed.topic, who, wish.file, wish.now)
        {
            if is_new {
                self.unsubscribe(topic);
            }
            return Err(refused);
        }
        Ok(subscribed)
    }

    fn join(
        &mut self,
        topic: &Arc<str>,
        (key, info): (&str, Info),
        file: &str,
        now: f64,
    ) -> Result<(), Refused> {
        if self.present.get(topic).is_some_and(|known| &**known == key) {
            if info.is_some() {
                self.hub.update_presence(topic, key, info, now);
            }
            return Ok(());
        }
        let key = self.hub.join(topic, file, key, info, now)?;
        if let Some(before) = self.present.insert(Arc::clone(topic), key) {
            self.hub.leave(topic, &before, true);
        }
        Ok(())
    }

    fn subscribe_only(
        &mut self,
        topic: &str,
        file: &str,
        since: Option<&str>,
    ) -> Result<Subscribed, Refused> {
        if let Some(known) = self.topics.get(topic) {
            return Ok(Subscribed {
                topic: Arc::clone(known),
                position: self.hub.position(topic, file)?,
                recovered: false,
                missed: 0,
            });
        }
        self.hub.check(topic)?;
        let most = self.hub.limits().subscriptions;
        if self.topics.len() >= most {
            return Err(Refused::Subscriptions(most));
        }
        let subscribed = self.hub.subscribe(topic, file, self.member, since)?;
        self.topics.insert(Arc::clone(&subscribed.topic));
        self.letters.admit(self.member.connection);
        Ok(subscribed)
    }

    /// Ends one; whether there was one.
    pub fn unsubscribe(&mut self, topic: &str) -> bool {
        let taken = self.topics.take(topic);
        if let Some(topic) = &taken {
            self.hub.unsubscribe(topic, self.member);
            self.letters.forget(self.member.connection, topic);
            if let Some(key) = self.present.remove(topic) {
                self.hub.leave(topic, &key, true);
            }
        }
        taken.is_some()
    }

    /// Its connection has ended: properly, if it is not expected back.
    pub fn end(mut self, properly: bool) {
        self.leave_all(properly);
    }

    fn leave_all(&mut self, properly: bool) {
        for (topic, key) in std::mem::take(&mut self.present) {
            self.hub.leave(&topic, &key, properly);
        }
    }

    /// The topics, each with the key by which the connection is present in it.
    pub fn list(&self) -> Vec<(Arc<str>, Option<Arc<str>>)> {
        let key = |topic: &Arc<str>| self.present.get(topic).cloned();
        let topics = self.topics.iter();
        topics
            .map(|topic| (Arc::clone(topic), key(topic)))
            .collect()
    }

    /// Whether there is one.
    pub fn contains(&self, topic: &str) -> bool {
        self.topics.contains(topic)
    }
}

impl Drop for Subscriptions {
    fn drop(&mut self) {
        self.leave_all(false);
        for topic in &self.topics {
            self.hub.unsubscribe(topic, self.member);
        }
        self.letters.close(self.member.connection);
    }
}

impl fmt::Debug for Subscriptions {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_set().entries(&self.topics).finish()
    }
}
