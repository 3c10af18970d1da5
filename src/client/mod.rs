//! An address to a connection that we open: the other end of what `server` accepts.
//!
//! `address` reads a URL, `dial` makes a stream of it (TCP, and `tls` where it says so) and asks
//! for the upgrade by `handshake`; [`Connection`] then turns the server's bytes into messages and
//! back by `frames`. The last two are pure; whoever has a stream from elsewhere can use them, too.
//! `egress` says where scripts may go and how much of it they may have open; `fetch` is an HTTP
//! request of theirs, over a connection of the `pool` if there is one.

mod address;
mod connection;
mod dial;
mod egress;
mod fetch;
mod frames;
mod handshake;
mod pool;
mod tls;

pub(crate) use address::Address;
pub(crate) use connection::{Connection, Ended, Stream};
pub(crate) use dial::{Dialed, NotOpened, Timing, Way, dial, dial_over, reach_encrypted};
pub(crate) use egress::{Barred, Egress, Kind, Permit};
pub(crate) use fetch::{Fetched, NotFetched, Query, fetch};
pub(crate) use frames::{Frames, Incoming};
pub(crate) use handshake::{Answer, Ask, compression};
pub(crate) use tls::Trust;
