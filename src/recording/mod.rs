//! Recorded conversations: files in the HTTP Archive format, HAR 1.2, whose entries have the
//! messages as Chrome writes them, in `_webSocketMessages`.
//!
//! Pings and Pongs stand among the messages, as Chrome's network panel shows them.
//!
//! `read` takes what browsers and proxies export, `write` makes a file while the conversation
//! happens, `recorder` does so for a server's connections, from the `queue` of each worker. What
//! HAR has no place for (the Close, and who served) stands in one member `_wsh` of the entry:
//! readers of HAR pass over members that begin with an underscore. HTTP Toolkit has a member for
//! the Close, `_webSocketClose`, which is there as well.
//!
//! For those who play it again, `steps` puts what was said in one order, `compare` looks at two
//! messages, `diff` shows how they differ, and `differences` adds that up.

mod compare;
mod diff;
mod differences;
mod queue;
mod read;
mod recorder;
mod steps;
mod write;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::Timestamp;

pub(crate) use compare::differ;
pub(crate) use differences::Differences;
pub(crate) use read::read;
pub(crate) use recorder::{Recorder, name};
pub(crate) use steps::{Step, What, headers, of as steps};
pub(crate) use write::{Head, Writer};

use crate::observe::event::By;
use crate::websocket::Message;

/// `_webSocketClose` of a connection that ended without a Close, as HTTP Toolkit writes it.
const ABORTED: &str = "aborted";

/// A side of a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// `send`: HAR takes the client's view.
    Client,
    /// `receive`.
    Server,
}

/// A control frame that recordings have beside messages, as Chrome's network panel shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beat {
    /// A Ping.
    Ping,
    /// A Pong.
    Pong,
}

impl Beat {
    /// Its opcode: RFC 6455 section 11.8.
    fn opcode(self) -> u8 {
        match self {
            Self::Ping => 9,
            Self::Pong => 10,
        }
    }
}

/// A message that was said.
#[derive(Debug, Clone, PartialEq)]
pub struct Said {
    /// By whom.
    pub by: Side,
    /// When, in seconds since 1970; 0 where it is not known.
    pub time: f64,
    /// What.
    pub message: Message<'static>,
}

/// How a conversation has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ending {
    /// The code, 1005 for a Close without one, 1006 without a Close.
    pub code: u16,
    /// The reason.
    pub reason: String,
    /// Whose Close was the first.
    pub by: By,
}

/// One recorded connection.
#[derive(Debug, Clone, PartialEq)]
pub struct Recording {
    /// The address, as it was recorded.
    pub url: String,
    /// When it was opened, in seconds since 1970; 0 where it is not known.
    pub started: f64,
    /// The request's header fields.
    pub headers: Vec<(String, String)>,
    /// The subprotocol that was agreed on.
    pub protocol: Option<String>,
    /// What was said, in order.
    pub said: Vec<Said>,
    /// How it ended, where that is known.
    pub ending: Option<Ending>,
    /// When it ended, in seconds since 1970; 0 where it is not known.
    pub ended: f64,
    /// Messages that the file does not have, because of its bound.
    pub left_out: u64,
}

impl Recording {
    /// Path and query, as the request line had them; `None` if the address makes no sense.
    pub fn target(&self) -> Option<String> {
        let uri: http::Uri = self.url.parse().ok()?;
        Some(uri.path_and_query()?.as_str().to_owned())
    }
}

/// Seconds since 1970.
pub fn seconds(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH)
        .map_or(0.0, |since| since.as_secs_f64())
}

/// A time to the millisecond; 1970 for one that has no date.
fn stamp(time: SystemTime) -> Timestamp {
    let since = time.duration_since(UNIX_EPOCH);
    let millis = since.map_or(0, |since| since.as_millis());
    let millis = i64::try_from(millis).unwrap_or_default();
    Timestamp::from_millisecond(millis).unwrap_or_default()
}

/// A time as HAR has it: RFC 3339 with milliseconds.
fn date(time: SystemTime) -> String {
    format!("{:.3}", stamp(time))
}

/// The same backwards, in seconds; 0 for what is no date.
fn seconds_of(date: &str) -> f64 {
    let time: Result<Timestamp, _> = date.parse();
    let millis = time.map_or(0, |time| time.as_millisecond().max(0));
    Duration::from_millis(millis.unsigned_abs()).as_secs_f64()
}

/// Whether a header is a secret, which recordings do not have unless they are asked for it; Chrome
/// leaves out the same.
pub fn is_secret(name: &str) -> bool {
    const SECRET: [&str; 4] = [
        "cookie",
        "set-cookie",
        "authorization",
        "proxy-authorization",
    ];
    SECRET.contains(&name.to_ascii_lowercase().as_str())
}

#[cfg(test)]
mod tests;
