//! What the access log tells of a connection at its end; there is one only where that is on.

use std::cell::Cell;
use std::time::Instant;

use crate::observe::access::{By, Closed, Traffic};

/// What has gone over one connection so far.
#[derive(Debug)]
pub struct Tally {
    client: Box<str>,
    /// Bytes of the handshake's answer, which go out before all others and are not counted.
    prologue: usize,
    opened: Instant,
    received: Cell<Traffic>,
    sent: Cell<Traffic>,
    by: Cell<Option<By>>,
}

impl Tally {
    /// One that begins now, before the handshake's answer of so many bytes is sent.
    pub fn new(client: &str, prologue: usize) -> Self {
        Self {
            client: client.into(),
            prologue,
            opened: Instant::now(),
            received: Cell::default(),
            sent: Cell::default(),
            by: Cell::new(None),
        }
    }

    /// So much has come.
    pub(super) fn received(&self, messages: u64, bytes: usize) {
        add(&self.received, messages, bytes);
    }

    /// So much has gone out.
    pub(super) fn sent(&self, messages: u64, bytes: usize) {
        add(&self.sent, messages, bytes);
    }

    /// It ends by this one, unless it does already.
    pub(super) fn ends_by(&self, by: By) {
        self.by.set(self.by.get().or(Some(by)));
    }

    /// Logs the end, which was `otherwise` if nobody is known to have begun it.
    pub(super) fn log(&self, connection: u64, path: &str, code: u16, reason: &str, otherwise: By) {
        let Traffic { messages, bytes } = self.sent.get();
        Closed {
            connection,
            path,
            client: &self.client,
            code,
            reason,
            by: self.by.get().unwrap_or(otherwise),
            time: self.opened.elapsed(),
            received: self.received.get(),
            sent: Traffic {
                messages,
                bytes: bytes.saturating_sub(self.prologue as u64),
            },
        }
        .log();
    }
}

fn add(traffic: &Cell<Traffic>, messages: u64, bytes: usize) {
    let Traffic {
        messages: before,
        bytes: so_far,
    } = traffic.get();
    traffic.set(Traffic {
        messages: before + messages,
        bytes: so_far + bytes as u64,
    });
}
