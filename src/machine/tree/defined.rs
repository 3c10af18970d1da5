//! What functions a file defines, and which of them are called.

use std::collections::{HashMap, HashSet};

use rhai::{AST, ImmutableString};

/// Functions that a file defines.
#[derive(Debug)]
pub struct Defined {
    names: HashSet<ImmutableString>,
    /// Names of those that are for some types of `this` only.
    typed: HashSet<ImmutableString>,
    /// Their parameters.
    pub params: HashMap<(ImmutableString, usize), Vec<ImmutableString>>,
    numbers: HashMap<(ImmutableString, usize), usize>,
    /// Those that are called, by their numbers.
    pub called: Vec<(ImmutableString, usize)>,
}

impl Defined {
    /// Those of this one.
    pub fn of(ast: &AST) -> Self {
        let mut defined = Self {
            names: HashSet::new(),
            typed: HashSet::new(),
            params: HashMap::new(),
            numbers: HashMap::new(),
            called: Vec::new(),
        };
        for function in ast.iter_fn_def() {
            let (name, params) = (function.name.clone(), function.params.to_vec());
            if function.this_type.is_some() {
                defined.typed.insert(name.clone());
            }
            defined.names.insert(name.clone());
            defined.params.insert((name, params.len()), params);
        }
        defined
    }

    /// Whether there is a function of this name.
    pub fn has(&self, name: &str) -> bool {
        self.names.contains(name)
    }

    /// The number of a function with so many parameters.
    pub fn number(&mut self, name: &ImmutableString, count: usize) -> Option<usize> {
        let key = (name.clone(), count);
        if self.typed.contains(name) || !self.params.contains_key(&key) {
            return None;
        }
        let next = self.called.len();
        let number = *self.numbers.entry(key.clone()).or_insert(next);
        if number == next {
            self.called.push(key);
        }
        Some(number)
    }
}
