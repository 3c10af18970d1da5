//! `routes`: a table of what is served.

use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::config::{Handlers, limits};
use crate::handlers::Reconciler;

/// Prints path, file and hooks of every handler.
pub fn routes(handlers: Handlers) -> Result<ExitCode> {
    let root = handlers.root.clone();
    let (generation, _) = Reconciler::new(handlers, limits::SCRIPT)
        .first()
        .with_context(|| format!("the handler folder {} cannot be read", root.display()))?;
    print!("{}", generation.table());
    Ok(ExitCode::SUCCESS)
}
