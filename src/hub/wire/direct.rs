//! What is for one connection of another node, and the answer, on the channels of the nodes.

use crate::hub::direct::{Address, Direct};
use crate::hub::node::Node;
use crate::websocket::Close;
use crate::websocket::frame::Data;

/// The format of each, and its version.
const ASKED: &[u8] = b"WSD1";
const ANSWERED: &[u8] = b"WSA1";

/// What it is.
const TEXT: u8 = 0;
const BINARY: u8 = 1;
const CLOSE: u8 = 2;

/// Something that has come for this node.
#[derive(Debug)]
pub enum Arrived {
    /// For a connection of a worker; and who is to be answered, with what number.
    Asked(usize, u64, Direct, Node, u64),
    /// The answer to what has this number.
    Answered(u64, bool),
}

/// Something for a connection, sent by this node.
pub fn asked(address: &Address, direct: Direct, node: Node, ticket: u64) -> Vec<u8> {
    let (kind, payload) = match direct {
        Direct::Send(Data::Text, bytes) => (TEXT, bytes),
        Direct::Send(_, bytes) => (BINARY, bytes),
        Direct::Close(close) => {
            let code = close.code.to_le_bytes();
            (CLOSE, [&code, close.reason.as_bytes()].concat())
        }
    };
    let mut bytes = ASKED.to_vec();
    for number in [address.worker as u64, address.connection, node.0, ticket] {
        bytes.extend(number.to_le_bytes());
    }
    bytes.push(kind);
    bytes.extend(payload);
    bytes
}

/// An answer.
pub fn answered(ticket: u64, done: bool) -> Vec<u8> {
    [ANSWERED, &ticket.to_le_bytes(), &[done.into()]].concat()
}

/// Reads what this node's channel has carried.
pub fn read(bytes: &[u8]) -> Option<Arrived> {
    let number = |bytes: &[u8], at: usize| {
        let bytes = bytes.get(at * 8..at * 8 + 8)?.try_into().ok()?;
        Some(u64::from_le_bytes(bytes))
    };
    if let Some(rest) = bytes.strip_prefix(ANSWERED) {
        let done = match rest.get(8..)? {
            [0] => false,
            [1] => true,
            _ => return None,
        };
        return Some(Arrived::Answered(number(rest, 0)?, done));
    }
    let rest = bytes.strip_prefix(ASKED)?;
    let (kind, payload) = rest.get(32..)?.split_first()?;
    let direct = match *kind {
        TEXT => {
            simdutf8::basic::from_utf8(payload).ok()?;
            Direct::Send(Data::Text, payload.to_vec())
        }
        BINARY => Direct::Send(Data::Binary, payload.to_vec()),
        CLOSE => {
            let (code, reason) = payload.split_first_chunk()?;
            let code = u16::from_le_bytes(*code);
            let reason = std::str::from_utf8(reason).ok()?;
            Direct::Close(Close::checked(code.into(), reason).ok()?)
        }
        _ => return None,
    };
    let (worker, connection) = (number(rest, 0)?, number(rest, 1)?);
    let (node, ticket) = (Node(number(rest, 2)?), number(rest, 3)?);
    let worker = usize::try_from(worker).ok()?;
    Some(Arrived::Asked(worker, connection, direct, node, ticket))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_and_answered_arrives_and_nothing_else_does() {
        let address = Address {
            node: Node::new(),
            worker: 3,
            connection: 42,
        };
        let close = Close::checked(4001, "grüße").expect("a Close");
        for direct in [
            || Direct::Send(Data::Text, "grüße".into()),
            || Direct::Send(Data::Binary, vec![255]),
        ] {
            let bytes = asked(&address, direct(), address.node, 7);
            let arrived = format!("{:?}", read(&bytes).expect("something"));
            let wanted = Arrived::Asked(3, 42, direct(), address.node, 7);
            assert_eq!(arrived, format!("{wanted:?}"));
            for cut in 0..4 + 32 + 1 {
                assert!(read(&bytes[..cut]).is_none(), "{cut}");
            }
        }
        let bytes = asked(&address, Direct::Close(close.clone()), address.node, 7);
        let Some(Arrived::Asked(_, _, Direct::Close(read_close), ..)) = read(&bytes) else {
            panic!("a Close");
        };
        assert_eq!(read_close, close);
        let forbidden = [&bytes[..37], &1005_u16.to_le_bytes()].concat();
        assert!(read(&forbidden).is_none());
        assert!(matches!(
            read(&answered(7, true)),
            Some(Arrived::Answered(7, true))
        ));
        for bytes in [
            b"WSA1".as_slice(),
            b"WSA1\0\0\0\0\0\0\0\0\x02",
            b"WSD1",
            b"",
        ] {
            assert!(read(bytes).is_none());
        }
    }
}
