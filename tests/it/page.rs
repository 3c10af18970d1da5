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

    say_the_first_words(&mut page).await;
    page.fill("#text", "我也是 – naïve 🙂").await;
    page.click("#send").await;
    page.shows("#log", "数据已接收 (received): 我也是 – naïve 🙂")
        .await;

    assert!(server.stop().await.success());
    page.shows("#log", "连接已关闭 (closed): code 1001").await;
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
    say_the_first_words(&mut page).await;

    // The page's own Close: the server's half of the handshake makes it a clean one.
    page.click("#close").await;
    page.shows("#log", "连接已关闭 (closed): code 1000").await;
    let log = page.text("#log").await;
    assert!(!log.contains("not clean"), "{log}");
    let states = page.text("#states").await;
    assert_eq!(states, "0 CONNECTING → 1 OPEN → 2 CLOSING → 3 CLOSED");
}

#[tokio::test]
async fn a_large_message_passes_through_the_buffer_and_returns() {
    let server = serve().await;
    let mut page = Page::open(&format!("http://127.0.0.1:{}/", server.port())).await;
    say_the_first_words(&mut page).await;
    page.click("#large").await;
    page.shows(
        "#log",
        "(received): xxxxxxxxxxxxxxxxxxxx… (1048576 characters)",
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
    say_the_first_words(&mut page).await;
    server.signal("KILL");
    server.exited().await;
    page.shows("#log", "连接已关闭 (closed): code 1006, not clean")
        .await;
}

#[tokio::test]
async fn an_edit_answers_the_next_message_and_a_broken_save_does_not() {
    let server = serve().await;
    let mut page = Page::open(&format!("http://127.0.0.1:{}/", server.port())).await;
    say_the_first_words(&mut page).await;

    server.write(
        "echo_wsh.rhai",
        "fn transfer_data(ws, message) {\n    ws.send(`edited: ${message}`);\n}\n",
    );
    server.log(["handler reloaded", "echo_wsh.rhai"]).await;
    page.fill("#text", "one").await;
    page.click("#send").await;
    page.shows("#log", "(received): edited: one").await;

    // A missing quote in line 2: the log says so, the code before it goes on answering.
    server.write(
        "echo_wsh.rhai",
        "fn transfer_data(ws, message) {\n    ws.send(\"broken);\n}\n",
    );
    server.log("handler broken").await;
    server.log("--> echo_wsh.rhai:2:").await;
    page.fill("#text", "two").await;
    page.click("#send").await;
    page.shows("#log", "(received): edited: two").await;

    // All on the connection of the first click.
    assert_eq!(page.text("#states").await, "0 CONNECTING → 1 OPEN");
}

/// The echo handler, and the page's folder as it ships.
async fn serve() -> Server {
    let builder = Server::builder().file("echo_wsh.rhai", ECHO);
    builder.arg("-d").arg(WWW).start().await
}

/// A click on the link: the tutorial's text goes out and comes back, and the two properties are
/// shown on their way.
async fn say_the_first_words(page: &mut Page) {
    page.click("#run").await;
    page.shows("#log", "数据已接收 (received): 发送数据").await;
    page.until("document.querySelector('#buffered').innerText == '0'")
        .await;
    assert_eq!(page.text("#states").await, "0 CONNECTING → 1 OPEN");
    // Twelve bytes: four Chinese characters in UTF-8.
    assert_eq!(page.text("#amounts").await, "0 → 12 → 0");
}
