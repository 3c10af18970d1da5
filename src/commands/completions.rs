//! `completions`: what a shell needs to complete this program's command lines.

use std::process::ExitCode;

use anyhow::Result;
use clap::Command;
use clap_complete::Shell;

use super::print;

/// Prints the script of this shell.
pub fn completions(mut program: Command, shell: Shell) -> Result<ExitCode> {
    let name = program.get_name().to_owned();
    // Into memory first, since the generator panics when its reader goes away.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut program, name, &mut script);
    print(&String::from_utf8(script)?);
    Ok(ExitCode::SUCCESS)
}
