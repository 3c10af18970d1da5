//! Log lines about who was turned away: the first of its kind in a second, the others counted.
//! Anybody can cause them as often as they like.

use std::cell::RefCell;

use super::client::Client;
use crate::observe::Flood;
use crate::observe::event::{Event, Lazily, text};

/// The reason why a client was refused. The ids are stable: log searches and counters rest on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A host that is not allowed.
    Host,
    /// An origin that is not allowed.
    Origin,
    /// No user and password, or wrong ones.
    BasicAuth,
    /// No PROXY protocol header where one must be.
    ProxyProtocol,
    /// Too many connections of the address that a PROXY protocol header has told.
    Address,
    /// No certificate of a client, or a wrong one.
    Certificate,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Host,
        Self::Origin,
        Self::BasicAuth,
        Self::ProxyProtocol,
        Self::Address,
        Self::Certificate,
    ];

    /// The name by which logs and counters know it.
    pub fn id(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Origin => "origin",
            Self::BasicAuth => "basic-auth",
            Self::ProxyProtocol => "proxy-protocol",
            Self::Address => "max-connections-per-address",
            Self::Certificate => "tls-client-certificate",
        }
    }
}

thread_local! {
    /// By id, of which there are few: no client chooses any.
    static FLOOD: RefCell<Flood<&'static str>> = const { RefCell::new(Flood::lines(1)) };
}

fn tell(refusal: &'static str, event: Event<'_>) {
    FLOOD.with_borrow_mut(|flood| event.tell_within(flood, &refusal));
}

/// Logs that somebody was turned away. `path` is without a query, which may hold secrets.
pub fn log(kind: Kind, client: &Client, path: Option<&str>, why: &str) {
    let refusal = kind.id();
    tell(
        refusal,
        Event::Refused {
            refusal,
            client: text(client),
            path,
            why,
        },
    );
}

/// Logs that a request was refused which somebody may well wonder about: `line` says what, and is
/// made if it is said.
pub fn note(refusal: &'static str, status: u16, client: &Client, line: impl Fn() -> String) {
    let event = Event::RequestRefused {
        refusal,
        status,
        client: text(client),
        why: &Lazily(line),
    };
    tell(refusal, event);
}

/// Once a second: says how many were turned away without a line of their own.
pub fn tick() {
    FLOOD.with_borrow_mut(|flood| {
        flood.tick(|refusal, more| Event::RefusedMore { refusal, more }.tell());
    });
}
