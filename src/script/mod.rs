//! Scripts: a message to a hook call and its effects.
//!
//! The files, in the order of the data's way:
//!
//! | file | is about |
//! |---|---|
//! | `library` | a folder's texts → a [`Source`], which carries its modules, or the [`Fault`] that it has |
//! | `engine`, `api` | Rhai as handlers see it: the bounds, and one table of functions a package |
//! | `resolve`, `doubts` | what a file refers to, looked up before it serves; what it probably does not mean |
//! | `lost` | writes that would be lost, which a version may not have |
//! | `program`, `modules`, `hooks` | a source compiled on a worker: its [`Hook`]s, what it imports |
//! | `runtime` | a worker's engine, fibers and programs |
//! | `call`, `fiber` | one hook run on a stack of its own, where it may wait |
//! | `meter`, `heap`, `caller` | what a running hook has used of its time and memory, and whose it is |
//! | `session`, `state`, `timers`, `loops` | one connection: its hooks in order, its `this`, its timers, the version that its loop keeps; and the handler's own in `service` |
//! | `fault` | what went wrong, in words, with its line and a hint |
//! | `reference` | what is documented of all this, for people and editors |

pub mod api;
mod call;
mod caller;
mod doubts;
mod engine;
mod fault;
mod fiber;
mod heap;
mod hooks;
mod library;
pub mod loops;
mod lost;
mod meter;
mod modules;
mod program;
pub mod reference;
mod resolve;
mod runtime;
mod service;
mod session;
mod state;
mod timers;

pub use crate::config::Script as Settings;
pub use crate::config::limits::Script as Limits;
pub use api::connection::{Peer, Place};
pub use api::request::{Answer, Rejection, Request, Wire};
pub use fault::report::last_incident;
pub use fault::{Fault, Location, Severity};
pub use fiber::STACK;
pub use heap::Heap;
pub use hooks::{HOOKS, Hook, HookInfo};
pub use library::{Checked, Checker, Library, Tried, Unreadable};
pub use modules::{Compiler, SUFFIX};
pub use program::{Program, Source};
pub use runtime::{Handler, Runtime};
pub use service::Services;
pub use session::{Handshake, Refused, ScriptSession, ensure_loaded, reload};
pub use state::State;
