//! One call, as a fiber runs it: a hook with its arguments, or work that must not run on a small stack.
//!
//! Everything a script made is dropped here too, since freeing deeply nested data recurses.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use rhai::{Dynamic, EvalAltResult, ImmutableString};

use super::caller::{self, Caller};
use super::error::Fault;
use super::hooks::Hook;
use super::meter;
use super::runtime::Handler;
use super::state::State;
use crate::websocket::Close;
use crate::websocket::close::code::NO_STATUS;
use crate::websocket::close::{MAX_REASON, is_sendable};

/// What a fiber is to do.
#[derive(Debug)]
pub enum Call {
    /// Run a hook. Boxed, because it goes through many hands.
    Hook(Box<HookCall>),
    /// Compile a handler's newest source, if it is not the one being served.
    Load(Rc<Handler>),
    /// Free a connection's state.
    Drop(State),
}

/// A hook's call.
#[derive(Debug)]
pub struct HookCall {
    /// Whose hook.
    pub handler: Rc<Handler>,
    /// Which.
    pub hook: Hook,
    /// The connection, for the report of a fault.
    pub connection: u64,
    /// The connection's `this`.
    pub state: State,
    /// The arguments.
    pub args: [Dynamic; 4],
}

/// What came of it.
#[derive(Debug)]
pub enum Return {
    /// The state for the next hook, and how this one ended.
    Hook(State, Ending),
    /// A load or a drop is done.
    Done,
}

/// How a hook ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Ending {
    /// It returned, or there was none.
    Done,
    /// The answer to a Close.
    Answer(Option<Close>),
    /// The script threw a value of its own and did not catch it.
    Thrown,
    /// It failed, as has been reported.
    Failed,
    /// It was cancelled.
    Cancelled,
}

/// Runs a call. A panic of a host function ends the call, not the server.
pub fn run(call: Call) -> Return {
    match call {
        Call::Hook(call) => {
            let (hook, connection) = (call.hook, call.connection);
            catch_unwind(AssertUnwindSafe(|| run_hook(call))).unwrap_or_else(|_| {
                tracing::error!(
                    hook = hook.name(),
                    connection,
                    "a host function panicked; please report this"
                );
                Return::Hook(State::default(), Ending::Failed)
            })
        }
        Call::Load(handler) => {
            handler.load();
            Return::Done
        }
        Call::Drop(state) => {
            drop(state);
            Return::Done
        }
    }
}

#[allow(
    clippy::boxed_local,
    reason = "it comes in a box, and is worked on in place"
)]
fn run_hook(mut call: Box<HookCall>) -> Return {
    let HookCall {
        handler,
        hook,
        connection,
        state,
        args,
    } = &mut *call;
    let (hook, connection) = (*hook, *connection);
    meter::start(hook.budget(&handler.limits));
    let Some(program) = handler.program() else {
        return Return::Hook(std::mem::take(state), Ending::Failed);
    };
    if !program.has(hook) {
        return Return::Hook(std::mem::take(state), Ending::Done);
    }
    let mut this = handler.unpack_state(std::mem::take(&mut state.value));
    let message = Excerpt::of(&args[1]);
    let arguments = &mut args[..hook.info().params.len()];
    let caller = Caller {
        program: Rc::clone(&program),
        hook,
        connection,
    };
    let result = caller::with(caller, || program.call(hook, &mut this, arguments));
    let report = |fault| report(fault, hook, connection, &message);
    let ending = match result {
        Ok(value) if hook == Hook::PassiveClosingHandshake => match answer(value) {
            Ok(close) => Ending::Answer(close),
            Err(text) => report(program.fault_in(hook, text)),
        },
        Ok(_) => Ending::Done,
        Err(error) if hook == Hook::DoExtraHandshake && is_thrown(&error) => Ending::Thrown,
        Err(error) => program
            .fault(hook, &error)
            .map_or(Ending::Cancelled, report),
    };
    state.value = handler.pack_state(this);
    let depth = handler.limits.depth;
    if !state.is_within(meter::operations(), depth) {
        let text = format!(
            "`this` nests more than {depth} levels deep, or refers to itself: keep flat data in it"
        );
        return Return::Hook(State::default(), report(program.fault_in(hook, text)));
    }
    Return::Hook(std::mem::take(state), ending)
}

/// `throw` of the script itself; a host function's error is a fault.
fn is_thrown(error: &EvalAltResult) -> bool {
    match error.unwrap_inner() {
        EvalAltResult::ErrorRuntime(value, _) => !value.is::<super::api::HostError>(),
        _ => false,
    }
}

fn report(fault: Fault, hook: Hook, connection: u64, message: &Excerpt) -> Ending {
    let report = format_args!("\n{fault}{message}\n");
    tracing::error!(hook = hook.name(), connection, %report, "script fault");
    Ending::Failed
}

/// What `passive_closing_handshake` may return: a code, `[code, reason]`, or `()`.
fn answer(value: Dynamic) -> Result<Option<Close>, String> {
    if value.is_unit() {
        return Ok(None);
    }
    let (code, reason) = match value.clone().into_array() {
        Ok(pair) => match <[Dynamic; 2]>::try_from(pair) {
            Ok([code, reason]) => (code.as_int(), reason.into_immutable_string()),
            Err(other) => {
                return Err(format!(
                    "passive_closing_handshake returned {} values; [code, reason] is wanted",
                    other.len()
                ));
            }
        },
        Err(_) => (value.as_int(), Ok(ImmutableString::new())),
    };
    let (Ok(code), Ok(reason)) = (code, reason) else {
        let found = value.type_name();
        return Err(format!(
            "passive_closing_handshake returned {found}; a code, [code, reason] or () is wanted"
        ));
    };
    // 1005 says that there was no code, so a hook that answers with what it was given answers without one.
    if code == i64::from(NO_STATUS) {
        return Ok(None);
    }
    checked_close(code, &reason).map(Some)
}

/// A Close from a script's code and reason, or what is wrong with them.
pub fn checked_close(code: i64, reason: &str) -> Result<Close, String> {
    let Some(code) = u16::try_from(code).ok().filter(|code| is_sendable(*code)) else {
        return Err(format!(
            "close code {code} must not be sent: use 1000 to 1003, 1007 to 1014, or 3000 to 4999 for codes of your own"
        ));
    };
    if reason.len() > MAX_REASON {
        return Err(format!(
            "a close reason has at most {MAX_REASON} bytes of UTF-8, this one has {}",
            reason.len()
        ));
    }
    Ok(Close::new(code, reason))
}

/// The message of a call, kept short for the report of a fault.
#[derive(Debug)]
enum Excerpt {
    None,
    Text(ImmutableString),
    Binary([u8; 16], usize),
}

/// Characters of a message that a report shows.
const SHOWN: usize = 120;

impl Excerpt {
    fn of(value: &Dynamic) -> Self {
        if let Ok(text) = value.as_immutable_string_ref() {
            return Self::Text(text.clone());
        }
        match value.as_blob_ref() {
            Ok(blob) => {
                let mut front = [0; 16];
                let shown = blob.len().min(front.len());
                front[..shown].copy_from_slice(&blob[..shown]);
                Self::Binary(front, blob.len())
            }
            Err(_) => Self::None,
        }
    }
}

impl std::fmt::Display for Excerpt {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::None => Ok(()),
            Self::Text(text) => {
                let shown: String = text.chars().take(SHOWN).collect();
                let more = if shown.len() < text.len() {
                    format!("… ({} bytes)", text.len())
                } else {
                    String::new()
                };
                write!(out, "\n  = message={shown:?}{more}")
            }
            Self::Binary(front, length) => {
                let shown = &front[..(*length).min(front.len())];
                write!(out, "\n  = message={shown:02x?} ({length} bytes)")
            }
        }
    }
}
