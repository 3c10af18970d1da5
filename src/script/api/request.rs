//! The opening handshake: `request`, and the answer that a script shapes with it.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;

use rhai::{Array, Dynamic, Engine, EvalAltResult, ImmutableString, Map};

use super::throw;
use crate::websocket::handshake::{is_field_value, is_token};

/// A client's request as `do_extra_handshake` sees it.
#[derive(Debug)]
pub struct Request {
    /// The path as it was matched, decoded.
    pub path: String,
    /// What `[name]` parts of the handler's path matched.
    pub params: Vec<(String, String)>,
    /// What stands behind `?`, as it came.
    pub query: String,
    /// Names and values in order, as they came.
    pub headers: Vec<(String, String)>,
    /// The client's subprotocols, in its order of preference.
    pub requested_protocols: Vec<String>,
    /// The other end of the connection.
    pub remote_addr: SocketAddr,
    /// What the script answers.
    pub answer: RefCell<Answer>,
}

/// What a script adds to the answer, or puts in its place.
#[derive(Debug, Default)]
pub struct Answer {
    /// The subprotocol, one of those requested.
    pub protocol: Option<String>,
    /// More headers of the 101.
    pub headers: Vec<(String, String)>,
    /// Instead of the 101.
    pub rejection: Option<Rejection>,
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

impl Request {
    /// What the script has answered, once the hook is done.
    pub(in crate::script) fn answer(&self) -> Answer {
        self.answer.take()
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }
}

/// `request`.
#[derive(Debug, Clone)]
pub struct Handle(pub Rc<Request>);

/// Headers that the server writes itself, or that would break the framing of its answer.
const RESERVED: [&str; 8] = [
    "connection",
    "upgrade",
    "content-length",
    "transfer-encoding",
    "sec-websocket-accept",
    "sec-websocket-protocol",
    "sec-websocket-extensions",
    "sec-websocket-version",
];

/// Registers `request`.
pub fn register(engine: &mut Engine) {
    engine
        .register_type_with_name::<Handle>("Request")
        .register_get("path", |request: &mut Handle| {
            ImmutableString::from(&request.0.path)
        })
        .register_get("query", |request: &mut Handle| {
            ImmutableString::from(&request.0.query)
        })
        .register_get("params", |request: &mut Handle| {
            let params = &request.0.params;
            params
                .iter()
                .map(|(name, value)| (name.into(), value.into()))
                .collect::<Map>()
        })
        .register_get("origin", |request: &mut Handle| header(request, "origin"))
        .register_get("remote_addr", |request: &mut Handle| {
            ImmutableString::from(request.0.remote_addr.ip().to_string())
        })
        .register_get("requested_protocols", |request: &mut Handle| {
            request
                .0
                .requested_protocols
                .iter()
                .map(|name| Dynamic::from(name.clone()))
                .collect::<Array>()
        })
        .register_fn("header", |request: &mut Handle, name: ImmutableString| {
            header(request, &name)
        })
        .register_get("protocol", |request: &mut Handle| {
            ImmutableString::from(
                request
                    .0
                    .answer
                    .borrow()
                    .protocol
                    .clone()
                    .unwrap_or_default(),
            )
        })
        .register_set("protocol", set_protocol)
        .register_fn("add_header", add_header)
        .register_fn("reject", |request: &mut Handle, status: i64| {
            reject(request, status, "", "")
        })
        .register_fn(
            "reject",
            |request: &mut Handle, status: i64, reason: ImmutableString| {
                reject(request, status, &reason, "")
            },
        )
        .register_fn(
            "reject",
            |request: &mut Handle, status: i64, reason: ImmutableString, body: ImmutableString| {
                reject(request, status, &reason, &body)
            },
        );
}

/// `request.header(name)`: the first value of that name, `()` if there is none.
fn header(request: &Handle, name: &str) -> Dynamic {
    request
        .0
        .header(name)
        .map_or(Dynamic::UNIT, |value| Dynamic::from(value.to_owned()))
}

/// `request.protocol = name`: agrees on a subprotocol. Throws `protocol` for one that the client did not offer
/// (RFC 6455 section 4.2.2).
fn set_protocol(request: &mut Handle, name: ImmutableString) -> Result<(), Box<EvalAltResult>> {
    let offered = &request.0.requested_protocols;
    if !offered.iter().any(|protocol| *protocol == *name) {
        return throw(
            "protocol",
            format!("the client offers {offered:?}, not {:?}", name.as_str()),
        );
    }
    request.0.answer.borrow_mut().protocol = Some(name.into());
    Ok(())
}

/// `request.add_header(name, value)`: one more header of the 101. Throws `header` for what is no header.
fn add_header(
    request: &mut Handle,
    name: ImmutableString,
    value: ImmutableString,
) -> Result<(), Box<EvalAltResult>> {
    if !is_token(&name)
        || RESERVED
            .iter()
            .any(|reserved| name.eq_ignore_ascii_case(reserved))
    {
        return throw(
            "header",
            format!("{:?} is not a header that a handler may add", name.as_str()),
        );
    }
    if !is_field_value(&value) {
        return throw(
            "header",
            format!("the value of {name} has a line break or another control character"),
        );
    }
    request
        .0
        .answer
        .borrow_mut()
        .headers
        .push((name.into(), value.into()));
    Ok(())
}

/// `request.reject(status[, reason[, body]])`: refuses the handshake. Throws `reject` for a status outside 300 to 599.
fn reject(
    request: &mut Handle,
    status: i64,
    reason: &str,
    body: &str,
) -> Result<(), Box<EvalAltResult>> {
    let Some(status) = u16::try_from(status)
        .ok()
        .filter(|status| (300..600).contains(status))
    else {
        return throw(
            "reject",
            format!("a refusal has a status from 300 to 599, not {status}"),
        );
    };
    if !is_field_value(reason) {
        return throw(
            "reject",
            "the reason has a line break or another control character",
        );
    }
    request.0.answer.borrow_mut().rejection = Some(Rejection {
        status,
        reason: reason.into(),
        body: body.into(),
    });
    Ok(())
}
