//! What scripts may call, one file a package.
//!
//! A package is a table: each row registers one function and documents it, so that the reference, the definition files
//! of editors and the hints of errors are made from what is really there.

pub mod bounded;
pub mod connection;
mod dates;
mod deflate;
mod encoding;
mod env;
mod errors;
pub mod form;
pub mod json;
mod log;
mod pack;
mod random;
pub mod raw;
pub mod request;
mod time;
mod values;

use rhai::{Dynamic, Engine, EvalAltResult, ImmutableString, Position};

use super::Settings;
use super::hooks::Hook;

/// Every package, in the order of the reference.
pub const PACKAGES: &[&Package] = &[
    &request::PACKAGE,
    &connection::PACKAGE,
    &time::PACKAGE,
    &values::PACKAGE,
    &encoding::PACKAGE,
    &json::PACKAGE,
    &log::PACKAGE,
    &random::PACKAGE,
    &env::PACKAGE,
    &errors::PACKAGE,
    &raw::PACKAGE,
];

/// Functions of one subject.
pub struct Package {
    /// A word.
    pub name: &'static str,
    /// A paragraph of the reference.
    pub about: &'static str,
    /// Its functions.
    pub functions: &'static [Function],
}

/// A function, method or property.
pub struct Function {
    /// How it is called, one line a form: `sleep(seconds: float)`, `now() -> float`, `ws.send(text: string)`,
    /// `request.path -> string` for a property, `request.protocol = string` for one that can be set.
    pub signatures: &'static [&'static str],
    /// What it does and gives, in sentences.
    pub about: &'static str,
    /// What it throws: the error's `kind`, and when.
    pub throws: &'static [(&'static str, &'static str)],
    /// Where it may be called.
    pub allowed: Allowed,
    /// Statements for a `transfer_data(ws, message)` that is sent `hello`, or, if it defines functions, a whole handler.
    /// A test runs it and expects the messages that stand behind `// =>`, in order.
    pub example: &'static str,
    /// Makes it known to an engine.
    pub register: fn(&mut Engine, &Settings),
}

/// The hooks that a function may be called in.
#[derive(Debug, Clone, Copy)]
pub enum Allowed {
    /// Every hook.
    Everywhere,
    /// Every hook with `ws`.
    Open,
    /// These.
    Only(&'static [Hook]),
}

/// Registers all of it.
pub fn register(engine: &mut Engine, settings: &Settings) {
    bounded::register(engine, settings);
    for function in PACKAGES.iter().flat_map(|package| package.functions) {
        (function.register)(engine, settings);
    }
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
