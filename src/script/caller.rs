//! Whose hook is running on this thread, for what it prints.

use std::cell::RefCell;
use std::rc::Rc;

use super::hooks::Hook;
use super::program::Program;

/// A running hook.
#[derive(Debug)]
pub struct Caller {
    /// Its handler's program.
    pub program: Rc<Program>,
    /// Which hook.
    pub hook: Hook,
    /// The connection's number.
    pub connection: u64,
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

/// Logs what a script prints, with whose it is. One event is one line, whatever a peer sent.
pub fn print(text: &str) {
    let text = one_line(text);
    CALLER.with_borrow(|caller| match caller {
        Some(Caller {
            program,
            hook,
            connection,
        }) => {
            let (handler, hook) = (program.source.file.as_str(), hook.name());
            tracing::info!(target: "wsh_server::print", handler, hook, connection, "{text}");
        }
        None => tracing::info!(target: "wsh_server::print", "{text}"),
    });
}

/// A text with its control characters escaped.
pub fn one_line(text: &str) -> String {
    text.chars()
        .fold(String::with_capacity(text.len()), |mut line, c| {
            if c.is_control() {
                line.extend(c.escape_default());
            } else {
                line.push(c);
            }
            line
        })
}
