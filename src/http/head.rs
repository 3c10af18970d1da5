//! A request head: bytes to fields, strictly. RFC 9112 sections 2 to 6, RFC 6455 section 4.2.1.

use std::ops::Range;

use super::respond::Refusal;
use crate::config::limits;
use crate::handlers::Entry;
use crate::websocket::extensions::{self, Offer};
use crate::websocket::handshake::{has_token, is_key, is_token, tokens};

/// A head that httparse took, with the bytes behind it.
#[derive(Debug)]
pub struct Head {
    bytes: Vec<u8>,
    length: usize,
    method: Range<usize>,
    target: Range<usize>,
    form: Form,
    minor_version: u8,
    fields: Vec<(Range<usize>, Range<usize>)>,
}

/// The forms of a target, RFC 9112 section 3.2.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Form {
    /// A path, and maybe a query.
    Origin,
    /// A whole URL, as clients send it to proxies: whose authority stands for the Host header, and where it ends.
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

/// The methods that handlers know, as `Allow` has them.
pub const METHODS: &str = "GET, OPTIONS";

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
    if let [22, 3, ..] = line {
        let refusal = Refusal::new(
            400,
            "TLS is spoken to a port of plain HTTP: open http:// or ws://",
        );
        let refusal = refusal.named("tls-to-plain-port");
        return Err(refusal.advising("; --tls or --tls-port PORT speaks TLS"));
    }
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
        let form = Form::of(request.path.unwrap_or_default(), target.start);
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
            form,
            target,
            minor_version,
            fields,
        })
    }

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

    /// What is behind the `?`, if there is one.
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

    /// The host that the request is for, and maybe its port: by its target, or else by its Host header.
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

    /// RFC 9110 section 7.4: what is asked for by `https` or `wss` is answered on a connection that is encrypted.
    pub fn check_scheme(&self, is_secure: bool) -> Result<(), Refusal> {
        match self.form {
            Form::Absolute {
                is_encrypted: true, ..
            } if !is_secure => Err(Refusal::new(
                421,
                "the target is for an encrypted connection, and this one is not",
            )),
            _ => Ok(()),
        }
    }

    /// The head, byte for byte.
    pub fn raw(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    /// Every field in order; bytes of a value that are no UTF-8 are taken for Latin-1, as browsers do. The Host is the
    /// one that the request is for.
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

    /// What came behind the head.
    pub fn rest(&self) -> &[u8] {
        &self.bytes[self.length..]
    }

    /// What came behind the head, which is the next request where no body is let in.
    pub fn into_rest(mut self) -> Vec<u8> {
        self.bytes.split_off(self.length)
    }

    /// Whether another request may follow on this connection: nothing here could be read in two ways.
    pub fn leaves_open(&self) -> bool {
        let is_plain = ["upgrade", "content-length", "transfer-encoding", "expect"]
            .iter()
            .all(|name| self.values(name).next().is_none());
        let mut connection = self.values("connection");
        let is_tunnel = self.method() == "CONNECT";
        self.minor_version == 1
            && is_plain
            && !is_tunnel
            && !connection.any(|value| has_token(value, "close"))
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
        if self.method() == "CONNECT" {
            let refusal = Refusal::new(405, "this is no proxy");
            return Err(refusal.header("Allow", super::files::METHODS));
        }
        let target = self.text(&self.target);
        let is_known = match &self.form {
            Form::Origin => true,
            Form::Absolute { authority, .. } => is_host(self.text(authority)),
            Form::Asterisk => self.method() == "OPTIONS",
            Form::Other => false,
        };
        if !is_known || target.contains('#') || !target.is_ascii() {
            return Err(Refusal::new(
                400,
                "the target must be a path, or a URL of http, https, ws or wss",
            ));
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

    /// Whether it is of HTTP/1.1.
    pub fn is_current(&self) -> bool {
        self.minor_version == 1
    }

    /// A request without an upgrade on a handler's path. `tells`: what is wrong with the handler may be said.
    pub fn refuse_plain(&self, entry: &Entry, tells: bool) -> Refusal {
        if !matches!(self.method(), "GET" | "HEAD") {
            return Refusal::new(405, "this is a WebSocket resource").header("Allow", METHODS);
        }
        let refusal = match entry.source {
            Some(_) => Refusal::new(
                426,
                "this is a WebSocket resource: open it with new WebSocket(\"ws://…\"), or over TLS \"wss://…\"",
            )
            .header("Upgrade", "websocket"),
            None => Refusal::new(500, "the handler is broken; the server's log says where"),
        };
        match &entry.fault {
            Some(fault) if tells => refusal.adding(&format!("\n\n{fault}")),
            _ => refusal,
        }
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
