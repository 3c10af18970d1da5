//! Who is turned away, and what the log and the answer say of it: browsers tell their pages
//! neither.

use super::support::{Authority, Builder, Raw, Request, Server};

const ECHO: &str = "fn transfer_data(ws, message) { ws.send(message); }";

fn builder() -> Builder {
    Server::builder().files(&[
        ("echo_wsh.rhai", ECHO),
        ("room/chat_wsh.rhai", ECHO),
        ("aliases", "/short /room/chat\n"),
        ("www/page.txt", "a page"),
    ])
}

/// Its status, and the line of the log with these words.
async fn refused(server: &Server, request: impl AsRef<[u8]>, words: &str) -> (u16, String) {
    let mut raw = Raw::connect(server).await;
    raw.send(request).await;
    let head = raw.head().await;
    (head.status, server.log(["INFO", words]).await)
}

#[tokio::test]
async fn a_path_that_is_not_there_is_seen_with_its_neighbour() {
    let cases = [
        (
            "/ech",
            "GET /ech: no handler has this path; did you mean /echo?",
        ),
        (
            "/Echo",
            "GET /Echo: no handler has this path; did you mean /echo?",
        ),
        (
            "/echo/",
            "GET /echo/: no handler has this path; did you mean /echo?",
        ),
        (
            "/room//chat",
            "GET /room//chat: no handler has this path; did you mean /room/chat?",
        ),
        ("/echo_wsh.rhai", "; did you mean /echo?"),
        ("/shart", "; did you mean /short?"),
        (
            "/something/else?token=secret",
            "GET /something/else: no handler has this path refusal=",
        ),
    ];
    for (target, line) in cases {
        // One line a second of each kind: a server for each case.
        let server = builder().args(["-m", "aliases"]).start().await;
        let (status, said) = refused(&server, Request::upgrade(target).bytes(), line).await;
        assert_eq!(status, 404, "{target}");
        assert!(said.contains("client=127.0.0.1:"), "{said}");
        assert!(!said.contains("secret"), "{said}");
    }
    let server = builder().start().await;
    let (status, _) = refused(
        &server,
        Request::upgrade("//echo").bytes(),
        "; did you mean /echo?",
    )
    .await;
    assert_eq!(status, 400);
    let server = builder().args(["-d", "www"]).start().await;
    let (status, _) = refused(
        &server,
        Request::get("/pag.txt").bytes(),
        "GET /pag.txt: nothing has this path",
    )
    .await;
    assert_eq!(status, 404);
}

/// What every browser asks for by itself is nobody's mistake.
#[tokio::test]
async fn a_missing_icon_is_not_said() {
    let mut server = builder().start().await;
    let (status, _) = {
        let mut raw = Raw::connect(&server).await;
        raw.send(Request::get("/favicon.ico").bytes()).await;
        (raw.head().await.status, ())
    };
    assert_eq!(status, 404);
    server.stop().await;
    assert_eq!(server.count("favicon"), 0, "{}", server.logged());
}

#[tokio::test]
async fn a_head_beyond_a_limit_names_its_flag() {
    let long = "x".repeat(9_000);
    let cookies = Request::upgrade("/echo").with("Cookie", &long);
    let many = (0..4).fold(Request::upgrade("/echo"), |request, _| {
        request.with("Cookie", "y".repeat(6_000))
    });
    let lines = (0..120).fold(Request::upgrade("/echo"), |request, _| {
        request.with("A", "b")
    });
    for (request, status, flag) in [
        (cookies, 431, "--max-header-line"),
        (many, 431, "--max-header-size"),
        (lines, 431, "--max-headers"),
        (
            Request::upgrade(&format!("/{long}")),
            414,
            "--max-header-line",
        ),
    ] {
        let server = builder().start().await;
        let mut raw = Raw::connect(&server).await;
        let _ = raw.try_send(request.bytes()).await;
        let head = raw.head().await;
        assert_eq!(head.status, status, "{flag}");
        let body = String::from_utf8(raw.body(&head).await).expect("text");
        assert!(body.contains(flag), "{body}");
        server.log(["INFO", flag]).await;
    }
}

#[tokio::test]
async fn requests_that_are_none_are_seen() {
    for (request, status, words) in [
        (
            Request::get("/echo").bytes(),
            426,
            "GET /echo: this is a WebSocket resource",
        ),
        (
            Request::upgrade("/echo")
                .without("Sec-WebSocket-Key")
                .bytes(),
            400,
            "GET /echo: exactly one Sec-WebSocket-Key",
        ),
        (
            b"hello\r\n\r\n".to_vec(),
            400,
            "this is not an HTTP/1.1 request",
        ),
        (
            // The beginning of a ClientHello.
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(),
            400,
            "TLS is spoken to a port of plain HTTP: open http:// or ws://; --tls",
        ),
    ] {
        let server = builder().start().await;
        let (found, _) = refused(&server, request, words).await;
        assert_eq!(found, status, "{words}");
    }
}

#[tokio::test]
async fn plain_http_on_a_port_of_tls_is_told_in_plain_http() {
    let authority = Authority::new();
    let identity = authority.identity(&authority.issue("server"));
    let server = builder().arg("--tls").args(identity).start().await;
    let mut raw = Raw::connect_to(server.tls_port()).await;
    raw.send(Request::upgrade("/echo").bytes()).await;
    let head = raw.expect_refusal(400).await;
    assert!(head.header("Date").is_some(), "{head:?}");
    server
        .log(["INFO", "plain HTTP is spoken to a port of TLS"])
        .await;
}

/// What would let a page in is found in one attempt.
#[tokio::test]
async fn host_and_origin_are_refused_in_one_line() {
    let server = builder().start().await;
    let mut raw = Raw::connect(&server).await;
    let request = Request::upgrade("/echo")
        .set("Host", "app.example:81")
        .with("Origin", "https://page.example");
    raw.send(request.bytes()).await;
    raw.expect_refusal(403).await;
    let both = [
        "WARN",
        "--allow-host app.example ",
        "--allow-origin https://page.example ",
    ];
    server.log(both).await;
}

#[tokio::test]
async fn b04_origins_that_are_none() {
    for origin in ["localhost:1234", "", "http://a:b"] {
        let server = builder().start().await;
        let mut raw = Raw::connect(&server).await;
        let head = raw.handshake("/echo", &[("Origin", origin)]).await;
        assert_eq!(head.status, 403, "{origin:?}");
        server.log(["WARN", "--allow-origin '*'"]).await;
        let open = builder().args(["--allow-origin", "*"]).start().await;
        let mut raw = Raw::connect(&open).await;
        let head = raw.handshake("/echo", &[("Origin", origin)]).await;
        assert_eq!(head.status, 101, "{origin:?}");
    }
}

/// A connection on which nothing was ever sent ends at the header time, without a word and without
/// waiting for more.
#[tokio::test]
async fn c10_a_silent_connection_ends_in_time() {
    let server = builder().args(["--header-timeout", "500ms"]).start().await;
    let mut raw = Raw::connect(&server).await;
    raw.expect_eof().await;
    let mut raw = Raw::connect(&server).await;
    raw.send("GET /echo").await;
    raw.expect_refusal(408).await;
}

/// Whoever has begun a handshake when the server goes down is told so.
#[tokio::test]
async fn c10_pending_handshakes_are_told() {
    let slow = "fn do_extra_handshake(request) { print(\"asked\"); sleep(60.0); }\nfn \
        transfer_data(ws, message) {}";
    let mut server = builder().file("slow_wsh.rhai", slow).start().await;
    let mut half = Raw::connect(&server).await;
    half.send(&Request::upgrade("/echo").bytes()[..40]).await;
    let mut asked = Raw::connect(&server).await;
    asked.send(Request::upgrade("/slow").bytes()).await;
    server.log("asked").await;
    server.signal("TERM");
    half.expect_refusal(503).await;
    asked.expect_refusal(503).await;
    assert!(server.exited().await.success());
}
