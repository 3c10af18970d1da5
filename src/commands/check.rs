//! `check`: every handler compiled, every problem printed.

use std::fmt::Write;
use std::process::ExitCode;

use anyhow::Result;

use super::{look, print};
use crate::config::Handlers;

/// Prints what is wrong; exit code 1 if anything is.
pub fn check(handlers: Handlers) -> Result<ExitCode> {
    let (generation, report) = look(handlers)?;
    let mut text = String::new();
    for (_, fault) in &report.broken {
        let _ = writeln!(text, "{fault}\n");
    }
    for problem in &report.problems {
        let _ = writeln!(text, "warning: {problem}");
    }
    let problems = report.broken.len() + report.problems.len();
    let handlers = generation.entries.len();
    let plural = |number| if number == 1 { "" } else { "s" };
    let _ = writeln!(
        text,
        "{handlers} handler{}, {problems} problem{}",
        plural(handlers),
        plural(problems)
    );
    print(&text);
    Ok(ExitCode::from(u8::from(problems > 0)))
}
