//! The text of a configuration file: refused with a reason or taken, and never both.

use clap::CommandFactory;
use wsh_server::cli::{Cli, file};

/// A configuration file, and the command line with what it says.
pub fn configuration(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    match file::parse(&text, &Cli::command()) {
        Ok(values) => {
            let command = file::with_defaults(Cli::command(), &values);
            // Values that flags may not have were refused before.
            let parsed = command.try_get_matches_from(["wsh-server"]);
            if let Err(error) = parsed {
                panic!("{text:?} is taken, and then: {error}");
            }
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}
