//! The handlers that ship: each does what its opening comment says.

use super::support::{Head, Raw, Server, Wire, connect};

const HANDLERS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/handlers");

/// The folder itself, as the README's first command serves it.
async fn serve() -> Server {
    let builder = Server::builder().bare();
    builder.args(["-p", "0", "-w", HANDLERS]).start().await
}

#[tokio::test]
async fn all_compile_without_a_remark() {
    let check = Server::builder().bare().args(["check", "-w", HANDLERS]);
    let check = check.run().await;
    assert!(check.status.success(), "{check:?}");
    assert_eq!(check.stderr, "");
}

#[tokio::test]
async fn the_ready_list_names_each_one() {
    let server = serve().await;
    for name in [
        "chat_name",
        "close",
        "cookie",
        "echo",
        "handshake_protocol",
        "origin_check",
    ] {
        let file = format!("{name}_wsh.rhai");
        let line = server
            .printed([&format!("/{name} "), &*file, "transfer_data"])
            .await;
        assert!(line.starts_with("  /"), "{line}");
    }
    // The six of them and no seventh, or this file lacks its test.
    let files = std::fs::read_dir(HANDLERS).expect("the shipped folder");
    let handlers = files.filter(|file| {
        let name = file.as_ref().expect("an entry").file_name();
        name.to_string_lossy().ends_with("_wsh.rhai")
    });
    assert_eq!(handlers.count(), 6);
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
