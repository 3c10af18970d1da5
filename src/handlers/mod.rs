//! A folder to the current generation: which path is answered by which script.
//!
//! `scan` walks the folder, `path` turns file names into routes, `registry` holds one immutable [`Generation`], and
//! `watch` makes the next one when something has changed.

mod path;
mod registry;
mod scan;
mod watch;

pub use path::{LEAVINGS, PathError, Route, SUFFIX, decode_path};
pub use registry::{Entry, Found, Generation};
pub use watch::{Reconciler, Report, Rescan};
