//! Script faults for people: what is wrong, in which file and line, and a hint where one is known.
//!
//! `describe` has the words for Rhai's errors, and `report` prints the whole. `hint` knows more than the error says: what
//! the source defines (`outline`), what there is to call (`signatures`), what other languages say (`foreign`, `elsewhere`), and which
//! characters are no part of the language (`characters`).

mod characters;
pub mod describe;
mod elsewhere;
pub mod foreign;
pub mod hint;
pub mod outline;
pub mod report;
mod signatures;

use std::fmt;
use std::ops::Range;

use rhai::{EvalAltResult, ParseError, Position};

use super::meter::Stop;
use super::program::Source;
use report::render;

/// What is wrong with a script, compile-time or run-time; it is printed with its line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// How bad it is.
    pub severity: Severity,
    /// The file's name below the handler folder, with `/`.
    pub file: String,
    /// Where in the file, unless it is about the file as a whole.
    pub location: Option<Location>,
    /// What is wrong, in one line.
    pub message: String,
    /// What to do about it, in one line.
    pub hint: Option<String>,
    /// For a fault in a module, which file called it, and where.
    pub call: Option<Box<Call>>,
}

/// Where a module was called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// The file that did.
    pub file: String,
    /// Where in it.
    pub location: Location,
}

/// How bad a fault is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// Something does not work.
    Error,
    /// It works, and is probably not what was meant.
    Warning,
}

/// A place in a file, with the line that it is in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    /// What the line says.
    pub text: Box<str>,
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

    /// A fault of running a file of a source; `fallback` is shown where the error itself has no position. In a module
    /// that the file called, it is shown there, and the call too.
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

    /// In one line of at most so many bytes, such as a Close's reason holds.
    pub fn brief(&self, most: usize) -> String {
        report::brief(self, most)
    }

    /// As the log has it.
    pub fn in_log(&self, notes: &[String]) -> String {
        report::in_log(self, notes)
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

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&render(self, &[]))
    }
}

impl Severity {
    /// A word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

impl Location {
    /// A position of a text. Rhai counts lines and characters from 1, and knows no column at a line's beginning.
    pub fn of(text: &str, position: Position) -> Option<Self> {
        let line = position.line()?;
        let text = text.split('\n').nth(line - 1).unwrap_or("");
        let text = text.strip_suffix('\r').unwrap_or(text);
        Some(Self {
            line,
            column: position.position().unwrap_or(1).max(1),
            text: text.into(),
        })
    }

    /// The bytes of the word that stands here, or of the one character that is no word.
    pub fn span(&self) -> Range<usize> {
        let at = self
            .text
            .char_indices()
            .nth(self.column - 1)
            .map_or(self.text.len(), |(at, _)| at);
        let rest = &self.text[at..];
        let word = rest
            .find(|c: char| !c.is_alphanumeric() && c != '_')
            .unwrap_or(rest.len());
        // A caret needs a character to stand under.
        let first = rest.chars().next().map_or(0, char::len_utf8);
        at..at + word.max(first)
    }

    /// The word itself.
    pub fn word(&self) -> &str {
        &self.text[self.span()]
    }

    /// Whether it is this name, behind a dot: a range has two.
    pub fn is_member(&self, name: &str) -> bool {
        let before = self.text[..self.span().start].trim_end();
        self.word() == name && before.ends_with('.') && !before.ends_with("..")
    }

    /// The word before the dot that stands before this one, or before this dot; empty if there is none.
    pub fn object(&self) -> &str {
        let before = self.text[..self.span().start].trim_end();
        let before = before.strip_suffix('.').unwrap_or(before);
        let start = before.rfind(|c: char| !c.is_alphanumeric() && c != '_');
        &before[start.map_or(0, |at| at + 1)..]
    }

    /// The path of names that ends before this word or sign, such as `this.user`; empty if there is none.
    pub fn path_before(&self) -> &str {
        let before = self.text[..self.span().start].trim_end();
        let before = before.strip_suffix('.').unwrap_or(before);
        let before = before.strip_suffix('?').unwrap_or(before).trim_end();
        let (mut begin, mut inside) = (before.len(), 0);
        for (at, c) in before.char_indices().rev() {
            match c {
                ']' => inside += 1,
                '[' if inside > 0 => inside -= 1,
                _ if inside > 0 => {}
                c if c.is_alphanumeric() || c == '_' || c == '.' => {}
                _ => break,
            }
            begin = at;
        }
        &before[begin..]
    }

    /// The path of names that begins behind this operator.
    pub fn path_behind(&self) -> &str {
        let rest = self.text[self.span().start..]
            .trim_start_matches(|c: char| c.is_ascii_punctuation() && c != '_');
        let rest = rest.trim_start();
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_' && c != '.');
        &rest[..end.unwrap_or(rest.len())]
    }

    /// What stands between the parentheses behind the word, if they are closed in this line.
    pub fn argument(&self) -> Option<&str> {
        let inside = self.rest().strip_prefix('(')?;
        let mut open = 1;
        let end = inside.find(|c| {
            open += i32::from(c == '(') - i32::from(c == ')');
            open == 0
        })?;
        Some(inside[..end].trim())
    }

    /// Where a member of this name is first used, at a position or behind it.
    fn of_member(text: &str, name: &str, from: Position) -> Option<Position> {
        let first = from.line()?;
        let lines = text.split('\n').enumerate().skip(first - 1);
        let is_end = |rest: &str| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_');
        let mut found = lines.filter_map(|(number, line)| {
            let mut dots = line.match_indices('.');
            let at = dots.find_map(|(dot, _)| {
                let rest = line[dot + 1..].strip_prefix(name)?;
                is_end(rest).then_some(dot + 1)
            })?;
            let column = line[..at].chars().count() + 1;
            Some(Position::new(
                u16::try_from(number + 1).ok()?,
                u16::try_from(column).ok()?,
            ))
        });
        found.next()
    }

    /// What follows the word.
    pub fn rest(&self) -> &str {
        self.text[self.span().end..].trim_start()
    }
}

/// Why a run was ended from outside, if that is what the error says.
pub fn stopped(error: &EvalAltResult) -> Option<Stop> {
    match error.unwrap_inner() {
        EvalAltResult::ErrorTerminated(token, _) => token.read_lock::<Stop>().map(|stop| *stop),
        _ => None,
    }
}
