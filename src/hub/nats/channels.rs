//! What one life of the connection subscribes to, and who reads it.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::StreamExt;
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, spawn_local};

use super::broker::{NatsBroker, OWN, TOPIC};
use crate::hub::engine;
use crate::hub::position::Position;
use crate::hub::table::Hub;
use crate::hub::wire;
use crate::link::Feed;
use crate::nats::{Life, Message, Subscriber};

/// The headers of a message that a stream has sent on: which, and the message's number there.
const STREAM: &str = "Nats-Stream";
const NUMBER: &str = "Nats-Sequence";

/// The subjects of one life of the connection.
#[derive(Debug)]
pub struct NatsChannels {
    life: Life,
    feed: Feed<Life>,
    hub: Arc<Hub>,
    broker: Arc<NatsBroker>,
    topics: HashMap<Arc<str>, Reader>,
    others: Vec<Reader>,
}

/// Somebody who reads a subject, until this is dropped.
#[derive(Debug)]
struct Reader {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl NatsChannels {
    /// Those of a life, which feed the driver.
    pub fn new(life: Life, feed: Feed<Life>, hub: Arc<Hub>, broker: Arc<NatsBroker>) -> Self {
        Self {
            life,
            feed,
            hub,
            broker,
            topics: HashMap::new(),
            others: Vec::new(),
        }
    }

    /// Has a subject read. What is left of a life that is over is not.
    async fn read(
        &self,
        subject: String,
        mut take: impl FnMut(Message) + 'static,
    ) -> Result<Reader, String> {
        let mut subscriber = self.life.subscribe(subject).await?;
        let (stop, mut stopped) = oneshot::channel();
        let life = self.life.clone();
        let task = spawn_local(async move {
            loop {
                tokio::select! {
                    biased;
                    _ = &mut stopped => break,
                    message = subscriber.next() => match message {
                        Some(message) if !life.is_over() => take(message),
                        _ => return,
                    },
                }
            }
            end(&mut subscriber).await;
        });
        Ok(Reader { stop, task })
    }

    async fn read_topic(&self, topic: &Arc<str>) -> Result<Reader, String> {
        let (feed, broker) = (self.feed.clone(), Arc::clone(&self.broker));
        let (name, channel) = (Arc::clone(topic), [TOPIC, topic.as_bytes()].concat());
        let subject = self.broker.names.topic(topic);
        let take = move |message: Message| {
            if *message.payload == *wire::nodes::LOOKS {
                return message.reply.iter().for_each(|reply| broker.uses(reply));
            }
            let payload = match place(&broker, &name, &message) {
                None => message.payload.to_vec(),
                Some(place) => {
                    let place = format!("{place} ");
                    [wire::placed_front(), place.as_bytes(), &message.payload].concat()
                }
            };
            feed.message(channel.clone(), payload);
        };
        self.read(subject, take).await
    }
}

/// The place of a message that a stream of this topic has sent on.
fn place(broker: &NatsBroker, topic: &str, message: &Message) -> Option<Position> {
    let headers = message.headers.as_ref()?;
    let stream = headers.get(STREAM)?.as_str();
    Some(Position {
        epoch: broker.names.epoch(topic, stream)?,
        number: headers.get(NUMBER)?.as_str().parse().ok()?,
    })
}

async fn end(subscriber: &mut Subscriber) {
    // With the connection the subscription ends as well.
    let _ = subscriber.unsubscribe().await;
}

impl engine::Channels for NatsChannels {
    async fn own(&mut self) -> Result<(), String> {
        let (names, node) = (&self.broker.names, self.hub.node);
        let (feed, broker) = (self.feed.clone(), Arc::clone(&self.broker));
        let own = move |message: Message| {
            if !broker.told_here(&message.payload) {
                feed.message(OWN.to_vec(), message.payload.to_vec());
            }
        };
        let own = self.read(names.own(node), own).await?;
        let broker = Arc::clone(&self.broker);
        let unheard = move |message: Message| broker.unheard(&message.subject);
        let unheard = self.read(names.unheard(node, "*"), unheard).await?;
        let (hub, broker) = (Arc::clone(&self.hub), Arc::clone(&self.broker));
        let all = move |message: Message| broker.told_all(&hub, &message.payload);
        let all = self.read(names.all(), all).await?;
        self.others = vec![own, unheard, all];
        self.life.settled().await?;
        self.broker
            .begins()
            .await
            .map_err(|error| error.to_string())
    }

    async fn join(&mut self, topics: &[Arc<str>]) -> Result<(), String> {
        for topic in topics {
            if !self.topics.contains_key(topic) {
                let reader = self.read_topic(topic).await?;
                self.topics.insert(Arc::clone(topic), reader);
            }
        }
        self.life.settled().await
    }

    async fn leave(&mut self, topics: &[Arc<str>]) -> Result<(), String> {
        for topic in topics {
            if let Some(reader) = self.topics.remove(topic) {
                drop(reader.stop);
                // It ends; whatever it was, it is not read any more.
                let _ = reader.task.await;
            }
        }
        self.life.settled().await
    }
}
