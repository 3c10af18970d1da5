//! A worker's compiler: texts to what runs, or to what is wrong with them.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::sync::Arc;

use rhai::{AST, Dynamic, Engine, EvalAltResult, Position, Scope};

use super::api::store;
use super::coverage::Coverage;
use super::engine::engine;
use super::fault::{Fault, hint};
use super::{Limits, lost};
use crate::config::Evaluator;
use crate::config::StandardHook;
use crate::machine::budget::Budget;
use crate::machine::host::Host;
use crate::machine::modules::{self, Environment, Imports, Resolver, SharedModule};
use crate::machine::source::{ModuleText, Source};

/// What the name of a file of tests ends with.
const TESTS: &str = "_test.rhai";

/// A thread's engine, and the modules that it has compiled: handlers share them.
#[derive(Debug)]
pub struct Compiler {
    /// Engine that all scripts of the thread run on.
    pub engine: Rc<Engine>,
    /// The bounds of scripts.
    pub limits: Limits,
    /// Whether they may break the protocol.
    pub allow_raw: bool,
    /// Hooks that a handler has unless it defines them.
    pub standard: Arc<[StandardHook]>,
    /// What runs hooks.
    pub evaluator: Evaluator,
    /// Whether a run lets others go first while it computes.
    yields: bool,
    /// Compiled modules, or the faults that keep them from being compiled, by version.
    modules: RefCell<HashMap<u64, Result<SharedModule, Fault>>>,
    /// Where it is told which lines have run, if anybody asks.
    coverage: Option<Arc<Coverage>>,
}

impl Compiler {
    /// A compiler with an engine of this host.
    pub fn new(host: &Host) -> Self {
        let mut engine = engine(host);
        engine.set_module_resolver(Resolver);
        let coverage = host.service::<Arc<Coverage>>();
        let coverage = coverage.map(|coverage| Arc::clone(&*coverage));
        if let Some(coverage) = &coverage {
            coverage.register(&mut engine);
        }
        Self {
            engine: Rc::new(engine),
            limits: host.settings.limits,
            allow_raw: host.settings.allow_raw,
            standard: Arc::clone(&host.settings.standard),
            evaluator: host.settings.evaluator,
            yields: !host.clock.is_simulated(),
            modules: RefCell::default(),
            coverage,
        }
    }

    /// A handler's text with the hooks that it has without defining them, behind its own lines;
    /// `None` if it has none.
    pub fn completed(&self, text: &str, ast: &AST) -> Option<String> {
        let is_missing = |hook: &&StandardHook| {
            let mut functions = ast.iter_fn_def();
            !functions.any(|function| function.name == hook.name)
        };
        let mut missing = self.standard.iter().filter(is_missing).peekable();
        missing.peek()?;
        let mut whole = text.to_owned();
        for hook in missing {
            whole.push('\n');
            whole.push_str(&hook.text);
        }
        Some(whole)
    }

    /// What a run may use up between two waits.
    pub fn budget(&self) -> Budget {
        Budget {
            time: self.limits.budget,
            operations: self.limits.operations,
            memory: self.limits.memory,
            yields: self.yields,
        }
    }

    /// Parses a file.
    pub fn parse(&self, file: &str, text: &str) -> Result<AST, Fault> {
        if text.len() > self.limits.source {
            let message = format!(
                "the file has more than {} bytes: move functions to a file of their own, and \
                import it",
                self.limits.source
            );
            return Err(Fault::new(file, text, Position::NONE, message));
        }
        // Names that are known without being defined.
        let mut known = Scope::new();
        known.push_constant_dynamic(store::VARIABLE, Dynamic::UNIT);
        let parsed = self.engine.compile_with_scope(&known, text);
        let mut ast = parsed.map_err(|error| {
            let hint = hint::of_parse(&self.engine, text, &error);
            Fault::from_parse(file, text, &error).with_hint(hint)
        })?;
        ast.set_source(file);
        match lost::find(&ast) {
            Some(lost) => {
                let fault = Fault::new(file, text, lost.position, lost.message);
                Err(fault.with_hint(Some(lost.hint)))
            }
            None => Ok(self.covered(&known, file, text, ast)),
        }
    }

    /// The same script, which tells what has run of it; tests are none of it.
    fn covered(&self, known: &Scope<'_>, file: &str, text: &str, ast: AST) -> AST {
        let asked = self.coverage.as_ref();
        let Some(coverage) = asked.filter(|_| !file.ends_with(TESTS)) else {
            return ast;
        };
        let marked = coverage.mark(&self.engine, &ast, file, text);
        match self.engine.compile_with_scope(known, &marked) {
            Ok(mut marked) => {
                marked.set_source(file);
                marked
            }
            // It runs as it is.
            Err(_) => {
                coverage.forget(file);
                ast
            }
        }
    }

    /// Runs a handler's top level, with the modules of its source.
    pub fn run(&self, source: &Source, ast: &AST) -> Result<Environment, Fault> {
        let mut known = BTreeMap::new();
        for module in &source.modules {
            let compiled = self.module(source, module, &known)?;
            known.insert(module.name().to_owned(), compiled);
        }
        self.run_top_level(ast, Imports(known.into()))
            .map_err(|error| self.fault(source, &source.file, &error))
    }

    /// A module of a source, compiled with those before it.
    fn module(
        &self,
        source: &Source,
        module: &Arc<ModuleText>,
        before: &BTreeMap<String, SharedModule>,
    ) -> Result<SharedModule, Fault> {
        let compiled = self.modules.borrow().get(&module.version).cloned();
        compiled.unwrap_or_else(|| {
            let imports = before
                .iter()
                .filter(|(name, _)| module.imports.contains(*name))
                .map(|(name, module)| (name.clone(), Rc::clone(module)))
                .collect();
            let compiled = self.parse(&module.file, &module.text).and_then(|ast| {
                self.run_top_level(&ast, Imports(Rc::new(imports)))
                    .and_then(|world| modules::exports(&ast, world, self.limits.depth))
                    .map(SharedModule::from)
                    .map_err(|error| self.fault(source, &module.file, &error))
            });
            self.modules
                .borrow_mut()
                .insert(module.version, compiled.clone());
            compiled
        })
    }

    /// A fault of a file's top level.
    fn fault(&self, source: &Source, file: &str, error: &EvalAltResult) -> Fault {
        let fault = Fault::from_run(source, file, error, Position::NONE);
        let hint = hint::of_run(&self.engine, source, &fault.file, error);
        fault.with_hint(hint)
    }

    fn run_top_level(
        &self,
        ast: &AST,
        imports: Imports,
    ) -> Result<Environment, Box<EvalAltResult>> {
        modules::run_top_level(&self.engine, ast, imports, self.limits.depth)
    }

    /// Forgets modules that nobody uses any more.
    pub fn tidy(&self) {
        self.modules
            .borrow_mut()
            .retain(|_, module| matches!(module, Ok(module) if Rc::strong_count(module) > 1));
    }
}
