//! A connection's share of its worker: what it may do before the others have theirs.
//!
//! Without it, a peer that sends without a pause, or takes whatever is sent to it, would be served
//! for as long as it likes.

use std::cell::Cell;
use std::task::Context;
use std::time::{Duration, Instant};

/// Bytes read or written: a message of 64 KiB in one go.
const BYTES: usize = 64 * 1024;
/// Bytes that are given to the stream at once: the kernel copies them in some 200 µs.
pub const WRITE: usize = 1024 * 1024;
/// Time for events.
const TIME: Duration = Duration::from_micros(500);
/// Events between two looks at the clock; most connections have fewer in a share, and do without.
const EVENTS: u32 = 8;

/// Used part of a connection's share: bytes, events and time. Cells one by one, since every event
/// touches some of them.
#[derive(Debug, Default)]
pub struct Quantum {
    bytes: Cell<usize>,
    events: Cell<u32>,
    began: Cell<Option<Instant>>,
    is_used: Cell<bool>,
}

impl Quantum {
    /// Nothing of it is used.
    pub fn begin(&self) {
        self.bytes.set(0);
        self.events.set(0);
        self.began.set(None);
        self.is_used.set(false);
    }

    /// So many bytes were read or written.
    pub fn bytes(&self, count: usize) {
        let bytes = self.bytes.get() + count;
        self.bytes.set(bytes);
        self.uses_up(bytes >= BYTES);
    }

    /// An event was handled.
    #[inline]
    pub fn event(&self) {
        let events = self.events.get() + 1;
        self.events.set(events);
        if events.is_multiple_of(EVENTS) {
            let now = Instant::now();
            let began = self.began.get().unwrap_or(now);
            self.began.set(Some(began));
            self.uses_up(now - began >= TIME);
        }
    }

    fn uses_up(&self, does: bool) {
        self.is_used.set(self.is_used.get() || does);
    }

    /// Whether it is used up.
    #[inline]
    pub fn is_used(&self) -> bool {
        self.is_used.get()
    }
}

/// Wakes the task when every other that is ready has run and the sockets have been looked at. A
/// plain wake would put it into the queue that the worker empties first, up to 61 turns of it.
pub fn yield_now(context: &mut Context<'_>) {
    let later = std::pin::pin!(tokio::task::yield_now());
    let _ = Future::poll(later, context);
}
