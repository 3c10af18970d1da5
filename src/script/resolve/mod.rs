//! Name resolution of a file's references when it is loaded: functions, methods, properties and
//! constants that do not exist.
//!
//! Rhai looks a name up when the line runs that has it, which would be when a message comes. Here a
//! source is held against what there is before it serves: `references` reads what each file refers
//! to and what it offers to others, `natives` knows what the engine has, and `flow` which values
//! can only be `ws`, `request` or a message. What depends on a value that could be anything is left
//! to the run; so is what a script asks for itself with `is_def_fn`.

mod bodies;
mod file;
mod flow;
mod natives;
mod references;

use std::collections::HashMap;

use rhai::{EvalAltResult, ImmutableString, Position};

use crate::script::api::raw;
pub use file::File;
use flow::{Flow, Flows};
pub use natives::Natives;
pub use references::References;
use references::{Argument, Function, Reference, Use, Value};

/// Something that a source refers to and that is not there.
#[derive(Debug)]
pub struct Dangling {
    /// The file that does.
    pub file: String,
    /// Error that would be thrown if it ran.
    pub error: Box<EvalAltResult>,
    /// It keeps the file from serving. Otherwise it stands in a `try` block, or the type of a
    /// message decides, and the author is told.
    pub is_fatal: bool,
    /// Another file is to have it: the one that is being saved next, perhaps.
    pub is_in_module: bool,
}

/// A source's references, looked up.
#[derive(Debug, Default)]
pub struct Resolved {
    /// Those that lead nowhere, in the order of files and lines.
    pub dangling: Vec<Dangling>,
    /// Uses of the test power: the file, the place, and the name.
    pub raw: Vec<(String, Position, ImmutableString)>,
}

/// Looks up what a source refers to. The modules are called by their names in imports.
pub fn resolve(natives: &Natives, handler: &File, modules: &HashMap<String, File>) -> Resolved {
    let flows = Flows::of(handler, modules);
    let mut resolved = Resolved::default();
    for file in modules.values().chain([handler]) {
        let resolver = Resolver {
            natives,
            flows: &flows,
            file,
            modules,
        };
        resolved.dangling.extend(resolver.dangling());
        resolved.raw.extend(resolver.raw());
    }
    resolved.dangling.sort_by(|one, other| {
        let key = |dangling: &Dangling| (dangling.file.clone(), dangling.error.position());
        key(one).cmp(&key(other))
    });
    resolved.raw.sort();
    resolved
}

struct Resolver<'a> {
    natives: &'a Natives,
    flows: &'a Flows,
    file: &'a File,
    modules: &'a HashMap<String, File>,
}

impl Resolver<'_> {
    fn dangling(&self) -> Vec<Dangling> {
        let references = &self.file.references;
        let functions = references.functions.iter().enumerate();
        let uses = functions.flat_map(|(at, function)| {
            let uses = function.uses.iter();
            uses.map(move |of| (at, function, of))
        });
        uses.filter_map(|(at, function, of)| {
            let (error, depends_on_types) = self.look_up(at, function, of)?;
            Some(Dangling {
                file: self.file.name.clone(),
                error: error.into(),
                is_fatal: !of.is_tried && !depends_on_types,
                is_in_module: of.is_of_module(),
            })
        })
        .collect()
    }

    /// Returns the uses of `ws` or a request that break the protocol.
    fn raw(&self) -> Vec<(String, Position, ImmutableString)> {
        let functions = self.file.references.functions.iter().enumerate();
        let uses = functions.flat_map(|(at, function)| {
            let uses = function.uses.iter();
            uses.map(move |of| (at, function, of))
        });
        uses.filter_map(|(at, function, of)| match &of.what {
            Reference::Method(value, name) | Reference::Get(value, name) => {
                let is_raw = raw::is_method(name) && self.object(at, function, of, *value)?.is_ours;
                is_raw.then(|| (self.file.name.clone(), of.position, name.clone()))
            }
            _ => None,
        })
        .collect()
    }

    /// Returns the error that using a reference would throw, if that is certain, and whether the
    /// type of a message makes it so.
    fn look_up(&self, at: usize, function: &Function, of: &Use) -> Option<(EvalAltResult, bool)> {
        let (args, position) = (&of.args[..], of.position);
        let own = &self.file.references;
        match &of.what {
            Reference::Function(name) => {
                let is_known = KEYWORDS.contains(&&**name)
                    || own.is_probed(name)
                    || own.has_function(name, args.len())
                    || self.natives.has(name, args.len());
                (!is_known).then(|| (no_function(name, None, args, position), false))
            }
            Reference::Pointer(name) => {
                let is_known = KEYWORDS.contains(&&**name)
                    || own.is_probed(name)
                    || own.knows(name)
                    || self.natives.knows(name);
                // It may never be called.
                (!is_known).then(|| (no_function(name, None, args, position), true))
            }
            Reference::InModule(path, name) => {
                let full = format!("{}::{name}", path.join("::"));
                if path[0] == GLOBAL && !own.imports(GLOBAL) {
                    // No module has this name, and Rhai looks nowhere else.
                    return Some((EvalAltResult::ErrorModuleNotFound(full, position), false));
                }
                let has = |module: &References| module.offers_function(name, args.len());
                let is_known = self.module_has(own, path, &has);
                (!is_known).then(|| (no_function(&full, None, args, position), false))
            }
            Reference::Constant(path, name) => {
                let has = |module: &References| module.exports.contains(name);
                let is_known = match &path[..] {
                    [root] if root == GLOBAL && !own.imports(GLOBAL) => {
                        own.constants.contains(name)
                    }
                    path => self.module_has(own, path, &has),
                };
                let full = || format!("{}::{name}", path.join("::"));
                let error = || EvalAltResult::ErrorVariableNotFound(full(), position);
                (!is_known).then(|| (error(), false))
            }
            Reference::Method(value, name) => {
                let object = self.object(at, function, of, *value)?;
                let is_known = KEYWORDS.contains(&&**name)
                    || own.is_probed(name)
                    || own.has_method(name, args.len())
                    || match object.is_strict {
                        true => object.any(|kind| self.natives.has_method(name, args.len(), kind)),
                        false => self.natives.knows(name),
                    };
                let error = || no_function(name, Some(object.types[0]), args, position);
                (!is_known).then(|| (error(), !object.is_ours))
            }
            Reference::Get(value, name) => {
                let object = self.object(at, function, of, *value)?;
                let is_known =
                    !object.is_strict || object.any(|kind| self.natives.has_getter(name, kind));
                let error = || no_property(name, object.types[0], None, position);
                (!is_known).then(|| (error(), !object.is_ours))
            }
            Reference::Set(value, name) => {
                let object = self.object(at, function, of, *value)?;
                let is_known =
                    !object.is_strict || object.any(|kind| self.natives.has_setter(name, kind));
                let error = || no_property(name, object.types[0], args.first(), position);
                (!is_known).then(|| (error(), !object.is_ours))
            }
            Reference::Closure(_) => None,
        }
    }

    /// Returns the types of a value that are known for certain. In a function that others hand it
    /// to, what stands behind a condition may be for other values.
    fn object(&self, at: usize, function: &Function, of: &Use, value: Value) -> Option<Object> {
        match self.flows.value(&self.file.name, at, value) {
            Flow::Types { kinds, is_passed } => {
                if is_passed && function.asks_for_types {
                    return None;
                }
                Some(Object {
                    types: kinds.names().collect(),
                    is_ours: kinds.are_ours(),
                    is_strict: !is_passed || of.is_certain,
                })
            }
            Flow::Never | Flow::Any => None,
        }
    }

    /// Whether a module that this path may lead to has it.
    fn module_has(
        &self,
        from: &References,
        path: &[ImmutableString],
        has: &dyn Fn(&References) -> bool,
    ) -> bool {
        let [root, rest @ ..] = path else {
            return has(from);
        };
        let mut paths = from.modules(root).peekable();
        // A name that nothing brings in is the parser's to report.
        if paths.peek().is_none() {
            return true;
        }
        paths.any(|name| match self.modules.get(name) {
            Some(file) => self.module_has(&file.references, rest, has),
            None => true,
        })
    }
}

/// Possible types of a value.
struct Object {
    /// One of these types, of which there is one at least.
    types: Vec<&'static str>,
    /// They are `ws` or a request, and nothing else.
    is_ours: bool,
    /// Whether a member that is used here must be there for one of its types; otherwise for a value
    /// of some type.
    is_strict: bool,
}

impl Object {
    fn any(&self, has: impl Fn(&str) -> bool) -> bool {
        self.types.iter().any(|kind| has(kind))
    }
}

/// Rhai's namespace for the file's own constants.
const GLOBAL: &str = "global";

/// Names of functions that Rhai itself calls, whatever they are given.
const KEYWORDS: [&str; 8] = [
    "Fn",
    "call",
    "curry",
    "eval",
    "is_def_fn",
    "is_def_var",
    "is_shared",
    "type_of",
];

/// Returns the error that Rhai throws for a call that nothing takes, with what is known of its
/// arguments.
fn no_function(
    name: &str,
    of: Option<&str>,
    args: &[Argument],
    position: Position,
) -> EvalAltResult {
    let args = args.iter().map(|arg| &*arg.written);
    let args: Vec<_> = of.into_iter().chain(args).collect();
    EvalAltResult::ErrorFunctionNotFound(format!("{name} ({})", args.join(", ")), position)
}

/// Returns the error that Rhai throws for a property that a type does not have, or that cannot be
/// set to a value: in its message the name is quoted, the type, and the value's type.
fn no_property(name: &str, of: &str, to: Option<&Argument>, position: Position) -> EvalAltResult {
    let to = to.map_or(String::new(), |to| format!(" '{}'", to.written));
    EvalAltResult::ErrorDotExpr(format!("'{name}' '{of}'{to}"), position)
}

#[cfg(test)]
mod tests;
