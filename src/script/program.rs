//! A source compiled on a worker: its hooks, its constants, and call frames that are used again.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use rhai::{
    AST, Caches, Dynamic, Engine, EvalAltResult, EvalContext, Expr, Expression, GlobalRuntimeState,
    ImmutableString, Position, Scope, StmtBlock,
};

use super::api::form;
use super::caller::Served;
use super::compiler::Compiler;
use super::fault::outline::{Function, Outline};
use super::fault::{Fault, foreign, hint};
use super::hooks::{HOOKS, Hook, HookInfo};
use crate::config::Evaluator;
use crate::machine::budget::Stop;
use crate::machine::source::Source;
use crate::machine::tree::{self, Functions, Left, Run, Tree};

/// A compiled source with everything a call needs at hand.
#[derive(Debug)]
pub struct Program {
    /// Source that it was compiled from.
    pub source: Arc<Source>,
    /// What a running hook may ask about it.
    pub served: Rc<Served>,
    /// Whether it may ask an open connection for its request.
    pub keeps_requests: bool,
    engine: Rc<Engine>,
    hooks: [Option<Body>; HOOKS.len()],
    /// The hooks' functions and what they call, translated.
    functions: Functions,
    /// The numbers of the hooks' functions there.
    trees: [Option<usize>; HOOKS.len()],
    /// Module environment that a new frame begins with: the functions, and what the top level left
    /// for them.
    world: GlobalRuntimeState,
    /// Frames that no call uses now, one for each call that has ever run at the same time.
    #[allow(
        clippy::vec_box,
        reason = "a frame is a kilobyte, and is taken and put back by every call"
    )]
    frames: RefCell<Vec<Box<Frame>>>,
}

/// A hook's function, or a test's, taken out of the script so that a call neither looks for its
/// name nor checks its arguments.
#[derive(Debug)]
pub(super) struct Body {
    params: Vec<ImmutableString>,
    /// What it does.
    pub statements: Expr,
    /// Where that begins.
    pub start: Position,
}

impl Body {
    /// The function of this name with so many parameters.
    pub fn of(ast: &AST, name: &str, count: usize) -> Option<Self> {
        let is_it = |other: &str, params: usize| other == name && params == count;
        let defined = ast
            .iter_fn_def()
            .find(|defined| is_it(&defined.name, defined.params.len()))?;
        let start = defined.body.start_position();
        let statements = tree::statements(ast, name, count);
        let block = StmtBlock::new(statements, start, defined.body.end_position());
        Some(Self {
            params: defined.params.to_vec(),
            statements: Expr::Stmt(block.into()),
            start,
        })
    }
}

/// Rhai's state for running one call; used again, so that functions are looked up once and not in
/// every call.
#[derive(Debug)]
struct Frame {
    global: GlobalRuntimeState,
    caches: Caches,
    scope: Scope<'static>,
    /// The variables of a tree.
    slots: Vec<Dynamic>,
    /// Those of functions that it has called.
    spare: Vec<Vec<Dynamic>>,
}

impl Program {
    /// Compiles a source and runs its top level, which may only define constants and functions for
    /// the hooks.
    pub fn compile(compiler: &Compiler, source: &Arc<Source>) -> Result<Self, Fault> {
        let ast = compiler.parse(&source.file, &source.text)?;
        Self::new(compiler, source, ast)
    }

    /// The same with a source that has been parsed.
    pub fn new(compiler: &Compiler, source: &Arc<Source>, ast: AST) -> Result<Self, Fault> {
        let (world, _) = compiler.run(source, &ast)?;
        let hooks = HOOKS
            .each_ref()
            .map(|info| Body::of(&ast, info.name, info.params.len()));
        let defined = HOOKS.iter().zip(&hooks);
        let defined = defined.filter_map(|(info, body)| body.as_ref().map(|_| info.hook));
        let served = Served {
            source: Arc::clone(source),
            own: format!("file:{}", source.file).into(),
            hooks: defined.collect(),
        };
        let is_translated = compiler.evaluator == Evaluator::Compiled;
        let defined = HOOKS
            .iter()
            .filter(|info| is_translated && served.hooks.has(info.hook));
        let defined: Vec<_> = defined.collect();
        let roots: Vec<_> = defined
            .iter()
            .map(|info| (info.name, info.params.len()))
            .collect();
        let (functions, numbers) = Functions::of(&compiler.engine, &ast, &roots);
        let mut trees = [None; HOOKS.len()];
        for (info, number) in defined.iter().zip(numbers) {
            trees[info.hook as usize] = number;
        }
        let program = Self {
            served: Rc::new(served),
            hooks,
            functions,
            trees,
            keeps_requests: source.texts().any(|(_, text)| form::is_asked_for(text)),
            world,
            source: Arc::clone(source),
            engine: Rc::clone(&compiler.engine),
            frames: RefCell::default(),
        };
        let needed = [Hook::TransferData, Hook::TransferLoop, Hook::OnRequest];
        if !needed.iter().any(|hook| program.has(*hook)) {
            let message = "no fn transfer_data(ws, message): a handler needs it to answer messages";
            let outline = Outline::of(&program.engine, &source.text, Position::NONE);
            let meant = outline
                .functions
                .iter()
                .find_map(|function| Some((function.position, meant_for_messages(function)?)));
            let (position, hint) = meant.unzip();
            let fault = program.fault_at(position.unwrap_or(Position::NONE), message);
            return Err(fault.with_hint(hint));
        }
        Ok(program)
    }

    /// Whether the script defines this hook.
    pub fn has(&self, hook: Hook) -> bool {
        self.served.hooks.has(hook)
    }

    /// Functions that were probably meant to be hooks, and would never be called.
    pub fn warnings(&self, allow_raw: bool) -> Vec<Fault> {
        let outline = Outline::of(&self.engine, &self.source.text, Position::NONE);
        let warning = |function: &Function| {
            let (message, hint) = misshapen(&function.name, &function.params)
                .or_else(|| self.idle(&function.name, &function.params, allow_raw))?;
            let fault = self.fault_at(function.position, message);
            Some(fault.with_hint(Some(hint)).into_warning())
        };
        outline.functions.iter().filter_map(warning).collect()
    }

    /// Returns a warning and its hint for a function that has a hook's shape, and is not called all
    /// the same.
    fn idle(&self, name: &str, params: &[String], allow_raw: bool) -> Option<(String, String)> {
        let is = |hook: Hook| name == hook.name() && params.len() == hook.info().params.len();
        if is(Hook::TransferData) && self.has(Hook::TransferLoop) {
            return Some((
                format!(
                    "`{}` is never called",
                    Hook::TransferData.info().definition()
                ),
                "`fn transfer_data(ws)` owns the connection: keep one of the two".into(),
            ));
        }
        if is(Hook::TransferLoop) && self.is_for_messages(params) {
            return Some((
                format!(
                    "`fn {name}({})` is called once, with the connection",
                    params.join(", ")
                ),
                format!(
                    "`{}` is called for every message",
                    Hook::TransferData.info().definition()
                ),
            ));
        }
        (is(Hook::OnFrame) && !allow_raw).then(|| {
            (
                format!("`{}` is never called", Hook::OnFrame.info().definition()),
                "the server shows frames to handlers only with --allow-raw".into(),
            )
        })
    }

    /// Whether a loop's only parameter is probably meant to be a message: by its name, or because
    /// nothing receives one.
    fn is_for_messages(&self, params: &[String]) -> bool {
        const MESSAGE: [&str; 12] = [
            "message", "msg", "data", "text", "payload", "m", "body", "content", "input", "line",
            "event", "packet",
        ];
        const CONNECTION: [&str; 12] = [
            "ws",
            "socket",
            "websocket",
            "connection",
            "conn",
            "client",
            "peer",
            "request",
            "sock",
            "channel",
            "stream",
            "session",
        ];
        let receives = || {
            self.source
                .texts()
                .any(|(_, text)| text.contains("receive"))
        };
        params.iter().any(|name| {
            let name = name.trim_start_matches('_').to_lowercase();
            MESSAGE.contains(&&*name) || !CONNECTION.contains(&&*name) && !receives()
        })
    }

    /// Whether this hook runs without a `this`.
    #[inline]
    pub fn is_stateless(&self, hook: Hook) -> bool {
        let number = self.trees[hook as usize];
        let tree = number.and_then(|number| self.functions.get(number));
        tree.is_some_and(|(_, tree)| tree.is_stateless)
    }

    /// Calls a hook with `state` as its `this`, any value for one that [needs
    /// none](Self::is_stateless). A hook that is not defined gives `()`. The arguments are
    /// consumed.
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
        if let Some(number) = self.trees[hook as usize]
            && let Some((_, tree)) = self.functions.get(number)
            && (tree.is_stateless || state.is_shared())
        {
            let value = self.run(tree, &mut frame, state, args)?;
            self.frames.borrow_mut().push(frame);
            return Ok(value);
        }
        let Frame {
            global,
            caches,
            scope,
            slots: _,
            spare: _,
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

    /// Runs a tree in a frame.
    fn run(
        &self,
        tree: &Tree,
        frame: &mut Frame,
        this: &mut Dynamic,
        args: &mut [Dynamic],
    ) -> Result<Dynamic, Box<EvalAltResult>> {
        let Frame {
            global,
            caches,
            scope,
            slots,
            spare,
        } = frame;
        slots.extend(args.iter_mut().map(std::mem::take));
        slots.resize(tree.slots, Dynamic::UNIT);
        let mut run = Run {
            engine: &self.engine,
            global,
            functions: &self.functions,
            caches,
            scope,
            slots,
            spare,
            this: Some(this),
        };
        let value = run.call(tree)?;
        slots.clear();
        Ok(value)
    }

    /// The hooks' functions that are translated.
    #[cfg(test)]
    pub fn trees(&self) -> impl Iterator<Item = &Tree> {
        let trees = self.trees.iter().flatten();
        trees.filter_map(|number| Some(self.functions.get(*number)?.1))
    }

    /// What of its hooks is left to Rhai, and of the functions that they call, if they are
    /// translated: each with its function's name.
    pub fn left(&self) -> impl Iterator<Item = (&str, &Left)> {
        self.functions.left()
    }

    /// Returns the fault that a failed call is reported as; `None` when it was ended because its
    /// peer is gone.
    pub fn fault(&self, hook: Hook, error: &EvalAltResult) -> Option<Fault> {
        (Stop::of(error) != Some(Stop::Cancelled))
            .then(|| Fault::from_run(&self.source, &self.source.file, error, self.start_of(hook)))
    }

    /// Returns the hint for a failed call, if one is known.
    pub fn hint(&self, fault: &Fault, error: &EvalAltResult) -> Option<String> {
        hint::of_run(&self.engine, &self.source, &fault.file, error)
    }

    /// A fault of a hook as a whole.
    pub fn fault_in(&self, hook: Hook, message: String) -> Fault {
        self.fault_at(self.start_of(hook), message)
    }

    fn fault_at(&self, position: Position, message: impl Into<String>) -> Fault {
        Fault::new(&self.source.file, &self.source.text, position, message)
    }

    fn start_of(&self, hook: Hook) -> Position {
        self.hooks[hook as usize]
            .as_ref()
            .map_or(Position::NONE, |body| body.start)
    }

    fn frame(&self) -> Box<Frame> {
        Box::new(Frame {
            global: self.world.clone(),
            caches: Caches::new(),
            scope: Scope::new(),
            slots: Vec::new(),
            spare: Vec::new(),
        })
    }
}

/// The hook that another server would call this, and what to do.
fn elsewhere(name: &str) -> Option<(&'static HookInfo, String)> {
    if let Some(bare) = foreign::without_prefix(name) {
        let hook = HOOKS.iter().find(|info| info.name == bare)?;
        let hint = format!("drop the prefix `web_socket_`: `{}`", hook.definition());
        return Some((hook, hint));
    }
    let hook = foreign::hook(name).filter(|hook| hook.name != name)?;
    Some((hook, format!("the hook is `{}`", hook.definition())))
}

/// Returns the hint for a function that was probably meant to answer messages.
fn meant_for_messages(function: &Function) -> Option<String> {
    let is_it = |hook: &HookInfo| hook.name == Hook::TransferData.name();
    if let Some((hook, hint)) = elsewhere(&function.name) {
        return is_it(hook).then_some(hint);
    }
    let (nearest, likeness) = nearest_hook(&function.name);
    (is_it(nearest) && likeness > LIKE).then(|| {
        let hooks = HOOKS.iter().filter(|hook| is_it(hook));
        let forms: Vec<_> = hooks
            .map(|hook| format!("`{}`", hook.definition()))
            .collect();
        format!("the hook is {}", forms.join(" or "))
    })
}

/// The hook whose name is most like this one, and how like it is. Capitals and `_` are a matter of
/// taste.
fn nearest_hook(name: &str) -> (&'static HookInfo, f64) {
    let bare = |name: &str| name.replace('_', "").to_lowercase();
    let likeness = |hook: &str| {
        let exact = strsim::jaro_winkler(hook, name);
        exact.max(strsim::jaro_winkler(&bare(hook), &bare(name)))
    };
    let mut likely = (&HOOKS[0], 0.0);
    for hook in &HOOKS {
        let likeness = likeness(hook.name);
        if likeness >= likely.1 {
            likely = (hook, likeness);
        }
    }
    likely
}

/// Threshold of likeness, from 0 to 1, beyond which a name is taken for a hook's.
const LIKE: f64 = 0.9;

/// Returns a warning and its hint for a function that has a hook's name and other parameters, or
/// nearly a hook's name: what is wrong, and what was probably meant.
fn misshapen(name: &str, params: &[String]) -> Option<(String, String)> {
    let same_name: Vec<_> = HOOKS.iter().filter(|info| info.name == name).collect();
    if !same_name.is_empty() {
        let fits = same_name
            .iter()
            .any(|info| info.params.len() == params.len());
        let wanted: Vec<_> = same_name
            .iter()
            .map(|info| format!("`{}`", info.definition()))
            .collect();
        return (!fits).then(|| {
            (
                format!("`fn {name}({})` is never called", params.join(", ")),
                format!("the hook is {}", wanted.join(" or ")),
            )
        });
    }
    if let Some((_, hint)) = elsewhere(name) {
        return Some((
            format!("`fn {name}` is no hook and is never called by the server"),
            hint,
        ));
    }
    let (nearest, likeness) = nearest_hook(name);
    (likeness > LIKE || name.starts_with("on_")).then(|| {
        (
            format!("`fn {name}` is no hook and is never called by the server"),
            format!("did you mean `{}`?", nearest.definition()),
        )
    })
}
