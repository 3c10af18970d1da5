//! A message as it goes from node to node: what it is, when and by whom it was published, its
//! bytes. Whatever else comes under the same names is not taken for one.

pub mod direct;
pub mod nodes;
pub mod people;

use std::time::{SystemTime, UNIX_EPOCH};

use super::position::Position;
use super::publication::Draft;
use crate::websocket::frame::Data;

/// The format, and its version.
const MAGIC: &[u8] = b"WSH1";
/// Bytes of a body in front of its payload.
const FRONT: usize = 1 + 8 + 8 + 8;

/// What a body's first byte says.
const TEXT: u8 = 1;
const ENVELOPED: u8 = 2;
const EXCEPTS: u8 = 4;
const ALL: u8 = TEXT | ENVELOPED | EXCEPTS;

/// A message that has come.
#[derive(Debug)]
pub struct Arrived {
    /// Its place in the topic's history; none in a plain topic.
    pub place: Option<Position>,
    /// The message.
    pub draft: Draft,
    /// When it was published, in milliseconds of the publishing node's clock.
    pub published: u64,
}

/// Milliseconds since 1970.
pub fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as u64)
}

/// A draft's body, published by a connection of this node.
pub fn body(draft: &Draft, node: u64) -> Vec<u8> {
    let (kind, is_enveloped, payload) = draft.content();
    let mut flags = 0;
    for (flag, is_set) in [
        (TEXT, kind == Data::Text),
        (ENVELOPED, is_enveloped),
        (EXCEPTS, draft.excepted().is_some()),
    ] {
        flags |= if is_set { flag } else { 0 };
    }
    let mut body = Vec::with_capacity(FRONT + payload.len());
    body.push(flags);
    for number in [now(), node, draft.excepted().unwrap_or(0)] {
        body.extend(number.to_le_bytes());
    }
    body.extend_from_slice(payload);
    body
}

/// What a channel carries of a plain topic.
pub fn plain(body: &[u8]) -> Vec<u8> {
    [MAGIC, b" ", body].concat()
}

/// What it begins with in a topic with history, before the body: the script puts the place between.
pub fn placed_front() -> &'static [u8] {
    MAGIC
}

/// Reads what a channel of this topic has carried to this node.
pub fn read(topic: &str, node: u64, bytes: &[u8]) -> Option<Arrived> {
    let rest = bytes.strip_prefix(MAGIC)?;
    let (place, body) = rest.split_at(memchr::memchr(b' ', rest)?);
    let place = match place {
        [] => None,
        place => Some(Position::parse(std::str::from_utf8(place).ok()?)?),
    };
    read_body(topic, node, place, &body[1..])
}

/// Reads what a history of this topic has kept at this place.
pub fn read_body(topic: &str, node: u64, place: Option<Position>, body: &[u8]) -> Option<Arrived> {
    let (front, payload) = body.split_at_checked(FRONT)?;
    let (flags, numbers) = front.split_first()?;
    let number = |place: usize| {
        let bytes = numbers.get(place * 8..place * 8 + 8)?.try_into().ok()?;
        Some(u64::from_le_bytes(bytes))
    };
    let (published, publisher, connection) = (number(0)?, number(1)?, number(2)?);
    let is_text = flags & TEXT != 0;
    let is_enveloped = flags & ENVELOPED != 0;
    if flags & !ALL != 0 || is_enveloped && !is_text {
        return None;
    }
    let draft = match is_text {
        true => {
            let text = simdutf8::basic::from_utf8(payload).ok()?;
            match is_enveloped {
                true => Draft::enveloped(topic, text),
                false => Draft::plain(Data::Text, payload.to_vec()),
            }
        }
        false => Draft::plain(Data::Binary, payload.to_vec()),
    };
    let excepts = flags & EXCEPTS != 0 && publisher == node;
    Some(Arrived {
        place,
        draft: draft.except(excepts.then_some(connection)),
        published,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_arrives_as_it_was_sent() {
        let drafts = [
            Draft::plain(Data::Text, "grüße".into()),
            Draft::plain(Data::Binary, vec![0, 255]).except(Some(7)),
            Draft::enveloped("a\"b", "[1,2]"),
            Draft::plain(Data::Text, Vec::new()),
        ];
        for draft in drafts {
            let body = body(&draft, 42);
            let arrived = read("a\"b", 42, &plain(&body)).expect("a message");
            assert_eq!(arrived.draft.content(), draft.content());
            assert_eq!(arrived.draft.excepted(), draft.excepted());
            assert_eq!(arrived.place, None);
            let place = Position {
                epoch: Position::new_epoch(),
                number: 9,
            };
            let front = [placed_front(), format!("{place} ").as_bytes()].concat();
            let placed = [front.as_slice(), &body].concat();
            let arrived = read("a\"b", 43, &placed).expect("a message");
            assert_eq!(arrived.place, Some(place));
            assert_eq!(arrived.draft.excepted(), None, "another node's connection");
        }
    }

    #[test]
    fn nothing_else_is_a_message() {
        let body = body(&Draft::plain(Data::Text, "text".into()), 1);
        let good = plain(&body);
        for cut in 0..MAGIC.len() + 1 + FRONT {
            assert!(read("t", 1, &good[..cut]).is_none(), "{cut}");
        }
        let mut newer = good.clone();
        newer[3] = b'2';
        let mut flags = good.clone();
        flags[5] |= 64;
        let mut no_text = good.clone();
        no_text.push(0xFF);
        let placed = [MAGIC, b"k3f9. ".as_slice(), body.as_slice()].concat();
        for bytes in [newer, flags, no_text, placed, b"hello".to_vec()] {
            assert!(read("t", 1, &bytes).is_none(), "{bytes:?}");
        }
    }
}
