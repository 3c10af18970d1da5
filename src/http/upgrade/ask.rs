//! A handler's say in an opening handshake: `do_extra_handshake`, and the bytes that it reads and
//! writes meanwhile.

use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncWrite, AsyncWriteExt};

use super::{Accepted, Reply, Server, Upgrade, has_header};
use crate::http::asking::{self, Asking};
use crate::http::finish::finish;
use crate::http::respond::Refusal;
use crate::http::site::Site;
use crate::observe::Flood;
use crate::observe::event::{Event, text};
use crate::observe::metrics::Open;
use crate::script::{
    self, Answer, Body, Handler, HandshakeFailure, Hook, Peer, Place, Rejection, Request,
    ScriptSession, Source, State, Wire,
};
use crate::websocket::Transport;

/// The id of a refusal that a handler has put into words, or thrown.
pub const REJECTED: &str = "rejected";

/// The handler that a handshake is for.
pub struct Target {
    /// The handler's source.
    pub source: Arc<Source>,
    /// The route's parameters, each with the value that it matched.
    pub params: Vec<(String, String)>,
}

/// A handler's part of the connection that is to be opened.
pub struct Prepared {
    handler: Rc<Handler>,
    /// What `this` begins as.
    state: State,
    /// Where the handler keeps it.
    request: Option<Rc<Request>>,
}

/// How a handshake ends without a connection.
#[derive(Debug)]
pub enum Unopened {
    /// With this answer, which is still to be sent.
    HandshakeFailure(Refusal),
    /// With what the script has written, if anything.
    Dropped,
}

impl From<Refusal> for Unopened {
    fn from(refusal: Refusal) -> Self {
        Self::HandshakeFailure(refusal)
    }
}

impl Upgrade<'_> {
    /// Loads the handler and asks it, if it wants to be.
    pub async fn ask<S: Transport>(
        &self,
        target: Target,
        stream: &mut S,
    ) -> Result<(Reply, Prepared), Unopened> {
        let site = self.site;
        let handler = site.runtime.handler(&target.source);
        script::ensure_begun(&site.runtime, &handler).await;
        let mut prepared = Prepared {
            state: State::default(),
            request: None,
            handler,
        };
        let handler = &prepared.handler;
        let mut reply = self.plain_reply();
        // A handler without a program fails in its hook, as it would later.
        let asks = handler.has(Hook::DoExtraHandshake) || !handler.is_loaded();
        if asks || handler.keeps_requests() {
            let asked = Asking {
                site,
                head: &self.head,
                client: &self.client,
                id: self.id,
            };
            let request = asked.request(&self.path, target.params, reply.wire, None)?;
            let asked = if asks {
                tokio::select! {
                    biased;
                    asked = asked.run(handler, Hook::DoExtraHandshake, &request, stream) => asked,
                    () = site.shared.drained() => return Err(Refusal::draining().into()),
                }
            } else {
                Ok((State::default(), Answer::default(), Body::None))
            };
            reply.wire = request.wire.take();
            request.raw_head.take();
            match asked {
                Ok((state, answer, _)) => (prepared.state, reply.answer) = (state, answer),
                Err(refused) => return Err(self.refuse(refused, &reply.wire, stream).await),
            }
            prepared.request = prepared.handler.keeps_requests().then_some(request);
        }
        if let Some(rejection) = reply.answer.rejection.take() {
            self.send_written(&reply.wire, stream).await;
            return Err(refusal_of(rejection, reply.answer.headers).into());
        }
        // The hook may have waited until the server was told to go down.
        if site.shared.is_draining() {
            return Err(Refusal::draining().into());
        }
        if let Ok(offered) = self.head.protocols()
            && picks_none(&offered, &reply.answer)
        {
            say_none_picked(&prepared.handler.file(), &offered);
        }
        Ok((reply, prepared))
    }

    /// Ends a handshake that the script has not put an answer to into words.
    async fn refuse<S: Transport>(
        &self,
        refused: HandshakeFailure,
        wire: &Wire,
        stream: &mut S,
    ) -> Unopened {
        let Self { client, id, .. } = self;
        let refusal = match refused {
            HandshakeFailure::Thrown => {
                Refusal::new(403, "the handler refuses this connection").named(REJECTED)
            }
            HandshakeFailure::Failed(reason) => asking::failed(reason),
            HandshakeFailure::Busy => asking::busy(),
            HandshakeFailure::Dropped => {
                finish(stream, &wire.outgoing, self.linger()).await;
                let (connection, client) = (*id, text(client));
                Event::HandshakeDropped { connection, client }.tell();
                return Unopened::Dropped;
            }
            HandshakeFailure::Reset => {
                let (connection, client) = (*id, text(client));
                Event::HandshakeReset { connection, client }.tell();
                stream.reset_when_dropped();
                return Unopened::Dropped;
            }
        };
        self.send_written(wire, stream).await;
        Unopened::HandshakeFailure(refusal)
    }

    /// Sends what the script wrote before it refused the connection.
    async fn send_written<S: AsyncWrite + Unpin>(&self, wire: &Wire, stream: &mut S) {
        if !wire.outgoing.is_empty() {
            // A peer that takes nothing is not waited for.
            let _ = tokio::time::timeout(self.linger(), stream.write_all(&wire.outgoing)).await;
        }
    }
}

impl Prepared {
    /// The handler's name and version.
    pub fn server(&self) -> Server {
        Server {
            name: self.handler.file(),
            version: self.handler.serving(),
            is_seen: true,
        }
    }

    /// The session of a connection to the handler. `permit` is dropped when it ends.
    pub fn session<P>(
        self,
        site: &Site,
        accepted: Accepted,
        permit: P,
    ) -> ScriptSession<(P, Open)> {
        let Accepted {
            handle,
            path,
            protocol,
        } = accepted;
        let place = self.handler.place(Place {
            path,
            protocol,
            send_queue: site.shared.limits.send_queue,
            ..Place::default()
        });
        let peer = Peer::new(handle, place, self.state, self.request);
        let guard = (permit, self.handler.opened());
        ScriptSession::new(Rc::clone(&site.runtime), self.handler, Rc::new(peer), guard)
    }
}

/// The answer of a script that has put it into words.
fn refusal_of(rejection: Rejection, headers: Vec<(String, String)>) -> Refusal {
    let Rejection {
        status,
        reason,
        body,
    } = rejection;
    let refusal = Refusal::with_reason(status, &reason, body).named(REJECTED);
    let headers = headers.into_iter();
    headers.fold(refusal, |refusal, (name, value)| {
        refusal.header(name, value)
    })
}

/// Whether subprotocols were offered and the answer has none.
fn picks_none(offered: &[String], answer: &Answer) -> bool {
    let is_written = answer.is_written || has_header(answer, "Sec-WebSocket-Protocol");
    !offered.is_empty() && answer.protocol.is_none() && !is_written
}

/// Says once for each handler what browsers make of that: they fail, and tell nobody why.
fn say_none_picked(handler: &str, offered: &[String]) {
    static SAID: Mutex<Flood<String>> = Mutex::new(Flood::lines(1));
    let mut said = SAID.lock().unwrap_or_else(PoisonError::into_inner);
    let offered = offered.join(", ");
    let offered = offered.as_str();
    Event::NoSubprotocol { handler, offered }.tell_within(&mut *said, handler);
}
