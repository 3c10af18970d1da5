//! The buckets of times.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Buckets of a histogram: 1 µs, and each four times the one before, up to 67 s.
pub(super) const BUCKETS: usize = 14;
/// The first bucket's bound, in nanoseconds.
pub(super) const FIRST: u64 = 1000;

/// The bucket of a time: the first one whose bound it does not pass.
pub(super) fn bucket(nanoseconds: u64) -> usize {
    let over = nanoseconds.saturating_sub(1) / FIRST;
    let bits = u64::BITS - over.leading_zeros();
    (bits.div_ceil(2) as usize).min(BUCKETS)
}

/// A bucket's bound, in seconds.
pub(super) fn bound(bucket: usize) -> f64 {
    (FIRST << (2 * bucket)) as f64 / 1e9
}

/// Times that all threads measure.
#[derive(Debug, Default)]
pub struct Stopwatch {
    buckets: [AtomicU64; BUCKETS + 1],
    nanoseconds: AtomicU64,
}

/// How often something has taken how long.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Spread {
    pub(super) buckets: [u64; BUCKETS + 1],
    pub(super) nanoseconds: u64,
}

impl Stopwatch {
    /// Something has taken so long.
    pub fn add(&self, time: Duration) {
        let nanoseconds = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.buckets[bucket(nanoseconds)].fetch_add(1, Ordering::Relaxed);
        self.nanoseconds.fetch_add(nanoseconds, Ordering::Relaxed);
    }

    /// What was measured until now.
    pub fn read(&self) -> Spread {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Spread {
            buckets: self.buckets.each_ref().map(read),
            nanoseconds: read(&self.nanoseconds),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_in_the_first_bucket_that_holds_it() {
        for (nanoseconds, expected) in [
            (0, 0),
            (1000, 0),
            (1001, 1),
            (4000, 1),
            (4001, 2),
            (16_000, 2),
            (16_001, 3),
            (u64::MAX, BUCKETS),
        ] {
            assert_eq!(bucket(nanoseconds), expected, "{nanoseconds} ns");
        }
        for bucket_of in 0..BUCKETS {
            let nanoseconds = FIRST << (2 * bucket_of);
            assert_eq!(bucket(nanoseconds), bucket_of);
            assert_eq!(bucket(nanoseconds + 1), bucket_of + 1);
        }
    }
}
