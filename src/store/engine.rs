//! What keeps values and queues, and what every engine promises.

use std::fmt;
use std::sync::Arc;

use super::answer::Answer;
use super::change::Change;
use super::value::{Bytes, Kept, Millis};
use crate::link::Health;
use crate::observe::metrics::{self, Stores};

/// Where a value is: a key of a store.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The store.
    pub store: Arc<str>,
    /// The key in it.
    pub key: Arc<str>,
}

/// An entry that was taken from a queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// The queue.
    pub queue: Arc<str>,
    /// Its number in the queue, by which it finds its place again.
    pub number: u64,
    /// The value.
    pub value: Bytes,
    /// The handler that pays for it.
    pub payer: Arc<str>,
    /// The number of the lease, if it is one.
    pub lease: Option<u64>,
}

/// A store or a queue by its name, for whoever looks on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// Its name.
    pub name: Arc<str>,
    /// Its keys, or the entries that can be taken.
    pub count: usize,
    /// Whether these are all of them, and not only those that were counted.
    pub is_all: bool,
}

/// Stores and queues, in order of their names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    /// The stores.
    pub stores: Vec<Named>,
    /// The queues.
    pub queues: Vec<Named>,
    /// Whether these are all of them.
    pub is_all: bool,
}

impl Names {
    /// These, so many of each at the most.
    pub fn first(mut stores: Vec<Named>, mut queues: Vec<Named>, most: usize) -> Self {
        let is_all = stores.len() <= most && queues.len() <= most;
        for named in [&mut stores, &mut queues] {
            named.sort_by(|one, other| one.name.cmp(&other.name));
            named.truncate(most);
        }
        Self {
            stores,
            queues,
            is_all,
        }
    }
}

/// Takes back what nobody has got.
pub trait TakeBack: Send + Sync {
    /// The entry is at the front again.
    fn take_back(&self, item: Item);
}

/// An entry on its way to whoever takes it. Unless it is [accepted](Self::accept), it goes back to
/// the front, wherever on the way it is dropped.
pub struct Taken(Option<(Item, Arc<dyn TakeBack>)>);

impl Taken {
    /// An entry, and where it goes if nobody gets it.
    pub fn new(item: Item, back: Arc<dyn TakeBack>) -> Self {
        Self(Some((item, back)))
    }

    /// Whoever took it has it.
    pub fn accept(mut self) -> Option<Item> {
        self.0.take().map(|(item, _)| item)
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        if let Some((item, back)) = self.0.take() {
            back.take_back(item);
        }
    }
}

impl fmt::Debug for Taken {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let item = self.0.as_ref().map(|(item, _)| item);
        out.debug_tuple("Taken").field(&item).finish()
    }
}

/// What keeps values and queues.
///
/// Each call does one thing, wholly or not at all, in one order with all others about the same key
/// or queue; what was answered is so. What is asked for happens whether or not anybody waits for
/// the answer, in the order of the calls of a thread. Whatever changes is told to the
/// [`Notices`](super::Notices) once it is so: keys, and entries that a queue has or that it has
/// room for. An entry counts as there again for each take that fails, and for each that is taken
/// back.
pub trait Engine: Send + Sync + fmt::Debug {
    /// What kind it is, as metrics have it.
    fn kind(&self) -> &'static str;

    /// Whether other processes use it as well.
    fn is_shared(&self) -> bool;

    /// Whether it is there, if it is in another process.
    fn health(&self) -> Option<&Arc<Health>> {
        None
    }

    /// The same for the metrics.
    fn link(&self) -> Option<metrics::Engine> {
        None
    }

    /// The process is about to end: what is kept in it is put in order.
    fn close(&self) {}

    /// The value of a key, if there is one at this time.
    fn get(&self, at: &Place, now: Millis) -> Answer<Option<Kept>>;

    /// Changes the value of a key, at a handler's expense: the sum of an addition, else 1 if it was
    /// done and 0 if not.
    fn change(&self, at: &Place, change: Change, payer: &Arc<str>, now: Millis) -> Answer<i64>;

    /// The keys of a store that begin so, in order, so many at the most.
    fn keys(&self, store: &str, prefix: &str, most: usize, now: Millis) -> Answer<Vec<Arc<str>>>;

    /// The stores and queues in whose name a text is found, so many of each at the most. Keys may
    /// be there that are about to go.
    fn names(&self, find: &str, most: usize) -> Answer<Names>;

    /// Adds an entry at the end of a queue, at a handler's expense; `false` if the queue is full.
    fn put(&self, queue: &Arc<str>, value: &Bytes, payer: &Arc<str>) -> Answer<bool>;

    /// Takes the first entry, for good or until this time.
    fn take(&self, queue: &Arc<str>, lease: Option<Millis>) -> Answer<Option<Taken>>;

    /// Ends a lease for good; whether it was still one.
    fn done(&self, queue: &Arc<str>, lease: u64) -> Answer<bool>;

    /// How many entries can be taken.
    fn length(&self, queue: &str) -> Answer<usize>;

    /// Once a second: what has run out goes, or goes back.
    fn tick(&self, now: Millis);

    /// What is kept.
    fn sizes(&self) -> Stores;
}
