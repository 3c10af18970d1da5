//! Logging, for whoever runs the server: lines on standard error, or in a file.

pub(crate) mod access;
pub(crate) mod accounts;
pub(crate) mod apart;
pub mod event;
mod file;
mod filter;
mod flood;
mod format;
pub(crate) mod json;
pub mod live;
pub mod metrics;
mod queue;
mod tell;
pub(crate) mod terminal;

use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use event::Event;
use file::{LogFile, StandardError};
pub use filter::Filter;
pub(crate) use flood::Flood;
pub use format::Format;
use json::Json;
pub use queue::Log;
use terminal::Terminal;

/// Starts logging what a filter lets through, to the end of a file if one is given. What is logged
/// is written for as long as the result lives.
pub fn init(filter: &Filter, file: Option<&Path>, format: Format) -> Result<Log> {
    let is_json = format == Format::Json;
    let watched = Terminal::of_stderr().filter(|_| file.is_none() && !is_json);
    Terminal::watch(watched);
    json::choose(is_json);
    let (lines, log) = match file {
        Some(path) => queue::start(LogFile::open(path)?, format),
        None => queue::start(StandardError, format),
    }
    .context("a thread for the log cannot be started")?;
    let lines = tracing_subscriber::fmt()
        .with_max_level(LevelFilter::TRACE)
        .with_writer(lines)
        .with_ansi(watched.is_some_and(|terminal| terminal.colours))
        // It would report them with a print that panics when nobody reads the log any more.
        .log_internal_errors(false);
    let targets = filter.targets();
    match watched {
        _ if is_json => lines.event_format(Json).finish().with(targets).init(),
        Some(terminal) => lines.event_format(terminal).finish().with(targets).init(),
        None => lines.finish().with(targets).init(),
    }
    if is_json {
        std::panic::set_hook(Box::new(|panic| {
            let thread = std::thread::current();
            let thread = thread.name().unwrap_or("unnamed");
            let what = one_line(&panic.to_string());
            Event::Panic {
                thread,
                what: &what,
            }
            .tell();
        }));
    }
    Ok(log)
}

/// Warns of what was written as configuration.
pub fn warn(warning: &str) {
    Event::Configuration { warning: &warning }.tell();
}

/// Tells why the program ends: a log of JSON has nothing else in it.
pub fn fail(error: &anyhow::Error) {
    if json::is_chosen() {
        let error = one_line(&format!("{error:#}"));
        Event::Failure { error: &error }.tell();
    } else {
        // Nobody may be there to read it.
        let _ = writeln!(std::io::stderr(), "error: {error:#}");
    }
}

/// Whether a terminal shows a character, and does not obey it: no control character, no line or
/// paragraph separator, and none of those that turn the direction of what follows or cannot be
/// seen. The joiners stay: emoji and Persian need them.
pub fn is_printable(c: char) -> bool {
    let is_format = matches!(
        c,
        '\u{ad}'
            | '\u{61c}'
            | '\u{180e}'
            | '\u{200b}'
            | '\u{200e}'
            | '\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0001}'
    );
    !c.is_control() && !is_format
}

/// A text with what a terminal would obey escaped, so that an event stays one line, whoever the
/// text is from.
pub fn one_line(text: &str) -> String {
    text.chars()
        .fold(String::with_capacity(text.len()), |mut line, c| {
            if is_printable(c) {
                line.push(c);
            } else {
                line.extend(c.escape_default());
            }
            line
        })
}
