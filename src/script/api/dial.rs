//! Connections that a script opens by itself: `dial`, and what it has of them.

use std::rc::Rc;
use std::sync::Arc;

use rhai::{Dynamic, EvalAltResult, ImmutableString, Map};

use super::messages::{of_message, to_message};
use super::options::{headers, no_option, option, seconds, texts};
use super::trip::{Errand, Trip};
use crate::client::{Address, Ask, Barred, Egress, Kind, NotOpened, Stream, dial, dial_over};
use crate::machine::error::{duration, throw, thrown};
use crate::machine::host::{Allowed, Function, Host, Package};
use crate::machine::meter;
use crate::machine::packages::json;
use crate::script::caller::{self, Caller};
use crate::script::dialed::Line;
use crate::script::hooks::Hook;
use crate::script::stand_in::StandIn;
use crate::websocket::{Close, Message, ReadyState};

type Result<T> = std::result::Result<T, Box<EvalAltResult>>;

/// A dialed connection as scripts have it.
#[derive(Debug, Clone)]
pub struct Handle(pub Rc<Line>);

/// What scripts may be told when they go out.
pub(super) const BARRED: (&str, &str) = (
    "connect",
    "for a host that `--allow-connect` does not name, or that is an address of this machine or of \
     a network behind it which it does not name",
);
pub(super) const UNREACHED: (&str, &str) = (
    "unreached",
    "if nobody answers there, or not as it has to be",
);
pub(super) const LATE: (&str, &str) = (
    "late",
    "if it takes longer than `--connect-timeout`, or the option `seconds`",
);
pub(super) const URL: (&str, &str) = ("url", "for what is no such URL");
pub(super) const OPTION: (&str, &str) = (
    "option",
    "for an option that there is not, or another kind of value",
);

/// `dial`, and what it gives.
pub const PACKAGE: Package = Package {
    name: "dial",
    about: "Connections that a script opens to other servers, where `--allow-connect` lets it: see \
        [Other servers](#other-servers). One that was dialed belongs to the connection whose hook \
        did it, stays over reloads, and ends with it. What comes goes to a hook that waits in \
        `dialed.receive()`; else to `on_dialed`, if the handler has that; else it stays until it is \
        asked for, and the other side is not read any further meanwhile.",
    functions: &[
        Function {
            signatures: &[
                "dial(url: string) -> Dialed",
                "dial(url: string, options: map) -> Dialed",
            ],
            about: "Opens a WebSocket to another server, and gives it when the handshake is done. \
                Options are `headers`, a map of strings or of arrays of them; `subprotocols`, a \
                string or an array of them; `compress: true` to offer compression; and `seconds`, \
                how long it may take.",
            throws: &[
                BARRED,
                UNREACHED,
                LATE,
                (
                    "refused",
                    "if the server answers with another status than 101",
                ),
                (
                    "dials",
                    "for one connection more than a connection (`--max-dialed`) or a handler \
                     (`--max-dialed-per-handler`) may have",
                ),
                URL,
                OPTION,
            ],
            allowed: Allowed::Everywhere,
            example: "try {\n    let feed = dial(\"wss://feed.example/prices\", \
                      #{subprotocols: \"v1\"});\n    feed.send(message);\n} catch (e) {\n    \
                      ws.send(e.kind); // => connect\n}",
            register: |engine, host| {
                let (outside, again) = (Outside::of(host), Outside::of(host));
                engine
                    .register_type_with_name::<Handle>("Dialed")
                    .register_fn("dial", move |url: ImmutableString| {
                        open(&outside, &url, &Map::new())
                    })
                    .register_fn("dial", move |url: ImmutableString, options: Map| {
                        open(&again, &url, &options)
                    });
            },
        },
        Function {
            signatures: &[
                "dialed.send(message: string | blob)",
                "dialed.send_json(value: any)",
            ],
            about: "Sends a message: text for a string, binary for a blob, and JSON as text. It \
                waits while too much is unsent. Once the connection closes, it does nothing.",
            throws: &[
                ("type", "for anything but a string or a blob"),
                ("json", "for what JSON cannot say, see `to_json`"),
            ],
            allowed: Allowed::Everywhere,
            example: "fn transfer_data(ws, message) {\n    if \"up\" in this {\n        \
                      this.up.send(message);\n    }\n    ws.send(message); // => hello\n}",
            register: |engine, host| {
                let limits = host.settings.limits;
                engine
                    .register_fn("send", |dialed: &mut Handle, message: Dynamic| {
                        let line = &dialed.0;
                        let send = |message: &Message<'_>| meter::exempt(|| line.send(message));
                        to_message("send", &message, send)?;
                        wait_for_room(line)
                    })
                    .register_fn("send_json", move |dialed: &mut Handle, value: Dynamic| {
                        let text = json::to_json(&value, &limits)?;
                        let message = Message::Text(text.as_str().into());
                        meter::exempt(|| dialed.0.send(&message));
                        wait_for_room(&dialed.0)
                    });
            },
        },
        Function {
            signatures: &[
                "dialed.receive() -> string | blob | ()",
                "dialed.receive(seconds: float | int) -> string | blob | ()",
            ],
            about: "The next message; it waits for it, so long at the most. `()` when the \
                connection has ended or the time is over: `dialed.ready_state` tells which.",
            throws: &[("time", "for less than 0 or more than 86,400 seconds")],
            allowed: Allowed::Everywhere,
            example: "fn transfer_data(ws, message) {\n    let answer = if \"up\" in this {\n        \
                      this.up.receive(5)\n    } else {\n        message\n    };\n    \
                      ws.send(answer); // => hello\n}",
            register: |engine, _| {
                engine
                    .register_fn("receive", |dialed: &mut Handle| receive(&dialed.0, None))
                    .register_fn("receive", |dialed: &mut Handle, seconds: f64| {
                        receive(&dialed.0, Some(seconds))
                    })
                    .register_fn("receive", |dialed: &mut Handle, seconds: i64| {
                        receive(&dialed.0, Some(seconds as f64))
                    });
            },
        },
        Function {
            signatures: &[
                "dialed.close()",
                "dialed.close(code: int)",
                "dialed.close(code: int, reason: string)",
            ],
            about: "Closes it, with 1000 or a code of yours, and a reason. What was sent before \
                arrives first; a second close does nothing.",
            throws: &[(
                "close",
                "for a code that must not be sent, or a reason over 123 bytes of UTF-8",
            )],
            allowed: Allowed::Everywhere,
            example: "fn on_close(ws, code, reason, was_clean) {\n    this.up?.close(4000, \
                      \"bye\");\n}\n\nfn transfer_data(ws, message) {\n    ws.send(message); \
                      // => hello\n}",
            register: |engine, _| {
                engine
                    .register_fn("close", |dialed: &mut Handle| close(dialed, 1000, ""))
                    .register_fn("close", |dialed: &mut Handle, code: i64| {
                        close(dialed, code, "")
                    })
                    .register_fn(
                        "close",
                        |dialed: &mut Handle, code: i64, reason: ImmutableString| {
                            close(dialed, code, &reason)
                        },
                    );
            },
        },
        Function {
            signatures: &[
                "dialed.id -> int",
                "dialed.url -> string",
                "dialed.ready_state -> string",
                "dialed.buffered_amount -> int",
                "dialed.protocol -> string",
            ],
            about: "Its number among those of this connection, from 1 on; where it leads; \
                `\"open\"`, `\"closing\"` or `\"closed\"`, as `ws.ready_state`; the bytes that are \
                not sent yet; and the subprotocol that was agreed on, empty without one.",
            throws: &[],
            allowed: Allowed::Everywhere,
            example: "fn on_dialed(ws, dialed, message) {\n    ws.send(`${dialed.url}: \
                      ${message}`);\n}\n\nfn transfer_data(ws, message) {\n    ws.send(message); \
                      // => hello\n}",
            register: |engine, _| {
                let state = |dialed: &mut Handle| {
                    ImmutableString::from(match dialed.0.state() {
                        ReadyState::Open => "open",
                        ReadyState::Closing => "closing",
                        ReadyState::Closed => "closed",
                    })
                };
                engine
                    .register_get("id", |dialed: &mut Handle| dialed.0.id)
                    .register_get("url", |dialed: &mut Handle| dialed.0.url.clone())
                    .register_get("ready_state", state)
                    .register_get("buffered_amount", |dialed: &mut Handle| {
                        dialed.0.buffered() as i64
                    })
                    .register_get("protocol", |dialed: &mut Handle| dialed.0.protocol.clone());
            },
        },
        Function {
            signatures: &["dialed.header(name: string) -> string | ()"],
            about: "A header of the answer that opened it; several of one name are joined by a \
                comma.",
            throws: &[],
            allowed: Allowed::Everywhere,
            example: "fn on_dialed(ws, dialed, message) {\n    ws.send(dialed.header(\"server\") \
                      ?? \"\");\n}\n\nfn transfer_data(ws, message) {\n    ws.send(message); \
                      // => hello\n}",
            register: |engine, _| {
                engine.register_fn("header", |dialed: &mut Handle, name: &str| {
                    let fields = dialed.0.headers.iter();
                    let values: Vec<_> = fields
                        .filter(|(known, _)| known.eq_ignore_ascii_case(name))
                        .map(|(_, value)| value.as_str())
                        .collect();
                    match values.is_empty() {
                        true => Dynamic::UNIT,
                        false => values.join(", ").into(),
                    }
                });
            },
        },
    ],
};

/// What is outside, as a host has it.
pub(super) struct Outside {
    /// The way there; none where files are only checked.
    egress: Option<Arc<Egress>>,
    /// Who answers instead of everybody there, in tests.
    pub stand_in: Option<Arc<dyn StandIn>>,
}

impl Outside {
    /// That of a host.
    pub fn of(host: &Host) -> Self {
        let egress = host.service::<Arc<Egress>>();
        let stand_in = host.service::<Arc<dyn StandIn>>();
        Self {
            egress: egress.map(|egress| Arc::clone(&*egress)),
            stand_in: stand_in.map(|stand_in| Arc::clone(&*stand_in)),
        }
    }

    /// The way there, and who goes.
    pub fn leave(&self, function: &str) -> Result<(&Arc<Egress>, Rc<Caller>)> {
        let caller = caller::current().filter(|caller| caller.served.get().is_some());
        match (&self.egress, caller) {
            (Some(egress), Some(caller)) => Ok((egress, caller)),
            _ => throw(
                "connect",
                format!("{function} is there in hooks, not at the top level"),
            ),
        }
    }
}

/// The error for somebody who may not go out.
pub(super) fn barred(barred: &Barred) -> Box<EvalAltResult> {
    let kind = match barred {
        Barred::Unnamed(_) => "connect",
        Barred::Dialed(_) => "dials",
        Barred::Requests(_) => "requests",
    };
    thrown(kind, barred.to_string())
}

/// The error for a server that was not reached.
pub(super) fn not_opened(error: &NotOpened) -> Box<EvalAltResult> {
    let kind = match error {
        NotOpened::Barred(..) => "connect",
        NotOpened::Refused(..) => "refused",
        NotOpened::Late(_) => "late",
        NotOpened::Unreached(..) | NotOpened::Tls(..) | NotOpened::Broken(_) => "unreached",
    };
    thrown(kind, error.to_string())
}

fn open(outside: &Outside, url: &str, options: &Map) -> Result<Handle> {
    let who = outside.leave("dial")?;
    let address = address(url)?;
    let trip = Trip::begin(Errand::Dial, who.1.file(), address.place());
    let opened = reach(outside, who, address, options);
    trip.ends(&opened);
    opened
}

fn reach(
    outside: &Outside,
    (egress, caller): (&Arc<Egress>, Rc<Caller>),
    address: Address,
    options: &Map,
) -> Result<Handle> {
    let instead = match &outside.stand_in {
        Some(stand_in) => Some(stand_in.open(&address)?),
        None => {
            egress.check(&address).map_err(|error| barred(&error))?;
            None
        }
    };
    let (ask, time) = asked(options)?;
    let time = match time {
        Some(seconds) => duration("dial", seconds)?,
        None => egress.limits.time,
    };
    let state = caller.owner.state();
    let has_hooks = caller::has(Hook::OnDialed) || caller::has(Hook::OnDialedClose);
    let most = egress.limits.dialed;
    if state.lines(|lines| lines.count(has_hooks)) >= most {
        return throw(
            "dials",
            format!("this connection has {most} dialed already (--max-dialed): close some"),
        );
    }
    let permit = egress.admit(caller.file(), Kind::Dialed);
    let permit = permit.map_err(|error| barred(&error))?;
    let (egress, id) = (Arc::clone(egress), state.lines(|lines| lines.number()));
    let line = meter::until(async move {
        let admits = |host: &str, place| egress.admits(host, place);
        let (way, limit) = (egress.way(&admits), egress.message);
        let dialed = match instead {
            None => dial(&address, &ask, way, time, limit).await?,
            Some((stream, target)) => {
                // As the clients of a test call its server.
                let there = Address {
                    secure: false,
                    host: "localhost".to_owned(),
                    port: 80,
                    target,
                    user: address.user.clone(),
                };
                let stream = Stream::Memory(stream);
                dial_over(stream, &there, &ask, time, limit).await?
            }
        };
        let url = address.to_string();
        Ok(Line::begin(id, url, dialed, Arc::clone(&egress), permit))
    })?;
    let line: Rc<Line> = line.map_err(|error: NotOpened| not_opened(&error))?;
    state.lines(|lines| lines.add(Rc::clone(&line)));
    Ok(Handle(line))
}

/// The address of a WebSocket, as scripts have to write it.
fn address(url: &str) -> Result<Address> {
    let lower = url.get(..6).unwrap_or(url).to_ascii_lowercase();
    let is_whole = lower.starts_with("ws://") || lower.starts_with("wss://");
    match Address::parse(url) {
        Ok(address) if is_whole => Ok(address),
        _ => throw(
            "url",
            format!("{url:?} is no WebSocket's URL: write ws://HOST:PORT/PATH or wss://HOST/PATH"),
        ),
    }
}

/// What is asked for, and how long it may take.
fn asked(options: &Map) -> Result<(Ask, Option<f64>)> {
    const KNOWN: [&str; 4] = ["headers", "subprotocols", "compress", "seconds"];
    let (mut ask, mut time) = (Ask::default(), None);
    for (name, value) in options {
        match name.as_str() {
            "headers" => {
                for (name, value) in headers(value)? {
                    ask.header(&format!("{name}: {value}"))
                        .or_else(|why| throw("option", why))?;
                }
            }
            "subprotocols" => ask.subprotocols.extend(texts(name, value)?),
            "compress" => {
                let only = Map::from([("compress".into(), value.clone())]);
                ask.compress = option("compress", &only)? == Some(true);
            }
            "seconds" => time = Some(seconds(name, value)?),
            _ => return throw("option", no_option(name, &KNOWN)),
        }
    }
    if let Some(wrong) = ask.wrong_subprotocol() {
        return throw("option", format!("{wrong:?} is no subprotocol"));
    }
    Ok((ask, time))
}

/// Waits while there is too much unsent, so that a script cannot outrun the other side.
fn wait_for_room(line: &Rc<Line>) -> Result<()> {
    if !line.has_room() {
        meter::until(Rc::clone(line).room())?;
    }
    Ok(())
}

fn receive(line: &Rc<Line>, seconds: Option<f64>) -> Result<Dynamic> {
    let time = seconds
        .map(|seconds| duration("receive", seconds))
        .transpose()?;
    if let Some(message) = line.take() {
        return Ok(of_message(message));
    }
    let next = Rc::clone(line).next();
    let message = match time {
        None => meter::until(next)?,
        Some(time) => meter::until(async move {
            let next = tokio::time::timeout(time, next).await;
            next.ok().flatten()
        })?,
    };
    Ok(message.map_or(Dynamic::UNIT, of_message))
}

fn close(dialed: &Handle, code: i64, reason: &str) -> Result<()> {
    match Close::checked(code, reason) {
        Ok(close) => {
            dialed.0.close(Some(&close));
            Ok(())
        }
        Err(message) => throw("close", message),
    }
}
