//! `check`: every handler compiled, every problem printed.

use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::config::{Handlers, limits};
use crate::handlers::Reconciler;

/// Prints what is wrong; exit code 1 if anything is.
pub fn check(handlers: Handlers) -> Result<ExitCode> {
    let root = handlers.root.clone();
    let (generation, report) = Reconciler::new(handlers, limits::SCRIPT)
        .first()
        .with_context(|| format!("the handler folder {} cannot be read", root.display()))?;
    for (_, fault) in &report.broken {
        println!("{fault}\n");
    }
    for problem in &report.problems {
        println!("warning: {problem}");
    }
    let problems = report.broken.len() + report.problems.len();
    println!(
        "{} handlers, {problems} {}",
        generation.entries.len(),
        if problems == 1 { "problem" } else { "problems" }
    );
    Ok(if problems == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
