//! Events: the table in the docs, the targets of filters, and the log of JSON.

use serde_json::Value;
use wsh_server::observe::event::{self, Target};

use crate::support::{ECHO, Raw, Request, Server, Wire};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/events.md");
const BEGIN: &str = "<!-- the table, made by the tests -->\n\n";

/// `UPDATE_GOLDEN=1 cargo test` writes it anew.
#[test]
fn the_table_is_not_stale() {
    let kept = std::fs::read_to_string(FILE).expect("docs/events.md");
    let (front, _) = kept.split_once(BEGIN).expect("where the table begins");
    let made = format!("{front}{BEGIN}{}", event::markdown());
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(FILE, &made).expect("write docs/events.md");
    } else {
        assert!(
            made == kept,
            "docs/events.md is stale: run the tests with UPDATE_GOLDEN=1"
        );
    }
}

#[tokio::test]
async fn every_target_is_documented_and_can_be_filtered() {
    let guide = include_str!("../../docs/deployment.md");
    let help = Server::builder().bare().arg("--help").run().await.stdout;
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    for target in Target::ALL {
        let name = target.name();
        assert!(
            guide.contains(&format!("\n| `{name}` | ")),
            "{name} in the guide"
        );
        assert!(help.contains(name), "{name} in the help");
        for filter in [name.to_owned(), target.path().to_owned()] {
            let config = Server::builder()
                .args(["config", "--log-level", &format!("warn,{filter}=debug")])
                .bare()
                .run()
                .await;
            assert!(config.status.success(), "{filter}: {}", config.stderr);
        }
    }
}

/// Every line of the log as an object.
fn objects(server: &Server) -> Vec<Value> {
    let logged = server.logged();
    let parse = |line: &str| -> Value {
        let object: Value = serde_json::from_str(line)
            .unwrap_or_else(|error| panic!("{error}: {line:?}\n{logged}"));
        for name in ["time", "level", "target", "event", "message"] {
            assert!(object[name].is_string(), "{name}: {line}");
        }
        let known = event::EVENTS.iter().any(|event| {
            object["event"] == event.id
                && object["target"] == event.target.name()
                && object["level"] == event.level
        });
        let is_of_the_log = object["event"] == "log-dropped";
        assert!(known || is_of_the_log, "no event of the list: {line}");
        object
    };
    logged.lines().map(parse).collect()
}

fn find<'o>(objects: &'o [Value], id: &str) -> &'o Value {
    let found = objects.iter().find(|object| object["event"] == id);
    found.unwrap_or_else(|| panic!("no {id} in {objects:#?}"))
}

#[tokio::test]
async fn json_has_numbers_as_numbers_and_reports_as_objects() {
    let fails = "fn transfer_data(ws, message) {\n    ws.send(mesage);\n}\n";
    let divides = "fn transfer_data(ws, message) {\n    ws.send(1 / message.len());\n}\n";
    let mut server = Server::builder()
        .workers(1)
        .files(&[("echo_wsh.rhai", ECHO), ("divides_wsh.rhai", divides)])
        .file("fails_wsh.rhai", fails)
        .args(["--log-format", "json", "--access-log"])
        .start()
        .await;
    let mut raw = Raw::open(&server, "/echo").await;
    for text in ["one", "four"] {
        raw.send(Wire::text(text).bytes()).await;
        raw.expect_text(text).await;
    }
    raw.send(Wire::close(4000, "bye").bytes()).await;
    raw.expect_close(4000).await;
    raw.expect_eof().await;
    let mut raw = Raw::open(&server, "/divides").await;
    raw.send(Wire::text("").bytes()).await;
    raw.answer_close(1011).await;
    raw.expect_eof().await;
    let mut raw = Raw::connect(&server).await;
    raw.send(Request::upgrade("/nothing").bytes()).await;
    assert_eq!(raw.head().await.status, 404);
    server.stop().await;

    let objects = objects(&server);
    let closed = objects
        .iter()
        .find(|object| object["event"] == "closed" && object["path"] == "/echo")
        .expect("a line for the end");
    for (name, value) in [
        ("code", 4000),
        ("messages_in", 2),
        ("messages_out", 2),
        // Masked frames have four bytes more; the Close has a code and a reason.
        ("bytes_in", (2 + 4 + 3) + (2 + 4 + 4) + (2 + 4 + 2 + 3)),
        ("bytes_out", (2 + 3) + (2 + 4) + (2 + 2)),
    ] {
        assert_eq!(closed[name], value, "{name} in {closed}");
    }
    assert!(closed["seconds"].is_f64(), "{closed}");
    assert_eq!(closed["by"], "client");
    assert_eq!(closed["reason"], "bye");

    let refused = find(&objects, "request-refused");
    assert_eq!(refused["status"], 404, "{refused}");
    assert_eq!(refused["refusal"], "not-found", "{refused}");

    let fault = find(&objects, "script-fault");
    assert_eq!(fault["handler"], "divides_wsh.rhai", "{fault}");
    assert_eq!(fault["hook"], "transfer_data", "{fault}");
    assert!(fault["connection"].is_u64(), "{fault}");
    let report = &fault["report"];
    assert_eq!(report["file"], "divides_wsh.rhai", "{report}");
    assert_eq!(
        (&report["line"], &report["column"]),
        (&2.into(), &15.into()),
        "{report}"
    );
    assert_eq!(
        report["source"], "    ws.send(1 / message.len());",
        "{report}"
    );
    assert!(report["message"].is_string(), "{report}");

    let broken = find(&objects, "handler-broken");
    let report = &broken["report"];
    assert_eq!(report["file"], "fails_wsh.rhai", "{report}");
    assert_eq!(report["severity"], "error", "{report}");
    let hint = report["hint"].as_str().expect("a hint");
    assert!(hint.contains("message"), "{report}");
    assert_eq!(find(&objects, "start")["handlers"], 3);
    assert_eq!(objects.last().expect("lines")["event"], "stop");
}

/// What peers and scripts say, a flood, and heads and frames of all bytes.
#[tokio::test]
async fn every_line_of_json_parses() {
    let noisy = "fn transfer_data(ws, message) {\n    for round in 0..5000 { print(message); \
        error(message + round); }\n    ws.send(\"done\");\n}\n";
    let fails = "fn transfer_data(ws, message) { throw message; }";
    let odd = "\"\\\r\n\u{1b}[31m\u{2028}\u{0}\u{7f}数";
    let mut server = Server::builder()
        .workers(1)
        .files(&[
            ("noisy_wsh.rhai", noisy),
            ("fails_wsh.rhai", fails),
            ("echo_wsh.rhai", ECHO),
        ])
        .file(
            "broken_wsh.rhai",
            "fn transfer_data(ws, message) { \"\u{1b}\u{2028}\" + }\n",
        )
        .args([
            "--log-format",
            "json",
            "--log-level",
            "trace",
            "--access-log",
        ])
        .start()
        .await;
    let encoded: String = odd.bytes().map(|byte| format!("%{byte:02X}")).collect();
    for path in [
        format!("/{encoded}"),
        format!("/echo?{encoded}"),
        "/\"\\{}".to_owned(),
    ] {
        let mut raw = Raw::connect(&server).await;
        raw.send(Request::upgrade(&path).bytes()).await;
        raw.head().await;
    }
    for name in ["Origin", "Host", "X-Other", "Sec-WebSocket-Protocol"] {
        let mut raw = Raw::connect(&server).await;
        raw.send(
            Request::upgrade("/echo")
                .set(name, "a\"\\\u{1b}\u{ff}b")
                .bytes(),
        )
        .await;
        raw.head().await;
    }
    let mut raw = Raw::connect(&server).await;
    raw.send((0..=255).collect::<Vec<u8>>()).await;
    raw.head().await;
    for path in ["/noisy", "/fails", "/fails", "/fails", "/fails", "/fails"] {
        let mut raw = Raw::open(&server, path).await;
        raw.send(Wire::text(odd).bytes()).await;
        if path == "/noisy" {
            raw.expect_text("done").await;
        } else {
            raw.expect_close(1011).await;
        }
    }
    let mut raw = Raw::open(&server, "/echo").await;
    raw.send(Wire::binary((0..=255).collect::<Vec<u8>>()).bytes())
        .await;
    raw.send(Wire::close(4000, odd).bytes()).await;
    server.log("\"printed-more\"").await;
    server.log("\"script-fault-more\"").await;
    server.stop().await;
    let objects = objects(&server);
    let printed = find(&objects, "printed");
    let said = printed["message"].as_str().expect("a text");
    assert!(
        !said.contains(|c: char| c.is_control()) && said.contains('数'),
        "{said}"
    );
}

#[tokio::test]
async fn a_start_that_fails_is_a_line_of_json() {
    let run = Server::builder()
        .bare()
        .args(["-w", "/nowhere", "--log-format", "json"])
        .run()
        .await;
    assert_eq!(run.status.code(), Some(2));
    let lines: Vec<Value> = run
        .stderr
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect();
    let last = lines.last().expect("a line");
    assert_eq!(
        (&last["event"], &last["level"]),
        (&"failure".into(), &"ERROR".into())
    );
    assert!(
        last["message"]
            .as_str()
            .is_some_and(|text| text.contains("/nowhere")),
        "{last}"
    );
}
