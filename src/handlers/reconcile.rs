//! The reconciler: compares the folder with what serves, tries what has changed, publishes a new
//! generation.
//!
//! It walks, compares, and waits until what has changed stands still, and then for what it needs to
//! fit together: files that are saved together are published together.

use std::collections::BTreeSet;
use std::io;
use std::panic::resume_unwind;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use super::aliases::MapFile;
use super::proof::Proof;
use super::registry::Generation;
use super::report::Report;
use super::scan::{self, Scan};
use super::standing::{Standing, Subject};
use super::texts::{News, Texts};
use super::trial::Handlers;
use super::{LONGEST, is_handler};
use crate::config;
use crate::file::Disk;
use crate::script::{self, Fault, Host};

/// Quiet time of the folder after which what does not fit together is reported as broken: programs
/// that save several files, and copies over a network, pause less, and whoever waits for the report
/// of a mistake hardly longer.
const FIT: Duration = Duration::from_millis(500);
/// Upper bound on the wait for changes to fit together, in a folder that is never quiet.
const FIT_LONGEST: Duration = Duration::from_secs(3);

/// Runs on a stack for what scripts nest.
fn deep<T: Send>(run: impl FnOnce() -> T + Send) -> io::Result<T> {
    thread::scope(|scope| {
        let builder = thread::Builder::new().stack_size(script::STACK);
        let thread = builder.spawn_scoped(scope, run)?;
        Ok(thread.join().unwrap_or_else(|panic| resume_unwind(panic)))
    })
}

/// The outcome of a look.
#[derive(Debug, Default)]
pub struct Reconciled {
    /// The generation that serves from now on, if anything has changed.
    pub generation: Option<Generation>,
    /// The findings to log.
    pub report: Report,
    /// Delay until the next look, if something is changing.
    pub again: Option<Duration>,
    /// Whether the root was there.
    pub is_whole: bool,
}

/// The folder's keeper.
#[derive(Debug)]
pub struct Reconciler {
    config: config::Handlers,
    disk: Disk,
    map_file: MapFile,
    scan: Scan,
    texts: Texts,
    handlers: Handlers,
    changes: Changes,
    standing: Standing,
    proof: Option<Box<dyn Proof>>,
}

/// Files that have changed since handlers were made of them last.
#[derive(Debug, Default)]
struct Changes {
    files: BTreeSet<String>,
    /// Time when the first of them was read, and the last.
    began: Option<Instant>,
    last: Option<Instant>,
    /// Whether they were tried as they are, and do not fit together.
    is_misfit: bool,
}

impl Changes {
    fn add(&mut self, files: Vec<String>) {
        if !files.is_empty() {
            let now = Instant::now();
            self.began.get_or_insert(now);
            self.last = Some(now);
            self.is_misfit = false;
            self.files.extend(files);
        }
    }

    /// Returns the time since the first of them was read.
    fn age(&self) -> Duration {
        self.began.map_or(Duration::ZERO, |began| began.elapsed())
    }

    /// Returns the time left to wait for what makes them fit.
    fn patience(&self) -> Duration {
        let quiet = self.last.map_or(Duration::ZERO, |last| last.elapsed());
        let left = FIT.saturating_sub(quiet);
        left.min(FIT_LONGEST.saturating_sub(self.age()))
    }
}

impl Reconciler {
    /// A keeper that has seen nothing.
    pub fn new(config: config::Handlers, host: Host) -> Self {
        Self {
            disk: Disk::default(),
            map_file: MapFile::new(config.map_file.clone()),
            config,
            scan: Scan::default(),
            texts: Texts::new(host.settings.limits.source),
            handlers: Handlers::new(host),
            changes: Changes::default(),
            standing: Standing::default(),
            proof: None,
        }
    }

    /// New versions have to stand this before they serve, from the second look on.
    pub fn proven_by(mut self, proof: impl Proof + 'static) -> Self {
        self.proof = Some(Box::new(proof));
        self
    }

    /// The folder that it keeps, and how it is looked at.
    pub fn config(&self) -> &config::Handlers {
        &self.config
    }

    /// Folders outside the root that links lead to.
    pub fn outside(&self) -> impl Iterator<Item = &PathBuf> {
        self.scan.outside.iter()
    }

    /// The first look: everything is read as it stands. A top level may nest data as deep as a hook
    /// can, so it needs as much stack to free it.
    pub fn first(&mut self) -> io::Result<(Generation, Report)> {
        deep(|| self.first_look())?
    }

    /// Returns what is wrong with modules that no handler imports: they are in nobody's way.
    pub fn unasked(&mut self) -> io::Result<Vec<Fault>> {
        deep(|| self.handlers.unasked(&self.texts))
    }

    fn first_look(&mut self) -> io::Result<(Generation, Report)> {
        self.scan = scan::scan(&self.config, &mut self.disk)?;
        self.map_file.read(&mut self.disk);
        let News { files, .. } = self.texts.read_all(&self.scan, &mut self.disk);
        let mut report = Report::default();
        let mut changed: BTreeSet<_> = files.into_iter().collect();
        changed.extend(self.handlers.refuse(&self.scan.skipped));
        let trial = self.handlers.try_out(&changed, &self.texts);
        self.handlers.take(trial, &mut report);
        let generation = self.publish(&mut report);
        self.say(&mut report);
        Ok((generation, report))
    }

    /// A look. When nothing has happened since the last one, as far as anybody knows, it looks only
    /// at what was changing.
    pub fn look(&mut self, is_quiet: bool) -> Reconciled {
        let mut look = Reconciled {
            is_whole: true,
            ..Reconciled::default()
        };
        let Report { problems, over, .. } = &mut look.report;
        if !(is_quiet && self.scan.refresh(self.texts.changing())) {
            let scanned = scan::scan(&self.config, &mut self.disk);
            let fault = scanned.as_ref().err().map(|error| {
                // Whoever moves the folder away puts it back, mostly: what serves goes on.
                let message = format!("{error}; what was loaded goes on serving");
                Fault::of_file(&self.config.root.display().to_string(), message).into_warning()
            });
            self.standing.set(Subject::Root, fault, problems, over);
            match scanned {
                Ok(scan) => self.scan = scan,
                Err(_) => {
                    look.is_whole = false;
                    return look;
                }
            }
        }
        let (mut has_changed, again) = self.map_file.look(&mut self.disk);
        let news = self.texts.look(&self.scan, &mut self.disk);
        look.again = [again, news.again].into_iter().flatten().min();
        self.changes.add(news.files);
        let refused = self.handlers.refuse(&self.scan.skipped);
        self.changes.add(refused);
        let is_calm = news.again.is_none() || self.changes.age() >= LONGEST;
        if !self.changes.files.is_empty() && is_calm {
            match self.settle(&mut look.report) {
                Ok(has_settled) => has_changed |= has_settled,
                Err(wait) => look.again = Some(look.again.map_or(wait, |again| again.min(wait))),
            }
        }
        look.generation = has_changed.then(|| self.publish(&mut look.report));
        self.say(&mut look.report);
        look
    }

    /// Makes handlers of what has changed, and tells whether that changed anything. What does not
    /// fit together waits for the rest for a while: `Err` is how long.
    fn settle(&mut self, report: &mut Report) -> Result<bool, Duration> {
        let patience = self.changes.patience();
        if self.changes.is_misfit && !patience.is_zero() {
            return Err(patience);
        }
        let mut trial = self.handlers.try_out(&self.changes.files, &self.texts);
        if !patience.is_zero() && self.handlers.is_misfit(&trial) {
            self.changes.is_misfit = true;
            return Err(patience);
        }
        self.changes = Changes::default();
        if let Some(proof) = &mut self.proof {
            let (entries, files) = self.handlers.entries_with(&trial);
            if !files.is_empty() {
                let (generation, _) = Generation::new(entries, &self.map_file.aliases);
                trial.refuse(proof.refused(generation, &files));
            }
        }
        Ok(self.handlers.take(trial, report))
    }

    fn publish(&mut self, report: &mut Report) -> Generation {
        let (generation, conflicts) =
            Generation::new(self.handlers.entries(), &self.map_file.aliases);
        let Report { problems, over, .. } = report;
        self.standing
            .set(Subject::Routes, conflicts, problems, over);
        let warnings = self.handlers.warnings();
        self.standing
            .set(Subject::Handlers, warnings, problems, over);
        generation.served_by(self.config.alone.as_deref())
    }

    /// Says what is wrong with the folder, if that is new.
    fn say(&mut self, report: &mut Report) {
        let Report { problems, over, .. } = report;
        let skipped = self.scan.skipped.iter();
        let skipped = skipped
            .filter(|(file, _)| is_handler(file))
            .map(|(file, why)| {
                if self.handlers.serves(file) {
                    (
                        file,
                        format!("{file}: {why}; what was loaded goes on serving"),
                    )
                } else {
                    (file, format!("{file} is not served: {why}"))
                }
            });
        let unreadable = self.scan.unreadable.iter().map(|(folder, why)| {
            let message =
                format!("{folder} cannot be looked into: {why}; what was loaded goes on serving");
            (folder, message)
        });
        let warning =
            |(file, message): (&String, String)| Fault::of_file(file, message).into_warning();
        let faults = skipped.chain(unreadable).map(warning);
        let faults = faults.chain(self.scan.passed.iter().cloned());
        self.standing.set(Subject::Scan, faults, problems, over);
        let faults = self.map_file.faults.iter().cloned();
        self.standing.set(Subject::MapFile, faults, problems, over);
        let nothing = self.handlers.is_empty().then(|| {
            let root = &self.config.root;
            let message = self.scan.near.sentence(root);
            Fault::of_file(&root.display().to_string(), message).into_warning()
        });
        self.standing.set(Subject::Nothing, nothing, problems, over);
    }
}
