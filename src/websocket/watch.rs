//! What is seen of a connection from outside: its frames in the log, its numbers in the access log,
//! what a developer's console shows of it, and what is recorded.

use std::sync::Arc;

use super::Tally;
use super::frame::{self, Control, Data, Header, OpCode, Outgoing};
use super::message::{Incoming, Message};
use super::onlooker::Onlooker;
use super::{code, trace};
use crate::observe::access::By;
use crate::observe::accounts::Account;
use crate::observe::live::{Entered, Payload, Way};

/// The onlooker of one connection. Most have none, and are spared every question about it.
#[derive(Debug)]
pub struct Watch {
    connection: u64,
    /// Whether each frame has a line in the log.
    traces: bool,
    tally: Option<Tally>,
    seen: Option<Entered>,
    /// Who is shown every message.
    onlooker: Option<Box<dyn Onlooker>>,
    /// Whose traffic it is.
    account: Option<Arc<Account>>,
}

impl Watch {
    /// One for a connection that begins; `None` if there is nobody to tell.
    pub fn new(
        connection: u64,
        tally: Option<Tally>,
        seen: Option<Entered>,
        onlooker: Option<Box<dyn Onlooker>>,
        account: Option<Arc<Account>>,
    ) -> Option<Self> {
        let traces = trace::is_on();
        let is_watched = tally.is_some() || seen.is_some() || onlooker.is_some();
        let is_watched = is_watched || account.is_some();
        (traces || is_watched).then_some(Self {
            connection,
            traces,
            tally,
            seen,
            onlooker,
            account,
        })
    }

    /// The connection's task begins to run.
    pub(super) fn turn_begins(&self) {
        if let Some(onlooker) = &self.onlooker {
            onlooker.turn_begins();
        }
    }

    /// It has run, and so many bytes wait to be sent.
    pub(super) fn turn_ends(&self, queued: usize) {
        if let Some(onlooker) = &self.onlooker {
            onlooker.turn_ends();
        }
        if let Some(Entered(seen)) = &self.seen {
            seen.turn_ends(queued);
        }
    }

    /// Something has come as a whole.
    pub(super) fn incoming(&self, incoming: &Incoming<'_>) {
        if let Some(onlooker) = &self.onlooker {
            match incoming {
                Incoming::Message(message) => {
                    let (kind, payload) = message.parts();
                    onlooker.received(kind == Data::Text, payload);
                }
                Incoming::Ping(payload) => onlooker.pinged(true, payload),
                Incoming::Pong(payload) => onlooker.ponged(true, payload),
                Incoming::Close(_) => {}
            }
        }
        let Some(Entered(seen)) = &self.seen else {
            return;
        };
        match incoming {
            Incoming::Message(Message::Text(text)) => {
                seen.passes(Way::In, Payload::Text(text.as_bytes()));
            }
            Incoming::Message(Message::Binary(bytes)) => {
                seen.passes(Way::In, Payload::Binary(bytes));
            }
            Incoming::Ping(payload) => seen.passes(Way::In, Payload::Ping(payload)),
            Incoming::Pong(payload) => seen.passes(Way::In, Payload::Pong(payload)),
            Incoming::Close(None) => seen.passes(Way::In, Payload::Close(code::NO_STATUS, "")),
            Incoming::Close(Some(close)) => {
                seen.passes(Way::In, Payload::Close(close.code, &close.reason));
            }
        }
    }

    /// A message is queued, before it is compressed.
    pub(super) fn message_out(&self, kind: Data, payload: &[u8]) {
        if let Some(onlooker) = &self.onlooker {
            onlooker.sent(kind == Data::Text, payload);
        }
        if let Some(Entered(seen)) = &self.seen {
            seen.passes(
                Way::Out,
                match kind {
                    Data::Text => Payload::Text(payload),
                    _ => Payload::Binary(payload),
                },
            );
        }
    }

    /// A part of a message is queued.
    pub(super) fn part_out(&self, kind: Data, payload: &[u8], last: bool) {
        if let Some(onlooker) = &self.onlooker {
            onlooker.sent_part(kind == Data::Text, payload, last);
        }
        if let Some(Entered(seen)) = &self.seen {
            let is_text = kind == Data::Text;
            seen.passes(Way::Out, Payload::Part(payload, last, is_text));
        }
    }

    /// This version of the handler serves it.
    pub(super) fn served_by(&self, version: u64) {
        if let Some(Entered(seen)) = &self.seen {
            seen.served_by(version);
        }
    }

    fn control_out(&self, opcode: OpCode, payload: &[u8]) {
        let OpCode::Control(control) = opcode else {
            return;
        };
        if let Some(onlooker) = &self.onlooker {
            match control {
                Control::Ping => onlooker.pinged(false, payload),
                Control::Pong => onlooker.ponged(false, payload),
                Control::Close | Control::Reserved(_) => {}
            }
        }
        let Some(Entered(seen)) = &self.seen else {
            return;
        };
        match control {
            Control::Ping => seen.passes(Way::Out, Payload::Ping(payload)),
            Control::Pong => seen.passes(Way::Out, Payload::Pong(payload)),
            Control::Close => {
                let (code, reason) = match payload {
                    [high, low, reason @ ..] => (u16::from_be_bytes([*high, *low]), reason),
                    _ => (code::NO_STATUS, &[][..]),
                };
                let reason = String::from_utf8_lossy(reason);
                seen.passes(Way::Out, Payload::Close(code, &reason));
            }
            Control::Reserved(_) => {}
        }
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
        self.control_out(frame.opcode, payload);
    }

    /// Bytes are queued as they are.
    pub(super) fn raw_out(&self, bytes: &[u8]) {
        if self.traces {
            trace::raw(self.connection, bytes);
        }
        if let Some(Entered(seen)) = &self.seen {
            seen.passes(Way::Out, Payload::Raw(bytes));
        }
    }

    /// So much has come.
    pub(super) fn received(&self, messages: u64, bytes: usize) {
        if let Some(tally) = &self.tally {
            tally.received(messages, bytes);
        }
        if let Some(account) = &self.account {
            account.received(bytes);
        }
    }

    /// So much has gone out.
    pub(super) fn sent(&self, messages: u64, bytes: usize) {
        if let Some(tally) = &self.tally {
            tally.sent(messages, bytes);
        }
        if let Some(account) = &self.account {
            account.sent(bytes as u64);
        }
    }

    /// It has ended, by this one.
    pub(super) fn ended(&self, path: &str, code: u16, reason: &str, by: By) {
        if let Some(tally) = &self.tally {
            tally.log(self.connection, path, code, reason, by);
        }
        if let Some(seen) = &self.seen {
            seen.ended(code, reason, by.name());
        }
        if let Some(onlooker) = &self.onlooker {
            onlooker.ended(code, reason, by);
        }
    }
}
