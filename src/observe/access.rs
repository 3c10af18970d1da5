//! The access log: a line for each connection that opens and closes, and for each request that is
//! answered. Queries may hold secrets, and are not in it.

use std::fmt;
use std::time::Duration;

pub use super::event::By;
use super::event::{self, Event};
use super::{one_line, terminal};

/// Bytes of a path that are logged.
const SHOWN: usize = 200;

/// Whether somebody wants its lines.
pub fn is_wanted() -> bool {
    event::is_wanted!(Access, INFO)
}

/// A connection after its handshake.
pub struct Opened<'o> {
    /// The connection's number.
    pub connection: u64,
    /// Without a query.
    pub path: &'o str,
    /// The client's address, or `unix`.
    pub client: &'o str,
    /// The handler's file.
    pub handler: &'o str,
    /// The version that serves.
    pub version: u64,
    /// The subprotocol, if there is one.
    pub protocol: Option<&'o str>,
}

impl Opened<'_> {
    /// Logs the opened connection.
    pub fn log(&self) {
        let Self {
            connection,
            client,
            handler,
            version,
            protocol,
            ..
        } = *self;
        let path = shown(self.path);
        if terminal::watched().is_some() {
            let protocol = protocol.map_or(String::new(), |protocol| format!(", {protocol}"));
            let line = &format_args!(
                "#{connection} {path} opened: {client}, {handler} v{version}{protocol}"
            );
            return Event::Access { line }.tell();
        }
        Event::Opened {
            connection,
            path: &path,
            client,
            handler,
            version,
            protocol,
        }
        .tell();
    }
}

/// The traffic of one direction.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Number of whole messages.
    pub messages: u64,
    /// Bytes behind the handshake, as they were before TLS.
    pub bytes: u64,
}

/// A connection at its end.
pub struct Closed<'c> {
    /// The connection's number.
    pub connection: u64,
    /// Without a query.
    pub path: &'c str,
    /// The client's address, or `unix`.
    pub client: &'c str,
    /// The code, as the handler is told it.
    pub code: u16,
    /// The reason that came with it, or what went wrong.
    pub reason: &'c str,
    /// The side that ended the connection.
    pub by: By,
    /// Time for which the connection was open.
    pub time: Duration,
    /// From the client.
    pub received: Traffic,
    /// To the client.
    pub sent: Traffic,
}

impl Closed<'_> {
    /// Logs the closed connection.
    pub fn log(&self) {
        let Self {
            connection,
            client,
            code,
            by,
            received,
            sent,
            ..
        } = *self;
        let path = shown(self.path);
        let reason = Some(one_line(self.reason)).filter(|reason| !reason.is_empty());
        if terminal::watched().is_some() {
            let reason = reason.map_or(String::new(), |reason| format!(": {reason}"));
            let (time, received, sent) =
                (Time(self.time), Short("in", received), Short("out", sent));
            let line = &format_args!(
                "#{connection} {path} closed {code} by {by}, {time}, {received} {sent}{reason}"
            );
            return Event::Access { line }.tell();
        }
        Event::Closed {
            connection,
            path: &path,
            client,
            code,
            reason: reason.as_deref(),
            by: event::text(&by),
            // To the millisecond.
            seconds: self.time.as_millis() as f64 / 1e3,
            messages_in: received.messages,
            bytes_in: received.bytes,
            messages_out: sent.messages,
            bytes_out: sent.bytes,
        }
        .tell();
    }
}

/// A request that was answered, and not with a refusal, which has a line of its own.
pub struct Answered<'a> {
    /// The connection's number.
    pub connection: u64,
    /// The request's method.
    pub method: &'a str,
    /// Without a query.
    pub path: &'a str,
    /// The client's address, or `unix`.
    pub client: &'a str,
    /// The answer's status code.
    pub status: u16,
    /// Bytes of the answer's body.
    pub bytes: u64,
}

impl Answered<'_> {
    /// Logs the answered request.
    pub fn log(&self) {
        let Self {
            connection,
            client,
            status,
            bytes,
            ..
        } = *self;
        let (method, path) = (shown(self.method), shown(self.path));
        if terminal::watched().is_some() {
            let line = &format_args!("#{connection} {method} {path} {status}: {client}, {bytes} B");
            return Event::Access { line }.tell();
        }
        Event::Answered {
            connection,
            method: &method,
            path: &path,
            client,
            status,
            bytes,
        }
        .tell();
    }
}

fn shown(text: &str) -> String {
    one_line(&text[..text.floor_char_boundary(SHOWN)])
}

/// Messages and bytes in a few columns.
struct Short(&'static str, Traffic);

impl fmt::Display for Short {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Traffic { messages, bytes } = self.1;
        let way = self.0;
        let (mut value, mut unit) = (bytes as f64, "B");
        for larger in ["KiB", "MiB", "GiB", "TiB"] {
            if value < 1024.0 {
                break;
            }
            (value, unit) = (value / 1024.0, larger);
        }
        let digits = usize::from(unit != "B" && value < 10.0);
        write!(out, "{way} {messages} ({value:.digits$} {unit})")
    }
}

/// A time in its two largest units.
struct Time(Duration);

impl fmt::Display for Time {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        match seconds {
            0 => write!(out, "{}ms", self.0.as_millis()),
            1..60 => write!(out, "{seconds}.{}s", self.0.subsec_millis() / 100),
            60..3600 => write!(out, "{}m{}s", seconds / 60, seconds % 60),
            _ => write!(out, "{}h{}m", seconds / 3600, seconds / 60 % 60),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_gets_short_numbers() {
        for (bytes, wanted) in [
            (0, "in 1 (0 B)"),
            (1023, "in 1 (1023 B)"),
            (1024, "in 1 (1.0 KiB)"),
            (20_000, "in 1 (20 KiB)"),
            (5 << 30, "in 1 (5.0 GiB)"),
        ] {
            let traffic = Traffic { messages: 1, bytes };
            assert_eq!(Short("in", traffic).to_string(), wanted);
        }
        for (millis, wanted) in [
            (0, "0ms"),
            (999, "999ms"),
            (2_345, "2.3s"),
            (61_000, "1m1s"),
            (7_380_000, "2h3m"),
        ] {
            assert_eq!(Time(Duration::from_millis(millis)).to_string(), wanted);
        }
    }
}
