//! Scripts: a message to a hook call and its effects.
//!
//! The files, in the order of the data's way:
//!
//! | file | is about |
//! |---|---|
//! | `library` | a folder's texts → a [`Source`], which carries its modules, or the [`Fault`] that it has |
//! | `engine`, `api` | Rhai as handlers see it: what the machine has, and one table of functions a package |
//! | `resolve`, `doubts` | what a file refers to, looked up before it serves; what it probably does not mean |
//! | `lost` | writes that would be lost, which a version may not have |
//! | `compiler`, `program`, `hooks` | a source compiled on a worker: its [`Hook`]s, what it imports |
//! | `runtime`, `handler` | a worker's fibers and handlers, and one file's handler |
//! | `call`, `caller`, `hook_call` | one hook run on a fiber, what its functions may ask about it, and the box that it comes in |
//! | `delivery` | a message of a topic on its way through `on_publish` |
//! | `owner` | whose hook it is: a connection's, a handshake's, or the handler's own |
//! | `peer`, `request`, `state` | a connection as its handler has it: its request, its `this`, its timers |
//! | `session`, `loops` | a connection's hooks in order, the version that its loop keeps; and the handler's own in `service` |
//! | `dialed` | connections that a script has opened, and what comes from them |
//! | `peers`, `look` | what a developer who looks on sees of connections and of values |
//! | `coverage` | which lines have run, where somebody asks |
//! | `stand_in` | who answers in the place of other servers, in tests |
//! | `suite`, `tested` | a test of a file, and its run up to its end or that of its time |
//! | `fault` | what went wrong, in words, with its line and a hint |
//! | `reference` | what is documented of all this, for people and editors |

pub mod api;
mod begun;
mod call;
mod caller;
mod compiler;
mod coverage;
mod delivery;
mod dialed;
mod doubts;
mod engine;
#[cfg(test)]
mod evaluators;
mod fault;
mod handler;
mod hook_call;
mod hooks;
mod library;
mod look;
pub(crate) mod loops;
mod lost;
mod owner;
mod packed;
mod peer;
mod peers;
mod program;
pub mod reference;
mod request;
mod resolve;
mod runtime;
mod service;
mod session;
mod stand_in;
mod state;
mod suite;
mod tested;

pub use crate::machine::heap::Heap;
pub use crate::machine::host::Host;
pub use crate::machine::source::{SUFFIX, Source};
pub(crate) use crate::machine::stack::STACK;
pub use crate::machine::{Limits, Settings};
pub(crate) use api::http::body_of;
pub(crate) use api::options::headers as header_fields;
pub use begun::Begun;
pub use compiler::Compiler;
pub use coverage::{Coverage, Covered};
pub(crate) use fault::report::last_incident;
pub(crate) use fault::{Fault, Location, Severity};
pub(crate) use handler::Handler;
pub use hooks::{HOOKS, Hook, HookInfo};
pub use library::{Checked, Checker, Library, Tests, Tried, Unreadable};
pub use peer::{Peer, Place};
pub use program::Program;
pub use request::{Answer, Body, Rejection, Request, Wire};
pub use runtime::Runtime;
pub use service::Services;
pub(crate) use session::reload;
pub use session::{Again, Handshake, HandshakeFailure, ScriptSession, ensure_begun, run_again};
pub(crate) use stand_in::StandIn;
pub use state::State;
pub(crate) use tested::run as run_test;
