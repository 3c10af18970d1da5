//! Connections that are turned away as they arrive: what they are told, and what is logged, once
//! and then counted.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Semaphore;

use super::stream::Stream;
use crate::http;
use crate::observe::Flood;
use crate::observe::event::Event;

/// Interval between two log lines about the same refusal.
const REPEAT: Duration = Duration::from_secs(10);
/// Refused clients that are waited for at once, until they have read why. More of them are just
/// dropped.
const TELLING: usize = 128;
/// A fatal alert in the clear, RFC 8446 section 6: internal_error, which is also what a lack of
/// room is called.
const ALERT: [u8; 7] = [21, 3, 3, 0, 2, 2, 80];

/// The reason why a connection is refused, and what the operator can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Refusal {
    /// There are so many already.
    #[error("no room for another connection; raise --max-connections")]
    Connections(usize),
    /// There are so many from its address.
    #[error("too many connections from one address; raise --max-connections-per-address")]
    ByAddress(usize),
    /// The system has no descriptor or memory for it.
    #[error(
        "no further connection can be accepted: there are no file descriptors left; raise the \
        open-file limit (ulimit -n)"
    )]
    OpenFiles,
}

/// Tells and logs refusals.
#[derive(Debug)]
pub struct Refusals {
    telling: Arc<Semaphore>,
    /// Time to read on behind a refusal.
    linger: Duration,
    flood: Flood<Refusal>,
    /// When those that were not said are summed up, if one was said at all.
    due: Option<Instant>,
}

impl Refusals {
    /// `linger`: how long those who are refused have to read why.
    pub fn new(linger: Duration) -> Self {
        Self {
            telling: Arc::new(Semaphore::new(TELLING)),
            linger,
            flood: Flood::lines(1),
            due: None,
        }
    }

    /// Logs a refusal: the first of a flood at once, then how many there were.
    pub fn log(&mut self, refusal: Refusal) {
        refusal.event(1).tell_within(&mut self.flood, &refusal);
        self.due.get_or_insert_with(|| Instant::now() + REPEAT);
    }

    /// When a count may have to be logged, if ever.
    pub fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Logs the counts that are due.
    pub fn log_counts(&mut self) {
        if self.due.is_some_and(|due| due <= Instant::now()) {
            self.flood.tick(|refusal, count| refusal.event(count).log());
            self.due = (!self.flood.is_idle()).then(|| Instant::now() + REPEAT);
        }
    }

    /// Tells the client, beside whatever else is going on. One that expects TLS gets an alert in
    /// the clear: a handshake would cost the most just when there is the least, and whoever sends
    /// the flood nothing.
    pub fn tell(&self, stream: Stream, speaks_tls: bool) {
        // What is dropped here still ends at once.
        let Ok(permit) = Arc::clone(&self.telling).try_acquire_owned() else {
            return;
        };
        let linger = self.linger;
        tokio::spawn(async move {
            match stream {
                Stream::Tcp(stream) => {
                    if let Ok(stream) = tokio::net::TcpStream::from_std(stream) {
                        tell(stream, speaks_tls, linger).await;
                    }
                }
                Stream::Unix(stream) => {
                    if let Ok(stream) = tokio::net::UnixStream::from_std(stream) {
                        tell(stream, speaks_tls, linger).await;
                    }
                }
            }
            drop(permit);
        });
    }
}

/// Answers one that is refused, in a protocol that it can read.
pub async fn tell<S>(stream: S, speaks_tls: bool, linger: Duration)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    if speaks_tls {
        return http::finish(stream, &ALERT, linger).await;
    }
    let refusal = http::Refusal::new(503, "the server has no room for another connection");
    refusal.with_retry_after().send(stream, linger, false).await;
}

impl Refusal {
    /// So many were refused.
    fn event(&self, count: u64) -> Event<'_> {
        let refusal = self.id();
        match self {
            Self::Connections(limit) | Self::ByAddress(limit) => Event::ConnectionsRefused {
                refusal,
                limit: *limit,
                count,
                why: self,
            },
            Self::OpenFiles => Event::OpenFiles {
                refusal,
                count,
                why: self,
            },
        }
    }

    /// The name by which logs and counters know it; it never changes.
    pub fn id(self) -> &'static str {
        match self {
            Self::Connections(_) => "max-connections",
            Self::ByAddress(_) => http::Kind::Address.id(),
            Self::OpenFiles => "open-files",
        }
    }
}
