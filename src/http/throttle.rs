//! Guesses at a developer's password: so many a minute from an address, and then none for a while.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Wrong passwords from one address, after which it waits.
const WRONG: u32 = 5;
/// How long it does, and how long they count.
const TIME: Duration = Duration::from_secs(60);
/// Addresses that are counted. With more of them all begin anew: a seat is one developer's.
const ADDRESSES: usize = 1_000;

/// Wrong passwords by address.
#[derive(Debug)]
pub struct Throttle(Mutex<BTreeMap<IpAddr, (u32, Instant)>>);

/// Those of this process.
pub static THROTTLE: Throttle = Throttle(Mutex::new(BTreeMap::new()));

impl Throttle {
    /// Whether an address has to wait at this time.
    pub fn holds(&self, address: IpAddr, now: Instant) -> bool {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let wrong = known.get(&address);
        wrong.is_some_and(|(count, last)| *count >= WRONG && now.duration_since(*last) < TIME)
    }

    /// A password was wrong.
    pub fn wrong(&self, address: IpAddr, now: Instant) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= ADDRESSES {
            known.clear();
        }
        let (count, last) = known.entry(address).or_insert((0, now));
        if now.duration_since(*last) >= TIME {
            *count = 0;
        }
        (*count, *last) = (*count + 1, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_waits_after_some_guesses_and_others_do_not() {
        let throttle = Throttle(Mutex::default());
        let [one, other] = ["192.0.2.1", "192.0.2.2"].map(|text| text.parse().unwrap());
        let begin = Instant::now();
        for guess in 0..WRONG {
            assert!(!throttle.holds(one, begin), "guess {guess}");
            throttle.wrong(one, begin);
        }
        assert!(throttle.holds(one, begin + TIME / 2));
        assert!(!throttle.holds(other, begin));
        assert!(!throttle.holds(one, begin + TIME));
        throttle.wrong(one, begin + TIME);
        assert!(!throttle.holds(one, begin + TIME), "they count anew");
        for last in 0..=ADDRESSES as u32 {
            throttle.wrong(IpAddr::from(std::net::Ipv4Addr::from(last)), begin);
        }
        assert!(throttle.0.lock().unwrap().len() <= ADDRESSES);
    }
}
