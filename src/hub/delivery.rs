//! A worker's deliveries: from its mailbox to its subscribers, in portions between which other
//! connections have their turn.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::letters::Newcomers;
use super::mailbox::{Mailbox, Order};
use super::presence::Changes;
use super::publication::Publication;
use super::subscriber::{Delivered, Shown, Subscriber};
use super::table::Hub;
use super::tally::Tally;
use crate::websocket::Shared;

/// Subscribers that are handed messages before others have their turn: each is a system call of
/// some 5 µs when it writes them, and an echo beside it waits for those of a portion,
const PORTION: usize = 256;
/// or the time that it may take,
const TIME: Duration = Duration::from_micros(500);
/// which is looked at after so many.
const GLANCE: usize = 32;
/// Messages of a topic that a subscriber is handed in one go, and so writes at once,
const BATCH: usize = 64;
/// and the bytes of those behind the first one: far below what may be unsent, so that nobody is
/// slow who was not given the time to write.
const BATCH_BYTES: usize = 64 * 1024;

/// The deliveries of one worker.
pub struct Delivery {
    hub: Arc<Hub>,
    mailbox: Arc<Mailbox>,
    shared: Rc<Shared>,
    newcomers: Rc<Newcomers>,
    /// By the connection's number. Trees, because a table that has to grow holds up all of its
    /// worker's connections.
    topics: HashMap<Arc<str>, BTreeMap<u64, Rc<Subscriber>>>,
    subscribers: BTreeMap<u64, Rc<Subscriber>>,
    portion: Portion,
}

/// What was done since others had their turn.
struct Portion {
    count: usize,
    began: Instant,
}

impl Portion {
    /// One subscriber more.
    async fn spend(&mut self) {
        if self.count == 0 {
            self.began = Instant::now();
        }
        self.count += 1;
        let is_time_up = self.count.is_multiple_of(GLANCE) && self.began.elapsed() >= TIME;
        if self.count >= PORTION || is_time_up {
            self.count = 0;
            tokio::task::yield_now().await;
        }
    }
}

impl Delivery {
    /// The deliveries of this worker.
    pub fn new(hub: Arc<Hub>, worker: usize, shared: Rc<Shared>, newcomers: Rc<Newcomers>) -> Self {
        let mailbox = Arc::clone(hub.mailbox(worker));
        let now = Instant::now();
        Self {
            hub,
            mailbox,
            shared,
            newcomers,
            topics: HashMap::new(),
            subscribers: BTreeMap::new(),
            portion: Portion {
                count: 0,
                began: now,
            },
        }
    }

    /// Delivers for ever: a task of the worker.
    pub async fn run(mut self) {
        loop {
            if !self.turn().await {
                let shared = Rc::clone(&self.shared);
                tokio::select! {
                    () = self.mailbox.filled() => {}
                    () = shared.relieved() => {}
                }
            }
        }
    }

    /// Obeys the next order, and sends what is held for those who may have room now; whether there
    /// was one.
    pub(super) async fn turn(&mut self) -> bool {
        let next = self.mailbox.pop();
        let has_one = next.is_some();
        if let Some((order, worth)) = next {
            let worth = self.obey(order, worth).await;
            self.mailbox.done(worth);
        }
        for connection in self.shared.take_relieved() {
            if let Some(subscriber) = self.subscribers.get(&connection) {
                subscriber.release(&self.shared, &self.hub.tally);
            }
            self.portion.spend().await;
        }
        has_one
    }

    /// Obeys an order, with those behind it that are obeyed in one go: what all of them are worth.
    async fn obey(&mut self, order: Order, mut worth: usize) -> usize {
        match order {
            Order::Subscribe(topic, connection, missed) => {
                self.subscribe(topic, connection, missed);
                self.portion.spend().await;
            }
            Order::Unsubscribe(topic, connection) => {
                self.unsubscribe(&topic, connection);
                self.portion.spend().await;
            }
            Order::Publish(topic, first) => {
                let batch;
                (batch, worth) = self.batch(&topic, first, worth);
                self.publish(&topic, &batch).await;
            }
            Order::Presence(topic, changes) => self.tell(&topic, &changes).await,
            Order::Direct(parcel) => {
                parcel.deliver(&self.shared);
                self.portion.spend().await;
            }
            Order::Gap(topic) => self.gap(&topic).await,
        }
        worth
    }

    fn subscribe(&mut self, topic: Arc<str>, connection: u64, missed: Vec<Arc<Publication>>) {
        let letters = self.newcomers.take(connection);
        let subscriber = match self.subscribers.get(&connection) {
            Some(subscriber) => Rc::clone(subscriber),
            None => {
                // One that is over already has unsubscribed as well.
                let Some(handle) = self.shared.connections.get(connection) else {
                    return;
                };
                let subscriber = Subscriber::new(handle, letters.unwrap_or_default());
                self.subscribers.insert(connection, Rc::clone(&subscriber));
                subscriber
            }
        };
        if !missed.is_empty() {
            subscriber.catch_up(&topic, missed, &self.shared, &self.hub.tally);
        }
        self.topics
            .entry(topic)
            .or_default()
            .insert(connection, subscriber);
    }

    fn unsubscribe(&mut self, topic: &Arc<str>, connection: u64) {
        let Some(all) = self.topics.get_mut(topic) else {
            return;
        };
        let Some(subscriber) = all.remove(&connection) else {
            return;
        };
        if all.is_empty() {
            self.topics.remove(topic);
        }
        subscriber.forget(topic);
        // This one, and that of all subscribers: no topic has one.
        if Rc::strong_count(&subscriber) == 2 {
            self.subscribers.remove(&connection);
        }
    }

    /// A message with those of the same topic that come right behind it, and what all of them are
    /// worth.
    fn batch(
        &self,
        topic: &str,
        first: Arc<Publication>,
        mut worth: usize,
    ) -> (Vec<Arc<Publication>>, usize) {
        let mut batch = vec![first];
        let mut room = BATCH_BYTES.min(self.shared.limits.send_queue / 4);
        while batch.len() < BATCH
            && let Some((next, its_worth)) = self.mailbox.pop_same(topic, room)
        {
            room -= next.payload().len();
            worth += its_worth;
            batch.push(next);
        }
        (batch, worth)
    }

    async fn publish(&mut self, topic: &Arc<str>, batch: &[Arc<Publication>]) {
        let Some(all) = self.topics.get(topic) else {
            return;
        };
        let (tally, shared) = (&self.hub.tally, &self.shared);
        let mut batch: Vec<_> = batch.iter().map(Shown::new).collect();
        let (mut delivered, mut dropped) = (0, 0);
        for (connection, subscriber) in all {
            for shown in &mut batch {
                let publication = shown.publication;
                if publication.except == Some(*connection) {
                    continue;
                }
                if let Some(terms) = subscriber.compresses(publication) {
                    shown.prepare(&terms, &shared.pool).await;
                }
                match subscriber.deliver(topic, shown, shared, tally) {
                    Delivered::Sent => delivered += 1,
                    Delivered::Held(instead_of) => dropped += instead_of,
                    Delivered::Dropped => dropped += 1,
                    Delivered::Closed => self.hub.closed_slow(topic, *connection),
                    Delivered::Gone => {}
                }
            }
            self.portion.spend().await;
        }
        Tally::count(&tally.delivered, delivered);
        Tally::count(&tally.dropped, dropped);
    }

    /// Tells those with a hook for it who came and went.
    async fn tell(&mut self, topic: &Arc<str>, changes: &Arc<Changes>) {
        let Some(all) = self.topics.get(topic) else {
            return;
        };
        for subscriber in all.values() {
            subscriber.tell(topic, changes);
            self.portion.spend().await;
        }
    }

    /// Tells all subscribers of a topic that they may have missed messages.
    async fn gap(&mut self, topic: &Arc<str>) {
        let Some(all) = self.topics.get(topic) else {
            return;
        };
        Tally::count(&self.hub.tally.gaps, all.len() as u64);
        for subscriber in all.values() {
            subscriber.miss(topic);
            self.portion.spend().await;
        }
    }

    /// How many connections subscribe here, and for how many of them something is held.
    #[cfg(test)]
    pub(super) fn sizes(&self) -> (usize, usize, usize) {
        (
            self.topics.len(),
            self.subscribers.len(),
            self.subscribers
                .values()
                .filter(|subscriber| subscriber.holds())
                .count(),
        )
    }
}
