//! Topics in NATS: a subject for each topic, and for one that keeps messages a stream of JetStream,
//! which numbers them and sends them on to that subject.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::time::Instant;

use super::names::Names;
use super::neighbours::Neighbours;
use crate::hub::broker::{Answer, Ask, Broker, Kept};
use crate::hub::desk::{Desk, Request};
use crate::hub::direct::{Address, Direct};
use crate::hub::engine::{
    self, Engine, Found, Heard, Message, PORTION, PORTION_BYTES, People, Source, Tidings, Wanted,
};
use crate::hub::node::Node;
use crate::hub::position::Position;
use crate::hub::presence::Report;
use crate::hub::publication::Draft;
use crate::hub::replica::Portion;
use crate::hub::table::Hub;
use crate::hub::wire;
use crate::hub::wire::nodes::{self, Here, ToAll};
use crate::link::{Failed, Health};
use crate::nats::{Keeping, Server, Stored, Stream};

/// The channel of what is for this node, in the news.
pub const OWN: &[u8] = b"n";
/// What the channels of topics begin with there.
pub const TOPIC: &[u8] = b"t";
/// Attempts to have a topic's stream, which another node may make or remove just then.
const TRIES: usize = 5;
/// Topics of which it is remembered that their streams keep what they should.
const REMEMBERED: usize = 10_000;
/// Bytes of what is told in one message, but for the last of it.
const TOLD_BYTES: usize = 256 * 1024;
/// For how long those who live may answer who is in a topic.
const ANSWERS: Duration = Duration::from_secs(2);
/// For how long a node that has just begun to listen waits for those of whom it has not heard yet.
const STRANGERS: Duration = Duration::from_millis(500);
/// Messages that are read at once, where they are small.
const AT_ONCE: usize = 32;

/// Why topics keep no messages.
const NO_STREAMS: &str = "this NATS has no JetStream, which is what keeps messages: start \
    nats-server with -js, or take history off the topic";

/// The broker.
pub struct NatsBroker {
    /// Its names.
    pub names: Names,
    /// The server.
    pub server: Server,
    desk: Desk,
    neighbours: Neighbours,
    /// Topics whose streams keep what they should, in this life.
    settled: Mutex<HashMap<String, Kept>>,
    /// Who waits for answers to who is in a topic.
    asking: Mutex<HashMap<u64, UnboundedSender<Here>>>,
    ticket: AtomicU64,
    /// Since when this node listens.
    listens: Mutex<Instant>,
}

impl NatsBroker {
    /// One whose driver has not begun yet.
    pub fn new(names: Names, desk: Desk, server: Server) -> Self {
        Self {
            names,
            desk,
            server,
            neighbours: Neighbours::default(),
            settled: Mutex::default(),
            asking: Mutex::default(),
            ticket: AtomicU64::new(0),
            listens: Mutex::new(Instant::now()),
        }
    }

    /// Whether this node does what one does for all.
    pub fn is_first(&self) -> bool {
        let others = self.neighbours.living();
        self.server.has_streams() && others.iter().all(|node| *node > self.desk.node)
    }

    /// Somebody asks whether this node uses a topic.
    pub fn uses(self: &Arc<Self>, reply: &str) {
        self.say(vec![(reply.to_owned(), Vec::new())]);
    }

    /// A life of the connection begins: the others are told, and tell what they have.
    pub async fn begins(&self) -> Result<(), Failed> {
        lock(&self.settled).clear();
        self.neighbours.trust_again();
        *lock(&self.listens) = Instant::now();
        let hello = nodes::lives(self.desk.node, true, []);
        self.server.publish(self.names.all(), hello).await
    }

    /// Takes an answer to who is in a topic: whether it was one.
    pub fn told_here(&self, bytes: &[u8]) -> bool {
        if !nodes::is_here(bytes) {
            return false;
        }
        let Some(here) = nodes::read_here(bytes) else {
            return false;
        };
        if let Some(asking) = lock(&self.asking).get(&here.ticket) {
            // Whoever has asked may be gone.
            let _ = asking.send(here);
        }
        true
    }

    /// The server says that a node does not listen: the question has its number in the subject.
    pub fn unheard(&self, subject: &str) {
        let ticket = subject
            .rsplit('.')
            .next()
            .and_then(|text| text.parse().ok());
        if let Some(ticket) = ticket {
            self.desk.answered(ticket, false);
        }
    }

    /// Takes what is for all nodes.
    pub fn told_all(self: &Arc<Self>, hub: &Arc<Hub>, bytes: &[u8]) {
        match nodes::read(bytes) {
            Some(ToAll::Lives(node, ..) | ToAll::Who(node, ..)) if node == self.desk.node => {}
            Some(ToAll::Lives(node, wants_all, counts)) => {
                let is_new = self.neighbours.hear(node, counts);
                if is_new {
                    self.desk.request(Request::Newcomer);
                } else if wants_all {
                    self.desk.request(Request::Forgotten);
                }
                if wants_all {
                    // It hears at once that this node is there.
                    let lives = nodes::lives(self.desk.node, false, []);
                    self.say(vec![(self.names.all(), lives)]);
                }
            }
            Some(ToAll::Who(node, ticket, topic)) => {
                let to = self.names.own(node);
                let parts = self.here(ticket, hub.reports_of(&topic));
                self.say(parts.map(|part| (to.clone(), part)).collect());
            }
            None => hub.foreign(),
        }
    }

    /// The answer to who is in a topic, in parts.
    fn here(
        &self,
        ticket: u64,
        mut people: Vec<(Arc<str>, Report)>,
    ) -> impl Iterator<Item = Vec<u8>> + use<> {
        let node = self.desk.node;
        let mut is_over = false;
        std::iter::from_fn(move || {
            if is_over {
                return None;
            }
            let mut bytes = 0;
            let worth = |(key, report): &(Arc<str>, Report)| {
                key.len() + report.info.as_ref().map_or(0, |info| info.len())
            };
            let fits = people.iter().take_while(|one| {
                let has_room = bytes < TOLD_BYTES;
                bytes += worth(one);
                has_room
            });
            let fits = fits.count();
            let rest = people.split_off(fits);
            let part = std::mem::replace(&mut people, rest);
            is_over = people.is_empty();
            Some(nodes::here(&Here {
                node,
                ticket,
                is_last: is_over,
                people: part,
            }))
        })
    }

    /// Says something to other nodes, one after the other. Whoever waits for it asks again.
    fn say(self: &Arc<Self>, all: Vec<(String, Vec<u8>)>) {
        let broker = Arc::clone(self);
        tokio::task::spawn_local(async move {
            for (subject, message) in all {
                if broker.server.publish(subject, message).await.is_err() {
                    return;
                }
            }
        });
    }

    fn refused(&self, why: String) -> Failed {
        Failed::Refused(self.server.health().role(), why)
    }

    fn keeping(&self, topic: &str, kept: Kept) -> Keeping {
        Keeping {
            subject: self.names.kept(topic),
            live: self.names.topic(topic),
            about: format!("topic {topic:?}"),
            messages: kept.messages.max(1),
            age: kept.age.max(Duration::from_secs(1)),
        }
    }

    /// A topic's stream, which keeps what it should, and its life. It is made if there is none.
    async fn open(&self, topic: &str, kept: Kept) -> Result<(Stream, u64), Failed> {
        let keeping = self.keeping(topic, kept);
        for _ in 0..TRIES {
            let names = self.server.streams_of(&keeping.subject).await?;
            let ours = names.iter().find_map(|name| {
                let epoch = self.names.epoch(topic, name)?;
                Some((name, epoch))
            });
            let (stream, epoch) = match (ours, names.first()) {
                (Some((name, epoch)), _) => {
                    let stream = self.server.stream(name, &keeping).await?;
                    let stream = match stream {
                        Some(stream) if !stream.is_right => {
                            self.server.update(name, &keeping).await?
                        }
                        stream => stream,
                    };
                    (stream, epoch)
                }
                (None, Some(name)) => {
                    return Err(self.refused(format!(
                        "the stream {name} keeps {}.h: nobody else may, or take another prefix",
                        self.names.prefix
                    )));
                }
                (None, None) => {
                    let epoch = Position::new_epoch();
                    let name = self.names.stream(topic, epoch);
                    (self.server.create(&name, &keeping).await?, epoch)
                }
            };
            // Otherwise another node has made or removed it just now.
            if let Some(stream) = stream {
                let mut settled = lock(&self.settled);
                if settled.len() >= REMEMBERED {
                    settled.clear();
                }
                settled.insert(topic.to_owned(), kept);
                return Ok((stream, epoch));
            }
        }
        Err(self.refused("a topic's stream comes and goes".to_owned()))
    }

    /// Keeps a message, and gives its place.
    async fn place(&self, topic: &str, kept: Kept, body: Vec<u8>) -> Result<Position, Failed> {
        for _ in 0..TRIES {
            let is_settled = lock(&self.settled).get(topic) == Some(&kept);
            if !is_settled {
                self.open(topic, kept).await?;
            }
            let subject = self.names.kept(topic);
            match self.server.store(subject, body.clone()).await? {
                Stored::At(stream, number) => {
                    let epoch = self.names.epoch(topic, &stream);
                    let epoch = epoch.ok_or_else(|| {
                        self.refused(format!("the stream {stream} has taken a message of ours"))
                    })?;
                    return Ok(Position { epoch, number });
                }
                Stored::Nowhere => {
                    lock(&self.settled).remove(topic);
                }
            }
        }
        Err(self.refused("a topic's stream comes and goes".to_owned()))
    }

    /// Messages of a stream behind a number: those that are there, and the number of the last that
    /// was looked for.
    async fn messages(
        &self,
        stream: &Stream,
        from: u64,
    ) -> Result<(Vec<(u64, Vec<u8>)>, u64), Failed> {
        let (mut messages, mut bytes, mut count) = (Vec::new(), 0, 1);
        let mut at = from.max(stream.first.saturating_sub(1));
        while at < stream.last && messages.len() < PORTION && bytes < PORTION_BYTES {
            let until = stream.last.min(at + count);
            let some = (at + 1..=until).map(|number| self.server.message(&stream.name, number));
            let some = futures_util::future::join_all(some).await;
            for (number, message) in (at + 1..).zip(some) {
                if let Some(message) = message? {
                    bytes += message.len();
                    messages.push((number, message));
                }
            }
            at = until;
            // Small ones many at a time.
            let is_small = bytes < 4096 * messages.len().max(1);
            count = if is_small { AT_ONCE as u64 } else { 1 };
        }
        Ok((messages, at))
    }
}

impl fmt::Debug for NatsBroker {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_tuple("NatsBroker")
            .field(&self.desk.node)
            .finish()
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Broker for NatsBroker {
    fn health(&self) -> &Arc<Health> {
        self.server.health()
    }

    fn patience(&self) -> Duration {
        self.desk.patience
    }

    fn keeps_nothing(&self) -> Option<&'static str> {
        (!self.server.has_streams()).then_some(NO_STREAMS)
    }

    fn life(&self) -> u64 {
        self.desk.life()
    }

    fn ask(&self, ask: Ask) {
        self.desk.request(Request::Of(ask));
    }

    fn changed(&self, topic: &Arc<str>) {
        self.desk.changed(topic);
    }

    fn people_changed(&self) {
        self.desk.people.notify_one();
    }

    fn direct(self: Arc<Self>, address: &Address, direct: Direct) -> Answer<bool> {
        let address = *address;
        Box::pin(async move {
            let question = self.desk.question();
            let node = self.desk.node;
            let bytes = wire::direct::asked(&address, direct, node, question.ticket);
            let unheard = self.names.unheard(node, &question.ticket.to_string());
            let to = self.names.own(address.node);
            self.server.publish_asking(to, unheard, bytes).await?;
            let answer = question.answer().await;
            answer.ok_or(Failed::Lost(self.server.health().role()))
        })
    }

    fn publish(self: Arc<Self>, topic: &str, kept: Option<Kept>, draft: &Draft) -> Answer<()> {
        let (topic, body) = (topic.to_owned(), wire::body(draft, self.desk.node.0));
        Box::pin(async move {
            let Some(kept) = kept else {
                let subject = self.names.topic(&topic);
                return self.server.publish(subject, wire::plain(&body)).await;
            };
            let place = self.place(&topic, kept, body).await?;
            self.desk.sees(topic, place).await;
            Ok(())
        })
    }

    fn subscribers(self: Arc<Self>, topic: &str) -> Answer<u64> {
        let topic = topic.to_owned();
        Box::pin(async move {
            self.server.is_there().await?;
            Ok(self.neighbours.subscribers(&topic))
        })
    }

    fn lost(&self) -> u64 {
        self.server.lost()
    }
}

impl Engine for NatsBroker {
    fn desk(&self) -> &Desk {
        &self.desk
    }

    fn source<'c>(&self, channel: &'c [u8]) -> Option<Source<'c>> {
        if channel == OWN {
            return Some(Source::Own);
        }
        let topic = std::str::from_utf8(channel.strip_prefix(TOPIC)?).ok()?;
        Some(Source::Topic(topic))
    }

    async fn read(self: Arc<Self>, wanted: Wanted) -> Result<Found<Portion<Message>>, Failed> {
        let Wanted {
            topic,
            known,
            from,
            kept,
        } = wanted;
        let (mut stream, mut epoch) = self.open(&topic, kept).await?;
        if known.is_some_and(|known| known.epoch == epoch && known.number > stream.last) {
            // It has lost messages that were there: another life begins.
            self.server.remove(&stream.name).await?;
            lock(&self.settled).remove(&*topic);
            (stream, epoch) = self.open(&topic, kept).await?;
        }
        let last = Position {
            epoch,
            number: stream.last,
        };
        let (messages, at) = self.messages(&stream, from).await?;
        let (mut placed, mut is_foreign) = (Vec::new(), false);
        for (number, body) in messages {
            let place = Position { epoch, number };
            match engine::placed(&topic, self.desk.node.0, place, &body) {
                Some(message) => placed.push(message),
                None => is_foreign = true,
            }
        }
        let portion = Portion {
            last,
            messages: placed,
            until: at,
            is_end: at >= stream.last,
        };
        Ok(Some((portion, is_foreign)))
    }

    async fn people(self: Arc<Self>, topic: Arc<str>) -> Result<Found<People>, Failed> {
        let ticket = self.ticket.fetch_add(1, Ordering::Relaxed);
        let (sender, mut answers) = unbounded_channel();
        lock(&self.asking).insert(ticket, sender);
        let asking = Asking(&self.asking, ticket);
        let who = nodes::who(self.desk.node, ticket, &topic);
        let begun = Instant::now();
        self.server.publish(self.names.all(), who).await?;
        let strangers = *lock(&self.listens) + STRANGERS;
        let (mut people, mut heard) = (People::new(), HashSet::new());
        loop {
            let mut living = self.neighbours.living();
            living.retain(|node| !heard.contains(node));
            let until = match living.is_empty() {
                true => strangers,
                false => begun + ANSWERS,
            };
            if living.is_empty() && Instant::now() >= until {
                break;
            }
            match tokio::time::timeout_at(until, answers.recv()).await {
                Ok(Some(Here {
                    node,
                    is_last,
                    people: some,
                    ..
                })) => {
                    people.extend(some.into_iter().map(|(key, report)| (node, key, report)));
                    if is_last {
                        heard.insert(node);
                    }
                }
                Err(_) if living.is_empty() => break,
                // Somebody who lives does not answer: it is asked again.
                Ok(None) | Err(_) => return Err(Failed::Lost(self.server.health().role())),
            }
        }
        drop(asking);
        Ok(Some((people, false)))
    }

    fn report(
        self: Arc<Self>,
        topic: &str,
        key: &str,
        report: Option<Report>,
    ) -> impl Future<Output = Result<(), Failed>> + 'static {
        let kept = report.as_ref().map(wire::people::kept).unwrap_or_default();
        let message = wire::people::message(self.desk.node, key, &kept);
        let subject = self.names.topic(topic);
        async move { self.server.publish(subject, message).await }
    }

    async fn answer(self: Arc<Self>, to: Node, ticket: u64, done: bool) {
        let answered = wire::direct::answered(ticket, done);
        // Whoever has asked is told after a time that there is no answer.
        let _ = self.server.publish(self.names.own(to), answered).await;
    }

    async fn tell(self: Arc<Self>, tidings: Tidings) -> Option<Heard> {
        let mut counts = tidings.counts.as_slice();
        loop {
            let mut bytes = 0;
            let fits = counts.iter().take_while(|(topic, _)| {
                let has_room = bytes < TOLD_BYTES;
                bytes += topic.len() + 16;
                has_room
            });
            let (some, rest) = counts.split_at(fits.count());
            let some = some.iter().map(|(topic, count)| (&**topic, *count as u64));
            let lives = nodes::lives(self.desk.node, false, some);
            self.server.publish(self.names.all(), lives).await.ok()?;
            counts = rest;
            if counts.is_empty() {
                break;
            }
        }
        Some(Heard {
            is_forgotten: false,
            nodes: Some(self.neighbours.living()),
        })
    }
}

/// A question that ends with whoever has asked.
struct Asking<'a>(&'a Mutex<HashMap<u64, UnboundedSender<Here>>>, u64);

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        lock(self.0).remove(&self.1);
    }
}
