//! What all connections hold of messages together: beyond the bound the largest go with 1013, and
//! the others notice nothing. The real bound is a share of the memory; here it is small.

use flate2::{Compress, Compression, FlushCompress};

use crate::support::{ECHO, Raw, Server, Wire};

const KIB: usize = 1024;

/// A handler that sends as much as it is asked for, and says so first.
const GIVE: &str =
    "fn transfer_data(ws, message) { print(\"gives\"); ws.send(blob(parse_int(message), 7)); }
fn on_close(ws, code, reason, was_clean) { print(\"gone\"); }";

/// An echo that says when somebody has left.
fn echo() -> String {
    format!("{ECHO}\nfn on_close(ws, code, reason, was_clean) {{ print(\"gone\"); }}")
}

async fn start(bound: &str) -> Server {
    Server::builder()
        .files(&[("echo_wsh.rhai", &echo()), ("give_wsh.rhai", GIVE)])
        .args(["--max-buffered", bound])
        .start()
        .await
}

/// Begins a message and waits until the server has it.
async fn begin(raw: &mut Raw, payload: &[u8]) {
    raw.send(Wire::binary(payload).more().bytes()).await;
    raw.send(Wire::ping("here").bytes()).await;
    raw.expect_frame(10, "here").await;
}

async fn finish(raw: &mut Raw, payload: &[u8]) {
    raw.send(Wire::continuation("").bytes()).await;
    raw.expect_frame(2, payload).await;
}

/// A compressed message's bytes, of which all can be inflated although more are to come.
fn deflate(data: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(data.len() / 100 + KIB);
    Compress::new(Compression::best(), false)
        .compress_vec(data, &mut out, FlushCompress::Sync)
        .expect("room for everything");
    out
}

async fn open_compressed(server: &Server) -> Raw {
    let mut raw = Raw::connect(server).await;
    let offer = [("Sec-WebSocket-Extensions", "permessage-deflate")];
    let head = raw.handshake("/echo", &offer).await;
    head.expect_upgrade();
    assert!(head.header("Sec-WebSocket-Extensions").is_some());
    raw
}

#[tokio::test]
async fn c02_of_strangers_with_unfinished_messages_the_largest_go() {
    let mut server = start("1MiB").await;
    let mut beside = Raw::open(&server, "/echo").await;
    let mut small = Vec::new();
    for _ in 0..5 {
        let mut raw = Raw::open(&server, "/echo").await;
        begin(&mut raw, &vec![1; 150 * KIB]).await;
        small.push(raw);
    }
    let mut large = Raw::open(&server, "/echo").await;
    large
        .send(Wire::binary(vec![2; 400 * KIB]).more().bytes())
        .await;
    large.expect_close(1013).await;
    beside.echoes(20).await;
    let line = server.log("refusal=\"max-buffered\"").await;
    assert!(line.contains("--max-buffered"), "{line}");
    for raw in &mut small {
        finish(raw, &vec![1; 150 * KIB]).await;
    }
    // It is the largest that goes, whoever was the last to come.
    begin(&mut small[0], &vec![1; 600 * KIB]).await;
    begin(&mut small[1], &vec![1; 300 * KIB]).await;
    begin(&mut small[2], &vec![1; 200 * KIB]).await;
    small[0].expect_close(1013).await;
    finish(&mut small[1], &vec![1; 300 * KIB]).await;
    finish(&mut small[2], &vec![1; 200 * KIB]).await;
    beside.echoes(20).await;
    server.stop().await;
}

#[tokio::test]
async fn c02_of_clients_that_take_nothing_the_largest_go() {
    let server = start("24MiB").await;
    let mut beside = Raw::open(&server, "/echo").await;
    let mut clients = Vec::new();
    for size in [3_000_000, 12_000_000].into_iter().chain([6_000_000; 9]) {
        let mut raw = Raw::open_narrow(&server, "/give").await;
        raw.send(Wire::text(size.to_string()).bytes()).await;
        server.log("gives").await;
        clients.push(raw);
    }
    server.log("refusal=\"max-buffered\"").await;
    server.log("gone").await;
    beside.echoes(20).await;
    // A Close behind what it does not take would be no use.
    let (taken, _) = clients[1].rest().await;
    assert!(taken.len() < 12_000_000, "{}", taken.len());
    // The one with the least is not touched.
    let frame = clients[0].frame().await;
    assert!(frame.payload == [7; 3_000_000], "{}", frame.payload.len());
}

#[tokio::test]
async fn c02_compressed_messages_count_as_what_they_come_to() {
    let server = start("1MiB").await;
    let mut beside = Raw::open(&server, "/echo").await;
    let mut small = open_compressed(&server).await;
    let (some, much) = (vec![0; 400 * KIB], vec![0; 2_000 * KIB]);
    let begin = |data: &[u8]| Wire::binary(deflate(data)).more().rsv(4).bytes();
    small.send(begin(&some)).await;
    small.send(Wire::ping("here").bytes()).await;
    small.expect_frame(10, "here").await;
    let mut large = open_compressed(&server).await;
    assert!(deflate(&much).len() < 16 * KIB);
    large.send(begin(&much)).await;
    large.expect_close(1013).await;
    // An empty stored block without its end, as the end of each compressed message.
    small.send(Wire::continuation([0]).bytes()).await;
    let frame = small.frame().await;
    assert_eq!((frame.opcode, frame.rsv), (2, 4), "{frame:?}");
    beside.echoes(20).await;
}

/// Every way to leave gives back what was held: a count that stayed would be over the bound soon.
#[tokio::test]
async fn c02_who_leaves_holds_nothing() {
    let server = start("1MiB").await;
    let part = vec![1; 300 * KIB];
    for round in 0..100 {
        let mut raw = Raw::open(&server, "/echo").await;
        begin(&mut raw, &part).await;
        match round % 5 {
            0 => raw.reset(),
            1 => {
                raw.send(Wire::close(1000, "").bytes()).await;
                raw.expect_close(1000).await;
            }
            // No continuation.
            2 => {
                raw.send(Wire::text("").bytes()).await;
                raw.expect_close(1002).await;
            }
            3 => {
                finish(&mut raw, &part).await;
                raw.finish().await;
            }
            _ => raw.finish().await,
        }
        server.log("gone").await;
    }
    assert_eq!(
        server.count("refusal=\"max-buffered\""),
        0,
        "{}",
        server.logged()
    );
    for _ in 0..20 {
        let mut stays = Raw::open(&server, "/echo").await;
        begin(&mut stays, &vec![1; 500 * KIB]).await;
        let mut goes = Raw::open(&server, "/echo").await;
        goes.send(Wire::binary(vec![1; 700 * KIB]).more().bytes())
            .await;
        goes.expect_close(1013).await;
        finish(&mut stays, &vec![1; 500 * KIB]).await;
        for raw in [stays, goes] {
            drop(raw);
            server.log("gone").await;
        }
    }
    let mut last = Raw::open(&server, "/echo").await;
    begin(&mut last, &vec![1; 900 * KIB]).await;
    finish(&mut last, &vec![1; 900 * KIB]).await;
}

#[tokio::test]
async fn c02_a_bound_below_a_message_is_warned_of() {
    let server = Server::builder()
        .file("echo_wsh.rhai", ECHO)
        .env("WSH_MAX_BUFFERED", "1MiB")
        .start()
        .await;
    server
        .log(["WARN", "--max-message", "--max-buffered"])
        .await;
}
