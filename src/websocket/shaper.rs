//! The schedule of a worse network: when bytes that are handed over at one end arrive at the other.
//! Times are those since the connection opened; nothing here waits.

use std::time::Duration;

use fastrand::Rng;

use crate::config::Link;

/// Bytes that travel together, as they do over an Ethernet.
pub const PACKET: usize = 1400;

/// One direction of a link.
#[derive(Debug)]
pub struct Shaper {
    link: Link,
    chance: Rng,
    /// When what was handed over before has left.
    free: Duration,
    /// When the last of it arrives.
    last: Duration,
}

impl Shaper {
    /// A direction of this link, whose jitter follows from `seed`.
    pub fn new(link: Link, seed: u64) -> Self {
        Self {
            link,
            chance: Rng::with_seed(seed),
            free: Duration::ZERO,
            last: Duration::ZERO,
        }
    }

    /// When so many bytes, handed over now, have arrived. Nothing overtakes what was before it.
    pub fn arrival(&mut self, now: Duration, bytes: usize) -> Duration {
        let begins = self.passes(now.max(self.free));
        let takes = self.link.rate.map_or(Duration::ZERO, |rate| {
            Duration::from_secs_f64(bytes as f64 / rate as f64)
        });
        self.free = begins + takes;
        let jitter = self.link.jitter.mul_f64(self.chance.f64());
        let arrives = self.passes(self.free + self.link.latency + jitter);
        self.last = self.last.max(arrives);
        self.last
    }

    /// The first moment from `time` on at which anything passes.
    fn passes(&self, time: Duration) -> Duration {
        let Some((every, lasts)) = self.link.stall else {
            return time;
        };
        let rounds = (time.as_nanos() / every.as_nanos()).min(u32::MAX.into()) as u32;
        let began = every * rounds;
        match rounds > 0 && time < began + lasts {
            true => began + lasts,
            false => time,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn millis(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    fn shaper(text: &str) -> Shaper {
        Shaper::new(text.parse().expect(text), 7)
    }

    #[test]
    fn latency_is_added_to_each() {
        let mut shaper = shaper("latency=100ms");
        assert_eq!(shaper.arrival(millis(0), 1_000_000), millis(100));
        assert_eq!(shaper.arrival(millis(5), 1), millis(105));
    }

    #[test]
    fn bytes_leave_one_after_another() {
        let mut shaper = shaper("latency=100ms,rate=1000");
        assert_eq!(shaper.arrival(millis(0), 500), millis(600));
        assert_eq!(shaper.arrival(millis(0), 500), millis(1100));
        assert_eq!(shaper.arrival(millis(5000), 1), millis(5101));
    }

    #[test]
    fn jitter_is_bounded_in_order_and_the_same_for_a_seed() {
        let times = |seed| -> Vec<_> {
            let link = "latency=10ms,jitter=50ms".parse().expect("a link");
            let mut shaper = Shaper::new(link, seed);
            (0..100).map(|now| shaper.arrival(millis(now), 1)).collect()
        };
        let first = times(1);
        assert!(first.is_sorted());
        let waits: Vec<_> = (0..)
            .zip(&first)
            .map(|(now, at)| *at - millis(now))
            .collect();
        assert!(
            waits
                .iter()
                .all(|wait| (millis(10)..=millis(60)).contains(wait))
        );
        assert!(
            waits.iter().any(|wait| *wait > millis(40)),
            "it does something"
        );
        assert_eq!(first, times(1));
        assert_ne!(first, times(2));
    }

    #[test]
    fn nothing_passes_in_a_stall() {
        let mut shaper = shaper("stall=1s/200ms");
        assert_eq!(
            shaper.arrival(millis(0), 1),
            millis(0),
            "not at the beginning"
        );
        assert_eq!(shaper.arrival(millis(999), 1), millis(999));
        assert_eq!(shaper.arrival(millis(1000), 1), millis(1200));
        assert_eq!(shaper.arrival(millis(1100), 1), millis(1200));
        assert_eq!(shaper.arrival(millis(1200), 1), millis(1200));
        assert_eq!(shaper.arrival(millis(7100), 1), millis(7200));
    }
}
