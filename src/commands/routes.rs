//! `routes`: a table of what is served.

use std::process::ExitCode;

use anyhow::Result;

use super::{look, print};
use crate::config::{Handlers, Script};

/// Prints path, file and hooks of every handler.
pub fn routes(handlers: Handlers, script: Script) -> Result<ExitCode> {
    let (generation, report) = look(handlers, script)?;
    print(&generation.table());
    if generation.entries.is_empty() {
        for problem in &report.problems {
            eprintln!("{}", problem.message);
        }
    }
    Ok(ExitCode::SUCCESS)
}
