//! Packages: tables of what scripts may call. A row registers one function and documents it, so that the reference, the
//! definition files of editors and the hints of errors are made from what is really there.

use rhai::Engine;

use super::Settings;

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
    /// Those of these names.
    Only(&'static [&'static str]),
}
