//! What each event of a connection calls.

use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use rhai::Dynamic;

use super::{ScriptSession, Then};
use crate::machine::heap;
use crate::observe::metrics::Direction;
use crate::script::api::raw::frame_map;
use crate::script::call::{Ending, Failure};
use crate::script::hooks::Hook;
use crate::websocket::{self, Close, Event, Interest, Outcome, Session, close, frame};

impl<G> Session for ScriptSession<G> {
    fn start(
        &mut self,
        event: Event<'_>,
        _: &Rc<websocket::Handle>,
        context: &mut Context<'_>,
    ) -> Poll<Outcome> {
        let polled = match event {
            Event::Opened => {
                self.owner.state().begin(self.handler.serving());
                let has_loop = self.has(Hook::TransferLoop);
                match (self.has(Hook::OnOpen), has_loop) {
                    (true, true) => self.hook(Hook::OnOpen, [], Then::Loop, context),
                    (true, false) => self.hook(Hook::OnOpen, [], Then::Nothing, context),
                    (false, true) => self.hook(Hook::TransferLoop, [], Then::Nothing, context),
                    (false, false) => return Poll::Ready(Outcome::Done),
                }
            }
            Event::Message(message) => {
                self.handler.meter.message(Direction::In, message.len());
                let message = self.runtime.boxes.message(message);
                self.message(message, context)
            }
            Event::Ping(payload) => {
                let payload = Dynamic::from_blob(payload.into_vec());
                self.hook(Hook::OnPing, [payload], Then::Nothing, context)
            }
            Event::Pong(payload) => {
                let payload = Dynamic::from_blob(payload.into_vec());
                self.hook(Hook::OnPong, [payload], Then::Nothing, context)
            }
            Event::Frame(bytes) => match frame::Raw::decode(&bytes) {
                Some(frame) => self.hook(Hook::OnFrame, [frame_map(frame)], Then::Nothing, context),
                None => return Poll::Ready(Outcome::Done),
            },
            Event::Due => self.due(context),
            Event::CloseRequested(close) => {
                let Close { code, reason } = close.unwrap_or(Close {
                    code: close::code::NO_STATUS,
                    reason: "".into(),
                });
                let args = [i64::from(code).into(), (&*reason).into()];
                self.hook(Hook::PassiveClosingHandshake, args, Then::Nothing, context)
            }
            Event::Closed {
                code,
                reason,
                was_clean,
            } => {
                self.forget_timers();
                if let Some(peer) = self.owner.peer() {
                    peer.leave_topics(was_clean && !is_expected_back(code));
                }
                if let Some(kept) = self.kept.as_ref().and_then(|kept| kept.get()) {
                    kept.end();
                }
                let args = [
                    self.socket(),
                    i64::from(code).into(),
                    (&*reason).into(),
                    was_clean.into(),
                ];
                let has_hook = self.has(Hook::OnClose);
                match (self.take_parked(), has_hook) {
                    (Some(mut parked), _) => {
                        parked.then = match has_hook {
                            true => Then::Close(Box::new(args)),
                            false => Then::Nothing,
                        };
                        self.unpark(parked, Dynamic::UNIT, context)
                    }
                    (None, true) => self.call(Hook::OnClose, args, Then::Nothing, context),
                    (None, false) => return Poll::Ready(Outcome::Done),
                }
            }
        };
        polled.map(outcome)
    }

    fn resume(&mut self, context: &mut Context<'_>) -> Poll<Outcome> {
        self.go_on(context).map(outcome)
    }

    fn caught_up(&mut self) {
        self.handler.meter.part();
    }

    fn cancel(&mut self) {
        // However the connection ends, `on_close` is called; it just cannot wait any more.
        if let Then::Close(args) = self.stop() {
            let mut context = Context::from_waker(Waker::noop());
            let polled = self.call(Hook::OnClose, *args, Then::Nothing, &mut context);
            if polled.is_pending() {
                self.stop();
            }
        }
    }

    fn poll_due(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if let Some(timeout) = self
            .parked
            .as_mut()
            .and_then(|parked| parked.timeout.as_mut())
            && timeout.as_mut().poll(context).is_ready()
        {
            return Poll::Ready(());
        }
        let timers = self.owner.timers(|timers| timers.poll(context));
        match self.owner.peer() {
            Some(peer) if peer.has_letter() => Poll::Ready(()),
            Some(_) if self.has_news(context) => Poll::Ready(()),
            _ => timers.unwrap_or(Poll::Pending),
        }
    }

    fn may_rest(&self) -> bool {
        self.is_idle() && (!self.socket.is_unit() || self.owner.state().may_rest())
    }

    fn rest(&mut self) -> bool {
        if !self.is_idle() {
            return false;
        }
        if self.owner.state().was_used() {
            return true;
        }
        let before = heap::held();
        self.socket = Dynamic::UNIT;
        self.owner.state().pack();
        let given_up = before.saturating_sub(heap::held());
        heap::gave_up(usize::try_from(given_up).unwrap_or(0));
        false
    }

    fn path(&self) -> &str {
        self.owner.peer().map_or("", |peer| &peer.place.path)
    }

    fn is_interested_in(&self, what: Interest) -> bool {
        match what {
            Interest::Close => self.has(Hook::PassiveClosingHandshake),
            Interest::Ping => self.has(Hook::OnPing),
            Interest::Pong => self.has(Hook::OnPong),
            Interest::Frames => self.handler.may_see_frames() && self.has(Hook::OnFrame),
        }
    }
}

/// Whether whoever closes so comes back as a rule: a page that is loaded anew or goes to the
/// background, and those that the server asked to come again.
fn is_expected_back(code: u16) -> bool {
    use close::code::{GOING_AWAY, TRY_AGAIN};
    matches!(code, GOING_AWAY | TRY_AGAIN)
}

fn outcome(ending: Ending) -> Outcome {
    match ending {
        Ending::Done | Ending::Again | Ending::Cancelled | Ending::Absent(_) | Ending::Body(_) => {
            Outcome::Done
        }
        Ending::Answer(close) => Outcome::Answer(close),
        Ending::Hidden => Outcome::Hidden,
        Ending::Failed(failure) => Outcome::Failed(failure.reason),
        Ending::Thrown => Outcome::Failed(Failure::unsaid().reason),
    }
}
