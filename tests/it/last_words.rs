//! What is said before the end arrives: replies to what came before the client's Close, and what
//! was sent before an abort.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use crate::support::{
    Authority, Builder, ECHO, Raw, Request, Server, Wire, connect_over, every_case, within,
};

/// Hooks that take their time over a message, each in its own way.
const SLOW: [(&str, &str); 8] = [
    ("at once", "ws.send(message);"),
    (
        "computes for longer than its slice",
        "let x = 0; for i in 0..2000 { x += i; } ws.send(message);",
    ),
    (
        "computes for many slices",
        "let x = 0; for i in 0..100000 { x += i; } ws.send(message);",
    ),
    ("sleeps", "sleep(0.2); ws.send(message);"),
    ("lets others go first", "sleep(0.0); ws.send(message);"),
    (
        "sleeps between its replies",
        "sleep(0.05); ws.send(message); sleep(0.05);",
    ),
    (
        "waits for its send queue",
        "ws.send(blob(1000000)); ws.send(message);",
    ),
    (
        "answers two at a time",
        "let next = ws.receive(); ws.send(message); ws.send(next);",
    ),
];

/// Text frames and a Close in one packet.
fn packet(texts: &[&str]) -> Vec<u8> {
    let texts = texts.iter().map(|text| Wire::text(text).bytes());
    let all: Vec<_> = texts.chain([Wire::close(1000, "").bytes()]).collect();
    all.concat()
}

/// The next text, over the binary messages that were only to fill the queue.
async fn next_text(raw: &mut Raw) -> String {
    loop {
        let frame = raw.frame().await;
        match frame.opcode {
            1 => return String::from_utf8(frame.payload).expect("text"),
            2 => {}
            _ => panic!("a text expected: {frame:?}"),
        }
    }
}

#[tokio::test]
async fn a03_what_came_before_the_close_is_answered_before_ours() {
    let files: Vec<_> = SLOW
        .iter()
        .enumerate()
        .map(|(number, (_, body))| {
            let code = format!(
                "fn transfer_data(ws, message) {{ {body} }}
fn on_close(ws, code, reason, was_clean) {{ print(`end ${{code}} ${{was_clean}}`); }}"
            );
            (format!("slow{number}_wsh.rhai"), code)
        })
        .collect();
    // The bound is for hooks that do not end: here it is not to be met on a busy machine.
    let mut builder = Server::builder()
        .workers(2)
        .args(["--close-timeout", "60s"]);
    for (name, code) in &files {
        builder = builder.file(name, code);
    }
    let server = builder.start().await;
    let port = server.port();
    every_case(SLOW.iter().enumerate().map(|(number, (name, _))| {
        let case = async move {
            for texts in [&["one", "two"][..], &["1", "2", "3", "4", "5", "6"]] {
                let mut raw = Raw::open_at(port, &format!("/slow{number}")).await;
                raw.send(packet(texts)).await;
                for text in texts {
                    assert_eq!(next_text(&mut raw).await, *text);
                }
                raw.expect_close(1000).await;
                raw.expect_eof().await;
            }
        };
        ((*name).to_owned(), case)
    }))
    .await;
    for _ in 0..2 * SLOW.len() {
        server.log("end 1000 true").await;
    }
    assert_eq!(server.count("script fault"), 0);
}

#[tokio::test]
async fn a03_a_loop_answers_and_is_told_the_end() {
    for pause in ["", "sleep(0.05);", "for i in 0..3000 { this.x = i; }"] {
        let code = format!(
            "fn transfer_data(ws) {{
    let message = ws.receive();
    while message != () {{ {pause} ws.send(message); message = ws.receive(); }}
    print(\"the loop is over\");
}}"
        );
        let server = Server::start(&[("loop_wsh.rhai", &code)]).await;
        let mut raw = Raw::open(&server, "/loop").await;
        raw.send(packet(&["one", "two", "three"])).await;
        for text in ["one", "two", "three"] {
            raw.expect_text(text).await;
        }
        raw.expect_close(1000).await;
        raw.expect_eof().await;
        server.log("the loop is over").await;
    }
}

/// Whatever came: the hooks that hear of the Close, and of Pings, have their turn in order.
#[tokio::test]
async fn a03_every_hook_has_its_turn_and_may_send() {
    let code = "fn on_open(ws) { sleep(0.1); ws.send(\"open\"); }
fn transfer_data(ws, message) { sleep(0.05); ws.send(message); }
fn on_ping(ws, payload) { sleep(0.05); ws.pong(payload); ws.send(\"pinged\"); }
fn on_pong(ws, payload) { sleep(0.05); ws.send(\"ponged\"); }
fn passive_closing_handshake(ws, code, reason) {
    ws.send(`${ws.ready_state} ${code} ${reason}`);
    sleep(0.05);
    return [4000, \"bye\"];
}";
    let server = Server::start(&[("all_wsh.rhai", code)]).await;
    let mut raw = Raw::open(&server, "/all").await;
    let frames = [
        Wire::text("one").bytes(),
        Wire::ping("p").bytes(),
        Wire::binary([1, 2]).bytes(),
        Wire::pong("q").bytes(),
        Wire::text("tw").more().bytes(),
        Wire::ping("r").bytes(),
        Wire::continuation("o").bytes(),
        Wire::close(3000, "why").bytes(),
    ];
    raw.send(frames.concat()).await;
    raw.expect_text("open").await;
    raw.expect_text("one").await;
    raw.expect_frame(10, "p").await;
    raw.expect_text("pinged").await;
    raw.expect_frame(2, [1, 2]).await;
    raw.expect_text("ponged").await;
    raw.expect_frame(10, "r").await;
    raw.expect_text("pinged").await;
    raw.expect_text("two").await;
    raw.expect_text("open 3000 why").await;
    assert_eq!(raw.expect_close(4000).await, "bye");
    raw.expect_eof().await;
}

/// Frames that the script looks at first keep their order, too.
#[tokio::test]
async fn a03_frames_that_are_looked_at() {
    let code = "fn on_frame(ws, frame) { sleep(0.02); }
fn transfer_data(ws, message) { sleep(0.02); ws.send(message); }";
    let server = Server::builder()
        .file("seen_wsh.rhai", code)
        .arg("--allow-raw")
        .start()
        .await;
    let mut raw = Raw::open(&server, "/seen").await;
    raw.send(packet(&["one", "two"])).await;
    raw.expect_text("one").await;
    raw.expect_text("two").await;
    raw.expect_close(1000).await;
    raw.expect_eof().await;
}

/// "Hello", compressed as in RFC 7692 section 7.2.3.1.
const HELLO: [u8; 7] = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
const NAPS: &str = "fn transfer_data(ws, message) { sleep(0.05); ws.send(message); }";

#[tokio::test]
async fn a03_compressed() {
    let server = Server::start(&[("nap_wsh.rhai", NAPS)]).await;
    let mut raw = Raw::connect(&server).await;
    let offer = [("Sec-WebSocket-Extensions", "permessage-deflate")];
    raw.handshake("/nap", &offer).await.expect_upgrade();
    let hello = Wire::text(HELLO).rsv(4).bytes();
    let close = Wire::close(1000, "").bytes();
    raw.send([hello.clone(), hello.clone(), hello, close].concat())
        .await;
    for _ in 0..3 {
        raw.expect_text("Hello").await;
    }
    raw.expect_close(1000).await;
    raw.expect_eof().await;
}

#[tokio::test]
async fn a03_encrypted() {
    let authority = Authority::new();
    let identity = authority.identity(&authority.issue("server"));
    let builder = Server::builder().file("nap_wsh.rhai", NAPS);
    let server = builder.arg("-t").args(identity).start().await;
    let stream = authority.client().connect(server.port()).await;
    let client = connect_over(stream, "wss://localhost/nap").await;
    let mut stream = client.into_stream();
    stream
        .write_all(&packet(&["one", "two"]))
        .await
        .expect("room");
    let mut rest = Vec::new();
    within("the end", stream.read_to_end(&mut rest))
        .await
        .expect("an orderly end");
    assert_eq!(rest, b"\x81\x03one\x81\x03two\x88\x02\x03\xe8");
}

/// There is a bound: a hook that goes on for longer is ended in its wait, and then our Close goes
/// out.
#[tokio::test]
async fn a03_the_close_timeout_holds() {
    let code = "fn transfer_data(ws, message) { ws.send(message); sleep(3600); ws.send(\"late\"); }
fn on_close(ws, code, reason, was_clean) { print(`end ${code} ${was_clean}`); }";
    let server = Server::builder()
        .file("nap_wsh.rhai", code)
        .args(["--close-timeout", "1s"])
        .start()
        .await;
    let mut raw = Raw::open(&server, "/nap").await;
    raw.send(packet(&["one", "two"])).await;
    raw.expect_text("one").await;
    raw.expect_close(1000).await;
    raw.expect_eof().await;
    server.log("end 1000 true").await;
}

/// Whoever closes in a hook has the last word: what came behind that message is not wanted any
/// more.
#[tokio::test]
async fn a03_a_close_of_the_scripts_own_comes_first() {
    let code =
        "fn transfer_data(ws, message) { sleep(0.05); print(message); ws.close(4000, message); }
fn passive_closing_handshake(ws, code, reason) { print(\"asked\"); 1000 }
fn on_close(ws, code, reason, was_clean) { print(`end ${code} ${was_clean}`); }";
    let server = Server::start(&[("own_wsh.rhai", code)]).await;
    let mut raw = Raw::open(&server, "/own").await;
    raw.send(packet(&["one", "two"])).await;
    assert_eq!(raw.expect_close(4000).await, "one");
    raw.expect_eof().await;
    server.log("end 1000 true").await;
    assert_eq!(server.count("two"), 0);
    assert_eq!(server.count("asked"), 0);
}

/// Thirty blobs, more than sockets hold, and then the end, in the way that the message says.
const LEAVES: &str = "fn transfer_data(ws, message) {
    for n in 0..30 { ws.send(blob(1000000, n)); }
    switch message {
        \"abort\" => ws.abort(),
        \"reset\" => ws.abort(#{reset: true}),
        \"not reset\" => ws.abort(#{reset: false}),
        \"close\" => ws.close(4000),
        _ => { try { ws.abort(#{rest: true}); } catch (e) { ws.send(e.kind); } }
    }
}
fn on_close(ws, code, reason, was_clean) { print(`end ${code} ${was_clean} ${reason}`); }";

/// Bytes of all of them on the wire.
const SENT: usize = 30 * (1_000_000 + 10);

fn leaving() -> Builder {
    // All of it is unsent at once.
    Server::builder()
        .file("leaves_wsh.rhai", LEAVES)
        .args(["--send-queue", "64MiB"])
}

#[tokio::test]
async fn b08_what_was_sent_before_an_abort_arrives() {
    let server = leaving().start().await;
    for how in ["abort", "not reset"] {
        let mut raw = Raw::open_narrow(&server, "/leaves").await;
        raw.send(Wire::text(how).bytes()).await;
        // A client that reads late: when the handler has done with it.
        server
            .log("end 1006 false the handler aborted the connection")
            .await;
        // And that has said more, which nobody reads.
        raw.send(Wire::text("more").bytes()).await;
        let rest = raw.until_eof().await;
        assert_eq!(rest.len(), SENT, "{how}");
    }
}

/// The same holds for a Close, whose answer is not waited for before it can have been read.
#[tokio::test]
async fn b08_what_was_sent_before_a_close_arrives() {
    let server = leaving().args(["--close-timeout", "4s"]).start().await;
    let mut raw = Raw::open_narrow(&server, "/leaves").await;
    raw.send(Wire::text("close").bytes()).await;
    let mut bytes = raw.exactly(SENT / 2).await;
    // Longer than the time for an answer, in which nothing is read.
    tokio::time::sleep(std::time::Duration::from_secs(6)).await;
    bytes.extend(raw.exactly(SENT - SENT / 2).await);
    raw.expect_close(4000).await;
    raw.send(Wire::close(4000, "").bytes()).await;
    raw.expect_eof().await;
    server.log("end 4000 true").await;
}

#[tokio::test]
async fn b08_a_reset_is_one_over_tcp_and_tls() {
    let authority = Authority::new();
    let identity = authority.identity(&authority.issue("server"));
    let server = leaving()
        .args(["--tls-port", "0"])
        .args(identity)
        .start()
        .await;
    let mut raw = Raw::open(&server, "/leaves").await;
    raw.send(Wire::text("reset").bytes()).await;
    server
        .log("end 1006 false the handler aborted the connection")
        .await;
    let (rest, is_fin) = raw.rest().await;
    assert!(!is_fin, "a reset, after {} bytes", rest.len());

    let stream = authority.client().connect(server.tls_port()).await;
    let client = connect_over(stream, "wss://localhost/leaves").await;
    let mut stream = client.into_stream();
    let message = Wire::text("reset").bytes();
    stream.write_all(&message).await.expect("room");
    let mut rest = Vec::new();
    let error = within("the end", stream.read_to_end(&mut rest))
        .await
        .expect_err("a reset");
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
}

/// A Unix-domain socket has no resets: the client sees the end, and no Close.
#[tokio::test]
async fn b08_a_reset_over_a_unix_domain_socket_is_an_end() {
    let builder = Server::builder().file("echo_wsh.rhai", ECHO).file(
        "leaves_wsh.rhai",
        "fn transfer_data(ws, message) { ws.abort(#{reset: true}); }",
    );
    let path = builder.dir().join("socket");
    let server = builder.arg("--unix-socket").arg(&path).start().await;
    let stream = UnixStream::connect(&path).await.expect("a socket");
    let client = connect_over(stream, "ws://localhost/leaves").await;
    let mut stream = client.into_stream();
    stream
        .write_all(&Wire::text("x").bytes())
        .await
        .expect("room");
    let mut rest = Vec::new();
    let _ = within("the end", stream.read_to_end(&mut rest)).await;
    assert!(rest.is_empty());
    assert_eq!(server.status("/echo").await, 101);
}

#[tokio::test]
async fn b08_an_option_that_there_is_not() {
    let server = leaving().start().await;
    let mut raw = Raw::open(&server, "/leaves").await;
    raw.send(Wire::text("?").bytes()).await;
    raw.exactly(SENT).await;
    raw.expect_text("option").await;
}

#[tokio::test]
async fn b08_the_handshake_is_dropped_in_both_ways() {
    let code = "fn do_extra_handshake(request) {
    if request.query == \"reset\" { request.abort(#{reset: true}); }
    request.raw_write(\"half an ans\");
    request.abort();
}
fn transfer_data(ws, message) {}";
    let server = Server::builder()
        .file("no_wsh.rhai", code)
        .arg("--allow-raw")
        .start()
        .await;
    let mut raw = Raw::connect(&server).await;
    raw.send(Request::upgrade("/no?reset").bytes()).await;
    let (rest, is_fin) = raw.rest().await;
    assert!(!is_fin && rest.is_empty());
    // Bytes behind the request that nobody reads do not turn the end into a reset.
    let mut raw = Raw::connect(&server).await;
    let early = Wire::text("early").bytes();
    raw.send([Request::upgrade("/no").bytes(), early].concat())
        .await;
    assert_eq!(raw.until_eof().await, b"half an ans");
}
