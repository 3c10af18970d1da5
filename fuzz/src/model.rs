//! A client's bytes as RFC 6455 reads them, written a second time: all at once, slowly, with nothing kept between calls.

use wsh_server::websocket::Limits;

/// What a frame's header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    pub fin: bool,
    pub opcode: u8,
    pub mask: [u8; 4],
    pub length: u64,
    /// Bytes of the header itself.
    pub size: usize,
}

/// What the bytes amount to, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    Text(Vec<u8>),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    /// The last of all; `None` has no code.
    Close(Option<(u16, String)>),
    /// The last of all: what must be answered with this code.
    Violation(u16),
}

/// The header at the front; `Ok(None)` wants more bytes, an error is answered with 1002.
pub fn header(bytes: &[u8], in_message: bool) -> Result<Option<Header>, ()> {
    let &[first, second, ..] = bytes else {
        return Ok(None);
    };
    let (fin, opcode, short) = (first >> 7 == 1, first & 15, second & 127);
    let fits = match opcode {
        0 => in_message,
        1 | 2 => !in_message,
        8..=10 => fin && short <= 125,
        _ => false,
    };
    if first & 0x70 != 0 || second & 0x80 == 0 || !fits {
        return Err(());
    }
    let width = match short {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    let size = 2 + width + 4;
    if bytes.len() < size {
        return Ok(None);
    }
    let length = match width {
        0 => short.into(),
        _ => bytes[2..2 + width]
            .iter()
            .fold(0u64, |length, byte| length << 8 | u64::from(*byte)),
    };
    let least = [0, 0, 126, 0, 0, 0, 0, 0, 65_536][width];
    if length < least || length >> 63 == 1 {
        return Err(());
    }
    let mask = [0, 1, 2, 3].map(|at| bytes[2 + width + at]);
    Ok(Some(Header {
        fin,
        opcode,
        mask,
        length,
        size,
    }))
}

/// Everything that these bytes say, up to a Close, a violation or the first frame that is not whole.
pub fn hear(mut bytes: &[u8], limits: &Limits) -> Vec<Heard> {
    let mut heard = Vec::new();
    // Whether it is text, the payload so far, and the fragments.
    let mut open: Option<(bool, Vec<u8>, usize)> = None;
    loop {
        let header = match header(bytes, open.is_some()) {
            Ok(Some(header)) => header,
            Ok(None) => return heard,
            Err(()) => {
                heard.push(Heard::Violation(1002));
                return heard;
            }
        };
        let is_data = header.opcode < 8;
        if is_data {
            let held = open.as_ref().map_or(0, |(_, data, _)| data.len());
            let too_tiny = open.as_ref().is_some_and(|(_, data, count)| {
                *count > limits.fragments as usize && data.len() < count * limits.mean_fragment
            });
            let code = if too_tiny {
                Some(1008)
            } else {
                (header.length > (limits.message - held) as u64).then_some(1009)
            };
            if let Some(code) = code {
                heard.push(Heard::Violation(code));
                return heard;
            }
        }
        let there = &bytes[header.size..];
        let count = there
            .len()
            .min(header.length.try_into().unwrap_or(usize::MAX));
        let is_whole = count as u64 == header.length;
        let payload: Vec<u8> = there[..count]
            .iter()
            .zip(header.mask.iter().cycle())
            .map(|(byte, key)| byte ^ key)
            .collect();
        bytes = &there[count..];
        if !is_data {
            if !is_whole {
                return heard;
            }
            heard.push(match header.opcode {
                8 => close(&payload),
                9 => Heard::Ping(payload),
                _ => Heard::Pong(payload),
            });
            if matches!(heard.last(), Some(Heard::Close(_) | Heard::Violation(_))) {
                return heard;
            }
            continue;
        }
        let (is_text, data, fragments) = open.get_or_insert((header.opcode == 1, Vec::new(), 0));
        data.extend(payload);
        let ends = is_whole && header.fin;
        if *is_text
            && let Err(error) = std::str::from_utf8(data)
            && (ends || error.error_len().is_some())
        {
            heard.push(Heard::Violation(1007));
            return heard;
        }
        if !is_whole {
            return heard;
        }
        *fragments += 1;
        if ends && let Some((is_text, data, _)) = open.take() {
            heard.push(if is_text {
                Heard::Text(data)
            } else {
                Heard::Binary(data)
            });
        }
    }
}

/// What the payload of a Close says.
pub fn close(payload: &[u8]) -> Heard {
    let [high, low, reason @ ..] = payload else {
        return if payload.is_empty() {
            Heard::Close(None)
        } else {
            Heard::Violation(1002)
        };
    };
    let code = u16::from(*high) << 8 | u16::from(*low);
    let travels = (1000..5000).contains(&code)
        && !(1015..3000).contains(&code)
        && ![1004, 1005, 1006].contains(&code);
    match String::from_utf8(reason.to_vec()) {
        _ if !travels => Heard::Violation(1002),
        Ok(reason) => Heard::Close(Some((code, reason))),
        Err(_) => Heard::Violation(1007),
    }
}
