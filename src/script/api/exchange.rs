//! What `on_request` has besides the handshake's `request`: the body that came, and the status that
//! goes back.

use std::rc::Rc;

use rhai::{Blob, Dynamic, EvalAltResult, ImmutableString};

use super::request::gather;
use crate::machine::error::throw;
use crate::machine::host::{Allowed, Function, Package};
use crate::script::request::Request;

/// Only where a request is answered that is no handshake.
const EXCHANGE: Allowed = Allowed::Only(&["on_request"]);

/// The body of a request, and the status of its answer.
pub const PACKAGE: Package = Package {
    name: "on_request",
    about: "What `request` has in `on_request` alone: what the client sent, and the status of the \
        answer. The last value of the hook is the body; without a `Content-Type` of its own it is \
        `text/plain`, `application/octet-stream` or `application/json`, and without a \
        `Cache-Control` nobody keeps it.",
    functions: &[
        Function {
            signatures: &["request.body -> blob"],
            about: "What the client sent behind the head, as it came; of `--max-request-body` \
                bytes at the most.",
            throws: &[],
            allowed: EXCHANGE,
            example: "fn on_request(request) {\n    `${request.body.len()} bytes`\n}\n\n\
                      fn transfer_data(ws, message) {\n    ws.send(message); // => hello\n}",
            register: |engine, _| {
                engine.register_get("body", |request: &mut Rc<Request>| body(request).cloned());
            },
        },
        Function {
            signatures: &["request.text -> string"],
            about: "The same as text: `parse_json(request.text)` is what a page sent as JSON.",
            throws: &[("utf8", "for bytes that are no UTF-8")],
            allowed: EXCHANGE,
            example: "fn on_request(request) {\n    let order = parse_json(request.text);\n    \
                      #{received: order}\n}\n\n\
                      fn transfer_data(ws, message) {\n    ws.send(message); // => hello\n}",
            register: |engine, _| {
                engine.register_get("text", text);
            },
        },
        Function {
            signatures: &["request.form -> map"],
            about: "The fields of a form as browsers send them \
                (`application/x-www-form-urlencoded`), decoded: an array of values for each name.",
            throws: &[],
            allowed: EXCHANGE,
            example: "fn on_request(request) {\n    let name = request.form.name?[0] ?? \
                      \"nobody\";\n    `hello, ${name}`\n}\n\n\
                      fn transfer_data(ws, message) {\n    ws.send(message); // => hello\n}",
            register: |engine, _| {
                engine.register_get("form", form);
            },
        },
        Function {
            signatures: &["request.status = int", "request.status -> int"],
            about: "The status of the answer: 200 with a body and 204 without one, unless it is \
                set. A redirect needs a `Location` beside it.",
            throws: &[(
                "status",
                "for one outside 200 to 599, and in a handshake, which `request.reject` refuses",
            )],
            allowed: EXCHANGE,
            example: "fn on_request(request) {\n    request.status = 303;\n    \
                      request.add_header(\"Location\", \"/chat.html\");\n}\n\n\
                      fn transfer_data(ws, message) {\n    ws.send(message); // => hello\n}",
            register: |engine, _| {
                engine
                    .register_get("status", |request: &mut Rc<Request>| {
                        is_exchange(request)?;
                        let status = request.answer.borrow().status;
                        Ok::<_, Box<EvalAltResult>>(i64::from(status.unwrap_or(200)))
                    })
                    .register_set("status", set_status);
            },
        },
    ],
};

type Result<T> = std::result::Result<T, Box<EvalAltResult>>;

fn body(request: &Request) -> Result<&Blob> {
    match &request.body {
        Some(body) => Ok(body),
        None => throw(
            "gone",
            "a handshake has no body, only on_request sees one; its query is request.query_params",
        ),
    }
}

/// A handshake is answered with 101, or refused.
fn is_exchange(request: &Request) -> Result<()> {
    match request.body {
        Some(_) => Ok(()),
        None => throw(
            "status",
            "a handshake has no status to choose: request.reject(403) turns the connection away",
        ),
    }
}

fn text(request: &mut Rc<Request>) -> Result<ImmutableString> {
    match std::str::from_utf8(body(request)?) {
        Ok(text) => Ok(text.into()),
        Err(error) => throw(
            "utf8",
            format!(
                "the request's body is no UTF-8 from byte {} on: request.body has it as it is",
                error.valid_up_to()
            ),
        ),
    }
}

fn form(request: &mut Rc<Request>) -> Result<Dynamic> {
    let pairs = form_urlencoded::parse(body(request)?);
    Ok(gather(pairs.map(|(name, value)| {
        (name.into_owned(), value.into_owned())
    })))
}

fn set_status(request: &mut Rc<Request>, status: i64) -> Result<()> {
    is_exchange(request)?;
    match u16::try_from(status) {
        Ok(status) if (200..600).contains(&status) => {
            request.answer.borrow_mut().status = Some(status);
            Ok(())
        }
        _ => throw(
            "status",
            format!("the status of an answer is 200 to 599, not {status}"),
        ),
    }
}
