//! `routes`: a table of what is served.

use std::process::ExitCode;

use anyhow::Result;

use super::{look, print};
use crate::config::{Handlers, Script};

/// Prints path, file and hooks of every handler.
pub fn routes(handlers: Handlers, script: Script) -> Result<ExitCode> {
    print(&look(handlers, script)?.0.table());
    Ok(ExitCode::SUCCESS)
}
