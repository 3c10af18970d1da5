//! What was asked for in a recorded handshake, asked for again.

use crate::client::Ask;
use crate::recording::{Recording, headers};

/// What was asked for then, with these headers in the place of those of their name.
pub fn ask(recording: &Recording, given: &Ask) -> Ask {
    let mut ask = given.clone();
    let is_given = |name: &str| {
        let mut names = given.headers.iter().map(|(name, _)| name);
        names.any(|known| known.eq_ignore_ascii_case(name))
    };
    for (name, value) in headers(recording) {
        let is_protocol = name.eq_ignore_ascii_case("sec-websocket-protocol");
        if is_given(name) || is_protocol && !ask.subprotocols.is_empty() {
            continue;
        }
        // One that cannot be sent was none.
        let _ = ask.header(&format!("{name}: {value}"));
    }
    ask
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn given_headers_take_the_place_of_recorded_ones() {
        let headers = [
            ("Host", "h"),
            ("Sec-WebSocket-Protocol", "a, b"),
            ("Origin", "http://o"),
            ("X-A", "1"),
        ];
        let recording = Recording {
            url: String::new(),
            started: 0.0,
            headers: headers
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .to_vec(),
            protocol: None,
            said: Vec::new(),
            ending: None,
            ended: 0.0,
            left_out: 0,
        };
        let mut given = Ask::default();
        given.header("x-a: 2").expect("a header");
        let ask = ask(&recording, &given);
        assert_eq!(ask.subprotocols, ["a", "b"]);
        let headers = ask.headers.iter();
        let headers: Vec<_> = headers.map(|(name, value)| (&**name, &**value)).collect();
        assert_eq!(headers, [("x-a", "2"), ("Origin", "http://o")]);
    }
}
