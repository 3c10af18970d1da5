//! Refusals: one short response, mostly the last of its connection.

use std::borrow::Cow;
use std::fmt::Write;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use super::finish::finish;
use super::response::{self, Headers, Persistence};
use super::trace;
use crate::observe::one_line;

/// A response that refuses. Its body is for the peer: no file names, nothing of our insides.
#[derive(Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The status code.
    pub status: u16,
    /// The name by which logs and counters know it; it never changes. A limit's is that of its
    /// setting.
    pub id: &'static str,
    /// The words behind it.
    reason: String,
    headers: Headers,
    /// The body, plain text for the peer.
    pub body: String,
    /// Advice to the operator, for the log alone.
    advice: &'static str,
}

/// Seconds after which a client is told to try again.
const RETRY_AFTER: &str = "5";

impl Refusal {
    /// A refusal with the usual words for its status, and a sentence as body.
    pub fn new(status: u16, body: impl Into<String>) -> Self {
        Self::with_reason(status, "", format!("{}\n", body.into()))
    }

    /// A refusal in somebody's own words.
    pub fn with_reason(status: u16, reason: &str, body: String) -> Self {
        Self {
            status,
            id: match status {
                403 => "forbidden",
                404 => "not-found",
                405 => "method",
                426 => "upgrade-required",
                500.. => "server",
                _ => "request",
            },
            reason: reason.to_owned(),
            headers: Vec::new(),
            body,
            advice: "",
        }
    }

    /// The refusal of a server that goes down, and takes no new connections.
    pub fn draining() -> Self {
        Self::new(503, "the server is shutting down").named("draining")
    }

    /// Names the limit that was met.
    pub fn limit(mut self, setting: &'static str) -> Self {
        let said = self.body.trim_end();
        self.body = format!("{said}: --{setting} raises the limit\n");
        self.named(setting)
    }

    /// Says what the operator can do; the peer does not hear of it.
    pub fn advising(mut self, advice: &'static str) -> Self {
        self.advice = advice;
        self
    }

    /// Adds to what is said.
    pub fn adding(mut self, more: &str) -> Self {
        let said = self.body.trim_end();
        self.body = format!("{said}{more}\n");
        self
    }

    /// Gives it a name of its own.
    pub fn named(mut self, id: &'static str) -> Self {
        self.id = id;
        self
    }

    /// Says that it is worth trying again in a moment.
    pub fn with_retry_after(self) -> Self {
        self.header("Retry-After", RETRY_AFTER)
    }

    /// Adds a header.
    pub fn header(mut self, name: impl Into<Cow<'static, str>>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Returns the reason for the log: the body in one short line, and the advice. A script may
    /// have written it with what a peer sent.
    pub fn why(&self) -> String {
        const SHOWN: usize = 256;
        let body = self.body.trim_end();
        one_line(&body[..body.floor_char_boundary(SHOWN)]) + self.advice
    }

    /// Whether it is the path that was wrong.
    pub fn has_lost_its_way(&self) -> bool {
        self.status == 404 || self.id == "path"
    }

    /// Whether the next request may come on the same connection: this one was understood, and has
    /// nothing behind it.
    pub fn leaves_open(&self) -> bool {
        matches!(self.status, 308 | 404 | 405 | 412 | 416)
    }

    fn encode(&self, then: Persistence, without_body: bool) -> String {
        let mut out = response::head(self.status, &self.reason, then, &self.headers);
        let length = self.body.len();
        let _ = write!(
            out,
            "Content-Type: text/plain; charset=utf-8\r\nContent-Length: {length}\r\n\r\n"
        );
        if !without_body {
            out.push_str(&self.body);
        }
        out
    }

    /// Logs its head for who follows them.
    pub fn trace(&self, connection: u64, then: Persistence) {
        if trace::is_on() {
            let head = self.encode(then, true);
            trace::head(connection, "out", head.as_bytes());
        }
    }

    /// Sends it within `time`, and keeps the connection for `keep_alive`; whether it could be sent.
    pub async fn send_and_keep<S: AsyncWrite + Unpin>(
        self,
        stream: &mut S,
        time: Duration,
        keep_alive: Duration,
        without_body: bool,
    ) -> bool {
        let response = self.encode(Persistence::Keep(keep_alive), without_body);
        let sending = async {
            stream.write_all(response.as_bytes()).await?;
            stream.flush().await
        };
        matches!(timeout(time, sending).await, Ok(Ok(())))
    }

    /// Sends it as the last of its connection, within `time`.
    pub async fn send<S>(self, stream: S, time: Duration, without_body: bool)
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let response = self.encode(Persistence::Close, without_body);
        finish(stream, response.as_bytes(), time).await;
    }
}
