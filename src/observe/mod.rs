//! What happens, for whoever runs the server: log lines on standard error, or in a file.

mod file;
mod filter;
mod flood;
mod queue;

use std::path::Path;

use anyhow::{Context, Result};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use file::{LogFile, StandardError};
pub use filter::Filter;
pub use flood::Flood;
pub use queue::Log;

/// Starts logging what a filter lets through, to the end of a file if one is given. What is logged is written for as long
/// as the result lives.
pub fn init(filter: &Filter, file: Option<&Path>) -> Result<Log> {
    let colours = file.is_none()
        && std::env::var_os("NO_COLOR").is_none()
        && std::io::IsTerminal::is_terminal(&std::io::stderr());
    let (lines, log) = match file {
        Some(path) => queue::start(LogFile::open(path)?),
        None => queue::start(StandardError),
    }
    .context("a thread for the log cannot be started")?;
    tracing_subscriber::fmt()
        .with_max_level(LevelFilter::TRACE)
        .with_writer(lines)
        .with_ansi(colours)
        // It would report them with a print that panics when nobody reads the log any more.
        .log_internal_errors(false)
        .finish()
        .with(filter.targets())
        .init();
    Ok(log)
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
