//! Bytes to messages: a decoder that takes a client's bytes in whatever pieces they come. RFC 6455
//! sections 5 and 6.
//!
//! A frame that lies whole in the input is unmasked in place and lent out; only what arrives in
//! pieces is copied. Memory grows with the bytes that have arrived, never with a length that was
//! only announced. A compressed message is inflated while it arrives, and bounded by what it has
//! become.

use std::borrow::Cow;
use std::rc::Rc;

use super::buffer::grow;
use super::close::Close;
use super::deflate::{Inflater, Pool};
use super::extensions::Parameters;
use super::frame::{self, Control, Data, Expected, Header, MAX_HEADER, OpCode};
use super::inflation::Budget;
use super::utf8::Utf8;
use super::{Limits, Violation};

/// A complete data message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message<'b> {
    /// Text message: valid UTF-8.
    Text(Cow<'b, str>),
    /// Binary message: any bytes.
    Binary(Cow<'b, [u8]>),
}

impl Message<'_> {
    /// Its size in bytes.
    pub fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Binary(bytes) => bytes.len(),
        }
    }

    /// Its kind and its bytes.
    pub fn parts(&self) -> (Data, &[u8]) {
        match self {
            Self::Text(text) => (Data::Text, text.as_bytes()),
            Self::Binary(bytes) => (Data::Binary, bytes),
        }
    }

    /// Whether it carries no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The same message with bytes of its own.
    pub fn into_owned(self) -> Message<'static> {
        match self {
            Self::Text(text) => Message::Text(text.into_owned().into()),
            Self::Binary(bytes) => Message::Binary(bytes.into_owned().into()),
        }
    }
}

/// Decoded unit of a client's bytes: a data message or a control frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Incoming<'b> {
    /// A whole data message.
    Message(Message<'b>),
    /// To be answered with the same payload.
    Ping(Cow<'b, [u8]>),
    /// A sign of life.
    Pong(Cow<'b, [u8]>),
    /// The peer's last frame; `None` has no code. Nothing after it is data.
    Close(Option<Close>),
}

/// The state between two pieces of input; small, since every idle connection has one.
#[derive(Debug, Default)]
pub struct Decoder {
    /// The frame whose payload is arriving.
    frame: Option<Frame>,
    /// The fragmented message that is open, and what came in pieces.
    parts: Option<Box<Parts>>,
    /// Inflation state; `None` unless permessage-deflate was negotiated.
    inflation: Option<Box<Inflation>>,
}

/// permessage-deflate state that is kept between two messages.
#[derive(Debug)]
struct Inflation {
    pool: Rc<Pool>,
    /// Bytes that the client may refer to beyond a message; see [`Parameters::history`].
    window: usize,
    history: Vec<u8>,
    budget: Budget,
}

#[derive(Debug, Clone, Copy)]
struct Frame {
    opcode: OpCode,
    fin: bool,
    mask: [u8; 4],
    remaining: u64,
    /// Whether some of its payload is already in `parts`.
    split: bool,
    /// Whether its message is compressed.
    compressed: bool,
}

#[derive(Debug, Default)]
struct Parts {
    /// The first bytes of a header that has not arrived whole.
    head: [u8; MAX_HEADER],
    head_len: u8,
    /// Text or binary, while a fragmented message is open.
    kind: Option<Data>,
    data: Vec<u8>,
    utf8: Utf8,
    /// Fragments that are complete.
    fragments: u32,
    control: Vec<u8>,
    /// Of a compressed message.
    inflater: Option<Box<Inflater>>,
    /// Bytes of its frames, all of which have been inflated into `data`.
    compressed: usize,
}

impl Decoder {
    /// A decoder for a connection on which compression was agreed on.
    pub fn inflating(terms: &Parameters, pool: Rc<Pool>) -> Self {
        let window = terms.history();
        Self {
            inflation: Some(Box::new(Inflation {
                pool,
                window,
                history: Vec::new(),
                budget: Budget::default(),
            })),
            ..Self::default()
        }
    }

    /// Takes bytes off the front of `input` up to the next message or control frame; `None` once
    /// all are taken, or the share of inflating [is spent](Self::is_spent).
    ///
    /// After an error or a Close the input means nothing more, and the decoder must not be used
    /// again. `seen` is shown each header as it comes, and the input behind it.
    pub fn next<'b>(
        &mut self,
        input: &mut &'b mut [u8],
        limits: &Limits,
        mut seen: impl FnMut(&Header, &[u8]),
    ) -> Result<Option<Incoming<'b>>, Violation> {
        loop {
            let frame = match self.frame {
                Some(frame) => frame,
                None => match self.header(input)? {
                    Some(header) => {
                        seen(&header, input);
                        self.begin(header, limits)?
                    }
                    None => return Ok(None),
                },
            };
            let whole = frame.remaining <= input.len() as u64 && !frame.split;
            match frame.opcode {
                OpCode::Control(control) if whole => {
                    let payload = take(input, frame.remaining as usize);
                    frame::unmask(payload, frame.mask);
                    self.frame = None;
                    return incoming_control(control, Cow::Borrowed(payload)).map(Some);
                }
                OpCode::Data(kind @ (Data::Text | Data::Binary))
                    if whole && frame.fin && !frame.compressed =>
                {
                    let payload = take(input, frame.remaining as usize);
                    frame::unmask(payload, frame.mask);
                    self.frame = None;
                    return match kind {
                        Data::Text => match simdutf8::basic::from_utf8(payload) {
                            Ok(text) => Ok(Some(Incoming::Message(Message::Text(text.into())))),
                            Err(_) => Err(Violation::InvalidUtf8),
                        },
                        _ => Ok(Some(Incoming::Message(Message::Binary(Cow::Borrowed(
                            payload,
                        ))))),
                    };
                }
                _ => {
                    self.frame = Some(frame);
                    if frame.compressed && frame.remaining > 0 && self.is_spent() {
                        return Ok(None);
                    }
                    self.piece(frame, input, limits)?;
                    if self.frame.is_some() {
                        if input.is_empty() {
                            return Ok(None);
                        }
                        continue;
                    }
                    if let Some(incoming) = self.complete(frame)? {
                        return Ok(Some(incoming));
                    }
                }
            }
        }
    }

    /// Whether a frame or a message has begun and not ended.
    pub fn is_unfinished(&self) -> bool {
        self.frame.is_some() || self.parts.is_some()
    }

    /// Whether inflating has taken its share of time: it goes on with [another](Self::budget).
    pub fn is_spent(&self) -> bool {
        self.inflation
            .as_ref()
            .is_some_and(|inflation| inflation.budget.is_spent())
    }

    /// Begins a new share of inflating, [`SHORT_TURN`](super::inflation::SHORT_TURN) or
    /// [`LONG_TURN`](super::inflation::LONG_TURN).
    pub fn refresh(&mut self, share: usize) {
        if let Some(inflation) = &mut self.inflation {
            inflation.budget.refresh(share);
        }
    }

    /// The budget of inflating, where compression was agreed on.
    pub fn budget(&mut self) -> Option<&mut Budget> {
        let inflation = self.inflation.as_mut()?;
        Some(&mut inflation.budget)
    }

    /// Whether a message may be longer than its frames.
    pub fn inflates(&self) -> bool {
        self.inflation.is_some()
    }

    /// Bytes held for what is unfinished.
    pub fn buffered(&self) -> usize {
        self.parts.as_ref().map_or(0, |parts| parts.data.len())
    }

    /// Keeps no parts that no message is made of.
    fn tidy(&mut self) {
        self.parts = self.parts.take().filter(|parts| parts.kind.is_some());
    }

    fn in_message(&self) -> bool {
        self.parts
            .as_ref()
            .is_some_and(|parts| parts.kind.is_some())
    }

    /// The next header, put together from what an earlier piece left and from `input`.
    fn header(&mut self, input: &mut &mut [u8]) -> Result<Option<Header>, Violation> {
        let expected = Expected {
            in_message: self.in_message(),
            deflates: self.inflation.is_some(),
        };
        let has_begun = self.parts.as_ref().is_some_and(|parts| parts.head_len > 0);
        if !has_begun && let Some((header, length)) = frame::decode(input, expected)? {
            take(input, length);
            return Ok(Some(header));
        }
        while let [first, ..] = **input {
            let parts = self.parts.get_or_insert_default();
            parts.head[usize::from(parts.head_len)] = first;
            parts.head_len += 1;
            take(input, 1);
            let head = &parts.head[..usize::from(parts.head_len)];
            if let Some((header, _)) = frame::decode(head, expected)? {
                parts.head_len = 0;
                self.tidy();
                return Ok(Some(header));
            }
        }
        Ok(None)
    }

    /// Checks a new frame against the limits, before any of its payload is looked at.
    fn begin(&mut self, header: Header, limits: &Limits) -> Result<Frame, Violation> {
        let mut compressed = header.compressed;
        if let OpCode::Data(_) = header.opcode {
            let mut limit = limits.message;
            let mut arrived = self.buffered();
            if let Some(parts) = &self.parts {
                compressed |= parts.inflater.is_some();
                if parts.fragments > limits.fragments
                    && parts.data.len().max(parts.compressed)
                        < parts.fragments as usize * limits.mean_fragment
                {
                    return Err(Violation::TinyFragments);
                }
            }
            if compressed {
                // What does not compress takes an eighth more at the worst, and its bytes count
                // when they are inflated.
                limit = limit.saturating_add(limit / 8 + 1024);
                arrived = self.parts.as_ref().map_or(0, |parts| parts.compressed);
            }
            if header.length > (limit - arrived.min(limit)) as u64 {
                return Err(Violation::TooBig {
                    limit: limits.message,
                });
            }
            if header.compressed
                && let Some(inflation) = &mut self.inflation
            {
                let history = std::mem::take(&mut inflation.history);
                let parts = self.parts.get_or_insert_default();
                parts.inflater = Some(inflation.pool.inflater(history));
            }
        }
        Ok(Frame {
            opcode: header.opcode,
            fin: header.fin,
            mask: header.mask,
            remaining: header.length,
            split: false,
            compressed,
        })
    }

    /// Moves what has arrived of a frame's payload into `parts`; `self.frame` is `None` once that
    /// is all of it.
    fn piece(
        &mut self,
        frame: Frame,
        input: &mut &mut [u8],
        limits: &Limits,
    ) -> Result<(), Violation> {
        let most = match &self.inflation {
            Some(inflation) if frame.compressed => inflation.budget.piece(),
            _ => input.len(),
        };
        let length = input
            .len()
            .min(usize::try_from(frame.remaining).unwrap_or(usize::MAX))
            .min(most);
        let piece = take(input, length);
        let mask = frame::unmask(piece, frame.mask);
        let remaining = frame.remaining - length as u64;
        self.frame = (remaining > 0).then_some(Frame {
            mask,
            remaining,
            split: true,
            ..frame
        });

        let parts = self.parts.get_or_insert_default();
        match frame.opcode {
            OpCode::Control(_) => parts.control.extend_from_slice(piece),
            OpCode::Data(data) => {
                let kind = *parts.kind.get_or_insert(data);
                if let (Some(inflater), Some(inflation)) =
                    (&mut parts.inflater, &mut self.inflation)
                {
                    parts.compressed += piece.len();
                    let utf8 = &mut parts.utf8;
                    let work = inflation.pool.inflate(
                        inflater,
                        piece,
                        &mut parts.data,
                        limits.message,
                        |bytes| kind != Data::Text || utf8.feed(bytes),
                    )?;
                    inflation.budget.spend(work);
                    return Ok(());
                }
                if kind == Data::Text && !parts.utf8.feed(piece) {
                    return Err(Violation::InvalidUtf8);
                }
                grow(&mut parts.data, piece.len(), limits.message);
                parts.data.extend_from_slice(piece);
            }
        }
        Ok(())
    }

    /// Returns what a frame that is wholly in `parts` completes: a control frame, a message, or
    /// nothing yet.
    fn complete(&mut self, frame: Frame) -> Result<Option<Incoming<'static>>, Violation> {
        let Some(parts) = &mut self.parts else {
            return Ok(None);
        };
        match frame.opcode {
            OpCode::Control(control) => {
                let payload = std::mem::take(&mut parts.control);
                self.tidy();
                incoming_control(control, Cow::Owned(payload)).map(Some)
            }
            OpCode::Data(_) if !frame.fin => {
                parts.fragments += 1;
                Ok(None)
            }
            OpCode::Data(_) => {
                let Parts {
                    kind,
                    mut data,
                    inflater,
                    ..
                } = *self.parts.take().unwrap_or_default();
                if let (Some(inflater), Some(inflation)) = (inflater, &mut self.inflation) {
                    let window = inflation.window;
                    inflation.history = inflation.pool.finish(inflater, &mut data, window)?;
                }
                if kind == Some(Data::Text) {
                    let text = String::from_utf8(data).map_err(|_| Violation::InvalidUtf8)?;
                    return Ok(Some(Incoming::Message(Message::Text(text.into()))));
                }
                Ok(Some(Incoming::Message(Message::Binary(data.into()))))
            }
        }
    }
}

fn incoming_control(control: Control, payload: Cow<'_, [u8]>) -> Result<Incoming<'_>, Violation> {
    match control {
        Control::Close => Close::decode(&payload).map(Incoming::Close),
        Control::Ping => Ok(Incoming::Ping(payload)),
        Control::Pong => Ok(Incoming::Pong(payload)),
        Control::Reserved(opcode) => Err(Violation::UnknownOpcode(opcode)),
    }
}

fn take<'b>(input: &mut &'b mut [u8], length: usize) -> &'b mut [u8] {
    let (front, rest) = std::mem::take(input).split_at_mut(length);
    *input = rest;
    front
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Deflate, limits};
    use crate::websocket::frame::Raw;
    use crate::websocket::inflation::LONG_TURN;

    /// `Hello`, RFC 7692 section 7.2.3.1, and a reference to five bytes before it.
    const HELLO: &[u8] = &[0xF2, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00];
    const AGAIN: &[u8] = &[0xF2, 0x00, 0x11, 0x00, 0x00];

    fn frame(fin: bool, rsv1: bool, opcode: u8, payload: &[u8]) -> Vec<u8> {
        let raw = Raw {
            fin,
            rsv: [rsv1, false, false],
            opcode,
            mask: Some([1, 2, 3, 4]),
            length: None,
            form: None,
            payload: payload.to_vec(),
        };
        raw.encode()
    }

    /// Decodes these pieces: returns what came out up to the first violation, and the violation.
    fn decode(pieces: &[&[u8]], terms: &Parameters) -> (Vec<String>, Option<Violation>) {
        let mut decoder = Decoder::inflating(terms, Rc::default());
        let mut seen = Vec::new();
        for piece in pieces {
            let mut bytes = piece.to_vec();
            let mut input = &mut bytes[..];
            loop {
                match decoder.next(&mut input, &limits::WEBSOCKET, |_, _| {}) {
                    Ok(Some(incoming)) => seen.push(format!("{incoming:?}")),
                    Ok(None) if input.is_empty() => break,
                    Ok(None) => decoder.refresh(LONG_TURN),
                    Err(violation) => return (seen, Some(violation)),
                }
            }
        }
        assert!(!decoder.is_unfinished());
        (seen, None)
    }

    /// Robustness row F24 for compressed messages: how bytes are cut changes nothing.
    #[test]
    fn split_anywhere() {
        let input = [
            frame(true, true, 1, HELLO),
            frame(false, true, 2, &HELLO[..3]),
            frame(true, false, 9, b"between"),
            frame(false, false, 0, b""),
            frame(true, false, 0, &HELLO[3..]),
            frame(true, false, 1, b"plain"),
            frame(true, true, 2, &[0x00]),
            frame(true, true, 1, AGAIN),
            frame(true, false, 8, b""),
        ]
        .concat();
        for (client_context, last) in [(true, None), (false, Some(Violation::BrokenDeflate))] {
            let terms = Parameters {
                client_context,
                ..Parameters::from(&Deflate::default())
            };
            let whole = decode(&[&input], &terms);
            assert_eq!(whole.0.len(), if client_context { 7 } else { 5 });
            assert_eq!(whole.1, last);
            for at in 0..=input.len() {
                let (front, back) = input.split_at(at);
                assert_eq!(decode(&[front, back], &terms), whole, "split at {at}");
            }
            let bytes: Vec<_> = input.chunks(1).collect();
            assert_eq!(decode(&bytes, &terms), whole);
        }
    }
}
