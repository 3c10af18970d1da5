//! The handlers that ship: each does what its opening comment says.

use super::support::{Client, FAILED, Head, Raw, Request, Server, Wire, connect};

const HANDLERS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/handlers");
/// pywebsocket's examples; `handlers` has them below `/examples`.
const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/handlers/examples");

/// The folder itself, as the README's first command serves it.
async fn serve() -> Server {
    let builder = Server::builder().bare();
    let builder = builder.args(["-p", "0", "-w", HANDLERS]);
    // One of them decides about origins itself.
    builder.args(["--allow-origin", "*"]).start().await
}

/// The examples as pywebsocket serves its own.
async fn serve_examples() -> Server {
    let map = format!("{EXAMPLES}/handler_map.txt");
    let builder = Server::builder().bare().args(["-p", "0", "-w", EXAMPLES]);
    let builder = builder.args(["-m", &map, "--allow-raw"]);
    // One of them decides about origins itself.
    builder.args(["--allow-origin", "*"]).start().await
}

#[tokio::test]
async fn all_compile_without_a_remark() {
    let check = Server::builder().bare().args(["check", "-w", HANDLERS]);
    let check = check.run().await;
    assert!(check.status.success(), "{check:?}");
    assert_eq!(check.stderr, "");
}

#[tokio::test]
async fn the_list_of_routes_names_each_one() {
    let routes = Server::builder().bare().args(["routes", "-w", HANDLERS]);
    let routes = routes.run().await.stdout;
    let shipped = [
        "basic_auth",
        "chat_name",
        "close",
        "cookie",
        "counter",
        "echo",
        "handshake_protocol",
        "login",
        "origin_check",
        "polling",
        "prices",
        "work",
    ];
    let examples = [
        "abort",
        "abort_handshake",
        "bench",
        "benchmark_helper",
        "close",
        "cookie",
        "echo",
        "echo_noext",
        "hsts",
        "internal_error",
        "origin_check",
    ];
    // So many of them and no more, or this file lacks a test.
    let rooms = ["[id]"];
    for (folder, names) in [
        ("", &shipped[..]),
        ("chat/room/", &rooms),
        ("examples/", &examples),
    ] {
        for name in names {
            let (path, file) = (
                format!("  /{folder}{name} "),
                format!(" {folder}{name}_wsh.rhai"),
            );
            let is_it = |line: &str| line.contains(path.trim()) && line.contains(&file);
            assert!(routes.lines().any(is_it), "{path} in\n{routes}");
        }
        let files = std::fs::read_dir(format!("{HANDLERS}/{folder}")).expect("the folder");
        let handlers = files.filter(|file| {
            let name = file.as_ref().expect("an entry").file_name();
            name.to_string_lossy().ends_with("_wsh.rhai")
        });
        assert_eq!(handlers.count(), names.len(), "{folder}");
    }
}

#[tokio::test]
async fn echo_returns_text_as_text_and_binary_as_binary() {
    let server = serve().await;
    let mut client = connect(server.url("/echo")).await;
    client.send_text("发送数据").await;
    assert_eq!(client.next_text().await, "发送数据");
    client.send_binary([0, 159, 146, 150]).await;
    assert_eq!(client.next_binary().await, [0, 159, 146, 150]);
}

#[tokio::test]
async fn chat_name_keeps_a_name_and_a_count_for_each_connection() {
    let server = serve().await;
    let mut ada = connect(server.url("/chat_name")).await;
    let mut bob = connect(server.url("/chat_name")).await;
    for (client, name) in [(&mut ada, "Ada"), (&mut bob, "Bob")] {
        assert_eq!(client.next_text().await, "What is your name?");
        client.send_text(name).await;
        assert_eq!(client.next_text().await, format!("Hello, {name}!"));
    }
    for count in 1..=3 {
        ada.send_text("hm").await;
        assert_eq!(ada.next_text().await, format!("Ada, message {count}: hm"));
    }
    bob.send_text("hm").await;
    assert_eq!(bob.next_text().await, "Bob, message 1: hm");

    ada.close(1000, "").await;
    server.log("Ada left with code 1000").await;
    bob.send_binary([1]).await;
    assert_eq!(bob.next_close().await, (1003, "text only, please".into()));
    drop(bob);
    server.log("Bob left with code 1003").await;
}

#[tokio::test]
async fn counter_is_shared_and_live_and_kept() {
    let server = serve().await;
    let mut ada = connect(server.url("/counter")).await;
    assert_eq!(ada.next_text().await, "0");
    let mut bob = connect(server.url("/counter")).await;
    assert_eq!(bob.next_text().await, "0");
    for count in 1..=3 {
        bob.send_text("").await;
        assert_eq!(ada.next_text().await, format!("{count}"));
        assert_eq!(bob.next_text().await, format!("{count}"));
    }
    drop((ada, bob));
    let mut eve = connect(server.url("/counter")).await;
    assert_eq!(eve.next_text().await, "3");
}

#[tokio::test]
async fn work_goes_to_one_taker_each_and_is_done_once() {
    let server = serve().await;
    let mut boss = connect(server.url("/work")).await;
    let mut worker = connect(server.url("/work")).await;
    worker.send_text("{\"take\":20}").await;
    boss.send_text("{\"put\":{\"wash\":\"cups\"}}").await;
    boss.next_text().await;
    let job: serde_json::Value = serde_json::from_str(&worker.next_text().await).expect("JSON");
    assert_eq!(job["work"], serde_json::json!({"wash": "cups"}));
    boss.send_text("{\"take\":0}").await;
    assert_eq!(boss.next_text().await, "{\"work\":null}");
    for done in [true, false] {
        worker
            .send_text(format!("{{\"done\":{}}}", job["id"]))
            .await;
        assert_eq!(worker.next_text().await, format!("{{\"done\":{done}}}"));
    }
    boss.send_text("{}").await;
    let error = "{\"error\":\"put, take or done is wanted\"}";
    assert_eq!(boss.next_text().await, error);
}

/// The next message of the chat; who comes and goes is passed over.
async fn said(client: &mut Client) -> (String, String, String) {
    loop {
        let message: serde_json::Value =
            serde_json::from_str(&client.next_text().await).expect("JSON");
        if message["data"].is_null() {
            continue;
        }
        let [name, text, position] = [
            &message["data"]["name"],
            &message["data"]["text"],
            &message["position"],
        ]
        .map(|value| value.as_str().expect("text").to_owned());
        return (name, text, position);
    }
}

/// The names that the chat tells next, of those who are there, come or go.
async fn told(client: &mut Client, what: &str) -> serde_json::Value {
    loop {
        let mut message: serde_json::Value =
            serde_json::from_str(&client.next_text().await).expect("JSON");
        if !message[what].is_null() {
            return message[what].take();
        }
    }
}

async fn enter(server: &Server, path: &str) -> (Client, serde_json::Value) {
    let mut client = connect(server.url(&format!("/chat/room/{path}"))).await;
    let welcome = serde_json::from_str(&client.next_text().await).expect("JSON");
    (client, welcome)
}

#[tokio::test]
async fn the_chat_has_rooms_and_names_and_whoever_comes_back_misses_nothing() {
    let server = serve().await;
    let (mut ada, welcome) = enter(&server, "blue?name=Ada").await;
    assert_eq!(
        welcome,
        serde_json::json!({"welcome": "Ada", "resumed": false, "missed": 0})
    );
    assert_eq!(told(&mut ada, "here").await, serde_json::json!(["Ada"]));
    ada.send_text(" hello ").await;
    let (name, text, position) = said(&mut ada).await;
    assert_eq!((&*name, &*text), ("Ada", "hello"));
    let (mut bob, welcome) = enter(&server, "blue").await;
    assert_eq!(
        welcome,
        serde_json::json!({"welcome": "somebody", "resumed": false, "missed": 0})
    );
    assert_eq!(said(&mut bob).await.1, "hello");
    let here = serde_json::json!(["Ada", "somebody"]);
    assert_eq!(told(&mut bob, "here").await, here);
    while told(&mut ada, "came").await != serde_json::json!(["somebody"]) {}
    let (mut elsewhere, _) = enter(&server, "red?name=Eve").await;
    drop(ada);
    for text in ["are you there?", "no?"] {
        bob.send_text(text).await;
        assert_eq!(said(&mut bob).await.1, text);
    }
    let (mut ada, welcome) = enter(&server, &format!("blue?name=Ada&since={position}")).await;
    let resumed = (&welcome["resumed"], &welcome["missed"]);
    assert_eq!(resumed, (&true.into(), &2.into()));
    assert_eq!(said(&mut ada).await.1, "are you there?");
    assert_eq!(said(&mut ada).await.1, "no?");
    ada.send_text("back").await;
    for client in [&mut ada, &mut bob] {
        assert_eq!(said(client).await.1, "back");
    }
    elsewhere.send_text("quiet here").await;
    assert_eq!(said(&mut elsewhere).await.1, "quiet here");
    let (mut anew, welcome) = enter(&server, "blue?since=k3f9.1").await;
    assert_eq!(welcome["resumed"], false);
    assert_eq!(said(&mut anew).await.1, "hello");
}

#[tokio::test]
async fn close_closes_as_the_message_asks() {
    let server = serve().await;
    for (message, code, reason) in [
        ("4000 see you", 4000, "see you"),
        ("4000", 4000, ""),
        ("1000 回头见", 1000, "回头见"),
        ("", 1000, ""),
    ] {
        let mut client = connect(server.url("/close")).await;
        client.send_text(message).await;
        assert_eq!(client.next_close().await, (code, reason.to_owned()));
    }

    let mut client = connect(server.url("/close")).await;
    for message in ["hello", "999", "1005", "-1", "4000000000000"] {
        client.send_text(message).await;
        let answer = client.next_text().await;
        assert!(answer.starts_with("not closed: "), "{message}: {answer}");
    }
}

#[tokio::test]
async fn close_decides_what_a_client_gets_back() {
    let server = serve().await;
    for (code, reason, answer) in [
        (4000, "mine", (4000, "mine")),
        (4999, "", (4999, "")),
        (1000, "bye", (1000, "")),
    ] {
        let mut client = connect(server.url("/close")).await;
        let (code, reason) = client.close(code, reason).await;
        assert_eq!((code, &*reason), answer);
    }

    let mut raw = Raw::open(&server, "/close").await;
    raw.send(Wire::empty_close().bytes()).await;
    raw.expect_empty_close().await;
    raw.expect_eof().await;
}

#[tokio::test]
async fn cookie_sets_what_the_query_chooses() {
    let server = serve().await;
    for (path, expected) in [
        ("/cookie", &[][..]),
        ("/cookie?set", &["wsh=plain; Path=/; SameSite=Lax"]),
        (
            "/cookie?http_only",
            &["wsh_http_only=hidden; Path=/; SameSite=Lax; HttpOnly"],
        ),
        (
            "/cookie?clear",
            &[
                "wsh=; Path=/; Max-Age=0",
                "wsh_http_only=; Path=/; Max-Age=0; HttpOnly",
            ],
        ),
    ] {
        let mut raw = Raw::connect(&server).await;
        let head = raw.handshake(path, &[]).await;
        head.expect_upgrade();
        assert_eq!(cookies_of(&head), expected, "{path}");
        raw.expect_text("(none)").await;
    }

    let mut raw = Raw::connect(&server).await;
    raw.handshake("/cookie", &[("Cookie", "wsh=plain; other=1")])
        .await
        .expect_upgrade();
    raw.expect_text("wsh=plain; other=1").await;
    raw.send(Wire::text("again").bytes()).await;
    raw.expect_text("wsh=plain; other=1").await;
}

#[tokio::test]
async fn origin_check_turns_foreign_pages_away() {
    let server = serve().await;
    for origin in [
        "http://example.com",
        "https://localhost:9998",
        "http://localhost",
        "null",
    ] {
        let mut raw = Raw::connect(&server).await;
        let head = raw.handshake("/origin_check", &[("Origin", origin)]).await;
        assert_eq!(head.status, 403, "{origin}: {head:?}");
        let body = raw.body(&head).await;
        assert_eq!(body, b"Pages of this origin may not connect.\n");
        raw.expect_eof().await;
    }
    for origin in [
        &[][..],
        &[("Origin", "http://localhost:9998")],
        &[("Origin", "http://127.0.0.1:9998")],
        &[("Origin", "http://[::1]:9998")],
    ] {
        let mut raw = Raw::connect(&server).await;
        raw.handshake("/origin_check", origin)
            .await
            .expect_upgrade();
        raw.send(Wire::text("in").bytes()).await;
        raw.expect_text("in").await;
    }
}

#[tokio::test]
async fn handshake_protocol_picks_the_best_of_the_offer() {
    let server = serve().await;
    for (offer, choice) in [
        ("chat.v1, chat.v2", "chat.v2"),
        ("chat.v1", "chat.v1"),
        ("soap, chat.v1", "chat.v1"),
    ] {
        let mut raw = Raw::connect(&server).await;
        let head = offer_of(&mut raw, offer).await;
        head.expect_upgrade();
        assert_eq!(head.header("Sec-WebSocket-Protocol"), Some(choice));
        assert_eq!(head.header("X-Chat-Versions"), Some("v1, v2"));
        raw.send(Wire::text("hello").bytes()).await;
        raw.expect_text(&format!("{choice}: hello")).await;
    }

    let mut raw = Raw::connect(&server).await;
    assert_eq!(offer_of(&mut raw, "soap").await.status, 400);
    let mut raw = Raw::connect(&server).await;
    assert_eq!(raw.handshake("/handshake_protocol", &[]).await.status, 400);
}

#[tokio::test]
async fn basic_auth_asks_for_a_name_and_a_password() {
    let server = serve().await;
    for credentials in [
        None,
        Some("Basic YWRhOmhvcHBlcg=="),
        Some("Basic bm9ib2R5Og=="),
        Some("Basic YWRh"),
        Some("Basic ?"),
        Some("Bearer YWRhOmxvdmVsYWNl"),
    ] {
        let mut raw = Raw::connect(&server).await;
        let headers = credentials.map(|credentials| ("Authorization", credentials));
        let head = raw.handshake("/basic_auth", headers.as_slice()).await;
        assert_eq!(head.status, 401, "{credentials:?}");
        let realm = Some("Basic realm=\"wsh-server\"");
        assert_eq!(head.header("WWW-Authenticate"), realm);
        assert_eq!(raw.body(&head).await, b"Say who you are.\n");
    }
    for scheme in ["Basic", "basic"] {
        let mut raw = Raw::connect(&server).await;
        let ada = format!("{scheme} YWRhOmxvdmVsYWNl");
        let head = raw
            .handshake("/basic_auth", &[("Authorization", &ada)])
            .await;
        head.expect_upgrade();
        raw.send(Wire::text("hello").bytes()).await;
        raw.expect_text("ada says: hello").await;
    }
}

/// The alias of `handler_map.txt`, too.
#[tokio::test]
async fn pywebsockets_echo() {
    let server = serve_examples().await;
    for path in ["/echo", "/", "/echo_noext"] {
        let mut raw = Raw::connect(&server).await;
        let offer = [("Sec-WebSocket-Extensions", "permessage-deflate")];
        let head = raw.handshake(path, &offer).await;
        head.expect_upgrade();
        let compresses = head.header("Sec-WebSocket-Extensions").is_some();
        assert_eq!(compresses, path != "/echo_noext", "{path}");
        raw.echoes(2).await;
        for data in [&[][..], &[0, 255], b"Goodbye"] {
            raw.send(Wire::binary(data).bytes()).await;
            raw.expect_frame(2, data).await;
        }
        raw.send(Wire::text("Goodbye").bytes()).await;
        raw.expect_text("Goodbye").await;
        raw.answer_close(1000).await;
        raw.expect_eof().await;

        let mut raw = Raw::open(&server, path).await;
        raw.send(Wire::close(1001, "").bytes()).await;
        raw.expect_close(1001).await;
        raw.expect_eof().await;
    }
}

#[tokio::test]
async fn pywebsockets_close() {
    let server = serve_examples().await;
    let failed = [b"\x88\x31\x03\xf3", FAILED.as_bytes()].concat();
    for (message, close) in [
        ("1000 ", &b"\x88\x02\x03\xe8"[..]),
        ("3000 see you", b"\x88\x09\x0b\xb8see you"),
        // What must not be sent, and what is no code and reason, are mistakes.
        ("1005 no status", &failed),
        ("3000", &failed),
    ] {
        let mut raw = Raw::open(&server, "/close").await;
        raw.send(Wire::text(message).bytes()).await;
        raw.expect_bytes(close).await;
        raw.send(Wire::close(1000, "").bytes()).await;
        raw.expect_eof().await;
    }
    for close in [Wire::close(4001, "mine"), Wire::empty_close()] {
        let mut raw = Raw::open(&server, "/close").await;
        raw.send(close.bytes()).await;
        raw.expect_bytes(close.unmasked().bytes()).await;
        raw.expect_eof().await;
    }
}

#[tokio::test]
async fn pywebsockets_aborts() {
    let server = serve_examples().await;
    Raw::open(&server, "/abort").await.expect_eof().await;

    let mut raw = Raw::connect(&server).await;
    raw.send(Request::upgrade("/abort_handshake").bytes()).await;
    raw.expect_eof().await;
}

#[tokio::test]
async fn pywebsockets_internal_error() {
    let server = serve_examples().await;
    let mut raw = Raw::open(&server, "/internal_error").await;
    raw.answer_close(1011).await;
    raw.expect_eof().await;
    server.fault("on_open").await;
    server.until_logged(&["Intentional"]).await;
}

#[tokio::test]
async fn pywebsockets_origin_check() {
    let server = serve_examples().await;
    let origin = ("Origin", "http://example.com");
    for headers in [&[][..], &[("Origin", "http://example.org")]] {
        let mut raw = Raw::connect(&server).await;
        assert_eq!(raw.handshake("/origin_check", headers).await.status, 403);
    }
    let mut raw = Raw::connect(&server).await;
    let head = raw.handshake("/origin_check?a=1", &[origin]).await;
    head.expect_upgrade();
    raw.expect_text("origin_check_wsh.rhai is called for /origin_check?a=1, None")
        .await;
    raw.answer_close(1000).await;
    raw.expect_eof().await;
}

#[tokio::test]
async fn pywebsockets_headers() {
    let server = serve_examples().await;
    let mut raw = Raw::connect(&server).await;
    let head = raw.handshake("/hsts", &[]).await;
    head.expect_upgrade();
    let header = head.header("Strict-Transport-Security");
    assert_eq!(header, Some("max-age=86400"));
    raw.expect_text("Hello").await;
    raw.answer_close(1000).await;

    for (path, expected) in [
        ("/cookie", &[][..]),
        ("/cookie?set", &["foo=bar; Max-Age=86400"]),
        (
            "/cookie?set_httponly",
            &["httpOnlyFoo=bar; Max-Age=86400; httpOnly"],
        ),
        (
            "/cookie?clear",
            &["foo=0; Max-Age=0", "httpOnlyFoo=0; Max-Age=0"],
        ),
    ] {
        let mut raw = Raw::connect(&server).await;
        let head = raw.handshake(path, &[]).await;
        head.expect_upgrade();
        assert_eq!(cookies_of(&head), expected, "{path}");
        raw.answer_close(1000).await;
        raw.expect_eof().await;
    }
}

#[tokio::test]
async fn pywebsockets_bench() {
    let server = serve_examples().await;
    for (order, count) in [("0.001 3 text", 3), ("0 100 text", 100), ("1 0 text", 0)] {
        let mut raw = Raw::open(&server, "/bench").await;
        raw.send(Wire::text(order).bytes()).await;
        for _ in 0..count {
            raw.expect_text("text").await;
        }
        raw.answer_close(1000).await;
        raw.expect_eof().await;
    }
    let mut raw = Raw::open(&server, "/bench").await;
    raw.send(Wire::text("10 times text please").bytes()).await;
    raw.expect_close(1011).await;
    server.until_logged(&["WAIT COUNT TEXT"]).await;
}

#[tokio::test]
async fn pywebsockets_benchmark_helper() {
    let server = serve_examples().await;
    let mut raw = Raw::open(&server, "/benchmark_helper").await;
    for size in [0, 1, 10_240_000] {
        raw.send(Wire::text(format!("receive {size}")).bytes())
            .await;
        raw.expect_frame(2, vec![b'a'; size]).await;
        for verifies in [0, 1] {
            raw.send(Wire::text(format!("send {verifies}")).bytes())
                .await;
            raw.send(Wire::binary(vec![b'a'; size]).bytes()).await;
            raw.expect_text(&size.to_string()).await;
        }
    }
    raw.send(Wire::text("send 0").bytes()).await;
    raw.send(Wire::binary("abc").bytes()).await;
    raw.expect_text("3").await;
    raw.send(Wire::text("send 1").bytes()).await;
    raw.send(Wire::binary("abc").bytes()).await;
    raw.expect_close(1011).await;

    for command in ["receive", "receive many", "fetch 1", ""] {
        let mut raw = Raw::open(&server, "/benchmark_helper").await;
        raw.send(Wire::text(command).bytes()).await;
        raw.expect_close(1011).await;
    }
}

async fn offer_of(raw: &mut Raw, offer: &str) -> Head {
    raw.handshake("/handshake_protocol", &[("Sec-WebSocket-Protocol", offer)])
        .await
}

fn cookies_of(head: &Head) -> Vec<&str> {
    let cookies = head.headers.iter();
    cookies
        .filter(|(name, _)| name.eq_ignore_ascii_case("set-cookie"))
        .map(|(_, value)| &**value)
        .collect()
}

/// One publisher for all, and nothing missed by whoever comes back.
#[tokio::test]
async fn prices() {
    let server = serve().await;
    let price = |text: &str| -> (u64, f64) {
        let message: serde_json::Value = serde_json::from_str(text).expect("JSON");
        let position = message["position"].as_str().expect("a position");
        let (_, number) = position.split_once('.').expect("a number");
        let gold = message["data"]["gold"].as_f64().expect("a price");
        (number.parse().expect("a number"), gold)
    };
    let mut first = connect(server.url("/prices")).await;
    let mut second = connect(server.url("/prices")).await;
    let (start, _) = price(&first.next_text().await);
    let text = first.next_text().await;
    let (next, gold) = price(&text);
    assert_eq!(next, start + 1);
    assert!((90.0..110.0).contains(&gold), "{text}");
    // The same for everybody.
    while second.next_text().await != text {}
    drop(first);
    let missed = second.next_text().await;
    assert_eq!(price(&missed).0, next + 1);
    let since: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let path = format!(
        "/prices?since={}",
        since["position"].as_str().expect("text")
    );
    let mut back = connect(server.url(&path)).await;
    assert_eq!(back.next_text().await, missed);
}
