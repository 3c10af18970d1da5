//! What nodes tell each other where the engine keeps nothing for them: that they live, how many
//! subscribe to what, and, when they are asked, who is in a topic.

use std::sync::Arc;

use super::people;
use crate::hub::node::Node;
use crate::hub::presence::Report;

/// The formats, and their version: that a node lives,
const LIVES: &[u8] = b"WSN1";
/// a question who is in a topic,
const ASKED: &[u8] = b"WSQ1";
/// and an answer to it.
const ANSWERED: &[u8] = b"WSR1";

/// A question whether anybody uses a topic, on its channel.
pub const LOOKS: &[u8] = b"WSL1";

/// Something that has come for all nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToAll {
    /// A node lives; whether it wants all others to tell what they have, and how many subscribe to
    /// some topics there.
    Lives(Node, bool, Vec<(String, u64)>),
    /// A node asks who is in a topic, with a number.
    Who(Node, u64, String),
}

/// A part of an answer to [`ToAll::Who`].
#[derive(Debug, Clone, PartialEq)]
pub struct Here {
    /// From where.
    pub node: Node,
    /// The number of the question.
    pub ticket: u64,
    /// Whether it is the last part.
    pub is_last: bool,
    /// Who is there, and how.
    pub people: Vec<(Arc<str>, Report)>,
}

/// That this node lives, and how many subscribe to these topics.
pub fn lives<'t>(
    node: Node,
    wants_all: bool,
    counts: impl IntoIterator<Item = (&'t str, u64)>,
) -> Vec<u8> {
    let mut bytes = LIVES.to_vec();
    bytes.extend(node.0.to_le_bytes());
    bytes.push(wants_all.into());
    for (topic, count) in counts {
        bytes.extend(count.to_le_bytes());
        put(&mut bytes, topic.as_bytes());
    }
    bytes
}

/// A question who is in a topic.
pub fn who(node: Node, ticket: u64, topic: &str) -> Vec<u8> {
    let (node, ticket) = (node.0.to_le_bytes(), ticket.to_le_bytes());
    [ASKED, &node, &ticket, topic.as_bytes()].concat()
}

/// A part of the answer.
pub fn here(here: &Here) -> Vec<u8> {
    let mut bytes = ANSWERED.to_vec();
    bytes.extend(here.node.0.to_le_bytes());
    bytes.extend(here.ticket.to_le_bytes());
    bytes.push(here.is_last.into());
    for (key, report) in &here.people {
        put(&mut bytes, key.as_bytes());
        put(&mut bytes, &people::kept(report));
    }
    bytes
}

/// Reads what is for all nodes.
pub fn read(bytes: &[u8]) -> Option<ToAll> {
    if let Some(rest) = bytes.strip_prefix(ASKED) {
        let (node, rest) = number(rest)?;
        let (ticket, topic) = number(rest)?;
        let topic = std::str::from_utf8(topic).ok()?;
        return Some(ToAll::Who(Node(node), ticket, topic.to_owned()));
    }
    let (node, rest) = number(bytes.strip_prefix(LIVES)?)?;
    let (wants_all, mut rest) = flag(rest)?;
    let mut counts = Vec::new();
    while !rest.is_empty() {
        let (count, behind) = number(rest)?;
        let (topic, behind) = take(behind)?;
        let topic = std::str::from_utf8(topic).ok()?;
        counts.push((topic.to_owned(), count));
        rest = behind;
    }
    Some(ToAll::Lives(Node(node), wants_all, counts))
}

/// Whether something for one node is an answer to [`ToAll::Who`].
pub fn is_here(bytes: &[u8]) -> bool {
    bytes.starts_with(ANSWERED)
}

/// Reads such an answer.
pub fn read_here(bytes: &[u8]) -> Option<Here> {
    let (node, rest) = number(bytes.strip_prefix(ANSWERED)?)?;
    let (ticket, rest) = number(rest)?;
    let (is_last, mut rest) = flag(rest)?;
    let mut all = Vec::new();
    while !rest.is_empty() {
        let (key, behind) = take(rest)?;
        let (kept, behind) = take(behind)?;
        let key = std::str::from_utf8(key).ok()?;
        let key = Some(key).filter(|key| !key.is_empty())?;
        all.push((Arc::from(key), people::read_kept(kept)?));
        rest = behind;
    }
    Some(Here {
        node: Node(node),
        ticket,
        is_last,
        people: all,
    })
}

fn put(bytes: &mut Vec<u8>, part: &[u8]) {
    let length = u32::try_from(part.len()).unwrap_or(u32::MAX);
    bytes.extend(length.to_le_bytes());
    bytes.extend(part);
}

fn take(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    rest.split_at_checked(length)
}

fn number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (number, rest) = bytes.split_first_chunk()?;
    Some((u64::from_le_bytes(*number), rest))
}

fn flag(bytes: &[u8]) -> Option<(bool, &[u8])> {
    match bytes.split_first()? {
        (0, rest) => Some((false, rest)),
        (1, rest) => Some((true, rest)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nodes_tell_arrives_and_nothing_else_does() {
        let node = Node::new();
        let bytes = lives(node, true, [("a/b", 3), ("grüße", 0)]);
        let counts = vec![("a/b".to_owned(), 3), ("grüße".to_owned(), 0)];
        assert_eq!(read(&bytes), Some(ToAll::Lives(node, true, counts)));
        let ends = [13, 13 + 8 + 4 + 3, bytes.len()];
        for cut in 0..bytes.len() {
            assert_eq!(read(&bytes[..cut]).is_some(), ends.contains(&cut), "{cut}");
        }
        let bytes = who(node, 7, "t");
        assert_eq!(read(&bytes), Some(ToAll::Who(node, 7, "t".to_owned())));
        assert_eq!(read(&bytes[..19]), None);
        let report = |info: Option<&str>| Report {
            info: info.map(Arc::from),
            connections: 2,
            since: 1.5,
            said: 2.5,
        };
        let people = vec![
            (Arc::from("ann"), report(None)),
            ("bob".into(), report(Some("[1]"))),
        ];
        let all = Here {
            node,
            ticket: 9,
            is_last: true,
            people,
        };
        let bytes = here(&all);
        assert!(is_here(&bytes));
        assert_eq!(read_here(&bytes), Some(all));
        assert_eq!(read_here(&bytes[..bytes.len() - 1]), None);
        for bytes in [
            b"".as_slice(),
            b"WSN1",
            b"WSR1",
            b"WSN1........\x02",
            b"hello",
        ] {
            assert_eq!((read(bytes), read_here(bytes)), (None, None));
        }
    }
}
