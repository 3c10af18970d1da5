//! The flags, environment variables and keys of the configuration file that were given.

use std::path::{Path, PathBuf};

use clap::ArgMatches;
use clap::parser::ValueSource;

use super::file;

/// The settings that were given, and where each was.
#[derive(Debug)]
pub struct Given {
    matches: ArgMatches,
    file: Option<(PathBuf, file::Values)>,
}

impl Given {
    /// `file`: the configuration file with its values, which are the defaults of `matches`.
    pub(super) fn new(matches: ArgMatches, file: Option<(PathBuf, file::Values)>) -> Self {
        Self { matches, file }
    }

    /// The flags of the subcommand, or of the server.
    pub fn matches(&self) -> &ArgMatches {
        innermost(&self.matches)
    }

    /// Whether a setting was written anywhere.
    pub(super) fn has(&self, key: &str) -> bool {
        let source = self.matches().value_source(&key.replace('-', "_"));
        let written = [ValueSource::CommandLine, ValueSource::EnvVariable];
        source.is_some_and(|source| written.contains(&source))
            || self
                .file()
                .is_some_and(|(_, values)| values.contains_key(key))
    }

    /// The configuration file, and its values.
    pub fn file(&self) -> Option<(&Path, &file::Values)> {
        let (path, values) = self.file.as_ref()?;
        Some((path, values))
    }
}

/// The flags of the subcommand, or of the server where there is none.
pub(super) fn innermost(matches: &ArgMatches) -> &ArgMatches {
    matches
        .subcommand()
        .map_or(matches, |(_, matches)| innermost(matches))
}
