//! Topics in Redis: a channel for each topic, and for one that keeps messages a stream of them and
//! a hash with the topic's life and last number.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ::redis::{Cmd, Value};

use super::names::Names;
use super::read::{self, text};
use super::scripts::Scripts;
use crate::hub::broker::{Answer, Ask, Broker, Kept};
use crate::hub::desk::{Desk, Request};
use crate::hub::direct::{Address, Direct};
use crate::hub::engine::{
    Engine, Found, Heard, Message, PORTION, PORTION_BYTES, People, Source, TRUSTED, Tidings, Wanted,
};
use crate::hub::node::Node;
use crate::hub::position::Position;
use crate::hub::presence::Report;
use crate::hub::publication::Draft;
use crate::hub::replica::Portion;
use crate::hub::wire;
use crate::link::{Failed, Health};
use crate::redis::Commands;

/// How long a topic's life and number outlive its messages: whoever comes back is told that it has
/// missed some, instead of meeting numbers that begin anew.
const MARGIN: Duration = Duration::from_hours(24);
/// How long a topic's hash of people is kept beyond the last report.
const KEPT: Duration = Duration::from_hours(24);
/// Counts in one command.
const COUNTS: usize = 256;

/// The broker.
pub struct RedisBroker {
    /// Its names.
    pub names: Names,
    own: String,
    desk: Desk,
    commands: Commands,
    scripts: Scripts,
}

impl RedisBroker {
    /// One whose driver has not begun yet.
    pub fn new(names: Names, desk: Desk, commands: Commands, scripts: Scripts) -> Self {
        Self {
            own: names.own(desk.node),
            names,
            desk,
            commands,
            scripts,
        }
    }

    /// How long a topic's life is kept beyond its last use.
    fn life_time(age: Duration) -> u64 {
        (age + MARGIN).as_secs()
    }

    /// An answer that is none of those that the server gives.
    fn unexpected(&self) -> Failed {
        Failed::Refused(
            self.commands.health().role(),
            "its answer is not understood: somebody else writes under the same prefix".to_owned(),
        )
    }
}

impl fmt::Debug for RedisBroker {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_tuple("RedisBroker")
            .field(&self.desk.node)
            .finish()
    }
}

impl Broker for RedisBroker {
    fn health(&self) -> &Arc<Health> {
        self.commands.health()
    }

    fn patience(&self) -> Duration {
        self.desk.patience
    }

    fn keeps_nothing(&self) -> Option<&'static str> {
        None
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
            let bytes = wire::direct::asked(&address, direct, self.desk.node, question.ticket);
            let size = bytes.len();
            let mut command = ::redis::cmd("PUBLISH");
            command.arg(self.names.own(address.node)).arg(bytes);
            match self.commands.run(command, size).await? {
                // Nobody listens: that node is gone, or cut off just now.
                Value::Int(0) => return Ok(false),
                Value::Int(_) => {}
                _ => return Err(self.unexpected()),
            }
            let answer = question.answer().await;
            answer.ok_or(Failed::Lost(self.commands.health().role()))
        })
    }

    fn publish(self: Arc<Self>, topic: &str, kept: Option<Kept>, draft: &Draft) -> Answer<()> {
        let (topic, body) = (topic.to_owned(), wire::body(draft, self.desk.node.0));
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
            let place = place.ok_or_else(|| self.unexpected())?;
            self.desk.sees(topic, place).await;
            Ok(())
        })
    }

    fn subscribers(self: Arc<Self>, topic: &str) -> Answer<u64> {
        let mut command = self.scripts.count.call(&[&self.names.nodes()]);
        command
            .arg(self.desk.node.to_string())
            .arg(self.names.counts())
            .arg(topic);
        Box::pin(async move {
            match self.commands.run(command, 0).await? {
                Value::Int(count) => Ok(u64::try_from(count).unwrap_or(0)),
                _ => Err(self.unexpected()),
            }
        })
    }

    fn lost(&self) -> u64 {
        self.commands.lost()
    }
}

impl Engine for RedisBroker {
    fn desk(&self) -> &Desk {
        &self.desk
    }

    fn source<'c>(&self, channel: &'c [u8]) -> Option<Source<'c>> {
        if channel == self.own.as_bytes() {
            return Some(Source::Own);
        }
        self.names.topic(channel).map(Source::Topic)
    }

    async fn read(self: Arc<Self>, wanted: Wanted) -> Result<Found<Portion<Message>>, Failed> {
        let topic = &wanted.topic;
        let (life, messages) = (self.names.life(topic), self.names.messages(topic));
        let mut command = self.scripts.read.call(&[&life, &messages]);
        command
            .arg(wanted.from)
            .arg(wanted.known.map(Position::life).unwrap_or_default())
            .arg(Position::new_life())
            .arg(PORTION)
            .arg(PORTION_BYTES)
            .arg(Self::life_time(wanted.kept.age));
        let value = self.commands.run(command, 0).await?;
        Ok(read::portion(topic, self.desk.node.0, value))
    }

    async fn people(self: Arc<Self>, topic: Arc<str>) -> Result<Found<People>, Failed> {
        let (nodes, people) = (self.names.nodes(), self.names.people(&topic));
        let mut command = self.scripts.people.call(&[&nodes, &people]);
        command.arg(self.desk.node.to_string());
        let value = self.commands.run(command, 0).await?;
        Ok(read::people(&value))
    }

    fn report(
        self: Arc<Self>,
        topic: &str,
        key: &str,
        report: Option<Report>,
    ) -> impl Future<Output = Result<(), Failed>> + 'static {
        let kept = report.as_ref().map(wire::people::kept).unwrap_or_default();
        let message = wire::people::message(self.desk.node, key, &kept);
        let bytes = kept.len() + message.len();
        let (nodes, hash) = (self.names.nodes(), self.names.people(topic));
        let mut command = self.scripts.report.call(&[&nodes, &hash]);
        command
            .arg(self.desk.node.to_string())
            .arg(TRUSTED)
            .arg(key)
            .arg(kept)
            .arg(KEPT.as_secs())
            .arg(self.names.channel(topic))
            .arg(message);
        async move { self.commands.send(command, bytes).await }
    }

    async fn answer(self: Arc<Self>, to: Node, ticket: u64, done: bool) {
        let mut command = ::redis::cmd("PUBLISH");
        command
            .arg(self.names.own(to))
            .arg(wire::direct::answered(ticket, done));
        // Whoever has asked is told after a time that there is no answer.
        let _ = self.commands.send(command, 0).await;
    }

    async fn tell(self: Arc<Self>, tidings: Tidings) -> Option<Heard> {
        let own = format!("{}{}", self.names.counts(), self.desk.node);
        let mut commands = Vec::new();
        for counts in tidings.counts.chunks(COUNTS) {
            let (mut set, mut gone) = (::redis::cmd("HSET"), ::redis::cmd("HDEL"));
            set.arg(&own);
            gone.arg(&own);
            let (mut is_set, mut is_gone) = (false, false);
            for (topic, count) in counts {
                match count {
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
        for (topic, age) in tidings.lasting {
            let mut last = ::redis::cmd("EXPIRE");
            last.arg(self.names.life(&topic)).arg(Self::life_time(age));
            commands.push(last);
        }
        for command in commands {
            self.commands.send(command, 0).await.ok()?;
        }
        let mut alive = self.scripts.alive.call(&[&self.names.nodes(), &own]);
        alive.arg(self.desk.node.to_string()).arg(TRUSTED);
        let alive = self.commands.run(alive, 0).await.ok();
        let alive = alive.and_then(|value| read::alive(&value));
        let Some((counts, is_known, nodes)) = alive else {
            return Some(Heard {
                is_forgotten: false,
                nodes: None,
            });
        };
        Some(Heard {
            is_forgotten: !is_known || tidings.has_some && !counts,
            nodes: Some(nodes),
        })
    }
}
