//! Time: `sleep(seconds)`.

use std::time::Duration;

use rhai::{Engine, EvalAltResult};

use super::{stop, throw};
use crate::script::fiber::Wait;
use crate::script::meter;

/// The longest single sleep, a day: longer ones are taken for a mistake in the unit.
const LONGEST: f64 = 86_400.0;

/// Registers the functions of time.
pub fn register(engine: &mut Engine) {
    engine.register_fn("sleep", sleep);
    engine.register_fn("sleep", |seconds: i64| sleep(seconds as f64));
}

/// `sleep(seconds)`: this connection's hook waits; all others go on. Throws `time` for a negative or absurd number.
fn sleep(seconds: f64) -> Result<(), Box<EvalAltResult>> {
    if !(0.0..=LONGEST).contains(&seconds) {
        return throw(
            "time",
            format!("sleep takes 0 to {LONGEST} seconds, not {seconds}"),
        );
    }
    meter::wait(Wait::Sleep(Duration::from_secs_f64(seconds))).or_else(stop)
}
