//! From the stream to the session: bytes that are read become frames, messages and events.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use tokio::io::ReadBuf;

use super::Connection;
use crate::websocket::inflation::LONG_TURN;
use crate::websocket::message::{Incoming, Message};
use crate::websocket::outbox::ReadyState;
use crate::websocket::session::{Event, Interest, Session};
use crate::websocket::state::Phase;
use crate::websocket::transport::Transport;
use crate::websocket::{Limits, Violation};

impl<S: Transport, T: Session + Unpin> Connection<S, T> {
    /// Reads once, if there is room for what may come; whether anything came, be it the end.
    pub(super) fn read(&mut self, context: &mut Context<'_>) -> bool {
        if !self.may_read() {
            return false;
        }
        let Some(stream) = &mut self.stream else {
            return false;
        };
        let shared = Rc::clone(&self.shared);
        let mut buffer = shared.take_read_buffer();
        let mut filled = ReadBuf::new(&mut buffer);
        let polled = Pin::new(stream).poll_read(context, &mut filled);
        let came = polled.is_ready();
        match polled {
            Poll::Pending => {}
            Poll::Ready(Err(error)) => self.lose(&error.to_string()),
            Poll::Ready(Ok(())) if filled.filled().is_empty() => {
                self.lose("the connection ended without a Close");
            }
            Poll::Ready(Ok(())) => {
                if self.state.is_running() {
                    self.deadlines.heard(shared.clock.now());
                    self.consume(filled.filled_mut(), context);
                }
                let count = filled.filled().len();
                if let Some(watch) = self.handle.outbox().watch() {
                    watch.received(0, count);
                }
                shared.share.bytes(count);
            }
        }
        shared.give_back(buffer);
        came
    }

    pub(super) fn may_read(&self) -> bool {
        match self.state.phase() {
            Phase::Running => {
                !self.state.is_lost()
                    && !self.inbox.holds()
                    && self.has_room()
                    && !self.handle.is_paused()
                    && self.handle.buffered() < self.shared.limits.send_queue
            }
            Phase::Ending | Phase::Told => false,
            Phase::Lingering => self.state.is_shut(),
        }
    }

    /// Whether the session can take more, now or soon.
    pub(super) fn has_room(&self) -> bool {
        !self.state.is_busy()
            || self.inbox.bytes() + self.decoder.buffered() < self.shared.limits.read_ahead
    }

    /// Takes what has been read.
    pub(super) fn consume(&mut self, input: &mut [u8], context: &mut Context<'_>) {
        let between_frames = !self.decoder.is_unfinished();
        if self.tap.is_none() && between_frames && self.session.is_interested_in(Interest::Frames) {
            self.tap = Some(Box::default());
        }
        if self.tap.is_some() {
            self.show_frames(input, context);
        } else {
            self.decode(input, context);
        }
    }

    /// Gathers whole frames for the session to see first.
    fn show_frames(&mut self, input: &[u8], context: &mut Context<'_>) {
        let limit = self.max_message as usize;
        self.tap.get_or_insert_default().gather(input);
        while self.state.is_running()
            && let Some(tap) = &mut self.tap
        {
            if self.shared.share.is_used() {
                self.inbox.hold(&tap.take_rest());
                break;
            }
            match tap.next(limit) {
                Ok(Some(frame)) => self.deliver(Event::Frame(frame), context),
                Ok(None) => break,
                Err(violation) => return self.fail(violation),
            }
        }
        if !self.session.is_interested_in(Interest::Frames) {
            self.tap = self.tap.take().filter(|tap| !tap.is_empty());
        }
    }

    /// Decodes bytes. Messages go straight to the session while it is free.
    pub(super) fn decode(&mut self, mut input: &mut [u8], context: &mut Context<'_>) {
        let limits = Limits {
            message: self.max_message as usize,
            ..self.shared.limits
        };
        // A few bytes may become many long messages: no more of them than the session has room for,
        // nor than its share. Frames that the session has looked at have been bounded before.
        let is_first_to_see = self.tap.is_none();
        let may_hold = self.decoder.inflates() && is_first_to_see;
        while self.state.is_running() {
            let is_full = may_hold && !self.has_room();
            if is_full || (is_first_to_see && self.shared.share.is_used()) {
                break;
            }
            let watch = self.handle.outbox().watch();
            let next = self.decoder.next(&mut input, &limits, |header, behind| {
                if let Some(watch) = watch {
                    watch.frame_in(header, behind);
                }
            });
            if let (Some(watch), Ok(Some(incoming))) = (watch, &next) {
                watch.incoming(incoming);
            }
            match next {
                Ok(Some(Incoming::Message(message))) => {
                    self.deadlines.finished();
                    self.message(message, context);
                }
                Ok(Some(Incoming::Ping(_) | Incoming::Pong(_))) if !self.takes_control() => {
                    self.fail(Violation::ControlRate);
                }
                Ok(Some(Incoming::Ping(payload)))
                    if self.session.is_interested_in(Interest::Ping) =>
                {
                    self.deliver(Event::Ping((*payload).into()), context);
                }
                Ok(Some(Incoming::Ping(payload))) => {
                    let _ = self.handle.outbox().pong(&payload);
                }
                Ok(Some(Incoming::Pong(payload)))
                    if self.session.is_interested_in(Interest::Pong) =>
                {
                    self.deliver(Event::Pong((*payload).into()), context);
                }
                Ok(Some(Incoming::Pong(_))) => {}
                Ok(Some(Incoming::Close(close))) => self.peer_closed(close),
                Ok(None) if !may_hold && !input.is_empty() => self.decoder.refresh(LONG_TURN),
                Ok(None) if !input.is_empty() && self.inflates_on(context) => {}
                Ok(None) => break,
                Err(violation) => self.fail(violation),
            }
        }
        if self.state.is_running() && !input.is_empty() {
            self.inbox.hold(input);
        }
        if self.decoder.is_unfinished() {
            self.deadlines.unfinished(self.shared.clock.now());
        } else {
            self.deadlines.finished();
        }
    }

    /// Goes on inflating at once, if it is nobody else's turn.
    fn inflates_on(&mut self, context: &mut Context<'_>) -> bool {
        let budget = self.decoder.budget();
        budget.is_some_and(|budget| budget.extend(&self.shared.inflating, context))
    }

    /// Counts a Ping or Pong; `false` if it is one too many.
    fn takes_control(&mut self) -> bool {
        let (now, limits) = (self.shared.clock.now(), &self.shared.limits);
        self.controls
            .take(now.get(), limits.control_rate, limits.control_burst)
    }

    fn message(&mut self, message: Message<'_>, context: &mut Context<'_>) {
        if self.handle.state() != ReadyState::Open {
            return;
        }
        if let Some(watch) = self.handle.outbox().watch() {
            watch.received(1, 0);
        }
        if !self.state.is_busy() && self.inbox.is_empty() {
            self.start(Event::Message(message), context);
        } else {
            self.inbox.push(Event::Message(message.into_owned()));
        }
    }

    fn deliver(&mut self, event: Event<'static>, context: &mut Context<'_>) {
        if !self.state.is_busy() && self.inbox.is_empty() {
            self.start(event, context);
        } else {
            self.inbox.push(event);
        }
    }
}
