//! Traffic counters of a connection, for the access log's line at its end; there are some only
//! where that log is on.

use std::cell::Cell;
use std::time::Instant;

use crate::observe::access::{By, Closed, Traffic};

/// Traffic counters of one connection so far.
#[derive(Debug)]
pub struct Tally {
    client: Box<str>,
    /// Bytes of the handshake's answer, which go out before all others and are not counted.
    prologue: usize,
    opened: Instant,
    received: Cell<Traffic>,
    sent: Cell<Traffic>,
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

    /// Logs the end.
    pub(super) fn log(&self, connection: u64, path: &str, code: u16, reason: &str, by: By) {
        let Traffic { messages, bytes } = self.sent.get();
        Closed {
            connection,
            path,
            client: &self.client,
            code,
            reason,
            by,
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
