//! The opening handshake: the script's say, then the 101, then a connection of its own. RFC 6455 section 4.2.2.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};

use super::head::Head;
use super::respond::Refusal;
use super::{Site, refuse_while_draining};
use crate::script::{
    self, Answer, Handler, Hook, Peer, Place, Refused, Request, ScriptSession, Source, State,
};
use crate::websocket::{Connection, Outbox, handshake::accept_key};

/// What an upgrade is to.
pub struct Target {
    /// The handler.
    pub source: Arc<Source>,
    /// What its parameters matched.
    pub params: Vec<(String, String)>,
}

/// Answers a checked handshake and starts the connection's task; gives the stream back with a refusal.
#[allow(
    clippy::too_many_arguments,
    reason = "each is a fact of the one connection, used once"
)]
pub async fn upgrade<S, P>(
    site: &Rc<Site>,
    stream: S,
    head: Head,
    target: Target,
    path: String,
    remote: SocketAddr,
    id: u64,
    permit: P,
) -> Result<(), (S, Refusal)>
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
    P: Unpin + 'static,
{
    let handler = site.runtime.handler(&target.source);
    let (state, answer) = if script::ensure_loaded(&site.runtime, &handler).await
        && !handler.has(Hook::DoExtraHandshake)
    {
        (State::default(), Answer::default())
    } else {
        match ask(site, &handler, &head, target, &path, remote, id).await {
            Ok(agreed) => agreed,
            Err(refusal) => return Err((stream, refusal)),
        }
    };
    // The hook may have waited until the server was told to go down.
    if let Err(refusal) = refuse_while_draining(site) {
        return Err((stream, refusal));
    }
    let outbox = Rc::new(Outbox::new(id, switching_protocols(head.key(), &answer)));
    let place = handler.place(Place {
        path,
        protocol: answer.protocol.unwrap_or_default(),
        send_queue: site.shared.limits.send_queue,
    });
    let peer = Peer::new(Rc::clone(&outbox), place);
    tracing::debug!(connection = id, %remote, handler = handler.file(), "connection opened");
    let session = ScriptSession::new(
        Rc::clone(&site.runtime),
        handler,
        Rc::new(peer),
        state,
        permit,
    );
    tokio::task::spawn_local(Connection::new(
        stream,
        session,
        outbox,
        Rc::clone(&site.shared),
        head.rest().to_vec(),
    ));
    Ok(())
}

/// Runs `do_extra_handshake`.
async fn ask(
    site: &Site,
    handler: &Rc<Handler>,
    head: &Head,
    target: Target,
    path: &str,
    remote: SocketAddr,
    id: u64,
) -> Result<(State, Answer), Refusal> {
    let request = Request {
        path: path.to_owned(),
        params: target.params,
        query: head.query().to_owned(),
        headers: head
            .fields()
            .map(|(name, value)| (name.to_owned(), value))
            .collect(),
        requested_protocols: head.protocols()?,
        remote_addr: remote,
        answer: RefCell::default(),
    };
    let (state, answer) = script::handshake(&site.runtime, handler, id, request)
        .await
        .map_err(|refused| match refused {
            Refused::Thrown => Refusal::new(403, "the handler refuses this connection"),
            Refused::Failed => Refusal::new(500, "the handler failed; the server's log says where"),
        })?;
    match answer.rejection {
        Some(rejection) => Err(Refusal::with_reason(
            rejection.status,
            &rejection.reason,
            rejection.body,
        )),
        None => Ok((state, answer)),
    }
}

/// The 101 response.
fn switching_protocols(key: &str, answer: &Answer) -> Vec<u8> {
    let mut out = Vec::with_capacity(192);
    out.extend_from_slice(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ");
    out.extend_from_slice(accept_key(key.as_bytes()).as_bytes());
    if let Some(protocol) = &answer.protocol {
        out.extend_from_slice(b"\r\nSec-WebSocket-Protocol: ");
        out.extend_from_slice(protocol.as_bytes());
    }
    for (name, value) in &answer.headers {
        for part in ["\r\n", name, ": ", value] {
            out.extend_from_slice(part.as_bytes());
        }
    }
    out.extend_from_slice(b"\r\n\r\n");
    out
}
