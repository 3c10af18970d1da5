//! `test`: the files of tests beside the handlers, each test in a world of its own.

use std::fmt::Write;
use std::io::{IsTerminal, stderr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;

use super::{look, print};
use crate::app;
use crate::config::{Admission, Handlers, Script};
use crate::handlers::Suites;
use crate::runner::{self, BEGIN, Outcome, Plan, Testing, mocking};
use crate::script::{Covered, Fault, Tests};

/// How results of tests are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Results {
    /// For people: each failure with its line
    Text,
    /// Test Anything Protocol, version 14
    Tap,
    /// JUnit's XML, which CI services read
    Junit,
}

/// Which tests run, and how.
#[derive(Debug, Clone)]
pub struct Tested {
    /// Files of tests, or folders of such; none are all.
    pub paths: Vec<PathBuf>,
    /// Of those, the tests with this in their name; the one of this name, if there is one.
    pub filter: Option<String>,
    /// How results are printed.
    pub results: Results,
    /// Whether they run again whenever a script changes.
    pub watch: bool,
    /// What random numbers follow from.
    pub seed: u64,
    /// The file that is told which lines have run, if one is.
    pub coverage: Option<PathBuf>,
}

/// The real time that a test may take.
const LIMIT: Duration = Duration::from_secs(10);
/// Time between two looks at a folder that is watched.
const LOOK: Duration = Duration::from_millis(200);

/// A test, and what came of it.
struct Ran {
    file: String,
    name: String,
    outcome: Outcome,
}

/// Runs tests: exit code 1 if one fails; an error if there is none.
pub fn test(handlers: &Handlers, script: &Script, tested: &Tested) -> Result<ExitCode> {
    loop {
        let seen = suites(handlers)?;
        let ran = once(handlers, script, tested, &seen);
        if !tested.watch {
            return ran;
        }
        if let Err(error) = ran {
            print(&format!("{error:#}\n"));
        }
        while suites(handlers)?.is_as(&seen) {
            std::thread::sleep(LOOK);
        }
        print("\n");
    }
}

fn suites(handlers: &Handlers) -> Result<Suites> {
    let root = handlers.root.display();
    Suites::look(handlers).with_context(|| format!("the handler folder {root} cannot be read"))
}

/// Runs them once.
fn once(
    handlers: &Handlers,
    script: &Script,
    tested: &Tested,
    suites: &Suites,
) -> Result<ExitCode> {
    let began = Instant::now();
    let (generation, _) = look(handlers.clone(), script.clone())?;
    let plan = Plan {
        generation: Arc::new(generation),
        host: mocking(app::host(script.clone()).with(Testing)),
        seed: tested.seed,
        limit: LIMIT,
        begin: BEGIN,
        admission: Admission::default(),
        coverage: tested.coverage.as_ref().map(|_| Arc::default()),
    };
    plan.expect_lines();
    let root = &handlers.root;
    let files = suites.files().filter(|file| is_meant(root, file, tested));
    let (mut broken, mut all) = (Vec::new(), Vec::new());
    for suite in suites.read(&plan.host, files) {
        match suite {
            Ok(Tests { source, names }) => {
                all.extend(
                    names
                        .into_iter()
                        .map(|(name, _)| (Arc::clone(&source), name)),
                );
            }
            Err(fault) => broken.push(fault),
        }
    }
    if let Some(filter) = &tested.filter {
        let is_exact = all.iter().any(|(_, name)| name == filter);
        all.retain(|(_, name)| name == filter || !is_exact && name.contains(filter.as_str()));
    }
    if all.is_empty() && broken.is_empty() {
        bail!(
            "there is no such test in {}: tests are functions `fn test_NAME()` in files \
            NAME_test.rhai",
            root.display()
        );
    }
    let is_watched = stderr().is_terminal() && tested.results == Results::Text;
    let mut ran = Vec::new();
    for (place, (source, name)) in all.iter().enumerate() {
        if is_watched {
            eprint_line(&format!("{}/{} {name}", place + 1, all.len()));
        }
        let outcome = runner::run(&plan, source, name)?;
        let (file, name) = (source.file.clone(), name.clone());
        ran.push(Ran {
            file,
            name,
            outcome,
        });
    }
    if is_watched {
        eprint_line("");
    }
    let told = match (&plan.coverage, &tested.coverage) {
        (Some(coverage), Some(file)) => told(&coverage.read(), root, file)?,
        _ => String::new(),
    };
    print(&match tested.results {
        Results::Text => text(handlers, &broken, &ran, began.elapsed()) + told.as_str(),
        Results::Tap => tap(&broken, &ran) + told.replace("coverage:", "# coverage:").as_str(),
        Results::Junit => junit(&broken, &ran),
    });
    let has_failed = !broken.is_empty() || ran.iter().any(|ran| ran.outcome.fault.is_some());
    Ok(ExitCode::from(u8::from(has_failed)))
}

/// Writes over the line that tells how far it is.
fn eprint_line(text: &str) {
    use std::io::Write;
    // Nobody's loss.
    let _ = write!(stderr(), "\r\u{1b}[K{text}");
}

/// Whether a file of tests is one that was asked for.
fn is_meant(root: &Path, file: &str, tested: &Tested) -> bool {
    let whole = std::fs::canonicalize(root.join(file)).ok();
    tested.paths.is_empty()
        || tested.paths.iter().any(|path| {
            let asked = std::fs::canonicalize(path).ok();
            let is_below = whole
                .as_ref()
                .zip(asked)
                .is_some_and(|(file, path)| file.starts_with(path));
            is_below || Path::new(file).starts_with(path)
        })
}

/// Writes which lines have run, and says how many.
fn told(files: &[Covered], root: &Path, target: &Path) -> Result<String> {
    let mut lcov = String::new();
    for covered in files {
        let path = root.join(&covered.file);
        let _ = writeln!(lcov, "TN:\nSF:{}", path.display());
        for (line, count) in &covered.lines {
            let _ = writeln!(lcov, "DA:{line},{count}");
        }
        let (all, hit) = (covered.lines.len(), covered.hit());
        let _ = writeln!(lcov, "LF:{all}\nLH:{hit}\nend_of_record");
    }
    std::fs::write(target, lcov)
        .with_context(|| format!("--coverage {} cannot be written", target.display()))?;
    let all: usize = files.iter().map(|covered| covered.lines.len()).sum();
    let hit: usize = files.iter().map(Covered::hit).sum();
    let share = 100.0 * hit as f64 / all.max(1) as f64;
    let target = target.display();
    Ok(format!(
        "coverage: {hit} of {all} lines have run, {share:.1} %: {target}\n"
    ))
}

/// For people.
fn text(handlers: &Handlers, broken: &[Fault], ran: &[Ran], took: Duration) -> String {
    let mut text = String::new();
    for fault in broken {
        let _ = writeln!(text, "{fault}\n");
    }
    let root = handlers.root.display();
    let mut failed = broken.len();
    for Ran {
        file,
        name,
        outcome,
    } in ran
    {
        let Some(fault) = &outcome.fault else {
            continue;
        };
        failed += 1;
        let _ = writeln!(text, "FAILED {file} {name}\n{fault}");
        if let Some(difference) = &outcome.difference {
            let _ = write!(text, "\n{difference}");
        }
        let _ = writeln!(
            text,
            "\n  again: wsh-server test -w {root} {file} --filter {name}\n"
        );
    }
    let count =
        |number: usize, what| format!("{number} {what}{}", if number == 1 { "" } else { "s" });
    let passed: Duration = ran.iter().map(|ran| ran.outcome.passed).sum();
    let _ = writeln!(
        text,
        "{}, {failed} failed: {:.0} s of theirs in {:.2} s",
        count(ran.len(), "test"),
        passed.as_secs_f64(),
        took.as_secs_f64()
    );
    text
}

/// What is wrong, in one line.
fn brief(fault: &Fault) -> String {
    fault.brief(usize::MAX)
}

/// Test Anything Protocol.
fn tap(broken: &[Fault], ran: &[Ran]) -> String {
    let mut text = format!("TAP version 14\n1..{}\n", broken.len() + ran.len());
    let mut number = 0;
    for fault in broken {
        number += 1;
        let _ = writeln!(text, "not ok {number} - {}", fault.file);
        let _ = writeln!(text, "  ---\n  message: {:?}\n  ...", brief(fault));
    }
    for Ran {
        file,
        name,
        outcome,
    } in ran
    {
        number += 1;
        let not = if outcome.fault.is_some() { "not " } else { "" };
        let _ = writeln!(text, "{not}ok {number} - {file} {name}");
        if let Some(fault) = &outcome.fault {
            let _ = writeln!(text, "  ---\n  message: {:?}\n  ...", brief(fault));
        }
    }
    text
}

/// JUnit's XML.
fn junit(broken: &[Fault], ran: &[Ran]) -> String {
    let mut text = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n".to_owned();
    let failures = ran.iter().filter(|ran| ran.outcome.fault.is_some()).count();
    let _ = writeln!(
        text,
        "<testsuite name=\"wsh-server\" tests=\"{}\" failures=\"{failures}\" errors=\"{}\">",
        ran.len() + broken.len(),
        broken.len()
    );
    let mut case = |file: &str, name: &str, seconds: f64, wrong: Option<(&str, String)>| {
        let _ = write!(
            text,
            "  <testcase classname=\"{}\" name=\"{}\" time=\"{seconds:.3}\"",
            escaped(file),
            escaped(name)
        );
        let _ = match wrong {
            None => writeln!(text, "/>"),
            Some((kind, message)) => writeln!(
                text,
                "><{kind} message=\"{}\"/></testcase>",
                escaped(&message)
            ),
        };
    };
    for fault in broken {
        case(&fault.file, &fault.file, 0.0, Some(("error", brief(fault))));
    }
    for Ran {
        file,
        name,
        outcome,
    } in ran
    {
        let wrong = outcome.fault.as_ref();
        let wrong = wrong.map(|fault| ("failure", brief(fault)));
        case(file, name, outcome.took.as_secs_f64(), wrong);
    }
    text.push_str("</testsuite>\n");
    text
}

/// A text in an attribute of XML.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            c if c.is_control() => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}
