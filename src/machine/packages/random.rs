//! Random numbers, bytes and UUIDs.

use std::rc::Rc;

use rhai::{Blob, EvalAltResult};
use uuid::Builder;

use super::bounded::bounds::over;
use crate::machine::error::throw;
use crate::machine::host::{Allowed, Function, Package};
use crate::machine::meter::{self, PIECE};
use crate::machine::random::Stream;

/// The functions of chance.
pub const PACKAGE: Package = Package {
    name: "random",
    about: "`random` is quick and can be guessed: for games, samples and delays. What must be \
        secret comes from `random_bytes` or `uuid`.",
    functions: &[
        Function {
            signatures: &[
                "random() -> float",
                "random(below: int) -> int",
                "random(from: int, below: int) -> int",
            ],
            about: "A number: from 0.0 to below 1.0, from 0 to below a number, or from one to \
                below another.",
            throws: &[("random", "if no number is below and not under the first")],
            allowed: Allowed::Everywhere,
            example: "let dice = random(1, 7);\n\
                      ws.send(`${dice >= 1 && dice <= 6}`); // => true",
            register: |engine, host| {
                let numbers = Rc::new(host.random.stream("random"));
                let (one, other) = (Rc::clone(&numbers), Rc::clone(&numbers));
                engine
                    .register_fn("random", move || numbers.fraction())
                    .register_fn("random", move |below: i64| random(&one, 0, below))
                    .register_fn("random", move |from: i64, below: i64| {
                        random(&other, from, below)
                    });
            },
        },
        Function {
            signatures: &["random_bytes(count: int) -> blob"],
            about: "So many bytes from the system's source of secrets: for keys and tokens.",
            throws: &[
                (
                    "random",
                    "for a negative number, and if the system has none to give",
                ),
                ("limit", "for more than 16 MiB"),
            ],
            allowed: Allowed::Everywhere,
            example: "let token = base64_url(random_bytes(24));\n\
                      ws.send(`${token.len}`); // => 32",
            register: |engine, host| {
                let most = host.settings.limits.string;
                let numbers = host.random.stream("random_bytes");
                engine.register_fn("random_bytes", move |count: i64| {
                    random_bytes(&numbers, count, most)
                });
            },
        },
        Function {
            signatures: &["uuid() -> string"],
            about: "A name that nobody else has and nobody guesses: a UUID of version 4.",
            throws: &[("random", "if the system has no secrets to give")],
            allowed: Allowed::Everywhere,
            example: "ws.send(`${uuid().len}`); // => 36",
            register: |engine, host| {
                let numbers = host.random.stream("uuid");
                engine.register_fn("uuid", move || uuid(&numbers));
            },
        },
    ],
};

fn random(numbers: &Stream, from: i64, below: i64) -> Result<i64, Box<EvalAltResult>> {
    if from >= below {
        return throw(
            "random",
            format!("no number is at least {from} and below {below}"),
        );
    }
    Ok(numbers.number(from..below))
}

fn random_bytes(numbers: &Stream, count: i64, most: usize) -> Result<Blob, Box<EvalAltResult>> {
    let Ok(count) = usize::try_from(count) else {
        return throw("random", format!("there are no {count} bytes"));
    };
    if count > most {
        return over("random_bytes", most, "bytes");
    }
    let mut bytes = vec![0; count];
    for piece in bytes.chunks_mut(PIECE) {
        numbers.fill(piece).or_else(none)?;
        meter::pause()?;
    }
    Ok(bytes)
}

fn uuid(numbers: &Stream) -> Result<String, Box<EvalAltResult>> {
    let mut bytes = [0; 16];
    numbers.fill(&mut bytes).or_else(none)?;
    Ok(Builder::from_random_bytes(bytes).into_uuid().to_string())
}

fn none(error: getrandom::Error) -> Result<(), Box<EvalAltResult>> {
    throw("random", format!("the system has no random bytes: {error}"))
}
