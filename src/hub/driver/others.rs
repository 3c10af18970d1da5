//! The driver's part about other nodes: who is there, how many subscribe there, and what is for one
//! connection of theirs or of this one.

use std::collections::HashSet;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tokio::task::spawn_local;

use super::{Done, Driver};
use crate::hub::direct::Parcel;
use crate::hub::engine::{Engine, Found, People, ROLE, Tidings};
use crate::hub::mailbox::Order;
use crate::hub::node::Node;
use crate::hub::wire;
use crate::link::Failed;
use crate::observe::event::Event;

/// How long a node that is not said to live may have been there just now.
const LATELY: Duration = Duration::from_secs(2);
/// How often everybody is reported again, so that it is kept.
const ANEW: Duration = Duration::from_hours(6);
/// How often the life of a topic that is in use is made to last.
const LAST: Duration = Duration::from_secs(3600);

impl<E: Engine> Driver<E> {
    /// Somebody has come or gone on another node.
    pub(super) fn report(&mut self, topic: &Arc<str>, bytes: &[u8]) {
        let Some(heard) = wire::people::read(bytes) else {
            return self.foreign(topic);
        };
        if heard.node == self.hub.node {
            return;
        }
        self.nodes.insert(heard.node, Instant::now());
        if let Some(member) = self.members.get_mut(topic)
            && member.reads_people
        {
            member.later.insert((heard.node, heard.key.into()));
        }
        self.hub.hear(topic, heard.key, heard.node, heard.report);
    }

    /// Something for one connection of this node, or an answer of another.
    pub(super) async fn directly(&mut self, bytes: &[u8]) {
        let (ticket, from, answered) = match wire::direct::read(bytes) {
            None => return self.foreign("a node"),
            Some(wire::direct::Arrived::Answered(ticket, done)) => {
                return self.engine.desk().answered(ticket, done);
            }
            Some(wire::direct::Arrived::Asked(worker, connection, direct, from, ticket)) => {
                let (answer, answered) = oneshot::channel();
                if let Some(mailbox) = self.hub.mailboxes().get(worker) {
                    while mailbox.is_full() {
                        mailbox.has_room().await;
                    }
                    mailbox.push(Order::Direct(Parcel {
                        connection,
                        direct,
                        answer,
                    }));
                }
                (ticket, from, answered)
            }
        };
        let engine = Arc::clone(&self.engine);
        spawn_local(async move {
            let done = answered.await.unwrap_or(false);
            engine.answer(from, ticket, done).await;
        });
    }

    /// Reads who is in a topic on other nodes.
    pub(super) fn read_people(&mut self, topic: &Arc<str>, id: u64) {
        let member = self.members.get_mut(topic);
        let Some(member) = member.filter(|member| member.id == id) else {
            return;
        };
        // What comes from here on is later than what is read.
        member.later.clear();
        member.reads_people = true;
        let (topic, done, life) = (Arc::clone(topic), self.done.clone(), self.life);
        let (asking, engine) = (Rc::clone(&self.asking), Arc::clone(&self.engine));
        spawn_local(async move {
            let _place = asking.acquire().await;
            let result = engine.people(Arc::clone(&topic)).await;
            let _ = done.send(Done::People(life, topic, id, result));
        });
    }

    pub(super) fn people(
        &mut self,
        topic: Arc<str>,
        id: u64,
        result: Result<Found<People>, Failed>,
    ) {
        let people = match result {
            Ok(people) => people,
            Err(error) => {
                if let Failed::Refused(_, error) = &error {
                    self.engine.health().refuses("a topic's presence", error);
                }
                return self.later(Done::PeopleAgain(self.life, topic, id));
            }
        };
        let Some((people, is_foreign)) = people else {
            self.foreign(&topic);
            return self.later(Done::PeopleAgain(self.life, topic, id));
        };
        if is_foreign {
            self.foreign(&topic);
        }
        let member = self.members.get_mut(&topic);
        if let Some(member) = member.filter(|member| member.id == id) {
            let later = std::mem::take(&mut member.later);
            let is_first = !std::mem::replace(&mut member.knows_people, true);
            member.reads_people = false;
            let now = Instant::now();
            let nodes = people.iter().map(|(node, ..)| (*node, now));
            self.nodes.extend(nodes);
            self.hub.hear_all(&topic, people, &later, is_first);
            self.hub.people_in_force(&topic, self.life);
        }
    }

    /// These nodes live; of those that do not, nobody is there any more.
    pub(super) fn alive(&mut self, nodes: &HashSet<Node>) {
        let now = Instant::now();
        self.nodes.extend(nodes.iter().map(|node| (*node, now)));
        let is_dead = |_: &Node, heard: &mut Instant| heard.elapsed() > LATELY;
        let dead: HashSet<_> = self
            .nodes
            .extract_if(is_dead)
            .map(|(node, _)| node)
            .collect();
        if !dead.is_empty() {
            self.hub.lose(&dead);
        }
    }

    /// All counts are told again, and all who are here.
    pub(super) fn tell_all(&mut self) {
        self.told = (Instant::now(), self.engine.lost());
        self.hub.report_all();
        for topic in self.members.keys() {
            self.engine.changed(topic);
        }
    }

    /// Tells the others how many subscribe here, and that this node lives.
    pub(super) fn tick(&mut self) {
        let more = |_: &&'static str, more| Event::EngineForeignMore { engine: ROLE, more }.tell();
        self.foreign.tick(more);
        self.engine.health().tick();
        if !self.engine.health().is_up() {
            return;
        }
        let (told, lost) = self.told;
        if told.elapsed() > ANEW || self.engine.lost() != lost {
            self.tell_all();
        }
        let changed = self.engine.desk().take_changed();
        let counts = changed.into_iter().map(|topic| {
            let count = self.hub.subscribers(&topic);
            (topic, count)
        });
        let counts = counts.collect();
        let mut lasting = Vec::new();
        for (topic, member) in &mut self.members {
            if member.replica.keeps() && member.lasting.elapsed() > LAST {
                member.lasting = Instant::now();
                lasting.push((Arc::clone(topic), self.hub.settings(topic).age));
            }
        }
        let has_some = self
            .members
            .keys()
            .any(|topic| self.hub.subscribers(topic) > 0);
        let tidings = Tidings {
            counts,
            lasting,
            has_some,
        };
        let (engine, done) = (Arc::clone(&self.engine), self.done.clone());
        spawn_local(async move {
            let heard = engine.tell(tidings).await;
            if heard.as_ref().is_none_or(|heard| heard.is_forgotten) {
                let _ = done.send(Done::Forgotten);
            }
            if let Some(nodes) = heard.and_then(|heard| heard.nodes) {
                let _ = done.send(Done::Alive(nodes));
            }
        });
    }
}
