//! What authors write who come from elsewhere, and the report that each gets:
//! `tests/golden/habits`.
//!
//! A file there has many cases: `=== name`, some lines, `---`, the report. Lines without a hook are
//! the body of `transfer_data`. What `check` passes is run by a text message. `UPDATE_GOLDEN=1
//! cargo test --test it habits` writes the reports anew; the difference is for the review.

use std::collections::{BTreeMap, BTreeSet};

use super::support::{Raw, Server, Wire};

#[tokio::test]
async fn characters() {
    reports("characters").await;
}

#[tokio::test]
async fn state() {
    reports("state").await;
}

#[tokio::test]
async fn connection() {
    reports("connection").await;
}

#[tokio::test]
async fn request() {
    reports("request").await;
}

#[tokio::test]
async fn syntax() {
    reports("syntax").await;
}

#[tokio::test]
async fn values() {
    reports("values").await;
}

struct Case {
    name: String,
    lines: String,
    report: String,
}

impl Case {
    fn all(file: &str) -> Vec<Case> {
        let text = std::fs::read_to_string(path(file)).expect("the cases");
        let text = format!("\n{text}");
        let cases = text.split("\n=== ").skip(1).map(|case| {
            let (name, case) = case.split_once('\n').expect("a name");
            let (lines, report) = case.split_once("\n---\n").unwrap_or((case, ""));
            Case {
                name: name.to_owned(),
                lines: lines.trim_end().to_owned(),
                report: report.trim_end().to_owned(),
            }
        });
        cases.collect()
    }

    fn script(&self) -> String {
        let lines = &self.lines;
        if ["transfer_data", "fn on_", "fn do_"]
            .iter()
            .any(|hook| lines.contains(hook))
        {
            return format!("{lines}\n");
        }
        let body: String = lines.lines().map(|line| format!("    {line}\n")).collect();
        format!("fn transfer_data(ws, message) {{\n{body}}}\n")
    }

    fn file(&self) -> String {
        format!("{}_wsh.rhai", self.name)
    }
}

fn path(file: &str) -> String {
    format!(
        "{}/tests/golden/habits/{file}.txt",
        env!("CARGO_MANIFEST_DIR")
    )
}

async fn reports(file: &str) {
    let cases = Case::all(file);
    let names: BTreeSet<_> = cases.iter().map(|case| &case.name).collect();
    assert_eq!(names.len(), cases.len(), "a name is used twice in {file}");
    let mut found = checked(&cases).await;
    let rest: Vec<_> = cases
        .iter()
        .filter(|case| !found.contains_key(&case.name))
        .collect();
    found.extend(run(&rest).await);
    let reports = cases.iter().map(|case| {
        let report = found
            .remove(&case.name)
            .unwrap_or_else(|| panic!("no report of {} of {file}", case.name));
        (case, report)
    });
    let reports: Vec<_> = reports.collect();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        let text = reports
            .iter()
            .map(|(case, report)| format!("=== {}\n{}\n---\n{report}\n", case.name, case.lines));
        std::fs::write(path(file), text.collect::<Vec<_>>().join("\n")).expect("write the cases");
        return;
    }
    for (case, report) in &reports {
        assert_eq!(
            *report, case.report,
            "{} of {file} is not as it was",
            case.name
        );
    }
}

/// What `check` says, by the name of the case.
async fn checked(cases: &[Case]) -> BTreeMap<String, String> {
    let builder = cases
        .iter()
        .fold(Server::builder().bare(), |builder, case| {
            builder.file(&case.file(), case.script())
        });
    let printed = builder.arg("check").run().await.stdout;
    let mut found = BTreeMap::new();
    for section in printed.split("\n\n") {
        let of = |case: &&Case| section.contains(&format!("--> {}", case.file()));
        if let Some(case) = cases.iter().find(of) {
            found
                .entry(case.name.clone())
                .or_insert_with(|| section.to_owned());
        }
    }
    found
}

/// What the log says when a message comes, without whose hook it was.
async fn run(cases: &[&Case]) -> BTreeMap<String, String> {
    let builder = cases
        .iter()
        .fold(Server::builder().workers(1), |builder, case| {
            builder.file(&case.file(), case.script())
        });
    let mut server = builder.start().await;
    for case in cases {
        let mut raw = Raw::connect(&server).await;
        let head = raw.handshake(&format!("/{}?room=1", case.name), &[]).await;
        if head.status == 101 {
            raw.send(Wire::text("hello").bytes()).await;
            raw.send(Wire::close(1000, "").bytes()).await;
            raw.until_eof().await;
        }
    }
    assert!(server.stop().await.success());
    let log = server.logged();
    let mut found = BTreeMap::new();
    for case in cases {
        let handler = format!("handler=\"{}\"", case.file());
        let event = log.split("\n\n").find(|event| event.contains(&handler));
        // The lines before it may be of the server's start.
        let report = event.and_then(|event| event.split_once(&handler)?.1.split_once('\n'));
        if let Some((_, report)) = report {
            let is_told = |line: &&str| !line.contains("= note: ");
            let lines: Vec<_> = report.trim_end().lines().filter(is_told).collect();
            found.insert(case.name.clone(), lines.join("\n"));
        }
    }
    found
}
