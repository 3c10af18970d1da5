//! The reconciler: compares the folder with what serves, compiles what has changed, publishes a new generation.
//!
//! File events only wake it, because events get lost; it also looks every two seconds by itself. Whatever happened, it
//! walks, compares, and waits until what has changed stands still.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use notify::event::{Event, EventKind};
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::oneshot;

use super::registry::{Alias, Entry, Generation, read_aliases};
use super::scan::{self, Scan, Stamp, is_handler};
use crate::config;
use crate::script::{self, Checked, Checker, Fault, Library, Unreadable};

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
    /// Files whose new version serves, each with the modules whose change is in it.
    pub reloaded: Vec<(String, Vec<String>)>,
    /// Files that are gone.
    pub removed: Vec<String>,
    /// Why the newest version of some files does not serve: a module's fault keeps back all that import it.
    pub broken: Vec<(Fault, Vec<String>)>,
    /// What else should be said.
    pub problems: Vec<Fault>,
}

/// What is known of one file.
#[derive(Debug)]
struct Known {
    stamp: Stamp,
    /// What was read last, whether it serves or not, or why it could not be read.
    text: Result<String, Unreadable>,
    /// It was read so soon after its last change that the next one might not show.
    unsettled: bool,
}

/// A handler as it was tried last.
#[derive(Debug, Default)]
struct Handler {
    entry: Entry,
    /// The modules that it asked for.
    asked: BTreeSet<String>,
}

/// The folder's keeper.
#[derive(Debug)]
pub struct Reconciler {
    config: config::Handlers,
    settings: script::Settings,
    /// Handlers and modules.
    known: HashMap<String, Known>,
    handlers: BTreeMap<String, Handler>,
    library: Library,
    /// Modules that may not be read, with the reason.
    refused: BTreeMap<String, String>,
    /// Files that were read, or are gone, since handlers were made of them last, and since when there are any.
    dirty: BTreeSet<String>,
    dirty_since: Option<Instant>,
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
    pub fn new(config: config::Handlers, settings: script::Settings) -> Self {
        Self {
            config,
            settings,
            known: HashMap::new(),
            handlers: BTreeMap::new(),
            library: Library::default(),
            refused: BTreeMap::new(),
            dirty: BTreeSet::new(),
            dirty_since: None,
            changing: HashMap::new(),
            aliases: Vec::new(),
            said: BTreeSet::new(),
            number: 0,
            versions: 0,
        }
    }

    /// The first look: everything is read as it stands. A top level may nest data as deep as a hook can, so it needs as
    /// much stack to free it.
    pub fn first(&mut self) -> io::Result<(Generation, Report)> {
        thread::scope(|scope| {
            let builder = thread::Builder::new().stack_size(script::STACK);
            let look = builder.spawn_scoped(scope, || self.first_look())?;
            look.join().unwrap_or_else(|panic| resume_unwind(panic))
        })
    }

    fn first_look(&mut self) -> io::Result<(Generation, Report)> {
        let scan = scan::scan(&self.config)?;
        let mut report = Report::default();
        self.read_map_file(&mut report);
        for (file, (path, stamp)) in &scan.files {
            self.read(file, path, *stamp);
        }
        self.refuse(&scan);
        self.make(&mut report);
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
            // Whoever saves in place cuts a file to nothing first, and may be held up before it writes.
            let is_begun = stamp.is_empty();
            if !same && (stamp.age() < STILL || is_begun) && since.elapsed() < LONGEST {
                let left = STILL.saturating_sub(stamp.age());
                let least = if is_begun {
                    STILL
                } else {
                    Duration::from_millis(1)
                };
                again = Some(left.max(least));
                continue;
            }
            self.changing.remove(file);
            self.read(file, path, *stamp);
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
            self.dirty.insert(file);
        }
        self.refuse(&scan);
        let folders = scan.folders.clone();
        // What is saved together is served together, if it comes to rest soon.
        if !self.dirty.is_empty() {
            let since = self.dirty_since.get_or_insert_with(Instant::now);
            if again.is_none() || since.elapsed() >= LONGEST {
                self.dirty_since = None;
                changed |= self.make(&mut report);
            }
        }
        let next = (changed || self.has_news(&scan)).then(|| self.publish(&scan, report));
        (next, again, folders)
    }

    fn has_news(&self, scan: &Scan) -> bool {
        skipped(scan).any(|problem| !self.said.contains(&problem.to_string()))
    }

    /// Reads a file, which is dirty if its text is new.
    fn read(&mut self, file: &str, path: &Path, stamp: Stamp) {
        let text = scan::read(path, self.settings.limits.source).map_err(Unreadable::from);
        // What could not be read is tried again at every look.
        let unsettled = stamp.age() < COARSE || text.is_err();
        let known = Known {
            stamp,
            text,
            unsettled,
        };
        let before = self.known.insert(file.to_owned(), known);
        if before.is_none_or(|before| before.text != self.known[file].text) {
            self.dirty.insert(file.to_owned());
        }
    }

    /// Takes note of modules that may not be read.
    fn refuse(&mut self, scan: &Scan) {
        let skipped = scan.skipped.iter().filter(|(file, _)| !is_handler(file));
        let refused = skipped.map(|(file, why)| (file.clone(), why.clone()));
        let before = std::mem::replace(&mut self.refused, refused.collect());
        let files = before.keys().chain(self.refused.keys());
        let changed = files.filter(|file| before.get(*file) != self.refused.get(*file));
        self.dirty.extend(changed.cloned());
    }

    /// Makes handlers of what is dirty: of each that has changed, and of each that asked for a module that has. Whether
    /// that changed anything.
    fn make(&mut self, report: &mut Report) -> bool {
        let dirty = std::mem::take(&mut self.dirty);
        let mut modules = BTreeSet::new();
        let mut changed = false;
        for file in &dirty {
            if let Some(name) = module_name(file) {
                let text = self.known.get(file).map(|known| known.text.clone());
                let refused = self
                    .refused
                    .get(file)
                    .map(|why| Err(Unreadable::from(why.clone())));
                self.library.set(name, text.or(refused));
                modules.insert(name.to_owned());
            } else if !self.known.contains_key(file) && self.handlers.remove(file).is_some() {
                report.removed.push(file.clone());
                changed = true;
            }
        }
        let mut checker = Checker::new(&self.settings, &mut self.library);
        let scripts: BTreeMap<_, _> = self.known.iter().collect();
        for (file, known) in scripts.into_iter().filter(|(file, _)| is_handler(file)) {
            let handler = self.handlers.get(file);
            let is_asked = handler.is_some_and(|handler| !handler.asked.is_disjoint(&modules));
            if !is_asked && !dirty.contains(file) {
                continue;
            }
            self.versions += 1;
            let checked = checker.check(file, &known.text, self.versions);
            let handler = self.handlers.entry(file.clone()).or_default();
            changed |= handler.take(file, checked, &modules, report);
        }
        changed
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
                let message = format!("{error}; the aliases read before go on");
                let fault = Fault::of_file(&path.display().to_string(), message);
                report.problems.push(fault.into_warning());
                false
            }
        }
    }

    fn publish(&mut self, scan: &Scan, mut report: Report) -> (Generation, Report) {
        self.number += 1;
        let entries: BTreeMap<_, _> = self
            .handlers
            .iter()
            .map(|(file, handler)| (file.clone(), handler.entry.clone()))
            .collect();
        let (generation, problems) = Generation::new(self.number, entries, &self.aliases);
        report.problems.extend(problems);
        report.problems.extend(skipped(scan));
        report
            .problems
            .retain(|problem| self.said.insert(problem.to_string()));
        (generation, report)
    }

    /// Keeps looking for as long as the process lives, at once when asked to, and gives each new generation to `publish`;
    /// `false` ends it. For a thread with the stack of a fiber.
    pub fn run(mut self, rescan: &Rescan, publish: impl Fn(Generation, Report) -> bool) {
        let (sender, events) = sync_channel(1);
        rescan.attach(sender.clone());
        let mut watch = Watch::new(sender);
        watch.follow(&self.config, &[]);
        let mut wait = Duration::ZERO;
        let mut askers = Vec::new();
        loop {
            if !next_event(&events, wait) {
                return;
            }
            askers.extend(rescan.askers());
            let (next, again, folders) = self.look();
            watch.follow(&self.config, &folders);
            if let Some((generation, report)) = next
                && !publish(generation, report)
            {
                return;
            }
            if again.is_none() {
                // The answer to whoever asked.
                askers.clear();
            }
            wait = again.unwrap_or(PERIOD);
        }
    }
}

impl Handler {
    /// Takes on a new version, or stays on the one before it with the fault of the new one. Whether anything changed.
    fn take(
        &mut self,
        file: &str,
        checked: Checked,
        modules: &BTreeSet<String>,
        report: &mut Report,
    ) -> bool {
        self.asked = checked.asked;
        match checked.result {
            Ok(tried) => {
                report.problems.extend(tried.warnings);
                if self.entry.source.is_some() {
                    let modules = self.asked.intersection(modules).cloned().collect();
                    report.reloaded.push((file.to_owned(), modules));
                } else {
                    report.added.push(file.to_owned());
                }
                self.entry = Entry {
                    source: Some(tried.source),
                    hooks: tried.hooks,
                    fault: None,
                };
                true
            }
            Err(fault) if self.entry.fault.as_ref() == Some(&fault) => false,
            Err(fault) => {
                self.entry.fault = Some(fault.clone());
                let mut broken = report.broken.iter_mut();
                match broken.find(|(known, _)| *known == fault) {
                    Some((_, files)) => files.push(file.to_owned()),
                    None => report.broken.push((fault, vec![file.to_owned()])),
                }
                true
            }
        }
    }
}

/// What a module is called by its file's name; `None` for a handler.
fn module_name(file: &str) -> Option<&str> {
    file.strip_suffix(script::SUFFIX)
        .filter(|_| !is_handler(file))
}

/// Handlers that cannot be. A module is spoken of when it is imported.
fn skipped(scan: &Scan) -> impl Iterator<Item = Fault> {
    let handlers = scan.skipped.iter().filter(|(file, _)| is_handler(file));
    handlers.map(|(file, why)| {
        Fault::of_file(file, format!("{file} is not served: {why}")).into_warning()
    })
}

/// Waits for an event or the end of `wait`; `false` when the watcher is gone for good.
fn next_event(events: &Receiver<()>, wait: Duration) -> bool {
    match events.recv_timeout(wait) {
        Ok(()) | Err(RecvTimeoutError::Timeout) => true,
        Err(RecvTimeoutError::Disconnected) => {
            thread::sleep(wait);
            true
        }
    }
}

/// Asks a running reconciler for a look.
#[derive(Debug, Clone, Default)]
pub struct Rescan(Arc<Mutex<Asked>>);

#[derive(Debug, Default)]
struct Asked {
    wake: Option<SyncSender<()>>,
    askers: Vec<oneshot::Sender<()>>,
}

impl Rescan {
    /// Ready when the folder has been looked at, and what had changed in it serves.
    pub async fn done(&self) {
        let (answer, answered) = oneshot::channel();
        {
            let mut asked = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            asked.askers.push(answer);
            if let Some(wake) = &asked.wake {
                // A full channel has a wake-up in it already.
                let _ = wake.try_send(());
            }
        }
        // The answer is that it is dropped.
        let _ = answered.await;
    }

    fn attach(&self, wake: SyncSender<()>) {
        let mut asked = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        asked.wake = Some(wake);
    }

    fn askers(&self) -> Vec<oneshot::Sender<()>> {
        let mut asked = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut asked.askers)
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
