//! One generation: an immutable table from path to handler, made whole and swapped whole.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;
use std::sync::Arc;

use super::aliases::Alias;
use super::path::Route;
use crate::script::{Fault, Hook, Source};

/// A handler file in one generation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Entry {
    /// The source that serves: the newest version that compiled, if any did.
    pub source: Option<Arc<Source>>,
    /// The hooks that it defines.
    pub hooks: Vec<Hook>,
    /// The fault of the newest version, if it does not serve.
    pub fault: Option<Fault>,
}

/// Path prefix of the built-in pages, below which only WebSocket connections reach a handler.
pub const PAGES: &str = "_wsh/";

/// The handlers at one moment.
#[derive(Debug, Default)]
pub struct Generation {
    /// By file name below the root.
    pub entries: BTreeMap<String, Entry>,
    literal: HashMap<String, String>,
    /// In order: literals before parameters at each place.
    patterns: Vec<(Route, String)>,
    /// The file that serves every path.
    alone: Option<String>,
}

/// The handler that a path resolves to, with its parameters.
#[derive(Debug)]
pub struct Found<'g> {
    /// The handler's file, by its name below the root.
    pub file: &'g str,
    /// The handler's entry in the generation.
    pub entry: &'g Entry,
    /// The route's parameters, each with the value that it matched.
    pub params: Vec<(String, String)>,
}

impl Generation {
    /// A table of these entries and aliases, and what could not be put into it.
    pub fn new(entries: BTreeMap<String, Entry>, aliases: &[Alias]) -> (Self, Vec<Fault>) {
        let mut generation = Self {
            entries,
            ..Self::default()
        };
        let mut problems = Vec::new();
        let mut patterns: BTreeMap<Route, String> = BTreeMap::new();
        for file in generation.entries.keys() {
            if file.starts_with(PAGES) {
                let message = format!(
                    "the server's own pages are at /{PAGES}: what answers a plain GET there is not \
                    {file}, only \
                     WebSocket connections reach it; rename the folder"
                );
                problems.push(Fault::of_file(file, message).into_warning());
            }
            for route in Route::of_file(file) {
                let first = match route.as_literal() {
                    Some(path) => generation
                        .literal
                        .entry(path)
                        .or_insert_with(|| file.clone()),
                    None => patterns
                        .entry(route.clone())
                        .or_insert_with(|| file.clone()),
                };
                if first != file {
                    let message = format!(
                        "{file} and {first} are both {route}; {first} serves it: rename one of them"
                    );
                    problems.push(Fault::of_file(file, message).into_warning());
                }
            }
        }
        for alias in aliases {
            let (path, existing) = (&alias.path, &alias.existing);
            match generation.literal.get(existing).cloned() {
                Some(file) => {
                    generation.literal.insert(path.clone(), file);
                }
                None => problems.push(alias.dangling()),
            }
        }
        generation.patterns = patterns.into_iter().collect();
        (generation, problems)
    }

    /// The same with one handler for every path.
    pub fn served_by(mut self, alone: Option<&str>) -> Self {
        self.alone = alone.map(str::to_owned);
        self
    }

    /// The handlers with hooks of their own, which run once in the process.
    pub fn services(&self) -> BTreeMap<String, Arc<Source>> {
        let own = [Hook::OnLoad, Hook::OnInterval];
        let entries = self.entries.iter();
        entries
            .filter(|(_, entry)| entry.hooks.iter().any(|hook| own.contains(hook)))
            .filter_map(|(file, entry)| Some((file.clone(), Arc::clone(entry.source.as_ref()?))))
            .collect()
    }

    /// The handler of a decoded path.
    pub fn find(&self, path: &str) -> Option<Found<'_>> {
        if let Some(file) = self.alone.as_ref().or_else(|| self.literal.get(path)) {
            return Some(Found {
                file,
                entry: self.entries.get(file)?,
                params: Vec::new(),
            });
        }
        self.patterns.iter().find_map(|(route, file)| {
            let params = route.matches(path)?;
            Some(Found {
                file,
                entry: self.entries.get(file)?,
                params,
            })
        })
    }

    /// The path that is served and most like this one, which is not: the same but for case, slashes
    /// or a file's ending, or a few letters away.
    pub fn nearest(&self, path: &str) -> Option<String> {
        /// Letters of a path, and paths, that are looked at: whoever asks for what is not there is
        /// not to cost much.
        const LONGEST: usize = 100;
        const MOST: usize = 1_000;
        if path.len() > LONGEST {
            return None;
        }
        let bare = |path: &str| {
            let parts: Vec<_> = path.split('/').filter(|part| !part.is_empty()).collect();
            let path = parts.join("/").to_lowercase();
            let path = path.strip_suffix(".rhai").unwrap_or(&path);
            path.strip_suffix("_wsh").unwrap_or(path).to_owned()
        };
        let wanted = bare(path);
        let far = (wanted.chars().count() / 3).max(1);
        let near = |known: &String| {
            let steps = strsim::osa_distance(&wanted, &bare(known));
            (steps <= far && known != path).then_some(steps)
        };
        let known = self.literal.keys().take(MOST);
        let found = known.filter_map(|known| Some((near(known)?, known)));
        let (_, path) = found.min_by_key(|(steps, known)| (*steps, known.len(), *known))?;
        Some(path.clone())
    }

    /// Every path with its file, in order.
    pub fn routes(&self) -> Vec<(String, &str)> {
        let literal = self
            .literal
            .iter()
            .map(|(path, file)| (path.clone(), file.as_str()));
        let mut routes: Vec<_> = literal
            .chain(
                self.patterns
                    .iter()
                    .map(|(route, file)| (route.to_string(), file.as_str())),
            )
            .collect();
        routes.sort();
        routes
    }

    /// A table for people: path, file, hooks.
    pub fn table(&self) -> String {
        let routes = self.routes();
        let width = |of: fn(&(String, &str)) -> usize| routes.iter().map(of).max().unwrap_or(0);
        let (path_width, file_width) = (width(|route| route.0.len()), width(|route| route.1.len()));
        let mut table = String::new();
        for (path, file) in &routes {
            let hooks = match &self.entries[*file] {
                Entry { source: None, .. } => "broken: see the log".to_owned(),
                entry => {
                    let names: Vec<_> = entry.hooks.iter().map(|hook| hook.name()).collect();
                    let is_loop = entry.hooks.contains(&Hook::TransferLoop);
                    let note = if is_loop {
                        " (a loop: keeps its version)"
                    } else {
                        ""
                    };
                    names.join(" ") + note
                }
            };
            let _ = writeln!(table, "  {path:path_width$}  {file:file_width$}  {hooks}");
        }
        table
    }
}
