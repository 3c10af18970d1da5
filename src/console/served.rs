//! Files that pages were made of: those that are looked at for changes.

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

/// Files that are looked at; a page of more is one that nobody writes by hand.
const MOST: usize = 1_000;

/// By which a file is known to be another: its time and its length.
pub type Stamp = (Option<SystemTime>, u64);

/// The files that were sent, by the paths that they were asked for.
pub static SERVED: Served = Served(Mutex::new(BTreeMap::new()));

/// The files that were sent.
#[derive(Debug)]
pub struct Served(Mutex<BTreeMap<String, (PathBuf, Stamp)>>);

/// The stamp of a file.
pub fn stamp(metadata: &Metadata) -> Stamp {
    (metadata.modified().ok(), metadata.len())
}

impl Served {
    /// A file is sent as it is now.
    pub fn note(&self, path: &str, file: &Path, metadata: &Metadata) {
        let mut served = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if served.len() < MOST || served.contains_key(path) {
            served.insert(path.to_owned(), (file.to_owned(), stamp(metadata)));
        }
    }

    /// All of them, as they were sent last.
    pub fn all(&self) -> Vec<(String, PathBuf, Stamp)> {
        let served = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let all = served.iter();
        all.map(|(path, (file, stamp))| (path.clone(), file.clone(), *stamp))
            .collect()
    }
}
