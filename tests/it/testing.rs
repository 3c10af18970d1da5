//! `wsh-server test`: what it runs, what it prints, and how it ends.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::support::{Finished, Raw, Server};

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/test");
const SHIPPED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/handlers");

/// A handler that counts, and speaks after a while.
const SLOW: &str = "fn on_open(ws) { ws.after(5, \"late\"); }\n\
    fn on_timer(ws, name) { ws.send(name); }\n\
    fn transfer_data(ws, message) { ws.send_json(#{said: message, list: [1, 2, 3]}); }\n";

/// One that passes, and the ways to fail.
const TESTS: &str = "fn test_passes() {\n    let c = connect(\"/slow\");\n    \
    expect_silence(c, 4.5);\n    expect(c.receive(), \"late\");\n}\n\n\
    fn test_waits_in_vain() {\n    let c = connect(\"/slow\");\n    c.receive();\n}\n\n\
    fn test_differs() {\n    let c = connect(\"/slow\");\n    c.send(\"hi\");\n    \
    expect(c.receive_json(), #{said: \"hi\", list: [1, 3]});\n}\n\n\
    fn test_is_told_shortly() {\n    expect(\"a\", \"b\");\n}\n\n\
    fn test_is_refused() {\n    connect(\"/nowhere\");\n}\n";

pub async fn run(args: &[&str]) -> Finished {
    let builder = Server::builder()
        .bare()
        .args(["test", "--log-level", "off"]);
    builder.args(args.iter().copied()).run().await
}

/// A folder with these files.
pub fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    for (name, text) in files {
        fs::write(dir.path().join(name), text).expect("write a file");
    }
    dir
}

pub fn path(dir: &tempfile::TempDir) -> &str {
    dir.path().to_str().expect("a path in UTF-8")
}

/// Output without what differs from run to run.
fn steady(output: &str, root: &str) -> String {
    let lines = output.replace(root, "DIR");
    let lines = lines.lines().map(|line| {
        let cut = line.find(" s of theirs in ").map(|at| &line[..at]);
        let line = cut.map_or(line.to_owned(), |line| format!("{line} s of theirs in …"));
        match line.find(" time=\"") {
            Some(at) => {
                let rest = line[at + 7..]
                    .find('"')
                    .map_or("", |end| &line[at + 8 + end..]);
                format!("{} time=\"…\"{rest}", &line[..at])
            }
            None => line,
        }
    });
    lines.map(|line| line + "\n").collect()
}

#[tokio::test]
async fn results_are_printed_as_they_were() {
    let dir = folder(&[("slow_wsh.rhai", SLOW), ("slow_test.rhai", TESTS)]);
    for format in ["text", "tap", "junit"] {
        let done = run(&["-w", path(&dir), "--format", format]).await;
        assert_eq!(done.status.code(), Some(1), "{done:?}");
        let printed = steady(&done.stdout, path(&dir));
        let file = Path::new(GOLDEN).join(format!("{format}.txt"));
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::create_dir_all(GOLDEN).expect("a folder of golden files");
            fs::write(&file, &printed).expect("write a golden file");
        }
        let kept = fs::read_to_string(&file).unwrap_or_default();
        assert!(
            printed == kept,
            "{} is not what is printed: look at it, and run the tests with UPDATE_GOLDEN=1:\n\
            {printed}",
            file.display()
        );
    }
}

#[tokio::test]
async fn what_ships_passes() {
    let done = run(&["-w", SHIPPED]).await;
    assert_eq!(done.status.code(), Some(0), "{done:?}");
    assert!(done.stdout.contains(" tests, 0 failed"), "{done:?}");
}

#[tokio::test]
async fn one_of_many_runs_alone() {
    let dir = folder(&[
        ("slow_wsh.rhai", SLOW),
        ("slow_test.rhai", TESTS),
        (
            "other_test.rhai",
            "fn test_passes_too() {}\nfn helper() { 1 }",
        ),
    ]);
    for (args, code, said) in [
        // The whole name means that one, although another begins with it.
        (&["--filter", "test_passes"][..], 0, "1 test, 0 failed"),
        (&["--filter", "passes"], 0, "2 tests, 0 failed"),
        (&["other_test.rhai"], 0, "1 test, 0 failed"),
        (&["--filter", "differs"], 1, "1 test, 1 failed"),
        (&["--filter", "nothing"], 2, ""),
    ] {
        let done = run(&[&["-w", path(&dir)][..], args].concat()).await;
        assert_eq!(done.status.code(), Some(code), "{args:?}: {done:?}");
        assert!(done.stdout.contains(said), "{args:?}: {done:?}");
    }
}

#[tokio::test]
async fn a_file_that_does_not_compile_is_a_failure() {
    for text in [
        "fn test_it( {",
        "fn test_it() { conect(\"/slow\"); }",
        "fn test_it(a) {}",
    ] {
        let dir = folder(&[("slow_wsh.rhai", SLOW), ("slow_test.rhai", text)]);
        let done = run(&["-w", path(&dir)]).await;
        assert_eq!(done.status.code(), Some(1), "{done:?}");
        assert!(done.stdout.contains("slow_test.rhai:1"), "{done:?}");
    }
}

/// Neither served nor listed, and nothing to remark on.
#[tokio::test]
async fn tests_are_not_served() {
    let dir = folder(&[("slow_wsh.rhai", SLOW), ("slow_test.rhai", TESTS)]);
    for command in ["check", "routes"] {
        let builder = Server::builder().bare().args([command, "-w", path(&dir)]);
        let done = builder.run().await;
        assert_eq!(done.status.code(), Some(0), "{done:?}");
        assert!(
            !done.stdout.contains("_test") && done.stderr.is_empty(),
            "{done:?}"
        );
    }
    let builder = Server::builder().file("slow_wsh.rhai", SLOW);
    let server = builder.file("slow_test.rhai", TESTS).start().await;
    let mut client = Raw::connect(&server).await;
    let head = client.handshake("/slow_test", &[]).await;
    assert_eq!(head.status, 404);
}

/// 200 tests of an hour each.
#[tokio::test]
async fn an_hour_is_a_moment() {
    let tests: String = (0..200)
        .map(|number| {
            format!("fn test_{number}() {{ let c = connect(\"/slow\"); advance(3600); }}\n")
        })
        .collect();
    let dir = folder(&[("slow_wsh.rhai", SLOW), ("hours_test.rhai", &tests)]);
    let done = tokio::time::timeout(Duration::from_secs(60), run(&["-w", path(&dir)])).await;
    let done = done.expect("200 hours in a minute");
    assert_eq!(done.status.code(), Some(0), "{done:?}");
    assert!(
        done.stdout.contains("200 tests, 0 failed: 720000 s"),
        "{done:?}"
    );
}

/// Every kind of statement, of which some run.
const COVERED: &str = "import \"lib\" as lib;\n\
    const LIMIT = 3;\n\
    fn transfer_data(ws, message) {\n    \
        let list = [1, 2];\n    \
        if message == \"never\" {\n        \
            ws.send(\"never\");\n    \
        } else {\n        \
            this.last = message;\n    \
        }\n    \
        let said = if list.len > global::LIMIT {\n        \
            \"many\"\n    \
        } else {\n        \
            \"few\"\n    \
        };\n    \
        for one in list {\n        \
            lib::count(one);\n    \
        }\n    \
        let length = |text| {\n        \
            text.len\n    \
        };\n    \
        switch message {\n        \
            \"a\" => ws.send(said),\n        \
            \"b\" => {\n            \
                ws.send(\"b\");\n        \
            }\n        \
            _ => ws.send(`${length.call(message)} ${said}`),\n    \
        }\n    \
        (this.last + said).len();\n\
    }\n\n\
    fn on_close(ws, code, reason, was_clean) {\n    \
        try {\n        \
            throw \"it\";\n    \
        } catch (e) {\n        \
            return;\n    \
        }\n\
    }\n";

/// What would be a turn for others in a server is none here: else the order in which things happen
/// would follow from how busy the machine is.
#[tokio::test]
async fn nobody_goes_first_while_a_script_computes() {
    const COMPUTES: &str = "for number in 0..10000 {}";
    let handler = format!(
        "fn transfer_data(ws, message) {{\n    ws.subscribe(\"said\");\n    \
        publish(\"said\", message);\n    {COMPUTES}\n    ws.send(\"first\");\n}}\n"
    );
    let tests = format!(
        "fn test_of_a_hook() {{\n    let c = connect(\"/it\");\n    c.send(\"second\");\n    \
        expect(c.receive(), \"first\");\n    expect(c.receive(), \"second\");\n}}\n\n\
        fn test_of_the_test() {{\n    let c = connect(\"/it\");\n    c.send(\"x\");\n    \
        {COMPUTES}\n    expect(published(\"said\"), []);\n}}\n"
    );
    let dir = folder(&[("it_wsh.rhai", &handler), ("it_test.rhai", &tests)]);
    let done = run(&["-w", path(&dir)]).await;
    assert_eq!(done.status.code(), Some(0), "{done:?}");
}

/// Which lines have run, of handlers and modules, and of handlers that no test touches.
#[tokio::test]
async fn lines_that_have_run_are_told() {
    let tests = "fn test_it() {\n    let c = connect(\"/it\");\n    for said in [\"a\", \"ccc\"] {\n        \
        c.send(said);\n    }\n    expect(c.receive(), \"few\");\n    expect(c.receive(), \"3 few\");\n}\n";
    let dir = folder(&[
        ("it_wsh.rhai", COVERED),
        (
            "lib.rhai",
            "fn count(one) {\n    one + 1\n}\nfn never() {\n    2\n}\n",
        ),
        ("it_test.rhai", tests),
        (
            "alone_wsh.rhai",
            "fn transfer_data(ws, message) {\n    ws.send(message);\n}\n",
        ),
    ]);
    let file = dir.path().join("lines.info");
    let file = file.to_str().expect("UTF-8");
    for format in ["text", "tap", "junit"] {
        let done = run(&["-w", path(&dir), "--coverage", file, "--format", format]).await;
        assert_eq!(done.status.code(), Some(0), "{done:?}");
        let said = "coverage: 13 of 21 lines have run, 61.9 %: ";
        match format {
            "text" => assert!(done.stdout.contains(&format!("\n{said}")), "{done:?}"),
            "tap" => assert!(done.stdout.contains(&format!("\n# {said}")), "{done:?}"),
            _ => assert!(!done.stdout.contains("coverage"), "{done:?}"),
        }
        let lcov = fs::read_to_string(file)
            .expect("the file")
            .replace(path(&dir), "DIR");
        let golden = Path::new(GOLDEN).join("coverage.info");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(&golden, &lcov).expect("write a golden file");
        }
        assert_eq!(fs::read_to_string(&golden).unwrap_or_default(), lcov);
    }
    let done = run(&["-w", path(&dir), "--coverage", "/nowhere/lines.info"]).await;
    assert_eq!(done.status.code(), Some(2), "{done:?}");
    assert!(
        done.stderr.contains("--coverage /nowhere/lines.info"),
        "{done:?}"
    );
}

/// What `new --with-test` writes passes, whatever the template, and the chat's says what it does.
#[tokio::test]
async fn templates_come_with_tests_that_pass() {
    let dir = tempfile::tempdir().expect("a folder");
    for (name, template) in [
        ("room/talk", "chat"),
        ("plain", "echo"),
        ("middle", "between"),
    ] {
        let builder = Server::builder().bare();
        let args = ["new", name, "-t", template, "--with-test", "-w", path(&dir)];
        let done = builder.args(args).run().await;
        assert_eq!(done.status.code(), Some(0), "{done:?}");
    }
    let done = run(&["-w", path(&dir)]).await;
    assert_eq!(done.status.code(), Some(0), "{done:?}");
    assert!(done.stdout.contains("5 tests, 0 failed"), "{done:?}");
}
