//! What others hold of a connection: the way to its peer, and what its own task is to be told.

use std::cell::Cell;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Waker};

use super::close::Close;
use super::deflate::Pool;
use super::extensions::Agreed;
use super::frame::Data;
use super::ledger::STEP;
use super::lent::Payload;
use super::message::Message;
use super::outbox::{Outbox, ReadyState, SendError};
use crate::local::Slot;

/// Manner in which the handler or the server has dropped the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Abort {
    /// It has not.
    None,
    /// Without a Close, when what was queued before is sent.
    Sent,
    /// With a reset, at once.
    Reset,
    /// At once, when the stream has what it takes now.
    Now,
}

/// In what the bytes are counted that others keep for a connection.
const UNIT: usize = 1024;

/// A connection within its worker. While its own task runs, frames gather in the outbox and go out
/// in one write; from elsewhere they wake that task. Every connection has one: with the counts of
/// its `Rc` it is 96 bytes, a size that the allocator has.
pub struct Handle {
    id: u64,
    outbox: Outbox,
    /// Wakes the connection's own task; none while that runs, which sees what is new without being
    /// woken.
    waker: Slot<Option<Waker>>,
    /// Seconds that the stream stays open after the close handshake.
    keep_open: Cell<u16>,
    /// What others keep for it until there is room, in [units](UNIT).
    held: Cell<u16>,
    /// The handler does not want to hear for now.
    is_paused: Cell<bool>,
    parting: Cell<Abort>,
    /// The slot of the worker's wheel that its alarm is in.
    pub(super) alarm: Cell<Option<u8>>,
}

impl Handle {
    /// The handle of connection number so and so, which no other has, before its task begins.
    pub fn new(id: u64, outbox: Outbox) -> Rc<Self> {
        Rc::new(Self {
            id,
            outbox,
            waker: Slot::default(),
            keep_open: Cell::new(0),
            held: Cell::new(0),
            is_paused: Cell::new(false),
            parting: Cell::new(Abort::None),
            alarm: Cell::new(None),
        })
    }

    /// A number for a connection, the same way on all workers.
    pub fn next_id() -> u64 {
        static CONNECTIONS: AtomicU64 = AtomicU64::new(1);
        CONNECTIONS.fetch_add(1, Ordering::Relaxed)
    }

    /// The connection's number, unique in the process.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The state as the handler may see it.
    pub fn state(&self) -> ReadyState {
        self.outbox.state()
    }

    /// Whether the peer is about to go, or gone, though what it has sent is still handled.
    pub fn is_leaving(&self) -> bool {
        self.outbox.is_leaving() || self.state() != ReadyState::Open
    }

    /// The peer is about to go, or gone.
    pub(super) fn leaves(&self) {
        self.outbox.peer_leaves();
    }

    /// Bytes that the stream has not taken yet.
    pub fn buffered(&self) -> usize {
        self.outbox.buffered()
    }

    /// Returns the negotiated parameters of permessage-deflate, if there are any.
    pub fn agreed(&self) -> Option<&Agreed> {
        self.outbox.agreed()
    }

    /// What compresses its messages, if that was agreed on.
    pub fn pool(&self) -> Option<&Pool> {
        self.outbox.pool()
    }

    /// Somebody keeps so many bytes for the connection until there is room, at least 1 to be told
    /// of it; they count to what it holds.
    pub fn hold(&self, bytes: usize) {
        let units = u16::try_from(bytes.div_ceil(UNIT)).unwrap_or(u16::MAX);
        let before = self.held.replace(units);
        // It tells the ledger when it runs.
        if usize::from(before.abs_diff(units)) * UNIT >= STEP {
            self.wake();
        }
    }

    /// Bytes that are kept for it so.
    #[inline]
    pub(super) fn held(&self) -> usize {
        usize::from(self.held.get()) * UNIT
    }

    /// Whether a fragmented message is open, inside of which no other may be sent.
    pub fn is_in_fragments(&self) -> bool {
        self.outbox.is_in_fragments()
    }

    /// Has something queued, and the connection's task run if it does not.
    pub fn queue<R>(&self, put: impl FnOnce(&Outbox) -> R) -> R {
        let result = put(&self.outbox);
        self.wake();
        result
    }

    /// Queues a message, compressed where that is worth it.
    pub fn send(&self, message: &Message<'_>) -> Result<(), SendError> {
        let (kind, payload) = message.parts();
        self.queue(|outbox| outbox.message_at_once(kind, payload))
    }

    /// Queues a message that was made for many, with the compressed form that they share.
    pub fn publish(
        &self,
        kind: Data,
        payload: Payload<'_>,
        compressed: Option<&Arc<[u8]>>,
    ) -> Result<(), SendError> {
        self.queue(|outbox| outbox.ready_made(kind, payload, compressed))
    }

    /// This version of its handler serves it: for who looks on.
    pub fn served_by(&self, version: u64) {
        if let Some(watch) = self.outbox.watch() {
            watch.served_by(version);
        }
    }

    /// Queues the Close; from then on nothing else is taken. `None` has no code.
    pub fn close(&self, close: Option<&Close>) -> Result<(), SendError> {
        self.queue(|outbox| outbox.close(close))
    }

    /// Drops the connection without a Close.
    pub fn abort(&self, how: Abort) {
        self.parting.set(how);
        self.queue(Outbox::set_closed);
    }

    /// Stops reading the stream, or goes on with it.
    pub fn pause(&self, paused: bool) {
        self.is_paused.set(paused);
        self.wake();
    }

    /// Has the stream stay open for this many seconds after the close handshake.
    pub fn keep_open(&self, seconds: u32) {
        // Nobody waits for a day.
        let seconds = u16::try_from(seconds).unwrap_or(u16::MAX);
        self.keep_open.set(seconds);
    }

    /// Has the connection's task run again, unless it is running.
    pub fn wake(&self) {
        self.waker.look(|waker| {
            if let Some(waker) = waker {
                waker.wake_by_ref();
            }
        });
    }

    pub(super) fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    /// Takes what the stream would, of one that has none.
    pub(crate) fn take_unsent(&self, most: usize) -> Vec<u8> {
        self.outbox.take_unsent(most)
    }

    pub(super) fn parting(&self) -> Abort {
        self.parting.get()
    }

    pub(super) fn is_paused(&self) -> bool {
        self.is_paused.get()
    }

    pub(super) fn kept_open(&self) -> u32 {
        self.keep_open.get().into()
    }

    /// The connection's task begins to run: frames need not wake it, and they gather in the
    /// worker's buffer. What woke it is given back when it [leaves](Self::leave).
    pub(super) fn enter(&self, buffer: &mut Vec<u8>) -> Option<Waker> {
        self.outbox.enter(buffer);
        self.waker.take()
    }

    /// The task stops running.
    pub(super) fn leave(&self, waker: Option<Waker>, context: &Context<'_>, buffer: &mut Vec<u8>) {
        let known = waker.filter(|known| known.will_wake(context.waker()));
        self.waker
            .set(known.or_else(|| Some(context.waker().clone())));
        self.outbox.leave(buffer);
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Handle")
            .field("id", &self.id)
            .field("state", &self.state())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    #[cfg(target_pointer_width = "64")]
    fn it_is_small() {
        // With the two counts of its `Rc` 96 bytes. Debug builds watch over its slots.
        let watched = if cfg!(debug_assertions) { 16 } else { 0 };
        assert_eq!(size_of::<Handle>(), 80 + watched);
    }

    #[test]
    fn frames_wake_the_task_unless_it_runs() {
        let woken = Arc::new(Count::default());
        let waker = Waker::from(Arc::clone(&woken));
        let context = Context::from_waker(&waker);
        let handle = Handle::new(1, Outbox::default());
        let mut buffer = Vec::new();
        let count = || woken.0.load(Ordering::Relaxed);
        let message = Message::Text("hello".into());
        for round in 1..=3 {
            let known = handle.enter(&mut buffer);
            handle.send(&message).expect("it is open");
            assert_eq!(count(), round - 1);
            handle.leave(known, &context, &mut buffer);
            handle.send(&message).expect("it is open");
            assert_eq!(count(), round);
        }
    }
}
