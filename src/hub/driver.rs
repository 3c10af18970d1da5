//! The broker's driver, on a thread of its own: it subscribes to channels, gives what comes to the
//! replicas of topics, and does to the table what they say. Which engine it is, it does not know.

mod others;
mod reports;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{Semaphore, oneshot};
use tokio::task::spawn_local;
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::broker::{Ask, Kept};
use super::desk::Request;
use super::engine::{Channels, Engine, Found, Message, People, ROLE, Source, Wanted};
use super::node::Node;
use super::position::Position;
use super::replica::{Placed, Portion, Replica, Step};
use super::table::Hub;
use super::tally::Tally;
use super::wire::{self, Arrived};
use crate::link::{Failed, Feed, News};
use crate::observe::Flood;
use crate::observe::event::Event;

/// Channels in one command.
const BATCH: usize = 512;
/// Portions that are read at once.
const READING: usize = 32;
/// Time before something that has failed is tried again.
const AGAIN: Duration = Duration::from_millis(500);
/// How often the others are told what has changed here.
const TELL: Duration = Duration::from_secs(2);

/// A topic that this node is a replica of.
#[derive(Debug)]
struct Member {
    /// Which of those that this topic has had.
    id: u64,
    replica: Replica<Message>,
    /// Publishers that wait until it has come so far.
    seen: Vec<(Position, oneshot::Sender<()>)>,
    /// When its life was last made to last.
    lasting: Instant,
    /// It was read who is there on other nodes.
    knows_people: bool,
    /// That is being read,
    reads_people: bool,
    /// and these reports have come meanwhile.
    later: BTreeSet<(Node, Arc<str>)>,
}

/// Something for the connection's channels to do.
#[derive(Debug)]
enum Work {
    /// This node's own channel.
    Own,
    Join(Vec<(Arc<str>, u64)>),
    Leave(Vec<Arc<str>>),
}

/// What was done meanwhile, in a life of the connection.
#[derive(Debug)]
enum Done {
    Work(u64, Work, Result<(), String>),
    Again(u64, Work),
    Read(u64, Arc<str>, u64, Result<Found<Portion<Message>>, Failed>),
    ReadAgain(u64, Arc<str>, u64),
    People(u64, Arc<str>, u64, Result<Found<People>, Failed>),
    PeopleAgain(u64, Arc<str>, u64),
    /// These nodes live.
    Alive(HashSet<Node>),
    /// The counts of this node are not there any more.
    Forgotten,
}

struct Driver<E> {
    hub: Arc<Hub>,
    engine: Arc<E>,
    members: BTreeMap<Arc<str>, Member>,
    next: u64,
    life: u64,
    channels: Option<UnboundedSender<Work>>,
    done: UnboundedSender<Done>,
    reading: Rc<Semaphore>,
    /// The same for who is there: another node that does not answer holds up no history.
    asking: Rc<Semaphore>,
    foreign: Flood<&'static str>,
    /// The other nodes, and when they were last there.
    nodes: HashMap<Node, Instant>,
    /// When all was told last, and how many commands were lost until then.
    told: (Instant, u64),
}

/// Has the topics of a hub go through an engine, whose news these are; `open` gives the channels of
/// a connection. Runs for ever.
pub async fn drive<E: Engine, C, S: Channels>(
    hub: Arc<Hub>,
    engine: Arc<E>,
    news: Feed<C>,
    open: impl Fn(C) -> S,
) {
    let (done, results) = unbounded_channel();
    spawn_local(reports::report(Arc::clone(&hub), Arc::clone(&engine)));
    let driver = Driver {
        nodes: HashMap::new(),
        told: (Instant::now(), 0),
        hub,
        engine,
        members: BTreeMap::new(),
        next: 0,
        life: 0,
        channels: None,
        done,
        reading: Rc::new(Semaphore::new(READING)),
        asking: Rc::new(Semaphore::new(READING)),
        foreign: Flood::lines(1),
    };
    driver.run(news, results, open).await;
}

impl<E: Engine> Driver<E> {
    async fn run<C, S: Channels>(
        mut self,
        news: Feed<C>,
        mut results: UnboundedReceiver<Done>,
        open: impl Fn(C) -> S,
    ) {
        let engine = Arc::clone(&self.engine);
        let mut tick = interval(TELL);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                news = news.next() => match news {
                    News::Up(channels) => self.up(open(channels)),
                    news => self.hear(news).await,
                },
                requests = engine.desk().requests() => self.obey(requests).await,
                Some(done) = results.recv() => self.done(done).await,
                _ = tick.tick() => self.tick(),
            }
        }
    }

    /// Takes what has come from the connection for messages.
    async fn hear<C>(&mut self, news: News<C>) {
        match news {
            News::Up(_) => {}
            News::Down => {
                self.engine.desk().lives(0);
                self.channels = None;
                for member in self.members.values_mut() {
                    member.replica.parted();
                    // It has its number; nobody knows when it comes.
                    member.seen.clear();
                }
            }
            News::Missed(channels) => {
                Event::EngineOverflow {
                    engine: ROLE,
                    topics: channels.len(),
                }
                .tell();
                for channel in channels {
                    let Some((topic, member)) = self.member(&channel) else {
                        continue;
                    };
                    let (id, steps) = (member.id, member.replica.missed());
                    self.apply(&topic, steps).await;
                    self.read_people(&topic, id);
                }
            }
            News::Message(channel, bytes) => match self.engine.source(&channel) {
                Some(Source::Own) => self.directly(&bytes).await,
                _ => self.message(&channel, &bytes).await,
            },
        }
    }

    fn member(&mut self, channel: &[u8]) -> Option<(Arc<str>, &mut Member)> {
        let Some(Source::Topic(topic)) = self.engine.source(channel) else {
            return None;
        };
        let (topic, _) = self.members.get_key_value(topic)?;
        let topic = Arc::clone(topic);
        let member = self.members.get_mut(&topic)?;
        Some((topic, member))
    }

    async fn message(&mut self, channel: &[u8], bytes: &[u8]) {
        let node = self.hub.node.0;
        let Some((topic, member)) = self.member(channel) else {
            // Of a topic that was left just now.
            return;
        };
        if wire::people::is_report(bytes) {
            return self.report(&topic, bytes);
        }
        let Some(arrived) = wire::read(&topic, node, bytes) else {
            return self.foreign(&topic);
        };
        let Arrived {
            place,
            draft,
            published,
        } = arrived;
        let message = (draft, published);
        let steps = match place {
            None => member.replica.plain(message),
            Some(place) => member.replica.placed(Placed {
                place,
                message,
                bytes: bytes.len(),
            }),
        };
        self.apply(&topic, steps).await;
    }

    /// Somebody else writes under these names.
    fn foreign(&mut self, topic: &str) {
        self.hub.foreign();
        if self.foreign.admits(&ROLE) {
            Event::EngineForeign {
                engine: ROLE,
                name: topic,
            }
            .tell();
        }
    }

    /// A new life of the connection, which subscribes to nothing yet.
    fn up(&mut self, mut channels: impl Channels) {
        self.life += 1;
        self.engine.desk().lives(self.life);
        let (work, mut to_do) = unbounded_channel();
        let (life, done) = (self.life, self.done.clone());
        spawn_local(async move {
            while let Some(work) = to_do.recv().await {
                let result = match &work {
                    Work::Own => channels.own().await,
                    Work::Join(topics) => {
                        let all = topics.iter().map(|(topic, _)| Arc::clone(topic));
                        channels.join(&all.collect::<Vec<_>>()).await
                    }
                    Work::Leave(topics) => channels.leave(topics).await,
                };
                // The driver is there for as long as the process.
                let _ = done.send(Done::Work(life, work, result));
            }
        });
        self.channels = Some(work);
        self.work(Work::Own);
        // Nobody could be heard of.
        let now = Instant::now();
        self.nodes.values_mut().for_each(|heard| *heard = now);
        let members = self.members.iter();
        let all: Vec<_> = members
            .map(|(topic, member)| (Arc::clone(topic), member.id))
            .collect();
        for topics in all.chunks(BATCH) {
            self.work(Work::Join(topics.to_vec()));
        }
        self.tell_all();
    }

    /// Has something done; while the connection is away there is nothing to do: it begins with all
    /// topics that there are.
    fn work(&self, work: Work) {
        if let Some(channels) = &self.channels {
            let _ = channels.send(work);
        }
    }

    /// Does what the table and publishers ask.
    async fn obey(&mut self, requests: Vec<Request>) {
        let (mut joins, mut leaves) = (Vec::new(), Vec::new());
        for request in requests {
            match request {
                Request::Of(Ask::Join(topic, keeps)) => {
                    if !leaves.is_empty() {
                        self.work(Work::Leave(std::mem::take(&mut leaves)));
                    }
                    if let Some(join) = self.join(topic, keeps).await {
                        joins.push(join);
                    }
                    if joins.len() >= BATCH {
                        self.work(Work::Join(std::mem::take(&mut joins)));
                    }
                }
                Request::Of(Ask::Leave(topic)) => {
                    if !joins.is_empty() {
                        self.work(Work::Join(std::mem::take(&mut joins)));
                    }
                    if self.members.remove(&topic).is_some() {
                        self.hub.part(&topic);
                        leaves.push(topic);
                    }
                    if leaves.len() >= BATCH {
                        self.work(Work::Leave(std::mem::take(&mut leaves)));
                    }
                }
                Request::Of(Ask::Refresh(topic)) => {
                    if let Some(member) = self.members.get_mut(&topic) {
                        let steps = member.replica.refresh();
                        self.apply(&topic, steps).await;
                    }
                }
                Request::Forgotten => self.tell_all(),
                Request::Newcomer => {
                    self.tell_all();
                    let members = self.members.iter();
                    let all: Vec<_> = members
                        .map(|(topic, member)| (Arc::clone(topic), member.id))
                        .collect();
                    for (topic, id) in all {
                        self.read_people(&topic, id);
                    }
                }
                Request::Seen(topic, place, seen) => {
                    // Without a replica there is nothing to wait for: `seen` is dropped.
                    if let Some(member) = self.members.get_mut(topic.as_str())
                        && member.replica.keeps()
                        && !member.replica.has(place)
                    {
                        member.seen.push((place, seen));
                    }
                }
            }
        }
        if !joins.is_empty() {
            self.work(Work::Join(joins));
        }
        if !leaves.is_empty() {
            self.work(Work::Leave(leaves));
        }
    }

    /// Makes this node a replica of a topic; what is to be subscribed to for that.
    async fn join(&mut self, topic: Arc<str>, keeps: bool) -> Option<(Arc<str>, u64)> {
        if let Some(member) = self.members.get_mut(&topic) {
            let copied = member.replica.at().filter(|_| member.replica.keeps());
            if let Some(place) = copied.filter(|_| keeps && !self.hub.has_history(&topic)) {
                // Its settings said for a while that nothing is kept.
                self.hub.begin(&topic, place);
            }
            let steps = match keeps {
                true => member.replica.keep(),
                false if member.replica.is_joining() => Vec::new(),
                false => vec![Step::InForce],
            };
            self.apply(&topic, steps).await;
            return None;
        }
        self.next += 1;
        let member = Member {
            id: self.next,
            replica: Replica::new(keeps),
            seen: Vec::new(),
            lasting: Instant::now(),
            knows_people: false,
            reads_people: false,
            later: BTreeSet::new(),
        };
        self.members.insert(Arc::clone(&topic), member);
        Some((topic, self.next))
    }

    /// Goes on with what was done meanwhile.
    async fn done(&mut self, done: Done) {
        match done {
            Done::Work(life, work, Err(error)) if life == self.life => {
                let what = match work {
                    Work::Own | Work::Join(_) => "a subscription",
                    Work::Leave(_) => "the end of a subscription",
                };
                self.engine.health().refuses(what, &error);
                self.later(Done::Again(life, work));
            }
            Done::Work(life, Work::Join(topics), Ok(())) if life == self.life => {
                for (topic, id) in topics {
                    let member = self.members.get_mut(&topic);
                    let Some(member) = member.filter(|member| member.id == id) else {
                        continue;
                    };
                    if member.replica.is_joining() {
                        self.read_people(&topic, id);
                    }
                    if let Some(member) = self.members.get_mut(&topic)
                        && member.replica.is_joining()
                    {
                        let steps = member.replica.joined();
                        self.apply(&topic, steps).await;
                    }
                }
            }
            Done::Again(life, Work::Leave(mut topics)) if life == self.life => {
                topics.retain(|topic| !self.members.contains_key(topic));
                if !topics.is_empty() {
                    self.work(Work::Leave(topics));
                }
            }
            Done::Again(life, work) if life == self.life => self.work(work),
            Done::Read(life, topic, id, result) if life == self.life => {
                self.portion(topic, id, result).await;
            }
            Done::ReadAgain(life, topic, id) if life == self.life => self.read(&topic, id),
            Done::People(life, topic, id, result) if life == self.life => {
                self.people(topic, id, result);
            }
            Done::PeopleAgain(life, topic, id) if life == self.life => {
                self.read_people(&topic, id);
            }
            Done::Alive(nodes) => self.alive(&nodes),
            Done::Forgotten => self.tell_all(),
            // Of a life that is over.
            Done::Work(..)
            | Done::Again(..)
            | Done::Read(..)
            | Done::ReadAgain(..)
            | Done::People(..)
            | Done::PeopleAgain(..) => {}
        }
    }

    fn later(&self, done: Done) {
        let sender = self.done.clone();
        spawn_local(async move {
            sleep(AGAIN).await;
            let _ = sender.send(done);
        });
    }

    /// Reads the next portion of a topic's history.
    fn read(&self, topic: &Arc<str>, id: u64) {
        let Some(member) = self.members.get(topic).filter(|member| member.id == id) else {
            return;
        };
        let settings = self.hub.settings(topic);
        let wanted = Wanted {
            topic: Arc::clone(topic),
            known: member.replica.at(),
            from: member.replica.reads_from(),
            kept: Kept {
                messages: settings.history,
                age: settings.age,
            },
        };
        Tally::count(&self.hub.tally.refills, 1);
        let (topic, done, life) = (Arc::clone(topic), self.done.clone(), self.life);
        let (reading, engine) = (Rc::clone(&self.reading), Arc::clone(&self.engine));
        spawn_local(async move {
            let _place = reading.acquire().await;
            let result = engine.read(wanted).await;
            let _ = done.send(Done::Read(life, topic, id, result));
        });
    }

    async fn portion(
        &mut self,
        topic: Arc<str>,
        id: u64,
        result: Result<Found<Portion<Message>>, Failed>,
    ) {
        let portion = match result {
            Ok(portion) => portion,
            Err(error) => {
                if let Failed::Refused(_, error) = &error {
                    self.engine.health().refuses("a topic's history", error);
                }
                return self.later(Done::ReadAgain(self.life, topic, id));
            }
        };
        let Some((portion, foreign)) = portion else {
            self.foreign(&topic);
            return self.later(Done::ReadAgain(self.life, topic, id));
        };
        if foreign {
            self.foreign(&topic);
        }
        let member = self.members.get_mut(&topic);
        if let Some(member) = member.filter(|member| member.id == id) {
            let steps = member.replica.portion(portion);
            self.apply(&topic, steps).await;
        }
    }

    /// Does what a replica says.
    async fn apply(&mut self, topic: &Arc<str>, steps: Vec<Step<Message>>) {
        for step in steps {
            match step {
                Step::Begin(place) => self.hub.begin(topic, place),
                Step::Append(message) => {
                    self.deliver(topic, Some(message.place), message.message)
                        .await;
                }
                Step::Deliver(message) => self.deliver(topic, None, message).await,
                Step::Gap => self.hub.gap(topic),
                Step::Read(_) => {
                    if let Some(member) = self.members.get(topic) {
                        self.read(topic, member.id);
                    }
                }
                Step::InForce => {
                    let member = self.members.get(topic);
                    let keeps = member.is_some_and(|member| member.replica.keeps());
                    self.hub.in_force(topic, self.life, keeps);
                }
            }
        }
        if let Some(member) = self.members.get_mut(topic)
            && !member.seen.is_empty()
        {
            let replica = &member.replica;
            member.seen.retain(|(place, _)| !replica.has(*place));
        }
    }

    /// Hands a message to the workers, whose mailboxes are waited for.
    async fn deliver(&self, topic: &str, place: Option<Position>, (draft, published): Message) {
        while let Some(full) = self.hub.full(topic) {
            full.has_room().await;
        }
        let age = wire::now().saturating_sub(published);
        self.hub
            .arrived(topic, place, draft, Duration::from_millis(age));
    }
}
