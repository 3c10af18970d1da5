//! Time: waiting, and two clocks.

use std::sync::LazyLock;
use std::time::{Duration, Instant, SystemTime};

use rhai::EvalAltResult;

use super::{Allowed, Function, Package, connection, throw};
use crate::script::fiber::Wait;
use crate::script::hooks::Hook;
use crate::script::meter;

/// The longest wait or timer, a day: longer ones are taken for a mistake in the unit.
const LONGEST: f64 = 86_400.0;

/// The functions of time.
pub const PACKAGE: Package = Package {
    name: "time",
    about: "Times are seconds, whole or with a fraction.",
    functions: &[
        Function {
            signatures: &["sleep(seconds: float | int)"],
            about: "This connection's hook waits; all others go on. Meanwhile pings are answered, messages are kept in order up to a \
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
            about: "The time of day: seconds since 1970 (UTC). It can jump when the machine's clock is set.",
            throws: &[],
            allowed: Allowed::Everywhere,
            example: "ws.send(`${now() > 1_700_000_000.0}`); // => true",
            register: |engine, _| {
                engine.register_fn("now", || {
                    SystemTime::UNIX_EPOCH
                        .elapsed()
                        .map_or(0.0, |since| since.as_secs_f64())
                });
            },
        },
        Function {
            signatures: &["monotonic() -> float"],
            about: "Seconds since the server started, by a clock that never jumps: for measuring how long something took.",
            throws: &[],
            allowed: Allowed::Everywhere,
            example: "let began = monotonic();\nsleep(0.01);\nws.send(`${monotonic() - began >= 0.01}`); // => true",
            register: |engine, _| {
                static START: LazyLock<Instant> = LazyLock::new(Instant::now);
                LazyLock::force(&START);
                engine.register_fn("monotonic", || START.elapsed().as_secs_f64());
            },
        },
        Function {
            signatures: &[
                "every(seconds: float | int, name: string)",
                "cancel(name: string) -> bool",
            ],
            about: "Sets a timer of the handler itself: `on_interval(name)` is called again and again, once in the process and without a \
                    connection. A new version of the handler starts with none, and sets its own. `cancel` forgets one; `false` if there was \
                    none. For a timer of a connection see `ws.every`.",
            throws: &[
                ("time", "for less than 0.001 or more than 86,400 seconds"),
                ("timer", "in a hook with a connection, or for a 65th timer"),
            ],
            allowed: Allowed::Only(&[Hook::OnLoad, Hook::OnInterval]),
            example: "fn on_load() {\n    every(60, \"minute\");\n}\n\nfn on_interval(name) {\n    print(`another ${name}`);\n}\n\n\
                      fn transfer_data(ws, message) {\n    ws.send(message); // => hello\n}",
            register: |engine, _| connection::register_intervals(engine),
        },
    ],
};

/// A number of seconds as a duration; throws `time` for one that no wait may have.
pub fn duration(what: &str, seconds: f64) -> Result<Duration, Box<EvalAltResult>> {
    if !(0.0..=LONGEST).contains(&seconds) {
        return throw(
            "time",
            format!("{what} takes 0 to {LONGEST} seconds, not {seconds}"),
        );
    }
    Ok(Duration::from_secs_f64(seconds))
}

fn sleep(seconds: f64) -> Result<(), Box<EvalAltResult>> {
    meter::wait(Wait::Sleep(duration("sleep", seconds)?)).map(drop)?;
    Ok(())
}
