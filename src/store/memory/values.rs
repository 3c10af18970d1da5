//! Values in memory: a tree for each store, with its keys in order and a lock of its own.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use crate::store::Limits;
use crate::store::account::{Accounts, ENTRY, KeyCharge};
use crate::store::answer::Result;
use crate::store::change::{Change, Outcome};
use crate::store::engine::{Named, Place};
use crate::store::value::{Kept, Millis};

/// Keys that are looked at under the lock at once.
const PORTION: usize = 1_000;
/// Keys whose time is up that a change takes away on its way, so that they never pile up.
const ON_THE_WAY: usize = 2;

/// All stores.
#[derive(Debug, Default)]
pub struct Values {
    stores: RwLock<HashMap<Arc<str>, Arc<Store>>>,
    due: Due,
    keys: AtomicUsize,
}

#[derive(Debug, Default)]
struct Store(Mutex<BTreeMap<Arc<str>, Entry>>);

#[derive(Debug)]
struct Entry {
    kept: Kept,
    charge: KeyCharge,
}

/// The keys that go by themselves, by their time.
#[derive(Debug)]
struct Due {
    /// The time of the first one, for those who only look.
    first: AtomicU64,
    all: Mutex<BTreeSet<(Millis, Place)>>,
}

impl Values {
    /// The value of a key at this time.
    pub fn get(&self, at: &Place, now: Millis) -> Option<Kept> {
        let store = self.store(&at.store)?;
        let entries = store.entries();
        let entry = entries.get(&at.key)?;
        entry.kept.is_there(now).then(|| entry.kept.clone())
    }

    /// Changes one; the answer, and whether it is another now.
    pub fn change(
        &self,
        at: &Place,
        change: Change,
        payer: &Arc<str>,
        now: Millis,
        with: (&Accounts, &Limits),
    ) -> Result<(i64, bool)> {
        self.sweep(now, ON_THE_WAY);
        let store = self.open(&at.store);
        let mut entries = store.entries();
        let before = entries.len();
        // One whose time is up is in nobody's way.
        let is_over = |entry: &Entry| !entry.kept.is_there(now);
        if entries.get(&at.key).is_some_and(is_over) {
            self.remove(&mut entries, at);
        }
        let known = entries.get(&at.key).map(|entry| &entry.kept);
        let applied = change.apply(&at.key, known);
        let done = applied.and_then(|(outcome, answer)| {
            let is_other = outcome != Outcome::Same;
            match outcome {
                Outcome::Same => {}
                Outcome::Gone => self.remove(&mut entries, at),
                Outcome::Put(kept) => self.put(&mut entries, at, kept, payer, with)?,
            }
            Ok((answer, is_other))
        });
        let after = entries.len();
        drop(entries);
        self.count(before, after);
        if after == 0 {
            self.close(store, &at.store);
        }
        done
    }

    fn put(
        &self,
        entries: &mut BTreeMap<Arc<str>, Entry>,
        at: &Place,
        kept: Kept,
        payer: &Arc<str>,
        (accounts, limits): (&Accounts, &Limits),
    ) -> Result<()> {
        let bytes = at.key.len() + kept.value.len() + ENTRY;
        let until = kept.until;
        let before;
        match entries.get_mut(&at.key) {
            Some(entry) if entry.charge.0.payer() == payer => {
                entry.charge.0.resize(bytes, limits)?;
                before = std::mem::replace(&mut entry.kept, kept).until;
            }
            known => {
                // Whoever writes pays.
                let charge = KeyCharge::new(&accounts.of(payer), bytes, limits)?;
                before = known.and_then(|known| known.kept.until);
                entries.insert(Arc::clone(&at.key), Entry { kept, charge });
            }
        }
        if before != until {
            self.due.change(at, before, until);
        }
        Ok(())
    }

    fn remove(&self, entries: &mut BTreeMap<Arc<str>, Entry>, at: &Place) {
        let until = entries.remove(&at.key).and_then(|entry| entry.kept.until);
        self.due.change(at, until, None);
    }

    /// Takes away keys whose time is up, so many at the most: those that went.
    pub fn sweep(&self, now: Millis, most: usize) -> Vec<Place> {
        let due = self.due.pop(now, most);
        for (until, at) in &due {
            let Some(store) = self.store(&at.store) else {
                continue;
            };
            let mut entries = store.entries();
            let before = entries.len();
            // It may have another time by now.
            let is_it = |entry: &Entry| entry.kept.until == Some(*until);
            if entries.get(&at.key).is_some_and(is_it) {
                entries.remove(&at.key);
            }
            let after = entries.len();
            drop(entries);
            self.count(before, after);
            if after == 0 {
                self.close(store, &at.store);
            }
        }
        due.into_iter().map(|(_, at)| at).collect()
    }

    /// The keys of a store that begin so. Between portions others have their turn.
    pub fn keys(&self, store: &str, prefix: &str, most: usize, now: Millis) -> Vec<Arc<str>> {
        let mut keys: Vec<Arc<str>> = Vec::new();
        let Some(store) = self.store(store) else {
            return keys;
        };
        let mut from = Bound::Included(Arc::from(prefix));
        loop {
            let entries = store.entries();
            let portion = entries.range::<Arc<str>, _>((from, Bound::Unbounded));
            let mut looked = 0;
            let mut last = None;
            for (key, entry) in portion.take(PORTION) {
                if !key.starts_with(prefix) || keys.len() == most {
                    return keys;
                }
                looked += 1;
                last = Some(key);
                if entry.kept.is_there(now) {
                    keys.push(Arc::clone(key));
                }
            }
            match last {
                Some(last) if looked == PORTION => from = Bound::Excluded(Arc::clone(last)),
                _ => return keys,
            }
        }
    }

    /// The stores in whose name a text is found.
    pub fn names(&self, find: &str) -> Vec<Named> {
        let stores = self.stores.read().unwrap_or_else(PoisonError::into_inner);
        let found = stores.iter().filter(|(name, _)| name.contains(find));
        let found: Vec<_> = found
            .map(|(name, store)| (Arc::clone(name), Arc::clone(store)))
            .collect();
        drop(stores);
        let named = found.into_iter().map(|(name, store)| Named {
            name,
            count: store.entries().len(),
            is_all: true,
        });
        named.filter(|named| named.count > 0).collect()
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.keys.load(Ordering::Relaxed)
    }

    fn count(&self, before: usize, after: usize) {
        match after.checked_sub(before) {
            Some(0) => {}
            Some(more) => drop(self.keys.fetch_add(more, Ordering::Relaxed)),
            None => drop(self.keys.fetch_sub(before - after, Ordering::Relaxed)),
        }
    }

    fn store(&self, name: &str) -> Option<Arc<Store>> {
        let stores = self.stores.read().unwrap_or_else(PoisonError::into_inner);
        stores.get(name).map(Arc::clone)
    }

    fn open(&self, name: &Arc<str>) -> Arc<Store> {
        if let Some(store) = self.store(name) {
            return store;
        }
        let mut stores = self.stores.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(stores.entry(Arc::clone(name)).or_default())
    }

    /// Forgets a store that is empty.
    fn close(&self, store: Arc<Store>, name: &str) {
        drop(store);
        let mut stores = self.stores.write().unwrap_or_else(PoisonError::into_inner);
        // Whoever uses it has a clone, and got it under this lock.
        let is_over =
            |store: &Arc<Store>| Arc::strong_count(store) == 1 && store.entries().is_empty();
        if stores.get(name).is_some_and(is_over) {
            stores.remove(name);
        }
    }
}

impl Store {
    fn entries(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Due {
    fn default() -> Self {
        Self {
            first: AtomicU64::new(Millis::MAX),
            all: Mutex::default(),
        }
    }
}

impl Due {
    /// A key goes at another time than before.
    fn change(&self, at: &Place, before: Option<Millis>, after: Option<Millis>) {
        if before.is_none() && after.is_none() {
            return;
        }
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(before) = before {
            all.remove(&(before, at.clone()));
        }
        if let Some(after) = after {
            all.insert((after, at.clone()));
        }
        self.look(&all);
    }

    /// Takes out the first ones whose time is up, so many at the most.
    fn pop(&self, now: Millis, most: usize) -> Vec<(Millis, Place)> {
        let mut due = Vec::new();
        if self.first.load(Ordering::Relaxed) > now {
            return due;
        }
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        while due.len() < most && all.first().is_some_and(|(until, _)| *until <= now) {
            due.extend(all.pop_first());
        }
        self.look(&all);
        due
    }

    fn look(&self, all: &BTreeSet<(Millis, Place)>) {
        let first = all.first().map_or(Millis::MAX, |(until, _)| *until);
        self.first.store(first, Ordering::Relaxed);
    }
}
