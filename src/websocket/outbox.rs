//! What goes to the peer: frames in order, in one buffer, until the stream takes them.
//!
//! The rest of the program holds a connection only through this. While the connection's own task runs, frames gather
//! and go out in one write; from elsewhere a frame wakes that task.

use std::cell::Cell;
use std::convert::Infallible;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use tokio::io::AsyncWrite;

use super::close::Close;
use super::deadlines::Second;
use super::deflate::{Compressor, Pool};
use super::extensions::Agreed;
use super::frame::{self, Control, Data, OpCode};
use super::share::WRITE;
use super::watch::Watch;

/// What a long payload's address in the buffer is a multiple of: that of a cache line, where the processor copies fastest. AMD's
/// `rep movsb`, which the C library copies with from 2 KiB on, takes up to three times as long where it is not.
const ALIGNMENT: usize = 64;
/// The payloads that are long in that sense.
const LONG: usize = 2 * 1024;

/// The states of the WebSocket interface that a server's connection can be in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadyState {
    /// Messages flow.
    Open,
    /// A Close was sent: nothing follows it.
    Closing,
    /// Over.
    Closed,
}

/// How the handler or the server has dropped the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parting {
    /// It has not.
    None,
    /// Without a Close, when what was queued before is sent.
    Sent,
    /// With a reset, at once.
    Reset,
    /// At once, when the stream has what it takes now.
    Now,
}

/// Why a frame was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// RFC 6455 section 5.5.1: no frame after a Close.
    #[error("the connection is closing or closed")]
    NotOpen,
    /// Section 5.4: no message inside a fragmented one, whose fragments are of one kind.
    #[error("a fragmented message is open: end it with its last fragment, of the same kind, first")]
    InFragments,
}

/// The sending half of a connection, shared within its worker. Every connection has one: without the flags of a `RefCell`
/// it and its counts are 96 bytes, a size that the allocator has.
pub struct Outbox {
    id: u64,
    bytes: Cell<Vec<u8>>,
    /// How many of them the stream has taken; those that only [align](align) the first frame count as taken.
    sent: Cell<usize>,
    state: Cell<ReadyState>,
    /// The code of the Close that was sent; 1005 for one without.
    sent_code: Cell<u16>,
    waker: Cell<Option<Waker>>,
    /// Whether the connection's own task is running, which sees new frames without being woken.
    running: Cell<bool>,
    /// The kind of the fragmented message that is open.
    fragments: Cell<Option<Data>>,
    /// The handler does not want to hear for now.
    paused: Cell<bool>,
    parting: Cell<Parting>,
    /// Seconds that the stream stays open after the close handshake.
    keep_open: Cell<u32>,
    /// The second of the alarm in the worker's wheel.
    pub(super) alarm: Cell<Option<Second>>,
    /// What few connections have.
    extras: Option<Box<Extras>>,
}

/// What a connection has beside the ordinary, so that one without it has no place for it.
#[derive(Default)]
struct Extras {
    /// Where compression was agreed on.
    deflation: Option<Deflation>,
    /// Where somebody looks on.
    watch: Option<Box<Watch>>,
}

/// What messages are compressed with.
struct Deflation {
    agreed: Agreed,
    pool: Rc<Pool>,
    /// The connection's own, with what it has sent in its memory; there is none before the first message, while one is
    /// compressed, and without a context.
    compressor: Cell<Option<Box<Compressor>>>,
}

impl fmt::Debug for Deflation {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.agreed, out)
    }
}

impl Deflation {
    fn keep(&self, compressor: Box<Compressor>) {
        if self.agreed.terms.server_context {
            self.compressor.set(Some(compressor));
        } else {
            self.pool.keep_compressor(*compressor);
        }
    }
}

/// A compressed message, to be [sent](Outbox::send_deflated) before any other is compressed. Where the peer keeps a window
/// and this is not sent, what comes next is compressed without a memory, which every peer understands.
#[derive(Debug)]
pub struct Deflated {
    payload: Vec<u8>,
    compressor: Box<Compressor>,
}

impl Outbox {
    /// An open outbox whose first bytes are `prologue`, which is not a frame: the answer to the handshake.
    pub fn new(id: u64, prologue: Vec<u8>) -> Self {
        Self {
            id,
            bytes: Cell::new(prologue),
            sent: Cell::new(0),
            state: Cell::new(ReadyState::Open),
            sent_code: Cell::new(super::code::ABNORMAL),
            waker: Cell::new(None),
            running: Cell::new(false),
            fragments: Cell::new(None),
            paused: Cell::new(false),
            parting: Cell::new(Parting::None),
            keep_open: Cell::new(0),
            alarm: Cell::new(None),
            extras: None,
        }
    }

    /// The same with compression, as agreed, by what the worker has for it.
    pub fn deflating(mut self, agreed: Agreed, pool: Rc<Pool>) -> Self {
        self.extras.get_or_insert_default().deflation = Some(Deflation {
            agreed,
            pool,
            compressor: Cell::new(None),
        });
        self
    }

    /// The same with an onlooker.
    pub fn watched(mut self, watch: Watch) -> Self {
        self.extras.get_or_insert_default().watch = Some(Box::new(watch));
        self
    }

    /// Whoever looks on.
    #[inline]
    pub(super) fn watch(&self) -> Option<&Watch> {
        self.extras.as_ref()?.watch.as_deref()
    }

    #[inline]
    fn deflation(&self) -> Option<&Deflation> {
        self.extras.as_ref()?.deflation.as_ref()
    }

    /// What was agreed on about compression, if it was.
    pub fn agreed(&self) -> Option<&Agreed> {
        self.deflation().map(|deflation| &deflation.agreed)
    }

    /// The connection's number, unique in the process.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The state as the handler may see it.
    pub fn state(&self) -> ReadyState {
        self.state.get()
    }

    /// Bytes that the stream has not taken yet.
    pub fn buffered(&self) -> usize {
        self.look(|bytes| bytes.len()) - self.sent.get()
    }

    /// Queues a text message.
    pub fn send_text(&self, text: &str) -> Result<(), SendError> {
        self.send_message(Data::Text, text.as_bytes())
    }

    /// Queues a binary message.
    pub fn send_binary(&self, bytes: &[u8]) -> Result<(), SendError> {
        self.send_message(Data::Binary, bytes)
    }

    fn send_message(&self, kind: Data, payload: &[u8]) -> Result<(), SendError> {
        if self.deflates(payload.len(), None) {
            let Ok(deflated) = self.deflate(payload, false, || Ok::<_, Infallible>(()));
            if let Some(deflated) = deflated {
                self.send_deflated(kind, &deflated)?;
                self.put_away(deflated);
                return Ok(());
            }
        }
        self.send_plain(kind, payload)
    }

    /// Queues a message as it is.
    pub fn send_plain(&self, kind: Data, payload: &[u8]) -> Result<(), SendError> {
        if self.fragments.get().is_some() {
            return Err(SendError::InFragments);
        }
        self.send(OpCode::Data(kind), true, payload)?;
        self.count(1, 0);
        Ok(())
    }

    /// Whether a message of this length is to be compressed: as `wanted`, or else from the agreed length on.
    #[inline]
    pub fn deflates(&self, length: usize, wanted: Option<bool>) -> bool {
        match self.deflation() {
            None => false,
            Some(deflation) => {
                wanted.unwrap_or(length >= deflation.agreed.terms.threshold)
                    && self.state.get() == ReadyState::Open
                    && self.fragments.get().is_none()
            }
        }
    }

    /// Compresses a message. `None`: it is better sent as it is, unless `forced`. `pause` is called now and then during a
    /// long one, and its error ends the work; the connection may be used meanwhile.
    pub fn deflate<E>(
        &self,
        payload: &[u8],
        forced: bool,
        pause: impl FnMut() -> Result<(), E>,
    ) -> Result<Option<Deflated>, E> {
        let Some(deflation) = self.deflation() else {
            return Ok(None);
        };
        let terms = &deflation.agreed.terms;
        let own = deflation.compressor.take();
        let mut compressor = own.unwrap_or_else(|| Box::new(deflation.pool.compressor(terms)));
        // Into a context it has gone already, when it turns out that it does not get smaller.
        let most = if forced || terms.server_context {
            usize::MAX
        } else {
            payload.len().saturating_sub(1)
        };
        let compressed = deflation
            .pool
            .compress(&mut compressor, payload, most, pause)?;
        Ok(match compressed {
            Some(payload) => Some(Deflated {
                payload,
                compressor,
            }),
            None => {
                deflation.pool.keep_compressor(*compressor);
                None
            }
        })
    }

    /// Queues a compressed message, which is to be [put away](Self::put_away) then.
    pub fn send_deflated(&self, kind: Data, deflated: &Deflated) -> Result<(), SendError> {
        if self.fragments.get().is_some() {
            return Err(SendError::InFragments);
        }
        if self.state.get() != ReadyState::Open {
            return Err(SendError::NotOpen);
        }
        if let Some(watch) = self.watch() {
            watch.frame_out(OpCode::Data(kind), true, true, &deflated.payload);
        }
        self.look(|bytes| frame::encode_compressed(bytes, kind, &deflated.payload));
        self.count(1, 0);
        self.wake();
        Ok(())
    }

    /// Takes back what a message was compressed with, once it is queued.
    pub fn put_away(&self, deflated: Deflated) {
        if let Some(deflation) = self.deflation() {
            deflation.keep(deflated.compressor);
            deflation.pool.keep_output(deflated.payload);
        }
    }

    /// Queues a fragment of a message; `last` ends it. All are of one kind, and no other message comes between.
    pub fn send_fragment(&self, kind: Data, payload: &[u8], last: bool) -> Result<(), SendError> {
        let open = self.fragments.get();
        if open.is_some_and(|open| open != kind) {
            return Err(SendError::InFragments);
        }
        let opcode = open.map_or(kind, |_| Data::Continue);
        self.send(OpCode::Data(opcode), last, payload)?;
        self.fragments.set((!last).then_some(kind));
        self.count(last.into(), 0);
        Ok(())
    }

    /// Queues bytes as they are, between two frames, even after a Close.
    pub fn send_raw(&self, bytes: &[u8]) {
        if self.state.get() != ReadyState::Closed {
            if let Some(watch) = self.watch() {
                watch.raw_out(bytes);
            }
            self.look(|queued| queued.extend_from_slice(bytes));
            self.wake();
        }
    }

    /// A Close was sent as raw bytes: as far as the protocol goes, it is out.
    pub fn close_was_sent(&self, code: u16) {
        if self.state.get() == ReadyState::Open {
            self.sent_code.set(code);
            self.state.set(ReadyState::Closing);
        }
    }

    /// Drops the connection without a Close.
    pub fn abort(&self, how: Parting) {
        self.parting.set(how);
        self.state.set(ReadyState::Closed);
        self.wake();
    }

    pub(super) fn parting(&self) -> Parting {
        self.parting.get()
    }

    /// Stops reading the stream, or goes on with it.
    pub fn pause(&self, paused: bool) {
        self.paused.set(paused);
        self.wake();
    }

    pub(super) fn is_paused(&self) -> bool {
        self.paused.get()
    }

    /// Has the stream stay open for this many seconds after the close handshake.
    pub fn keep_open(&self, seconds: u32) {
        self.keep_open.set(seconds);
    }

    pub(super) fn kept_open(&self) -> u32 {
        self.keep_open.get()
    }

    /// Queues the Close; from then on nothing else is taken. `None` has no code.
    pub fn close(&self, close: Option<&Close>) -> Result<(), SendError> {
        let payload = close.map(Close::encode).unwrap_or_default();
        self.send(OpCode::Control(Control::Close), true, &payload)?;
        self.sent_code
            .set(close.map_or(super::code::NO_STATUS, |close| close.code));
        self.state.set(ReadyState::Closing);
        Ok(())
    }

    /// The code of the Close that was sent, 1006 as long as none was.
    pub(super) fn sent_code(&self) -> u16 {
        self.sent_code.get()
    }

    /// Queues a Ping; its payload has at most 125 bytes.
    pub fn ping(&self, payload: &[u8]) -> Result<(), SendError> {
        self.send(OpCode::Control(Control::Ping), true, payload)
    }

    /// Queues a Pong; its payload has at most 125 bytes.
    pub fn pong(&self, payload: &[u8]) -> Result<(), SendError> {
        self.send(OpCode::Control(Control::Pong), true, payload)
    }

    fn send(&self, opcode: OpCode, is_final: bool, payload: &[u8]) -> Result<(), SendError> {
        if self.state.get() != ReadyState::Open {
            return Err(SendError::NotOpen);
        }
        if let Some(watch) = self.watch() {
            watch.frame_out(opcode, is_final, false, payload);
        }
        self.look(|bytes| {
            if bytes.is_empty() && payload.len() >= LONG {
                self.sent.set(align(bytes, payload.len()));
            }
            frame::encode(bytes, opcode, is_final, payload);
        });
        self.wake();
        Ok(())
    }

    #[inline]
    fn count(&self, messages: u64, bytes: usize) {
        if let Some(watch) = self.watch() {
            watch.sent(messages, bytes);
        }
    }

    /// Has the connection's task run again, unless it is running.
    pub fn wake(&self) {
        if !self.running.get()
            && let Some(waker) = self.waker.take()
        {
            waker.wake_by_ref();
            self.waker.set(Some(waker));
        }
    }

    fn look<R>(&self, at: impl FnOnce(&mut Vec<u8>) -> R) -> R {
        let mut bytes = self.bytes.take();
        let result = at(&mut bytes);
        self.bytes.set(bytes);
        result
    }

    pub(super) fn set_closed(&self) {
        self.state.set(ReadyState::Closed);
    }

    /// The connection's task begins to run: frames need not wake it, and they gather in the worker's buffer.
    pub(super) fn enter(&self, context: &Context<'_>, buffer: &mut Vec<u8>) {
        self.running.set(true);
        let known = self.waker.take();
        let known = known.filter(|known| known.will_wake(context.waker()));
        self.waker
            .set(known.or_else(|| Some(context.waker().clone())));
        self.look(|bytes| {
            if bytes.is_empty() {
                std::mem::swap(bytes, buffer);
            }
        });
    }

    /// The task stops running: the worker's buffer goes back, and what the stream has not taken is kept in one of
    /// the connection's own; if it is most of a long one, in that itself.
    pub(super) fn leave(&self, buffer: &mut Vec<u8>) {
        self.running.set(false);
        self.look(|bytes| {
            let left = bytes.len() - self.sent.get();
            let is_long = left > WRITE && left > bytes.capacity() / 2;
            if buffer.capacity() == 0 && !is_long {
                std::mem::swap(bytes, buffer);
                *bytes = buffer[self.sent.take()..].to_vec();
                buffer.clear();
            } else if bytes.is_empty() {
                *bytes = Vec::new();
            }
        });
    }

    /// Gives queued bytes to the stream until it takes no more, or a [share's](WRITE) worth; how many it took.
    pub(super) fn flush(
        &self,
        stream: &mut (impl AsyncWrite + Unpin),
        context: &mut Context<'_>,
    ) -> io::Result<usize> {
        let mut total = 0;
        while total < WRITE {
            let polled = self.with_unsent(|bytes| match bytes {
                [] => Poll::Pending,
                bytes => {
                    let most = bytes.len().min(WRITE - total);
                    Pin::new(&mut *stream).poll_write(context, &bytes[..most])
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

    /// What the stream has not taken yet.
    fn with_unsent<R>(&self, write: impl FnOnce(&[u8]) -> R) -> R {
        self.look(|bytes| write(&bytes[self.sent.get()..]))
    }

    /// The stream took this many bytes.
    fn sent(&self, count: usize) {
        self.count(0, count);
        let sent = self.sent.get() + count;
        self.look(|bytes| {
            if sent == bytes.len() {
                bytes.clear();
                self.sent.set(0);
            } else if sent > bytes.len() / 2 {
                bytes.drain(..sent);
                self.sent.set(0);
            } else {
                self.sent.set(sent);
            }
        });
    }
}

/// Fills the front of an empty buffer so that the payload of the frame that follows is [aligned](ALIGNMENT); how far.
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
            .field("id", &self.id)
            .field("state", &self.state.get())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_pointer_width = "64")]
    fn it_is_small() {
        // With the two counts of its `Rc` 96 bytes.
        assert_eq!(size_of::<Outbox>(), 80);
    }

    /// Whatever is sent, and however the stream takes it, its bytes are those of the frames, and so is their count.
    #[test]
    fn the_bytes_are_the_same_wherever_they_lie() {
        let lengths = [
            0, 1, 125, 126, 2047, 2048, 2049, 4096, 65_535, 65_536, 300_000,
        ];
        let mut random = fastrand::Rng::with_seed(11);
        let mut aligned = 0;
        for round in 0..200 {
            let prologue = if round % 2 == 0 {
                Vec::new()
            } else {
                vec![b'P'; 130]
            };
            let outbox = Outbox::new(1, prologue.clone());
            let (mut wanted, mut taken) = (prologue, Vec::new());
            let mut worker = Vec::with_capacity(random.usize(..1000));
            let mut is_running = false;
            for _ in 0..60 {
                match random.usize(..6) {
                    0 if is_running => outbox.leave(&mut worker),
                    0 => outbox.enter(&Context::from_waker(Waker::noop()), &mut worker),
                    1 | 2 => {
                        let was_empty = outbox.buffered() == 0;
                        let payload = vec![
                            random.u8(..);
                            random.usize(..3) + *random.choice(&lengths).unwrap()
                        ];
                        outbox.send_binary(&payload).unwrap();
                        frame::encode(&mut wanted, OpCode::Data(Data::Binary), true, &payload);
                        if was_empty && payload.len() >= LONG {
                            let header = frame::header_length(payload.len());
                            outbox.with_unsent(|unsent| {
                                assert_eq!((unsent.as_ptr() as usize + header) % ALIGNMENT, 0);
                            });
                            aligned += 1;
                        }
                    }
                    3 => {
                        let raw = vec![b'R'; random.usize(..20)];
                        outbox.send_raw(&raw);
                        wanted.extend(raw);
                    }
                    _ => {
                        let most = outbox.buffered();
                        let count = if random.bool() {
                            most
                        } else {
                            random.usize(..=most)
                        };
                        outbox.with_unsent(|unsent| taken.extend_from_slice(&unsent[..count]));
                        if count > 0 {
                            outbox.sent(count);
                        }
                    }
                }
                is_running = outbox.running.get();
                assert_eq!(outbox.buffered(), wanted.len() - taken.len());
            }
            outbox.with_unsent(|unsent| taken.extend_from_slice(unsent));
            assert!(taken == wanted, "round {round}");
        }
        assert!(aligned > 100, "{aligned}");
    }

    #[test]
    fn a_header_is_as_long_as_it_is_said_to_be() {
        for length in [0, 125, 126, 65_535, 65_536, 1 << 20] {
            let mut out = Vec::new();
            frame::encode(&mut out, OpCode::Data(Data::Text), true, &vec![0; length]);
            assert_eq!(out.len() - length, frame::header_length(length));
        }
    }
}
