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

pub use crate::config::limits::Script as Limits;
pub use api::connection::{Peer, Place};
pub use api::request::{Answer, Rejection, Request};
pub use error::Fault;
pub use hooks::{HOOKS, Hook};
pub use program::{Source, check};
pub use runtime::{Handler, Runtime};
pub use session::{Refused, ScriptSession, ensure_loaded, handshake, reload};
pub use state::State;
