//! The opening handshake: the script's say, then the 101, then a connection of its own. RFC 6455 section 4.2.2.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io::Write;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};

use super::head::Head;
use super::respond::Refusal;
use super::{Client, Site, draining, refuse_while_draining, trace};
use crate::config::limits::HEAD;
use crate::observe::{Flood, access};
use crate::script::{
    self, Answer, Handler, Hook, Peer, Place, Refused, Rejection, Request, ScriptSession, Source,
    State, Wire,
};
use crate::websocket::extensions::{self, Agreed, Terms};
use crate::websocket::{Connection, Outbox, Tally, Transport, Watch, handshake::accept_key};

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
    mut stream: S,
    head: Head,
    target: Target,
    path: String,
    client: Client,
    id: u64,
    permit: P,
) -> Result<(), (S, Refusal, String)>
where
    S: Transport + 'static,
    P: Unpin + 'static,
{
    let handler = site.runtime.handler(&target.source);
    script::ensure_loaded(&site.runtime, &handler).await;
    let (mut state, mut answer) = Default::default();
    let mut request = None;
    let mut wire = Wire {
        incoming: head.rest().to_vec(),
        ..Wire::default()
    };
    // A handler without a program fails in its hook, as it would later.
    let asks = handler.has(Hook::DoExtraHandshake) || !handler.is_loaded();
    if asks || handler.keeps_requests() {
        let known = match request_of(&head, target.params, path.clone(), &client, wire) {
            Ok(request) => Rc::new(request),
            Err(refusal) => return Err((stream, refusal, path)),
        };
        let asked = if asks {
            tokio::select! {
                biased;
                asked = ask(site, &handler, &known, &mut stream, id) => asked,
                () = site.shared.drained() => return Err((stream, draining(), path)),
            }
        } else {
            Ok(Default::default())
        };
        wire = known.wire.take();
        known.raw_head.take();
        (state, answer) = match asked {
            Ok(agreed) => agreed,
            Err(Refused::Reset) => {
                tracing::debug!(connection = id, %client, "handshake reset");
                stream.reset_when_dropped();
                return Ok(());
            }
            Err(refused) => {
                send_written(&mut stream, &wire).await;
                let Some(refusal) = refusal(refused) else {
                    tracing::debug!(connection = id, %client, "handshake dropped");
                    linger(stream).await;
                    return Ok(());
                };
                return Err((stream, refusal, path));
            }
        };
        request = handler.keeps_requests().then_some(known);
    }
    if let Some(rejection) = answer.rejection {
        send_written(&mut stream, &wire).await;
        let Rejection {
            status,
            reason,
            body,
        } = rejection;
        let refusal = Refusal::with_reason(status, &reason, body);
        let headers = answer.headers.into_iter();
        let refusal = headers.fold(refusal, |refusal, (name, value)| {
            refusal.header(name, value)
        });
        return Err((stream, refusal, path));
    }
    // The hook may have waited until the server was told to go down.
    if let Err(refusal) = refuse_while_draining(site) {
        return Err((stream, refusal, path));
    }
    if let Ok(offered) = head.protocols()
        && picks_none(&offered, &answer)
    {
        say_none_picked(&handler.file(), &offered);
    }
    let agreed = match agree(site, &head, &answer) {
        Ok(agreed) => agreed,
        Err(refusal) => return Err((stream, refusal, path)),
    };
    let mut prologue = wire.outgoing;
    if !answer.is_written {
        switching_protocols(&mut prologue, head.key(), &answer, agreed.as_ref());
    }
    trace::head(id, "out", &prologue);
    let tally = (site.settings.access_log && access::is_wanted()).then(|| {
        let client = client.to_string();
        access::Opened {
            connection: id,
            path: &path,
            client: &client,
            handler: &handler.file(),
            version: handler.serving(),
            protocol: answer.protocol.as_deref(),
        }
        .log();
        Tally::new(&client, prologue.len())
    });
    let mut outbox = Outbox::new(id, prologue);
    if let Some(watch) = Watch::new(id, tally) {
        outbox = outbox.watched(watch);
    }
    if let Some(agreed) = agreed {
        outbox = outbox.deflating(agreed, Rc::clone(&site.shared.pool));
    }
    let outbox = Rc::new(outbox);
    let limits = &site.shared.limits;
    let place = handler.place(Place {
        path,
        protocol: answer.protocol.unwrap_or_default(),
        send_queue: limits.send_queue,
    });
    let peer = Peer::new(Rc::clone(&outbox), place, state, request);
    tracing::debug!(connection = id, %client, handler = handler.file(), "connection opened");
    let session = ScriptSession::new(Rc::clone(&site.runtime), handler, Rc::new(peer), permit);
    let max_message = answer.max_message.unwrap_or(limits.message);
    let shared = Rc::clone(&site.shared);
    tokio::task::spawn_local(
        Connection::new(stream, session, outbox, shared, wire.incoming)
            .with_max_message(max_message),
    );
    Ok(())
}

/// What is agreed on about compression. A script that writes the header, or all of the answer, by itself agrees on nothing.
fn agree(site: &Site, head: &Head, answer: &Answer) -> Result<Option<Agreed>, Refusal> {
    let is_written = answer.is_written
        || answer
            .headers
            .iter()
            .any(|(name, _)| name.eq_ignore_ascii_case(EXTENSIONS));
    if !site.settings.deflate.enabled || answer.deflate.refused || is_written {
        return Ok(None);
    }
    let terms = Terms {
        is_forgiven: is_webkit(head),
        ..Terms::from(&site.settings.deflate).with(&answer.deflate)
    };
    Ok(extensions::negotiate(&head.extensions()?, &terms))
}

/// Whether subprotocols were offered and the answer has none.
fn picks_none(offered: &[String], answer: &Answer) -> bool {
    let has_header = answer
        .headers
        .iter()
        .any(|(name, _)| name.eq_ignore_ascii_case("Sec-WebSocket-Protocol"));
    !offered.is_empty() && answer.protocol.is_none() && !answer.is_written && !has_header
}

/// Says once for each handler what browsers make of that: they fail, and tell nobody why.
fn say_none_picked(handler: &str, offered: &[String]) {
    static SAID: Mutex<Flood<String>> = Mutex::new(Flood::lines(1));
    let mut said = SAID.lock().unwrap_or_else(PoisonError::into_inner);
    if said.admits(handler) {
        let offered = offered.join(", ");
        tracing::warn!(
            handler,
            offered = offered.as_str(),
            "the client offers subprotocols and the handler picks none, so that browsers give up: in do_extra_handshake(request), \
             `request.protocol = request.requested_protocols[0];` picks the first"
        );
    }
}

/// The header that names what was agreed on.
const EXTENSIONS: &str = "Sec-WebSocket-Extensions";

/// Whether the client is WebKit, or what Apple's systems give to other programs: that of Safari 15 keeps its window whatever
/// it is asked, and fails at its second compressed message. Chromium has inherited the name and not the fault.
fn is_webkit(head: &Head) -> bool {
    let mut agents = head.values("user-agent");
    agents.any(|agent| {
        let names = |name| agent.contains(name);
        names("CFNetwork/") || names("AppleWebKit/") && !names("Chrome/")
    })
}

/// The request as scripts see it.
fn request_of(
    head: &Head,
    params: Vec<(String, String)>,
    path: String,
    client: &Client,
    wire: Wire,
) -> Result<Request, Refusal> {
    Ok(Request {
        path,
        params,
        target: head.target(),
        method: head.method().to_owned(),
        http_version: "1.1",
        secure: client.secure,
        headers: head
            .fields()
            .map(|(name, value)| (name.to_owned(), value))
            .collect(),
        requested_protocols: head.protocols()?,
        remote_addr: client.address,
        client_subject: client.subject.clone(),
        user: client.user.clone(),
        answer: RefCell::default(),
        wire: RefCell::new(wire),
        raw_head: RefCell::new(head.raw().to_vec()),
    })
}

/// Runs `do_extra_handshake`, and carries the bytes of its raw reads and writes meanwhile.
async fn ask<S: AsyncRead + AsyncWrite + Unpin>(
    site: &Site,
    handler: &Rc<Handler>,
    request: &Rc<Request>,
    stream: &mut S,
    id: u64,
) -> Result<(State, Answer), Refused> {
    let mut handshake = script::Handshake::new(&site.runtime, handler, id, request);
    poll_fn(|context| {
        loop {
            if let Poll::Ready(asked) = handshake.poll(context) {
                return Poll::Ready(asked);
            }
            if !carry(&mut request.wire.borrow_mut(), stream, context) {
                return Poll::Pending;
            }
        }
    })
    .await
}

/// Moves bytes between a script that decides and the stream; whether any were moved.
fn carry<S: AsyncRead + AsyncWrite + Unpin>(
    wire: &mut Wire,
    stream: &mut S,
    context: &mut Context<'_>,
) -> bool {
    if wire.is_ended {
        return false;
    }
    if !wire.outgoing.is_empty() {
        match Pin::new(&mut *stream).poll_write(context, &wire.outgoing) {
            Poll::Ready(Ok(count)) if count > 0 => {
                wire.outgoing.drain(..count);
                return true;
            }
            Poll::Ready(_) => {
                wire.is_ended = true;
                return true;
            }
            Poll::Pending => {}
        }
    }
    if !wire.has_room() {
        return false;
    }
    let mut bytes = [0; 2048];
    let mut read = ReadBuf::new(&mut bytes);
    match Pin::new(stream).poll_read(context, &mut read) {
        Poll::Pending => return false,
        Poll::Ready(Ok(())) if !read.filled().is_empty() => {
            wire.incoming.extend_from_slice(read.filled());
        }
        Poll::Ready(_) => wire.is_ended = true,
    }
    true
}

/// What the script wrote before it refused or dropped the connection still goes out.
async fn send_written<S: AsyncWrite + Unpin>(stream: &mut S, wire: &Wire) {
    if !wire.outgoing.is_empty() {
        // A peer that takes nothing is not waited for.
        let _ = tokio::time::timeout(HEAD.linger, stream.write_all(&wire.outgoing)).await;
    }
}

/// Ends our side and reads on for a while, so that a reset does not overtake what the script wrote.
async fn linger<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S) {
    let ending = async {
        stream.shutdown().await?;
        let mut rest = [0; 2048];
        while stream.read(&mut rest).await? > 0 {}
        std::io::Result::Ok(())
    };
    let _ = tokio::time::timeout(HEAD.linger, ending).await;
}

/// The answer to a refusal that the script has not put into words; `None` drops the connection.
fn refusal(refused: Refused) -> Option<Refusal> {
    match refused {
        Refused::Thrown => Some(Refusal::new(403, "the handler refuses this connection")),
        Refused::Failed(reason) => Some(Refusal::new(500, reason)),
        Refused::Busy => Some(
            Refusal::new(503, "the server is busy: try again later")
                .for_now()
                .named("hooks"),
        ),
        Refused::Dropped | Refused::Reset => None,
    }
}

/// The 101 response.
fn switching_protocols(out: &mut Vec<u8>, key: &str, answer: &Answer, agreed: Option<&Agreed>) {
    out.reserve(if agreed.is_some() { 320 } else { 192 });
    out.extend_from_slice(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ");
    out.extend_from_slice(accept_key(key.as_bytes()).as_bytes());
    if let Some(protocol) = &answer.protocol {
        out.extend_from_slice(b"\r\nSec-WebSocket-Protocol: ");
        out.extend_from_slice(protocol.as_bytes());
    }
    if let Some(agreed) = agreed {
        // A Vec takes every write.
        let _ = write!(out, "\r\n{EXTENSIONS}: {agreed}");
    }
    for (name, value) in &answer.headers {
        for part in ["\r\n", name, ": ", value] {
            out.extend_from_slice(part.as_bytes());
        }
    }
    out.extend_from_slice(b"\r\n\r\n");
}
