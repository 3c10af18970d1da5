//! A request head as bytes: the upgrade that every server accepts, bent line by line.

/// The sample key of RFC 6455, section 1.3, and the answer that section gives for it.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
pub const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

#[derive(Debug, Clone)]
pub struct Request {
    pub line: String,
    headers: Vec<(String, Vec<u8>)>,
    tail: Vec<u8>,
}

impl Request {
    /// A correct upgrade of this target.
    pub fn upgrade(target: &str) -> Request {
        Request::get(target)
            .with("Upgrade", "websocket")
            .with("Connection", "Upgrade")
            .with("Sec-WebSocket-Key", KEY)
            .with("Sec-WebSocket-Version", "13")
    }

    /// An ordinary GET.
    pub fn get(target: &str) -> Request {
        Request {
            line: format!("GET {target} HTTP/1.1"),
            headers: Vec::new(),
            tail: Vec::new(),
        }
        .with("Host", "localhost")
    }

    /// Another request line, verbatim.
    pub fn line(mut self, line: impl Into<String>) -> Request {
        self.line = line.into();
        self
    }

    /// One more header line, even if there is one of that name.
    pub fn with(mut self, name: &str, value: impl AsRef<[u8]>) -> Request {
        self.headers
            .push((name.to_owned(), value.as_ref().to_vec()));
        self
    }

    pub fn without(mut self, name: &str) -> Request {
        self.headers
            .retain(|(other, _)| !other.eq_ignore_ascii_case(name));
        self
    }

    /// The header with this value only.
    pub fn set(self, name: &str, value: impl AsRef<[u8]>) -> Request {
        self.without(name).with(name, value)
    }

    /// Bytes behind the head: a body, frames, another request.
    pub fn followed_by(mut self, bytes: impl AsRef<[u8]>) -> Request {
        self.tail.extend_from_slice(bytes.as_ref());
        self
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = format!("{}\r\n", self.line).into_bytes();
        for (name, value) in &self.headers {
            bytes.extend_from_slice(name.as_bytes());
            bytes.extend_from_slice(b": ");
            bytes.extend_from_slice(value);
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(&self.tail);
        bytes
    }
}
