//! `man`: the manual page, as `man` reads it: flags and variables from their definitions, the rest
//! written by hand.

use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::{Arg, Command};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, italic, roman};

use super::print;
use crate::config::nearest;

/// SYNOPSIS of the program's page; clap's has a line for every flag.
const SYNOPSIS: &str = include_str!("man/synopsis.roff");

/// EXIT STATUS, SIGNALS, FILES, EXAMPLES and SEE ALSO of the program's page.
const SECTIONS: &str = include_str!("man/sections.roff");

/// Prints the page of the program, or of one of its commands.
pub fn man(mut program: Command, command: Option<&str>) -> Result<ExitCode> {
    program.build();
    let Some(name) = command else {
        let mut page = Vec::new();
        of_program(&program, &mut page)?;
        print(&String::from_utf8(page)?);
        return Ok(ExitCode::SUCCESS);
    };
    let Some(command) = program.find_subcommand(name) else {
        let names = || program.get_subcommands().map(Command::get_name);
        match nearest(name, names()) {
            Some(meant) => bail!("there is no command {name:?}; did you mean {meant}?"),
            None => {
                let names: Vec<_> = names().collect();
                bail!(
                    "there is no command {name:?}; there are {}",
                    names.join(", ")
                );
            }
        }
    };
    let mut page = Vec::new();
    Man::new(command.clone()).render(&mut page)?;
    let mut also = Roff::new();
    also.control("SH", ["SEE ALSO"]);
    also.text([bold("wsh-server"), roman("(1)")]);
    also.to_writer(&mut page)?;
    print(&String::from_utf8(page)?);
    Ok(ExitCode::SUCCESS)
}

fn of_program(program: &Command, page: &mut Vec<u8>) -> Result<()> {
    let man = Man::new(program.clone());
    man.render_title(page)?;
    man.render_name_section(page)?;
    page.extend_from_slice(SYNOPSIS.as_bytes());
    man.render_description_section(page)?;
    commands(program).to_writer(page)?;
    man.render_options_section(page)?;
    environment(program).to_writer(page)?;
    page.extend_from_slice(SECTIONS.as_bytes());
    Ok(())
}

/// COMMANDS: what each does, and its page.
fn commands(program: &Command) -> Roff {
    let mut section = Roff::new();
    section.control("SH", ["COMMANDS"]);
    for command in program.get_subcommands() {
        let about = command.get_long_about().or(command.get_about());
        section.control("TP", []);
        section.text([bold(format!("wsh-server {}", command.get_name()))]);
        let about = about.unwrap_or_default().to_string().replace("\n\n", ". ");
        section.text([roman(about)]);
    }
    section
}

/// ENVIRONMENT: the variable of each setting, and the others that are heeded.
fn environment(program: &Command) -> Roff {
    let mut section = Roff::new();
    section.control("SH", ["ENVIRONMENT"]);
    section.text([roman(
        "Every setting has a variable, which goes before the configuration file and behind the \
        flag:",
    )]);
    let set = |arg: &Arg| {
        Some((
            arg.get_env()?.to_str()?.to_owned(),
            arg.get_long()?.to_owned(),
        ))
    };
    let others = [
        (
            "NO_COLOR",
            "No colours, whatever it is set to, if it is not empty.",
        ),
        (
            "CLICOLOR_FORCE",
            "Set to anything but 0, the log looks as in a terminal, wherever it goes.",
        ),
        (
            "LISTEN_FDS, LISTEN_FDNAMES",
            "Sockets that systemd hands over, instead of ports.",
        ),
        (
            "NOTIFY_SOCKET",
            "Who is told when the server is ready, reloads and stops: systemd.",
        ),
        (
            "XDG_DATA_HOME",
            "Where --tls-dev keeps its certificate, in a folder wsh-server.",
        ),
    ];
    for (variable, flag) in program
        .get_arguments()
        .filter(|arg| !arg.is_hide_set())
        .filter_map(set)
    {
        section.control("TP", []);
        section.text([bold(variable)]);
        section.text([italic(format!("--{flag}"))]);
    }
    for (variable, meaning) in others {
        section.control("TP", []);
        section.text([bold(variable)]);
        section.text([roman(meaning)]);
    }
    section
}
