//! The texts of handlers and modules: each is read when it stands still, and again for as long as
//! its clock might hide an edit.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::{Duration, Instant};

use super::scan::{Scan, Stamp};
use super::{LONGEST, STILL};
use crate::file::{self, Disk};
use crate::script::Unreadable;

/// A file younger than this when it was read is read again: its clock may be too coarse to show the
/// next edit.
const COARSE: Duration = Duration::from_secs(2);

/// Handlers and modules as they were read last.
#[derive(Debug, Default)]
pub struct Texts {
    /// Bytes of the longest file.
    limit: usize,
    known: HashMap<String, Known>,
    /// Since when a file has been changing.
    changing: HashMap<String, Instant>,
    /// Those whose clock might hide an edit, and those that could not be read.
    unsettled: HashSet<String>,
}

/// The last read of one file.
#[derive(Debug)]
struct Known {
    stamp: Stamp,
    /// The text that was read last, whether it serves or not, or why it could not be read.
    text: Result<String, Unreadable>,
}

/// The changes that a look found.
#[derive(Debug, Default)]
pub struct News {
    /// Files with another text than before, and files that are gone.
    pub files: Vec<String>,
    /// Delay until the next look, if something is changing.
    pub again: Option<Duration>,
}

impl News {
    fn again_after(&mut self, wait: Duration) {
        self.again = Some(self.again.map_or(wait, |again| again.min(wait)));
    }
}

impl Texts {
    /// Creates an empty collection, for files of at most `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            ..Self::default()
        }
    }

    /// Returns the files that have been read, in the order of their names.
    pub fn files(&self) -> BTreeSet<&str> {
        self.known.keys().map(String::as_str).collect()
    }

    /// Returns the text of a file, or why it could not be read; `None` if the file is not known.
    pub fn get(&self, file: &str) -> Option<&Result<String, Unreadable>> {
        self.known.get(file).map(|known| &known.text)
    }

    /// The files that were changing at the last look.
    pub fn changing(&self) -> impl Iterator<Item = &str> {
        self.changing.keys().map(String::as_str)
    }

    /// Reads everything as it stands.
    pub fn read_all(&mut self, scan: &Scan, disk: &mut Disk) -> News {
        let mut news = News::default();
        for (file, stamp) in &scan.files {
            self.read(scan, file, *stamp, disk);
            news.files.push(file.clone());
        }
        news
    }

    /// Reads what has changed and stands still.
    pub fn look(&mut self, scan: &Scan, disk: &mut Disk) -> News {
        let mut news = News::default();
        for (file, stamp) in &scan.files {
            let is_same = (self.known.get(file)).is_some_and(|known| known.stamp == *stamp);
            if is_same {
                self.changing.remove(file);
                if self.unsettled.contains(file) && self.read(scan, file, *stamp, disk) {
                    // Nobody knows since when, so it may be half of what somebody writes: it must
                    // be found twice.
                    news.files.push(file.clone());
                    news.again_after(STILL);
                }
                continue;
            }
            let since = match self.changing.get(file) {
                Some(since) => *since,
                None => *self
                    .changing
                    .entry(file.clone())
                    .or_insert_with(Instant::now),
            };
            // Whoever saves in place cuts a file to nothing first, and may be held up before it
            // writes.
            let is_begun = stamp.is_empty();
            if (stamp.age() < STILL || is_begun) && since.elapsed() < LONGEST {
                let left = STILL.saturating_sub(stamp.age());
                let least = if is_begun {
                    STILL
                } else {
                    Duration::from_millis(1)
                };
                news.again_after(left.max(least));
                continue;
            }
            self.changing.remove(file);
            if self.read(scan, file, *stamp, disk) {
                news.files.push(file.clone());
            }
        }
        self.miss(scan, &mut news);
        news
    }

    /// Forgets what is gone. Editors remove a file for a moment when they save; only what stays
    /// away is gone.
    fn miss(&mut self, scan: &Scan, news: &mut News) {
        let is_gone = |file: &String| !scan.files.contains_key(file) && !scan.may_have(file);
        self.changing
            .retain(|file, _| scan.files.contains_key(file) || self.known.contains_key(file));
        let gone: Vec<_> = self
            .known
            .keys()
            .filter(|file| is_gone(file))
            .cloned()
            .collect();
        if gone.is_empty() {
            return;
        }
        // A file that now has another name has moved: both names change in one publication.
        let mut moved = HashSet::new();
        for (file, stamp) in &scan.files {
            if self.known.contains_key(file) {
                moved.insert(stamp.inode());
            }
        }
        for file in gone {
            let since = *self
                .changing
                .entry(file.clone())
                .or_insert_with(Instant::now);
            let has_moved = moved.contains(&self.known[&file].stamp.inode());
            if !has_moved && since.elapsed() < STILL * 2 {
                news.again_after(STILL);
                continue;
            }
            self.changing.remove(&file);
            self.known.remove(&file);
            self.unsettled.remove(&file);
            news.files.push(file);
        }
    }

    /// Reads a file. Whether its text is new.
    fn read(&mut self, scan: &Scan, file: &str, stamp: Stamp, disk: &mut Disk) -> bool {
        let (path, limit) = (scan.path(file), self.limit);
        // The root's own disk has just answered; what a link leads to may be on one that does not.
        let text = if scan.is_at_home(&stamp) {
            file::read_text(&path, limit)
        } else {
            disk.ask(&path, move |path| file::read_text(path, limit))
        };
        let text = text.map_err(Unreadable::from);
        // What could not be read is tried again at every look.
        if stamp.age() < COARSE || text.is_err() {
            self.unsettled.insert(file.to_owned());
        } else {
            self.unsettled.remove(file);
        }
        let before = self.known.get(file).map(|known| &known.text);
        let is_new = before != Some(&text);
        self.known.insert(file.to_owned(), Known { stamp, text });
        is_new
    }
}
