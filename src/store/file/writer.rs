//! The thread that writes: what has come while it wrote goes into one transaction, which is durable
//! before anybody hears of it.

use std::io;
use std::iter;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, PoisonError, RwLock};

use redb::{Database, DatabaseError, StorageError};

use super::tables::{Done, Tables};
use crate::observe::event::Event;
use crate::store::Limits;
use crate::store::refused::Refused;

/// Jobs of one transaction: so many wait for the disk together.
const TOGETHER: usize = 1_000;
/// Bytes of the file that are kept in memory.
const CACHE: usize = 64 * 1024 * 1024;

/// Something to be done in a transaction, and to be told when it is durable.
pub trait Job: Send {
    /// Does it. An error of the disk ends the whole transaction.
    fn run(&mut self, tables: &mut Tables<'_>) -> Result<(), StorageError>;

    /// It is durable, or failed with everything else of its transaction.
    fn tell(self: Box<Self>, failed: Option<&Refused>);
}

/// A job of two closures.
pub struct Work<T, W, R> {
    work: Option<W>,
    result: Option<Result<T, Refused>>,
    tell: R,
}

impl<T, W, R> Work<T, W, R>
where
    W: FnOnce(&mut Tables<'_>) -> Done<T> + Send,
    R: FnOnce(Result<T, Refused>) + Send,
    T: Send,
{
    /// Work, and who is told of its result.
    pub fn new(work: W, tell: R) -> Self {
        Self {
            work: Some(work),
            result: None,
            tell,
        }
    }
}

impl<T, W, R> Job for Work<T, W, R>
where
    W: FnOnce(&mut Tables<'_>) -> Done<T> + Send,
    R: FnOnce(Result<T, Refused>) + Send,
    T: Send,
{
    fn run(&mut self, tables: &mut Tables<'_>) -> Result<(), StorageError> {
        if let Some(work) = self.work.take() {
            self.result = Some(work(tables)?);
        }
        Ok(())
    }

    fn tell(self: Box<Self>, failed: Option<&Refused>) {
        let not_run = || Err(Refused::Disk("the transaction was given up".into()));
        let result = match failed {
            Some(failed) => Err(failed.clone()),
            None => self.result.unwrap_or_else(not_run),
        };
        (self.tell)(result);
    }
}

/// The open file; none while it cannot be opened.
pub type Open = Arc<RwLock<Option<Arc<Database>>>>;

/// What the thread is asked for.
pub enum Order {
    /// A job, in a transaction with others.
    Do(Box<dyn Job>),
    /// To close the file and end, when everything before is durable; and to say so.
    Close(Sender<()>),
}

/// Where the thread's work comes from.
pub type Orders = Sender<Order>;

/// Opens or makes the file, and the tables in it.
pub fn open(path: &Path, limits: &Limits) -> Result<Database, DatabaseError> {
    let database = Database::builder().set_cache_size(CACHE).create(path)?;
    let failed = |error: redb::Error| match error {
        redb::Error::Io(error) => DatabaseError::Storage(StorageError::Io(error)),
        error => DatabaseError::Storage(StorageError::Corrupted(error.to_string())),
    };
    commit(&database, limits, &mut []).map_err(failed)?;
    Ok(database)
}

/// Begins to write, on a thread of its own.
pub fn start(path: PathBuf, open: Open, limits: Limits) -> io::Result<Orders> {
    let (orders, inbox) = channel();
    std::thread::Builder::new()
        .name("store".into())
        .spawn(move || {
            let mut writer = Writer {
                path,
                open,
                limits,
                has_failed: false,
            };
            let closed = writer.run(&inbox);
            // So that it need not be looked through at the next start.
            writer.close();
            // Whoever asked may be gone.
            let _ = closed.map(|closed| closed.send(()));
        })?;
    Ok(orders)
}

struct Writer {
    path: PathBuf,
    open: Open,
    limits: Limits,
    has_failed: bool,
}

impl Writer {
    /// Works until it is told to close, and by whom, or until nobody is left.
    fn run(&mut self, inbox: &Receiver<Order>) -> Option<Sender<()>> {
        loop {
            let first = inbox.recv().ok()?;
            let orders = iter::once(first).chain(inbox.try_iter());
            let (mut jobs, mut closes) = (Vec::new(), None);
            for order in orders.take(TOGETHER) {
                match order {
                    Order::Do(job) => jobs.push(job),
                    Order::Close(closed) => {
                        closes = Some(closed);
                        break;
                    }
                }
            }
            if !jobs.is_empty() {
                self.commit(jobs);
            }
            if closes.is_some() {
                return closes;
            }
        }
    }

    fn commit(&mut self, mut jobs: Vec<Box<dyn Job>>) {
        let failed = self.write(&mut jobs).err();
        self.report(failed.as_ref());
        let failed = failed.map(Refused::Disk);
        for job in jobs {
            job.tell(failed.as_ref());
        }
    }

    fn write(&mut self, jobs: &mut [Box<dyn Job>]) -> Result<(), String> {
        let database = self.database()?;
        let result = commit(&database, &self.limits, jobs);
        drop(database);
        // After an error of the disk the library wants the file opened anew; what was durable is
        // found there.
        result.map_err(|error| {
            self.close();
            let _ = self.database();
            error.to_string()
        })
    }

    fn database(&self) -> Result<Arc<Database>, String> {
        let mut open = self.open.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(database) = &*open {
            return Ok(Arc::clone(database));
        }
        let database = super::writer::open(&self.path, &self.limits);
        let database = Arc::new(database.map_err(|error| error.to_string())?);
        *open = Some(Arc::clone(&database));
        Ok(database)
    }

    fn close(&self) {
        let mut open = self.open.write().unwrap_or_else(PoisonError::into_inner);
        let Some(mut database) = open.take() else {
            return;
        };
        // Whoever reads is done in a moment; nobody begins to meanwhile.
        loop {
            match Arc::try_unwrap(database) {
                Ok(last) => return drop(last),
                Err(read) => database = read,
            }
            std::thread::yield_now();
        }
    }

    fn report(&mut self, failed: Option<&String>) {
        match failed {
            Some(error) if !self.has_failed => Event::StoreFailed { error }.tell(),
            None if self.has_failed => Event::StoreUsable {}.tell(),
            _ => {}
        }
        self.has_failed = failed.is_some();
    }
}

/// Does all of it in one transaction, which is durable then.
fn commit(
    database: &Database,
    limits: &Limits,
    jobs: &mut [Box<dyn Job>],
) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    let mut tables = Tables::open(&transaction, limits)?;
    for job in jobs {
        job.run(&mut tables)?;
    }
    drop(tables);
    transaction.commit()?;
    Ok(())
}
