//! Failures of host functions, as scripts catch them.

use std::time::Duration;

use rhai::{Dynamic, EvalAltResult, ImmutableString, Position};

/// Error that a host function throws: scripts can catch it and look at its `kind` and `message`.
#[derive(Debug, Clone)]
pub struct HostError {
    /// A word to compare with.
    pub kind: &'static str,
    /// A sentence to read.
    pub message: ImmutableString,
}

/// A host function's failure.
pub fn throw<T>(
    kind: &'static str,
    message: impl Into<ImmutableString>,
) -> Result<T, Box<EvalAltResult>> {
    Err(thrown(kind, message))
}

/// The same, by itself.
pub fn thrown(kind: &'static str, message: impl Into<ImmutableString>) -> Box<EvalAltResult> {
    let error = HostError {
        kind,
        message: message.into(),
    };
    EvalAltResult::ErrorRuntime(Dynamic::from(error), Position::NONE).into()
}

/// The kind of an error that a host function has thrown.
pub fn kind_of(error: &EvalAltResult) -> Option<&'static str> {
    match error {
        EvalAltResult::ErrorRuntime(thrown, _) => {
            let thrown = thrown.read_lock::<HostError>()?;
            Some(thrown.kind)
        }
        _ => None,
    }
}

/// The longest wait or timer, a day: longer ones are taken for a mistake in the unit.
const LONGEST: f64 = 86_400.0;

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
