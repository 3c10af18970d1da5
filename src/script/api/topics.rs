//! Topics: what a handler says to connections other than its own.

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rhai::{Array, Dynamic, EvalAltResult, ImmutableString, Map};
use tokio::time::timeout;

use super::connection::WebSocket;
use super::options::no_option;
use crate::hub::{
    Draft, Info, Past, Position, Publication, Purpose, Refused, Seat, Settings, Slow, Wish,
};
use crate::link::Failed;
use crate::machine::error::throw;
use crate::machine::host::{Allowed, Function, Host, Package};
use crate::machine::packages::json;
use crate::machine::{Limits, meter, types};
use crate::observe::event::Event;
use crate::script::caller::{self, Caller};
use crate::script::hooks::Hook;
use crate::websocket::ReadyState;
use crate::websocket::frame::Data;

type Result<T> = std::result::Result<T, Box<EvalAltResult>>;

const NAMES: (&str, &str) = (
    "topic",
    "for a name that is empty, too long or has control characters, and outside of a hook",
);
const TOPICS: (&str, &str) = (
    "topics",
    "for one more topic than a handler may have (`--max-topics`)",
);
pub(super) const ENGINE: (&str, &str) = (
    "engine",
    "with a broker that is away (`--engine-timeout`), or that refuses",
);

/// What topics can be told and asked.
pub const PACKAGE: Package = Package {
    name: "topics",
    about: "Topics connect connections: what is published to one goes to all that subscribe to it, \
        on whichever worker they are, and to all \
            of them in one order. A topic is a name, such as `room/blue`; there is nothing to \
            create or to delete, and every handler may use \
            every topic. A subscription is the connection's, lasts until it ends, and is kept over \
            reloads.",
    functions: &[
        Function {
            signatures: &[
                "ws.subscribe(topic: string) -> map",
                "ws.subscribe(topic: string, options: map) -> map",
            ],
            about: "Subscribes this connection: from now on it is sent what is published to the \
                topic. Gives \
                    `#{position, recovered, missed}`: the place behind the topic's last message, \
                    whether nothing was missed since the \
                    position that the option `since` names, and how many messages were missed and \
                    are sent now, before any new one. It is \
                    all or nothing: of a position whose messages are not all kept any more, of \
                    another life of the topic, or that is none \
                    at all, nothing is sent and `recovered` is `false`. A topic [without \
                    history](#topic) has no positions: \
                    `position` is `()`. With the option `key` the connection is seen in \
                    [presence](#presence) by that name, with `info`, any value that JSON can say. \
                    Subscribing again changes nothing but key and info.",
            throws: &[
                NAMES,
                TOPICS,
                (
                    "subscriptions",
                    "for one more than a connection may have (`--max-subscriptions`)",
                ),
                (
                    "option",
                    "for an option that there is not, and for `info` without `key`",
                ),
                (
                    "key",
                    "for a key that is empty or longer than a topic's name",
                ),
                (
                    "info",
                    "for more than may be said of a key (`--max-presence-info`)",
                ),
                (
                    "presence",
                    "for one more key than a handler's connections may have (`--max-presence`)",
                ),
                ("json", "for an `info` that JSON cannot say, see `to_json`"),
                ENGINE,
            ],
            allowed: Allowed::Open,
            example: "fn on_open(ws) {\n    ws.subscribe(\"news\");\n}\n\nfn transfer_data(ws, \
                message) {\n    \
                      publish(\"news\", `said: ${message}`); // => said: hello\n}",
            register: |engine, host| {
                let seat = seat(host);
                let again = seat.clone();
                let (limits, clock) = (host.settings.limits, host.clock.clone());
                engine
                    .register_fn(
                        "subscribe",
                        move |ws: &mut WebSocket, topic: ImmutableString| {
                            subscribe(&seat, ws, &topic, &Options::default())
                        },
                    )
                    .register_fn(
                        "subscribe",
                        move |ws: &mut WebSocket, topic: ImmutableString, options: Map| {
                            let options = Options::of(options, &limits, clock.now())?;
                            subscribe(&again, ws, &topic, &options)
                        },
                    );
            },
        },
        Function {
            signatures: &["ws.unsubscribe(topic: string) -> bool"],
            about: "Ends a subscription of this connection; `false` if there was none. What was \
                published before may still arrive.",
            throws: &[],
            allowed: Allowed::Open,
            example: "ws.subscribe(\"weather\");\nws.unsubscribe(\"weather\");\nws.send(`${publish(\"weather\", \"rain\")}`); // => 0",
            register: |engine, _| {
                engine.register_fn(
                    "unsubscribe",
                    |ws: &mut WebSocket, topic: ImmutableString| {
                        ws.0.subscriptions(|all| {
                            all.as_mut().is_some_and(|all| all.unsubscribe(&topic))
                        })
                    },
                );
            },
        },
        Function {
            signatures: &["publish(topic: string, message: any) -> int"],
            about: "Sends a message to all that subscribe to a topic, and gives how many these \
                are: text for a string, binary for a blob, and \
                    JSON for a map or an array. It may be called in every hook, `on_interval` \
                    among them. It waits while more is on its way \
                    to a worker's connections than that can deliver. A subscriber that takes less \
                    than is published is closed with 1013 \
                    unless the [topic](#topic) says otherwise; `publish` does not wait for it, and \
                    the others notice nothing.",
            throws: &[
                NAMES,
                TOPICS,
                (
                    "type",
                    "for a message of another type, and for a blob in a topic with envelopes",
                ),
                ("json", "for what JSON cannot say, see `to_json`"),
                ENGINE,
            ],
            allowed: Allowed::Everywhere,
            example: "ws.subscribe(\"prices\");\nlet reached = publish(\"prices\", #{gold: 42}); \
                // => {\"gold\":42}",
            register: |engine, host| {
                let (seat, limits) = (seat(host), host.settings.limits);
                engine.register_fn(
                    "publish",
                    move |topic: ImmutableString, message: Dynamic| {
                        publish(&seat, &topic, &message, None, &limits)
                    },
                );
            },
        },
        Function {
            signatures: &["ws.publish(topic: string, message: any) -> int"],
            about: "The same for all but this connection, whether it subscribes or not.",
            throws: &[
                NAMES,
                TOPICS,
                ("type", "as `publish`"),
                ("json", "as `publish`"),
                ENGINE,
            ],
            allowed: Allowed::Open,
            example: "ws.subscribe(\"others\");\nlet others = ws.publish(\"others\", \
                message);\nws.send(`${others} others`); // => 0 others",
            register: |engine, host| {
                let (seat, limits) = (seat(host), host.settings.limits);
                engine.register_fn(
                    "publish",
                    move |ws: &mut WebSocket, topic: ImmutableString, message: Dynamic| {
                        publish(&seat, &topic, &message, Some(ws), &limits)
                    },
                );
            },
        },
        Function {
            signatures: &["topic(name: string, options: map)"],
            about: "Says in `on_load` how a topic is, or with `name/*` how all below a name are; \
                the nearest name counts. `history`: how many \
                    messages are kept for those who come back, none unless it is said; `seconds`: \
                    for how long, 300 unless it is said. \
                    `slow`: what becomes of a message for a connection that has `--send-queue` \
                    bytes unsent: `\"close\"` closes it with 1013, \
                    so that the client comes back and resumes; `\"drop\"` does not send it this \
                    one; `\"latest\"` keeps the topic's newest \
                    message for it, until there is room. `envelope: true` sends each message as \
                    `{\"position\":…,\"topic\":…,\"data\":…}`, so that a browser knows where it \
                    is. What the handler of another file says of \
                    the same name holds as the first file by name says it, and a warning names \
                    both.",
            throws: &[
                NAMES,
                ("hook", "outside of `on_load`"),
                (
                    "history",
                    "for more messages or seconds than may be kept (`--max-history`, \
                    `--max-history-age`)",
                ),
                (
                    "option",
                    "for an option that there is not, or a value that it does not take",
                ),
            ],
            allowed: Allowed::Only(&["on_load"]),
            example: "fn on_load() {\n    topic(\"log/*\", #{history: 100, seconds: \
                600});\n}\n\nfn transfer_data(ws, message) {\n    \
                      publish(\"log/a\", message);\n    \
                      ws.send(history(\"log/a\").messages[0].message); // => hello\n}",
            register: |engine, host| {
                let seat = seat(host);
                engine.register_fn("topic", move |name: ImmutableString, options: Map| {
                    declare(&seat, &name, options)
                });
            },
        },
        Function {
            signatures: &[
                "history(topic: string) -> map",
                "history(topic: string, since: string) -> map",
                "history(topic: string, since: ()) -> map",
            ],
            about: "What a topic has kept: `#{position, recovered, messages}`, where each of the \
                messages is `#{position, message}`, the oldest \
                    first and as it was sent. With a position only what came behind it, all or \
                    nothing as in `ws.subscribe`: if something is \
                    missing, `recovered` is `false` and there are no messages.",
            throws: &[NAMES, TOPICS, ENGINE],
            allowed: Allowed::Everywhere,
            example: "fn on_load() {\n    topic(\"diary\", #{history: 10});\n}\n\nfn \
                transfer_data(ws, message) {\n    \
                      let before = position(\"diary\");\n    publish(\"diary\", message);\n    \
                      publish(\"diary\", \"again\");\n    \
                      for entry in history(\"diary\", before).messages {\n        \
                      ws.send(entry.message); // => hello\n        \
                      // => again\n    }\n}",
            register: |engine, host| {
                let [seat, again, third] = [0; 3].map(|_| seat(host));
                engine
                    .register_fn("history", move |topic: ImmutableString| {
                        history(&seat, &topic, None)
                    })
                    .register_fn(
                        "history",
                        move |topic: ImmutableString, since: ImmutableString| {
                            history(&again, &topic, Some(&since))
                        },
                    )
                    .register_fn("history", move |topic: ImmutableString, (): ()| {
                        history(&third, &topic, None)
                    });
            },
        },
        Function {
            signatures: &["position(topic: string) -> string | ()"],
            about: "The place behind a topic's last message, `()` in a topic without history. Read \
                it first, then whatever the messages are \
                    about, and subscribe `since` it: so nothing is missed in between.",
            throws: &[NAMES, TOPICS, ENGINE],
            allowed: Allowed::Everywhere,
            example: "ws.send(`${position(\"plain\") == ()}`); // => true",
            register: |engine, host| {
                let seat = seat(host);
                engine.register_fn(
                    "position",
                    move |topic: ImmutableString| -> Result<Dynamic> {
                        let (seat, caller) = here(&seat)?;
                        join(seat, &caller, &topic, Purpose::Messages(None))?;
                        Ok(told(refused(seat.hub.position(&topic, caller.file()))?))
                    },
                );
            },
        },
        Function {
            signatures: &["subscribers(topic: string) -> int"],
            about: "How many connections subscribe to a topic; with a broker on all nodes, those of \
                the others as they were some seconds ago.",
            throws: &[NAMES, ENGINE],
            allowed: Allowed::Everywhere,
            example: "ws.subscribe(\"cats\");\nws.send(`${subscribers(\"cats\")}`); // => 1",
            register: |engine, host| {
                let seat = seat(host);
                engine.register_fn(
                    "subscribers",
                    move |topic: ImmutableString| -> Result<i64> {
                        let (seat, _) = here(&seat)?;
                        let elsewhere = match seat.hub.broker() {
                            Some(broker) => {
                                let count = Arc::clone(broker).subscribers(&topic);
                                answered(meter::until(count)?)?
                            }
                            None => 0,
                        };
                        Ok((seat.hub.subscribers(&topic) as u64 + elsewhere) as i64)
                    },
                );
            },
        },
        Function {
            signatures: &["topics() -> array"],
            about: "The names of all topics that somebody subscribes to or that keep messages, in \
                order, 65,536 at the most.",
            throws: &[("topic", "outside of a hook")],
            allowed: Allowed::Everywhere,
            example: "ws.subscribe(\"dogs\");\nws.send(`${topics().contains(\"dogs\")}`); // => \
                true",
            register: |engine, host| {
                let (seat, most) = (seat(host), host.settings.limits.list);
                engine.register_fn("topics", move || -> Result<Array> {
                    let (seat, _) = here(&seat)?;
                    let names = seat.hub.topics(most);
                    Ok(names
                        .iter()
                        .map(|name| Dynamic::from(name.to_string()))
                        .collect())
                });
            },
        },
    ],
};

/// Where topics are reached from; nowhere without workers, as where files are only checked.
pub(super) fn seat(host: &Host) -> Option<Arc<Seat>> {
    host.service()
}

/// The seat, and who asks.
pub(super) fn here(seat: &Option<Arc<Seat>>) -> Result<(&Seat, Rc<Caller>)> {
    match (seat, caller::current()) {
        (Some(seat), Some(caller)) => Ok((seat, caller)),
        _ => throw("topic", "topics are there in hooks, not at the top level"),
    }
}

fn refused<T>(result: std::result::Result<T, Refused>) -> Result<T> {
    result.or_else(|refused| {
        let kind = match refused {
            Refused::Name(_) => "topic",
            Refused::Topics(_) => "topics",
            Refused::Subscriptions(_) => "subscriptions",
            Refused::Key(_) => "key",
            Refused::Info(_) => "info",
            Refused::Presence(_) => "presence",
            Refused::History(_) => "engine",
        };
        throw(kind, refused.to_string())
    })
}

/// What an engine has answered.
pub(super) fn answered<T>(result: std::result::Result<T, Failed>) -> Result<T> {
    result.or_else(|failed| throw("engine", failed.to_string()))
}

/// Waits until a topic can be used here: one that goes through a broker has to be joined first.
pub(super) fn join(seat: &Seat, caller: &Caller, topic: &str, purpose: Purpose<'_>) -> Result<()> {
    let Some(broker) = seat.hub.broker() else {
        return Ok(());
    };
    let until = Instant::now() + broker.patience();
    let mut looks_again = false;
    loop {
        let joining = seat
            .hub
            .prepare(topic, caller.file(), purpose, &mut looks_again);
        let Some(joining) = refused(joining)? else {
            return Ok(());
        };
        let rest = until.saturating_duration_since(Instant::now());
        let joined = meter::until(async move { timeout(rest, joining).await.is_ok() })?;
        if !joined {
            return answered(Err(Failed::Away(broker.health().role())));
        }
    }
}

/// A position as scripts see it.
fn told(position: Option<Position>) -> Dynamic {
    position.map_or(Dynamic::UNIT, |position| position.to_string().into())
}

fn subscribe(
    seat: &Option<Arc<Seat>>,
    ws: &WebSocket,
    topic: &str,
    options: &Options,
) -> Result<Map> {
    let (seat, caller) = here(seat)?;
    let peer = &ws.0;
    // Whatever else a client may have sent for a position is none.
    let Options { since, who, now } = options;
    let since =
        (!since.is_unit()).then(|| since.clone().into_immutable_string().unwrap_or_default());
    join(seat, &caller, topic, Purpose::Messages(since.as_deref()))?;
    let subscribed = match peer.handle.state() {
        ReadyState::Open => Some(refused(peer.subscriptions(|all| {
            let none = || Box::new(seat.subscriptions(peer.handle.id(), &peer.place.letters));
            all.get_or_insert_with(none).subscribe(
                topic,
                Wish {
                    file: caller.file(),
                    since: since.as_deref(),
                    who: who.as_ref().map(|(key, info)| (&**key, info.clone())),
                    now: *now,
                },
            )
        }))?),
        // There is nobody any more to whom anything could be sent.
        ReadyState::Closing | ReadyState::Closed => None,
    };
    let position = subscribed
        .as_ref()
        .and_then(|subscribed| subscribed.position);
    let recovered = subscribed
        .as_ref()
        .is_some_and(|subscribed| subscribed.recovered);
    let missed = subscribed.map_or(0, |subscribed| subscribed.missed as i64);
    Ok(Map::from([
        ("position".into(), told(position)),
        ("recovered".into(), recovered.into()),
        ("missed".into(), missed.into()),
    ]))
}

/// What `ws.subscribe` is told.
#[derive(Default)]
struct Options {
    since: Dynamic,
    who: Option<(ImmutableString, Info)>,
    /// The time.
    now: f64,
}

impl Options {
    fn of(options: Map, limits: &Limits, now: f64) -> Result<Self> {
        let (mut since, mut key, mut info) = (Dynamic::UNIT, None, None);
        for (name, value) in options {
            match &*name {
                "since" => since = value,
                "key" | "info" if value.is_unit() => {}
                "key" => match value.as_immutable_string_ref() {
                    Ok(text) => key = Some(text.clone()),
                    Err(_) => return wrong("key", "a string", &value),
                },
                "info" => info = Some(Arc::from(json::to_json(&value, limits)?.as_str())),
                _ => {
                    let known = ["since", "key", "info"];
                    return throw("option", no_option(&name, &known));
                }
            }
        }
        let who = match (key, info) {
            (Some(key), info) => Some((key, info)),
            (None, None) => None,
            (None, Some(_)) => {
                return throw(
                    "option",
                    "info is said of somebody, whom the option key names",
                );
            }
        };
        Ok(Self { since, who, now })
    }
}

fn publish(
    seat: &Option<Arc<Seat>>,
    topic: &str,
    message: &Dynamic,
    from: Option<&WebSocket>,
    limits: &Limits,
) -> Result<i64> {
    let (seat, caller) = here(seat)?;
    let hub = &seat.hub;
    let settings = hub.settings(topic);
    let draft = draft(topic, message, settings.envelope, limits)?;
    let connection = from.map(|ws| ws.0.handle.id());
    let draft = draft.except(connection);
    let count = match refused(hub.send(topic, settings, &draft))? {
        Some(sending) => {
            answered(meter::until(sending)?)?;
            hub.subscribers(topic)
        }
        None => {
            while let Some(full) = hub.full(topic) {
                meter::until(async move { full.has_room().await })?;
            }
            refused(hub.publish(topic, caller.file(), settings, draft))?
        }
    };
    let is_one = from.is_some_and(|ws| {
        ws.0.subscriptions(|all| all.as_ref().is_some_and(|all| all.contains(topic)))
    });
    Ok(count.saturating_sub(usize::from(is_one)) as i64)
}

/// A message as it is sent.
fn draft(topic: &str, message: &Dynamic, is_enveloped: bool, limits: &Limits) -> Result<Draft> {
    let found = types::name_of(message);
    if let Ok(blob) = message.as_blob_ref() {
        if is_enveloped {
            return throw(
                "type",
                format!("the topic {topic:?} has envelopes, which are JSON, and JSON has no blobs"),
            );
        }
        return Ok(Draft::plain(Data::Binary, blob.clone()));
    }
    if message.is_map() || message.is_array() {
        let text = json::to_json(message, limits)?;
        return Ok(match is_enveloped {
            true => Draft::enveloped(topic, &text),
            false => Draft::plain(Data::Text, text.as_bytes().to_vec()),
        });
    }
    match message.as_immutable_string_ref() {
        Ok(text) if is_enveloped => {
            let text = serde_json::Value::from(text.as_str()).to_string();
            Ok(Draft::enveloped(topic, &text))
        }
        Ok(text) => Ok(Draft::plain(Data::Text, text.as_bytes().to_vec())),
        Err(_) => throw(
            "type",
            format!("publish takes a string, a blob, a map or an array, not {found}"),
        ),
    }
}

/// Seconds that messages are kept where nothing is said.
const SECONDS: u64 = 300;

fn declare(seat: &Option<Arc<Seat>>, name: &str, options: Map) -> Result<()> {
    let (seat, caller) = here(seat)?;
    let Some(served) = caller.served.get().filter(|_| caller.hook == Hook::OnLoad) else {
        return throw("hook", "topic(name, options) belongs into on_load");
    };
    let limits = seat.hub.limits();
    let mut settings = Settings {
        age: Duration::from_secs(SECONDS).min(limits.age),
        ..Settings::default()
    };
    for (name, value) in options {
        match &*name {
            "history" => {
                let most = limits.history;
                let count = value
                    .as_int()
                    .ok()
                    .and_then(|count| usize::try_from(count).ok());
                settings.history = match count {
                    Some(count) if count <= most => count,
                    Some(count) => {
                        return throw(
                            "history",
                            format!("{most} messages may be kept (--max-history), not {count}"),
                        );
                    }
                    None => return wrong("history", "a number of messages", &value),
                };
            }
            "seconds" => {
                let seconds = value
                    .as_float()
                    .or_else(|_| value.as_int().map(|seconds| seconds as f64));
                settings.age = match seconds {
                    Ok(seconds) if seconds > limits.age.as_secs_f64() => {
                        let most = limits.age.as_secs();
                        return throw(
                            "history",
                            format!(
                                "messages may be kept for {most} seconds (--max-history-age), not \
                                {seconds}"
                            ),
                        );
                    }
                    Ok(seconds) if seconds > 0.0 => Duration::from_secs_f64(seconds),
                    _ => return wrong("seconds", "a number above 0", &value),
                };
            }
            "slow" => {
                let word = value.as_immutable_string_ref();
                settings.slow = match word.as_ref().map(|word| word.as_str()) {
                    Ok("close") => Slow::Close,
                    Ok("drop") => Slow::Drop,
                    Ok("latest") => Slow::Latest,
                    _ => {
                        drop(word);
                        return wrong("slow", "\"close\", \"drop\" or \"latest\"", &value);
                    }
                };
            }
            "envelope" => match value.as_bool() {
                Ok(envelope) => settings.envelope = envelope,
                Err(_) => return wrong("envelope", "true or false", &value),
            },
            _ => {
                let known = ["history", "seconds", "slow", "envelope"];
                return throw("option", no_option(&name, &known));
            }
        }
    }
    refused(seat.hub.check(name))?;
    let source = &served.source;
    if let Some(other) = seat
        .hub
        .declare(name, &source.file, source.version, settings)
    {
        Event::TopicDisputed {
            file: &source.file,
            topic: name,
            other: &other,
        }
        .tell();
    }
    Ok(())
}

fn wrong<T>(option: &str, wanted: &str, value: &Dynamic) -> Result<T> {
    throw("option", format!("{option} is {wanted}, not {value}"))
}

fn history(seat: &Option<Arc<Seat>>, topic: &str, since: Option<&str>) -> Result<Map> {
    let (seat, caller) = here(seat)?;
    join(seat, &caller, topic, Purpose::Messages(since))?;
    let Past {
        position,
        recovered,
        messages,
    } = refused(seat.hub.history(topic, caller.file(), since))?;
    let mut pace = meter::Pace::default();
    let mut entries = Array::with_capacity(messages.len());
    for (position, publication) in messages {
        pace.step(publication.payload().len() + 64)?;
        entries.push(Dynamic::from_map(Map::from([
            ("position".into(), position.to_string().into()),
            ("message".into(), message_of(&publication)),
        ])));
    }
    Ok(Map::from([
        ("position".into(), told(position)),
        ("recovered".into(), recovered.into()),
        ("messages".into(), entries.into()),
    ]))
}

/// A message as it was sent, for a script.
pub fn message_of(publication: &Publication) -> Dynamic {
    let payload = publication.payload();
    match (publication.kind, std::str::from_utf8(payload)) {
        (Data::Text, Ok(text)) => ImmutableString::from(text).into(),
        _ => Dynamic::from_blob(payload.to_vec()),
    }
}
