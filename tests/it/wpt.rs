//! The handlers of the Web Platform Tests' WebSocket suite, and some of the browser engines' own
//! (`browsers/`), ported to Rhai: that they can be written is one half of the test, that they put
//! on the wire what the suites expect is the other.

use std::path::Path;

use super::support::{Head, Raw, Request, Server, Wire};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/wpt");

/// The suite's handlers.
const HANDLERS: [&str; 35] = [
    "basic_auth",
    "delayed-passive-close",
    "echo",
    "echo-cookie",
    "echo-query",
    "echo-query_v13",
    "echo_close_data",
    "echo_exit",
    "echo_raw",
    "empty-message",
    "handshake_no_extensions",
    "handshake_no_protocol",
    "handshake_protocol",
    "handshake_sleep_2",
    "invalid",
    "msg_channel",
    "origin",
    "passive-close-abort",
    "protocol",
    "protocol_array",
    "receive-backpressure",
    "receive-many-with-backpressure",
    "referrer",
    "remote-close",
    "send-backpressure",
    "set-co-policies",
    "set-cookie",
    "set-cookie-secure",
    "set-cookie_http",
    "set-cookies-samesite",
    "simple_handshake",
    "sleep_10_v13",
    "stash_responder",
    "stash_responder_blocking",
    "wrong_accept_key",
];

/// Those that this version cannot carry, and why.
const LEFT_OUT: [(&str, &str); 3] = [
    ("msg_channel", "queues between connections"),
    ("stash_responder", "a store that connections share"),
    (
        "stash_responder_blocking",
        "a store whose keys can be waited for",
    ),
];

/// How long the handlers' delays are here: what counts is the order of things.
const SECONDS: &str = "const SECONDS = 0.05;";

#[test]
fn every_handler_is_ported_and_tested_or_left_out() {
    let source = include_str!("wpt.rs");
    for name in HANDLERS {
        let left_out = LEFT_OUT.iter().any(|(out, _)| *out == name);
        let ported = Path::new(FOLDER).join(format!("{name}_wsh.rhai")).is_file();
        assert!(ported != left_out, "{name}");
    }
    for (name, _) in scripts() {
        let path = name.strip_suffix("_wsh.rhai").expect("a handler");
        let asked = [format!("\"/{path}\""), format!("\"/{path}?")];
        let tested = asked.iter().any(|path| source.contains(path));
        assert!(tested, "{name}");
    }
}

#[tokio::test]
async fn all_compile_without_a_remark() {
    let check = Server::builder().bare();
    let check = check.args(["check", "-w", FOLDER, "--allow-raw"]);
    let check = check.run().await;
    assert!(check.status.success(), "{check:?}");
    assert_eq!(check.stderr, "");
}

#[tokio::test]
async fn basic_auth() {
    let server = serve().await;
    for credentials in [None, Some("Basic Zm9vOmJheg==")] {
        let mut raw = Raw::connect(&server).await;
        let mut request = Request::upgrade("/basic_auth");
        if let Some(credentials) = credentials {
            request = request.with("Authorization", credentials);
        }
        raw.send(request.bytes()).await;
        let head = raw.expect_refusal(401).await;
        let realm = Some("Basic realm=\"camelot\"");
        assert_eq!(head.header("WWW-Authenticate"), realm);
    }
    let mut raw = Raw::connect(&server).await;
    let foo_bar = [("Authorization", "Basic Zm9vOmJhcg==")];
    raw.handshake("/basic_auth", &foo_bar)
        .await
        .expect_upgrade();
    raw.ends_normally().await;
}

#[tokio::test]
async fn delayed_passive_close() {
    let server = serve().await;
    echoes_close(&server, "/delayed-passive-close").await;
}

#[tokio::test]
async fn echo() {
    let server = serve().await;
    echoes_close(&server, "/echo").await;
    for (offer, choice) in [("chat, echo", Some("echo")), ("chat", None)] {
        let mut raw = Raw::connect(&server).await;
        let offer = [("Sec-WebSocket-Protocol", offer)];
        let head = raw.handshake("/echo", &offer).await;
        head.expect_upgrade();
        assert_eq!(head.header("Sec-WebSocket-Protocol"), choice);
        raw.echoes(2).await;
        raw.send(Wire::binary([0, 255]).bytes()).await;
        raw.expect_frame(2, [0, 255]).await;
        raw.send(Wire::text("Goodbye").bytes()).await;
        raw.expect_text("Goodbye").await;
        raw.ends_normally().await;
    }
}

#[tokio::test]
async fn echo_cookie() {
    let server = serve().await;
    for (cookie, answer) in [
        (&[][..], "(none)"),
        (&[("Cookie", "")], ""),
        (&[("Cookie", "a=1; b=2")], "a=1; b=2"),
    ] {
        let mut raw = Raw::connect(&server).await;
        raw.handshake("/echo-cookie", cookie).await.expect_upgrade();
        raw.expect_text(answer).await;
        raw.ends_normally().await;
    }
}

#[tokio::test]
async fn echo_query() {
    let server = serve().await;
    for query in ["", "?", "?foo%20bar", "?a=1?b"] {
        let expected = query.strip_prefix('?').unwrap_or("");
        for mut raw in [
            Raw::open(&server, &format!("{}{query}", "/echo-query")).await,
            Raw::open(&server, &format!("{}{query}", "/echo-query_v13")).await,
        ] {
            raw.expect_text(expected).await;
            raw.ends_normally().await;
        }
    }
}

#[tokio::test]
async fn echo_close_data_and_echo_exit() {
    let server = serve().await;
    for path in ["/echo_close_data", "/echo_exit"] {
        let mut raw = Raw::open(&server, path).await;
        for frame in [
            Wire::text("a"),
            Wire::binary("Goodbye"),
            Wire::text("Goodbye"),
        ] {
            raw.send(frame.bytes()).await;
        }
        raw.ends_normally().await;
        Raw::open(&server, path).await.closes_normally().await;
    }
}

#[tokio::test]
async fn echo_raw() {
    let server = serve().await;
    let mut raw = Raw::open(&server, "/echo_raw").await;
    for bytes in [&b"\x81\x05hello"[..], b"\xff\xff\xff\xff", b""] {
        raw.send(Wire::binary(bytes).bytes()).await;
        raw.expect_bytes(bytes).await;
    }
    raw.send(Wire::text("é").bytes()).await;
    raw.expect_bytes("é").await;
    raw.send(Wire::binary("exit").bytes()).await;
    raw.ends_normally().await;
}

#[tokio::test]
async fn empty_message() {
    let server = serve().await;
    for (frame, answer) in [
        (Wire::text(""), "pass"),
        (Wire::text("x"), "fail"),
        (Wire::binary(""), "fail"),
    ] {
        let mut raw = Raw::open(&server, "/empty-message").await;
        raw.send(frame.bytes()).await;
        raw.expect_text(answer).await;
        raw.ends_normally().await;
    }
}

#[tokio::test]
async fn handshake_no_extensions() {
    let server = serve().await;
    let offer = [("Sec-WebSocket-Extensions", "permessage-deflate")];
    let (mut raw, head) = ask(&server, "/handshake_no_extensions", &offer).await;
    assert_eq!(head.header("Sec-WebSocket-Extensions"), None);
    raw.ends_normally().await;
}

#[tokio::test]
async fn handshake_no_protocol() {
    let server = serve().await;
    let offer = [("Sec-WebSocket-Protocol", "a, b")];
    let (mut raw, head) = ask(&server, "/handshake_no_protocol", &offer).await;
    assert_eq!(head.header("Sec-WebSocket-Protocol"), None);
    raw.ends_normally().await;
}

#[tokio::test]
async fn handshake_protocol() {
    let server = serve().await;
    for offer in [&[][..], &[("Sec-WebSocket-Protocol", "a, b")]] {
        let (mut raw, head) = ask(&server, "/handshake_protocol", offer).await;
        assert_eq!(head.header("Sec-WebSocket-Protocol"), Some("foobar"));
        raw.ends_normally().await;
    }
}

#[tokio::test]
async fn handshake_sleep_2() {
    let server = serve().await;
    let (mut raw, _) = ask(&server, "/handshake_sleep_2", &[]).await;
    raw.ends_normally().await;
}

#[tokio::test]
async fn invalid() {
    let server = serve().await;
    let mut raw = Raw::connect(&server).await;
    raw.send(Request::upgrade("/invalid").bytes()).await;
    raw.expect_bytes("FOO BAR BAZ\r\n\r\n").await;
    raw.head().await.expect_upgrade();
    raw.ends_normally().await;
}

#[tokio::test]
async fn origin() {
    let server = serve().await;
    let origin = [("Origin", "http://web-platform.test:8000")];
    let (mut raw, _) = ask(&server, "/origin", &origin).await;
    raw.expect_text("http://web-platform.test:8000").await;
    raw.ends_normally().await;
}

#[tokio::test]
async fn passive_close_abort() {
    let server = serve().await;
    let mut raw = Raw::open(&server, "/passive-close-abort").await;
    raw.send(Wire::close(1000, "").bytes()).await;
    raw.expect_eof().await;
}

#[tokio::test]
async fn protocol() {
    let server = serve().await;
    for (path, answer) in [("/protocol", "foobar, foo"), ("/protocol_array", "foobar")] {
        let offer = [("Sec-WebSocket-Protocol", "foobar, foo")];
        let (mut raw, head) = ask(&server, path, &offer).await;
        assert_eq!(head.header("Sec-WebSocket-Protocol"), Some(answer));
        raw.expect_text(answer).await;
        raw.ends_normally().await;
    }
}

#[tokio::test]
async fn receive_backpressure() {
    let server = serve().await;
    let mut raw = Raw::open(&server, "/receive-backpressure").await;
    raw.send(Wire::binary(vec![0; 8 * 1024 * 1024]).bytes())
        .await;
    raw.ends_normally().await;
}

#[tokio::test]
async fn receive_many_with_backpressure() {
    let server = serve().await;
    let mut raw = Raw::open(&server, "/receive-many-with-backpressure").await;
    let message = Wire::binary([0; 65_536]).bytes();
    raw.send(message.repeat(8)).await;
    for _ in 0..8 {
        raw.expect_text("65536").await;
    }
    raw.send(Wire::close(1000, "").bytes()).await;
    raw.expect_close(1000).await;
    raw.expect_eof().await;
}

#[tokio::test]
async fn referrer() {
    let server = serve().await;
    for (headers, answer) in [
        (
            &[("Referer", "http://localhost/a")][..],
            "http://localhost/a",
        ),
        (&[], "MISSING AS PER FETCH"),
    ] {
        let (mut raw, _) = ask(&server, "/referrer", headers).await;
        raw.expect_text(answer).await;
        raw.ends_normally().await;
    }
}

#[tokio::test]
async fn remote_close() {
    let server = serve().await;
    for (path, close) in [
        ("/remote-close", &b"\x88\x00"[..]),
        ("/remote-close?reason=alone", b"\x88\x00"),
        ("/remote-close?code=1000", b"\x88\x02\x03\xe8"),
        (
            "/remote-close?code=4000&reason=D%C3%B6ne",
            b"\x88\x07\x0f\xa0D\xc3\xb6ne",
        ),
    ] {
        let mut raw = Raw::open(&server, path).await;
        raw.expect_bytes(close).await;
        raw.send(Wire::close(1000, "").bytes()).await;
        raw.expect_eof().await;
    }
    let mut raw = Raw::open(&server, "/remote-close?abrupt=1").await;
    raw.expect_bytes(b"\x89\x04ping").await;
    raw.expect_eof().await;
}

#[tokio::test]
async fn send_backpressure() {
    let server = serve().await;
    let mut raw = Raw::open(&server, "/send-backpressure").await;
    raw.expect_frame(2, []).await;
    let message = vec![b' '; 1024 * 1024];
    for _ in 0..16 {
        raw.expect_frame(2, &message).await;
    }
    let took = String::from_utf8(raw.frame().await.payload).expect("a text");
    assert!(took.parse::<f64>().expect("a number") > 0.0, "{took}");
    raw.ends_normally().await;
}

#[tokio::test]
async fn set_co_policies() {
    let server = serve().await;
    let (mut raw, head) = ask(&server, "/set-co-policies?coep=require-corp&x", &[]).await;
    let coep = head.header("Cross-Origin-Embedder-Policy");
    assert_eq!(coep, Some("require-corp"));
    assert_eq!(head.header("Cross-Origin-Resource-Policy"), None);
    raw.send(Wire::close(1000, "").bytes()).await;
    raw.expect_close(1000).await;
    raw.expect_eof().await;
}

#[tokio::test]
async fn set_cookies() {
    let server = serve().await;
    for (path, cookie) in [
        ("/set-cookie?123", "ws_test_123=test; Path=/"),
        ("/set-cookie-secure?123", "ws_test_123=test; Secure; Path=/"),
    ] {
        let (mut raw, head) = ask(&server, path, &[]).await;
        assert_eq!(head.header("Set-Cookie"), Some(cookie));
        raw.send(Wire::text("one").bytes()).await;
        raw.ends_normally().await;
    }
    let origin = [("Origin", "http://localhost")];
    let (_, head) = ask(&server, "/set-cookie_http?123", &origin).await;
    let cookie = head.header("Set-Cookie");
    assert_eq!(cookie, Some("ws_test_123=test; Path=/; HttpOnly"));
    assert_eq!(
        head.header("Sec-WebSocket-Origin"),
        Some("http://localhost")
    );
}

#[tokio::test]
async fn set_cookies_samesite() {
    let server = serve().await;
    for (query, value, age) in [
        ("", "1", ""),
        ("?value=2", "2", ""),
        ("?clear", "1", "; Max-Age=0"),
    ] {
        let path = format!("{}{query}", "/set-cookies-samesite");
        let (_, head) = ask(&server, &path, &[]).await;
        let cookies = head.headers.iter().filter(|(name, _)| name == "Set-Cookie");
        let cookies: Vec<_> = cookies.map(|(_, cookie)| cookie.clone()).collect();
        let expected = [
            ("unspecified", ""),
            ("lax", "; SameSite=Lax"),
            ("strict", "; SameSite=Strict"),
            ("none", "; SameSite=None; Secure"),
        ]
        .map(|(name, same)| format!("samesite-{name}={value}; Path=/{same}{age}"));
        assert_eq!(cookies, expected);
    }
}

#[tokio::test]
async fn simple_handshake() {
    let server = serve().await;
    let mut raw = Raw::connect(&server).await;
    let request = Request::upgrade("/simple_handshake").with("Origin", "http://localhost");
    raw.send(request.bytes()).await;
    raw.expect_bytes(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\n\
         Set-Cookie: ws_test=test\r\nSec-WebSocket-Origin: http://localhost\r\n\
         Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
    )
    .await;
    raw.expect_bytes(b"\x88\x06\x03\xe9PASS").await;
    raw.send(Wire::close(1001, "PASS").bytes()).await;
    raw.expect_eof().await;
}

#[tokio::test]
async fn sleep_10_v13() {
    let server = serve().await;
    let mut raw = Raw::open(&server, "/sleep_10_v13").await;
    raw.echoes(2).await;
    raw.send(Wire::text("Goodbye").bytes()).await;
    raw.ends_normally().await;
}

#[tokio::test]
async fn wrong_accept_key() {
    let server = serve().await;
    let mut raw = Raw::connect(&server).await;
    raw.send(Request::upgrade("/wrong_accept_key").bytes())
        .await;
    let head = raw.head().await;
    assert_eq!(head.status, 101);
    let key = head.header("Sec-WebSocket-Accept");
    assert_eq!(key, Some("thisisawrongacceptkey"));
    raw.expect_text("test").await;
    raw.ends_normally().await;
}

#[tokio::test]
async fn browsers_close_on_frame() {
    let server = serve().await;
    let mut raw = Raw::open(&server, "/browsers/close-on-frame").await;
    raw.send(Wire::binary("abc").more().bytes()).await;
    let reason = raw.expect_close(4000).await;
    assert_eq!(reason, "fin false, opcode 2, 3 bytes");
    raw.send(Wire::close(4000, "").bytes()).await;
    raw.expect_eof().await;
}

#[tokio::test]
async fn browsers_expect_unfragmented() {
    let server = serve().await;
    let whole = Wire::text("whole").bytes();
    let parts = [
        Wire::text("whole").more().bytes(),
        Wire::continuation("").bytes(),
    ];
    for (message, answer) in [(whole, "OK"), (parts.concat(), "NG")] {
        let mut raw = Raw::open(&server, "/browsers/expect-unfragmented").await;
        raw.send(message).await;
        raw.expect_text(answer).await;
        raw.ends_normally().await;
    }
}

#[tokio::test]
async fn browsers_frames_that_must_not_be() {
    let server = serve().await;
    let mut raw = Raw::open(&server, "/browsers/masked-frame").await;
    raw.expect_bytes(b"\x81\x86\x01\x02\x03\x04lcpodf").await;
    raw.closes_normally().await;

    for opcode in [3, 7, 11, 15] {
        let mut raw = Raw::open(&server, &format!("/browsers/reserved-opcode?{opcode}")).await;
        raw.expect_bytes([&[0x80 | opcode, 11], &b"what is it?"[..]].concat())
            .await;
        raw.expect_bytes(b"\xc1\x04rsv1\xa1\x04rsv2\x91\x04rsv3")
            .await;
        raw.closes_normally().await;
    }

    let mut raw = Raw::open(&server, "/browsers/fragmented-control-frame").await;
    raw.expect_bytes(b"\x09\x09This ping\x80\x0e is fragmented")
        .await;
    raw.expect_bytes([&b"\x89\x7e\x00\x7e"[..], &[b'a'; 126]].concat())
        .await;
    raw.expect_bytes(b"\x01\x03one\x81\x06inside").await;
    raw.closes_normally().await;

    let mut raw = Raw::open(&server, "/browsers/wrong-length").await;
    raw.expect_bytes(b"\x81\x7e\x00\x0216").await;
    raw.expect_bytes(b"\x81\x7f\x00\x00\x00\x00\x00\x00\x00\x0264")
        .await;
    raw.expect_bytes(b"\x81\x64not a hundred").await;
    raw.expect_eof().await;
}

#[tokio::test]
async fn browsers_receive_pong_with_payload() {
    let server = serve().await;
    let mut raw = Raw::open(&server, "/browsers/receive-pong-with-payload").await;
    raw.expect_bytes(b"\x8a\x10{payload: 'yes'}").await;
    raw.expect_text("sent pong").await;
    raw.closes_normally().await;
}

#[tokio::test]
async fn browsers_close_code_and_reason() {
    let server = serve().await;
    for (message, close) in [
        ("-", &b"\x88\x00"[..]),
        ("--", b"\x88\x01X"),
        ("1000 ok", b"\x88\x04\x03\xe8ok"),
        ("1005 ", b"\x88\x02\x03\xed"),
        ("65535 odd", b"\x88\x05\xff\xffodd"),
    ] {
        let mut raw = Raw::open(&server, "/browsers/close-code-and-reason").await;
        raw.send(Wire::text(message).bytes()).await;
        raw.expect_bytes(close).await;
        raw.send(Wire::close(1002, "").bytes()).await;
        raw.expect_eof().await;
    }
}

/// That the end comes late is tested with the capabilities; here it comes at all, behind an empty
/// Close.
#[tokio::test]
async fn browsers_slow_tcp_close() {
    let server = serve().await;
    let mut raw = Raw::open(&server, "/browsers/slow-tcp-close").await;
    raw.send(Wire::close(1000, "").bytes()).await;
    raw.expect_empty_close().await;
    raw.expect_eof().await;
}

#[tokio::test]
async fn browsers_count_received_bytes() {
    let server = serve().await;
    let mut raw = Raw::open(&server, "/browsers/count-received-bytes").await;
    raw.send(Wire::text("é").bytes()).await;
    raw.send(Wire::binary([0; 100_000]).bytes()).await;
    raw.send(Wire::text("").bytes()).await;
    raw.send(Wire::close(1000, "").bytes()).await;
    assert_eq!(raw.expect_close(1000).await, "100002");
    raw.expect_eof().await;
}

#[tokio::test]
async fn browsers_echo_request_headers() {
    let server = serve().await;
    let headers = [("X-Own", "a"), ("x-own", "b")];
    let (mut raw, _) = ask(&server, "/browsers/echo-request-headers", &headers).await;
    let json = raw.json().await;
    assert_eq!(json["x-own"], serde_json::json!(["a", "b"]));
    assert_eq!(json["upgrade"], serde_json::json!(["websocket"]));
    raw.ends_normally().await;
}

#[tokio::test]
async fn browsers_no_onmessage_in_sync_op() {
    let server = serve().await;
    for (replies, ends_well) in [(["1", "2", "3"], true), (["1", "3", "2"], false)] {
        let mut raw = Raw::open(&server, "/browsers/no-onmessage-in-sync-op").await;
        for message in ["1", "2", "3"] {
            raw.expect_text(message).await;
        }
        // One after the other: what is unread when the server aborts would make a reset of its end.
        for reply in &replies[..if ends_well { 3 } else { 2 }] {
            raw.send(Wire::text(reply).bytes()).await;
        }
        if ends_well {
            raw.ends_normally().await;
        } else {
            raw.expect_eof().await;
        }
    }
}

#[tokio::test]
async fn browsers_stall() {
    let server = serve().await;
    let mut raw = Raw::connect(&server).await;
    raw.send(Request::upgrade("/browsers/stall").bytes()).await;
    raw.finish().await;
    raw.expect_eof().await;
}

/// All of it with shorter delays.
async fn serve() -> Server {
    // The suite's pages come from web-platform.test.
    let mut builder = Server::builder().args(["--allow-raw", "--allow-origin", "*"]);
    for (name, source) in scripts() {
        let lines = source.lines().map(|line| {
            if line.starts_with("const SECONDS") {
                SECONDS
            } else {
                line
            }
        });
        builder = builder.file(&name, lines.collect::<Vec<_>>().join("\n"));
    }
    builder.start().await
}

/// Each handler's name below the folder, and its text.
fn scripts() -> Vec<(String, String)> {
    let mut scripts = Vec::new();
    for folder in ["", "browsers/"] {
        let entries = std::fs::read_dir(Path::new(FOLDER).join(folder)).expect("the handlers");
        for entry in entries {
            let path = entry.expect("an entry").path();
            if path.is_file() {
                let name = path.file_name().and_then(|name| name.to_str());
                let name = format!("{folder}{}", name.expect("a plain name"));
                scripts.push((name, std::fs::read_to_string(path).expect("a script")));
            }
        }
    }
    scripts
}

/// An upgrade with these headers, accepted.
async fn ask(server: &Server, path: &str, headers: &[(&str, &str)]) -> (Raw, Head) {
    let mut raw = Raw::connect(server).await;
    let head = raw.handshake(path, headers).await;
    head.expect_upgrade();
    (raw, head)
}

/// What the client's Close says comes back, the empty one empty.
async fn echoes_close(server: &Server, path: &str) {
    for close in [
        Wire::close(1000, ""),
        Wire::close(3456, "why"),
        Wire::empty_close(),
    ] {
        let mut raw = Raw::open(server, path).await;
        raw.send(close.bytes()).await;
        raw.expect_bytes(close.unmasked().bytes()).await;
        raw.expect_eof().await;
    }
}

impl Raw {
    /// The server closes with 1000.
    async fn ends_normally(&mut self) {
        self.expect_bytes(b"\x88\x02\x03\xe8").await;
        self.send(Wire::close(1000, "").bytes()).await;
        self.expect_eof().await;
    }

    /// The client closes with 1000.
    async fn closes_normally(&mut self) {
        self.send(Wire::close(1000, "").bytes()).await;
        self.expect_bytes(b"\x88\x02\x03\xe8").await;
        self.expect_eof().await;
    }
}
