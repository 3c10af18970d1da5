//! Times between two attempts to reach an engine: longer and longer, and never those of another
//! node.

use std::time::Duration;

/// The first time between two attempts,
const FIRST: Duration = Duration::from_millis(50);
/// and the longest: an engine that is back has its nodes back within two seconds.
const LONGEST: Duration = Duration::from_secs(1);

/// The next time to wait.
#[derive(Debug)]
pub struct Backoff(Duration);

impl Backoff {
    /// Before the first attempt.
    pub fn new() -> Self {
        Self(FIRST)
    }

    /// How long to wait now: half to one and a half of what it is about.
    pub fn next(&mut self) -> Duration {
        let about = self.0;
        self.0 = (about * 2).min(LONGEST);
        about.mul_f64(0.5 + fastrand::f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_grows_up_to_a_bound() {
        let mut backoff = Backoff::new();
        assert!(backoff.next() < FIRST * 2);
        for _ in 0..100 {
            assert!(backoff.next() <= LONGEST * 3 / 2);
        }
        assert!(backoff.next() >= LONGEST / 2);
    }
}
