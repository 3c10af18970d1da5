//! What goes over the wire by a name that a script has given it: a user's, a page's, a room's.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The traffic of one name.
#[derive(Debug, Default)]
pub struct Account {
    requests: AtomicU64,
    received: AtomicU64,
    sent: AtomicU64,
}

impl Account {
    /// A request came, with so many bytes.
    pub fn asked(&self, bytes: usize) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.received(bytes);
    }

    /// So many bytes came.
    pub fn received(&self, bytes: usize) {
        self.received.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// So many bytes went out.
    pub fn sent(&self, bytes: u64) {
        self.sent.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Requests, bytes that came, bytes that went out.
    pub fn read(&self) -> [u64; 3] {
        [&self.requests, &self.received, &self.sent].map(|count| count.load(Ordering::Relaxed))
    }
}

/// The accounts of all handlers, of each so many.
#[derive(Debug)]
pub struct Accounts {
    most: usize,
    known: Mutex<BTreeMap<String, Names>>,
}

/// Those of a handler, with a number that is larger the later they were used.
#[derive(Debug, Default)]
struct Names {
    accounts: BTreeMap<String, (Arc<Account>, u64)>,
    uses: u64,
}

impl Accounts {
    /// None yet.
    pub fn new(most: usize) -> Self {
        Self {
            most,
            known: Mutex::default(),
        }
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<String, Names>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The account of a name, to be written; the one that was used the longest ago makes room for a
    /// new one. `None` if all are in use.
    pub fn open(&self, file: &str, name: &str) -> Option<Arc<Account>> {
        let mut known = self.known();
        let names = known.entry(file.to_owned()).or_default();
        names.uses += 1;
        let now = names.uses;
        if let Some((account, used)) = names.accounts.get_mut(name) {
            *used = now;
            return Some(Arc::clone(account));
        }
        if names.accounts.len() >= self.most {
            let idle = names.accounts.iter();
            let idle = idle.filter(|(_, (account, _))| Arc::strong_count(account) == 1);
            let (oldest, _) = idle.min_by_key(|(_, (_, used))| *used)?;
            let oldest = oldest.clone();
            names.accounts.remove(&oldest);
        }
        let account = Arc::<Account>::default();
        names
            .accounts
            .insert(name.to_owned(), (Arc::clone(&account), now));
        Some(account)
    }

    /// What was counted for a name; nothing for one that is not known.
    pub fn read(&self, file: &str, name: &str) -> [u64; 3] {
        let known = self.known();
        let found = known.get(file).and_then(|names| names.accounts.get(name));
        found.map_or([0; 3], |(account, _)| account.read())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_one_that_was_used_the_longest_ago_makes_room() {
        let accounts = Accounts::new(2);
        let held = accounts.open("a", "1").expect("room");
        accounts.open("a", "2").expect("room").asked(7);
        assert_eq!(accounts.read("a", "2"), [1, 7, 0]);
        accounts.open("a", "3").expect("2 makes room").sent(3);
        assert_eq!(accounts.read("a", "2"), [0; 3]);
        held.received(5);
        assert_eq!(accounts.read("a", "1"), [0, 5, 0]);
        let also = accounts.open("a", "3").expect("it is there");
        assert_eq!(also.read(), [0, 0, 3]);
        assert!(accounts.open("a", "4").is_none(), "both are in use");
        assert!(accounts.open("b", "4").is_some(), "of another handler");
    }
}
