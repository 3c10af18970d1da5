//! The driver's part about other nodes: who is there, how many subscribe there, and what is for one
//! connection of theirs or of this one.

use std::collections::HashSet;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ::redis::Value;
use tokio::sync::oneshot;
use tokio::task::spawn_local;

use super::{Done, Driver, ROLE};
use crate::hub::broker::Broker;
use crate::hub::direct::Parcel;
use crate::hub::mailbox::Order;
use crate::hub::node::Node;
use crate::hub::redis::broker::RedisBroker;
use crate::hub::redis::people::{self, TRUSTED};
use crate::hub::wire;
use crate::link::Failed;
use crate::observe::event::Event;

/// How long a node that is not said to live may have been there just now.
const LATELY: Duration = Duration::from_secs(2);
/// Counts in one command.
const COUNTS: usize = 256;
/// How often the life of a topic that is in use is made to last.
const LAST: Duration = Duration::from_secs(3600);

impl Driver {
    /// Somebody has come or gone on another node.
    pub(super) fn report(&mut self, topic: &Arc<str>, bytes: &[u8]) {
        let Some(heard) = wire::people::read(bytes) else {
            return self.foreign(topic);
        };
        if heard.node == self.broker.node {
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
                return self.broker.answered(ticket, done);
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
        let broker = Arc::clone(&self.broker);
        spawn_local(async move {
            let done = answered.await.unwrap_or(false);
            let mut command = ::redis::cmd("PUBLISH");
            command
                .arg(broker.names.own(from))
                .arg(wire::direct::answered(ticket, done));
            // Whoever has asked is told after a time that there is no answer.
            let _ = broker.commands.send(command, 0).await;
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
        let broker = Arc::clone(&self.broker);
        let keys = [broker.names.nodes(), broker.names.people(topic)];
        let mut command = broker.scripts.people.call(&[&keys[0], &keys[1]]);
        command.arg(broker.node.to_string());
        let (topic, done, life) = (Arc::clone(topic), self.done.clone(), self.life);
        let reading = Rc::clone(&self.reading);
        spawn_local(async move {
            let _place = reading.acquire().await;
            let result = broker.commands.run(command, 0).await;
            let _ = done.send(Done::People(life, topic, id, result));
        });
    }

    pub(super) fn people(&mut self, topic: Arc<str>, id: u64, result: Result<Value, Failed>) {
        let people = match result {
            Ok(value) => people::read(&value),
            Err(error) => {
                if let Failed::Refused(_, error) = &error {
                    self.broker.health().refuses("a topic's presence", error);
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
        self.told = (Instant::now(), self.broker.lost());
        self.hub.report_all();
        for topic in self.members.keys() {
            self.broker.changed(topic);
        }
    }

    /// Tells the others how many subscribe here, and that this node lives.
    pub(super) fn tick(&mut self) {
        let more = |_: &&'static str, more| Event::EngineForeignMore { engine: ROLE, more }.tell();
        self.foreign.tick(more);
        self.broker.health().tick();
        if !self.broker.health().is_up() {
            return;
        }
        let (told, lost) = self.told;
        if told.elapsed() > people::ANEW || self.broker.lost() != lost {
            self.tell_all();
        }
        let broker = Arc::clone(&self.broker);
        let own = format!("{}{}", broker.names.counts(), broker.node);
        let mut commands = Vec::new();
        let changed: Vec<_> = broker.take_changed().into_iter().collect();
        for topics in changed.chunks(COUNTS) {
            let (mut set, mut gone) = (::redis::cmd("HSET"), ::redis::cmd("HDEL"));
            set.arg(&own);
            gone.arg(&own);
            let (mut is_set, mut is_gone) = (false, false);
            for topic in topics {
                match self.hub.subscribers(topic) {
                    0 => {
                        gone.arg(&**topic);
                        is_gone = true;
                    }
                    count => {
                        set.arg(&**topic).arg(count);
                        is_set = true;
                    }
                }
            }
            commands.extend(is_set.then_some(set));
            commands.extend(is_gone.then_some(gone));
        }
        for (topic, member) in &mut self.members {
            if member.replica.keeps() && member.lasting.elapsed() > LAST {
                member.lasting = Instant::now();
                let age = self.hub.settings(topic).age;
                let mut last = ::redis::cmd("EXPIRE");
                last.arg(broker.names.life(topic))
                    .arg(RedisBroker::life_time(age));
                commands.push(last);
            }
        }
        let mut alive = broker.scripts.alive.call(&[&broker.names.nodes(), &own]);
        alive.arg(broker.node.to_string()).arg(TRUSTED);
        let done = self.done.clone();
        let has_some = self
            .members
            .keys()
            .any(|topic| self.hub.subscribers(topic) > 0);
        spawn_local(async move {
            for command in commands {
                if broker.commands.send(command, 0).await.is_err() {
                    let _ = done.send(Done::Forgotten);
                    return;
                }
            }
            let alive = broker.commands.run(alive, 0).await;
            let alive = alive.ok().and_then(|value| people::alive(&value));
            if let Some((counts, is_known, nodes)) = alive {
                if !is_known || has_some && !counts {
                    let _ = done.send(Done::Forgotten);
                }
                let _ = done.send(Done::Alive(nodes));
            }
        });
    }
}
