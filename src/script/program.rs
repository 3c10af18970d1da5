//! A source compiled on a worker: its hooks, its constants, and call frames that are used again.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use rhai::{
    AST, Caches, Dynamic, Engine, EvalAltResult, EvalContext, GlobalRuntimeState, ImmutableString,
    Position, Scope,
};

use super::error::{Fault, stopped};
use super::hooks::{HOOKS, Hook};
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
    meter::start(limits.budget);
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
    hooks: [bool; HOOKS.len()],
    constants: Rc<RefCell<BTreeMap<ImmutableString, Dynamic>>>,
    /// Frames that no call uses now, one for each call that has ever run at the same time.
    frames: RefCell<Vec<Frame>>,
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
                "the file has {} bytes; {} are allowed",
                source.text.len(),
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
            hooks: HOOKS.each_ref().map(|info| {
                ast.iter_functions().any(|defined| {
                    defined.name == info.name && defined.params.len() == info.params.len()
                })
            }),
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
        self.hooks[hook as usize]
    }

    /// Hooks whose parameters are not those of the table, which would never be called.
    fn warnings(&self) -> Vec<String> {
        let misshapen = self.ast.iter_functions().filter_map(|defined| {
            let info = HOOKS.iter().find(|info| {
                info.name == defined.name && info.params.len() != defined.params.len()
            })?;
            let (name, params, found) =
                (info.name, info.params.join(", "), defined.params.join(", "));
            Some(format!(
                "fn {name}({found}) is never called: the hook is fn {name}({params})"
            ))
        });
        misshapen.collect()
    }

    /// Calls a hook with `state` as its `this`. The arguments are consumed.
    pub fn call(
        &self,
        hook: Hook,
        state: &mut Dynamic,
        args: &mut [Dynamic],
    ) -> Result<Dynamic, Box<EvalAltResult>> {
        let mut frame = self
            .frames
            .borrow_mut()
            .pop()
            .unwrap_or_else(|| self.frame());
        frame.global.num_operations = 0;
        let Frame {
            global,
            caches,
            scope,
        } = &mut frame;
        let mut context = EvalContext::new(&self.engine, global, caches, scope, None);
        let result = match args {
            [a] => context.call_fn_raw(hook.name(), true, true, &mut [state, a]),
            [a, b] => context.call_fn_raw(hook.name(), true, true, &mut [state, a, b]),
            [a, b, c] => context.call_fn_raw(hook.name(), true, true, &mut [state, a, b, c]),
            [a, b, c, d] => context.call_fn_raw(hook.name(), true, true, &mut [state, a, b, c, d]),
            _ => Ok(Dynamic::UNIT),
        };
        // A frame that an error went through is left in the middle of something.
        if result.is_ok() {
            self.frames.borrow_mut().push(frame);
        }
        match result {
            Err(error) => match *error {
                EvalAltResult::Exit(value, _) => Ok(value),
                error => Err(error.into()),
            },
            ok => ok,
        }
    }

    /// What a failed call is reported as; `None` when it was ended because its peer is gone.
    pub fn fault(&self, hook: Hook, error: &EvalAltResult) -> Option<Fault> {
        (stopped(error) != Some(Stop::Cancelled)).then(|| {
            let hook = self
                .ast
                .iter_fn_def()
                .find(|defined| defined.name == hook.name());
            let start = hook.map_or(Position::NONE, |defined| defined.body.start_position());
            Fault::from_run(&self.source, error, start)
        })
    }

    fn frame(&self) -> Frame {
        let mut global = self.engine.new_global_runtime_state();
        global.source = Some(self.source.file.as_str().into());
        global.lib.push(self.ast.shared_lib().clone());
        global.constants = Some(Rc::clone(&self.constants));
        Frame {
            global,
            caches: Caches::new(),
            scope: Scope::new(),
        }
    }
}
