//! The machine that scripts run on: Rhai, bounded, on fibers that may wait. It knows no connection
//! and no handler.
//!
//! | file | is about |
//! |---|---|
//! | `source`, `modules` | files as read, and what a compiled file offers to those that import it |
//! | `engine`, `host`, `packages` | Rhai with its bounds, what a host gives its scripts, and the functions that need no connection |
//! | `lending` | methods that look at a text or at bytes and leave them where they are |
//! | `clock`, `random` | time and chance, which a test can hold still |
//! | `types`, `data`, `error` | values: their names, which of them are plain data, what a failed function throws |
//! | `fiber`, `wait`, `stack` | a call on a stack of its own, where it may wait, and why that stack is large enough |
//! | `running`, `meter`, `budget`, `heap` | the call that runs, what it may use and has used of time and memory |
//! | `tree` | functions of scripts translated, so that a call does not look for names |
//! | `timers` | timers with names |

pub(crate) mod budget;
pub mod clock;
pub(crate) mod data;
pub(crate) mod engine;
pub mod error;
pub(crate) mod fiber;
pub(crate) mod heap;
pub mod host;
pub(crate) mod lending;
pub mod meter;
pub(crate) mod modules;
pub(crate) mod packages;
pub mod random;
pub(crate) mod running;
pub(crate) mod source;
pub(crate) mod stack;
pub(crate) mod timers;
pub(crate) mod tree;
pub(crate) mod types;
pub(crate) mod wait;

pub use crate::config::Script as Settings;
pub use crate::config::limits::Script as Limits;
