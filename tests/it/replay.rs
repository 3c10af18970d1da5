//! `replay`, and handlers that are made from recordings: what was right stays right, and what is
//! not is shown. The outputs are files: `UPDATE_GOLDEN=1 cargo test` writes them anew.

use std::path::{Path, PathBuf};

use serde_json::json;

use crate::support::{ECHO, Finished, Server};

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/replay");
const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/har");

/// The server that was recorded in the fixtures.
const CHAT: &str = include_str!("../fixtures/har/chat_wsh.rhai");

async fn run(args: &[&str]) -> Finished {
    Server::builder()
        .bare()
        .args(args.iter().copied())
        .run()
        .await
}

/// A recording of this conversation: `>` is the client's, `<` the server's; binary behind a `#`.
pub(crate) fn har(connections: &[(&str, &[&str])]) -> String {
    let mut entries = Vec::new();
    let mut second = 1_700_000_000.0;
    for (path, said) in connections {
        let mut messages = Vec::new();
        let started = second;
        for line in *said {
            second += 0.001;
            let (mark, data) = line.split_at(1);
            let kind = if mark == ">" { "send" } else { "receive" };
            let (opcode, data) = match data.strip_prefix('#') {
                Some(base64) => (2, base64),
                None => (1, data),
            };
            messages.push(json!({"type": kind, "time": second, "opcode": opcode, "data": data}));
        }
        let started = format!(
            "2023-11-14T22:13:{:06.3}Z",
            started - 1_700_000_000.0 + 20.0
        );
        entries.push(json!({
            "startedDateTime": started,
            "request": {"method": "GET", "url": format!("ws://recorded.example{path}"), "headers": [{"name": "Sec-WebSocket-Protocol", "value": "v1"}]},
            "response": {"status": 101, "headers": [{"name": "Sec-WebSocket-Protocol", "value": "v1"}]},
            "_webSocketMessages": messages,
        }));
    }
    json!({"log": {"version": "1.2", "entries": entries}}).to_string()
}

fn write(dir: &Path, name: &str, text: &str) -> String {
    let path = dir.join(name);
    std::fs::write(&path, text).expect("written");
    path.to_str().expect("UTF-8").to_owned()
}

fn golden(name: &str, found: &str) {
    let path = PathBuf::from(GOLDEN).join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::create_dir_all(GOLDEN).expect("a folder");
        std::fs::write(&path, found).expect("written");
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(
        kept, found,
        "{name} is stale: run the tests with UPDATE_GOLDEN=1"
    );
}

const TALK: &str = "fn on_open(ws) {\n    ws.send_json(#{ type: \"hello\", version: 2, at: now() \
    });\n}\nfn transfer_data(ws, message) {\n    switch message {\n        \"list\" => { \
    ws.send_json(#{ users: [#{ id: 7, name: \"Ada\" }, #{ id: 8, name: \"Bob\" }], more: false }); \
    }\n        \"nothing\" => (),\n        \"twice\" => { ws.send(\"one\"); ws.send(\"two\"); }\n        \
    \"bytes\" => ws.send(base64_decode(\"AP8H\")),\n        \"go\" => ws.close(4001, \"gone\"),\n        \
    _ => ws.send(message),\n    }\n}\n";

#[tokio::test]
async fn differences_are_shown_with_their_number() {
    let server = Server::start(&[("talk_wsh.rhai", TALK)]).await;
    let url = server.url("");
    let dir = tempfile::tempdir().expect("a folder");
    let hello = r#"<{"type":"hello","version":1,"at":1.5}"#;
    let good = r#"<{"type":"hello","version":2,"at":1.5}"#;
    let list = r#"<{"more":false,"users":[{"id":1,"name":"Ada"},{"id":2,"name":"Bob"}]}"#;
    for (name, said, args, code) in [
        (
            "same",
            &[good, ">list", list, ">x", "<x"][..],
            &["$.at", "$.users[*].id"][..],
            0,
        ),
        ("json", &[hello, ">list", list, ">x", "<x"], &["$.at"], 1),
        (
            "text",
            &[good, ">hello\nworld", "<hello\nWorld"],
            &["$..at"],
            1,
        ),
        ("binary", &[good, ">bytes", "<#AAECAwQ="], &["$.at"], 1),
        (
            "missing",
            &[good, ">nothing", "<something", ">x", "<x"],
            &["$.at"],
            1,
        ),
        ("closed", &[good, ">go", "<something"], &["$.at"], 1),
    ] {
        let file = write(dir.path(), &format!("{name}.har"), &har(&[("/talk", said)]));
        let mut all = vec!["replay", &file, &url, "--wait", "700ms"];
        for path in args {
            all.extend(["--ignore", path]);
        }
        let done = run(&all).await;
        assert_eq!(done.status.code(), Some(code), "{name}: {done:?}");
        golden(&format!("{name}.txt"), &(done.stdout + "\n"));
    }
}

#[tokio::test]
async fn connections_keep_their_order_and_their_times() {
    let chat = "fn on_open(ws) {\n    ws.subscribe(\"all\");\n}\nfn transfer_data(ws, message) {\n    \
        publish(\"all\", message);\n}\n";
    let server = Server::start(&[("chat_wsh.rhai", chat), ("echo_wsh.rhai", ECHO)]).await;
    let dir = tempfile::tempdir().expect("a folder");
    let said = |by: &str, time: f64, data: &str| json!({"type": by, "time": time, "opcode": 1, "data": data});
    let entry = |started: &str, messages: serde_json::Value| {
        json!({
            "startedDateTime": started,
            "request": {"url": "ws://recorded.example/chat"},
            "_webSocketMessages": messages,
        })
    };
    let start = 1_700_000_000.0;
    let text = json!({"log": {"entries": [
        entry("2023-11-14T22:13:20.000Z", json!([
            said("send", start + 1.0, "alone"), said("receive", start + 1.1, "alone"),
            said("receive", start + 3.1, "together"), said("send", start + 4.0, "back"),
            said("receive", start + 4.1, "back"),
        ])),
        entry("2023-11-14T22:13:22.000Z", json!([
            said("send", start + 3.0, "together"), said("receive", start + 3.1, "together"),
            said("receive", start + 4.1, "back"),
        ])),
    ]}});
    let file = write(dir.path(), "two.har", &text.to_string());
    for timed in [&[][..], &["--timed=20"], &["--timed", "--timed=x20"][1..]] {
        let begun = std::time::Instant::now();
        let url = server.url("");
        let args = [&["replay", &file, &url], timed].concat();
        let done = run(&args).await;
        assert_eq!(done.status.code(), Some(0), "{timed:?}: {done:?}");
        assert_eq!(done.stdout, "2 connections, 8 messages: as recorded");
        if !timed.is_empty() {
            assert!(
                begun.elapsed().as_millis() >= 200,
                "four seconds, twenty times faster"
            );
        }
    }
    // To another path, all of them.
    let done = run(&["replay", &file, &server.url("/echo"), "--wait", "300ms"]).await;
    assert_eq!(done.status.code(), Some(1), "{done:?}");
}

#[tokio::test]
async fn what_cannot_be_replayed_says_so() {
    let server = Server::start(&[("echo_wsh.rhai", ECHO)]).await;
    let dir = tempfile::tempdir().expect("a folder");
    let other = write(
        dir.path(),
        "other.har",
        &har(&[("/nowhere", &[">a", "<a"])]),
    );
    let done = run(&["replay", &other, &server.url("")]).await;
    assert_eq!(done.status.code(), Some(1), "{done:?}");
    assert!(done.stdout.contains("refused with 404"), "{done:?}");
    let empty = write(dir.path(), "empty.har", r#"{"log":{"entries":[]}}"#);
    for (args, why) in [
        (&["replay", &empty][..], "no WebSocket"),
        (&["replay", "/nothing.har"], "cannot be replayed"),
        (&["replay", "ws://localhost:1/"], "HAR file"),
        (&["replay", &other, "ws://127.0.0.1:1"], "cannot be reached"),
        (&["replay", &other, "--ignore", "time"], "a path in JSON"),
        (&["replay", &other, "--timed=soon"], "a number is wanted"),
    ] {
        let done = run(args).await;
        assert_eq!(done.status.code(), Some(2), "{args:?}: {done:?}");
        assert!(done.stderr.contains(why), "{args:?}: {done:?}");
    }
}

/// What real programs have exported, once as a test of the server, once as a server for a test.
#[tokio::test]
async fn pitfall_23_recordings_of_other_programs_are_replayed_and_answered() {
    let server = Server::start(&[("chat_wsh.rhai", CHAT)]).await;
    let mut seen = 0;
    for file in std::fs::read_dir(FIXTURES).expect("the fixtures") {
        let file = file.expect("an entry").path();
        if file.extension().is_none_or(|extension| extension != "har") {
            continue;
        }
        seen += 1;
        let path = file.to_str().expect("UTF-8");
        let local = ["--header", "Origin: http://localhost"];
        let done = run(&[&["replay", path, &server.url("")][..], &local].concat()).await;
        assert_eq!(done.status.code(), Some(0), "{path}: {done:?}");
        assert_eq!(
            done.stdout, "1 connection, 7 messages: as recorded",
            "{path}"
        );

        let dir = tempfile::tempdir().expect("a folder");
        let folder = dir.path().to_str().expect("UTF-8");
        let made = run(&["new", "chat", "--from", path, "-w", folder]).await;
        assert_eq!(made.status.code(), Some(0), "{made:?}");
        assert!(!made.stdout.contains("warning"), "{made:?}");
        let check = run(&["check", "--strict", "-w", folder]).await;
        assert_eq!(check.status.code(), Some(0), "{path}: {check:?}");
        let mock = Server::builder()
            .bare()
            .args(["-p", "0", "-w", folder])
            .start()
            .await;
        let done = run(&[&["replay", path, &mock.url("")][..], &local].concat()).await;
        assert_eq!(done.status.code(), Some(0), "{path}: {done:?}");
    }
    assert!(seen >= 2, "{seen} fixtures");
}

/// A mock finds what it is asked for in any order, and keeps every character.
#[tokio::test]
async fn a_mock_answers_as_it_was_recorded() {
    let dir = tempfile::tempdir().expect("a folder");
    let hard = "\"quoted\" \\ `${x}` \u{1b}[2J \u{2028} \0 'ü' 数 \u{1F600}\nline";
    let said = [
        "<welcome",
        ">a",
        "<a1",
        ">b",
        ">a",
        "<a2",
        &format!(">{hard}"),
        &format!("<{hard}"),
        ">#AP8H",
        "<#AAEC",
    ];
    let file = write(
        dir.path(),
        "x.har",
        &har(&[("/mine", &said), ("/other", &[">z", "<z"])]),
    );
    let folder = dir.path().to_str().expect("UTF-8");
    let made = run(&["new", "mine", "--from", &file, "-w", folder]).await;
    assert_eq!(made.status.code(), Some(0), "{made:?}");
    assert!(made.stdout.contains("1 connections"), "{made:?}");
    let text = std::fs::read_to_string(dir.path().join("mine_wsh.rhai")).expect("written");
    golden("mine_wsh.rhai", &text);
    let mock = Server::builder()
        .bare()
        .args(["-p", "0", "-w", folder])
        .start()
        .await;
    let one = write(dir.path(), "one.har", &har(&[("/mine", &said)]));
    let done = run(&["replay", &one, &mock.url("")]).await;
    assert_eq!(done.status.code(), Some(0), "{done:?}");
    let turned = [
        "<welcome",
        ">b",
        ">a",
        "<a2",
        ">a",
        "<a1",
        ">unheard of",
        ">b",
    ];
    let turned = write(dir.path(), "turned.har", &har(&[("/mine", &turned)]));
    let done = run(&["replay", &turned, &mock.url("")]).await;
    assert_eq!(done.status.code(), Some(0), "{done:?}");
    mock.log("the recording has no such message: unheard of")
        .await;
}
