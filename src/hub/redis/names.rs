//! The names of keys and channels in Redis.

use crate::hub::node::Node;

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
