//! The reconciler: compares the folder with what serves, compiles what has changed, publishes a new generation.
//!
//! File events only wake it, because events get lost; it also looks every two seconds by itself. Whatever happened, it
//! walks, compares, and waits until what has changed stands still.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use notify::event::{Event, EventKind};
use notify::{RecommendedWatcher, RecursiveMode, Watcher};

use super::registry::{Alias, Entry, Generation, read_aliases};
use super::scan::{self, Scan, Stamp};
use crate::config;
use crate::script::{self, Fault, Source};

/// A look without an event.
const PERIOD: Duration = Duration::from_secs(2);
/// How long a file must stand still before it is read: longer than an editor pauses between two writes.
const STILL: Duration = Duration::from_millis(25);
/// How long a file that never stands still is waited for.
const LONGEST: Duration = Duration::from_millis(500);
/// A file younger than this when it was read is read again: its clock may be too coarse to show the next edit.
const COARSE: Duration = Duration::from_secs(2);

/// What one look found out, for the log.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Files that serve for the first time.
    pub added: Vec<String>,
    /// Files whose new version serves.
    pub reloaded: Vec<String>,
    /// Files that are gone.
    pub removed: Vec<String>,
    /// Files whose newest version does not serve, and why.
    pub broken: Vec<(String, Fault)>,
    /// What else should be said, a sentence each.
    pub problems: Vec<String>,
}

/// What is known of one file.
#[derive(Debug)]
struct Known {
    stamp: Stamp,
    /// What was read last, whether it serves or not.
    text: Option<String>,
    /// It was read so soon after its last change that the next one might not show.
    unsettled: bool,
    entry: Entry,
}

/// The folder's keeper.
#[derive(Debug)]
pub struct Reconciler {
    config: config::Handlers,
    limits: script::Limits,
    known: HashMap<String, Known>,
    /// Since when a file has been changing.
    changing: HashMap<String, Instant>,
    aliases: Vec<Alias>,
    /// What was said before is not said at every look.
    said: BTreeSet<String>,
    number: u64,
    versions: u64,
}

impl Reconciler {
    /// A keeper that has seen nothing.
    pub fn new(config: config::Handlers, limits: script::Limits) -> Self {
        Self {
            config,
            limits,
            known: HashMap::new(),
            changing: HashMap::new(),
            aliases: Vec::new(),
            said: BTreeSet::new(),
            number: 0,
            versions: 0,
        }
    }

    /// The first look: everything is read as it stands.
    pub fn first(&mut self) -> std::io::Result<(Generation, Report)> {
        let scan = scan::scan(&self.config)?;
        let mut report = Report::default();
        self.read_map_file(&mut report);
        for (file, (path, stamp)) in &scan.files {
            self.read(file, path, *stamp, &mut report);
        }
        Ok(self.publish(&scan, report))
    }

    /// A look: the next generation if anything has changed, and how soon to look again if something is changing.
    fn look(&mut self) -> (Option<(Generation, Report)>, Option<Duration>, Vec<PathBuf>) {
        let scan = match scan::scan(&self.config) {
            Ok(scan) => scan,
            Err(error) => {
                // Whoever moves the folder away puts it back, mostly: what serves goes on.
                let text = format!(
                    "{}: {error}; what was loaded goes on serving",
                    self.config.root.display()
                );
                if self.said.insert(text.clone()) {
                    tracing::warn!("{text}");
                }
                return (None, None, Vec::new());
            }
        };
        let mut report = Report::default();
        let mut changed = self.read_map_file(&mut report);
        let mut again = None;
        for (file, (path, stamp)) in &scan.files {
            let known = self.known.get(file);
            let same = known.is_some_and(|known| known.stamp == *stamp);
            if same && !known.is_some_and(|known| known.unsettled) {
                self.changing.remove(file);
                continue;
            }
            let since = *self
                .changing
                .entry(file.clone())
                .or_insert_with(Instant::now);
            if !same && stamp.age() < STILL && since.elapsed() < LONGEST {
                again = Some(
                    STILL
                        .saturating_sub(stamp.age())
                        .max(Duration::from_millis(1)),
                );
                continue;
            }
            self.changing.remove(file);
            changed |= self.read(file, path, *stamp, &mut report);
        }
        let gone: Vec<_> = self
            .known
            .keys()
            .filter(|file| !scan.files.contains_key(*file))
            .cloned()
            .collect();
        for file in gone {
            // A file that now has another name has moved: both names change in one publication.
            let inode = self.known[&file].stamp.inode();
            let mut names = scan
                .files
                .iter()
                .filter(|(_, (_, stamp))| stamp.inode() == inode);
            let has_moved = names.any(|(name, _)| self.known.contains_key(name));
            // Editors remove a file for a moment when they save; only what stays away is gone.
            let since = *self
                .changing
                .entry(file.clone())
                .or_insert_with(Instant::now);
            if !has_moved && since.elapsed() < STILL * 2 {
                again = Some(again.unwrap_or(STILL).min(STILL));
                continue;
            }
            self.changing.remove(&file);
            self.known.remove(&file);
            report.removed.push(file);
            changed = true;
        }
        let folders = scan.folders.clone();
        let next = (changed || self.has_news(&scan)).then(|| self.publish(&scan, report));
        (next, again, folders)
    }

    fn has_news(&self, scan: &Scan) -> bool {
        scan.skipped
            .iter()
            .any(|(file, why)| !self.said.contains(&skipped(file, why)))
    }

    /// Reads a file and compiles it, if its text is new. Whether anything changed.
    fn read(
        &mut self,
        file: &str,
        path: &std::path::Path,
        stamp: Stamp,
        report: &mut Report,
    ) -> bool {
        let unsettled = stamp.age() < COARSE;
        let text = match scan::read(path, self.limits.source) {
            Ok(text) => text,
            Err(error) => {
                let fault = Fault {
                    message: error.to_string(),
                    report: format!("error: {error}\n --> {file}"),
                };
                return self.keep_last_good(file, stamp, None, fault, report);
            }
        };
        if let Some(known) = self.known.get_mut(file)
            && known.text.as_deref() == Some(&text)
        {
            (known.stamp, known.unsettled) = (stamp, unsettled);
            return false;
        }
        self.versions += 1;
        let source = Arc::new(Source {
            file: file.to_owned(),
            text,
            version: self.versions,
        });
        match script::check(&source, &self.limits) {
            Ok((hooks, warnings)) => {
                report.problems.extend(
                    warnings
                        .into_iter()
                        .map(|warning| format!("{file}: {warning}")),
                );
                let serves = self
                    .known
                    .get(file)
                    .is_some_and(|known| known.entry.source.is_some());
                if serves {
                    &mut report.reloaded
                } else {
                    &mut report.added
                }
                .push(file.to_owned());
                let text = Some(source.text.clone());
                let entry = Entry {
                    source: Some(source),
                    hooks,
                    fault: None,
                };
                self.known.insert(
                    file.to_owned(),
                    Known {
                        stamp,
                        text,
                        unsettled,
                        entry,
                    },
                );
                true
            }
            Err(fault) => {
                self.keep_last_good(file, stamp, Some(source.text.clone()), fault, report)
            }
        }
    }

    /// A version that does not serve: the one before it goes on.
    fn keep_last_good(
        &mut self,
        file: &str,
        stamp: Stamp,
        text: Option<String>,
        fault: Fault,
        report: &mut Report,
    ) -> bool {
        let before = self
            .known
            .remove(file)
            .map_or(Entry::default(), |known| known.entry);
        let is_news = before.fault.as_ref() != Some(&fault);
        // What could not be read is tried again at every look.
        let unsettled = stamp.age() < COARSE || text.is_none();
        let entry = Entry {
            fault: Some(fault.clone()),
            ..before
        };
        self.known.insert(
            file.to_owned(),
            Known {
                stamp,
                text,
                unsettled,
                entry,
            },
        );
        if is_news {
            report.broken.push((file.to_owned(), fault));
        }
        is_news
    }

    fn read_map_file(&mut self, report: &mut Report) -> bool {
        let Some(path) = &self.config.map_file else {
            return false;
        };
        match read_aliases(path) {
            Ok((aliases, problems)) => {
                report.problems.extend(problems);
                let changed = aliases != self.aliases;
                self.aliases = aliases;
                changed
            }
            Err(error) => {
                report.problems.push(format!(
                    "{}: {error}; the aliases read before go on",
                    path.display()
                ));
                false
            }
        }
    }

    fn publish(&mut self, scan: &Scan, mut report: Report) -> (Generation, Report) {
        self.number += 1;
        let entries: BTreeMap<_, _> = self
            .known
            .iter()
            .map(|(file, known)| (file.clone(), known.entry.clone()))
            .collect();
        let (generation, problems) = Generation::new(self.number, entries, &self.aliases);
        report.problems.extend(problems);
        report
            .problems
            .extend(scan.skipped.iter().map(|(file, why)| skipped(file, why)));
        report
            .problems
            .retain(|problem| self.said.insert(problem.clone()));
        (generation, report)
    }

    /// Keeps looking for as long as the process lives, and gives each new generation to `publish`; `false` ends it.
    pub fn run(mut self, publish: impl Fn(Generation, Report) -> bool) {
        let (sender, events) = sync_channel(1);
        let mut watch = Watch::new(sender);
        watch.follow(&self.config, &[]);
        let mut wait = Duration::ZERO;
        loop {
            if !next_event(&events, wait) {
                return;
            }
            let (next, again, folders) = self.look();
            watch.follow(&self.config, &folders);
            if let Some((generation, report)) = next
                && !publish(generation, report)
            {
                return;
            }
            wait = again.unwrap_or(PERIOD);
        }
    }
}

fn skipped(file: &str, why: &str) -> String {
    format!("{file} is not served: {why}")
}

/// Waits for an event or the end of `wait`; `false` when the watcher is gone for good.
fn next_event(events: &Receiver<()>, wait: Duration) -> bool {
    match events.recv_timeout(wait) {
        Ok(()) | Err(RecvTimeoutError::Timeout) => true,
        Err(RecvTimeoutError::Disconnected) => {
            std::thread::sleep(wait);
            true
        }
    }
}

/// The watcher of file events, armed again when the root becomes another folder.
struct Watch {
    sender: SyncSender<()>,
    watcher: Option<RecommendedWatcher>,
    /// Device and inode of the root that is watched.
    root: Option<(u64, u64)>,
    outside: BTreeSet<PathBuf>,
    warned: bool,
}

impl Watch {
    fn new(sender: SyncSender<()>) -> Self {
        Self {
            sender,
            watcher: None,
            root: None,
            outside: BTreeSet::new(),
            warned: false,
        }
    }

    fn follow(&mut self, config: &config::Handlers, folders: &[PathBuf]) {
        let now = fs::metadata(&config.root)
            .ok()
            .map(|metadata| (metadata.dev(), metadata.ino()));
        if now != self.root {
            self.root = now;
            self.outside.clear();
            self.watcher = now.and_then(|_| self.arm(config));
        }
        // Linked folders outside the root are not part of the recursive watch.
        let Some(watcher) = &mut self.watcher else {
            return;
        };
        let Ok(root) = fs::canonicalize(&config.root) else {
            return;
        };
        for folder in folders
            .iter()
            .filter_map(|folder| fs::canonicalize(folder).ok())
        {
            if !folder.starts_with(&root) && self.outside.insert(folder.clone()) {
                let _ = watcher.watch(&folder, RecursiveMode::NonRecursive);
            }
        }
    }

    fn arm(&mut self, config: &config::Handlers) -> Option<RecommendedWatcher> {
        let sender = self.sender.clone();
        let wake = move |event: notify::Result<Event>| {
            // Reading a file is an event too, and must not lead to reading it again.
            if !event.is_ok_and(|event| matches!(event.kind, EventKind::Access(_))) {
                // A full channel has a wake-up in it already.
                let _ = sender.try_send(());
            }
        };
        let armed = notify::recommended_watcher(wake).and_then(|mut watcher| {
            watcher.watch(&config.root, RecursiveMode::Recursive)?;
            Ok(watcher)
        });
        match armed {
            Ok(watcher) => Some(watcher),
            Err(error) => {
                if !self.warned {
                    self.warned = true;
                    tracing::warn!(
                        "no file events ({error}): changes are found by looking every {} s; \
                         raise fs.inotify.max_user_watches and max_user_instances for quicker reloads",
                        PERIOD.as_secs()
                    );
                }
                None
            }
        }
    }
}
