//! The topics of the process: who subscribes on which worker, and what was published, in one order
//! for all.

use std::collections::HashMap;
use std::collections::hash_map::{Entry, RandomState};
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::Limits;
use super::account::Account;
use super::broker::{Ask, Broker};
use super::direct::{Address, Direct, Parcel};
use super::history::History;
use super::mailbox::{Mailbox, Order};
use super::membership::Membership;
use super::node::Node;
use super::position::Position;
use super::presence::{Arrival, Changes, Info, Presence, Present};
use super::publication::{Draft, Publication};
use super::record::{Record, Recorded};
use super::settings::{Declared, Settings};
use super::tally::Tally;
use crate::observe::Flood;
use crate::observe::event::Event;

mod replicas;

pub use replicas::Purpose;

/// Parts of the table with a lock each: more than there are workers, as a rule.
const SHARDS: usize = 64;
/// Shards that are looked through in a second: each of them every eight.
const LOOKED_THROUGH: usize = SHARDS / 8;

/// All topics.
#[derive(Debug)]
pub struct Hub {
    limits: Limits,
    hasher: RandomState,
    shards: [Mutex<Shard>; SHARDS],
    declared: RwLock<Declared>,
    accounts: Mutex<HashMap<String, Arc<Account>>>,
    mailboxes: Vec<Arc<Mailbox>>,
    /// Who is where.
    presence: Presence,
    /// This process.
    pub node: Node,
    /// What topics go through, if not through this process alone.
    broker: Option<Arc<dyn Broker>>,
    /// The shard that is looked through next.
    next: AtomicUsize,
    /// Of subscribers that were closed.
    closed: Mutex<Flood<&'static str>>,
    /// All that was published, where it is kept.
    record: Option<Record>,
    /// What was counted.
    pub tally: Tally,
}

/// The name in the log of what closes slow subscribers.
const REFUSAL: &str = "slow-subscriber";

type Shard = HashMap<Arc<str>, Topic>;

#[derive(Debug)]
struct Topic {
    /// The handler that was the first to use it.
    account: Arc<Account>,
    /// How many subscribe, by worker.
    subscribers: Vec<u32>,
    /// Of a topic that keeps some.
    history: Option<Box<History>>,
    /// The last number, of one that does not.
    last: u64,
    /// How it is with the broker, where there is one.
    membership: Option<Box<Membership>>,
}

impl Topic {
    fn count(&self) -> usize {
        self.subscribers.iter().map(|count| *count as usize).sum()
    }
}

impl Drop for Topic {
    fn drop(&mut self) {
        self.account.close_topic();
    }
}

/// A connection, as topics know it.
#[derive(Debug, Clone, Copy)]
pub struct Member {
    /// The worker's number.
    pub worker: usize,
    /// The connection's.
    pub connection: u64,
}

/// A subscription that is in force.
#[derive(Debug)]
pub struct Subscribed {
    /// The topic's name.
    pub topic: Arc<str>,
    /// The place behind its last message; none in a plain topic.
    pub position: Option<Position>,
    /// Whether nothing was missed since the position that was asked for.
    pub recovered: bool,
    /// How many messages were missed, and are sent now.
    pub missed: usize,
}

/// What a topic has kept.
#[derive(Debug)]
pub struct Past {
    /// The place behind its last message; none in a plain topic.
    pub position: Option<Position>,
    /// Whether it is all that was asked for.
    pub recovered: bool,
    /// The messages, with the places behind them.
    pub messages: Vec<(Position, Arc<Publication>)>,
}

/// Why a topic cannot be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// No name.
    #[error("a topic has a name of 1 to {0} bytes, without control characters")]
    Name(usize),
    /// One topic too many.
    #[error(
        "the topics of this handler are {0} already, which is the most (--max-topics): a topic is \
        free again when nobody subscribes to it \
         and its history is over"
    )]
    Topics(usize),
    /// It is to keep messages, and nothing can keep them.
    #[error("{0}")]
    History(&'static str),
    /// One subscription too many.
    #[error(
        "this connection subscribes to {0} topics already, which is the most (--max-subscriptions)"
    )]
    Subscriptions(usize),
    /// No key.
    #[error("a key has 1 to {0} bytes")]
    Key(usize),
    /// Too much said of a key.
    #[error("info has at most {0} bytes as JSON (--max-presence-info)")]
    Info(usize),
    /// One key too many.
    #[error("{0} keys of this handler are in presence already, which is the most (--max-presence)")]
    Presence(usize),
}

impl Hub {
    /// A hub for so many workers.
    pub fn new(workers: usize, limits: Limits) -> Self {
        let mailbox = |_| Arc::new(Mailbox::new(limits.mailbox));
        Self {
            limits,
            hasher: RandomState::new(),
            shards: std::array::from_fn(|_| Mutex::default()),
            declared: RwLock::default(),
            accounts: Mutex::default(),
            mailboxes: (0..workers).map(mailbox).collect(),
            presence: Presence::default(),
            node: Node::new(),
            broker: None,
            next: AtomicUsize::new(0),
            closed: Mutex::new(Flood::lines(1)),
            record: None,
            tally: Tally::default(),
        }
    }

    /// The same, whose topics go through a broker.
    #[must_use]
    pub fn through(mut self, broker: Arc<dyn Broker>) -> Self {
        self.presence.reports();
        self.broker = Some(broker);
        self
    }

    /// The same, which keeps all that is published: for tests.
    #[must_use]
    pub fn recording(mut self) -> Self {
        self.record = Some(Record::default());
        self
    }

    /// What a hub that keeps it was given to publish in a topic.
    pub fn published(&self, topic: &str) -> Vec<Recorded> {
        let of = |record: &Record| record.of(topic);
        self.record.as_ref().map(of).unwrap_or_default()
    }

    /// What topics go through, if not through this process alone.
    pub fn broker(&self) -> Option<&Arc<dyn Broker>> {
        self.broker.as_ref()
    }

    /// The bounds.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The mailboxes of all workers.
    pub(super) fn mailboxes(&self) -> &[Arc<Mailbox>] {
        &self.mailboxes
    }

    /// A worker's mailbox.
    pub fn mailbox(&self, worker: usize) -> &Arc<Mailbox> {
        &self.mailboxes[worker]
    }

    /// A handler's file, in this version, says how a topic is, or all below a prefix; the file that
    /// says otherwise.
    pub fn declare(
        &self,
        name: &str,
        file: &str,
        version: u64,
        settings: Settings,
    ) -> Option<String> {
        let mut declared = self
            .declared
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        declared
            .set(name, file, version, settings)
            .map(str::to_owned)
    }

    /// What other versions of a file have said holds no more; without a version, the file is gone.
    pub fn retire(&self, file: &str, version: Option<u64>) {
        let mut declared = self
            .declared
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        declared.retire(file, version);
    }

    /// How a topic is.
    pub fn settings(&self, topic: &str) -> Settings {
        let declared = self.declared.read().unwrap_or_else(PoisonError::into_inner);
        declared.of(topic)
    }

    /// Subscribes a connection, which does not yet. Messages behind `since` come first, if none of
    /// them is lost.
    pub fn subscribe(
        &self,
        topic: &str,
        file: &str,
        member: Member,
        since: Option<&str>,
    ) -> Result<Subscribed, Refused> {
        let settings = self.settings(topic);
        let mut shard = self.shard(topic);
        let (name, known) = self.open(&mut shard, topic, file, settings)?;
        let missed = since.map(|since| {
            let position = Position::parse(since)?;
            known.history.as_ref()?.since(position)
        });
        match &missed {
            None => {}
            Some(Some(_)) => Tally::count(&self.tally.recovered, 1),
            Some(None) => Tally::count(&self.tally.lost, 1),
        }
        let recovered = matches!(missed, Some(Some(_)));
        let missed = missed.flatten().unwrap_or_default();
        known.subscribers[member.worker] += 1;
        self.changed(&name);
        let subscribed = Subscribed {
            topic: Arc::clone(&name),
            position: known.history.as_ref().map(|history| history.position()),
            recovered,
            missed: missed.len(),
        };
        // Under the lock, as every order about a topic: that is what makes them one order.
        let order = Order::Subscribe(name, member.connection, missed);
        self.mailboxes[member.worker].push(order);
        Ok(subscribed)
    }

    /// Ends a subscription.
    pub fn unsubscribe(&self, topic: &Arc<str>, member: Member) {
        let now = Instant::now();
        let mut shard = self.shard(topic);
        let Some(known) = shard.get_mut(topic) else {
            return;
        };
        known.subscribers[member.worker] -= 1;
        self.changed(topic);
        if known.count() == 0 {
            if let Some(membership) = &mut known.membership {
                membership.touch(now);
            }
            match &mut known.history {
                // The broker is told a while later: clients come back.
                None if known.membership.is_some() => {}
                Some(history) => history.touch(self.settings(topic), now),
                None => drop(shard.remove(topic)),
            }
        }
        let order = Order::Unsubscribe(Arc::clone(topic), member.connection);
        self.mailboxes[member.worker].push(order);
    }

    /// The mailbox that is full, of those that a message of this topic goes to.
    pub fn full(&self, topic: &str) -> Option<Arc<Mailbox>> {
        if !self.mailboxes.iter().any(|mailbox| mailbox.is_full()) {
            return None;
        }
        let shard = self.shard(topic);
        let known = shard.get(topic)?;
        let mut reached = known.subscribers.iter().zip(&self.mailboxes);
        let full = reached.find(|(count, mailbox)| **count > 0 && mailbox.is_full());
        full.map(|(_, mailbox)| Arc::clone(mailbox))
    }

    /// Publishes a message: how many subscribers there are, of whom the one that it excepts may be
    /// one.
    pub fn publish(
        &self,
        topic: &str,
        file: &str,
        settings: Settings,
        draft: Draft,
    ) -> Result<usize, Refused> {
        Tally::count(&self.tally.published, 1);
        if let Some(record) = &self.record {
            record.take(topic, &draft);
        }
        let mut shard = self.shard(topic);
        if settings.history == 0 && !shard.contains_key(topic) {
            return self.check(topic).map(|()| 0);
        }
        let (name, known) = self.open(&mut shard, topic, file, settings)?;
        let publication = match &mut known.history {
            Some(history) => {
                let number = history.next();
                let publication = draft.at(number, Some(history.at(number)), settings.slow);
                let publication = Arc::new(publication);
                history.push(
                    &publication,
                    &known.account,
                    self.limits.bytes,
                    Instant::now(),
                );
                publication
            }
            None => {
                known.last += 1;
                Arc::new(draft.at(known.last, None, settings.slow))
            }
        };
        for (count, mailbox) in known.subscribers.iter().zip(&self.mailboxes) {
            if *count > 0 {
                mailbox.push(Order::Publish(Arc::clone(&name), Arc::clone(&publication)));
            }
        }
        Ok(known.count())
    }

    /// What a topic has kept: all of it, or what came behind a position.
    pub fn history(&self, topic: &str, file: &str, since: Option<&str>) -> Result<Past, Refused> {
        let settings = self.settings(topic);
        self.check(topic)?;
        if settings.history == 0 {
            return Ok(Past {
                position: None,
                recovered: false,
                messages: Vec::new(),
            });
        }
        let mut shard = self.shard(topic);
        let (_, known) = self.open(&mut shard, topic, file, settings)?;
        let history = known.history.as_ref();
        let found = match since {
            None => history.map(|history| history.all()),
            Some(since) => {
                Position::parse(since).and_then(|position| history.as_ref()?.since(position))
            }
        };
        let recovered = found.is_some();
        let with_position = |publication: Arc<Publication>| {
            let position = history.as_ref()?.at(publication.number);
            Some((position, publication))
        };
        Ok(Past {
            position: history.map(|history| history.position()),
            recovered,
            messages: found
                .into_iter()
                .flatten()
                .filter_map(with_position)
                .collect(),
        })
    }

    /// The place behind a topic's last message; none in a plain topic.
    pub fn position(&self, topic: &str, file: &str) -> Result<Option<Position>, Refused> {
        let settings = self.settings(topic);
        self.check(topic)?;
        if settings.history == 0 {
            return Ok(None);
        }
        let mut shard = self.shard(topic);
        let (_, known) = self.open(&mut shard, topic, file, settings)?;
        Ok(known.history.as_ref().map(|history| history.position()))
    }

    /// How many subscribe to a topic.
    pub fn subscribers(&self, topic: &str) -> usize {
        self.shard(topic).get(topic).map_or(0, Topic::count)
    }

    /// The names of topics with subscribers or a history, so many at the most.
    pub fn topics(&self, most: usize) -> Vec<Arc<str>> {
        let mut names = Vec::new();
        for shard in &self.shards {
            let shard = lock(shard);
            names.extend(shard.keys().take(most - names.len()).cloned());
        }
        names.sort_unstable();
        names
    }

    /// Whether somebody can be present so.
    pub(super) fn check_presence(&self, key: &str, info: &Info) -> Result<(), Refused> {
        let most = self.limits.name;
        if !(1..=most).contains(&key.len()) {
            return Err(Refused::Key(most));
        }
        let most = self.limits.info;
        match info {
            Some(info) if info.len() > most => Err(Refused::Info(most)),
            _ => Ok(()),
        }
    }

    /// A connection of a handler comes to a topic; the key as it is kept.
    pub(super) fn join(
        &self,
        topic: &Arc<str>,
        file: &str,
        key: &str,
        info: Info,
        now: f64,
    ) -> Result<Arc<str>, Refused> {
        let (account, most) = (self.account(file), self.limits.presence);
        let arrival = Arrival { key, info, now };
        let joined = self
            .presence
            .join(topic, arrival, (&account, most), |changes| {
                self.tell(topic, changes);
            });
        self.people_changed();
        joined.ok_or(Refused::Presence(most))
    }

    /// Something else is said of a key.
    pub(super) fn update_presence(&self, topic: &str, key: &str, info: Info, now: f64) {
        self.presence.update(topic, key, info, now);
        self.people_changed();
    }

    /// A connection leaves a topic; `properly`, if it is not expected back.
    pub(super) fn leave(&self, topic: &Arc<str>, key: &Arc<str>, properly: bool) {
        let how = (properly, self.limits.grace);
        self.presence.leave(topic, key, how, |changes| {
            self.tell(topic, changes);
        });
        self.people_changed();
    }

    /// Who is in a topic, so many at the most.
    pub fn present(&self, topic: &str, most: usize) -> Vec<Present> {
        self.presence.entries(topic, most)
    }

    /// How many keys are in a topic.
    pub fn present_count(&self, topic: &str) -> usize {
        self.presence.count(topic)
    }

    /// Tells a topic's subscribers who came and went.
    fn tell(&self, topic: &Arc<str>, changes: Changes) {
        let shard = self.shard(topic);
        let Some(known) = shard.get(topic) else {
            return;
        };
        let changes = Arc::new(changes);
        for (count, mailbox) in known.subscribers.iter().zip(&self.mailboxes) {
            if *count > 0 {
                mailbox.push(Order::Presence(Arc::clone(topic), Arc::clone(&changes)));
            }
        }
    }

    /// The mailbox through which a connection is reached; `None` for one of another process.
    pub fn mailbox_of(&self, address: &Address) -> Option<&Arc<Mailbox>> {
        let is_here = address.node == self.node;
        self.mailboxes.get(address.worker).filter(|_| is_here)
    }

    /// Hands something to one connection; the answer comes when that is done.
    pub fn direct(&self, address: &Address, direct: Direct) -> Option<oneshot::Receiver<bool>> {
        let mailbox = self.mailbox_of(address)?;
        let (answer, answered) = oneshot::channel();
        mailbox.push(Order::Direct(Parcel {
            connection: address.connection,
            direct,
            answer,
        }));
        Some(answered)
    }

    /// A subscriber was closed because it is slow.
    pub(super) fn closed_slow(&self, topic: &str, connection: u64) {
        Tally::count(&self.tally.closed, 1);
        let mut closed = self.closed.lock().unwrap_or_else(PoisonError::into_inner);
        if closed.admits(&REFUSAL) {
            Event::SlowSubscriber {
                connection,
                topic,
                refusal: REFUSAL,
            }
            .tell();
        }
    }

    /// Once a second: what is too old is forgotten, and what was too often to be logged is counted.
    pub fn tick(&self) {
        let now = Instant::now();
        self.presence
            .tick(|topic, changes| self.tell(topic, changes));
        self.people_changed();
        self.closed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .tick(|refusal, more| Event::SlowSubscriberMore { refusal, more }.tell());
        for _ in 0..LOOKED_THROUGH {
            let next = self.next.fetch_add(1, Ordering::Relaxed) % SHARDS;
            lock(&self.shards[next]).retain(|name, topic| {
                if let (Some(broker), Some(membership)) = (&self.broker, &topic.membership) {
                    let is_idle = membership.is_idle(now, broker.patience());
                    let is_over = is_idle && topic.count() == 0;
                    if is_over {
                        broker.ask(Ask::Leave(Arc::clone(name)));
                    }
                    if let Some(history) = &mut topic.history {
                        history.expire(now);
                    }
                    return !is_over;
                }
                let is_over = topic.history.as_mut().is_none_or(|history| {
                    history.expire(now);
                    history.is_over(now)
                });
                !is_over || topic.count() > 0
            });
        }
        self.accounts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|_, account| Arc::strong_count(account) > 1 || !account.is_empty());
    }

    fn shard(&self, topic: &str) -> MutexGuard<'_, Shard> {
        let at = self.hasher.hash_one(topic) as usize % SHARDS;
        lock(&self.shards[at])
    }

    /// Whether there can be a topic of this name.
    pub fn check(&self, topic: &str) -> Result<(), Refused> {
        let fits = (1..=self.limits.name).contains(&topic.len());
        if !fits || topic.chars().any(char::is_control) {
            return Err(Refused::Name(self.limits.name));
        }
        Ok(())
    }

    /// The topic of this name, which there is from now on.
    fn open<'s>(
        &self,
        shard: &'s mut Shard,
        topic: &str,
        file: &str,
        settings: Settings,
    ) -> Result<(Arc<str>, &'s mut Topic), Refused> {
        self.check(topic)?;
        let name = match shard.get_key_value(topic) {
            Some((name, _)) => Arc::clone(name),
            None => topic.into(),
        };
        let known = match shard.entry(Arc::clone(&name)) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(vacant) => {
                let account = self.account(file);
                if !account.open_topic(self.limits.topics) {
                    return Err(Refused::Topics(self.limits.topics));
                }
                vacant.insert(Topic {
                    account,
                    subscribers: vec![0; self.mailboxes.len()],
                    history: None,
                    last: 0,
                    membership: self.broker.as_ref().map(|_| Box::new(Membership::new())),
                })
            }
        };
        let now = Instant::now();
        match (&mut known.history, settings.history) {
            (history, 0) => *history = None,
            (Some(history), _) => history.touch(settings, now),
            // The broker says where it begins.
            (None, _) if known.membership.is_some() => {}
            (history @ None, _) => *history = Some(Box::new(History::new(settings, now))),
        }
        Ok((name, known))
    }

    fn account(&self, file: &str) -> Arc<Account> {
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        match accounts.get(file) {
            Some(account) => Arc::clone(account),
            None => Arc::clone(accounts.entry(file.to_owned()).or_default()),
        }
    }
}

fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}
