//! `config`: the effective configuration as a file.

use std::fmt::Display;
use std::process::ExitCode;

use anyhow::Result;

use super::print;

/// Prints the configuration.
pub fn config(effective: &impl Display) -> Result<ExitCode> {
    print(&effective.to_string());
    Ok(ExitCode::SUCCESS)
}
