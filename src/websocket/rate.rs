//! So many a second, in the long run: a token bucket that a coarse clock fills.

/// Token bucket of a connection, as the tokens used up: six bytes, since every idle connection has
/// one.
#[derive(Debug, Default, Clone, Copy)]
pub struct Rate {
    /// The second that this was true in.
    at: u32,
    used: u16,
}

impl Rate {
    /// Takes one of `rate` a second and of `burst` beyond that, in this second; `false` if there is
    /// none. A rate of 0 is no bound.
    pub fn take(&mut self, now: u32, rate: u32, burst: u32) -> bool {
        if rate == 0 {
            return true;
        }
        let regained = (now - self.at).saturating_mul(rate);
        let used = u32::from(self.used).saturating_sub(regained) + 1;
        self.at = now;
        self.used = u16::try_from(used).unwrap_or(u16::MAX);
        used <= rate.saturating_add(burst)
    }
}

#[cfg(test)]
mod tests {
    use super::Rate;

    #[test]
    fn a_burst_and_then_the_rate() {
        let mut rate = Rate::default();
        let mut taken = |now| (0..1000).filter(|_| rate.take(now, 50, 100)).count();
        assert_eq!(taken(1), 150);
        // What is refused counts, too: whoever goes on is not let in.
        assert_eq!(taken(2), 0);
        assert_eq!(taken(100), 150);
        let mut rate = Rate::default();
        assert!((1..10_000).all(|second| (0..50).all(|_| rate.take(second, 50, 0))));
        assert!((0..1_000_000).all(|_| rate.take(20_000, 0, 0)));
    }
}
