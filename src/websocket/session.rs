//! Session interface: the boundary between the protocol and whoever handles a connection's
//! messages.

use std::borrow::Cow;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::close::Close;
use super::handle::Handle;
use super::message::Message;

/// Event that a session is told, one at a time and in this order: opened, then what comes, then at
/// most one request to close, then closed. What came before the peer's Close is handled before it,
/// and can be answered.
#[derive(Debug)]
pub enum Event<'b> {
    /// The handshake is done.
    Opened,
    /// A complete message.
    Message(Message<'b>),
    /// A Ping's payload, for a session that is interested in it.
    Ping(Box<[u8]>),
    /// A Pong's payload, for a session that is interested in it.
    Pong(Box<[u8]>),
    /// A frame's bytes before anything else looks at them, for a session that is interested in it;
    /// see [`frame::Raw`](super::frame::Raw).
    Frame(Box<[u8]>),
    /// The session's own event, which [`Session::poll_due`] announced.
    Due,
    /// The peer's Close arrived, `None` without a code; only for a session that is interested in
    /// it.
    CloseRequested(Option<Close>),
    /// The end, once after `Opened`, whatever it was. What is sent now is dropped.
    Closed {
        /// The peer's code, 1005 if its Close had none; without a Close from the peer ours; without
        /// any 1006.
        code: u16,
        /// The reason that came with the code, or what went wrong.
        reason: Box<str>,
        /// Whether both sides sent a Close.
        was_clean: bool,
    },
}

/// Outcome of handling an event.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing more to do.
    Done,
    /// The answer to [`Event::CloseRequested`]; `None` is a Close without a code.
    Answer(Option<Close>),
    /// The protocol is not to see the frame of [`Event::Frame`].
    Hidden,
    /// The handler failed: the connection is closed with 1011 and this reason.
    Failed(Cow<'static, str>),
}

/// A handler of one connection. It may wait: while it does, the connection goes on answering pings
/// and notices its end. What is given here is right for one that never waits, has nothing to do of
/// its own accord, and leaves control frames to the connection.
pub trait Session {
    /// Begins to handle an event. After `Pending` the connection calls [`resume`](Self::resume)
    /// when woken, and starts nothing else before that is `Ready`.
    fn start(
        &mut self,
        event: Event<'_>,
        handle: &Rc<Handle>,
        context: &mut Context<'_>,
    ) -> Poll<Outcome>;

    /// Goes on with the event whose handling waits.
    fn resume(&mut self, _context: &mut Context<'_>) -> Poll<Outcome> {
        Poll::Ready(Outcome::Done)
    }

    /// All that has come is handled, or waits, and what was said is written next.
    fn caught_up(&mut self) {}

    /// Ends a handling that waits, at once: the peer is gone or time is up.
    fn cancel(&mut self) {}

    /// Ready when the session has something to do of its own accord: it is then started with
    /// [`Event::Due`].
    fn poll_due(&mut self, _context: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }

    /// Whether it would like to be [asked](Self::rest) in a while, since it holds what it could do
    /// without while nothing happens.
    fn may_rest(&self) -> bool {
        false
    }

    /// Gives up what it can do without, if nothing has happened since the last time that this was
    /// asked; whether it is to be asked again.
    fn rest(&mut self) -> bool {
        false
    }

    /// The path that it serves, for the log.
    fn path(&self) -> &str {
        ""
    }

    /// Whether the session wants to be told, and to answer by itself.
    fn is_interested_in(&self, _what: Interest) -> bool {
        false
    }
}

/// Frames that a connection sees to by itself unless its session does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interest {
    /// The peer's Close; otherwise its code is sent back.
    Close,
    /// Pings; otherwise they are answered.
    Ping,
    /// Pongs; otherwise they only show that the peer lives.
    Pong,
    /// Frames, before the protocol does.
    Frames,
}
