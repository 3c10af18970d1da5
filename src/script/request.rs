//! A request, of an opening handshake or without one, and the answer that a script shapes.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::sync::Arc;

use rhai::Blob;

use crate::config::Link;
use crate::config::limits::RAW_READ;
use crate::observe::accounts::Account;
use crate::websocket::extensions::Preferences;

/// A client's request as `do_extra_handshake` and `on_request` see it.
#[derive(Debug)]
pub struct Request {
    /// The path as it was matched, decoded.
    pub path: String,
    /// Path parameters: what the `[name]` parts of the handler's path matched.
    pub params: Vec<(String, String)>,
    /// Path and query as they came.
    pub target: String,
    /// The method; that of a handshake is GET.
    pub method: String,
    /// The version without `HTTP/`.
    pub http_version: &'static str,
    /// Whether it came encrypted.
    pub secure: bool,
    /// Names and values in order, as they came.
    pub headers: Vec<(String, String)>,
    /// The client's subprotocols, in its order of preference.
    pub requested_protocols: Vec<String>,
    /// The other end of the connection.
    pub remote_addr: Option<SocketAddr>,
    /// The subject of the certificate that the client has shown.
    pub client_subject: Option<String>,
    /// The user who is known by a password that the server asked for.
    pub user: Option<String>,
    /// The script's part of the answer to the handshake.
    pub answer: RefCell<Answer>,
    /// Bytes on their way while the script decides.
    pub wire: RefCell<Wire>,
    /// The request head, byte for byte, until the handshake is done.
    pub raw_head: RefCell<Blob>,
    /// What came with it, if it is no handshake.
    pub body: Option<Blob>,
}

/// Settings by which a script adds to the answer, or replaces it.
#[derive(Debug, Default)]
pub struct Answer {
    /// The subprotocol, one of those requested.
    pub protocol: Option<String>,
    /// Additional header fields.
    pub headers: Vec<(String, String)>,
    /// Instead of the 101.
    pub rejection: Option<Rejection>,
    /// The status of an answer that is no refusal, if a script has chosen it.
    pub status: Option<u16>,
    /// Bytes of one message, if fewer than the server's bound.
    pub max_message: Option<usize>,
    /// The network that the connection takes, if a worse one than there is.
    pub link: Option<Link>,
    /// Overrides of the server's permessage-deflate terms.
    pub deflate: Preferences,
    /// Whose traffic it is.
    pub account: Option<Arc<Account>>,
    /// No answer: the connection is dropped.
    pub is_aborted: bool,
    /// With a reset, and not with the end of what was written.
    pub is_reset: bool,
    /// No answer: the script has written it.
    pub is_written: bool,
}

/// A refusal by the script.
#[derive(Debug, PartialEq, Eq)]
pub struct Rejection {
    /// 300 to 599.
    pub status: u16,
    /// The words behind the status; empty for the usual ones.
    pub reason: String,
    /// The body, plain text.
    pub body: String,
}

/// What `on_request` gave as the body of its answer.
#[derive(Debug, PartialEq, Eq)]
pub enum Body {
    /// Nothing.
    None,
    /// Text.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// A map or an array, as JSON.
    Json(String),
}

/// Bytes before and behind the handshake: whoever owns the stream moves them.
#[derive(Debug, Default)]
pub struct Wire {
    /// To be written before the answer.
    pub outgoing: Vec<u8>,
    /// Bytes that came behind the request head.
    pub incoming: Vec<u8>,
    /// The client has ended.
    pub is_ended: bool,
}

impl Wire {
    /// Whether more may be read before somebody takes what there is.
    pub fn has_room(&self) -> bool {
        self.incoming.len() < RAW_READ
    }
}

impl Request {
    /// The first value of a header.
    pub fn header<'r>(&'r self, name: &'r str) -> Option<&'r str> {
        self.values(name).next()
    }

    /// Returns the query component behind `?`, as it came; empty without one.
    pub fn query(&self) -> &str {
        self.target.split_once('?').map_or("", |(_, query)| query)
    }

    pub(super) fn write(&self, bytes: &[u8]) {
        self.wire.borrow_mut().outgoing.extend_from_slice(bytes);
    }

    /// Whether so many bytes have come behind the head, or no more will.
    pub(super) fn has(&self, count: usize) -> bool {
        let wire = self.wire.borrow();
        wire.is_ended || wire.incoming.len() >= count
    }

    /// Takes as many bytes as there are, up to `count`.
    pub(super) fn take(&self, count: usize) -> Blob {
        let incoming = &mut self.wire.borrow_mut().incoming;
        let count = count.min(incoming.len());
        incoming.drain(..count).collect()
    }

    /// All values of a header.
    pub(super) fn values<'r>(&'r self, name: &'r str) -> impl Iterator<Item = &'r str> {
        self.headers
            .iter()
            .filter(move |(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }
}
