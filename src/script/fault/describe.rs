//! Rhai's errors in plain words: one sentence each, without the position that the excerpt shows.

use std::fmt::{self, Write};

use rhai::{EvalAltResult, LexError, ParseErrorType};

use super::{Location, characters};
use crate::config::limits::SCRIPT;
use crate::machine::budget::Stop;
use crate::machine::error::HostError;
use crate::machine::host::Function;
use crate::machine::modules::BOUND;
use crate::script::api::PACKAGES;

/// Characters that a report shows of what scripts and peers make: the rest would only fill the log.
const SHOWN: usize = 400;

/// Returns the message for a run-time error: what failed, and where.
pub fn run(error: &EvalAltResult, location: Option<&Location>) -> String {
    // Names can come from peers too: `Fn(message)`.
    shown(format_args!("{}", failure(error, location)))
}

fn failure(error: &EvalAltResult, location: Option<&Location>) -> String {
    use EvalAltResult as Error;
    if let Some(stop) = Stop::of(error) {
        return self::stop(stop);
    }
    match error {
        Error::ErrorRuntime(value, _) => match value.read_lock::<HostError>() {
            Some(error) => error.message.to_string(),
            None if value.is_string() => shown(format_args!("thrown: {value}")),
            None => shown(format_args!("thrown: {value:?}")),
        },
        Error::ErrorFunctionNotFound(signature, _) => match Call::of(signature) {
            Some(call) => call.missing(location),
            None if signature.starts_with("elements ") => signature.clone(),
            None => format!("there is no function `{signature}`"),
        },
        Error::ErrorVariableNotFound(name, _) => format!("there is no variable `{name}`"),
        Error::ErrorModuleNotFound(name, _) => format!("there is no module `{name}`"),
        Error::ErrorDotExpr(text, _) => match Property::of(text) {
            Some(Property { name, of, to: None }) => format!("{of} has no property `{name}`"),
            Some(Property {
                name,
                of,
                to: Some(to),
            }) if !is_property(name) => {
                format!(
                    "{of} has no property `{name}` that can be set{}",
                    set_to(to)
                )
            }
            Some(Property {
                name,
                of,
                to: Some(to),
            }) => format!("the property `{name}` of {of} cannot be set{}", set_to(to)),
            None => sentence(text),
        },
        Error::ErrorDataRace(text, _) if missing_of_ws(text, location).is_some() => {
            let name = missing_of_ws(text, location).unwrap_or_default();
            format!("there is no `{name}(…)` for WebSocket")
        }
        Error::ErrorDataRace(text, _) => match setter(text) {
            Some(name) if !is_property(name) => {
                format!("there is no property `{name}` that can be set")
            }
            Some(name) => {
                format!("what has the property `{name}` is in use by the call that is running")
            }
            None => {
                let text = text.replace("argument #1 of function", "the first value of");
                format!(
                    "{} is in use by the call that is running",
                    text.replace('\'', "`")
                )
            }
        },
        Error::ErrorIndexingType(types, _) => match types.split_once(" [") {
            Some((of, index)) => {
                let index = index.split(']').next().unwrap_or(index);
                format!("{} cannot be indexed with {}", plain(of), plain(index))
            }
            None => format!("{} cannot be indexed", plain(types)),
        },
        Error::ErrorMismatchDataType(wanted, found, _)
            if !wanted.is_empty() && !found.is_empty() =>
        {
            format!("{} is wanted here, not {}", plain(wanted), plain(found))
        }
        Error::ErrorFor(_) => "`for` cannot go through this value".to_owned(),
        Error::ErrorUnboundThis(_) => "`this` is not bound here".to_owned(),
        Error::ErrorAssignmentToConstant(name, _) => {
            format!("`{name}` is a constant and cannot be changed")
        }
        Error::ErrorNonPureMethodCallOnConstant(name, _) if !name.contains('$') => {
            format!("`{name}` would change a constant")
        }
        Error::ErrorArithmetic(text, _) if text.starts_with(UNPARSED) => {
            format!("this is no {}", &text[UNPARSED.len()..])
        }
        Error::ErrorTooManyVariables(_) => "there are too many variables at once".to_owned(),
        Error::ErrorStackOverflow(_) => "functions call each other too deeply".to_owned(),
        error => {
            let text = shown(format_args!("{error}"));
            match (text.rfind(" (line "), error.position().is_none()) {
                (Some(at), false) => sentence(&text[..at]),
                _ => sentence(&text),
            }
        }
    }
}

/// Returns the message for a parse error: what keeps a source from being compiled.
pub fn parse(error: &ParseErrorType) -> String {
    use ParseErrorType as Error;
    match error {
        Error::VariableUndefined(name) => format!("there is no variable `{name}`"),
        Error::ModuleUndefined(name) => format!("there is no module `{name}`"),
        Error::MissingToken(token, _) if token == ";" => "a `;` is missing before this".to_owned(),
        Error::MissingToken(token, why) => format!("`{token}` is missing here, {why}"),
        Error::Reserved(word) => format!("`{word}` is reserved and cannot be used"),
        Error::AssignmentToConstant(name) if !name.is_empty() => {
            format!("`{name}` is a constant and cannot be changed")
        }
        Error::WrongFnDefinition => {
            "functions are defined at the top level, not inside a block or another function"
                .to_owned()
        }
        Error::BadInput(LexError::UnterminatedString) => {
            "the text that begins here does not end".to_owned()
        }
        Error::BadInput(LexError::MalformedChar(text)) if text.chars().count() > 1 => {
            shown(format_args!("'{text}' is more than one character"))
        }
        Error::BadInput(LexError::UnexpectedInput(text)) => match text.chars().next() {
            Some(c) if text.len() == c.len_utf8() => format!("unexpected {}", characters::named(c)),
            _ => shown(format_args!("unexpected `{text}`")),
        },
        error => sentence(&shown(format_args!("{error}"))),
    }
}

/// Returns the message for a run that was ended from outside.
pub fn stop(stop: Stop) -> String {
    match stop {
        Stop::Time(budget) => {
            format!("the hook computed for more than its budget of {budget:?} without a wait")
        }
        Stop::Operations(budget) => {
            format!("the hook ran more than its budget of {budget} operations without a wait")
        }
        Stop::Memory(budget) => format!(
            "the hook held more than its budget of {} MiB of memory",
            budget >> 20
        ),
        Stop::State => format!(
            "`this` nests more than {} levels deep, refers to itself, or keeps more than {} MiB: \
            keep less and flat data in it",
            SCRIPT.depth,
            SCRIPT.state >> 20
        ),
        Stop::Cancelled => "the hook was ended, since its peer is gone".to_owned(),
        Stop::MayNotWait => "the hook waited where it may not".to_owned(),
    }
}

/// The function or property that was used on what is in use already, which Rhai finds out before it
/// looks for it.
pub fn in_use(error: &EvalAltResult) -> Option<&str> {
    let EvalAltResult::ErrorDataRace(text, _) = error else {
        return None;
    };
    setter(text).or_else(|| callee(text))
}

/// The function whose argument is in use.
fn callee(text: &str) -> Option<&str> {
    text.split("of function '").nth(1)?.split('\'').next()
}

/// The method that was called on `ws`, if `ws` has none of this name.
pub fn missing_of_ws<'e>(text: &'e str, location: Option<&Location>) -> Option<&'e str> {
    let name = callee(text).filter(|name| !name.contains('$'))?;
    let functions = PACKAGES.iter().flat_map(|package| package.functions);
    let is_known = functions
        .flat_map(Function::forms)
        .any(|form| form.name == name);
    (!is_known && location?.object() == "ws").then_some(name)
}

/// The property whose being set Rhai tells of as a call.
pub fn setter(text: &str) -> Option<&str> {
    text.split("'set$").nth(1)?.split('\'').next()
}

/// Returns the words for the type that a property cannot be set to: none if that is not known
/// before it runs.
fn set_to(to: &str) -> String {
    match to {
        UNKNOWN => String::new(),
        to => format!(" to {to}"),
    }
}

/// Placeholder for a value's type when nothing is known of it.
pub const UNKNOWN: &str = "_";

/// Whether one of our objects has this property.
fn is_property(name: &str) -> bool {
    let functions = PACKAGES.iter().flat_map(|package| package.functions);
    let mut forms = functions.flat_map(Function::forms);
    forms.any(|form| form.is_property() && form.name == name)
}

/// Prefix of Rhai's message about a text that is no number.
const UNPARSED: &str = "Error parsing ";

/// Rhai's name for the type of a string argument.
const STRINGS: &str = "&str | ImmutableString | String";

/// A type as the reference names it.
pub fn plain(type_name: &str) -> &str {
    match type_name {
        "i64" => "int",
        "f64" => "float",
        "Fn" | "FnPtr" => "function",
        "range=" => "range",
        STRINGS => "string",
        other => other,
    }
}

/// A call that Rhai found no function for.
#[derive(Debug, PartialEq, Eq)]
pub struct Call<'e> {
    /// The function's name, or an operator.
    pub name: &'e str,
    /// Types of the arguments; for a method call the object's first.
    pub types: Vec<&'e str>,
}

impl<'e> Call<'e> {
    /// Reads `send (WebSocket, i64)`; `None` for a sentence, which Rhai has in that place now and
    /// then.
    pub fn of(signature: &'e str) -> Option<Self> {
        let (name, types) = signature.strip_suffix(')')?.split_once(" (")?;
        let types = types.split(", ").filter(|name| !name.is_empty());
        Some(Self {
            name,
            types: types.map(plain).collect(),
        })
    }

    /// Whether it is a closure's, whose name Rhai makes up.
    pub fn is_closure(&self) -> bool {
        self.name.starts_with("anon$") || self.name == BOUND
    }

    /// Whether it has a name, not a sign.
    pub fn is_named(&self) -> bool {
        self.name
            .starts_with(|c: char| c.is_alphabetic() || c == '_')
    }

    fn missing(&self, location: Option<&Location>) -> String {
        let Self { name, types } = self;
        let is_member = location.is_some_and(|at| at.is_member(name));
        match &types[..] {
            _ if self.is_closure() => {
                format!("no closure takes ({}) here", types.join(", "))
            }
            // `in` is a call of `contains` the other way round.
            [of, what] if location.is_some_and(|at| at.word() == "in") => {
                format!("`in` does not look for {what} in {of}")
            }
            [of] if !self.is_named() => format!("`{name}` does not work on {of}"),
            [left, right] if !self.is_named() => {
                format!("`{name}` does not work on {left} and {right}")
            }
            [of, rest @ ..] if is_member => {
                format!("there is no `{name}({})` for {of}", rest.join(", "))
            }
            _ => format!("there is no `{name}({})`", types.join(", ")),
        }
    }
}

/// A property that a type does not have, or does not let be set.
#[derive(Debug, PartialEq, Eq)]
pub struct Property<'e> {
    /// Name of the property.
    pub name: &'e str,
    /// The type of the object.
    pub of: &'e str,
    /// The type of the value that it was to be set to.
    pub to: Option<&'e str>,
}

impl<'e> Property<'e> {
    /// Reads Rhai's sentence about a missing getter or setter.
    pub fn of(text: &'e str) -> Option<Self> {
        let mut quoted = text.split('\'').skip(1).step_by(2);
        let (name, of) = (quoted.next()?, plain(quoted.next()?));
        let to = quoted.next().map(plain);
        Some(Self { name, of, to })
    }
}

/// One of Rhai's own messages, in the style of ours.
fn sentence(text: &str) -> String {
    let mut rest = text.chars();
    match (rest.next(), rest.clone().next()) {
        (Some(first), Some(second)) if second.is_lowercase() => {
            format!("{}{}", first.to_lowercase(), rest.as_str())
        }
        _ => text.to_owned(),
    }
}

/// A value in one line, shortened and escaped, however large it is and whoever made it.
pub fn shown(value: fmt::Arguments<'_>) -> String {
    let mut line = Line {
        text: String::new(),
        room: SHOWN,
    };
    if line.write_fmt(value).is_err() {
        line.text.push('…');
    }
    line.text
}

/// A line that takes no more than it shows: what is written stops there, so that endless values end
/// too.
struct Line {
    text: String,
    room: usize,
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            self.room = self.room.checked_sub(1).ok_or(fmt::Error)?;
            match c {
                '"' | '\'' | '\\' => self.text.push(c),
                c => self.text.extend(c.escape_debug()),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use rhai::{Array, Dynamic};

    use super::*;

    #[test]
    fn calls_are_read_from_rhais_signatures() {
        let call = Call::of("send (WebSocket, &str | ImmutableString | String, i64)");
        let types = vec!["WebSocket", "string", "int"];
        assert_eq!(
            call,
            Some(Call {
                name: "send",
                types
            })
        );
        assert_eq!(Call::of("f ()").map(|call| call.types), Some(Vec::new()));
        assert_eq!(Call::of("elements of Map cannot be sorted"), None);
    }

    /// 2^60 values if it were written out.
    #[test]
    fn what_is_shown_is_bounded_by_its_writing() {
        let value = (0..60).fold(Dynamic::from("x\n"), |value, _| {
            Dynamic::from_array(Array::from([value.clone(), value.into_shared()])).into_shared()
        });
        let text = shown(format_args!("{value:?}"));
        assert!(text.chars().count() == SHOWN + 1 && text.ends_with('…'));
    }
}
