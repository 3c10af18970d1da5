//! Descriptors for descriptors: connections and the files that are sent on some of them count
//! together, so that the bound on connections is one on descriptors as well.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The count of descriptors that clients hold, and its bound.
#[derive(Debug)]
pub struct Descriptors {
    used: AtomicUsize,
    most: usize,
}

/// One of them, given back when it is dropped.
#[derive(Debug)]
pub struct Held(Arc<Descriptors>);

impl Descriptors {
    /// Descriptors for so many.
    pub fn new(most: usize) -> Arc<Self> {
        Arc::new(Self {
            used: AtomicUsize::new(0),
            most,
        })
    }

    /// Returns the number of descriptors held.
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// Counts a connection in, which has been admitted.
    pub fn enter(&self) {
        self.used.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a connection out.
    pub fn leave(&self) {
        self.used.fetch_sub(1, Ordering::Relaxed);
    }

    /// A place for a file, if there is one.
    pub fn hold(self: &Arc<Self>) -> Option<Held> {
        let more = |used| (used < self.most).then_some(used + 1);
        let held = self
            .used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        held.ok().map(|_| Held(Arc::clone(self)))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.leave();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_take_the_room_that_connections_leave() {
        let room = Descriptors::new(3);
        room.enter();
        let first = room.hold();
        let second = room.hold();
        assert!(first.is_some() && second.is_some() && room.hold().is_none());
        drop(first);
        assert!(room.hold().is_some());
        assert_eq!(room.used(), 2);
        room.leave();
        drop(second);
        assert_eq!(room.used(), 0);
    }
}
