//! Handlers with their modules: the texts of a folder to sources that serve, or to what is wrong
//! with them.
//!
//! Workers never look at the folder: a source carries everything that it imports, found and tried
//! here. So the path of an import must be known before anything runs, and what imports each other
//! is found without running in circles.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;

use rhai::{AST, ASTNode, Expr, Position, Stmt};

use super::compiler::Compiler;
use super::doubts;
use super::fault::{Fault, Location, hint};
use super::hooks::{HOOKS, Hook};
use super::program::Program;
use super::resolve::{self, Dangling, Natives, References};
use crate::machine::host::Host;
use crate::machine::meter;
use crate::machine::source::{ModuleText, SUFFIX, Source};
use crate::observe::event::Event;
use crate::text::NotUtf8;

/// The modules of a folder, by name.
#[derive(Debug, Default)]
pub struct Library {
    texts: HashMap<String, Result<String, Unreadable>>,
    /// Modules whose imports have been found, each behind those: until one of them changes.
    linked: HashMap<String, Vec<Arc<ModuleText>>>,
    versions: u64,
}

impl Library {
    /// A module's file has this text, or cannot be read for this reason, or is not there.
    pub fn set(&mut self, name: &str, text: Option<Result<String, Unreadable>>) {
        self.linked
            .retain(|_, modules| modules.iter().all(|module| module.name() != name));
        match text {
            Some(text) => self.texts.insert(name.to_owned(), text),
            None => self.texts.remove(name),
        };
    }

    /// Returns the message about a module that does not exist.
    fn missing(&self, name: &str) -> String {
        let last = |path: &str| path.rsplit('/').next().map(str::to_owned);
        let mut alike: Vec<_> = self
            .texts
            .keys()
            .filter(|known| last(known) == last(name))
            .collect();
        alike.sort();
        let hint = match alike.first() {
            Some(known) => format!("; there is {known:?}: paths begin at the handler folder"),
            None => String::new(),
        };
        format!("no module {name:?}: the handler folder has no file {name}{SUFFIX}{hint}")
    }
}

/// Reason why a file has no text, and the line that it is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    why: String,
    location: Option<Location>,
}

impl Unreadable {
    fn fault(&self, file: &str) -> Fault {
        Fault {
            location: self.location.clone(),
            ..Fault::of_file(file, &*self.why)
        }
    }
}

impl From<String> for Unreadable {
    fn from(why: String) -> Self {
        let location = None;
        Self { why, location }
    }
}

impl From<io::Error> for Unreadable {
    fn from(error: io::Error) -> Self {
        let cause = error.get_ref();
        let location = cause.and_then(|cause| cause.downcast_ref::<NotUtf8>());
        Self {
            why: error.to_string(),
            location: location.map(|wrong| Location {
                line: wrong.line,
                column: wrong.column,
                text: wrong.excerpt.as_str().into(),
            }),
        }
    }
}

/// A handler that serves.
#[derive(Debug)]
pub struct Tried {
    /// Its file with all its modules.
    pub source: Arc<Source>,
    /// The hooks that it defines.
    pub hooks: Vec<Hook>,
    /// Warnings about what is probably not meant.
    pub warnings: Vec<Fault>,
}

/// Result of trying a handler.
#[derive(Debug)]
pub struct Checked {
    /// The handler that serves, or the fault that keeps it from serving.
    pub result: Result<Tried, Fault>,
    /// What else keeps it from serving, behind that fault.
    pub more: Vec<Fault>,
    /// The modules that it asked for, also those that are not there: when one changes, it must be
    /// tried again.
    pub asked: BTreeSet<String>,
    /// Whether the fault is that its files do not fit together: it refers to a module, or to
    /// something in a module, that is not there. The other file may be about to be saved.
    pub is_apart: bool,
}

/// A file of tests.
#[derive(Debug)]
pub struct Tests {
    /// The file with all its modules.
    pub source: Arc<Source>,
    /// The tests in it, in the order in which they stand there, each with its line.
    pub names: Vec<(String, usize)>,
}

/// What the name of a test begins with.
const TEST: &str = "test_";

/// References that lead nowhere, of which a handler is told at once, behind the first.
const DOUBTFUL: usize = 10;

/// Message about a file that makes the server itself fail.
const PANIC: &str = "the server failed while it compiled this file: that is a fault of the server, \
    please report it";

/// Reason why a handler does not serve.
struct Broken {
    fault: Box<Fault>,
    more: Vec<Fault>,
    is_apart: bool,
}

impl From<Fault> for Broken {
    fn from(fault: Fault) -> Self {
        Self {
            fault: fault.into(),
            more: Vec::new(),
            is_apart: false,
        }
    }
}

/// Compiles and tries handlers off the workers, as they will.
#[derive(Debug)]
pub struct Checker<'l> {
    compiler: Compiler,
    library: &'l mut Library,
    /// Functions of the engine, which files may refer to besides.
    natives: Natives,
    /// The modules seen so far, so that one that does not compile is parsed once for all who ask
    /// for it.
    read: HashMap<String, Result<Read, Fault>>,
}

/// Imports, references and doubts that are read in a module's text.
#[derive(Debug, Clone)]
struct Read {
    imports: Vec<Import>,
    references: Rc<References>,
    doubts: Rc<[Fault]>,
}

/// An import statement.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Import {
    position: Position,
    name: String,
}

/// A file whose imports are being followed.
#[derive(Clone, Copy)]
struct Importer<'a> {
    file: &'a str,
    text: &'a str,
    imports: &'a [Import],
}

impl Importer<'_> {
    fn fault(&self, import: &Import, message: String) -> Fault {
        Fault::new(self.file, self.text, import.position, message)
    }
}

impl<'l> Checker<'l> {
    /// A checker for as long as the library does not change.
    pub fn new(host: &Host, library: &'l mut Library) -> Self {
        let compiler = Compiler::new(host);
        Self {
            natives: Natives::of(&compiler.engine),
            compiler,
            library,
            read: HashMap::new(),
        }
    }

    /// Compiles and tries a handler of this text, or reports why there is none.
    pub fn check(
        &mut self,
        file: &str,
        text: &Result<String, Unreadable>,
        version: u64,
    ) -> Checked {
        meter::start(self.compiler.budget());
        let mut asked = BTreeSet::new();
        let result = match text {
            // One file that the compiler or a hint fails at is not to be the last that is ever
            // reloaded.
            Ok(text) => catch_unwind(AssertUnwindSafe(|| {
                self.try_handler(file, text, version, &mut asked)
            }))
            .unwrap_or_else(|_| Err(Fault::new(file, "", Position::NONE, PANIC).into())),
            Err(unreadable) => Err(unreadable.fault(file).into()),
        };
        let (result, more, is_apart) = match result {
            Ok(tried) => (Ok(tried), Vec::new(), false),
            Err(broken) => (Err(*broken.fault), broken.more, broken.is_apart),
        };
        Checked {
            result,
            more,
            asked,
            is_apart,
        }
    }

    /// Reads a file of tests, or says what is wrong with it.
    pub fn tests(&mut self, file: &str, text: &Result<String, Unreadable>) -> Result<Tests, Fault> {
        meter::start(self.compiler.budget());
        match text {
            Ok(text) => self.read_tests(file, text).map_err(|broken| *broken.fault),
            Err(unreadable) => Err(unreadable.fault(file)),
        }
    }

    /// Returns what is wrong with a module as it stands, if anything is.
    pub fn module_alone(&mut self, file: &str, text: &str) -> Option<Fault> {
        meter::start(self.compiler.budget());
        let read = self.read_alone(file, text);
        read.err().map(|broken| *broken.fault)
    }

    /// Parses a file that is no handler, with what it imports, and looks up what it refers to.
    fn read_alone(&mut self, file: &str, text: &str) -> Result<(Arc<Source>, AST), Broken> {
        let ast = self.compiler.parse(file, text)?;
        let importer = Importer {
            file,
            text,
            imports: &imports(file, text, &ast)?,
        };
        let modules = self.link(importer, &mut Vec::new(), &mut BTreeSet::new())?;
        let source = Arc::new(Source {
            file: file.to_owned(),
            text: text.to_owned(),
            version: 1,
            modules,
        });
        let (dangling, _) = self.resolve(&source, &ast)?;
        if let Some(fatal) = dangling.iter().find(|dangling| dangling.is_fatal) {
            return Err(self.in_words(&source, fatal).into());
        }
        Ok((source, ast))
    }

    fn read_tests(&mut self, file: &str, text: &str) -> Result<Tests, Broken> {
        let (source, ast) = self.read_alone(file, text)?;
        let mut names = Vec::new();
        for function in ast.iter_fn_def() {
            if !function.name.starts_with(TEST) {
                continue;
            }
            let start = function.body.start_position();
            if !function.params.is_empty() {
                let message = format!("a test takes no arguments: fn {}()", function.name);
                return Err(Fault::new(file, text, start, message).into());
            }
            names.push((function.name.to_string(), start.line().unwrap_or(0)));
        }
        // Functions come in no order of their own.
        names.sort_by_key(|(_, line)| *line);
        Ok(Tests { source, names })
    }

    fn try_handler(
        &mut self,
        file: &str,
        text: &str,
        version: u64,
        asked: &mut BTreeSet<String>,
    ) -> Result<Tried, Broken> {
        let mut ast = self.compiler.parse(file, text)?;
        let completed = self.compiler.completed(text, &ast);
        let text = match &completed {
            Some(whole) => {
                ast = self.compiler.parse(file, whole)?;
                whole
            }
            None => text,
        };
        let importer = Importer {
            file,
            text,
            imports: &imports(file, text, &ast)?,
        };
        let modules = self.link(importer, &mut Vec::new(), asked)?;
        let source = Arc::new(Source {
            file: file.to_owned(),
            text: text.to_owned(),
            version,
            modules,
        });
        let (dangling, mut warnings) = self.resolve(&source, &ast)?;
        let fatal = || dangling.iter().filter(|dangling| dangling.is_fatal);
        // What another file will not mend goes first.
        let mut certain = fatal().filter(|fatal| !fatal.is_in_module);
        if let Some(first) = certain.next() {
            return Err(Broken {
                more: self.more(&source, certain),
                ..Broken::from(self.in_words(&source, first))
            });
        }
        let fatal = fatal().next();
        let program = Program::new(&self.compiler, &source, ast);
        if let Some(fatal) = fatal {
            return Err(match program {
                // A module whose top level fails offers nothing.
                Err(cause) if cause.file != file && !is_told(&dangling, &cause) => cause.into(),
                _ => Broken {
                    fault: self.in_words(&source, fatal).into(),
                    more: Vec::new(),
                    is_apart: true,
                },
            });
        }
        let program = program?;
        let doubtful = dangling.iter().take(DOUBTFUL);
        warnings.extend(doubtful.map(|one| self.in_words(&source, one).into_warning()));
        warnings.extend(program.warnings(self.compiler.allow_raw));
        for (function, left) in program.left() {
            Event::LeftToRhai {
                handler: file,
                function,
                line: left.position.line().map_or(0, |line| line as u64),
                what: left.what,
            }
            .tell();
        }
        let hooks = HOOKS.iter().map(|info| info.hook);
        Ok(Tried {
            source,
            hooks: hooks.filter(|hook| program.has(*hook)).collect(),
            warnings,
        })
    }

    /// Looks up what a source refers to: what is not there, and warnings of what is there and
    /// doubtful.
    fn resolve(
        &mut self,
        source: &Source,
        ast: &AST,
    ) -> Result<(Vec<Dangling>, Vec<Fault>), Fault> {
        let (mut modules, mut doubts) = (HashMap::new(), Vec::new());
        for module in &source.modules {
            let read = self.read(module.name(), &module.text)?;
            doubts.extend(read.doubts.iter().cloned());
            let file = resolve::File {
                name: module.file.clone(),
                references: read.references,
            };
            modules.insert(module.name().to_owned(), file);
        }
        doubts.extend(doubts::of(&source.file, &source.text, ast));
        let handler = resolve::File {
            name: source.file.clone(),
            references: Rc::new(References::of(ast)),
        };
        doubts.extend(for_nobody(source, &handler.references));
        let resolved = resolve::resolve(&self.natives, &handler, &modules);
        if let Some((file, position, name)) = resolved.raw.first()
            && !self.compiler.allow_raw
        {
            let message = format!("`{name}` works with the flag --allow-raw only");
            let fault = Fault::new(file, source.text_of(file), *position, message);
            let hint = "whoever starts the server gives it: it lets handlers break the protocol";
            doubts.push(fault.with_hint(Some(hint.to_owned())).into_warning());
        }
        Ok((resolved.dangling, doubts))
    }

    /// Returns the fault for a reference that leads nowhere: the same as when it runs.
    fn in_words(&self, source: &Source, dangling: &Dangling) -> Fault {
        let Dangling { file, error, .. } = dangling;
        let fault = Fault::from_run(source, file, error, Position::NONE);
        fault.with_hint(hint::of_run(&self.compiler.engine, source, file, error))
    }

    /// Returns the faults of further references that lead nowhere.
    fn more<'d>(&self, source: &Source, rest: impl Iterator<Item = &'d Dangling>) -> Vec<Fault> {
        rest.take(DOUBTFUL)
            .map(|one| self.in_words(source, one))
            .collect()
    }

    /// Parses a module's text, once for all who ask for it.
    fn read(&mut self, name: &str, text: &str) -> Result<Read, Fault> {
        let compiler = &self.compiler;
        let read = self.read.entry(name.to_owned()).or_insert_with(|| {
            let file = format!("{name}{SUFFIX}");
            let ast = compiler.parse(&file, text)?;
            Ok(Read {
                imports: imports(&file, text, &ast)?,
                references: Rc::new(References::of(&ast)),
                doubts: doubts::of(&file, text, &ast).into(),
            })
        });
        read.clone()
    }

    /// Everything that a file imports, directly or not, each behind what it imports itself. `chain`
    /// leads from the handler to this file.
    fn link(
        &mut self,
        importer: Importer,
        chain: &mut Vec<String>,
        asked: &mut BTreeSet<String>,
    ) -> Result<Vec<Arc<ModuleText>>, Broken> {
        let mut linked: Vec<Arc<ModuleText>> = Vec::new();
        let limit = self.compiler.limits.modules;
        for import in importer.imports {
            asked.insert(import.name.clone());
            if let Some(begin) = chain.iter().position(|name| *name == import.name) {
                let circle = chain[begin..].join(" imports ");
                let message = format!("an import cycle: {circle} imports {}", import.name);
                return Err(importer.fault(import, message).into());
            }
            let too_many = || {
                Broken::from(importer.fault(
                    import,
                    format!("a handler imports at most {limit} modules, with theirs"),
                ))
            };
            if chain.len() == limit {
                return Err(too_many());
            }
            for module in self.module(importer, import, chain, asked)? {
                asked.insert(module.name().to_owned());
                if !linked.contains(&module) {
                    linked.push(module);
                }
            }
            if linked.len() > limit {
                return Err(too_many());
            }
        }
        Ok(linked)
    }

    /// A module behind everything that it imports.
    fn module(
        &mut self,
        importer: Importer,
        import: &Import,
        chain: &mut Vec<String>,
        asked: &mut BTreeSet<String>,
    ) -> Result<Vec<Arc<ModuleText>>, Broken> {
        let name = &import.name;
        if let Some(linked) = self.library.linked.get(name) {
            return Ok(linked.clone());
        }
        let text = match self.library.texts.get(name) {
            Some(Ok(text)) => text.clone(),
            Some(Err(why)) => {
                let message = format!("the module {name:?} cannot be read: {}", why.why);
                return Err(importer.fault(import, message).into());
            }
            None => {
                return Err(Broken {
                    fault: importer.fault(import, self.library.missing(name)).into(),
                    more: Vec::new(),
                    is_apart: true,
                });
            }
        };
        let file = format!("{name}{SUFFIX}");
        let imports = self.read(name, &text)?.imports;
        chain.push(name.clone());
        let importer = Importer {
            file: &file,
            text: &text,
            imports: &imports,
        };
        let mut linked = self.link(importer, chain, asked)?;
        chain.pop();
        self.library.versions += 1;
        linked.push(Arc::new(ModuleText {
            version: self.library.versions,
            imports: imports.into_iter().map(|import| import.name).collect(),
            file,
            text,
        }));
        self.library.linked.insert(name.clone(), linked.clone());
        Ok(linked)
    }
}

/// Returns warnings about values that hooks return as if somebody took them.
fn for_nobody(source: &Source, references: &References) -> Vec<Fault> {
    let mut warnings = Vec::new();
    for function in &references.functions {
        let is = |hook: Hook| {
            function.name == hook.name() && function.params == hook.info().params.len()
        };
        let (message, hint) = if is(Hook::TransferData) {
            (
                "what `transfer_data` returns is not sent",
                "`ws.send(…)` sends",
            )
        } else if is(Hook::DoExtraHandshake) {
            (
                "what `do_extra_handshake` returns is ignored",
                "`request.reject(403)` refuses a connection, and without it the connection is \
                accepted",
            )
        } else {
            continue;
        };
        warnings.extend(function.returned.first().map(|position| {
            let fault = Fault::new(&source.file, &source.text, *position, message);
            fault.with_hint(Some(hint.to_owned())).into_warning()
        }));
    }
    warnings
}

/// Whether a fault is in a line that a dangling reference stands in.
fn is_told(dangling: &[Dangling], fault: &Fault) -> bool {
    let line = fault.location.as_ref().map(|location| location.line);
    let mut told = dangling.iter();
    told.any(|told| told.file == fault.file && told.error.position().line() == line)
}

/// The imports of a file, in order.
fn imports(file: &str, text: &str, ast: &AST) -> Result<Vec<Import>, Fault> {
    let mut imports = Vec::new();
    ast.walk(&mut |path| {
        if let Some(ASTNode::Stmt(Stmt::Import(import, position))) = path.last() {
            imports.push(match &import.0 {
                Expr::StringConstant(name, position) => (*position, Some(name.to_string())),
                _ => (*position, None),
            });
        }
        true
    });
    // Functions come in no order of their own, and the first fault is the one that is told.
    imports.sort();
    let checked = imports.into_iter().map(|(position, name)| {
        let name = match name {
            Some(name) => check_name(&name).map(|()| name),
            None => Err(
                "an import's path must be a plain string: modules are loaded before anything runs"
                    .into(),
            ),
        };
        name.map(|name| Import { position, name })
            .map_err(|message| Fault::new(file, text, position, message))
    });
    checked.collect()
}

/// Checks a module's name in an import; the error says in a sentence what is wrong with it.
fn check_name(name: &str) -> Result<(), String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    let wrong = if name.starts_with('/') {
        "begins with /: paths begin at the handler folder"
    } else if name.split('/').any(|part| matches!(part, "." | "..")) {
        "has a . or .. in it: paths begin at the handler folder, and do not leave it"
    } else if name.split('/').any(str::is_empty) {
        "has an empty part"
    } else if !name.chars().all(|c| plain(c) || c == '/') {
        "may have only letters, digits, _, - and . between its slashes"
    } else if name.ends_with(SUFFIX) {
        "ends in .rhai: leave that out"
    } else if name.ends_with("_wsh") {
        "is a handler: move what both need to a module, and import that"
    } else {
        return Ok(());
    };
    Err(format!("the path {name:?} {wrong}"))
}
