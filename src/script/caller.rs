//! Whose hook is running on this thread: for what it prints, and for functions that ask.

use std::cell::RefCell;
use std::rc::Rc;

use tracing::Level;

use super::api::connection::Peer;
use super::hooks::Hook;
use super::meter;
use super::program::Program;
use crate::config::limits::{LOG_LINE, LOG_RATE};
use crate::observe::{Flood, one_line};

/// A running hook.
#[derive(Debug)]
pub struct Caller {
    /// Its handler's program.
    pub program: Rc<Program>,
    /// Which hook.
    pub hook: Hook,
    /// Its connection.
    pub peer: Rc<Peer>,
}

thread_local! {
    static CALLER: RefCell<Option<Caller>> = const { RefCell::new(None) };
}

/// Runs a hook's call in its name.
pub fn with<R>(caller: Caller, call: impl FnOnce() -> R) -> R {
    CALLER.replace(Some(caller));
    let result = call();
    CALLER.take();
    result
}

/// Waits, while others run in their own names.
pub fn aside<R>(wait: impl FnOnce() -> R) -> R {
    let caller = CALLER.take();
    let result = wait();
    CALLER.replace(caller);
    result
}

/// The hook that is running.
pub fn hook() -> Option<Hook> {
    CALLER.with_borrow(|caller| caller.as_ref().map(|caller| caller.hook))
}

/// Whether the program that is running defines this hook.
pub fn has(hook: Hook) -> bool {
    CALLER.with_borrow(|caller| {
        caller
            .as_ref()
            .is_some_and(|caller| caller.program.has(hook))
    })
}

/// Who keeps the handler's own timers, in its hooks without a connection.
pub fn service() -> Option<Rc<Peer>> {
    CALLER.with_borrow(|caller| {
        let caller = caller.as_ref()?;
        matches!(caller.hook, Hook::OnLoad | Hook::OnInterval).then(|| Rc::clone(&caller.peer))
    })
}

thread_local! {
    /// What scripts log, by file.
    static PRINTED: RefCell<Flood<String>> =
        const { RefCell::new(Flood::lines_and_bytes(LOG_RATE.0, LOG_RATE.1)) };
}

/// Whether the file of the hook that runs may log another line in this second.
fn admits(bytes: usize) -> bool {
    CALLER.with_borrow(|caller| {
        let file = caller
            .as_ref()
            .map_or("", |caller| caller.program.source.file.as_str());
        PRINTED.with_borrow_mut(|printed| printed.admits_bytes(file, bytes))
    })
}

/// Once a second: says how many lines were too many.
pub fn tick() {
    PRINTED.with_borrow_mut(|printed| {
        printed.tick(|handler, lines| {
            tracing::warn!(target: "wsh_server::print", handler, "{lines} lines suppressed in a second");
        });
    });
}

/// Logs what a script prints, with whose it is. One event is one line, whatever a peer sent.
pub fn log(level: Level, text: &str) {
    let is_wanted = match level {
        Level::ERROR => tracing::enabled!(target: "wsh_server::print", Level::ERROR),
        Level::WARN => tracing::enabled!(target: "wsh_server::print", Level::WARN),
        Level::INFO => tracing::enabled!(target: "wsh_server::print", Level::INFO),
        _ => tracing::enabled!(target: "wsh_server::print", Level::DEBUG),
    };
    if !is_wanted || !admits(text.len().min(LOG_LINE)) {
        return;
    }
    let shown = &text[..text.floor_char_boundary(LOG_LINE)];
    let mut line = one_line(shown);
    if shown.len() < text.len() {
        line.push_str(&format!("… ({} bytes)", text.len()));
    }
    meter::for_others(|| say(level, &line));
}

/// Logs a line with whose it is.
fn say(level: Level, line: &str) {
    CALLER.with_borrow(|caller| {
        let caller = caller.as_ref();
        let handler = caller.map(|caller| caller.program.source.file.as_str());
        let hook = caller.map(|caller| caller.hook.name());
        let connection = caller.map(|caller| caller.peer.outbox.id());
        macro_rules! event {
            ($level:expr) => {
                tracing::event!(target: "wsh_server::print", $level, handler, hook, connection, "{line}")
            };
        }
        // The level of an event is a constant.
        match level {
            Level::ERROR => event!(Level::ERROR),
            Level::WARN => event!(Level::WARN),
            Level::INFO => event!(Level::INFO),
            _ => event!(Level::DEBUG),
        }
    });
}
