//! The rules for a request, and for an opening handshake: RFC 9110 section 7, RFC 6455 section
//! 4.2.1.

use http::Version;

use super::{Form, Head, METHODS};
use crate::http::respond::Refusal;
use crate::websocket::extensions::{self, Offer};
use crate::websocket::handshake::{has_token, is_key, is_token, tokens};

impl Head {
    /// Checks the requirements on every request: Host, method and target.
    pub fn check(&self) -> Result<(), Refusal> {
        let hosts: Vec<_> = self.values("host").collect();
        match hosts[..] {
            [host] if is_host(host) => {}
            [] if self.version == Version::HTTP_10 => {}
            [_] => return Err(Refusal::new(400, "the Host header is malformed")),
            _ => return Err(Refusal::new(400, "exactly one Host header is needed")),
        }
        if self.method() == "CONNECT" {
            let refusal = Refusal::new(405, "this is no proxy");
            return Err(refusal.header("Allow", METHODS));
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
        Ok(())
    }

    /// Checks that there is no body, which nobody would read.
    pub fn check_empty(&self) -> Result<(), Refusal> {
        match self.has_body() {
            true => Err(Refusal::new(400, "a request here has no body")),
            false => Ok(()),
        }
    }

    /// Whether a body follows.
    pub fn has_body(&self) -> bool {
        self.values("transfer-encoding").next().is_some()
            || self.values("content-length").any(|length| length != "0")
    }

    /// RFC 9110 section 7.4: what is asked for by `https` or `wss` is answered on a connection that
    /// is encrypted.
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

    /// Checks the requirements on an opening handshake, RFC 6455 section 4.2.1.
    pub fn check_upgrade(&self) -> Result<(), Refusal> {
        if self.method() != "GET" {
            return Err(Refusal::new(405, "an opening handshake is a GET").header("Allow", "GET"));
        }
        if self.version == Version::HTTP_10 {
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
        self.check_empty()?;
        self.extensions()?;
        self.protocols().map(|_| ())
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
}

/// A host and maybe a port, RFC 9110 section 7.2: no lists, no spaces, nothing that is a path.
fn is_host(host: &str) -> bool {
    !host.is_empty()
        && host
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+;=:[]".contains(&byte))
}
