//! A worse network for one connection: `request.link`.

use std::rc::Rc;
use std::time::Duration;

use rhai::{Array, Dynamic, EvalAltResult, Map};

use super::options::{no_option, option, seconds};
use crate::config::Link;
use crate::machine::error::{duration, throw};
use crate::machine::host::{Allowed, Function, Package};
use crate::machine::types;
use crate::script::request::Request;

type Result<T> = std::result::Result<T, Box<EvalAltResult>>;

/// What a link may be told.
const KNOWN: [&str; 8] = [
    "latency",
    "jitter",
    "rate",
    "stall",
    "cut_after",
    "cut_bytes",
    "reset",
    "seed",
];

/// `request.link`.
pub const PACKAGE: Package = Package {
    name: "link",
    about: "A connection over a worse network than the one that is there, to see what a client \
        makes of it: see [A worse network](#a-worse-network).",
    functions: &[Function {
        signatures: &["request.link(options: map)"],
        about: "Has this connection's bytes travel over such a link, in both directions, from its \
            answer on. `latency` and `jitter` are seconds from one end to the other, and the most \
            that chance adds; the order stays. `rate` is bytes a second. `stall: [every, seconds]` \
            lets nothing pass for so long every so often. `cut_after`, in seconds, or `cut_bytes`, \
            of what the client is sent, ends the connection without a Close, `reset: true` with a \
            reset of TCP. `seed` makes the jitter the same each time. A later call is instead of \
            the one before.",
        throws: &[
            (
                "option",
                "for an option that there is not, or a value that it cannot have",
            ),
            ("time", "for less than 0 or more than 86,400 seconds"),
        ],
        allowed: Allowed::Only(&["do_extra_handshake"]),
        example: "fn do_extra_handshake(request) {\n    request.link(#{latency: 0.02, jitter: \
                  0.01, rate: 50_000});\n}\n\nfn transfer_data(ws, message) {\n    \
                  ws.send(message); // => hello\n}",
        register: |engine, host| {
            let chance = host.random.stream("link");
            engine.register_fn("link", move |request: &mut Rc<Request>, options: Map| {
                let mut link = read(&options)?;
                let drawn = || chance.number(0..i64::MAX).unsigned_abs();
                link.seed.get_or_insert_with(drawn);
                request.answer.borrow_mut().link = Some(link);
                Ok::<_, Box<EvalAltResult>>(())
            });
        },
    }],
};

fn read(options: &Map) -> Result<Link> {
    let mut link = Link::default();
    for (name, value) in options {
        match name.as_str() {
            "latency" => link.latency = time(name, value)?,
            "jitter" => link.jitter = time(name, value)?,
            "rate" => link.rate = Some(count(name, value)?),
            "stall" => link.stall = Some(stall(value)?),
            "cut_after" => link.cut_after = Some(time(name, value)?),
            "cut_bytes" => link.cut_bytes = Some(count(name, value)?),
            "reset" => {
                let only = Map::from([("reset".into(), value.clone())]);
                link.reset = option("reset", &only)? == Some(true);
            }
            "seed" => link.seed = Some(count(name, value)?),
            _ => return throw("option", no_option(name, &KNOWN)),
        }
    }
    match link.problem() {
        Some(problem) => throw("option", problem),
        None => Ok(link),
    }
}

fn time(name: &str, value: &Dynamic) -> Result<Duration> {
    duration(name, seconds(name, value)?)
}

fn count(name: &str, value: &Dynamic) -> Result<u64> {
    let number = value.as_int().ok();
    match number.and_then(|number| u64::try_from(number).ok()) {
        Some(number) => Ok(number),
        None => {
            let found = number.map_or_else(
                || types::name_of(value).to_owned(),
                |number| number.to_string(),
            );
            throw(
                "option",
                format!("{name} is a whole number, 0 or more, not {found}"),
            )
        }
    }
}

fn stall(value: &Dynamic) -> Result<(Duration, Duration)> {
    if let Some(times) = value.read_lock::<Array>()
        && let [every, lasts] = &times[..]
    {
        return Ok((time("stall", every)?, time("stall", lasts)?));
    }
    throw(
        "option",
        format!(
            "stall is an array, [every, seconds], not {}",
            types::name_of(value)
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_what_it_is_told_and_nothing_else() {
        let engine = rhai::Engine::new();
        let read_text = |text: &str| read(&engine.eval::<Map>(text).expect("a map"));
        let link =
            read_text("#{latency: 1, rate: 100, stall: [10, 0.5], cut_after: 2.5, reset: true}");
        let expected = "latency=1s,rate=100,stall=10s/500ms,cut_after=2500ms,reset";
        assert_eq!(link.ok(), expected.parse().ok());
        for text in [
            "#{speed: 1}",
            "#{latency: -1}",
            "#{latency: \"1s\"}",
            "#{rate: 0}",
            "#{rate: 1.5}",
            "#{stall: 1}",
            "#{stall: [1, 1]}",
            "#{reset: true}",
            "#{cut_bytes: -1}",
        ] {
            assert!(read_text(text).is_err(), "{text}");
        }
    }
}
