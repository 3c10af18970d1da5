//! The table as replicas of topics that a broker keeps: what has to be there before one can be
//! used, and what the broker puts into it.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::futures::OwnedNotified;
use tokio::time::Instant;

use super::{Hub, Refused};
use crate::hub::broker::{Answer, Ask, Broker, Kept};
use crate::hub::history::History;
use crate::hub::mailbox::Order;
use crate::hub::node::Node;
use crate::hub::position::Position;
use crate::hub::presence::Report;
use crate::hub::publication::Draft;
use crate::hub::settings::Settings;
use crate::hub::tally::Tally;
use crate::observe::metrics::Engine;

/// What a topic is wanted for.
#[derive(Debug, Clone, Copy)]
pub enum Purpose<'a> {
    /// Its messages, perhaps from a position on.
    Messages(Option<&'a str>),
    /// Those who are in it.
    People,
}

impl Hub {
    /// What has to come before a topic can be used here, if it cannot be yet: it is asked for. A
    /// client that comes back from another node may have seen more than this one: `looks_again` is
    /// set once that was asked for.
    pub fn prepare(
        &self,
        topic: &str,
        file: &str,
        purpose: Purpose<'_>,
        looks_again: &mut bool,
    ) -> Result<Option<OwnedNotified>, Refused> {
        let Some(broker) = &self.broker else {
            return Ok(None);
        };
        let settings = self.settings(topic);
        let (since, people) = match purpose {
            Purpose::Messages(since) => (since, false),
            Purpose::People => (None, true),
        };
        let keeps = settings.history > 0;
        if let Some(why) = broker.keeps_nothing().filter(|_| keeps) {
            return Err(Refused::History(why));
        }
        let mut shard = self.shard(topic);
        let (name, known) = self.open(&mut shard, topic, file, settings)?;
        let history = known.history.as_ref().map(|history| history.position());
        let Some(membership) = &mut known.membership else {
            return Ok(None);
        };
        membership.touch(Instant::now());
        let is_in_force = membership.life == broker.life() && membership.life > 0;
        let waiting = || Some(Arc::clone(&membership.joined).notified_owned());
        if is_in_force && (!keeps || history.is_some()) {
            if people && membership.people != membership.life {
                return Ok(waiting());
            }
            let since = since.and_then(Position::parse);
            let is_ahead = history
                .zip(since)
                .is_some_and(|(at, since)| at.epoch == since.epoch && since.number > at.number);
            if !is_ahead || *looks_again {
                return Ok(None);
            }
            *looks_again = true;
            let waiting = waiting();
            broker.ask(Ask::Refresh(name));
            return Ok(waiting);
        }
        let waiting = waiting();
        if !membership.is_asked || keeps && !membership.keeps {
            membership.is_asked = true;
            membership.keeps = keeps;
            broker.ask(Ask::Join(name, keeps));
        }
        Ok(waiting)
    }

    /// Publishes a message through the broker: what is to be awaited, if there is a broker.
    pub fn send(
        &self,
        topic: &str,
        settings: Settings,
        draft: &Draft,
    ) -> Result<Option<Answer<()>>, Refused> {
        let Some(broker) = &self.broker else {
            return Ok(None);
        };
        self.check(topic)?;
        let keeps = settings.history > 0;
        if let Some(why) = broker.keeps_nothing().filter(|_| keeps) {
            return Err(Refused::History(why));
        }
        Tally::count(&self.tally.published, 1);
        let kept = keeps.then_some(Kept {
            messages: settings.history,
            age: settings.age,
        });
        Ok(Some(Arc::clone(broker).publish(topic, kept, draft)))
    }

    /// Whether there is a copy of what a topic keeps.
    pub(in crate::hub) fn has_history(&self, topic: &str) -> bool {
        let shard = self.shard(topic);
        shard
            .get(topic)
            .is_some_and(|known| known.history.is_some())
    }

    /// The copy of a topic is empty, and behind this place.
    pub(in crate::hub) fn begin(&self, topic: &str, place: Position) {
        let settings = self.settings(topic);
        if let Some(known) = self.shard(topic).get_mut(topic) {
            let history = History::behind(place, settings, Instant::now());
            known.history = Some(Box::new(history));
        }
    }

    /// A message has come, and is delivered; one with a place is kept.
    pub(in crate::hub) fn arrived(
        &self,
        topic: &str,
        place: Option<Position>,
        draft: Draft,
        age: Duration,
    ) {
        Tally::count(&self.tally.arrived, 1);
        Tally::count(&self.tally.lag, age.as_millis() as u64);
        let settings = self.settings(topic);
        let mut shard = self.shard(topic);
        let Some((name, _)) = shard.get_key_value(topic) else {
            return;
        };
        let name = Arc::clone(name);
        let Some(known) = shard.get_mut(topic) else {
            return;
        };
        let number = place.map_or(known.last + 1, |place| place.number);
        known.last = number;
        let publication = Arc::new(draft.at(number, place, settings.slow));
        if let (Some(history), Some(place)) = (&mut known.history, place)
            && history.at(history.next()) == place
        {
            let now = Instant::now();
            let published = now.checked_sub(age).unwrap_or(now);
            history.push(&publication, &known.account, self.limits.bytes, published);
            history.expire(now);
        }
        for (count, mailbox) in known.subscribers.iter().zip(&self.mailboxes) {
            if *count > 0 {
                mailbox.push(Order::Publish(Arc::clone(&name), Arc::clone(&publication)));
            }
        }
    }

    /// Subscribers of a topic may have missed messages.
    pub(in crate::hub) fn gap(&self, topic: &Arc<str>) {
        let shard = self.shard(topic);
        let Some(known) = shard.get(topic) else {
            return;
        };
        for (count, mailbox) in known.subscribers.iter().zip(&self.mailboxes) {
            if *count > 0 {
                mailbox.push(Order::Gap(Arc::clone(topic)));
            }
        }
    }

    /// A topic can be used from now on, in this life of the broker's connection.
    pub(in crate::hub) fn in_force(&self, topic: &str, life: u64, keeps: bool) {
        if let Some(known) = self.shard(topic).get_mut(topic)
            && let Some(membership) = &mut known.membership
        {
            membership.life = life;
            membership.keeps = keeps;
            membership.is_asked = false;
            membership.joined.notify_waiters();
        }
    }

    /// It is known from now on who is in a topic on other nodes.
    pub(in crate::hub) fn people_in_force(&self, topic: &str, life: u64) {
        if let Some(known) = self.shard(topic).get_mut(topic)
            && let Some(membership) = &mut known.membership
        {
            membership.people = life;
            membership.joined.notify_waiters();
        }
    }

    /// Who is in a topic on all other nodes; whoever the later reports are about is left out. The
    /// first time nobody is told of them.
    pub(in crate::hub) fn hear_all(
        &self,
        topic: &Arc<str>,
        all: Vec<(Node, Arc<str>, Report)>,
        later: &BTreeSet<(Node, Arc<str>)>,
        is_first: bool,
    ) {
        let how = (is_first, self.limits.grace);
        self.presence
            .hear_all(topic, all, later, how, |changes| self.tell(topic, changes));
    }

    /// How a key is on another node now.
    pub(in crate::hub) fn hear(
        &self,
        topic: &Arc<str>,
        key: &str,
        node: Node,
        report: Option<Report>,
    ) {
        let tell = |changes| self.tell(topic, changes);
        self.presence.hear(topic, key, (node, report), tell);
    }

    /// Nodes are gone.
    pub(in crate::hub) fn lose(&self, nodes: &HashSet<Node>) {
        self.presence.lose(nodes, self.limits.grace);
    }

    /// A topic is not followed any more.
    pub(in crate::hub) fn part(&self, topic: &Arc<str>) {
        self.presence.part(topic);
    }

    /// Who is to be reported to the other nodes: topics, keys, and how they are.
    pub(in crate::hub) fn take_reports(&self) -> Vec<(Arc<str>, Arc<str>, Option<Report>)> {
        self.presence.take_reports()
    }

    /// Who is in a topic here, as the other nodes are told.
    pub(in crate::hub) fn reports_of(&self, topic: &str) -> Vec<(Arc<str>, Report)> {
        self.presence.reports_of(topic)
    }

    /// All who are here are to be reported again.
    pub(in crate::hub) fn report_all(&self) {
        self.presence.report_all();
        self.people_changed();
    }

    /// There may be somebody to report.
    pub(super) fn people_changed(&self) {
        if let Some(broker) = &self.broker {
            broker.people_changed();
        }
    }

    /// The number of subscribers on this node, for the others.
    pub(super) fn changed(&self, topic: &Arc<str>) {
        if let Some(broker) = &self.broker {
            broker.changed(topic);
        }
    }

    /// The engine that topics go through, for the metrics.
    pub fn engines(&self) -> Vec<Engine> {
        let engine = |broker: &Arc<dyn Broker>| Engine {
            role: broker.health().role(),
            is_up: broker.health().is_up(),
            connections: broker.health().connections(),
            lost: broker.lost(),
        };
        self.broker.iter().map(engine).collect()
    }

    /// Somebody else writes under the broker's prefix.
    pub(in crate::hub) fn foreign(&self) {
        self.tally.foreign.fetch_add(1, Ordering::Relaxed);
    }
}
