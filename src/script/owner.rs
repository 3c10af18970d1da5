//! Whose hooks run: a connection's, a handshake's before there is one, or a handler's own.

use std::rc::Rc;

use rhai::{EvalAltResult, ImmutableString};

use super::peer::{self, Peer};
use super::state::State;
use crate::local::Slot;
use crate::machine::timers::Timers;

/// The owner of a hook's call and of its `this`.
#[derive(Debug, Clone)]
pub enum Owner {
    /// A connection.
    Connection(Rc<Peer>),
    /// A handshake, which has no `ws` yet.
    Handshake(Rc<Opening>),
    /// The handler itself, once in the process: there are no more of these than files.
    Handler(Rc<Service>),
}

/// A handshake, as the owner of its hook.
#[derive(Debug)]
pub struct Opening {
    /// The number that its connection has.
    connection: u64,
    /// The `this` that goes on to the connection.
    state: State,
}

/// A handler, as the owner of its hooks without a connection.
#[derive(Debug, Default)]
pub struct Service {
    state: State,
    timers: Slot<Timers>,
}

impl Owner {
    /// Creates the owner of a handshake, whose connection is to have this number.
    pub fn handshake(connection: u64) -> Self {
        let state = State::default();
        Self::Handshake(Rc::new(Opening { connection, state }))
    }

    /// Creates the owner of a handler's own hooks, which have not run yet.
    pub fn handler() -> Self {
        Self::Handler(Rc::default())
    }

    /// Whether it is the same one.
    #[inline]
    pub fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Connection(a), Self::Connection(b)) => Rc::ptr_eq(a, b),
            (Self::Handshake(a), Self::Handshake(b)) => Rc::ptr_eq(a, b),
            (Self::Handler(a), Self::Handler(b)) => Rc::ptr_eq(a, b),
            _ => false,
        }
    }

    /// Returns the connection, where there is one to be spoken to.
    #[inline]
    pub fn peer(&self) -> Option<&Rc<Peer>> {
        match self {
            Self::Connection(peer) => Some(peer),
            Self::Handshake(_) | Self::Handler(_) => None,
        }
    }

    /// Returns the connection's number, as logs and reports have it.
    #[inline]
    pub fn connection(&self) -> Option<u64> {
        match self {
            Self::Connection(peer) => Some(peer.handle.id()),
            Self::Handshake(opening) => Some(opening.connection),
            Self::Handler(_) => None,
        }
    }

    /// Returns its `this`.
    #[inline]
    pub fn state(&self) -> &State {
        match self {
            Self::Connection(peer) => &peer.state,
            Self::Handshake(opening) => &opening.state,
            Self::Handler(service) => &service.state,
        }
    }

    /// Looks at its timers, if it may have some and has.
    pub fn timers<R>(&self, look: impl FnOnce(&mut Timers) -> R) -> Option<R> {
        match self {
            Self::Connection(peer) => peer.timers(look),
            Self::Handshake(_) => None,
            Self::Handler(service) => Some(service.timers(look)),
        }
    }
}

impl Service {
    /// Looks at the handler's own timers.
    pub fn timers<R>(&self, look: impl FnOnce(&mut Timers) -> R) -> R {
        self.timers.look(look)
    }

    /// Has `on_interval` called again and again. Throws what a connection's timer does.
    pub fn every(&self, name: ImmutableString, seconds: f64) -> Result<(), Box<EvalAltResult>> {
        self.timers(|timers| peer::set_timer(timers, name, seconds, true))
    }
}
