//! What topics have done since the start.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts of the whole process.
#[derive(Debug, Default)]
pub struct Tally {
    /// Messages that were published.
    pub published: AtomicU64,
    /// Messages that were handed to a subscriber's queue.
    pub delivered: AtomicU64,
    /// Messages that slow subscribers were not sent.
    pub dropped: AtomicU64,
    /// Slow subscribers that were closed.
    pub closed: AtomicU64,
    /// Resumes after which nothing was missed,
    pub recovered: AtomicU64,
    /// and those after which something was.
    pub lost: AtomicU64,
}

impl Tally {
    /// So many more.
    pub fn count(counter: &AtomicU64, more: u64) {
        counter.fetch_add(more, Ordering::Relaxed);
    }
}
