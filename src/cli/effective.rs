//! The effective configuration as a file, with where each value came from.

use std::fmt;

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, Command};
use serde_json::Value;

use super::file;
use super::given::Given;

/// The settings of a server, in the order of its help.
#[derive(Debug)]
pub struct Effective(Vec<Setting>);

#[derive(Debug)]
struct Setting {
    key: String,
    /// As TOML; nothing for one that is not set.
    value: Option<String>,
    source: String,
    /// The computed default, as the help words it, shown where the setting has no value.
    otherwise: Option<String>,
}

impl Effective {
    /// Resolves each flag of `command` to its value and source in `given`.
    pub fn new(command: &Command, given: &Given) -> Self {
        let settings = command
            .get_arguments()
            .filter(|arg| !arg.is_hide_set())
            .filter_map(|arg| {
                let key = arg.get_long()?;
                file::keys(command)
                    .any(|known| known == key)
                    .then_some(())?;
                let id = arg.get_id().as_str();
                let matches = given.matches();
                let values: Vec<_> = matches
                    .try_get_raw(id)
                    .ok()?
                    .into_iter()
                    .flatten()
                    .map(|value| value.to_string_lossy().into_owned())
                    .collect();
                let is_list = matches!(arg.get_action(), ArgAction::Append);
                let source = match matches.value_source(id) {
                    Some(ValueSource::CommandLine) => format!("--{key}"),
                    Some(ValueSource::EnvVariable) => arg
                        .get_env()
                        .unwrap_or_default()
                        .to_string_lossy()
                        .into_owned(),
                    _ => match given.file() {
                        Some((path, values)) if values.contains_key(key) => {
                            path.display().to_string()
                        }
                        _ => "default".to_owned(),
                    },
                };
                // A default is no secret.
                let default = arg.get_default_values().iter();
                let is_default = default
                    .map(|value| value.to_string_lossy().into_owned())
                    .eq(values.iter().cloned());
                let is_secret = arg.is_hide_env_values_set() && !is_default;
                let source = match unit(arg, &values) {
                    Some(unit) => format!("{source}, {unit}"),
                    None => source,
                };
                let value = if is_secret && !values.is_empty() {
                    Some("\"(hidden)\"".to_owned())
                } else {
                    toml(&values, is_list)
                };
                Some(Setting {
                    key: key.to_owned(),
                    value,
                    source,
                    otherwise: computed(arg),
                })
            });
        Self(settings.collect())
    }
}

impl fmt::Display for Effective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for setting in &self.0 {
            let Setting { key, source, .. } = setting;
            let otherwise = setting.otherwise.as_deref().unwrap_or("not set");
            match &setting.value {
                Some(value) => writeln!(f, "{:<48} # {source}", format!("{key} = {value}"))?,
                None => writeln!(f, "{:<48} # {otherwise}", format!("# {key} ="))?,
            }
        }
        Ok(())
    }
}

/// A default that is worked out at the start, as the help says it.
fn computed(arg: &Arg) -> Option<String> {
    let help = arg.get_help()?.to_string();
    let (_, default) = help.split_once("[default: ")?;
    Some(default.split_once(']')?.0.to_owned())
}

/// Returns the implied unit of a size or a time that was written without one.
fn unit(arg: &Arg, values: &[String]) -> Option<&'static str> {
    let [value] = values else { return None };
    let is_bare = value.bytes().all(|byte| byte.is_ascii_digit()) && value != "0";
    match arg.get_value_names()?.first()?.as_str() {
        "SIZE" if is_bare => Some("in bytes"),
        "TIME" if is_bare => Some("in seconds"),
        _ => None,
    }
}

/// Values as they are written in a file: numbers and truth bare, the rest quoted. JSON's strings
/// are TOML's, too.
fn toml(values: &[String], is_list: bool) -> Option<String> {
    let values: Vec<_> = values
        .iter()
        .map(|value| match value.parse() {
            Ok(bare @ (Value::Number(_) | Value::Bool(_))) => bare.to_string(),
            _ => Value::from(value.as_str()).to_string(),
        })
        .collect();
    match &values[..] {
        [] => None,
        values if is_list => Some(format!("[{}]", values.join(", "))),
        [value] => Some(value.clone()),
        _ => None,
    }
}
