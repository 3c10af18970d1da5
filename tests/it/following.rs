//! What an open connection runs after a save: `on_reload` before anything else of a new version,
//! and a loop's own version for as long as the loop lasts.

use crate::support::{ECHO, Raw, Server, Wire, answering, connect};

/// A handler that counts in `this` how often each version was told that it serves now.
fn version(name: &str) -> String {
    "fn on_open(ws) { this.seen = [\"open V\"]; }
fn on_reload(ws) { this.seen.push(\"V\"); }
fn transfer_data(ws, message) { this.seen.push(message); ws.send_json(this.seen); }
fn on_close(ws, code, reason, was_clean) { print(`end ${this.seen}`); }"
        .replace('V', name)
}

/// A server with one worker: what it is told and what connects to it come in one order.
async fn serving(name: &str, code: &str, args: &[&str]) -> Server {
    let builder = Server::builder().workers(1).file(name, code);
    builder.args(args.iter().copied()).start().await
}

/// Saves a version, and waits until it serves: the worker has its order before it has the next
/// connection.
async fn save(server: &Server, name: &str, code: &str) {
    server.replace(name, code);
    server.log(["handler reloaded", name]).await;
    assert_eq!(server.status("/nosuch").await, 404);
}

#[tokio::test]
async fn on_reload_runs_once_before_the_next_hook_of_a_new_version() {
    let server = serving("it_wsh.rhai", &version("1"), &[]).await;
    let mut client = connect(server.url("/it")).await;
    client.send_text("a").await;
    assert_eq!(client.next_text().await, r#"["open 1","a"]"#);
    save(&server, "it_wsh.rhai", &version("2")).await;
    client.send_text("b").await;
    client.send_text("c").await;
    assert_eq!(client.next_text().await, r#"["open 1","a","2","b"]"#);
    assert_eq!(client.next_text().await, r#"["open 1","a","2","b","c"]"#);
    // A newcomer begins with this version, and is told nothing.
    let mut newcomer = connect(server.url("/it")).await;
    newcomer.send_text("d").await;
    assert_eq!(newcomer.next_text().await, r#"["open 2","d"]"#);
    // What nobody was served by, nobody is told of.
    for name in ["3", "4", "5"] {
        save(&server, "it_wsh.rhai", &version(name)).await;
    }
    newcomer.send_text("e").await;
    assert_eq!(newcomer.next_text().await, r#"["open 2","d","5","e"]"#);
    // `on_close` is a hook as well.
    newcomer.close(1000, "").await;
    server.log(r#"end ["open 2", "d", "5", "e"]"#).await;
    client.close(1000, "").await;
    server
        .log(r#"end ["open 1", "a", "2", "b", "c", "5"]"#)
        .await;
}

/// Whatever the next hook is, and also where the version before had none of the hooks involved.
#[tokio::test]
async fn on_reload_comes_before_every_hook() {
    let cases = [
        ("on_ping(ws, payload)", Wire::ping("x")),
        ("on_pong(ws, payload)", Wire::pong("x")),
        ("transfer_data(ws, message)", Wire::text("x")),
        (
            "passive_closing_handshake(ws, code, reason)",
            Wire::close(1000, ""),
        ),
    ];
    for (hook, frame) in cases {
        let server = serving("it_wsh.rhai", ECHO, &[]).await;
        let mut raw = Raw::open(&server, "/it").await;
        raw.send(Wire::text("up").bytes()).await;
        raw.expect_text("up").await;
        let mut code = format!(
            "fn on_reload(ws) {{ sleep(0.01); ws.send(\"told\"); this.n = 41; }}
fn {hook} {{ ws.send(`${{this.n + 1}}`); 1000 }}\n"
        );
        if !hook.starts_with("transfer") {
            code += "fn transfer_data(ws, message) {}";
        }
        save(&server, "it_wsh.rhai", &code).await;
        raw.send(frame.bytes()).await;
        raw.expect_text("told").await;
        raw.expect_text("42").await;
    }
}

/// The commonest edit of all: a field more, which no open connection has.
#[tokio::test]
async fn a_field_that_on_open_would_have_set_is_added() {
    let server = serving("it_wsh.rhai", &answering("1"), &[]).await;
    let mut client = connect(server.url("/it")).await;
    client.until_answer("1").await;
    let code = "fn on_open(ws) { this.count = 0; }
fn on_reload(ws) { this.count = this.count ?? 0; }
fn transfer_data(ws, message) { this.count += 1; ws.send(`${this.count}`); }";
    save(&server, "it_wsh.rhai", code).await;
    client.until_answer("2").await;
    assert_eq!(server.count("script fault"), 0);
}

/// A fault in it is one of any hook; there is no next message in it.
#[tokio::test]
async fn a_fault_in_on_reload() {
    let faulty = "fn on_reload(ws) {
    try { ws.receive(); } catch (e) { ws.send(e.kind); }
    throw \"not now\";
}
fn transfer_data(ws, message) { ws.send(message); }
fn on_close(ws, code, reason, was_clean) { print(`end ${code}`); }";
    for dev in [true, false] {
        let args: &[&str] = if dev { &["--dev"] } else { &[] };
        let server = serving("it_wsh.rhai", &answering("1"), args).await;
        let mut client = connect(server.url("/it")).await;
        client.until_answer("1").await;
        save(&server, "it_wsh.rhai", faulty).await;
        client.send_text("on").await;
        assert_eq!(client.next_text().await, "receive");
        if dev {
            assert_eq!(client.next_text().await, "on");
            client.send_text("and on").await;
            assert_eq!(client.next_text().await, "and on");
            client.close(1000, "").await;
            server.log("end 1000").await;
        } else {
            assert_eq!(client.next_close().await.0, 1011);
            client.expect_end().await;
            server.log("end 1011").await;
        }
        server.log("script fault").await;
    }
}

const LOOP: &str = "fn transfer_data(ws) {
    ws.send(\"VERSION: name?\");
    let name = ws.receive();
    let message = ws.receive();
    while message != () && message != \"end\" {
        ws.send(`VERSION: ${name} says ${message}`);
        message = ws.receive();
    }
}
fn on_reload(ws) { ws.send(\"VERSION: on_reload\"); }
fn on_ping(ws, payload) { ws.send(\"VERSION: ping\"); }
fn on_close(ws, code, reason, was_clean) { print(`VERSION: closed ${code}`); }";

/// The connection stays on the version of its loop, with all its hooks, and the log says so.
#[tokio::test]
async fn a_loop_goes_on_in_the_version_it_began_in() {
    let code = |version: &str| LOOP.replace("VERSION", version);
    let server = Server::builder()
        .workers(2)
        .file("chat_wsh.rhai", code("1"))
        .start()
        .await;
    let mut raw = Raw::open(&server, "/chat").await;
    raw.expect_text("1: name?").await;
    raw.send(Wire::text("Ada").bytes()).await;
    raw.send(Wire::text("one").bytes()).await;
    raw.expect_text("1: Ada says one").await;
    let mut waits = connect(server.url("/chat")).await;
    assert_eq!(waits.next_text().await, "1: name?");

    save(&server, "chat_wsh.rhai", &code("2")).await;
    server
        .log([
            "chat_wsh.rhai",
            "2 connections are in a loop of version",
            "stay on it until it ends",
        ])
        .await;
    raw.send(Wire::text("two").bytes()).await;
    raw.expect_text("1: Ada says two").await;
    raw.send(Wire::ping("").bytes()).await;
    raw.expect_text("1: ping").await;
    waits.send_text("Bob").await;
    waits.send_text("hi").await;
    assert_eq!(waits.next_text().await, "1: Bob says hi");
    let mut newcomer = connect(server.url("/chat")).await;
    assert_eq!(newcomer.next_text().await, "2: name?");

    // Nor does a version without a loop take it over.
    save(&server, "chat_wsh.rhai", &answering("3")).await;
    server.log(["2 connections are in a loop of version"]).await;
    server.log(["1 connection is in a loop of version"]).await;
    raw.send(Wire::text("three").bytes()).await;
    raw.expect_text("1: Ada says three").await;
    raw.send(Wire::text("end").bytes()).await;
    raw.expect_close(1000).await;
    raw.send(Wire::close(1000, "").bytes()).await;
    raw.expect_eof().await;
    server.log("1: closed 1000").await;
    waits.close(1001, "").await;
    server.log("1: closed 1001").await;
    newcomer.close(1001, "").await;
    server.log("2: closed 1001").await;

    // All of them are over, so there is nothing to be said.
    let said = server.count("in a loop of version");
    save(&server, "chat_wsh.rhai", &code("4")).await;
    save(&server, "chat_wsh.rhai", &code("5")).await;
    assert_eq!(server.count("in a loop of version"), said);
}

/// Whoever looks at the routes sees it, too.
#[tokio::test]
async fn routes_mark_loops() {
    let files = [("chat_wsh.rhai", LOOP), ("echo_wsh.rhai", ECHO)];
    let finished = Server::builder()
        .bare()
        .files(&files)
        .arg("routes")
        .run()
        .await;
    let lines: Vec<_> = finished.stdout.lines().collect();
    let line = |name: &str| lines.iter().find(|line| line.contains(name)).copied();
    let of_loop = line("chat_wsh.rhai").expect("a line");
    assert!(
        of_loop.ends_with("(a loop: keeps its version)"),
        "{of_loop}"
    );
    assert!(!line("echo_wsh.rhai").expect("a line").contains("version"));
}

/// A conversation of single messages becomes a loop at its next message, which is the first that
/// the loop receives: no message is lost.
#[tokio::test]
async fn a_version_that_brings_a_loop_is_given_the_next_message() {
    let server = serving("chat_wsh.rhai", &answering("1"), &[]).await;
    let mut client = connect(server.url("/chat")).await;
    client.until_answer("1").await;
    save(&server, "chat_wsh.rhai", &LOOP.replace("VERSION", "2")).await;
    client.send_text("Ada").await;
    client.send_text("hi").await;
    assert_eq!(client.next_text().await, "2: on_reload");
    assert_eq!(client.next_text().await, "2: name?");
    assert_eq!(client.next_text().await, "2: Ada says hi");
}

/// On a developer's seat a loop that failed begins anew in the newest version, which is told so.
#[tokio::test]
async fn a_loop_that_failed_is_followed_by_the_newest_version() {
    let code = |version: &str| LOOP.replace("VERSION", version);
    let faulty = code("1").replace("ws.send(`", "let list = [1]; list[7]; ws.send(`");
    let server = serving("chat_wsh.rhai", &faulty, &["--dev"]).await;
    let mut client = connect(server.url("/chat")).await;
    assert_eq!(client.next_text().await, "1: name?");
    client.send_text("Ada").await;
    save(&server, "chat_wsh.rhai", &code("2")).await;
    client.send_text("hi").await;
    for text in ["2: on_reload", "2: name?"] {
        assert_eq!(client.next_text().await, text);
    }
    client.send_text("Bob").await;
    client.send_text("hi").await;
    assert_eq!(client.next_text().await, "2: Bob says hi");
}
