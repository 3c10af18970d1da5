//! `--log-level trace`: a line for each frame, with the beginning of what it carries.

use std::fmt::Write;

use super::frame::{Control, Data, OpCode};
use crate::observe::event::{Event, is_wanted};

/// Bytes of a payload that are logged.
pub const SHOWN: usize = 32;

/// Whether frames are logged, which is settled when the server starts.
pub fn is_on() -> bool {
    is_wanted!(Websocket, TRACE)
}

/// A frame, and what is known of its payload: the beginning, without the mask.
pub struct Frame<'p> {
    /// Opcode of the frame.
    pub opcode: OpCode,
    /// Whether it ends its message.
    pub fin: bool,
    /// Whether it begins a compressed message.
    pub rsv1: bool,
    /// Bytes of its payload.
    pub length: u64,
    /// Some of them.
    pub start: &'p [u8],
}

impl Frame<'_> {
    /// Logs it; `way` is in or out.
    #[cold]
    pub fn log(&self, connection: u64, way: &'static str) {
        let kind = match self.opcode {
            OpCode::Data(Data::Continue) => "continuation",
            OpCode::Data(Data::Text) => "text",
            OpCode::Data(_) => "binary",
            OpCode::Control(Control::Close) => "close",
            OpCode::Control(Control::Ping) => "ping",
            OpCode::Control(_) => "pong",
        };
        let (fin, rsv1) = (u8::from(self.fin), u8::from(self.rsv1));
        let (length, payload) = (self.length, self.payload());
        let frame = &format_args!("{kind} fin={fin} rsv1={rsv1} length={length}{payload}");
        Event::Frame {
            connection,
            way,
            frame,
        }
        .tell();
    }

    /// Text where it is some, else hexadecimal.
    fn payload(&self) -> String {
        let start = &self.start[..self.start.len().min(SHOWN)];
        let is_cut = (start.len() as u64) < self.length;
        let mut out = String::new();
        let mut rest = start;
        if let (OpCode::Control(Control::Close), [high, low, reason @ ..]) = (self.opcode, start) {
            let _ = write!(out, " {}", u16::from_be_bytes([*high, *low]));
            rest = reason;
        }
        let is_text = !self.rsv1 && self.opcode != OpCode::Data(Data::Binary);
        match text(rest, is_cut).filter(|_| is_text) {
            _ if rest.is_empty() => {}
            Some(text) => {
                let _ = write!(out, " {text:?}");
            }
            None => {
                for byte in rest {
                    let _ = write!(out, " {byte:02x}");
                }
            }
        }
        if is_cut {
            out.push('…');
        }
        out
    }
}

/// The bytes as text, if they are some; of one that is cut the last character may be.
fn text(bytes: &[u8], is_cut: bool) -> Option<&str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Some(text),
        Err(error) if is_cut && error.error_len().is_none() => {
            std::str::from_utf8(&bytes[..error.valid_up_to()]).ok()
        }
        Err(_) => None,
    }
}

/// Logs bytes that a script sends as they are.
#[cold]
pub fn raw(connection: u64, bytes: &[u8]) {
    let (length, mut shown) = (bytes.len(), String::new());
    for byte in bytes.iter().take(SHOWN) {
        let _ = write!(shown, " {byte:02x}");
    }
    let frame = &format_args!("raw length={length}{shown}");
    Event::Frame {
        connection,
        way: "out",
        frame,
    }
    .tell();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_are_shown_as_what_they_are() {
        let long = "é".repeat(40);
        let cases: [(OpCode, bool, &[u8], &str); 9] = [
            (OpCode::Data(Data::Text), false, b"hello", " \"hello\""),
            (OpCode::Data(Data::Text), false, b"", ""),
            (
                OpCode::Data(Data::Text),
                false,
                b"a\r\n\x1b[31m",
                " \"a\\r\\n\\u{1b}[31m\"",
            ),
            (
                OpCode::Data(Data::Text),
                false,
                long.as_bytes(),
                " \"éééééééééééééééé\"…",
            ),
            (OpCode::Data(Data::Text), false, b"\xff\xfe", " ff fe"),
            (OpCode::Data(Data::Text), true, b"ab", " 61 62"),
            (OpCode::Data(Data::Binary), false, b"ab", " 61 62"),
            (
                OpCode::Control(Control::Close),
                false,
                b"\x03\xe8bye",
                " 1000 \"bye\"",
            ),
            (OpCode::Control(Control::Close), false, b"\x03\xe9", " 1001"),
        ];
        for (opcode, rsv1, payload, wanted) in cases {
            let frame = Frame {
                opcode,
                fin: true,
                rsv1,
                length: payload.len() as u64,
                start: payload,
            };
            assert_eq!(frame.payload(), wanted);
        }
    }
}
