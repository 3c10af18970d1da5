//! Reports of who is where, from node to node, on the channels of the topics.

use std::sync::Arc;

use serde::de::IgnoredAny;

use crate::hub::node::Node;
use crate::hub::presence::Report;

/// The format, and its version.
const MAGIC: &[u8] = b"WSP2";
/// Bytes of a report before what was said.
const FRONT: usize = 4 + 8 + 8;

/// A report that has come.
#[derive(Debug)]
pub struct Heard<'a> {
    /// From where.
    pub node: Node,
    /// Of whom.
    pub key: &'a str,
    /// How it is there, if it is.
    pub report: Option<Report>,
}

/// Whether a message of a topic's channel is a report.
pub fn is_report(bytes: &[u8]) -> bool {
    bytes.starts_with(MAGIC)
}

/// A report's bytes, as they are kept.
pub fn kept(report: &Report) -> Vec<u8> {
    let info = report.info.as_deref().unwrap_or_default();
    let connections = u32::try_from(report.connections).unwrap_or(u32::MAX);
    let mut bytes = Vec::with_capacity(FRONT + info.len());
    bytes.extend(connections.to_le_bytes());
    bytes.extend(report.since.to_le_bytes());
    bytes.extend(report.said.to_le_bytes());
    bytes.extend(info.as_bytes());
    bytes
}

/// Reads what was kept.
pub fn read_kept(bytes: &[u8]) -> Option<Report> {
    let (connections, rest) = bytes.split_first_chunk()?;
    let (since, rest) = rest.split_first_chunk()?;
    let (said, info) = rest.split_first_chunk()?;
    let (since, said) = (f64::from_le_bytes(*since), f64::from_le_bytes(*said));
    let info = match info {
        [] => None,
        info => {
            serde_json::from_slice::<IgnoredAny>(info).ok()?;
            Some(Arc::from(std::str::from_utf8(info).ok()?))
        }
    };
    let is_time = since.is_finite() && said.is_finite();
    is_time.then_some(Report {
        info,
        said,
        connections: usize::try_from(u32::from_le_bytes(*connections)).ok()?,
        since,
    })
}

/// A message that tells how a key is on this node; nothing is kept of one that has gone.
pub fn message(node: Node, key: &str, kept: &[u8]) -> Vec<u8> {
    let length = u32::try_from(key.len()).unwrap_or(u32::MAX);
    let (node, length) = (node.0.to_le_bytes(), length.to_le_bytes());
    [MAGIC, &node, &length, key.as_bytes(), kept].concat()
}

/// Reads such a message.
pub fn read(bytes: &[u8]) -> Option<Heard<'_>> {
    let (node, rest) = bytes.strip_prefix(MAGIC)?.split_first_chunk()?;
    let (length, rest) = rest.split_first_chunk()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    let (key, kept) = rest.split_at_checked(length)?;
    let key = std::str::from_utf8(key)
        .ok()
        .filter(|key| !key.is_empty())?;
    let report = match kept {
        [] => None,
        kept => Some(read_kept(kept)?),
    };
    Some(Heard {
        node: Node(u64::from_le_bytes(*node)),
        key,
        report,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_arrives_as_it_was_sent_and_nothing_else_is_one() {
        let node = Node::new();
        for info in [None, Some(Arc::from("{\"a\":[1]}"))] {
            let report = Report {
                info,
                connections: 3,
                since: 1.5,
                said: 2.5,
            };
            let bytes = message(node, "käthe", &kept(&report));
            let heard = read(&bytes).expect("a report");
            assert!(is_report(&bytes));
            assert_eq!((heard.node, heard.key), (node, "käthe"));
            assert_eq!(heard.report, Some(report));
            let without = 4 + 8 + 4 + "käthe".len();
            for cut in (0..without + FRONT).filter(|cut| *cut != without) {
                assert!(read(&bytes[..cut]).is_none(), "{cut}");
            }
            assert_eq!(read(&bytes[..without]).expect("a leave").report, None);
            assert!(read(&[bytes.as_slice(), b"x"].concat()).is_none());
        }
    }
}
