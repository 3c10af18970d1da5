//! The channels of topics and nodes in Redis.

use std::sync::Arc;

use super::names::Names;
use crate::hub::engine;
use crate::hub::node::Node;
use crate::redis::Channels;

/// Those of one life of the connection.
#[derive(Debug)]
pub struct RedisChannels {
    channels: Channels,
    names: Names,
    node: Node,
}

impl RedisChannels {
    /// Those of this node.
    pub fn new(channels: Channels, names: Names, node: Node) -> Self {
        Self {
            channels,
            names,
            node,
        }
    }

    fn of(&self, topics: &[Arc<str>]) -> Vec<String> {
        let channels = topics.iter().map(|topic| self.names.channel(topic));
        channels.collect()
    }
}

impl engine::Channels for RedisChannels {
    async fn own(&mut self) -> Result<(), String> {
        self.channels.subscribe(&[self.names.own(self.node)]).await
    }

    async fn join(&mut self, topics: &[Arc<str>]) -> Result<(), String> {
        self.channels.subscribe(&self.of(topics)).await
    }

    async fn leave(&mut self, topics: &[Arc<str>]) -> Result<(), String> {
        self.channels.unsubscribe(&self.of(topics)).await
    }
}
