//! Faults in print: the excerpt with a caret, whose hook met it over which message, the hint; and
//! into the log with it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::{self, Write};
use std::sync::{Mutex, PoisonError};

use annotate_snippets::{AnnotationKind, Element, Level, Origin, Renderer, Snippet};
use rhai::{Dynamic, ImmutableString};
use serde_json::json;

use super::{Fault, Location, Severity, characters};
use crate::machine::source::Source;
use crate::observe::Flood;
use crate::observe::event::{Event, text};
use crate::observe::terminal::{self, Terminal};
use crate::observe::{apart, json};
use crate::script::hooks::Hook;

/// A fault as text: message, `file:line:column`, the line with a caret, notes, the hint.
pub fn render(fault: &Fault, notes: &[String]) -> String {
    let level = match fault.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let place = match &fault.location {
        Some(location) => excerpt(Some(&fault.file), location, None),
        None => Origin::path(&*fault.file).into(),
    };
    let call = fault.call.iter();
    let call = call.map(|call| excerpt(Some(&call.file), &call.location, Some("called here")));
    let notes = notes.iter().map(|note| Level::NOTE.message(note));
    let hint = fault.hint.iter().map(|hint| Level::HELP.message(hint));
    let report = level
        .primary_title(&*fault.message)
        .element(place)
        .elements(call)
        .elements(notes.chain(hint));
    Renderer::plain().render(&[report]).to_string()
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&render(self, &[]))
    }
}

impl Fault {
    /// In one line of at most so many bytes, such as a Close's reason holds:
    /// `sum_wsh.rhai:5:16 there is no …`.
    pub fn brief(&self, most: usize) -> String {
        brief(self, most)
    }

    /// As the log has it, whoever reads that: below the fields of its event, or in the place of
    /// them.
    pub fn in_log(&self, notes: &[String]) -> String {
        match terminal::watched() {
            _ if json::is_chosen() => object(self, notes).to_string(),
            Some(terminal) => watched(self, notes, terminal),
            None => format!("\n{}\n", render(self, notes)),
        }
    }
}

/// A fault for programs.
fn object(fault: &Fault, notes: &[String]) -> serde_json::Value {
    let location = fault.location.as_ref();
    let call = fault.call.as_ref().map(|call| {
        json!({
            "file": &*call.file,
            "line": call.location.line,
            "column": call.location.column,
            "source": &*call.location.text,
        })
    });
    json!({
        "file": &*fault.file,
        "line": location.map(|location| location.line),
        "column": location.map(|location| location.column),
        "severity": fault.severity.name(),
        "message": &*fault.message,
        "hint": fault.hint.as_deref(),
        "source": location.map(|location| &*location.text),
        "called": call,
        "notes": notes,
    })
}

fn brief(fault: &Fault, most: usize) -> String {
    let file = &fault.file;
    let mut line = match &fault.location {
        Some(Location { line, column, .. }) => format!("{file}:{line}:{column} {}", fault.message),
        None => format!("{file} {}", fault.message),
    };
    if line.len() > most {
        line.truncate(line.floor_char_boundary(most.saturating_sub(MORE.len_utf8())));
        line.push(MORE);
    }
    line
}

/// Stands for what was cut off.
const MORE: char = '…';

/// Columns of what annotate-snippets puts before a note.
const MARGIN: usize = 14;

/// A fault in a terminal: a place that can be clicked, the message, the line with a caret, notes,
/// the hint.
fn watched(fault: &Fault, notes: &[String], terminal: Terminal) -> String {
    let level = match fault.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let path = terminal::path_of(&fault.file);
    let head = match &fault.location {
        Some(Location { line, column, .. }) => format!("{path}:{line}:{column}"),
        None => path,
    };
    let wrapped = |text: &str| terminal::wrapped(text, terminal::WIDTH - MARGIN);
    let place = fault
        .location
        .iter()
        .map(|location| excerpt(None, location, None));
    let callers: Vec<_> = fault
        .call
        .iter()
        .map(|call| (terminal::path_of(&call.file), &call.location))
        .collect();
    let call = callers.iter();
    let call = call.map(|(file, location)| excerpt(Some(file), location, Some("called here")));
    let notes = notes
        .iter()
        .map(|note| Level::NOTE.message(wrapped(note)).into());
    let hint = fault
        .hint
        .iter()
        .map(|hint| Level::HELP.message(wrapped(hint)).into());
    let elements: Vec<Element<'_>> = place.chain(call).chain(notes).chain(hint).collect();
    let report = level
        .no_name()
        .primary_title(terminal::wrapped(&fault.message, terminal::WIDTH))
        .elements(elements);
    let renderer = match terminal.colours {
        true => Renderer::styled(),
        false => Renderer::plain(),
    };
    let report = renderer.term_width(terminal::WIDTH).render(&[report]);
    format!("{head}\n{report}\n")
}

/// A line with a word marked, as the fault's place or with a label as another.
fn excerpt<'a>(
    file: Option<&'a str>,
    location: &'a Location,
    label: Option<&'a str>,
) -> Element<'a> {
    let kind = match label {
        None => AnnotationKind::Primary,
        Some(_) => AnnotationKind::Context,
    };
    let shown = Location {
        text: characters::visible(&location.text).into(),
        ..*location
    };
    let marked = kind.span(shown.span()).label(label);
    Snippet::source(String::from(shown.text))
        .line_start(location.line)
        .path(file)
        .annotation(marked)
        .into()
}

/// A fault that a hook met.
#[derive(Debug, Clone)]
pub struct Incident {
    /// What is wrong.
    pub fault: Fault,
    /// Which hook it was.
    pub hook: Hook,
    /// The connection's number, if it was called for one.
    pub connection: Option<u64>,
    /// The version of the handler.
    pub version: u64,
    /// What the hook was called about: a parameter's name and its value, shortened.
    pub about: Option<String>,
}

impl Incident {
    /// Whose it is, and what it is about.
    fn notes(&self) -> Vec<String> {
        let Self {
            hook,
            connection,
            version,
            ..
        } = self;
        let name = hook.name();
        let mut whose = format!("in {name} of version {version}");
        if let Some(connection) = connection {
            let _ = write!(whose, ", for connection {connection}");
        }
        [whose].into_iter().chain(self.about.clone()).collect()
    }
}

impl fmt::Display for Incident {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&render(&self.fault, &self.notes()))
    }
}

/// The last incident of each handler that was reported, and its version, from all workers: one
/// report a file.
static LAST: Mutex<BTreeMap<String, (u64, String)>> = Mutex::new(BTreeMap::new());

/// The report of the last incident that this version of a handler has met.
pub fn last_incident(handler: &Source) -> Option<String> {
    let last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    let (version, report) = last.get(&handler.file)?;
    (*version == handler.version).then(|| report.clone())
}

/// Logs an incident of a handler; the hint is only worked out for a report that is printed, which
/// is given back without colours.
pub fn log(
    handler: &Source,
    mut incident: Incident,
    hint: impl FnOnce(&Fault) -> Option<String>,
) -> Option<String> {
    let location = incident.fault.location.as_ref();
    let site = FaultKey {
        file: handler.file.clone(),
        hook: incident.hook.name(),
        line: location.map_or(0, |location| location.line),
        column: location.map_or(0, |location| location.column),
    };
    if !FLOOD.with_borrow_mut(|flood| flood.admits(&site)) {
        return None;
    }
    incident.fault.hint = hint(&incident.fault);
    // Before the line: whoever reads that may ask for the page at once.
    let plain = incident.to_string();
    if apart::is_here() {
        apart::keep(|| plain.clone());
        return Some(plain);
    }
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    last.insert(handler.file.clone(), (incident.version, plain.clone()));
    drop(last);
    let (hook, connection, version) = (incident.hook.name(), incident.connection, incident.version);
    let report = incident.fault.in_log(&incident.notes());
    Event::ScriptFault {
        hook,
        connection,
        handler: &handler.file,
        version,
        report: text(&report),
    }
    .tell();
    Some(plain)
}

/// Once a second: says how often faults were met that had been reported just before.
pub fn tick() {
    FLOOD.with_borrow_mut(|flood| {
        flood.tick(|site, times| {
            let FaultKey {
                file,
                hook,
                line,
                column,
            } = site;
            Event::ScriptFaultMore {
                hook,
                handler: file,
                line: *line,
                column: *column,
                times,
            }
            .tell();
        });
    });
}

/// Reports of one place that are printed in full in a second. Clients that run into a fault in turn
/// would fill the disk with them; a developer who tries twice sees both.
const FULL: u32 = 3;

thread_local! {
    static FLOOD: RefCell<Flood<FaultKey>> = const { RefCell::new(Flood::lines(FULL)) };
}

/// Where a hook failed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct FaultKey {
    file: String,
    hook: &'static str,
    line: usize,
    column: usize,
}

/// What a hook was called about, kept until it is known whether it is needed.
#[derive(Debug)]
pub enum Excerpt {
    /// Nothing that could be shown.
    None,
    /// A message or a name.
    Text(ImmutableString),
    /// The first bytes, and how many there were.
    Binary([u8; 16], usize),
    /// A close code.
    Number(i64),
}

/// Characters of a message that a report shows.
const MESSAGE: usize = 120;

impl Excerpt {
    /// What a report would show of an argument.
    pub fn of(value: &Dynamic) -> Self {
        if let Ok(text) = value.as_immutable_string_ref() {
            return Self::Text(text.clone());
        }
        if let Ok(blob) = value.as_blob_ref() {
            let mut front = [0; 16];
            let shown = blob.len().min(front.len());
            front[..shown].copy_from_slice(&blob[..shown]);
            return Self::Binary(front, blob.len());
        }
        value.as_int().map_or(Self::None, Self::Number)
    }

    /// Its bytes.
    pub fn len(&self) -> usize {
        match self {
            Self::None | Self::Number(_) => 0,
            Self::Text(text) => text.len(),
            Self::Binary(_, length) => *length,
        }
    }

    /// As a note: `message = "hello"`, by the name that the hook's documentation gives it.
    pub fn note(&self, hook: Hook) -> Option<String> {
        let name = hook.info().params.get(1)?;
        match self {
            Self::None => None,
            Self::Text(text) => {
                let front: String = text.chars().take(MESSAGE).collect();
                let more = if front.len() < text.len() {
                    format!("… ({} bytes)", text.len())
                } else {
                    String::new()
                };
                Some(format!("{name} = {front:?}{more}"))
            }
            Self::Binary(front, length) => {
                let front = &front[..(*length).min(front.len())];
                let more = if front.len() < *length { "… " } else { "" };
                Some(format!("{name} = {front:02x?} {more}({length} bytes)"))
            }
            Self::Number(number) => Some(format!("{name} = {number}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use rhai::Position;

    use super::*;

    #[test]
    fn a_brief_fault_is_cut_between_characters() {
        let text = "fn f() {\n    x\n}";
        let fault = |message: &str| Fault::new("a_wsh.rhai", text, Position::new(2, 5), message);
        assert_eq!(brief(&fault("no `x`"), 123), "a_wsh.rhai:2:5 no `x`");
        let whole = Fault::of_file("a_wsh.rhai", "no hook");
        assert_eq!(brief(&whole, 123), "a_wsh.rhai no hook");
        for length in 0..60 {
            let message = format!("{}{}", "x".repeat(length), "数".repeat(60));
            let line = brief(&fault(&message), 123);
            assert!((120..=123).contains(&line.len()), "{} bytes", line.len());
            assert!(line.starts_with("a_wsh.rhai:2:5 ") && line.ends_with("数…"));
        }
    }
}
