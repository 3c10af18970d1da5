//! The access log, and what `--log-level trace` shows of heads and frames.

use crate::support::{Builder, ECHO, Raw, Request, Server, Wire};

const SPEAKS: &str = r#"
fn do_extra_handshake(request) {
    if request.requested_protocols.len > 0 { request.protocol = request.requested_protocols[0]; }
    request.add_header("Set-Cookie", "sid=SECRET");
}
fn transfer_data(ws, message) {
    ws.send(message);
    ws.send(message);
}
"#;
const CLOSES: &str = "fn transfer_data(ws, message) { ws.close(4001, \"enough\"); }";
const ABORTS: &str = "fn transfer_data(ws, message) { ws.abort(); }";

fn builder() -> Builder {
    Server::builder().workers(1).files(&[
        ("echo_wsh.rhai", ECHO),
        ("speaks_wsh.rhai", SPEAKS),
        ("closes_wsh.rhai", CLOSES),
        ("aborts_wsh.rhai", ABORTS),
    ])
}

/// The value of a field in a line, without quotes.
fn field<'l>(line: &'l str, name: &str) -> &'l str {
    let start = format!(" {name}=");
    let (_, rest) = line
        .split_once(&start)
        .unwrap_or_else(|| panic!("{name}: {line}"));
    match rest.strip_prefix('"') {
        Some(text) => text.split('"').next().expect("its end"),
        None => rest.split(' ').next().expect("its end").trim_end(),
    }
}

#[tokio::test]
async fn a_connection_has_a_line_at_each_end() {
    let server = builder().arg("--access-log").start().await;
    let mut raw = Raw::connect(&server).await;
    let request =
        Request::upgrade("/speaks?token=QUERY").with("Sec-WebSocket-Protocol", "chat, other");
    raw.send(request.bytes()).await;
    raw.head().await.expect_upgrade();
    let opened = server
        .log(["wsh_server::access", "opened", "/speaks"])
        .await;
    let client = format!("127.0.0.1:{}", raw.port());
    for (name, value) in [
        ("path", "/speaks"),
        ("client", &client),
        ("handler", "speaks_wsh.rhai"),
        ("version", "1"),
        ("protocol", "chat"),
    ] {
        assert_eq!(field(&opened, name), value, "{opened}");
    }
    assert!(opened.contains(" INFO "), "{opened}");
    for text in ["one", "four"] {
        raw.send(Wire::text(text).bytes()).await;
        raw.expect_text(text).await;
        raw.expect_text(text).await;
    }
    raw.send(Wire::ping("?").bytes()).await;
    raw.expect_frame(10, "?").await;
    raw.send(Wire::close(4000, "bye\nforged").bytes()).await;
    raw.expect_close(4000).await;
    let closed = server
        .log(["wsh_server::access", "closed", "/speaks"])
        .await;
    for (name, value) in [
        ("path", "/speaks"),
        ("client", &client),
        ("connection", field(&opened, "connection")),
        ("code", "4000"),
        ("by", "client"),
        ("messages_in", "2"),
        ("messages_out", "4"),
        // Headers of 6 bytes, a Ping of 7 and a Close with its code and reason.
        ("bytes_in", &(6 * 2 + 7 + 7 + (6 + 2 + 10)).to_string()),
        // Headers of 2 bytes, a Pong of 3 and a Close with its code. The answer to the handshake is
        // not counted.
        ("bytes_out", &(2 * 4 + 14 + 3 + 4).to_string()),
    ] {
        assert_eq!(field(&closed, name), value, "{name}: {closed}");
    }
    assert!(closed.contains("bye\\\\nforged"), "{closed}");
    let seconds: f64 = field(&closed, "seconds").parse().expect("a number");
    assert!((0.0..600.0).contains(&seconds), "{closed}");
    assert_eq!(server.count("QUERY"), 0, "{}", server.logged());
    assert_eq!(server.count("wsh_server::access"), 2);
}

#[tokio::test]
async fn a_line_says_who_ended_it() {
    let mut server = builder().arg("--access-log").start().await;
    let mut raw = Raw::open(&server, "/closes").await;
    raw.send(Wire::text("").bytes()).await;
    raw.expect_close(4001).await;
    raw.send(Wire::close(4001, "").bytes()).await;
    let line = server.log(["access: closed", "/closes"]).await;
    assert_eq!(
        (field(&line, "code"), field(&line, "by")),
        ("4001", "server")
    );

    let mut raw = Raw::open(&server, "/aborts").await;
    raw.send(Wire::text("").bytes()).await;
    let line = server.log(["access: closed", "/aborts"]).await;
    assert_eq!(
        (field(&line, "code"), field(&line, "by")),
        ("1006", "server")
    );

    // A client that does not mask, and one that is gone.
    let mut raw = Raw::open(&server, "/echo").await;
    raw.send(b"\x81\x01a").await;
    raw.expect_close(1002).await;
    let line = server.log(["access: closed", "/echo", "code=1002"]).await;
    assert_eq!(field(&line, "by"), "server");
    assert_eq!(field(&line, "messages_in"), "0");
    let raw = Raw::open(&server, "/echo").await;
    raw.reset();
    let line = server.log(["access: closed", "/echo", "code=1006"]).await;
    assert_eq!(field(&line, "by"), "nobody");

    let mut raw = Raw::open(&server, "/speaks").await;
    server.log(["access: opened", "/speaks"]).await;
    server.signal("TERM");
    raw.expect_close(1001).await;
    raw.send(Wire::close(1001, "").bytes()).await;
    assert!(server.exited().await.success());
    let line = server.log(["access: closed", "/speaks"]).await;
    assert_eq!(
        (field(&line, "code"), field(&line, "by")),
        ("1001", "server")
    );
    assert_eq!(
        server.count(["access: opened"]),
        server.count(["access: closed"])
    );
}

#[tokio::test]
async fn what_is_compressed_counts_as_it_went() {
    let server = builder().arg("--access-log").start().await;
    let mut raw = Raw::connect(&server).await;
    let request = Request::upgrade("/echo").with("Sec-WebSocket-Extensions", "permessage-deflate");
    raw.send(request.bytes()).await;
    raw.head().await.expect_upgrade();
    let text = "a".repeat(100_000);
    raw.send(Wire::text(&text).bytes()).await;
    let frame = raw.frame().await;
    raw.send(Wire::close(1000, "").bytes()).await;
    raw.expect_close(1000).await;
    let line = server.log("access: closed").await;
    assert_eq!(field(&line, "messages_out"), "1");
    let bytes: usize = field(&line, "bytes_out").parse().expect("a number");
    assert_eq!(bytes, frame.payload.len() + 2 + 4, "{line}");
    let bytes: usize = field(&line, "bytes_in").parse().expect("a number");
    assert!(bytes > text.len(), "{line}");
}

#[tokio::test]
async fn requests_have_a_line_each() {
    let builder = builder().file("page.html", "<p>hello");
    let root = builder.dir();
    let builder = builder.args(["--access-log", "-d"]).arg(root);
    let server = builder.start().await;
    for (method, status, bytes) in [("GET", "200", "8"), ("HEAD", "200", "0")] {
        let mut raw = Raw::connect(&server).await;
        raw.send(format!(
            "{method} /page.html?token=QUERY HTTP/1.1\r\nHost: localhost\r\nConnection: \
            close\r\n\r\n"
        ))
        .await;
        raw.until_eof().await;
        let line = server.log(["wsh_server::access", "answered", method]).await;
        for (name, value) in [
            ("method", method),
            ("path", "/page.html"),
            ("status", status),
            ("bytes", bytes),
        ] {
            assert_eq!(field(&line, name), value, "{line}");
        }
    }
    assert_eq!(server.count("QUERY"), 0, "{}", server.logged());
}

/// How often the log has a line of an open and a close, by these settings.
async fn opens(builder: Builder) -> usize {
    let mut server = builder.start().await;
    let mut raw = Raw::open(&server, "/echo").await;
    raw.send(Wire::close(1000, "").bytes()).await;
    raw.expect_close(1000).await;
    raw.expect_eof().await;
    assert!(server.stop().await.success());
    let lines = server.count("wsh_server::access");
    assert_eq!(
        lines,
        2 * server.count("opened connection"),
        "{}",
        server.logged()
    );
    lines / 2
}

#[tokio::test]
async fn it_is_on_where_somebody_looks_on_and_where_it_is_asked_for() {
    for (args, wanted) in [
        (&[][..], 0),
        (&["--dev"], 1),
        (&["--access-log"], 1),
        (&["--access-log", "true"], 1),
        (&["--dev", "--access-log", "false"], 0),
        (&["--dev", "--log-level", "access=off"], 0),
        (&["--dev", "--log-level", "warn"], 0),
        (&["--dev", "--log-level", "warn,access=info"], 1),
    ] {
        assert_eq!(opens(builder().args(args)).await, wanted, "{args:?}");
    }
    assert_eq!(opens(builder().env("WSH_ACCESS_LOG", "1")).await, 1);
    let setting = builder().file("wsh.toml", "access-log = true\n");
    let path = setting.dir().join("wsh.toml");
    assert_eq!(opens(setting.arg("--config").arg(path)).await, 1);
}

#[tokio::test]
async fn a_terminal_gets_short_lines() {
    let builder = builder()
        .env("CLICOLOR_FORCE", "1")
        .env("NO_COLOR", "1")
        .arg("--dev");
    let server = builder.start().await;
    let mut raw = Raw::connect(&server).await;
    let request = Request::upgrade("/speaks").with("Sec-WebSocket-Protocol", "chat");
    raw.send(request.bytes()).await;
    raw.head().await.expect_upgrade();
    let opened = server.log("#1 /speaks opened: 127.0.0.1:").await;
    assert!(
        opened.trim_end().ends_with(", speaks_wsh.rhai v1, chat"),
        "{opened}"
    );
    raw.send(Wire::text("one").bytes()).await;
    raw.expect_text("one").await;
    raw.expect_text("one").await;
    raw.send(Wire::close(1000, "").bytes()).await;
    raw.expect_close(1000).await;
    let closed = server.log("#1 /speaks closed 1000 by client, ").await;
    assert!(closed.contains(", in 1 (17 B) out 2 (14 B)"), "{closed}");
    for line in [opened, closed] {
        assert!(
            line.trim_end().len() <= 80,
            "{} columns: {line}",
            line.len()
        );
    }
}

#[tokio::test]
async fn trace_shows_heads_without_their_secrets() {
    let server = builder()
        .args([
            "--log-level",
            "trace",
            "--basic-auth-credential",
            "ada:countess",
        ])
        .start()
        .await;
    let mut raw = Raw::connect(&server).await;
    let request = Request::upgrade("/speaks?token=SECRET")
        .with("Sec-WebSocket-Protocol", "chat")
        .with("Authorization", "Basic YWRhOmNvdW50ZXNz")
        .with("Proxy-Authorization", "SECRET")
        .with("Cookie", "sid=SECRET")
        .with("Referer", "http://localhost/?SECRET");
    raw.send(request.bytes()).await;
    let head = raw.head().await;
    head.expect_upgrade();
    let accept = head.header("Sec-WebSocket-Accept").expect("an answer");
    for line in [
        "in: GET /speaks?*** HTTP/1.1",
        "in: Upgrade: websocket",
        "in: Sec-WebSocket-Version: 13",
        "in: Authorization: ***",
        "in: Proxy-Authorization: ***",
        "in: Cookie: ***",
        "in: Referer: http://localhost/?***",
        "out: HTTP/1.1 101 Switching Protocols",
        "out: Sec-WebSocket-Protocol: chat",
        "out: Set-Cookie: ***",
        &format!("out: Sec-WebSocket-Accept: {accept}"),
    ] {
        let line = server.log(["TRACE wsh_server::http: ", line]).await;
        assert_eq!(field(&line, "connection"), "1", "{line}");
    }
    // A refusal, and a response that is none.
    let mut raw = Raw::connect(&server).await;
    raw.send(Request::upgrade("/speaks").bytes()).await;
    raw.expect_refusal(401).await;
    server.log("out: HTTP/1.1 401 Unauthorized").await;
    server.log("out: WWW-Authenticate: ***").await;
    let mut raw = Raw::connect(&server).await;
    let asks = "OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\
        Authorization: Basic YWRhOmNvdW50ZXNz\r\n\r\n";
    raw.send(asks).await;
    assert_eq!(raw.head().await.status, 204);
    server.log("out: HTTP/1.1 204 No Content").await;
    let logged = server.logged();
    for secret in ["SECRET", "YWRhOmNvdW50ZXNz", "countess"] {
        assert!(!logged.contains(secret), "{secret}: {logged}");
    }
}

#[tokio::test]
async fn trace_shows_each_frame() {
    let server = builder().args(["--log-level", "trace"]).start().await;
    let mut raw = Raw::open(&server, "/echo").await;
    let long = "x".repeat(100);
    let two = [
        Wire::text("hel").more().bytes(),
        Wire::continuation("lo").bytes(),
    ];
    raw.send(two.concat()).await;
    raw.expect_text("hello").await;
    raw.send(Wire::binary([0, 255]).bytes()).await;
    raw.expect_frame(2, [0, 255]).await;
    raw.send(Wire::text(&long).bytes()).await;
    raw.expect_text(&long).await;
    raw.send(Wire::ping("are you there?").bytes()).await;
    raw.expect_frame(10, "are you there?").await;
    raw.send(Wire::close(1000, "bye").bytes()).await;
    raw.expect_close(1000).await;
    let shown = format!("length=100 \"{}\"…", "x".repeat(32));
    for line in [
        "in: text fin=0 rsv1=0 length=3 \"hel\"",
        "in: continuation fin=1 rsv1=0 length=2 \"lo\"",
        "out: text fin=1 rsv1=0 length=5 \"hello\"",
        "in: binary fin=1 rsv1=0 length=2 00 ff",
        "out: binary fin=1 rsv1=0 length=2 00 ff",
        &format!("in: text fin=1 rsv1=0 {shown}"),
        &format!("out: text fin=1 rsv1=0 {shown}"),
        "in: ping fin=1 rsv1=0 length=14 \"are you there?\"",
        "out: pong fin=1 rsv1=0 length=14 \"are you there?\"",
        "in: close fin=1 rsv1=0 length=5 1000 \"bye\"",
        "out: close fin=1 rsv1=0 length=2 1000",
    ] {
        let line = server.log(["TRACE wsh_server::websocket: ", line]).await;
        assert_eq!(field(&line, "connection"), "1", "{line}");
    }
    assert_eq!(server.count(["wsh_server::websocket: in:"]), 6);
    assert_eq!(server.count(["wsh_server::websocket: out:"]), 5);
}

#[tokio::test]
async fn trace_shows_that_a_frame_is_compressed() {
    let server = builder().args(["--log-level", "trace"]).start().await;
    let mut raw = Raw::connect(&server).await;
    let request = Request::upgrade("/echo").with("Sec-WebSocket-Extensions", "permessage-deflate");
    raw.send(request.bytes()).await;
    raw.head().await.expect_upgrade();
    // RFC 7692 section 7.2.3.1: "Hello".
    let hello = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
    raw.send(Wire::text(hello).rsv(4).bytes()).await;
    raw.expect_text("Hello").await;
    server
        .log("in: text fin=1 rsv1=1 length=7 f2 48 cd c9 c9 07 00")
        .await;
    raw.send(Wire::text("a".repeat(5_000)).bytes()).await;
    raw.frame().await;
    server.log("out: text fin=1 rsv1=1 length=").await;
}
