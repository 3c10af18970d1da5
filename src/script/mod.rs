//! Scripts: a message to a hook call and its effects.
//!
//! [`Source`] is a file's text, `program` what it compiles to on a worker, `call` one hook run on a `fiber`, and
//! [`ScriptSession`] one connection's hooks in order. [`Runtime`] is a worker's engine with all of it.

pub mod api;
mod call;
mod caller;
mod engine;
mod error;
mod fiber;
mod hooks;
mod meter;
mod program;
mod runtime;
mod session;
mod state;
mod turns;

pub use api::connection::{Peer, Place};
pub use api::request::{Answer, Rejection, Request};
pub use error::Fault;
pub use hooks::{HOOKS, Hook};
pub use program::{Source, check};
pub use runtime::{Handler, Runtime};
pub use session::{Refused, ScriptSession, ensure_loaded, handshake, reload};
pub use state::State;

/// The bounds of scripts, each with its unit; `config::limits` gives the values and the reasons.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Computing time of a hook between two waits. Over it: a script fault.
    pub budget: std::time::Duration,
    /// Operations of a hook between two waits. Over it: a script fault.
    pub operations: u32,
    /// Containers inside each other in a connection's `this`. Over it: a script fault.
    pub depth: usize,
    /// The computing time of `on_close`, whose peer is gone.
    pub close_budget: std::time::Duration,
    /// Hooks that may wait or compute at once on one worker; more wait for their turn.
    pub fibers: usize,
    /// Bytes of a string or blob, which a message must fit.
    pub string: usize,
    /// Entries of an object map.
    pub map: usize,
    /// Calls inside each other.
    pub call_levels: usize,
    /// Variables in scope.
    pub variables: usize,
    /// Functions of one file.
    pub functions: usize,
    /// Bytes of a script file.
    pub source: usize,
}
