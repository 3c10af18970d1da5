//! What scripts may call, one file a subject.

pub mod connection;
pub mod request;
mod time;

use rhai::{Dynamic, Engine, EvalAltResult, ImmutableString, Position};

/// Registers all of it.
pub fn register(engine: &mut Engine) {
    connection::register(engine);
    request::register(engine);
    time::register(engine);
    engine.register_type_with_name::<HostError>("Error");
    engine.register_get("kind", |error: &mut HostError| {
        ImmutableString::from(error.kind)
    });
    engine.register_get("message", |error: &mut HostError| error.message.clone());
    engine.register_fn("to_string", |error: &mut HostError| error.message.clone());
    engine.register_fn("to_debug", |error: &mut HostError| error.message.clone());
}

/// What a host function throws: scripts can catch it and look at its `kind` and `message`.
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
    let error = HostError {
        kind,
        message: message.into(),
    };
    Err(EvalAltResult::ErrorRuntime(Dynamic::from(error), Position::NONE).into())
}

/// A host function that waited and must not come back to the script.
pub fn stop<T>(stop: super::meter::Stop) -> Result<T, Box<EvalAltResult>> {
    Err(EvalAltResult::ErrorTerminated(Dynamic::from(stop), Position::NONE).into())
}
