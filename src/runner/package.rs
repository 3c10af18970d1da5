//! What tests may call: clients, expectations, the time, and what was published.

use std::rc::Rc;
use std::time::Duration;

use rhai::{Array, Blob, Dynamic, Engine, EvalAltResult, ImmutableString, Map};
use tungstenite::Message;

use super::client::{Client, End, Refused, Unsent, WAITING};
use super::compare::{difference, is_same, shown};
use super::fetch::{self, Answer, Asked};
use super::world::World;
use crate::hub::Recorded;
use crate::machine::error::{duration, throw, thrown};
use crate::machine::host::{Allowed, Function, Package, Service};
use crate::machine::packages::json;
use crate::machine::{Limits, meter, types};
use crate::websocket::frame::Data;
use crate::websocket::handshake::{is_field_value, is_token};

/// What a function gives scripts.
type Result<T> = std::result::Result<T, Box<EvalAltResult>>;

/// Seconds that a client waits for what is to come, unless it is told otherwise.
const PATIENCE: f64 = 1.0;
/// Bytes of a comparison that is told in one line.
const LINE: usize = 120;
/// The kind of the error that an expectation throws.
const EXPECTED: &str = "expected";
/// What functions throw where no test runs.
const NO_TEST: (&str, &str) = ("test", "where no test runs");

/// Lets scripts be tests.
#[derive(Debug, Clone, Copy)]
pub struct Testing;

impl Service for Testing {
    const PACKAGE: &'static Package = &PACKAGE;
}

/// The functions of tests.
pub const PACKAGE: Package = Package {
    name: "testing",
    about: "What a test may call beside everything else. Seconds are those of the test's own \
        clock, which jumps when everybody waits.",
    functions: &[
        Function {
            signatures: &[
                "connect(path: string) -> Client",
                "connect(path: string, options: map) -> Client",
            ],
            about: "Opens a connection to a handler. Options are `headers`, a map of strings, and \
                `subprotocols`, an array of them. It stays open until the test ends, or one side \
                closes it.",
            throws: &[
                ("refused", "if the server answers with anything but 101"),
                (
                    "option",
                    "for an option that there is not, or another kind of value",
                ),
                NO_TEST,
            ],
            allowed: Allowed::Everywhere,
            example: "fn test_it() {\n    let c = connect(\"/echo\");\n    c.send(\"hello\");\n    \
                      expect(c.receive(), \"hello\");\n}",
            register: |engine, _| register_connect(engine),
        },
        Function {
            signatures: &[
                "fetch(path: string) -> map",
                "fetch(path: string, options: map) -> map",
            ],
            about: "Sends an ordinary request to a handler's `on_request`, and gives the answer's \
                `#{status, headers, body}`. Options are `method` (GET, and POST with a body), \
                `headers`, a map of strings, and `body`, a string or a blob, which is a form unless \
                a `Content-Type` says otherwise. Names of the answer's headers are in lower case, \
                several of one name in lines; a body that is no UTF-8 is a blob.",
            throws: &[
                (
                    "option",
                    "for an option that there is not, or another kind of value",
                ),
                ("silence", "if no answer comes, or not in 60 seconds"),
                NO_TEST,
            ],
            allowed: Allowed::Everywhere,
            example: "fn test_it() {\n    expect(fetch(\"/echo\").status, 426);\n    \
                      expect(fetch(\"/nowhere\", #{method: \"HEAD\"}).body, \"\");\n}",
            register: |engine, _| {
                engine
                    .register_fn("fetch", |path: ImmutableString| fetch(&path, Map::new()))
                    .register_fn("fetch", |path: ImmutableString, options: Map| {
                        fetch(&path, options)
                    });
            },
        },
        Function {
            signatures: &[
                "c.send(text: string)",
                "c.send(data: blob)",
                "c.send_json(value: any)",
            ],
            about: "Sends a message: text for a string, binary for a blob, and JSON as text.",
            throws: &[
                ("closed", "if the connection has ended"),
                (
                    "full",
                    "if 64 MiB of messages wait at this client, to be sent or received",
                ),
            ],
            allowed: Allowed::Everywhere,
            example: "fn test_it() {\n    let c = connect(\"/echo\");\n    c.send_json(#{a: 1});\n    \
                      expect(c.receive_json(), #{a: 1});\n}",
            register: |engine, host| register_send(engine, host.settings.limits),
        },
        Function {
            signatures: &[
                "c.receive() -> string | blob",
                "c.receive(seconds: float | int) -> string | blob",
                "c.receive_json() -> any",
            ],
            about: "The next message. It waits for one second, or as long as it is told.",
            throws: &[
                ("silence", "if nothing comes in that time"),
                (
                    "closed",
                    "if the connection has ended, and all that came was received",
                ),
                ("json", "for a message that is no JSON"),
            ],
            allowed: Allowed::Everywhere,
            example: "fn test_it() {\n    let c = connect(\"/echo\");\n    c.send(\"a\");\n    \
                      expect(c.receive(0.5), \"a\");\n}",
            register: |engine, host| register_receive(engine, host.settings.limits),
        },
        Function {
            signatures: &[
                "c.close()",
                "c.close(code: int)",
                "c.close(code: int, reason: string)",
                "c.abort()",
                "c.closed() -> map",
                "c.protocol -> string",
            ],
            about: "`close` sends a Close; `abort` ends the connection without one, as a lost \
                network does. `closed` waits for the end of the connection, at most a second, and \
                gives its `#{code, reason}`: 1005 for a Close without a code, 1006 for none. \
                `protocol` is the subprotocol that was agreed on.",
            throws: &[
                ("silence", "if the connection does not end in time"),
                ("close", "for a code or a reason that no Close can have"),
            ],
            allowed: Allowed::Everywhere,
            example: "fn test_it() {\n    let c = connect(\"/echo\");\n    c.close(4000, \"bye\");\n    \
                      expect(c.closed().code, 4000);\n}",
            register: |engine, _| register_close(engine),
        },
        Function {
            signatures: &["expect(found: any, expected: any)", "expect(is_so: bool)"],
            about: "Fails the test unless both are the same: of the same type and of the same \
                parts. The report shows where they differ.",
            throws: &[(EXPECTED, "if they are not")],
            allowed: Allowed::Everywhere,
            example: "fn test_it() {\n    expect(1 + 1, 2);\n    expect(#{a: [1]}, #{a: [1]});\n    \
                      expect(\"hello\".contains(\"ell\"));\n}",
            register: |engine, _| {
                engine
                    .register_fn("expect", |found: Dynamic, expected: Dynamic| {
                        expect(&found, &expected)
                    })
                    .register_fn("expect", |is_so: bool| match is_so {
                        true => Ok(()),
                        false => throw(EXPECTED, "expected true, found false"),
                    });
            },
        },
        Function {
            signatures: &["expect_silence(c: Client, seconds: float | int)"],
            about: "Lets the time pass, and fails the test if a message comes, or the end of the \
                connection.",
            throws: &[(EXPECTED, "if something comes")],
            allowed: Allowed::Everywhere,
            example: "fn test_it() {\n    expect_silence(connect(\"/echo\"), 60);\n}",
            register: |engine, _| {
                engine
                    .register_fn("expect_silence", |client: Client, seconds: f64| {
                        silence(&client, seconds)
                    })
                    .register_fn("expect_silence", |client: Client, seconds: i64| {
                        silence(&client, seconds as f64)
                    });
            },
        },
        Function {
            signatures: &["advance(seconds: float | int)"],
            about: "Lets the time pass: everything that is due in it happens, in order.",
            throws: &[("time", "for less than 0 or more than 86,400 seconds")],
            allowed: Allowed::Everywhere,
            example: "fn test_it() {\n    let began = now();\n    advance(3600);\n    \
                      expect(now() - began >= 3600.0);\n}",
            register: |engine, _| {
                engine
                    .register_fn("advance", advance)
                    .register_fn("advance", |seconds: i64| advance(seconds as f64));
            },
        },
        Function {
            signatures: &["published(topic: string) -> array"],
            about: "What was published in a topic since the test began, in order: strings and \
                blobs, and in a topic with envelopes what they hold.",
            throws: &[NO_TEST],
            allowed: Allowed::Everywhere,
            example: "fn test_it() {\n    publish(\"news\", \"rain\");\n    \
                      expect(published(\"news\"), [\"rain\"]);\n}",
            register: |engine, host| {
                let limits = host.settings.limits;
                engine.register_fn("published", move |topic: &str| -> Result<Array> {
                    let all = world()?.published(topic);
                    all.iter().map(|one| recorded(one, &limits)).collect()
                });
            },
        },
    ],
};

fn world() -> Result<Rc<World>> {
    let world = World::current();
    world.ok_or_else(|| thrown("test", "no test runs here: wsh-server test runs them"))
}

fn register_connect(engine: &mut Engine) {
    engine
        .register_type_with_name::<Client>("Client")
        .register_fn("connect", |path: ImmutableString| {
            connect(&path, Map::new())
        })
        .register_fn("connect", |path: ImmutableString, options: Map| {
            connect(&path, options)
        });
}

fn connect(path: &str, options: Map) -> Result<Client> {
    let world = world()?;
    check_path("connect", path)?;
    let mut headers = Vec::new();
    for (name, value) in options {
        match name.as_str() {
            "headers" => add_headers(&mut headers, value)?,
            "subprotocols" => {
                let named = match value.into_array() {
                    Ok(items) => items,
                    Err(_) => return throw("option", "subprotocols is an array of strings"),
                };
                let named: Result<Vec<_>> = named.iter().map(|one| text(&name, one)).collect();
                headers.push(("Sec-WebSocket-Protocol".to_owned(), named?.join(", ")));
            }
            other => {
                return throw(
                    "option",
                    format!("connect has no option {other:?}: it has headers and subprotocols"),
                );
            }
        }
    }
    check_headers(&headers)?;
    let stream = world.dial();
    let opening = Client::open(stream, path.to_owned(), headers);
    let patience = Duration::from_secs(60);
    match meter::until(async move { tokio::time::timeout(patience, opening).await })? {
        Ok(Ok(client)) => {
            world.keep(client.clone());
            Ok(client)
        }
        Ok(Err(Refused(why))) => throw("refused", why),
        Err(_) => throw("silence", "no answer to the handshake in 60 s"),
    }
}

fn check_path(function: &str, path: &str) -> Result<()> {
    let is_plain = path.bytes().all(|byte| byte > b' ' && byte != 0x7f);
    match path.starts_with('/') && is_plain {
        true => Ok(()),
        false => throw(
            "option",
            format!(
                "{function} takes a path as a URL has it, such as \"/chat?user=ada\", not {path:?}"
            ),
        ),
    }
}

fn add_headers(headers: &mut Vec<(String, String)>, value: Dynamic) -> Result<()> {
    for (name, value) in map("headers", value)? {
        headers.push((name.to_string(), text(&name, &value)?));
    }
    Ok(())
}

fn check_headers(headers: &[(String, String)]) -> Result<()> {
    for (name, value) in headers {
        if !is_token(name) || !is_field_value(value) {
            return throw("option", format!("{name}: {value:?} is no header"));
        }
    }
    Ok(())
}

fn fetch(path: &str, options: Map) -> Result<Map> {
    let world = world()?;
    check_path("fetch", path)?;
    let (mut method, mut headers, mut body) = (None, Vec::new(), Vec::new());
    for (name, value) in options {
        match name.as_str() {
            "method" => method = Some(text(&name, &value)?),
            "headers" => add_headers(&mut headers, value)?,
            "body" if value.is_blob() => body = value.into_blob().unwrap_or_default(),
            "body" => body = text(&name, &value)?.into_bytes(),
            other => {
                return throw(
                    "option",
                    format!("fetch has no option {other:?}: it has method, headers and body"),
                );
            }
        }
    }
    check_headers(&headers)?;
    let usual = if body.is_empty() { "GET" } else { "POST" };
    let method = method.unwrap_or_else(|| usual.to_owned());
    if !is_token(&method) {
        return throw("option", format!("{method:?} is no method"));
    }
    let asked = Asked {
        method,
        path: path.to_owned(),
        headers,
        body,
    };
    let answering = fetch::fetch(world.dial(), asked);
    let patience = Duration::from_secs(60);
    match meter::until(async move { tokio::time::timeout(patience, answering).await })? {
        Ok(Ok(answer)) => Ok(shown_answer(answer)),
        Ok(Err(why)) => throw("silence", why),
        Err(_) => throw("silence", "no answer in 60 s"),
    }
}

/// An answer as scripts have it.
fn shown_answer(answer: Answer) -> Map {
    let mut headers = Map::new();
    for (name, value) in answer.headers {
        let known = headers
            .remove(name.as_str())
            .map(|known: Dynamic| known.to_string());
        let value = known.map_or(value.clone(), |known| format!("{known}\n{value}"));
        headers.insert(name.into(), value.into());
    }
    let body = match String::from_utf8(answer.body) {
        Ok(text) => text.into(),
        Err(error) => Dynamic::from_blob(error.into_bytes()),
    };
    Map::from([
        ("status".into(), i64::from(answer.status).into()),
        ("headers".into(), headers.into()),
        ("body".into(), body),
    ])
}

fn map(name: &str, value: Dynamic) -> Result<Map> {
    let found = types::name_of(&value);
    value
        .try_cast::<Map>()
        .ok_or_else(|| thrown("option", format!("{name} is a map, not {found}")))
}

fn text(name: &str, value: &Dynamic) -> Result<String> {
    match value.clone().into_string() {
        Ok(text) => Ok(text),
        Err(found) => throw("option", format!("{name} is a string, not {found}")),
    }
}

fn register_send(engine: &mut Engine, limits: Limits) {
    engine
        .register_fn("send", |client: &mut Client, text: ImmutableString| {
            send(client, || Message::text(text.as_str()))
        })
        .register_fn("send", |client: &mut Client, data: Blob| {
            send(client, || Message::binary(data.to_vec()))
        })
        .register_fn("send_json", move |client: &mut Client, value: Dynamic| {
            let json = json::to_json(&value, &limits)?;
            send(client, || Message::text(json.as_str()))
        });
}

/// What waits for the connection is not the script's memory any more.
fn send(client: &Client, message: impl FnOnce() -> Message) -> Result<()> {
    match meter::exempt(|| client.send(message())) {
        Ok(()) => Ok(()),
        Err(Unsent::Ended(end)) => Err(closed(Some(end))),
        Err(Unsent::Full) => throw(
            "full",
            format!(
                "{} MiB of messages wait at this client: receive() takes those that came",
                WAITING >> 20
            ),
        ),
    }
}

fn closed(end: Option<End>) -> Box<EvalAltResult> {
    let (code, reason) = end.map_or((1006, String::new()), |end| (end.code, end.reason));
    let reason = match reason.is_empty() {
        true => reason,
        false => format!(" ({reason})"),
    };
    thrown(
        "closed",
        format!("the connection has ended with {code}{reason}"),
    )
}

fn register_receive(engine: &mut Engine, limits: Limits) {
    engine
        .register_fn("receive", |client: &mut Client| receive(client, PATIENCE))
        .register_fn("receive", |client: &mut Client, seconds: f64| {
            receive(client, seconds)
        })
        .register_fn("receive", |client: &mut Client, seconds: i64| {
            receive(client, seconds as f64)
        })
        .register_fn("receive_json", move |client: &mut Client| {
            let message = receive(client, PATIENCE)?;
            let json = message.clone().into_blob();
            let json = json.or_else(|_| message.into_string().map(String::into_bytes));
            json::parse(&json.unwrap_or_default(), &limits)
        });
}

/// The next message or the end, if one of them comes in time.
fn next(
    client: &Client,
    what: &str,
    seconds: f64,
) -> Result<Option<std::result::Result<Message, End>>> {
    let (time, client) = (duration(what, seconds)?, client.clone());
    let next = async move { tokio::time::timeout(time, client.next()).await.ok() };
    Ok(meter::until(next)?)
}

fn receive(client: &Client, seconds: f64) -> Result<Dynamic> {
    match next(client, "receive", seconds)? {
        Some(Ok(message)) => {
            let value = value(&message);
            // Nor was it the script's before.
            meter::exempt(|| drop(message));
            Ok(value)
        }
        Some(Err(end)) => Err(closed(Some(end))),
        None => throw("silence", format!("nothing came within {seconds} s")),
    }
}

fn value(message: &Message) -> Dynamic {
    match message {
        Message::Text(text) => text.as_str().into(),
        Message::Binary(bytes) => Dynamic::from_blob(bytes.to_vec()),
        _ => Dynamic::UNIT,
    }
}

fn silence(client: &Client, seconds: f64) -> Result<()> {
    match next(client, "expect_silence", seconds)? {
        None => Ok(()),
        Some(Ok(message)) => {
            let message = shown(&value(&message));
            throw(EXPECTED, format!("expected silence, received {message}"))
        }
        Some(Err(End { code, .. })) => throw(
            EXPECTED,
            format!("expected silence, and the connection has ended with {code}"),
        ),
    }
}

fn register_close(engine: &mut Engine) {
    engine
        .register_fn("close", |client: &mut Client| client.close(None))
        .register_fn("close", |client: &mut Client, code: i64| {
            close(client, code, "")
        })
        .register_fn("close", |client: &mut Client, code: i64, reason: &str| {
            close(client, code, reason)
        })
        .register_fn("abort", |client: &mut Client| client.drop_connection())
        .register_fn("closed", |client: &mut Client| -> Result<Map> {
            let (time, ended) = (Duration::from_secs_f64(PATIENCE), client.clone().ended());
            let ended = async move { tokio::time::timeout(time, ended).await.ok() };
            match meter::until(ended)? {
                Some(End { code, reason }) => Ok(Map::from_iter([
                    ("code".into(), i64::from(code).into()),
                    ("reason".into(), reason.into()),
                ])),
                None => throw(
                    "silence",
                    format!("the connection is open after {PATIENCE} s"),
                ),
            }
        })
        .register_get("protocol", |client: &mut Client| {
            ImmutableString::from(client.protocol())
        });
}

fn close(client: &Client, code: i64, reason: &str) -> Result<()> {
    match u16::try_from(code) {
        Ok(code) if (1000..5000).contains(&code) && reason.len() <= 123 => {
            client.close(Some((code, reason.to_owned())));
            Ok(())
        }
        _ => throw(
            "close",
            "a Close has a code from 1000 to 4999, and a reason of at most 123 bytes",
        ),
    }
}

fn expect(found: &Dynamic, expected: &Dynamic) -> Result<()> {
    if is_same(found, expected) {
        return Ok(());
    }
    let line = format!("expected {}, found {}", shown(expected), shown(found));
    if line.len() <= LINE && !line.contains('\n') {
        let is_told = !shown(found).contains("\\n");
        if is_told {
            return throw(EXPECTED, line);
        }
    }
    world()?.differ(difference(found, expected));
    throw(EXPECTED, "what was found is not what was expected")
}

fn advance(seconds: f64) -> Result<()> {
    world()?;
    let time = duration("advance", seconds)?;
    meter::until(tokio::time::sleep(time))?;
    Ok(())
}

fn recorded(recorded: &Recorded, limits: &Limits) -> Result<Dynamic> {
    if recorded.is_enveloped {
        return json::parse(&recorded.bytes, limits);
    }
    Ok(match recorded.kind {
        Data::Text => String::from_utf8_lossy(&recorded.bytes).into_owned().into(),
        _ => Dynamic::from_blob(recorded.bytes.clone()),
    })
}
