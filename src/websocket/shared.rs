//! What all connections of one worker share: bounds, clock, buffers, and what they may use of each
//! other's time.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::Notify;

use super::inflation::Exclusive;
use super::ledger::Ledger;
use super::quantum::Quantum;
use super::registry::Connections;
use super::{Clock, Limits, Pool};
use crate::observe::Flood;
use crate::observe::event::Event;

/// Bytes of the read buffer: a 64 KiB message and what comes with it in one read.
const READ_BUFFER: usize = 128 * 1024;
/// Bytes that the write buffer keeps between two uses; one huge reply is not held for ever.
const WRITE_BUFFER: usize = 256 * 1024;

/// State that all connections of one worker share.
#[derive(Debug)]
pub struct Shared {
    /// The bounds that hold for each of them.
    pub limits: Limits,
    /// Those that are open.
    pub connections: Connections,
    /// The worker's clock, with the alarms of these connections.
    pub clock: Clock,
    /// Pool of compressors and inflaters for their messages.
    pub pool: Rc<Pool>,
    /// Which of them may inflate a long message.
    pub(super) inflating: Exclusive,
    /// Account of the message bytes that they hold, and those of the other workers.
    pub(super) ledger: Arc<Ledger>,
    /// What the one that runs has used of its share.
    pub(super) share: Quantum,
    /// Of their ends by a fault of the peer.
    ends: RefCell<Flood<&'static str>>,
    /// Those for whom others keep something, and who have run since.
    relieved: RefCell<BTreeSet<u64>>,
    has_relieved: Notify,
    draining: Cell<bool>,
    drain: Notify,
    /// For what is read, and what is to be written: borrowed by the connection that runs.
    read: RefCell<Vec<u8>>,
    write: RefCell<Vec<u8>>,
}

impl Shared {
    /// Buffers and a clock for connections within these bounds.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            connections: Connections::default(),
            clock: Clock::default(),
            pool: Rc::default(),
            inflating: Exclusive::default(),
            ledger: Ledger::new(usize::MAX),
            share: Quantum::default(),
            ends: RefCell::new(Flood::lines(1)),
            relieved: RefCell::default(),
            has_relieved: Notify::new(),
            draining: Cell::new(false),
            drain: Notify::new(),
            read: RefCell::new(vec![0; READ_BUFFER]),
            write: RefCell::new(Vec::with_capacity(WRITE_BUFFER)),
        }
    }

    /// Once a second: time passes for the connections, unless the worker stood still, and what was
    /// too often to be logged is counted.
    pub fn tick(&self, passes: bool) {
        self.ledger.tick();
        if passes {
            self.clock.tick();
        }
        self.ends
            .borrow_mut()
            .tick(|refusal, more| Event::PeerFaultMore { refusal, more }.tell());
    }

    /// The same, within what all workers' connections may hold together.
    pub fn within(self, ledger: Arc<Ledger>) -> Self {
        Self { ledger, ..self }
    }

    /// The server goes down: whoever waits in [`drained`](Self::drained) is told. Closing the
    /// connections is up to the caller, and so is when one is dropped that does not answer.
    pub fn start_drain(&self) {
        self.draining.set(true);
        self.drain.notify_waiters();
    }

    /// This connection may have room for what is kept for it.
    pub fn relieve(&self, connection: u64) {
        self.relieved.borrow_mut().insert(connection);
        self.has_relieved.notify_one();
    }

    /// Takes the connections that may have room now.
    pub fn take_relieved(&self) -> BTreeSet<u64> {
        self.relieved.take()
    }

    /// Ready when there are such.
    pub async fn relieved(&self) {
        self.has_relieved.notified().await;
    }

    /// Whether the server goes down.
    pub fn is_draining(&self) -> bool {
        self.draining.get()
    }

    /// Ready when the server goes down.
    pub async fn drained(&self) {
        let notified = self.drain.notified();
        if !self.is_draining() {
            notified.await;
        }
    }

    /// The read buffer, to be [given back](Self::give_back).
    pub(super) fn take_read_buffer(&self) -> Vec<u8> {
        let buffer = self.read.take();
        if buffer.is_empty() {
            // Gone with a connection whose task panicked while it had it.
            return vec![0; READ_BUFFER];
        }
        buffer
    }

    /// Takes the read buffer back.
    pub(super) fn give_back(&self, buffer: Vec<u8>) {
        *self.read.borrow_mut() = buffer;
    }

    /// Has `work` use the write buffer, which does not stay larger than it should be.
    pub(super) fn with_write_buffer<R>(&self, work: impl FnOnce(&mut Vec<u8>) -> R) -> R {
        let mut buffer = self.write.borrow_mut();
        let result = work(&mut buffer);
        if buffer.capacity() > WRITE_BUFFER {
            buffer.shrink_to(WRITE_BUFFER);
        }
        result
    }

    /// Tells of a fault of a peer, for the log only if others were not as many.
    pub(super) fn tell_within(&self, fault: Event<'_>, refusal: &'static str) {
        fault.tell_within(&mut self.ends.borrow_mut(), &refusal);
    }
}
