//! Script faults for people: where, the line itself, and what to do.

use std::fmt;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use rhai::{EvalAltResult, Position};

use super::api::HostError;
use super::caller::one_line;
use super::meter::Stop;
use super::program::Source;

/// A fault of a script, compile-time or run-time, ready to be printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// One line: what is wrong.
    pub message: String,
    /// The whole report: message, `file:line:column`, the line with a caret.
    pub report: String,
}

impl Fault {
    /// A fault at a position of a source; `Position::NONE` is the file as a whole.
    pub fn new(source: &Source, position: Position, message: impl Into<String>) -> Self {
        let message = message.into();
        let report = match span(&source.text, position) {
            Some(span) => {
                let snippet = Snippet::source(&*source.text)
                    .path(&*source.file)
                    .fold(true)
                    .annotation(AnnotationKind::Primary.span(span));
                Renderer::plain()
                    .render(&[Level::ERROR.primary_title(&message).element(snippet)])
                    .to_string()
            }
            None => format!("error: {message}\n --> {}", source.file),
        };
        Self { message, report }
    }

    /// A fault of running a script; `fallback` is shown where the error itself has no position.
    pub fn from_run(source: &Source, error: &EvalAltResult, fallback: Position) -> Self {
        let inner = error.unwrap_inner();
        let position = if inner.position().is_none() {
            fallback
        } else {
            inner.position()
        };
        Self::new(source, position, describe(inner))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.report)
    }
}

/// Why a run was ended from outside, if that is what the error says.
pub fn stopped(error: &EvalAltResult) -> Option<Stop> {
    match error.unwrap_inner() {
        EvalAltResult::ErrorTerminated(token, _) => token.read_lock::<Stop>().map(|stop| *stop),
        _ => None,
    }
}

/// How Rhai writes the type of a string argument.
const STRINGS: &str = "&str | ImmutableString | String";

/// The error in a sentence, without the position that the excerpt shows.
fn describe(error: &EvalAltResult) -> String {
    match stopped(error) {
        Some(Stop::Time(budget)) => {
            return format!(
                "the hook computed for more than its budget of {budget:?} without a wait"
            );
        }
        Some(Stop::Operations(budget)) => {
            return format!(
                "the hook ran more than its budget of {budget} operations without a wait"
            );
        }
        Some(Stop::Cancelled) | None => {}
    }
    if let EvalAltResult::ErrorRuntime(value, _) = error {
        return match (
            value.read_lock::<HostError>(),
            value.as_immutable_string_ref(),
        ) {
            (Some(error), _) => error.message.to_string(),
            (None, Ok(text)) => format!("thrown: {}", one_line(&text)),
            (None, Err(_)) => format!("thrown: {}", one_line(&format!("{value:?}"))),
        };
    }
    if let EvalAltResult::ErrorFunctionNotFound(signature, _) = error {
        // Rhai names every type that a string can be.
        return format!(
            "no function {}",
            signature.replace(STRINGS, "string").replacen(" (", "(", 1)
        );
    }
    let text = error.to_string();
    match (text.rfind(" (line "), error.position().is_none()) {
        (Some(at), false) => text[..at].to_owned(),
        _ => text,
    }
}

/// The byte range of the word at a position; Rhai counts lines from 1 and characters from 1.
fn span(text: &str, position: Position) -> Option<std::ops::Range<usize>> {
    let line_number = position.line()?;
    let start: usize = text
        .split_inclusive('\n')
        .take(line_number - 1)
        .map(str::len)
        .sum();
    let line = text[start..].lines().next().unwrap_or("");
    let column = position.position().unwrap_or(1).max(1) - 1;
    let at = line
        .char_indices()
        .nth(column)
        .map_or(line.len(), |(at, _)| at);
    let word = line[at..]
        .find(|c: char| !c.is_alphanumeric() && c != '_')
        .unwrap_or(line.len() - at);
    // A caret needs a character to stand under; at a line's end that is the line break.
    let end = if word == 0 {
        line[at..].chars().next().map_or(at, |c| at + c.len_utf8())
    } else {
        at + word
    };
    Some(start + at..start + end)
}
