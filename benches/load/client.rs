//! One blocking connection: opens every connection of a fleet, and is the probe and the spinner
//! where one is enough.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use socket2::{Domain, Protocol, Socket, Type};

use crate::deflate::Agreement;
use crate::stream::Stream;
use crate::target::Target;
use crate::wire::{self, Decoder, Frame};

/// Longer than anything takes unless the server hangs: eight spinning handlers share one core, a
/// second of it each.
const PATIENCE: Duration = Duration::from_secs(30);

/// Connections from one source address before the next is taken: well under the 28,232 ephemeral
/// ports.
const CONNECTIONS_PER_SOURCE: usize = 10_000;

/// The last source address that connections are opened from.
const MOST_SOURCES: usize = 100;

pub struct Client {
    stream: Stream<TcpStream>,
    decoder: Decoder,
    /// How messages are compressed, if they are.
    pub agreement: Option<Agreement>,
    /// Bytes that came with the answer to the handshake.
    early: Vec<u8>,
}

/// What a connection received, as far as the blocking users need it.
#[derive(Debug)]
pub enum Received {
    Text(String),
    Close(u16),
    /// The server ended the connection without a Close.
    End,
}

impl Client {
    /// Connects from the `index`-th loopback source address and does the opening handshake, after
    /// TLS's if there is any.
    pub fn open(target: &Target, index: usize) -> Result<Client> {
        let client = Self::open_any(target, index)?;
        ensure!(
            client.early.is_empty(),
            "the server spoke first: this is no echo server"
        );
        Ok(client)
    }

    /// The same where the server may speak first.
    pub fn open_any(target: &Target, index: usize) -> Result<Client> {
        let mut stream = connect(target, index)?;
        stream.write_all(&target.request())?;
        let mut head = Vec::new();
        let mut buffer = [0; 1024];
        let early = loop {
            let count = stream
                .read(&mut buffer)
                .context("no answer to the handshake")?;
            ensure!(
                count > 0,
                "the server ended the connection during the handshake"
            );
            head.extend(&buffer[..count]);
            if let Some(length) = wire::accepted_head(&head)? {
                break head.split_off(length);
            }
        };
        let agreement = match target.offers_deflate {
            true => Some(Agreement::read(&head)?),
            false => None,
        };
        Ok(Client {
            stream,
            decoder: Decoder::new(agreement.is_some()),
            agreement,
            early,
        })
    }

    /// Writes bytes as they are.
    pub fn send(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(self.stream.write_all(bytes)?)
    }

    pub fn send_text(&mut self, text: &str) -> Result<()> {
        let mut frame = Vec::new();
        wire::push_frame(&mut frame, wire::TEXT, text.as_bytes());
        self.send(&frame)
    }

    /// The next short text, the Close or the end, whichever comes first. Pings are answered on the
    /// way.
    pub fn receive(&mut self) -> Result<Received> {
        let mut received = None;
        let mut pongs = Vec::new();
        let mut buffer = [0; 1024];
        while received.is_none() {
            let count = match self.stream.read(&mut buffer) {
                Ok(0) => return Ok(Received::End),
                Ok(count) => count,
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {
                    return Ok(Received::End);
                }
                Err(error) => bail!("no reply: {error}"),
            };
            self.decoder
                .feed(&buffer[..count], |frame| match frame.opcode {
                    wire::PING => wire::push_frame(&mut pongs, wire::PONG, frame.payload),
                    wire::CLOSE => received = Some(Received::Close(frame.close_code())),
                    _ => {
                        received = Some(Received::Text(
                            String::from_utf8_lossy(frame.payload).into_owned(),
                        ))
                    }
                })?;
            self.stream.write_all(&pongs)?;
            pongs.clear();
        }
        received.context("no reply")
    }

    /// Says goodbye and waits for the answer, or for the end of a server that gives none.
    pub fn leave(mut self) -> Result<()> {
        let mut goodbye = Vec::new();
        wire::push_frame(&mut goodbye, wire::CLOSE, &1000_u16.to_be_bytes());
        self.send(&goodbye)?;
        while matches!(self.receive()?, Received::Text(_)) {}
        Ok(())
    }

    /// Another handle of a connection without TLS, to write while this one reads.
    pub fn socket(&self) -> Result<TcpStream> {
        Ok(self.stream.socket.try_clone()?)
    }

    /// The connection by itself.
    pub fn into_stream(self) -> Stream<TcpStream> {
        self.stream
    }

    /// The connection for an epoll loop, with what has cut its bytes into messages so far; `on_frame`
    /// gets those that are there.
    pub fn into_parts(
        mut self,
        on_frame: impl FnMut(Frame),
    ) -> Result<(Stream<mio::net::TcpStream>, Decoder)> {
        self.stream.socket.set_nonblocking(true)?;
        self.decoder.feed(&self.early, on_frame)?;
        Ok((self.stream.map(mio::net::TcpStream::from_std), self.decoder))
    }
}

/// Connects from the `index`-th loopback source address. TLS begins with the first byte that is
/// written.
pub fn connect(target: &Target, index: usize) -> Result<Stream<TcpStream>> {
    let source = (index / CONNECTIONS_PER_SOURCE).min(MOST_SOURCES);
    let socket = socket_from(target, source as u8)?;
    socket.set_tcp_nodelay(true)?;
    socket
        .connect_timeout(&target.address.into(), PATIENCE)
        .with_context(|| format!("cannot connect to {}", target.address))?;
    let socket: TcpStream = socket.into();
    socket.set_read_timeout(Some(PATIENCE))?;
    Stream::new(socket, target.address.ip(), target.tls.as_ref())
}

/// A socket bound to 127.0.0.(1 + `source`) where the target is on loopback, so that ports do not
/// run out.
pub fn socket_from(target: &Target, source: u8) -> Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(target.address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    if source > 0 && target.address.is_ipv4() && target.address.ip().is_loopback() {
        socket.set_reuse_address(true)?;
        let address = SocketAddr::from((Ipv4Addr::new(127, 0, 0, 1 + source), 0));
        socket.bind(&address.into())?;
    }
    Ok(socket)
}
