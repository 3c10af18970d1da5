//! Stores: values by key, which outlive connections and are shared by them.

use std::sync::Arc;
use std::time::Duration;

use rhai::{Array, Dynamic, Engine, EvalAltResult, FnPtr, ImmutableString, Map, NativeCallContext};

use super::options::no_option;
use super::stored::{AWAY, Desk, ENGINE, IN_UPDATE, ask, ask_patiently, lasting};
use crate::machine::error::{duration, throw};
use crate::machine::host::{Allowed, Function, Package};
use crate::machine::meter::{self, Pace};
use crate::script::caller::Served;
use crate::store::{Change, Place};

type Result<T> = std::result::Result<T, Box<EvalAltResult>>;

/// The variable that is the handler's own store.
pub const VARIABLE: &str = "store";

/// Times that an update is tried before its turn is waited for,
const FREELY: usize = 3;
/// and in all.
const TRIES: usize = 16;

/// A store as scripts have it: of this name, or the handler's own.
#[derive(Debug, Clone)]
pub struct Store(Option<Arc<str>>);

const KEY: (&str, &str) = (
    "key",
    "for a key that is empty, too long (`--max-key-size`) or has control characters",
);
const BOUNDS: (&str, &str) = (
    "keys",
    "for one key more than a handler may have (`--max-keys`), `value` for a value that is too long \
    (`--max-value-size`), `full` for more than its stores and queues may keep \
    (`--max-store-size`)",
);
const NO_JSON: (&str, &str) = ("json", "for what JSON cannot say, see `to_json`");

/// What stores can be told and asked.
pub const PACKAGE: Package = Package {
    name: "store",
    about: "A store keeps values by key, for all connections and as long as the server runs, or \
        longer: see [Between connections](#between-connections). `store` is the handler's own; it \
        belongs to the file and is kept over reloads. `store(name)` is one that all handlers share. \
        A value is anything that JSON can say, or a blob; whoever reads it gets a copy. `()` stands \
        for no value. Every call is one step, which no other call can come between.",
    functions: &[
        Function {
            signatures: &["store(name: string) -> Store"],
            about: "The store of this name, which all handlers share. There is nothing to create: \
                one without keys is nothing. Without a name, `store` is the handler's own.",
            throws: &[(
                "key",
                "for a name that is empty, too long or has control characters",
            )],
            allowed: Allowed::Everywhere,
            example: "store(\"words\").set(\"first\", message);\nws.send(store(\"words\")\
                .get(\"first\")); // => hello\nws.send(`${store.get(\"first\") == ()}`); // => true",
            register: |engine, host| {
                let desk = Desk::of(host);
                engine.register_fn("store", move |name: ImmutableString| -> Result<Store> {
                    if let Ok((shelf, _)) = desk.here() {
                        ask(|| shelf.check("a store's name", &name).into())?;
                    }
                    Ok(Store(Some(name.as_str().into())))
                });
            },
        },
        Function {
            signatures: &["store.get(key: string) -> any"],
            about: "The value of a key, a copy; `()` if there is none.",
            throws: &[KEY, AWAY, ENGINE],
            allowed: Allowed::Everywhere,
            example: "store.set(\"cart\", #{tea: 2});\nlet cart = store.get(\"cart\");\n\
                cart.tea += 1;\nws.send(`${store.get(\"cart\").tea}`); // => 2",
            register: |engine, host| {
                let desk = Desk::of(host);
                engine.register_fn(
                    "get",
                    move |store: Store, key: ImmutableString| -> Result<Dynamic> {
                        let (shelf, served) = desk.here()?;
                        let at = store.place(&served, &key);
                        desk.decode(ask(|| shelf.get(&at))?.as_deref())
                    },
                );
            },
        },
        Function {
            signatures: &[
                "store.set(key: string, value: any) -> bool",
                "store.set(key: string, value: any, options: map) -> bool",
            ],
            about: "Sets the value of a key, and says whether it did. The option `seconds` lets it \
                go by itself after that time, without which it stays; `absent: true` sets it only if \
                there is none. `()` deletes it.",
            throws: &[
                KEY,
                BOUNDS,
                NO_JSON,
                ("option", "for options that there are not"),
                AWAY,
                ENGINE,
            ],
            allowed: Allowed::Everywhere,
            example: "let first = store.set(\"leader\", message, #{seconds: 10, absent: true});\n\
                let second = store.set(\"leader\", \"me\", #{absent: true});\n\
                ws.send(`${first} ${second} ${store.get(\"leader\")}`); // => true false hello",
            register: |engine, host| {
                let desk = Desk::of(host);
                let again = desk.clone();
                engine
                    .register_fn(
                        "set",
                        move |store: Store, key: ImmutableString, value: Dynamic| {
                            set(&desk, &store, &key, &value, Map::new())
                        },
                    )
                    .register_fn(
                        "set",
                        move |store: Store, key: ImmutableString, value: Dynamic, options: Map| {
                            set(&again, &store, &key, &value, options)
                        },
                    );
            },
        },
        Function {
            signatures: &["store.update(key: string, change: function) -> any"],
            about: "Sets a key to what a function makes of its value, in one step, and gives that. \
                The function is given `()` if there is no value, and deletes it by giving `()`. If \
                another changes the key meanwhile, the function runs again with what is there then: \
                it computes, and may neither wait nor change stores and queues. A key goes when it \
                would have gone.",
            throws: &[
                KEY,
                BOUNDS,
                NO_JSON,
                ("update", "in its function, for what that may not do"),
                ("conflict", "when the key was changed 16 times meanwhile"),
                AWAY,
                ENGINE,
            ],
            allowed: Allowed::Everywhere,
            example: "store.update(\"names\", |names| (names ?? []) + [message]);\n\
                ws.send(to_json(store.update(\"names\", |names| names + [\"Ada\"]))); // => \
                [\"hello\",\"Ada\"]",
            register: |engine, host| {
                let desk = Desk::of(host);
                engine.register_fn(
                    "update",
                    move |context: NativeCallContext,
                          store: Store,
                          key: ImmutableString,
                          change: FnPtr| {
                        update(&desk, &context, &store, &key, &change)
                    },
                );
            },
        },
        Function {
            signatures: &[
                "store.incr(key: string) -> int",
                "store.incr(key: string, more: int) -> int",
            ],
            about: "Adds 1, or as much as is said, to an int, and gives the sum. Without a value it \
                begins at 0. A key goes when it would have gone.",
            throws: &[
                KEY,
                BOUNDS,
                (
                    "number",
                    "if the value is no int, or the sum is too large for one",
                ),
                IN_UPDATE,
                AWAY,
                ENGINE,
            ],
            allowed: Allowed::Everywhere,
            example: "store.incr(\"visits\");\nws.send(`${store.incr(\"visits\", 2)}`); // => 3",
            register: |engine, host| {
                let desk = Desk::of(host);
                let again = desk.clone();
                engine
                    .register_fn("incr", move |store: Store, key: ImmutableString| {
                        change(&desk, &store, &key, Change::Add(1))
                    })
                    .register_fn(
                        "incr",
                        move |store: Store, key: ImmutableString, more: i64| {
                            change(&again, &store, &key, Change::Add(more))
                        },
                    );
            },
        },
        Function {
            signatures: &["store.delete(key: string) -> bool"],
            about: "Deletes a key; whether there was one.",
            throws: &[KEY, IN_UPDATE, AWAY, ENGINE],
            allowed: Allowed::Everywhere,
            example: "store.set(\"draft\", message);\nws.send(`${store.delete(\"draft\")} \
                ${store.delete(\"draft\")}`); // => true false",
            register: |engine, host| {
                let desk = Desk::of(host);
                engine.register_fn("delete", move |store: Store, key: ImmutableString| {
                    change(&desk, &store, &key, Change::Delete).map(|done| done > 0)
                });
            },
        },
        Function {
            signatures: &[
                "store.keys() -> array",
                "store.keys(prefix: string) -> array",
            ],
            about: "The keys, or those that begin so, in order, 65,536 at the most. Others may come \
                and go while they are listed.",
            throws: &[AWAY, ENGINE],
            allowed: Allowed::Everywhere,
            example: "store.set(\"user/bob\", 1);\nstore.set(\"user/ada\", 2);\n\
                store.set(\"news\", 3);\nws.send(to_json(store.keys(\"user/\"))); // => \
                [\"user/ada\",\"user/bob\"]",
            register: |engine, host| {
                let desk = Desk::of(host);
                let again = desk.clone();
                engine
                    .register_fn("keys", move |store: Store| keys(&desk, &store, ""))
                    .register_fn("keys", move |store: Store, prefix: ImmutableString| {
                        keys(&again, &store, &prefix)
                    });
            },
        },
        Function {
            signatures: &["store.expire(key: string, seconds: float | int) -> bool"],
            about: "Lets a key go by itself after this time; whether there is one.",
            throws: &[
                KEY,
                ("option", "for no number of seconds above 0"),
                IN_UPDATE,
                AWAY,
                ENGINE,
            ],
            allowed: Allowed::Everywhere,
            example: "store.set(\"code\", 1234);\nstore.expire(\"code\", 0.05);\n\
                ws.send(`${store.wait(\"code\", 1234) == ()}`); // => true",
            register: |engine, host| {
                let desk = Desk::of(host);
                let again = desk.clone();
                engine
                    .register_fn(
                        "expire",
                        move |store: Store, key: ImmutableString, seconds: f64| {
                            expire(&desk, &store, &key, seconds)
                        },
                    )
                    .register_fn(
                        "expire",
                        move |store: Store, key: ImmutableString, seconds: i64| {
                            expire(&again, &store, &key, seconds as f64)
                        },
                    );
            },
        },
        Function {
            signatures: &[
                "store.wait(key: string, seen: any) -> any",
                "store.wait(key: string, seen: any, seconds: float | int) -> any",
            ],
            about: "Waits until the value of a key is another than `seen`, and gives it: at once if \
                it is another already, so that no change is missed between a look and a wait. `()` \
                stands for no value, in both. When the time is over it gives what is there, which is \
                what was seen. Of several changes that follow each other quickly it gives the last.",
            throws: &[
                KEY,
                NO_JSON,
                ("time", "for less than 0 or more than 86,400 seconds"),
                IN_UPDATE,
                AWAY,
                ENGINE,
            ],
            allowed: Allowed::Everywhere,
            example: "store.set(\"score\", 1);\nws.send(`${store.wait(\"score\", 0)}`); // => 1\n\
                ws.send(`${store.wait(\"score\", 1, 0.1)}`); // => 1",
            register: |engine, host| {
                let [desk, again, third] = [0; 3].map(|_| Desk::of(host));
                engine
                    .register_fn(
                        "wait",
                        move |store: Store, key: ImmutableString, seen: Dynamic| {
                            wait(&desk, &store, &key, &seen, None)
                        },
                    )
                    .register_fn(
                        "wait",
                        move |store: Store, key: ImmutableString, seen: Dynamic, seconds: f64| {
                            let patience = duration("wait", seconds)?;
                            wait(&again, &store, &key, &seen, Some(patience))
                        },
                    )
                    .register_fn(
                        "wait",
                        move |store: Store, key: ImmutableString, seen: Dynamic, seconds: i64| {
                            let patience = duration("wait", seconds as f64)?;
                            wait(&third, &store, &key, &seen, Some(patience))
                        },
                    );
            },
        },
    ],
};

/// Makes the handler's own store known by its variable, everywhere in handlers and modules. A
/// variable of the script's own by that name is found first.
pub fn variable(engine: &mut Engine) {
    #[allow(deprecated, reason = "Rhai marks its volatile interfaces so")]
    engine.on_var(|name, index, context| {
        // Whatever the parser has found has an index.
        let is_ours = index == 0 && name == VARIABLE && !context.scope().contains(VARIABLE);
        Ok(is_ours.then(|| Dynamic::from(Store(None))))
    });
}

impl Store {
    /// A place in it, for whoever asks.
    fn place(&self, served: &Served, key: &str) -> Place {
        let store = match &self.0 {
            None => Arc::clone(&served.own),
            Some(name) => format!("name:{name}").into(),
        };
        Place {
            store,
            key: key.into(),
        }
    }
}

fn set(desk: &Desk, store: &Store, key: &str, value: &Dynamic, options: Map) -> Result<bool> {
    let (mut time, mut absent) = (None, false);
    for (name, value) in options {
        match &*name {
            "seconds" => time = Some(lasting("seconds", &value)?),
            "absent" => match value.as_bool() {
                Ok(wanted) => absent = wanted,
                Err(_) => return throw("option", format!("absent is true or false, not {value}")),
            },
            _ => return throw("option", no_option(&name, &["seconds", "absent"])),
        }
    }
    let (shelf, served) = desk.to_change()?;
    let at = store.place(&served, key);
    match desk.encode(value)? {
        Some(value) => ask(|| shelf.set(&at, value, time, absent, &served.own)),
        // There is one no more, if that is what was wanted.
        None if absent => Ok(ask(|| shelf.get(&at))?.is_none()),
        None => ask(|| shelf.change(&at, Change::Delete, &served.own)).map(|_| true),
    }
}

fn change(desk: &Desk, store: &Store, key: &str, change: Change) -> Result<i64> {
    let (shelf, served) = desk.to_change()?;
    let at = store.place(&served, key);
    ask(|| shelf.change(&at, change, &served.own))
}

fn update(
    desk: &Desk,
    context: &NativeCallContext,
    store: &Store,
    key: &str,
    change: &FnPtr,
) -> Result<Dynamic> {
    let (shelf, served) = desk.to_change()?;
    let at = store.place(&served, key);
    let mut turn = None;
    for tried in 0..TRIES {
        if turn.is_none() && (tried >= FREELY || shelf.takes_turns(&at)) {
            turn = Some(meter::until(shelf.turn(&at))?);
        }
        let seen = ask(|| shelf.get(&at))?;
        let value = desk.decode(seen.as_deref())?;
        let made = meter::without_waits(|| change.call_raw(context, None, [value]));
        let value = made.map_err(own)?;
        let made = desk.encode(&value)?;
        if made == seen {
            return Ok(value);
        }
        let swap = Change::Swap { seen, value: made };
        if ask(|| shelf.change(&at, swap, &served.own))? > 0 {
            return Ok(value);
        }
    }
    throw(
        "conflict",
        format!("others changed {key:?} whenever it was to be updated, {TRIES} times: try again"),
    )
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

fn keys(desk: &Desk, store: &Store, prefix: &str) -> Result<Array> {
    let (shelf, served) = desk.here()?;
    let name = store.place(&served, "").store;
    let keys = ask(|| shelf.keys(&name, prefix, desk.limits.list))?;
    let mut pace = Pace::default();
    let mut array = Array::with_capacity(keys.len());
    for key in keys {
        pace.step(key.len() + 64)?;
        array.push(Dynamic::from(key.to_string()));
    }
    Ok(array)
}

fn expire(desk: &Desk, store: &Store, key: &str, seconds: f64) -> Result<bool> {
    let time = lasting("expire", &seconds.into())?;
    let (shelf, served) = desk.to_change()?;
    let at = store.place(&served, key);
    ask(|| shelf.expire(&at, time, &served.own))
}

fn wait(
    desk: &Desk,
    store: &Store,
    key: &str,
    seen: &Dynamic,
    patience: Option<Duration>,
) -> Result<Dynamic> {
    let (shelf, served) = desk.to_change()?;
    let at = store.place(&served, key);
    let seen = desk.encode(seen)?;
    desk.decode(ask_patiently(|| shelf.wait(&at, seen, patience))?.as_deref())
}
