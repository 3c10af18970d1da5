//! What the stores and queues of one handler keep, so that none of them takes what is another's.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::Limits;
use super::answer::Result;
use super::refused::Refused;

/// Bytes that an entry counts beside its own.
pub const ENTRY: usize = 64;

/// One handler's account.
#[derive(Debug)]
pub struct Account {
    /// The handler's file.
    pub payer: Arc<str>,
    keys: AtomicUsize,
    bytes: AtomicUsize,
    queues: AtomicUsize,
}

/// The accounts of all handlers.
#[derive(Debug, Default)]
pub struct Accounts(Mutex<HashMap<Arc<str>, Arc<Account>>>);

impl Accounts {
    /// A handler's.
    pub fn of(&self, payer: &Arc<str>) -> Arc<Account> {
        let mut accounts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let account = accounts.entry(Arc::clone(payer)).or_insert_with(|| {
            Arc::new(Account {
                payer: Arc::clone(payer),
                keys: AtomicUsize::new(0),
                bytes: AtomicUsize::new(0),
                queues: AtomicUsize::new(0),
            })
        });
        Arc::clone(account)
    }

    /// Forgets those that nothing is charged to.
    pub fn tidy(&self) {
        let mut accounts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        accounts.retain(|_, account| Arc::strong_count(account) > 1);
    }
}

/// So many more, unless there are too many then.
fn more(count: &AtomicUsize, more: usize, most: usize) -> bool {
    let sum = |held: usize| held.checked_add(more).filter(|held| *held <= most);
    count
        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, sum)
        .is_ok()
}

/// Bytes of an account, given back when they are dropped.
#[derive(Debug)]
pub struct Charge {
    account: Arc<Account>,
    bytes: usize,
}

impl Charge {
    /// So many bytes, unless they are too many with what there is.
    pub fn new(account: &Arc<Account>, bytes: usize, limits: &Limits) -> Result<Self> {
        if !more(&account.bytes, bytes, limits.bytes) {
            return Err(Refused::Room(limits.bytes));
        }
        Ok(Self {
            account: Arc::clone(account),
            bytes,
        })
    }

    /// Whose they are.
    pub fn payer(&self) -> &Arc<str> {
        &self.account.payer
    }

    /// They are so many from now on.
    pub fn resize(&mut self, bytes: usize, limits: &Limits) -> Result<()> {
        let held = &self.account.bytes;
        match bytes.checked_sub(self.bytes) {
            Some(0) => {}
            Some(grown) if !more(held, grown, limits.bytes) => {
                return Err(Refused::Room(limits.bytes));
            }
            Some(_) => {}
            None => drop(held.fetch_sub(self.bytes - bytes, Ordering::Relaxed)),
        }
        self.bytes = bytes;
        Ok(())
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.account.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// A key of an account with its bytes.
#[derive(Debug)]
pub struct KeyCharge(pub Charge);

impl KeyCharge {
    /// One key more.
    pub fn new(account: &Arc<Account>, bytes: usize, limits: &Limits) -> Result<Self> {
        let charge = Charge::new(account, bytes, limits)?;
        if !more(&account.keys, 1, limits.keys) {
            return Err(Refused::Keys(limits.keys));
        }
        Ok(Self(charge))
    }
}

impl Drop for KeyCharge {
    fn drop(&mut self) {
        self.0.account.keys.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A queue of an account.
#[derive(Debug)]
pub struct QueueCharge(Arc<Account>);

impl QueueCharge {
    /// One queue more.
    pub fn new(account: &Arc<Account>, limits: &Limits) -> Result<Self> {
        if !more(&account.queues, 1, limits.queues) {
            return Err(Refused::Queues(limits.queues));
        }
        Ok(Self(Arc::clone(account)))
    }
}

impl Drop for QueueCharge {
    fn drop(&mut self) {
        self.0.queues.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::limits::STORES;

    #[test]
    fn what_is_charged_is_given_back() {
        let limits = Limits {
            keys: 2,
            bytes: 100,
            queues: 1,
            ..STORES
        };
        let accounts = Accounts::default();
        let account = accounts.of(&"a".into());
        let mut first = KeyCharge::new(&account, 40, &limits).expect("there is room");
        let second = KeyCharge::new(&account, 40, &limits).expect("there is room");
        let full = Refused::Room(100);
        assert_eq!(Charge::new(&account, 21, &limits).err(), Some(full.clone()));
        let third = KeyCharge::new(&account, 20, &limits);
        assert_eq!(third.err(), Some(Refused::Keys(2)));
        assert_eq!(first.0.resize(61, &limits), Err(full));
        assert_eq!(first.0.resize(60, &limits), Ok(()));
        assert_eq!(first.0.resize(10, &limits), Ok(()));
        let queue = QueueCharge::new(&account, &limits).expect("one");
        assert!(QueueCharge::new(&account, &limits).is_err());
        drop((first, second, queue));
        assert!(KeyCharge::new(&account, 100, &limits).is_ok());
        drop(account);
        accounts.tidy();
        assert_eq!(accounts.0.lock().expect("no panic").len(), 0);
    }
}
