//! The open connection: `ws`.

use std::rc::Rc;

use rhai::{Blob, Dynamic, Engine, EvalAltResult, ImmutableString};

use super::{stop, throw};
use crate::script::call::checked_close;
use crate::script::fiber::Wait;
use crate::script::meter;
use crate::websocket::{Outbox, ReadyState, close};

/// What scripts know of a connection.
#[derive(Debug)]
pub struct Peer {
    pub(in crate::script) outbox: Rc<Outbox>,
    place: Rc<Place>,
}

/// What many connections have in common, so that each of them holds a pointer.
#[derive(Debug, PartialEq, Eq)]
pub struct Place {
    /// The path, decoded.
    pub path: String,
    /// The subprotocol that was agreed on, or none.
    pub protocol: String,
    /// Unsent bytes from which `send` waits.
    pub send_queue: usize,
}

impl Peer {
    /// The other end of this outbox.
    pub fn new(outbox: Rc<Outbox>, place: Rc<Place>) -> Self {
        Self { outbox, place }
    }

    pub(in crate::script) fn has_room(&self) -> bool {
        self.outbox.state() != ReadyState::Open || self.outbox.buffered() < self.place.send_queue
    }
}

/// `ws`.
#[derive(Debug, Clone)]
pub struct WebSocket(pub Rc<Peer>);

/// Registers `ws`.
pub fn register(engine: &mut Engine) {
    engine
        .register_type_with_name::<WebSocket>("WebSocket")
        .register_fn("send", |ws: &mut WebSocket, text: ImmutableString| {
            sent(&ws.0, ws.0.outbox.send_text(&text))
        })
        .register_fn("send", |ws: &mut WebSocket, bytes: Blob| {
            sent(&ws.0, ws.0.outbox.send_binary(&bytes))
        })
        .register_fn(
            "send",
            |_: &mut WebSocket, other: Dynamic| -> Result<(), Box<EvalAltResult>> {
                throw(
                    "type",
                    format!("send takes a string or a blob, not {}", other.type_name()),
                )
            },
        )
        .register_fn("close", |ws: &mut WebSocket| {
            close(ws, close::code::NORMAL.into(), "")
        })
        .register_fn("close", |ws: &mut WebSocket, code: i64| close(ws, code, ""))
        .register_fn(
            "close",
            |ws: &mut WebSocket, code: i64, reason: ImmutableString| close(ws, code, &reason),
        )
        .register_get("id", |ws: &mut WebSocket| {
            ImmutableString::from(ws.0.outbox.id().to_string())
        })
        .register_get("path", |ws: &mut WebSocket| {
            ImmutableString::from(ws.0.place.path.as_str())
        })
        .register_get("protocol", |ws: &mut WebSocket| {
            ImmutableString::from(ws.0.place.protocol.as_str())
        })
        .register_get("buffered_amount", |ws: &mut WebSocket| {
            ws.0.outbox.buffered() as i64
        })
        .register_get("ready_state", |ws: &mut WebSocket| {
            ImmutableString::from(match ws.0.outbox.state() {
                ReadyState::Open => "open",
                ReadyState::Closing => "closing",
                ReadyState::Closed => "closed",
            })
        });
}

/// `ws.send(text | blob)`: one message. It waits while too much is unsent, so that a script cannot outrun its peer.
/// After a Close it does nothing, as in browsers: the other side may have closed at any moment.
fn sent(
    peer: &Peer,
    result: Result<(), crate::websocket::SendError>,
) -> Result<(), Box<EvalAltResult>> {
    if result.is_ok() && !peer.has_room() {
        return meter::wait(Wait::Drained).or_else(stop);
    }
    Ok(())
}

/// `ws.close()`, `ws.close(code)`, `ws.close(code, reason)`: throws `close` for a code that must not travel or a
/// reason over 123 bytes. A second close does nothing.
fn close(ws: &mut WebSocket, code: i64, reason: &str) -> Result<(), Box<EvalAltResult>> {
    match checked_close(code, reason) {
        Ok(close) => {
            let _ = ws.0.outbox.close(Some(&close));
            Ok(())
        }
        Err(message) => throw("close", message),
    }
}
