//! `routes`: a table of what is served.

use std::io::Write;
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
            // Whoever has closed it does not want to know.
            let _ = writeln!(std::io::stderr(), "{}", problem.message);
        }
    }
    Ok(ExitCode::SUCCESS)
}
