//! The rules of the end: who closes, with which code, what is still handled, and when the stream is
//! dropped.

use std::pin::Pin;
use std::task::{Context, Poll};

use super::Connection;
use crate::observe::event::{self, Lazily, text};
use crate::observe::{access::By, one_line};
use crate::websocket::close::Close;
use crate::websocket::code;
use crate::websocket::handle::Abort;
use crate::websocket::inbox::End;
use crate::websocket::outbox::ReadyState;
use crate::websocket::session::{Event, Interest, Session};
use crate::websocket::state::Phase;
use crate::websocket::transport::Transport;
use crate::websocket::{Violation, ledger};

impl<S: Transport, T: Session + Unpin> Connection<S, T> {
    /// The peer's Close: answered in its turn, when what came before it has been.
    pub(super) fn peer_closed(&mut self, close: Option<Close>) {
        if self.handle.state() == ReadyState::Open {
            self.ends_by(By::Client);
            self.inbox.push(Event::CloseRequested(close.clone()));
        } else {
            self.drop_messages();
        }
        let (code, reason) = close.map_or((code::NO_STATUS, "".into()), |close| {
            (close.code, close.reason)
        });
        self.end(End {
            code,
            reason,
            was_clean: true,
        });
    }

    /// It is the turn of the peer's Close: the session answers it, or its code goes back.
    pub(super) fn close_requested(&mut self, close: Option<Close>, context: &mut Context<'_>) {
        if self.handle.state() == ReadyState::Closing {
            // The handler of a message before it has closed by itself.
        } else if self.session.is_interested_in(Interest::Close) {
            self.start(Event::CloseRequested(close), context);
        } else {
            let answer = close.map(|close| Close::new(close.code, ""));
            let _ = self.handle.close(answer.as_ref());
        }
    }

    /// Does what the handle was told about the connection's end.
    pub(super) fn part(&mut self, context: &mut Context<'_>) {
        const WHY: &str = "the handler aborted the connection";
        let parting = self.handle.parting();
        if parting == Abort::None || self.state.is_lost() {
            return;
        }
        self.ends_by(By::Server);
        match parting {
            Abort::None => {}
            Abort::Sent => match self.state.phase() {
                Phase::Running => self.abandon(self.handle.outbox().sent_code(), WHY),
                Phase::Ending => {
                    self.inbox.end_abruptly();
                    self.drop_messages();
                    self.cancel();
                }
                Phase::Told | Phase::Lingering => {}
            },
            Abort::Reset => {
                if let Some(stream) = self.stream.take() {
                    stream.reset_when_dropped();
                }
                self.lose(WHY);
            }
            Abort::Now => {
                if let Some(stream) = &mut self.stream {
                    let _ = Pin::new(stream).poll_shutdown(context);
                }
                self.lose("the server is shutting down");
            }
        }
    }

    /// Fails the connection, RFC 6455 section 7.1.7: a Close with the code, and nothing more is
    /// read.
    pub(super) fn fail(&mut self, violation: Violation) {
        let reason = violation.to_string();
        let code = self.close(&Close::new(violation.code(), &reason));
        self.tell_fault(violation, code);
        self.abandon(code, &reason);
    }

    /// Closes unless that is done; the code of the Close that was sent.
    fn close(&self, close: &Close) -> u16 {
        match self.handle.close(Some(close)) {
            Ok(()) => close.code,
            Err(_) => self.handle.outbox().sent_code(),
        }
    }

    /// Tells why the connection is closed, and the operator what could be done.
    fn tell_fault(&self, violation: Violation, code: u16) {
        let is_lowered = self.max_message as usize != self.shared.limits.message;
        let agreed = self.handle.agreed();
        let forgets = agreed.is_some_and(|agreed| agreed.terms.history() == 0);
        let why = || match violation.setting(is_lowered) {
            Some(setting) => format!("{violation}; {setting} sets the bound"),
            None if violation == Violation::BrokenDeflate && forgets => format!(
                "{violation}; if the client keeps its window in spite of \
                 client_no_context_takeover, --compression-client-context serves it"
            ),
            None => violation.to_string(),
        };
        let refusal = violation.id();
        let fault = event::Event::PeerFault {
            connection: self.handle.id(),
            path: self.session.path(),
            refusal,
            code,
            why: &Lazily(why),
        };
        self.shared.tell_within(fault, refusal);
    }

    /// The peer has let a time pass; the limit is named as its setting.
    pub(super) fn expire(&mut self, limit: &'static str, why: &str) {
        event::Event::ConnectionDropped {
            connection: self.handle.id(),
            refusal: limit,
            why,
        }
        .tell();
        self.ends_by(By::Server);
        self.lose(why);
    }

    /// All connections together hold too much, and this one the most.
    pub(super) fn make_room(&mut self) {
        self.holding = None;
        let why = "all connections together held more than --max-buffered";
        // A Close behind bytes that the peer does not take would be no use.
        if !self.state.is_running() || self.handle.buffered() >= ledger::STEP {
            return self.expire(ledger::REFUSAL, why);
        }
        event::Event::ConnectionShed {
            connection: self.handle.id(),
            refusal: ledger::REFUSAL,
            why,
        }
        .tell();
        let code = self.close(&Close::new(code::TRY_AGAIN, ""));
        self.abandon(code, why);
    }

    /// Whom logs and metrics are to name for the end, unless somebody has begun it already.
    fn ends_by(&mut self, by: By) {
        self.by.get_or_insert(by);
    }

    /// The stream is gone or useless.
    pub(super) fn lose(&mut self, why: &str) {
        self.state.lose();
        self.handle.outbox().set_closed();
        match self.state.phase() {
            Phase::Running => self.abandon(self.handle.outbox().sent_code(), why),
            Phase::Ending => self.cancel(),
            Phase::Told | Phase::Lingering => {}
        }
    }

    /// An end after which what has arrived is not handled any more.
    fn abandon(&mut self, code: u16, reason: &str) {
        self.drop_messages();
        self.cancel();
        self.end(End {
            code,
            reason: reason.into(),
            was_clean: false,
        });
    }

    fn end(&mut self, end: End) {
        self.state.end();
        self.handle.leaves();
        self.inbox.end(end);
        self.end_turn();
        // A message that will not be finished need not be kept while the connection lingers.
        self.decoder = Default::default();
        self.inbox.take_early();
        self.last(self.shared.limits.close);
    }

    /// The phase may last so many seconds.
    fn last(&mut self, seconds: u32) {
        let until = self.shared.clock.now().plus(seconds);
        self.deadlines.last_until(until);
    }

    /// The hooks of what had arrived before the end have had their time: the answer to the peer's
    /// Close has some of its own.
    pub(super) fn cut_short(&mut self) {
        self.inbox
            .retain(|event| matches!(event, Event::Opened | Event::CloseRequested(_)));
        self.cancel();
        self.last(self.shared.limits.close);
    }

    pub(super) fn drop_messages(&mut self) {
        self.inbox.retain(|event| matches!(event, Event::Opened));
    }

    /// Moves along the phases after [`Phase::Running`]; whether the stream may be dropped.
    pub(super) fn step_towards_end(&mut self, context: &mut Context<'_>) -> bool {
        if self.state.is_running() {
            self.await_answer();
            return false;
        }
        if self.state.is_ending() && !self.state.is_busy() && self.inbox.is_empty() {
            self.tell_end(context);
        }
        if self.state.phase() == Phase::Told && !self.state.is_busy() {
            self.state.linger();
            self.last(self.shared.limits.linger + self.handle.kept_open());
        }
        self.flush(context);
        self.shut_down(context);
        self.state.is_over()
    }

    /// The peer's time to answer begins when it can have our Close; until then the bound is that of
    /// any data. In a shutdown the whole of it is what bounds it.
    fn await_answer(&mut self) {
        let is_sent = self.handle.state() == ReadyState::Closing && self.handle.buffered() == 0;
        if is_sent && self.deadlines.until().is_none() && !self.shared.is_draining() {
            self.last(self.shared.limits.close);
        }
    }

    /// All that had arrived is handled: the session and the log are told how the connection ended.
    fn tell_end(&mut self, context: &mut Context<'_>) {
        self.state.tell();
        self.last(self.shared.limits.close);
        let Some(end) = self.inbox.take_end() else {
            return;
        };
        let End { code, reason, .. } = end;
        let was_clean = end.was_clean && !self.state.is_lost();
        // Without a Close from either side nobody has ended it.
        let otherwise = match self.handle.outbox().sent_code() {
            code::ABNORMAL => By::Nobody,
            _ => By::Server,
        };
        let by = self.by.unwrap_or(otherwise);
        event::Event::ConnectionClosed {
            connection: self.handle.id(),
            code,
            reason: &one_line(&reason),
            was_clean,
            by: text(&by),
            side: by,
        }
        .tell();
        if let Some(watch) = self.handle.outbox().watch() {
            watch.ended(self.session.path(), code, &reason, by);
        }
        self.handle.outbox().set_closed();
        let closed = Event::Closed {
            code,
            reason,
            was_clean,
        };
        self.start(closed, context);
    }

    /// Ends our side of the stream once all is sent.
    fn shut_down(&mut self, context: &mut Context<'_>) {
        let is_done = self.handle.state() != ReadyState::Open
            && !self.is_kept_open()
            && !self.state.is_shut()
            && !self.state.is_lost()
            && self.handle.buffered() == 0;
        if is_done && let Some(stream) = &mut self.stream {
            match Pin::new(stream).poll_shutdown(context) {
                Poll::Ready(Ok(())) => {
                    self.state.shut();
                    if self.state.is_lingering() {
                        self.last(self.shared.limits.linger);
                    }
                }
                Poll::Ready(Err(_)) => self.state.lose(),
                Poll::Pending => {}
            }
        }
    }

    /// Whether the handler wants the stream to stay open for now, its close handshake done.
    pub(super) fn is_kept_open(&self) -> bool {
        self.handle.kept_open() > 0
            && (!self.state.is_lingering() || {
                let soon = self.shared.clock.now().plus(self.shared.limits.linger);
                self.deadlines.until().is_some_and(|until| soon < until)
            })
    }
}
