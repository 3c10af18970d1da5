//! The log, with whose line it is.

use std::cell::RefCell;

use tracing::Level;

use crate::config::limits::{LOG_LINE, LOG_RATE};
use crate::machine::host::{Allowed, Function, Package};
use crate::machine::meter;
use crate::observe::event::{Event, is_wanted};
use crate::observe::{Flood, one_line};
use crate::script::caller;

/// The functions that log.
pub const PACKAGE: Package = Package {
    name: "log",
    about: "A line of the server's log, with the handler, the hook and the connection. One event \
        is one line: line breaks and other control \
            characters are escaped, and what is longer than 8 KiB is cut. What one file logs \
            beyond 2,000 lines or 1 MiB a second \
            (on one worker) is not logged but counted, in a line of its own. Rhai's own \
            `print(value)` logs as `info` does, \
            `debug(value)` at level debug, which is shown with `--log-level debug`.",
    functions: &[
        Function {
            signatures: &["info(text: string)"],
            about: "Something worth knowing.",
            throws: &[],
            allowed: Allowed::Everywhere,
            example: "info(`${ws.id} said ${message}`);",
            register: |engine, _| {
                engine.register_fn("info", |text: &str| log(Level::INFO, text));
            },
        },
        Function {
            signatures: &["warn(text: string)"],
            about: "Something that should not be, and does no harm.",
            throws: &[],
            allowed: Allowed::Everywhere,
            example: "warn(\"no name given, using 'guest'\");",
            register: |engine, _| {
                engine.register_fn("warn", |text: &str| log(Level::WARN, text));
            },
        },
        Function {
            signatures: &["error(text: string)"],
            about: "Something that failed. The connection stays; `throw` ends it.",
            throws: &[],
            allowed: Allowed::Everywhere,
            example: "try { parse_json(message) } catch (e) { error(e.message); }",
            register: |engine, _| {
                engine.register_fn("error", |text: &str| log(Level::ERROR, text));
            },
        },
    ],
};

thread_local! {
    /// What scripts log, by file.
    static PRINTED: RefCell<Flood<String>> =
        const { RefCell::new(Flood::lines_and_bytes(LOG_RATE.0, LOG_RATE.1)) };
}

/// Whether the file of the hook that runs may log another line in this second.
fn admits(bytes: usize) -> bool {
    let caller = caller::current();
    let file = caller.as_ref().map_or("", |caller| caller.file());
    PRINTED.with_borrow_mut(|printed| printed.admits_bytes(file, bytes))
}

/// Once a second: says how many lines were too many.
pub fn tick() {
    PRINTED.with_borrow_mut(|printed| {
        printed.tick(|handler, lines| {
            Event::PrintedMore { handler, lines }.tell();
        });
    });
}

/// Logs what a script prints, with whose it is. One event is one line, whatever a peer sent.
pub fn log(level: Level, text: &str) {
    let is_wanted = match level {
        Level::ERROR => is_wanted!(Print, ERROR),
        Level::WARN => is_wanted!(Print, WARN),
        Level::INFO => is_wanted!(Print, INFO),
        _ => is_wanted!(Print, DEBUG),
    };
    if !is_wanted || !admits(text.len().min(LOG_LINE)) {
        return;
    }
    let shown = &text[..text.floor_char_boundary(LOG_LINE)];
    let mut line = one_line(shown);
    if shown.len() < text.len() {
        line.push_str(&format!("… ({} bytes)", text.len()));
    }
    meter::exempt(|| say(level, &line));
}

/// Logs a line with whose it is.
fn say(level: Level, line: &str) {
    let caller = caller::current();
    let caller = caller.as_ref();
    let handler = caller.map(|caller| caller.file());
    let hook = caller.map(|caller| caller.hook.name());
    let connection = caller.and_then(|caller| caller.owner.connection());
    macro_rules! printed {
        ($event:ident) => {
            Event::$event {
                handler,
                hook,
                connection,
                line,
            }
        };
    }
    // The level of an event is a constant.
    let event = match level {
        Level::ERROR => printed!(PrintedError),
        Level::WARN => printed!(PrintedWarning),
        Level::INFO => printed!(PrintedInfo),
        _ => printed!(PrintedDebug),
    };
    event.tell();
}
