//! Bytes to messages and back: RFC 6455 as pure functions, and the one task that puts them on a
//! stream.
//!
//! `frame` → `message` turn a client's bytes into messages, `close` checks the end, [`Outbox`]
//! gathers what goes back, and [`Connection`] drives a [`Session`] with it. Others hold a
//! [`Handle`] of it; [`Connections`] has all of a worker's. `extensions` says whether messages are
//! compressed, `deflate` does it, `quantum` and `inflation` say how much of its worker a connection
//! may use before others have theirs, `ledger` what all of them may hold together, `lent` has
//! payloads that many outboxes refer to. `shaper` is the schedule of a worse network, `shaped` a
//! stream that goes by it. Nothing here knows scripts, HTTP or configuration files.

mod buffer;
pub(crate) mod clock;
pub(crate) mod close;
pub(crate) mod code;
pub(crate) mod connection;
mod deadlines;
pub(crate) mod deflate;
mod deflation;
pub mod extensions;
pub mod frame;
pub(crate) mod handle;
pub mod handshake;
mod inbox;
pub mod inflation;
mod ledger;
mod lent;
pub(crate) mod message;
mod onlooker;
pub(crate) mod outbox;
mod quantum;
mod rate;
mod registry;
pub(crate) mod session;
mod shaped;
mod shaper;
mod shared;
mod state;
mod tally;
mod tap;
mod trace;
pub(crate) mod transport;
mod utf8;
mod violation;
mod watch;

pub use crate::config::limits::Websocket as Limits;
pub(crate) use clock::Clock;
pub use close::Close;
pub use connection::Connection;
pub use deflate::Pool;
pub(crate) use handle::Abort;
pub use handle::Handle;
pub(crate) use ledger::Ledger;
pub use lent::Payload;
pub use message::{Decoder, Incoming, Message};
pub use onlooker::Onlooker;
pub use outbox::{Outbox, ReadyState, SendError};
pub use session::{Event, Interest, Outcome, Session};
pub(crate) use shaped::Shaped;
pub use shared::Shared;
pub(crate) use tally::Tally;
pub use transport::Transport;
pub use violation::Violation;
pub(crate) use watch::Watch;
