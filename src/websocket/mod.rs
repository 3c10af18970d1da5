//! Bytes to messages and back: RFC 6455 as pure functions, and the one task that puts them on a stream.
//!
//! `frame` → `message` turn a client's bytes into messages, `close` checks the end, [`Outbox`] gathers what goes
//! back, and [`Connection`] drives a [`Session`] with it. Nothing here knows scripts, HTTP or configuration files.

pub mod clock;
pub mod close;
pub mod connection;
pub mod frame;
pub mod handshake;
mod inbox;
pub mod message;
pub mod outbox;
pub mod session;
pub mod utf8;
mod violation;

pub use clock::Clock;
pub use close::Close;
pub use connection::{Connection, Shared};
pub use message::{Decoder, Incoming, Message};
pub use outbox::{Outbox, ReadyState, SendError};
pub use session::{Event, Outcome, Session};
pub use violation::Violation;

/// The bounds of one connection, each with its unit; `config::limits` gives the values and the reasons.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of one message, all fragments together. Over it: 1009.
    pub message: usize,
    /// Fragments of one message from which their mean size counts.
    pub fragments: u32,
    /// Bytes that fragments must have on average beyond that count. Below it: 1008.
    pub mean_fragment: usize,
    /// Bytes of messages held while a hook runs; beyond it the socket is not read.
    pub read_ahead: usize,
    /// Bytes waiting to be sent from which `send` waits and the socket is not read.
    pub send_queue: usize,
    /// Seconds for an unfinished frame or message. Over it: 1008.
    pub assembly: u32,
    /// Seconds without a byte accepted by the peer while bytes wait: the connection is dropped.
    pub send: u32,
    /// Seconds of silence after which a Ping is sent.
    pub ping: u32,
    /// Seconds after that Ping without any byte: the peer is taken for dead.
    pub pong: u32,
    /// Seconds for the peer's Close after ours, and for hooks to finish after the peer's.
    pub close: u32,
    /// Seconds to read on after our last byte, so that the peer gets it before a reset.
    pub linger: u32,
}
