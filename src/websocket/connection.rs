//! One connection as one task: reads, decodes, hands events to the session, writes what it said.
//!
//! All messages that have arrived are handled before anything is written, so their replies leave in one write. The
//! buffers for both belong to the worker and are borrowed only while the task runs: an idle connection owns none.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncWrite, ReadBuf};
use tokio::sync::Notify;

use super::close::{Close, code};
use super::frame;
use super::inbox::Inbox;
use super::ledger::{self, Holding, Ledger};
use super::message::{Decoder, Incoming, LITTLE, MUCH, Message};
use super::outbox::{Outbox, Parting, ReadyState};
use super::rate::Rate;
use super::session::{Event, Heed, Outcome, Session};
use super::share::{self, Share};
use super::transport::Transport;
use super::turn::{Turn, Turns};
use super::{Clock, Limits, Pool, Violation};
use crate::observe::{Flood, access::By, one_line};

/// Bytes of the read buffer: a 64 KiB message and what comes with it in one read.
const READ_BUFFER: usize = 128 * 1024;
/// Bytes that the write buffer keeps between two uses; one huge reply is not held for ever.
const WRITE_BUFFER: usize = 256 * 1024;

/// What all connections of one worker share.
#[derive(Debug)]
pub struct Shared {
    /// The bounds that hold for each of them.
    pub limits: Limits,
    /// Their alarms.
    pub clock: Clock,
    /// What their messages are compressed and inflated with.
    pub pool: Rc<Pool>,
    /// Which of them may inflate a long message.
    turns: Turns,
    /// What they hold, and those of the other workers.
    ledger: Arc<Ledger>,
    /// Of the one that runs.
    share: Cell<Share>,
    /// Of their ends by a fault of the peer.
    ends: RefCell<Flood<&'static str>>,
    draining: Cell<bool>,
    drain: Notify,
    read: RefCell<Vec<u8>>,
    write: RefCell<Vec<u8>>,
}

impl Shared {
    /// Buffers and a clock for connections within these bounds.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            clock: Clock::default(),
            pool: Rc::default(),
            turns: Turns::default(),
            ledger: Ledger::new(usize::MAX),
            share: Cell::default(),
            ends: RefCell::new(Flood::lines(1)),
            draining: Cell::new(false),
            drain: Notify::new(),
            read: RefCell::new(vec![0; READ_BUFFER]),
            write: RefCell::new(Vec::with_capacity(WRITE_BUFFER)),
        }
    }

    /// Once a second: time passes for the connections, unless the worker stood still, and what was too often to be logged is counted.
    pub fn tick(&self, passes: bool) {
        self.ledger.tick();
        if passes {
            self.clock.tick();
        }
        self.ends
            .borrow_mut()
            .tick(|refusal, more| tracing::info!(refusal, more, "closed {more} more"));
    }

    /// The same, within what all workers' connections may hold together.
    pub fn within(self, ledger: Arc<Ledger>) -> Self {
        Self { ledger, ..self }
    }

    /// The server goes down: whoever waits in [`drained`](Self::drained) is told. Closing the connections is up to the
    /// caller, and so is when one is dropped that does not answer.
    pub fn start_drain(&self) {
        self.draining.set(true);
        self.drain.notify_waiters();
    }

    /// Whether the server goes down.
    pub fn is_draining(&self) -> bool {
        self.draining.get()
    }

    /// Ready when the server goes down.
    pub async fn drained(&self) {
        let notified = self.drain.notified();
        if !self.is_draining() {
            notified.await;
        }
    }

    /// Until when a peer may answer our Close.
    fn answer_deadline(&self) -> u32 {
        if self.is_draining() {
            u32::MAX
        } else {
            self.clock.now() + self.limits.close
        }
    }
}

/// The stations of a connection's life, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Messages flow, or our Close is out and the peer's is awaited.
    Running,
    /// It is known how it ends; what had arrived before is still handled.
    Ending,
    /// The session is being told.
    Told,
    /// Our last byte is out; reading on until the peer ends, lest a reset overtakes our Close.
    Lingering,
}

/// How a connection ended, as [`Event::Closed`] tells it.
#[derive(Debug)]
struct End {
    code: u16,
    reason: Box<str>,
    was_clean: bool,
}

/// Frames on their way past the session.
#[derive(Debug, Default)]
struct Tap {
    /// What has arrived of the next one.
    gathered: Vec<u8>,
    /// The one that the session is looking at.
    shown: Vec<u8>,
}

/// The future of one connection, after its handshake. Ready when the stream may be dropped.
#[derive(Debug)]
pub struct Connection<S, T> {
    /// Until the handler resets it.
    stream: Option<S>,
    session: T,
    outbox: Rc<Outbox>,
    shared: Rc<Shared>,
    decoder: Decoder,
    /// For a session that heeds frames.
    tap: Option<Box<Tap>>,
    /// Bytes of one message.
    max_message: u32,
    /// Events that wait for the session, oldest first.
    inbox: Inbox,
    end: Option<Box<End>>,
    /// Seconds of the worker's clock; 0 is never. When a byte was last heard, when the stream last took one, when
    /// the unfinished message began, and until when the current phase may last.
    heard: u32,
    taken: u32,
    begun: u32,
    deadline: u32,
    /// Pings and Pongs from the peer.
    controls: Rate,
    /// The turn to inflate a long message.
    turn: Turn,
    /// Its part of what all connections hold, while that is much.
    holding: Option<Holding>,
    phase: Phase,
    /// The session is handling an event.
    busy: bool,
    pinged: bool,
    /// The stream takes or gives nothing more.
    lost: bool,
    shut: bool,
}

impl<S: Transport, T: Session + Unpin> Connection<S, T> {
    /// A connection that begins by telling the session that it is open. `early` are bytes behind the request head.
    pub fn new(
        stream: S,
        session: T,
        outbox: Rc<Outbox>,
        shared: Rc<Shared>,
        early: Vec<u8>,
    ) -> Self {
        if let Some(tally) = outbox.tally() {
            tally.received(0, early.len());
        }
        let now = shared.clock.now();
        let decoder = match outbox.agreed() {
            Some(agreed) => Decoder::inflating(&agreed.terms, Rc::clone(&shared.pool)),
            None => Decoder::default(),
        };
        Self {
            stream: Some(stream),
            session,
            outbox,
            decoder,
            tap: None,
            max_message: u32::try_from(shared.limits.message).unwrap_or(u32::MAX),
            inbox: Inbox::opened(early),
            end: None,
            heard: now,
            taken: now,
            begun: 0,
            deadline: 0,
            controls: Rate::default(),
            turn: Turn::None,
            holding: None,
            phase: Phase::Running,
            busy: false,
            pinged: false,
            lost: false,
            shut: false,
            shared,
        }
    }

    /// The same with a bound of its own on a message's bytes.
    pub fn with_max_message(mut self, bytes: usize) -> Self {
        self.max_message = u32::try_from(bytes).unwrap_or(u32::MAX);
        self
    }

    fn run(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.shared.share.take();
        self.check_deadlines();
        if self.holding.as_ref().is_some_and(Holding::is_doomed) {
            self.make_room();
        }
        self.refresh();
        let polled = self.converse(context);
        self.pass_turn();
        self.account(context);
        polled
    }

    /// Begins a share of inflating; a long one when it is this connection's turn.
    fn refresh(&mut self) {
        if self.turn != Turn::None {
            self.turn = self.shared.turns.ask(&self.outbox, self.turn);
        }
        match self.turn {
            Turn::None => self.decoder.refresh(LITTLE),
            Turn::Held => self.decoder.refresh(MUCH),
            Turn::Awaited => {}
        }
    }

    /// Goes on inflating at once, beyond a little, if it is nobody else's turn.
    fn take_turn(&mut self) -> bool {
        if self.turn != Turn::None {
            return false;
        }
        self.turn = self.shared.turns.ask(&self.outbox, self.turn);
        if self.turn == Turn::Held {
            self.decoder.refresh(MUCH);
        }
        self.turn == Turn::Held
    }

    /// Tells what it holds, if that is much.
    fn account(&mut self, context: &Context<'_>) {
        let held = self.decoder.buffered() + self.inbox.bytes() + self.outbox.buffered();
        if held < ledger::STEP {
            self.holding = None;
        } else {
            let holding = self
                .holding
                .get_or_insert_with(|| self.shared.ledger.hold(context.waker()));
            holding.set(held);
            // It may be this one that is to go.
            if holding.is_doomed() {
                context.waker().wake_by_ref();
            }
        }
    }

    /// All connections together hold too much, and this one the most.
    fn make_room(&mut self) {
        self.holding = None;
        let why = "all connections together held more than --max-buffered";
        // A Close behind bytes that the peer does not take would be no use.
        if self.phase != Phase::Running || self.outbox.buffered() >= ledger::STEP {
            return self.expire(ledger::REFUSAL, why);
        }
        tracing::debug!(
            connection = self.outbox.id(),
            refusal = ledger::REFUSAL,
            "connection closed: {why}"
        );
        let code = match self.outbox.close(Some(&Close::new(code::TRY_AGAIN, ""))) {
            Ok(()) => code::TRY_AGAIN,
            Err(_) => self.outbox.sent_code(),
        };
        self.abandon(End {
            code,
            reason: why.into(),
            was_clean: false,
        });
    }

    /// Ends the turn, unless there is more to inflate now.
    fn pass_turn(&mut self) {
        let goes_on = self.phase == Phase::Running && self.inbox.holds() && self.has_room();
        if self.turn == Turn::Held && !goes_on {
            self.turn = Turn::None;
            self.shared.turns.give();
        }
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
            let goes_on = self.inbox.holds() && self.has_room() && self.turn != Turn::Awaited;
            if goes_on || self.has_had_its_share() {
                share::yield_now(context);
                break;
            }
            let read = self.read(context);
            // What was written may be what the session waits for, and what was read before the peer's Close is there still.
            let freed = wrote && self.busy;
            let is_due = self.phase == Phase::Ending && !self.busy && !self.inbox.is_empty();
            if !read && !freed && !is_due {
                break;
            }
        }
        if self.phase == Phase::Lingering && self.lost {
            return Poll::Ready(());
        }
        self.set_alarm();
        Poll::Pending
    }

    /// Lets the session go on, then gives it what waits, until it waits itself.
    fn handle(&mut self, context: &mut Context<'_>) {
        if self.busy {
            match self.session.resume(context) {
                Poll::Ready(outcome) => self.handled(outcome, context),
                Poll::Pending => return,
            }
        }
        while !self.busy && !self.has_had_its_share() {
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

    fn has_had_its_share(&self) -> bool {
        self.shared.share.get().is_used()
    }

    fn is_open(&self) -> bool {
        self.phase == Phase::Running && self.outbox.state() == ReadyState::Open
    }

    fn start(&mut self, event: Event<'_>, context: &mut Context<'_>) {
        self.busy = true;
        if let (Event::Frame(frame), Some(tap)) = (&event, &mut self.tap) {
            tap.shown = frame.to_vec();
        }
        if let Poll::Ready(outcome) = self.session.start(event, &self.outbox, context) {
            self.handled(outcome, context);
        }
        self.count(Share::event);
    }

    fn count(&self, used: impl FnOnce(&mut Share)) {
        let mut share = self.shared.share.get();
        used(&mut share);
        self.shared.share.set(share);
    }

    fn handled(&mut self, outcome: Outcome, context: &mut Context<'_>) {
        self.busy = false;
        let mut shown = self
            .tap
            .as_mut()
            .map(|tap| std::mem::take(&mut tap.shown))
            .unwrap_or_default();
        // After a Close there is nothing to answer or to fail: it has been said.
        let _ = match &outcome {
            Outcome::Done | Outcome::Hidden => Ok(()),
            Outcome::Answer(close) => self.outbox.close(close.as_ref()),
            Outcome::Failed(reason) => {
                let close = Close::new(code::INTERNAL_ERROR, reason);
                self.outbox.close(Some(&close))
            }
        };
        if outcome != Outcome::Hidden && !shown.is_empty() {
            self.decode(&mut shown, context);
        }
        let is_closing = match self.phase {
            Phase::Running => self.outbox.state() != ReadyState::Open,
            Phase::Ending => self.outbox.state() == ReadyState::Closing,
            Phase::Told | Phase::Lingering => false,
        };
        if is_closing || matches!(outcome, Outcome::Failed(_)) {
            // What waits behind a message whose handler has closed is not wanted any more, except for the peer's Close.
            let mut frames = self.inbox.take_frames();
            self.drop_messages();
            self.decode(&mut frames, context);
        }
    }

    /// Takes what has been read.
    fn consume(&mut self, input: &mut [u8], context: &mut Context<'_>) {
        let between_frames = !self.decoder.is_unfinished();
        if self.tap.is_none() && between_frames && self.session.heeds(Heed::Frames) {
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
        let tap = self.tap.get_or_insert_default();
        let mut gathered = std::mem::take(&mut tap.gathered);
        gathered.extend_from_slice(input);
        let mut rest = &gathered[..];
        while self.phase == Phase::Running && !rest.is_empty() {
            if self.has_had_its_share() {
                self.inbox.hold(rest);
                rest = &[];
                break;
            }
            match frame::Raw::extent(rest) {
                Some((_, length)) if length > (limit + frame::MAX_HEADER) as u64 => {
                    return self.fail(Violation::TooBig { limit });
                }
                Some((_, length)) if length <= rest.len() as u64 => {
                    let (frame, behind) = rest.split_at(length as usize);
                    rest = behind;
                    self.deliver(Event::Frame(frame.into()), context);
                }
                _ => break,
            }
        }
        let done = gathered.len() - rest.len();
        gathered.drain(..done);
        self.tap.get_or_insert_default().gathered = gathered;
        if !self.session.heeds(Heed::Frames)
            && self
                .tap
                .as_ref()
                .is_some_and(|tap| tap.gathered.is_empty() && tap.shown.is_empty())
        {
            self.tap = None;
        }
    }

    /// Decodes bytes. Messages go straight to the session while it is free.
    fn decode(&mut self, mut input: &mut [u8], context: &mut Context<'_>) {
        let limits = Limits {
            message: self.max_message as usize,
            ..self.shared.limits
        };
        // A few bytes may become many long messages: no more of them than the session has room for, nor than its share.
        // Frames that the session has looked at have been bounded before.
        let is_first_to_see = self.tap.is_none();
        let may_hold = self.decoder.inflates() && is_first_to_see;
        while self.phase == Phase::Running {
            let is_full = may_hold && !self.has_room();
            if is_full || (is_first_to_see && self.has_had_its_share()) {
                break;
            }
            match self.decoder.next(&mut input, &limits, self.outbox.id()) {
                Ok(Some(Incoming::Message(message))) => {
                    self.begun = 0;
                    self.message(message, context);
                }
                Ok(Some(Incoming::Ping(_) | Incoming::Pong(_))) if !self.takes_control() => {
                    self.fail(Violation::ControlRate);
                }
                Ok(Some(Incoming::Ping(payload))) if self.session.heeds(Heed::Ping) => {
                    self.deliver(Event::Ping((*payload).into()), context);
                }
                Ok(Some(Incoming::Ping(payload))) => {
                    let _ = self.outbox.pong(&payload);
                }
                Ok(Some(Incoming::Pong(payload))) if self.session.heeds(Heed::Pong) => {
                    self.deliver(Event::Pong((*payload).into()), context);
                }
                Ok(Some(Incoming::Pong(_))) => {}
                Ok(Some(Incoming::Close(close))) => self.peer_closed(close),
                Ok(None) if !may_hold && !input.is_empty() => self.decoder.refresh(MUCH),
                Ok(None) if !input.is_empty() && self.take_turn() => {}
                Ok(None) => break,
                Err(violation) => self.fail(violation),
            }
        }
        if self.phase == Phase::Running && !input.is_empty() {
            self.inbox.hold(input);
        }
        if !self.decoder.is_unfinished() {
            self.begun = 0;
        } else if self.begun == 0 {
            self.begun = self.shared.clock.now();
        }
    }

    /// Counts a Ping or Pong; `false` if it is one too many.
    fn takes_control(&mut self) -> bool {
        let (now, limits) = (self.shared.clock.now(), &self.shared.limits);
        self.controls
            .take(now, limits.control_rate, limits.control_burst)
    }

    fn message(&mut self, message: Message<'_>, context: &mut Context<'_>) {
        if self.outbox.state() != ReadyState::Open {
            return;
        }
        if let Some(tally) = self.outbox.tally() {
            tally.received(1, 0);
        }
        if !self.busy && self.inbox.is_empty() {
            self.start(Event::Message(message), context);
        } else {
            self.inbox.push(Event::Message(message.into_owned()));
        }
    }

    fn deliver(&mut self, event: Event<'static>, context: &mut Context<'_>) {
        if !self.busy && self.inbox.is_empty() {
            self.start(event, context);
        } else {
            self.inbox.push(event);
        }
    }

    /// The peer's Close: answered in its turn, when what came before it has been.
    fn peer_closed(&mut self, close: Option<Close>) {
        if self.outbox.state() == ReadyState::Open {
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
    fn close_requested(&mut self, close: Option<Close>, context: &mut Context<'_>) {
        if self.outbox.state() == ReadyState::Closing {
            // The handler of a message before it has closed by itself.
        } else if self.session.heeds(Heed::Close) {
            self.start(Event::CloseRequested(close), context);
        } else {
            let answer = close.map(|close| Close::new(close.code, ""));
            let _ = self.outbox.close(answer.as_ref());
        }
    }

    /// Does what the outbox was told about the connection's end.
    fn part(&mut self, context: &mut Context<'_>) {
        const WHY: &str = "the handler aborted the connection";
        let parting = self.outbox.parting();
        if parting == Parting::None || self.lost {
            return;
        }
        self.ends_by(By::Server);
        match parting {
            Parting::None => {}
            Parting::Sent if self.phase == Phase::Running => self.abandon(End {
                code: self.outbox.sent_code(),
                reason: WHY.into(),
                was_clean: false,
            }),
            Parting::Sent if self.phase == Phase::Ending => {
                if let Some(end) = &mut self.end {
                    end.was_clean = false;
                }
                self.drop_messages();
                self.cancel();
            }
            Parting::Sent => {}
            Parting::Reset => {
                if let Some(stream) = self.stream.take() {
                    stream.reset_when_dropped();
                }
                self.lose(WHY);
            }
            Parting::Now => {
                if let Some(stream) = &mut self.stream {
                    let _ = Pin::new(stream).poll_shutdown(context);
                }
                self.lose("the server is shutting down");
            }
        }
    }

    /// Fails the connection, RFC 6455 section 7.1.7: a Close with the code, and nothing more is read.
    fn fail(&mut self, violation: Violation) {
        let close = Close::new(violation.code(), &violation.to_string());
        let code = match self.outbox.close(Some(&close)) {
            Ok(()) => violation.code(),
            Err(_) => self.outbox.sent_code(),
        };
        self.tell(violation, code);
        self.abandon(End {
            code,
            reason: violation.to_string().into(),
            was_clean: false,
        });
    }

    /// Logs why the connection is closed, unless others were for the same reason in this second.
    fn tell(&self, violation: Violation, code: u16) {
        let id = violation.id();
        if !self.shared.ends.borrow_mut().admits(&id) {
            return;
        }
        let is_lowered = self.max_message as usize != self.shared.limits.message;
        let agreed = self.outbox.agreed();
        let forgets = agreed.is_some_and(|agreed| agreed.terms.history() == 0);
        let advice = match violation.setting(is_lowered) {
            Some(setting) => format!("; {setting} sets the bound"),
            None if violation == Violation::BrokenDeflate && forgets => {
                "; if the client keeps its window in spite of client_no_context_takeover, \
                 --compression-client-context serves it"
                    .to_owned()
            }
            None => String::new(),
        };
        let (connection, path) = (self.outbox.id(), self.session.path());
        tracing::info!(
            connection,
            path,
            refusal = id,
            code,
            "closed: {violation}{advice}"
        );
    }

    /// The peer has let a time pass; the limit is named as its setting.
    fn expire(&mut self, limit: &'static str, why: &str) {
        tracing::debug!(
            connection = self.outbox.id(),
            refusal = limit,
            "connection dropped: {why}"
        );
        self.ends_by(By::Server);
        self.lose(why);
    }

    /// Whom the access log is to name for the end.
    fn ends_by(&self, by: By) {
        if let Some(tally) = self.outbox.tally() {
            tally.ends_by(by);
        }
    }

    /// The stream is gone or useless.
    fn lose(&mut self, why: &str) {
        self.lost = true;
        self.outbox.set_closed();
        if self.phase == Phase::Running {
            self.abandon(End {
                code: self.outbox.sent_code(),
                reason: why.into(),
                was_clean: false,
            });
        } else if self.phase == Phase::Ending {
            self.cancel();
        }
    }

    /// An end after which what has arrived is not handled any more.
    fn abandon(&mut self, end: End) {
        self.drop_messages();
        self.cancel();
        self.end(end);
    }

    fn end(&mut self, end: End) {
        self.end = Some(Box::new(end));
        // A message that will not be finished need not be kept while the connection lingers.
        self.decoder = Decoder::default();
        self.inbox.take_early();
        self.enter(Phase::Ending, self.shared.limits.close);
    }

    fn enter(&mut self, phase: Phase, seconds: u32) {
        self.phase = phase;
        self.deadline = self.shared.clock.now() + seconds;
    }

    fn drop_messages(&mut self) {
        self.inbox.retain(|event| matches!(event, Event::Opened));
    }

    /// Writes what is queued; whether any byte was taken.
    fn flush(&mut self, context: &mut Context<'_>) -> bool {
        let (false, Some(stream)) = (self.lost, &mut self.stream) else {
            return false;
        };
        if self.outbox.buffered() == 0 {
            // A stream that encrypts may still hold the end of what it took; for any other this is nothing.
            if let Poll::Ready(Err(error)) = Pin::new(stream).poll_flush(context) {
                self.lose(&error.to_string());
            }
            return false;
        }
        match self.outbox.flush(stream, context) {
            Ok(0) => false,
            Ok(count) => {
                self.taken = self.shared.clock.now();
                self.count(|share| share.bytes(count));
                true
            }
            Err(error) => {
                self.lose(&error.to_string());
                false
            }
        }
    }

    /// Moves along the phases after `Running`; whether the stream may be dropped.
    fn step_towards_end(&mut self, context: &mut Context<'_>) -> bool {
        if self.phase == Phase::Running {
            // The peer's time to answer begins when it can have our Close; until then the bound is that of any data.
            let is_sent = self.outbox.buffered() == 0;
            if self.outbox.state() == ReadyState::Closing && is_sent && self.deadline == 0 {
                self.deadline = self.shared.answer_deadline();
            }
            return false;
        }
        if self.phase == Phase::Ending && !self.busy && self.inbox.is_empty() {
            self.enter(Phase::Told, self.shared.limits.close);
            if let Some(end) = self.end.take() {
                let End {
                    code,
                    reason,
                    was_clean,
                } = *end;
                let was_clean = was_clean && !self.lost;
                let connection = self.outbox.id();
                tracing::debug!(
                    connection,
                    code,
                    reason = one_line(&reason),
                    was_clean,
                    "connection closed"
                );
                if let Some(tally) = self.outbox.tally() {
                    // Without a Close from either side nobody has ended it.
                    let by = match self.outbox.sent_code() {
                        code::ABNORMAL => By::Nobody,
                        _ => By::Server,
                    };
                    tally.log(connection, self.session.path(), code, &reason, by);
                }
                self.outbox.set_closed();
                self.start(
                    Event::Closed {
                        code,
                        reason,
                        was_clean,
                    },
                    context,
                );
            }
        }
        if self.phase == Phase::Told && !self.busy {
            let seconds = self.shared.limits.linger + self.outbox.kept_open();
            self.enter(Phase::Lingering, seconds);
        }
        self.flush(context);
        let closing = self.outbox.state() != ReadyState::Open;
        let is_done = closing
            && !self.is_kept_open()
            && !self.shut
            && !self.lost
            && self.outbox.buffered() == 0;
        if is_done && let Some(stream) = &mut self.stream {
            match Pin::new(stream).poll_shutdown(context) {
                Poll::Ready(Ok(())) => {
                    self.shut = true;
                    if self.phase == Phase::Lingering {
                        self.enter(Phase::Lingering, self.shared.limits.linger);
                    }
                }
                Poll::Ready(Err(_)) => self.lost = true,
                Poll::Pending => {}
            }
        }
        self.phase == Phase::Lingering && self.lost
    }

    /// Whether the handler wants the stream to stay open for now, its close handshake done.
    fn is_kept_open(&self) -> bool {
        let (now, linger) = (self.shared.clock.now(), self.shared.limits.linger);
        self.outbox.kept_open() > 0
            && (self.phase != Phase::Lingering || now + linger < self.deadline)
    }

    /// Reads once, if there is room for what may come; whether anything came, be it the end.
    fn read(&mut self, context: &mut Context<'_>) -> bool {
        if !self.may_read() {
            return false;
        }
        let shared = Rc::clone(&self.shared);
        let Some(stream) = &mut self.stream else {
            return false;
        };
        let mut buffer = shared.read.take();
        if buffer.is_empty() {
            // Gone with a connection whose task panicked while it had it.
            buffer = vec![0; READ_BUFFER];
        }
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
                if self.phase == Phase::Running {
                    self.heard = self.shared.clock.now();
                    self.pinged = false;
                    self.consume(filled.filled_mut(), context);
                }
                let count = filled.filled().len();
                if let Some(tally) = self.outbox.tally() {
                    tally.received(0, count);
                }
                self.count(|share| share.bytes(count));
            }
        }
        *shared.read.borrow_mut() = buffer;
        came
    }

    fn may_read(&self) -> bool {
        match self.phase {
            Phase::Running => {
                !self.lost
                    && !self.inbox.holds()
                    && self.has_room()
                    && !self.outbox.is_paused()
                    && self.outbox.buffered() < self.shared.limits.send_queue
            }
            Phase::Ending | Phase::Told => false,
            Phase::Lingering => !self.lost && self.shut,
        }
    }

    /// Whether the session can take more, now or soon.
    fn has_room(&self) -> bool {
        !self.busy || self.inbox.bytes() + self.decoder.buffered() < self.shared.limits.read_ahead
    }

    /// Acts on what has taken too long.
    fn check_deadlines(&mut self) {
        let now = self.shared.clock.now();
        let limits = self.shared.limits;
        let late = self.deadline != 0 && now >= self.deadline;
        match self.phase {
            Phase::Running if late => self.expire("close-timeout", "no Close in answer to ours"),
            Phase::Running if self.outbox.buffered() > 0 && now >= self.taken + limits.send => {
                self.expire("send-timeout", "the peer takes no data");
            }
            Phase::Running if !self.may_read() => {
                // What we do not read we cannot miss. A Ping still finds out whether the peer is there at all.
                if self.begun != 0 {
                    self.begun = now;
                }
                self.heard = self.heard.max((now + 1).saturating_sub(limits.ping));
            }
            Phase::Running if self.begun != 0 && now >= self.assembly_deadline() => {
                let is_slow = now >= self.begun + limits.assembly;
                self.fail(if is_slow {
                    Violation::Slow
                } else {
                    Violation::Stalled
                })
            }
            Phase::Running if now >= self.heard + limits.ping + limits.pong => {
                self.expire("pong-timeout", "no answer to a Ping")
            }
            Phase::Running if now >= self.heard + limits.ping && !self.pinged => {
                self.pinged = true;
                let _ = self.outbox.ping(&[]);
            }
            Phase::Ending if late => {
                self.inbox
                    .retain(|event| matches!(event, Event::Opened | Event::CloseRequested(_)));
                self.cancel();
                self.deadline = now + self.shared.limits.close;
            }
            Phase::Told if late => self.cancel(),
            // What is unsent has the time of any data, as long as the peer takes some.
            Phase::Lingering if late && !self.sends_on(now) => self.lost = true,
            _ => {}
        }
    }

    /// Whether there is something to send, and the peer has taken some of it of late.
    fn sends_on(&self, now: u32) -> bool {
        self.outbox.buffered() > 0 && now < self.taken + self.shared.limits.send
    }

    /// Until when the unfinished message must go on, and be whole.
    fn assembly_deadline(&self) -> u32 {
        let limits = &self.shared.limits;
        (self.heard + limits.stall).min(self.begun + limits.assembly)
    }

    fn cancel(&mut self) {
        if self.busy {
            self.session.cancel();
            self.busy = false;
        }
    }

    /// Asks to be woken when the next of its deadlines may have come.
    fn set_alarm(&self) {
        let limits = &self.shared.limits;
        let mut next = self.heard
            + if self.pinged {
                limits.ping + limits.pong
            } else {
                limits.ping
            };
        let kept = if self.phase == Phase::Lingering && self.is_kept_open() {
            self.deadline - limits.linger
        } else {
            0
        };
        for second in [
            kept,
            self.deadline,
            if self.begun == 0 {
                0
            } else {
                self.assembly_deadline()
            },
        ] {
            if second != 0 {
                next = next.min(second);
            }
        }
        if self.outbox.buffered() > 0 {
            next = next.min(self.taken + limits.send);
        }
        self.shared.clock.wake_at(&self.outbox, next);
    }
}

impl<S: Transport, T: Session + Unpin> Future for Connection<S, T> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        let shared = Rc::clone(&this.shared);
        this.outbox.enter(context, &mut shared.write.borrow_mut());
        let polled = this.run(context);
        this.outbox.leave(&mut shared.write.borrow_mut());
        if shared.write.borrow().capacity() > WRITE_BUFFER {
            shared.write.borrow_mut().shrink_to(WRITE_BUFFER);
        }
        polled
    }
}

impl Outbox {
    /// Gives queued bytes to the stream until it takes no more, or a [share's](share::WRITE) worth; how many it took.
    fn flush(
        &self,
        stream: &mut (impl AsyncWrite + Unpin),
        context: &mut Context<'_>,
    ) -> io::Result<usize> {
        let mut total = 0;
        while total < share::WRITE {
            let polled = self.with_unsent(|bytes| match bytes {
                [] => Poll::Pending,
                bytes => {
                    let most = bytes.len().min(share::WRITE - total);
                    Pin::new(&mut *stream).poll_write(context, &bytes[..most])
                }
            });
            match polled {
                Poll::Pending => break,
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(count)) => {
                    self.sent(count);
                    total += count;
                }
                Poll::Ready(Err(error)) => return Err(error),
            }
        }
        Ok(total)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncRead;

    use super::*;
    use crate::config::limits;

    /// A peer that takes all it is sent at once, and sends without a pause.
    #[derive(Default)]
    struct Greedy {
        taken: usize,
        sends: Vec<u8>,
        given: usize,
    }

    impl AsyncRead for Greedy {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buffer: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            if self.sends.is_empty() {
                return Poll::Pending;
            }
            while buffer.remaining() >= self.sends.len() {
                buffer.put_slice(&self.sends);
                self.given += self.sends.len();
            }
            Poll::Ready(Ok(()))
        }
    }

    impl AsyncWrite for Greedy {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.taken += bytes.len();
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    impl Transport for Greedy {}

    /// Sends a long message at once and another whenever that is gone, or works a while at each message.
    #[derive(Default)]
    struct Tireless {
        outbox: Option<Rc<Outbox>>,
        message: Vec<u8>,
        works: bool,
        handled: usize,
    }

    impl Session for Tireless {
        fn start(
            &mut self,
            event: Event<'_>,
            outbox: &Rc<Outbox>,
            context: &mut Context<'_>,
        ) -> Poll<Outcome> {
            self.outbox = Some(Rc::clone(outbox));
            match event {
                Event::Opened if !self.message.is_empty() => self.resume(context),
                Event::Message(_) => {
                    self.handled += 1;
                    if self.works {
                        std::thread::sleep(std::time::Duration::from_micros(100));
                    }
                    Poll::Ready(Outcome::Done)
                }
                _ => Poll::Ready(Outcome::Done),
            }
        }

        fn resume(&mut self, _: &mut Context<'_>) -> Poll<Outcome> {
            let outbox = self.outbox.as_ref().expect("it was opened");
            if outbox.buffered() == 0 {
                outbox.send_binary(&self.message).unwrap();
            }
            Poll::Pending
        }

        fn cancel(&mut self) {}

        fn poll_due(&mut self, _: &mut Context<'_>) -> Poll<()> {
            Poll::Pending
        }

        fn heeds(&self, _: Heed) -> bool {
            false
        }
    }

    fn connection(stream: Greedy, session: Tireless) -> Connection<Greedy, Tireless> {
        let shared = Rc::new(Shared::new(limits::WEBSOCKET));
        let outbox = Rc::new(Outbox::new(1, Vec::new()));
        Connection::new(stream, session, outbox, shared, Vec::new())
    }

    fn taken(connection: &Connection<Greedy, Tireless>) -> usize {
        connection.stream.as_ref().map_or(0, |stream| stream.taken)
    }

    fn given(connection: &Connection<Greedy, Tireless>) -> usize {
        connection.stream.as_ref().map_or(0, |stream| stream.given)
    }

    fn poll(connection: &mut Connection<Greedy, Tireless>) {
        let mut context = Context::from_waker(std::task::Waker::noop());
        assert!(Pin::new(connection).poll(&mut context).is_pending());
    }

    #[test]
    fn a_peer_that_takes_everything_is_written_a_share_at_a_time() {
        for length in [10_000, 10_000_000] {
            let session = Tireless {
                message: vec![0; length],
                ..Tireless::default()
            };
            let mut connection = connection(Greedy::default(), session);
            for round in 1..=12 {
                poll(&mut connection);
                let most = 2 * share::WRITE;
                assert!(taken(&connection) <= round * most, "{length} {round}");
            }
            assert!(taken(&connection) > length);
        }
    }

    #[test]
    fn a_peer_that_sends_without_a_pause_is_heard_a_share_at_a_time() {
        let stream = Greedy {
            sends: b"\x81\x81\0\0\0\0x".to_vec(),
            ..Greedy::default()
        };
        let session = Tireless {
            works: true,
            ..Tireless::default()
        };
        let mut connection = connection(stream, session);
        poll(&mut connection);
        let first = connection.session.handled;
        assert!((8..100).contains(&first), "{first}");
        // What was read and not handled comes later, and nothing is read before it.
        let before = given(&connection);
        poll(&mut connection);
        assert!(connection.session.handled > first);
        assert_eq!(given(&connection), before);
        connection.session.works = false;
        connection.stream.as_mut().expect("no reset").sends.clear();
        while connection.inbox.holds() {
            poll(&mut connection);
        }
        assert_eq!(connection.session.handled, given(&connection) / 7);
    }
}
