//! A request head: bytes to fields, strictly. RFC 9112 sections 2 to 6, RFC 6455 section 4.2.1.

use std::ops::Range;

use super::respond::Refusal;
use crate::config::limits;
use crate::websocket::extensions::{self, Offer};
use crate::websocket::handshake::{has_token, is_key, is_token, tokens};

/// A head that httparse took, with the bytes behind it.
#[derive(Debug)]
pub struct Head {
    bytes: Vec<u8>,
    length: usize,
    method: Range<usize>,
    target: Range<usize>,
    minor_version: u8,
    fields: Vec<(Range<usize>, Range<usize>)>,
}

/// Where the head ends, given that the last `new` bytes have just come; `None` asks for more.
pub fn end(bytes: &[u8], new: usize, limits: &limits::Head) -> Result<Option<usize>, Refusal> {
    let seen = bytes.len() - new;
    let line_end = bytes.iter().position(|byte| *byte == b'\n');
    // What is no request at all is refused by its first line: other protocols never send an empty one.
    if seen == 0 || line_end.is_some_and(|at| at >= seen) {
        check_request_line(&bytes[..line_end.map_or(bytes.len(), |at| at + 1)])?;
    }
    if line_end.unwrap_or(bytes.len()) > limits.line {
        return Err(Refusal::new(
            414,
            format!("the request line has more than {} bytes", limits.line),
        )
        .limit("max-header-line"));
    }
    let from = seen.saturating_sub(3);
    if let Some(at) = bytes[from..]
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
    {
        let length = from + at + 4;
        return if length > limits.bytes {
            Err(too_large(limits.bytes))
        } else {
            Ok(Some(length))
        };
    }
    if has_bare_line_feed(&bytes[from..], from == 0) {
        return Err(Refusal::new(400, "a line does not end with CR LF"));
    }
    if bytes.len() > limits.bytes {
        Err(too_large(limits.bytes))
    } else {
        Ok(None)
    }
}

/// Whether a line ends without CR. The very first byte of a head has nothing before it, and httparse passes over empty lines.
fn has_bare_line_feed(bytes: &[u8], at_start: bool) -> bool {
    at_start && bytes.first() == Some(&b'\n')
        || bytes
            .windows(2)
            .any(|pair| pair[1] == b'\n' && pair[0] != b'\r')
}

fn too_large(limit: usize) -> Refusal {
    Refusal::new(431, format!("the head has more than {limit} bytes")).limit("max-header-size")
}

/// Refuses a first line, whole or in part, that cannot become a request's.
fn check_request_line(line: &[u8]) -> Result<(), Refusal> {
    let malformed = || Refusal::new(400, "this is not an HTTP/1.1 request");
    let mut fields = [httparse::EMPTY_HEADER; 0];
    let Err(error) = httparse::Request::new(&mut fields).parse(line) else {
        return Ok(());
    };
    match error {
        httparse::Error::TooManyHeaders => Ok(()),
        httparse::Error::Version => {
            let version = line
                .rsplit(|byte| *byte == b' ')
                .next()
                .unwrap_or_default()
                .trim_ascii();
            match version {
                [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
                    if major.is_ascii_digit() && *major != b'1' && minor.is_ascii_digit() =>
                {
                    Err(Refusal::new(505, "HTTP/1.1 is spoken here"))
                }
                _ => Err(malformed()),
            }
        }
        _ => Err(malformed()),
    }
}

impl Head {
    /// Takes the fields apart. `length` is where the head ends.
    pub fn parse(bytes: Vec<u8>, length: usize, limits: &limits::Head) -> Result<Self, Refusal> {
        let mut fields = vec![httparse::EMPTY_HEADER; limits.headers];
        let mut request = httparse::Request::new(&mut fields);
        match request.parse(&bytes[..length]) {
            Ok(httparse::Status::Complete(_)) => {}
            Err(httparse::Error::TooManyHeaders) => {
                return Err(Refusal::new(
                    431,
                    format!("the head has more than {} lines", limits.headers),
                )
                .limit("max-headers"));
            }
            Ok(httparse::Status::Partial) | Err(_) => {
                return Err(Refusal::new(400, "a header line is malformed"));
            }
        }
        if has_bare_line_feed(&bytes[..length], true) {
            return Err(Refusal::new(400, "a line does not end with CR LF"));
        }
        let start = bytes.as_ptr() as usize;
        let range = |part: &[u8]| {
            let from = part.as_ptr() as usize - start;
            from..from + part.len()
        };
        let method = range(request.method.unwrap_or_default().as_bytes());
        let target = range(request.path.unwrap_or_default().as_bytes());
        let minor_version = request.version.unwrap_or_default();
        let fields: Vec<_> = request
            .headers
            .iter()
            .map(|field| (range(field.name.as_bytes()), range(field.value)))
            .collect();
        if fields
            .iter()
            .any(|(name, value)| value.end - name.start > limits.line)
        {
            return Err(Refusal::new(
                431,
                format!("a header line has more than {} bytes", limits.line),
            )
            .limit("max-header-line"));
        }
        Ok(Self {
            bytes,
            length,
            method,
            target,
            minor_version,
            fields,
        })
    }

    /// The method, as it came.
    pub fn method(&self) -> &str {
        self.text(&self.method)
    }

    /// The target up to `?`.
    pub fn path(&self) -> &str {
        let target = self.text(&self.target);
        target.split_once('?').map_or(target, |(path, _)| path)
    }

    /// Path and query, as they came.
    pub fn target(&self) -> &str {
        self.text(&self.target)
    }

    /// The head, byte for byte.
    pub fn raw(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    /// Every field in order; bytes of a value that are no UTF-8 are taken for Latin-1, as browsers do.
    pub fn fields(&self) -> impl Iterator<Item = (&str, String)> {
        self.fields.iter().map(|(name, value)| {
            let value = &self.bytes[value.clone()];
            let text = std::str::from_utf8(value).map_or_else(
                |_| value.iter().map(|byte| *byte as char).collect(),
                str::to_owned,
            );
            (self.text(name), text)
        })
    }

    /// What came behind the head.
    pub fn rest(&self) -> &[u8] {
        &self.bytes[self.length..]
    }

    /// The head and what came behind it, as they came.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// The values of a field that are text.
    pub fn values<'h>(&'h self, name: &'h str) -> impl Iterator<Item = &'h str> {
        self.fields
            .iter()
            .filter(move |(known, _)| self.text(known).eq_ignore_ascii_case(name))
            .map(|(_, value)| std::str::from_utf8(&self.bytes[value.clone()]).unwrap_or("\u{FFFD}"))
    }

    fn text(&self, range: &Range<usize>) -> &str {
        // httparse takes a name or method of token characters and a target of visible ones or UTF-8.
        std::str::from_utf8(&self.bytes[range.clone()]).unwrap_or("\u{FFFD}")
    }

    /// What holds for every request.
    pub fn check(&self) -> Result<(), Refusal> {
        let hosts: Vec<_> = self.values("host").collect();
        match hosts[..] {
            [host] if is_host(host) => {}
            [] if self.minor_version == 0 => {}
            [_] => return Err(Refusal::new(400, "the Host header is malformed")),
            _ => return Err(Refusal::new(400, "exactly one Host header is needed")),
        }
        let target = self.text(&self.target);
        if !target.starts_with('/') || target.contains('#') || !target.is_ascii() {
            return Err(Refusal::new(400, "the target must be a path"));
        }
        if self.has_body() {
            return Err(Refusal::new(400, "a request here has no body"));
        }
        Ok(())
    }

    fn has_body(&self) -> bool {
        self.values("transfer-encoding").next().is_some()
            || self.values("content-length").any(|length| length != "0")
    }

    /// Whether the client wants to change the protocol to WebSocket.
    pub fn is_upgrade(&self) -> bool {
        self.values("upgrade")
            .any(|value| has_token(value, "websocket"))
    }

    /// What holds for an opening handshake, RFC 6455 section 4.2.1.
    pub fn check_upgrade(&self) -> Result<(), Refusal> {
        if self.method() != "GET" {
            return Err(Refusal::new(405, "an opening handshake is a GET").header("Allow", "GET"));
        }
        if self.minor_version == 0 {
            return Err(Refusal::new(400, "an opening handshake is HTTP/1.1"));
        }
        if !self
            .values("connection")
            .any(|value| has_token(value, "upgrade"))
        {
            return Err(Refusal::new(
                400,
                "the Connection header lacks the token Upgrade",
            ));
        }
        if self.values("sec-websocket-version").collect::<Vec<_>>() != ["13"] {
            let refusal = Refusal::new(426, "version 13 of the protocol is spoken here");
            return Err(refusal
                .header("Upgrade", "websocket")
                .header("Sec-WebSocket-Version", "13"));
        }
        match self.values("sec-websocket-key").collect::<Vec<_>>()[..] {
            [key] if is_key(key) => {}
            _ => {
                return Err(Refusal::new(
                    400,
                    "exactly one Sec-WebSocket-Key of 16 bytes in base64 is needed",
                ));
            }
        }
        self.extensions()?;
        self.protocols().map(|_| ())
    }

    /// The key of a checked handshake.
    pub fn key(&self) -> &str {
        self.values("sec-websocket-key").next().unwrap_or_default()
    }

    /// The extensions that are offered, in order; a repeated header continues the list.
    pub fn extensions(&self) -> Result<Vec<Offer<'_>>, Refusal> {
        extensions::parse(self.values("sec-websocket-extensions"))
            .map_err(|error| Refusal::new(400, error.to_string()))
    }

    /// The subprotocols of a handshake, in order; a repeated header continues the list.
    pub fn protocols(&self) -> Result<Vec<String>, Refusal> {
        let mut protocols: Vec<String> = Vec::new();
        for protocol in self.values("sec-websocket-protocol").flat_map(tokens) {
            if !is_token(protocol) {
                return Err(Refusal::new(400, "a subprotocol is not a token"));
            }
            protocols.push(protocol.to_owned());
        }
        // Section 4.1: all of them must be unique.
        let mut sorted: Vec<_> = protocols.iter().collect();
        sorted.sort();
        if sorted.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(Refusal::new(400, "a subprotocol is offered twice"));
        }
        Ok(protocols)
    }

    /// A request without an upgrade on a handler's path.
    pub fn refuse_plain(&self) -> Refusal {
        if !matches!(self.method(), "GET" | "HEAD") {
            return Refusal::new(405, "this is a WebSocket resource").header("Allow", "GET");
        }
        Refusal::new(
            426,
            "this is a WebSocket resource: open it with new WebSocket(\"ws://…\"), or over TLS \"wss://…\"",
        )
        .header("Upgrade", "websocket")
    }
}

/// A host and maybe a port, RFC 9110 section 7.2: no lists, no spaces, nothing that is a path.
fn is_host(host: &str) -> bool {
    !host.is_empty()
        && host
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+;=:[]".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Found by fuzzing: an empty line before the request, which httparse passes over, may end with LF alone there.
    #[test]
    fn a_line_feed_before_the_request_is_bare() {
        let request = b"\nGET / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec();
        let refused = end(&request, request.len(), &limits::HEAD).map_err(|refusal| refusal.status);
        assert!(matches!(refused, Ok(Some(_)) | Err(400)));
        let parsed = Head::parse(request.clone(), request.len(), &limits::HEAD);
        assert_eq!(parsed.map_err(|refusal| refusal.status).err(), Some(400));
        let after_crlf = [b"\r".as_slice(), &request].concat();
        assert!(Head::parse(after_crlf.clone(), after_crlf.len(), &limits::HEAD).is_ok());
    }
}
