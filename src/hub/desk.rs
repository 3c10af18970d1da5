//! Where workers leave what they want of a broker, and its driver finds it.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};

use super::broker::Ask;
use super::node::Node;
use super::position::Position;

/// What the driver is asked.
#[derive(Debug)]
pub enum Request {
    /// Something about a topic.
    Of(Ask),
    /// To say when a topic's replica has come so far, if there is one.
    Seen(String, Position, oneshot::Sender<()>),
    /// To tell the other nodes of all who are here once more,
    Forgotten,
    /// and to ask as well who is there, on a node that was not known before.
    Newcomer,
}

/// The desk.
#[derive(Debug)]
pub struct Desk {
    /// This node.
    pub node: Node,
    /// How long a call may wait.
    pub patience: Duration,
    /// Somebody may have come or gone.
    pub people: Notify,
    life: AtomicU64,
    requests: Mutex<Vec<Request>>,
    requested: Notify,
    changed: Mutex<BTreeSet<Arc<str>>>,
    /// The number of the last question to another node,
    ticket: AtomicU64,
    /// and who waits for the answers.
    pending: Mutex<HashMap<u64, oneshot::Sender<bool>>>,
}

impl Desk {
    /// An empty one.
    pub fn new(node: Node, patience: Duration) -> Self {
        Self {
            node,
            patience,
            people: Notify::new(),
            life: AtomicU64::new(0),
            requests: Mutex::default(),
            requested: Notify::new(),
            changed: Mutex::default(),
            ticket: AtomicU64::new(0),
            pending: Mutex::default(),
        }
    }

    /// The connection for messages is in this life; 0 while it is away.
    pub fn lives(&self, life: u64) {
        self.life.store(life, Ordering::Release);
    }

    /// That life.
    pub fn life(&self) -> u64 {
        self.life.load(Ordering::Acquire)
    }

    /// Leaves something for the driver.
    pub fn request(&self, request: Request) {
        lock(&self.requests).push(request);
        self.requested.notify_one();
    }

    /// What was asked since.
    pub async fn requests(&self) -> Vec<Request> {
        loop {
            let requested = self.requested.notified();
            let requests = std::mem::take(&mut *lock(&self.requests));
            if !requests.is_empty() {
                return requests;
            }
            requested.await;
        }
    }

    /// A topic's replica here has come so far, or there is none: whoever publishes and then asks
    /// finds its own message.
    pub async fn sees(&self, topic: String, place: Position) {
        let (seen, is_seen) = oneshot::channel();
        self.request(Request::Seen(topic, place, seen));
        let _ = tokio::time::timeout(self.patience, is_seen).await;
    }

    /// The number of a topic's subscribers here is another one.
    pub fn changed(&self, topic: &Arc<str>) {
        let mut changed = lock(&self.changed);
        if !changed.contains(topic) {
            changed.insert(Arc::clone(topic));
        }
    }

    /// Topics whose number of subscribers has changed since.
    pub fn take_changed(&self) -> BTreeSet<Arc<str>> {
        std::mem::take(&mut *lock(&self.changed))
    }

    /// A question to another node, whose answer is waited for.
    pub fn question(&self) -> Question<'_> {
        let ticket = self.ticket.fetch_add(1, Ordering::Relaxed);
        let (answer, answered) = oneshot::channel();
        lock(&self.pending).insert(ticket, answer);
        Question {
            desk: self,
            ticket,
            answered,
        }
    }

    /// Another node has answered.
    pub fn answered(&self, ticket: u64, done: bool) {
        if let Some(waiting) = lock(&self.pending).remove(&ticket) {
            // Whoever has asked may be gone.
            let _ = waiting.send(done);
        }
    }
}

/// A question that ends with whoever has asked.
#[derive(Debug)]
pub struct Question<'d> {
    desk: &'d Desk,
    /// Its number.
    pub ticket: u64,
    answered: oneshot::Receiver<bool>,
}

impl Question<'_> {
    /// The answer, unless there is none in time.
    pub async fn answer(mut self) -> Option<bool> {
        let answered = tokio::time::timeout(self.desk.patience, &mut self.answered);
        answered.await.ok()?.ok()
    }
}

impl Drop for Question<'_> {
    fn drop(&mut self) {
        lock(&self.desk.pending).remove(&self.ticket);
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
