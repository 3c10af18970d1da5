//! A response that is no refusal, and how it gets to a client that may read slowly.

use std::borrow::Cow;
use std::fmt::Write;
use std::fs::File;
use std::future::poll_fn;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::StatusCode;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

use super::descriptors::Held;
use super::trace;
use crate::config::limits::FILES;
use crate::observe::accounts::Account;

/// The persistence of the connection after a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Persistence {
    /// The connection is closed.
    Close,
    /// It waits for another request, for so long.
    Keep(Duration),
}

/// Header lines in their order.
pub type Headers = Vec<(Cow<'static, str>, String)>;

/// A response that is no refusal: status, headers and body.
#[derive(Debug)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The words behind it; empty for the usual ones.
    pub reason: String,
    /// Headers besides the date, the length and the connection.
    pub headers: Headers,
    /// The body, which follows the head; empty by default.
    pub body: Body,
    /// Whose traffic it is, if that is counted.
    pub account: Option<Arc<Account>>,
}

/// Parts, one behind the other.
#[derive(Debug, Default)]
pub struct Body {
    /// In their order.
    pub parts: Vec<Part>,
    /// The file that [`Part::File`] is of, and its place among the descriptors.
    pub file: Option<(Arc<File>, Held)>,
}

/// Some bytes of a body.
#[derive(Debug)]
pub enum Part {
    /// Owned or static bytes.
    Bytes(Cow<'static, [u8]>),
    /// These, which others are sent as well.
    Shared(Arc<[u8]>),
    /// These of the file.
    File(Range<u64>),
}

impl Part {
    fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Shared(bytes) => bytes.len() as u64,
            Self::File(range) => range.end - range.start,
        }
    }
}

impl Body {
    /// Bytes that are there.
    pub fn of(bytes: impl Into<Cow<'static, [u8]>>) -> Self {
        Self {
            parts: vec![Part::Bytes(bytes.into())],
            file: None,
        }
    }

    /// Its bytes, of one that was made [of](Self::of) them.
    pub fn into_bytes(self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for part in self.parts {
            match part {
                Part::Bytes(part) => bytes.extend_from_slice(&part),
                Part::Shared(part) => bytes.extend_from_slice(&part),
                Part::File(_) => {}
            }
        }
        bytes
    }

    /// Returns the length, in bytes.
    pub fn len(&self) -> u64 {
        self.parts.iter().map(Part::len).sum()
    }
}

/// The head of a response, up to where a length would follow.
pub fn head(status: u16, reason: &str, then: Persistence, headers: &Headers) -> String {
    let mut out = String::with_capacity(512);
    let usual = StatusCode::from_u16(status).ok();
    let usual = usual.and_then(|status| status.canonical_reason());
    let reason = if reason.is_empty() {
        usual.unwrap_or("Other")
    } else {
        reason
    };
    let _ = write!(out, "HTTP/1.1 {status} {reason}\r\n");
    // RFC 9110 section 7.8: Upgrade is announced in Connection.
    let is_upgrade = headers.iter().any(|(name, _)| name == "Upgrade");
    let _ = match then {
        Persistence::Close if is_upgrade => out.write_str("Connection: Upgrade, close\r\n"),
        Persistence::Close => out.write_str("Connection: close\r\n"),
        Persistence::Keep(time) => write!(
            out,
            "Connection: keep-alive\r\nKeep-Alive: timeout={}\r\n",
            time.as_secs().max(1)
        ),
    };
    let date = httpdate::fmt_http_date(SystemTime::now());
    let _ = write!(out, "Date: {date}\r\n");
    for (name, value) in headers {
        let _ = write!(out, "{name}: {value}\r\n");
    }
    out
}

/// The pace of a worker's responses: so many at a time are read from the disk and written, the
/// others wait for a permit. A client that takes nothing for the moment has none, so that it holds
/// up nobody.
pub struct SendPolicy<'s> {
    /// Of the worker.
    pub turns: &'s Semaphore,
    /// Time limit without progress, while the client takes nothing at all.
    pub stall: Duration,
    /// The connection's number.
    pub connection: u64,
}

impl Response {
    /// One without a body.
    pub fn new(status: u16) -> Self {
        Self {
            status,
            reason: String::new(),
            headers: Vec::new(),
            body: Body::default(),
            account: None,
        }
    }

    /// The same with these words behind the status.
    pub fn because(mut self, reason: String) -> Self {
        self.reason = reason;
        self
    }

    /// Adds a header.
    pub fn header(mut self, name: impl Into<Cow<'static, str>>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// The same with a body.
    pub fn with(mut self, body: Body) -> Self {
        self.body = body;
        self
    }

    /// Sends it, without its body where only the head is asked for.
    pub async fn send<S: AsyncWrite + Unpin>(
        self,
        stream: &mut S,
        pace: &SendPolicy<'_>,
        then: Persistence,
        without_body: bool,
    ) -> io::Result<()> {
        let length = self.body.len();
        let mut text = head(self.status, &self.reason, then, &self.headers);
        // RFC 9110 section 8.6, and a 304 has the length of another response.
        if !matches!(self.status, 204 | 304) {
            let _ = write!(text, "Content-Length: {length}\r\n");
        }
        text.push_str("\r\n");
        trace::head(pace.connection, "out", text.as_bytes());
        if let Some(account) = &self.account {
            account.sent(text.len() as u64 + if without_body { 0 } else { length });
        }
        let time = FILES.time + Duration::from_secs(length / FILES.rate);
        let sending = async {
            let body = if without_body {
                Body::default()
            } else {
                self.body
            };
            body.send(stream, pace, text.into_bytes()).await?;
            within(pace.stall, stream.flush()).await
        };
        within(time, sending).await
    }
}

impl Body {
    async fn send<S: AsyncWrite + Unpin>(
        self,
        stream: &mut S,
        pace: &SendPolicy<'_>,
        mut ready: Vec<u8>,
    ) -> io::Result<()> {
        let mut turn = None;
        for part in self.parts {
            match part {
                Part::Bytes(bytes) => ready.extend_from_slice(&bytes),
                Part::Shared(bytes) => {
                    for chunk in bytes.chunks(FILES.chunk) {
                        turn = Some(pace.turn().await?);
                        write(stream, pace, &ready, &mut turn).await?;
                        ready.clear();
                        write(stream, pace, chunk, &mut turn).await?;
                    }
                }
                Part::File(range) => {
                    let Some((file, _)) = &self.file else {
                        continue;
                    };
                    let mut at = range.start;
                    while at < range.end {
                        // Behind all who wait already: a small file is not to wait for a large one.
                        drop(turn.take());
                        turn = Some(pace.turn().await?);
                        let count = (range.end - at).min(FILES.chunk as u64);
                        ready = read(file, ready, at, count as usize).await?;
                        write(stream, pace, &ready, &mut turn).await?;
                        ready.clear();
                        at += count;
                    }
                }
            }
        }
        write(stream, pace, &ready, &mut turn).await
    }
}

impl SendPolicy<'_> {
    async fn turn(&self) -> io::Result<SemaphorePermit<'_>> {
        self.turns.acquire().await.map_err(io::Error::other)
    }
}

/// Reads behind what is in the buffer, on a thread that may wait for the disk.
async fn read(file: &Arc<File>, mut buffer: Vec<u8>, at: u64, count: usize) -> io::Result<Vec<u8>> {
    let file = Arc::clone(file);
    let reading = tokio::task::spawn_blocking(move || {
        let from = buffer.len();
        buffer.resize(from + count, 0);
        // One that was cut meanwhile cannot be what was announced: the connection ends.
        file.read_exact_at(&mut buffer[from..], at)?;
        Ok(buffer)
    });
    reading.await.map_err(io::Error::other)?
}

/// Writes all of it, and gives the turn back as soon as the client takes nothing.
async fn write<S: AsyncWrite + Unpin>(
    stream: &mut S,
    pace: &SendPolicy<'_>,
    mut bytes: &[u8],
    turn: &mut Option<SemaphorePermit<'_>>,
) -> io::Result<()> {
    while !bytes.is_empty() {
        let writing = poll_fn(|context| {
            let polled = Pin::new(&mut *stream).poll_write(context, bytes);
            if polled.is_pending() {
                drop(turn.take());
            }
            polled
        });
        match within(pace.stall, writing).await? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            count => bytes = &bytes[count..],
        }
    }
    Ok(())
}

/// The same with a bound.
async fn within<T>(time: Duration, doing: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    match timeout(time, doing).await {
        Ok(done) => done,
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}
