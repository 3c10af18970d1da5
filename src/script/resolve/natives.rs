//! An engine's functions by name, number of arguments and type of the first one.

use std::any::TypeId;
use std::collections::HashMap;

use rhai::{Dynamic, Engine};

use crate::script::api::form::types;

/// Everything that is registered at an engine.
#[derive(Debug)]
pub struct Natives(HashMap<String, Vec<Vec<TypeId>>>);

impl Natives {
    /// Asks an engine.
    pub fn of(engine: &Engine) -> Self {
        let mut functions: HashMap<String, Vec<Vec<TypeId>>> = HashMap::new();
        let all = engine.collect_fn_metadata(
            None,
            |info| {
                let function = info.metadata;
                Some((
                    function.name.to_string(),
                    function.num_params,
                    function.param_types.to_vec(),
                ))
            },
            true,
        );
        for (name, count, mut types) in all {
            // One that does not say what it takes may take anything.
            types.resize(count, TypeId::of::<Dynamic>());
            functions.entry(name).or_default().push(types);
        }
        Self(functions)
    }

    /// Whether a function of this name takes so many arguments.
    pub fn has(&self, name: &str, arguments: usize) -> bool {
        self.forms(name).any(|types| types.len() == arguments)
    }

    /// Whether there is a function of this name.
    pub fn knows(&self, name: &str) -> bool {
        self.forms(name).next().is_some()
    }

    /// Whether a value of this type has a method that takes so many arguments.
    pub fn has_method(&self, name: &str, arguments: usize, of: &str) -> bool {
        let is_of = |first: &TypeId| {
            let mut types = types().filter(|(name, _)| [of, "any"].contains(name));
            types.any(|(_, id)| id == *first)
        };
        let mut forms = self.forms(name);
        forms.any(|types| types.len() == arguments + 1 && types.first().is_some_and(is_of))
    }

    /// Whether a value of this type has a property. None of ours can be asked for one by an index.
    pub fn has_getter(&self, name: &str, of: &str) -> bool {
        self.has_method(&format!("get${name}"), 0, of)
    }

    /// Whether a property of a value of this type can be set.
    pub fn has_setter(&self, name: &str, of: &str) -> bool {
        self.has_method(&format!("set${name}"), 1, of)
    }

    fn forms(&self, name: &str) -> impl Iterator<Item = &Vec<TypeId>> {
        self.0.get(name).into_iter().flatten()
    }
}
