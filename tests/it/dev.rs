//! `--dev`: a fault at run time is reported and costs the message that met it, not the connection.

use crate::support::{Builder, Client, Raw, Server, Wire, connect};

fn dev(code: &str) -> Builder {
    Server::builder().file("bad_wsh.rhai", code).arg("--dev")
}

/// Each hook meets a fault when the client asks for one, and the next message is answered with what
/// `this` holds.
#[tokio::test]
async fn a_fault_in_any_hook_leaves_the_connection_as_it_is() {
    let hooks = [
        ("on_open(ws)", Wire::pong("")),
        ("on_timer(ws, name)", Wire::text("timer")),
        ("on_ping(ws, payload)", Wire::ping("x")),
        ("on_pong(ws, payload)", Wire::pong("x")),
        ("transfer_data(ws, message)", Wire::text("fault")),
    ];
    for (hook, frame) in hooks {
        let fault = "this.faults = (this.faults ?? 0) + 1; let list = [1]; list[7];";
        let mut code = "fn transfer_data(ws, message) {
    if message == \"timer\" { ws.after(0, \"t\"); return; }
    if message == \"fault\" { FAULT }
    ws.send(`${this.faults} fault, and ${message}`);
}"
        .replace("FAULT", fault);
        if !hook.starts_with("transfer") {
            code += &format!("\nfn {hook} {{ {fault} }}");
        }
        let server = dev(&code).start().await;
        let mut raw = Raw::open(&server, "/bad").await;
        raw.send(frame.bytes()).await;
        server.log("script fault").await;
        raw.send(Wire::text("a message").bytes()).await;
        raw.expect_text("1 fault, and a message").await;
        raw.send(Wire::close(1000, "").bytes()).await;
        raw.expect_close(1000).await;
        raw.expect_eof().await;
        assert_eq!(server.count("script fault"), 1, "{hook}");
    }
}

const THROWS: &str = "let list = [1]; list[7];";

/// Whoever waits in `receive` in the hook that fails, and whoever comes next, is handled all the
/// same.
#[tokio::test]
async fn what_waits_behind_a_fault_is_answered() {
    let code = format!(
        "fn transfer_data(ws, message) {{
    if message == \"first\" {{ ws.receive(); {THROWS} }}
    ws.send(message);
}}"
    );
    let server = dev(&code).start().await;
    let mut client = connect(server.url("/bad")).await;
    for text in ["first", "second", "third"] {
        client.send_text(text).await;
    }
    assert_eq!(client.next_text().await, "third");
}

#[tokio::test]
async fn a_budget_that_is_spent_ends_the_hook_alone() {
    let code =
        "fn transfer_data(ws, message) { if message == \"spin\" { loop {} } ws.send(message); }";
    let server = dev(code).start().await;
    let mut client = connect(server.url("/bad")).await;
    client.send_text("spin").await;
    client.send_text("on").await;
    assert_eq!(client.next_text().await, "on");
    server.log("script fault").await;
}

/// A loop has no message that could be dropped: it begins anew, so that no answer is taken for one
/// to another question.
#[tokio::test]
async fn a_loop_that_fails_begins_anew() {
    let code = format!(
        "fn transfer_data(ws) {{
    ws.send(\"name?\");
    let name = ws.receive();
    loop {{
        let message = ws.receive();
        if message == () {{ break; }}
        if message == \"fault\" {{ {THROWS} }}
        ws.send(`${{name}}: ${{message}}`);
    }}
}}"
    );
    let server = dev(&code).start().await;
    let mut client = connect(server.url("/bad")).await;
    for name in ["Ada", "Bob"] {
        assert_eq!(client.next_text().await, "name?");
        client.send_text(name).await;
        client.send_text("hi").await;
        assert_eq!(client.next_text().await, format!("{name}: hi"));
        client.send_text("fault").await;
    }
    assert_eq!(client.next_text().await, "name?");
    assert_eq!(client.close(1000, "").await.0, 1000);
}

/// Where the connection is closed all the same, the Close names the fault and its place.
#[tokio::test]
async fn a_close_names_the_place() {
    let loops = format!("fn transfer_data(ws) {{\n    {THROWS}\n}}");
    let closes = format!(
        "fn passive_closing_handshake(ws, code, reason) {{\n    {THROWS}\n}}
fn transfer_data(ws, message) {{}}"
    );
    for code in [&loops, &closes] {
        let server = dev(code).start().await;
        let mut client = connect(server.url("/bad")).await;
        let (code, reason) = client.close(1000, "").await;
        assert_eq!(code, 1011);
        assert!(reason.starts_with("bad_wsh.rhai:2:"), "{reason}");
        assert!(reason.contains("index"), "{reason}");
    }
}

#[tokio::test]
async fn a_long_or_foreign_reason_is_cut_between_characters() {
    for text in ["数", "x", "\\n", "\u{1f600}"] {
        let text = text.repeat(200);
        let code = format!("fn transfer_data(ws) {{ throw \"{text}\"; }}");
        let server = dev(&code).start().await;
        let mut client = connect(server.url("/bad")).await;
        let (code, reason) = client.next_close().await;
        assert_eq!(code, 1011);
        assert!((118..=123).contains(&reason.len()), "{}", reason.len());
        assert!(!reason.contains(char::is_control), "{reason}");
    }
}

/// What the handler knew of the connection is lost with its `this`, so that nothing goes on.
#[tokio::test]
async fn a_state_that_outgrows_its_bounds_closes() {
    let code = "fn transfer_data(ws, message) {
    this.list = this.list ?? [];
    for n in 0..100 { this.list.push(blob(1000000)); ws.send(`${n}`); sleep(0.0); }
}";
    let server = dev(code).start().await;
    let mut client = connect(server.url("/bad")).await;
    client.send_text("grow").await;
    // Its own memory is bounded, too: that bound ends the hook and not the connection, until `this`
    // is over its own.
    let reason = end_of(&mut client).await;
    assert!(reason.starts_with("bad_wsh.rhai:"), "{reason}");
}

/// Reads over messages, and asks for more, up to the Close.
async fn end_of(client: &mut Client) -> String {
    loop {
        let message = client.next().await;
        if let tokio_tungstenite::tungstenite::Message::Close(close) = message {
            let close = close.expect("a code");
            assert_eq!(u16::from(close.code), 1011);
            return close.reason.to_string();
        }
    }
}

#[tokio::test]
async fn a_handshake_that_fails_says_where() {
    let code = format!(
        "fn do_extra_handshake(request) {{\n    {THROWS}\n}}\nfn transfer_data(ws, message) {{}}"
    );
    for (args, starts) in [
        (&["--dev"][..], "bad_wsh.rhai:2:"),
        (&[], "the handler failed; the server's log says where\n"),
    ] {
        let server = Server::builder()
            .file("bad_wsh.rhai", &code)
            .args(args.iter().copied())
            .start()
            .await;
        let mut raw = Raw::connect(&server).await;
        let head = raw.handshake("/bad", &[]).await;
        assert_eq!(head.status, 500);
        let body = String::from_utf8(raw.until_eof().await).expect("text");
        assert!(body.starts_with(starts), "{body}");
        assert_eq!(body.matches('\n').count(), 1, "{body}");
    }
}

/// Everywhere else: a sentence, and nothing of the server's insides.
#[tokio::test]
async fn without_it_the_close_has_a_sentence_and_no_place() {
    let hooks = [
        "on_open(ws)",
        "transfer_data(ws)",
        "transfer_data(ws, message)",
    ];
    for hook in hooks {
        let mut code = format!("fn {hook} {{\n    {THROWS}\n}}\n");
        if !hook.starts_with("transfer") {
            code += "fn transfer_data(ws, message) {}";
        }
        let server = Server::start(&[("bad_wsh.rhai", &code)]).await;
        let mut raw = Raw::open(&server, "/bad").await;
        raw.send(Wire::text("x").bytes()).await;
        let reason = raw.expect_close(1011).await;
        assert_eq!(reason, "the handler failed; the server's log says where");
    }
}
