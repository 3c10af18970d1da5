//! Hints about an error, where more is known than the error says: what there is, what was probably
//! meant.
//!
//! Nothing of this is looked at before something has failed, and then it is collected anew.

mod lookup;
mod near;
mod nothing;
mod phrases;

use rhai::{Engine, EvalAltResult, LexError, ParseError, ParseErrorType};

use lookup::Lookup;

use super::describe::{self, Call, Property};
use super::elsewhere::{self, Used};
use super::foreign;
use super::outline::{self, Outline};
use super::{Location, characters};
use crate::machine::budget::Stop;
use crate::machine::error::HostError;
use crate::machine::modules::BOUND;
use crate::machine::source::Source;
use phrases::to_a_hook;

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
    let missing = match error.err_type() {
        Error::MissingToken(token, _) => token.as_str(),
        _ => "",
    };
    let form = location
        .as_ref()
        .and_then(|at| foreign::form_here(at, missing));
    if form.is_some() {
        return form;
    }
    if let Some(location) = &location
        && let Some(hint) = foreign::said_here(location)
        && !lookup().is_own(location.word())
    {
        return Some(hint.to_owned());
    }
    let unclosed = || unclosed(&Outline::of(engine, text, position));
    match error.err_type() {
        Error::VariableUndefined(name) => lookup().variable(name),
        Error::ModuleUndefined(name) => elsewhere::said(name, Used::Free)
            .map(str::to_owned)
            .or_else(|| {
                Some(format!(
                    "`import \"file\" as {name};` at the top of the file brings \
                one in"
                ))
            }),
        Error::MissingToken(_, why) if why.contains("iteration variable") => {
            Some("a loop is written `for i in 0..10 { … }` or `for item in array { … }`".to_owned())
        }
        Error::MissingToken(token, _)
            if token == "]" && location.as_ref().is_some_and(|at| at.word() == ":") =>
        {
            Some(
                "a part of a string is `text.sub_string(start, length)`, of an array \
                `array.extract(start..end)`"
                    .to_owned(),
            )
        }
        Error::MismatchedType(wanted, _) if wanted.contains("bool") => location
            .and_then(default)
            .or_else(|| Some(CONDITION.to_owned())),
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
        Error::BadInput(error @ LexError::UnexpectedInput(_)) => lexical(error).or_else(unclosed),
        Error::BadInput(LexError::UnterminatedString) => location
            .as_ref()
            .and_then(other_quote)
            .or_else(|| lexical(&LexError::UnterminatedString)),
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
            let found = error.message.split(" a blob, not ").nth(1)?;
            let found = found.split(':').next().unwrap_or(found);
            let method = outline::method_in_argument(engine, source.text_of(file), *at);
            let method = method.filter(|method| found == "()" && elsewhere::is_in_place(method));
            match method.filter(|method| !lookup().is_own(method)) {
                Some(method) => Some(format!(
                    "`{method}` changes the value itself and gives nothing: call it first, then \
                    hand the variable over"
                )),
                None => lookup()
                    .location?
                    .argument()
                    .and_then(|sent| no_message(sent, found)),
            }
        }
        Error::ErrorDataRace(text, _) => describe::setter(text).and_then(to_a_hook).or_else(|| {
            let name = describe::in_use(inner)?;
            elsewhere::said(name, Used::Connection).map(str::to_owned)
        }),
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
            "bool" => lookup()
                .location
                .and_then(default)
                .or_else(|| Some(CONDITION.to_owned())),
            "int" if lookup().is_of_query() => Some(lookup::query("name")),
            "char" => Some("a character stands between single quotes: 'x'".to_owned()),
            _ => None,
        },
        Error::ErrorIndexingType(types, _) if types.starts_with("() ") => {
            let begin = if types.contains("[i64]") { "[]" } else { "#{}" };
            Some(nothing::of_member(lookup().location.as_ref(), Some(begin)))
        }
        Error::ErrorFor(_) => Some(
            "it goes through arrays, strings, blobs and ranges such as `0..10`; of an object map \
            through `map.keys()` and \
             `map.values()`"
                .to_owned(),
        ),
        Error::ErrorAssignmentToConstant(..) | Error::ErrorNonPureMethodCallOnConstant(..) => {
            let is_global = |at: Location| at.text.contains("global::");
            Some(match lookup().location.is_some_and(is_global) {
                true => format!(
                    "`this` keeps what changes, for one connection; \
                    {}",
                    elsewhere::SHARED
                ),
                false => CONSTANT.to_owned(),
            })
        }
        Error::ErrorTooManyVariables(_) => Some(format!(
            "the server's bound is {}: keep many values in an array or an object map",
            engine.max_variables()
        )),
        Error::ErrorStackOverflow(_) => Some(format!(
            "the server's bound is {} levels: a function that calls itself must end, and a loop \
            has no such bound",
            engine.max_call_levels()
        )),
        Error::ErrorTerminated(..) => match Stop::of(error)? {
            Stop::Time(_) | Stop::Operations(_) => Some(
                "a loop that is meant to be long may wait now and then: `sleep(0.0)` begins a \
                    new budget"
                    .to_owned(),
            ),
            Stop::Memory(_) | Stop::State | Stop::Cancelled | Stop::MayNotWait => None,
        },
        _ => None,
    }
}

/// Said where a condition is no bool.
const CONDITION: &str = "a condition is a bool: compare, as in `n != 0` or `text != \"\"`";

/// Said where a constant is to be changed.
const CONSTANT: &str = "copy it into a variable first, or keep what changes in `this`";

/// For what is sent as a message and is none, by how it is written and its type.
fn no_message(sent: &str, found: &str) -> Option<String> {
    let table = ["headers", "query_params", "cookies", "params"]
        .into_iter()
        .find(|table| {
            ['.', '[']
                .iter()
                .any(|sign| sent.contains(&format!(".{table}{sign}")))
        });
    match (found, table) {
        ("array", Some("headers" | "query_params")) => Some(format!(
            "a name may come several times, so each has an array: `{sent}?[0]` is the first, or \
            `()`"
        )),
        ("()", Some("headers")) if sent.contains(char::is_uppercase) => {
            let name = sent.split('"').nth(1)?;
            let object = sent.split('.').next()?;
            Some(format!(
                "headers are named in lower case here; `{object}.header(\"{name}\")` takes a name \
                in any case"
            ))
        }
        ("()", _) => nothing::of_path(sent),
        ("char", _) => Some(format!(
            "a single character is no string: `{sent}.to_string()` is one, and `text.sub_string(0, \
            1)`"
        )),
        ("int" | "float" | "bool", _) if !sent.contains('`') => Some(format!(
            "a text with the value in it stands between backticks: `${{{sent}}}`"
        )),
        ("function", _) => Some("a function is called first: `f.call(…)`".to_owned()),
        _ => None,
    }
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
            "there are \\\\ \\\" \\n \\r \\t, \\x41 and \\u20ac; between backticks nothing is \
            escaped"
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

/// For `||` between values that are no bools.
fn default(location: Location) -> Option<String> {
    let before = location.text[..location.span().start].trim_end();
    (before.ends_with("||") || location.rest().starts_with("||")).then(|| {
        "`||` works on bools; `value ?? other` is the other if the value is `()`".to_owned()
    })
}
