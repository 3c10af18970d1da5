//! What happens, for whoever runs the server: log lines on standard error, or in a file.

use std::fs::File;
use std::path::Path;
use std::sync::Mutex;

use anyhow::{Context, Result};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::writer::BoxMakeWriter;

/// Starts logging with a filter such as `info` or `info,wsh_server::http=debug`, to the end of a file if one is given.
pub fn init(filter: &str, file: Option<&Path>) -> Result<()> {
    let filter = EnvFilter::try_new(modern(filter)).with_context(|| {
        format!("--log-level {filter:?} is no filter: try info, or info,wsh_server::http=debug")
    })?;
    let colours = file.is_none()
        && std::env::var_os("NO_COLOR").is_none()
        && std::io::IsTerminal::is_terminal(&std::io::stderr());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer(file)?)
        .with_ansi(colours)
        // It would report them with a print that panics when nobody reads the log any more.
        .log_internal_errors(false)
        .init();
    Ok(())
}

fn writer(file: Option<&Path>) -> Result<BoxMakeWriter> {
    let Some(path) = file else {
        return Ok(BoxMakeWriter::new(std::io::stderr));
    };
    let file = File::options()
        .append(true)
        .create(true)
        .open(path)
        .with_context(|| {
            format!(
                "the log file {} cannot be written: give --log-file another",
                path.display()
            )
        })?;
    Ok(BoxMakeWriter::new(Mutex::new(file)))
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
