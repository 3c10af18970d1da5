//! The process as a whole: table 1.10 of the robustness study, as far as it is not about TLS. S02,
//! S04 and S07 are in `cli`.

use std::cell::RefCell;
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio::task::{JoinSet, LocalSet, spawn_local};
use wsh_server::config::limits;
use wsh_server::websocket::{Connection, Event, Handle, Message, Outbox, Outcome, Session, Shared};

use crate::support::{ECHO, Raw, Server, Spawned, Wire, allow_open_files, connect, within};

#[tokio::test]
async fn s01_a_thousand_connections_are_drained() {
    const CLIENTS: usize = 1_000;
    allow_open_files(6_000);
    let code = format!(
        "{ECHO}fn on_close(ws, code, reason, was_clean) {{ print(`closed ${{code}} \
        ${{was_clean}}`); }}"
    );
    let mut server = Server::start(&[("echo_wsh.rhai", &code)]).await;
    let port = server.port();
    let clients = (0..CLIENTS).map(|_| Raw::open_at(port, "/echo"));
    let all = clients.collect::<JoinSet<_>>().join_all().await;
    let ends: JoinSet<_> = all
        .into_iter()
        .map(|mut raw| async move {
            raw.answer_close(1001).await;
            raw.expect_eof().await;
        })
        .collect();
    assert_eq!(server.stop().await.code(), Some(0), "{}", server.logged());
    ends.join_all().await;
    assert_eq!(server.count("closed 1001 true"), CLIENTS);
}

/// Killed under load and started again on the same port, at once, it serves.
#[tokio::test]
async fn s03_killed_and_started_again() {
    let start = |port: u16| {
        let builder = Server::builder().bare().file("echo_wsh.rhai", ECHO);
        builder.args(["-p", &port.to_string(), "-w", "."]).start()
    };
    let mut server = start(0).await;
    let port = server.port();
    for _ in 0..5 {
        let mut clients = Vec::new();
        for _ in 0..20 {
            let mut raw = Raw::open(&server, "/echo").await;
            raw.send(Wire::binary([7; 10_000]).bytes()).await;
            clients.push(raw);
        }
        server.signal("KILL");
        server.exited().await;
        server = start(port).await;
        connect(server.url("/echo")).await.echoes(1).await;
        for mut raw in clients {
            // Its connections are gone, not half-open.
            let _ = raw.rest().await;
        }
    }
}

/// Time that the process did not live through expires nothing: who was sent a Ping just before may
/// still answer it.
#[tokio::test]
async fn s05_stopped_and_continued() {
    let server = Server::builder()
        .file("echo_wsh.rhai", ECHO)
        .args(["--ping-interval", "1s", "--pong-timeout", "4s"])
        .start()
        .await;
    let mut client = Raw::open(&server, "/echo").await;
    client.expect_frame(9, "").await;
    server.signal("STOP");
    // Longer than the Ping's answer may take, which is what this is about.
    tokio::time::sleep(Duration::from_secs(6)).await;
    server.signal("CONT");
    client.send(Wire::pong("").bytes()).await;
    client.echoes(1).await;
}

/// Panics on a text, echoes everything else.
struct Fragile;

impl Session for Fragile {
    fn start(
        &mut self,
        event: Event<'_>,
        handle: &Rc<Handle>,
        _: &mut Context<'_>,
    ) -> Poll<Outcome> {
        match event {
            Event::Message(Message::Text(text)) => panic!("{text}"),
            Event::Message(message) => handle.send(&message).expect("it is open"),
            _ => {}
        }
        Poll::Ready(Outcome::Done)
    }
}

/// A panic in one connection's task ends that connection; the worker, its buffers and its other
/// connections go on.
#[tokio::test]
async fn s06_a_panic_in_a_connections_task() {
    let shared = Rc::new(Shared::new(limits::WEBSOCKET));
    let open = |id| {
        let (client, stream) = duplex(64 * 1024);
        let handle = Handle::new(id, Outbox::default());
        let task = spawn_local(Connection::new(
            stream,
            Fragile,
            handle,
            Rc::clone(&shared),
            Vec::new(),
        ));
        (client, task)
    };
    let tasks = RefCell::new(Vec::new());
    LocalSet::new()
        .run_until(async {
            let (mut beside, task) = open(1);
            tasks.borrow_mut().push(task);
            for round in 0..3 {
                let (mut client, task) = open(2 + round);
                client
                    .write_all(&Wire::text("an injected panic").bytes())
                    .await
                    .expect("room");
                let ended = within("the end of the task", task).await;
                assert!(ended.is_err_and(|error| error.is_panic()));
                let rest = client.read_to_end(&mut Vec::new()).await;
                assert_eq!(rest.expect("the end"), 0);
                beside
                    .write_all(&Wire::binary("beside").bytes())
                    .await
                    .expect("room");
                let mut echo = [0; 8];
                within("an echo", beside.read_exact(&mut echo))
                    .await
                    .expect("it goes on");
                assert_eq!(&echo, b"\x82\x06beside");
            }
        })
        .await;
}

/// A system that has no more inotify instances: one warning, then changes are found by looking.
#[tokio::test]
async fn s15_no_file_events_at_start() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let file = dir.path().join("echo_wsh.rhai");
    std::fs::write(&file, ECHO).expect("write a handler");
    // In a user namespace of its own, the process may set its own bound.
    let script = "echo 0 > /proc/sys/user/max_inotify_instances && exec \"$@\"";
    let mut command = Command::new("unshare");
    command
        .args(["--user", "--map-root-user", "sh", "-c", script, "sh"])
        .arg(env!("CARGO_BIN_EXE_wsh-server"))
        .args(["-p", "0", "-w"])
        .arg(dir.path());
    let mut server = Spawned::run(command, dir, Stdio::piped());
    let log = server.log();
    let (said, mut lines) = tokio::sync::mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in std::io::BufRead::lines(log).map_while(Result::ok) {
            let _ = said.send(line);
        }
    });
    let warning = within("a warning", async {
        while let Some(line) = lines.recv().await {
            if line.contains("WARN") {
                return line;
            }
        }
        String::new()
    })
    .await;
    assert!(warning.contains("no file events"), "{warning}");
    connect(format!("ws://127.0.0.1:{}/echo", server.port()))
        .await
        .echoes(1)
        .await;
    std::fs::write(&file, crate::support::answering("edited")).expect("edit");
    let mut client = connect(format!("ws://127.0.0.1:{}/echo", server.port())).await;
    client.until_answer("edited").await;
    drop(server);
    while let Some(line) = lines.recv().await {
        assert!(!line.contains("WARN"), "once is enough: {line}");
    }
}
