//! The log as a terminal shows it, which `CLICOLOR_FORCE` has it look like in a pipe, too.

use super::support::{Builder, Raw, Server, Typed, Wire};

const SUM: &str = "fn transfer_data(ws, message) {\n    ws.send(`${parse_int(message)}`);\n}\n";
const COUNT: &str = "fn transfer_data(ws, message) {\n    this.count += 1;\n}\n";

/// The log of a server whose handlers met a fault each. It runs in their folder.
async fn log(builder: Builder) -> String {
    let builder = builder
        .file("sum_wsh.rhai", SUM)
        .file("count_wsh.rhai", COUNT);
    let mut server = builder.workers(1).start().await;
    for path in ["/sum", "/count"] {
        let mut raw = Raw::open(&server, path).await;
        raw.send(Wire::text("zwei").bytes()).await;
        raw.expect_close(1011).await;
    }
    assert!(server.stop().await.success());
    server.logged()
}

#[tokio::test]
async fn a_report_is_headed_by_its_place() {
    let builder = Server::builder()
        .env("CLICOLOR_FORCE", "1")
        .env("NO_COLOR", "1");
    let log = log(builder).await;
    let head = "Z ERROR sum_wsh.rhai:2:16\n";
    let (before, report) = log
        .split_once(head)
        .unwrap_or_else(|| panic!("{head}: {log}"));
    let time = before.rsplit('\n').next().expect("a time");
    assert!(
        time.len() == "07:08:09".len() && time.matches(':').count() == 2,
        "{time}"
    );
    let report = report.split("\n\n").next().expect("its end");
    let wanted = [
        "this is no integer number 'zwei': invalid digit found in string",
        "  |",
        "2 |     ws.send(`${parse_int(message)}`);",
        "  |                ^^^^^^^^^",
        "  |",
    ];
    assert!(report.starts_with(&wanted.join("\n")), "{report}");
    assert!(
        !log.contains("wsh_server::") && !log.contains("report="),
        "{log}"
    );
    assert!(!log.contains('\u{1b}'), "{log}");
    // Long hints go on in the next line. The start's line is a fact with two addresses.
    let long = |line: &&str| line.chars().count() > 80 && !line.contains("addresses=");
    assert_eq!(log.lines().find(long), None);
    assert!(
        log.contains("\n  = help: `this.count` is `()` until"),
        "{log}"
    );
}

#[tokio::test]
async fn a_pipe_has_fields_to_search_for() {
    for builder in [
        Server::builder(),
        Server::builder().env("CLICOLOR_FORCE", "0"),
    ] {
        let plain = log(builder).await;
        assert!(!plain.contains('\u{1b}'), "{plain:?}");
        // As a program reads it.
        for field in [
            "hook=\"transfer_data\"",
            "connection=",
            "handler=\"sum_wsh.rhai\"",
            "version=",
        ] {
            let is_head = |line: &str| line.contains("script fault") && line.contains(field);
            assert!(plain.lines().any(is_head), "{field}: {plain}");
        }
        assert!(plain.contains("\n --> sum_wsh.rhai:2:16\n"), "{plain}");
    }
}

/// In a real terminal: the level is red, and so is what is wrong.
#[tokio::test]
async fn a_terminal_has_colours_unless_it_is_to_have_none() {
    let folder = tempfile::tempdir().expect("a folder");
    let code = SUM
        .replace("message", "mesage")
        .replacen("mesage", "message", 1);
    std::fs::write(folder.path().join("sum_wsh.rhai"), code).expect("a handler");
    let root = folder.path().to_str().expect("a path");
    let args = ["-p", "0", "-H", "127.0.0.1", "-w", root];
    let mut coloured = Typed::start(&args, &[]);
    coloured.shows("did you mean").await;
    let shown = coloured.text();
    assert!(shown.contains("\u{1b}[31m ERROR \u{1b}[0m"), "{shown:?}");
    let carets = shown.lines().find(|line| line.contains("^^^^^^"));
    assert!(
        carets.expect("the excerpt").contains("\u{1b}["),
        "{shown:?}"
    );
    let mut plain = Typed::start(&args, &[("NO_COLOR", "1")]);
    plain.shows("did you mean").await;
    assert!(!plain.text().contains('\u{1b}'), "{:?}", plain.text());
}
