//! One connection's hooks: in order, never two at once, each on a fiber that may wait.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use rhai::Dynamic;
use tokio::time::Sleep;

use super::api::connection::{Peer, Place, WebSocket};
use super::api::request::{Answer, Request};
use super::call::{Call, Ending, HookCall, Return};
use super::fiber::{Fiber, Step, Wait, Wake};
use super::hooks::Hook;
use super::program::Source;
use super::runtime::{Handler, Runtime};
use super::state::State;
use super::turns::Turn;
use crate::websocket::{Close, Event, Message, Outbox, Outcome, Session, close};

/// Why a handshake was refused without the script's saying so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// It threw: 403.
    Thrown,
    /// It failed, as has been reported: 500.
    Failed,
}

/// What a connection's script side is made of; `G` is whatever must be dropped when the connection is.
pub struct ScriptSession<G> {
    runtime: Rc<Runtime>,
    handler: Rc<Handler>,
    /// `this`.
    state: State,
    /// The `ws` of every hook, made at the first.
    socket: Dynamic,
    peer: Rc<Peer>,
    running: Option<Box<Running>>,
    _guard: G,
}

/// A hook that waits, or has not found a fiber yet.
enum Running {
    Queued(Turn, Call),
    Waiting(Fiber, Waiting),
}

#[derive(Debug)]
enum Waiting {
    Timer(Pin<Box<Sleep>>),
    Turn(Turn),
    Drained,
}

impl<G> ScriptSession<G> {
    /// A session of this handler. `connection` numbers it in the log.
    pub fn new(
        runtime: Rc<Runtime>,
        handler: Rc<Handler>,
        peer: Rc<Peer>,
        state: State,
        guard: G,
    ) -> Self {
        Self {
            runtime,
            handler,
            state,
            socket: Dynamic::UNIT,
            peer,
            running: None,
            _guard: guard,
        }
    }

    fn call(&mut self, hook: Hook, args: [Dynamic; 4], context: &mut Context<'_>) -> Poll<Ending> {
        let call = Call::Hook(Box::new(HookCall {
            handler: Rc::clone(&self.handler),
            hook,
            connection: self.peer.outbox.id(),
            state: std::mem::take(&mut self.state),
            args,
        }));
        self.begin(call, context)
    }

    fn begin(&mut self, call: Call, context: &mut Context<'_>) -> Poll<Ending> {
        if !self.runtime.fibers.is_free() {
            let mut turn = Turn::default();
            let _ = self.runtime.freed.poll(&mut turn, context);
            self.running = Some(Box::new(Running::Queued(turn, call)));
            return Poll::Pending;
        }
        match self.runtime.fibers.run(call) {
            Ok(step) => self.settle(step, context),
            Err(error) => {
                tracing::error!(
                    "no memory for a script's stack: {error}; fewer hooks may wait at once"
                );
                Poll::Ready(Ending::Failed)
            }
        }
    }

    /// Follows a fiber to its end or to a wait that is not over.
    fn settle(&mut self, mut step: Step, context: &mut Context<'_>) -> Poll<Ending> {
        loop {
            let (fiber, wait) = match step {
                Step::Returned(returned) => return Poll::Ready(self.returned(returned)),
                Step::Waits(fiber, wait) => (fiber, wait),
            };
            let mut waiting = match wait {
                Wait::Sleep(duration) => Waiting::Timer(Box::pin(tokio::time::sleep(duration))),
                Wait::Slice => Waiting::Turn(Turn::default()),
                Wait::Drained => Waiting::Drained,
            };
            if self.poll_wait(&mut waiting, context).is_pending() {
                self.running = Some(Box::new(Running::Waiting(fiber, waiting)));
                return Poll::Pending;
            }
            step = self.runtime.fibers.resume(fiber, Wake::Ready);
        }
    }

    /// Takes what a call gave back; its fiber is free for the next.
    fn returned(&mut self, returned: Return) -> Ending {
        self.runtime.freed.give();
        match returned {
            Return::Hook(state, ending) => {
                self.state = state;
                ending
            }
            Return::Done => Ending::Done,
        }
    }

    fn poll_wait(&self, waiting: &mut Waiting, context: &mut Context<'_>) -> Poll<()> {
        match waiting {
            Waiting::Timer(sleep) => sleep.as_mut().poll(context),
            Waiting::Turn(turn) => self.runtime.turns.poll(turn, context),
            // The connection's task runs whenever its stream takes bytes, and asks then.
            Waiting::Drained if self.peer.has_room() => Poll::Ready(()),
            Waiting::Drained => Poll::Pending,
        }
    }

    fn go_on(&mut self, context: &mut Context<'_>) -> Poll<Ending> {
        let Some(mut running) = self.running.take() else {
            return Poll::Ready(Ending::Done);
        };
        let ready = match &mut *running {
            Running::Queued(turn, _) => self.runtime.freed.poll(turn, context),
            Running::Waiting(_, waiting) => self.poll_wait(waiting, context),
        };
        if ready.is_pending() {
            self.running = Some(running);
            return Poll::Pending;
        }
        match *running {
            Running::Queued(_, call) => self.begin(call, context),
            Running::Waiting(fiber, _) => {
                let step = self.runtime.fibers.resume(fiber, Wake::Ready);
                self.settle(step, context)
            }
        }
    }

    /// Ends a waiting call; a script that goes on waiting is told again, and there is a bound to that.
    fn stop(&mut self) {
        match self.running.take().map(|running| *running) {
            Some(Running::Waiting(mut fiber, _)) => loop {
                match self.runtime.fibers.resume(fiber, Wake::Cancelled) {
                    Step::Returned(returned) => break drop(self.returned(returned)),
                    Step::Waits(waiting, _) => fiber = waiting,
                }
            },
            Some(Running::Queued(_, Call::Hook(call))) => self.state = call.state,
            Some(Running::Queued(_, Call::Load(_) | Call::Drop(_))) | None => {}
        }
    }

    /// The connection as scripts see it.
    fn socket(&mut self) -> Dynamic {
        if self.socket.is_unit() {
            // Shared, so that a hook's argument is a counted reference and not a new box.
            self.socket = Dynamic::from(WebSocket(Rc::clone(&self.peer))).into_shared();
        }
        self.socket.clone()
    }
}

/// Compiles a handler on first use or if its newest source does not serve yet; whether it has a program.
pub async fn ensure_loaded(runtime: &Rc<Runtime>, handler: &Rc<Handler>) -> bool {
    if !handler.is_current() {
        load(runtime, handler).await;
    }
    handler.is_loaded()
}

/// A file has a new source: if connections use it here, it is compiled now, and serves from their next hook on.
pub async fn reload(runtime: Rc<Runtime>, source: Arc<Source>) {
    if let Some(handler) = runtime.in_use(&source) {
        load(&runtime, &handler).await;
    }
}

/// Compiles a handler's newest source on a fiber, so that a large one holds up nobody.
async fn load(runtime: &Rc<Runtime>, handler: &Rc<Handler>) {
    let mut loader = ScriptSession::new(
        Rc::clone(runtime),
        Rc::clone(handler),
        nobody(0),
        State::default(),
        (),
    );
    let mut call = Some(Call::Load(Rc::clone(handler)));
    std::future::poll_fn(|context| match call.take() {
        Some(call) => loader.begin(call, context),
        None => loader.go_on(context),
    })
    .await;
}

/// A session needs a peer to wait on; before the 101 there is none yet, and nothing reaches this one.
fn nobody(connection: u64) -> Rc<Peer> {
    let place = Place {
        path: String::new(),
        protocol: String::new(),
        send_queue: usize::MAX,
    };
    Rc::new(Peer::new(
        Rc::new(Outbox::new(connection, Vec::new())),
        Rc::new(place),
    ))
}

/// Runs `do_extra_handshake`: the state that the connection goes on with, and the script's answer.
pub async fn handshake(
    runtime: &Rc<Runtime>,
    handler: &Rc<Handler>,
    connection: u64,
    request: Request,
) -> Result<(State, Answer), Refused> {
    let request = Rc::new(request);
    let argument = Dynamic::from(super::api::request::Handle(Rc::clone(&request)));
    let mut session = ScriptSession::new(
        Rc::clone(runtime),
        Rc::clone(handler),
        nobody(connection),
        State::default(),
        (),
    );
    let mut args = Some([argument, Dynamic::UNIT, Dynamic::UNIT, Dynamic::UNIT]);
    let ending = std::future::poll_fn(|context| match args.take() {
        Some(args) => session.call(Hook::DoExtraHandshake, args, context),
        None => session.go_on(context),
    })
    .await;
    match ending {
        Ending::Done | Ending::Answer(_) => {
            Ok((std::mem::take(&mut session.state), request.answer()))
        }
        Ending::Thrown => Err(Refused::Thrown),
        Ending::Failed | Ending::Cancelled => Err(Refused::Failed),
    }
}

impl<G> Session for ScriptSession<G> {
    fn start(
        &mut self,
        event: Event<'_>,
        _: &Rc<Outbox>,
        context: &mut Context<'_>,
    ) -> Poll<Outcome> {
        let unit = || Dynamic::UNIT;
        let (hook, args) = match event {
            Event::Opened if !self.handler.has(Hook::OnOpen) => return Poll::Ready(Outcome::Done),
            Event::Opened => (Hook::OnOpen, [self.socket(), unit(), unit(), unit()]),
            Event::Message(message) => {
                let message = match message {
                    Message::Text(text) => Dynamic::from(rhai::ImmutableString::from(&*text)),
                    Message::Binary(bytes) => Dynamic::from_blob(bytes.into_owned()),
                };
                (Hook::TransferData, [self.socket(), message, unit(), unit()])
            }
            Event::CloseRequested(close) => {
                let Close { code, reason } = close.unwrap_or(Close {
                    code: close::code::NO_STATUS,
                    reason: "".into(),
                });
                (
                    Hook::PassiveClosingHandshake,
                    [
                        self.socket(),
                        i64::from(code).into(),
                        (&*reason).into(),
                        unit(),
                    ],
                )
            }
            Event::Closed { .. } if !self.handler.has(Hook::OnClose) => {
                return Poll::Ready(Outcome::Done);
            }
            Event::Closed {
                code,
                reason,
                was_clean,
            } => (
                Hook::OnClose,
                [
                    self.socket(),
                    i64::from(code).into(),
                    (&*reason).into(),
                    was_clean.into(),
                ],
            ),
        };
        self.call(hook, args, context).map(outcome)
    }

    fn resume(&mut self, context: &mut Context<'_>) -> Poll<Outcome> {
        self.go_on(context).map(outcome)
    }

    fn cancel(&mut self) {
        self.stop();
    }

    fn answers_close(&self) -> bool {
        self.handler.has(Hook::PassiveClosingHandshake)
    }
}

fn outcome(ending: Ending) -> Outcome {
    match ending {
        Ending::Done | Ending::Cancelled => Outcome::Done,
        Ending::Answer(close) => Outcome::Answer(close),
        Ending::Thrown | Ending::Failed => Outcome::Failed,
    }
}

impl<G> Drop for ScriptSession<G> {
    fn drop(&mut self) {
        self.stop();
        let state = std::mem::take(&mut self.state);
        // Freeing nested data needs the large stack.
        if state.nests()
            && let Err(error) = self.runtime.fibers.run(Call::Drop(state))
        {
            tracing::error!("no memory for a script's stack: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::limits;

    const NAP: &str = "fn transfer_data(ws, message) { sleep(1.0); ws.send(message); }";

    fn session(runtime: &Rc<Runtime>, source: &Arc<Source>, connection: u64) -> ScriptSession<()> {
        let peer = nobody(connection);
        ScriptSession::new(
            Rc::clone(runtime),
            runtime.handler(source),
            peer,
            State::default(),
            (),
        )
    }

    async fn message(session: &mut ScriptSession<()>) -> Outcome {
        let outbox = Rc::clone(&session.peer.outbox);
        let mut event = Some(Event::Message(Message::Text("hello".into())));
        std::future::poll_fn(|context| match event.take() {
            Some(event) => session.start(event, &outbox, context),
            None => session.resume(context),
        })
        .await
    }

    /// More hooks than fibers: each waits for one that is free, and one that is cancelled holds up nobody.
    #[tokio::test(start_paused = true)]
    async fn hooks_without_a_fiber_wait_for_one() {
        let runtime = Rc::new(Runtime::new(super::super::Limits {
            fibers: 1,
            ..limits::SCRIPT
        }));
        let source = Arc::new(Source {
            file: "nap_wsh.rhai".into(),
            text: NAP.into(),
            version: 1,
        });
        let mut sessions: Vec<_> = (0..4)
            .map(|number| session(&runtime, &source, number))
            .collect();
        let [first, second, third, fourth] = &mut sessions[..] else {
            unreachable!("four of them")
        };
        let cancelled = async {
            let handling =
                tokio::time::timeout(std::time::Duration::from_millis(1500), message(third));
            assert!(handling.await.is_err());
            third.cancel();
        };
        let began = tokio::time::Instant::now();
        let (first, second, (), fourth) =
            tokio::join!(message(first), message(second), cancelled, message(fourth));
        assert_eq!([first, second, fourth], [const { Outcome::Done }; 3]);
        assert_eq!(began.elapsed().as_secs(), 3);
        assert!(sessions.iter().all(|session| session.running.is_none()));
    }
}
