//! The buckets of times.

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
