//! What caused a fault, done again: in a connection of its own, which no client has, through the
//! newest version of the handler.

use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::time::timeout;

use super::ScriptSession;
use super::load::ensure_loaded;
use crate::machine::source::Source;
use crate::observe::live::{Entered, FAULTS, Person};
use crate::script::look;
use crate::script::peer::{Peer, Place};
use crate::script::request::{Request, Wire};
use crate::script::runtime::Runtime;
use crate::script::state::State;
use crate::websocket::{Event, Handle, Message, Outbox, Outcome, Session, Watch};

/// How long it may take.
const TIME: Duration = Duration::from_secs(10);
/// Bytes that are taken from its queue at once.
const PORTION: usize = 1 << 20;

/// What is to be done again.
#[derive(Debug)]
pub struct Again {
    /// The path of the connection.
    pub path: String,
    /// What it matched in the handler's path.
    pub params: Vec<(String, String)>,
    /// The message; none if the connection's opening is to be done again.
    pub message: Option<Message<'static>>,
    /// `this` as it was.
    pub this: Value,
}

/// Does it again: the frames that the handler has sent, how it ended, and how long that took.
pub async fn run_again(runtime: &Rc<Runtime>, source: &Arc<Source>, again: Again) -> Value {
    let handler = runtime.handler(source);
    if !ensure_loaded(runtime, &handler).await {
        return json!({ "outcome": "failed", "reason": "the newest version does not load" });
    }
    let Again {
        path,
        params,
        message,
        this,
    } = again;
    let id = Handle::next_id();
    let person = Person {
        connection: id,
        handler: handler.file(),
        path: path.clone(),
        ..Person::default()
    };
    let entered = Entered::apart(person, handler.serving());
    let seen = Arc::clone(&entered.0);
    let mut outbox = Outbox::new(Vec::new());
    if let Some(watch) = Watch::new(id, None, Some(entered), None, None) {
        outbox = outbox.watched(watch);
    }
    let handle = Handle::new(id, outbox);
    let request = handler
        .keeps_requests()
        .then(|| Rc::new(request(&path, params)));
    let place = handler.place(Place {
        path,
        send_queue: PORTION,
        ..Place::default()
    });
    let state = State::of(look::restored(&this));
    let peer = Rc::new(Peer::new(Rc::clone(&handle), place, state, request));
    let mut session = ScriptSession::new(Rc::clone(runtime), Rc::clone(&handler), peer, ());
    FAULTS.expect(id);
    let event = message.map_or(Event::Opened, Event::Message);
    let begun = Instant::now();
    let outcome = timeout(TIME, handled(&mut session, event, &handle)).await;
    let milliseconds = begun.elapsed().as_secs_f64() * 1e3;
    session.cancel();
    let fault = FAULTS.take(id);
    let fault = fault.as_ref();
    let (outcome, reason) = match outcome {
        _ if session.has_failed => (
            "failed",
            fault.map_or("", |fault| &fault.message).to_owned(),
        ),
        Ok(Outcome::Failed(reason)) => ("failed", reason.into_owned()),
        Ok(_) => ("passed", String::new()),
        Err(_) => ("waits", String::new()),
    };
    let this = session.owner.state().look(|this| look::shown(this).0);
    json!({
        "outcome": outcome, "reason": reason, "report": fault.map(|fault| &fault.report),
        "version": handler.serving(), "sent": seen.take_kept(), "milliseconds": milliseconds,
        "this": this,
    })
}

/// The end of handling an event. What is sent is taken at once, as by a quick client.
async fn handled(
    session: &mut ScriptSession<()>,
    event: Event<'_>,
    handle: &Rc<Handle>,
) -> Outcome {
    let mut event = Some(event);
    poll_fn(|context| {
        loop {
            let polled = match event.take() {
                Some(event) => session.start(event, handle, context),
                None => session.resume(context),
            };
            if let Poll::Ready(outcome) = polled {
                return Poll::Ready(outcome);
            }
            // It may wait for room.
            if handle.take_unsent(PORTION).is_empty() {
                return Poll::Pending;
            }
        }
    })
    .await
}

/// The request that a client's handshake might have been.
fn request(path: &str, params: Vec<(String, String)>) -> Request {
    Request {
        path: path.to_owned(),
        params,
        target: path.to_owned(),
        method: "GET".into(),
        http_version: "1.1",
        secure: false,
        headers: Vec::new(),
        requested_protocols: Vec::new(),
        remote_addr: None,
        client_subject: None,
        user: None,
        answer: Default::default(),
        wire: Wire::default().into(),
        raw_head: Default::default(),
        body: None,
    }
}
