//! Refusals: one response, then the end of the connection.

use std::borrow::Cow;
use std::fmt::Write;

use http::StatusCode;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::config::limits::HEAD;
use crate::observe::one_line;

/// A response that ends the connection. Its body is for the peer: no file names, nothing of our insides.
#[derive(Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The status code.
    pub status: u16,
    /// The name by which logs and counters know it; it never changes. A limit's is that of its setting.
    pub id: &'static str,
    /// The words behind it.
    reason: String,
    headers: Vec<(Cow<'static, str>, String)>,
    /// Plain text.
    pub body: String,
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
        let usual = || {
            StatusCode::from_u16(status)
                .ok()
                .and_then(|status| status.canonical_reason())
                .unwrap_or("Refused")
        };
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
            reason: if reason.is_empty() { usual() } else { reason }.to_owned(),
            headers: Vec::new(),
            body,
        }
    }

    /// Names the limit that was met.
    pub fn limit(self, setting: &'static str) -> Self {
        self.named(setting)
    }

    /// Gives it a name of its own.
    pub fn named(mut self, id: &'static str) -> Self {
        self.id = id;
        self
    }

    /// Says that it is worth trying again in a moment.
    pub fn for_now(self) -> Self {
        self.header("Retry-After", RETRY_AFTER)
    }

    /// Adds a header.
    pub fn header(mut self, name: impl Into<Cow<'static, str>>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Why, for the log: the body in one short line. A script may have written it with what a peer sent.
    pub fn why(&self) -> String {
        const SHOWN: usize = 256;
        let body = self.body.trim_end();
        one_line(&body[..body.floor_char_boundary(SHOWN)])
    }

    fn encode(&self, without_body: bool) -> String {
        let mut out = format!("HTTP/1.1 {} {}\r\n", self.status, self.reason);
        // RFC 9110 section 7.8: Upgrade is announced in Connection.
        let upgrade = self.headers.iter().any(|(name, _)| name == "Upgrade");
        out.push_str(if upgrade {
            "Connection: Upgrade, close\r\n"
        } else {
            "Connection: close\r\n"
        });
        for (name, value) in &self.headers {
            let _ = write!(out, "{name}: {value}\r\n");
        }
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

    /// Sends it, and reads on for a while, so that a reset does not overtake it.
    pub async fn send<S: AsyncRead + AsyncWrite + Unpin>(self, mut stream: S, without_body: bool) {
        let response = self.encode(without_body);
        let sending = async {
            stream.write_all(response.as_bytes()).await?;
            stream.shutdown().await?;
            let mut rest = [0; 2048];
            while stream.read(&mut rest).await? > 0 {}
            std::io::Result::Ok(())
        };
        // A peer that is gone, or goes on sending, has been told as well as it can be.
        let _ = tokio::time::timeout(HEAD.linger, sending).await;
    }
}
