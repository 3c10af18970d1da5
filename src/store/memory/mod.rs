//! The engine that ends with its process: the default, with nothing to install.

mod queues;
mod values;

use std::sync::Arc;

use super::Limits;
use super::account::Accounts;
use super::answer::Answer;
use super::change::Change;
use super::engine::{Engine, Item, Names, Place, TakeBack, Taken};
use super::notices::Notices;
use super::value::{Bytes, Kept, Millis};
use crate::observe::metrics::Stores;
use queues::Queues;
use values::Values;

/// Keys whose time is up that go in a second, beside those that changes take away on their way.
const IN_A_SECOND: usize = 5_000;

/// Values and queues in memory.
#[derive(Debug)]
pub struct Memory(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    values: Values,
    queues: Queues,
    accounts: Accounts,
    limits: Limits,
    notices: Arc<Notices>,
}

impl Memory {
    /// Nothing yet, which tells these notices.
    pub fn new(limits: Limits, notices: Arc<Notices>) -> Self {
        Self(Arc::new(Inner {
            values: Values::default(),
            queues: Queues::default(),
            accounts: Accounts::default(),
            limits,
            notices,
        }))
    }
}

impl Engine for Memory {
    fn kind(&self) -> &'static str {
        "memory"
    }

    fn is_shared(&self) -> bool {
        false
    }

    fn get(&self, at: &Place, now: Millis) -> Answer<Option<Kept>> {
        Answer::Now(Ok(self.0.values.get(at, now)))
    }

    fn change(&self, at: &Place, change: Change, payer: &Arc<str>, now: Millis) -> Answer<i64> {
        let with = (&self.0.accounts, &self.0.limits);
        let done = self.0.values.change(at, change, payer, now, with);
        Answer::Now(done.map(|(answer, is_other)| {
            if is_other {
                self.0.notices.changed(at);
            }
            answer
        }))
    }

    fn keys(&self, store: &str, prefix: &str, most: usize, now: Millis) -> Answer<Vec<Arc<str>>> {
        Answer::Now(Ok(self.0.values.keys(store, prefix, most, now)))
    }

    fn names(&self, find: &str, most: usize) -> Answer<Names> {
        let (stores, queues) = (self.0.values.names(find), self.0.queues.names(find));
        Answer::Now(Ok(Names::first(stores, queues, most)))
    }

    fn put(&self, queue: &Arc<str>, value: &Bytes, payer: &Arc<str>) -> Answer<bool> {
        let (accounts, limits) = (&self.0.accounts, &self.0.limits);
        let put = self.0.queues.put(queue, value, payer, accounts, limits);
        if put == Ok(true) {
            self.0.notices.filled(queue, 1);
        }
        Answer::Now(put)
    }

    fn take(&self, queue: &Arc<str>, lease: Option<Millis>) -> Answer<Option<Taken>> {
        let item = self.0.queues.take(queue, lease);
        if item.is_some() && lease.is_none() {
            self.0.notices.emptied(queue);
        }
        let back: Arc<dyn TakeBack> = Arc::clone(&self.0) as _;
        Answer::Now(Ok(item.map(|item| Taken::new(item, back))))
    }

    fn done(&self, queue: &Arc<str>, lease: u64) -> Answer<bool> {
        let done = self.0.queues.done(queue, lease);
        if done {
            self.0.notices.emptied(queue);
        }
        Answer::Now(Ok(done))
    }

    fn length(&self, queue: &str) -> Answer<usize> {
        Answer::Now(Ok(self.0.queues.length(queue)))
    }

    fn tick(&self, now: Millis) {
        for at in self.0.values.sweep(now, IN_A_SECOND) {
            self.0.notices.changed(&at);
        }
        for (queue, entries) in self.0.queues.tick(now) {
            self.0.notices.filled(&queue, entries);
        }
        self.0.accounts.tidy();
    }

    fn sizes(&self) -> Stores {
        Stores {
            keys: self.0.values.len() as u64,
            entries: self.0.queues.len() as u64,
        }
    }
}

impl TakeBack for Inner {
    fn take_back(&self, item: Item) {
        let queue = Arc::clone(&item.queue);
        if self.queues.take_back(item, &self.accounts, &self.limits) {
            self.notices.filled(&queue, 1);
        }
    }
}
