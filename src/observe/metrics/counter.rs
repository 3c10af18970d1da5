//! Counters of what happens at most a few times a connection, and the events that they count.

use std::collections::BTreeMap;

use crate::observe::event::{By, Event};

/// Handler files that have series of their own; further ones share those of [`OTHER`].
pub(super) const FILES: usize = 2000;
/// The file of those that have none.
pub(super) const OTHER: &str = "other";

/// A counter of what happens at most a few times a connection, with its labels.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Counter {
    /// A handshake, by its result.
    Handshakes(&'static str),
    /// A connection's end, by its Close code and who closed.
    Closes(Code, &'static str),
    /// A refusal, by the id that log lines have.
    Refusals(&'static str),
    /// A new version of a handler file, by whether it serves.
    Reloads(String, &'static str),
    /// What a handler has dialed, by what came of it.
    Dials(String, &'static str),
    /// What it has asked other servers for.
    Fetches(String, &'static str),
}

/// The results of handshakes.
pub(super) const RESULTS: [&str; 5] = ["accepted", "rejected", "failed", "refused", "dropped"];

/// A Close code as a label. A peer may choose among three thousand codes: those are one series.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Code {
    Known(u16),
    /// 3000 to 4999 by a peer: the first digit.
    Private(u16),
}

impl Code {
    pub(super) fn of(code: u16, by: By) -> Self {
        match code {
            3000.. if by == By::Client => Self::Private(code / 1000),
            _ => Self::Known(code),
        }
    }
}

impl Counter {
    /// What an event counts for, if for anything.
    pub(super) fn of(event: &Event<'_>) -> Option<Self> {
        Some(match *event {
            Event::ConnectionOpened { .. } => Self::Handshakes("accepted"),
            Event::HandshakeRefused { result, .. } => Self::Handshakes(result),
            Event::HandshakeReset { .. } | Event::HandshakeDropped { .. } => {
                Self::Handshakes("dropped")
            }
            Event::ConnectionClosed { code, side, .. } => {
                Self::Closes(Code::of(code, side), side.name())
            }
            Event::Refused { refusal, .. }
            | Event::RequestRefused { refusal, .. }
            | Event::RefusalAnswered {
                refusal,
                is_counted: true,
                ..
            }
            | Event::NoTlsHandshake { refusal, .. }
            | Event::ConnectionsRefused { refusal, .. }
            | Event::OpenFiles { refusal, .. }
            | Event::PeerFault { refusal, .. }
            | Event::ConnectionDropped { refusal, .. }
            | Event::ConnectionShed { refusal, .. } => Self::Refusals(refusal),
            Event::HandlerReloaded { file, .. } => Self::Reloads(file.to_owned(), "ok"),
            Event::Dialed {
                handler, result, ..
            } => Self::Dials(handler.to_owned(), result),
            Event::Asked {
                handler, result, ..
            } => Self::Fetches(handler.to_owned(), result),
            _ => return None,
        })
    }

    /// The same for a handler that has no series of its own.
    pub(super) fn of_another(&self) -> Self {
        let other = || OTHER.to_owned();
        match self {
            Self::Reloads(_, result) => Self::Reloads(other(), result),
            Self::Dials(_, result) => Self::Dials(other(), result),
            Self::Fetches(_, result) => Self::Fetches(other(), result),
            counter => counter.clone(),
        }
    }

    /// Whether a handler's file is one of its labels.
    pub(super) fn has_file(&self) -> bool {
        matches!(
            self,
            Self::Reloads(..) | Self::Dials(..) | Self::Fetches(..)
        )
    }
}

/// The numbers of each counter.
pub(super) type Counters = BTreeMap<Counter, u64>;
