//! What is seen of a connection from outside: its frames in the log, and its numbers in the access
//! log.

use super::Tally;
use super::frame::{self, Header, Outgoing};
use super::trace;
use crate::observe::access::By;

/// The onlooker of one connection. Most have none, and are spared every question about it.
#[derive(Debug)]
pub struct Watch {
    connection: u64,
    /// Whether each frame has a line in the log.
    traces: bool,
    tally: Option<Tally>,
}

impl Watch {
    /// One for a connection that begins; `None` if there is nobody to tell.
    pub fn new(connection: u64, tally: Option<Tally>) -> Option<Self> {
        let traces = trace::is_on();
        (traces || tally.is_some()).then_some(Self {
            connection,
            traces,
            tally,
        })
    }

    /// A frame's header has come, with as much of the payload as came with it.
    pub(super) fn frame_in(&self, header: &Header, behind: &[u8]) {
        if !self.traces {
            return;
        }
        let count = usize::try_from(header.length).unwrap_or(usize::MAX);
        let mut start = behind[..count.min(behind.len()).min(trace::SHOWN)].to_vec();
        frame::unmask(&mut start, header.mask);
        let frame = trace::Frame {
            opcode: header.opcode,
            fin: header.fin,
            rsv1: header.compressed,
            length: header.length,
            start: &start,
        };
        frame.log(self.connection, "in");
    }

    /// A frame is queued.
    pub(super) fn frame_out(&self, frame: Outgoing, payload: &[u8]) {
        if self.traces {
            let frame = trace::Frame {
                opcode: frame.opcode,
                fin: frame.fin,
                rsv1: frame.compressed,
                length: payload.len() as u64,
                start: payload,
            };
            frame.log(self.connection, "out");
        }
    }

    /// Bytes are queued as they are.
    pub(super) fn raw_out(&self, bytes: &[u8]) {
        if self.traces {
            trace::raw(self.connection, bytes);
        }
    }

    /// So much has come.
    pub(super) fn received(&self, messages: u64, bytes: usize) {
        if let Some(tally) = &self.tally {
            tally.received(messages, bytes);
        }
    }

    /// So much has gone out.
    pub(super) fn sent(&self, messages: u64, bytes: usize) {
        if let Some(tally) = &self.tally {
            tally.sent(messages, bytes);
        }
    }

    /// It has ended, by this one.
    pub(super) fn ended(&self, path: &str, code: u16, reason: &str, by: By) {
        if let Some(tally) = &self.tally {
            tally.log(self.connection, path, code, reason, by);
        }
    }
}
