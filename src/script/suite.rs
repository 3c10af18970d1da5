//! One test of a file of tests, as a fiber runs it.

use std::rc::Rc;
use std::sync::Arc;

use rhai::{Caches, Dynamic, EvalAltResult, EvalContext, Expression, Map, Position, Scope};

use super::caller::{self, Caller, Served};
use super::compiler::Compiler;
use super::fault::{Fault, hint};
use super::hooks::{Hook, HookSet};
use super::owner::Owner;
use super::program::Body;
use crate::machine::budget::Stop;
use crate::machine::meter;
use crate::machine::source::Source;

/// What a test failed for that the server itself failed at.
pub(super) const PANIC: &str = "the server failed while it ran this test: that is a fault of the \
    server, please report it";

/// A test that is to run.
#[derive(Debug)]
pub struct Test {
    compiler: Rc<Compiler>,
    /// The file that it is in.
    pub source: Arc<Source>,
    name: String,
}

impl Test {
    /// The test of this name.
    pub fn new(compiler: &Rc<Compiler>, source: &Arc<Source>, name: &str) -> Self {
        Self {
            compiler: Rc::clone(compiler),
            source: Arc::clone(source),
            name: name.to_owned(),
        }
    }

    /// Compiles the file and runs the test; the fault that it fails for.
    pub fn run(&self) -> Result<(), Fault> {
        let (compiler, source) = (&self.compiler, &self.source);
        meter::start(compiler.budget());
        let ast = compiler.parse(&source.file, &source.text)?;
        let (mut global, _) = compiler.run(source, &ast)?;
        let Some(body) = Body::of(&ast, &self.name, 0) else {
            let message = format!("there is no fn {}()", self.name);
            return Err(Fault::of_file(&source.file, message));
        };
        let caller = Caller::new(Hook::OnLoad, &Owner::handler(), [Dynamic::UNIT; 4]);
        let _ = caller.served.set(Rc::new(Served {
            source: Arc::clone(source),
            own: format!("file:{}", source.file).into(),
            hooks: HookSet::default(),
        }));
        let (mut caches, mut scope) = (Caches::new(), Scope::new());
        let mut this = Dynamic::from(Map::new());
        let engine = &compiler.engine;
        meter::start(compiler.budget());
        let result = caller::with(&caller, || {
            let this = Some(&mut this);
            let mut context = EvalContext::new(engine, &mut global, &mut caches, &mut scope, this);
            #[allow(deprecated, reason = "Rhai marks its volatile interfaces so")]
            context.eval_expression_tree_raw(&Expression::from(&body.statements), true)
        });
        match result.map_err(|error| *error) {
            Ok(_) | Err(EvalAltResult::Return(..) | EvalAltResult::Exit(..)) => Ok(()),
            Err(error) => Err(self.fault(&error, body.start)),
        }
    }

    fn fault(&self, error: &EvalAltResult, start: Position) -> Fault {
        let source = &self.source;
        let fault = Fault::from_run(source, &source.file, error, start);
        if Stop::of(error) == Some(Stop::Cancelled) {
            let message = "the test had no end in its time: this is where it waits".into();
            return Fault { message, ..fault };
        }
        let hint = hint::of_run(&self.compiler.engine, source, &fault.file, error);
        fault.with_hint(hint)
    }
}
