//! One frame: a client's header bytes to a checked [`Header`], and the server's frames to bytes.
//! RFC 6455 section 5.2.
//!
//! Tungstenite's codec accepts unmasked frames, reserved bits and long forms of short lengths,
//! reports an over-long control frame only after its payload, and reads through a cursor; of it
//! only the names of opcodes are used, and tests compare with the rest.

pub use tungstenite::protocol::frame::coding::{Control, Data, OpCode};

use super::Violation;

/// The bit of a message's last frame, in the first byte.
const FIN: u8 = 0x80;
/// The first reserved bit, which marks a compressed message.
const RSV1: u8 = 0x40;
/// The bit of a masked payload, in the second byte.
const MASKED: u8 = 0x80;

/// The longest header: two bytes, a 64-bit length, a mask.
pub const MAX_HEADER: usize = 14;

/// A checked header of a frame from a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Whether this frame ends its message.
    pub fin: bool,
    /// Whether it begins a compressed message (RFC 7692 section 6).
    pub compressed: bool,
    /// Continuation, text, binary, close, ping or pong.
    pub opcode: OpCode,
    /// The key that its payload is masked with.
    pub mask: [u8; 4],
    /// Bytes of payload.
    pub length: u64,
}

/// Connection state that decides which frames may come next.
#[derive(Debug, Clone, Copy, Default)]
pub struct Expected {
    /// A fragmented message is open (section 5.4).
    pub in_message: bool,
    /// Compression was agreed on.
    pub deflates: bool,
}

/// Reads the header at the front of `bytes` and says how long it is; `None` asks for more bytes.
///
/// What two bytes can show is refused as soon as they are there.
pub fn decode(bytes: &[u8], expected: Expected) -> Result<Option<(Header, usize)>, Violation> {
    let &[first, second, ..] = bytes else {
        return Ok(None);
    };
    let opcode = check_first_two(first, second, expected)?;
    let form = second & 0x7F;
    let length_and_rest = match form {
        126 => bytes[2..]
            .split_first_chunk()
            .map(|(length, rest)| (u64::from(u16::from_be_bytes(*length)), rest)),
        127 => bytes[2..]
            .split_first_chunk()
            .map(|(length, rest)| (u64::from_be_bytes(*length), rest)),
        short => Some((u64::from(short), &bytes[2..])),
    };
    let Some((length, rest)) = length_and_rest else {
        return Ok(None);
    };
    let Some((mask, behind)) = rest.split_first_chunk() else {
        return Ok(None);
    };
    match form {
        126 if length < 126 => return Err(Violation::LengthNotMinimal),
        127 if length <= u64::from(u16::MAX) => return Err(Violation::LengthNotMinimal),
        127 if length >> 63 == 1 => return Err(Violation::LengthTopBit),
        _ => {}
    }
    let header = Header {
        fin: first & FIN != 0,
        compressed: first & RSV1 != 0,
        opcode,
        mask: *mask,
        length,
    };
    Ok(Some((header, bytes.len() - behind.len())))
}

/// Checks what the first two bytes show, and gives the opcode.
#[inline]
fn check_first_two(first: u8, second: u8, expected: Expected) -> Result<OpCode, Violation> {
    if first & 0x70 != 0 {
        let begins_message = matches!(first & 0x0F, 1 | 2);
        if !expected.deflates || !begins_message || first & 0x70 != RSV1 {
            return Err(Violation::ReservedBit);
        }
    }
    let opcode = match first & 0x0F {
        0 if !expected.in_message => return Err(Violation::NothingToContinue),
        1 | 2 if expected.in_message => return Err(Violation::MessageInsideMessage),
        0 => OpCode::Data(Data::Continue),
        1 => OpCode::Data(Data::Text),
        2 => OpCode::Data(Data::Binary),
        8..=10 if second & 0x7F > 125 => return Err(Violation::ControlTooLong),
        8..=10 if first & FIN == 0 => return Err(Violation::ControlFragmented),
        8 => OpCode::Control(Control::Close),
        9 => OpCode::Control(Control::Ping),
        10 => OpCode::Control(Control::Pong),
        unknown => return Err(Violation::UnknownOpcode(unknown)),
    };
    if second & MASKED == 0 {
        return Err(Violation::Unmasked);
    }
    Ok(opcode)
}

/// Bytes of the header of an unmasked frame with so much payload.
pub fn header_length(payload: usize) -> usize {
    match payload {
        0..126 => 2,
        126..=0xFFFF => 4,
        _ => 10,
    }
}

/// The first byte of a frame to be sent.
#[derive(Debug, Clone, Copy)]
pub struct Outgoing {
    /// Continuation, text, binary, close, ping or pong.
    pub opcode: OpCode,
    /// Whether this frame ends its message.
    pub fin: bool,
    /// Whether it begins a compressed message.
    pub compressed: bool,
}

impl Outgoing {
    /// A frame that stands alone, as it is.
    pub fn whole(opcode: OpCode) -> Self {
        Self {
            opcode,
            fin: true,
            compressed: false,
        }
    }
}

/// Appends an unmasked frame, as a server sends it.
#[inline]
pub fn encode(out: &mut Vec<u8>, frame: Outgoing, payload: &[u8]) {
    out.reserve(MAX_HEADER + payload.len());
    encode_header(out, frame, payload.len());
    out.extend_from_slice(payload);
}

/// Appends the header of an unmasked frame whose payload is so long.
#[inline]
pub fn encode_header(out: &mut Vec<u8>, frame: Outgoing, payload: usize) {
    let bit = |is_set: bool, bit: u8| if is_set { bit } else { 0 };
    let first = u8::from(frame.opcode) | bit(frame.fin, FIN) | bit(frame.compressed, RSV1);
    match payload {
        0..126 => out.extend_from_slice(&[first, payload as u8]),
        126..=0xFFFF => {
            let [a, b] = (payload as u16).to_be_bytes();
            out.extend_from_slice(&[first, 126, a, b]);
        }
        _ => {
            out.extend_from_slice(&[first, 127]);
            out.extend_from_slice(&(payload as u64).to_be_bytes());
        }
    }
}

/// A frame as bits and bytes, whatever the protocol says of them: to look at one that came, or to
/// send a wrong one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Raw {
    /// Whether this frame ends its message.
    pub fin: bool,
    /// The reserved bits.
    pub rsv: [bool; 3],
    /// The low four bits of the first byte.
    pub opcode: u8,
    /// The key, if the frame says that it is masked.
    pub mask: Option<[u8; 4]>,
    /// Payload length that the header announces; `None` is the payload's real length.
    pub length: Option<u64>,
    /// In which of its three forms; `None` is the shortest that holds it.
    pub form: Option<LengthForm>,
    /// Without the mask.
    pub payload: Vec<u8>,
}

/// The three forms of a length, section 5.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LengthForm {
    /// In the second byte.
    Bits7,
    /// In two bytes more.
    Bits16,
    /// In eight bytes more.
    Bits64,
}

impl Raw {
    /// The frame's bytes. A length that its form cannot hold loses its high bits.
    pub fn encode(&self) -> Vec<u8> {
        let length = self.length.unwrap_or(self.payload.len() as u64);
        let form = self.form.unwrap_or(match length {
            0..126 => LengthForm::Bits7,
            126..=0xFFFF => LengthForm::Bits16,
            _ => LengthForm::Bits64,
        });
        let bit = |is_set: bool, place: u32| u8::from(is_set) << place;
        let [rsv1, rsv2, rsv3] = self.rsv;
        let first =
            bit(self.fin, 7) | bit(rsv1, 6) | bit(rsv2, 5) | bit(rsv3, 4) | (self.opcode & 0x0F);
        let masked = bit(self.mask.is_some(), 7);
        let mut out = vec![first];
        match form {
            LengthForm::Bits7 => out.push(masked | (length & 0x7F) as u8),
            LengthForm::Bits16 => {
                out.push(masked | 126);
                out.extend_from_slice(&(length as u16).to_be_bytes());
            }
            LengthForm::Bits64 => {
                out.push(masked | 127);
                out.extend_from_slice(&length.to_be_bytes());
            }
        }
        out.extend(self.mask.iter().flatten());
        let start = out.len();
        out.extend_from_slice(&self.payload);
        if let Some(mask) = self.mask {
            unmask(&mut out[start..], mask);
        }
        out
    }

    /// Reads the frame at the front of `bytes`; `None` asks for more of them. Nothing is wrong
    /// here.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (header, total) = Self::extent(bytes)?;
        let frame = bytes.get(..usize::try_from(total).ok()?)?;
        let mask: Option<[u8; 4]> =
            (frame[1] & 0x80 != 0).then(|| [0, 1, 2, 3].map(|place| frame[header - 4 + place]));
        let mut payload = frame[header..].to_vec();
        if let Some(mask) = mask {
            unmask(&mut payload, mask);
        }
        let bit = |place: u32| frame[0] >> place & 1 == 1;
        Some(Self {
            fin: bit(7),
            rsv: [bit(6), bit(5), bit(4)],
            opcode: frame[0] & 0x0F,
            mask,
            length: None,
            form: None,
            payload,
        })
    }

    /// Bytes of the header, and of the whole frame, at the front of `bytes`; `None` asks for more
    /// of the header.
    pub fn extent(bytes: &[u8]) -> Option<(usize, u64)> {
        let &[_, second, ref rest @ ..] = bytes else {
            return None;
        };
        let (length, width) = match second & 0x7F {
            126 => (u64::from(u16::from_be_bytes(*rest.first_chunk()?)), 2),
            127 => (u64::from_be_bytes(*rest.first_chunk()?), 8),
            short => (u64::from(short), 0),
        };
        let header = 2 + width + if second & 0x80 == 0 { 0 } else { 4 };
        (bytes.len() >= header).then_some((header, length.saturating_add(header as u64)))
    }
}

/// Takes the mask off `payload` in place, section 5.3, and gives the mask for the bytes that
/// follow.
pub fn unmask(payload: &mut [u8], mask: [u8; 4]) -> [u8; 4] {
    let [a, b, c, d] = mask;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let mut chunks = payload.chunks_exact_mut(8);
    for chunk in &mut chunks {
        let chunk: &mut [u8; 8] = chunk.try_into().expect("chunks of eight");
        *chunk = (u64::from_ne_bytes(*chunk) ^ wide).to_ne_bytes();
    }
    for (byte, key) in chunks.into_remainder().iter_mut().zip(mask.iter().cycle()) {
        *byte ^= key;
    }
    let mut rest = mask;
    rest.rotate_left(payload.len() % 4);
    rest
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use tungstenite::protocol::frame::FrameHeader;

    use super::*;

    /// Raw frames that are encoded bit by bit are decoded to the same bits, in each form of the
    /// length.
    #[test]
    fn raw_frames_come_back() {
        for form in [LengthForm::Bits7, LengthForm::Bits16, LengthForm::Bits64] {
            for mask in [None, Some([1, 2, 3, 4])] {
                let frame = Raw {
                    fin: false,
                    rsv: [true, false, true],
                    opcode: 11,
                    mask,
                    length: None,
                    form: Some(form),
                    payload: b"payload".to_vec(),
                };
                let bytes = frame.encode();
                let read = Raw {
                    form: None,
                    ..frame
                };
                assert_eq!(Raw::decode(&bytes), Some(read));
                assert!((0..bytes.len()).all(|cut| Raw::decode(&bytes[..cut]).is_none()));
            }
        }
    }

    /// Unmasking in pieces equals the definition of section 5.3, whatever the split.
    #[test]
    fn unmask_continues_across_pieces() {
        let plain: Vec<u8> = (0..67).collect();
        let mask = [1, 2, 3, 4];
        let masked: Vec<u8> = plain
            .iter()
            .enumerate()
            .map(|(i, byte)| byte ^ mask[i % 4])
            .collect();
        for at in 0..=plain.len() {
            let mut bytes = masked.clone();
            let (left, right) = bytes.split_at_mut(at);
            let rest = unmask(left, mask);
            unmask(right, rest);
            assert_eq!(bytes, plain, "split at {at}");
        }
    }

    /// What tungstenite reads in a header, with our checks.
    fn read_by_tungstenite(
        bytes: &[u8],
        expected: Expected,
    ) -> Result<Option<(Header, usize)>, Violation> {
        let &[first, second, ..] = bytes else {
            return Ok(None);
        };
        check_first_two(first, second, expected)?;
        let mut cursor = Cursor::new(bytes);
        let parsed = FrameHeader::parse(&mut cursor).expect("the opcode is known");
        let Some((parsed, length)) = parsed else {
            return Ok(None);
        };
        match second & 0x7F {
            126 if length < 126 => return Err(Violation::LengthNotMinimal),
            127 if length <= 0xFFFF => return Err(Violation::LengthNotMinimal),
            127 if length >> 63 == 1 => return Err(Violation::LengthTopBit),
            _ => {}
        }
        let header = Header {
            fin: parsed.is_final,
            compressed: parsed.rsv1,
            opcode: parsed.opcode,
            mask: parsed.mask.expect("it is masked"),
            length,
        };
        Ok(Some((header, cursor.position() as usize)))
    }

    /// Every pair of first bytes, with every kind of length behind it, whole and cut off.
    #[test]
    fn headers_are_read_as_tungstenite_reads_them() {
        let mut random = fastrand::Rng::with_seed(4);
        let mut read = 0;
        for pair in 0..=u16::MAX {
            let [first, second] = pair.to_be_bytes();
            let small = [0, 0, 0, 0, 0, 0, 0, random.u8(..)];
            let middle = (random.u64(..) & 0x1_FFFF).to_be_bytes();
            let high = (1 << 63 | random.u64(..)).to_be_bytes();
            let short = [0, random.u8(..), 9, 9, 9, 9, 9, 9];
            let lengths = [small, middle, high, short, random.u64(..).to_be_bytes()];
            let mut bytes = [first, second].to_vec();
            bytes.extend(random.choice(lengths).expect("one of them"));
            bytes.extend((0..6).map(|_| random.u8(..)));
            bytes.truncate(random.usize(..=bytes.len()));
            for expected in [(false, false), (false, true), (true, false), (true, true)] {
                let (in_message, deflates) = expected;
                let expected = Expected {
                    in_message,
                    deflates,
                };
                let decoded = decode(&bytes, expected);
                assert_eq!(decoded, read_by_tungstenite(&bytes, expected), "{bytes:x?}");
                read += usize::from(matches!(decoded, Ok(Some(_))));
            }
        }
        assert!(read > 1000, "{read}");
    }

    #[test]
    fn headers_are_written_as_tungstenite_writes_them() {
        let lengths = [0, 1, 125, 126, 127, 0xFFFE, 0xFFFF, 0x1_0000, usize::MAX];
        let opcodes = (0..=2).chain(8..=10).map(OpCode::from);
        for (opcode, length) in opcodes.flat_map(|opcode| lengths.map(|length| (opcode, length))) {
            for (fin, compressed) in [(false, false), (false, true), (true, false), (true, true)] {
                let frame = Outgoing {
                    opcode,
                    fin,
                    compressed,
                };
                let theirs = FrameHeader {
                    is_final: fin,
                    rsv1: compressed,
                    opcode,
                    ..FrameHeader::default()
                };
                let (mut written, mut wanted) = (Vec::new(), Vec::new());
                encode_header(&mut written, frame, length);
                theirs
                    .format(length as u64, &mut wanted)
                    .expect("a Vec takes every write");
                assert_eq!(written, wanted);
                assert_eq!(written.len(), header_length(length));
            }
        }
    }

    #[test]
    fn lengths_must_be_in_their_shortest_form() {
        assert_eq!(
            decode(&[0x82, 0xFE, 0, 125, 0, 0, 0, 0], Expected::default()),
            Err(Violation::LengthNotMinimal)
        );
        assert_eq!(
            decode(
                &[0x82, 0xFF, 0, 0, 0, 0, 0, 0, 255, 255, 0, 0, 0, 0],
                Expected::default()
            ),
            Err(Violation::LengthNotMinimal)
        );
        assert_eq!(
            decode(
                &[0x82, 0xFF, 128, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0],
                Expected::default()
            ),
            Err(Violation::LengthTopBit)
        );
        let header = decode(&[0x82, 0xFE, 0, 126, 9, 8, 7, 6], Expected::default())
            .unwrap()
            .unwrap();
        assert_eq!(
            header.0,
            Header {
                fin: true,
                compressed: false,
                opcode: OpCode::Data(Data::Binary),
                mask: [9, 8, 7, 6],
                length: 126
            }
        );
        assert_eq!(header.1, 8);
    }

    #[test]
    fn frames_of_each_length_form_are_encoded() {
        for (length, header) in [
            (125, vec![0x81, 125]),
            (126, vec![0x81, 126, 0, 126]),
            (65_536, vec![0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
        ] {
            let mut out = Vec::new();
            let frame = Outgoing::whole(OpCode::Data(Data::Text));
            encode(&mut out, frame, &vec![b'x'; length]);
            assert_eq!(out[..header.len()], header);
            assert_eq!(out.len(), header.len() + length);
        }
    }
}
