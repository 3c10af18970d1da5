//! Every hostile script against one server, many at a time, while witnesses beside them send
//! numbered messages: none of these is lost, the process stays, and it ends in time with all of
//! them at work.

#[path = "../hostile/scripts.rs"]
mod scripts;

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use crate::support::{ECHO, Request, Server, Wire, connect, every_case};
use scripts::{Ends, Script};

/// Clients of hostile scripts at a time. Each may take a second of one of the two workers.
const AT_ONCE: usize = 24;
/// How long a client stays with a script that waits for ever.
const STAY: Duration = Duration::from_millis(500);
/// How long a script that must come to an end may take for it, beside so many others, on a machine
/// that is busy elsewhere: it only ends a hang.
const BUDGETS: Duration = Duration::from_secs(600);

const ECHO_LOOP: &str = "fn transfer_data(ws) {\n    loop {\n        let message = \
    ws.receive();\n        \
                         if message == () { break; }\n        ws.send(message);\n    }\n}\n";

#[test]
fn there_are_hundreds_of_scripts() {
    let scripts = scripts::all();
    let names: HashSet<_> = scripts.iter().map(|script| &script.name).collect();
    assert_eq!(names.len(), scripts.len(), "every name once");
    assert!(scripts.len() >= 200, "{}", scripts.len());
}

#[tokio::test]
async fn hostile_scripts_end_their_connection_and_nothing_else() {
    let mut server = Server::builder()
        .files(&[("echo_wsh.rhai", ECHO), ("loop_wsh.rhai", ECHO_LOOP)])
        .arg("--allow-raw")
        .start()
        .await;
    let witnesses = Witnesses::start(&server);
    let scripts = scripts::all();

    // They come while others are served, and compiling them must not hold up these either.
    for script in &scripts {
        server.write(&format!("{}_wsh.rhai", script.name), &script.source);
    }
    for script in &scripts {
        let file = format!("file=\"{}_wsh.rhai\"", script.name);
        server.until_logged(&[&file]).await;
        let is_broken = server.count(["handler broken", &file]) > 0;
        match script.ends {
            Ends::Broken => assert!(is_broken, "{}", script.name),
            Ends::Somehow => {}
            _ => assert!(!is_broken, "{}:\n{}", script.name, server.logged()),
        }
    }

    let room = Arc::new(Semaphore::new(AT_ONCE));
    let port = server.port();
    let visits = scripts.iter().enumerate().map(|(number, script)| {
        let (room, ends, path) = (Arc::clone(&room), script.ends, format!("/{}", script.name));
        let case = async move {
            let _place = room.acquire().await;
            let seen = visit(port, &path, ends, number).await;
            assert!(seen.fits(ends), "{ends:?} expected, seen {seen:?}");
        };
        (script.name.clone(), case)
    });
    every_case(visits).await;

    witnesses.stop().await;
    connect(server.url("/echo")).await.echoes(5).await;
    assert_eq!(server.count("panicked"), 0, "{}", server.logged());

    // The end, with all of them at work.
    let clients = start_all(port, &scripts).await;
    assert!(server.stop().await.success());
    drop(clients);
}

/// Connections of honest handlers, on both workers, that speak all the time.
struct Witnesses {
    stop: Arc<AtomicBool>,
    tasks: JoinSet<usize>,
}

impl Witnesses {
    fn start(server: &Server) -> Witnesses {
        let stop = Arc::new(AtomicBool::new(false));
        let mut tasks = JoinSet::new();
        for path in ["/echo", "/echo", "/loop", "/loop"] {
            tasks.spawn(witness(server.url(path), Arc::clone(&stop)));
        }
        Witnesses { stop, tasks }
    }

    async fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        for messages in self.tasks.join_all().await {
            assert!(messages > 0);
        }
    }
}

/// Sends numbered messages, some at a time, until it is told to stop; each must come back, in
/// order.
async fn witness(url: String, stop: Arc<AtomicBool>) -> usize {
    const BATCH: usize = 20;
    let mut client = connect(url).await;
    let mut sent = 0;
    while !stop.load(Ordering::Relaxed) {
        for number in sent..sent + BATCH {
            client.send_text(number.to_string()).await;
        }
        for number in sent..sent + BATCH {
            assert_eq!(client.next_text().await, number.to_string());
        }
        sent += BATCH;
        // Not as fast as it can: the server is to be the one that is busy.
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert_eq!(client.close(1000, "").await.0, 1000);
    sent
}

/// What a client has seen of a script.
#[derive(Debug, Default)]
struct Seen {
    refused: Option<u16>,
    replies: usize,
    /// Whether it has sent a Close first.
    goodbye: bool,
    end: Option<End>,
}

#[derive(Debug, PartialEq, Eq)]
enum End {
    /// A Close with this code.
    Close(u16),
    /// The connection ended without one, or what came was no frame.
    Lost,
}

impl Seen {
    fn fits(&self, ends: Ends) -> bool {
        let faulted = matches!(self.refused, Some(403 | 500))
            || self.end == Some(End::Close(1011))
            // A hook that answers the peer's Close has a bound of its own, by the clock.
            || self.goodbye && self.end == Some(End::Lost);
        match ends {
            Ends::Fault => faulted,
            Ends::Within(_) => faulted && self.replies > 0,
            Ends::Reply => self.replies > 0 && self.end == Some(End::Close(1000)),
            Ends::Somehow => self.refused.is_some() || self.end.is_some(),
            Ends::Never | Ends::Deaf => true,
            Ends::Broken => self.refused == Some(500),
        }
    }
}

/// Opens a handler, pings it, pongs it, says `go`, and sees how that ends.
async fn visit(port: u16, path: &str, ends: Ends, number: usize) -> Seen {
    let stay = match ends {
        Ends::Never | Ends::Deaf => STAY,
        _ => BUDGETS,
    };
    let until = Instant::now() + stay;
    let mut seen = Seen::default();
    let mut client = Visitor::connect(port).await;
    client.send(Request::upgrade(path).bytes()).await;
    match client.status(until).await {
        Some(101) => {}
        Some(status) => {
            seen.refused = Some(status);
            return seen;
        }
        None => {
            seen.end = client.ended.then_some(End::Lost);
            return seen;
        }
    }
    client.provoke().await;
    if ends == Ends::Deaf {
        tokio::time::sleep(STAY).await;
    } else {
        client.follow(ends, until, &mut seen).await;
    }
    // With a Close, with a FIN, with a reset.
    match number % 3 {
        0 => client.send(Wire::close(1000, "").bytes()).await,
        1 => client.reset(),
        _ => {}
    }
    seen
}

/// Opens every handler and says `go`, without waiting for anything.
async fn start_all(port: u16, scripts: &[Script]) -> Vec<Visitor> {
    let mut clients = Vec::new();
    for script in scripts {
        let mut client = Visitor::connect(port).await;
        client
            .send(Request::upgrade(&format!("/{}", script.name)).bytes())
            .await;
        client.provoke().await;
        clients.push(client);
    }
    clients
}

/// A client that takes what comes, be it frames or not.
struct Visitor {
    stream: TcpStream,
    bytes: Vec<u8>,
    ended: bool,
}

impl Visitor {
    async fn connect(port: u16) -> Visitor {
        let stream = TcpStream::connect(("127.0.0.1", port)).await;
        Visitor {
            stream: stream.expect("connect"),
            bytes: Vec::new(),
            ended: false,
        }
    }

    /// Sends, as far as there is somebody who takes it.
    async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.stream.write_all(bytes.as_ref()).await;
    }

    async fn provoke(&mut self) {
        self.send(Wire::ping("p").bytes()).await;
        self.send(Wire::pong("q").bytes()).await;
        self.send(Wire::text("go").bytes()).await;
    }

    fn reset(&self) {
        let socket = socket2::SockRef::from(&self.stream);
        socket.set_linger(Some(Duration::ZERO)).expect("linger 0");
    }

    /// The status of the answer, whose head is taken off; `None` if there is none in time.
    async fn status(&mut self, until: Instant) -> Option<u16> {
        loop {
            if let Some(end) = self.bytes.windows(4).position(|four| four == b"\r\n\r\n") {
                let head: Vec<_> = self.bytes.drain(..end + 4).collect();
                let status = head.get(9..12)?;
                return std::str::from_utf8(status).ok()?.parse().ok();
            }
            if !self.read(until).await {
                return None;
            }
        }
    }

    /// Takes messages until the end; says goodbye to a script that has answered.
    async fn follow(&mut self, ends: Ends, until: Instant, seen: &mut Seen) {
        loop {
            match self.frame() {
                Some((8, payload)) => {
                    let code = payload
                        .first_chunk()
                        .map_or(1005, |code| u16::from_be_bytes(*code));
                    seen.end = Some(End::Close(code));
                    self.send(Wire::close(1000, "").bytes()).await;
                    return;
                }
                Some((1 | 2, payload)) => {
                    seen.replies += 1;
                    let is_honest = payload == b"go" || matches!(ends, Ends::Reply | Ends::Somehow);
                    if matches!(ends, Ends::Within(most) if seen.replies < most) {
                        self.send(Wire::text("go").bytes()).await;
                    } else if is_honest && seen.replies == 1 {
                        seen.goodbye = true;
                        self.send(Wire::close(1000, "").bytes()).await;
                    }
                }
                Some((9, payload)) => self.send(Wire::pong(payload).bytes()).await,
                Some(_) => {}
                None if self.read(until).await => {}
                None => {
                    seen.end = self.ended.then_some(End::Lost);
                    return;
                }
            }
        }
    }

    /// Whether more bytes came in time.
    async fn read(&mut self, until: Instant) -> bool {
        let reading = self.stream.read_buf(&mut self.bytes);
        match timeout_at(until, reading).await {
            Ok(Ok(count)) if count > 0 => true,
            Ok(_) => {
                self.ended = true;
                false
            }
            Err(_) => false,
        }
    }

    /// The next frame that has come whole: its opcode and payload.
    fn frame(&mut self) -> Option<(u8, Vec<u8>)> {
        let [first, second, ..] = self.bytes[..] else {
            return None;
        };
        let (length, start) = match second & 0x7f {
            126 => (
                u16::from_be_bytes(*self.bytes.get(2..)?.first_chunk()?).into(),
                4,
            ),
            127 => (u64::from_be_bytes(*self.bytes.get(2..)?.first_chunk()?), 10),
            short => (short.into(), 2),
        };
        let end = usize::try_from(length).ok()?.checked_add(start)?;
        (self.bytes.len() >= end).then(|| {
            let frame: Vec<_> = self.bytes.drain(..end).collect();
            (first & 0xf, frame[start..].to_vec())
        })
    }
}
