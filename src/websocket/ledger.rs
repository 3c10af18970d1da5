//! Account of the message bytes that all connections hold, with a bound on the sum: beyond it the
//! largest go, and the others notice nothing.
//!
//! Each message and each queue has a bound of its own, and enough strangers together are beyond any
//! machine. Only what is large is counted, and only when it has changed by much, so that most
//! connections never come here.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::{Duration, Instant};

use crate::observe::event::Event;

/// Bytes from which a connection is counted, and in steps of which: as many as a request's head may
/// have, which is not counted either.
pub const STEP: usize = 16 * 1024;

/// The bound's name in the log.
pub const REFUSAL: &str = "max-buffered";

/// Minimum interval between two log lines about closed connections.
const QUIET: Duration = Duration::from_secs(10);

/// The account of all workers' connections.
#[derive(Debug)]
pub struct Ledger {
    bound: usize,
    /// Bytes of those that are not to go.
    total: AtomicUsize,
    next: AtomicU64,
    large: Mutex<Large>,
}

/// The connections that hold much.
#[derive(Debug, Default)]
struct Large {
    entries: BTreeMap<u64, Arc<Entry>>,
    said: Option<Instant>,
    closed: u64,
}

#[derive(Debug)]
struct Entry {
    ledger: Arc<Ledger>,
    number: u64,
    bytes: AtomicUsize,
    /// It is to close.
    is_evicted: AtomicBool,
    waker: Waker,
}

/// What a connection holds, for as long as it is much.
#[derive(Debug)]
pub struct Reservation(Arc<Entry>);

impl Ledger {
    /// An account within a bound.
    pub fn new(bound: usize) -> Arc<Self> {
        Arc::new(Self {
            bound,
            total: AtomicUsize::new(0),
            next: AtomicU64::new(0),
            large: Mutex::default(),
        })
    }

    /// Begins to count a connection, which is woken when it is to close.
    pub fn hold(self: &Arc<Self>, waker: &Waker) -> Reservation {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let entry = Arc::new(Entry {
            ledger: Arc::clone(self),
            number,
            bytes: AtomicUsize::new(0),
            is_evicted: AtomicBool::new(false),
            waker: waker.clone(),
        });
        self.large().entries.insert(number, Arc::clone(&entry));
        Reservation(entry)
    }

    fn large(&self) -> MutexGuard<'_, Large> {
        self.large.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Dooms the largest, until the rest is within the bound.
    fn relieve(&self) {
        let mut large = self.large();
        while self.total.load(Ordering::Relaxed) > self.bound {
            let staying = large
                .entries
                .values()
                .filter(|entry| !entry.is_evicted.load(Ordering::Relaxed));
            let Some(largest) = staying.max_by_key(|entry| entry.bytes.load(Ordering::Relaxed))
            else {
                break;
            };
            largest.is_evicted.store(true, Ordering::Relaxed);
            let bytes = largest.bytes.load(Ordering::Relaxed);
            self.total.fetch_sub(bytes, Ordering::Relaxed);
            largest.waker.wake_by_ref();
            large.closed += 1;
        }
        self.say(&mut large);
    }

    /// Once a second: what was too often to be said at once.
    pub fn tick(&self) {
        self.say(&mut self.large());
    }

    fn say(&self, large: &mut Large) {
        if large.closed == 0 || large.said.is_some_and(|said| said.elapsed() < QUIET) {
            return;
        }
        Event::TooMuchHeld {
            refusal: REFUSAL,
            connections: std::mem::take(&mut large.closed),
            bound: self.bound,
        }
        .tell();
        large.said = Some(Instant::now());
    }
}

impl Reservation {
    /// It holds so many bytes now.
    pub fn set(&self, bytes: usize) {
        if self.is_evicted() {
            return;
        }
        let before = self.0.bytes.load(Ordering::Relaxed);
        if before.abs_diff(bytes) < STEP {
            return;
        }
        // Under the lock, because who is to go is chosen by these numbers, and taken off the sum by
        // them.
        {
            let _large = self.0.ledger.large();
            if self.is_evicted() {
                return;
            }
            self.0.bytes.store(bytes, Ordering::Relaxed);
            self.0.ledger.total.fetch_add(bytes, Ordering::Relaxed);
            self.0.ledger.total.fetch_sub(before, Ordering::Relaxed);
        }
        if self.0.ledger.total.load(Ordering::Relaxed) > self.0.ledger.bound {
            self.0.ledger.relieve();
        }
    }

    /// Whether the connection is to close.
    pub fn is_evicted(&self) -> bool {
        self.0.is_evicted.load(Ordering::Relaxed)
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let mut large = self.0.ledger.large();
        large.entries.remove(&self.0.number);
        if !self.is_evicted() {
            let bytes = self.0.bytes.load(Ordering::Relaxed);
            self.0.ledger.total.fetch_sub(bytes, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1024 * 1024;

    #[test]
    fn the_largest_go_until_the_rest_fits() {
        let ledger = Ledger::new(10 * MIB);
        let hold = |bytes| {
            let holding = ledger.hold(Waker::noop());
            holding.set(bytes);
            holding
        };
        let [small, large, larger] = [MIB, 3 * MIB, 4 * MIB].map(hold);
        assert!(!larger.is_evicted());
        small.set(4 * MIB - STEP);
        let evicted = |holdings: [&Reservation; 3]| holdings.map(Reservation::is_evicted);
        assert_eq!(evicted([&small, &large, &larger]), [false, false, true]);
        // It counts no more, whether it is gone or about to go.
        large.set(6 * MIB);
        assert_eq!(evicted([&small, &large, &larger]), [false, false, true]);
        drop(larger);
        large.set(7 * MIB);
        assert!(large.is_evicted() && !small.is_evicted());
        drop((large, small));
        assert_is_empty(&ledger);
    }

    fn assert_is_empty(ledger: &Ledger) {
        assert_eq!(ledger.total.load(Ordering::Relaxed), 0);
        assert!(ledger.large().entries.is_empty());
    }

    /// Whoever comes, grows, shrinks, is evicted and goes at the same time as others takes off what
    /// it had put on.
    #[test]
    fn workers_leave_nothing_behind() {
        let ledger = Ledger::new(4 * MIB);
        let evicted: usize = std::thread::scope(|scope| {
            let workers: Vec<_> = (1..=4)
                .map(|worker| {
                    let ledger = &ledger;
                    scope.spawn(move || {
                        let mut evicted = 0;
                        for round in 0..500 {
                            let holdings = [0; 5].map(|_| ledger.hold(Waker::noop()));
                            for (step, holding) in (1..).zip(&holdings) {
                                holding.set(worker * step * 100_000);
                                holding.set(round * 1_000);
                                holding.set(worker * step * 70_000);
                            }
                            evicted += holdings.iter().filter(|one| one.is_evicted()).count();
                        }
                        evicted
                    })
                })
                .collect();
            workers
                .into_iter()
                .map(|worker| worker.join().expect("no panic"))
                .sum()
        });
        assert!(evicted > 0);
        assert_is_empty(&ledger);
    }

    #[test]
    fn little_is_not_counted() {
        let ledger = Ledger::new(MIB);
        let holding = ledger.hold(Waker::noop());
        holding.set(STEP - 1);
        assert_eq!(ledger.total.load(Ordering::Relaxed), 0);
        holding.set(STEP);
        assert_eq!(ledger.total.load(Ordering::Relaxed), STEP);
    }
}
