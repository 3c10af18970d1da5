//! Conversations that can be repeated: with a seed and a clock that only waits move on, everything
//! that a script does follows from what its client sends.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::task::{LocalSet, spawn_local};
use tokio::time::Instant;
use wsh_server::config::limits;
use wsh_server::machine::clock::Clock;
use wsh_server::machine::random::Random;
use wsh_server::script::{
    Checker, Handshake, Hook, Host, Library, Peer, Place, Request, Runtime, ScriptSession,
    Services, Settings, Source, Wire, ensure_begun,
};
use wsh_server::websocket::{Connection, Handle, Outbox, Shared};

/// Uses everything that the world decides: both clocks, waits, timers, and all kinds of random
/// numbers.
const HANDLER: &str = r#"
fn do_extra_handshake(request) {
    this.token = uuid();
    request.add_header("X-Token", this.token);
    sleep(random());
}

fn on_load() {
    every(2, "minute");
}

fn on_interval(name) {
    sleep(random() / 10.0);
}

fn on_open(ws) {
    ws.send(`${this.token} at ${now()}, ${monotonic()}`);
    ws.every(0.5, "beat");
    ws.after(random() * 3.0, "once");
}

fn on_timer(ws, name) {
    ws.send(`${name} ${format_time(now())} ${random(1, 1_000_000)}`);
}

fn transfer_data(ws, message) {
    let began = monotonic();
    sleep(random() / 2.0);
    ws.send(random_bytes(8));
    ws.send(`${message} took ${monotonic() - began}: ${uuid()} ${random()}`);
    ws.frame(#{payload: message, mask: true});
}
"#;

/// What a client saw: bytes, with the time at which they came.
type Conversation = Vec<(Duration, Vec<u8>)>;

fn converse(seed: u64) -> (String, Conversation) {
    let clock = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    LocalSet::new().block_on(&clock, conversation(seed))
}

async fn conversation(seed: u64) -> (String, Conversation) {
    let mut host = Host::new(Settings {
        allow_raw: true,
        ..Settings::default()
    });
    host.clock = Clock::starting_at(1_445_412_480.0);
    host.random = Random::seeded(seed);
    let source = compiled(&host);
    let runtime = Rc::new(Runtime::new(&host));
    let turns = Rc::clone(&runtime);
    spawn_local(async move { turns.run_turns().await });
    let mut services = Services::default();
    let sources = BTreeMap::from([(source.file.clone(), Arc::clone(&source))]);
    services.update(&runtime, &sources);
    let handler = runtime.handler(&source);
    assert!(ensure_begun(&runtime, &handler).await);

    let request = Rc::new(request());
    let mut handshake = Handshake::new(&runtime, &handler, Hook::DoExtraHandshake, 1, &request);
    let decided = poll_fn(|context| handshake.poll(context)).await;
    let (state, answer, _) = decided.expect("accepted");
    let (mut client, stream) = duplex(64 * 1024);
    let handle = Handle::new(1, Outbox::default());
    let place = handler.place(Place {
        path: "/repeatable".into(),
        protocol: String::new(),
        send_queue: limits::WEBSOCKET.send_queue,
        ..Place::default()
    });
    let peer = Rc::new(Peer::new(Rc::clone(&handle), place, state, None));
    let session = ScriptSession::new(runtime, handler, peer, ());
    let shared = Rc::new(Shared::new(limits::WEBSOCKET));
    let served = spawn_local(Connection::new(stream, session, handle, shared, Vec::new()));
    let talk = talk(&mut client).await;
    drop(client);
    served.await.expect("no panic");
    (answer.headers[0].1.clone(), talk)
}

fn compiled(host: &Host) -> Arc<Source> {
    let mut library = Library::default();
    let mut checker = Checker::new(host, &mut library);
    let checked = checker.check("repeatable_wsh.rhai", &Ok(HANDLER.to_owned()), 1);
    checked.result.expect("it serves").source
}

fn request() -> Request {
    Request {
        path: "/repeatable".into(),
        params: Vec::new(),
        target: "/repeatable".into(),
        method: "GET".into(),
        http_version: "1.1",
        secure: false,
        headers: Vec::new(),
        requested_protocols: Vec::new(),
        remote_addr: None,
        client_subject: None,
        user: None,
        answer: RefCell::default(),
        wire: RefCell::new(Wire::default()),
        raw_head: RefCell::default(),
        body: None,
    }
}

/// Three messages with pauses, a Close, and everything that comes back.
async fn talk(client: &mut DuplexStream) -> Conversation {
    let mut heard = Vec::new();
    for message in ["one", "two", "three"] {
        client
            .write_all(&frame(0x81, message.as_bytes()))
            .await
            .expect("sent");
        listen(client, Duration::from_secs(2), &mut heard).await;
    }
    client
        .write_all(&frame(0x88, &1000_u16.to_be_bytes()))
        .await
        .expect("sent");
    listen(client, Duration::from_secs(60), &mut heard).await;
    heard
}

async fn listen(client: &mut DuplexStream, time: Duration, heard: &mut Conversation) {
    let began = Instant::now();
    let mut bytes = [0; 4096];
    while let Some(left) = time.checked_sub(began.elapsed()) {
        let read = tokio::time::timeout(left, client.read(&mut bytes)).await;
        match read {
            Ok(Ok(0)) | Err(_) => return,
            Ok(read) => {
                let count = read.expect("read");
                heard.push((began.elapsed(), bytes[..count].to_vec()));
            }
        }
    }
}

fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first, 0x80 | payload.len() as u8, 0, 0, 0, 0];
    bytes.extend(payload);
    bytes
}

#[test]
fn a_seed_and_a_clock_that_stands_still_repeat_a_conversation() {
    let (token, heard) = converse(7);
    assert_eq!(converse(7), (token.clone(), heard.clone()));
    let (other_token, other) = converse(8);
    assert_ne!(token, other_token);
    assert_ne!(heard, other);

    let bytes: Vec<u8> = heard.into_iter().flat_map(|(_, bytes)| bytes).collect();
    let text = String::from_utf8_lossy(&bytes);
    for said in ["beat 2015-10-21T07:28:0", "once ", "three took 0.", &token] {
        assert!(text.contains(said), "{said}: {text}");
    }
}
