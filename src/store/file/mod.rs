//! The engine in one file, `--store file:PATH`: durable at every answer, whatever becomes of the
//! process.
//!
//! One thread writes, and puts what has come meanwhile into one transaction. Reads do not wait for
//! it: they see the last one that is durable.

mod names;
mod tables;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, mpsc};
use std::time::Duration;

use redb::{Database, ReadableDatabase, ReadableTable, ReadableTableMetadata};
use tokio::sync::oneshot;

use super::Limits;
use super::answer::{Answer, Result};
use super::change::Change;
use super::engine::{Engine, Item, Names, Place, TakeBack, Taken};
use super::notices::Notices;
use super::refused::Refused;
use super::value::{Bytes, Kept, Millis};
use crate::observe::metrics::Stores;
use tables::{DUE, Done, ENTRIES, LEASES, QUEUES, RUNNING, Tables, VALUES, kept};
use writer::{Open, Order, Orders, Work};

/// Bound on the wait for the file to be closed: what is durable is so without it.
const CLOSE: Duration = Duration::from_secs(5);
/// Keys and leases whose time is up that go in a second.
const IN_A_SECOND: usize = 5_000;

/// Values and queues in a file.
#[derive(Debug)]
pub struct File(Arc<Inner>);

struct Inner {
    path: PathBuf,
    open: Open,
    orders: Orders,
    notices: Arc<Notices>,
}

/// Why a file cannot be a store.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// Another process has it.
    #[error(
        "the store {} is in use by another process: give each server a file of its own", .0.display()
    )]
    InUse(PathBuf),
    /// It cannot be opened, or is something else.
    #[error("the store {} cannot be opened: {why}", .path.display())]
    Other {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
}

impl File {
    /// Opens or makes a file, which tells these notices.
    pub fn open(
        path: &Path,
        limits: Limits,
        notices: Arc<Notices>,
    ) -> std::result::Result<Self, Unusable> {
        let database = writer::open(path, &limits).map_err(|error| match error {
            redb::DatabaseError::DatabaseAlreadyOpen => Unusable::InUse(path.to_owned()),
            error => unusable(path, &error),
        })?;
        let open = Open::default();
        *open.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(database));
        let orders = writer::start(path.to_owned(), Arc::clone(&open), limits)
            .map_err(|error| unusable(path, &error))?;
        Ok(Self(Arc::new(Inner {
            path: path.to_owned(),
            open,
            orders,
            notices,
        })))
    }

    /// Has something done in a transaction, in the order of these calls; `then` is what is told
    /// others when it is durable.
    fn write<T: Send + 'static, U: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Tables<'_>) -> Done<T> + Send + 'static,
        then: impl FnOnce(&Arc<Inner>, Result<T>) -> Result<U> + Send + 'static,
    ) -> Answer<U> {
        let (sender, receiver) = oneshot::channel();
        let inner = Arc::downgrade(&self.0);
        self.0.send(work, move |result| {
            if let Some(inner) = inner.upgrade() {
                // Whoever asked may be gone.
                let _ = sender.send(then(&inner, result));
            }
        });
        Answer::later(async move { receiver.await.unwrap_or_else(|_| Err(over())) })
    }

    fn read<T>(
        &self,
        look: impl FnOnce(&Database) -> std::result::Result<T, redb::Error>,
    ) -> Result<T> {
        self.0.read(look)
    }
}

/// The file cannot be opened.
fn unusable(path: &Path, error: &dyn std::error::Error) -> Unusable {
    Unusable::Other {
        path: path.to_owned(),
        why: error.to_string(),
    }
}

/// The thread is gone, as at the end of the process.
fn over() -> Refused {
    Refused::Disk("the server is about to end".into())
}

impl Inner {
    fn send<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Tables<'_>) -> Done<T> + Send + 'static,
        tell: impl FnOnce(Result<T>) + Send + 'static,
    ) {
        // Without the thread nothing is told, which is an answer as well.
        let job = Box::new(Work::new(work, tell));
        let _ = self.orders.send(Order::Do(job));
    }

    fn read<T>(
        &self,
        look: impl FnOnce(&Database) -> std::result::Result<T, redb::Error>,
    ) -> Result<T> {
        let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
        let database = open.as_ref().map(Arc::clone);
        drop(open);
        let database = database.ok_or_else(|| Refused::Disk("it cannot be opened".into()))?;
        look(&database).map_err(|error| Refused::Disk(error.to_string()))
    }
}

impl Engine for File {
    fn kind(&self) -> &'static str {
        "file"
    }

    fn is_shared(&self) -> bool {
        false
    }

    fn close(&self) {
        let (sender, closed) = mpsc::channel();
        if self.0.orders.send(Order::Close(sender)).is_ok() {
            let _ = closed.recv_timeout(CLOSE);
        }
    }

    fn get(&self, at: &Place, now: Millis) -> Answer<Option<Kept>> {
        let found = self.read(|database| {
            let values = database.begin_read()?.open_table(VALUES)?;
            let value = values.get((&*at.store, &*at.key))?;
            Ok(value.map(|value| {
                let (until, _, bytes) = value.value();
                kept(until, bytes)
            }))
        });
        Answer::Now(found.map(|found| found.filter(|kept| kept.is_there(now))))
    }

    fn change(&self, at: &Place, change: Change, payer: &Arc<str>, now: Millis) -> Answer<i64> {
        let (at, payer) = (at.clone(), Arc::clone(payer));
        let told = at.clone();
        self.write(
            move |tables| tables.change(&at, change, &payer, now),
            move |inner, done| {
                done.map(|(answer, is_other)| {
                    if is_other {
                        inner.notices.changed(&told);
                    }
                    answer
                })
            },
        )
    }

    fn keys(&self, store: &str, prefix: &str, most: usize, now: Millis) -> Answer<Vec<Arc<str>>> {
        let keys = self.read(|database| {
            let values = database.begin_read()?.open_table(VALUES)?;
            let mut keys: Vec<Arc<str>> = Vec::new();
            for entry in values.range((store, prefix)..)? {
                let (key, value) = entry?;
                let (of, key) = key.value();
                if of != store || !key.starts_with(prefix) || keys.len() == most {
                    break;
                }
                let (until, ..) = value.value();
                if until > now {
                    keys.push(key.into());
                }
            }
            Ok(keys)
        });
        Answer::Now(keys)
    }

    fn names(&self, find: &str, most: usize) -> Answer<Names> {
        let (inner, find) = (Arc::clone(&self.0), find.to_owned());
        // It takes a while where there is much.
        let looking = tokio::task::spawn_blocking(move || {
            inner.read(|database| names::of(database, &find, most))
        });
        Answer::later(async move { looking.await.unwrap_or_else(|_| Err(over())) })
    }

    fn put(&self, queue: &Arc<str>, value: &Bytes, payer: &Arc<str>) -> Answer<bool> {
        let (queue, value, payer) = (Arc::clone(queue), Arc::clone(value), Arc::clone(payer));
        let told = Arc::clone(&queue);
        self.write(
            move |tables| tables.put(&queue, &value, &payer),
            move |inner, put| {
                if put == Ok(true) {
                    inner.notices.filled(&told, 1);
                }
                put
            },
        )
    }

    fn take(&self, queue: &Arc<str>, lease: Option<Millis>) -> Answer<Option<Taken>> {
        let queue = Arc::clone(queue);
        let told = Arc::clone(&queue);
        self.write(
            move |tables| tables.take(&queue, lease),
            move |inner, item| {
                match &item {
                    // It is there still.
                    Err(_) => inner.notices.filled(&told, 1),
                    Ok(Some(item)) if item.lease.is_none() => inner.notices.emptied(&told),
                    Ok(_) => {}
                }
                let back: Arc<dyn TakeBack> = Arc::clone(inner) as _;
                item.map(|item| item.map(|item| Taken::new(item, back)))
            },
        )
    }

    fn done(&self, queue: &Arc<str>, lease: u64) -> Answer<bool> {
        let queue = Arc::clone(queue);
        let told = Arc::clone(&queue);
        self.write(
            move |tables| tables.done(&queue, lease),
            move |inner, done| {
                if done == Ok(true) {
                    inner.notices.emptied(&told);
                }
                done
            },
        )
    }

    fn length(&self, queue: &str) -> Answer<usize> {
        Answer::Now(self.read(|database| {
            let queues = database.begin_read()?.open_table(QUEUES)?;
            let row = queues.get(queue)?;
            Ok(row.map_or(0, |row| row.value().0 as usize))
        }))
    }

    fn tick(&self, now: Millis) {
        // A transaction every second would keep the disk awake.
        let due = self.read(|database| {
            let transaction = database.begin_read()?;
            let due = transaction.open_table(DUE)?;
            let due = due.first()?.is_some_and(|(key, _)| key.value().0 <= now);
            let running = transaction.open_table(RUNNING)?;
            let over = running
                .first()?
                .is_some_and(|(key, _)| key.value().0 <= now);
            Ok(due || over)
        });
        if due != Ok(true) {
            return;
        }
        drop(self.write(
            move |tables| {
                let gone = tables.sweep(now, IN_A_SECOND)?;
                let back = tables.run_out(now, IN_A_SECOND)?;
                Ok(gone.and_then(|gone| Ok((gone, back?))))
            },
            |inner, swept| {
                let (gone, back) = swept?;
                for at in gone {
                    inner.notices.changed(&at);
                }
                for queue in back {
                    inner.notices.filled(&queue, 1);
                }
                Ok(())
            },
        ));
    }

    fn sizes(&self) -> Stores {
        let sizes = self.read(|database| {
            let transaction = database.begin_read()?;
            Ok(Stores {
                keys: transaction.open_table(VALUES)?.len()?,
                entries: transaction.open_table(ENTRIES)?.len()?
                    + transaction.open_table(LEASES)?.len()?,
            })
        });
        sizes.unwrap_or_default()
    }
}

impl TakeBack for Inner {
    fn take_back(&self, item: Item) {
        let queue = Arc::clone(&item.queue);
        let notices = Arc::clone(&self.notices);
        self.send(
            move |tables| tables.take_back(&item),
            move |back| {
                if back == Ok(true) {
                    notices.filled(&queue, 1);
                }
            },
        );
    }
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_tuple("File").field(&self.path).finish()
    }
}
