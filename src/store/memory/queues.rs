//! Queues in memory, each with a lock of its own. Entries have numbers, by which one that comes
//! back finds its place again.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use crate::store::Limits;
use crate::store::account::{Accounts, Charge, ENTRY, QueueCharge};
use crate::store::answer::Result;
use crate::store::engine::{Item, Named};
use crate::store::value::{Bytes, Millis};

/// All queues.
#[derive(Debug, Default)]
pub struct Queues {
    by_name: RwLock<HashMap<Arc<str>, Arc<Queue>>>,
    /// The last number of an entry or a lease: none is used twice.
    last: AtomicU64,
    entries: AtomicUsize,
}

#[derive(Debug)]
struct Queue {
    line: Mutex<Line>,
    /// The handler that was the first to use it.
    _charge: QueueCharge,
}

#[derive(Debug, Default)]
struct Line {
    /// By their numbers.
    ready: BTreeMap<u64, Entry>,
    /// By the number of the lease: when it runs out, and the entry with its number.
    leased: BTreeMap<u64, (Millis, u64, Entry)>,
    due: BTreeSet<(Millis, u64)>,
    bytes: usize,
}

#[derive(Debug)]
struct Entry {
    value: Bytes,
    charge: Charge,
}

impl Queues {
    /// Adds an entry at the end; `false` if the queue is full.
    pub fn put(
        &self,
        name: &Arc<str>,
        value: &Bytes,
        payer: &Arc<str>,
        accounts: &Accounts,
        limits: &Limits,
    ) -> Result<bool> {
        let account = accounts.of(payer);
        let queue = match self.queue(name) {
            Some(queue) => queue,
            None => {
                let mut all = self.by_name.write().unwrap_or_else(PoisonError::into_inner);
                match all.get(name) {
                    Some(queue) => Arc::clone(queue),
                    None => {
                        let queue = Arc::new(Queue {
                            line: Mutex::default(),
                            _charge: QueueCharge::new(&account, limits)?,
                        });
                        all.insert(Arc::clone(name), Arc::clone(&queue));
                        queue
                    }
                }
            }
        };
        let mut line = queue.line();
        let count = line.ready.len() + line.leased.len();
        if count >= limits.entries || line.bytes + value.len() > limits.queue {
            return Ok(false);
        }
        let charge = Charge::new(&account, value.len() + ENTRY, limits)?;
        // Under the lock, so that the order of numbers is that of entries.
        let (number, value) = (self.next(), Arc::clone(value));
        line.bytes += value.len();
        line.ready.insert(number, Entry { value, charge });
        self.entries.fetch_add(1, Ordering::Relaxed);
        Ok(true)
    }

    /// Takes the first entry, for good or until this time.
    pub fn take(&self, name: &Arc<str>, lease: Option<Millis>) -> Option<Item> {
        let queue = self.queue(name)?;
        let mut line = queue.line();
        let (number, entry) = line.ready.pop_first()?;
        let mut item = Item {
            queue: Arc::clone(name),
            number,
            value: Arc::clone(&entry.value),
            payer: Arc::clone(entry.charge.payer()),
            lease: None,
        };
        match lease {
            Some(until) => {
                let lease = self.next();
                item.lease = Some(lease);
                line.due.insert((until, lease));
                line.leased.insert(lease, (until, number, entry));
            }
            None => {
                line.bytes -= entry.value.len();
                self.entries.fetch_sub(1, Ordering::Relaxed);
            }
        }
        Some(item)
    }

    /// An entry that nobody has got is at the front again, whatever bounds there are: it had its
    /// place. Whether it is.
    pub fn take_back(&self, item: Item, accounts: &Accounts, limits: &Limits) -> bool {
        if let Some(lease) = item.lease {
            // One that ran out meanwhile is there already.
            return self
                .queue(&item.queue)
                .is_some_and(|queue| queue.line().release(lease));
        }
        let unbounded = Limits {
            bytes: usize::MAX,
            queues: usize::MAX,
            ..*limits
        };
        let account = accounts.of(&item.payer);
        let bytes = item.value.len() + ENTRY;
        let (Ok(charge), Ok(of_queue)) = (
            Charge::new(&account, bytes, &unbounded),
            QueueCharge::new(&account, &unbounded),
        ) else {
            return false;
        };
        let queue = {
            let mut all = self.by_name.write().unwrap_or_else(PoisonError::into_inner);
            let queue = all.entry(Arc::clone(&item.queue)).or_insert_with(|| {
                Arc::new(Queue {
                    line: Mutex::default(),
                    _charge: of_queue,
                })
            });
            Arc::clone(queue)
        };
        let mut line = queue.line();
        line.bytes += item.value.len();
        let entry = Entry {
            value: item.value,
            charge,
        };
        line.ready.insert(item.number, entry);
        self.entries.fetch_add(1, Ordering::Relaxed);
        true
    }

    /// Ends a lease for good; whether it was still one.
    pub fn done(&self, name: &str, lease: u64) -> bool {
        let Some(queue) = self.queue(name) else {
            return false;
        };
        let mut line = queue.line();
        let Some((until, _, entry)) = line.leased.remove(&lease) else {
            return false;
        };
        line.due.remove(&(until, lease));
        line.bytes -= entry.value.len();
        self.entries.fetch_sub(1, Ordering::Relaxed);
        true
    }

    /// How many entries can be taken.
    pub fn length(&self, name: &str) -> usize {
        let queue = self.queue(name);
        queue.map_or(0, |queue| queue.line().ready.len())
    }

    /// The queues in whose name a text is found.
    pub fn names(&self, find: &str) -> Vec<Named> {
        let all = self.by_name.read().unwrap_or_else(PoisonError::into_inner);
        let found = all.iter().filter(|(name, _)| name.contains(find));
        let named = found.map(|(name, queue)| Named {
            name: Arc::clone(name),
            count: queue.line().ready.len(),
            is_all: true,
        });
        named.collect()
    }

    /// Leases that have run out are over; the queues, and how many entries each has again.
    pub fn tick(&self, now: Millis) -> Vec<(Arc<str>, usize)> {
        let all: Vec<_> = {
            let all = self.by_name.read().unwrap_or_else(PoisonError::into_inner);
            let all = all.iter();
            all.map(|(name, queue)| (Arc::clone(name), Arc::clone(queue)))
                .collect()
        };
        let mut back = Vec::new();
        let mut is_any_empty = false;
        for (name, queue) in all {
            let mut line = queue.line();
            let count = line.run_out(now);
            is_any_empty |= line.is_empty();
            if count > 0 {
                back.push((name, count));
            }
        }
        if is_any_empty {
            let mut all = self.by_name.write().unwrap_or_else(PoisonError::into_inner);
            // Whoever uses one has a clone of it, and got it under this lock.
            all.retain(|_, queue| Arc::strong_count(queue) > 1 || !queue.line().is_empty());
        }
        back
    }

    /// How many entries there are, those on lease among them.
    pub fn len(&self) -> usize {
        self.entries.load(Ordering::Relaxed)
    }

    fn next(&self) -> u64 {
        self.last.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn queue(&self, name: &str) -> Option<Arc<Queue>> {
        let all = self.by_name.read().unwrap_or_else(PoisonError::into_inner);
        all.get(name).map(Arc::clone)
    }
}

impl Queue {
    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Line {
    fn is_empty(&self) -> bool {
        self.ready.is_empty() && self.leased.is_empty()
    }

    /// Ends a lease: its entry is back at its place. Whether it was still one.
    fn release(&mut self, lease: u64) -> bool {
        let Some((until, number, entry)) = self.leased.remove(&lease) else {
            return false;
        };
        self.due.remove(&(until, lease));
        self.ready.insert(number, entry);
        true
    }

    /// Ends the leases whose time is up: how many these were.
    fn run_out(&mut self, now: Millis) -> usize {
        let mut count = 0;
        while let Some((until, lease)) = self.due.first().copied() {
            if until > now {
                break;
            }
            self.release(lease);
            count += 1;
        }
        count
    }
}
