//! Who waits for what, and is woken by whom: for the value of a key, for an entry of a queue, for
//! room in one.
//!
//! Whoever waits is here before it looks, and whatever changes is told here once it is so: no
//! notice can be missed. Where nobody waits, telling costs a look at a number.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use super::engine::Place;
use super::present::{Guest, Present};

/// All who wait.
#[derive(Debug, Default)]
pub struct Notices {
    keys: Arc<Present<Place, Notify>>,
    lines: Arc<Present<Arc<str>, Line>>,
}

/// Whoever has it is woken when a key changes.
pub type Watch = Guest<Place, Notify>;

/// A place in a queue's line.
pub type InLine = Guest<Arc<str>, Line>;

/// Those who wait at one queue, in the order in which they came. Only the first of them looks.
#[derive(Debug, Default)]
pub struct Line {
    /// The turn to take.
    pub takers: Arc<tokio::sync::Mutex<()>>,
    /// The turn to put.
    pub putters: tokio::sync::Mutex<()>,
    /// Entries that are there for those in the line. It may be too many, never too few.
    ready: AtomicUsize,
    filled: Notify,
    emptied: Notify,
}

impl Line {
    fn new(entries: usize) -> Self {
        Self {
            ready: AtomicUsize::new(entries),
            ..Self::default()
        }
    }

    /// Claims one of the entries that are there.
    pub fn claim(&self) -> bool {
        let less = |ready: usize| ready.checked_sub(1);
        self.ready
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less)
            .is_ok()
    }

    /// Ready when there are more.
    pub fn filled(&self) -> Notified<'_> {
        self.filled.notified()
    }

    /// Ready when there is more room.
    pub fn emptied(&self) -> Notified<'_> {
        self.emptied.notified()
    }
}

impl Notices {
    /// From now on changes of this key wake whoever has the watch.
    pub fn watch(&self, at: &Place) -> Watch {
        self.keys.enter(at, Notify::new)
    }

    /// A key has changed.
    pub fn changed(&self, at: &Place) {
        if let Some(notify) = self.keys.find(at) {
            notify.notify_waiters();
        }
    }

    /// The line at a queue, if somebody waits there.
    pub fn line(&self, queue: &str) -> Option<Arc<Line>> {
        self.lines.find(queue)
    }

    /// Goes to the line at a queue, which has so many entries if it is the first one there.
    pub fn enter(&self, queue: &Arc<str>, entries: impl FnOnce() -> usize) -> InLine {
        self.lines.enter(queue, || Line::new(entries()))
    }

    /// A queue has so many entries more.
    pub fn filled(&self, queue: &str, entries: usize) {
        if let Some(line) = self.line(queue) {
            line.ready.fetch_add(entries, Ordering::Relaxed);
            line.filled.notify_one();
        }
    }

    /// A queue has more room.
    pub fn emptied(&self, queue: &str) {
        if let Some(line) = self.line(queue) {
            line.emptied.notify_one();
        }
    }

    /// How many keys and queues somebody waits at.
    #[cfg(test)]
    pub fn waited_for(&self) -> (usize, usize) {
        (self.keys.all().len(), self.lines.all().len())
    }
}
