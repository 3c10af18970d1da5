//! A hook's say on a request: the request as scripts see it, and the run of the hook, while bytes
//! come and go.

use std::borrow::Cow;
use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::client::Client;
use super::head::Head;
use super::respond::Refusal;
use super::site::Site;
use crate::script::{
    Answer, Body, Handler, Handshake, HandshakeFailure, Hook, Request, State, Wire,
};

/// The id of a refusal because of a handler's fault.
pub const FAULT: &str = "fault";

/// A request that a handler is asked about.
pub struct Asking<'a> {
    /// The worker's.
    pub site: &'a Rc<Site>,
    /// The request.
    pub head: &'a Head,
    /// Who sent it.
    pub client: &'a Client,
    /// The connection's number.
    pub id: u64,
}

impl Asking<'_> {
    /// The request as scripts see it.
    pub fn request(
        &self,
        path: &str,
        params: Vec<(String, String)>,
        wire: Wire,
        body: Option<Vec<u8>>,
    ) -> Result<Rc<Request>, Refusal> {
        let (head, client) = (self.head, self.client);
        Ok(Rc::new(Request {
            path: path.to_owned(),
            params,
            target: head.target(),
            method: head.method().to_owned(),
            http_version: if head.is_current() { "1.1" } else { "1.0" },
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
            body,
        }))
    }

    /// Runs the hook, and carries the bytes of its raw reads and writes meanwhile. It ends when the
    /// client leaves.
    pub async fn run<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        handler: &Rc<Handler>,
        hook: Hook,
        request: &Rc<Request>,
        stream: &mut S,
    ) -> Result<(State, Answer, Body), HandshakeFailure> {
        let mut run = Handshake::new(&self.site.runtime, handler, hook, self.id, request);
        poll_fn(|context| {
            loop {
                if let Poll::Ready(asked) = run.poll(context) {
                    return Poll::Ready(asked);
                }
                if !carry(&mut request.wire.borrow_mut(), stream, context) {
                    return Poll::Pending;
                }
            }
        })
        .await
    }
}

/// The refusal because of a fault, which has been reported.
pub fn failed(reason: Cow<'static, str>) -> Refusal {
    Refusal::new(500, reason).named(FAULT)
}

/// The refusal because too many hooks wait.
pub fn busy() -> Refusal {
    Refusal::new(503, "the server is busy: try again later")
        .with_retry_after()
        .named("hooks")
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
