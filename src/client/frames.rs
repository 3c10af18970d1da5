//! The client's side of frames: messages to masked bytes, and a server's bytes to messages. RFC
//! 6455 sections 5 and 6, RFC 7692.

use std::convert::Infallible;

use crate::websocket::deflate::{Compressor, Pool};
use crate::websocket::extensions::Parameters;
use crate::websocket::frame::{Control, Data, OpCode, Raw};
use crate::websocket::{Close, Message, Violation};

use super::handshake::Deflate;

/// What a server's bytes say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Incoming {
    /// A whole message.
    Message(Message<'static>),
    /// A Ping's payload.
    Ping(Vec<u8>),
    /// A Pong's payload.
    Pong(Vec<u8>),
    /// The server's Close; `None` has no code.
    Close(Option<Close>),
}

/// Bytes of the window that a server without a smaller one may refer to.
const WINDOW: usize = 1 << 15;

/// Level of compression: what zlib thinks is a good one.
const LEVEL: u32 = 6;

/// A breach of the protocol by the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Breach {
    /// Section 5.1: a server masks no frame.
    #[error("a frame with a mask")]
    Masked,
    /// What either side may not do.
    #[error(transparent)]
    Violation(#[from] Violation),
}

impl Breach {
    /// The close code that answers it.
    pub fn code(self) -> u16 {
        match self {
            Self::Masked => 1002,
            Self::Violation(violation) => violation.code(),
        }
    }
}

/// Frames that arrive, and those that leave.
pub struct Frames {
    /// Bytes that were read, from `taken` on.
    bytes: Vec<u8>,
    taken: usize,
    /// The fragmented message that is open.
    open: Option<Open>,
    deflate: Option<Deflate>,
    pool: Pool,
    /// What the server's next compressed message may refer to.
    history: Vec<u8>,
    /// Of the last compressed message that was sent, if its context is kept.
    compressor: Option<Compressor>,
    /// Bytes of the longest message.
    limit: usize,
    /// Whether what arrives is a client's, whose frames are masked.
    masked: bool,
}

struct Open {
    kind: Data,
    compressed: bool,
    payload: Vec<u8>,
}

impl Frames {
    /// Frames under these terms. `early` came behind the answer's head.
    pub fn new(deflate: Option<Deflate>, early: Vec<u8>, limit: usize) -> Self {
        Self {
            bytes: early,
            taken: 0,
            open: None,
            deflate,
            pool: Pool::default(),
            history: Vec::new(),
            compressor: None,
            limit,
            masked: false,
        }
    }

    /// The same for whoever reads what a client sends.
    pub fn of_client(deflate: Option<Deflate>, limit: usize) -> Self {
        let seen_from_there = |deflate: Deflate| Deflate {
            server_context: deflate.client_context,
            client_context: deflate.server_context,
            ..deflate
        };
        Self {
            masked: true,
            ..Self::new(deflate.map(seen_from_there), Vec::new(), limit)
        }
    }

    /// Where bytes that are read are put, at the end.
    pub fn input(&mut self) -> &mut Vec<u8> {
        self.bytes.drain(..std::mem::take(&mut self.taken));
        &mut self.bytes
    }

    /// Bytes of messages that are not whole yet.
    pub fn held(&self) -> usize {
        let open = self.open.as_ref().map_or(0, |open| open.payload.len());
        self.bytes.len() - self.taken + open
    }

    /// What is next; `None` asks for more bytes.
    pub fn next(&mut self) -> Result<Option<Incoming>, Breach> {
        loop {
            let rest = &self.bytes[self.taken..];
            check_front(rest, self.masked)?;
            match Raw::extent(rest) {
                Some((_, length)) if length > (self.limit as u64).saturating_add(14) => {
                    return Err(Violation::TooBig { limit: self.limit }.into());
                }
                Some((_, length)) if length <= rest.len() as u64 => {
                    let Some(frame) = Raw::decode(rest) else {
                        return Ok(None);
                    };
                    self.taken += length as usize;
                    if let Some(incoming) = self.frame(frame)? {
                        return Ok(Some(incoming));
                    }
                }
                _ => return Ok(None),
            }
        }
    }

    fn frame(&mut self, frame: Raw) -> Result<Option<Incoming>, Breach> {
        let [compressed, second, third] = frame.rsv;
        let begins = matches!(frame.opcode, 1 | 2);
        if second || third || compressed && !(begins && self.deflate.is_some()) {
            return Err(Violation::ReservedBit.into());
        }
        match frame.opcode {
            8..=10 if !frame.fin => Err(Violation::ControlFragmented.into()),
            8 => Ok(Some(Incoming::Close(Close::decode(&frame.payload)?))),
            9 => Ok(Some(Incoming::Ping(frame.payload))),
            10 => Ok(Some(Incoming::Pong(frame.payload))),
            1 | 2 if self.open.is_some() => Err(Violation::MessageInsideMessage.into()),
            1 | 2 => {
                let kind = match frame.opcode {
                    1 => Data::Text,
                    _ => Data::Binary,
                };
                self.open = Some(Open {
                    kind,
                    compressed,
                    payload: frame.payload,
                });
                self.ended(frame.fin)
            }
            0 => {
                let Some(open) = &mut self.open else {
                    return Err(Violation::NothingToContinue.into());
                };
                if open.payload.len() + frame.payload.len() > self.limit {
                    return Err(Violation::TooBig { limit: self.limit }.into());
                }
                open.payload.extend_from_slice(&frame.payload);
                self.ended(frame.fin)
            }
            unknown => Err(Violation::UnknownOpcode(unknown).into()),
        }
    }

    /// The message that is open, if this was its last frame.
    fn ended(&mut self, fin: bool) -> Result<Option<Incoming>, Breach> {
        let Some(open) = self.open.take_if(|_| fin) else {
            return Ok(None);
        };
        let payload = match open.compressed {
            true => self.inflate(&open.payload)?,
            false => open.payload,
        };
        let message = match open.kind {
            Data::Text => {
                let text = String::from_utf8(payload).map_err(|_| Violation::InvalidUtf8)?;
                Message::Text(text.into())
            }
            _ => Message::Binary(payload.into()),
        };
        Ok(Some(Incoming::Message(message)))
    }

    fn inflate(&mut self, payload: &[u8]) -> Result<Vec<u8>, Breach> {
        let keeps = self.deflate.is_some_and(|deflate| deflate.server_context);
        let window = if keeps { WINDOW } else { 0 };
        let mut out = Vec::new();
        let mut inflater = self.pool.inflater(std::mem::take(&mut self.history));
        self.pool
            .inflate(&mut inflater, payload, &mut out, self.limit, |_| true)?;
        self.history = self.pool.finish(inflater, &mut out, window)?;
        Ok(out)
    }

    /// Appends a message, compressed if that was agreed on.
    pub fn message(&mut self, out: &mut Vec<u8>, message: &Message<'_>) {
        let (kind, payload) = message.parts();
        let opcode = u8::from(OpCode::Data(kind));
        match self.compress(payload) {
            Some(compressed) => {
                put(out, opcode, true, &compressed);
                self.pool.keep_output(compressed);
            }
            None => put(out, opcode, false, payload),
        }
    }

    fn compress(&mut self, payload: &[u8]) -> Option<Vec<u8>> {
        let deflate = self.deflate?;
        // Seen from here the server's side of these terms is ours.
        let terms = Parameters {
            threshold: 0,
            level: LEVEL,
            server_context: deflate.client_context,
            client_context: deflate.server_context,
            server_bits: deflate.client_bits,
            client_bits: deflate.client_bits,
            is_forgiven: false,
        };
        let kept = self.compressor.take();
        let mut compressor = kept.unwrap_or_else(|| self.pool.compressor(&terms));
        let never = || Ok::<_, Infallible>(());
        let Ok(compressed) = self
            .pool
            .compress(&mut compressor, payload, usize::MAX, never);
        if deflate.client_context && compressed.is_some() {
            self.compressor = Some(compressor);
        } else {
            self.pool.keep_compressor(compressor);
        }
        compressed
    }
}

/// Appends a control frame; a longer payload than it may have is cut.
pub fn control(out: &mut Vec<u8>, control: Control, payload: &[u8]) {
    let opcode = u8::from(OpCode::Control(control));
    put(out, opcode, false, &payload[..payload.len().min(125)]);
}

fn put(out: &mut Vec<u8>, opcode: u8, compressed: bool, payload: &[u8]) {
    let frame = Raw {
        fin: true,
        rsv: [compressed, false, false],
        opcode,
        mask: Some(fastrand::u32(..).to_ne_bytes()),
        length: None,
        form: None,
        payload: payload.to_vec(),
    };
    out.extend_from_slice(&frame.encode());
}

/// What two bytes can show.
fn check_front(bytes: &[u8], masked: bool) -> Result<(), Breach> {
    let &[first, second, ..] = bytes else {
        return Ok(());
    };
    match (second & 0x80 != 0, masked) {
        (true, false) => return Err(Breach::Masked),
        (false, true) => return Err(Violation::Unmasked.into()),
        _ => {}
    }
    if first & 0x08 != 0 && second & 0x7F > 125 {
        return Err(Violation::ControlTooLong.into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEFLATE: Deflate = Deflate {
        server_context: true,
        client_context: true,
        client_bits: 15,
    };

    /// A server's bytes of what we would send.
    fn unmasked(bytes: &[u8]) -> Vec<u8> {
        let (mut rest, mut out) = (bytes, Vec::new());
        while let Some(frame) = Raw::decode(rest) {
            let (_, length) = Raw::extent(rest).expect("whole");
            rest = &rest[length as usize..];
            out.extend_from_slice(
                &Raw {
                    mask: None,
                    ..frame
                }
                .encode(),
            );
        }
        assert!(rest.is_empty());
        out
    }

    #[test]
    fn what_one_side_sends_the_other_reads_however_it_is_cut() {
        for deflate in [None, Some(DEFLATE)] {
            let mut sender = Frames::new(deflate, Vec::new(), 1 << 20);
            let messages: Vec<Message<'static>> = vec![
                Message::Text("hello, hello, hello".into()),
                Message::Text("".into()),
                Message::Binary(vec![7; 70_000].into()),
                Message::Text("hello, hello, hello".into()),
            ];
            let mut out = Vec::new();
            for message in &messages {
                sender.message(&mut out, message);
            }
            control(&mut out, Control::Ping, b"p");
            let bytes = unmasked(&out);
            for size in [1, 7, bytes.len()] {
                let mut reader = Frames::new(deflate, Vec::new(), 1 << 20);
                let mut seen = Vec::new();
                for piece in bytes.chunks(size) {
                    reader.input().extend_from_slice(piece);
                    while let Some(incoming) = reader.next().expect("no breach") {
                        seen.push(incoming);
                    }
                }
                let ping = Incoming::Ping(b"p".to_vec());
                let wanted = messages.iter().cloned().map(Incoming::Message);
                let wanted: Vec<_> = wanted.chain([ping]).collect();
                assert!(seen == wanted, "pieces of {size}");
            }
        }
    }

    #[test]
    fn breaches_are_named() {
        for (bytes, breach) in [
            (&b"\x81\x81"[..], Breach::Masked),
            (b"\x89\x7e\x00\x80", Violation::ControlTooLong.into()),
            (b"\x09\x00", Violation::ControlFragmented.into()),
            (b"\x80\x00", Violation::NothingToContinue.into()),
            (b"\x01\x00\x81\x00", Violation::MessageInsideMessage.into()),
            (b"\xc1\x00", Violation::ReservedBit.into()),
            (b"\x83\x00", Violation::UnknownOpcode(3).into()),
            (b"\x81\x01\xff", Violation::InvalidUtf8.into()),
            (b"\x82\x7e\x10\x00", Violation::TooBig { limit: 100 }.into()),
        ] {
            let mut frames = Frames::new(None, bytes.to_vec(), 100);
            assert_eq!(frames.next(), Err(breach), "{bytes:?}");
        }
    }
}
