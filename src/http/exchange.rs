//! A request that a handler answers itself: `on_request`, from the body that came to the response.

use tokio::io::{AsyncRead, AsyncWrite};

use super::asking::{self, Asking};
use super::body;
use super::client::Client;
use super::respond::Refusal;
use super::response::{self, Response};
use super::upgrade::Target;
use crate::observe::event::{Event, text};
use crate::script::{self, Answer, Body, HandshakeFailure, Hook, Rejection, Wire};
use crate::websocket::Transport;

/// An answered request: what goes back, and the bytes that came meanwhile, behind the body.
pub type Answered = (Result<Response, Refusal>, Vec<u8>);

/// Asks the handler; `None` if the client has left, or is not to be answered.
pub async fn answer<S>(
    asking: &Asking<'_>,
    target: Target,
    path: &str,
    stream: &mut S,
) -> Option<Answered>
where
    S: Transport + AsyncRead + AsyncWrite + Unpin,
{
    let Asking { site, head, .. } = *asking;
    let has_body = head.has_body();
    let body = match body::read(site, head, stream).await? {
        Ok(body) => body,
        Err(refusal) => return Some((Err(refusal), Vec::new())),
    };
    let handler = site.runtime.handler(&target.source);
    script::ensure_begun(&site.runtime, &handler).await;
    // What is behind a head without a body is the next request.
    let wire = Wire {
        incoming: if has_body {
            Vec::new()
        } else {
            head.rest().to_vec()
        },
        ..Wire::default()
    };
    let length = head.raw().len() + body.len();
    let request = match asking.request(path, target.params, wire, Some(body)) {
        Ok(request) => request,
        Err(refusal) => return Some((Err(refusal), Vec::new())),
    };
    let asked = tokio::select! {
        biased;
        asked = asking.run(&handler, Hook::OnRequest, &request, stream) => asked,
        () = site.shared.drained() => return Some((Err(Refusal::draining()), Vec::new())),
    };
    let behind = request.wire.take().incoming;
    let answered = match asked {
        Ok((_, answer, body)) => {
            if let Some(account) = &answer.account {
                account.asked(length);
            }
            Ok(response_of(answer, body))
        }
        Err(HandshakeFailure::Failed(reason)) => Err(asking::failed(reason)),
        // Without a handshake nothing is refused by a `throw`: it is a fault like any other.
        Err(HandshakeFailure::Thrown) => Err(asking::failed("the handler failed".into())),
        Err(HandshakeFailure::Busy) => Err(asking::busy()),
        Err(HandshakeFailure::Dropped) => {
            say_dropped(asking.id, asking.client);
            return None;
        }
        Err(HandshakeFailure::Reset) => {
            say_dropped(asking.id, asking.client);
            stream.reset_when_dropped();
            return None;
        }
    };
    Some((answered, behind))
}

fn say_dropped(connection: u64, client: &Client) {
    let client = text(client);
    Event::RequestDropped { connection, client }.tell();
}

/// What a script has put into words, with the headers that it has left out.
fn response_of(answer: Answer, body: Body) -> Response {
    let Answer {
        rejection,
        headers,
        status,
        account,
        ..
    } = answer;
    let (status, reason, body) = match rejection {
        Some(Rejection {
            status,
            reason,
            body,
        }) => (status, reason, Body::Text(body)),
        None => {
            let usual = if body == Body::None { 204 } else { 200 };
            (status.unwrap_or(usual), String::new(), body)
        }
    };
    let (kind, bytes) = match body {
        Body::None => (None, Vec::new()),
        Body::Text(text) => (Some("text/plain; charset=utf-8"), text.into_bytes()),
        Body::Bytes(bytes) => (Some("application/octet-stream"), bytes),
        Body::Json(json) => (Some("application/json"), json.into_bytes()),
    };
    let mut response = Response::new(status).because(reason);
    response.account = account;
    let has = |name: &str| {
        headers
            .iter()
            .any(|(known, _)| known.eq_ignore_ascii_case(name))
    };
    // RFC 9110 sections 15.3.5 and 15.4.5: these have no body.
    let is_empty = matches!(status, 204 | 304);
    if let Some(kind) = kind
        && !is_empty
        && !has("content-type")
    {
        response = response.header("Content-Type", kind);
    }
    if !has("cache-control") {
        response = response.header("Cache-Control", "no-store");
    }
    for (name, value) in headers {
        response = response.header(name, value);
    }
    match is_empty {
        true => response,
        false => response.with(response::Body::of(bytes)),
    }
}
