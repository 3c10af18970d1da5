//! The machine that scripts run on: Rhai, bounded, on fibers that may wait. It knows no connection and no handler.
//!
//! | file | is about |
//! |---|---|
//! | `source`, `modules` | files as read, and what a compiled file offers to those that import it |
//! | `engine`, `package`, `packages` | Rhai with its bounds, what a table of functions is, and those that need no connection |
//! | `types`, `data`, `error` | values: their names, which of them are plain data, what a failed function throws |
//! | `fiber`, `wait` | a call on a stack of its own, where it may wait |
//! | `running`, `meter`, `budget`, `heap` | the call that runs, what it may use and has used of time and memory |
//! | `timers` | timers with names |

pub mod budget;
pub mod data;
pub mod engine;
pub mod error;
pub mod fiber;
pub mod heap;
pub mod meter;
pub mod modules;
pub mod package;
pub mod packages;
pub mod running;
pub mod source;
pub mod timers;
pub mod types;
pub mod wait;

pub use crate::config::Script as Settings;
pub use crate::config::limits::Script as Limits;
