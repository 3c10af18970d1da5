//! Sockets of either kind, TCP and Unix-domain: what listens, and what is accepted.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::os::unix::net::{UnixListener, UnixStream};
use std::task::{Context, Poll, ready};

/// A bound socket that listens.
#[derive(Debug)]
pub enum Socket {
    /// A TCP socket.
    Tcp(TcpListener),
    /// A socket in the file system.
    Unix(UnixListener),
}

/// An accepted stream that no runtime knows yet.
#[derive(Debug)]
pub enum Stream {
    /// By a port.
    Tcp(std::net::TcpStream),
    /// By a socket in the file system.
    Unix(UnixStream),
}

/// A socket that a runtime knows.
#[derive(Debug)]
pub enum Acceptor {
    /// A TCP socket.
    Tcp(tokio::net::TcpListener),
    /// A socket in the file system.
    Unix(tokio::net::UnixListener),
}

impl TryFrom<Socket> for Acceptor {
    type Error = io::Error;

    /// For a runtime's thread.
    fn try_from(socket: Socket) -> io::Result<Self> {
        Ok(match socket {
            Socket::Tcp(socket) => {
                socket.set_nonblocking(true)?;
                Self::Tcp(socket.try_into()?)
            }
            Socket::Unix(socket) => {
                socket.set_nonblocking(true)?;
                Self::Unix(socket.try_into()?)
            }
        })
    }
}

impl Acceptor {
    /// The next stream, and its peer's address if it has one.
    pub fn poll_accept(
        &self,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<(Stream, Option<SocketAddr>)>> {
        Poll::Ready(match self {
            Self::Tcp(socket) => {
                let (stream, address) = ready!(socket.poll_accept(context))?;
                let _ = stream.set_nodelay(true);
                // A socket of both families that was handed over shows IPv4 addresses as IPv6 ones.
                let address = SocketAddr::new(address.ip().to_canonical(), address.port());
                stream
                    .into_std()
                    .map(|stream| (Stream::Tcp(stream), Some(address)))
            }
            Self::Unix(socket) => {
                let (stream, _) = ready!(socket.poll_accept(context))?;
                stream.into_std().map(|stream| (Stream::Unix(stream), None))
            }
        })
    }
}

impl Socket {
    /// The address and port that it is bound to; one in the file system has none.
    pub fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(socket) => socket.local_addr().ok(),
            Self::Unix(_) => None,
        }
    }

    /// The address alone.
    pub fn ip(&self) -> Option<IpAddr> {
        self.address().map(|address| address.ip())
    }
}

impl fmt::Display for Socket {
    /// Its address behind a scheme: `//127.0.0.1:9998`, or the path of its file.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(socket) => match socket.local_addr() {
                Ok(address) => write!(out, "//{address}"),
                Err(error) => write!(out, "//({error})"),
            },
            Self::Unix(socket) => match socket.local_addr() {
                Ok(address) => match address.as_pathname() {
                    Some(path) => path.display().fmt(out),
                    None => out.write_str("(no path)"),
                },
                Err(error) => write!(out, "({error})"),
            },
        }
    }
}

/// A stream whose first byte can be looked at without being read.
pub trait Peek {
    /// That byte; `None` where there is none, or where it cannot be known.
    async fn first_byte(&self) -> Option<u8>;
}

impl Peek for tokio::net::TcpStream {
    async fn first_byte(&self) -> Option<u8> {
        let mut byte = [0];
        let count = self.peek(&mut byte).await.ok()?;
        (count > 0).then_some(byte[0])
    }
}

impl Peek for tokio::net::UnixStream {
    /// The standard library has no stable way.
    async fn first_byte(&self) -> Option<u8> {
        None
    }
}
