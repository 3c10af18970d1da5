//! An address of a WebSocket: RFC 6455 section 3, and the short forms that people type.

use std::fmt;

use http::Uri;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

/// A checked address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// Whether TLS is spoken.
    pub secure: bool,
    /// Name or address of the host, an IPv6 address without its brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// Path and query, as the request line has them.
    pub target: String,
    /// `USER:PASSWORD`, if the address has them.
    pub user: Option<String>,
}

/// Why a text is no address.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Wrong {
    /// It cannot be read at all.
    #[error("{0:?} is no address: write ws://HOST:PORT/PATH, or wss://HOST/PATH")]
    Unreadable(String),
    /// It is one of something else.
    #[error("{0}: is no WebSocket's: write ws:// or wss://")]
    Scheme(String),
}

/// The port that the server listens on by default, for addresses without a host.
const OWN_PORT: u16 = 9998;

/// What people type and a request line must not have.
const ESCAPED: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'<')
    .add(b'>')
    .add(b'\\')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

impl Address {
    /// Reads `ws://localhost:9998/chat`, `https://example.com/chat`, `localhost:9998/chat`,
    /// `:9998/chat` or `/chat`, which is of a server here.
    pub fn parse(text: &str) -> Result<Self, Wrong> {
        let unreadable = || Wrong::Unreadable(text.to_owned());
        let whole = match text.split_once("://") {
            Some(_) => text.to_owned(),
            None if text.starts_with('/') => format!("ws://localhost:{OWN_PORT}{text}"),
            None if text.starts_with(':') => format!("ws://localhost{text}"),
            None => format!("ws://{text}"),
        };
        let whole = whole.split('#').next().unwrap_or_default();
        let encoded = utf8_percent_encode(whole, ESCAPED).to_string();
        let uri: Uri = encoded.parse().map_err(|_| unreadable())?;
        let secure = match uri.scheme_str() {
            Some("ws" | "http") => false,
            Some("wss" | "https") => true,
            Some(other) => return Err(Wrong::Scheme(other.to_owned())),
            None => return Err(unreadable()),
        };
        let authority = uri.authority().ok_or_else(unreadable)?;
        let host = authority.host();
        let host = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'))
            .unwrap_or(host);
        if host.is_empty() {
            return Err(unreadable());
        }
        let has_port = authority.as_str().rsplit(['@', ']']).next();
        let has_port = has_port.is_some_and(|rest| rest.contains(':'));
        let port = match authority.port_u16() {
            Some(port) => port,
            None if has_port => return Err(unreadable()),
            None if secure => 443,
            None => 80,
        };
        let user = authority.as_str().rsplit_once('@').map(|(user, _)| {
            percent_encoding::percent_decode_str(user)
                .decode_utf8_lossy()
                .into_owned()
        });
        let target = uri.path_and_query().map_or("/", |target| target.as_str());
        let target = match target {
            "" => "/".to_owned(),
            query if query.starts_with('?') => format!("/{query}"),
            target => target.to_owned(),
        };
        Ok(Self {
            secure,
            host: host.to_owned(),
            port,
            target,
            user,
        })
    }

    /// `Host` header of requests: without the port that goes without saying.
    pub fn authority(&self) -> String {
        let host = match self.host.contains(':') {
            true => format!("[{}]", self.host),
            false => self.host.clone(),
        };
        match (self.secure, self.port) {
            (true, 443) | (false, 80) => host,
            (_, port) => format!("{host}:{port}"),
        }
    }

    /// Host and port, as lists of hosts have them.
    pub fn place(&self) -> String {
        match self.host.contains(':') {
            true => format!("[{}]:{}", self.host, self.port),
            false => format!("{}:{}", self.host, self.port),
        }
    }

    /// This address with the target of another, where this one names none of its own.
    pub fn with_target_of(mut self, other: &Self) -> Self {
        if self.target == "/" {
            self.target.clone_from(&other.target);
        }
        self
    }
}

/// The URL, without user and password.
impl fmt::Display for Address {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.secure { "wss" } else { "ws" };
        write!(out, "{scheme}://{}{}", self.authority(), self.target)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_type_is_understood() {
        for (text, url, port) in [
            ("ws://localhost:9998/chat", "ws://localhost:9998/chat", 9998),
            ("wss://example.com", "wss://example.com/", 443),
            (
                "https://example.com/a?b=c#d",
                "wss://example.com/a?b=c",
                443,
            ),
            ("http://example.com:80/", "ws://example.com/", 80),
            ("localhost:1/x", "ws://localhost:1/x", 1),
            (":1234/x", "ws://localhost:1234/x", 1234),
            ("/echo", "ws://localhost:9998/echo", 9998),
            ("ws://[::1]:7/x", "ws://[::1]:7/x", 7),
            ("ws://[::1]/x", "ws://[::1]/x", 80),
            ("ws://h/a b/ü?q=\"", "ws://h/a%20b/%C3%BC?q=%22", 80),
            ("ws://h?a=b", "ws://h/?a=b", 80),
        ] {
            let address = Address::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(
                (address.to_string().as_str(), address.port),
                (url, port),
                "{text}"
            );
        }
        let address = Address::parse("ws://ada:a%3Ab@h:81/x").expect("an address");
        assert_eq!(address.user.as_deref(), Some("ada:a:b"));
        assert_eq!(address.to_string(), "ws://h:81/x");
    }

    #[test]
    fn what_is_none_is_refused() {
        for text in [
            "",
            "ws://",
            "ftp://h/",
            "ws://:80/",
            "ws://h:99999/",
            "ws://h:x/",
        ] {
            assert!(Address::parse(text).is_err(), "{text}");
        }
    }
}
