//! The extension header, and compressed messages: in pieces as at once, and never beyond the limit.

use std::rc::Rc;

use wsh_server::config::Deflate;
use wsh_server::websocket::extensions::{self, Parameters};
use wsh_server::websocket::inflation::LONG_TURN;
use wsh_server::websocket::{Decoder, Limits, Pool, Violation};

use super::frames::{BOUNDS, of};
use super::model::Heard;
use super::pieces::{Pieces, scheduled};

/// What every compressed message may become.
const LIMIT: usize = 100_000;

/// `Sec-WebSocket-Extensions`: what is agreed to was offered, and the answer is a list of extensions, too.
pub fn extension(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let Ok(offers) = extensions::parse(text.split('\n')) else {
        return;
    };
    for offer in &offers {
        assert!(!offer.name.is_empty() && text.contains(offer.name));
    }
    let Some(agreed) = extensions::negotiate(&offers, &terms()) else {
        return;
    };
    assert!(offers.iter().any(|offer| offer.name == agreed.name()));
    let answer = agreed.to_string();
    let answered = extensions::parse([answer.as_str()].into_iter()).expect("a list of extensions");
    assert_eq!(answered.len(), 1, "{answer:?}");
    // An answer means the same to whoever reads it as to whoever gave it.
    let again = extensions::negotiate(&answered, &terms()).expect("legal parameters");
    assert_eq!(again.terms, agreed.terms, "{answer:?}");
    let names = |name: &str| text.contains(name);
    assert!(!answer.contains("client_max_window_bits") || names("client_max_window_bits"));
}

fn terms() -> Parameters {
    Parameters::from(&Deflate {
        client_context: true,
        server_context: true,
        ..Deflate::default()
    })
}

/// A compressed message, alone and in frames.
pub fn inflate(bytes: &[u8]) {
    let (mut pieces, bytes) = scheduled(bytes);
    let pool = Pool::default();
    let whole = inflated(&pool, &[bytes]);
    let cut = inflated(&pool, &pieces.of(bytes));
    match (&whole, &cut) {
        // What is broken shortly after it is too long may be found to be either.
        (Err(_), Err(_)) => {}
        _ => assert_eq!(whole, cut, "at once and in pieces"),
    }
    if let Ok(message) = whole {
        assert!(message.len() <= LIMIT);
        let mut compressor = pool.compressor(&terms());
        let again = pool.compress(&mut compressor, &message, usize::MAX, || Ok::<_, ()>(()));
        let again = again.expect("no pause fails").expect("no bound");
        assert_eq!(
            inflated(&pool, &[&again]).as_ref(),
            Ok(&message),
            "it comes back"
        );
    }
    let violated = |heard: &mut Vec<Heard>| {
        heard
            .pop_if(|last| matches!(last, Heard::Violation(1007 | 1009)))
            .is_some()
    };
    let (mut one, mut cut) = (
        heard(bytes, &mut scheduled(&[]).0),
        heard(bytes, &mut pieces),
    );
    assert_eq!(violated(&mut one), violated(&mut cut), "{one:?}, {cut:?}");
    assert_eq!(one, cut, "frames at once and in pieces");
}

fn inflated(pool: &Pool, pieces: &[&[u8]]) -> Result<Vec<u8>, Violation> {
    let mut inflater = pool.inflater(Vec::new());
    let mut out = Vec::new();
    for piece in pieces {
        pool.inflate(&mut inflater, piece, &mut out, LIMIT, |_| true)?;
    }
    pool.finish(inflater, &mut out, 1 << extensions::MAX_BITS)?;
    Ok(out)
}

/// What frames amount to on a connection where compression was agreed on.
fn heard(bytes: &[u8], pieces: &mut Pieces) -> Vec<Heard> {
    let limits = Limits {
        message: LIMIT,
        ..BOUNDS
    };
    let mut decoder = Decoder::inflating(&terms(), Rc::new(Pool::default()));
    let mut heard = Vec::new();
    for piece in pieces.of(bytes) {
        let mut piece = piece.to_vec();
        let mut input = piece.as_mut_slice();
        loop {
            match decoder.next(&mut input, &limits, |_, _| {}) {
                Ok(Some(incoming)) => heard.push(of(incoming)),
                Ok(None) if input.is_empty() => break,
                Ok(None) => {
                    assert!(decoder.is_spent(), "it stops for that alone");
                    decoder.refresh(LONG_TURN);
                }
                Err(violation) => heard.push(Heard::Violation(violation.code())),
            }
            if matches!(heard.last(), Some(Heard::Close(_) | Heard::Violation(_))) {
                return heard;
            }
        }
        assert!(
            decoder.buffered() <= LIMIT,
            "{} bytes held",
            decoder.buffered()
        );
    }
    heard
}
