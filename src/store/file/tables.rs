//! The tables of the file, and what is done to them in a transaction.
//!
//! A call that refuses something has changed nothing, so that the transaction of many goes on; an
//! error of the disk ends all of it.

use std::sync::Arc;

use redb::{ReadableTable, StorageError, Table, TableDefinition, TableError, WriteTransaction};

use crate::store::Limits;
use crate::store::account::ENTRY;
use crate::store::change::{Change, Outcome};
use crate::store::engine::{Item, Place};
use crate::store::refused::Refused;
use crate::store::value::{Bytes, Kept, Millis};

/// A key's value: when it goes, who pays, and the value.
type Value = (Millis, &'static str, &'static [u8]);
/// What a queue has: entries that can be taken, those on lease, their bytes, and who pays.
type Row = (u64, u64, u64, &'static str);

/// Values by store and key.
pub const VALUES: TableDefinition<(&str, &str), Value> = TableDefinition::new("values");
/// Keys that go by themselves, by their time.
pub const DUE: TableDefinition<(Millis, &str, &str), ()> = TableDefinition::new("due");
/// What each handler pays for: keys, bytes, queues.
const ACCOUNTS: TableDefinition<&str, (u64, u64, u64)> = TableDefinition::new("accounts");
/// Queues by name.
pub const QUEUES: TableDefinition<&str, Row> = TableDefinition::new("queues");
/// Entries by queue and number: who pays, and the value.
pub const ENTRIES: TableDefinition<(&str, u64), (&str, &[u8])> = TableDefinition::new("entries");
/// A lease: until when, the entry's number, who pays, and the value.
type Lease<'v> = (Millis, u64, &'v str, &'v [u8]);
/// Leases by queue and number.
pub const LEASES: TableDefinition<(&str, u64), Lease<'static>> = TableDefinition::new("leases");
/// Leases by the time at which they run out.
pub const RUNNING: TableDefinition<(Millis, &str, u64), ()> = TableDefinition::new("running");
/// The last number of an entry or a lease.
const NUMBERS: TableDefinition<&str, u64> = TableDefinition::new("numbers");
const LAST: &str = "last";

/// The time of a value that does not go by itself.
const NEVER: Millis = Millis::MAX;

/// What a call gives, what it refuses, and what the disk does not let it do.
pub type Done<T> = Result<Result<T, Refused>, StorageError>;

/// All tables, open in a transaction.
pub struct Tables<'t> {
    values: Table<'t, (&'static str, &'static str), Value>,
    due: Table<'t, (Millis, &'static str, &'static str), ()>,
    accounts: Table<'t, &'static str, (u64, u64, u64)>,
    queues: Table<'t, &'static str, Row>,
    entries: Table<'t, (&'static str, u64), (&'static str, &'static [u8])>,
    leases: Table<'t, (&'static str, u64), Lease<'static>>,
    running: Table<'t, (Millis, &'static str, u64), ()>,
    numbers: Table<'t, &'static str, u64>,
    limits: Limits,
}

/// One queue's row, as it is worked with.
struct Line {
    ready: u64,
    leased: u64,
    bytes: u64,
    payer: Arc<str>,
}

impl<'t> Tables<'t> {
    /// Opens them, and makes those that there are not.
    pub fn open(transaction: &'t WriteTransaction, limits: &Limits) -> Result<Self, TableError> {
        Ok(Self {
            values: transaction.open_table(VALUES)?,
            due: transaction.open_table(DUE)?,
            accounts: transaction.open_table(ACCOUNTS)?,
            queues: transaction.open_table(QUEUES)?,
            entries: transaction.open_table(ENTRIES)?,
            leases: transaction.open_table(LEASES)?,
            running: transaction.open_table(RUNNING)?,
            numbers: transaction.open_table(NUMBERS)?,
            limits: *limits,
        })
    }

    /// Changes a value; the answer, and whether it is another now.
    pub fn change(
        &mut self,
        at: &Place,
        change: Change,
        payer: &str,
        now: Millis,
    ) -> Done<(i64, bool)> {
        let before = {
            let value = self.values.get((&*at.store, &*at.key))?;
            value.map(|value| {
                let (until, payer, bytes) = value.value();
                (kept(until, bytes), payer.to_owned())
            })
        };
        let known = before.as_ref().map(|(kept, _)| kept);
        let known = known.filter(|kept| kept.is_there(now));
        let (outcome, answer) = match change.apply(&at.key, known) {
            Ok(applied) => applied,
            Err(refused) => return Ok(Err(refused)),
        };
        let kept = match outcome {
            Outcome::Same => return Ok(Ok((answer, false))),
            Outcome::Gone => None,
            Outcome::Put(kept) => Some(kept),
        };
        let worth = |kept: &Kept| (at.key.len() + kept.value.len() + ENTRY) as u64;
        if let Some(kept) = &kept {
            let (mut keys, mut bytes, _) = self.account(payer)?;
            let mut grown = worth(kept);
            if let Some((before, of)) = &before
                && of == payer
            {
                keys -= 1;
                bytes -= worth(before);
                grown = grown.saturating_sub(worth(before));
            }
            if grown > 0 && bytes + worth(kept) > self.limits.bytes as u64 {
                return Ok(Err(Refused::Room(self.limits.bytes)));
            }
            if keys + 1 > self.limits.keys as u64 {
                return Ok(Err(Refused::Keys(self.limits.keys)));
            }
        }
        if let Some((before, of)) = &before {
            self.pay(of, (-1, -(worth(before) as i64), 0))?;
            if let Some(until) = before.until {
                self.due.remove((until, &*at.store, &*at.key))?;
            }
        }
        match kept {
            None => drop(self.values.remove((&*at.store, &*at.key))?),
            Some(kept) => {
                self.pay(payer, (1, worth(&kept) as i64, 0))?;
                if let Some(until) = kept.until {
                    self.due.insert((until, &*at.store, &*at.key), ())?;
                }
                let value = (kept.until.unwrap_or(NEVER), payer, &*kept.value);
                self.values.insert((&*at.store, &*at.key), value)?;
            }
        }
        Ok(Ok((answer, true)))
    }

    /// Adds an entry at the end of a queue; `false` if it is full.
    pub fn put(&mut self, queue: &str, value: &Bytes, payer: &str) -> Done<bool> {
        let known = self.line(queue)?;
        let (_, held, queues) = self.account(payer)?;
        if known.is_none() && queues + 1 > self.limits.queues as u64 {
            return Ok(Err(Refused::Queues(self.limits.queues)));
        }
        let is_new = known.is_none();
        let mut line = known.unwrap_or_else(|| Line::new(payer));
        let bytes = value.len() as u64;
        if line.ready + line.leased >= self.limits.entries as u64
            || line.bytes + bytes > self.limits.queue as u64
        {
            return Ok(Ok(false));
        }
        let worth = bytes + ENTRY as u64;
        if held + worth > self.limits.bytes as u64 {
            return Ok(Err(Refused::Room(self.limits.bytes)));
        }
        self.pay(payer, (0, worth as i64, i64::from(is_new)))?;
        let number = self.next()?;
        self.entries.insert((queue, number), (payer, &**value))?;
        line.ready += 1;
        line.bytes += bytes;
        self.keep(queue, &line)?;
        Ok(Ok(true))
    }

    /// Takes the first entry of a queue, for good or until this time.
    pub fn take(&mut self, queue: &Arc<str>, lease: Option<Millis>) -> Done<Option<Item>> {
        let Some(mut line) = self.line(queue)? else {
            return Ok(Ok(None));
        };
        let first = {
            let mut entries = self.entries.range((&**queue, 0)..=(&**queue, u64::MAX))?;
            match entries.next().transpose()? {
                Some((key, entry)) => {
                    let (payer, value) = entry.value();
                    Some((key.value().1, Arc::<str>::from(payer), Bytes::from(value)))
                }
                None => None,
            }
        };
        let Some((number, payer, value)) = first else {
            return Ok(Ok(None));
        };
        self.entries.remove((&**queue, number))?;
        line.ready -= 1;
        let lease = match lease {
            Some(until) => {
                let lease = self.next()?;
                let entry = (until, number, &*payer, &*value);
                self.leases.insert((&**queue, lease), entry)?;
                self.running.insert((until, &**queue, lease), ())?;
                line.leased += 1;
                Some(lease)
            }
            None => {
                self.leaves(&mut line, &payer, value.len())?;
                None
            }
        };
        self.keep(queue, &line)?;
        Ok(Ok(Some(Item {
            queue: Arc::clone(queue),
            number,
            value,
            payer,
            lease,
        })))
    }

    /// An entry that nobody has got is at the front again, whatever bounds there are. Whether it
    /// is.
    pub fn take_back(&mut self, item: &Item) -> Done<bool> {
        if let Some(lease) = item.lease {
            return self.release(&item.queue, lease).map(Ok);
        }
        let known = self.line(&item.queue)?;
        let is_new = known.is_none();
        let mut line = known.unwrap_or_else(|| Line::new(&item.payer));
        let bytes = item.value.len();
        let worth = (bytes + ENTRY) as i64;
        self.pay(&item.payer, (0, worth, i64::from(is_new)))?;
        let entry = (&*item.payer, &*item.value);
        self.entries.insert((&*item.queue, item.number), entry)?;
        line.ready += 1;
        line.bytes += bytes as u64;
        self.keep(&item.queue, &line)?;
        Ok(Ok(true))
    }

    /// Ends a lease for good; whether it was still one.
    pub fn done(&mut self, queue: &str, lease: u64) -> Done<bool> {
        let Some((_, payer, value)) = self.end_lease(queue, lease)? else {
            return Ok(Ok(false));
        };
        if let Some(mut line) = self.line(queue)? {
            line.leased -= 1;
            self.leaves(&mut line, &payer, value.len())?;
            self.keep(queue, &line)?;
        }
        Ok(Ok(true))
    }

    /// Takes away so many keys whose time is up, at the most: those that went.
    pub fn sweep(&mut self, now: Millis, most: usize) -> Done<Vec<Place>> {
        let mut due = Vec::new();
        for entry in self.due.range(..=(now, "\u{10ffff}", ""))?.take(most) {
            let (key, _) = entry?;
            let (until, store, key) = key.value();
            due.push((until, store.to_owned(), key.to_owned()));
        }
        let mut gone = Vec::new();
        for (until, store, key) in due {
            self.due.remove((until, store.as_str(), key.as_str()))?;
            let value = self.values.remove((store.as_str(), key.as_str()))?;
            let paid = value.map(|value| {
                let (_, payer, bytes) = value.value();
                (payer.to_owned(), (key.len() + bytes.len() + ENTRY) as i64)
            });
            if let Some((payer, worth)) = paid {
                self.pay(&payer, (-1, -worth, 0))?;
            }
            gone.push(Place {
                store: store.into(),
                key: key.into(),
            });
        }
        Ok(Ok(gone))
    }

    /// Leases that have run out are over, so many at the most; whose entries are there again.
    pub fn run_out(&mut self, now: Millis, most: usize) -> Done<Vec<Arc<str>>> {
        let mut due = Vec::new();
        for entry in self
            .running
            .range(..=(now, "\u{10ffff}", u64::MAX))?
            .take(most)
        {
            let (key, _) = entry?;
            let (_, queue, lease) = key.value();
            due.push((Arc::<str>::from(queue), lease));
        }
        let mut back = Vec::new();
        for (queue, lease) in due {
            if self.release(&queue, lease)? {
                back.push(queue);
            }
        }
        Ok(Ok(back))
    }

    /// Ends a lease: its entry is back at its place. Whether it was still one.
    fn release(&mut self, queue: &str, lease: u64) -> Result<bool, StorageError> {
        let Some((number, payer, value)) = self.end_lease(queue, lease)? else {
            return Ok(false);
        };
        self.entries.insert((queue, number), (&*payer, &*value))?;
        if let Some(mut line) = self.line(queue)? {
            line.leased -= 1;
            line.ready += 1;
            self.keep(queue, &line)?;
        }
        Ok(true)
    }

    fn end_lease(
        &mut self,
        queue: &str,
        lease: u64,
    ) -> Result<Option<(u64, Arc<str>, Bytes)>, StorageError> {
        let ended = {
            let entry = self.leases.remove((queue, lease))?;
            entry.map(|entry| {
                let (until, number, payer, value) = entry.value();
                (until, (number, Arc::from(payer), Bytes::from(value)))
            })
        };
        if let Some((until, _)) = &ended {
            self.running.remove((*until, queue, lease))?;
        }
        Ok(ended.map(|(_, entry)| entry))
    }

    /// An entry of so many bytes is in the queue no more.
    fn leaves(&mut self, line: &mut Line, payer: &str, bytes: usize) -> Result<(), StorageError> {
        line.bytes -= bytes as u64;
        self.pay(payer, (0, -((bytes + ENTRY) as i64), 0))
    }

    fn line(&self, queue: &str) -> Result<Option<Line>, StorageError> {
        let row = self.queues.get(queue)?;
        Ok(row.map(|row| {
            let (ready, leased, bytes, payer) = row.value();
            Line {
                ready,
                leased,
                bytes,
                payer: payer.into(),
            }
        }))
    }

    /// A queue that is empty is none.
    fn keep(&mut self, queue: &str, line: &Line) -> Result<(), StorageError> {
        if line.ready + line.leased == 0 {
            self.queues.remove(queue)?;
            return self.pay(&line.payer, (0, 0, -1));
        }
        let row = (line.ready, line.leased, line.bytes, &*line.payer);
        self.queues.insert(queue, row)?;
        Ok(())
    }

    fn account(&self, payer: &str) -> Result<(u64, u64, u64), StorageError> {
        let account = self.accounts.get(payer)?;
        Ok(account.map_or((0, 0, 0), |account| account.value()))
    }

    fn pay(
        &mut self,
        payer: &str,
        (keys, bytes, queues): (i64, i64, i64),
    ) -> Result<(), StorageError> {
        let account = self.account(payer)?;
        let account = (
            account.0.saturating_add_signed(keys),
            account.1.saturating_add_signed(bytes),
            account.2.saturating_add_signed(queues),
        );
        match account {
            (0, 0, 0) => drop(self.accounts.remove(payer)?),
            account => drop(self.accounts.insert(payer, account)?),
        }
        Ok(())
    }

    fn next(&mut self) -> Result<u64, StorageError> {
        let last = self.numbers.get(LAST)?.map_or(0, |last| last.value());
        self.numbers.insert(LAST, last + 1)?;
        Ok(last + 1)
    }
}

impl Line {
    fn new(payer: &str) -> Self {
        Self {
            ready: 0,
            leased: 0,
            bytes: 0,
            payer: payer.into(),
        }
    }
}

/// A value as it stands in the table.
pub fn kept(until: Millis, bytes: &[u8]) -> Kept {
    Kept {
        value: bytes.into(),
        until: (until != NEVER).then_some(until),
    }
}
