//! Load, slowness and the end of resources: table 1.5 of the robustness study. No time is measured;
//! what is counted is who is still served.

use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::frames::conversation;
use crate::support::{
    ECHO, Raw, Request, Server, Spawned, Wire, allow_open_files, connect, within,
};

/// Sends for ever, and tells how it ends.
const FLOOD: &str = "fn transfer_data(ws, message) {
    print(\"begun\");
    let data = blob(64 * 1024);
    loop { ws.send(data); }
}
fn on_close(ws, code, reason, was_clean) { print(`closed code=${code} reason=[${reason}]`); }
";

#[tokio::test]
async fn l05_peer_that_stops_reading() {
    let server = Server::builder()
        .files(&[("flood_wsh.rhai", FLOOD), ("echo_wsh.rhai", ECHO)])
        .args(["--send-timeout", "1s"])
        .start()
        .await;
    let mut raw = Raw::open(&server, "/flood").await;
    raw.send(Wire::text("go").bytes()).await;
    server.log("begun").await;
    let mut other = Raw::open(&server, "/echo").await;
    other.echoes(20).await;
    server.log("closed code=1006").await;
    other.echoes(20).await;
    drop(raw);
}

/// A cable that is pulled says nothing: who does not answer a Ping is gone, who does stays.
#[tokio::test]
async fn l06_peer_that_is_silent() {
    let code =
        format!("{ECHO}fn on_close(ws, code, reason, was_clean) {{ print(`closed ${{code}}`); }}");
    let server = Server::builder()
        .file("echo_wsh.rhai", code)
        .args(["--ping-interval", "1s", "--pong-timeout", "1s"])
        .start()
        .await;
    let mut alive = Raw::open(&server, "/echo").await;
    let answering = tokio::spawn(async move {
        for _ in 0..3 {
            let ping = alive.frame().await;
            assert_eq!(ping.opcode, 9, "{ping:?}");
            alive.send(Wire::pong(&ping.payload).bytes()).await;
        }
        alive.echoes(1).await;
    });
    let mut silent = Raw::open(&server, "/echo").await;
    silent.expect_frame(9, "").await;
    let (rest, _) = silent.rest().await;
    assert!(rest.is_empty(), "no Close to somebody who is gone");
    server.log("closed 1006").await;
    within("three pings", answering).await.expect("it stays");
}

/// One connection from its handshake to FIN.
async fn cycle(port: u16) {
    let mut raw = Raw::open_at(port, "/echo").await;
    raw.send([Wire::text("x").bytes(), Wire::close(1000, "").bytes()].concat())
        .await;
    raw.expect_text("x").await;
    raw.expect_close(1000).await;
    raw.expect_eof().await;
}

#[tokio::test]
async fn l07_connections_that_come_and_go_leave_nothing() {
    let server = Server::start(&[("echo_wsh.rhai", ECHO)]).await;
    let sockets = server.sockets();
    let port = server.port();
    let round = async || {
        for _ in 0..40 {
            let cycles = (0..50).map(|_| cycle(port));
            cycles.collect::<JoinSet<_>>().join_all().await;
        }
    };
    round().await;
    let before = server.memory().now;
    round().await;
    let grown = server.memory().now.saturating_sub(before);
    assert!(grown < 4 * 1024, "{grown} KiB grown over 2,000 connections");
    within("every socket to be closed", async {
        while server.sockets() > sockets {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn l08_one_connection_that_floods() {
    // One worker, so that all of them share it.
    let server = Server::builder()
        .workers(1)
        .files(&[("echo_wsh.rhai", ECHO)])
        .start()
        .await;
    let stream = TcpStream::connect(("127.0.0.1", server.port()))
        .await
        .expect("connect");
    let (mut reading, mut writing) = stream.into_split();
    let upgrade = Request::upgrade("/echo").bytes();
    writing.write_all(&upgrade).await.expect("send");
    let batch = Wire::text("flood ".repeat(30)).bytes().repeat(1_000);
    let flood = tokio::spawn(async move { while writing.write_all(&batch).await.is_ok() {} });
    let echoed = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&echoed);
    let reader = tokio::spawn(async move {
        let mut buffer = vec![0; 256 * 1024];
        while let Ok(count @ 1..) = reading.read(&mut buffer).await {
            counted.fetch_add(count, Ordering::Relaxed);
        }
    });
    // Together, so that each of them waits for as many turns of the flood as it has rounds.
    let others = (0..50).map(|_| {
        let url = server.url("/echo");
        async move { connect(url).await.echoes(20).await }
    });
    others.collect::<JoinSet<_>>().join_all().await;
    // Some turns of 64 KiB for a round of fifty; a flood that is read for as long as it lasts has
    // several times as much.
    let between = echoed.load(Ordering::Relaxed) / 20;
    assert!(between < 4 << 20, "{between} bytes of the flood in a round");
    assert!(!flood.is_finished(), "it floods all the time");
    flood.abort();
    reader.abort();
}

#[tokio::test]
async fn l10_everybody_comes_back_at_once() {
    const CLIENTS: usize = 2_000;
    allow_open_files(6_000);
    let server = Server::start(&[("echo_wsh.rhai", ECHO)]).await;
    let port = server.port();
    let clients = (0..CLIENTS).map(|_| async move {
        let mut raw = Raw::open_at(port, "/echo").await;
        raw.echoes(1).await;
        raw
    });
    let all = clients.collect::<JoinSet<_>>().join_all().await;
    assert_eq!(all.len(), CLIENTS);
}

/// Bytes that come late and in pieces, as over a bad line: the same conversation, byte for byte.
#[tokio::test]
async fn l11_a_line_that_delays_and_cuts() {
    let server = Server::start(&[("echo_wsh.rhai", ECHO)]).await;
    let relay = TcpListener::bind("127.0.0.1:0").await.expect("a relay");
    let (from, to) = (
        relay.local_addr().expect("an address").port(),
        server.port(),
    );
    tokio::spawn(async move {
        while let Ok((near, _)) = relay.accept().await {
            tokio::spawn(async move {
                let far = TcpStream::connect(("127.0.0.1", to))
                    .await
                    .expect("the server");
                far.set_nodelay(true).expect("no delay");
                near.set_nodelay(true).expect("no delay");
                let (near_in, near_out) = near.into_split();
                let (far_in, far_out) = far.into_split();
                tokio::join!(dribble(near_in, far_out), dribble(far_in, near_out));
            });
        }
    });
    let (said, answered) = conversation();
    for _ in 0..3 {
        let mut raw = Raw::open_at(from, "/echo").await;
        raw.send(&said).await;
        let back = raw.until_eof().await;
        assert_eq!(
            back.escape_ascii().to_string(),
            answered.escape_ascii().to_string()
        );
    }
}

/// Passes bytes on, one to nine at a time, each time a millisecond late.
async fn dribble(
    mut from: impl tokio::io::AsyncRead + Unpin,
    mut to: impl tokio::io::AsyncWrite + Unpin,
) {
    let mut buffer = [0; 9];
    let mut size = 0;
    loop {
        size = size % buffer.len() + 1;
        match from.read(&mut buffer[..size]).await {
            Ok(count) if count > 0 => {
                tokio::time::sleep(Duration::from_millis(1)).await;
                if to.write_all(&buffer[..count]).await.is_err() {
                    return;
                }
            }
            _ => {
                let _ = to.shutdown().await;
                return;
            }
        }
    }
}

#[tokio::test]
async fn l13_threads_do_not_follow_connections() {
    let code = "fn transfer_data(ws, message) {\n    sleep(0.2);\n    ws.send(message);\n}\n";
    let server = Server::start(&[("nap_wsh.rhai", code)]).await;
    server.warm_up("/nap").await;
    let threads = || {
        std::fs::read_dir(format!("/proc/{}/task", server.pid()))
            .expect("/proc")
            .count()
    };
    let before = threads();
    let mut sleeping = Vec::new();
    for _ in 0..300 {
        let mut raw = Raw::open(&server, "/nap").await;
        raw.send(Wire::text("zzz").bytes()).await;
        sleeping.push(raw);
    }
    assert_eq!(threads(), before, "with 300 hooks that wait");
    for raw in &mut sleeping {
        raw.expect_text("zzz").await;
    }
}

/// Prints what it gets, and sends it back.
const TALK: &str =
    "fn transfer_data(ws, message) {\n    print(message);\n    ws.send(`${message.len}`);\n}\n";

/// Whoever reads the log may stop: the server goes on, and says afterwards how much nobody could
/// read.
#[tokio::test]
async fn l15_a_reader_of_the_log_that_stalls() {
    let files = ["a_wsh.rhai", "b_wsh.rhai", "c_wsh.rhai"].map(|name| (name, TALK));
    let mut server = Spawned::start(&files, Stdio::piped());
    let port = server.port();
    let line = "x".repeat(7_000);
    for path in ["/a", "/b", "/c"] {
        let mut raw = Raw::open_at(port, path).await;
        // Much more than a pipe and the queue before it hold, less than a script may print in a
        // second.
        for _ in 0..130 {
            raw.send(Wire::text(&line).bytes()).await;
            raw.expect_text("7000").await;
        }
    }
    let log = server.log();
    let reading = tokio::task::spawn_blocking(move || {
        std::io::BufRead::lines(log)
            .map_while(Result::ok)
            .find(|line| line.contains("log lines dropped"))
    });
    let said = within("the log to say what is missing", reading)
        .await
        .expect("no panic");
    assert!(said.is_some());
}

#[tokio::test]
async fn l15_a_disk_that_is_full() {
    let full = std::fs::File::options()
        .write(true)
        .open("/dev/full")
        .expect("/dev/full");
    let server = Spawned::start(&[("a_wsh.rhai", TALK)], full);
    let mut raw = Raw::open_at(server.port(), "/a").await;
    for _ in 0..20 {
        raw.send(Wire::text("lost").bytes()).await;
        raw.expect_text("4").await;
    }
}
