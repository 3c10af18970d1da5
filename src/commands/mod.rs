//! The subcommands, one file each; every one gives the process's exit code.

mod check;
mod routes;
mod serve;

use std::io::Write;

use anyhow::{Context, Result};

pub use check::check;
pub use routes::routes;
pub use serve::serve;

use crate::config::{Handlers, limits};
use crate::handlers::{Generation, Reconciler, Report};

/// What is in a handler folder now.
fn look(handlers: Handlers) -> Result<(Generation, Report)> {
    let root = handlers.root.clone();
    Reconciler::new(handlers, limits::SCRIPT)
        .first()
        .with_context(|| format!("the handler folder {} cannot be read", root.display()))
}

/// Prints to standard output. Whoever has stopped reading has seen enough.
fn print(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}
