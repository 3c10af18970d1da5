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
    /// Subscribers that may have missed messages.
    pub gaps: AtomicU64,
    /// Messages that came from the broker,
    pub arrived: AtomicU64,
    /// and the milliseconds that they took.
    pub lag: AtomicU64,
    /// Portions of history that were read from it.
    pub refills: AtomicU64,
    /// Messages under our names that this software has not made.
    pub foreign: AtomicU64,
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
            gaps: read(&self.gaps),
            arrived: read(&self.arrived),
            lag: read(&self.lag),
            refills: read(&self.refills),
            foreign: read(&self.foreign),
        }
    }

    /// So many more.
    pub fn count(counter: &AtomicU64, more: u64) {
        counter.fetch_add(more, Ordering::Relaxed);
    }
}
