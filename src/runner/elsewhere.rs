//! What answers in a test for servers elsewhere: functions and values for HTTP, handlers for
//! WebSockets.

use std::rc::Rc;
use std::sync::Arc;

use rhai::{Array, Dynamic, Engine, EvalAltResult, FnPtr, ImmutableString, Map, NativeCallContext};
use tokio::io::DuplexStream;

use super::world::World;
use crate::client::{Address, Fetched, Query};
use crate::machine::Limits;
use crate::machine::error::{throw, thrown};
use crate::machine::host::{Allowed, Function, Host, Package, Service};
use crate::machine::types;
use crate::script::{StandIn, body_of, header_fields};

/// What a function gives scripts.
type Result<T> = std::result::Result<T, Box<EvalAltResult>>;

/// The members of an answer that is written as a map.
const MEMBERS: [&str; 3] = ["status", "headers", "body"];
/// What functions throw where no test runs.
const NO_TEST: (&str, &str) = ("test", "where no test runs");

/// Lets tests say what other servers answer.
#[derive(Debug, Clone, Copy)]
pub struct Mocking {
    limits: Limits,
}

/// A host that reaches nobody outside.
pub fn alone(host: Host) -> Host {
    let limits = host.settings.limits;
    let stand_in: Arc<dyn StandIn> = Arc::new(Mocking { limits });
    host.providing(stand_in)
}

/// The same, with the functions by which a test says who answers instead.
pub fn mocking(host: Host) -> Host {
    let limits = host.settings.limits;
    alone(host).with(Mocking { limits })
}

impl Service for Mocking {
    const PACKAGE: &'static Package = &PACKAGE;
}

/// The functions of tests about other servers.
pub const PACKAGE: Package = Package {
    name: "mocks",
    about: "A test reaches no server outside: what `http_get`, `http_post` and `dial` of its \
        handlers get is what it says here. A URL stands for all that begin with it, and what was \
        said last counts.",
    functions: &[
        Function {
            signatures: &["mock_http(url: string, answer: any)"],
            about: "Answers requests. The answer is a string as text, a blob as bytes, a map of \
                nothing but `status`, `headers` and `body`, or another map or an array as JSON; or \
                a function that gives one of these for a request, a map of `method`, `url`, \
                `headers`, `text` and `body`. A function that throws has the request throw that.",
            throws: &[("type", "for another answer"), NO_TEST],
            allowed: Allowed::Everywhere,
            example: "fn test_it() {\n    mock_http(\"https://users.example/\", |request| \
                      #{you_asked: request.url});\n    \
                      mock_http(\"https://users.example/gone\", #{status: 404});\n    \
                      let answer = http_get(\"https://users.example/ada\");\n    \
                      expect(parse_json(answer.text).you_asked, \"https://users.example/ada\");\n    \
                      expect(http_get(\"https://users.example/gone\").status, 404);\n}",
            register: |engine, _| {
                engine.register_fn("mock_http", |url: ImmutableString, answer: Dynamic| {
                    let is_one = answer.is_string()
                        || answer.is_blob()
                        || answer.is_map()
                        || answer.is_array()
                        || answer.is::<FnPtr>();
                    if !is_one {
                        return throw(
                            "type",
                            format!(
                                "an answer is a string, a blob, a map, an array or a function, \
                                 not {}",
                                types::name_of(&answer)
                            ),
                        );
                    }
                    world()?.mocks().http.borrow_mut().push((url, answer));
                    Ok(())
                });
            },
        },
        Function {
            signatures: &["mocked(url: string) -> array"],
            about: "The requests for such URLs so far, in order, as the functions of `mock_http` \
                see them.",
            throws: &[NO_TEST],
            allowed: Allowed::Everywhere,
            example: "fn test_it() {\n    mock_http(\"https://log.example/\", \"thanks\");\n    \
                      http_post(\"https://log.example/\", #{said: \"hello\"});\n    \
                      let asked = mocked(\"https://log.example/\");\n    \
                      expect(asked.len(), 1);\n    \
                      expect(asked[0].method, \"POST\");\n    \
                      expect(parse_json(asked[0].text), #{said: \"hello\"});\n}",
            register: |engine, _| register_mocked(engine),
        },
        Function {
            signatures: &["mock_dial(url: string, path: string)"],
            about: "Has `dial` of such URLs answered by the handler at a path of the same folder: \
                one that is there for the tests, or the one that would be there.",
            throws: &[("option", "for what is no path"), NO_TEST],
            allowed: Allowed::Everywhere,
            example: "fn test_it() {\n    mock_dial(\"wss://feed.example/\", \"/echo\");\n    \
                      let feed = dial(\"wss://feed.example/prices\");\n    \
                      feed.send(\"hello\");\n    expect(feed.receive(1), \"hello\");\n    \
                      expect(feed.url, \"wss://feed.example/prices\");\n}",
            register: |engine, _| {
                engine.register_fn(
                    "mock_dial",
                    |url: ImmutableString, path: ImmutableString| {
                        let is_plain = path.bytes().all(|byte| byte > b' ' && byte != 0x7f);
                        if !path.starts_with('/') || !is_plain {
                            return throw(
                                "option",
                                format!("mock_dial takes a path, such as \"/feed\", not {path:?}"),
                            );
                        }
                        world()?.mocks().dialed.borrow_mut().push((url, path));
                        Ok(())
                    },
                );
            },
        },
    ],
};

/// The world of the test that runs.
fn world() -> Result<Rc<World>> {
    let world = World::current();
    world.ok_or_else(|| thrown("test", "no test runs here: wsh-server test runs them"))
}

fn register_mocked(engine: &mut Engine) {
    engine.register_fn("mocked", |url: ImmutableString| -> Result<Array> {
        let world = world()?;
        let asked = world.mocks().asked.borrow();
        let such = asked.iter().filter(|(of, _)| of.starts_with(&*url));
        Ok(such
            .map(|(_, request)| Dynamic::from_map(request.clone()))
            .collect())
    });
}

impl StandIn for Mocking {
    fn answer(&self, query: &Query, context: &NativeCallContext<'_>) -> Result<Fetched> {
        let world = outside(query.url.as_str())?;
        let request = request(query);
        let url = query.url.to_string();
        world
            .mocks()
            .asked
            .borrow_mut()
            .push((url.clone(), request.clone()));
        let answer = {
            let known = world.mocks().http.borrow();
            let mut latest = known.iter().rev();
            latest
                .find(|(of, _)| url.starts_with(&**of))
                .map(|(_, answer)| answer.clone())
        };
        let Some(answer) = answer else {
            return throw(
                "connect",
                format!(
                    "a test reaches no other server: mock_http({:?}, …) says what this one answers",
                    query.url.as_str()
                ),
            );
        };
        match answer.clone().try_cast::<FnPtr>() {
            Some(function) => {
                let given = function.call_raw(context, None, [Dynamic::from_map(request)]);
                fetched(given.map_err(own)?, &self.limits)
            }
            None => fetched(answer, &self.limits),
        }
    }

    fn open(&self, address: &Address) -> Result<(DuplexStream, String)> {
        let url = address.to_string();
        let world = outside(&url)?;
        let known = world.mocks().dialed.borrow();
        let mut latest = known.iter().rev();
        match latest.find(|(of, _)| url.starts_with(&**of)) {
            Some((_, path)) => Ok((world.dial(), path.to_string())),
            None => throw(
                "connect",
                format!(
                    "a test reaches no other server: mock_dial({url:?}, \"/path\") says which \
                     handler answers for this one"
                ),
            ),
        }
    }
}

/// The world that a request leaves; nobody answers outside of tests, as where recordings are
/// played.
fn outside(url: &str) -> Result<Rc<World>> {
    let world = World::current();
    world.ok_or_else(|| {
        thrown(
            "connect",
            format!("{url} is not reached here: nothing is outside"),
        )
    })
}

fn request(query: &Query) -> Map {
    let text = match std::str::from_utf8(&query.body) {
        Ok(text) => text.into(),
        Err(_) => Dynamic::UNIT,
    };
    let mut headers = Map::new();
    for (name, value) in &query.headers {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        let values = headers
            .entry(name.as_str().into())
            .or_insert_with(|| Dynamic::from_array(Array::new()));
        if let Some(mut values) = values.write_lock::<Array>() {
            values.push(value.into());
        }
    }
    let members: [(&str, Dynamic); 5] = [
        ("method", query.method.as_str().into()),
        ("url", query.url.as_str().into()),
        ("headers", headers.into()),
        ("text", text),
        ("body", Dynamic::from_blob(query.body.to_vec())),
    ];
    Map::from_iter(members.map(|(name, value)| (name.into(), value)))
}

/// An answer as scripts write one.
fn fetched(answer: Dynamic, limits: &Limits) -> Result<Fetched> {
    let is_whole = answer.as_map_ref().is_ok_and(|map| {
        !map.is_empty() && map.keys().all(|name| MEMBERS.contains(&name.as_str()))
    });
    if !is_whole {
        let (kind, body) = body_of("an answer", &answer, limits)?;
        let headers = vec![("content-type".to_owned(), kind.to_owned())];
        return Ok(Fetched {
            status: 200,
            headers,
            body,
        });
    }
    let mut map = answer.cast::<Map>();
    let status = match map.remove("status") {
        None => 200,
        Some(status) => {
            let status = status
                .as_int()
                .ok()
                .and_then(|status| u16::try_from(status).ok());
            let status = status.filter(|status| (200..600).contains(status));
            status.ok_or_else(|| thrown("type", "the status of an answer is 200 to 599"))?
        }
    };
    let mut headers = match map.remove("headers") {
        None => Vec::new(),
        Some(headers) => {
            let lower = |(name, value): (String, String)| (name.to_ascii_lowercase(), value);
            let fields = header_fields(&headers)?;
            fields.into_iter().map(lower).collect()
        }
    };
    let body = match map.remove("body") {
        None => Vec::new(),
        Some(value) => {
            let (kind, bytes) = body_of("the body of an answer", &value, limits)?;
            if !headers.iter().any(|(name, _)| name == "content-type") {
                headers.push(("content-type".to_owned(), kind.to_owned()));
            }
            bytes
        }
    };
    Ok(Fetched {
        status,
        headers,
        body,
    })
}

/// What a script threw, as it catches it: Rhai takes an error that a closure met in a function of
/// ours for one of its own.
fn own(error: Box<EvalAltResult>) -> Box<EvalAltResult> {
    match error.unwrap_inner() {
        EvalAltResult::ErrorRuntime(value, position) => {
            EvalAltResult::ErrorRuntime(value.clone(), *position).into()
        }
        _ => error,
    }
}
