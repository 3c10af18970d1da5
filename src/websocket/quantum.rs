//! A connection's share of its worker: what it may do before the others have theirs.
//!
//! Without it, a peer that sends without a pause, or takes whatever is sent to it, would be served
//! for as long as it likes.

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

/// Used part of a connection's share: bytes, events and time.
#[derive(Debug, Default, Clone, Copy)]
pub struct Quantum {
    bytes: usize,
    events: u32,
    began: Option<Instant>,
    is_used: bool,
}

impl Quantum {
    /// So many bytes were read or written.
    pub fn bytes(&mut self, count: usize) {
        self.bytes += count;
        self.is_used |= self.bytes >= BYTES;
    }

    /// An event was handled.
    pub fn event(&mut self) {
        self.events += 1;
        if self.events.is_multiple_of(EVENTS) {
            let now = Instant::now();
            let began = *self.began.get_or_insert(now);
            self.is_used |= now - began >= TIME;
        }
    }

    /// Whether it is used up.
    pub fn is_used(&self) -> bool {
        self.is_used
    }
}

/// Wakes the task when every other that is ready has run and the sockets have been looked at. A
/// plain wake would put it into the queue that the worker empties first, up to 61 turns of it.
pub fn yield_now(context: &mut Context<'_>) {
    let later = std::pin::pin!(tokio::task::yield_now());
    let _ = Future::poll(later, context);
}
