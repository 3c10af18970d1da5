//! The recordings of a folder, and which of them belong together: connections that were open at one
//! time may have spoken to each other, and those of one file did.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::config::limits;
use crate::recording::{Recording, read};

/// The recordings of a folder.
#[derive(Debug, Default)]
pub struct Library {
    files: BTreeMap<PathBuf, Known>,
}

/// A file, as it was read last.
#[derive(Debug)]
struct Known {
    stamp: (u64, SystemTime),
    recordings: Vec<(String, Recording)>,
}

/// Connections that are played together, each with what it is called.
pub type Group<'l> = Vec<(&'l str, &'l Recording)>;

impl Library {
    /// Looks at the folder: reads the files that are new or have changed. What cannot be played, by
    /// file.
    pub fn look(&mut self, folder: &Path, limits: &limits::Rehearsal) -> Vec<(String, String)> {
        let mut problems = Vec::new();
        let mut found = match list(folder) {
            Ok(found) => found,
            Err(error) => {
                self.files.clear();
                return vec![(folder.display().to_string(), error.to_string())];
            }
        };
        found.sort_by_key(|(_, (_, time))| std::cmp::Reverse(*time));
        if let Some(left) = found
            .len()
            .checked_sub(limits.files)
            .filter(|left| *left > 0)
        {
            let why = format!("there are {left} files more than --max-replay-files");
            problems.push((folder.display().to_string(), why));
        }
        found.truncate(limits.files);
        let mut before = std::mem::take(&mut self.files);
        let (mut room, mut too_many) = (limits.bytes as u64, 0);
        for (path, stamp) in found {
            let Some(rest) = room.checked_sub(stamp.0) else {
                too_many += 1;
                continue;
            };
            room = rest;
            let known = before.remove(&path).filter(|known| known.stamp == stamp);
            let known = known.unwrap_or_else(|| {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                let recordings = match read(&path) {
                    Ok(recordings) => named(&name, recordings),
                    Err(error) => {
                        problems.push((name.into_owned(), error.to_string()));
                        Vec::new()
                    }
                };
                Known { stamp, recordings }
            });
            self.files.insert(path, known);
        }
        if too_many > 0 {
            let why = format!("{too_many} files are beyond --max-replay-size");
            problems.push((folder.display().to_string(), why));
        }
        problems
    }

    /// The connections that `is_meant`, in groups.
    pub fn groups(&self, is_meant: impl Fn(&Recording) -> bool) -> Vec<Group<'_>> {
        let mut files: Vec<_> = self
            .files
            .values()
            .filter_map(|known| {
                let recordings = known.recordings.iter();
                let meant = recordings.filter(|(_, recording)| is_meant(recording));
                let group: Group<'_> = meant
                    .map(|(name, recording)| (&**name, recording))
                    .collect();
                let spans = group.iter().map(|(_, recording)| span(recording));
                let span = spans.reduce(|one, other| (one.0.min(other.0), one.1.max(other.1)))?;
                Some((span, group))
            })
            .collect();
        files.sort_by(|(one, _), (other, _)| one.0.total_cmp(&other.0));
        let mut groups: Vec<((f64, f64), Group<'_>)> = Vec::new();
        for (span, group) in files {
            match groups.last_mut() {
                // Without times nobody knows who spoke to whom.
                Some((before, together)) if span.0 > 0.0 && span.0 <= before.1 => {
                    before.1 = before.1.max(span.1);
                    together.extend(group);
                }
                _ => groups.push((span, group)),
            }
        }
        groups.into_iter().map(|(_, group)| group).collect()
    }
}

/// The HAR files of a folder, each with its size and the time of its last change.
fn list(folder: &Path) -> std::io::Result<Vec<(PathBuf, (u64, SystemTime))>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let is_har = path
            .extension()
            .is_some_and(|end| end.eq_ignore_ascii_case("har"));
        let Ok(metadata) = fs::metadata(&path) else {
            continue;
        };
        if is_har && metadata.is_file() {
            found.push((path, (metadata.len(), metadata.modified()?)));
        }
    }
    Ok(found)
}

/// The connections of a file, each with what it is called.
fn named(file: &str, recordings: Vec<Recording>) -> Vec<(String, Recording)> {
    let is_alone = recordings.len() == 1;
    let names = (1..).map(|number| match is_alone {
        true => file.to_owned(),
        false => format!("{file}, connection {number}"),
    });
    names.zip(recordings).collect()
}

/// When the first of these was opened, as far as is known.
pub fn begin(group: &Group<'_>) -> f64 {
    let begins = group.iter().map(|(_, recording)| span(recording).0);
    begins.reduce(f64::min).unwrap_or_default()
}

/// From when to when a connection was open, as far as is known.
fn span(recording: &Recording) -> (f64, f64) {
    let times = recording.said.iter().map(|said| said.time);
    let times = times.filter(|time| *time > 0.0);
    let begin = match recording.started > 0.0 {
        true => recording.started,
        false => times.clone().fold(f64::INFINITY, f64::min),
    };
    let begin = if begin.is_finite() { begin } else { 0.0 };
    (begin, times.fold(begin.max(recording.ended), f64::max))
}
