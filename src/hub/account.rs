//! What the topics of one handler take, so that none of them takes what is another's.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// One handler's account.
#[derive(Debug, Default)]
pub struct Account {
    topics: AtomicUsize,
    history: AtomicUsize,
    keys: AtomicUsize,
}

/// A part of one, given back when it is dropped.
#[derive(Debug)]
pub struct Charge {
    account: Arc<Account>,
    bytes: usize,
}

impl Account {
    /// One topic more, unless there are so many already.
    pub fn open_topic(&self, most: usize) -> bool {
        more(&self.topics, 1, most)
    }

    /// One topic less.
    pub fn close_topic(&self) {
        self.topics.fetch_sub(1, Ordering::Relaxed);
    }

    /// One key in presence more, unless there are so many already.
    pub fn open_key(&self, most: usize) -> bool {
        more(&self.keys, 1, most)
    }

    /// One key less.
    pub fn close_key(&self) {
        self.keys.fetch_sub(1, Ordering::Relaxed);
    }

    /// So many bytes of history, unless that is more than `most` with what there is.
    pub fn charge(self: &Arc<Self>, bytes: usize, most: usize) -> Option<Charge> {
        more(&self.history, bytes, most).then(|| Charge {
            account: Arc::clone(self),
            bytes,
        })
    }

    /// Whether nothing is charged to it.
    pub fn is_empty(&self) -> bool {
        [&self.topics, &self.history, &self.keys]
            .iter()
            .all(|count| count.load(Ordering::Relaxed) == 0)
    }
}

/// So many more, unless there are too many then.
fn more(count: &AtomicUsize, more: usize, most: usize) -> bool {
    let sum = |held: usize| held.checked_add(more).filter(|held| *held <= most);
    count
        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, sum)
        .is_ok()
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.account
            .history
            .fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_charged_is_given_back() {
        let account = Arc::new(Account::default());
        assert!(account.open_topic(2) && account.open_topic(2) && !account.open_topic(2));
        account.close_topic();
        assert!(account.open_topic(2));
        let first = account.charge(60, 100).expect("there is room");
        assert!(account.charge(41, 100).is_none());
        assert!(account.charge(usize::MAX, usize::MAX).is_none());
        let second = account.charge(40, 100);
        assert!(second.is_some() && !account.is_empty());
        drop((first, second));
        account.close_topic();
        account.close_topic();
        assert!(account.is_empty());
    }
}
