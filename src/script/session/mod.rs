//! One connection's hooks: in order, never two at once, each on a fiber that may wait.
//!
//! A hook that waits in `receive` is parked: for the connection nothing is being handled then, so
//! that its other hooks go on, and its next message resumes it. `events` says what each event of
//! the connection calls, `handshake` and `load` are work before there is one.
//!
//! A call carries with it what is to follow it, wherever it waits:
//!
//! ```text
//!            begin              settle                 follow
//! (idle) ───────────▶ runs ─────────────▶ returned ─────────────▶ (idle), or the next call
//!   no fiber is free │  ▲ │ waits            ▲
//!                    ▼  │ ▼                  │
//!             Activity::{Queued, Waiting}    │ a message, the time, the end
//!                         │ in receive       │
//!                         └────▶ Parked ─────┘
//! ```

mod again;
mod events;
mod handshake;
mod load;
#[cfg(test)]
mod tests;

use std::cell::OnceCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use rhai::{Dynamic, ImmutableString};
use tokio::time::Sleep;

use super::api::connection::WebSocket;
use super::api::dial::Handle;
use super::api::messages::of_message;
use super::call::{Call, Ending, Failure, Return};
use super::dialed::{self, Line, Lines, News};
use super::handler::Handler;
use super::hooks::Hook;
use super::loops::Loop;
use super::owner::Owner;
use super::peer::Peer;
use super::runtime::Runtime;
use crate::hub::Letter;
use crate::local::Turn;
use crate::machine::fiber;
use crate::machine::wait::{LocalBoxFuture, Wait, Wake};
use crate::observe::event;
use crate::websocket::{Close, ReadyState, close};

pub use again::{Again, run_again};
pub use handshake::{Handshake, HandshakeFailure};
pub use load::{ensure_begun, ensure_loaded, reload};

type Fiber = fiber::Fiber<Call, Return>;
type Step = fiber::Step<Call, Return>;

/// The calls of one owner's hooks; `G` is whatever must be dropped with it.
pub struct ScriptSession<G> {
    runtime: Rc<Runtime>,
    handler: Rc<Handler>,
    /// The `ws` of every hook of a connection, made at the first.
    socket: Dynamic,
    owner: Owner,
    /// The loop that it runs: the version that it began in serves the connection.
    kept: Option<Rc<OnceCell<Loop>>>,
    /// The call that is being made, unless the session is idle.
    activity: Option<Box<Activity>>,
    parked: Option<Box<Parked>>,
    /// The loop has been given a message.
    has_heard: bool,
    /// A hook has failed.
    has_failed: bool,
    _guard: G,
}

/// A call that is being made, between two looks at it.
enum Activity {
    /// It has not found a fiber yet.
    Queued(Turn, Call, Then),
    Waiting(Fiber, Waiting, Then),
}

enum Waiting {
    Until(LocalBoxFuture<()>),
    Turn(Turn),
}

type Timeout = Pin<Box<Sleep>>;

/// A hook in `receive`. Other hooks are called meanwhile, and what follows it waits with it.
struct Parked {
    fiber: Fiber,
    timeout: Option<Timeout>,
    then: Then,
}

/// What is to follow a call.
pub(super) enum Then {
    Nothing,
    /// The loop, once `on_open` is done.
    Loop,
    /// The message for the loop that is begun because of it.
    Message(Dynamic),
    /// `on_close`, once the hook in `receive` is done.
    Close(Box<[Dynamic; 4]>),
}

impl<G> ScriptSession<G> {
    /// A connection's session.
    pub fn new(runtime: Rc<Runtime>, handler: Rc<Handler>, peer: Rc<Peer>, guard: G) -> Self {
        if let Some(peers) = &runtime.peers {
            peers.enter(&peer);
        }
        Self::of(runtime, handler, Owner::Connection(peer), guard)
    }

    fn of(runtime: Rc<Runtime>, handler: Rc<Handler>, owner: Owner, guard: G) -> Self {
        Self {
            runtime,
            handler,
            socket: Dynamic::UNIT,
            owner,
            kept: None,
            activity: None,
            parked: None,
            has_heard: false,
            has_failed: false,
            _guard: guard,
        }
    }

    #[inline]
    pub(super) fn call(
        &mut self,
        hook: Hook,
        args: [Dynamic; 4],
        then: Then,
        context: &mut Context<'_>,
    ) -> Poll<Ending> {
        if hook == Hook::TransferLoop {
            self.kept.get_or_insert_default();
        }
        let (handler, running) = (&self.handler, self.kept.as_ref());
        let boxes = &self.runtime.boxes;
        let call = boxes.call(handler, hook, &self.owner, args, running);
        self.begin(Call::Hook(call), then, context)
    }

    /// Calls a hook of the connection.
    #[inline]
    fn hook<const N: usize>(
        &mut self,
        hook: Hook,
        args: [Dynamic; N],
        then: Then,
        context: &mut Context<'_>,
    ) -> Poll<Ending> {
        let mut all = [const { Dynamic::UNIT }; 4];
        all[0] = self.socket();
        for (place, value) in all[1..].iter_mut().zip(args) {
            *place = value;
        }
        self.call(hook, all, then, context)
    }

    /// Begins a call on a free fiber, or has it wait for one.
    #[inline]
    fn begin(&mut self, call: Call, then: Then, context: &mut Context<'_>) -> Poll<Ending> {
        if !self.runtime.fibers.is_free() {
            let mut turn = Turn::default();
            let _ = self.runtime.freed.poll(&mut turn, context);
            return self.wait(Activity::Queued(turn, call, then));
        }
        match self.runtime.fibers.run(call) {
            Ok(step) => self.settle(step, then, context),
            Err(error) => {
                event::Event::NoStack { error: &error }.tell();
                Poll::Ready(Ending::Failed(Failure::unsaid()))
            }
        }
    }

    /// Follows a fiber to its end or to a wait that is not over.
    fn settle(
        &mut self,
        mut step: Step,
        mut then: Then,
        context: &mut Context<'_>,
    ) -> Poll<Ending> {
        loop {
            let (fiber, wait) = match step {
                Step::Returned(returned) => {
                    let ending = self.returned(returned);
                    return self.follow(ending, then, context);
                }
                Step::Waits(fiber, wait) => (fiber, wait),
            };
            if let (Wait::Receive(_), Then::Message(_)) = (&wait, &then)
                && let Then::Message(message) = std::mem::replace(&mut then, Then::Nothing)
            {
                self.has_heard = true;
                step = self.runtime.fibers.resume(fiber, Wake::Ready(message));
                continue;
            }
            let mut waiting = match wait {
                Wait::Receive(_) if !self.runtime.may_receive() => {
                    // Better none of its messages than somebody else's hook without a fiber.
                    self.come_back_later();
                    step = self.resume_fiber(fiber);
                    continue;
                }
                Wait::Until(_) if !self.is_service() && !self.runtime.may_wait() => {
                    self.come_back_later();
                    step = self.runtime.fibers.resume(fiber, Wake::Cancelled);
                    continue;
                }
                Wait::Receive(timeout) => {
                    let timer = |time| Box::pin(tokio::time::sleep(time));
                    self.park(Parked {
                        fiber,
                        timeout: timeout.map(timer),
                        then,
                    });
                    return Poll::Ready(Ending::Done);
                }
                Wait::Slice => Waiting::Turn(Turn::default()),
                Wait::Until(future) => Waiting::Until(future),
            };
            if self.poll_wait(&mut waiting, context).is_pending() {
                return self.wait(Activity::Waiting(fiber, waiting, then));
            }
            step = self.resume_fiber(fiber);
        }
    }

    /// Whether it runs hooks of the handler's own, of which there are no more than files.
    fn is_service(&self) -> bool {
        matches!(self.owner, Owner::Handler(_))
    }

    fn come_back_later(&self) {
        self.close(close::code::TRY_AGAIN);
    }

    fn close(&self, code: u16) {
        if let Some(peer) = self.owner.peer() {
            let _ = peer.handle.close(Some(&Close::new(code, "")));
        }
    }

    fn resume_fiber(&self, fiber: Fiber) -> Step {
        self.runtime
            .fibers
            .resume(fiber, Wake::Ready(Dynamic::UNIT))
    }

    /// Takes what a call gave back; its fiber is free for the next.
    #[inline]
    fn returned(&mut self, returned: Return) -> Ending {
        self.runtime.freed.give();
        let Return::Hook { call, ending } = returned else {
            return Ending::Done;
        };
        let hook = call.caller.hook;
        self.runtime.boxes.keep(call);
        if let Some(spare) = self.owner.state().put_away() {
            self.handler.keep_state(spare);
        }
        if hook == Hook::TransferLoop && matches!(ending, Ending::Done) {
            // After a Close of the script's own there is nothing to add.
            self.close(close::code::NORMAL);
        }
        self.has_failed |= matches!(ending, Ending::Failed(_));
        match ending {
            Ending::Failed(failure) if failure.may_go_on => self.passed_over(hook, failure),
            ending => ending,
        }
    }

    /// Where a fault's author would rather have the connection go on: what was to be done is
    /// dropped, and a loop begins anew, unless it fails before it has heard anything.
    fn passed_over(&self, hook: Hook, failure: Failure) -> Ending {
        let peer = self.owner.peer();
        let is_open = peer.is_some_and(|peer| peer.handle.state() == ReadyState::Open);
        if hook.is_passed_over() {
            Ending::Done
        } else if hook == Hook::TransferLoop && is_open && self.has_heard {
            Ending::Again
        } else {
            Ending::Failed(failure)
        }
    }

    /// Goes on with what is to follow a call.
    #[inline]
    fn follow(&mut self, ending: Ending, then: Then, context: &mut Context<'_>) -> Poll<Ending> {
        match (ending, then) {
            // The handler was reloaded just now, and takes messages in its other way.
            (Ending::Absent(_), Then::Message(message)) | (Ending::Absent(message), _) => {
                self.message(message, context)
            }
            (Ending::Done, Then::Loop) => self.hook(Hook::TransferLoop, [], Then::Nothing, context),
            (Ending::Again, _) => {
                self.has_heard = false;
                self.kept = None;
                self.hook(Hook::TransferLoop, [], Then::Nothing, context)
            }
            (_, Then::Close(args)) => self.call(Hook::OnClose, *args, Then::Nothing, context),
            (ending, Then::Nothing | Then::Loop | Then::Message(_)) => Poll::Ready(ending),
        }
    }

    fn wait(&mut self, activity: Activity) -> Poll<Ending> {
        self.activity = Some(Box::new(activity));
        Poll::Pending
    }

    fn poll_wait(&self, waiting: &mut Waiting, context: &mut Context<'_>) -> Poll<()> {
        match waiting {
            // The connection's task runs whenever its stream takes or gives bytes, and asks then.
            Waiting::Until(future) => future.as_mut().poll(context),
            Waiting::Turn(turn) => self.runtime.turns.poll(turn, context),
        }
    }

    /// Goes on with the call that is being made, if what it waits for has come.
    pub(super) fn go_on(&mut self, context: &mut Context<'_>) -> Poll<Ending> {
        let Some(mut activity) = self.activity.take() else {
            return Poll::Ready(Ending::Done);
        };
        let ready = match &mut *activity {
            Activity::Queued(turn, ..) => self.runtime.freed.poll(turn, context),
            Activity::Waiting(_, waiting, _) => self.poll_wait(waiting, context),
        };
        if ready.is_pending() {
            self.activity = Some(activity);
            return Poll::Pending;
        }
        match *activity {
            Activity::Queued(_, call, then) => self.begin(call, then, context),
            Activity::Waiting(fiber, _, then) => {
                let step = self.resume_fiber(fiber);
                self.settle(step, then, context)
            }
        }
    }

    fn park(&mut self, parked: Parked) {
        self.runtime.receives(true);
        self.owner.state().hold(true);
        self.parked = Some(Box::new(parked));
    }

    /// Gives a hook that was parked what it waits for.
    fn unpark(
        &mut self,
        parked: Parked,
        message: Dynamic,
        context: &mut Context<'_>,
    ) -> Poll<Ending> {
        self.has_heard |= !message.is_unit();
        let wake = Wake::Ready(message);
        let step = self.runtime.fibers.resume(parked.fiber, wake);
        self.settle(step, parked.then, context)
    }

    /// A message, for whoever takes it.
    #[inline]
    fn message(&mut self, message: Dynamic, context: &mut Context<'_>) -> Poll<Ending> {
        if let Some(parked) = self.take_parked() {
            return self.unpark(parked, message, context);
        }
        if self.has(Hook::TransferLoop) {
            return self.hook(Hook::TransferLoop, [], Then::Message(message), context);
        }
        self.hook(Hook::TransferData, [message], Then::Nothing, context)
    }

    /// Does what [`Session::poll_due`] announced.
    fn due(&mut self, context: &mut Context<'_>) -> Poll<Ending> {
        let is_up = |parked: &Parked| {
            let timeout = parked.timeout.as_ref();
            timeout.is_some_and(|timeout| timeout.is_elapsed())
        };
        if self.parked.as_deref().is_some_and(is_up)
            && let Some(parked) = self.take_parked()
        {
            return self.unpark(parked, Dynamic::UNIT, context);
        }
        match self.take_due() {
            Some(name) => self.hook(Hook::OnTimer, [name.into()], Then::Nothing, context),
            None => match self.take_news(context) {
                Some((line, news)) => self.news(line, news, context),
                None => self.letter(context),
            },
        }
    }

    /// The hooks that it has for what it dials.
    fn hooks_of_lines(&self) -> dialed::Hooks {
        dialed::Hooks {
            messages: self.has(Hook::OnDialed),
            ends: self.has(Hook::OnDialedClose),
        }
    }

    /// Whether something that it has dialed has news for a hook.
    fn has_news(&self, context: &Context<'_>) -> bool {
        let Some(peer) = self.owner.peer() else {
            return false;
        };
        let lines = |lines: &mut Lines| lines.has_news(self.hooks_of_lines(), context);
        peer.state.dialed(lines) == Some(true)
    }

    fn take_news(&self, context: &Context<'_>) -> Option<(Rc<Line>, News)> {
        let state = &self.owner.peer()?.state;
        let news = state.dialed(|lines| lines.take_news(self.hooks_of_lines(), context));
        news.flatten()
    }

    /// Tells a hook of what was dialed.
    fn news(&mut self, line: Rc<Line>, news: News, context: &mut Context<'_>) -> Poll<Ending> {
        let line = Dynamic::from(Handle(line));
        match news {
            News::Message(message) => {
                let args = [line, of_message(message)];
                self.hook(Hook::OnDialed, args, Then::Nothing, context)
            }
            News::End(Close { code, reason }) => {
                let args = [line, i64::from(code).into(), (&*reason).into()];
                self.hook(Hook::OnDialedClose, args, Then::Nothing, context)
            }
        }
    }

    /// Gives a hook what a topic has for it.
    fn letter(&mut self, context: &mut Context<'_>) -> Poll<Ending> {
        let Some(peer) = self.owner.peer().filter(|peer| peer.has_letter()) else {
            return Poll::Ready(Ending::Done);
        };
        match peer.place.letters.take(peer.handle.id()) {
            // What was on its way when it left is not for it any more.
            Some(letter) if !peer.subscribes_to(letter.topic()) => {}
            Some(Letter::Published(topic, publication)) if self.has(Hook::OnPublish) => {
                let args = [(&*topic).into(), Dynamic::from(publication)];
                return self.hook(Hook::OnPublish, args, Then::Nothing, context);
            }
            Some(Letter::Presence(topic, changes)) => {
                let args = [(&*topic).into(), Dynamic::from(changes)];
                return self.hook(Hook::OnPresence, args, Then::Nothing, context);
            }
            Some(Letter::Gap(topic)) if self.has(Hook::OnGap) => {
                return self.hook(Hook::OnGap, [(&*topic).into()], Then::Nothing, context);
            }
            Some(Letter::Gap(_)) => {}
            Some(Letter::Published(_, publication)) => {
                let _ = publication.send(&peer.handle);
            }
            None => {}
        }
        Poll::Ready(Ending::Done)
    }

    pub(super) fn take_due(&self) -> Option<ImmutableString> {
        self.owner.timers(|timers| timers.take_due()).flatten()
    }

    pub(super) fn forget_timers(&self) {
        self.owner.timers(|timers| timers.clear());
    }

    /// Ends the call that is being made, and gives what was to follow it. A script that goes on
    /// waiting is told again, and there is a bound to that.
    pub(super) fn stop(&mut self) -> Then {
        match self.activity.take().map(|activity| *activity) {
            None => Then::Nothing,
            Some(Activity::Queued(_, _, then)) => then,
            Some(Activity::Waiting(fiber, _, then)) => {
                self.end_fiber(fiber);
                then
            }
        }
    }

    fn end_parked(&mut self) {
        if let Some(parked) = self.take_parked() {
            self.end_fiber(parked.fiber);
        }
    }

    fn take_parked(&mut self) -> Option<Parked> {
        let parked = self.parked.take()?;
        self.runtime.receives(false);
        self.owner.state().hold(false);
        Some(*parked)
    }

    fn end_fiber(&mut self, mut fiber: Fiber) {
        loop {
            match self.runtime.fibers.resume(fiber, Wake::Cancelled) {
                Step::Returned(returned) => break drop(self.returned(returned)),
                Step::Waits(waiting, _) => fiber = waiting,
            }
        }
    }

    /// Whether no hook runs or waits.
    fn is_idle(&self) -> bool {
        self.activity.is_none() && self.parked.is_none()
    }

    /// Whether what serves the connection defines this hook.
    fn has(&self, hook: Hook) -> bool {
        match self.kept.as_ref().and_then(|kept| kept.get()) {
            Some(kept) => kept.program.has(hook),
            None => self.handler.has(hook),
        }
    }

    /// The connection as scripts see it; `()` without one.
    fn socket(&mut self) -> Dynamic {
        let Some(peer) = self.owner.peer() else {
            return Dynamic::UNIT;
        };
        // The shared one is in use for as long as its `receive` waits.
        if self.parked.is_some() {
            return Dynamic::from(WebSocket(Rc::clone(peer)));
        }
        if self.socket.is_unit() {
            // Shared, so that a hook's argument is a counted reference and not a new box.
            self.socket = Dynamic::from(WebSocket(Rc::clone(peer))).into_shared();
        }
        self.socket.clone()
    }
}

/// A session for hooks before or without a connection.
pub(super) fn without_connection(
    runtime: &Rc<Runtime>,
    handler: &Rc<Handler>,
    owner: Owner,
) -> ScriptSession<()> {
    ScriptSession::of(Rc::clone(runtime), Rc::clone(handler), owner, ())
}

impl<G> Drop for ScriptSession<G> {
    fn drop(&mut self) {
        self.stop();
        self.end_parked();
        self.runtime.boxes.forget(&self.owner);
        if let (Some(peers), Some(peer)) = (&self.runtime.peers, self.owner.peer()) {
            peers.leave(peer.handle.id());
        }
        let state = self.owner.state().take();
        // Freeing nested data needs the large stack.
        if state.nests()
            && let Err(error) = self.runtime.fibers.run(Call::Drop(state))
        {
            event::Event::NoStack { error: &error }.tell();
        }
    }
}
