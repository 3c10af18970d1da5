//! An open connection as its owner sees it: messages to send, and what comes, one after another.
//!
//! What is sent is queued, and leaves while [`Connection::next`] or [`Connection::flush`] waits:
//! so a peer that answers long messages with long ones never has both sides wait for each other.
//! Pings are answered here, and shown.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::frames::{self, Breach, Frames, Incoming};
use super::handshake::Deflate;
use crate::websocket::frame::Control;
use crate::websocket::{Close, Message};

/// Bytes that are read at once.
const READ: usize = 16 * 1024;

/// Bytes of what has been sent that stay in the queue before they are moved out of it.
const SENT: usize = 64 * 1024;

/// Bytes in the queue from which Pings are not answered: the peer takes none of the answers.
const UNANSWERED: usize = 1024 * 1024;

/// How long the other side may take to end the stream when all is said.
const LINGER: Duration = Duration::from_secs(2);

/// A stream to a server.
pub enum Stream {
    /// TCP alone.
    Plain(TcpStream),
    /// With TLS.
    Tls(Box<TlsStream<TcpStream>>),
    /// In memory, in tests.
    Memory(DuplexStream),
}

/// How a connection has ended.
#[derive(Debug, thiserror::Error)]
pub enum Ended {
    /// The stream has ended.
    #[error("the connection ended without a Close")]
    Abruptly,
    /// It broke.
    #[error("the connection broke: {0}")]
    Broken(#[from] io::Error),
    /// The server has broken the protocol; it was told so.
    #[error("the server has broken the protocol: {0}")]
    Breach(Breach),
}

/// An open connection.
pub struct Connection {
    stream: Stream,
    frames: Frames,
    /// What is to be sent, from `sent` on.
    out: Vec<u8>,
    sent: usize,
    has_closed: bool,
}

impl Connection {
    /// A connection whose handshake is done. `early` came behind its answer.
    pub fn new(stream: Stream, deflate: Option<Deflate>, early: Vec<u8>, limit: usize) -> Self {
        Self {
            stream,
            frames: Frames::new(deflate, early, limit),
            out: Vec::new(),
            sent: 0,
            has_closed: false,
        }
    }

    /// Queues a message. After our Close nothing is sent any more.
    pub fn send(&mut self, message: &Message<'_>) {
        if !self.has_closed {
            self.frames.message(&mut self.out, message);
        }
    }

    /// Queues a Ping; of its payload 125 bytes are sent.
    pub fn ping(&mut self, payload: &[u8]) {
        self.control(Control::Ping, payload);
    }

    /// Queues the Close, once. `None` has no code.
    pub fn close(&mut self, close: Option<&Close>) {
        self.control(
            Control::Close,
            &close.map(Close::encode).unwrap_or_default(),
        );
        self.has_closed = true;
    }

    /// Whether our Close is queued or sent.
    pub fn has_closed(&self) -> bool {
        self.has_closed
    }

    /// Bytes that the stream has not taken yet.
    pub fn unsent(&self) -> usize {
        self.out.len() - self.sent
    }

    /// Bytes of messages that it holds: what is not sent, and what is not whole yet.
    pub fn held(&self) -> usize {
        self.unsent() + self.frames.held()
    }

    fn control(&mut self, control: Control, payload: &[u8]) {
        if !self.has_closed {
            frames::control(&mut self.out, control, payload);
        }
    }

    /// What comes next; what is queued leaves meanwhile. May be given up and called again. A Ping
    /// has been answered, and so has a Close.
    pub async fn next(&mut self) -> Result<Incoming, Ended> {
        poll_fn(|context| self.poll_next(context)).await
    }

    /// Ready when all that is queued has left; what comes meanwhile is kept.
    pub async fn flush(&mut self) -> Result<(), Ended> {
        poll_fn(|context| self.poll_flush(context)).await
    }

    /// Sends what is queued, and waits a little for the end of the stream, so that nothing of it is
    /// lost.
    pub async fn finish(mut self) {
        let ending = async {
            if self.flush().await.is_ok() && self.stream.shutdown().await.is_ok() {
                let mut rest = [0; 1024];
                while let Ok(1..) = self.stream.read(&mut rest).await {}
            }
        };
        let _ = tokio::time::timeout(LINGER, ending).await;
    }

    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Result<Incoming, Ended>> {
        loop {
            match self.frames.next() {
                Ok(Some(incoming)) => {
                    match &incoming {
                        Incoming::Ping(payload) if self.unsent() < UNANSWERED => {
                            self.control(Control::Pong, payload);
                        }
                        Incoming::Close(close) => self.close(close.as_ref()),
                        Incoming::Message(_) | Incoming::Ping(_) | Incoming::Pong(_) => {}
                    }
                    // It may be the last that is asked for.
                    let _ = self.poll_flush(context);
                    return Poll::Ready(Ok(incoming));
                }
                Ok(None) => {}
                Err(breach) => {
                    let close = Close::new(breach.code(), &breach.to_string());
                    self.close(Some(&close));
                    let _ = self.poll_flush(context);
                    return Poll::Ready(Err(Ended::Breach(breach)));
                }
            }
            // A stream that takes nothing any more may still have something to say.
            let _ = self.poll_flush(context);
            let mut piece = [0; READ];
            let mut filled = ReadBuf::new(&mut piece);
            ready!(Pin::new(&mut self.stream).poll_read(context, &mut filled))?;
            if filled.filled().is_empty() {
                return Poll::Ready(Err(Ended::Abruptly));
            }
            self.frames.input().extend_from_slice(filled.filled());
        }
    }

    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Ended>> {
        while self.sent < self.out.len() {
            let rest = &self.out[self.sent..];
            match ready!(Pin::new(&mut self.stream).poll_write(context, rest)) {
                Ok(0) => return Poll::Ready(Err(Ended::Abruptly)),
                Ok(count) => self.sent += count,
                Err(error) => return Poll::Ready(Err(error.into())),
            }
            if self.sent == self.out.len() || self.sent > SENT {
                self.out.drain(..std::mem::take(&mut self.sent));
            }
        }
        ready!(Pin::new(&mut self.stream).poll_flush(context))?;
        Poll::Ready(Ok(()))
    }
}

impl Stream {
    /// The address at its other end, if it has one.
    pub fn place(&self) -> Option<SocketAddr> {
        match self {
            Self::Plain(stream) => stream.peer_addr().ok(),
            Self::Tls(stream) => stream.get_ref().0.peer_addr().ok(),
            Self::Memory(_) => None,
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Memory(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Memory(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(context),
            Self::Tls(stream) => Pin::new(stream).poll_flush(context),
            Self::Memory(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Memory(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
