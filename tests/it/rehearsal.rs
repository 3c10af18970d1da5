//! `--replay`: what a version that is saved answers otherwise than recorded is said before it
//! serves, and with `--replay-strict` keeps it from serving.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::console::call;
use crate::replay::har;
use crate::support::{Client, ECHO, Server, answering, connect, within};

/// Recordings in a folder, each a path and what was said there.
fn recordings(all: &[(&str, &str, &[&str])]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    for (name, path, said) in all {
        std::fs::write(dir.path().join(name), har(&[(path, said)])).expect("written");
    }
    dir
}

async fn server(files: &[(&str, &str)], folder: &Path, args: &[&str]) -> Server {
    let folder = folder.to_str().expect("UTF-8");
    let builder = Server::builder().files(files);
    let args = args.iter().copied();
    builder.args(["--replay", folder]).args(args).start().await
}

async fn answer(client: &mut Client, text: &str) -> String {
    client.send_text(text).await;
    client.next_text().await
}

#[tokio::test]
async fn a_version_that_answers_otherwise_is_shown_and_serves() {
    let dir = recordings(&[
        ("echo.har", "/it?a=1", &[">a", "<a", ">b", "<b"]),
        ("other.har", "/other", &[">a", "<never"]),
    ]);
    let files = [("it_wsh.rhai", ECHO), ("other_wsh.rhai", ECHO)];
    let server = server(&files, dir.path(), &["--dev"]).await;
    let mut client = connect(server.url("/it")).await;
    assert_eq!(answer(&mut client, "x").await, "x");

    server.write("it_wsh.rhai", format!("// As it was.\n{ECHO}"));
    let said = server.log("answers as recorded").await;
    for part in ["it_wsh.rhai", "version=2", "connections=1", "messages=4"] {
        assert!(said.contains(part), "{said}");
    }

    let code = "fn transfer_data(ws, message) {\n    ws.send(message + \"!\");\n}\n";
    server.write("it_wsh.rhai", code);
    for line in [
        "it_wsh.rhai, version 3, answers otherwise than recorded",
        "echo.har, message 2 differs",
        "- a",
        "+ a!",
        "echo.har, message 4 differs",
        "1 connection, 4 messages: 2 differences",
    ] {
        server.log(line).await;
    }
    client.until_answer("?!").await;

    // What a hook failed for is the cause; nobody else hears of it.
    let code = "fn transfer_data(ws, message) {\n    if message == \"a\" { throw \"not a\"; }\n    ws.send(message);\n}\n";
    server.write("it_wsh.rhai", code);
    server
        .log("echo.har, message 2 is missing: nothing came within 5s")
        .await;
    server.log("not a").await;
    server.log("handler reloaded").await;
    assert_eq!(server.count("script fault"), 0);
    let faults = call(&server, "GET", "faults").await.1.to_string();
    assert!(!faults.contains("not a"), "{faults}");
    let saves = call(&server, "GET", "saves").await.1.to_string();
    assert!(saves.contains("message 4 differs"), "{saves}");
    assert_eq!(server.count("never"), 0, "other.har is of another handler");
}

#[tokio::test]
async fn a_strict_folder_keeps_the_version_that_serves() {
    let dir = recordings(&[("it.har", "/it", &[">a", "<1", ">a", "<1"])]);
    let files = [("it_wsh.rhai", &*answering("1")), ("free_wsh.rhai", ECHO)];
    let server = server(&files, dir.path(), &["--replay-strict"]).await;
    let mut client = connect(server.url("/it")).await;
    server.write("it_wsh.rhai", answering("2"));
    server.log("handler broken").await;
    server
        .log("2 differences; --replay-strict keeps it back")
        .await;
    assert_eq!(answer(&mut client, "?").await, "1");

    // Those without recordings are saved as ever.
    let mut free = connect(server.url("/free")).await;
    server.write("free_wsh.rhai", answering("new"));
    free.until_answer("new").await;

    // A module's new version is one of all that import it.
    let module = "import \"lib\" as lib;\nfn transfer_data(ws, message) { ws.send(lib::it()); }\n";
    server.write("lib.rhai", "fn it() { \"1\" }\n");
    server.write("it_wsh.rhai", module);
    server.log("answers as recorded").await;
    server.write("lib.rhai", "fn it() { \"3\" }\n");
    server
        .log("2 differences; --replay-strict keeps it back")
        .await;
    assert_eq!(answer(&mut client, "?").await, "1");
    server.write("lib.rhai", "// Better.\nfn it() { \"1\" }\n");
    server.log("answers as recorded").await;
    assert_eq!(answer(&mut client, "?").await, "1");
}

/// Connections that were open at one time spoke to each other, and the time that passed between
/// their messages passes again at once.
#[tokio::test]
async fn people_and_times_are_played_together() {
    let chat = "fn on_open(ws) {\n    ws.subscribe(\"all\");\n    ws.every(600, \"beat\");\n}\n\
        fn on_timer(ws, name) { ws.send(name); }\n\
        fn transfer_data(ws, message) {\n    publish(\"all\", message);\n}\n";
    let said = |by: &str, time: f64, data: &str| json!({"type": by, "time": time, "opcode": 1, "data": data});
    let start = 1_700_000_000.0;
    let dir = tempfile::tempdir().expect("a folder");
    for (name, second, messages) in [
        (
            "ada.har",
            "20",
            json!([
                said("receive", start + 3.0, "hello"),
                said("receive", start + 600.0, "beat"),
                said("send", start + 900.0, "bye"),
                said("receive", start + 900.1, "bye"),
            ]),
        ),
        (
            "bob.har",
            "22",
            json!([
                said("send", start + 3.0, "hello"),
                said("receive", start + 3.1, "hello"),
                said("receive", start + 602.0, "beat"),
                said("receive", start + 900.2, "bye"),
            ]),
        ),
    ] {
        let har = json!({"log": {"entries": [{
            "startedDateTime": format!("2023-11-14T22:13:{second}.000Z"),
            "request": {"url": "ws://recorded.example/chat", "headers": [
                {"name": "Origin", "value": "https://elsewhere.example"},
            ]},
            "_webSocketMessages": messages,
        }]}});
        std::fs::write(dir.path().join(name), har.to_string()).expect("written");
    }
    let server = server(&[("chat_wsh.rhai", chat)], dir.path(), &[]).await;
    let begun = Instant::now();
    server.write("chat_wsh.rhai", format!("// Anew.\n{chat}"));
    let said = server.log("answers as recorded").await;
    assert!(said.contains("connections=2"), "{said}");
    assert!(
        begun.elapsed() < Duration::from_secs(60),
        "a quarter of an hour"
    );
    server.write("chat_wsh.rhai", chat.replace("600", "700"));
    server.log("ada.har, message 2 is missing").await;
}

#[tokio::test]
async fn nobody_waits_for_long() {
    let dir = recordings(&[("it.har", "/it", &[">a", "<1"])]);
    std::fs::write(dir.path().join("no.har"), "{").expect("written");
    let files = [("it_wsh.rhai", &*answering("1")), ("free_wsh.rhai", ECHO)];
    let args = ["--replay-strict", "--replay-timeout", "300ms"];
    let server = server(&files, dir.path(), &args).await;
    let mut client = connect(server.url("/it")).await;
    server.write(
        "it_wsh.rhai",
        "fn transfer_data(ws, message) { loop { sleep(0); } }\n",
    );
    server.log(["no.har", "not played"]).await;
    server
        .log("it.har: it had not ended when the time for all of them was up")
        .await;
    server.log("handler broken").await;
    assert_eq!(answer(&mut client, "?").await, "1");
    let mut free = connect(server.url("/free")).await;
    server.write("free_wsh.rhai", answering("new"));
    free.until_answer("new").await;
}

/// One that is not there ends the start, unless it is the one that is recorded to.
#[tokio::test]
async fn a_missing_folder_is_said() {
    let dir = tempfile::tempdir().expect("a folder");
    let missing = dir.path().join("missing");
    let missing = missing.to_str().expect("UTF-8");
    let builder = Server::builder().file("it_wsh.rhai", ECHO);
    let done = builder.args(["--replay", missing]).run().await;
    assert!(!done.status.success());
    assert!(done.stderr.contains("--replay"), "{done:?}");
    let builder = Server::builder().file("it_wsh.rhai", ECHO);
    let args = ["--record", missing, "--replay", missing];
    let server = builder.args(args).start().await;
    connect(server.url("/it")).await.echoes(1).await;
    let written = async {
        loop {
            let files = std::fs::read_dir(missing).expect("it is made");
            let mut texts =
                files.filter_map(|file| std::fs::read_to_string(file.ok()?.path()).ok());
            if texts.any(|text| text.contains("\"receive\"")) {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    within("the recording", written).await;
    server.write("it_wsh.rhai", answering("other"));
    server.log("message 2 differs").await;
}

#[tokio::test]
async fn what_may_differ_is_named() {
    let dir = recordings(&[("it.har", "/it", &[">a", r#"<{"at":1,"said":"a"}"#])]);
    let code = "fn transfer_data(ws, message) { ws.send_json(#{at: now(), said: message}); }\n";
    let server = server(
        &[("it_wsh.rhai", code)],
        dir.path(),
        &["--replay-ignore", "$.at"],
    )
    .await;
    server.write("it_wsh.rhai", format!("// Anew.\n{code}"));
    server.log("answers as recorded").await;
    server.write("it_wsh.rhai", code.replace("said: message", "said: 1"));
    server.log("it.har, message 2 differs").await;
}
