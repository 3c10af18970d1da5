//! Texts to handlers: each that has changed, or that asked for a module that has, is tried, and
//! then taken on.
//!
//! Between the two is the question whether everything fits together. Whoever saves a handler and
//! its module saves one of them first.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::registry::Entry;
use super::report::Report;
use super::texts::Texts;
use super::{is_handler, is_test};
use crate::script::{self, Checked, Checker, Fault, Host, Library, Unreadable};

/// The handlers as they were tried last.
#[derive(Debug)]
pub struct Handlers {
    host: Host,
    handlers: BTreeMap<String, Handler>,
    library: Library,
    /// Modules that may not be read, with the reason.
    refused: BTreeMap<String, String>,
    /// Number of versions of a file that have served. A file that comes back goes on counting.
    versions: HashMap<String, u64>,
}

/// A handler as it was tried last.
#[derive(Debug, Default)]
struct Handler {
    entry: Entry,
    /// Probable mistakes in the version that serves.
    warnings: Vec<Fault>,
    /// The modules that it asked for.
    asked: BTreeSet<String>,
}

/// New versions that do not serve yet.
#[derive(Debug)]
pub struct Trial {
    checked: Vec<(String, Checked)>,
    /// The modules that have changed.
    modules: BTreeSet<String>,
    removed: Vec<String>,
}

impl Trial {
    /// These versions are not to serve.
    pub fn refuse(&mut self, faults: Vec<(String, Fault)>) {
        for (file, fault) in faults {
            let mut checked = self.checked.iter_mut();
            if let Some((_, checked)) = checked.find(|(known, _)| *known == file) {
                checked.result = Err(fault);
            }
        }
    }
}

impl Handlers {
    /// Creates an empty set of handlers.
    pub fn new(host: Host) -> Self {
        Self {
            host,
            handlers: BTreeMap::new(),
            library: Library::default(),
            refused: BTreeMap::new(),
            versions: HashMap::new(),
        }
    }

    /// Takes note of modules that may not be read, with the reason. Those of which that is news.
    pub fn refuse(&mut self, skipped: &BTreeMap<String, String>) -> Vec<String> {
        let modules = skipped.iter().filter(|(file, _)| !is_handler(file));
        let refused = modules.map(|(file, why)| (file.clone(), why.clone()));
        let before = std::mem::replace(&mut self.refused, refused.collect());
        let files = before.keys().chain(self.refused.keys());
        let changed = files.filter(|file| before.get(*file) != self.refused.get(*file));
        changed.cloned().collect()
    }

    /// Tries what has changed.
    pub fn try_out(&mut self, changed: &BTreeSet<String>, texts: &Texts) -> Trial {
        let (mut modules, mut removed) = (BTreeSet::new(), Vec::new());
        let mut affected = BTreeSet::new();
        for file in changed {
            if let Some(name) = module_name(file) {
                let refused = self.refused.get(file);
                let refused = refused.map(|why| Err(Unreadable::from(why.clone())));
                self.library
                    .set(name, refused.or_else(|| texts.get(file).cloned()));
                modules.insert(name.to_owned());
            } else if texts.get(file).is_some() {
                affected.insert(file);
            } else if self.handlers.contains_key(file) {
                removed.push(file.clone());
            }
        }
        if !modules.is_empty() {
            let asking = self.handlers.iter();
            let asking = asking.filter(|(_, handler)| !handler.asked.is_disjoint(&modules));
            affected.extend(asking.map(|(file, _)| file));
        }
        let mut checker = Checker::new(&self.host, &mut self.library);
        let mut checked = Vec::new();
        for file in affected {
            // One that is gone, and asked for a module, is in nobody's way.
            let Some(text) = texts.get(file) else {
                continue;
            };
            let version = self.versions.get(file).copied().unwrap_or(0) + 1;
            checked.push((file.clone(), checker.check(file, text, version)));
        }
        Trial {
            checked,
            modules,
            removed,
        }
    }

    /// Returns what is wrong with modules that no handler asks for.
    pub fn unasked(&mut self, texts: &Texts) -> Vec<Fault> {
        let handlers = self.handlers.values();
        let asked: BTreeSet<&str> = handlers
            .flat_map(|handler| handler.asked.iter().map(String::as_str))
            .collect();
        let unasked = texts.files().into_iter().filter_map(|file| {
            let name = module_name(file)?;
            let is_unasked = !asked.contains(name) && !is_test(file);
            let text = texts.get(file)?.as_ref().ok()?;
            is_unasked.then_some((file, text))
        });
        let mut checker = Checker::new(&self.host, &mut self.library);
        let mut faults = Vec::new();
        for (file, text) in unasked {
            // What several of them import is at fault once.
            let fault = checker.module_alone(file, text);
            faults.extend(fault.filter(|fault| !faults.contains(fault)));
        }
        faults
    }

    /// Whether there is something new in a trial that does not fit together, and may when another
    /// file is saved.
    pub fn is_misfit(&self, trial: &Trial) -> bool {
        trial.checked.iter().any(|(file, checked)| {
            let before = self
                .handlers
                .get(file)
                .and_then(|handler| handler.entry.fault.as_ref());
            checked.is_apart && before != checked.result.as_ref().err()
        })
    }

    /// Takes on what was tried: what serves, and the faults of what does not. Whether anything
    /// changed.
    pub fn take(&mut self, trial: Trial, report: &mut Report) -> bool {
        let mut has_changed = !trial.removed.is_empty();
        for file in &trial.removed {
            self.handlers.remove(file);
        }
        report.removed.extend(trial.removed);
        for (file, checked) in trial.checked {
            let handler = self.handlers.entry(file.clone()).or_default();
            if let Ok(tried) = &checked.result {
                self.versions.insert(file.clone(), tried.source.version);
            }
            has_changed |= handler.take(&file, checked, &trial.modules, report);
        }
        has_changed
    }

    /// Returns the entry of every handler, by file.
    pub fn entries(&self) -> BTreeMap<String, Entry> {
        let entries = self.handlers.iter();
        let entries = entries.map(|(file, handler)| (file.clone(), handler.entry.clone()));
        entries.collect()
    }

    /// Returns the entries as they were if a trial was taken on, and the files of new versions.
    pub fn entries_with(&self, trial: &Trial) -> (BTreeMap<String, Entry>, BTreeSet<String>) {
        let (mut entries, mut files) = (self.entries(), BTreeSet::new());
        entries.retain(|file, _| !trial.removed.contains(file));
        for (file, checked) in &trial.checked {
            if let Ok(tried) = &checked.result {
                let entry = Entry {
                    source: Some(Arc::clone(&tried.source)),
                    hooks: tried.hooks.clone(),
                    fault: None,
                };
                entries.insert(file.clone(), entry);
                files.insert(file.clone());
            }
        }
        (entries, files)
    }

    /// Whether anything of a file serves.
    pub fn serves(&self, file: &str) -> bool {
        let handler = self.handlers.get(file);
        handler.is_some_and(|handler| handler.entry.source.is_some())
    }

    /// Whether there is no handler, not even a broken one.
    pub fn is_empty(&self) -> bool {
        self.handlers.is_empty()
    }

    /// Returns the probable mistakes in the versions that serve.
    pub fn warnings(&self) -> impl Iterator<Item = Fault> {
        self.handlers
            .values()
            .flat_map(|handler| handler.warnings.clone())
    }
}

impl Handler {
    /// Takes on a new version, or stays on the one before it with the fault of the new one. Whether
    /// anything changed.
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
                self.warnings = tried.warnings;
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
                let more = checked.more.into_iter();
                let new = more.filter(|fault| !report.problems.contains(fault));
                let new: Vec<_> = new.collect();
                report.problems.extend(new);
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

/// Returns the module name of a file; `None` for a handler.
fn module_name(file: &str) -> Option<&str> {
    file.strip_suffix(script::SUFFIX)
        .filter(|_| !is_handler(file))
}
