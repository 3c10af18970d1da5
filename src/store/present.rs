//! What is there for as long as somebody is: the first who comes brings it, the last who goes takes
//! it away.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What is there, by name, with how many are there because of it.
#[derive(Debug)]
pub struct Present<K, V> {
    guests: AtomicUsize,
    table: Mutex<HashMap<K, (Arc<V>, usize)>>,
}

/// Somebody who is there.
#[derive(Debug)]
pub struct Guest<K: Eq + Hash, V> {
    of: Arc<Present<K, V>>,
    name: K,
    /// What it is there for.
    pub value: Arc<V>,
}

impl<K: Eq + Hash + Clone, V> Present<K, V> {
    /// Comes, and brings it if nobody is there.
    pub fn enter(self: &Arc<Self>, name: &K, bring: impl FnOnce() -> V) -> Guest<K, V> {
        // Before anything is looked at: whoever changes something looks for guests after that.
        self.guests.fetch_add(1, Ordering::SeqCst);
        let mut table = self.table();
        // Brought under the lock, so that nobody finds it half-way.
        let (value, guests) = table
            .entry(name.clone())
            .or_insert_with(|| (Arc::new(bring()), 0));
        *guests += 1;
        Guest {
            of: Arc::clone(self),
            name: name.clone(),
            value: Arc::clone(value),
        }
    }

    /// What is there of this name. Where nobody is, asking costs a look at a number.
    pub fn find<Q: Eq + Hash + ?Sized>(&self, name: &Q) -> Option<Arc<V>>
    where
        K: Borrow<Q>,
    {
        if self.guests.load(Ordering::SeqCst) == 0 {
            return None;
        }
        self.table().get(name).map(|(value, _)| Arc::clone(value))
    }

    /// Everything that is there.
    #[cfg(test)]
    pub fn all(&self) -> Vec<Arc<V>> {
        let table = self.table();
        table.values().map(|(value, _)| Arc::clone(value)).collect()
    }
}

impl<K, V> Present<K, V> {
    fn table(&self) -> MutexGuard<'_, HashMap<K, (Arc<V>, usize)>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K, V> Default for Present<K, V> {
    fn default() -> Self {
        Self {
            guests: AtomicUsize::new(0),
            table: Mutex::default(),
        }
    }
}

impl<K: Eq + Hash, V> Drop for Guest<K, V> {
    fn drop(&mut self) {
        let mut table = self.of.table();
        if let Some((_, guests)) = table.get_mut(&self.name) {
            *guests -= 1;
            if *guests == 0 {
                table.remove(&self.name);
            }
        }
        drop(table);
        self.of.guests.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_who_goes_takes_it_away() {
        let present = Arc::new(Present::<String, usize>::default());
        assert_eq!(present.find("a"), None);
        let first = present.enter(&"a".into(), || 1);
        let second = present.enter(&"a".into(), || 2);
        assert_eq!((*first.value, *second.value), (1, 1));
        drop(first);
        assert_eq!(present.find("a").as_deref(), Some(&1));
        assert_eq!(present.find("b"), None);
        drop(second);
        assert!(present.all().is_empty());
        assert_eq!(*present.enter(&"a".into(), || 3).value, 3);
    }
}
