//! Independent clients: Python's websockets, Node's ws, Chromium, and tokio-tungstenite, each with
//! everything that it can do. `tests/peers/install` brings the first two; a missing one fails its
//! test, lest it looks like one that passed.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use crate::support::browser::Page;
use crate::support::{Server, connect};

/// An echo that closes, sends fragments and pings when it is told to.
const PEER: &str = r#"
fn do_extra_handshake(request) {
    if request.requested_protocols.contains("chat") { request.protocol = "chat"; }
}
fn transfer_data(ws, message) {
    switch message {
        "close 4001" => ws.close(4001, "as asked"),
        "fragments" => {
            ws.send_fragment("ser", false);
            ws.send_fragment("ver", false);
            ws.send_fragment("s", true);
        }
        "ping" => ws.ping("from you"),
        _ => ws.send(message),
    }
}
fn on_pong(ws, payload) { ws.send("pong " + payload.as_string()); }
"#;

/// All cases of one client, its own start included.
const ALL: Duration = Duration::from_secs(120);

async fn serve() -> Server {
    let page = include_str!("../peers/page.html");
    Server::builder()
        .files(&[("peer_wsh.rhai", PEER), ("www/page.html", page)])
        .args(["-d", "www"])
        .start()
        .await
}

/// A file of `target/peers`.
fn installed(path: &str) -> PathBuf {
    let target = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let path = target.with_file_name("peers").join(path);
    assert!(
        path.exists(),
        "{} is missing: run tests/peers/install",
        path.display()
    );
    path
}

/// Runs a client to its end, which must be good, with at least this many cases before it.
async fn run(mut client: Command, script: &str, cases: usize) {
    let server = serve().await;
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/peers")
        .join(script);
    client
        .arg(script)
        .arg(server.url("/peer"))
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = tokio::time::timeout(ALL, client.output()).await;
    let output = output.expect("the client ends").expect("the client starts");
    let said = String::from_utf8_lossy(&output.stdout);
    let failed = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{said}{failed}\n{}",
        server.logged()
    );
    let count = said.lines().filter(|line| line.starts_with("ok ")).count();
    assert!(count >= cases, "{count} cases:\n{said}{failed}");
}

#[tokio::test]
async fn websockets_of_python() {
    run(Command::new(installed("venv/bin/python")), "client.py", 10).await;
}

#[tokio::test]
async fn ws_of_node() {
    let mut node = Command::new("node");
    node.env("NODE_PATH", installed("node_modules"));
    run(node, "client.js", 14).await;
}

#[tokio::test]
async fn chromium() {
    let server = serve().await;
    let mut page = Page::open(&format!("http://127.0.0.1:{}/page.html", server.port())).await;
    let done = page.value("run()").await;
    assert_eq!(done.as_array().map(Vec::len), Some(9), "{done}");
}

#[tokio::test]
async fn tungstenite() {
    let server = serve().await;
    let mut client = connect(server.url("/peer")).await;
    for text in ["text", "", "\u{6570}\u{636e}"] {
        client.send_text(text).await;
        assert_eq!(client.next_text().await, text);
    }
    for size in [0, 1, 70_000, 16 * 1024 * 1024] {
        client.send_binary(vec![7; size]).await;
        assert!(client.next_binary().await == vec![7; size], "{size} bytes");
    }
    client.send_text("fragments").await;
    assert_eq!(client.next_text().await, "servers");
    client.send_text("ping").await;
    assert_eq!(client.next_text().await, "pong from you");
    assert_eq!(client.close(4002, "enough").await.0, 4002);
    let mut client = connect(server.url("/peer")).await;
    client.send_text("close 4001").await;
    assert_eq!(client.next_close().await, (4001, "as asked".to_owned()));
}
