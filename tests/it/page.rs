//! The page that ships, in a real browser: what a newcomer does first, from the first click to the
//! server's end, and the promise that an edit answers the next message of an open connection.

use super::support::browser::Page;
use super::support::{ECHO, Server};

const WWW: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/handlers/www");

#[tokio::test]
async fn served_by_us_it_runs_from_the_first_click_to_the_end_of_the_server() {
    let mut server = serve().await;
    let mut page = Page::open(&format!("http://127.0.0.1:{}/", server.port())).await;
    assert_eq!(page.text("#url").await, server.url("/echo"));

    say_the_first_words(&mut page, "hello").await;
    page.fill("#text", "我也是 – naïve 🙂").await;
    page.click("#send").await;
    page.shows("#log", "received: 我也是 – naïve 🙂").await;

    assert!(server.stop().await.success());
    page.shows("#log", "closed: code 1001 (going away)").await;
    let states = page.text("#states").await;
    assert!(states.ends_with("3 CLOSED"), "{states}");
}

#[tokio::test]
async fn opened_from_the_disk_it_talks_to_localhost() {
    let server = serve().await;
    let file = format!("file://{WWW}/index.html");
    let mut page = Page::open(&file).await;
    assert_eq!(page.text("#url").await, "ws://localhost:9998/echo");

    let address = format!("ws://localhost:{}/echo", server.port());
    page.go(&format!("{file}?url={address}")).await;
    assert_eq!(page.text("#url").await, address);
    say_the_first_words(&mut page, "hello").await;

    // The page's own Close: the server's half of the handshake makes it a clean one.
    page.click("#close").await;
    page.shows("#log", "closed: code 1000 (normal)").await;
    let log = page.text("#log").await;
    assert!(!log.contains("not clean"), "{log}");
    let states = page.text("#states").await;
    assert_eq!(states, "0 CONNECTING → 1 OPEN → 2 CLOSING → 3 CLOSED");
}

/// By the browser's choice, or by the button, whose word is kept for the next visit.
#[tokio::test]
async fn it_speaks_chinese_and_english() {
    const CHINESE: &str = "[...document.body.innerText].some(c => c >= '\\u4e00')";
    let server = serve().await;
    let address = format!("http://127.0.0.1:{}/", server.port());
    let mut page = Page::open_in("zh-CN,zh", &address).await;
    assert_eq!(page.text("#run").await, "运行 WebSocket");
    let shown = page
        .value("[document.documentElement.lang, document.title].join()")
        .await;
    assert_eq!(shown, "zh-CN,第一个 WebSocket");
    say_the_first_words(&mut page, "发送数据").await;
    page.shows("#log", "数据已接收：发送数据").await;
    page.click("#close").await;
    page.shows("#log", "连接已关闭：关闭码 1000（正常结束），正常断开")
        .await;

    // What has been said already changes its language as well.
    page.click("#language").await;
    page.shows("#log", "received: 发送数据").await;
    page.shows("#log", "closed: code 1000 (normal), clean")
        .await;
    page.go(&address).await;
    assert_eq!(page.text("#run").await, "run WebSocket");
    assert_eq!(page.value("document.title").await, "First WebSocket");

    for (language, chinese) in [("de,zh-TW,en", true), ("de,en,zh", false), ("fr", false)] {
        let mut page = Page::open_in(language, &address).await;
        // The button that leads to the other language is in that language.
        page.value("document.querySelector('#language').remove()")
            .await;
        assert_eq!(page.value(CHINESE).await, chinese, "{language}");
    }
}

#[tokio::test]
async fn a_failed_connection_says_what_a_page_can_find_out() {
    let mut server = serve().await;
    let port = server.port();
    for start in [
        format!("http://127.0.0.1:{port}/"),
        format!("file://{WWW}/index.html"),
    ] {
        let mut page = Page::open(&start).await;
        let address = format!("ws://127.0.0.1:{port}/ech");
        page.fill("#url", &address).await;
        page.click("#run").await;
        page.shows("#log", &format!("no connection to {address}: is the"))
            .await;
        page.shows("#log", "the server runs, but").await;
        // Of another origin a page learns that there is an answer, and not which.
        let known = page.text("#log").await.contains("no handler has the path");
        assert_eq!(known, start.starts_with("http"), "{start}");
    }

    let mut page = Page::open(&format!("http://127.0.0.1:{port}/")).await;
    server.signal("KILL");
    server.exited().await;
    page.click("#run").await;
    page.shows("#log", &format!("nothing answers at 127.0.0.1:{port}"))
        .await;
    page.fill("#url", "ws://").await;
    page.click("#run").await;
    page.shows("#log", "not a usable address or subprotocol:")
        .await;
}

/// The shipped handlers for it are `handshake_protocol` and `close`.
#[tokio::test]
async fn bytes_subprotocols_and_close_codes_of_ones_own() {
    let handlers = concat!(env!("CARGO_MANIFEST_DIR"), "/handlers");
    let server = Server::builder().bare().args(["-p", "0", "-w", handlers]);
    let server = server.args(["-d", WWW]).start().await;
    let mut page = Page::open(&format!("http://127.0.0.1:{}/", server.port())).await;
    say_the_first_words(&mut page, "hello").await;
    page.click("#binary").await;
    page.fill("#text", "00 9f92 FF").await;
    page.click("#send").await;
    page.shows("#log", "received: 4 bytes: 00 9f 92 ff").await;
    page.fill("#text", "0x1").await;
    page.click("#send").await;
    page.shows("#log", "bytes are pairs of 0-9 and a-f").await;
    page.fill("#code", "1001").await;
    page.click("#close").await;
    page.shows("#log", "a page may close with 1000 or 3000 to 4999")
        .await;
    page.fill("#code", "4001").await;
    page.fill("#reason", "enough").await;
    page.click("#close").await;
    page.shows("#log", "closed: code 4001, clean").await;

    page.fill("#url", &server.url("/handshake_protocol")).await;
    page.fill("#protocols", "chat.v1, chat.v2").await;
    page.click("#run").await;
    page.shows("#log", "received: chat.v2: hello").await;
    assert_eq!(page.text("#protocol").await, "chat.v2");
}

/// Oldest first, with milliseconds, and how long an answer took.
#[tokio::test]
async fn the_timeline_reads_like_a_conversation() {
    let server = serve().await;
    let mut page = Page::open(&format!("http://127.0.0.1:{}/", server.port())).await;
    say_the_first_words(&mut page, "hello").await;
    let rows = page
        .value("[...document.querySelectorAll('#log li')].map(row => row.innerText)")
        .await;
    let rows: Vec<&str> = rows
        .as_array()
        .expect("rows")
        .iter()
        .filter_map(|row| row.as_str())
        .collect();
    assert_eq!(rows.len(), 3, "{rows:?}");
    for (row, event) in rows.iter().zip(["onopen", "send", "onmessage"]) {
        let mut lines = row.lines();
        let time = lines.next().expect("a time");
        assert!(time.len() == 12 && time.as_bytes()[8] == b'.', "{row}");
        assert_eq!(lines.next(), Some(event), "{row}");
    }
    assert!(
        rows[2].contains("received: hello +") && rows[2].ends_with(" ms"),
        "{rows:?}"
    );
}

#[tokio::test]
async fn a_large_message_passes_through_the_buffer_and_returns() {
    let server = serve().await;
    let mut page = Page::open(&format!("http://127.0.0.1:{}/", server.port())).await;
    say_the_first_words(&mut page, "hello").await;
    page.click("#large").await;
    page.shows(
        "#log",
        "received: xxxxxxxxxxxxxxxxxxxx… (1048576 characters)",
    )
    .await;
    page.until("document.querySelector('#buffered').innerText == '0'")
        .await;
    let amounts = page.text("#amounts").await;
    assert!(amounts.contains("→ 1048576 →"), "{amounts}");
}

#[tokio::test]
async fn a_server_that_is_killed_fires_onclose_as_well() {
    let mut server = serve().await;
    let mut page = Page::open(&format!("http://127.0.0.1:{}/", server.port())).await;
    say_the_first_words(&mut page, "hello").await;
    server.signal("KILL");
    server.exited().await;
    page.shows("#log", "closed: code 1006 (no Close frame came), not clean")
        .await;
}

#[tokio::test]
async fn an_edit_answers_the_next_message_and_a_broken_save_does_not() {
    let server = serve().await;
    let mut page = Page::open(&format!("http://127.0.0.1:{}/", server.port())).await;
    say_the_first_words(&mut page, "hello").await;

    server.write(
        "echo_wsh.rhai",
        "fn transfer_data(ws, message) {\n    ws.send(`edited: ${message}`);\n}\n",
    );
    server.log(["handler reloaded", "echo_wsh.rhai"]).await;
    page.fill("#text", "one").await;
    page.click("#send").await;
    page.shows("#log", "received: edited: one").await;

    // A missing quote in line 2: the log says so, the code before it goes on answering.
    server.write(
        "echo_wsh.rhai",
        "fn transfer_data(ws, message) {\n    ws.send(\"broken);\n}\n",
    );
    server.log("handler broken").await;
    server.log("--> echo_wsh.rhai:2:").await;
    page.fill("#text", "two").await;
    page.click("#send").await;
    page.shows("#log", "received: edited: two").await;

    // All on the connection of the first click.
    assert_eq!(page.text("#states").await, "0 CONNECTING → 1 OPEN");
}

/// The echo handler, and the page's folder as it ships.
async fn serve() -> Server {
    let builder = Server::builder().file("echo_wsh.rhai", ECHO);
    builder.arg("-d").arg(WWW).start().await
}

/// A click on the link: this text goes out and comes back, and the two properties are shown on
/// their way.
async fn say_the_first_words(page: &mut Page, text: &str) {
    page.click("#run").await;
    page.until("document.querySelector('#log .onmessage')")
        .await;
    page.shows("#log .onmessage", text).await;
    page.until("document.querySelector('#buffered').innerText == '0'")
        .await;
    assert_eq!(page.text("#states").await, "0 CONNECTING → 1 OPEN");
    // As many bytes as the text has in UTF-8.
    let amounts = format!("0 → {} → 0", text.len());
    assert_eq!(page.text("#amounts").await, amounts);
}
