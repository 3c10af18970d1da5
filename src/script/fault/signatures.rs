//! Everything that a script can call, as its author would write it: for the hints of errors.
//!
//! It is collected when a fault is reported, out of three sources: the rows of our own table, what
//! Rhai's library and our registrations say of themselves, and the script's own functions.

use rhai::Engine;

use super::outline::Function;
use crate::machine::host;
use crate::script::api::PACKAGES;
use crate::script::api::form::{Form, OBJECTS, types};

/// One form of a function, method or property.
#[derive(Debug, Clone)]
pub struct Signature {
    /// Name of the function, method or property.
    pub name: String,
    /// Whether it is used without parentheses.
    pub is_property: bool,
    /// The type of its object or first argument, or types between `|`, or `any`; none if it takes
    /// nothing.
    pub of: Option<&'static str>,
    /// Number of arguments, the object among them.
    pub arity: usize,
    /// Their types, as far as Rhai says them.
    arguments: Vec<&'static str>,
    /// As a method or property of its object.
    member: String,
    /// As a function.
    function: String,
}

/// Everything that a script with functions of its own can call on this engine.
pub fn all(engine: &Engine, own: &[Function]) -> Vec<Signature> {
    let functions = PACKAGES.iter().flat_map(|package| package.functions);
    let forms = functions.flat_map(host::Function::forms);
    let mut all: Vec<_> = forms.map(|form| Signature::of_row(&form)).collect();
    let documented = all.len();
    let mut native: Vec<_> =
        engine.collect_fn_metadata(None, |info| Signature::of_native(info.metadata), true);
    // Rhai gives them in no order.
    native.sort_by(|one, other| one.function.cmp(&other.function));
    // A function of Rhai's that is bounded here is there twice; Rhai's own names its arguments.
    let is_better = |one: &Signature, other: &Signature| {
        (&one.name, &one.arguments) == (&other.name, &other.arguments)
            && one.function.len() > other.function.len()
    };
    for signature in &native {
        if native.iter().any(|other| is_better(other, signature)) {
            continue;
        }
        let is_same = |row: &Signature| {
            row.name == signature.name && (row.of == signature.of || !row.is_of_ours())
        };
        let is_new = |known: &Signature| known.member != signature.member;
        if !all[..documented].iter().any(is_same) && all[documented..].iter().all(is_new) {
            all.push(signature.clone());
        }
    }
    all.extend(own.iter().map(Signature::of_script));
    all
}

impl Signature {
    /// A row's form.
    fn of_row(form: &Form<'static>) -> Self {
        Self {
            name: form.name.to_owned(),
            is_property: form.is_property(),
            of: form.of_type(),
            arity: form.arity(),
            arguments: Vec::new(),
            member: form.to_string(),
            function: form.to_string(),
        }
    }

    /// Returns the signature of a function registered with Rhai; `None` for operators and for types
    /// that no script has.
    fn of_native(function: &rhai::FuncMetadata) -> Option<Self> {
        let types = function.param_types.iter().map(|id| {
            let known = types().find(|(_, of)| of == id)?;
            Some(known.0)
        });
        let types = types.collect::<Option<Vec<_>>>()?;
        let (accessor, name) = match function.name.split_once('$') {
            Some((accessor, name)) => (Some(accessor), name),
            None => (None, &*function.name),
        };
        if name.is_empty() || name.contains(|c: char| !c.is_alphanumeric() && c != '_') {
            return None;
        }
        let params = function.params_info.iter();
        let labels = params.map(|param| param.split(':').next().unwrap_or("_").trim());
        let params: Vec<_> = labels
            .zip(&types)
            .map(|(label, of)| match label {
                "_" | "" => (*of).to_owned(),
                label => format!("{label}: {of}"),
            })
            .collect();
        let of = types.first().copied();
        let object = OBJECTS.iter().find(|(known, _)| of == Some(*known));
        let object = object.map_or(of.unwrap_or_default(), |(_, object)| *object);
        let rest = params.get(1..).unwrap_or_default().join(", ");
        Some(Self {
            name: name.to_owned(),
            is_property: accessor.is_some(),
            of,
            arity: types.len(),
            arguments: types,
            member: match accessor {
                Some("set") => format!("{object}.{name} = {rest}"),
                Some(_) => format!("{object}.{name}"),
                None => format!("{object}.{name}({rest})"),
            },
            function: format!("{name}({})", params.join(", ")),
        })
    }

    /// A script's function.
    pub fn of_script(function: &Function) -> Self {
        let Function { name, params, .. } = function;
        let written = format!("{name}({})", params.join(", "));
        Self {
            name: name.clone(),
            is_property: false,
            of: None,
            arity: params.len(),
            arguments: Vec::new(),
            member: written.clone(),
            function: written,
        }
    }

    /// As it is written behind an object, or as a function.
    pub fn written(&self, as_member: bool) -> &str {
        if as_member || self.is_property || self.is_of_ours() {
            &self.member
        } else {
            &self.function
        }
    }

    /// Its name with its object, if that has a name of its own: `ws.send`, `len`.
    pub fn short(&self) -> String {
        match OBJECTS.iter().find(|(of, _)| self.of == Some(*of)) {
            Some((_, object)) => format!("{object}.{}", self.name),
            None => self.name.clone(),
        }
    }

    /// Whether it is a property's being set.
    pub fn is_setter(&self) -> bool {
        self.is_property && self.member.contains(" = ")
    }

    /// Whether a value of this type has it.
    pub fn fits(&self, of: &str) -> bool {
        self.types().any(|known| known == of || known == "any")
    }

    /// The types whose values have it.
    pub fn types(&self) -> impl Iterator<Item = &'static str> {
        let types = self.of.into_iter().flat_map(|types| types.split('|'));
        types.map(str::trim)
    }

    /// Whether it belongs to one of our own objects.
    fn is_of_ours(&self) -> bool {
        OBJECTS.iter().any(|(of, _)| self.of == Some(*of))
    }
}
