//! Redis or Valkey, for whatever uses them: commands in order, and messages of channels.
//!
//! | file | is about |
//! |---|---|
//! | `address` | from the URL of an engine to a client that finds it |
//! | `commands` | the connection for commands: in order, many in a round trip, each answered |
//! | `queue` | what is to be sent on it, within a bound |
//! | `script` | scripts that run in the server, each atomic |
//! | `feed`, `channels` | the connection for messages: read at once, whoever is slow |
//!
//! All of it runs on the thread of whoever uses it; a clone of [`Commands`] is for every thread.

mod address;
mod channels;
mod commands;
mod feed;
mod queue;
mod script;

pub use channels::Channels;
pub use commands::Commands;
pub use feed::feed;
pub use script::Script;
