//! `man`: the manual page, as `man` reads it.

use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Command;
use clap_mangen::Man;

use super::print;

/// Prints the page of the program, or of one of its commands.
pub fn man(mut program: Command, command: Option<&str>) -> Result<ExitCode> {
    program.build();
    let page = match command {
        None => program,
        Some(name) => {
            let names: Vec<_> = program.get_subcommands().map(Command::get_name).collect();
            let names = names.join(", ");
            program
                .find_subcommand(name)
                .with_context(|| format!("there is no command {name:?}; there are {names}"))?
                .clone()
        }
    };
    let mut text = Vec::new();
    Man::new(page).render(&mut text)?;
    print(&String::from_utf8(text)?);
    Ok(ExitCode::SUCCESS)
}
