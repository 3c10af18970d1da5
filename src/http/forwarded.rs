//! Forwarding headers of trusted proxies: `Forwarded`, RFC 7239, or else `X-Forwarded-For`,
//! `-Proto` and `-Host`.
//!
//! Each proxy appends who it was called by, so the lists are walked from the right, for as long as
//! whoever wrote an element is trusted. What stands further left was written by strangers and is
//! not even read.

use std::net::{IpAddr, SocketAddr};

use super::client::Client;
use super::head::Head;
use crate::config::{Authority, Trusted};
use crate::websocket::handshake::quoted;

/// The client as forwarding headers describe it. A field that none of them has is `None`.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Forwarded {
    /// The first client from the right that is no trusted proxy; its port is 0 if it is not known.
    pub address: Option<SocketAddr>,
    /// Whether that client came encrypted.
    pub secure: Option<bool>,
    /// The host that it asked for.
    pub host: Option<Authority>,
}

/// A proxy's list that cannot be read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name} is malformed at {element:?}")]
pub struct Malformed {
    name: &'static str,
    element: String,
}

/// Reads the forwarding headers of a request, if its peer is trusted.
pub fn read(head: &Head, client: &Client, trusted: &[Trusted]) -> Result<Forwarded, Malformed> {
    let is_trusted = |peer: Option<IpAddr>| trusted.iter().any(|trusted| trusted.has(peer));
    let mut said = Forwarded::default();
    if !is_trusted(client.address.map(|address| address.ip())) {
        return Ok(said);
    }
    let standard = joined(head, "forwarded");
    let lists = ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host"];
    let lists = lists.map(|name| joined(head, name));
    let [mut hops, mut schemes, mut hosts] =
        lists.each_ref().map(|list| Backwards::new(list, b','));
    let mut elements = Backwards::new(&standard, b',');
    let is_standard = !standard.is_empty();
    loop {
        let hop = if is_standard {
            let Some(element) = elements.next() else {
                break;
            };
            Hop::of_element(element)?
        } else {
            let parts = (hops.next(), schemes.next(), hosts.next());
            if parts == (None, None, None) {
                break;
            }
            Hop::of_lists(parts)?
        };
        // What a further proxy did not say, a nearer one did.
        said.secure = hop.secure.or(said.secure);
        said.host = hop.host.or(said.host);
        let Some(address) = hop.address else { break };
        said.address = Some(address);
        if !is_trusted(Some(address.ip())) {
            break;
        }
    }
    Ok(said)
}

/// The lines of a header as one list.
fn joined(head: &Head, name: &str) -> String {
    head.values(name).collect::<Vec<_>>().join(",")
}

/// One hop: the values that one proxy has appended.
#[derive(Debug, Default)]
struct Hop {
    address: Option<SocketAddr>,
    secure: Option<bool>,
    host: Option<Authority>,
}

impl Hop {
    fn of_element(element: &str) -> Result<Self, Malformed> {
        let wrong = || malformed("Forwarded", element);
        let (mut address, mut scheme, mut host) = (None, None, None);
        for pair in Backwards::new(element, b';') {
            let (name, value) = pair.split_once('=').ok_or_else(wrong)?;
            let value = unquoted(value).ok_or_else(wrong)?;
            let place = match name.to_ascii_lowercase().as_str() {
                "for" => &mut address,
                "proto" => &mut scheme,
                "host" => &mut host,
                _ => continue,
            };
            // Section 4: each parameter once.
            if place.replace(value).is_some() {
                return Err(wrong());
            }
        }
        Ok(Self {
            address: address
                .map_or(Some(None), |text| node(&text))
                .ok_or_else(wrong)?,
            secure: scheme
                .map(|text| is_secure(&text).ok_or_else(wrong))
                .transpose()?,
            host: host
                .map(|text| text.parse().map_err(|_| wrong()))
                .transpose()?,
        })
    }

    fn of_lists(
        (address, scheme, host): (Option<&str>, Option<&str>, Option<&str>),
    ) -> Result<Self, Malformed> {
        let address =
            address.map(|text| node(text).ok_or_else(|| malformed("X-Forwarded-For", text)));
        let secure =
            scheme.map(|text| is_secure(text).ok_or_else(|| malformed("X-Forwarded-Proto", text)));
        let host = host.map(|text| {
            text.parse()
                .map_err(|_| malformed("X-Forwarded-Host", text))
        });
        Ok(Self {
            address: address.transpose()?.flatten(),
            secure: secure.transpose()?,
            host: host.transpose()?,
        })
    }
}

fn malformed(name: &'static str, element: &str) -> Malformed {
    Malformed {
        name,
        element: element.chars().take(80).collect(),
    }
}

/// An address with or without a port; `Some(None)` for one that the proxy keeps to itself, section
/// 6.
fn node(text: &str) -> Option<Option<SocketAddr>> {
    if text.eq_ignore_ascii_case("unknown") || text.starts_with('_') {
        return Some(None);
    }
    let bare = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'));
    let address = bare.unwrap_or(text).parse::<IpAddr>();
    let address = address.map(|address| SocketAddr::new(address, 0));
    address.or_else(|_| text.parse()).ok().map(Some)
}

fn is_secure(scheme: &str) -> Option<bool> {
    match scheme.to_ascii_lowercase().as_str() {
        "https" | "wss" => Some(true),
        "http" | "ws" => Some(false),
        _ => None,
    }
}

/// A token as it is, or what stands in quotes, RFC 9110 section 5.6.4.
fn unquoted(text: &str) -> Option<String> {
    if text.starts_with('"') {
        return quoted(text).and_then(|(value, rest)| rest.is_empty().then_some(value));
    }
    (!text.is_empty() && !text.contains(['"', '\\'])).then(|| text.to_owned())
}

/// The elements of a list from the right, without empty ones. Quotes are paired from the right,
/// too, so that what is wrong on the left, which a stranger wrote, does not change what a proxy has
/// appended.
struct Backwards<'t> {
    left: Option<&'t str>,
    separator: u8,
}

impl<'t> Backwards<'t> {
    fn new(text: &'t str, separator: u8) -> Self {
        Self {
            left: Some(text),
            separator,
        }
    }

    /// Returns the position of the last separator outside quotes, behind which the last element
    /// begins.
    fn cut(&self, text: &str) -> Option<usize> {
        let bytes = text.as_bytes();
        let mut is_quoted = false;
        for at in (0..bytes.len()).rev() {
            if bytes[at] == b'"' {
                let slashes = bytes[..at].iter().rev().take_while(|byte| **byte == b'\\');
                is_quoted ^= slashes.count() % 2 == 0;
            } else if bytes[at] == self.separator && !is_quoted {
                return Some(at);
            }
        }
        None
    }
}

impl<'t> Iterator for Backwards<'t> {
    type Item = &'t str;

    fn next(&mut self) -> Option<&'t str> {
        loop {
            let text = self.left?;
            let element = match self.cut(text) {
                Some(at) => {
                    self.left = Some(&text[..at]);
                    &text[at + 1..]
                }
                None => {
                    self.left = None;
                    text
                }
            };
            let element = element.trim_matches([' ', '\t']);
            if !element.is_empty() {
                return Some(element);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::limits::HEAD;

    /// Trusted are 10.0.0.0/8, ::1 and Unix-domain sockets.
    fn ask(peer: &str, headers: &[(&str, &str)]) -> Result<Forwarded, Malformed> {
        let lines: String = headers
            .iter()
            .map(|(name, value)| format!("{name}: {value}\r\n"))
            .collect();
        let bytes = format!("GET / HTTP/1.1\r\n{lines}\r\n").into_bytes();
        let length = bytes.len();
        let head = Head::parse(bytes, length, &HEAD).unwrap();
        let client = Client {
            address: peer.parse().ok(),
            ..Client::default()
        };
        let trusted = ["10.0.0.0/8", "::1", "unix"].map(|text| text.parse().unwrap());
        read(&head, &client, &trusted)
    }

    fn said(address: &str, secure: Option<bool>, host: &str) -> Result<Forwarded, Malformed> {
        Ok(Forwarded {
            address: address.parse().ok(),
            secure,
            host: host.parse().ok(),
        })
    }

    const PROXY: &str = "10.0.0.1:5000";

    #[test]
    fn a_stranger_is_not_believed() {
        let headers = [
            ("Forwarded", "for=192.0.2.1;proto=https;host=example.com"),
            ("X-Forwarded-For", "192.0.2.1"),
        ];
        assert_eq!(ask("203.0.113.9:1", &headers), said("", None, ""));
        assert_eq!(ask("[2001:db8::1]:1", &headers), said("", None, ""));
    }

    #[test]
    fn the_standard_header() {
        let cases = [
            ("for=192.0.2.1", said("192.0.2.1:0", None, "")),
            ("For=192.0.2.1:4711", said("192.0.2.1:4711", None, "")),
            ("for=\"[2001:db8::1]\"", said("[2001:db8::1]:0", None, "")),
            (
                "for=\"[2001:db8::1]:99\"",
                said("[2001:db8::1]:99", None, ""),
            ),
            (
                "for=192.0.2.1;proto=HTTPS;by=10.0.0.1;host=example.com",
                said("192.0.2.1:0", Some(true), "example.com"),
            ),
            (
                "host=\"example.com:8443\" ; proto=http",
                said("", Some(false), "example.com:8443"),
            ),
            // Two proxies: the client's own word to the first counts.
            (
                "for=192.0.2.1;proto=https;host=example.com, for=10.0.0.2;proto=http;host=inner",
                said("192.0.2.1:0", Some(true), "example.com"),
            ),
            // What a proxy further left did not say, the nearer one did.
            (
                "for=192.0.2.1, for=10.0.0.2;proto=https",
                said("192.0.2.1:0", Some(true), ""),
            ),
            // Whatever a stranger wrote stands left of the stranger's address.
            (
                "for=127.0.0.1;proto=https, for=192.0.2.1",
                said("192.0.2.1:0", None, ""),
            ),
            ("for=\"evil, for=192.0.2.1", said("192.0.2.1:0", None, "")),
            (
                "evil\\\", for=192.0.2.1;host=\"a\"",
                said("192.0.2.1:0", None, "a"),
            ),
            (",,;=, for=192.0.2.1,", said("192.0.2.1:0", None, "")),
            // All are trusted: the first of them is the client.
            ("for=10.0.0.3, for=10.0.0.2", said("10.0.0.3:0", None, "")),
            // A proxy that keeps its client to itself is as far as one can see.
            (
                "for=192.0.2.1, for=unknown;proto=https",
                said("", Some(true), ""),
            ),
            (
                "for=192.0.2.1, for=_hidden, for=10.0.0.2",
                said("10.0.0.2:0", None, ""),
            ),
            ("secret=1;for=192.0.2.1", said("192.0.2.1:0", None, "")),
        ];
        for (value, expected) in cases {
            assert_eq!(ask(PROXY, &[("Forwarded", value)]), expected, "{value}");
        }
        let lines = [
            ("Forwarded", "for=192.0.2.1"),
            ("forwarded", "for=10.0.0.2"),
        ];
        assert_eq!(ask(PROXY, &lines), said("192.0.2.1:0", None, ""));
    }

    #[test]
    fn the_headers_before_the_standard() {
        let cases: &[(&[(&str, &str)], _)] = &[
            (
                &[("X-Forwarded-For", "192.0.2.1")],
                said("192.0.2.1:0", None, ""),
            ),
            (
                &[("X-Forwarded-For", "192.0.2.1:5")],
                said("192.0.2.1:5", None, ""),
            ),
            (
                &[("X-Forwarded-For", "2001:db8::1")],
                said("[2001:db8::1]:0", None, ""),
            ),
            (
                &[("X-Forwarded-For", "[2001:db8::1]:5")],
                said("[2001:db8::1]:5", None, ""),
            ),
            (
                &[("X-Forwarded-For", "10.9.9.9, 192.0.2.1, 10.0.0.2")],
                said("192.0.2.1:0", None, ""),
            ),
            (
                &[
                    ("X-Forwarded-For", "10.9.9.9"),
                    ("X-Forwarded-For", "192.0.2.1"),
                ],
                said("192.0.2.1:0", None, ""),
            ),
            (
                &[
                    ("X-Forwarded-For", "192.0.2.1"),
                    ("X-Forwarded-Proto", "https"),
                    ("X-Forwarded-Host", "example.com"),
                ],
                said("192.0.2.1:0", Some(true), "example.com"),
            ),
            // A list as long as the other, and a value that the last proxy has set.
            (
                &[
                    ("X-Forwarded-For", "192.0.2.1, 10.0.0.2"),
                    ("X-Forwarded-Proto", "https, http"),
                    ("X-Forwarded-Host", "inner"),
                ],
                said("192.0.2.1:0", Some(true), "inner"),
            ),
            // A stranger began both lists.
            (
                &[
                    ("X-Forwarded-For", "10.9.9.9, 192.0.2.1"),
                    ("X-Forwarded-Proto", "https, http"),
                    ("X-Forwarded-Host", "evil, example.com"),
                ],
                said("192.0.2.1:0", Some(false), "example.com"),
            ),
            (&[("X-Forwarded-Proto", "wss")], said("", Some(true), "")),
            (
                &[("X-Forwarded-For", "nonsense, 192.0.2.1")],
                said("192.0.2.1:0", None, ""),
            ),
            // The standard one goes first.
            (
                &[
                    ("X-Forwarded-For", "192.0.2.2"),
                    ("Forwarded", "for=192.0.2.1"),
                ],
                said("192.0.2.1:0", None, ""),
            ),
            (&[], said("", None, "")),
        ];
        for (headers, expected) in cases {
            for peer in [PROXY, "[::1]:5000", "a Unix-domain socket"] {
                assert_eq!(&ask(peer, headers), expected, "{headers:?}");
            }
        }
    }

    #[test]
    fn what_a_proxy_never_writes_is_malformed() {
        let cases = [
            ("Forwarded", "for"),
            ("Forwarded", "for="),
            ("Forwarded", "for=192.0.2"),
            ("Forwarded", "for=example.com"),
            ("Forwarded", "for=192.0.2.1;for=192.0.2.2"),
            ("Forwarded", "for=\"192.0.2.1\"x"),
            ("Forwarded", "for=192.0.2.1:99999"),
            ("Forwarded", "proto=gopher"),
            ("Forwarded", "host=\"a b\""),
            ("X-Forwarded-For", "192.0.2.1, nonsense"),
            ("X-Forwarded-Proto", "gopher"),
            ("X-Forwarded-Host", "a/b"),
            ("X-Forwarded-For", "\u{fc}"),
        ];
        for (name, value) in cases {
            let error = ask(PROXY, &[(name, value)]).unwrap_err();
            assert_eq!(error.name, name, "{value}");
        }
    }
}
