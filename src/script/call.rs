//! One call, as a fiber runs it: a hook with its arguments, or work that must not run on a small
//! stack.
//!
//! Everything a script made is dropped here too, since freeing deeply nested data recurses.

use std::borrow::Cow;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use rhai::{Dynamic, EvalAltResult, ImmutableString};

use super::api::people;
use super::caller::{self, Caller};
use super::delivery;
use super::fault::report::{self, Excerpt, Incident};
use super::fault::{Fault, describe};
use super::handler::Handler;
use super::hook_call::HookCall;
use super::hooks::Hook;
use super::look;
use super::loops::Loop;
use super::owner::Owner;
use super::program::Program;
use super::request::Body;
use super::state::State;
use super::suite::{self, Test};
use crate::machine::budget::Stop;
use crate::machine::error::HostError;
use crate::machine::packages::json;
use crate::machine::{Limits, meter, types};
use crate::observe::event::Event;
use crate::observe::live::{self, FAULTS};
use crate::observe::one_line;
use crate::websocket::Close;
use crate::websocket::close::MAX_REASON;
use crate::websocket::close::code::NO_STATUS;

/// What a fiber is to do.
#[derive(Debug)]
pub enum Call {
    /// Run a hook.
    Hook(Box<HookCall>),
    /// Compile a handler's newest source, if it is not the one being served.
    Load(Rc<Handler>),
    /// Free a connection's state.
    Drop(State),
    /// Run a test.
    Test(Test),
}

/// What came of it.
#[derive(Debug)]
pub enum Return {
    /// A hook has ended.
    Hook {
        /// Its call.
        call: Box<HookCall>,
        /// How.
        ending: Ending,
    },
    /// A load or a drop is done.
    Done,
    /// A test has ended, with the fault that it failed for.
    Test(Option<Box<Fault>>),
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
    /// The body of the answer to a request.
    Body(Body),
    /// The handler has no such hook any more; the message that it was given.
    Absent(Dynamic),
    /// The script threw a value of its own and did not catch it.
    Thrown,
    /// It failed, as has been reported.
    Failed(Failure),
    /// It was a loop that failed, and is to begin anew.
    Again,
    /// It was cancelled.
    Cancelled,
}

/// A fault, as it is told the peer.
#[derive(Debug)]
pub struct Failure {
    /// A sentence of the server's own; on a developer's seat the fault and its place.
    pub reason: Cow<'static, str>,
    /// Whether somebody who develops would rather have the connection go on.
    pub may_go_on: bool,
}

impl Failure {
    /// One after which nothing goes on, and that says nothing of itself.
    pub fn unsaid() -> Self {
        Self {
            reason: Cow::Borrowed("the handler failed; the server's log says where"),
            may_go_on: false,
        }
    }
}

/// Runs a call. A panic of a host function ends the call, not the server.
pub fn run(call: Call) -> Return {
    match call {
        Call::Hook(call) => {
            let ran = catch_unwind(AssertUnwindSafe(|| run_hook(&call)));
            let ending = ran.unwrap_or_else(|_| {
                let (hook, owner) = (call.caller.hook, &call.caller.owner);
                call.handler.meter.failed(hook as usize);
                Event::HostPanic {
                    hook: hook.name(),
                    connection: owner.connection(),
                }
                .tell();
                Ending::Failed(Failure::unsaid())
            });
            // What nobody has taken is dropped here, too.
            drop(call.caller.args.take());
            Return::Hook { call, ending }
        }
        Call::Load(handler) => {
            handler.load();
            Return::Done
        }
        Call::Drop(state) => {
            drop(state);
            Return::Done
        }
        Call::Test(test) => {
            let whole = Fault::of_file(&test.source.file, suite::PANIC);
            let ran = catch_unwind(AssertUnwindSafe(|| test.run()));
            Return::Test(ran.unwrap_or(Err(whole)).err().map(Box::new))
        }
    }
}

fn run_hook(call: &HookCall) -> Ending {
    let HookCall {
        handler,
        caller,
        running,
    } = call;
    let (hook, owner) = (caller.hook, &caller.owner);
    let kept = running.as_ref().and_then(|running| running.get());
    let kept = kept.map(|running| Rc::clone(&running.program));
    let Some(program) = kept.or_else(|| handler.program()) else {
        return Ending::Failed(Failure::unsaid());
    };
    if !program.has(hook) {
        return match hook {
            Hook::TransferData | Hook::TransferLoop => {
                let [_, message, ..] = caller.args.take();
                Ending::Absent(message)
            }
            _ => Ending::Done,
        };
    }
    let is_news = owner.state().is_served_anew(program.source.version, hook);
    if is_news && program.has(Hook::OnReload) {
        let args = caller.args.take();
        let ws = [args[0].clone(), Dynamic::UNIT, Dynamic::UNIT, Dynamic::UNIT];
        caller.args.set(args);
        match invoke(handler, &program, &Caller::new(Hook::OnReload, owner, ws)) {
            // `on_close` is called however the connection ends.
            _ if hook == Hook::OnClose => {}
            Ending::Failed(failure) if !failure.may_go_on => return Ending::Failed(failure),
            Ending::Cancelled => return Ending::Cancelled,
            _ => {}
        }
    }
    if hook == Hook::TransferLoop
        && let Some(running) = running
    {
        running.get_or_init(|| Loop::begin(&program));
    }
    invoke(handler, &program, caller)
}

/// Runs one of a program's hooks and says how it ended.
fn invoke(handler: &Handler, program: &Rc<Program>, caller: &Rc<Caller>) -> Ending {
    let args = caller.args.take();
    let message = Excerpt::of(&args[1]);
    let ending = invoke_about(&message, args, handler, program, caller);
    if let Excerpt::Text(text) = message {
        caller.over.set(Some(text));
    }
    ending
}

/// Does so with arguments that are about this.
fn invoke_about(
    message: &Excerpt,
    mut args: [Dynamic; 4],
    handler: &Handler,
    program: &Rc<Program>,
    caller: &Rc<Caller>,
) -> Ending {
    let (hook, owner) = (caller.hook, &caller.owner);
    let (connection, state, limits) = (owner.connection(), owner.state(), &handler.limits);
    // Whoever develops is shown `this`.
    let is_stateless = !handler.dev && program.is_stateless(hook);
    let mut this = match is_stateless {
        true => Dynamic::UNIT,
        false => state.lend(|| handler.spare_state()),
    };
    // Before it is the hook's own memory that is counted.
    let cause = handler.dev.then(|| look::before(&args[1], &this));
    let cause = Cell::new(cause);
    meter::start(handler.budget(hook));
    let arguments = &mut args[..hook.info().params.len()];
    let _ = caller.served.set(Rc::clone(&program.served));
    if handler.dev
        && let Some(peer) = owner.peer()
    {
        peer.handle.served_by(program.source.version);
    }
    let begun = match hook {
        Hook::TransferData => handler.meter.begin_together(hook as usize),
        _ => handler.meter.begin(),
    };
    let result = caller::with(caller, || match (hook, owner.peer()) {
        (Hook::OnPublish, Some(peer)) => delivery::run(peer, limits, arguments, |arguments| {
            program.call(hook, &mut this, arguments)
        }),
        (Hook::OnPresence, _) => {
            people::unpack(arguments, limits)?;
            program.call(hook, &mut this, arguments)
        }
        _ => program.call(hook, &mut this, arguments),
    });
    handler.meter.ran(hook as usize, begun);
    let failed = |fault: Fault, error: Option<&EvalAltResult>| {
        handler.meter.failed(hook as usize);
        let failure = if handler.dev {
            Failure {
                reason: Cow::Owned(one_line(&fault.brief(MAX_REASON))),
                may_go_on: true,
            }
        } else {
            Failure::unsaid()
        };
        let incident = Incident {
            fault,
            hook,
            connection,
            version: program.source.version,
            about: message.note(hook),
        };
        let place = (handler.dev && live::is_on()).then(|| live_fault(&incident, owner, program));
        let report = report::log(&program.source, incident, |fault| {
            program.hint(fault, error?)
        });
        if let Some(place) = place {
            let cause = cause.take().unwrap_or_default();
            let text = match message {
                Excerpt::Text(text) => Some(text.as_str()),
                _ => None,
            };
            meter::exempt(|| match report {
                Some(report) => FAULTS.meet(live::Fault {
                    report,
                    cause: look::after(cause, text, &this),
                    ..place
                }),
                None => FAULTS.meet_again(&place),
            });
        }
        failure
    };
    let ending = match result {
        Ok(value) if hook == Hook::PassiveClosingHandshake => match answer(value) {
            Ok(close) => Ending::Answer(close),
            Err(text) => Ending::Failed(failed(program.fault_in(hook, text), None)),
        },
        Ok(value) if hook == Hook::OnRequest => match body(value, limits) {
            Ok(body) => Ending::Body(body),
            Err(text) => Ending::Failed(failed(program.fault_in(hook, text), None)),
        },
        Ok(value) if hook == Hook::OnFrame && value.as_bool() == Ok(false) => Ending::Hidden,
        Ok(_) => {
            if handler.dev && live::is_on() && FAULTS.are_there() {
                let source = &program.source;
                FAULTS.ran_well(&source.file, hook.name(), source.version);
            }
            Ending::Done
        }
        Err(error) if hook == Hook::DoExtraHandshake && is_thrown(&error) => {
            let handler = &program.source.file;
            let thrown = describe::run(error.unwrap_inner(), None);
            let thrown = thrown.as_str();
            Event::HandshakeThrown {
                handler,
                connection,
                thrown,
            }
            .tell();
            Ending::Thrown
        }
        Err(error) => program
            .fault(hook, &error)
            .map_or(Ending::Cancelled, |fault| {
                Ending::Failed(failed(fault, Some(&error)))
            }),
    };
    if is_stateless {
        // It cannot reach its state, so that this is as it was.
        return ending;
    }
    let kept = message.len() + meter::held();
    if state.is_within(meter::operations(), kept, limits) {
        return ending;
    }
    let failure = match ending {
        Ending::Failed(failure) => failure,
        _ => failed(program.fault_in(hook, describe::stop(Stop::State)), None),
    };
    state.clear();
    // What the handler knew of this connection is gone.
    Ending::Failed(Failure {
        may_go_on: false,
        ..failure
    })
}

/// A fault as somebody who looks on sees it, without its report and its cause.
fn live_fault(incident: &Incident, owner: &Owner, program: &Program) -> live::Fault {
    let Incident {
        fault,
        hook,
        connection,
        version,
        about: _,
    } = incident;
    let location = fault.location.as_ref();
    live::Fault {
        handler: program.source.file.clone(),
        version: *version,
        hook: hook.name(),
        file: fault.file.clone(),
        line: location.map_or(0, |location| location.line),
        column: location.map_or(0, |location| location.column),
        message: fault.message.clone(),
        connection: *connection,
        path: owner.peer().map_or("", |peer| &peer.place.path).to_owned(),
        ..live::Fault::default()
    }
}

/// `throw` of the script itself; a host function's error is a fault.
fn is_thrown(error: &EvalAltResult) -> bool {
    match error.unwrap_inner() {
        EvalAltResult::ErrorRuntime(value, _) => !value.is::<HostError>(),
        _ => false,
    }
}

/// What `on_request` may return.
fn body(value: Dynamic, limits: &Limits) -> Result<Body, String> {
    if value.is_unit() {
        return Ok(Body::None);
    }
    if value.is_map() || value.is_array() {
        let json = json::to_json(&value, limits).map_err(|error| error.to_string())?;
        return Ok(Body::Json(json.into()));
    }
    let name = types::name_of(&value);
    if value.is_string() {
        return Ok(Body::Text(value.into_string().unwrap_or_default()));
    }
    value.into_blob().map(Body::Bytes).map_err(|_| {
        format!(
            "on_request gave {name}: its last value is the body of the answer, a string, a blob, \
            a map or an array (as JSON), or () for none"
        )
    })
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
    // 1005 says that there was no code, so a hook that answers with what it was given answers
    // without one.
    if code == i64::from(NO_STATUS) {
        return Ok(None);
    }
    Close::checked(code, &reason).map(Some)
}
