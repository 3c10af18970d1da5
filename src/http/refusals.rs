//! Log lines about who was turned away: the first of its kind in a second, the others counted. Anybody can cause them
//! as often as they like.

use std::cell::RefCell;

use super::Client;
use crate::observe::Flood;

/// What somebody was turned away for. The ids are stable: log searches and counters rest on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The host.
    Host,
    /// The origin.
    Origin,
    /// No user and password, or wrong ones.
    BasicAuth,
    /// No PROXY protocol header where one must be.
    ProxyProtocol,
    /// Too many connections of the address that a PROXY protocol header has told.
    Address,
}

impl Kind {
    const ALL: [Self; 5] = [
        Self::Host,
        Self::Origin,
        Self::BasicAuth,
        Self::ProxyProtocol,
        Self::Address,
    ];

    /// The name by which logs and counters know it.
    pub fn id(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Origin => "origin",
            Self::BasicAuth => "basic-auth",
            Self::ProxyProtocol => "proxy-protocol",
            Self::Address => "max-connections-per-address",
        }
    }
}

thread_local! {
    static FLOODS: RefCell<[Flood; Kind::ALL.len()]> = RefCell::default();
}

/// Logs that somebody was turned away. `path` is without a query, which may hold secrets.
pub fn log(kind: Kind, client: &Client, path: Option<&str>, why: &str) {
    if FLOODS.with_borrow_mut(|floods| floods[kind as usize].admits()) {
        tracing::warn!(refusal = kind.id(), %client, path, "refused: {why}");
    }
}

/// Once a second: says how many were turned away without a line of their own.
pub fn tick() {
    for kind in Kind::ALL {
        let more = FLOODS.with_borrow_mut(|floods| floods[kind as usize].tick());
        if more > 0 {
            tracing::warn!(refusal = kind.id(), more, "refused {more} more");
        }
    }
}
