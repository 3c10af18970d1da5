//! One call, as a fiber runs it: a hook with its arguments, or work that must not run on a small stack.
//!
//! Everything a script made is dropped here too, since freeing deeply nested data recurses.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use rhai::{Dynamic, EvalAltResult, ImmutableString};

use super::api::connection::Peer;
use super::caller::{self, Caller};
use super::fault::describe;
use super::fault::report::{self, Excerpt, Incident};
use super::hooks::Hook;
use super::meter::{self, Stop};
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
    /// The connection, with its `this`.
    pub peer: Rc<Peer>,
    /// The arguments.
    pub args: [Dynamic; 4],
}

/// What came of it.
#[derive(Debug)]
pub enum Return {
    /// A hook has ended.
    Hook {
        /// Which.
        hook: Hook,
        /// How.
        ending: Ending,
    },
    /// A load or a drop is done.
    Done,
}

/// How a hook ended.
#[derive(Debug)]
pub enum Ending {
    /// It returned, or there was none.
    Done,
    /// The answer to a Close.
    Answer(Option<Close>),
    /// A frame is not for the protocol.
    Hidden,
    /// The handler has no such hook any more; the message that it was given.
    Absent(Dynamic),
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
            let (hook, connection) = (call.hook, call.peer.outbox.id());
            let failed = Return::Hook {
                hook,
                ending: Ending::Failed,
            };
            catch_unwind(AssertUnwindSafe(|| run_hook(call))).unwrap_or_else(|_| {
                tracing::error!(
                    hook = hook.name(),
                    connection,
                    "a host function panicked; please report this"
                );
                failed
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
        peer,
        args,
    } = &mut *call;
    let (hook, connection) = (*hook, peer.outbox.id());
    let ended = |ending| Return::Hook { hook, ending };
    meter::start(hook.budget(&handler.limits));
    let Some(program) = handler.program() else {
        return ended(Ending::Failed);
    };
    if !program.has(hook) {
        return ended(match hook {
            Hook::TransferData | Hook::TransferLoop => Ending::Absent(std::mem::take(&mut args[1])),
            _ => Ending::Done,
        });
    }
    let mut this = peer.state.lend(|| handler.spare_state());
    let message = Excerpt::of(&args[1]);
    let arguments = &mut args[..hook.info().params.len()];
    let caller = Caller {
        program: Rc::clone(&program),
        hook,
        peer: Rc::clone(peer),
    };
    let result = caller::with(caller, || program.call(hook, &mut this, arguments));
    let failed = |fault, error: Option<&EvalAltResult>| {
        let incident = Incident {
            fault,
            hook,
            connection,
            version: program.source.version,
            about: message.note(hook),
        };
        report::log(&program.source, incident, |fault| {
            program.hint(fault, error?)
        });
        Ending::Failed
    };
    let mut ending = match result {
        Ok(value) if hook == Hook::PassiveClosingHandshake => match answer(value) {
            Ok(close) => Ending::Answer(close),
            Err(text) => failed(program.fault_in(hook, text), None),
        },
        Ok(value) if hook == Hook::OnFrame && value.as_bool() == Ok(false) => Ending::Hidden,
        Ok(_) => Ending::Done,
        Err(error) if hook == Hook::DoExtraHandshake && is_thrown(&error) => {
            let handler = &program.source.file;
            let thrown = describe::run(error.unwrap_inner(), None);
            tracing::debug!(handler, connection, "handshake refused: {thrown}");
            Ending::Thrown
        }
        Err(error) => program
            .fault(hook, &error)
            .map_or(Ending::Cancelled, |fault| failed(fault, Some(&error))),
    };
    let kept = message.len() + meter::held();
    let limits = &handler.limits;
    if !peer.state.is_within(meter::operations(), kept, limits) {
        if !matches!(ending, Ending::Failed) {
            ending = failed(program.fault_in(hook, describe::stop(Stop::State)), None);
        }
        peer.state.clear();
    }
    ended(ending)
}

/// `throw` of the script itself; a host function's error is a fault.
fn is_thrown(error: &EvalAltResult) -> bool {
    match error.unwrap_inner() {
        EvalAltResult::ErrorRuntime(value, _) => !value.is::<super::api::HostError>(),
        _ => false,
    }
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
