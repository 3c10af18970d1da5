//! Frames, messages and Closes: whatever the bytes and however they are cut, the decoder says what the model says.

use wsh_server::config::limits;
use wsh_server::websocket::frame::{self, Expected, LengthForm, OpCode, Raw};
use wsh_server::websocket::{Close, Decoder, Incoming, Limits, Message};

use super::model::{self, Heard};
use super::pieces::scheduled;

/// Small enough that each is reached.
pub const BOUNDS: Limits = Limits {
    message: 70_000,
    fragments: 4,
    mean_fragment: 3,
    control_rate: 0,
    ..limits::WEBSOCKET
};

/// One frame's header, its bits, and its mask in pieces.
pub fn frame(bytes: &[u8]) {
    for in_message in [false, true] {
        let expected = Expected {
            in_message,
            deflates: false,
        };
        let decoded = frame::decode(bytes, expected).map_err(|violation| {
            assert_eq!(violation.code(), 1002, "{violation}");
        });
        let found = decoded.map(|found| {
            found.map(|(header, size)| model::Header {
                fin: header.fin,
                opcode: opcode(header.opcode),
                mask: header.mask,
                length: header.length,
                size,
            })
        });
        assert_eq!(found, model::header(bytes, in_message));
    }
    let Some(raw) = Raw::decode(bytes) else {
        return;
    };
    let form = match bytes[1] & 127 {
        126 => LengthForm::Bits16,
        127 => LengthForm::Bits64,
        _ => LengthForm::Bits7,
    };
    let again = Raw {
        form: Some(form),
        ..raw.clone()
    };
    let again = again.encode();
    assert_eq!(again, &bytes[..again.len()], "a frame comes back");
    if let Some(mask) = raw.mask {
        let at = raw.payload.first().map_or(0, |byte| usize::from(*byte)) % (raw.payload.len() + 1);
        let mut masked = raw.payload.clone();
        let (left, right) = masked.split_at_mut(at);
        frame::unmask(right, frame::unmask(left, mask));
        assert_eq!(
            masked,
            &again[again.len() - masked.len()..],
            "a mask in two pieces"
        );
    }
}

fn opcode(opcode: OpCode) -> u8 {
    opcode.into()
}

/// Messages out of frames in pieces.
pub fn message(bytes: &[u8]) {
    let (mut pieces, bytes) = scheduled(bytes);
    let mut decoder = Decoder::default();
    let mut heard = Vec::new();
    'all: for piece in pieces.of(bytes) {
        let mut piece = piece.to_vec();
        let mut input = piece.as_mut_slice();
        loop {
            match decoder.next(&mut input, &BOUNDS, |_, _| {}) {
                Ok(Some(incoming)) => heard.push(of(incoming)),
                Ok(None) => break,
                Err(violation) => heard.push(Heard::Violation(violation.code())),
            }
            if matches!(heard.last(), Some(Heard::Close(_) | Heard::Violation(_))) {
                break 'all;
            }
        }
        assert!(input.is_empty(), "nothing is left over");
        assert!(
            decoder.buffered() <= BOUNDS.message,
            "{} bytes held",
            decoder.buffered()
        );
    }
    assert_eq!(heard, model::hear(bytes, &BOUNDS));
}

/// An event as the model has it.
pub fn of(incoming: Incoming<'_>) -> Heard {
    match incoming {
        Incoming::Message(Message::Text(text)) => Heard::Text(text.as_bytes().to_vec()),
        Incoming::Message(Message::Binary(data)) => Heard::Binary(data.to_vec()),
        Incoming::Ping(payload) => Heard::Ping(payload.to_vec()),
        Incoming::Pong(payload) => Heard::Pong(payload.to_vec()),
        Incoming::Close(close) => {
            Heard::Close(close.map(|close| (close.code, String::from(close.reason))))
        }
    }
}

/// The payload of a Close, and what is said with its code and reason.
pub fn close(bytes: &[u8]) {
    let bytes = &bytes[..bytes.len().min(125)];
    let decoded = Close::decode(bytes);
    let found = match &decoded {
        Ok(close) => Heard::Close(
            close
                .as_ref()
                .map(|close| (close.code, String::from(&*close.reason))),
        ),
        Err(violation) => Heard::Violation(violation.code()),
    };
    assert_eq!(found, model::close(bytes));
    if let Ok(Some(close)) = decoded {
        assert_eq!(close.encode(), bytes, "a Close comes back");
        let doubled = Close::new(close.code, &close.reason.repeat(2));
        assert!(doubled.encode().len() <= 125);
        assert_eq!(Close::decode(&doubled.encode()), Ok(Some(doubled)));
    }
}
