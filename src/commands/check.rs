//! `check`: every handler compiled, everything opened that the configuration names, every problem
//! printed.

use std::fmt::Write;
use std::process::ExitCode;

use anyhow::Result;
use clap::ValueEnum;
use serde_json::{Value, json};

use super::{first, print};
use crate::app;
use crate::config::Config;
use crate::handlers::Reconciler;
use crate::observe;
use crate::script::{Fault, Severity};

/// Output format of the problems that `check` finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people: each with its line and a caret
    Text,
    /// For editors and CI: one JSON object
    Json,
}

/// Prints what is wrong; exit code 1 if something does not work, or, where they count, if there is
/// a warning.
pub fn check(config: Config, format: Format, is_strict: bool) -> Result<ExitCode> {
    app::check(&config)?;
    for warning in &config.warnings {
        observe::warn(warning);
    }
    let root = config.handlers.root.clone();
    let mut reconciler = Reconciler::new(config.handlers, app::host(config.script));
    let (generation, report) = first(&root, &mut reconciler)?;
    let unasked = reconciler.unasked()?;
    let broken = report.broken.iter().map(|(fault, _)| fault);
    let problems: Vec<_> = broken.chain(&report.problems).chain(&unasked).collect();
    let handlers = generation.entries.len();
    print(&match format {
        Format::Text => text(handlers, &problems),
        Format::Json => format!("{}\n", object(handlers, &problems)),
    });
    let counts = |problem: &&Fault| is_strict || problem.severity == Severity::Error;
    let is_wrong = problems.iter().any(counts) || is_strict && !config.warnings.is_empty();
    Ok(ExitCode::from(u8::from(is_wrong)))
}

fn text(handlers: usize, problems: &[&Fault]) -> String {
    let mut text = String::new();
    for problem in problems {
        let _ = writeln!(text, "{problem}\n");
    }
    let count = |number, what| format!("{number} {what}{}", if number == 1 { "" } else { "s" });
    let _ = writeln!(
        text,
        "{}, {}",
        count(handlers, "handler"),
        count(problems.len(), "problem")
    );
    text
}

fn object(handlers: usize, problems: &[&Fault]) -> Value {
    let problems = problems.iter().map(|problem| {
        let location = problem.location.as_ref();
        json!({
            "file": problem.file,
            "line": location.map(|location| location.line),
            "column": location.map(|location| location.column),
            "severity": problem.severity.name(),
            "message": problem.message,
            "hint": problem.hint,
        })
    });
    json!({ "handlers": handlers, "problems": problems.collect::<Vec<_>>() })
}
