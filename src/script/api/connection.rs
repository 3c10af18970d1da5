//! The open connection: `ws`.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;

use rhai::{Array, Blob, Dynamic, EvalAltResult, ImmutableString, Map};

use super::extensions::extension;
use super::messages::no_message;
use super::options::option;
use crate::hub::Seat;
use crate::machine::budget::Stop;
use crate::machine::error::{duration, throw};
use crate::machine::host::{Allowed, Function, Package};
use crate::machine::packages::json;
use crate::machine::wait::Wait;
use crate::machine::{lending, meter};
use crate::script::Limits;
use crate::script::caller;
use crate::script::hooks::Hook;
use crate::script::peer::Peer;
use crate::websocket::frame::Data;
use crate::websocket::{Abort, Close, Outbox, ReadyState, SendError, close};

/// Bytes of a control frame's payload, RFC 6455 section 5.5.
const MAX_CONTROL: usize = 125;

/// The `ws` object of scripts.
#[derive(Debug, Clone)]
pub struct WebSocket(pub Rc<Peer>);

/// `ws`: everything a connection can be told and asked.
pub const PACKAGE: Package = Package {
    name: "ws",
    about: "The open connection, an argument of every hook after the handshake. What `request` can \
        be asked, `ws` can be asked too \
            (`ws.query`, `ws.header(name)`, …). After a Close, and in `on_close`, sending does \
            nothing: the other side may have closed at any \
            moment.",
    functions: &[
        Function {
            signatures: &[
                "ws.send(text: string)",
                "ws.send(data: blob)",
                "ws.send(text: string, options: map)",
                "ws.send(data: blob, options: map)",
            ],
            about: "Sends one message: text for a string, binary for a blob. It waits while too \
                much is unsent, so that a script cannot \
                    outrun its peer. Where compression was agreed on, a message is compressed from \
                    1 KiB on if that makes it smaller; \
                    `compress` in the options says otherwise for this one: `false` for what holds \
                    a secret beside text of somebody else's, \
                    who could guess it by the length.",
            throws: &[
                ("type", "for anything but a string or a blob"),
                (
                    "option",
                    "for an option that there is not, or another value than `true` or `false`",
                ),
                (
                    "fragment",
                    "while a message of `send_fragment` is not ended",
                ),
            ],
            allowed: Allowed::Open,
            example: "ws.send(message); // => hello\nws.send(`${message}, again`, #{compress: \
                false}); // => hello, again",
            register: |engine, _| {
                engine
                    .register_type_with_name::<WebSocket>("WebSocket")
                    .register_fn(
                        "send",
                        lending::at_text(|ws: &WebSocket, text| {
                            send(&ws.0, Data::Text, text.as_bytes(), None)
                        }),
                    )
                    .register_fn(
                        "send",
                        lending::at_bytes(|ws: &WebSocket, data| {
                            send(&ws.0, Data::Binary, data, None)
                        }),
                    )
                    .register_fn("send", |_: &mut WebSocket, other: Dynamic| {
                        no_message::<()>("send", &other)
                    })
                    .register_fn(
                        "send",
                        |ws: &mut WebSocket, text: ImmutableString, options: Map| {
                            send(
                                &ws.0,
                                Data::Text,
                                text.as_bytes(),
                                option("compress", &options)?,
                            )
                        },
                    )
                    .register_fn("send", |ws: &mut WebSocket, data: Blob, options: Map| {
                        send(&ws.0, Data::Binary, &data, option("compress", &options)?)
                    })
                    .register_fn("send", |_: &mut WebSocket, other: Dynamic, _: Map| {
                        no_message::<()>("send", &other)
                    });
            },
        },
        Function {
            signatures: &["ws.send_json(value: any)"],
            about: "Sends a value as JSON text: `ws.send(to_json(value))`.",
            throws: &[("json", "for what JSON cannot say, see `to_json`")],
            allowed: Allowed::Open,
            example: "ws.send_json(#{answer: 42, to: [message, true, ()]}); // => \
                {\"answer\":42,\"to\":[\"hello\",true,null]}",
            register: |engine, host| {
                let limits = host.settings.limits;
                engine.register_fn("send_json", move |ws: &mut WebSocket, value: Dynamic| {
                    let text = json::to_json(&value, &limits)?;
                    send(&ws.0, Data::Text, text.as_bytes(), None)
                });
            },
        },
        Function {
            signatures: &[
                "ws.send_fragment(text: string, last: bool)",
                "ws.send_fragment(data: blob, last: bool)",
            ],
            about: "Sends one fragment of a message, which `last` ends. Pings, Pongs and a Close \
                may be sent in between, other messages not.",
            throws: &[(
                "fragment",
                "for a fragment of the other kind than the first",
            )],
            allowed: Allowed::Open,
            example: "ws.send_fragment(\"hel\", false);\nws.send_fragment(\"lo\", true); // => \
                hello",
            register: |engine, _| {
                engine
                    .register_fn(
                        "send_fragment",
                        |ws: &mut WebSocket, text: ImmutableString, last: bool| {
                            send_fragment(&ws.0, Data::Text, text.as_bytes(), last)
                        },
                    )
                    .register_fn(
                        "send_fragment",
                        |ws: &mut WebSocket, data: Blob, last: bool| {
                            send_fragment(&ws.0, Data::Binary, &data, last)
                        },
                    );
            },
        },
        Function {
            signatures: &[
                "ws.receive() -> string | blob | ()",
                "ws.receive(seconds: float | int) -> string | blob | ()",
            ],
            about: "Waits for the next message and gives it: a string or a blob; `()` when the \
                connection is at its end, or when the time is up \
                    (`ws.ready_state` is `\"open\"` then). While a hook waits here, the other \
                    hooks of the connection go on. In \
                    `passive_closing_handshake` and `on_close` there is no next message: it gives \
                    `()` at once.",
            throws: &[
                (
                    "receive",
                    "while another hook of this connection waits for a message, and in `on_reload`",
                ),
                ("time", "for less than 0 or more than 86,400 seconds"),
            ],
            allowed: Allowed::Open,
            example: "fn transfer_data(ws) {\n    let message = ws.receive();\n    while message \
                != () {\n        ws.send(`got ${message}`); // => got hello\n        \
                      message = ws.receive();\n    }\n}",
            register: |engine, host| {
                let limits = host.settings.limits;
                engine
                    .register_fn("receive", move |ws: &mut WebSocket| {
                        receive(ws, None, &limits)
                    })
                    .register_fn("receive", move |ws: &mut WebSocket, seconds: f64| {
                        receive(ws, Some(seconds), &limits)
                    })
                    .register_fn("receive", move |ws: &mut WebSocket, seconds: i64| {
                        receive(ws, Some(seconds as f64), &limits)
                    });
            },
        },
        Function {
            signatures: &["ws.pause()", "ws.resume()"],
            about: "Stops reading what the peer sends, or goes on: the network holds it back, and \
                in the end the peer waits. What had arrived \
                    before still comes. While it is paused, the peer's Close and end are not \
                    noticed.",
            throws: &[],
            allowed: Allowed::Open,
            example: "ws.pause();\nsleep(0.1);\nws.resume();\nws.send(\"reading again\"); // => \
                reading again",
            register: |engine, _| {
                engine
                    .register_fn("pause", |ws: &mut WebSocket| ws.0.handle.pause(true))
                    .register_fn("resume", |ws: &mut WebSocket| ws.0.handle.pause(false));
            },
        },
        Function {
            signatures: &[
                "ws.ping()",
                "ws.ping(payload: string)",
                "ws.ping(payload: blob)",
            ],
            about: "Sends a Ping; the peer's Pong comes to `on_pong`.",
            throws: &[("ping", "for more than 125 bytes")],
            allowed: Allowed::Open,
            example: "fn transfer_data(ws, message) {\n    ws.ping(message);\n}\n\nfn on_pong(ws, \
                payload) {\n    \
                      ws.send(`it lives: ${payload.as_string()}`); // => it lives: hello\n}",
            register: |engine, _| {
                engine
                    .register_fn("ping", |ws: &mut WebSocket| ping(ws, &[]))
                    .register_fn(
                        "ping",
                        lending::at_text(|ws, payload| ping(ws, payload.as_bytes())),
                    )
                    .register_fn("ping", lending::at_bytes(ping));
            },
        },
        Function {
            signatures: &[
                "ws.pong()",
                "ws.pong(payload: string)",
                "ws.pong(payload: blob)",
            ],
            about: "Sends a Pong: the answer in `on_ping`, or one that nobody asked for.",
            throws: &[("ping", "for more than 125 bytes")],
            allowed: Allowed::Open,
            example: "fn on_ping(ws, payload) {\n    ws.pong(payload);\n}\n\nfn transfer_data(ws, \
                message) {\n    ws.pong(\"unasked\");\n}",
            register: |engine, _| {
                engine
                    .register_fn("pong", |ws: &mut WebSocket| pong(ws, &[]))
                    .register_fn(
                        "pong",
                        lending::at_text(|ws, payload| pong(ws, payload.as_bytes())),
                    )
                    .register_fn("pong", lending::at_bytes(pong));
            },
        },
        Function {
            signatures: &[
                "ws.close()",
                "ws.close(code: int)",
                "ws.close(code: int, reason: string)",
                "ws.close(no_code: ())",
            ],
            about: "Closes the connection: with 1000, with a code of yours (3000 to 4999 are free) \
                and a reason, or with `()` without a code. \
                    What was sent before arrives first. A second close does nothing.",
            throws: &[(
                "close",
                "for a code that must not be sent, or a reason over 123 bytes of UTF-8",
            )],
            allowed: Allowed::Open,
            example: "ws.send(\"bye\"); // => bye\nws.close(4000, \"that is all\"); // closes 4000",
            register: |engine, _| {
                engine
                    .register_fn("close", |ws: &mut WebSocket| {
                        close(ws, close::code::NORMAL.into(), "")
                    })
                    .register_fn("close", |ws: &mut WebSocket, code: i64| close(ws, code, ""))
                    .register_fn(
                        "close",
                        |ws: &mut WebSocket, code: i64, reason: ImmutableString| {
                            close(ws, code, &reason)
                        },
                    )
                    .register_fn("close", |ws: &mut WebSocket, (): ()| {
                        let _ = ws.0.handle.close(None);
                    });
            },
        },
        Function {
            signatures: &["ws.abort()", "ws.abort(options: map)"],
            about: "Drops the connection without a Close, as a crashed server would: the client \
                sees 1006. What was sent before arrives, however \
                    slowly the client takes it (but for 30 s in which it takes nothing); then TCP \
                    ends. `ws.abort(#{reset: true})` resets TCP at \
                    once, and what is unsent or unread is lost; a Unix-domain socket knows no \
                    reset and just ends. The hook goes on up to its \
                    next wait.",
            throws: &[(
                "option",
                "for an option that there is not, or another value than `true` or `false`",
            )],
            allowed: Allowed::Open,
            example: "fn transfer_data(ws, message) {\n    if message == \"crash\" {\n        \
                ws.abort();\n    }\n    ws.send(message); // => hello\n}",
            register: |engine, _| {
                engine
                    .register_fn("abort", |ws: &mut WebSocket| {
                        ws.0.handle.abort(Abort::Sent);
                    })
                    .register_fn("abort", |ws: &mut WebSocket, options: Map| {
                        let how = match option("reset", &options)? {
                            Some(true) => Abort::Reset,
                            _ => Abort::Sent,
                        };
                        ws.0.handle.abort(how);
                        Ok::<_, Box<EvalAltResult>>(())
                    });
            },
        },
        Function {
            signatures: &[
                "ws.after(seconds: float | int, name: string)",
                "ws.every(seconds: float | int, name: string)",
            ],
            about: "Sets a timer: `on_timer(ws, name)` is called after that time, once or again \
                and again until it is cancelled or the \
                    connection ends. A timer of the same name is replaced. Timers are kept over \
                    reloads; times that come while another hook \
                    runs wait for its end, and those missed are skipped.",
            throws: &[
                (
                    "time",
                    "for less than 0, for `every` less than 0.001, or more than 86,400 seconds",
                ),
                (
                    "timer",
                    "for a 65th timer, or in a handler without `on_timer`",
                ),
            ],
            allowed: Allowed::Open,
            example: "fn transfer_data(ws, message) {\n    ws.after(0.05, message);\n}\n\nfn \
                on_timer(ws, name) {\n    \
                      ws.send(`time for ${name}`); // => time for hello\n}",
            register: |engine, _| {
                engine
                    .register_fn(
                        "after",
                        |ws: &mut WebSocket, seconds: f64, name: ImmutableString| {
                            set_timer(ws, name, seconds, false)
                        },
                    )
                    .register_fn(
                        "after",
                        |ws: &mut WebSocket, seconds: i64, name: ImmutableString| {
                            set_timer(ws, name, seconds as f64, false)
                        },
                    )
                    .register_fn(
                        "every",
                        |ws: &mut WebSocket, seconds: f64, name: ImmutableString| {
                            set_timer(ws, name, seconds, true)
                        },
                    )
                    .register_fn(
                        "every",
                        |ws: &mut WebSocket, seconds: i64, name: ImmutableString| {
                            set_timer(ws, name, seconds as f64, true)
                        },
                    );
            },
        },
        Function {
            signatures: &["ws.cancel(name: string) -> bool"],
            about: "Forgets a timer; `false` if there was none of that name.",
            throws: &[],
            allowed: Allowed::Open,
            example: "fn transfer_data(ws, message) {\n    ws.every(60, \"minute\");\n    \
                      ws.send(`${ws.cancel(\"minute\")} ${ws.cancel(\"minute\")}`); // => true \
                      false\n}\n\nfn on_timer(ws, name) {}",
            register: |engine, _| {
                engine.register_fn("cancel", |ws: &mut WebSocket, name: ImmutableString| {
                    ws.0.timers(|timers| timers.cancel(&name)).unwrap_or(false)
                });
            },
        },
        Function {
            signatures: &["ws.id -> string"],
            about: "The connection's name, which no other has, nor will have: the node, the worker and \
                the number by which the log names it, such as `9f3c6a1be0d24c77-0-42`. \
                [`connection(id)`](#connection) reaches it from elsewhere.",
            throws: &[],
            allowed: Allowed::Open,
            example: "ws.send(`${ws.id.len > 0}`); // => true",
            register: |engine, host| {
                let seat = host.service::<Seat>();
                engine.register_get("id", move |ws: &mut WebSocket| {
                    let number = ws.0.handle.id();
                    ImmutableString::from(match &seat {
                        Some(seat) => seat.address(number).to_string(),
                        None => number.to_string(),
                    })
                });
            },
        },
        Function {
            signatures: &["ws.protocol -> string"],
            about: "The subprotocol that was agreed on, `\"\"` if none.",
            throws: &[],
            allowed: Allowed::Open,
            example: "fn do_extra_handshake(request) {\n    request.protocol = \"chat\";\n}\n\nfn \
                transfer_data(ws, message) {\n    \
                      ws.send(ws.protocol); // => chat\n}",
            register: |engine, _| {
                engine.register_get("protocol", |ws: &mut WebSocket| {
                    ImmutableString::from(ws.0.place.protocol.as_str())
                });
            },
        },
        Function {
            signatures: &["ws.extensions -> array"],
            about: "The extensions that were agreed on, each a map as in `requested_extensions`: \
                none, or `permessage-deflate`.",
            throws: &[],
            allowed: Allowed::Open,
            example: "ws.send(`${ws.extensions.len}`); // => 0",
            register: |engine, _| {
                engine.register_get("extensions", |ws: &mut WebSocket| -> Array {
                    let agreed = ws.0.handle.agreed().into_iter();
                    agreed
                        .map(|agreed| {
                            let params = agreed.params();
                            let number = |bits: u8| Dynamic::from(bits.to_string());
                            extension(
                                agreed.name(),
                                params.map(|(name, bits)| (name, bits.map(number))),
                            )
                        })
                        .collect()
                });
            },
        },
        Function {
            signatures: &["ws.ready_state -> string"],
            about: "`\"open\"`; `\"closing\"` once our Close is sent; `\"closed\"` when the \
                connection is gone.",
            throws: &[],
            allowed: Allowed::Open,
            example: "ws.send(ws.ready_state); // => open\nws.close();",
            register: |engine, _| {
                engine.register_get("ready_state", |ws: &mut WebSocket| {
                    ImmutableString::from(match ws.0.handle.state() {
                        ReadyState::Open => "open",
                        ReadyState::Closing => "closing",
                        ReadyState::Closed => "closed",
                    })
                });
            },
        },
        Function {
            signatures: &["ws.buffered_amount -> int"],
            about: "Bytes that were sent and that the network has not taken yet.",
            throws: &[],
            allowed: Allowed::Open,
            example: "ws.send(`${ws.buffered_amount >= 0}`); // => true",
            register: |engine, _| {
                engine.register_get("buffered_amount", |ws: &mut WebSocket| {
                    ws.0.handle.buffered() as i64
                });
            },
        },
    ],
};

/// Sends a message, compressed if that was agreed on and is worth it, or as it is wanted.
pub fn send(
    peer: &Rc<Peer>,
    kind: Data,
    payload: &[u8],
    wanted: Option<bool>,
) -> Result<(), Box<EvalAltResult>> {
    let message = |outbox: &Outbox| outbox.message(kind, payload, wanted, meter::pause);
    let result = meter::exempt(|| peer.handle.queue(message))?;
    peer.count(payload.len(), &result);
    sent(peer, result)
}

/// Sends a part of a message.
fn send_fragment(
    peer: &Rc<Peer>,
    kind: Data,
    payload: &[u8],
    last: bool,
) -> Result<(), Box<EvalAltResult>> {
    let fragment = |outbox: &Outbox| outbox.fragment(kind, payload, last);
    let result = meter::exempt(|| peer.handle.queue(fragment));
    peer.count_fragment(payload.len(), last, &result);
    sent(peer, result)
}

/// Queues what is to be sent, and waits while there is too much of it.
pub(super) fn queue(
    peer: &Rc<Peer>,
    frame: impl FnOnce(&Outbox) -> Result<(), SendError>,
) -> Result<(), Box<EvalAltResult>> {
    sent(peer, meter::exempt(|| peer.handle.queue(frame)))
}

fn sent(peer: &Rc<Peer>, result: Result<(), SendError>) -> Result<(), Box<EvalAltResult>> {
    match result {
        Ok(()) if !peer.has_room() => {
            let peer = Rc::clone(peer);
            // The connection's task polls this whenever its stream has taken bytes.
            let drained = poll_fn(move |_| match peer.has_room() {
                true => Poll::Ready(()),
                false => Poll::Pending,
            });
            meter::wait(Wait::Until(Box::pin(drained))).map(drop)?;
            Ok(())
        }
        Ok(()) | Err(SendError::NotOpen) => Ok(()),
        Err(error @ SendError::InFragments) => throw("fragment", error.to_string()),
    }
}

fn receive(
    ws: &mut WebSocket,
    seconds: Option<f64>,
    limits: &Limits,
) -> Result<Dynamic, Box<EvalAltResult>> {
    let timeout = seconds
        .map(|seconds| duration("receive", seconds))
        .transpose()?;
    let peer = &ws.0;
    let hook = caller::hook();
    let is_last = matches!(hook, Some(Hook::PassiveClosingHandshake | Hook::OnClose));
    if peer.handle.state() == ReadyState::Closed || is_last {
        return Ok(Dynamic::UNIT);
    }
    if hook == Some(Hook::OnReload) {
        return throw(
            "receive",
            "on_reload runs before the hook that takes the next message",
        );
    }
    if peer.state.is_held() {
        return throw(
            "receive",
            "another hook of this connection waits for the next message already",
        );
    }
    // It may be long until the hook ends, and that is when it is looked at otherwise.
    if !peer
        .state
        .is_within(meter::operations(), meter::held(), limits)
    {
        return Err(Stop::State.into());
    }
    Ok(meter::wait(Wait::Receive(timeout))?)
}

fn ping(ws: &WebSocket, payload: &[u8]) -> Result<(), Box<EvalAltResult>> {
    check_control(payload)?;
    queue(&ws.0, |outbox| outbox.ping(payload))
}

fn pong(ws: &WebSocket, payload: &[u8]) -> Result<(), Box<EvalAltResult>> {
    check_control(payload)?;
    queue(&ws.0, |outbox| outbox.pong(payload))
}

fn check_control(payload: &[u8]) -> Result<(), Box<EvalAltResult>> {
    if payload.len() > MAX_CONTROL {
        return throw(
            "ping",
            format!(
                "a Ping or Pong carries at most {MAX_CONTROL} bytes, not {}",
                payload.len()
            ),
        );
    }
    Ok(())
}

fn close(ws: &mut WebSocket, code: i64, reason: &str) -> Result<(), Box<EvalAltResult>> {
    match Close::checked(code, reason) {
        Ok(close) => {
            let _ = ws.0.handle.close(Some(&close));
            Ok(())
        }
        Err(message) => throw("close", message),
    }
}

fn set_timer(
    ws: &mut WebSocket,
    name: ImmutableString,
    seconds: f64,
    repeats: bool,
) -> Result<(), Box<EvalAltResult>> {
    if !caller::has(Hook::OnTimer) {
        return throw(
            "timer",
            "the handler has no fn on_timer(ws, name) that the timer could call",
        );
    }
    ws.0.set_timer(name, seconds, repeats)
}
