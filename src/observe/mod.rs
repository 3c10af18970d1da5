//! What happens, for whoever runs the server: log lines on standard error, or in a file.

mod queue;

use std::fs::File;
use std::path::Path;

use anyhow::{Context, Result};
use tracing_subscriber::EnvFilter;

pub use queue::Written;

/// Starts logging with a filter such as `info` or `info,wsh_server::http=debug`, to the end of a file if one is given. What is logged
/// is written for as long as the result lives.
pub fn init(filter: &str, file: Option<&Path>) -> Result<Written> {
    let filter = EnvFilter::try_new(modern(filter)).with_context(|| {
        format!("--log-level {filter:?} is no filter: try info, or info,wsh_server::http=debug")
    })?;
    let colours = file.is_none()
        && std::env::var_os("NO_COLOR").is_none()
        && std::io::IsTerminal::is_terminal(&std::io::stderr());
    let (lines, written) = match file {
        Some(path) => queue::start(open(path)?),
        None => queue::start(std::io::stderr()),
    }
    .context("a thread for the log cannot be started")?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(lines)
        .with_ansi(colours)
        // It would report them with a print that panics when nobody reads the log any more.
        .log_internal_errors(false)
        .init();
    Ok(written)
}

fn open(path: &Path) -> Result<File> {
    File::options()
        .append(true)
        .create(true)
        .open(path)
        .with_context(|| {
            format!(
                "the log file {} cannot be written: give --log-file another",
                path.display()
            )
        })
}

/// The levels of pywebsocket that have other names here.
fn modern(filter: &str) -> &str {
    match filter {
        "fine" => "trace",
        "warning" => "warn",
        "critical" => "error",
        other => other,
    }
}

/// A text with its control characters escaped, so that an event stays one line, whoever the text is from.
pub fn one_line(text: &str) -> String {
    text.chars()
        .fold(String::with_capacity(text.len()), |mut line, c| {
            if c.is_control() {
                line.extend(c.escape_default());
            } else {
                line.push(c);
            }
            line
        })
}
