//! The variables of the environment that look like settings and are none.

use std::ffi::OsStr;

use clap::Command;

use crate::config::nearest;

/// Prefix of all environment variables that are settings.
const PREFIX: &str = "WSH_";

/// A sentence for each of `names` that has the prefix of settings and sets nothing. `for_scripts`
/// are variables that scripts may read, whatever they are called.
pub fn warnings<'n>(
    names: impl IntoIterator<Item = &'n OsStr>,
    command: &Command,
    for_scripts: &[String],
) -> Vec<String> {
    let known: Vec<_> = variables(command).collect();
    let mut unknown: Vec<_> = names
        .into_iter()
        .map(OsStr::to_string_lossy)
        .filter(|name| {
            name.get(..PREFIX.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(PREFIX))
        })
        .filter(|name| !known.contains(&&**name))
        .filter(|name| !for_scripts.iter().any(|allowed| *allowed == **name))
        .collect();
    unknown.sort();
    let warning = |name: &str| {
        let advice = match nearest(name, known.iter().copied()) {
            Some(meant) => format!("did you mean {meant}?"),
            None => "`wsh-server man` lists the variables that do".into(),
        };
        format!("{name} in the environment sets nothing: {advice}")
    };
    unknown.iter().map(|name| warning(name)).collect()
}

/// The variables of all settings of a command.
pub fn variables(command: &Command) -> impl Iterator<Item = &str> {
    command
        .get_arguments()
        .filter_map(|arg| arg.get_env()?.to_str())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::cli::Cli;

    #[test]
    fn a_variable_that_sets_nothing_is_named_with_its_neighbour() {
        let said = |names: &[&str], for_scripts: &[&str]| {
            let for_scripts: Vec<_> = for_scripts.iter().map(|name| (*name).to_owned()).collect();
            warnings(names.iter().map(OsStr::new), &Cli::command(), &for_scripts).join("\n")
        };
        assert_eq!(
            said(
                &[
                    "WSH_PORT",
                    "WSH_LOG_LEVEL",
                    "WSH_CONFIG",
                    "HOME",
                    "WS",
                    "PORT"
                ],
                &[]
            ),
            ""
        );
        for (name, meant) in [
            ("WSH_PROT", "did you mean WSH_PORT?"),
            ("wsh_port", "did you mean WSH_PORT?"),
            ("WSH_HANDLERS", "did you mean WSH_"),
            ("WSH_LOGLEVEL", "did you mean WSH_LOG_LEVEL?"),
        ] {
            assert!(
                said(&[name], &[]).contains(meant),
                "{name}: {}",
                said(&[name], &[])
            );
        }
        assert_eq!(said(&["WSH_SECRET"], &["WSH_SECRET"]), "");
        assert_eq!(said(&["WSH_ZZ", "WSH_AA"], &[]).lines().count(), 2);
    }
}
