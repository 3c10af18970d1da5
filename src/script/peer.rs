//! A connection as its handler has it: its handle, its `this`, its timers and its request.

use std::fmt;
use std::rc::Rc;

use rhai::{EvalAltResult, ImmutableString};

use super::request::Request;
use super::state::State;
use crate::hub::{Letters, Subscriptions};
use crate::local::Slot;
use crate::machine::error::{duration, throw};
use crate::machine::timers::Timers;
use crate::observe::metrics::{Direction, HandlerMeter};
use crate::websocket::{Handle, ReadyState, SendError};

/// What scripts know of a connection.
pub struct Peer {
    pub(super) handle: Rc<Handle>,
    pub(super) place: Rc<Place>,
    /// Its `this`.
    pub(super) state: State,
    /// What few connections have.
    extra: Slot<Option<Box<Extra>>>,
}

#[derive(Debug, Default)]
struct Extra {
    timers: Timers,
    request: Option<Rc<Request>>,
    /// Once it has subscribed to something; in a box, since those who have a timer need not.
    subscriptions: Option<Box<Subscriptions>>,
}

/// What many connections have in common, so that each of them holds a pointer.
#[derive(Debug, Default)]
pub struct Place {
    /// The path, decoded.
    pub path: String,
    /// The subprotocol that was agreed on, or none.
    pub protocol: String,
    /// Unsent bytes from which `send` waits.
    pub send_queue: usize,
    /// What counts messages, for connections. It follows from the handler.
    pub meter: Option<Rc<HandlerMeter>>,
    /// What topics have for their hooks; it follows from the handler, too.
    pub letters: Rc<Letters>,
}

impl PartialEq for Place {
    fn eq(&self, other: &Self) -> bool {
        let Self {
            path,
            protocol,
            send_queue,
            meter: _,
            letters: _,
        } = self;
        (path, protocol, send_queue) == (&other.path, &other.protocol, &other.send_queue)
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_tuple("Peer").field(&self.handle.id()).finish()
    }
}

impl Peer {
    /// The other end of this connection with the state that the handshake left, and its request if
    /// the handler looks at that later.
    pub fn new(
        handle: Rc<Handle>,
        place: Rc<Place>,
        state: State,
        request: Option<Rc<Request>>,
    ) -> Self {
        let extra = request.map(|request| {
            Box::new(Extra {
                request: Some(request),
                ..Extra::default()
            })
        });
        Self {
            handle,
            place,
            state,
            extra: Slot::new(extra),
        }
    }

    /// Counts a message that was sent.
    #[inline]
    pub(super) fn count(&self, bytes: usize, result: &Result<(), SendError>) {
        self.count_fragment(bytes, true, result);
    }

    /// Counts a part of a message, which may be its last.
    #[inline]
    pub(super) fn count_fragment(&self, bytes: usize, last: bool, result: &Result<(), SendError>) {
        if let (Some(meter), Ok(())) = (&self.place.meter, result) {
            meter.passed(Direction::Out, u64::from(last), bytes);
        }
    }

    pub(super) fn has_room(&self) -> bool {
        self.handle.state() != ReadyState::Open || self.handle.buffered() < self.place.send_queue
    }

    pub(super) fn request(&self) -> Option<Rc<Request>> {
        self.extra.look(|extra| extra.as_ref()?.request.clone())
    }

    /// Looks at its subscriptions.
    pub(super) fn subscriptions<R>(
        &self,
        look: impl FnOnce(&mut Option<Box<Subscriptions>>) -> R,
    ) -> R {
        self.extra.look(|extra| match extra {
            Some(extra) => look(&mut extra.subscriptions),
            None => {
                let mut subscriptions = None;
                let result = look(&mut subscriptions);
                if subscriptions.is_some() {
                    extra.get_or_insert_default().subscriptions = subscriptions;
                }
                result
            }
        })
    }

    /// Whether it subscribes to this topic.
    pub(super) fn subscribes_to(&self, topic: &str) -> bool {
        self.subscriptions(|all| all.as_ref().is_some_and(|all| all.contains(topic)))
    }

    /// Whether there is something of a topic for one of its hooks, which may be called now.
    #[inline]
    pub(super) fn has_letter(&self) -> bool {
        self.place.letters.has(self.handle.id()) && !self.handle.is_in_fragments()
    }

    /// It subscribes to nothing any more, and has ended properly if it is not expected back.
    pub(super) fn leave_topics(&self, properly: bool) {
        if let Some(subscriptions) = self.subscriptions(Option::take) {
            subscriptions.end(properly);
        }
    }

    /// Looks at the timers, if there are any.
    pub(super) fn timers<R>(&self, look: impl FnOnce(&mut Timers) -> R) -> Option<R> {
        self.extra
            .look(|extra| extra.as_mut().map(|extra| look(&mut extra.timers)))
    }

    /// Sets a timer of the connection.
    pub(super) fn set_timer(
        &self,
        name: ImmutableString,
        seconds: f64,
        repeats: bool,
    ) -> Result<(), Box<EvalAltResult>> {
        self.extra.look(|extra| {
            let timers = &mut extra.get_or_insert_default().timers;
            set_timer(timers, name, seconds, repeats)
        })
    }
}

/// Sets a timer. Throws `timer` for one too many and for a name that is too long, and `time` for a
/// time that none may have.
pub(super) fn set_timer(
    timers: &mut Timers,
    name: ImmutableString,
    seconds: f64,
    repeats: bool,
) -> Result<(), Box<EvalAltResult>> {
    let what = if repeats { "every" } else { "after" };
    let delay = duration(what, seconds)?;
    if repeats && seconds < SHORTEST {
        return throw(
            "time",
            format!("every takes {SHORTEST} seconds or more, not {seconds}"),
        );
    }
    if name.len() > NAME {
        return throw(
            "timer",
            format!(
                "a timer's name has at most {NAME} bytes, this one {}",
                name.len()
            ),
        );
    }
    if timers.others(&name) >= TIMERS {
        return throw(
            "timer",
            format!("there are {TIMERS} timers already: cancel one, or use a name again"),
        );
    }
    timers.set(name, delay, repeats);
    Ok(())
}

/// Bytes of a timer's name: it is kept beside the connection's `this`, whose bounds do not see it.
const NAME: usize = 256;
/// Seconds between two calls of `on_timer` at the least: a thousand a second.
const SHORTEST: f64 = 0.001;
/// Timers of one connection; each is looked at whenever one is due.
const TIMERS: usize = 64;
