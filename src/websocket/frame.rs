//! One frame: a client's header bytes to a checked [`Header`], and the server's frames to bytes. RFC 6455 section 5.2.
//!
//! The field layout is tungstenite's codec; the checks are ours, because it accepts unmasked frames, reserved bits
//! and long forms of short lengths, and reports an over-long control frame only after its payload.

use std::io::Cursor;

use tungstenite::protocol::frame::FrameHeader;
pub use tungstenite::protocol::frame::coding::{Control, Data, OpCode};

use super::Violation;

/// The longest header: two bytes, a 64-bit length, a mask.
pub const MAX_HEADER: usize = 14;

/// A checked header of a frame from a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Whether this frame ends its message.
    pub fin: bool,
    /// Continuation, text, binary, close, ping or pong.
    pub opcode: OpCode,
    /// The key that its payload is masked with.
    pub mask: [u8; 4],
    /// Bytes of payload.
    pub length: u64,
}

/// Reads the header at the front of `bytes` and says how long it is; `None` asks for more bytes.
///
/// `in_message`: whether a fragmented message is open, which decides what may come next (section 5.4). What two bytes
/// can show is refused as soon as they are there.
pub fn decode(bytes: &[u8], in_message: bool) -> Result<Option<(Header, usize)>, Violation> {
    let &[first, second, ..] = bytes else {
        return Ok(None);
    };
    check_first_two(first, second, in_message)?;
    let mut cursor = Cursor::new(bytes);
    let Ok(parsed) = FrameHeader::parse(&mut cursor) else {
        return Err(Violation::UnknownOpcode(first & 0x0F));
    };
    let Some((
        FrameHeader {
            is_final,
            opcode,
            mask: Some(mask),
            ..
        },
        length,
    )) = parsed
    else {
        return Ok(None);
    };
    match second & 0x7F {
        126 if length < 126 => Err(Violation::LengthNotMinimal),
        127 if length <= u64::from(u16::MAX) => Err(Violation::LengthNotMinimal),
        127 if length >> 63 == 1 => Err(Violation::LengthTopBit),
        _ => Ok(Some((
            Header {
                fin: is_final,
                opcode,
                mask,
                length,
            },
            cursor.position() as usize,
        ))),
    }
}

fn check_first_two(first: u8, second: u8, in_message: bool) -> Result<(), Violation> {
    if first & 0x70 != 0 {
        return Err(Violation::ReservedBit);
    }
    let fin = first & 0x80 != 0;
    match first & 0x0F {
        0 if !in_message => return Err(Violation::NothingToContinue),
        1 | 2 if in_message => return Err(Violation::MessageInsideMessage),
        0..=2 => {}
        8..=10 if second & 0x7F > 125 => return Err(Violation::ControlTooLong),
        8..=10 if !fin => return Err(Violation::ControlFragmented),
        8..=10 => {}
        unknown => return Err(Violation::UnknownOpcode(unknown)),
    }
    if second & 0x80 == 0 {
        return Err(Violation::Unmasked);
    }
    Ok(())
}

/// Appends a whole unmasked frame, as a server sends it.
pub fn encode(out: &mut Vec<u8>, opcode: OpCode, payload: &[u8]) {
    let header = FrameHeader {
        opcode,
        ..FrameHeader::default()
    };
    header
        .format(payload.len() as u64, out)
        .expect("a Vec takes every write");
    out.extend_from_slice(payload);
}

/// Takes the mask off `payload` in place, section 5.3, and gives the mask for the bytes that follow.
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
    use super::*;

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

    #[test]
    fn lengths_must_be_in_their_shortest_form() {
        assert_eq!(
            decode(&[0x82, 0xFE, 0, 125, 0, 0, 0, 0], false),
            Err(Violation::LengthNotMinimal)
        );
        assert_eq!(
            decode(&[0x82, 0xFF, 0, 0, 0, 0, 0, 0, 255, 255, 0, 0, 0, 0], false),
            Err(Violation::LengthNotMinimal)
        );
        assert_eq!(
            decode(&[0x82, 0xFF, 128, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0], false),
            Err(Violation::LengthTopBit)
        );
        let header = decode(&[0x82, 0xFE, 0, 126, 9, 8, 7, 6], false)
            .unwrap()
            .unwrap();
        assert_eq!(
            header.0,
            Header {
                fin: true,
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
            encode(&mut out, OpCode::Data(Data::Text), &vec![b'x'; length]);
            assert_eq!(out[..header.len()], header);
            assert_eq!(out.len(), header.len() + length);
        }
    }
}
