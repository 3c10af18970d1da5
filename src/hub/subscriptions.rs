//! A connection's subscriptions, which end with it.

use std::collections::BTreeSet;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use super::letters::Letters;
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
    /// What a connection of this worker subscribes to: nothing yet. What is for its hooks goes to
    /// the letters of its handler.
    pub fn subscriptions(&self, connection: u64, letters: &Rc<Letters>) -> Subscriptions {
        Subscriptions::new(self, connection, Rc::clone(letters))
    }
}

/// What a connection subscribes to.
pub struct Subscriptions {
    hub: Arc<Hub>,
    member: Member,
    topics: BTreeSet<Arc<str>>,
    letters: Rc<Letters>,
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
        }
    }

    /// Subscribes to one more. One that there is stays as it is, and nothing is sent again.
    pub fn subscribe(
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
        }
        taken.is_some()
    }

    /// Whether there is one.
    pub fn contains(&self, topic: &str) -> bool {
        self.topics.contains(topic)
    }
}

impl Drop for Subscriptions {
    fn drop(&mut self) {
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
