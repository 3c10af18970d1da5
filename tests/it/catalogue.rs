//! The rows of the robustness study, and where each is proven: a test is named after its rows,
//! `h01_…` or `p01_p02_…`, and every row either has one or stands here with the reason why it has
//! none. The same for the tests that `docs/conformance.md` names.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The tables: their letter and the number of their rows.
const TABLES: [(char, u8); 11] = [
    ('H', 31), // HTTP and the opening handshake
    ('F', 28), // frames and messages
    ('C', 13), // the closing handshake
    ('D', 9),  // permessage-deflate
    ('L', 15), // load, slowness, resources
    ('O', 9),  // attacks by browsers' pages
    ('P', 13), // paths, documents, handlers' names
    ('G', 5),  // logs and diagnostics
    ('R', 28), // scripts: tests/hostile/scripts.rs has a script, or many, for each
    ('S', 15), // process, TLS, HTTP/2
    ('W', 22), // reloading
];

/// Rows without a test, and why.
const LEFT_OUT: &[(&str, &str)] = &[
    (
        "L14",
        "needs a cgroup of its own, which a test may not make on every machine; what each \
        connection may take is bounded by F10, F23, H15, L04",
    ),
    (
        "S12",
        "there is no HTTP/2 here: H25 and H26 show that none is spoken",
    ),
    ("S13", "the same"),
    ("S14", "the same"),
    ("W14", "S15 is the same"),
    (
        "W15",
        "needs a file system without events; to the server it is S15",
    ),
];

/// Parts of rows that are tested on a smaller scale, or elsewhere, and why.
const PARTS: &[(&str, &str)] = &[
    (
        "C09 within a second",
        "no time is asserted; the end is waited for",
    ),
    (
        "C13 under Miri",
        "the code is safe Rust; every emitted byte is compared instead",
    ),
    (
        "F10 with 10,000 connections",
        "the cost of one is the same; 200 show it",
    ),
    (
        "F17 in all 145 cases",
        "Autobahn's section 6 runs them; here is one of each kind",
    ),
    (
        "F20 coalesced Pongs",
        "Autobahn's 2.10 wants one for each Ping; their rate is what is bounded",
    ),
    (
        "F21 with ten million",
        "a million show whether memory stays flat",
    ),
    (
        "F23 send time-out",
        "L05 has it, with a clock that is turned by hand",
    ),
    (
        "H16 with 10,000 sockets",
        "three show the deadline; more only show the machine",
    ),
    (
        "H17 H22 H23 in milliseconds",
        "a bench's number: a debug build on a shared machine has no such bound",
    ),
    (
        "H31 with 65,535 connections",
        "2,000 show a leak as well, and fit the usual limit of open files",
    ),
    (
        "L04 in a broadcast",
        "topics are a later feature; one slow reader and its bounded queue are tested",
    ),
    ("L07 with a million cycles", "some thousand show a slope"),
    (
        "L08 L09 L10 in milliseconds",
        "benches measure; here the others' answers are counted",
    ),
    (
        "L09 with 64 loops",
        "four on one worker show that turns are taken; each more costs its budget in time",
    ),
    (
        "L10 with 50,000 in 5 s",
        "2,000 at once are more than the backlog holds",
    ),
    (
        "L11 loss, reordering, MTU",
        "TCP hides them; what is left of them is how bytes are cut and delayed, which is tested",
    ),
    ("L15 a full disk", "/dev/full fails as one does"),
    ("S01 with 10,000 connections", "1,000 show the drain"),
    (
        "S03 a thousand times",
        "some rounds show whether the port comes free",
    ),
    (
        "S05 SIGSTOP for 60 s, and a clock that jumps",
        "the time-outs are set to seconds instead; only the monotonic clock is read, which no \
        clock setting moves",
    ),
    (
        "S06 in any task",
        "a panic under a hook, which is where foreign code runs",
    ),
];

#[test]
fn every_row_is_proven_or_left_out_with_a_reason() {
    let mut wrong = Vec::new();
    let tested = tested_rows();
    let mut listed = BTreeMap::new();
    for (row, reason) in LEFT_OUT {
        assert!(!reason.is_empty(), "{row} has no reason");
        assert_eq!(listed.insert(*row, *reason), None, "{row} is listed twice");
    }
    let mut rows = BTreeSet::new();
    for (letter, count) in TABLES {
        rows.extend((1..=count).map(|number| format!("{letter}{number:02}")));
    }
    for row in &rows {
        match (tested.get(row), listed.get(row.as_str())) {
            (None, None) => wrong.push(format!("{row} has neither a test nor a reason")),
            (Some(tests), Some(reason)) => {
                wrong.push(format!(
                    "{row} has {tests:?} and need not be listed ({reason})"
                ));
            }
            _ => {}
        }
    }
    for row in tested
        .keys()
        .chain(&listed.keys().map(|row| row.to_string()).collect::<Vec<_>>())
    {
        if !rows.contains(row) {
            wrong.push(format!("{row} is in no table"));
        }
    }
    for (part, reason) in PARTS {
        let named = part.split(' ').take_while(|word| row_of(word).is_some());
        let unknown: Vec<_> = named
            .filter(|row| !tested.contains_key(*row) && !listed.contains_key(row))
            .collect();
        if !unknown.is_empty() || reason.is_empty() {
            wrong.push(format!("{part:?} is a part of no row that is tested"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Pitfalls that others have met with topics, stores, tests and the console, and those that cannot
/// be met here.
#[test]
fn every_pitfall_is_a_test() {
    const PITFALLS: u8 = 25;
    // There is no HTTP/2 here: H25 and H26 show that none is spoken.
    const LEFT_OUT: [u8; 1] = [20];
    let tests = tests();
    let names = tests.iter().filter_map(|test| test.split("::").nth(1));
    let numbers: BTreeSet<u8> = names
        .filter_map(|name| {
            let name = name.strip_prefix("pitfall_")?;
            Some(name.split('_').map_while(|word| word.parse().ok()))
        })
        .flatten()
        .chain(LEFT_OUT)
        .collect();
    assert_eq!(numbers, (1..=PITFALLS).collect());
}

/// A file that nobody includes is compiled by nobody.
#[test]
fn every_file_is_a_module() {
    let main = std::fs::read_to_string(folder("it").join("main.rs")).expect("main.rs");
    for file in files(&folder("it")) {
        let name = file
            .file_stem()
            .expect("a name")
            .to_string_lossy()
            .into_owned();
        assert!(
            name == "main" || main.contains(&format!("mod {name};")),
            "{name}"
        );
    }
}

/// The document names tests as `file::test`, and its table of rows is the list above.
#[test]
fn every_test_of_the_conformance_document_exists() {
    let path = folder("..").join("docs/conformance.md");
    let text = std::fs::read_to_string(path).expect("docs/conformance.md");
    let tests: BTreeSet<_> = tests().into_iter().collect();
    let mut wrong = Vec::new();
    let mut count = 0;
    for name in text
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(|name| name.contains("::"))
    {
        count += 1;
        if !tests.contains(name) {
            wrong.push(name);
        }
    }
    assert!(wrong.is_empty(), "there are no tests {wrong:?}");
    assert!(count > 40, "{count} tests are named");
}

/// Row by row, the tests that are named after it.
fn tested_rows() -> BTreeMap<String, Vec<String>> {
    let mut rows: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut add = |name: &str, test: &str| {
        for row in name.split('_').map_while(row_of) {
            rows.entry(row).or_default().push(test.to_owned());
        }
    };
    for test in tests() {
        let (file, name) = test.split_once("::").expect("file::test");
        // Its numbers are those of another list, which it checks by itself.
        if file != "capabilities" {
            add(name, &test);
        }
    }
    let scripts = std::fs::read_to_string(folder("hostile").join("scripts.rs"));
    for name in scripts.expect("the hostile scripts").split('"') {
        add(name, "hostile");
    }
    rows
}

/// `h01` as `H01`.
fn row_of(word: &str) -> Option<String> {
    let word = word.to_ascii_uppercase();
    let digits = word.strip_prefix(|letter| TABLES.iter().any(|table| table.0 == letter))?;
    (digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_digit())).then_some(word)
}

/// Every test of this binary and every unit test beside the code, as `file::test`.
fn tests() -> Vec<String> {
    let mut tests = Vec::new();
    let mut sources = files(&folder("it"));
    let mut folders = vec![folder("../src")];
    while let Some(folder) = folders.pop() {
        sources.extend(files(&folder));
        let entries = std::fs::read_dir(&folder).expect("a folder");
        folders.extend(
            entries
                .map(|entry| entry.expect("an entry").path())
                .filter(|path| path.is_dir()),
        );
    }
    for file in sources {
        let text = std::fs::read_to_string(&file).expect("a source file");
        let module = file
            .file_stem()
            .expect("a name")
            .to_string_lossy()
            .into_owned();
        let (mut is_test, mut is_list) = (false, false);
        for line in text.lines() {
            let line = line.trim_start();
            let list = line.strip_prefix("on_each_engine!(");
            if is_list || list.is_some() {
                let names = list.unwrap_or(line).split([',', ' ', ')', ';']);
                let names = names.filter(|name| !name.is_empty());
                tests.extend(names.map(|name| format!("{module}::{name}")));
                is_list = !line.ends_with(");");
            } else if line == "#[test]" || line.starts_with("#[tokio::test") {
                is_test = true;
            } else if let Some((_, rest)) = line.split_once("fn ")
                && is_test
            {
                let name = rest.split('(').next().unwrap_or_default();
                tests.push(format!("{module}::{name}"));
                is_test = false;
            }
        }
    }
    tests
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests")
        .join(name)
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let mut files: Vec<_> = paths
        .filter(|path| path.extension().is_some_and(|end| end == "rs"))
        .collect();
    files.sort();
    files
}
