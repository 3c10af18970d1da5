//! What topics have done since the start.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::observe::metrics::Topics;

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
    /// The counts as they are now, for the metrics.
    pub fn read(&self) -> Topics {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Topics {
            published: read(&self.published),
            delivered: read(&self.delivered),
            dropped: read(&self.dropped),
            closed: read(&self.closed),
            recovered: read(&self.recovered),
            lost: read(&self.lost),
        }
    }

    /// So many more.
    pub fn count(counter: &AtomicU64, more: u64) {
        counter.fetch_add(more, Ordering::Relaxed);
    }
}
