//! What to do about an error, where more is known than the error says: what there is, what was probably meant.
//!
//! Nothing of this is looked at before something has failed, and then it is collected anew.

use std::cmp::Reverse;

use rhai::{Engine, EvalAltResult, LexError, ParseError, ParseErrorType, Position};

use super::describe::{self, Call, Property};
use super::foreign;
use super::outline::{self, Function, Outline};
use super::signatures::{self, Signature};
use super::{Location, characters, stopped};
use crate::script::api::HostError;
use crate::script::hooks::HOOKS;
use crate::script::meter::Stop;
use crate::script::modules::{BOUND, SUFFIX};
use crate::script::program::Source;

/// Forms of a function that a hint lists.
const LISTED: usize = 5;

/// A hint for a source that does not compile.
pub fn of_parse(engine: &Engine, text: &str, error: &ParseError) -> Option<String> {
    use ParseErrorType as Error;
    let position = error.position();
    let location = Location::of(text, position);
    let lookup = || Lookup::new(engine, text, position);
    // Rhai tells of what it wanted in such a place, or of the letters before it.
    let word = location.as_ref().map_or("", Location::word);
    if let hint @ Some(_) = characters::advice_for(word) {
        return hint;
    }
    if let Some(location) = &location
        && let Some(hint) = foreign::said_here(location)
        && !lookup().is_own(location.word())
    {
        return Some(hint.to_owned());
    }
    if let Some(hint) = location.as_ref().and_then(foreign::form_here) {
        return Some(hint);
    }
    let unclosed = || unclosed(&Outline::of(engine, text, position));
    match error.err_type() {
        Error::VariableUndefined(name) => lookup().variable(name),
        Error::ModuleUndefined(name) => Some(format!(
            "`import \"file\" as {name};` at the top of the file brings one in"
        )),
        Error::MissingToken(_, why) if why.contains("iteration variable") => {
            Some("a loop is written `for i in 0..10 { … }` or `for item in array { … }`".to_owned())
        }
        Error::MissingToken(token, _)
            if token == "]" && location.as_ref().is_some_and(|at| at.word() == ":") =>
        {
            Some("a part of a string is `text.sub_string(start, length)`, of an array `array.extract(start..end)`".to_owned())
        }
        Error::MismatchedType(wanted, _) if wanted.contains("bool") => location.and_then(default),
        Error::Reserved(word) => lookup().is_function(word),
        Error::MissingToken(token, _) if token != ";" => unclosed(),
        Error::UnexpectedEOF => unclosed(),
        Error::WrongFnDefinition => unclosed().or_else(|| {
            Some("inside a function a closure does: `let double = |x| x * 2;`".to_owned())
        }),
        Error::AssignmentToConstant(name) if !name.is_empty() => Some(CONSTANT.to_owned()),
        Error::ExprTooDeep => Some(format!(
            "expressions nest at most {} levels deep: put parts into variables",
            engine.max_function_expr_depth()
        )),
        Error::BadInput(error @ LexError::UnexpectedInput(_)) => {
            lexical(error).or_else(unclosed)
        }
        Error::BadInput(LexError::UnterminatedString) => {
            location.as_ref().and_then(other_quote).or_else(|| lexical(&LexError::UnterminatedString))
        }
        Error::BadInput(error) => lexical(error),
        _ => None,
    }
}

/// A hint for a run that failed in this file of a source.
pub fn of_run(
    engine: &Engine,
    source: &Source,
    file: &str,
    error: &EvalAltResult,
) -> Option<String> {
    use EvalAltResult as Error;
    let mut inner = error;
    while let Error::ErrorInFunctionCall(_, _, error, _) = inner {
        inner = error;
    }
    let lookup = || Lookup::new(engine, source.text_of(file), inner.position());
    match inner {
        Error::ErrorRuntime(value, at) => {
            let error = value.read_lock::<HostError>()?;
            let method = outline::method_in_argument(engine, source.text_of(file), *at)?;
            let is_it = error.message.contains("not ()")
                && foreign::is_in_place(&method)
                && !lookup().is_own(&method);
            is_it.then(|| {
                format!("`{method}` changes the value itself and gives nothing: call it first, then hand the variable over")
            })
        }
        Error::ErrorDataRace(text, _) => describe::setter(text).and_then(to_a_hook),
        Error::ErrorFunctionNotFound(signature, _) => {
            let call = Call::of(signature)?;
            match call.name.split_once("::") {
                Some((module, name)) => lookup().call_in_module(source, module, name, &call),
                None => lookup().call(&call),
            }
        }
        Error::ErrorDotExpr(text, _) => lookup().property(&Property::of(text)?),
        Error::ErrorVariableNotFound(name, _) => match name.strip_prefix("global::") {
            Some(name) => lookup().constant(name),
            None => match name.split_once("::") {
 Some((module, name)) => lookup().constant_of_module(source, module, name),
 None => lookup().variable(name),
            },
        },
        Error::ErrorUnboundThis(_) => Some(this(error)),
        Error::ErrorMismatchDataType(wanted, _, _) => match &**wanted {
            "bool" => lookup().location.and_then(default).or_else(|| Some("a condition is a bool: compare, as in `n != 0` or `text != \"\"`".to_owned())),
            "char" => Some("a character stands between single quotes: 'x'".to_owned()),
            _ => None,
        },
        Error::ErrorIndexingType(types, _) if types.starts_with("() ") => Some(NOTHING.to_owned()),
        Error::ErrorFor(_) => Some(
            "it goes through arrays, strings, blobs and ranges such as `0..10`; of an object map through `map.keys()` and \
             `map.values()`"
                .to_owned(),
        ),
        Error::ErrorAssignmentToConstant(..) | Error::ErrorNonPureMethodCallOnConstant(..) => {
            Some(CONSTANT.to_owned())
        }
        Error::ErrorTooManyVariables(_) => Some(format!(
            "the server's bound is {}: keep many values in an array or an object map",
            engine.max_variables()
        )),
        Error::ErrorStackOverflow(_) => Some(format!(
            "the server's bound is {} levels: a function that calls itself must end, and a loop has no such bound",
            engine.max_call_levels()
        )),
        Error::ErrorTerminated(..) => match stopped(error)? {
            Stop::Time(_) | Stop::Operations(_) => {
                Some("a loop that is meant to be long may wait now and then: `sleep(0.0)` begins a new budget".to_owned())
            }
            Stop::Memory(_) | Stop::State | Stop::Cancelled => None,
        },
        _ => None,
    }
}

/// Said where `()` is used like a value.
const NOTHING: &str = "`()` is nothing: what a map has under a name that is not there, and what a function gives that returns nothing";

/// Said where a text is written like another language's with values in it.
const TEMPLATE: &str = "a text with values in it stands between backticks: `… ${value}`";

/// Said where a constant is to be changed.
const CONSTANT: &str = "copy it into a variable first, or keep what changes in `this`";

/// What is there, around one place of a source.
struct Lookup<'a> {
    engine: &'a Engine,
    location: Option<Location>,
    outline: Outline,
    signatures: Vec<Signature>,
}

impl<'a> Lookup<'a> {
    fn new(engine: &'a Engine, text: &str, position: Position) -> Self {
        let outline = Outline::of(engine, text, position);
        Self {
            engine,
            location: Location::of(text, position),
            signatures: signatures::all(engine, &outline.functions),
            outline,
        }
    }

    /// Whether the source itself has given something this name.
    fn is_own(&self, name: &str) -> bool {
        let functions = self.outline.functions.iter();
        let functions = functions.map(|function| &function.name);
        let visible = self.outline.visible.iter();
        visible.chain(functions).any(|own| own == name)
    }

    /// For a call of a function that a module does not have.
    fn call_in_module(
        &self,
        source: &Source,
        module: &str,
        name: &str,
        call: &Call<'_>,
    ) -> Option<String> {
        let mut imports = self.outline.imports.iter();
        let (_, path) = imports.find(|(known, _)| known == module)?;
        let text = source.text_of(&format!("{path}{SUFFIX}"));
        let functions = Outline::of(self.engine, text, Position::NONE).functions;
        let named = functions.iter().filter(|function| function.name == name);
        if named.clone().any(|function| function.is_private) {
            return Some("it is private there".to_owned());
        }
        let forms: Vec<_> = named
            .map(|function| {
                let name = format!("{module}::{name}");
                Signature::of_script(&Function {
                    name,
                    ..function.clone()
                })
            })
            .collect();
        if !forms.is_empty() {
            return Some(in_words(forms.iter().collect(), call.types.len(), false));
        }
        let public = functions.iter().filter(|function| !function.is_private);
        let near = nearest(name, public.map(|function| &*function.name));
        let near = near.iter().map(|near| format!("{module}::{near}"));
        did_you_mean(near.collect())
    }

    /// For a constant that a module does not show.
    fn constant_of_module(&self, source: &Source, module: &str, name: &str) -> Option<String> {
        let mut imports = self.outline.imports.iter();
        let (_, path) = imports.find(|(known, _)| known == module)?;
        let text = source.text_of(&format!("{path}{SUFFIX}"));
        let mut functions = Outline::of(self.engine, text, Position::NONE)
            .functions
            .into_iter();
        Some(if functions.any(|function| function.name == name) {
            format!("it is a function: `{module}::{name}(…)`")
        } else {
            format!("a module shows what it exports: `export const {name} = …;`")
        })
    }

    /// For a call that no function takes: its forms, if there are any, or names like it.
    fn call(&self, call: &Call<'_>) -> Option<String> {
        if call.is_closure() {
            return Some(
                "write as many parameters between `|` and `|` as it is called with; one that was kept in `this` belongs to \
                 the version of the file that made it"
                    .to_owned(),
            );
        }
        if call.types.first() == Some(&"()") || !call.is_named() && call.types.contains(&"()") {
            return Some(NOTHING.to_owned());
        }
        if !call.is_named() {
            return operator(call);
        }
        let is_at = |is: &dyn Fn(&Location) -> bool| self.location.as_ref().is_some_and(is);
        if ["int", "float"].contains(&call.name) && call.types == ["string"] {
            return said(call.name);
        }
        if is_at(&|at| at.word() == "in") {
            return Some("it looks into strings, arrays, blobs, object maps and ranges".to_owned());
        }
        let name = call.name;
        if ["after", "every"].contains(&name) && call.types.contains(&"FnPtr") {
            return Some(format!(
                "a timer has a name: `ws.{name}(1, \"later\")`, and `fn on_timer(ws, name)` is called"
            ));
        }
        let of = is_at(&|at| at.is_member(name)).then(|| call.types[0]);
        let forms: Vec<_> = self
            .signatures
            .iter()
            .filter(|known| known.name == name && !known.is_property)
            .collect();
        if forms.is_empty() {
            if of.is_none() && self.outline.visible.iter().any(|known| known == name) {
                return Some(format!(
                    "a function in a variable is called so: `{name}.call(…)`"
                ));
            }
            return said(name)
                .or_else(|| did_you_mean(self.nearest(name, of)))
                .or_else(|| synonym(name));
        }
        match of {
            Some("array") if name == "append" => {
                Some("`push` adds one value, `append` another array's".to_owned())
            }
            Some(of) if forms.iter().all(|form| form.of.is_some() && !form.fits(of)) => {
                synonym(name).or_else(|| Some(others(&forms)))
            }
            Some(of) => {
                let fitting = forms
                    .into_iter()
                    .filter(|form| form.of.is_none() || form.fits(of));
                Some(in_words(fitting.collect(), call.types.len(), true))
            }
            None => Some(in_words(forms, call.types.len(), false)),
        }
    }

    /// For a property that a value does not have.
    fn property(&self, property: &Property<'_>) -> Option<String> {
        let Property { name, of, to } = *property;
        if of == "()" {
            return Some(NOTHING.to_owned());
        }
        let before = self.location.as_ref().map_or("", Location::object);
        if of == "string" && self.outline.caught.iter().any(|caught| caught == before) {
            return Some(format!(
                "what was thrown is a string: `{before}` itself is the text"
            ));
        }
        let mut known: Vec<_> = self
            .signatures
            .iter()
            .filter(|known| known.name == name && known.fits(of))
            .collect();
        if let (
            Some(_),
            Some(Signature {
                is_property: true, ..
            }),
        ) = (to, known.first())
        {
            known.retain(|known| known.is_setter());
            return Some(match &known[..] {
                [] => "it can be read, not set".to_owned(),
                setters => in_words(setters.to_vec(), 2, true),
            });
        }
        match known.first() {
            Some(known) => Some(format!("it is a function: `{}`", known.written(true))),
            None => to
                .and_then(|_| to_a_hook(name))
                .or_else(|| said(name))
                .or_else(|| did_you_mean(self.nearest(name, Some(of))))
                .or_else(|| synonym(name)),
        }
    }

    /// For a name that nothing has here.
    fn variable(&self, name: &str) -> Option<String> {
        let outline = &self.outline;
        let is_listed = |names: &[String]| names.iter().any(|known| known == name);
        let function = outline.function();
        if function.is_some() && is_listed(&outline.constants) {
            return Some(format!("inside functions it is `global::{name}`"));
        }
        if function.is_some() && is_listed(&outline.variables) {
            return Some(format!(
                "functions do not see variables of the top level: `const {name} = …;` is `global::{name}` in them, and \
                 `this` keeps what changes"
            ));
        }
        let mut names: Vec<_> = outline.visible.iter().map(String::as_str).collect();
        let constants: Vec<_> = outline
            .constants
            .iter()
            .map(|name| format!("global::{name}"))
            .collect();
        names.extend(constants.iter().map(String::as_str));
        names.retain(|known| *known != name);
        if let near @ Some(_) = did_you_mean(nearest(name, names)) {
            return near;
        }
        let rest = self.location.as_ref().map_or("", Location::rest);
        let hint = match rest.as_bytes() {
            [b'=', b'>', ..] => Some(format!("a closure is `|{name}| …`")),
            [b'"', ..] if name == "b" => Some("a blob is made by `to_blob(\"…\")`".to_owned()),
            [b'\'', ..] if name == "f" => Some(TEMPLATE.to_owned()),
            [b'=', b'=', ..] | [b':', b':', ..] => None,
            [b'=', ..] => Some(format!("a variable is made by `let {name} = …;`")),
            [b':', ..] => Some(format!("an object map is written `#{{ {name}: … }}`")),
            [b'"' | b'`', ..] => Some(TEMPLATE.to_owned()),
            _ => None,
        };
        hint.or_else(|| parameter(name, function))
            .or_else(|| self.is_function(name))
            .or_else(|| synonym(name))
    }

    /// For a `global::` name that is not there.
    fn constant(&self, name: &str) -> Option<String> {
        let outline = &self.outline;
        if outline.variables.iter().any(|known| known == name) {
            return Some(format!(
                "only constants are global: make it `const {name} = …;`"
            ));
        }
        let near = nearest(name, outline.constants.iter().map(String::as_str));
        let near = near.into_iter().map(|name| format!("global::{name}"));
        did_you_mean(near.collect()).or_else(|| {
            Some(format!(
                "it is defined by `const {name} = …;` at the top level of this file"
            ))
        })
    }

    /// If a name is a function's, how it is called.
    fn is_function(&self, name: &str) -> Option<String> {
        let mut forms = self
            .signatures
            .iter()
            .filter(|known| known.name == name && !known.is_property);
        let of_anything = |form: &&Signature| form.of == Some("any");
        let form = forms.clone().find(of_anything).or(forms.next_back())?;
        let written = form.written(false);
        Some(format!("it is a function: `{written}`"))
    }

    fn nearest(&self, name: &str, of: Option<&str>) -> Vec<String> {
        let known = self.signatures.iter().filter(|known| match of {
            Some(of) => known.fits(of),
            None => !known.is_property,
        });
        let known: Vec<_> = known.collect();
        let found = nearest(name, known.iter().map(|known| &*known.name));
        let shown = |name: String| {
            known
                .iter()
                .find(|known| known.name == name)
                .map(|known| known.short())
        };
        found.into_iter().filter_map(shown).collect()
    }
}

/// For the name of a hook's parameter, used where it is none.
fn parameter(name: &str, function: Option<&Function>) -> Option<String> {
    if !HOOKS.iter().any(|hook| hook.params.contains(&name)) {
        return None;
    }
    Some(match function {
        None => format!(
            "the top level runs once, when the file is loaded, and has no connection: `{name}` is there in the hooks"
        ),
        Some(function) => format!(
            "a function sees only its parameters, here ({}): hand it over as one of them",
            function.params.join(", ")
        ),
    })
}

/// The forms of a function, those with as many arguments first.
fn in_words(mut forms: Vec<&Signature>, arity: usize, is_member: bool) -> String {
    forms.sort_by_key(|form| (form.arity.abs_diff(arity), form.of != Some("any")));
    let mut written: Vec<_> = forms
        .iter()
        .map(|form| format!("`{}`", form.written(is_member)))
        .collect();
    written.dedup();
    let more = written.len().saturating_sub(LISTED);
    written.truncate(LISTED);
    match more {
        0 => format!("it takes: {}", one_of(&written)),
        more => format!("it takes: {} and {more} more", written.join(", ")),
    }
}

/// The types whose values a method is for.
fn others(forms: &[&Signature]) -> String {
    let mut types: Vec<_> = forms
        .iter()
        .flat_map(|form| form.types())
        .map(str::to_owned)
        .collect();
    types.sort();
    types.dedup();
    format!("`{}` is for {}", forms[0].name, one_of(&types))
}

fn operator(call: &Call<'_>) -> Option<String> {
    let has = |of: &str| call.types.contains(&of);
    if has("string") && (has("int") || has("float")) {
        return Some(
            "`parse_int(text)` and `parse_float(text)` make a number of a string, `${number}` in a `text` a string of a number"
                .to_owned(),
        );
    }
    let is_logical = ["!", "&&", "||"].contains(&call.name);
    is_logical
        .then(|| "it works on bools: compare first, as in `n != 0` or `text != \"\"`".to_owned())
}

/// In a function that a hook calls `this` is bound only if it is asked for.
fn this(error: &EvalAltResult) -> String {
    let mut function = None;
    let mut error = error;
    while let EvalAltResult::ErrorInFunctionCall(name, _, inner, _) = error {
        (function, error) = (Some(name), inner);
    }
    match function {
        Some(name) if !name.starts_with("anon$") && name != BOUND => format!(
            "hooks have it; a function that they call has it when it is called as `this.{name}(…)`"
        ),
        _ => {
            "hooks have it, closures do not: copy what the closure needs into a variable before it"
                .to_owned()
        }
    }
}

fn lexical(error: &LexError) -> Option<String> {
    let hint = match error {
        LexError::MalformedChar(_) => {
            "a text stands between double quotes, \"…\"; single quotes hold one character"
        }
        LexError::UnterminatedString => {
            "between double quotes it ends on its line; between backticks, `…`, it may go on"
        }
        LexError::MalformedEscapeSequence(_) => {
            "there are \\\\ \\\" \\n \\r \\t, \\x41 and \\u20ac; between backticks nothing is escaped"
        }
        LexError::UnexpectedInput(text) if text == "}" => {
            "there is one `}` too many, here or before"
        }
        LexError::UnexpectedInput(text) => return characters::advice(text.chars().next()?),
        _ => return None,
    };
    Some(hint.to_owned())
}

/// For a text that begins with a quotation mark, and ends with one of another keyboard.
fn other_quote(location: &Location) -> Option<String> {
    let (begin, rest) = (location.word().chars().next()?, location.rest());
    let found = rest.chars().find(|c| characters::is_quote(*c, begin))?;
    characters::advice(found)
}

fn unclosed(outline: &Outline) -> Option<String> {
    let (open, position) = outline.unclosed?;
    Some(format!(
        "the `{open}` in line {} is not closed",
        position.line()?
    ))
}

/// Bytes of a name that is compared with others; a peer's message as a name would take for ever.
const LONGEST: usize = 64;

/// The names most like one: the same but for `_` and case, a few letters away, or one the beginning of the other.
fn nearest<'n>(name: &str, known: impl IntoIterator<Item = &'n str>) -> Vec<String> {
    let bare = |name: &str| {
        name.rsplit("::")
            .next()
            .unwrap_or(name)
            .replace('_', "")
            .to_lowercase()
    };
    if name.len() > LONGEST {
        return Vec::new();
    }
    let wanted = bare(name);
    let far = wanted.chars().count() / 3;
    let likeness = |known: &str| {
        let known = bare(known);
        let steps = strsim::osa_distance(&wanted, &known);
        let begins = known.len() >= 3 && wanted.starts_with(&known)
            || wanted.len() >= 3 && known.starts_with(&wanted);
        match steps {
            0 => Some(0),
            steps if steps <= far.max(1) && wanted.len() > 1 => Some(steps),
            _ if begins => Some(far + 2),
            _ => None,
        }
    };
    let mut found: Vec<_> = known
        .into_iter()
        .filter_map(|known| Some((likeness(known)?, known)))
        .collect();
    found.sort_by_key(|(steps, known)| (*steps, Reverse(known.len()), *known));
    found.dedup();
    let best = found.first().map(|(steps, _)| *steps);
    let alike = found
        .into_iter()
        .take_while(|(steps, _)| Some(*steps) == best);
    alike.take(2).map(|(_, name)| name.to_owned()).collect()
}

fn said(name: &str) -> Option<String> {
    foreign::said(name).map(str::to_owned)
}

/// For a property that is to be set and would be a hook elsewhere.
fn to_a_hook(name: &str) -> Option<String> {
    let hook = foreign::hook(name)?;
    Some(format!("there is a hook for it: `{}`", hook.definition()))
}

/// For `||` between values that are no bools.
fn default(location: Location) -> Option<String> {
    let before = location.text[..location.span().start].trim_end();
    (before.ends_with("||") || location.rest().starts_with("||")).then(|| {
        "`||` works on bools; `value ?? other` is the other if the value is `()`".to_owned()
    })
}

fn synonym(name: &str) -> Option<String> {
    did_you_mean(
        foreign::synonym(name)
            .map(str::to_owned)
            .into_iter()
            .collect(),
    )
}

fn did_you_mean(names: Vec<String>) -> Option<String> {
    let quoted: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
    (!quoted.is_empty()).then(|| format!("did you mean {}?", one_of(&quoted)))
}

fn one_of(items: &[String]) -> String {
    match items {
        [front @ .., last] if !front.is_empty() => format!("{} or {last}", front.join(", ")),
        items => items.concat(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_near_or_are_not_named() {
        let known = [
            "send",
            "send_json",
            "close",
            "len",
            "starts_with",
            "header",
            "headers",
            "x",
        ];
        for (name, near) in [
            ("sned", &["send"][..]),
            ("length", &["len"]),
            ("startsWith", &["starts_with"]),
            ("heaers", &["headers"]),
            ("greet", &[]),
            ("y", &[]),
        ] {
            assert_eq!(nearest(name, known), near, "{name}");
        }
    }
}
