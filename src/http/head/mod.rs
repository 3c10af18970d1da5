//! A request head: its fields, wherever they come from, and the rules that hold for them.

mod bounds;
mod bytes;
mod check;
mod parts;

use std::ops::Range;

use http::Version;

use crate::websocket::handshake::has_token;
pub use bytes::end;

/// The methods of files and of the server as a whole, as `Allow` has them.
pub const METHODS: &str = "GET, HEAD, OPTIONS";

/// A request head as HTTP/1.1 writes it, taken apart, with the bytes behind it.
#[derive(Debug)]
pub struct Head {
    bytes: Vec<u8>,
    length: usize,
    method: Range<usize>,
    target: Range<usize>,
    form: Form,
    version: Version,
    fields: Vec<(Range<usize>, Range<usize>)>,
}

/// The forms of a target, RFC 9112 section 3.2.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Form {
    /// A path, and maybe a query.
    Origin,
    /// A whole URL, as clients send it to proxies: whose authority stands for the Host header, and
    /// where it ends.
    Absolute {
        is_encrypted: bool,
        authority: Range<usize>,
    },
    /// `*`: the server as a whole.
    Asterisk,
    /// None of these.
    Other,
}

impl Form {
    /// That of a target which is at this place.
    fn of(target: &str, at: usize) -> Self {
        if target.starts_with('/') {
            return Self::Origin;
        }
        if target == "*" {
            return Self::Asterisk;
        }
        let Some((scheme, rest)) = target.split_once("://") else {
            return Self::Other;
        };
        let is_encrypted = match scheme.to_ascii_lowercase().as_str() {
            "http" | "ws" => false,
            "https" | "wss" => true,
            _ => return Self::Other,
        };
        let length = rest.find(['/', '?']).unwrap_or(rest.len());
        let start = at + target.len() - rest.len();
        Self::Absolute {
            is_encrypted,
            authority: start..start + length,
        }
    }
}

impl Head {
    /// The method, as it came.
    pub fn method(&self) -> &str {
        self.text(&self.method)
    }

    /// The path, as it came; that of `*` is `*`.
    pub fn path(&self) -> &str {
        let target = self.path_and_query();
        let path = target.split_once('?').map_or(target, |(path, _)| path);
        if path.is_empty() { "/" } else { path }
    }

    /// Returns the query, without the `?`, if there is one.
    pub fn query(&self) -> Option<&str> {
        let (_, query) = self.path_and_query().split_once('?')?;
        Some(query)
    }

    /// Path and query, as they came.
    pub fn target(&self) -> String {
        let query = self.query().map(|query| format!("?{query}"));
        self.path().to_owned() + query.as_deref().unwrap_or_default()
    }

    fn path_and_query(&self) -> &str {
        match &self.form {
            Form::Absolute { authority, .. } => self.text(&(authority.end..self.target.end)),
            _ => self.text(&self.target),
        }
    }

    /// The host that the request is for, and maybe its port: by its target, or else by its Host
    /// header.
    pub fn host(&self) -> Option<&str> {
        match &self.form {
            Form::Absolute { authority, .. } => Some(self.text(authority)),
            _ => self.values("host").next(),
        }
    }

    /// Whether it is for the server as a whole.
    pub fn is_for_server(&self) -> bool {
        self.form == Form::Asterisk
    }

    /// The head, byte for byte where it came in bytes.
    pub fn raw(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    /// Every field in order; bytes of a value that are no UTF-8 are taken for Latin-1, as browsers
    /// do. The Host is the one that the request is for.
    pub fn fields(&self) -> impl Iterator<Item = (&str, String)> {
        self.fields.iter().map(|(name, value)| {
            let mut value = &self.bytes[value.clone()];
            if self.text(name).eq_ignore_ascii_case("host")
                && let Some(host) = self.host()
            {
                value = host.as_bytes();
            }
            let text = std::str::from_utf8(value).map_or_else(
                |_| value.iter().map(|byte| *byte as char).collect(),
                str::to_owned,
            );
            (self.text(name), text)
        })
    }

    /// Returns the bytes behind the head.
    pub fn rest(&self) -> &[u8] {
        &self.bytes[self.length..]
    }

    /// Returns the bytes behind the head, which are the next request where no body is let in.
    pub fn into_rest(mut self) -> Vec<u8> {
        self.bytes.split_off(self.length)
    }

    /// Whether another request may follow on this connection: nothing here could be read in two
    /// ways.
    pub fn leaves_open(&self) -> bool {
        let is_plain = ["upgrade", "content-length", "transfer-encoding", "expect"]
            .iter()
            .all(|name| self.values(name).next().is_none());
        let mut connection = self.values("connection");
        let is_tunnel = self.method() == "CONNECT";
        self.is_current()
            && is_plain
            && !is_tunnel
            && !connection.any(|value| has_token(value, "close"))
    }

    /// Whether a browser goes to it; programs, and pages that fetch something, ask for less.
    pub fn wants_page(&self) -> bool {
        let ranges = self.values("accept").flat_map(|line| line.split(','));
        ranges
            .filter_map(|range| range.split(';').next())
            .any(|kind| kind.trim().eq_ignore_ascii_case("text/html"))
    }

    /// The values of a field that are text.
    pub fn values<'h>(&'h self, name: &'h str) -> impl Iterator<Item = &'h str> {
        self.fields
            .iter()
            .filter(move |(known, _)| self.text(known).eq_ignore_ascii_case(name))
            .map(|(_, value)| std::str::from_utf8(&self.bytes[value.clone()]).unwrap_or("\u{FFFD}"))
    }

    fn text(&self, range: &Range<usize>) -> &str {
        // httparse takes a name or method of token characters and a target of visible ones or
        // UTF-8.
        std::str::from_utf8(&self.bytes[range.clone()]).unwrap_or("\u{FFFD}")
    }

    /// Whether the client wants to change the protocol to WebSocket.
    pub fn is_upgrade(&self) -> bool {
        self.values("upgrade")
            .any(|value| has_token(value, "websocket"))
    }

    /// The key of a checked handshake.
    pub fn key(&self) -> &str {
        self.values("sec-websocket-key").next().unwrap_or_default()
    }

    /// Whether it is of HTTP/1.1.
    pub fn is_current(&self) -> bool {
        self.version == Version::HTTP_11
    }
}
