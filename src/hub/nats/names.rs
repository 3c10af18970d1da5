//! The names of subjects and streams in NATS.
//!
//! A topic is one token of a subject, whatever its name has in it. A stream's name tells its topic,
//! by a digest, and its life: another life is another stream.

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use sha2::{Digest, Sha256};

use crate::hub::node::Node;
use crate::hub::position::Position;

/// Bytes of a digest that are in a stream's name.
const DIGEST: usize = 16;

/// Names that begin with a prefix.
#[derive(Debug, Clone)]
pub struct Names {
    /// The prefix.
    pub prefix: String,
}

impl Names {
    /// A topic's subject: what its subscribers are sent.
    pub fn topic(&self, topic: &str) -> String {
        let token = BASE64URL_NOPAD.encode(topic.as_bytes());
        format!("{}.t.{token}", self.prefix)
    }

    /// The subject that its stream keeps.
    pub fn kept(&self, topic: &str) -> String {
        let token = BASE64URL_NOPAD.encode(topic.as_bytes());
        format!("{}.h.{token}", self.prefix)
    }

    /// The subjects that streams of topics keep.
    pub fn kept_all(&self) -> String {
        format!("{}.h.>", self.prefix)
    }

    /// The topic whose stream keeps this subject.
    pub fn of(&self, kept: &str) -> Option<String> {
        let token = kept.strip_prefix(&format!("{}.h.", self.prefix))?;
        let topic = BASE64URL_NOPAD.decode(token.as_bytes()).ok()?;
        String::from_utf8(topic).ok()
    }

    /// The subject of what is for one node.
    pub fn own(&self, node: Node) -> String {
        format!("{}.n.{node}", self.prefix)
    }

    /// The subject of the server's word that another node, which was asked so, does not listen.
    pub fn unheard(&self, node: Node, ticket: &str) -> String {
        format!("{}.u.{node}.{ticket}", self.prefix)
    }

    /// The subject of what is for all nodes.
    pub fn all(&self) -> String {
        format!("{}.all", self.prefix)
    }

    /// The name of a topic's stream in one life.
    pub fn stream(&self, topic: &str, epoch: u64) -> String {
        let life = Position { epoch, number: 0 }.life();
        format!("{}{life}", self.front(topic))
    }

    /// The life whose stream of a topic has this name, if it is one.
    pub fn epoch(&self, topic: &str, stream: &str) -> Option<u64> {
        let life = stream.strip_prefix(&self.front(topic))?;
        let position = Position::parse(&format!("{life}.0"))?;
        Some(position.epoch)
    }

    fn front(&self, topic: &str) -> String {
        let digest = Sha256::digest(topic.as_bytes());
        let digest = HEXLOWER.encode(&digest[..DIGEST]);
        // A stream's name has no dots in it.
        format!("{}-{digest}-", self.prefix.replace('.', "="))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_is_one_token_and_a_stream_tells_its_life() {
        let names = Names {
            prefix: "my.chat".to_owned(),
        };
        let topics = ["room/1", "a.b", "*", ">", "grüße an alle", "", "\r\n"];
        for topic in topics {
            let subject = names.topic(topic);
            let token = subject.strip_prefix("my.chat.t.").expect("the prefix");
            let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
            assert!(token.bytes().all(is_plain), "{subject}");
            assert_eq!(names.of(&names.kept(topic)).as_deref(), Some(topic));
            let epoch = Position::new_epoch();
            let stream = names.stream(topic, epoch);
            assert!(
                stream.starts_with("my=chat-") && stream.len() < 200,
                "{stream}"
            );
            for other in topics {
                let wanted = (other == topic).then_some(epoch);
                assert_eq!(names.epoch(other, &stream), wanted, "{other}");
            }
        }
        for stream in ["", "my=chat", "my=chat-", "wsh-x-1"] {
            assert_eq!(names.epoch("room/1", stream), None);
        }
        let stream = names.stream("room/1", 36);
        for more in [".", "x.", "0", "-", "ü"] {
            let other = stream.replace("10", more);
            assert_ne!(names.epoch("room/1", &other), Some(36), "{other}");
        }
    }
}
