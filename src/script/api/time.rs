//! Time: waiting, two clocks, and dates.

use rhai::{Engine, EvalAltResult, ImmutableString};

use crate::machine::error::{duration, throw};
use crate::machine::host::{Allowed, Function, Package};
use crate::machine::meter;
use crate::machine::packages::dates;
use crate::machine::wait::Wait;
use crate::script::caller;

/// The functions of time.
pub const PACKAGE: Package = Package {
    name: "time",
    about: "Times are seconds, whole or with a fraction.",
    functions: &[
        Function {
            signatures: &["sleep(seconds: float | int)"],
            about: "This connection's hook waits; all others go on. Meanwhile pings are answered, \
                messages are kept in order up to a \
                    bound, and a hook whose peer is gone is ended.",
            throws: &[("time", "for less than 0 or more than 86,400 seconds")],
            allowed: Allowed::Everywhere,
            example: "sleep(0.1);\nws.send(\"a moment later\"); // => a moment later",
            register: |engine, _| {
                engine.register_fn("sleep", sleep);
                engine.register_fn("sleep", |seconds: i64| sleep(seconds as f64));
            },
        },
        Function {
            signatures: &["now() -> float"],
            about: "The time of day: seconds since 1970 (UTC). It can jump when the machine's \
                clock is set. `format_time` makes a text of it.",
            throws: &[],
            allowed: Allowed::Everywhere,
            example: "ws.send(`${now() > 1_700_000_000.0}`); // => true",
            register: |engine, host| {
                let clock = host.clock.clone();
                engine.register_fn("now", move || clock.now());
            },
        },
        Function {
            signatures: &[
                "format_time(seconds: int | float) -> string",
                "format_time(seconds: int | float, pattern: string) -> string",
            ],
            about: "A time of day as text, in UTC: seconds since 1970 as `now()` gives them. \
                Without a pattern it is RFC 3339, which is ISO 8601: an int \
                    as `2015-10-21T07:28:00Z`, a float with milliseconds, as JavaScript's \
                    `toISOString` has it. A pattern is that of `strftime`: `%Y` year, \
                    `%m` month, `%d` day, `%H` hour, `%M` minute, `%S` second, `%3f` milliseconds, \
                    `%j` day of the year, `%a` `%A` weekday, `%b` `%B` \
                    month's name (in English), `%F` for `%Y-%m-%d`, `%T` for `%H:%M:%S`, `%s` \
                    seconds since 1970, `%%` a `%`.",
            throws: &[(
                "time",
                "for a time before the year -9999 or after 9999, and for a pattern with something \
                else",
            )],
            allowed: Allowed::Everywhere,
            example: "ws.send(format_time(1445412480)); // => 2015-10-21T07:28:00Z\n\
                      ws.send(format_time(1445412480.25)); // => 2015-10-21T07:28:00.250Z\n\
                      ws.send(format_time(1445412480, \"%a %d %b %Y, %H:%M\")); // => Wed 21 Oct \
                      2015, 07:28",
            register: |engine, _| {
                engine
                    .register_fn("format_time", |seconds: i64| dates::rfc3339(seconds))
                    .register_fn("format_time", |seconds: f64| {
                        dates::rfc3339_with_milliseconds(seconds)
                    })
                    .register_fn("format_time", |seconds: i64, pattern: &str| {
                        dates::by_pattern(dates::at(seconds)?, pattern)
                    })
                    .register_fn("format_time", |seconds: f64, pattern: &str| {
                        dates::by_pattern(dates::at_fraction(seconds)?, pattern)
                    });
            },
        },
        Function {
            signatures: &["http_date(seconds: int | float) -> string"],
            about: "A time of day as the headers of HTTP write it (RFC 9110), such as `Expires` of \
                a cookie.",
            throws: &[("time", "for a time before 1970 or after the year 9999")],
            allowed: Allowed::Everywhere,
            example: "ws.send(http_date(1445412480)); // => Wed, 21 Oct 2015 07:28:00 GMT",
            register: |engine, _| {
                engine
                    .register_fn("http_date", |seconds: i64| dates::http(seconds as f64))
                    .register_fn("http_date", dates::http);
            },
        },
        Function {
            signatures: &[
                "parse_time(text: string) -> float",
                "parse_time(text: string, pattern: string) -> float",
            ],
            about: "The seconds since 1970 of a date in text. Without a pattern it is RFC 3339, \
                with any offset, or a date of HTTP. A pattern is that of \
                    `format_time`, and has a date and a time; without an offset (`%z`) it is taken \
                    for UTC, without a time for midnight.",
            throws: &[("time", "for a text that is no such date")],
            allowed: Allowed::Everywhere,
            example: "ws.send(`${parse_time(\"2015-10-21T09:28:00+02:00\")}`); // => 1445412480.0\n\
                      ws.send(`${parse_time(\"Wed, 21 Oct 2015 07:28:00 GMT\")}`); // => \
                      1445412480.0\n\
                      ws.send(`${parse_time(\"21.10.2015\", \"%d.%m.%Y\")}`); // => 1445385600.0\n\
                      try { parse_time(\"tomorrow\") } catch (e) { ws.send(e.kind); } // => time",
            register: |engine, _| {
                engine
                    .register_fn("parse_time", dates::parse)
                    .register_fn("parse_time", dates::parse_by_pattern);
            },
        },
        Function {
            signatures: &["monotonic() -> float"],
            about: "Seconds since the server started, by a clock that never jumps: for measuring \
                how long something took.",
            throws: &[],
            allowed: Allowed::Everywhere,
            example: "let began = monotonic();\nsleep(0.01);\nws.send(`${monotonic() - began >= \
                0.01}`); // => true",
            register: |engine, host| {
                let clock = host.clock.clone();
                engine.register_fn("monotonic", move || clock.monotonic());
            },
        },
        Function {
            signatures: &[
                "every(seconds: float | int, name: string)",
                "cancel(name: string) -> bool",
            ],
            about: "Sets a timer of the handler itself: `on_interval(name)` is called again and \
                again, once in the process and without a \
                    connection. A new version of the handler starts with none, and sets its own. \
                    `cancel` forgets one; `false` if there was \
                    none. For a timer of a connection see `ws.every`.",
            throws: &[
                ("time", "for less than 0.001 or more than 86,400 seconds"),
                ("timer", "in a hook with a connection, or for a 65th timer"),
            ],
            allowed: Allowed::Only(&["on_load", "on_interval"]),
            example: "fn on_load() {\n    every(60, \"minute\");\n}\n\nfn on_interval(name) {\n    \
                print(`another ${name}`);\n}\n\n\
                      fn transfer_data(ws, message) {\n    ws.send(message); // => hello\n}",
            register: |engine, _| register_intervals(engine),
        },
    ],
};

fn sleep(seconds: f64) -> Result<(), Box<EvalAltResult>> {
    let time = duration("sleep", seconds)?;
    // A timer that is due at once would let nobody else go first.
    let wait = if time.is_zero() {
        Wait::Slice
    } else {
        Wait::Until(Box::pin(tokio::time::sleep(time)))
    };
    meter::wait(wait).map(drop)?;
    Ok(())
}

/// Registers the handler's own timers.
fn register_intervals(engine: &mut Engine) {
    let every = |seconds: f64, name: ImmutableString| match caller::service() {
        Some(service) => service.every(name, seconds),
        None => throw(
            "timer",
            "every(seconds, name) belongs into on_load; a connection's timer is ws.every(seconds, \
            name)",
        ),
    };
    engine
        .register_fn("every", every)
        .register_fn("every", move |seconds: i64, name: ImmutableString| {
            every(seconds as f64, name)
        })
        .register_fn("cancel", |name: ImmutableString| {
            caller::service().is_some_and(|service| service.timers(|timers| timers.cancel(&name)))
        });
}

#[cfg(test)]
mod tests {
    use crate::machine::host::Host;
    use crate::script::engine::engine;

    #[test]
    fn sleep_takes_no_negative_time_however_it_is_called() {
        let engine = engine(&Host::default());
        for call in [
            "Fn(\"sleep\").call(-1)",
            "Fn(\"sleep\").call(-1.0)",
            "(-1).sleep()",
        ] {
            let script =
                format!("let kind = (); try {{ {call}; }} catch (e) {{ kind = e.kind; }} kind");
            assert_eq!(
                engine.eval::<String>(&script).ok().as_deref(),
                Some("time"),
                "{call}"
            );
        }
    }
}
