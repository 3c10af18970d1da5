//! Script faults for people: what is wrong, in which file and line, and a hint where one is known.
//!
//! `describe` has the words for Rhai's errors, and `report` prints the whole. `hint` knows more
//! than the error says: what the source defines (`outline`), what there is to call (`signatures`),
//! what other languages say (`foreign`, `elsewhere`), and which characters are no part of the
//! language (`characters`).

mod characters;
pub mod describe;
mod elsewhere;
pub mod foreign;
pub mod hint;
mod location;
pub mod outline;
pub mod report;
mod signatures;

use rhai::{EvalAltResult, ParseError, Position};

use crate::machine::source::Source;
pub use location::Location;

/// Diagnostic about a script, compile-time or run-time; it is printed with its line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Severity: error or warning.
    pub severity: Severity,
    /// The file's name below the handler folder, with `/`.
    pub file: String,
    /// Location in the file, unless it is about the file as a whole.
    pub location: Option<Location>,
    /// Message that says what is wrong, in one line.
    pub message: String,
    /// Hint that says what to do about it, in one line.
    pub hint: Option<String>,
    /// For a fault in a module, which file called it, and where.
    pub call: Option<Box<Call>>,
}

/// Call site of a module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// The file that did.
    pub file: String,
    /// Location of the call in that file.
    pub location: Location,
}

/// Severity of a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// Something does not work.
    Error,
    /// It works, and is probably not what was meant.
    Warning,
}

impl Fault {
    /// A fault at a position of a file; `Position::NONE` is the file as a whole.
    pub fn new(file: &str, text: &str, position: Position, message: impl Into<String>) -> Self {
        Self {
            location: Location::of(text, position),
            ..Self::of_file(file, message)
        }
    }

    /// A fault of a file as a whole.
    pub fn of_file(file: &str, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            file: file.to_owned(),
            location: None,
            message: message.into(),
            hint: None,
            call: None,
        }
    }

    /// A fault that keeps a file from being compiled.
    pub fn from_parse(file: &str, text: &str, error: &ParseError) -> Self {
        let message = describe::parse(error.err_type());
        Self::new(file, text, error.position(), message)
    }

    /// A fault of running a file of a source; `fallback` is shown where the error itself has no
    /// position. In a module that the file called, it is shown there, and the call too.
    pub fn from_run(
        source: &Source,
        file: &str,
        error: &EvalAltResult,
        fallback: Position,
    ) -> Self {
        let (mut at, mut inner, mut call) = (file, error, None);
        while let EvalAltResult::ErrorInFunctionCall(_, callee, error, position) = inner {
            if callee != at && !callee.is_empty() {
                call.get_or_insert(*position);
                at = callee;
            }
            inner = error;
        }
        let is_here = at == file;
        let position = match inner.position() {
            Position::NONE if is_here => match describe::in_use(inner) {
                Some(name) => {
                    Location::of_member(source.text_of(at), name, fallback).unwrap_or(fallback)
                }
                None => fallback,
            },
            position => position,
        };
        let mut fault = Self::new(at, source.text_of(at), position, "");
        fault.message = describe::run(inner, fault.location.as_ref());
        if !is_here {
            let call = call.and_then(|position| Location::of(source.text_of(file), position));
            let file = file.to_owned();
            fault.call = call.map(|location| Box::new(Call { file, location }));
        }
        fault
    }

    /// The same, with a hint.
    pub fn with_hint(self, hint: Option<String>) -> Self {
        Self { hint, ..self }
    }

    /// The same, as a warning.
    pub fn into_warning(self) -> Self {
        Self {
            severity: Severity::Warning,
            ..self
        }
    }
}

impl Severity {
    /// Returns the severity as a word: `error` or `warning`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}
