//! Queues: values in order, each for one taker.

use std::sync::Arc;
use std::time::Duration;

use rhai::{Dynamic, EvalAltResult, ImmutableString, Map};

use super::options::no_option;
use super::stored::{AWAY, Desk, ENGINE, IN_UPDATE, ask, ask_patiently, lasting};
use crate::machine::error::{duration, throw};
use crate::machine::host::{Allowed, Function, Package};
use crate::store::Taken;

type Result<T> = std::result::Result<T, Box<EvalAltResult>>;

/// A queue as scripts have it.
#[derive(Debug, Clone)]
pub struct Queue(Arc<str>);

/// What queues can be told and asked.
pub const PACKAGE: Package = Package {
    name: "queue",
    about: "A queue hands each value to one taker, first in, first out: see [Between \
        connections](#between-connections). Every handler may use every queue. Whoever waits is \
        served in order; a taker whose connection ends while it waits has taken nothing.",
    functions: &[
        Function {
            signatures: &["queue(name: string) -> Queue"],
            about: "The queue of this name. There is nothing to create.",
            throws: &[(
                "key",
                "for a name that is empty, too long or has control characters",
            )],
            allowed: Allowed::Everywhere,
            example: "let jobs = queue(\"jobs\");\njobs.put(message);\n\
                ws.send(jobs.take()); // => hello",
            register: |engine, host| {
                let desk = Desk::of(host);
                engine.register_fn("queue", move |name: ImmutableString| -> Result<Queue> {
                    if let Ok((shelf, _)) = desk.here() {
                        ask(|| shelf.check("a queue's name", &name).into())?;
                    }
                    Ok(Queue(name.as_str().into()))
                });
            },
        },
        Function {
            signatures: &["queue.put(value: any)"],
            about: "Adds a value at the end. It waits while the queue is full \
                (`--max-queue-entries`, `--max-queue-size`).",
            throws: &[
                (
                    "type",
                    "for `()`, which is what `take` gives when there is nothing",
                ),
                ("json", "for what JSON cannot say, see `to_json`"),
                ("value", "for one that is too long (`--max-value-size`)"),
                (
                    "full",
                    "for more than a handler's stores and queues may keep (`--max-store-size`)",
                ),
                (
                    "queues",
                    "for one queue more than a handler may have (`--max-queues`)",
                ),
                IN_UPDATE,
                AWAY,
                ENGINE,
            ],
            allowed: Allowed::Everywhere,
            example: "queue(\"mail\").put(#{to: \"ada\", text: message});\n\
                ws.send(queue(\"mail\").take().text); // => hello",
            register: |engine, host| {
                let desk = Desk::of(host);
                engine.register_fn("put", move |queue: Queue, value: Dynamic| {
                    put(&desk, &queue, &value)
                });
            },
        },
        Function {
            signatures: &[
                "queue.take() -> any",
                "queue.take(seconds: float | int) -> any",
                "queue.take(seconds: float | int | (), options: map) -> any",
            ],
            about: "Takes the first value, and waits for one: so long at the most, then it is `()`. \
                With 0 it only looks. The option `lease` takes it for so many seconds and gives \
                `#{id, value}`: unless `done(id)` is called until then, the value goes back to the \
                front of the queue for another taker. So no work is lost with whoever has it.",
            throws: &[
                ("time", "for less than 0 or more than 86,400 seconds"),
                ("option", "for options that there are not"),
                IN_UPDATE,
                AWAY,
                ENGINE,
            ],
            allowed: Allowed::Everywhere,
            example: "queue(\"work\").put(message);\n\
                let job = queue(\"work\").take(5, #{lease: 30});\nws.send(job.value); // => hello\n\
                queue(\"work\").done(job.id);\nws.send(`${queue(\"work\").take(0) == ()}`); \
                // => true",
            register: |engine, host| {
                let [desk, again, third, fourth] = [0; 4].map(|_| Desk::of(host));
                engine
                    .register_fn("take", move |queue: Queue| take(&desk, &queue, None))
                    .register_fn("take", move |queue: Queue, seconds: f64| {
                        take(&again, &queue, Some(duration("take", seconds)?))
                    })
                    .register_fn("take", move |queue: Queue, seconds: i64| {
                        take(&third, &queue, Some(duration("take", seconds as f64)?))
                    })
                    .register_fn(
                        "take",
                        move |queue: Queue, seconds: Dynamic, options: Map| {
                            take_as(&fourth, &queue, &seconds, options)
                        },
                    );
            },
        },
        Function {
            signatures: &["queue.done(id: int) -> bool"],
            about: "Ends a lease for good: the value is done. `false` if it had run out before, so \
                that another may have the value by now.",
            throws: &[IN_UPDATE, AWAY, ENGINE],
            allowed: Allowed::Everywhere,
            example: "queue(\"tasks\").put(1);\nlet task = queue(\"tasks\").take((), #{lease: 1});\n\
                ws.send(`${queue(\"tasks\").done(task.id)} ${queue(\"tasks\").done(task.id)}`); \
                // => true false",
            register: |engine, host| {
                let desk = Desk::of(host);
                engine.register_fn("done", move |queue: Queue, id: i64| -> Result<bool> {
                    let (shelf, _) = desk.to_change()?;
                    match u64::try_from(id) {
                        Ok(id) => ask(|| shelf.done(&queue.0, id)),
                        Err(_) => Ok(false),
                    }
                });
            },
        },
        Function {
            signatures: &["queue.length() -> int"],
            about: "How many values can be taken; those on lease are not among them.",
            throws: &[AWAY, ENGINE],
            allowed: Allowed::Everywhere,
            example: "queue(\"steps\").put(1);\nqueue(\"steps\").put(2);\n\
                ws.send(`${queue(\"steps\").length()}`); // => 2",
            register: |engine, host| {
                let desk = Desk::of(host);
                engine.register_fn("length", move |queue: Queue| -> Result<i64> {
                    let (shelf, _) = desk.here()?;
                    Ok(ask(|| shelf.length(&queue.0))? as i64)
                });
            },
        },
    ],
};

fn put(desk: &Desk, queue: &Queue, value: &Dynamic) -> Result<()> {
    let (shelf, served) = desk.to_change()?;
    match desk.encode(value)? {
        Some(value) => ask(|| shelf.put(&queue.0, value, &served.own)),
        None => throw(
            "type",
            "() is no value: take gives it when there is nothing",
        ),
    }
}

/// Takes a value for good.
fn take(desk: &Desk, queue: &Queue, patience: Option<Duration>) -> Result<Dynamic> {
    let (shelf, _) = desk.to_change()?;
    let taken = ask_patiently(|| shelf.take(&queue.0, patience, None))?;
    let item = taken.and_then(Taken::accept);
    desk.decode(item.as_ref().map(|item| &*item.value))
}

/// Takes one as the options say.
fn take_as(desk: &Desk, queue: &Queue, seconds: &Dynamic, options: Map) -> Result<Dynamic> {
    let patience = match (seconds.as_float(), seconds.as_int()) {
        (Ok(seconds), _) => Some(duration("take", seconds)?),
        (_, Ok(seconds)) => Some(duration("take", seconds as f64)?),
        _ if seconds.is_unit() => None,
        _ => {
            return throw(
                "time",
                format!("take takes a number of seconds or (), not {seconds}"),
            );
        }
    };
    let mut lease = None;
    for (name, value) in options {
        match &*name {
            "lease" => lease = Some(lasting("lease", &value)?),
            _ => return throw("option", no_option(&name, &["lease"])),
        }
    }
    if lease.is_none() {
        return take(desk, queue, patience);
    }
    let (shelf, _) = desk.to_change()?;
    let taken = ask_patiently(|| shelf.take(&queue.0, patience, lease))?;
    let Some(item) = taken.and_then(Taken::accept) else {
        return Ok(Dynamic::UNIT);
    };
    let value = desk.decode(Some(&item.value))?;
    let id = item.lease.unwrap_or_default() as i64;
    Ok(Dynamic::from_map(Map::from([
        ("id".into(), id.into()),
        ("value".into(), value),
    ])))
}
