//! One connection as one task: reads, decodes, hands events to the session, writes what it said.
//!
//! All messages that have arrived are handled before anything is written, so their replies leave in
//! one write. The buffers for both belong to the worker and are borrowed only while the task runs:
//! an idle connection owns none. `reading` turns what the stream gives into events, `closing` has
//! the rules of the end; the times that either may take are in [`Deadlines`].

mod closing;
mod reading;
#[cfg(test)]
mod tests;

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::close::Close;
use super::code;
use super::deadlines::{Deadlines, Expiry, View};
use super::handle::Handle;
use super::inbox::Inbox;
use super::ledger::{self, Reservation};
use super::message::Decoder;
use super::outbox::ReadyState;
use super::quantum;
use super::rate::Rate;
use super::session::{Event, Outcome, Session};
use super::state::{Phase, State};
use super::tap::Tap;
use super::transport::Transport;
use super::{Shared, Violation};
use crate::observe::access::By;

/// Seconds without an event after which the session rests, and up to as many more.
const REST: u32 = 5;

/// The future of one connection, after its handshake. Ready when the stream may be dropped.
#[derive(Debug)]
pub struct Connection<S, T> {
    /// Until the handler resets it.
    stream: Option<S>,
    session: T,
    handle: Rc<Handle>,
    shared: Rc<Shared>,
    decoder: Decoder,
    /// For a session that is interested in frames.
    tap: Option<Box<Tap>>,
    /// Bytes of one message.
    max_message: u32,
    /// Events that wait for the session, oldest first.
    inbox: Inbox,
    state: State,
    deadlines: Deadlines,
    /// Pings and Pongs from the peer.
    controls: Rate,
    /// Its part of what all connections hold, while that is much.
    holding: Option<Reservation>,
    /// Who ends it, once somebody does.
    by: Option<By>,
}

impl<S: Transport, T: Session + Unpin> Connection<S, T> {
    /// A connection that begins by telling the session that it is open. `early` are bytes behind
    /// the request head.
    pub fn new(
        stream: S,
        session: T,
        handle: Rc<Handle>,
        shared: Rc<Shared>,
        early: Vec<u8>,
    ) -> Self {
        shared.connections.enter(&handle);
        if let Some(watch) = handle.outbox().watch() {
            watch.received(0, early.len());
        }
        let decoder = match handle.agreed() {
            Some(agreed) => Decoder::inflating(&agreed.terms, Rc::clone(&shared.pool)),
            None => Decoder::default(),
        };
        Self {
            stream: Some(stream),
            session,
            handle,
            decoder,
            tap: None,
            max_message: u32::try_from(shared.limits.message).unwrap_or(u32::MAX),
            inbox: Inbox::opened(early),
            state: State::default(),
            deadlines: Deadlines::new(shared.clock.now()),
            controls: Rate::default(),
            holding: None,
            by: None,
            shared,
        }
    }

    /// The same with a bound of its own on a message's bytes.
    pub fn with_max_message(mut self, bytes: usize) -> Self {
        self.max_message = u32::try_from(bytes).unwrap_or(u32::MAX);
        self
    }

    fn run(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.shared.share.begin();
        self.check_deadlines();
        if self.holding.as_ref().is_some_and(Reservation::is_evicted) {
            self.make_room();
        }
        if let Some(budget) = self.decoder.budget() {
            budget.begin();
        }
        let polled = self.converse(context);
        let inflates = self.state.is_running() && self.inbox.holds() && self.has_room();
        if !inflates {
            self.end_turn();
        }
        self.account(context);
        if self.handle.held() > 0 {
            self.shared.relieve(self.handle.id());
        }
        polled
    }

    fn converse(&mut self, context: &mut Context<'_>) -> Poll<()> {
        loop {
            self.handle(context);
            if self.inbox.holds() && self.has_room() && !self.decoder.is_spent() {
                let mut early = self.inbox.take_early();
                self.consume(&mut early, context);
            }
            let wrote = self.flush(context);
            self.part(context);
            if self.step_towards_end(context) {
                return Poll::Ready(());
            }
            let budget = self.decoder.budget();
            let waits = budget.is_some_and(|budget| budget.is_waiting());
            let goes_on = self.inbox.holds() && self.has_room() && !waits;
            if goes_on || self.shared.share.is_used() {
                quantum::yield_now(context);
                break;
            }
            let read = self.read(context);
            // What was written may be what the session waits for, and what was read before the
            // peer's Close is there still.
            let freed = wrote && self.state.is_busy();
            let is_due = self.state.is_ending() && !self.state.is_busy() && !self.inbox.is_empty();
            if !read && !freed && !is_due {
                break;
            }
        }
        if self.state.is_over() {
            return Poll::Ready(());
        }
        self.rest();
        self.set_alarm();
        Poll::Pending
    }

    /// Lets the session go on, then gives it what waits, until it waits itself.
    fn handle(&mut self, context: &mut Context<'_>) {
        if self.state.is_busy() {
            match self.session.resume(context) {
                Poll::Ready(outcome) => self.handled(outcome, context),
                Poll::Pending => return,
            }
        }
        while !self.state.is_busy() && !self.shared.share.is_used() {
            match self.inbox.pop() {
                Some(Event::CloseRequested(close)) => self.close_requested(close, context),
                Some(event) => self.start(event, context),
                None if self.is_open() && self.session.poll_due(context).is_ready() => {
                    self.start(Event::Due, context);
                }
                None => return,
            }
        }
    }

    fn is_open(&self) -> bool {
        self.state.is_running() && self.handle.state() == ReadyState::Open
    }

    fn start(&mut self, event: Event<'_>, context: &mut Context<'_>) {
        self.state.handle();
        if let (Event::Frame(frame), Some(tap)) = (&event, &mut self.tap) {
            tap.show(frame);
        }
        if let Poll::Ready(outcome) = self.session.start(event, &self.handle, context) {
            self.handled(outcome, context);
        }
        self.shared.share.event();
    }

    fn handled(&mut self, outcome: Outcome, context: &mut Context<'_>) {
        self.state.handled();
        let shown = self.tap.as_mut().map(|tap| tap.take_shown());
        // After a Close there is nothing to answer or to fail: it has been said.
        let _ = match &outcome {
            Outcome::Done | Outcome::Hidden => Ok(()),
            Outcome::Answer(close) => self.handle.close(close.as_ref()),
            Outcome::Failed(reason) => {
                let close = Close::new(code::INTERNAL_ERROR, reason);
                self.handle.close(Some(&close))
            }
        };
        if outcome != Outcome::Hidden
            && let Some(mut shown) = shown.filter(|shown| !shown.is_empty())
        {
            self.decode(&mut shown, context);
        }
        let is_closing = match self.state.phase() {
            Phase::Running => self.handle.state() != ReadyState::Open,
            Phase::Ending => self.handle.state() == ReadyState::Closing,
            Phase::Told | Phase::Lingering => false,
        };
        if is_closing || matches!(outcome, Outcome::Failed(_)) {
            // What waits behind a message whose handler has closed is not wanted any more, except
            // for the peer's Close.
            let mut frames = self.inbox.take_frames();
            self.drop_messages();
            self.decode(&mut frames, context);
        }
    }

    /// Ends a handling that waits.
    fn cancel(&mut self) {
        if self.state.handled() {
            self.session.cancel();
        }
    }

    /// Writes what is queued; whether any byte was taken.
    fn flush(&mut self, context: &mut Context<'_>) -> bool {
        self.session.caught_up();
        let (false, Some(stream)) = (self.state.is_lost(), &mut self.stream) else {
            return false;
        };
        if self.handle.buffered() == 0 {
            // A stream that encrypts may still hold the end of what it took; for any other this is
            // nothing.
            if let Poll::Ready(Err(error)) = Pin::new(stream).poll_flush(context) {
                self.lose(&error.to_string());
            }
            return false;
        }
        match self.handle.outbox().flush(stream, context) {
            Ok(0) => false,
            Ok(count) => {
                self.deadlines.taken(self.shared.clock.now());
                self.shared.share.bytes(count);
                true
            }
            Err(error) => {
                self.lose(&error.to_string());
                false
            }
        }
    }

    /// Tells what it holds, if that is much.
    fn account(&mut self, context: &Context<'_>) {
        let unsent = self.handle.outbox().memory() + self.handle.held();
        let held = self.decoder.buffered() + self.inbox.bytes() + unsent;
        if held < ledger::STEP {
            self.holding = None;
            return;
        }
        let ledger = &self.shared.ledger;
        let holding = self
            .holding
            .get_or_insert_with(|| ledger.hold(context.waker()));
        holding.set(held);
        // It may be this one that is to go.
        if holding.is_evicted() {
            context.waker().wake_by_ref();
        }
    }

    /// Acts on what has taken too long.
    fn check_deadlines(&mut self) {
        let (now, limits) = (self.shared.clock.now(), self.shared.limits);
        let view = self.view(self.may_read());
        if view.phase == Phase::Running && !view.reads {
            self.deadlines.deaf(now, &limits);
        }
        match self.deadlines.expired(now, &limits, &view) {
            None => {}
            Some(Expiry::Silence) => {
                self.deadlines.pinged();
                let _ = self.handle.outbox().ping(&[]);
            }
            Some(Expiry::Pong) => self.expire("pong-timeout", "no answer to a Ping"),
            Some(Expiry::Send) => self.expire("send-timeout", "the peer takes no data"),
            Some(Expiry::Close) => self.expire("close-timeout", "no Close in answer to ours"),
            Some(Expiry::Stalled) => self.fail(Violation::Stalled),
            Some(Expiry::Slow) => self.fail(Violation::Slow),
            Some(Expiry::Ending) => self.cut_short(),
            Some(Expiry::Told) => self.cancel(),
            Some(Expiry::Lingering) => self.state.lose(),
        }
    }

    /// Asks to be woken when the next of its deadlines may have come.
    fn set_alarm(&mut self) {
        let has_unsent = self.handle.buffered() > 0;
        self.deadlines.leaves(has_unsent, self.shared.clock.now());
        // It does not depend on whether the stream is read.
        let view = self.view(true);
        if let Some(second) = self.deadlines.next(&self.shared.limits, &view) {
            self.shared.clock.wake_at(&self.handle, second);
        }
    }

    /// Has what the session and the stream can do without given up when an alarm has come, and
    /// nothing else since the one before it.
    fn rest(&mut self) {
        let stream_may = self.stream.as_ref().is_some_and(Transport::may_rest);
        if self.state.is_busy() || !(stream_may || self.session.may_rest()) {
            return;
        }
        let has_alarm = self.handle.alarm.get().is_some();
        if has_alarm || self.session.rest() {
            let soon = self.shared.clock.now().plus(REST);
            self.shared.clock.wake_at(&self.handle, soon);
        } else if let Some(stream) = &mut self.stream {
            stream.rest();
        }
    }

    fn view(&self, reads: bool) -> View {
        View {
            phase: self.state.phase(),
            reads,
            has_unsent: self.handle.buffered() > 0,
            is_kept_open: self.is_kept_open(),
        }
    }
}

impl<S, T> Connection<S, T> {
    /// Lets others inflate.
    fn end_turn(&mut self) {
        if let Some(budget) = self.decoder.budget() {
            budget.end_turn(&self.shared.inflating);
        }
    }
}

impl<S, T> Drop for Connection<S, T> {
    fn drop(&mut self) {
        self.end_turn();
        self.shared.connections.leave(&self.handle);
    }
}

impl<S: Transport, T: Session + Unpin> Future for Connection<S, T> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        let shared = Rc::clone(&this.shared);
        let waker = shared.with_write_buffer(|buffer| this.handle.enter(buffer));
        let polled = this.run(context);
        shared.with_write_buffer(|buffer| this.handle.leave(waker, context, buffer));
        polled
    }
}
