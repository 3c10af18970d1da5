//! Many open connections on one epoll instance, for the scenarios that hold them rather than drive
//! them hard.

use std::io::{ErrorKind, Read, Write};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use crate::client::Client;
use crate::deflate::{self, Agreement};
use crate::stream::Stream;
use crate::target::Target;
use crate::wire::{self, Decoder, Frame};

pub struct Fleet {
    poll: Poll,
    events: Events,
    members: Vec<Member>,
    /// How they compress, if they do: one server agrees to the same with everyone.
    agreement: Option<Agreement>,
    /// Data frames so far.
    received: u64,
    buffer: Vec<u8>,
}

struct Member {
    stream: Stream<TcpStream>,
    decoder: Decoder,
}

impl Fleet {
    /// Opens the connections one after another: a handshake on loopback takes less than a fleet
    /// would gain by overlap.
    pub fn open(target: &Target, count: usize) -> Result<Fleet> {
        let mut fleet = Fleet {
            poll: Poll::new()?,
            events: Events::with_capacity(1024),
            members: Vec::with_capacity(count),
            agreement: None,
            received: 0,
            buffer: vec![0; 64 * 1024],
        };
        for index in 0..count {
            fleet
                .join(target)
                .with_context(|| format!("connection {} of {count}", index + 1))?;
            // A server that needs minutes for all of them pings the first ones meanwhile.
            if index % 256 == 255 {
                fleet.turn(Duration::ZERO, |_, _| {})?;
            }
        }
        Ok(fleet)
    }

    /// One connection more.
    pub fn join(&mut self, target: &Target) -> Result<()> {
        let index = self.members.len();
        let client = Client::open_any(target, index)?;
        self.agreement = client.agreement;
        let (mut stream, decoder) = client.into_parts(|_| self.received += 1)?;
        self.poll
            .registry()
            .register(&mut stream.socket, Token(index), Interest::READABLE)?;
        self.members.push(Member { stream, decoder });
        Ok(())
    }

    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Data frames that have come so far, of all connections together.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// What the server has agreed to with the last one.
    pub fn agreement(&self) -> Option<Agreement> {
        self.agreement
    }

    /// Writes a few bytes, which always fit an otherwise idle connection's send buffer.
    pub fn write(&mut self, index: usize, bytes: &[u8]) -> Result<()> {
        self.members[index]
            .stream
            .write_all(bytes)
            .with_context(|| format!("connection {index} does not take more"))
    }

    /// Waits for input at most `patience`, hands every data frame to `on_data` with its
    /// connection's index, and answers pings. A connection that ends is an error: nobody here
    /// expects it.
    pub fn turn(
        &mut self,
        patience: Duration,
        mut on_data: impl FnMut(usize, Frame),
    ) -> Result<()> {
        match self.poll.poll(&mut self.events, Some(patience)) {
            Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error.into()),
            _ => {}
        }
        for event in &self.events {
            let index = event.token().0;
            let member = &mut self.members[index];
            let mut pongs = Vec::new();
            let mut closed = None;
            loop {
                let count = match member.stream.read(&mut self.buffer) {
                    Ok(0) => bail!("the server ended connection {index}"),
                    Ok(count) => count,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) => return Err(error).with_context(|| format!("connection {index}")),
                };
                member
                    .decoder
                    .feed(&self.buffer[..count], |frame| match frame.opcode {
                        wire::PING => wire::push_frame(&mut pongs, wire::PONG, frame.payload),
                        wire::CLOSE => closed = Some(frame.close_code()),
                        _ => {
                            self.received += 1;
                            on_data(index, frame);
                        }
                    })?;
            }
            if let Some(code) = closed {
                bail!("the server closed connection {index} with {code}");
            }
            if !pongs.is_empty() {
                member.stream.write_all(&pongs)?;
            }
        }
        Ok(())
    }

    /// Keeps the connections alive for a while without asking anything of them.
    pub fn rest(&mut self, duration: Duration) -> Result<()> {
        let end = Instant::now() + duration;
        while let Some(left) = end.checked_duration_since(Instant::now()) {
            // Rounded up, because epoll waits in whole milliseconds and a wait of nothing would
            // spin.
            self.turn(left + Duration::from_millis(1), |_, _| {})?;
        }
        Ok(())
    }

    /// Sends one message on every connection, compressed if that was agreed, and waits for all
    /// replies.
    pub fn speak_once(&mut self, text: &str) -> Result<()> {
        let mut frame = Vec::new();
        match self.agreement {
            Some(agreement) => {
                let payload = deflate::compress(text.as_bytes(), agreement.client_bits)?;
                wire::push_frame(&mut frame, wire::TEXT | wire::RSV1, &payload);
            }
            None => wire::push_frame(&mut frame, wire::TEXT, text.as_bytes()),
        }
        let deadline = Instant::now() + Duration::from_secs(60);
        for start in (0..self.len()).step_by(256) {
            let end = self.len().min(start + 256);
            for index in start..end {
                self.write(index, &frame)?;
            }
            let mut missing = end - start;
            while missing > 0 {
                ensure!(
                    Instant::now() < deadline,
                    "{missing} of 256 replies are missing"
                );
                self.turn(Duration::from_millis(100), |_, _| {
                    missing = missing.saturating_sub(1)
                })?;
            }
        }
        Ok(())
    }
}
