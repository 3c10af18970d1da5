//! `routes`: a table of what is served.

use std::process::ExitCode;

use anyhow::Result;

use super::{look, print};
use crate::config::Handlers;

/// Prints path, file and hooks of every handler.
pub fn routes(handlers: Handlers) -> Result<ExitCode> {
    print(&look(handlers)?.0.table());
    Ok(ExitCode::SUCCESS)
}
