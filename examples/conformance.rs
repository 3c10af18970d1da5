//! Rows of the robustness study against any WebSocket server that echoes:
//!
//!     cargo run --example conformance -- --target 127.0.0.1:9998 --path /echo [--max-message BYTES] [--verbose]
//!
//! Prints how many cases of each row ended as they should, and with --verbose every one that did not. Exit status 1 if there
//! is one. docs/conformance.md has the results of three servers.

#[allow(dead_code, reason = "shared with the tests, which use more of them")]
#[path = "../tests/conformance/cases.rs"]
mod cases;
#[allow(dead_code, reason = "shared with the tests, which use more of them")]
#[path = "../tests/it/support/frame.rs"]
mod frame;
#[allow(dead_code, reason = "shared with the tests, which use more of them")]
#[path = "../tests/it/support/request.rs"]
mod request;
#[path = "../tests/conformance/run.rs"]
mod run;

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Cases at a time: most of their time is waiting for an end that does not come.
const AT_ONCE: usize = 16;

/// How many cases a row has, and those that did not end as they should.
#[derive(Default)]
struct Row<'r> {
    count: usize,
    wrong: Vec<(&'r cases::Case, &'r run::Got)>,
}

fn main() -> ExitCode {
    let mut target = None;
    let mut path = "/echo".to_owned();
    let mut max_message = 16 * 1024 * 1024;
    let mut verbose = false;
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match (arg.as_str(), args.len()) {
            ("--target", 1..) => target = args.next(),
            ("--path", 1..) => path = args.next().unwrap_or_default(),
            ("--max-message", 1..) => {
                let bytes = args.next().and_then(|bytes| bytes.parse().ok());
                max_message = bytes.unwrap_or(max_message);
            }
            ("--verbose", _) => verbose = true,
            _ => target = None,
        }
    }
    let Some(target) = target else {
        eprintln!(
            "usage: conformance --target ADDRESS:PORT [--path /echo] [--max-message BYTES] [--verbose]"
        );
        return ExitCode::from(2);
    };

    let cases = cases::all(&path, max_message);
    let (next, results) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let got = run::run(&target, &path, case);
                    results.lock().expect("no panic").push((case, got));
                }
            });
        }
    });
    let results = results.into_inner().expect("no panic");
    let mut rows: BTreeMap<&str, Row> = BTreeMap::new();
    for (case, got) in &results {
        let row = rows.entry(case.row).or_default();
        row.count += 1;
        if !got.fits(&case.wanted) {
            row.wrong.push((case, got));
        }
    }
    let mut failed = 0;
    for (id, Row { count, wrong }) in &rows {
        failed += wrong.len();
        let mut others = BTreeMap::new();
        for (_, got) in wrong {
            *others.entry(got.shortly()).or_insert(0) += 1;
        }
        let others: Vec<_> = others
            .iter()
            .map(|(got, count)| format!("{got} ×{count}"))
            .collect();
        println!(
            "{id}  {} of {count}  {}",
            count - wrong.len(),
            others.join(", ")
        );
        for (case, got) in wrong.iter().filter(|_| verbose) {
            println!(
                "      {:.60}: {:?} wanted, {got:?} got",
                case.name, case.wanted
            );
        }
    }
    println!(
        "{} of {} cases as wanted",
        results.len() - failed,
        results.len()
    );
    ExitCode::from(u8::from(failed > 0))
}
