//! WebSocket bytes as a client writes and reads them: payloads in, masked frames out; the server's
//! bytes in, whole messages out. Nothing here touches a socket.

use anyhow::{Context, Result, bail, ensure};

pub const CONTINUATION: u8 = 0;
pub const TEXT: u8 = 1;
pub const BINARY: u8 = 2;
pub const CLOSE: u8 = 8;
pub const PING: u8 = 9;
pub const PONG: u8 = 10;

/// Added to the opcode of a message's last frame, and to that of a compressed message's first.
pub const FIN: u8 = 0x80;
pub const RSV1: u8 = 0x40;

/// One key for all frames: servers unmask with any key alike, and frames can be built before the
/// run.
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// The key of RFC 6455, section 1.3, and the answer that section gives for it.
pub const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// The length of the response head at the start of `bytes`, once it is complete and agrees to the
/// upgrade.
pub fn accepted_head(bytes: &[u8]) -> Result<Option<usize>> {
    let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
        ensure!(bytes.len() < 16 * 1024, "the response head does not end");
        return Ok(None);
    };
    let head = std::str::from_utf8(&bytes[..end]).context("the response head is not text")?;
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap_or_default();
    ensure!(
        status.starts_with("HTTP/1.1 101"),
        "the server answered {status:?}"
    );
    let accepted = lines
        .filter_map(|line| line.split_once(':'))
        .any(|(name, value)| {
            name.eq_ignore_ascii_case("sec-websocket-accept") && value.trim() == ACCEPT
        });
    ensure!(accepted, "the server's accept key is wrong or missing");
    Ok(Some(end + 4))
}

/// Appends one final, masked frame.
pub fn push_frame(out: &mut Vec<u8>, opcode: u8, payload: &[u8]) {
    push_head(out, FIN | opcode, payload.len());
    push_payload(out, payload);
}

/// Appends the header of a masked frame, whatever it says.
pub fn push_head(out: &mut Vec<u8>, first: u8, length: usize) {
    out.push(first);
    match length {
        0..126 => out.push(0x80 | length as u8),
        126..65_536 => {
            out.push(0x80 | 126);
            out.extend((length as u16).to_be_bytes());
        }
        _ => {
            out.push(0x80 | 127);
            out.extend((length as u64).to_be_bytes());
        }
    }
    out.extend(MASK);
}

/// Appends the masked payload that a header announces.
pub fn push_payload(out: &mut Vec<u8>, payload: &[u8]) {
    out.extend(
        payload
            .iter()
            .zip(MASK.iter().cycle())
            .map(|(byte, mask)| byte ^ mask),
    );
}

/// A whole message or control frame from the server. Only one that came in a single short frame
/// carries its payload: of a longer one the ends are enough to check it. A decoder of compressed
/// messages has all payloads.
pub struct Frame<'a> {
    pub opcode: u8,
    pub is_compressed: bool,
    pub length: usize,
    pub first: u8,
    pub last: u8,
    pub payload: &'a [u8],
}

impl Frame<'_> {
    /// The code of a Close frame, 1005 where it has none.
    pub fn close_code(&self) -> u16 {
        match self.payload {
            [high, low, ..] => u16::from_be_bytes([*high, *low]),
            _ => 1005,
        }
    }
}

/// Cuts the server's byte stream into messages, without storing their payloads unless they may be
/// compressed.
#[derive(Default)]
pub struct Decoder {
    /// The payload of a message so far, if messages may be compressed.
    payload: Option<Vec<u8>>,
    /// A header, or a short frame, that one read has cut.
    partial: Vec<u8>,
    long: Option<LongFrame>,
    /// The fragments of a message so far; few servers send any.
    fragments: Option<Fragments>,
}

/// A frame too long for its payload to be at hand with its header.
struct LongFrame {
    head: Head,
    first: Option<u8>,
    missing: usize,
}

#[derive(Clone, Copy)]
struct Head {
    last_of_message: bool,
    is_compressed: bool,
    opcode: u8,
    length: usize,
}

struct Fragments {
    is_compressed: bool,
    opcode: u8,
    length: usize,
    first: u8,
    last: u8,
}

impl Decoder {
    pub fn new(may_be_compressed: bool) -> Decoder {
        Decoder {
            payload: may_be_compressed.then(Vec::new),
            ..Decoder::default()
        }
    }

    pub fn feed(&mut self, mut bytes: &[u8], mut on_frame: impl FnMut(Frame)) -> Result<()> {
        while !bytes.is_empty() {
            if let Some(long) = &mut self.long {
                let first = *long.first.get_or_insert(bytes[0]);
                if let Some(payload) = &mut self.payload {
                    payload.extend(&bytes[..long.missing.min(bytes.len())]);
                }
                if bytes.len() < long.missing {
                    long.missing -= bytes.len();
                    return Ok(());
                }
                let (head, last) = (long.head, bytes[long.missing - 1]);
                bytes = &bytes[long.missing..];
                self.long = None;
                self.finish(head, first, last, &[], &mut on_frame)?;
            } else if self.partial.is_empty() && bytes.len() >= wanted(bytes) {
                let used = wanted(bytes);
                self.start(&bytes[..used], &mut on_frame)?;
                bytes = &bytes[used..];
            } else {
                // Byte by byte is fast enough for the few bytes of a cut header.
                self.partial.push(bytes[0]);
                bytes = &bytes[1..];
                if self.partial.len() >= wanted(&self.partial) {
                    let mut partial = std::mem::take(&mut self.partial);
                    self.start(&partial, &mut on_frame)?;
                    partial.clear();
                    self.partial = partial;
                }
            }
        }
        Ok(())
    }

    /// Takes exactly the bytes that `wanted` asked for.
    fn start(&mut self, bytes: &[u8], on_frame: &mut impl FnMut(Frame)) -> Result<()> {
        let opcode = bytes[0] & 0x0f;
        let last_of_message = bytes[0] & FIN != 0;
        let is_compressed = bytes[0] & RSV1 != 0;
        let starts_message = matches!(opcode, TEXT | BINARY);
        ensure!(
            bytes[0] & 0x30 == 0
                && bytes[1] & 0x80 == 0
                && (!is_compressed || self.payload.is_some() && starts_message),
            "an unexpected frame header: {:02x?}",
            &bytes[..2]
        );
        let length = match bytes[1] {
            126 => u16::from_be_bytes([bytes[2], bytes[3]]) as usize,
            127 => u64::from_be_bytes(bytes[2..10].try_into()?) as usize,
            _ => {
                let short = &bytes[2..];
                let first = short.first().copied().unwrap_or_default();
                let last = short.last().copied().unwrap_or_default();
                let head = Head {
                    last_of_message,
                    is_compressed,
                    opcode,
                    length: short.len(),
                };
                if let (Some(payload), CONTINUATION..=BINARY) = (&mut self.payload, opcode) {
                    payload.extend(short);
                }
                return self.finish(head, first, last, short, on_frame);
            }
        };
        ensure!(length > 125, "a long frame header for {length} bytes");
        self.long = Some(LongFrame {
            head: Head {
                last_of_message,
                is_compressed,
                opcode,
                length,
            },
            first: None,
            missing: length,
        });
        Ok(())
    }

    fn finish(
        &mut self,
        head: Head,
        first: u8,
        last: u8,
        short: &[u8],
        on_frame: &mut impl FnMut(Frame),
    ) -> Result<()> {
        let Head {
            last_of_message,
            is_compressed,
            opcode,
            length,
        } = head;
        match (&mut self.fragments, opcode) {
            (Some(message), CONTINUATION) => {
                // A fragment may be empty; the ends are those of the fragments that are not.
                if message.length == 0 {
                    message.first = first;
                }
                if length > 0 {
                    message.last = last;
                }
                message.length += length;
                if last_of_message {
                    on_frame(Frame {
                        opcode: message.opcode,
                        is_compressed: message.is_compressed,
                        length: message.length,
                        first: message.first,
                        last: message.last,
                        payload: self.payload.as_deref().unwrap_or_default(),
                    });
                    self.fragments = None;
                    self.payload.as_mut().map(Vec::clear);
                }
            }
            (None, TEXT | BINARY) if !last_of_message => {
                self.fragments = Some(Fragments {
                    is_compressed,
                    opcode,
                    length,
                    first,
                    last,
                });
            }
            (None, TEXT | BINARY) => {
                on_frame(Frame {
                    opcode,
                    is_compressed,
                    length,
                    first,
                    last,
                    payload: self.payload.as_deref().unwrap_or(short),
                });
                self.payload.as_mut().map(Vec::clear);
            }
            (_, CLOSE | PING | PONG) => on_frame(Frame {
                opcode,
                is_compressed,
                length,
                first,
                last,
                payload: short,
            }),
            _ => bail!("opcode {opcode} out of place"),
        }
        Ok(())
    }
}

/// How many bytes it takes to go on: the header of a long frame, the whole of a short one.
fn wanted(bytes: &[u8]) -> usize {
    match bytes {
        [] | [_] => 2,
        [_, length, ..] => match length & 0x7f {
            126 => 4,
            127 => 10,
            length => 2 + length as usize,
        },
    }
}
