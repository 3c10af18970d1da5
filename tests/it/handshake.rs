//! The opening handshake and what is sent in its place: table 1.1 of the robustness study, row by
//! row. A test is named after its row; the rules behind all rows are one answer, `Connection:
//! close`, FIN.

use std::time::Duration;

use crate::support::{ECHO, Head, PATIENCE, Raw, Request, Server, Wire, every_case, within};

const HANDLERS: &[(&str, &str)] = &[
    ("echo_wsh.rhai", ECHO),
    (
        "reject_wsh.rhai",
        r#"fn do_extra_handshake(request) { request.reject(403, "not you"); }  fn transfer_data(ws, message) {}"#,
    ),
    (
        "broken_wsh.rhai",
        "fn transfer_data(ws, message) {\n    ws.send(;\n}\n",
    ),
];

/// The upgrade that the rows bend.
fn upgrade() -> Request {
    Request::upgrade("/echo")
}

/// Every one of these requests is refused with its status, in exactly one answer.
async fn refuses<N: Into<String>>(
    server: &Server,
    cases: impl IntoIterator<Item = (N, Vec<u8>, u16)>,
) {
    let port = server.port();
    let case = |(name, bytes, status)| {
        let case = async move {
            let mut raw = Raw::connect_to(port).await;
            raw.send(bytes).await;
            raw.expect_refusal(status).await;
        };
        (name, case)
    };
    every_case(cases.into_iter().map(case)).await;
}

/// Every one of these requests is accepted, and the echo behind it works.
async fn accepts(server: &Server, cases: impl IntoIterator<Item = (&str, Request)>) {
    let port = server.port();
    let case = |(name, request): (&str, Request)| {
        let name = name.to_owned();
        let case = async move {
            let mut raw = Raw::connect_to(port).await;
            raw.send(request.bytes()).await;
            raw.head().await.expect_upgrade();
            raw.send(Wire::text("echo").bytes()).await;
            raw.expect_text("echo").await;
        };
        (name, case)
    };
    every_case(cases.into_iter().map(case)).await;
}

/// The answer's head to one request on a connection of its own.
async fn answer(server: &Server, request: &Request) -> Head {
    let mut raw = Raw::connect(server).await;
    raw.send(request.bytes()).await;
    raw.head().await
}

#[tokio::test]
async fn h01_other_methods() {
    let server = Server::start(HANDLERS).await;
    for method in [
        "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "CONNECT", "BREW",
    ] {
        let mut raw = Raw::connect(&server).await;
        let request = upgrade().line(format!("{method} /echo HTTP/1.1"));
        raw.send(request.bytes()).await;
        let head = raw.expect_refusal(405).await;
        assert!(head.has("Allow", "GET"), "{method}: {head:?}");
    }
}

#[tokio::test]
async fn h02_other_versions() {
    let server = Server::start(HANDLERS).await;
    let versions = [
        ("GET /echo HTTP/1.0", 400),
        ("GET /echo", 400),
        ("GET /echo HTTP/1.10", 400),
        ("GET /echo HTTP/1", 400),
        ("GET /echo HTTP/1.1.1", 400),
        ("GET /echo http/1.1", 400),
        ("GET /echo HTTP/9.9", 505),
        ("GET /echo HTTP/2.0", 505),
    ];
    refuses(
        &server,
        versions.map(|(line, status)| (line, upgrade().line(line).bytes(), status)),
    )
    .await;
}

#[tokio::test]
async fn h03_host_missing_repeated_or_malformed() {
    let server = Server::start(HANDLERS).await;
    let cases = [
        ("no Host", upgrade().without("Host")),
        ("two Hosts", upgrade().with("Host", "localhost")),
        (
            "two different Hosts",
            upgrade().with("Host", "example.test"),
        ),
        ("empty Host", upgrade().set("Host", "")),
        ("Host: a b", upgrade().set("Host", "a b")),
        ("Host: a,b", upgrade().set("Host", "a,b")),
        ("Host with a path", upgrade().set("Host", "localhost/echo")),
        ("Host with a user", upgrade().set("Host", "user@localhost")),
        (
            "no Host without upgrade",
            Request::get("/echo").without("Host"),
        ),
    ];
    refuses(
        &server,
        cases.map(|(name, request)| (name, request.bytes(), 400)),
    )
    .await;
    let hosts = [
        "localhost:9998",
        "127.0.0.1",
        "127.0.0.1:80",
        "[::1]",
        "[::1]:9998",
        "LOCALHOST",
    ];
    accepts(
        &server,
        hosts.map(|host| (host, upgrade().set("Host", host))),
    )
    .await;
}

#[tokio::test]
async fn h04_connection_header_in_every_legal_form() {
    let server = Server::start(HANDLERS).await;
    let forms = [
        "keep-alive, Upgrade",
        "keep-alive,\tUpgrade",
        "upgrade",
        "UPGRADE",
        "Upgrade,keep-alive",
        " ,Upgrade, ,",
        "\tUpgrade\t",
    ];
    accepts(
        &server,
        forms.map(|form| (form, upgrade().set("Connection", form))),
    )
    .await;
    let two_lines = |first, second| {
        upgrade()
            .set("Connection", first)
            .with("Connection", second)
    };
    accepts(
        &server,
        [
            (
                "keep-alive, then Upgrade",
                two_lines("keep-alive", "Upgrade"),
            ),
            (
                "Upgrade, then keep-alive",
                two_lines("Upgrade", "keep-alive"),
            ),
            (
                "lower-case names",
                upgrade()
                    .without("Connection")
                    .with("connection", "upgrade"),
            ),
            ("Upgrade: WebSocket", upgrade().set("Upgrade", "WebSocket")),
            ("Upgrade: WEBSOCKET", upgrade().set("Upgrade", "WEBSOCKET")),
        ],
    )
    .await;
}

#[tokio::test]
async fn h05_connection_without_a_comma() {
    let server = Server::start(HANDLERS).await;
    refuses(
        &server,
        [(
            "foo Upgrade",
            upgrade().set("Connection", "foo Upgrade").bytes(),
            400,
        )],
    )
    .await;
}

#[tokio::test]
async fn h06_upgrade_to_one_of_several() {
    let server = Server::start(HANDLERS).await;
    let two_lines = upgrade().set("Upgrade", "h2c").with("Upgrade", "websocket");
    accepts(
        &server,
        [
            ("h2c, websocket", upgrade().set("Upgrade", "h2c, websocket")),
            ("two lines", two_lines),
        ],
    )
    .await;
    for other in ["WebSocket/13", "websockets", "h2c websocket"] {
        let head = answer(&server, &upgrade().set("Upgrade", other)).await;
        assert!(
            matches!(head.status, 400 | 426),
            "Upgrade: {other} got {head:?}"
        );
    }
}

#[tokio::test]
async fn h07_plain_get_of_a_handler() {
    let server = Server::start(HANDLERS).await;
    let mut raw = Raw::connect(&server).await;
    raw.send(Request::get("/echo").bytes()).await;
    let head = raw.expect_refusal(426).await;
    assert!(head.has("Upgrade", "websocket"), "{head:?}");
    assert!(head.has("Connection", "Upgrade"), "{head:?}");
}

#[tokio::test]
async fn h08_version_other_than_13() {
    let server = Server::start(HANDLERS).await;
    let cases = [
        ("absent", upgrade().without("Sec-WebSocket-Version")),
        ("twice", upgrade().with("Sec-WebSocket-Version", "13")),
        ("13, then 8", upgrade().with("Sec-WebSocket-Version", "8")),
    ];
    let values = [
        "",
        "0",
        "7",
        "8",
        "12",
        "14",
        "013",
        "+13",
        "13, 8",
        "13.0",
        "130",
        "websocket",
    ];
    let values = values.map(|value| (value, upgrade().set("Sec-WebSocket-Version", value)));
    for (name, request) in cases.into_iter().chain(values) {
        let mut raw = Raw::connect(&server).await;
        // The second request is what a proxy that trusts the upgrade would smuggle.
        raw.send(request.followed_by(Request::get("/echo").bytes()).bytes())
            .await;
        let head = raw.expect_refusal(426).await;
        assert_eq!(
            head.header("Sec-WebSocket-Version"),
            Some("13"),
            "version {name:?}"
        );
    }
    let long = upgrade().set("Sec-WebSocket-Version", "1".repeat(64 * 1024));
    refuses(&server, [("64 KiB", long.bytes(), 431)]).await;
}

#[tokio::test]
async fn h09_malformed_key() {
    let server = Server::start(HANDLERS).await;
    let keys = [
        "",
        "dGhlIHNhbXBsZSBub25j",     // 15 bytes
        "dGhlIHNhbXBsZSBub25jZTE=", // 17 bytes
        "dGhlIHNhbXBsZSBub25jZQ",   // no padding
        "dGhlIHNhbXBsZSBub25jZ===", // too much of it
        "dGhlIHNhbXBsZSBub25*ZQ==", // not base64
        "dGhlIHNhbXBsZSBub25-ZQ==", // the other base64
        "dGhlIHNhbXBs ZSBub25jZQ==",
        "dGhlIHNhbXBsZSBub25jZQ==, dGhlIHNhbXBsZSBub25jZQ==",
    ];
    refuses(
        &server,
        keys.map(|key| (key, upgrade().set("Sec-WebSocket-Key", key).bytes(), 400)),
    )
    .await;
    let cases = [
        ("absent", upgrade().without("Sec-WebSocket-Key")),
        (
            "twice",
            upgrade().with("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ),
        (
            "two keys",
            upgrade().with("Sec-WebSocket-Key", "AQIDBAUGBwgJCgsMDQ4PEA=="),
        ),
    ];
    refuses(
        &server,
        cases.map(|(name, request)| (name, request.bytes(), 400)),
    )
    .await;
}

/// Section 4.1 of the RFC prints a key whose last digit has bits that belong to no byte. It is
/// accepted.
#[tokio::test]
async fn h10_key_of_the_rfc() {
    let server = Server::start(HANDLERS).await;
    let head = answer(
        &server,
        &upgrade().set("Sec-WebSocket-Key", "AQIDBAUGBwgJCgsMDQ4PEC=="),
    )
    .await;
    assert_eq!(head.status, 101, "{head:?}");
    assert_eq!(
        head.header("Sec-WebSocket-Accept"),
        Some("OfS0wDaT5NoxF2gqm7Zj2YtetzM=")
    );
}

#[tokio::test]
async fn h11_upgrade_with_a_body() {
    let server = Server::start(HANDLERS).await;
    let counted = upgrade().with("Content-Length", "5");
    let chunked = upgrade().with("Transfer-Encoding", "chunked");
    let cases = [
        ("counted, at once", counted.clone().followed_by("hello")),
        ("counted, to come", counted),
        (
            "chunked, at once",
            chunked.clone().followed_by("5\r\nhello\r\n0\r\n\r\n"),
        ),
        ("chunked, to come", chunked),
        (
            "a huge one",
            upgrade().with("Content-Length", "1000000000000"),
        ),
    ];
    refuses(
        &server,
        cases.map(|(name, request)| (name, request.bytes(), 400)),
    )
    .await;
}

#[tokio::test]
async fn h12_frames_behind_the_request() {
    let server = Server::start(HANDLERS).await;
    let large = vec![b'x'; 64 * 1024];
    let frames = [
        Wire::text("first").bytes(),
        Wire::ping("second").bytes(),
        Wire::binary(&large).bytes(),
    ];
    let mut raw = Raw::connect(&server).await;
    raw.send(upgrade().followed_by(frames.concat()).bytes())
        .await;
    raw.head().await.expect_upgrade();
    let mut frames = [raw.frame().await, raw.frame().await, raw.frame().await];
    // The pong may overtake a message, never the other way round.
    frames.sort_by_key(|frame| frame.opcode);
    let [text, binary, pong] = frames;
    assert_eq!((text.opcode, text.payload), (1, b"first".to_vec()));
    assert_eq!((binary.opcode, binary.payload == large), (2, true));
    assert_eq!((pong.opcode, pong.payload), (10, b"second".to_vec()));
}

#[tokio::test]
async fn h13_nothing_behind_a_refusal_is_answered() {
    let server = Server::start(HANDLERS).await;
    let cases = [
        ("no such path", Request::upgrade("/nothing"), 404),
        ("refused by the script", Request::upgrade("/reject"), 403),
        ("broken script", Request::upgrade("/broken"), 500),
        ("no key", upgrade().without("Sec-WebSocket-Key"), 400),
        (
            "no version",
            upgrade().without("Sec-WebSocket-Version"),
            426,
        ),
        ("no upgrade", Request::get("/echo"), 426),
        ("other method", upgrade().line("POST /echo HTTP/1.1"), 405),
    ];
    let behind = [
        Request::get("/admin").bytes(),
        upgrade().bytes(),
        Wire::text("x").bytes(),
    ]
    .concat();
    let case = |(name, request, status): (&'static str, Request, u16)| {
        (name, request.followed_by(&behind).bytes(), status)
    };
    refuses(&server, cases.map(case)).await;
}

#[tokio::test]
async fn h14_too_many_headers() {
    let server = Server::start(HANDLERS).await;
    let of =
        |count: usize| (5..count).fold(upgrade(), |request, i| request.with(&format!("a{i}"), "b"));
    accepts(&server, [("100", of(100))]).await;
    refuses(
        &server,
        [101, 1_000, 100_000].map(|count| (count.to_string(), of(count).bytes(), 431)),
    )
    .await;
}

#[tokio::test]
async fn h15_head_too_large() {
    let server = Server::start(HANDLERS).await;
    let filler = |request: Request, count| {
        (0..count).fold(request, |request, i| {
            request.with(&format!("a{i}"), "x".repeat(4_000))
        })
    };
    let long_target = format!("/echo?{}", "x".repeat(9_000));
    let refused = [
        ("line", upgrade().with("a", "x".repeat(9_000)), 431),
        ("block", filler(upgrade(), 5), 431),
        ("name", upgrade().with(&"x".repeat(9_000), "a"), 431),
        ("target", Request::upgrade(&long_target), 414),
    ];
    refuses(
        &server,
        refused.map(|(name, request, status)| (name, request.bytes(), status)),
    )
    .await;
    let target = format!("/echo?{}", "x".repeat(7_000));
    accepts(
        &server,
        [
            ("line", upgrade().with("a", "x".repeat(8_000))),
            ("block", filler(upgrade(), 3)),
            ("target", Request::upgrade(&target)),
        ],
    )
    .await;
}

#[tokio::test]
async fn h15_head_that_never_ends() {
    let server = Server::start(HANDLERS).await;
    let line = [b"a: ".as_slice(), &[b'x'; 16 * 1024 * 1024]].concat();
    let mut raw = Raw::connect(&server).await;
    raw.send(b"GET /echo HTTP/1.1\r\nHost: localhost\r\n").await;
    // The server need not take it all; the answer must have come before it gives up.
    let _ = raw.try_send(&line[..256 * 1024]).await;
    assert_eq!(raw.head().await.status, 431);

    // And what waits for its end costs about what has been sent.
    server.warm_up("/echo").await;
    let before = server.memory().now;
    let mut waiting = Vec::new();
    for _ in 0..200 {
        let mut raw = Raw::connect(&server).await;
        raw.send(b"GET /echo HTTP/1.1\r\nHost: localhost\r\n").await;
        raw.send(
            [
                b"a: ".as_slice(),
                &[b'x'; 7_000],
                b"\r\nb: ",
                &[b'x'; 7_000],
            ]
            .concat(),
        )
        .await;
        waiting.push(raw);
    }
    // Served after them by both workers, so that their bytes have been read.
    server.warm_up("/echo").await;
    let grown = server.memory().now.saturating_sub(before);
    assert!(
        grown < 200 * 2 * 16 + 4_096,
        "{grown} KiB for 200 unfinished heads"
    );
}

#[tokio::test]
async fn h16_slow_or_silent_heads_end() {
    let server = Server::start(HANDLERS).await;
    let silent = Raw::connect(&server).await;
    let mut dripping = Raw::connect(&server).await;
    dripping
        .send("GET /echo HTTP/1.1\r\nHost: localhost\r\na: ")
        .await;
    let mut half = Raw::connect(&server).await;
    half.send(&upgrade().bytes()[..40]).await;

    let silent = tokio::spawn(ends(silent));
    let half = tokio::spawn(ends(half));
    let dripped = async {
        // Each byte would start a time-out per read anew.
        while tokio::time::timeout(Duration::from_millis(500), dripping.at_end())
            .await
            .is_err()
        {
            if dripping.try_send("x").await.is_err() {
                break;
            }
        }
    };
    let bound = 2 * PATIENCE;
    tokio::time::timeout(bound, dripped)
        .await
        .expect("the end of the dripping head");
    ends(dripping).await;
    tokio::time::timeout(bound, silent)
        .await
        .expect("the end of the silent one")
        .expect("FIN");
    tokio::time::timeout(bound, half)
        .await
        .expect("the end of the half head")
        .expect("FIN");
}

/// The connection ends, with an answer or without one.
async fn ends(mut raw: Raw) {
    let rest = raw.until_eof_within(2 * PATIENCE).await;
    let rest = String::from_utf8(rest).expect("text");
    assert!(
        rest.is_empty() || rest.starts_with("HTTP/1.1 408 "),
        "{rest}"
    );
}

#[tokio::test]
async fn h17_head_in_tiny_segments() {
    let server = Server::start(HANDLERS).await;
    let request = (0..90)
        .fold(upgrade(), |request, i| {
            request.with(&format!("a{i}"), "x".repeat(160))
        })
        .bytes();
    assert!(request.len() > 15_000);
    for size in [1, 28] {
        let mut raw = Raw::connect(&server).await;
        for piece in request.chunks(size) {
            raw.send(piece).await;
        }
        raw.head().await.expect_upgrade();
    }
}

#[tokio::test]
async fn h18_malformed_lines() {
    let server = Server::start(HANDLERS).await;
    let lines: [(&str, &[u8]); 12] = [
        ("obs-fold", b"a: b\r\n c"),
        ("obs-fold with a tab", b"a: b\r\n\tc"),
        ("space before the colon", b"a : b"),
        ("leading space", b" a: b"),
        ("NUL in a value", b"a: b\0c"),
        ("NUL in a name", b"a\0: b"),
        ("bare CR", b"a: b\rc"),
        ("no colon", b"abc"),
        ("no name", b": b"),
        ("parentheses in a name", b"a(b): c"),
        ("a name in UTF-8", "\u{e9}: b".as_bytes()),
        ("a control character in a value", b"a: \x01"),
    ];
    let whole = upgrade().bytes();
    let head = whole
        .strip_suffix(b"\r\n")
        .expect("an empty line at the end");
    let case = |(name, line)| (name, [head, line, b"\r\n\r\n"].concat(), 400);
    refuses(&server, lines.map(case)).await;
}

#[tokio::test]
async fn h19_bare_line_feeds() {
    let server = Server::start(HANDLERS).await;
    let text = String::from_utf8(upgrade().bytes()).expect("text");
    let cases = [
        ("everywhere", text.replace("\r\n", "\n")),
        ("after the request line", text.replacen("\r\n", "\n", 1)),
        ("after a header", text.replace("13\r\n", "13\n")),
        (
            "at the end",
            format!("{}\n", text.trim_end_matches("\r\n").to_owned() + "\r\n"),
        ),
    ];
    refuses(
        &server,
        cases.map(|(name, text)| (name, text.into_bytes(), 400)),
    )
    .await;
}

/// Bodies that two readers could end at different places; on a handler's path and on a document's.
const AMBIGUOUS: &[(&str, &[(&str, &str)])] = &[
    (
        "two lengths",
        &[("Content-Length", "5"), ("Content-Length", "6")],
    ),
    (
        "the same length twice",
        &[("Content-Length", "5"), ("Content-Length", "5")],
    ),
    ("two lengths in a line", &[("Content-Length", "5, 5")]),
    ("+5", &[("Content-Length", "+5")]),
    ("-5", &[("Content-Length", "-5")]),
    ("0x5", &[("Content-Length", "0x5")]),
    ("2^64", &[("Content-Length", "18446744073709551616")]),
    (
        "both",
        &[("Content-Length", "5"), ("Transfer-Encoding", "chunked")],
    ),
    ("xchunked", &[("Transfer-Encoding", "xchunked")]),
    (
        "chunked, identity",
        &[("Transfer-Encoding", "chunked, identity")],
    ),
    (
        "two encodings",
        &[
            ("Transfer-Encoding", "chunked"),
            ("Transfer-Encoding", "chunked"),
        ],
    ),
];

fn ambiguous(request: Request) -> Vec<(&'static str, Vec<u8>, u16)> {
    let case = |&(name, headers): &(&'static str, &[(&str, &str)])| {
        let request = headers
            .iter()
            .fold(request.clone(), |request, (name, value)| {
                request.with(name, value)
            });
        (
            name,
            request.followed_by("5\r\nhello\r\n0\r\n\r\n").bytes(),
            400,
        )
    };
    AMBIGUOUS.iter().map(case).collect()
}

async fn with_documents() -> Server {
    let builder = Server::builder()
        .files(HANDLERS)
        .file("www/index.html", "<p>here</p>");
    let www = builder.dir().join("www");
    builder.arg("-d").arg(www).start().await
}

#[tokio::test]
async fn h20_ambiguous_body_lengths() {
    let server = with_documents().await;
    refuses(&server, ambiguous(upgrade())).await;
    refuses(&server, ambiguous(Request::get("/index.html"))).await;
    let old = |request: Request| {
        let line = request.line.replace("1.1", "1.0");
        request
            .line(line)
            .with("Transfer-Encoding", "chunked")
            .bytes()
    };
    refuses(
        &server,
        [
            ("chunked on 1.0", old(upgrade()), 400),
            ("and on a file", old(Request::get("/index.html")), 400),
        ],
    )
    .await;
}

#[tokio::test]
async fn h21_bodies_are_refused_before_their_chunks() {
    let server = with_documents().await;
    let chunks = [
        ("overflow", "fffffffffffffffff\r\nx\r\n0\r\n\r\n"),
        ("LF in an extension", "2;\nxx\r\n0\r\n\r\n"),
        ("no size", "\r\n\r\n"),
        ("a correct one", "5\r\nhello\r\n0\r\n\r\n"),
        (
            "a hidden request",
            "0\r\n\r\nGET /index.html HTTP/1.1\r\nHost: localhost\r\n\r\n",
        ),
    ];
    for target in ["/echo", "/index.html", "/nothing"] {
        let request = Request::get(target).with("Transfer-Encoding", "chunked");
        let case = |(name, body)| {
            (
                format!("{name} to {target}"),
                request.clone().followed_by(body).bytes(),
                400,
            )
        };
        refuses(&server, chunks.map(case)).await;
    }
}

#[tokio::test]
async fn h22_subprotocols_offered_in_odd_ways() {
    let server = Server::start(HANDLERS).await;
    let offer = |value: &str| upgrade().with("Sec-WebSocket-Protocol", value);
    let spaces = format!("b{}x", " ".repeat(7_000));
    let malformed = [
        spaces.as_str(),
        "a b",
        "a;b",
        "a/b",
        "a\"b\"",
        "chat, (super)",
        "a@b",
        "\u{e9}",
    ];
    refuses(
        &server,
        malformed.map(|value| (value, offer(value).bytes(), 400)),
    )
    .await;
    let too_long = format!("b{}x", " ".repeat(32 * 1024));
    refuses(
        &server,
        [("32 KiB of spaces", offer(&too_long).bytes(), 431)],
    )
    .await;

    // Nobody chose one, so none may be in the answer, whether the list is taken or refused.
    let thousand: Vec<_> = (0..1_000).map(|i| format!("p{i}")).collect();
    for value in ["a,,b", ",", "", "a, a", "a, b,", &thousand.join(",")] {
        let head = answer(&server, &offer(value)).await;
        assert!(matches!(head.status, 101 | 400), "{value:?}: {head:?}");
        assert_eq!(head.header("Sec-WebSocket-Protocol"), None, "{value:?}");
    }
    let two_lines = offer("a").with("Sec-WebSocket-Protocol", "b, c");
    accepts(&server, [("two lines", two_lines)]).await;
}

#[tokio::test]
async fn h23_extension_headers_that_trip_parsers() {
    let server = Server::start(HANDLERS).await;
    let unclosed = format!("a; b=\"{}", "\\c".repeat(3_500));
    let closed = format!("{unclosed}\"");
    let many = "a;b=c,".repeat(1_000);
    let names = "constructor, __proto__, toString; valueOf=1; hasOwnProperty";
    for (value, status) in [
        (unclosed.as_str(), 400),
        (&closed, 101),
        (&many, 101),
        (names, 101),
        ("", 101),
        (",, ,", 101),
        ("a; b=\"", 400),
        ("a; b=", 400),
        ("; b", 400),
        ("=", 400),
        (";;;,,,", 400),
        ("a; b=\"\\\"", 400),
        ("a b", 400),
        ("permessage-deflate; \u{fc}", 400),
        ("permessage-deflate client_max_window_bits", 400),
    ] {
        let head = answer(&server, &upgrade().with("Sec-WebSocket-Extensions", value)).await;
        assert_eq!(head.status, status, "{value:.40}: {head:?}");
        assert_eq!(head.header("Sec-WebSocket-Extensions"), None, "{value:.40}");
    }
}

#[tokio::test]
async fn h24_unknown_extensions_are_not_taken() {
    let server = Server::start(HANDLERS).await;
    let once = upgrade().with("Sec-WebSocket-Extensions", "x-unknown; level=9");
    let twice = once
        .clone()
        .with("Sec-WebSocket-Extensions", "x-unknown; level=9");
    for request in [once, twice] {
        let head = answer(&server, &request).await;
        head.expect_upgrade();
        assert_eq!(head.header("Sec-WebSocket-Extensions"), None);
    }
}

#[tokio::test]
async fn h25_upgrade_to_http2() {
    let server = with_documents().await;
    let h2c = |target| {
        Request::get(target)
            .with("Upgrade", "h2c")
            .with("Connection", "Upgrade, HTTP2-Settings")
            .with("HTTP2-Settings", "AAMAAABkAARAAAAAAAIAAAAA")
    };
    assert_eq!(answer(&server, &h2c("/echo")).await.status, 426);
    let mut raw = Raw::connect(&server).await;
    raw.send(h2c("/index.html").bytes()).await;
    let head = raw.head().await;
    assert_eq!(head.status, 200, "{head:?}");
    assert_eq!(raw.body(&head).await, b"<p>here</p>");
}

#[tokio::test]
async fn h26_other_languages() {
    let server = Server::start(HANDLERS).await;
    let client_hello = [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".as_slice(),
        &[0x5a; 506],
    ]
    .concat();
    let greetings: [(&str, &[u8]); 6] = [
        (
            "HTTP/2",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0",
        ),
        ("TLS", &client_hello),
        ("SSH", b"SSH-2.0-OpenSSH_9.6\r\n"),
        ("Redis", b"*1\r\n$4\r\nPING\r\n"),
        ("Redis inline", b"PING\r\n\r\n"),
        (
            "a bare frame",
            b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58",
        ),
    ];
    let before = server.logged().lines().count();
    for (name, bytes) in greetings.iter().cycle().take(60) {
        let mut raw = Raw::connect(&server).await;
        raw.send(bytes).await;
        let rest = String::from_utf8(raw.until_eof().await).expect("text");
        let refused = ["HTTP/1.1 400 ", "HTTP/1.1 405 ", "HTTP/1.1 505 "];
        assert!(
            rest.is_empty() || refused.iter().any(|status| rest.starts_with(status)),
            "{name}: {rest}"
        );
        assert!(
            rest.matches("Connection: close").count() <= 1,
            "{name}: {rest}"
        );
    }
    let logged = server.logged().lines().count() - before;
    assert!(
        logged < 20,
        "{logged} lines for 60 strangers:\n{}",
        server.logged()
    );
}

#[tokio::test]
async fn h27_odd_targets() {
    let server = with_documents().await;
    let lines = [
        "GET http:///echo HTTP/1.1",
        "GET http://a@localhost/echo HTTP/1.1",
        "GET http://localhost/echo#fragment HTTP/1.1",
        "GET http:/localhost/echo HTTP/1.1",
        "GET ftp://localhost/echo HTTP/1.1",
        "GET localhost:80 HTTP/1.1",
        "GET * HTTP/1.1",
        "GET /echo#fragment HTTP/1.1",
        "GET  HTTP/1.1",
        "GET  /echo HTTP/1.1",
        "GET /echo  HTTP/1.1",
        "GET echo HTTP/1.1",
        "GET /ec ho HTTP/1.1",
        "GET /ech\u{f6} HTTP/1.1",
        "GET\t/echo HTTP/1.1",
    ];
    let refused = lines.map(|line| (line, upgrade().line(line).bytes(), 400));
    refuses(&server, refused).await;
    let plain = [
        "POST * HTTP/1.1",
        "GET * HTTP/1.1",
        "GET /index.html#fragment HTTP/1.1",
    ];
    refuses(
        &server,
        plain.map(|line| (line, Request::get("/").line(line).bytes(), 400)),
    )
    .await;
}

#[tokio::test]
async fn h28_script_adds_a_header_with_a_line_break() {
    let attempts = [
        r#"request.add_header("X-A", "b\r\nX-Evil: 1");"#,
        r#"request.add_header("X-A", "b\nX-Evil: 1");"#,
        r#"request.add_header("X-A", "b\x00X-Evil");"#,
        r#"request.add_header("X-A: b\r\nX-Evil", "1");"#,
        r#"request.add_header("X Evil", "1");"#,
        r#"request.add_header("", "X-Evil");"#,
        r#"request.protocol = "chat\r\nX-Evil: 1";"#,
    ];
    for attempt in attempts {
        let source = format!(
            "fn do_extra_handshake(request) {{ {attempt} }}\nfn transfer_data(ws, message) {{}}\n"
        );
        let server = Server::start(&[("bad_wsh.rhai", &source)]).await;
        let mut raw = Raw::connect(&server).await;
        raw.send(
            Request::upgrade("/bad")
                .with("Sec-WebSocket-Protocol", "chat")
                .bytes(),
        )
        .await;
        let answer = String::from_utf8(raw.until_eof().await).expect("text");
        assert!(answer.starts_with("HTTP/1.1 500 "), "{attempt}: {answer}");
        assert!(
            !answer.contains("X-Evil") && !answer.contains("X Evil"),
            "{attempt}: {answer}"
        );
        server.log("script fault").await;
    }
}

#[tokio::test]
async fn h29_script_chooses_a_protocol_nobody_offered() {
    let source = "fn do_extra_handshake(request) { request.protocol = \"chat\"; }\nfn \
        transfer_data(ws, message) {}\n";
    let server = Server::start(&[("chat_wsh.rhai", source)]).await;
    for offer in [None, Some("superchat"), Some("chatter"), Some("CHAT")] {
        let request = Request::upgrade("/chat");
        let request = offer.iter().fold(request, |request, offer| {
            request.with("Sec-WebSocket-Protocol", offer)
        });
        let mut raw = Raw::connect(&server).await;
        raw.send(request.bytes()).await;
        let head = raw.expect_refusal(500).await;
        assert_eq!(
            head.header("Sec-WebSocket-Protocol"),
            None,
            "offered: {offer:?}"
        );
        server.log("chat_wsh.rhai").await;
    }
    let head = answer(
        &server,
        &Request::upgrade("/chat").with("Sec-WebSocket-Protocol", "superchat, chat"),
    )
    .await;
    head.expect_upgrade();
    assert_eq!(head.header("Sec-WebSocket-Protocol"), Some("chat"));
}

#[tokio::test]
async fn h30_handshake_hook_throws_denies_or_never_ends() {
    let hook = |body: &str| {
        format!("fn do_extra_handshake(request) {{ {body} }}\nfn transfer_data(ws, message) {{}}\n")
    };
    let server = Server::start(&[
        ("throws_wsh.rhai", &hook("throw \"no\";")),
        (
            "denies_wsh.rhai",
            &hook("request.reject(401, \"who are you\", \"a body\");"),
        ),
        ("faults_wsh.rhai", &hook("let x = 1 / 0;")),
        ("spins_wsh.rhai", &hook("loop {}")),
        ("echo_wsh.rhai", ECHO),
    ])
    .await;
    let upgrade = |path| Request::upgrade(path).bytes();
    let cases = [
        ("/throws", 403),
        ("/denies", 401),
        ("/faults", 500),
        ("/spins", 500),
    ];
    refuses(
        &server,
        cases.map(|(path, status)| (path, upgrade(path), status)),
    )
    .await;
    // One more round on both workers: nothing of the hooks that failed is left in the way.
    refuses(
        &server,
        cases.map(|(path, status)| (path, upgrade(path), status)),
    )
    .await;
    for _ in 0..4 {
        accepts(&server, [("echo", Request::upgrade("/echo"))]).await;
    }
}

#[tokio::test]
async fn h31_half_requests_that_are_reset_leave_nothing() {
    let server = Server::start(HANDLERS).await;
    server.warm_up("/echo").await;
    let half = upgrade().bytes();
    let half = &half[..half.len() / 2];
    let mut echo = Raw::open(&server, "/echo").await;
    let before = (server.sockets(), server.memory().now);
    for _ in 0..20 {
        let mut batch = Vec::new();
        for _ in 0..100 {
            let mut raw = Raw::connect(&server).await;
            raw.send(half).await;
            batch.push(raw);
        }
        batch.into_iter().for_each(Raw::reset);
    }
    within("the descriptors to be closed", async {
        while server.sockets() > before.0 {
            echo.send(Wire::text("still there").bytes()).await;
            echo.expect_text("still there").await;
        }
    })
    .await;
    let grown = server.memory().now.saturating_sub(before.1);
    assert!(
        grown < 8 * 1024,
        "{grown} KiB grown over 2,000 half requests"
    );
}

#[tokio::test]
async fn unknown_and_broken_paths() {
    let server = Server::start(HANDLERS).await;
    let cases = [
        ("/nothing", 404),
        ("/", 404),
        ("/Echo", 404),
        ("/echo_wsh.rhai", 404),
        ("/echo/x", 404),
        ("/broken", 500),
    ];
    refuses(
        &server,
        cases.map(|(path, status)| (path, Request::upgrade(path).bytes(), status)),
    )
    .await;
}

/// G03: an answer shows nothing of the machine: no folder, no source, no line of the script.
#[tokio::test]
async fn g03_refusals_show_nothing_of_the_server() {
    let server = Server::start(HANDLERS).await;
    for path in ["/broken", "/nothing", "/reject"] {
        let mut raw = Raw::connect(&server).await;
        raw.send(Request::upgrade(path).bytes()).await;
        let answer = String::from_utf8(raw.until_eof().await).expect("text");
        let folder = server.dir().to_str().expect("a folder in UTF-8");
        for secret in [folder, ".rhai", "ws.send", "-->"] {
            assert!(
                !answer.contains(secret),
                "{path} shows {secret:?}: {answer}"
            );
        }
    }
}
