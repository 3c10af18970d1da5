//! Modules on a worker: a file's text to the functions and constants that other files import.
//!
//! Rhai runs a module's function on top of its caller: names are looked up in both files, and what
//! was found is cached for both, so that functions of one name are taken for each other
//! (docs/upstream/modules.rs). Here each file has a world of its own, into which a call goes and
//! out of which it comes back.

use std::any::TypeId;
use std::cell::LazyCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use rhai::{
    AST, ASTFlags, Array, Caches, Dynamic, Engine, EvalAltResult, EvalContext, Expr, Expression,
    FnAccess, FnPtr, FuncRegistration, GlobalRuntimeState, ImmutableString, Map, Module,
    ModuleResolver, NativeCallContext, Position, RhaiFunc, Scope, Stmt, StmtBlock,
    is_valid_function_name,
};

use super::data;
use super::error::throw;

/// A compiled module, which all who import it share.
pub type SharedModule = Rc<Module>;

/// The modules that a file's import statements may name. It travels as the tag of Rhai's state, so
/// that a call finds those of its own file wherever it came from.
#[derive(Debug, Clone, Default)]
pub struct Imports(pub Rc<BTreeMap<String, SharedModule>>);

/// Module environment that a file's top level left: the state that its functions run in, and its
/// variables.
pub type Environment = (GlobalRuntimeState, Scope<'static>);

/// Runs a file's top level, which may only leave data behind that nests at most so deep.
pub fn run_top_level(
    engine: &Engine,
    ast: &AST,
    imports: Imports,
    depth: usize,
) -> Result<Environment, Box<EvalAltResult>> {
    let mut global = engine.new_global_runtime_state();
    global.source = ast.source().map(Into::into);
    global.lib.push(Rc::clone(ast.shared_lib()));
    global.tag = Dynamic::from(imports);
    let (mut scope, mut caches) = (Scope::new(), Caches::new());
    let top_level = StmtBlock::new(ast.statements().to_vec(), Position::NONE, Position::NONE);
    let top_level = Expr::Stmt(top_level.into());
    let mut context = EvalContext::new(engine, &mut global, &mut caches, &mut scope, None);
    // Without rewinding: what was imported and defined is what the functions are to find.
    #[allow(deprecated, reason = "Rhai marks its volatile interfaces so")]
    let ended = context.eval_expression_tree_raw(&Expression::from(&top_level), false);
    if let Err(error) = ended
        && !matches!(*error, EvalAltResult::Return(..) | EvalAltResult::Exit(..))
    {
        return Err(error);
    }
    if let Some(constants) = &global.constants {
        for (name, value) in &*constants.borrow() {
            check_left(ast, name, value, depth)?;
        }
    }
    Ok((global, scope))
}

/// Finds the modules of the file that imports: they have been compiled before it runs.
pub struct Resolver;

impl ModuleResolver for Resolver {
    fn resolve_raw(
        &self,
        _: &Engine,
        global: &mut GlobalRuntimeState,
        _: &mut Scope,
        path: &str,
        position: Position,
    ) -> Result<SharedModule, Box<EvalAltResult>> {
        let imports = global.tag.read_lock::<Imports>();
        imports
            .and_then(|imports| imports.0.get(path).cloned())
            .ok_or_else(|| EvalAltResult::ErrorModuleNotFound(path.into(), position).into())
    }

    fn resolve(
        &self,
        _: &Engine,
        _: Option<&str>,
        path: &str,
        position: Position,
    ) -> Result<SharedModule, Box<EvalAltResult>> {
        Err(EvalAltResult::ErrorModuleNotFound(path.into(), position).into())
    }
}

/// Returns the module that a file offers: its public functions, what it exports, and under their
/// names the modules it imports.
pub fn exports(
    ast: &AST,
    (global, scope): Environment,
    depth: usize,
) -> Result<Module, Box<EvalAltResult>> {
    let mut module = Module::new();
    for (name, import) in global.scan_imports_raw() {
        if !name.is_empty() {
            module.set_sub_module(name.as_str(), Rc::clone(import));
        }
    }
    let world = Rc::new(global);
    for statement in ast.statements() {
        let (name, alias) = match statement {
            Stmt::Var(variable, flags, _) if flags.intersects(ASTFlags::EXPORTED) => {
                (&variable.0.name, &variable.0.name)
            }
            Stmt::Export(names, _) if names.1.name.is_empty() => (&names.0.name, &names.0.name),
            Stmt::Export(names, _) => (&names.0.name, &names.1.name),
            _ => continue,
        };
        if let Some(value) = scope.get(name) {
            let mut value = value.flatten_clone();
            check_left(ast, name, &value, depth)?;
            bind(&mut value, &|| Rc::clone(&world), BOUND_DEPTH);
            module.set_var(alias.as_str(), value);
        }
    }
    for function in ast.iter_functions() {
        // A closure's name is none that a script can write.
        let is_named = function.this_type.is_none() && is_valid_function_name(function.name);
        if function.access == FnAccess::Public && is_named {
            let types = vec![TypeId::of::<Dynamic>(); function.params.len()];
            FuncRegistration::new(function.name)
                .in_internal_namespace()
                .set_into_module_raw(&mut module, types, exported(&world, function.name));
        }
    }
    module.build_index();
    Ok(module)
}

/// Refuses a value that would outlive the top level and is more than data.
fn check_left(
    ast: &AST,
    name: &str,
    value: &Dynamic,
    depth: usize,
) -> Result<(), Box<EvalAltResult>> {
    if data::is_data(value, depth) {
        return Ok(());
    }
    let message = if data::is_captured(value, depth) {
        format!(
            "`{name}` would be state that all connections share: keep state in `this`, and give a \
            closure what it needs \
             as a constant, global::NAME"
        )
    } else {
        format!("`{name}` nests more than {depth} levels deep")
    };
    let defined = ast
        .statements()
        .iter()
        .find_map(|statement| match statement {
            Stmt::Var(variable, ..) if variable.0.name == name => Some(variable.0.pos),
            _ => None,
        });
    throw("state", message).map_err(|mut error: Box<EvalAltResult>| {
        error.set_position(defined.unwrap_or(Position::NONE));
        error
    })
}

/// A function of a world as others call it.
fn exported(world: &Rc<GlobalRuntimeState>, name: &str) -> RhaiFunc {
    let (world, name) = (Rc::clone(world), ImmutableString::from(name));
    let call = move |context: Option<NativeCallContext>, args: &mut [&mut Dynamic]| {
        let context = context.expect("Rhai gives one to a function that has said it takes one");
        let callers = LazyCell::new(|| Rc::new(context.global_runtime_state().clone()));
        for arg in &mut *args {
            bind(arg, &|| Rc::clone(&callers), BOUND_DEPTH);
        }
        // Rhai counts two more levels on the way in, which the script does not see.
        let level = context.call_level().saturating_sub(2);
        let mut value = enter(&world, &context, level, |inside| {
            inside.call_fn_raw(&name, false, false, args)
        })?;
        bind(&mut value, &|| Rc::clone(&world), BOUND_DEPTH);
        Ok(value)
    };
    RhaiFunc::Pure {
        func: Rc::new(call),
        has_context: true,
        is_pure: true,
        is_volatile: true,
    }
}

/// Calls something in a world, this deep in calls.
fn enter(
    world: &GlobalRuntimeState,
    context: &NativeCallContext,
    level: usize,
    call: impl FnOnce(&NativeCallContext) -> Result<Dynamic, Box<EvalAltResult>>,
) -> Result<Dynamic, Box<EvalAltResult>> {
    let (engine, position) = (context.engine(), context.call_position());
    if level > engine.max_call_levels() {
        return Err(EvalAltResult::ErrorStackOverflow(position).into());
    }
    let mut global = world.clone();
    global.level = level;
    let name = context.fn_name();
    let source = world.source();
    call(&NativeCallContext::new_with_all_fields(
        engine, name, source, &global, position,
    ))
}

/// Depth of arrays and maps to which they are searched for functions that go to another file.
const BOUND_DEPTH: u32 = 4;

/// Name of a function pointer that has come from another file.
pub const BOUND: &str = "callback_from_another_file";

/// Rhai's function pointers are names, to be found where they are called: one that goes to another
/// file is bound to the world that it comes from.
fn bind(value: &mut Dynamic, world: &dyn Fn() -> Rc<GlobalRuntimeState>, depth: u32) {
    if value.is_shared() {
        return;
    }
    if let Some(pointer) = value.read_lock::<FnPtr>().map(|pointer| pointer.clone()) {
        if pointer.fn_name() != BOUND {
            *value = Dynamic::from(bound(pointer, world()));
        }
    } else if depth > 0 {
        if let Some(mut array) = value.write_lock::<Array>() {
            array
                .iter_mut()
                .for_each(|item| bind(item, world, depth - 1));
        } else if let Some(mut map) = value.write_lock::<Map>() {
            map.values_mut()
                .for_each(|item| bind(item, world, depth - 1));
        }
    }
}

fn bound(pointer: FnPtr, world: Rc<GlobalRuntimeState>) -> FnPtr {
    let call = move |context: NativeCallContext, args: &mut [&mut Dynamic]| {
        let takes = |count: usize| {
            let count = count + pointer.curry().len();
            let mut files = world.lib.iter();
            files.any(|file| file.get_script_fn(pointer.fn_name(), count).is_some())
        };
        // Clones, because Rhai tries the same values in other numbers when it hears that a function
        // is not found.
        let clones = |args: &[&mut Dynamic]| -> Vec<_> {
            args.iter().map(|arg| Dynamic::clone(arg)).collect()
        };
        enter(
            &world,
            &context,
            context.call_level(),
            |inside| match args {
                // Rhai passes `this` to a native function as its first argument.
                [this, rest @ ..] if !takes(rest.len() + 1) && takes(rest.len()) => {
                    pointer.call_raw(inside, Some(this), clones(rest))
                }
                _ => pointer.call_raw(inside, None, clones(args)),
            },
        )
        // It must hear it of the name that it knows.
        .map_err(|error| match *error {
            EvalAltResult::ErrorFunctionNotFound(signature, position) => {
                let signature = match signature.strip_prefix(pointer.fn_name()) {
                    Some(rest) => format!("{BOUND}{rest}"),
                    None => signature,
                };
                EvalAltResult::ErrorFunctionNotFound(signature, position).into()
            }
            _ => error,
        })
    };
    #[allow(deprecated, reason = "Rhai marks its volatile interfaces so")]
    FnPtr::from_fn(BOUND, call).expect("the name is a function's")
}
