//! `--log-level trace`: the lines of a request's head and of its answer's, without what only the
//! two ends should know.

use std::borrow::Cow;

use crate::observe::event::{Event, is_wanted};
use crate::observe::one_line;

/// Bytes of a line that are logged.
const SHOWN: usize = 256;
/// Placeholder of what is not logged.
const MASKED: &str = "***";

/// Headers whose values are secrets, by a part of the name: Authorization, Proxy-Authorization,
/// Cookie, Set-Cookie and what applications have of the kind.
const SECRET: [&str; 7] = [
    "auth", "cookie", "token", "secret", "password", "api-key", "apikey",
];
/// Headers whose values are addresses, which may have queries.
const ADDRESSES: [&str; 4] = ["referer", "location", "content-location", "refresh"];

/// Whether heads are logged.
#[inline]
pub fn is_on() -> bool {
    is_wanted!(Http, TRACE)
}

/// Logs a head, an event a line; `way` is in or out.
pub fn head(connection: u64, way: &'static str, head: &[u8]) {
    if is_on() {
        for line in lines(head) {
            let line = line.as_str();
            Event::Head {
                connection,
                way,
                line,
            }
            .tell();
        }
    }
}

/// The lines up to the empty one.
fn lines(head: &[u8]) -> Vec<String> {
    let head = String::from_utf8_lossy(head);
    let lines = head.split("\r\n").take_while(|line| !line.is_empty());
    lines
        .enumerate()
        .map(|(number, line)| {
            let cut = &line[..line.floor_char_boundary(SHOWN)];
            let end = if cut.len() < line.len() { "…" } else { "" };
            let line = if number == 0 { first(cut) } else { field(cut) };
            one_line(&line) + end
        })
        .collect()
}

/// A request's line without its query.
fn first(line: &str) -> Cow<'_, str> {
    match line.split_once(' ') {
        Some((method, rest)) if !method.starts_with("HTTP/") => {
            let (target, version) = rest.rsplit_once(' ').unwrap_or((rest, ""));
            format!("{method} {} {version}", address(target)).into()
        }
        _ => line.into(),
    }
}

fn field(line: &str) -> Cow<'_, str> {
    let Some((name, value)) = line.split_once(':') else {
        return MASKED.into();
    };
    let lower = name.to_ascii_lowercase();
    // A line that goes on has no name.
    if name.starts_with([' ', '\t']) {
        MASKED.into()
    } else if SECRET.iter().any(|part| lower.contains(part)) {
        format!("{name}: {MASKED}").into()
    } else if ADDRESSES.contains(&lower.as_str()) {
        format!("{name}:{}", address(value)).into()
    } else {
        line.into()
    }
}

/// An address without a query, and without a user and a password.
fn address(address: &str) -> String {
    let (place, query) = match address.find(['?', '#']) {
        Some(at) => (&address[..at], MASKED),
        None => (address, ""),
    };
    let mark = if query.is_empty() { "" } else { "?" };
    let (scheme, rest) = place
        .split_once("//")
        .map_or(("", place), |(scheme, rest)| (scheme, rest));
    let authority = rest.split('/').next().unwrap_or_default();
    match authority.rfind('@') {
        Some(at) if place.contains("//") => {
            format!("{scheme}//{MASKED}{}{mark}{query}", &rest[at..])
        }
        _ => format!("{place}{mark}{query}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_masked() {
        let head = "GET http://ada:SECRET@localhost/a?token=SECRET HTTP/1.1\r\n\
            Host: localhost\r\n\
            Cookie: a=SECRET\r\n\
            COOKIE:SECRET\r\n\
            Authorization: Basic SECRET\r\n\
            Proxy-Authorization: SECRET\r\n\
            X-Api-Key: SECRET\r\n\
            X-CSRF-Token: SECRET\r\n\
            Referer: http://localhost/page?SECRET\r\n\
            X-Other: a\r\n SECRET: folded\r\n\
            Sec-WebSocket-Key: AQIDBAUGBwgJCgsMDQ4PEC==\r\n\r\nSECRET";
        let lines = lines(head.as_bytes());
        assert_eq!(lines[0], "GET http://***@localhost/a?*** HTTP/1.1");
        assert_eq!(lines[1], "Host: localhost");
        assert_eq!(lines[2], "Cookie: ***");
        assert_eq!(lines[8], "Referer: http://localhost/page?***");
        assert_eq!(lines[11], "Sec-WebSocket-Key: AQIDBAUGBwgJCgsMDQ4PEC==");
        assert!(!lines.concat().contains("SECRET"), "{lines:?}");
    }

    #[test]
    fn a_line_stays_one_and_short() {
        let head = format!(
            "HTTP/1.1 101 What?\r\nA: b\nc\u{1b}\u{2028}\rd\r\nLong: {}\r\n\r\n",
            "x".repeat(7_000)
        );
        let lines = lines(head.as_bytes());
        assert_eq!(lines[0], "HTTP/1.1 101 What?");
        assert_eq!(lines[1], "A: b\\nc\\u{1b}\\u{2028}\\rd");
        assert!(lines[2].len() < 300 && lines[2].ends_with('…'));
    }
}
