//! Bytes to messages and back: RFC 6455 as pure functions, and the one task that puts them on a
//! stream.
//!
//! `frame` → `message` turn a client's bytes into messages, `close` checks the end, [`Outbox`]
//! gathers what goes back, and [`Connection`] drives a [`Session`] with it. Others hold a
//! [`Handle`] of it; [`Connections`] has all of a worker's. `extensions` says whether messages are
//! compressed, `deflate` does it, `share` and `inflation` say how much of its worker a connection
//! may use before others have theirs, `ledger` what all of them may hold together. Nothing here
//! knows scripts, HTTP or configuration files.

mod buffer;
pub mod clock;
pub mod close;
pub mod code;
pub mod connection;
mod deadlines;
pub mod deflate;
mod deflation;
pub mod extensions;
pub mod frame;
pub mod handle;
pub mod handshake;
mod inbox;
pub mod inflation;
mod ledger;
pub mod message;
pub mod outbox;
mod rate;
mod registry;
pub mod session;
mod share;
mod shared;
mod state;
mod tally;
mod tap;
mod trace;
pub mod transport;
mod utf8;
mod violation;
mod watch;

pub use crate::config::limits::Websocket as Limits;
pub use clock::Clock;
pub use close::Close;
pub use connection::Connection;
pub use deflate::Pool;
pub use handle::{Handle, Parting};
pub use ledger::Ledger;
pub use message::{Decoder, Incoming, Message};
pub use outbox::{Outbox, ReadyState, SendError};
pub use registry::Connections;
pub use session::{Event, Heed, Outcome, Session};
pub use shared::Shared;
pub use tally::Tally;
pub use transport::Transport;
pub use violation::Violation;
pub use watch::Watch;
