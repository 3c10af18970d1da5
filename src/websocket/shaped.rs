//! A transport behind a worse network: bytes of both directions wait for as long as the schedule of
//! a [`Link`] says, and the connection is cut when it says so.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use super::shaper::{PACKET, Shaper};
use super::transport::Transport;
use crate::config::Link;
use crate::config::limits::LINK;

/// A stream, and the link that its bytes take.
pub struct Shaped {
    /// Until it is cut.
    stream: Option<Box<dyn Transport>>,
    link: Link,
    opened: Instant,
    out: Way,
    back: Way,
    /// Bytes that the client was sent.
    sent: u64,
    /// The client has ended its side.
    is_ended: bool,
    /// Until the next packet arrives, or the cut comes.
    alarm: Pin<Box<Sleep>>,
}

/// What is under way in one direction.
struct Way {
    shaper: Shaper,
    packets: VecDeque<Packet>,
    bytes: usize,
}

struct Packet {
    arrives: Instant,
    bytes: Vec<u8>,
    /// Of those, how many have been taken.
    taken: usize,
}

impl fmt::Debug for Shaped {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_tuple("Shaped").field(&self.link).finish()
    }
}

impl Shaped {
    /// A stream behind this link, from now on.
    pub fn new(stream: impl Transport + 'static, link: Link) -> Self {
        let seed = link.seed.unwrap_or_else(|| fastrand::u64(..));
        let opened = Instant::now();
        let way = |seed| Way {
            shaper: Shaper::new(link, seed),
            packets: VecDeque::new(),
            bytes: 0,
        };
        Self {
            stream: Some(Box::new(stream)),
            link,
            opened,
            out: way(seed),
            back: way(!seed),
            sent: 0,
            is_ended: false,
            alarm: Box::pin(sleep_until(opened)),
        }
    }

    /// Delivers to the client what has arrived there. `Err` when the connection has ended.
    fn deliver(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        self.cut_in_time()?;
        while let Some(packet) = self.out.arrived() {
            let Some(stream) = &mut self.stream else {
                return Err(io::ErrorKind::BrokenPipe.into());
            };
            let left = self
                .link
                .cut_bytes
                .map(|most| most.saturating_sub(self.sent));
            let rest = &packet.bytes[packet.taken..];
            let most = left.map_or(rest.len(), |left| {
                usize::try_from(left).unwrap_or(usize::MAX).min(rest.len())
            });
            if most == 0 {
                return self.cut();
            }
            match Pin::new(stream).poll_write(context, &rest[..most]) {
                Poll::Pending => return Ok(()),
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(count)) => {
                    self.sent += count as u64;
                    self.out.took(count);
                }
            }
        }
        if self.link.cut_bytes.is_some_and(|most| self.sent >= most) {
            return self.cut();
        }
        match &mut self.stream {
            Some(stream) => match Pin::new(stream).poll_flush(context) {
                Poll::Ready(flushed) => flushed,
                Poll::Pending => Ok(()),
            },
            None => Ok(()),
        }
    }

    fn cut_in_time(&mut self) -> io::Result<()> {
        let is_due = |after: Duration| self.opened.elapsed() >= after;
        match self.link.cut_after.is_some_and(is_due) {
            true => self.cut(),
            false => Ok(()),
        }
    }

    /// Ends the stream, as the link does.
    fn cut(&mut self) -> io::Result<()> {
        if let Some(mut stream) = self.stream.take() {
            if self.link.reset {
                stream.reset_when_dropped();
            } else {
                // What does not end at once ends when it is dropped.
                let mut context = Context::from_waker(std::task::Waker::noop());
                let _ = Pin::new(&mut stream).poll_flush(&mut context);
                let _ = Pin::new(&mut stream).poll_shutdown(&mut context);
            }
        }
        Err(io::Error::new(
            io::ErrorKind::ConnectionAborted,
            "the link was cut",
        ))
    }

    /// Has the task woken when there is something to do.
    fn set_alarm(&mut self, context: &mut Context<'_>) {
        let cut = self.link.cut_after.map(|after| self.opened + after);
        let times = [
            self.out.next(),
            self.back.next(),
            cut.filter(|_| self.stream.is_some()),
        ];
        let Some(next) = times.into_iter().flatten().min() else {
            return;
        };
        if self.alarm.deadline() != next {
            self.alarm.as_mut().reset(next);
        }
        // It may have come just now.
        if self.alarm.as_mut().poll(context).is_ready() {
            context.waker().wake_by_ref();
        }
    }

    /// Takes from the stream what the link has room for.
    fn fetch(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        while !self.is_ended && self.back.has_room() {
            let Some(stream) = &mut self.stream else {
                return Ok(());
            };
            let mut piece = [0; PACKET];
            let mut filled = ReadBuf::new(&mut piece);
            match Pin::new(stream).poll_read(context, &mut filled) {
                Poll::Pending => break,
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Ready(Ok(())) if filled.filled().is_empty() => self.is_ended = true,
                Poll::Ready(Ok(())) => self.back.send(self.opened, filled.filled()),
            }
        }
        Ok(())
    }
}

impl Way {
    fn has_room(&self) -> bool {
        self.bytes < LINK
    }

    fn send(&mut self, opened: Instant, bytes: &[u8]) {
        for piece in bytes.chunks(PACKET) {
            let after = self.shaper.arrival(opened.elapsed(), piece.len());
            self.bytes += piece.len();
            self.packets.push_back(Packet {
                arrives: opened + after,
                bytes: piece.to_vec(),
                taken: 0,
            });
        }
    }

    /// The first packet, if it has arrived.
    fn arrived(&self) -> Option<&Packet> {
        let packet = self.packets.front()?;
        (packet.arrives <= Instant::now()).then_some(packet)
    }

    /// When the first arrives that has not.
    fn next(&self) -> Option<Instant> {
        let packet = self.packets.front()?;
        Some(packet.arrives).filter(|arrives| *arrives > Instant::now())
    }

    /// So many bytes of the first packet were taken.
    fn took(&mut self, count: usize) {
        self.bytes -= count;
        if let Some(packet) = self.packets.front_mut() {
            packet.taken += count;
            if packet.taken == packet.bytes.len() {
                self.packets.pop_front();
            }
        }
    }
}

impl AsyncRead for Shaped {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if let Err(error) = this.cut_in_time() {
            return Poll::Ready(Err(error));
        }
        this.fetch(context)?;
        let before = buffer.filled().len();
        while let Some(packet) = this.back.arrived() {
            let rest = &packet.bytes[packet.taken..];
            let count = rest.len().min(buffer.remaining());
            if count == 0 {
                break;
            }
            buffer.put_slice(&rest[..count]);
            this.back.took(count);
        }
        this.set_alarm(context);
        let is_over = this.is_ended && this.back.packets.is_empty();
        match is_over || buffer.filled().len() > before {
            true => Poll::Ready(Ok(())),
            false => Poll::Pending,
        }
    }
}

impl AsyncWrite for Shaped {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.deliver(context)?;
        let room = LINK.saturating_sub(this.out.bytes);
        let count = bytes.len().min(room);
        this.out.send(this.opened, &bytes[..count]);
        this.deliver(context)?;
        this.set_alarm(context);
        match count {
            0 if !bytes.is_empty() => Poll::Pending,
            count => Poll::Ready(Ok(count)),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.deliver(context)?;
        this.set_alarm(context);
        match this.out.packets.is_empty() {
            true => Poll::Ready(Ok(())),
            false => Poll::Pending,
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.as_mut().poll_flush(context) {
            Poll::Ready(Ok(())) => {}
            unfinished => return unfinished,
        }
        match &mut self.get_mut().stream {
            Some(stream) => Pin::new(stream).poll_shutdown(context),
            None => Poll::Ready(Ok(())),
        }
    }
}

impl Transport for Shaped {
    fn reset_when_dropped(&self) {
        if let Some(stream) = &self.stream {
            stream.reset_when_dropped();
        }
    }
}
