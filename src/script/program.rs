//! A source compiled on a worker: its hooks, its constants, and call frames that are used again.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use rhai::{
    AST, ASTNode, Caches, Dynamic, Engine, EvalAltResult, EvalContext, Expr, Expression,
    GlobalRuntimeState, ImmutableString, Position, Scope, StmtBlock,
};

use super::error::{Fault, stopped};
use super::hooks::{HOOKS, Hook, HookInfo};
use super::meter::{self, Stop};
use super::{Limits, engine::engine};

/// A handler's file as read: what crosses threads, since a compiled script belongs to one worker.
#[derive(Debug, PartialEq, Eq)]
pub struct Source {
    /// The file's name below the handler folder, with `/`.
    pub file: String,
    /// What it says.
    pub text: String,
    /// Counts the versions of this file that were served.
    pub version: u64,
}

/// Compiles and tries a source off the workers, as they will: the hooks it defines, and warnings.
///
/// `Err` is the fault that keeps it from serving.
pub fn check(source: &Arc<Source>, limits: &Limits) -> Result<(Vec<Hook>, Vec<String>), Fault> {
    thread_local! {
        static ENGINE: RefCell<Option<Rc<Engine>>> = const { RefCell::new(None) };
    }
    let engine = ENGINE.with(|slot| {
        Rc::clone(
            slot.borrow_mut()
                .get_or_insert_with(|| Rc::new(engine(limits))),
        )
    });
    meter::start(Hook::TransferData.budget(limits));
    let program = Program::compile(&engine, source, limits)?;
    let hooks = HOOKS
        .iter()
        .map(|info| info.hook)
        .filter(|hook| program.has(*hook))
        .collect();
    Ok((hooks, program.warnings()))
}

/// A compiled source with everything a call needs at hand.
#[derive(Debug)]
pub struct Program {
    /// What it was compiled from.
    pub source: Arc<Source>,
    engine: Rc<Engine>,
    ast: AST,
    hooks: [Option<Body>; HOOKS.len()],
    constants: Rc<RefCell<BTreeMap<ImmutableString, Dynamic>>>,
    /// Frames that no call uses now, one for each call that has ever run at the same time.
    #[allow(
        clippy::vec_box,
        reason = "a frame is a kilobyte, and is taken and put back by every call"
    )]
    frames: RefCell<Vec<Box<Frame>>>,
}

/// A hook's function, taken out of the script so that a call neither looks for its name nor checks its arguments.
#[derive(Debug)]
struct Body {
    params: Vec<ImmutableString>,
    statements: Expr,
    start: Position,
}

impl Body {
    fn of(ast: &AST, info: &HookInfo) -> Option<Self> {
        let is_hook = |name: &str, params: usize| name == info.name && params == info.params.len();
        let defined = ast
            .iter_fn_def()
            .find(|defined| is_hook(&defined.name, defined.params.len()))?;
        let start = defined.body.start_position();
        // Rhai does not name the type of a function's body, but walks through an AST that has no other function.
        let mut statements = Vec::new();
        let mut alone = ast.clone_functions_only();
        alone.retain_functions(|_, _, name, params| is_hook(name, params));
        alone.walk(&mut |path| {
            if let [ASTNode::Stmt(statement)] = path {
                statements.push((*statement).clone());
            }
            true
        });
        let block = StmtBlock::new(statements, start, defined.body.end_position());
        Some(Self {
            params: defined.params.to_vec(),
            statements: Expr::Stmt(block.into()),
            start,
        })
    }
}

/// What Rhai needs to run one call; used again, so that functions are looked up once and not in every call.
#[derive(Debug)]
struct Frame {
    global: GlobalRuntimeState,
    caches: Caches,
    scope: Scope<'static>,
}

impl Program {
    /// Compiles a source and runs its top level, which may only define constants and functions for the hooks.
    pub fn compile(
        engine: &Rc<Engine>,
        source: &Arc<Source>,
        limits: &Limits,
    ) -> Result<Self, Fault> {
        if source.text.len() > limits.source {
            let message = format!(
                "the file has more than {} bytes: move functions to a file of their own",
                limits.source
            );
            return Err(Fault::new(source, Position::NONE, message));
        }
        let mut ast = engine.compile(&source.text).map_err(|error| {
            let text = error.err_type().to_string();
            Fault::new(source, error.position(), text)
        })?;
        ast.set_source(&source.file);
        let mut scope = Scope::new();
        engine
            .run_ast_with_scope(&mut scope, &ast)
            .map_err(|error| Fault::from_run(source, &error, Position::NONE))?;
        let constants = scope
            .iter()
            .filter(|(_, constant, _)| *constant)
            .map(|(name, _, value)| (name.into(), value));
        let program = Self {
            hooks: HOOKS.each_ref().map(|info| Body::of(&ast, info)),
            constants: Rc::new(RefCell::new(constants.collect())),
            source: Arc::clone(source),
            engine: Rc::clone(engine),
            frames: RefCell::default(),
            ast,
        };
        if !program.has(Hook::TransferData) {
            let message = "no fn transfer_data(ws, message): a handler needs it to answer messages";
            return Err(Fault::new(source, Position::NONE, message));
        }
        Ok(program)
    }

    /// Whether the script defines this hook.
    pub fn has(&self, hook: Hook) -> bool {
        self.hooks[hook as usize].is_some()
    }

    /// Functions that were probably meant to be hooks, and would never be called.
    fn warnings(&self) -> Vec<String> {
        self.ast
            .iter_functions()
            .filter_map(|defined| misshapen(defined.name, &defined.params))
            .collect()
    }

    /// Calls a hook with `state` as its `this`; one that is not defined gives `()`. The arguments are consumed.
    pub fn call(
        &self,
        hook: Hook,
        state: &mut Dynamic,
        args: &mut [Dynamic],
    ) -> Result<Dynamic, Box<EvalAltResult>> {
        let Some(body) = &self.hooks[hook as usize] else {
            return Ok(Dynamic::UNIT);
        };
        let mut frame = self
            .frames
            .borrow_mut()
            .pop()
            .unwrap_or_else(|| self.frame());
        let Frame {
            global,
            caches,
            scope,
        } = &mut *frame;
        for (name, value) in body.params.iter().zip(args) {
            scope.push_dynamic(name.clone(), std::mem::take(value));
        }
        let mut context = EvalContext::new(&self.engine, global, caches, scope, Some(state));
        #[allow(deprecated, reason = "Rhai marks its volatile interfaces so")]
        let value =
            match context.eval_expression_tree_raw(&Expression::from(&body.statements), true) {
                Ok(value) => value,
                Err(error) => match *error {
                    EvalAltResult::Return(value, _) | EvalAltResult::Exit(value, _) => value,
                    // The frame that an error went through is left in the middle of something.
                    error => return Err(error.into()),
                },
            };
        scope.clear();
        global.num_operations = 0;
        self.frames.borrow_mut().push(frame);
        Ok(value)
    }

    /// What a failed call is reported as; `None` when it was ended because its peer is gone.
    pub fn fault(&self, hook: Hook, error: &EvalAltResult) -> Option<Fault> {
        (stopped(error) != Some(Stop::Cancelled))
            .then(|| Fault::from_run(&self.source, error, self.start_of(hook)))
    }

    /// A fault of a hook as a whole.
    pub fn fault_in(&self, hook: Hook, message: String) -> Fault {
        Fault::new(&self.source, self.start_of(hook), message)
    }

    fn start_of(&self, hook: Hook) -> Position {
        self.hooks[hook as usize]
            .as_ref()
            .map_or(Position::NONE, |body| body.start)
    }

    fn frame(&self) -> Box<Frame> {
        let mut global = self.engine.new_global_runtime_state();
        global.source = Some(self.source.file.as_str().into());
        global.lib.push(self.ast.shared_lib().clone());
        global.constants = Some(Rc::clone(&self.constants));
        Box::new(Frame {
            global,
            caches: Caches::new(),
            scope: Scope::new(),
        })
    }
}

/// How like a hook's name another must be to be taken for it, from 0 to 1.
const LIKE: f64 = 0.9;

/// What is wrong with a function that has a hook's name and other parameters, or nearly a hook's name.
fn misshapen(name: &str, params: &[&str]) -> Option<String> {
    let shape = |params: &[&str]| params.join(", ");
    if let Some(info) = HOOKS.iter().find(|info| info.name == name) {
        let (found, wanted) = (shape(params), shape(info.params));
        return (info.params.len() != params.len()).then(|| {
            format!("fn {name}({found}) is never called: the hook is fn {name}({wanted})")
        });
    }
    let likeness = |hook: &str| strsim::jaro_winkler(hook, name);
    let nearest = HOOKS
        .iter()
        .max_by(|a, b| likeness(a.name).total_cmp(&likeness(b.name)))?;
    let (hook, wanted) = (nearest.name, shape(nearest.params));
    (likeness(hook) > LIKE || name.starts_with("on_"))
        .then(|| format!("fn {name} is no hook and is never called by the server: did you mean fn {hook}({wanted})?"))
}
