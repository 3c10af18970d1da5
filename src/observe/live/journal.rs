//! Rows of what happens, the newest ones, within a bound on their bytes and on how many there are
//! in a second.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Rows in a second: more than anybody reads, and few enough to cost the server little.
pub const RATE: u64 = 200;
/// Of these, so many may be of connections that nobody has chosen: somebody may do so next.
const IN_PASSING: u64 = 50;
/// Rows that are kept.
const ROWS: usize = 2_000;
/// Bytes that they may take.
const BYTES: usize = 16 << 20;
/// Rows of what was saved that are kept, also while nobody looks.
const SAVES: usize = 200;

/// Rows of what happens.
pub static JOURNAL: Journal = Journal::new();

/// Something that happened, as JSON.
#[derive(Debug, Clone)]
pub struct Row {
    /// Its place in the order, from 1 on.
    pub number: u64,
    /// The connection that it went over; none if it is for everybody who looks.
    pub connection: Option<u64>,
    /// An object.
    pub json: Arc<str>,
}

/// The newest rows.
#[derive(Debug)]
pub struct Journal {
    kept: Mutex<Kept>,
    /// Rows of this second.
    told: AtomicU64,
    missed: AtomicU64,
}

#[derive(Debug)]
struct Kept {
    rows: VecDeque<Row>,
    bytes: usize,
    last: u64,
    saves: VecDeque<Arc<str>>,
}

impl Journal {
    /// An empty one.
    const fn new() -> Self {
        Self {
            kept: Mutex::new(Kept {
                rows: VecDeque::new(),
                bytes: 0,
                last: 0,
                saves: VecDeque::new(),
            }),
            told: AtomicU64::new(0),
            missed: AtomicU64::new(0),
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A second is over.
    pub fn tick(&self) {
        self.told.store(0, Ordering::Relaxed);
    }

    /// Whether there is room for a row in this second; `is_chosen`, if somebody has asked for such.
    #[inline]
    pub fn admits(&self, is_chosen: bool) -> bool {
        let most = if is_chosen { RATE } else { IN_PASSING };
        let has_room = self.told.load(Ordering::Relaxed) < most;
        if has_room {
            self.told.fetch_add(1, Ordering::Relaxed);
        }
        has_room
    }

    /// There was no room for so many rows that somebody has asked for.
    pub fn misses(&self, rows: u64) {
        self.missed.fetch_add(rows, Ordering::Relaxed);
    }

    /// Adds a row that was admitted.
    pub fn add(&self, connection: Option<u64>, json: &str) {
        let mut kept = self.kept();
        kept.last += 1;
        kept.bytes += json.len();
        let row = Row {
            number: kept.last,
            connection,
            json: json.into(),
        };
        kept.rows.push_back(row);
        while kept.rows.len() > ROWS || kept.bytes > BYTES {
            let Some(oldest) = kept.rows.pop_front() else {
                break;
            };
            kept.bytes -= oldest.json.len();
        }
    }

    /// Adds a row about a file that was saved, which is kept for those who look later, too.
    pub fn add_save(&self, json: &str) {
        self.add(None, json);
        let mut kept = self.kept();
        kept.saves.push_back(json.into());
        if kept.saves.len() > SAVES {
            kept.saves.pop_front();
        }
    }

    /// What was saved, the oldest first.
    pub fn saves(&self) -> Vec<Arc<str>> {
        self.kept().saves.iter().cloned().collect()
    }

    /// The number of the last row.
    pub fn last(&self) -> u64 {
        self.kept().last
    }

    /// Rows behind this number that are wanted, so many at the most, and the number of the last one
    /// that was looked at.
    pub fn since(
        &self,
        number: u64,
        most: usize,
        is_wanted: impl Fn(&Row) -> bool,
    ) -> (Vec<Row>, u64) {
        let kept = self.kept();
        let (mut found, mut last) = (Vec::new(), number);
        let from = kept.rows.partition_point(|row| row.number <= number);
        for row in kept.rows.range(from..) {
            if found.len() >= most {
                break;
            }
            last = row.number;
            if is_wanted(row) {
                found.push(row.clone());
            }
        }
        (found, last)
    }

    /// How many rows there was no room for, of those that somebody has asked for.
    pub fn missed(&self) -> u64 {
        self.missed.load(Ordering::Relaxed)
    }

    /// Forgets the rows.
    pub fn clear(&self) {
        let mut kept = self.kept();
        kept.rows.clear();
        kept.bytes = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_numbered_found_and_forgotten() {
        let journal = Journal::new();
        for number in 0..ROWS as u64 + 10 {
            journal.add((number % 2 == 0).then_some(7), "{}");
        }
        assert_eq!(journal.last(), ROWS as u64 + 10);
        let of_seven = |row: &Row| row.connection == Some(7);
        let (rows, last) = journal.since(0, 3, of_seven);
        let numbers: Vec<_> = rows.iter().map(|row| row.number).collect();
        assert_eq!((numbers, last), (vec![11, 13, 15], 15));
        let (rows, last) = journal.since(last, usize::MAX, of_seven);
        assert_eq!((rows.len(), last), (ROWS / 2 - 3, journal.last()));
        let long = "x".repeat(BYTES / 4);
        for _ in 0..10 {
            journal.add(None, &long);
        }
        assert_eq!(journal.since(0, usize::MAX, |_| true).0.len(), 4);
        journal.clear();
        assert!(journal.since(0, 1, |_| true).0.is_empty());
    }

    #[test]
    fn what_nobody_asked_for_leaves_room_for_what_somebody_did() {
        let journal = Journal::new();
        let admitted = |chosen| (0..1000).filter(|_| journal.admits(chosen)).count() as u64;
        assert_eq!(admitted(false), IN_PASSING);
        assert_eq!(admitted(true), RATE - IN_PASSING);
        assert_eq!(admitted(true), 0);
        journal.tick();
        assert_eq!(admitted(true), RATE);
        assert_eq!(admitted(false), 0);
    }
}
