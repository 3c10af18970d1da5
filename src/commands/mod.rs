//! The subcommands, one file each; every one gives the process's exit code.

mod api;
mod check;
mod completions;
mod config;
mod connect;
mod man;
mod mock;
mod new;
mod proxy;
mod replay;
mod routes;
mod serve;
mod test;

use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};

pub use api::{api, definitions, entry};
pub use check::{Format, check};
pub use completions::completions;
pub use config::config;
pub use connect::{Connect, connect};
pub use man::man;
pub use new::{TEMPLATES, Template, new, new_from, templates};
pub use proxy::{Proxy, proxy};
pub use replay::{Replay, replay};
pub use routes::routes;
pub use serve::serve;
pub use test::{Results, Tested, test};

use crate::app;
use crate::config::{Handlers, Script};
use crate::handlers::{Generation, Reconciler, Report};

/// Loads a handler folder as it is now.
fn look(handlers: Handlers, script: Script) -> Result<(Generation, Report)> {
    first(
        &handlers.root.clone(),
        &mut Reconciler::new(handlers, app::host(script)),
    )
}

/// A reconciler's first look at a handler folder.
fn first(root: &Path, reconciler: &mut Reconciler) -> Result<(Generation, Report)> {
    reconciler
        .first()
        .with_context(|| format!("the handler folder {} cannot be read", root.display()))
}

/// Prints to standard output. Whoever has stopped reading has seen enough.
fn print(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}
