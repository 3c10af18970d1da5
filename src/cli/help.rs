//! The help that fits a screen, and errors of the command line that say what was probably meant.

use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgMatches, Command, Error};

use crate::config::nearest;

/// The end of the short help.
pub const MORE: &str = "--help has all flags and commands; `wsh-server man` is the manual page";

/// The end of the long help.
pub const LEARN: &str = "`wsh-server api` prints the reference of scripts, `wsh-server man` this \
    with signals, exit status and examples.";

/// The program, in usage lines: also where its file was renamed, since the texts name it so.
const NAME: &str = "wsh-server";

/// The flags that people use, in the order of the short help.
const BRIEF: [&str; 12] = [
    "websock_handlers",
    "document_root",
    "port",
    "server_host",
    "dev",
    "tls_dev",
    "allow_host",
    "allow_origin",
    "public",
    "allow_raw",
    "config",
    "log_level",
];

/// Commands that the short help leaves out: nobody needs them every day.
const RARE: [&str; 4] = ["proxy", "config", "completions", "man"];

/// Reads the command line; prints help or an error, and ends the process, when there is nothing
/// else to do.
#[allow(clippy::exit, reason = "as clap does, before anything is open")]
pub fn matches(command: &Command) -> ArgMatches {
    // Else clap takes the name of the file that runs, and the short help below is not known by its
    // text any more.
    let command = &with_negative_values(command.clone().bin_name(NAME));
    let error = match command.clone().try_get_matches() {
        Ok(matches) => return matches,
        Err(error) => error,
    };
    let is_short_help = error.kind() == ErrorKind::DisplayHelp
        && error.render().to_string() == command.clone().render_help().to_string();
    if is_short_help {
        let _ = brief(command.clone()).print_help();
        std::process::exit(0);
    }
    explained(error, command).exit()
}

/// The command whose flags take `-1` for a value, so that the error is about the value and not
/// about an argument `-1`.
fn with_negative_values(command: Command) -> Command {
    let taking = |arg: Arg| match arg.get_action().takes_values() {
        true => arg.allow_negative_numbers(true),
        false => arg,
    };
    let command = command.mut_args(taking);
    command.mut_subcommands(|command| command.mut_args(taking))
}

/// The command with the flags that people use alone, a line each.
fn brief(command: Command) -> Command {
    let command = command
        .override_usage("wsh-server [OPTIONS] [COMMAND]")
        .disable_help_subcommand(true)
        .mut_subcommands(|command| match RARE.contains(&command.get_name()) {
            true => command.hide(true),
            false => command,
        });
    command.mut_args(
        |arg| match BRIEF.iter().position(|id| arg.get_id() == *id) {
            Some(place) => arg
                .display_order(place)
                .help_heading(None::<&str>)
                .hide_env(true),
            None => arg.hide(true),
        },
    )
}

/// An error with what was probably meant, where clap has no word of its own.
fn explained(mut error: Error, command: &Command) -> Error {
    if let Some(variable) = variable(&error, command) {
        suggest(
            &mut error,
            format!("the value comes from {variable} in the environment"),
        );
    }
    if error.kind() == ErrorKind::UnknownArgument {
        // Clap makes one of the flag that was probably meant and of nothing else.
        let usage = usage(&error, command);
        error.insert(ContextKind::Usage, ContextValue::StyledStr(usage));
    }
    if error.kind() != ErrorKind::InvalidSubcommand {
        return error;
    }
    let has_suggestion = error.get(ContextKind::SuggestedSubcommand).is_some();
    let Some(ContextValue::String(written)) = error.get(ContextKind::InvalidSubcommand) else {
        return error;
    };
    let written = written.clone();
    let names: Vec<_> = command.get_subcommands().map(Command::get_name).collect();
    if SERVING.contains(&&*written) {
        suggest(
            &mut error,
            "`wsh-server` without a command is the server".to_owned(),
        );
    } else if !has_suggestion {
        let advice = match nearest(&written, names.iter().copied()) {
            Some(meant) => format!("did you mean {meant}?"),
            None => format!("the commands are {}", names.join(", ")),
        };
        suggest(&mut error, advice);
    }
    error
}

/// Words by which other servers are started.
const SERVING: [&str; 6] = ["serve", "server", "start", "run", "up", "listen"];

/// The usage of the command that an error is about.
fn usage(error: &Error, command: &Command) -> StyledStr {
    let mut command = command.clone();
    command.build();
    let clap_says = match error.get(ContextKind::Usage) {
        Some(ContextValue::StyledStr(usage)) => usage.to_string(),
        _ => String::new(),
    };
    let mut words = clap_says.split_whitespace();
    let named = words
        .find_map(|word| command.find_subcommand(word))
        .cloned();
    named.unwrap_or(command).render_usage()
}

/// The variable that a wrong value was read from.
fn variable<'c>(error: &Error, command: &'c Command) -> Option<&'c str> {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    let (arg, value) = (
        text(ContextKind::InvalidArg)?,
        text(ContextKind::InvalidValue)?,
    );
    let flag = arg.split(' ').next()?.strip_prefix("--")?;
    let arg = command
        .get_arguments()
        .find(|arg| arg.get_long() == Some(flag))?;
    let variable = arg.get_env()?.to_str()?;
    let is_written = std::env::args().any(|word| {
        word.strip_prefix("--")
            .is_some_and(|word| word.split('=').next() == Some(flag))
    });
    (!is_written && std::env::var(variable).is_ok_and(|set| set.contains(value)))
        .then_some(variable)
}

fn suggest(error: &mut Error, advice: String) {
    let advice = ContextValue::StyledStrs(vec![advice.into()]);
    error.insert(ContextKind::Suggested, advice);
}
