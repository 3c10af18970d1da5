//! What is for one connection, on whichever worker it is: a message or a Close, with an answer.

use std::fmt;

use tokio::sync::oneshot;

use super::node::Node;
use crate::websocket::frame::Data;
use crate::websocket::message::Message;
use crate::websocket::{Close, Handle, ReadyState, Shared};

/// A connection as all of the process's threads can name it, and no other process has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Address {
    /// The process.
    pub node: Node,
    /// The worker's number.
    pub worker: usize,
    /// The connection's.
    pub connection: u64,
}

impl Address {
    /// Reads an address as it is written; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let (node, worker, connection) = (parts.next()?, parts.next()?, parts.next()?);
        let address = Self {
            node: Node(u64::from_str_radix(node, 16).ok()?),
            worker: worker.parse().ok()?,
            connection: connection.parse().ok()?,
        };
        // There is one spelling of each.
        (address.to_string() == text).then_some(address)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}-{}-{}", self.node, self.worker, self.connection)
    }
}

/// What is for it.
#[derive(Debug)]
pub enum Direct {
    /// A message.
    Send(Data, Vec<u8>),
    /// The end.
    Close(Close),
}

/// The same on its way, with whoever waits for the answer: whether it was done.
#[derive(Debug)]
pub struct Parcel {
    /// The connection.
    pub connection: u64,
    /// What is for it.
    pub direct: Direct,
    /// Who waits; nobody any more if the hook has ended.
    pub answer: oneshot::Sender<bool>,
}

impl Parcel {
    /// Bytes that it counts on its way.
    pub fn worth(&self) -> usize {
        match &self.direct {
            Direct::Send(_, bytes) => bytes.len(),
            Direct::Close(_) => 0,
        }
    }

    /// Hands it over, if the connection is open and has room for it.
    pub fn deliver(self, shared: &Shared) {
        let handle = shared.connections.get(self.connection);
        let is_open = |handle: &Handle| handle.state() == ReadyState::Open;
        let done = match handle.filter(|handle| is_open(handle)) {
            None => false,
            Some(handle) => match self.direct {
                Direct::Close(close) => handle.close(Some(&close)).is_ok(),
                Direct::Send(..) if handle.buffered() >= shared.limits.send_queue => false,
                Direct::Send(Data::Text, bytes) => String::from_utf8(bytes)
                    .is_ok_and(|text| handle.send(&Message::Text(text.into())).is_ok()),
                Direct::Send(_, bytes) => handle.send(&Message::Binary(bytes.into())).is_ok(),
            },
        };
        // Whoever has asked may be gone.
        let _ = self.answer.send(done);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_as_it_was_written() {
        let address = Address {
            node: Node::new(),
            worker: 3,
            connection: 42,
        };
        assert_eq!(Address::parse(&address.to_string()), Some(address));
        let text = address.to_string();
        for other in [
            "",
            "42",
            "-",
            "--",
            &text[1..],
            &format!("{text}-"),
            &format!("{text}0x"),
        ] {
            assert_eq!(Address::parse(other), None, "{other}");
        }
    }
}
