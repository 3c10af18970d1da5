//! What handlers in the wild ask of their server: a handler in `tests/capabilities` and a test here
//! for each item of a list that was drawn from pywebsocket's users. Asserted on the wire, and byte
//! for byte where bytes are what it is about.

use std::future::Future;
use std::time::Duration;

use serde_json::json;

use super::support::{Raw, Request, Server, Wire};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/capabilities");

/// The list's numbers. 31 to 34 are between connections.
const NUMBERS: [std::ops::RangeInclusive<u8>; 2] = [1..=30, 35..=36];

/// The head of every 101, up to what a handler adds to it.
const SWITCHING: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: \
    Upgrade\r\n\
                         Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";

#[test]
fn every_capability_is_tested() {
    let source = include_str!("capabilities.rs");
    for number in NUMBERS.into_iter().flatten() {
        let tested = source.contains(&format!("async fn c{number:02}_"));
        assert!(tested, "capability {number}");
    }
    for file in std::fs::read_dir(FOLDER).expect("the handlers") {
        let file = file.expect("an entry").file_name();
        let file = file.to_str().expect("a plain name");
        let path = file.strip_suffix("_wsh.rhai").expect("a handler");
        assert!(source.contains(&format!("\"/{path}")), "{path}");
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

/// Accept by default, no code needed.
#[tokio::test]
async fn c01_accept_by_default() {
    let server = serve().await;
    let mut raw = ask(&server, "/01_accept", &[]).await;
    raw.expect_bytes(format!("{SWITCHING}\r\n")).await;
    raw.send(Wire::text("hello").bytes()).await;
    raw.expect_bytes(b"\x81\x05hello").await;
    raw.send(Wire::ping("there?").bytes()).await;
    raw.expect_bytes(b"\x8a\x06there?").await;
    raw.send(Wire::close(1000, "").bytes()).await;
    raw.expect_bytes(b"\x88\x02\x03\xe8").await;
    raw.expect_eof().await;
}

/// Read any request header, case-insensitive, repeated values, absent vs empty.
#[tokio::test]
async fn c02_request_headers() {
    let server = serve().await;
    let headers = [
        ("X-One", "1"),
        ("x-MANY", "a"),
        ("X-Many", "b, c"),
        ("X-Empty", ""),
    ];
    let mut raw = open(&server, "/02_headers", &headers).await;
    let expected = json!({
        "one": "1", "upper": "1",
        "first": "a", "many": ["a", "b, c"],
        "empty": "", "absent": null, "no_list": null,
        "as_they_came": [["X-One", "1"], ["x-MANY", "a"], ["X-Many", "b, c"], ["X-Empty", ""]],
    });
    assert_eq!(raw.json().await, expected);
}

/// Path, raw query, decoded multi-value query, method, HTTP version, TLS flag, peer address.
#[tokio::test]
async fn c03_request_line_and_peer() {
    let server = serve().await;
    let target = "/%303_request?a=1&b=x%20y+z&a=%C3%A9&c&=d&e=";
    let mut raw = open(&server, target, &[]).await;
    let query = "a=1&b=x%20y+z&a=%C3%A9&c&=d&e=";
    let params = json!({"a": ["1", "é"], "b": ["x y z"], "c": [""], "": ["d"], "e": [""]});
    let expected = json!([
        "/03_request",
        target,
        query,
        params,
        "GET",
        "1.1",
        false,
        "127.0.0.1",
        raw.port(),
        "localhost"
    ]);
    assert_eq!(raw.json().await, expected, "in the handshake");
    assert_eq!(raw.json().await, expected, "in the open phase");
}

/// Origin value and helper.
#[tokio::test]
async fn c04_origin() {
    // The handler decides, not the server.
    let server = serve_with(&["--allow-origin", "*"]).await;
    for origin in ["http://localhost", "null"] {
        let mut raw = open(&server, "/04_origin", &[("Origin", origin)]).await;
        assert_eq!(raw.json().await, json!([origin, origin]));
    }
    let mut raw = open(&server, "/04_origin", &[]).await;
    assert_eq!(raw.json().await, json!([null, null]));
    let mut raw = ask(
        &server,
        "/04_origin",
        &[("Origin", "http://localhost.evil")],
    )
    .await;
    raw.expect_refusal(403).await;
}

/// List of offered subprotocols; choose one; choose none although offered; choose an un-offered or
/// malformed one (test mode).
#[tokio::test]
async fn c05_subprotocols() {
    let server = serve().await;
    let offer = [
        ("Sec-WebSocket-Protocol", "one, two"),
        ("Sec-WebSocket-Protocol", "three"),
    ];
    let mut raw = ask(&server, "/05_protocol", &offer).await;
    raw.expect_bytes(format!("{SWITCHING}Sec-WebSocket-Protocol: three\r\n\r\n"))
        .await;
    let offered = json!(["one", "two", "three"]);
    assert_eq!(
        raw.json().await,
        json!({"offered": offered, "chosen": "three"})
    );

    let mut raw = ask(&server, "/05_protocol?none", &offer).await;
    raw.expect_bytes(format!("{SWITCHING}\r\n")).await;
    assert_eq!(raw.json().await, json!({"offered": offered, "chosen": ""}));

    for (query, sent) in [
        ("unoffered", "unoffered"),
        ("no%20token,%20%22at%22%20all", "no token, \"at\" all"),
        ("", ""),
    ] {
        let mut raw = ask(&server, &format!("/05_unoffered?{query}"), &offer).await;
        raw.expect_bytes(format!("{SWITCHING}Sec-WebSocket-Protocol: {sent}\r\n\r\n"))
            .await;
        raw.expect_text("protocol").await;
    }
}

/// Extension offers; refuse all; tune permessage-deflate.
#[tokio::test]
async fn c06_extension_offers() {
    let server = serve().await;
    let offer = [(
        "Sec-WebSocket-Extensions",
        "permessage-deflate; client_max_window_bits; server_max_window_bits=10, x-own; a=\"1\"",
    )];
    let offered = json!([
        {"name": "permessage-deflate", "params": {"client_max_window_bits": null, "server_max_window_bits": "10"}},
        {"name": "x-own", "params": {"a": "1"}},
    ]);
    for (query, params) in [
        ("?refuse", None),
        (
            "",
            Some(
                json!({"server_no_context_takeover": null, "client_no_context_takeover": null, "server_max_window_bits": "10"}),
            ),
        ),
        (
            "?tune",
            Some(
                json!({"client_no_context_takeover": null, "server_max_window_bits": "10", "client_max_window_bits": "9"}),
            ),
        ),
    ] {
        let mut raw = Raw::connect(&server).await;
        let head = raw
            .handshake(&format!("/06_extensions{query}"), &offer)
            .await;
        let answer = head.header("Sec-WebSocket-Extensions");
        assert_eq!(answer.is_some(), params.is_some(), "{answer:?}");
        let accepted = params.map(|params| json!({"name": "permessage-deflate", "params": params}));
        let accepted: Vec<_> = accepted.into_iter().collect();
        assert_eq!(
            raw.json().await,
            json!({"offered": offered, "accepted": accepted})
        );
    }
}

/// Add response headers, ordered, repeated names.
#[tokio::test]
async fn c07_response_headers() {
    let server = serve().await;
    let mut raw = ask(&server, "/07_add_headers", &[]).await;
    raw.expect_bytes(format!(
        "{SWITCHING}X-First: 1\r\nSet-Cookie: a=1\r\nx-MIXED: \r\nSet-Cookie: b=2\r\n\r\n"
    ))
    .await;
    assert_eq!(
        raw.json().await,
        json!(["header", "header", "header", "header"])
    );

    let mut raw = ask(&server, "/07_raw_headers", &[]).await;
    raw.expect_bytes(format!(
        "{SWITCHING}X-Split: a\r\nX-Smuggled: b\r\nX Space:  two \r\n\
         Sec-WebSocket-Extensions: x-made-up; a=1\r\n\r\n"
    ))
    .await;
    raw.echoes(1).await;
}

/// Reject with any status, headers, body.
#[tokio::test]
async fn c08_rejections() {
    let server = serve().await;
    for (query, line, headers, body) in [
        ("status", "404 Not Found", &[][..], ""),
        ("reason", "418 I'm a teapot", &[], ""),
        (
            "body",
            "401 Say who you are",
            &[
                ("WWW-Authenticate", "Basic realm=\"one\""),
                ("WWW-Authenticate", "Basic realm=\"two\""),
            ],
            "Nobody knows you.\n",
        ),
        (
            "redirect",
            "302 Found",
            &[("Location", "ws://localhost/elsewhere")],
            "",
        ),
        // 101 is no refusal: a mistake of the script.
        (
            "informal",
            "500 Internal Server Error",
            &[],
            "the handler failed; the server's log says where\n",
        ),
    ] {
        let mut raw = ask(&server, &format!("/08_reject?{query}"), &[]).await;
        raw.expect_bytes(format!("HTTP/1.1 {line}\r\n")).await;
        let rest = String::from_utf8(raw.until_eof().await).expect("UTF-8");
        let (head, found) = rest.split_once("\r\n\r\n").expect("a head");
        assert_eq!(found, body, "{query}");
        let lines: Vec<_> = head.split("\r\n").collect();
        let mut places = headers.iter().map(|(name, value)| {
            let line = format!("{name}: {value}");
            lines.iter().position(|found| *found == line)
        });
        assert!(places.all(|place| place.is_some()), "{query}: {head}");
        assert!(head.contains("WWW-Authenticate") == (query == "body"));
    }
}

/// Drop TCP silently.
#[tokio::test]
async fn c09_drop_the_handshake() {
    let server = serve().await;
    ask(&server, "/09_abort", &[]).await.expect_eof().await;
}

/// Write raw bytes and then (a) continue normally or (b) stop.
#[tokio::test]
async fn c10_raw_bytes_before_the_answer() {
    let server = serve().await;
    let bytes = b"FOO BAR BAZ\r\n\r\n\x00\xff";
    let mut raw = ask(&server, "/10_raw_write", &[]).await;
    raw.expect_bytes(bytes).await;
    raw.expect_bytes(format!("{SWITCHING}\r\n")).await;
    raw.echoes(1).await;

    let mut raw = ask(&server, "/10_raw_write?stop", &[]).await;
    raw.expect_bytes(bytes).await;
    raw.expect_eof().await;
}

/// Replace the whole handshake answer, incl. handshake + frames in one write.
#[tokio::test]
async fn c11_the_whole_answer() {
    let server = serve().await;
    let mut raw = ask(&server, "/11_answered", &[]).await;
    raw.expect_bytes(
        "HTTP/1.1 101 As I Like It\r\nsec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\
         upgrade: WebSocket\r\nCONNECTION: upgrade\r\n\r\n",
    )
    .await;
    raw.echoes(2).await;

    let mut raw = ask(&server, "/11_with_frames", &[]).await;
    raw.expect_bytes(format!("{SWITCHING}\r\n")).await;
    raw.expect_bytes(b"\x88\x02\x03\xe9").await;
    let close = Wire::close(1001, "").bytes();
    raw.send(&close).await;
    raw.expect_eof().await;
    let hex: String = close.iter().map(|byte| format!("{byte:02x}")).collect();
    server.log(&format!("the peer's Close: {hex}")).await;
}

/// Compute the accept key.
#[tokio::test]
async fn c12_accept_key() {
    let server = serve().await;
    let mut raw = open(&server, "/12_accept_key", &[]).await;
    let key = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
    assert_eq!(raw.json().await, json!([key, key]));
}

/// Read n raw bytes / wait for peer EOF before the upgrade.
#[tokio::test]
async fn c13_raw_bytes_before_the_upgrade() {
    let server = serve().await;
    // What the script does not read is the connection's.
    let mut raw = ask(&server, "/13_raw_read?exactly", &[]).await;
    raw.expect_bytes("5?").await;
    raw.send([&[0, 1, 2, 3, 4], &*Wire::text("behind").bytes()].concat())
        .await;
    raw.expect_bytes(format!("{SWITCHING}\r\n")).await;
    raw.expect_text("0001020304").await;
    raw.expect_text("behind").await;

    // Bytes that came with the head are the first to be read.
    let request = Request::upgrade("/13_raw_read?exactly").followed_by("12345");
    let mut raw = Raw::connect(&server).await;
    raw.send(request.bytes()).await;
    raw.expect_bytes(format!("5?{SWITCHING}\r\n")).await;
    raw.expect_text("3132333435").await;
    raw.echoes(1).await;

    let mut raw = ask(&server, "/13_raw_read?end", &[]).await;
    raw.send("the last").await;
    raw.finish().await;
    raw.expect_bytes("[the last]").await;
    raw.expect_eof().await;

    let mut raw = ask(&server, "/13_raw_read?in_time", &[]).await;
    raw.expect_bytes("[]").await;
    raw.expect_eof().await;

    let request = Request::upgrade("/13_raw_read?head").with("x-CaSe", "  a ");
    let mut raw = Raw::connect(&server).await;
    raw.send(request.bytes()).await;
    raw.expect_bytes(request.bytes()).await;
    raw.expect_eof().await;
}

/// Delay by seconds without holding up anybody else.
#[tokio::test]
async fn c14_delay() {
    let server = serve_with(&["--workers", "1"]).await;
    let sleeper = ask(&server, "/14_delay?3600", &[]).await;
    server.log("delays").await;
    let mut raw = ask(&server, "/14_delay?0.05", &[]).await;
    raw.expect_bytes(format!("{SWITCHING}\r\n")).await;
    raw.expect_text("true").await;
    Raw::open(&server, "/01_accept").await.echoes(10).await;
    drop(sleeper);
}

/// Store per-connection state for later hooks.
#[tokio::test]
async fn c15_state() {
    let server = serve().await;
    let mut one = Raw::open(&server, "/15_state?one").await;
    let mut two = Raw::open(&server, "/15_state?two").await;
    for (raw, name) in [(&mut one, "one"), (&mut two, "two")] {
        raw.send(Wire::text(name).bytes()).await;
        let expected = json!({"name": name, "hooks": ["handshake", "open", name]});
        assert_eq!(raw.json().await, expected);
    }
    for (mut raw, name) in [(one, "one"), (two, "two")] {
        raw.send(Wire::close(1000, "").bytes()).await;
        assert_eq!(raw.expect_close(1000).await, "4");
        raw.expect_eof().await;
        server
            .log(&format!(
                "{name}: [\"handshake\", \"open\", \"{name}\", \"closing\", \"close\"]"
            ))
            .await;
    }
}

/// Open hook: act before any message arrives.
#[tokio::test]
async fn c16_act_first() {
    let server = serve().await;
    let mut raw = ask(&server, "/16_speak_first", &[]).await;
    raw.expect_bytes(format!("{SWITCHING}\r\n")).await;
    raw.expect_bytes(b"\x81\x05first").await;

    let mut raw = ask(&server, "/16_close_first", &[]).await;
    raw.expect_bytes(format!("{SWITCHING}\r\n")).await;
    raw.expect_bytes(b"\x88\x02\x03\xe8").await;
    raw.send(Wire::close(1000, "").bytes()).await;
    raw.expect_eof().await;

    // With the first message in the same write as the request.
    let request = Request::upgrade("/16_pause_first").followed_by(Wire::text("early").bytes());
    let mut raw = Raw::connect(&server).await;
    raw.send(request.bytes()).await;
    raw.expect_bytes(format!("{SWITCHING}\r\n")).await;
    raw.expect_text("paused").await;
    raw.expect_text("early").await;
}

/// Message callback with text/binary distinction, empty messages, any Unicode, large payloads (8
/// MiB and up).
#[tokio::test]
async fn c17_messages() {
    let server = serve().await;
    let mut raw = Raw::open(&server, "/17_messages").await;
    for (text, length) in [
        ("", 0),
        ("\0", 1),
        ("発送 \u{feff}\u{fffd}\u{ffff}\u{10ffff}\r\n", 9),
        ("e\u{301}👨‍👩‍👧", 7),
    ] {
        raw.send(Wire::text(text).bytes()).await;
        raw.expect_text(&format!("string {length}")).await;
        raw.expect_text(text).await;
    }
    let large = vec![0xa5; 9 * 1024 * 1024];
    for bytes in [&[][..], &[0, 255], &large] {
        raw.send(Wire::binary(bytes).bytes()).await;
        raw.expect_text(&format!("blob {}", bytes.len())).await;
        raw.expect_frame(2, bytes).await;
    }
    let large = "é".repeat(4 * 1024 * 1024);
    raw.send(Wire::text(&large).bytes()).await;
    raw.expect_text(&format!("string {}", 4 * 1024 * 1024))
        .await;
    raw.expect_text(&large).await;
}

/// Send text / binary / fragments / ping / unsolicited pong.
#[tokio::test]
async fn c18_send() {
    let server = serve().await;
    let mut raw = Raw::open(&server, "/18_send").await;
    for bytes in [
        &b"\x81\x04text"[..],
        b"\x82\x02\x00\xff",
        b"\x01\x01a",
        b"\x89\x01p",
        b"\x00\x00",
        b"\x80\x01b",
        b"\x02\x01\x01",
        b"\x80\x01\x02",
        b"\x89\x00",
        b"\x8a\x01\x03",
        b"\x8a\x00",
    ] {
        raw.expect_bytes(bytes).await;
    }
    raw.expect_text(r#"{"json":[1,2.5,"é",null,true]}"#).await;

    let mut raw = Raw::open(&server, "/18_send_errors").await;
    raw.expect_bytes(b"\x01\x04text\x80\x01.").await;
    let kinds = json!(["ping", "ping", "type", "fragment", "fragment"]);
    assert_eq!(raw.json().await, kinds);
}

/// Close with code+reason, with empty body, from any hook; abort TCP from any hook.
#[tokio::test]
async fn c19_close_and_abort_from_any_hook() {
    let server = serve().await;
    for (message, close) in [
        ("code", &b"\x88\x02\x0f\xa1"[..]),
        ("nothing", b"\x88\x02\x03\xe8"),
        ("empty", b"\x88\x00"),
    ] {
        let mut raw = Raw::open(&server, "/19_close").await;
        raw.send(Wire::text(message).bytes()).await;
        raw.expect_bytes(close).await;
        raw.send(Wire::empty_close().bytes()).await;
        raw.expect_eof().await;
    }
    let hooks = [
        ("on_open", None),
        ("transfer_data", Some(Wire::text("x"))),
        ("on_ping", Some(Wire::ping("x"))),
        ("on_pong", Some(Wire::pong("x"))),
        ("on_timer", None),
        ("passive_closing_handshake", Some(Wire::close(1000, ""))),
    ];
    for (hook, trigger) in hooks {
        let trigger = trigger.map_or(Vec::new(), |frame| frame.bytes());
        let mut raw = Raw::open(&server, &format!("/19_close?{hook}")).await;
        raw.send(&trigger).await;
        assert_eq!(raw.expect_close(4000).await, hook);
        if !has_peers_close(hook) {
            raw.send(Wire::close(4000, "").bytes()).await;
        }
        raw.expect_eof().await;

        let mut raw = Raw::open(&server, &format!("/19_abort?{hook}")).await;
        raw.send(&trigger).await;
        if !has_peers_close(hook) {
            raw.expect_text(hook).await;
        }
        raw.expect_eof().await;
        let code = if has_peers_close(hook) { 1000 } else { 1006 };
        server.log(&format!("{hook} ended: {code} false")).await;
    }
}

/// Non-blocking sleep and timers; wall and monotonic clock.
#[tokio::test]
async fn c20_sleep_and_timers() {
    let server = serve_with(&["--workers", "1"]).await;
    let mut raw = Raw::open(&server, "/20_timers").await;
    for name in ["soon", "later", "replaced", "tick", "tick", "tick"] {
        raw.expect_text(name).await;
    }
    assert_eq!(raw.json().await, json!([true, false]), "cancel");

    // The Ping behind the message is answered before it.
    let asleep = [Wire::text("0.05").bytes(), Wire::ping("awake?").bytes()];
    raw.send(asleep.concat()).await;
    raw.expect_frame(10, "awake?").await;
    assert_eq!(raw.json().await, json!([true, true]));
}

/// Pause and resume reading (real TCP backpressure inwards).
#[tokio::test]
async fn c21_pause_and_resume() {
    let server = serve().await;
    server.warm_up("/01_accept").await;
    let before = server.memory().now;
    let mut raw = Raw::open(&server, "/21_pause").await;
    // More than all buffers on the way hold: the last of it leaves only after `resume`.
    for _ in 0..64 {
        raw.send(Wire::binary(vec![0; 1024 * 1024]).bytes()).await;
    }
    raw.expect_text("0").await;
    raw.send(Wire::text("how much").bytes()).await;
    raw.expect_text(&format!("{}", 64 * 1024 * 1024)).await;
    let grown = server.memory().peak.saturating_sub(before);
    assert!(grown < 24 * 1024, "{grown} KiB held while paused");
}

/// Awaitable, bounded sending (backpressure outwards) and buffered amount.
#[tokio::test]
async fn c22_bounded_sending() {
    let server = serve_with(&["--workers", "1"]).await;
    let mut raw = Raw::open(&server, "/22_send_queue").await;
    raw.send(Wire::text("go").bytes()).await;
    // The one worker is free for others, so the sender has come to its limit.
    Raw::open(&server, "/01_accept").await.echoes(20).await;
    let mut most = 0;
    for _ in 0..512 {
        let block = raw.frame().await.payload;
        assert_eq!(block.len(), 65_536);
        let unsent = u64::from_be_bytes(block[..8].try_into().expect("8 bytes"));
        most = most.max(unsent);
    }
    raw.expect_text("done").await;
    assert!((1..256 * 1024).contains(&most), "{most} bytes unsent");
}

/// Ping and pong hooks, with opt-out of the automatic pong.
#[tokio::test]
async fn c23_ping_and_pong_hooks() {
    let server = serve().await;
    let mut raw = Raw::open(&server, "/23_ping_pong").await;
    raw.send(Wire::ping("").bytes()).await;
    raw.expect_text("ping ").await;
    raw.send(Wire::ping("a").bytes()).await;
    raw.expect_text("ping 61").await;
    raw.expect_bytes(b"\x8a\x07by hand").await;
    raw.send(Wire::pong("nobody asked").bytes()).await;
    raw.expect_text("pong 6e6f626f64792061736b6564").await;
    raw.send(Wire::text("there?").bytes()).await;
    raw.expect_bytes(b"\x89\x06there?").await;
    raw.send(Wire::pong("there?").bytes()).await;
    raw.expect_text("pong 74686572653f").await;
}

/// Raw socket write after the upgrade.
#[tokio::test]
async fn c24_raw_write() {
    let server = serve().await;
    let mut raw = Raw::open(&server, "/24_raw_write").await;
    for frame in [Wire::text("no frame"), Wire::binary("no frame")] {
        raw.send(frame.bytes()).await;
        raw.expect_bytes(b"\x81\x05frameno frame\x81\x05frame")
            .await;
    }
}

/// Frame builder with every bit settable.
#[tokio::test]
async fn c25_frame_builder() {
    let server = serve().await;
    let mut raw = Raw::open(&server, "/25_frame").await;
    let mut cases = vec![
        (json!({}), "8100".to_owned()),
        (json!({"payload": "hi"}), "81026869".into()),
        (json!({"payload": "0x00ff"}), "820200ff".into()),
        (json!({"fin": false, "payload": "hi"}), "01026869".into()),
        (json!({"rsv1": true}), "c100".into()),
        (json!({"rsv2": true}), "a100".into()),
        (json!({"rsv3": true}), "9100".into()),
        (
            json!({"fin": false, "rsv1": true, "rsv2": true, "rsv3": true, "opcode": 15}),
            "7f00".into(),
        ),
        // The masked frame of RFC 6455 section 5.7.
        (
            json!({"mask": "0x37fa213d", "payload": "Hello"}),
            "818537fa213d7f9f4d5158".into(),
        ),
        (json!({"mask": "0x00000000"}), "818000000000".into()),
        (
            json!({"length_form": 7, "payload": "hi"}),
            "81026869".into(),
        ),
        (
            json!({"length_form": 16, "payload": "hi"}),
            "817e00026869".into(),
        ),
        (
            json!({"length_form": 64, "payload": "hi"}),
            "817f00000000000000026869".into(),
        ),
        (json!({"length": 5, "payload": "hi"}), "81056869".into()),
        (json!({"length": 126}), "817e007e".into()),
        (json!({"length": 65536}), "817f0000000000010000".into()),
        (
            json!({"length": i64::MAX, "mask": "0x01020304", "payload": "0x00"}),
            "82ff7fffffffffffffff0102030401".into(),
        ),
        (
            json!({"payload": "x".repeat(126)}),
            format!("817e007e{}", "78".repeat(126)),
        ),
        (
            json!({"opcode": 9, "fin": false, "payload": "x".repeat(126)}),
            format!("097e007e{}", "78".repeat(126)),
        ),
    ];
    // Opcode 8 is the server's Close, and has its own test.
    for opcode in (0..16).filter(|opcode| *opcode != 8) {
        cases.push((json!({"opcode": opcode}), format!("8{opcode:x}00")));
    }
    for (frame, hex) in cases {
        raw.send(Wire::text(frame.to_string()).bytes()).await;
        raw.expect_text(&hex).await;
        raw.expect_bytes(bytes_of(&hex)).await;
    }

    // A mask that the server chooses.
    raw.send(Wire::text(json!({"mask": true, "payload": "Hello"}).to_string()).bytes())
        .await;
    raw.frame().await;
    let frame = raw.exactly(11).await;
    assert_eq!(frame[..2], [0x81, 0x85]);
    let unmasked: Vec<_> = (0..5).map(|i| frame[6 + i] ^ frame[2 + i % 4]).collect();
    assert_eq!(unmasked, b"Hello");
}

/// Frame-level receive hook.
#[tokio::test]
async fn c25_frame_hook() {
    let server = serve().await;
    let mut raw = Raw::open(&server, "/25_on_frame").await;
    let seen = |fin: bool, rsv: [bool; 3], opcode: u8, payload: &str| json!({"fin": fin, "rsv": rsv, "opcode": opcode, "payload": payload});
    let none = [false; 3];

    raw.send(Wire::text("fr").more().bytes()).await;
    assert_eq!(raw.json().await, seen(false, none, 1, "6672"));
    raw.send(Wire::ping("p").bytes()).await;
    assert_eq!(raw.json().await, seen(true, none, 9, "70"));
    raw.expect_frame(10, "p").await;
    raw.send(Wire::continuation("ag").bytes()).await;
    assert_eq!(raw.json().await, seen(true, none, 0, "6167"));
    raw.expect_text("message 4").await;

    // What would end the connection, hidden from the protocol.
    raw.send(Wire::new(11, "hide").rsv(5).more().bytes()).await;
    assert_eq!(
        raw.json().await,
        seen(false, [true, false, true], 11, "68696465")
    );
    raw.send(Wire::binary("").bytes()).await;
    assert_eq!(raw.json().await, seen(true, none, 2, ""));
    raw.expect_text("message 0").await;

    raw.send(Wire::new(11, "seen").bytes()).await;
    assert_eq!(raw.json().await, seen(true, none, 11, "7365656e"));
    raw.expect_close(1002).await;
    server.log("ended: 1002 false").await;

    // The closing handshake goes on behind the hook, whoever begins it and whatever waits.
    let mut raw = Raw::open(&server, "/25_on_frame").await;
    raw.send(Wire::close(4001, "").bytes()).await;
    assert_eq!(raw.json().await, seen(true, none, 8, "0fa1"));
    raw.expect_close(4001).await;
    raw.expect_eof().await;
    server.log("ended: 4001 true").await;

    for pipelined in [true, false] {
        let mut raw = Raw::open(&server, "/25_on_frame").await;
        let (message, close) = (Wire::text("close").bytes(), Wire::close(4000, "").bytes());
        if pipelined {
            raw.send([&*message, &close].concat()).await;
        } else {
            raw.send(message).await;
        }
        assert_eq!(raw.json().await, seen(true, none, 1, "636c6f7365"));
        raw.expect_close(4000).await;
        if !pipelined {
            raw.send(close).await;
        }
        raw.expect_eof().await;
        server.log("ended: 4000 true").await;
    }
}

/// Compress on/off per message; BFINAL; (raw inflate/deflate).
#[tokio::test]
async fn c26_compression_per_message() {
    let server = serve().await;
    let mut raw = Raw::connect(&server).await;
    let offer = [("Sec-WebSocket-Extensions", "permessage-deflate")];
    let head = raw.handshake("/26_compress", &offer).await;
    assert!(head.header("Sec-WebSocket-Extensions").is_some());
    raw.send(Wire::text("Hello").bytes()).await;
    // RFC 7692 sections 7.2.3.1 and 7.2.3.4.
    for (rsv, hex) in [
        (4, "f248cdc9c90700"),
        (0, "48656c6c6f"),
        (4, "f348cdc9c9070000"),
    ] {
        let frame = raw.frame().await;
        assert_eq!((frame.opcode, frame.rsv), (1, rsv));
        assert_eq!(frame.payload, bytes_of(hex));
    }
}

/// (Compress on/off per message; BFINAL;) raw inflate/deflate.
#[tokio::test]
async fn c26_raw_inflate_and_deflate() {
    let server = serve().await;
    let mut raw = Raw::open(&server, "/26_inflate").await;
    // RFC 7692 section 7.2.3, with the tail that permessage-deflate strips: usual, stored, with
    // BFINAL.
    for hex in [
        "f248cdc9c907000000ffff",
        "000500faff48656c6c6f000000ffff",
        "f348cdc9c90700",
    ] {
        raw.send(Wire::binary(bytes_of(hex)).bytes()).await;
        raw.expect_text("Hello").await;
    }
    let text = "Hello".repeat(1_000);
    raw.send(Wire::text(&text).bytes()).await;
    let frame = raw.frame().await;
    assert!(frame.rsv == 0 && frame.opcode == 2 && frame.payload.len() < 100);
    raw.send(Wire::binary(frame.payload).bytes()).await;
    raw.expect_text(&text).await;
}

/// Is-open / close-sent / close-received state.
#[tokio::test]
async fn c27_ready_state() {
    let server = serve().await;
    let mut raw = Raw::open(&server, "/27_state").await;
    raw.expect_text("open").await;
    raw.send(Wire::close(1000, "").bytes()).await;
    // The Close has come, and ours has not gone: a last word may.
    assert_eq!(raw.expect_close(1000).await, "open");
    raw.expect_eof().await;
    server.log("1000: ended, closed").await;

    let mut raw = Raw::open(&server, "/27_state").await;
    raw.expect_text("open").await;
    raw.send(Wire::text("x").bytes()).await;
    raw.answer_close(4000).await;
    raw.expect_eof().await;
    server.log("x: Close sent, closing").await;
    server.log("4000: ended, closed").await;
}

/// Client-close hook with code and reason; choose reply code/reason/empty; delay it; suppress it.
#[tokio::test]
async fn c28_answers_to_a_close() {
    let server = serve().await;
    for (close, answer) in [
        (Wire::close(1000, "code"), &b"\x88\x02\x0f\xa1"[..]),
        (
            Wire::close(3999, "both"),
            b"\x88\x16\x0f\xa2instead of 3999 both",
        ),
        (Wire::close(1000, "empty"), b"\x88\x00"),
        (Wire::close(1001, "late"), b"\x88\x02\x03\xe9"),
        (Wire::close(1000, "none"), b""),
        (Wire::close(1000, "by hand"), b"\x88\x02\x0f\xa4"),
        (Wire::empty_close(), b"\x88\x06\x0f\xa31005"),
    ] {
        let mut raw = Raw::open(&server, "/28_closing").await;
        raw.send(close.bytes()).await;
        raw.expect_bytes(answer).await;
        raw.expect_eof().await;
    }
}

/// Invalid Close bodies (test mode).
#[tokio::test]
async fn c29_invalid_closes() {
    let server = serve().await;
    for hex in [
        "",
        "58",
        "0000",
        "03ed",
        "ffff",
        "03e8ff",
        &"61".repeat(126),
    ] {
        let mut raw = Raw::open(&server, "/29_invalid_close").await;
        raw.send(Wire::text(hex).bytes()).await;
        let body = bytes_of(hex);
        let head = match body.len() {
            126 => vec![0x88, 126, 0, 126],
            length => vec![0x88, length as u8],
        };
        raw.expect_bytes([head, body].concat()).await;
        raw.expect_text("behind it").await;
        raw.send(Wire::close(1002, "").bytes()).await;
        raw.expect_eof().await;
        server.log("ended: 1002 true").await;
    }
}

/// Keep TCP open after Close.
#[tokio::test]
async fn c29_tcp_stays_open() {
    let server = serve().await;
    let mut brief = Raw::open(&server, "/29_keep_open?0.5").await;
    let mut long = Raw::open(&server, "/29_keep_open?3600").await;
    for raw in [&mut brief, &mut long] {
        raw.send(Wire::close(1000, "").bytes()).await;
        raw.expect_close(1000).await;
    }
    brief.expect_eof().await;
    // By now the other one would have ended, too.
    ends_not(long.at_end()).await;
    // Its last word is over; what it sends is taken, and not looked at.
    long.send(Wire::text("ignored").bytes()).await;
    ends_not(long.at_end()).await;
}

/// Disconnect hook that always runs, with or without Close.
#[tokio::test]
async fn c30_the_last_hook() {
    let mut server = serve().await;
    for (name, frame, ended) in [
        ("client", Wire::close(4001, "bye"), "4001 [bye] true"),
        ("empty", Wire::empty_close(), "1005 [] true"),
        // The code and the reason are those of the Close that came, as in browsers.
        ("server", Wire::text("close"), "4000 [] true"),
        ("abort", Wire::text("abort"), "1006 ["),
        ("fault", Wire::text("fault"), "1011 [] true"),
        ("unmasked", Wire::text("x").unmasked(), "1002 ["),
        ("lost", Wire::text("nothing"), "1006 ["),
        ("reset", Wire::text("nothing"), "1006 ["),
        ("asleep", Wire::text("sleep"), "1006 ["),
    ] {
        let mut raw = Raw::open(&server, &format!("/30_on_close?{name}")).await;
        raw.send(frame.bytes()).await;
        match name {
            "client" | "empty" | "abort" | "unmasked" => drop(raw.until_eof().await),
            "server" => raw.answer_close(4000).await,
            "fault" => raw.answer_close(1011).await,
            "asleep" => {
                server.log("asleep").await;
                drop(raw);
            }
            "reset" => raw.reset(),
            _ => drop(raw),
        }
        server.log(&format!("{name}: ended {ended}")).await;
    }
    assert_eq!(server.count(["ended 1006 [", "] false"]), 4, "not clean");
    let mut raw = Raw::open(&server, "/30_on_close?shutdown").await;
    server.signal("TERM");
    raw.answer_close(1001).await;
    assert!(server.exited().await.success());
    server.log("shutdown: ended 1001 [").await;
    assert_eq!(server.count(": ended "), 10, "once a connection");
}

/// JSON.
#[tokio::test]
async fn c35_json() {
    let server = serve().await;
    let mut raw = Raw::open(&server, "/35_json").await;
    let deep = |depth| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    for (text, answer) in [
        (
            r#" {"b": 1, "a": [1.5, "\u00e9\n\"", null, true, {}]} "#,
            r#"{"a":[1.5,"é\n\"",null,true,{}],"b":1}"#,
        ),
        ("9007199254740993", "9007199254740993"),
        ("-0.5e3", "-500.0"),
        (r#"{"a":1,"a":2}"#, r#"{"a":2}"#),
        ("1e400", "error json"),
        ("[1,]", "error json"),
        ("", "error json"),
        (r#""\ud800""#, "error json"),
        (&deep(60), &deep(60)),
        (&deep(65), "error json"),
    ] {
        raw.send(Wire::text(text).bytes()).await;
        raw.expect_text(answer).await;
    }
}

/// Blobs (slice, concat, fill, pack integers, hex, base64).
#[tokio::test]
async fn c35_blobs() {
    let server = serve().await;
    let mut raw = Raw::open(&server, "/35_blobs").await;
    for hex in [
        "01fe".into(),
        "0001fe616161".into(),
        "6161616262".into(),
        "01000200000003".to_owned() + "0000000000000004",
        "feff0000003f000000000000f8bf6162".into(),
    ] {
        raw.expect_frame(2, bytes_of(&hex)).await;
    }
    assert_eq!(raw.json().await, json!([-1, 258]));
    raw.expect_text("0001fe AAH+ -_8").await;
    raw.expect_frame(2, bytes_of("0001fefbff")).await;
    raw.expect_text("true false 254 3").await;
}

/// UTF-8 checks, string split, URL decoding, random, SHA-1/accept helper.
#[tokio::test]
async fn c35_text() {
    let server = serve().await;
    let mut raw = Raw::open(&server, "/35_text").await;
    assert_eq!(raw.json().await, json!([true, false, "é"]));
    raw.expect_text("utf8").await;
    let split = json!([["a", "b", "", "c"], ["a", "b c"]]);
    assert_eq!(raw.json().await, split);
    assert_eq!(raw.json().await, json!(["a bé", "a%20b%2F%C3%A9%3F"]));
    let digests = json!([
        "a9993e364706816aba3e25717850c26c9cd0d89d",
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        "f7bc83f430538424b13298e6aa6fb143ef4d59a14946175997479dbc2d1a3cd8",
    ]);
    assert_eq!(raw.json().await, digests);
    assert_eq!(raw.json().await, json!([true, true, true, 16, 36]));
    raw.expect_text("true").await;
}

/// Log with levels.
#[tokio::test]
async fn c35_log() {
    let server = serve_with(&["--log-level", "debug"]).await;
    let mut raw = Raw::open(&server, "/35_log").await;
    raw.send(Wire::text("a\nb").bytes()).await;
    raw.expect_text("logged").await;
    for (level, text) in [
        ("DEBUG", "debug: a"),
        (" INFO", "info: a"),
        (" INFO", "print: a"),
        (" WARN", "warn: a"),
        ("ERROR", "error: a"),
    ] {
        // One event is one line, whatever a client sends.
        let text = format!("{text}\\nb");
        let line = server.log([level, &text, "35_log_wsh.rhai"]).await;
        assert!(line.contains("transfer_data"), "{line}");
    }
}

/// Defined result for script errors in each hook.
#[tokio::test]
async fn c36_faults() {
    let server = serve().await;
    let mut beside = Raw::open(&server, "/01_accept").await;
    for (query, status) in [("throw", 403), ("do_extra_handshake", 500)] {
        let mut raw = ask(&server, &format!("/36_faults?{query}"), &[]).await;
        raw.expect_refusal(status).await;
    }
    server.fault("do_extra_handshake").await;
    for (hook, trigger) in [
        ("on_open", None),
        ("on_frame", Some(Wire::text("x"))),
        ("transfer_data", Some(Wire::text("x"))),
        ("on_ping", Some(Wire::ping("x"))),
        ("on_pong", Some(Wire::pong("x"))),
        ("on_timer", None),
        ("passive_closing_handshake", Some(Wire::close(1000, ""))),
    ] {
        let mut raw = Raw::open(&server, &format!("/36_faults?{hook}")).await;
        raw.send(trigger.map_or(Vec::new(), |frame| frame.bytes()))
            .await;
        raw.expect_close(1011).await;
        if !has_peers_close(hook) {
            raw.send(Wire::close(1011, "").bytes()).await;
        }
        raw.expect_eof().await;
        server.fault(hook).await;
        let code = if has_peers_close(hook) { 1000 } else { 1011 };
        server.log(&format!("{hook}: ended {code}")).await;
    }
    let mut raw = Raw::open(&server, "/36_faults?on_close").await;
    raw.send(Wire::close(1000, "").bytes()).await;
    raw.expect_close(1000).await;
    raw.expect_eof().await;
    server.fault("on_close").await;

    let mut raw = Raw::open(&server, "/36_loop_fault").await;
    raw.send(Wire::text("one").bytes()).await;
    raw.expect_text("one").await;
    raw.expect_close(1011).await;
    server.fault("transfer_data").await;

    server.fault("on_load").await;
    server.fault("on_interval").await;
    Raw::open(&server, "/36_load_fault").await.echoes(1).await;
    beside.echoes(1).await;
}

async fn serve() -> Server {
    serve_with(&[]).await
}

async fn serve_with(args: &[&str]) -> Server {
    let builder = Server::builder().bare();
    let builder = builder.args(["-p", "0", "-w", FOLDER, "--allow-raw"]);
    builder.args(args).start().await
}

/// Sends an upgrade and leaves the answer to be read.
async fn ask(server: &Server, target: &str, headers: &[(&str, &str)]) -> Raw {
    let mut request = Request::upgrade(target);
    for (name, value) in headers {
        request = request.with(name, value);
    }
    let mut raw = Raw::connect(server).await;
    raw.send(request.bytes()).await;
    raw
}

/// A connection whose upgrade has been accepted.
async fn open(server: &Server, target: &str, headers: &[(&str, &str)]) -> Raw {
    let mut raw = ask(server, target, headers).await;
    raw.head().await.expect_upgrade();
    raw
}

/// Whether the client's Close has come when this hook runs.
fn has_peers_close(hook: &str) -> bool {
    hook == "passive_closing_handshake"
}

/// What must not happen, within a moment: too short a moment can hide a failure, and cannot make
/// one.
async fn ends_not(end: impl Future) {
    let moment = Duration::from_millis(100);
    assert!(tokio::time::timeout(moment, end).await.is_err(), "ended");
}

fn bytes_of(hex: &str) -> Vec<u8> {
    let digits = |i| u8::from_str_radix(&hex[i..i + 2], 16).expect("hex");
    (0..hex.len()).step_by(2).map(digits).collect()
}
