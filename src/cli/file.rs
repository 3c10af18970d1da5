//! The configuration file: TOML whose keys are the long flags, as the default values of the flags
//! that were not given.
//!
//! So a file's value goes through the same checks as a flag's, and what a key may be is said in one
//! place.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use anyhow::{Context, Result, bail};
use clap::{ArgAction, Command};
use toml::de::{DeTable, DeValue};

use crate::config::nearest;

/// The values of a configuration file as text, by key.
pub type Values = BTreeMap<String, Vec<String>>;

/// Reads a configuration file, and checks every key and value against the flags of `command`.
pub fn read(path: &Path, command: &Command) -> Result<Values> {
    let text = crate::text::read(path).with_context(|| {
        format!(
            "the configuration file {} cannot be read: give --config another",
            path.display()
        )
    })?;
    parse(&text, command).with_context(|| format!("the configuration file {}", path.display()))
}

/// The same for a file's text.
pub fn parse(text: &str, command: &Command) -> Result<Values> {
    let table = DeTable::parse(text)?;
    let mut values = Values::new();
    for (key, value) in table.into_inner() {
        let line = line(text, &key.span());
        let key = key.into_inner();
        let given = texts(value.into_inner()).with_context(|| format!("line {line}, {key}"))?;
        check(&key, &given, command).with_context(|| format!("line {line}, {key}"))?;
        values.insert(key.into_owned(), given);
    }
    Ok(values)
}

/// `command` with these values as defaults, in its subcommands, too.
pub fn with_defaults(mut command: Command, values: &Values) -> Command {
    for (key, given) in values {
        let id = key.replace('-', "_");
        if command
            .get_arguments()
            .any(|arg| arg.get_id() == id.as_str())
        {
            let given = given.clone();
            command = command.mut_arg(id, |arg| arg.default_values(given));
        }
    }
    let names: Vec<_> = command
        .get_subcommands()
        .map(|command| command.get_name().to_owned())
        .collect();
    for name in names {
        command = command.mut_subcommand(name, |command| with_defaults(command, values));
    }
    command
}

/// The keys that a file may have: the long flags of `command`.
pub fn keys(command: &Command) -> impl Iterator<Item = &str> {
    command
        .get_arguments()
        .filter_map(|arg| arg.get_long())
        .filter(|key| !matches!(*key, "config" | "help" | "version"))
}

fn texts(value: DeValue<'_>) -> Result<Vec<String>> {
    Ok(match value {
        DeValue::String(text) => vec![text.into_owned()],
        DeValue::Integer(number) => vec![number.to_string().replace('_', "")],
        DeValue::Float(number) => vec![number.to_string().replace('_', "")],
        DeValue::Boolean(is) => vec![is.to_string()],
        DeValue::Array(values) => {
            let mut all = Vec::new();
            for value in values {
                all.append(&mut texts(value.into_inner())?);
            }
            all
        }
        DeValue::Table(_) => bail!("there are no sections: every key stands at the top"),
        DeValue::Datetime(_) => bail!("no setting is a date"),
    })
}

fn no_such_setting(key: &str, command: &Command) -> String {
    match (key, nearest(key, keys(command))) {
        ("config", _) => {
            "a configuration file names no other: give --config on the command line".into()
        }
        (_, Some(known)) => format!("there is no such setting; did you mean {known}?"),
        (_, None) => "there is no such setting: `wsh-server config` prints all there are".into(),
    }
}

fn check(key: &str, given: &[String], command: &Command) -> Result<()> {
    let Some(arg) = command
        .get_arguments()
        .find(|arg| arg.get_long() == Some(key) && keys(command).any(|known| known == key))
    else {
        bail!(no_such_setting(key, command));
    };
    let is_switch = matches!(arg.get_action(), ArgAction::SetTrue);
    if is_switch && !matches!(given, [is] if is == "true" || is == "false") {
        bail!("this is true or false");
    }
    if given.len() != 1 && !matches!(arg.get_action(), ArgAction::Append) {
        bail!("this is one value, not a list");
    }
    if is_switch {
        return Ok(());
    }
    // As flags of a command line of its own, so that the error is about nothing else.
    let flags = given.iter().map(|value| format!("--{key}={value}"));
    let line = std::iter::once("wsh-server".to_owned()).chain(flags);
    let Err(error) = command.clone().try_get_matches_from(line) else {
        return Ok(());
    };
    match std::error::Error::source(&error) {
        Some(cause) => bail!("{}: {cause}", given.join(", ")),
        // clap words it as `error: …`, with a usage behind.
        None => {
            let text = error.to_string();
            let first = text.lines().next().unwrap_or_default();
            bail!("{}", first.trim_start_matches("error: "))
        }
    }
}

fn line(text: &str, span: &Range<usize>) -> usize {
    text[..span.start].matches('\n').count() + 1
}
