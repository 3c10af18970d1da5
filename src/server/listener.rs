//! Listening and accepting: everything is bound before anything else starts, and a bad socket never
//! stops the accepting.

use std::convert::Infallible;
use std::fs::File;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{sleep, sleep_until};
use tokio_rustls::rustls::ServerConfig;

use super::gate::Gate;
use super::refusal::{Refusal, Refusals};
use super::stream::{Acceptor, Socket, Stream};
use super::tls::Terms;
use super::unix::SocketFile;
use super::worker::{Arrival, Worker};
use crate::http::{Client, Descriptors};

/// Back-off of accepting when the system has no descriptor or memory for another connection: the
/// first pause, and the longest.
const PAUSE: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(500));
/// Connections that are shed at once then; the rest wait for the next look.
const SHED: usize = 64;

/// A socket that listens, and what is spoken on it.
#[derive(Debug)]
pub struct Listener {
    /// The listening socket, TCP or Unix-domain.
    pub socket: Socket,
    /// Whether it speaks TLS.
    pub is_encrypted: bool,
    /// Its file, if it has made one.
    pub file: Option<SocketFile>,
}

impl Listener {
    /// Returns its URL: `ws://127.0.0.1:9998`, `wss://[::1]:9999`, `unix:/run/wsh.sock`.
    pub fn url(&self) -> String {
        let scheme = match (&self.socket, self.is_encrypted) {
            (Socket::Tcp(_), false) => "ws",
            (Socket::Tcp(_), true) => "wss",
            (Socket::Unix(_), false) => "unix",
            (Socket::Unix(_), true) => "unix+tls",
        };
        format!("{scheme}:{}", self.socket)
    }
}

/// The limits and the TLS configuration that connections are accepted by.
#[derive(Debug)]
pub struct Admission {
    /// The gate that admits or refuses each connection.
    pub gate: Arc<Gate>,
    /// The count of open connections, and of files that are sent.
    pub room: Arc<Descriptors>,
    /// The configuration of TLS handshakes, if there are any, and how long each may take.
    pub tls: Option<(watch::Receiver<Arc<ServerConfig>>, Duration)>,
    /// Time to read on behind a refusal.
    pub linger: Duration,
}

/// Accepts for ever, and gives each connection to the worker with the fewest. Dropped, it listens
/// no more.
pub async fn accept(
    listeners: Vec<Listener>,
    admission: Admission,
    workers: &[Worker],
) -> io::Result<Infallible> {
    let (mut acceptors, mut files) = (Vec::new(), Vec::new());
    for listener in listeners {
        acceptors.push((Acceptor::try_from(listener.socket)?, listener.is_encrypted));
        files.push(listener.file);
    }
    let mut door = AcceptLoop {
        acceptors,
        refusals: Refusals::new(admission.linger),
        admission,
        workers,
        reserve: reserve(),
        next: 0,
        _files: files,
    };
    loop {
        door.turn().await;
    }
}

/// The accept loop: its sockets, its limits, and the workers.
struct AcceptLoop<'w> {
    acceptors: Vec<(Acceptor, bool)>,
    admission: Admission,
    workers: &'w [Worker],
    refusals: Refusals,
    reserve: Option<File>,
    /// The socket that is asked first, so that a flood on one does not shut the others out.
    next: usize,
    _files: Vec<Option<SocketFile>>,
}

/// A connection that was accepted, with its address, and whether it is to speak TLS.
type Accepted = (Stream, Option<SocketAddr>, bool);

impl AcceptLoop<'_> {
    async fn turn(&mut self) {
        let due = self.refusals.due();
        tokio::select! {
            accepted = poll_fn(|context| self.poll_accept(context)) => match accepted {
                Ok(accepted) => self.take(accepted),
                Err(error) if is_exhaustion(&error) => self.exhausted().await,
                // The peer was gone before we came to it.
                Err(_) => {}
            },
            () = wait(due) => self.refusals.log_counts(),
        }
    }

    fn poll_accept(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Accepted>> {
        for _ in 0..self.acceptors.len() {
            self.next = (self.next + 1) % self.acceptors.len();
            let (acceptor, is_encrypted) = &self.acceptors[self.next];
            if let Poll::Ready(accepted) = acceptor.poll_accept(context) {
                return Poll::Ready(
                    accepted.map(|(stream, address)| (stream, address, *is_encrypted)),
                );
            }
        }
        Poll::Pending
    }

    fn take(&mut self, (stream, address, is_encrypted): Accepted) {
        let open = self.admission.room.used();
        let place = match self.admission.gate.admit(address, open) {
            Ok(place) => place,
            Err(refusal) => {
                self.refusals.log(refusal);
                return self.refusals.tell(stream, is_encrypted);
            }
        };
        let tls = self.admission.tls.as_ref().filter(|_| is_encrypted);
        let arrival = Arrival {
            stream,
            client: Client {
                address,
                ..Client::default()
            },
            tls: tls.map(|(config, time)| Terms {
                config: config.borrow().clone(),
                time: *time,
            }),
            place,
            gate: Arc::clone(&self.admission.gate),
        };
        let worker = self
            .workers
            .iter()
            .min_by_key(|worker| worker.connections());
        if let Some(worker) = worker {
            worker.take(arrival);
        }
    }

    /// The system has no room: those who wait are shed, and a pause follows, longer each time,
    /// until there is room again.
    async fn exhausted(&mut self) {
        let (mut pause, longest) = PAUSE;
        loop {
            self.refusals.log(Refusal::OpenFiles);
            self.shed().await;
            sleep(pause).await;
            self.refusals.log_counts();
            pause = (pause * 2).min(longest);
            match self.accept_now().await {
                Some(Err(error)) if is_exhaustion(&error) => {}
                Some(Ok(accepted)) => return self.take(accepted),
                Some(Err(_)) | None => return,
            }
        }
    }

    /// Ends those who wait, with the descriptor that is kept for that: they learn at once what they
    /// would wait for in vain.
    async fn shed(&mut self) {
        self.reserve = None;
        for _ in 0..SHED {
            match self.accept_now().await {
                Some(Ok(accepted)) => drop(accepted),
                Some(Err(_)) | None => break,
            }
        }
        self.reserve = reserve();
    }

    /// A connection that waits, if one does.
    async fn accept_now(&mut self) -> Option<io::Result<Accepted>> {
        poll_fn(|context| match self.poll_accept(context) {
            Poll::Ready(accepted) => Poll::Ready(Some(accepted)),
            Poll::Pending => Poll::Ready(None),
        })
        .await
    }
}

/// A descriptor that can be given up when there is no other.
fn reserve() -> Option<File> {
    File::open("/dev/null").ok()
}

async fn wait(until: Option<std::time::Instant>) {
    match until {
        Some(until) => sleep_until(until.into()).await,
        None => std::future::pending().await,
    }
}

fn is_exhaustion(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM)
    )
}
