//! Connections that are turned away as they arrive: what they are told, and what is logged, once and then counted.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::sync::Semaphore;

use super::stream::Stream;
use super::tls;
use crate::config::limits::HEAD;
use crate::http;

/// How often one and the same refusal is said.
const REPEAT: Duration = Duration::from_secs(10);
/// Refused clients that are waited for at once, until they have read why. More of them are just dropped.
const TELLING: usize = 128;
/// A fatal alert in the clear, RFC 8446 section 6: internal_error, which is also what a lack of room is called.
const ALERT: [u8; 7] = [21, 3, 3, 0, 2, 2, 80];

/// Why a connection is refused, and what the operator can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There are so many already.
    #[error("no room for another connection; raise --max-connections")]
    Connections(usize),
    /// There are so many from its address.
    #[error("too many connections from one address; raise --max-connections-per-address")]
    ByAddress(usize),
    /// The system has no descriptor or memory for it.
    #[error(
        "no further connection can be accepted: there are no file descriptors left; raise the open-file limit (ulimit -n)"
    )]
    OpenFiles,
}

/// Tells and logs refusals.
#[derive(Debug)]
pub struct Refusals {
    telling: Arc<Semaphore>,
    /// One for each kind.
    said: [Said; 3],
}

/// When something was said last, and how often it has happened since.
#[derive(Debug, Default, Clone, Copy)]
struct Said {
    last: Option<(Instant, Refusal)>,
    since: u64,
}

impl Default for Refusals {
    fn default() -> Self {
        Self {
            telling: Arc::new(Semaphore::new(TELLING)),
            said: Default::default(),
        }
    }
}

impl Refusals {
    /// Logs a refusal: the first of a flood at once, then how many there were.
    pub fn log(&mut self, refusal: Refusal) {
        let said = &mut self.said[refusal.kind()];
        said.since += 1;
        if said.is_due() {
            said.say(refusal);
        }
    }

    /// When a count is to be logged, if one is.
    pub fn due(&self) -> Option<Instant> {
        let waiting = self.said.iter().filter(|said| said.since > 0);
        waiting.filter_map(|said| Some(said.last?.0 + REPEAT)).min()
    }

    /// Logs the counts that are due.
    pub fn log_counts(&mut self) {
        for said in &mut self.said {
            if let Some((_, refusal)) = said.last
                && said.since > 0
                && said.is_due()
            {
                said.say(refusal);
            }
        }
    }

    /// Tells the client, beside whatever else is going on. One that expects TLS gets an alert in the clear: a handshake
    /// would cost the most just when there is the least, and whoever sends the flood nothing.
    pub fn tell(&self, stream: Stream, speaks_tls: bool) {
        // What is dropped here still ends at once.
        let Ok(permit) = Arc::clone(&self.telling).try_acquire_owned() else {
            return;
        };
        tokio::spawn(async move {
            let _ = match stream {
                Stream::Tcp(stream) => match tokio::net::TcpStream::from_std(stream) {
                    Ok(stream) => tell(stream, speaks_tls).await,
                    Err(error) => Err(error),
                },
                Stream::Unix(stream) => match tokio::net::UnixStream::from_std(stream) {
                    Ok(stream) => tell(stream, speaks_tls).await,
                    Err(error) => Err(error),
                },
            };
            drop(permit);
        });
    }
}

/// Answers one that is refused, in a protocol that it can read.
pub async fn tell<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    speaks_tls: bool,
) -> io::Result<()> {
    if speaks_tls {
        tokio::time::timeout(HEAD.linger, stream.write_all(&ALERT)).await??;
        tls::linger(stream).await;
    } else {
        http::Refusal::new(503, "the server has no room for another connection")
            .for_now()
            .send(stream, false)
            .await;
    }
    Ok(())
}

impl Said {
    fn is_due(&self) -> bool {
        self.last.is_none_or(|(last, _)| last.elapsed() >= REPEAT)
    }

    fn say(&mut self, refusal: Refusal) {
        let count = std::mem::take(&mut self.since);
        self.last = Some((Instant::now(), refusal));
        let id = refusal.id();
        match refusal {
            Refusal::Connections(limit) | Refusal::ByAddress(limit) => {
                tracing::warn!(refusal = id, limit, count, "{refusal}");
            }
            Refusal::OpenFiles => tracing::error!(refusal = id, count, "{refusal}"),
        }
    }
}

impl Refusal {
    /// The name by which logs and counters know it; it never changes.
    pub fn id(self) -> &'static str {
        match self {
            Self::Connections(_) => "max-connections",
            Self::ByAddress(_) => http::Kind::Address.id(),
            Self::OpenFiles => "open-files",
        }
    }

    fn kind(self) -> usize {
        match self {
            Self::Connections(_) => 0,
            Self::ByAddress(_) => 1,
            Self::OpenFiles => 2,
        }
    }
}
