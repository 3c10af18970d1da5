//! Many hooks that wait at once, more than there are stacks: each goes on where it was, and none
//! takes anything with it when it ends.

use crate::metrics;
use crate::support::{Builder, Raw, Server, Wire, allow_open_files, within};

/// It counts what it has heard, in a function inside another, so that each loop is somewhere else.
const LOOP: &str = r#"
fn transfer_data(ws) {
    let first = ws.receive();
    ws.send(`${first} first`);
    let so_far = [first];
    hear(ws, so_far, so_far[0].len() % 4);
}

fn hear(ws, so_far, depth) {
    if depth > 0 {
        hear(ws, so_far, depth - 1);
        return;
    }
    loop {
        let message = ws.receive();
        if message == () {
            return;
        }
        so_far.push(message);
        ws.send(`${so_far[0]} ${message} ${so_far.len()}`);
    }
}
"#;

fn server() -> Builder {
    Server::builder()
        .args(["--metrics-port", "0"])
        .workers(1)
        .file("loop_wsh.rhai", LOOP)
}

async fn open(server: &Server, count: usize) -> Vec<Raw> {
    let mut loops = Vec::with_capacity(count);
    for _ in 0..count {
        loops.push(Raw::open(server, "/loop").await);
    }
    loops
}

/// Says something to every one of them, in this order, and hears what only its own loop knows.
async fn speak(loops: &mut [(usize, Raw)], turn: usize) {
    for some in loops.chunks_mut(100) {
        for (number, raw) in &mut *some {
            let text = match turn {
                1 => format!("{number}"),
                _ => format!("turn {turn}"),
            };
            raw.send(Wire::text(text).bytes()).await;
        }
        for (number, raw) in some {
            let answer = match turn {
                1 => format!("{number} first"),
                _ => format!("{number} turn {turn} {turn}"),
            };
            raw.expect_text(&answer).await;
        }
    }
}

/// Waits until so many hooks wait.
async fn waiting(port: u16, count: usize) {
    let counted = async {
        while metrics::scrape(port).await["wsh_fibers_waiting"] != count as f64 {
            tokio::task::yield_now().await;
        }
    };
    within("hooks that wait", counted).await;
}

/// More than a process has stacks: who speaks again finds its frames, wherever they were kept
/// meanwhile. When clients go and when the server stops, nothing of theirs stays.
#[tokio::test]
async fn more_loops_wait_than_there_are_stacks() {
    const LOOPS: usize = 4_500;
    allow_open_files(6_000);
    let mut server = server().start().await;
    let port = metrics::port_of(&server).await;
    let loops = open(&server, LOOPS).await;
    let mut loops: Vec<_> = loops.into_iter().enumerate().collect();
    speak(&mut loops, 1).await;
    waiting(port, LOOPS).await;
    speak(&mut loops, 2).await;
    loops.reverse();
    speak(&mut loops, 3).await;

    // Every other one is gone, a quarter of them without a word.
    let mut number = 0;
    let (mut stay, gone): (Vec<_>, Vec<_>) = loops.into_iter().partition(|_| {
        number += 1;
        number % 2 == 0
    });
    for (number, raw) in gone {
        if number % 4 == 0 {
            raw.reset();
        }
    }
    waiting(port, stay.len()).await;
    speak(&mut stay, 4).await;

    // A new version is for those who come now; these go on in theirs.
    server.write("loop_wsh.rhai", LOOP.replace("first`", "anew`"));
    server.log("handler reloaded").await;
    speak(&mut stay, 5).await;
    let mut newcomer = Raw::open(&server, "/loop").await;
    newcomer.send(Wire::text("hello").bytes()).await;
    newcomer.expect_text("hello anew").await;

    assert_eq!(server.stop().await.code(), Some(0), "{}", server.logged());
}

/// A loop that is ended from outside gives back its place.
#[tokio::test]
async fn all_loops_end_with_their_time() {
    let code = "fn transfer_data(ws) {\n    while ws.receive(0.05) != () {}\n}\n";
    let server = server().file("brief_wsh.rhai", code).start().await;
    let port = metrics::port_of(&server).await;
    let mut all = Vec::new();
    for _ in 0..200 {
        let mut raw = Raw::open(&server, "/brief").await;
        raw.send(Wire::text("begin").bytes()).await;
        all.push(raw);
    }
    for mut raw in all {
        raw.expect_close(1000).await;
    }
    waiting(port, 0).await;
}

/// Stacks are address space: where there is little, hooks share the few there are, and all wait
/// that may.
#[tokio::test]
async fn loops_share_the_few_stacks_that_there_is_address_space_for() {
    const LOOPS: usize = 200;
    let server = server().address_space(6 * 1024).start().await;
    let port = metrics::port_of(&server).await;
    let loops = open(&server, LOOPS).await;
    let mut loops: Vec<_> = loops.into_iter().enumerate().collect();
    for turn in 1..5 {
        speak(&mut loops, turn).await;
        loops.reverse();
    }
    waiting(port, LOOPS).await;
    drop(loops);
    waiting(port, 0).await;
}
