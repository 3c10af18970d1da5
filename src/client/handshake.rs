//! The client's side of the opening handshake: a request, and what is to be thought of its answer.
//! RFC 6455 section 4.1.

use data_encoding::BASE64;

use crate::websocket::extensions::{
    self, CLIENT_BITS, CLIENT_NO_CONTEXT, MAX_BITS, Offer, SERVER_BITS, SERVER_NO_CONTEXT,
};
use crate::websocket::handshake::{accept_key, is_field_value, is_token};

use super::address::Address;

/// Bytes of an answer's head: far above what any server sends.
pub const LONGEST_HEAD: usize = 64 * 1024;
/// Headers of it.
const MOST_HEADERS: usize = 100;
/// The extension that is offered.
const DEFLATE: &str = "permessage-deflate";

/// What a connection asks for.
#[derive(Debug, Clone, Default)]
pub struct Ask {
    /// Headers of one's own, in order; they go before those that are made.
    pub headers: Vec<(String, String)>,
    /// The subprotocols that are offered, the dearest first.
    pub subprotocols: Vec<String>,
    /// Whether compression is offered.
    pub compress: bool,
}

/// Headers that make the handshake, which nobody may write by hand.
const RESERVED: [&str; 5] = [
    "upgrade",
    "connection",
    "sec-websocket-key",
    "sec-websocket-version",
    "sec-websocket-extensions",
];

impl Ask {
    /// Adds a header that is written as `Name: value`; `Err` says what is wrong with it.
    pub fn header(&mut self, line: &str) -> Result<(), String> {
        let Some((name, value)) = line.split_once(':') else {
            return Err(format!("{line:?} is no header: write 'Name: value'"));
        };
        let (name, value) = (name.trim(), value.trim());
        if !is_token(name) || !is_field_value(value) {
            return Err(format!("{line:?} is no header: write 'Name: value'"));
        }
        if RESERVED.contains(&name.to_ascii_lowercase().as_str()) {
            return Err(format!(
                "{name} is a header that the handshake makes by itself"
            ));
        }
        if name.eq_ignore_ascii_case("sec-websocket-protocol") {
            let offered = value.split(',').map(|name| name.trim().to_owned());
            self.subprotocols.extend(offered);
            return Ok(());
        }
        self.headers.push((name.to_owned(), value.to_owned()));
        Ok(())
    }

    /// The first subprotocol that is none: RFC 6455 section 4.1 wants tokens.
    pub fn wrong_subprotocol(&self) -> Option<&str> {
        let mut all = self.subprotocols.iter();
        let wrong = all.find(|name| !is_token(name));
        wrong.map(String::as_str)
    }

    /// The request's header fields for this address and key, in order.
    pub fn fields(&self, address: &Address, key: &str) -> Vec<(String, String)> {
        let has = |name: &str| {
            let mut names = self.headers.iter().map(|(name, _)| name);
            names.any(|known| known.eq_ignore_ascii_case(name))
        };
        let mut fields = Vec::new();
        let mut add = |name: &str, value: String| fields.push((name.to_owned(), value));
        if !has("host") {
            add("Host", address.authority());
        }
        for (name, value) in &self.headers {
            add(name, value.clone());
        }
        if let Some(user) = &address.user
            && !has("authorization")
        {
            add(
                "Authorization",
                format!("Basic {}", BASE64.encode(user.as_bytes())),
            );
        }
        if !has("user-agent") {
            add(
                "User-Agent",
                concat!("wsh-server/", env!("CARGO_PKG_VERSION")).to_owned(),
            );
        }
        add("Connection", "Upgrade".to_owned());
        add("Upgrade", "websocket".to_owned());
        add("Sec-WebSocket-Version", "13".to_owned());
        add("Sec-WebSocket-Key", key.to_owned());
        if !self.subprotocols.is_empty() {
            add("Sec-WebSocket-Protocol", self.subprotocols.join(", "));
        }
        if self.compress {
            add(
                "Sec-WebSocket-Extensions",
                format!("{DEFLATE}; {CLIENT_BITS}"),
            );
        }
        fields
    }

    /// Looks at an answer: the connection's terms, or why there is none.
    pub fn check(&self, answer: &Answer, key: &str) -> Result<Terms, Unfit> {
        if answer.status != 101 {
            return Err(Unfit::Refused);
        }
        let header = |name: &'static str| {
            let mut values = answer.values(name);
            values.next().unwrap_or_default()
        };
        if !header("upgrade").eq_ignore_ascii_case("websocket") {
            return Err(Unfit::Broken("its Upgrade header is not websocket".into()));
        }
        if header("sec-websocket-accept") != accept_key(key.as_bytes()) {
            return Err(Unfit::Broken(
                "its Sec-WebSocket-Accept does not belong to our key".into(),
            ));
        }
        let protocol = answer.values("sec-websocket-protocol").next();
        if let Some(protocol) = protocol
            && !self.subprotocols.iter().any(|known| known == protocol)
        {
            return Err(Unfit::Broken(format!(
                "it has picked the subprotocol {protocol:?}, which was not offered"
            )));
        }
        let extensions = extensions::parse(answer.values("sec-websocket-extensions"))
            .map_err(|error| Unfit::Broken(error.to_string()))?;
        let deflate = match &extensions[..] {
            [] => None,
            [one] if self.compress && one.name == DEFLATE => Some(agreed(one)?),
            more => {
                let names: Vec<_> = more.iter().map(|offer| offer.name).collect();
                return Err(Unfit::Broken(format!(
                    "it has picked extensions that were not offered: {}",
                    names.join(", ")
                )));
            }
        };
        Ok(Terms {
            protocol: protocol.map(str::to_owned),
            deflate,
        })
    }
}

/// The compression that an answer agrees to, for whoever only looks on.
pub fn compression(answer: &Answer) -> Option<Deflate> {
    let found = extensions::parse(answer.values("sec-websocket-extensions")).ok()?;
    let offer = found.iter().find(|offer| offer.name == DEFLATE)?;
    agreed(offer).ok()
}

/// What both sides have agreed on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Terms {
    /// The subprotocol.
    pub protocol: Option<String>,
    /// permessage-deflate.
    pub deflate: Option<Deflate>,
}

/// The agreed parameters of permessage-deflate, as the client's side needs them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deflate {
    /// Whether the server may refer to its earlier messages.
    pub server_context: bool,
    /// Whether we may.
    pub client_context: bool,
    /// Our window, as a power of two.
    pub client_bits: u8,
}

fn agreed(answer: &Offer<'_>) -> Result<Deflate, Unfit> {
    let mut deflate = Deflate {
        server_context: true,
        client_context: true,
        client_bits: MAX_BITS,
    };
    for (name, value) in &answer.params {
        let bits = || {
            let bits: Option<u8> = value.as_deref().and_then(|value| value.parse().ok());
            bits.filter(|bits| (8..=MAX_BITS).contains(bits))
        };
        match *name {
            SERVER_NO_CONTEXT => deflate.server_context = false,
            CLIENT_NO_CONTEXT => deflate.client_context = false,
            SERVER_BITS if bits().is_some() => {}
            CLIENT_BITS if bits().is_some() => deflate.client_bits = bits().unwrap_or(MAX_BITS),
            name => {
                return Err(Unfit::Broken(format!(
                    "its parameter {name} of {DEFLATE} is not understood"
                )));
            }
        }
    }
    Ok(deflate)
}

/// The request's bytes.
pub fn request(address: &Address, fields: &[(String, String)]) -> Vec<u8> {
    let mut text = format!("GET {} HTTP/1.1\r\n", address.target);
    for (name, value) in fields {
        for part in [name, ": ", value, "\r\n"] {
            text.push_str(part);
        }
    }
    text.push_str("\r\n");
    text.into_bytes()
}

/// A key that no other handshake has.
pub fn key() -> String {
    let bytes: [u8; 16] = std::array::from_fn(|_| fastrand::u8(..));
    BASE64.encode(&bytes)
}

/// Why an answer makes no connection.
#[derive(Debug, PartialEq, Eq)]
pub enum Unfit {
    /// Its status is another than 101.
    Refused,
    /// It is no WebSocket server's.
    Broken(String),
}

/// The head of an answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// 101, or another.
    pub status: u16,
    /// The words behind it.
    pub reason: String,
    /// Header fields in order.
    pub headers: Vec<(String, String)>,
}

impl Answer {
    /// Reads the head at the front of `bytes`, and says how long it is; `None` asks for more.
    pub fn parse(bytes: &[u8]) -> Result<Option<(Self, usize)>, String> {
        let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
        let mut parsed = httparse::Response::new(&mut headers);
        match parsed.parse(bytes) {
            Ok(httparse::Status::Partial) if bytes.len() < LONGEST_HEAD => Ok(None),
            Ok(httparse::Status::Partial) => Err("its head has no end".into()),
            Ok(httparse::Status::Complete(length)) => {
                let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                let headers = parsed.headers.iter();
                let answer = Self {
                    status: parsed.code.unwrap_or_default(),
                    reason: parsed.reason.unwrap_or_default().to_owned(),
                    headers: headers
                        .map(|field| (field.name.to_owned(), text(field.value)))
                        .collect(),
                };
                Ok(Some((answer, length)))
            }
            Err(error) => Err(error.to_string()),
        }
    }

    /// The values of a header.
    pub fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.headers
            .iter()
            .filter(move |(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The key and its answer of RFC 6455 section 1.3.
    const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

    fn answer(more: &str) -> Answer {
        let text = format!(
            "HTTP/1.1 101 Switching Protocols\r\nupgrade: WebSocket\r\nSec-WebSocket-Accept: \
            s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n{more}\r\n"
        );
        let (answer, length) = Answer::parse(text.as_bytes())
            .expect("a head")
            .expect("whole");
        assert_eq!(length, text.len());
        answer
    }

    #[test]
    fn an_answer_is_taken_by_its_terms() {
        let ask = Ask {
            subprotocols: vec!["a".into(), "b".into()],
            compress: true,
            ..Ask::default()
        };
        let terms = ask.check(&answer("Sec-WebSocket-Protocol: b\r\n"), KEY);
        assert_eq!(terms.expect("fit").protocol.as_deref(), Some("b"));
        let more = "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; \
            client_max_window_bits=10\r\n";
        let terms = ask.check(&answer(more), KEY).expect("fit");
        let deflate = Deflate {
            server_context: false,
            client_context: true,
            client_bits: 10,
        };
        assert_eq!(terms.deflate, Some(deflate));
        assert!(
            ask.check(&answer("Sec-WebSocket-Protocol: c\r\n"), KEY)
                .is_err()
        );
        assert!(ask.check(&answer(""), "another").is_err());
        assert!(Ask::default().check(&answer(more), KEY).is_err());
    }

    #[test]
    fn headers_of_the_handshake_are_not_written_by_hand() {
        let mut ask = Ask::default();
        assert_eq!(ask.header("X-Test:  a: b "), Ok(()));
        assert_eq!(ask.headers, [("X-Test".to_owned(), "a: b".to_owned())]);
        assert_eq!(ask.header("Sec-WebSocket-Protocol: a, b"), Ok(()));
        assert_eq!(ask.subprotocols, ["a", "b"]);
        for line in ["", "X", "X Y: z", "Upgrade: x", "X: a\nY: b"] {
            assert!(ask.header(line).is_err(), "{line:?}");
        }
    }
}
