//! Listening: addresses are bound before anything else starts, and a bad socket never stops the accepting.

use std::future::poll_fn;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;

use super::Worker;
use crate::config::Listen;
use crate::http::Client;

/// How long accepting pauses when the system has no descriptor or memory for another connection.
const EXHAUSTED: Duration = Duration::from_millis(100);
/// How often that is said.
const REPEAT: Duration = Duration::from_secs(10);
/// How often a free port is tried on the second address.
const ATTEMPTS: usize = 16;

/// The bound sockets and their real addresses.
#[derive(Debug)]
pub struct Listeners {
    sockets: Vec<std::net::TcpListener>,
}

/// Binds every address that the configuration names; port 0 becomes the same free port on all of them.
pub fn bind(listen: &Listen) -> io::Result<Listeners> {
    let (addresses, all) = match &listen.host {
        Some(host) => (
            (host.as_str(), listen.port)
                .to_socket_addrs()?
                .collect::<Vec<_>>(),
            true,
        ),
        // A machine without IPv6 still has a loopback.
        None => (
            vec![
                (Ipv4Addr::LOCALHOST, listen.port).into(),
                (Ipv6Addr::LOCALHOST, listen.port).into(),
            ],
            false,
        ),
    };
    let attempts = if listen.port == 0 { ATTEMPTS } else { 1 };
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for _ in 0..attempts {
        match bind_all(&addresses, all, listen.backlog) {
            Ok(sockets) => return Ok(Listeners { sockets }),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn bind_all(
    addresses: &[SocketAddr],
    all: bool,
    backlog: i32,
) -> io::Result<Vec<std::net::TcpListener>> {
    let mut sockets: Vec<std::net::TcpListener> = Vec::new();
    for address in addresses {
        let mut address = *address;
        if let Some(first) = sockets.first() {
            address.set_port(first.local_addr()?.port());
        }
        match bind_one(address, backlog) {
            Ok(socket) => sockets.push(socket),
            Err(error)
                if !all
                    && address.is_ipv6()
                    && !sockets.is_empty()
                    && error.kind() != io::ErrorKind::AddrInUse => {}
            Err(error) => return Err(error),
        }
    }
    if sockets.is_empty() {
        Err(io::ErrorKind::AddrNotAvailable.into())
    } else {
        Ok(sockets)
    }
}

fn bind_one(address: SocketAddr, backlog: i32) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(backlog)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

impl Listeners {
    /// The addresses, with the ports that were found.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.sockets
            .iter()
            .filter_map(|socket| socket.local_addr().ok())
            .collect()
    }

    /// Accepts for ever, and gives each connection to the worker with the fewest. Dropped, it listens no more.
    pub async fn accept(self, workers: &[Worker]) -> io::Result<()> {
        let sockets = self.sockets.into_iter().map(TcpListener::from_std);
        let listeners = sockets.collect::<io::Result<Vec<_>>>()?;
        let mut said: Option<Instant> = None;
        loop {
            match poll_fn(|context| poll_accept(&listeners, context)).await {
                Ok((stream, remote)) => {
                    let Ok(stream) = stream.into_std() else {
                        continue;
                    };
                    hand_over(stream, remote, workers);
                }
                Err(error) if is_exhaustion(&error) => {
                    if said.is_none_or(|said| said.elapsed() > REPEAT) {
                        said = Some(Instant::now());
                        tracing::error!(
                            "no further connection can be accepted: {error}; raise the open-file limit (ulimit -n)"
                        );
                    }
                    tokio::time::sleep(EXHAUSTED).await;
                }
                // The peer was gone before we came to it.
                Err(_) => {}
            }
        }
    }
}

fn poll_accept(
    listeners: &[TcpListener],
    context: &mut Context<'_>,
) -> Poll<io::Result<(tokio::net::TcpStream, SocketAddr)>> {
    let ready = listeners
        .iter()
        .map(|listener| listener.poll_accept(context))
        .find(Poll::is_ready);
    ready.unwrap_or(Poll::Pending)
}

fn hand_over(stream: TcpStream, remote: SocketAddr, workers: &[Worker]) {
    let _ = stream.set_nodelay(true);
    if let Some(worker) = workers.iter().min_by_key(|worker| worker.connections()) {
        let client = Client {
            address: Some(remote),
            ..Client::default()
        };
        worker.take(stream, client);
    }
}

fn is_exhaustion(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM)
    )
}
