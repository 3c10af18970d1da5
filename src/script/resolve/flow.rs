//! Type flow of the values that can only be `ws`, a request or a message: from the hooks'
//! parameters through the calls of a source.
//!
//! A source is a world of its own: its functions are called by its hooks, by each other, and by
//! nobody else. So a parameter is what the calls give that are written in it, unless the function
//! may be called by its name in a variable.

use std::collections::{BTreeSet, HashMap};

use super::file::File;
use super::references::{Function, Reference, References, Use, Value};
use crate::script::hooks::HOOKS;

/// Types that hooks are called with: our own, then what messages are.
const KINDS: [&str; 4] = ["WebSocket", "Request", "string", "blob"];
/// Those that are our own.
const OURS: u8 = 1 | 2;

/// A set of these types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kinds(u8);

/// Types that a value can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// There is none: nothing calls this.
    Never,
    /// One of these types.
    Types {
        /// Set of the possible types.
        kinds: Kinds,
        /// It went through a call, and so may be one of several that the function is for.
        is_passed: bool,
    },
    /// Any type.
    Any,
}

/// Calls through which a value is followed.
const ROUNDS: usize = 32;

/// Types that the parameters of a source's functions can have: by file, function and number.
#[derive(Debug)]
pub struct Flows(HashMap<String, Vec<Vec<Flow>>>);

impl Kinds {
    /// Returns the names of the types.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        let kinds = KINDS.iter().enumerate();
        let of = kinds.filter(move |(at, _)| self.0 & 1 << at != 0);
        of.map(|(_, name)| *name)
    }

    /// Whether none of them is a message's.
    pub fn are_ours(self) -> bool {
        self.0 & !OURS == 0
    }

    /// Returns the types of a hook's parameter of this name, where that is certain.
    fn of_param(name: &str) -> Option<Self> {
        Some(Self(match name {
            "ws" => 1,
            "request" => 2,
            "message" => 4 | 8,
            "payload" => 8,
            _ => return None,
        }))
    }
}

impl Flow {
    fn join(self, other: Self) -> Self {
        match (self, other) {
            (Self::Never, other) | (other, Self::Never) => other,
            (
                Self::Types {
                    kinds: Kinds(one),
                    is_passed,
                },
                Self::Types {
                    kinds: Kinds(two),
                    is_passed: is_other_passed,
                },
            ) => Self::Types {
                kinds: Kinds(one | two),
                is_passed: is_passed || is_other_passed,
            },
            _ => Self::Any,
        }
    }

    /// The same behind a call.
    fn passed(self) -> Self {
        match self {
            Self::Types { kinds, .. } => Self::Types {
                kinds,
                is_passed: true,
            },
            flow => flow,
        }
    }
}

impl Flows {
    /// Follows a source's calls until nothing new is found.
    pub fn of(handler: &File, modules: &HashMap<String, File>) -> Self {
        let files: Vec<_> = modules.values().chain([handler]).collect();
        let mut flows = Self(
            files
                .iter()
                .map(|file| {
                    let is_handler = file.name == handler.name;
                    let functions = file.references.functions.iter();
                    let flows = functions.map(|function| beginning(file, function, is_handler));
                    (file.name.clone(), flows.collect())
                })
                .collect(),
        );
        flows.follow(&files, modules);
        // What nothing calls can do no harm, but what it would call others with is unknown.
        for flow in flows.0.values_mut().flatten().flatten() {
            if *flow == Flow::Never {
                *flow = Flow::Any;
            }
        }
        flows.follow(&files, modules);
        flows
    }

    /// Returns the types that a value can have in a function of a file.
    pub fn value(&self, file: &str, function: usize, value: Value) -> Flow {
        match value {
            Value::Param(at) => self.0[file][function][at],
            Value::Unknown => Flow::Any,
        }
    }

    fn follow(&mut self, files: &[&File], modules: &HashMap<String, File>) {
        for _ in 0..ROUNDS {
            let mut changed = false;
            for file in files {
                for (at, function) in file.references.functions.iter().enumerate() {
                    for of in &function.uses {
                        changed |= self.hand_over(file, at, of, modules);
                    }
                }
            }
            if !changed {
                return;
            }
        }
        // Calls that go on for so long are not followed: nothing is certain then.
        let flows = self.0.values_mut().flatten().flatten();
        flows.for_each(|flow| *flow = Flow::Any);
    }

    /// Gives the parameters of what is called what it is called with.
    fn hand_over(
        &mut self,
        file: &File,
        at: usize,
        of: &Use,
        modules: &HashMap<String, File>,
    ) -> bool {
        let args: Vec<_> = of
            .args
            .iter()
            .map(|arg| self.value(&file.name, at, arg.value))
            .collect();
        if args.is_empty() {
            return false;
        }
        match &of.what {
            Reference::Function(name) | Reference::Method(_, name) => {
                self.give(file, name, &args, true)
            }
            Reference::Closure(name) => self.give(file, name, &args, false),
            Reference::InModule(path, name) => {
                let mut ends = BTreeSet::new();
                reached(&file.references, path, modules, &mut ends);
                let mut changed = false;
                for end in ends {
                    changed |= self.give(&modules[&end], name, &args, true);
                }
                changed
            }
            Reference::Pointer(_)
            | Reference::Constant(..)
            | Reference::Get(..)
            | Reference::Set(..) => false,
        }
    }

    /// A call gives all that a function takes, a closure captures the first of it.
    fn give(&mut self, file: &File, name: &str, args: &[Flow], is_call: bool) -> bool {
        let mut changed = false;
        let flows = self.0.get_mut(&file.name).expect("of every file");
        for (at, function) in file.references.named(name) {
            if is_call && function.params != args.len() {
                continue;
            }
            for (param, arg) in flows[at].iter_mut().zip(args) {
                let arg = if is_call { arg.passed() } else { *arg };
                let joined = param.join(arg);
                changed |= joined != *param;
                *param = joined;
            }
        }
        changed
    }
}

/// Returns the types of a function's parameters that are known before any call is followed.
fn beginning(file: &File, function: &Function, is_handler: bool) -> Vec<Flow> {
    let params = 0..function.params;
    if function.is_closure {
        let captured = file.references.captures(function);
        return params
            .map(|at| {
                if at < captured {
                    Flow::Never
                } else {
                    Flow::Any
                }
            })
            .collect();
    }
    if file.references.is_mentioned(function) {
        return params.map(|_| Flow::Any).collect();
    }
    let hook = HOOKS.iter().find(|hook| {
        is_handler && hook.name == function.name && hook.params.len() == function.params
    });
    params
        .map(|at| match hook {
            Some(hook) => Kinds::of_param(hook.params[at]).map_or(Flow::Any, |kinds| Flow::Types {
                kinds,
                is_passed: false,
            }),
            None => Flow::Never,
        })
        .collect()
}

/// The modules that a path of names may lead to.
fn reached(
    from: &References,
    path: &[rhai::ImmutableString],
    modules: &HashMap<String, File>,
    ends: &mut BTreeSet<String>,
) {
    let [root, rest @ ..] = path else { return };
    for name in from.modules(root) {
        let Some(file) = modules.get(name) else {
            continue;
        };
        if rest.is_empty() {
            ends.insert(name.to_owned());
        } else {
            reached(&file.references, rest, modules, ends);
        }
    }
}
