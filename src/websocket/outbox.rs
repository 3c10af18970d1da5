//! Send queue to the peer: frames in order, in one buffer, until the stream takes them; long
//! payloads that many connections have queued stay where they are.

use std::cell::{Cell, OnceCell};
use std::convert::Infallible;
use std::fmt;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::AsyncWrite;

use super::close::Close;
use super::code;
use super::deflate::Pool;
use super::deflation::Deflation;
use super::extensions::Agreed;
use super::frame::{self, Control, Data, OpCode, Outgoing};
use super::lent::{self, Lent, Payload};
use super::quantum::WRITE;
use super::watch::Watch;
use crate::local::Slot;

/// Alignment of a long payload's address in the buffer: that of a cache line, where the processor
/// copies fastest. AMD's `rep movsb`, which the C library copies with from 2 KiB on, takes up to
/// three times as long where it is not.
const ALIGNMENT: usize = 64;
/// The payloads that are long in that sense.
const LONG: usize = 2 * 1024;

/// The states of the WebSocket interface that a server's connection can be in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadyState {
    /// Open: messages may be sent and received.
    Open,
    /// A Close was sent: nothing follows it.
    Closing,
    /// Closed: the connection has ended.
    Closed,
}

/// Reason why a frame was not queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// RFC 6455 section 5.5.1: no frame after a Close.
    #[error("the connection is closing or closed")]
    NotOpen,
    /// Section 5.4: no message inside a fragmented one, whose fragments are of one kind.
    #[error("a fragmented message is open: end it with its last fragment, of the same kind, first")]
    InFragments,
}

/// The queue of a connection's frames.
pub struct Outbox {
    bytes: Slot<Vec<u8>>,
    /// Number of bytes that the stream has taken; those that only [align](align) the first frame
    /// count as taken.
    sent: Cell<usize>,
    state: Cell<ReadyState>,
    /// The code of the Close that was sent; 1005 for one without.
    sent_code: Cell<u16>,
    /// The kind of the fragmented message that is open.
    fragments: Cell<Option<Data>>,
    /// The peer has said or shown that it goes; here, where alignment leaves a byte.
    is_leaving: Cell<bool>,
    /// Optional parts, boxed, since few connections have any.
    extras: OnceCell<Box<Extras>>,
}

/// Optional parts of a connection, so that one without them has no place for them.
#[derive(Default)]
struct Extras {
    /// Compression state; `None` unless permessage-deflate was negotiated.
    deflation: Option<Deflation>,
    /// Where somebody looks on.
    watch: Option<Box<Watch>>,
    /// Payloads that lie elsewhere.
    lent: Lent,
}

impl Default for Outbox {
    fn default() -> Self {
        Self::new(Vec::new())
    }
}

impl Outbox {
    /// An open outbox whose first bytes are `prologue`, which is not a frame: the answer to the
    /// handshake.
    pub fn new(prologue: Vec<u8>) -> Self {
        Self {
            bytes: Slot::new(prologue),
            sent: Cell::new(0),
            state: Cell::new(ReadyState::Open),
            sent_code: Cell::new(code::ABNORMAL),
            fragments: Cell::new(None),
            is_leaving: Cell::new(false),
            extras: OnceCell::new(),
        }
    }

    /// The same with compression, as agreed, by what the worker has for it.
    pub fn deflating(mut self, agreed: Agreed, pool: Rc<Pool>) -> Self {
        self.with_extras(|extras| extras.deflation = Some(Deflation::new(agreed, pool)));
        self
    }

    /// The same with an onlooker.
    pub fn watched(mut self, watch: Watch) -> Self {
        self.with_extras(|extras| extras.watch = Some(Box::new(watch)));
        self
    }

    fn with_extras(&mut self, set: impl FnOnce(&mut Extras)) {
        let mut extras = self.extras.take().unwrap_or_default();
        set(&mut extras);
        self.extras = OnceCell::from(extras);
    }

    /// Whoever looks on.
    #[inline]
    pub(super) fn watch(&self) -> Option<&Watch> {
        self.extras.get()?.watch.as_deref()
    }

    #[inline]
    fn deflation(&self) -> Option<&Deflation> {
        self.extras.get()?.deflation.as_ref()
    }

    /// The payloads that lie elsewhere, if there are any.
    #[inline]
    fn lent(&self) -> Option<&Lent> {
        let lent = &self.extras.get()?.lent;
        (!lent.is_empty()).then_some(lent)
    }

    /// Returns the negotiated parameters of permessage-deflate, if there are any.
    pub fn agreed(&self) -> Option<&Agreed> {
        self.deflation().map(Deflation::agreed)
    }

    /// What compresses, if that was agreed on.
    pub(super) fn pool(&self) -> Option<&Pool> {
        self.deflation().map(Deflation::pool)
    }

    /// Whether the peer has said or shown that it goes.
    pub(super) fn is_leaving(&self) -> bool {
        self.is_leaving.get()
    }

    /// It has.
    pub(super) fn peer_leaves(&self) {
        self.is_leaving.set(true);
    }

    /// Whether a fragmented message is open.
    pub(super) fn is_in_fragments(&self) -> bool {
        self.fragments.get().is_some()
    }

    /// The state as the handler may see it.
    pub fn state(&self) -> ReadyState {
        self.state.get()
    }

    /// Bytes that the stream has not taken yet.
    pub fn buffered(&self) -> usize {
        self.own() + self.lent().map_or(0, Lent::unsent)
    }

    /// Memory for what the stream has not taken yet: of what others refer to as well, a share.
    pub(super) fn memory(&self) -> usize {
        self.own() + self.lent().map_or(0, Lent::share)
    }

    /// Bytes of the buffer that the stream has not taken yet.
    fn own(&self) -> usize {
        self.bytes.look(|bytes| bytes.len()) - self.sent.get()
    }

    /// Queues a message: the one way for all of them. It is compressed if that was agreed on, and
    /// if it is long enough or `compress` says so. `pause` is called now and then while a long one
    /// is compressed, and its error ends the work; the connection may be used meanwhile.
    pub fn message<E>(
        &self,
        kind: Data,
        payload: &[u8],
        compress: Option<bool>,
        pause: impl FnMut() -> Result<(), E>,
    ) -> Result<Result<(), SendError>, E> {
        if let Some(deflation) = self.deflation()
            && compress.unwrap_or(payload.len() >= deflation.agreed().terms.threshold)
            && self.takes_messages().is_ok()
            && let Some(compressed) = deflation.compress(payload, compress == Some(true), pause)?
        {
            let sent = self.whole(kind, payload, Some(&compressed.payload));
            deflation.give_back(compressed, sent.is_ok());
            return Ok(sent);
        }
        Ok(self.whole(kind, payload, None))
    }

    /// The same without a pause: for short ones, and for sessions that keep nobody waiting.
    pub(super) fn message_at_once(&self, kind: Data, payload: &[u8]) -> Result<(), SendError> {
        let Ok(sent) = self.message(kind, payload, None, || Ok::<_, Infallible>(()));
        sent
    }

    /// Queues a message of which there may be a compressed form that refers to nothing before it.
    pub fn ready_made(
        &self,
        kind: Data,
        payload: Payload<'_>,
        compressed: Option<&Arc<[u8]>>,
    ) -> Result<(), SendError> {
        self.takes_messages()?;
        let deflation = self.deflation();
        let compressed =
            compressed.filter(|_| deflation.is_some_and(|deflation| deflation.forget()));
        let (plain, payload) = (payload.get(), compressed.map_or(payload, Payload::whole));
        if payload.get().len() < lent::LONG {
            return self.whole(kind, plain, compressed.map(|_| payload.get()));
        }
        let frame = Outgoing {
            compressed: compressed.is_some(),
            ..Outgoing::whole(OpCode::Data(kind))
        };
        self.lend(frame, payload);
        if let Some(watch) = self.watch() {
            watch.sent(1, 0);
            watch.message_out(kind, plain);
        }
        Ok(())
    }

    /// Queues a frame whose payload stays where it is.
    fn lend(&self, frame: Outgoing, payload: Payload<'_>) {
        if let Some(watch) = self.watch() {
            watch.frame_out(frame, payload.get());
        }
        let at = self.bytes.look(|bytes| {
            frame::encode_header(bytes, frame, payload.get().len());
            bytes.len()
        });
        let extras = self.extras.get_or_init(Box::default);
        extras.lent.push(at, payload);
    }

    /// Whether a message may be queued now.
    #[inline]
    fn takes_messages(&self) -> Result<(), SendError> {
        if self.fragments.get().is_some() {
            return Err(SendError::InFragments);
        }
        match self.state.get() {
            ReadyState::Open => Ok(()),
            _ => Err(SendError::NotOpen),
        }
    }

    /// Queues a message of one frame, in its compressed form if there is one.
    #[inline]
    fn whole(
        &self,
        kind: Data,
        payload: &[u8],
        compressed: Option<&[u8]>,
    ) -> Result<(), SendError> {
        self.takes_messages()?;
        let frame = Outgoing {
            compressed: compressed.is_some(),
            ..Outgoing::whole(OpCode::Data(kind))
        };
        self.put(frame, compressed.unwrap_or(payload))?;
        if let Some(watch) = self.watch() {
            watch.sent(1, 0);
            watch.message_out(kind, payload);
        }
        Ok(())
    }

    /// Queues a fragment of a message; `last` ends it. All are of one kind, and no other message
    /// comes between.
    pub fn fragment(&self, kind: Data, payload: &[u8], last: bool) -> Result<(), SendError> {
        let open = self.fragments.get();
        if open.is_some_and(|open| open != kind) {
            return Err(SendError::InFragments);
        }
        let opcode = open.map_or(kind, |_| Data::Continue);
        let frame = Outgoing {
            fin: last,
            ..Outgoing::whole(OpCode::Data(opcode))
        };
        self.put(frame, payload)?;
        self.fragments.set((!last).then_some(kind));
        if let Some(watch) = self.watch() {
            watch.sent(last.into(), 0);
            watch.part_out(kind, payload, last);
        }
        Ok(())
    }

    /// Queues bytes as they are, between two frames, even after a Close.
    pub fn raw(&self, bytes: &[u8]) {
        if self.state.get() != ReadyState::Closed {
            if let Some(watch) = self.watch() {
                watch.raw_out(bytes);
            }
            self.bytes.look(|queued| queued.extend_from_slice(bytes));
        }
    }

    /// A Close was sent as raw bytes: as far as the protocol goes, it is out.
    pub fn close_was_sent(&self, code: u16) {
        if self.state.get() == ReadyState::Open {
            self.sent_code.set(code);
            self.state.set(ReadyState::Closing);
        }
    }

    /// Queues the Close; from then on nothing else is taken. `None` has no code.
    pub fn close(&self, close: Option<&Close>) -> Result<(), SendError> {
        let payload = close.map(Close::encode).unwrap_or_default();
        self.put(control(Control::Close), &payload)?;
        let code = close.map_or(code::NO_STATUS, |close| close.code);
        self.close_was_sent(code);
        Ok(())
    }

    /// Nothing is taken any more.
    pub fn set_closed(&self) {
        self.state.set(ReadyState::Closed);
    }

    /// The code of the Close that was sent, 1006 as long as none was.
    pub(super) fn sent_code(&self) -> u16 {
        self.sent_code.get()
    }

    /// Queues a Ping; its payload has at most 125 bytes.
    pub fn ping(&self, payload: &[u8]) -> Result<(), SendError> {
        self.put(control(Control::Ping), payload)
    }

    /// Queues a Pong; its payload has at most 125 bytes.
    pub fn pong(&self, payload: &[u8]) -> Result<(), SendError> {
        self.put(control(Control::Pong), payload)
    }

    /// Queues a frame.
    fn put(&self, frame: Outgoing, payload: &[u8]) -> Result<(), SendError> {
        if self.state.get() != ReadyState::Open {
            return Err(SendError::NotOpen);
        }
        if let Some(watch) = self.watch() {
            watch.frame_out(frame, payload);
        }
        self.bytes.look(|bytes| {
            if bytes.is_empty() && payload.len() >= LONG && self.lent().is_none() {
                self.sent.set(align(bytes, payload.len()));
            }
            frame::encode(bytes, frame, payload);
        });
        Ok(())
    }

    /// The connection's task begins to run: frames gather in the worker's buffer.
    pub(super) fn enter(&self, buffer: &mut Vec<u8>) {
        if let Some(watch) = self.watch() {
            watch.turn_begins();
        }
        self.bytes.look(|bytes| {
            if bytes.is_empty() {
                std::mem::swap(bytes, buffer);
            }
        });
    }

    /// The task stops running: the worker's buffer goes back, and what the stream has not taken is
    /// kept in one of the connection's own; if it is most of a long one, in that itself.
    pub(super) fn leave(&self, buffer: &mut Vec<u8>) {
        if let Some(watch) = self.watch() {
            watch.turn_ends(self.buffered());
        }
        self.bytes.look(|bytes| {
            let left = bytes.len() - self.sent.get();
            let is_long = left > WRITE && left > bytes.capacity() / 2;
            if buffer.capacity() == 0 && !is_long {
                std::mem::swap(bytes, buffer);
                let sent = self.sent.take();
                *bytes = buffer[sent..].to_vec();
                self.shift(sent);
                buffer.clear();
            } else if bytes.is_empty() {
                *bytes = Vec::new();
            }
        });
    }

    /// Gives queued bytes to the stream until it takes no more, or a [share's](WRITE) worth; how
    /// many it took.
    pub(super) fn flush(
        &self,
        stream: &mut (impl AsyncWrite + Unpin),
        context: &mut Context<'_>,
    ) -> io::Result<usize> {
        let mut total = 0;
        while total < WRITE {
            let polled = self.with_unsent(|own, lent| match (own, lent) {
                ([], []) => Poll::Pending,
                (bytes, []) | ([], bytes) => {
                    let most = bytes.len().min(WRITE - total);
                    Pin::new(&mut *stream).poll_write(context, &bytes[..most])
                }
                (own, lent) => {
                    let own = &own[..own.len().min(WRITE - total)];
                    let lent = &lent[..lent.len().min(WRITE - total - own.len())];
                    let both = [IoSlice::new(own), IoSlice::new(lent)];
                    Pin::new(&mut *stream).poll_write_vectored(context, &both)
                }
            });
            match polled {
                Poll::Pending => break,
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(count)) => {
                    self.sent(count);
                    total += count;
                }
                Poll::Ready(Err(error)) => return Err(error),
            }
        }
        Ok(total)
    }

    /// Takes what the stream would.
    pub(crate) fn take_unsent(&self, most: usize) -> Vec<u8> {
        let mut all = Vec::new();
        loop {
            let taken = self.with_unsent(|own, lent| {
                let mut taken = [own, lent].concat();
                taken.truncate(most - all.len());
                taken
            });
            if taken.is_empty() {
                return all;
            }
            self.sent(taken.len());
            all.extend(taken);
        }
    }

    /// Calls `write` with the bytes that the stream has not taken yet: those of the buffer up to
    /// the first payload that lies elsewhere, and that.
    fn with_unsent<R>(&self, write: impl FnOnce(&[u8], &[u8]) -> R) -> R {
        self.bytes.look(|bytes| {
            let sent = self.sent.get();
            match self.lent() {
                None => write(&bytes[sent..], &[]),
                Some(lent) => lent.first(|at, payload| write(&bytes[sent..at], payload)),
            }
        })
    }

    /// The stream took this many bytes.
    fn sent(&self, count: usize) {
        let mut own = count;
        if let Some(lent) = self.lent() {
            own = count.min(lent.first(|at, _| at - self.sent.get()));
            lent.sent(count - own);
        }
        let sent = self.sent.get() + own;
        let gone = self.bytes.look(|bytes| {
            if sent == bytes.len() {
                bytes.clear();
            } else if sent > bytes.len() / 2 {
                bytes.drain(..sent);
            } else {
                return 0;
            }
            sent
        });
        self.sent.set(sent - gone);
        self.shift(gone);
        if let Some(watch) = self.watch() {
            watch.sent(0, count);
        }
    }

    /// So many bytes at the front of the buffer are gone.
    fn shift(&self, gone: usize) {
        if let Some(lent) = self.lent() {
            lent.shift(gone);
        }
    }
}

fn control(control: Control) -> Outgoing {
    Outgoing::whole(OpCode::Control(control))
}

/// Fills the front of an empty buffer so that the payload of the frame that follows is
/// [aligned](ALIGNMENT); how far.
fn align(bytes: &mut Vec<u8>, payload: usize) -> usize {
    bytes.reserve(payload + 2 * ALIGNMENT);
    // What was reserved does not move any more.
    let start = bytes.as_ptr() as usize + frame::header_length(payload);
    let padding = start.next_multiple_of(ALIGNMENT) - start;
    bytes.resize(padding, 0);
    padding
}

impl fmt::Debug for Outbox {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Outbox")
            .field("state", &self.state.get())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever is sent, and however the stream takes it, its bytes are those of the frames, and so
    /// is their count.
    #[test]
    fn the_bytes_are_the_same_wherever_they_lie() {
        let lengths = [
            0, 1, 125, 126, 2047, 2048, 2049, 4096, 32_767, 65_535, 65_536, 300_000,
        ];
        let mut random = fastrand::Rng::with_seed(11);
        let (mut aligned, mut lent) = (0, 0);
        for round in 0..200 {
            let prologue = if round % 2 == 0 {
                Vec::new()
            } else {
                vec![b'P'; 130]
            };
            let outbox = Outbox::new(prologue.clone());
            let (mut wanted, mut taken) = (prologue, Vec::new());
            let mut worker = Vec::with_capacity(random.usize(..1000));
            let mut is_running = false;
            for _ in 0..60 {
                match random.usize(..7) {
                    0 => {
                        match is_running {
                            true => outbox.leave(&mut worker),
                            false => outbox.enter(&mut worker),
                        }
                        is_running = !is_running;
                    }
                    1 | 2 => {
                        let was_empty = outbox.buffered() == 0;
                        let payload = vec![
                            random.u8(..);
                            random.usize(..3) + *random.choice(&lengths).unwrap()
                        ];
                        outbox.message_at_once(Data::Binary, &payload).unwrap();
                        let frame = Outgoing::whole(OpCode::Data(Data::Binary));
                        frame::encode(&mut wanted, frame, &payload);
                        if was_empty && payload.len() >= LONG {
                            let header = frame::header_length(payload.len());
                            outbox.with_unsent(|unsent, _| {
                                assert_eq!((unsent.as_ptr() as usize + header) % ALIGNMENT, 0);
                            });
                            aligned += 1;
                        }
                    }
                    3 => {
                        let raw = vec![b'R'; random.usize(..20)];
                        outbox.raw(&raw);
                        wanted.extend(raw);
                    }
                    4 => {
                        let length = random.usize(..3) + *random.choice(&lengths).unwrap();
                        let shared: Arc<[u8]> = vec![random.u8(..); length + 7].into();
                        let payload = Payload {
                            bytes: &shared,
                            start: 7,
                        };
                        outbox.ready_made(Data::Text, payload, None).unwrap();
                        let frame = Outgoing::whole(OpCode::Data(Data::Text));
                        frame::encode(&mut wanted, frame, payload.get());
                        lent += usize::from(Arc::strong_count(&shared) == 2);
                    }
                    _ => {
                        let most = outbox.buffered();
                        let count = if random.bool() {
                            most
                        } else {
                            random.usize(..=most)
                        };
                        taken.extend(outbox.take_unsent(count));
                    }
                }
                assert!(outbox.memory() <= outbox.buffered());
                assert_eq!(outbox.buffered(), wanted.len() - taken.len());
            }
            taken.extend(outbox.take_unsent(usize::MAX));
            assert!(taken == wanted, "round {round}");
        }
        assert!(aligned > 100 && lent > 300, "{aligned}, {lent}");
    }

    #[test]
    fn what_many_have_queued_counts_once() {
        let bytes: Arc<[u8]> = vec![7; 100_000].into();
        let outboxes = [(); 10].map(|()| Outbox::default());
        for outbox in &outboxes {
            let payload = Payload::whole(&bytes);
            outbox.ready_made(Data::Binary, payload, None).unwrap();
        }
        drop(bytes);
        assert!(outboxes.iter().all(|outbox| outbox.buffered() > 100_000));
        let sum = || outboxes.iter().map(Outbox::memory).sum::<usize>();
        assert!((100_000..101_000).contains(&sum()), "{}", sum());
        // Whoever is the last to have it has all of it.
        for outbox in &outboxes[1..] {
            assert_eq!(outbox.take_unsent(usize::MAX).len(), 100_010);
        }
        assert!((100_000..101_000).contains(&sum()), "{}", sum());
        assert_eq!(outboxes[0].memory(), outboxes[0].buffered());
    }

    #[test]
    fn a_header_is_as_long_as_it_is_said_to_be() {
        for length in [0, 125, 126, 65_535, 65_536, 1 << 20] {
            let mut out = Vec::new();
            let frame = Outgoing::whole(OpCode::Data(Data::Text));
            frame::encode(&mut out, frame, &vec![0; length]);
            assert_eq!(out.len() - length, frame::header_length(length));
        }
    }
}
