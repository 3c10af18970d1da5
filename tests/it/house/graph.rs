//! Which file uses which: paths followed to where a thing is defined, through every re-export.

use std::collections::{BTreeMap, BTreeSet};
use std::{fs, path};

use super::source::{self, Module, Path};

/// Who uses whom, with a path that says so.
pub type Graph = BTreeMap<String, BTreeMap<String, String>>;

/// All sources of a crate.
pub struct House {
    modules: BTreeMap<Path, Module>,
    /// The text of each file.
    pub texts: BTreeMap<String, String>,
}

/// Where a path leads.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    Module(Path),
    /// Something that this module defines.
    Item(Path),
}

impl House {
    /// The sources of this crate, without the few lines of its program.
    pub fn read() -> Self {
        let root = path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let (mut folders, mut texts) = (vec![root.clone()], Vec::new());
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).expect("a folder") {
                let path = entry.expect("an entry").path();
                let file = path.strip_prefix(&root).expect("below src");
                let file = file.to_str().expect("UTF-8").to_owned();
                if path.is_dir() {
                    folders.push(path);
                } else if file.ends_with(".rs") && file != "main.rs" {
                    texts.push((file, fs::read_to_string(path).expect("a source file")));
                }
            }
        }
        Self::of(texts)
    }

    /// A crate that these files make up.
    pub fn of<F: Into<String>, T: Into<String>>(files: impl IntoIterator<Item = (F, T)>) -> Self {
        let texts = files.into_iter();
        let texts: BTreeMap<String, String> = texts.map(|(f, t)| (f.into(), t.into())).collect();
        let mut modules = BTreeMap::new();
        // Parents come before their children, and one that is there for tests has no parent here.
        let mut files: Vec<_> = texts.iter().map(|(f, t)| source::modules(f, t)).collect();
        files.sort_by_key(|found| found.keys().next().map_or(0, Vec::len));
        for found in files {
            let is_known = |path: &Path| {
                path.split_last().is_none_or(|(name, parent)| {
                    let parent: Option<&Module> = modules.get(parent);
                    parent.is_some_and(|parent| parent.children.contains(name))
                })
            };
            if found.keys().next().is_some_and(is_known) {
                modules.extend(found);
            }
        }
        Self { modules, texts }
    }

    /// Which files each file uses.
    pub fn files(&self) -> Graph {
        let mut graph = Graph::new();
        for (at, module) in &self.modules {
            let paths = module.paths.iter();
            let paths = paths.map(|path| (path, self.follow(at, path, &mut Vec::new())));
            let calls = module.calls.iter();
            let calls = calls.map(|path| (path, self.macro_of(at, path)));
            let uses = graph.entry(module.file.clone()).or_default();
            for (path, places) in paths.chain(calls) {
                for place in places {
                    // A module that is brought in is a word; what is used of it counts.
                    let Place::Item(home) = place else { continue };
                    let file = &self.modules[&home].file;
                    if *file != module.file {
                        uses.entry(file.clone()).or_insert_with(|| path.join("::"));
                    }
                }
            }
        }
        graph
    }

    /// For each module with modules right below it: which of these use which.
    pub fn siblings(&self) -> BTreeMap<Path, Graph> {
        let mut homes: BTreeMap<&str, &Path> = BTreeMap::new();
        for (at, module) in &self.modules {
            let home = homes.entry(&module.file).or_insert(at);
            if at.len() < home.len() {
                *home = at;
            }
        }
        let mut graphs: BTreeMap<Path, Graph> = BTreeMap::new();
        for (from, uses) in &self.files() {
            for (to, why) in uses {
                let (one, other) = (homes[from.as_str()], homes[to.as_str()]);
                let common = one.iter().zip(other).take_while(|(a, b)| a == b).count();
                if let (Some(one), Some(other)) = (one.get(common), other.get(common)) {
                    let graph = graphs.entry(homes[from.as_str()][..common].to_vec());
                    let uses = graph.or_default().entry(one.clone()).or_default();
                    let why = format!("{from} uses {why} of {to}");
                    uses.entry(other.clone()).or_insert(why);
                }
            }
        }
        graphs
    }

    /// The modules right below the root.
    pub fn top(&self) -> &BTreeSet<String> {
        &self.modules[&Path::new()].children
    }

    /// Where a path leads from a module. `asked`: what is being looked for already.
    fn follow(&self, from: &Path, path: &[String], asked: &mut Vec<(Path, String)>) -> Vec<Place> {
        let Some((first, rest)) = path.split_first() else {
            return Vec::new();
        };
        let mut places = match first.as_str() {
            "crate" => vec![Place::Module(Path::new())],
            "self" => vec![Place::Module(from.clone())],
            "super" => parent(from),
            name => self.find(from, name, asked),
        };
        for word in rest {
            let next = places.into_iter().flat_map(|place| match place {
                Place::Module(at) if word == "super" => parent(&at),
                Place::Module(at) => match self.find(&at, word, asked) {
                    // A macro may have made it.
                    found if found.is_empty() => vec![Place::Item(at)],
                    found => found,
                },
                // A variant, or something else that belongs to it.
                item @ Place::Item(_) => vec![item],
            });
            places = next.collect();
        }
        places
    }

    /// What a name stands for in a module: its own, what it brings in by name, or else by a glob.
    fn find(&self, at: &Path, name: &str, asked: &mut Vec<(Path, String)>) -> Vec<Place> {
        let question = (at.clone(), name.to_owned());
        if asked.contains(&question) {
            return Vec::new();
        }
        let module = &self.modules[at];
        let mut found = Vec::new();
        if module.items.contains(name) {
            found.push(Place::Item(at.clone()));
        }
        let child: Path = at.iter().cloned().chain([name.to_owned()]).collect();
        if self.modules.contains_key(&child) {
            found.push(Place::Module(child));
        }
        asked.push(question);
        if found.is_empty() {
            let named = module.names.iter().filter(|(known, _)| known == name);
            found = named
                .flat_map(|(_, path)| self.follow(at, path, asked))
                .collect();
        }
        if found.is_empty() {
            for glob in &module.globs {
                for place in self.follow(at, glob, asked) {
                    if let Place::Module(other) = place {
                        found.extend(self.find(&other, name, asked));
                    }
                }
            }
        }
        asked.pop();
        found
    }

    /// Where a macro is defined: above the module, or where its path leads.
    fn macro_of(&self, from: &Path, path: &[String]) -> Vec<Place> {
        if let [name] = path {
            let above = (0..=from.len()).rev().map(|length| from[..length].to_vec());
            let defines = |at: &Path| self.modules[at].macros.contains(name);
            if let Some(home) = above.into_iter().find(defines) {
                return vec![Place::Item(home)];
            }
        }
        self.follow(from, path, &mut Vec::new())
    }
}

fn parent(at: &Path) -> Vec<Place> {
    let above = at.split_last();
    above
        .map(|(_, above)| Place::Module(above.to_vec()))
        .into_iter()
        .collect()
}

/// The groups whose members all reach each other, each with the edges inside it.
pub fn circles(graph: &Graph) -> Vec<String> {
    let reached: BTreeMap<_, _> = graph
        .keys()
        .map(|from| (from, reach(graph, from)))
        .collect();
    let mut seen = BTreeSet::new();
    let mut circles = Vec::new();
    for (from, others) in &reached {
        if !others.contains(from) || seen.contains(from) {
            continue;
        }
        let is_back = |other: &&String| reached.get(other).is_some_and(|back| back.contains(from));
        let circle: BTreeSet<_> = others.iter().copied().filter(is_back).collect();
        let edges = circle.iter().flat_map(|from| {
            let inside = graph[*from].iter().filter(|(to, _)| circle.contains(to));
            inside.map(move |(to, why)| format!("\n  {from} → {to}: {why}"))
        });
        circles.push(format!(
            "{} in a circle:{}",
            circle.len(),
            edges.collect::<String>()
        ));
        seen.extend(circle);
    }
    circles
}

fn reach<'g>(graph: &'g Graph, from: &str) -> BTreeSet<&'g String> {
    let mut seen = BTreeSet::new();
    let mut next: Vec<_> = graph[from].keys().collect();
    while let Some(at) = next.pop() {
        if seen.insert(at) {
            next.extend(graph.get(at).into_iter().flat_map(BTreeMap::keys));
        }
    }
    seen
}
