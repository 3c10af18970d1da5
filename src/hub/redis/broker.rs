//! The broker as the workers hold it: they publish through it, and want topics of it.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ::redis::{Cmd, Value};
use tokio::sync::{Notify, oneshot};

use super::scripts::Scripts;
use crate::hub::broker::{Answer, Ask, Broker, Kept};
use crate::hub::direct::{Address, Direct};
use crate::hub::node::Node;
use crate::hub::position::Position;
use crate::hub::publication::Draft;
use crate::hub::wire;
use crate::link::{Failed, Health};
use crate::redis::Commands;

/// How long a topic's life and number outlive its messages: whoever comes back is told that it has
/// missed some, instead of meeting numbers that begin anew.
const MARGIN: Duration = Duration::from_hours(24);

/// What the driver is asked.
#[derive(Debug)]
pub enum Request {
    /// Something about a topic.
    Of(Ask),
    /// To say when a topic's replica has come so far, if there is one.
    Seen(String, Position, oneshot::Sender<()>),
}

/// The names of keys and channels.
#[derive(Debug, Clone)]
pub struct Names {
    prefix: String,
    database: u16,
}

impl Names {
    /// Names that begin so, in this database.
    pub fn new(prefix: &str, database: u16) -> Self {
        Self {
            prefix: prefix.to_owned(),
            database,
        }
    }

    /// A topic's channel. Channels know no databases.
    pub fn channel(&self, topic: &str) -> String {
        format!("{}:{}:t:{topic}", self.prefix, self.database)
    }

    /// The topic of a channel.
    pub fn topic<'c>(&self, channel: &'c [u8]) -> Option<&'c str> {
        let channel = std::str::from_utf8(channel).ok()?;
        let front = self.channel("");
        channel.strip_prefix(front.as_str())
    }

    /// The hash with a topic's life and last number.
    pub fn life(&self, topic: &str) -> String {
        format!("{}:m:{topic}", self.prefix)
    }

    /// The stream of its messages.
    pub fn messages(&self, topic: &str) -> String {
        format!("{}:s:{topic}", self.prefix)
    }

    /// The channel of what is for one node.
    pub fn own(&self, node: Node) -> String {
        format!("{}:{}:n:{node}", self.prefix, self.database)
    }

    /// The hash of those who are in a topic, by node and key.
    pub fn people(&self, topic: &str) -> String {
        format!("{}:p:{topic}", self.prefix)
    }

    /// The nodes that live.
    pub fn nodes(&self) -> String {
        format!("{}:nodes", self.prefix)
    }

    /// What the names of nodes' counts begin with.
    pub fn counts(&self) -> String {
        format!("{}:n:", self.prefix)
    }
}

/// The broker.
pub struct RedisBroker {
    /// Its names.
    pub names: Names,
    /// This node.
    pub node: Node,
    /// The connection for commands.
    pub commands: Commands,
    /// What is known there.
    pub scripts: Scripts,
    patience: Duration,
    life: AtomicU64,
    requests: Mutex<Vec<Request>>,
    requested: Notify,
    changed: Mutex<BTreeSet<Arc<str>>>,
    /// Somebody may have come or gone.
    pub people: Notify,
    /// The number of the last question to another node,
    ticket: AtomicU64,
    /// and who waits for the answers.
    pending: Mutex<HashMap<u64, oneshot::Sender<bool>>>,
}

impl RedisBroker {
    /// One whose driver has not begun yet.
    pub fn new(
        names: Names,
        node: Node,
        commands: Commands,
        scripts: Scripts,
        patience: Duration,
    ) -> Self {
        Self {
            names,
            node,
            commands,
            scripts,
            patience,
            life: AtomicU64::new(0),
            requests: Mutex::default(),
            requested: Notify::new(),
            changed: Mutex::default(),
            people: Notify::new(),
            ticket: AtomicU64::new(0),
            pending: Mutex::default(),
        }
    }

    /// The connection for messages is in this life; 0 while it is away.
    pub fn lives(&self, life: u64) {
        self.life.store(life, Ordering::Release);
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

    /// Topics whose number of subscribers has changed since.
    pub fn take_changed(&self) -> BTreeSet<Arc<str>> {
        std::mem::take(&mut *lock(&self.changed))
    }

    /// How long a topic's life is kept beyond its last use.
    pub fn life_time(age: Duration) -> u64 {
        (age + MARGIN).as_secs()
    }

    /// Another node has answered.
    pub fn answered(&self, ticket: u64, done: bool) {
        if let Some(waiting) = lock(&self.pending).remove(&ticket) {
            // Whoever has asked may be gone.
            let _ = waiting.send(done);
        }
    }

    fn request(&self, request: Request) {
        lock(&self.requests).push(request);
        self.requested.notify_one();
    }
}

impl fmt::Debug for RedisBroker {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_tuple("RedisBroker").field(&self.node).finish()
    }
}

/// A question that ends with whoever has asked.
struct Pending<'a>(&'a Mutex<HashMap<u64, oneshot::Sender<bool>>>, u64);

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        lock(self.0).remove(&self.1);
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An answer that is none of those that the server gives.
pub fn unexpected(commands: &Commands) -> Failed {
    Failed::Refused(
        commands.health().role(),
        "its answer is not understood: somebody else writes under the same prefix".to_owned(),
    )
}

/// A text in an answer.
pub fn text(value: &Value) -> Option<&str> {
    match value {
        Value::BulkString(bytes) => std::str::from_utf8(bytes).ok(),
        Value::SimpleString(text) => Some(text),
        _ => None,
    }
}

impl Broker for RedisBroker {
    fn health(&self) -> &Arc<Health> {
        self.commands.health()
    }

    fn patience(&self) -> Duration {
        self.patience
    }

    fn keeps_nothing(&self) -> Option<&'static str> {
        None
    }

    fn life(&self) -> u64 {
        self.life.load(Ordering::Acquire)
    }

    fn ask(&self, ask: Ask) {
        self.request(Request::Of(ask));
    }

    fn changed(&self, topic: &Arc<str>) {
        let mut changed = lock(&self.changed);
        if !changed.contains(topic) {
            changed.insert(Arc::clone(topic));
        }
    }

    fn people_changed(&self) {
        self.people.notify_one();
    }

    fn direct(self: Arc<Self>, address: &Address, direct: Direct) -> Answer<bool> {
        let ticket = self.ticket.fetch_add(1, Ordering::Relaxed);
        let bytes = wire::direct::asked(address, direct, self.node, ticket);
        let (size, channel) = (bytes.len(), self.names.own(address.node));
        Box::pin(async move {
            let (answer, answered) = oneshot::channel();
            lock(&self.pending).insert(ticket, answer);
            let _pending = Pending(&self.pending, ticket);
            let mut command = ::redis::cmd("PUBLISH");
            command.arg(channel).arg(bytes);
            match self.commands.run(command, size).await? {
                // Nobody listens: that node is gone, or cut off just now.
                Value::Int(0) => return Ok(false),
                Value::Int(_) => {}
                _ => return Err(unexpected(&self.commands)),
            }
            let answered = tokio::time::timeout(self.patience, answered).await;
            let lost = Failed::Lost(self.commands.health().role());
            answered.ok().and_then(Result::ok).ok_or(lost)
        })
    }

    fn publish(self: Arc<Self>, topic: &str, kept: Option<Kept>, draft: &Draft) -> Answer<()> {
        let (topic, body) = (topic.to_owned(), wire::body(draft, self.node.0));
        let channel = self.names.channel(&topic);
        let bytes = body.len();
        Box::pin(async move {
            let Some(kept) = kept else {
                let mut command = ::redis::cmd("PUBLISH");
                command.arg(channel).arg(wire::plain(&body));
                return self.commands.send(command, bytes).await;
            };
            let (life, messages) = (self.names.life(&topic), self.names.messages(&topic));
            let mut command: Cmd = self.scripts.publish.call(&[&life, &messages]);
            command
                .arg(channel)
                .arg(Position::new_life())
                .arg(kept.messages)
                .arg(kept.age.as_secs().max(1))
                .arg(Self::life_time(kept.age))
                .arg(wire::placed_front())
                .arg(body);
            let place = self.commands.run(command, bytes).await?;
            let place = text(&place).and_then(Position::parse);
            let place = place.ok_or_else(|| unexpected(&self.commands))?;
            // Whoever publishes and then asks finds its own message.
            let (seen, is_seen) = oneshot::channel();
            self.request(Request::Seen(topic, place, seen));
            let _ = tokio::time::timeout(self.patience, is_seen).await;
            Ok(())
        })
    }

    fn subscribers(self: Arc<Self>, topic: &str) -> Answer<u64> {
        let mut command = self.scripts.count.call(&[&self.names.nodes()]);
        command
            .arg(self.node.to_string())
            .arg(self.names.counts())
            .arg(topic);
        Box::pin(async move {
            match self.commands.run(command, 0).await? {
                Value::Int(count) => Ok(u64::try_from(count).unwrap_or(0)),
                _ => Err(unexpected(&self.commands)),
            }
        })
    }

    fn lost(&self) -> u64 {
        self.commands.lost()
    }
}
