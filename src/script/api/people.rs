//! Presence and other connections by their ids: who is there, and a word to one of them.

use std::sync::Arc;

use rhai::{Array, Blob, Dynamic, EvalAltResult, ImmutableString, Map};

use super::topics::{ENGINE, answered, here, join, seat};
use crate::hub::{Address, Changes, Direct, Info, People, Purpose, Seat};
use crate::machine::error::throw;
use crate::machine::host::{Allowed, Function, Package};
use crate::machine::packages::json;
use crate::machine::{Limits, meter};
use crate::websocket::frame::Data;
use crate::websocket::{Close, close};

type Result<T> = std::result::Result<T, Box<EvalAltResult>>;

/// Entries that are given at once.
const MOST: usize = 1_000;

/// Another connection, as scripts have it.
#[derive(Debug, Clone)]
pub struct Other {
    seat: Option<Arc<Seat>>,
    id: ImmutableString,
}

/// Who is there, and a word to one of them.
pub const PACKAGE: Package = Package {
    name: "people",
    about: "Who is in a topic, by the `key` that connections give when they \
        [subscribe](#wssubscribe), and other connections by their `ws.id`. Several connections of \
        one key are one entry. It is there at once, and gone at once when the last of them leaves \
        the topic or closes properly; when that is lost, or its page is loaded anew or left \
        (close code 1001), 15 s later (`--presence-grace`), unless the key is back by then.",
    functions: &[
        Function {
            signatures: &["presence(topic: string) -> array"],
            about: "Who is in a topic, in the order of the keys, 1,000 at the most: maps of \
                `key`; `info`, what was said last; `connections`, how many the key has, 0 for one \
                whose connection was lost a moment ago; `since`, the time as `now()` gives it. \
                `on_presence` tells who comes and goes.",
            throws: &[("topic", "outside of a hook"), ENGINE],
            allowed: Allowed::Everywhere,
            example: "fn on_open(ws) {\n    ws.subscribe(\"lobby\", #{key: \"ann\", info: \
                      #{colour: \"red\"}});\n}\n\nfn transfer_data(ws, message) {\n    for one \
                      in presence(\"lobby\") {\n        ws.send(`${one.key} ${one.info.colour} \
                      ${one.connections}`); // => ann red 1\n    }\n}",
            register: |engine, host| {
                let (seat, limits) = (seat(host), host.settings.limits);
                engine.register_fn("presence", move |topic: ImmutableString| -> Result<Array> {
                    let (seat, caller) = here(&seat)?;
                    join(seat, &caller, &topic, Purpose::People)?;
                    let present = seat.hub.present(&topic, MOST);
                    let mut entries = Array::with_capacity(present.len());
                    for one in present {
                        let mut entry = person(&one.key, &one.info, &limits)?;
                        entry.insert("connections".into(), (one.connections as i64).into());
                        entry.insert("since".into(), one.since.into());
                        entries.push(entry.into());
                    }
                    Ok(entries)
                });
            },
        },
        Function {
            signatures: &["presence_count(topic: string) -> int"],
            about: "How many keys are in a topic, which costs nothing however many there are.",
            throws: &[("topic", "outside of a hook"), ENGINE],
            allowed: Allowed::Everywhere,
            example: "ws.subscribe(\"hall\", #{key: \"ann\"});\n\
                      ws.send(`${presence_count(\"hall\")}`); \
                      // => 1",
            register: |engine, host| {
                let seat = seat(host);
                engine.register_fn(
                    "presence_count",
                    move |topic: ImmutableString| -> Result<i64> {
                        let (seat, caller) = here(&seat)?;
                        join(seat, &caller, &topic, Purpose::People)?;
                        Ok(seat.hub.present_count(&topic) as i64)
                    },
                );
            },
        },
        Function {
            signatures: &["connection(id: string) -> Connection"],
            about: "Another connection by its `ws.id`, or this one, on whichever worker it is, and with a \
                broker on whichever node. Whether there is one shows when it is sent something.",
            throws: &[],
            allowed: Allowed::Everywhere,
            example: "connection(ws.id).send(`you said ${message}`); // => you said hello",
            register: |engine, host| {
                let seat = seat(host);
                engine
                    .register_type_with_name::<Other>("Connection")
                    .register_fn("connection", move |id: ImmutableString| Other {
                        seat: seat.clone(),
                        id,
                    });
            },
        },
        Function {
            signatures: &[
                "connection.send(text: string) -> bool",
                "connection.send(data: blob) -> bool",
            ],
            about: "Sends the connection a message, and gives whether it was queued there: `false` \
                if there is no such connection any more, if it is closing, and if it has \
                `--send-queue` bytes unsent or is in the middle of a fragmented message. It does \
                not wait for a slow one.",
            throws: &[ENGINE],
            allowed: Allowed::Everywhere,
            example: "let there = connection(ws.id).send(\"psst\"); // => psst\n\
                      ws.send(`${there} ${connection(\"nobody\").send(\"psst\")}`); // => true \
                      false",
            register: |engine, _| {
                engine
                    .register_fn("send", |other: &mut Other, text: ImmutableString| {
                        hand(other, Direct::Send(Data::Text, text.as_bytes().to_vec()))
                    })
                    .register_fn("send", |other: &mut Other, data: Blob| {
                        hand(other, Direct::Send(Data::Binary, data))
                    });
            },
        },
        Function {
            signatures: &[
                "connection.close() -> bool",
                "connection.close(code: int) -> bool",
                "connection.close(code: int, reason: string) -> bool",
            ],
            about: "Closes the connection as `ws.close` does, and gives whether it was there and \
                open.",
            throws: &[
                (
                    "close",
                    "for a code that must not be sent, or a reason over 123 bytes of UTF-8",
                ),
                ENGINE,
            ],
            allowed: Allowed::Everywhere,
            example: "connection(ws.id).close(4001, \"logged in elsewhere\"); // closes 4001",
            register: |engine, _| {
                engine
                    .register_fn("close", |other: &mut Other| {
                        close(other, close::code::NORMAL.into(), "")
                    })
                    .register_fn("close", |other: &mut Other, code: i64| {
                        close(other, code, "")
                    })
                    .register_fn(
                        "close",
                        |other: &mut Other, code: i64, reason: ImmutableString| {
                            close(other, code, &reason)
                        },
                    );
            },
        },
    ],
};

fn close(other: &Other, code: i64, reason: &str) -> Result<bool> {
    match Close::checked(code, reason) {
        Ok(close) => hand(other, Direct::Close(close)),
        Err(message) => throw("close", message),
    }
}

/// Hands something to another connection, and waits for the answer.
fn hand(other: &Other, direct: Direct) -> Result<bool> {
    let (Some(seat), Some(address)) = (&other.seat, Address::parse(&other.id)) else {
        return Ok(false);
    };
    if address.node != seat.hub.node {
        return match seat.hub.broker() {
            Some(broker) => {
                let asked = Arc::clone(broker).direct(&address, direct);
                answered(meter::until(asked)?)
            }
            None => Ok(false),
        };
    }
    while let Some(full) = seat
        .hub
        .mailbox_of(&address)
        .filter(|mailbox| mailbox.is_full())
    {
        let full = Arc::clone(full);
        meter::until(async move { full.has_room().await })?;
    }
    let Some(answered) = seat.hub.direct(&address, direct) else {
        return Ok(false);
    };
    // A worker that is gone has no connections.
    Ok(meter::until(
        async move { answered.await.unwrap_or(false) },
    )?)
}

/// `#{key, info}`.
fn person(key: &str, info: &Info, limits: &Limits) -> Result<Map> {
    let info = match info {
        Some(info) => json::parse(info.as_bytes(), limits)?,
        None => Dynamic::UNIT,
    };
    Ok(Map::from([
        ("key".into(), key.into()),
        ("info".into(), info),
    ]))
}

/// Has `on_presence` see arrays in place of the changes among its arguments.
pub fn unpack(arguments: &mut [Dynamic], limits: &Limits) -> Result<()> {
    let [_, _, joined, left, ..] = arguments else {
        return Ok(());
    };
    let Some(changes) = joined.take().try_cast::<Arc<Changes>>() else {
        return Ok(());
    };
    let all = |people: &People| -> Result<Dynamic> {
        let mut all = Array::with_capacity(people.len());
        for (key, info) in people {
            all.push(person(key, info, limits)?.into());
        }
        Ok(all.into())
    };
    *joined = all(&changes.joined)?;
    *left = all(&changes.left)?;
    Ok(())
}
