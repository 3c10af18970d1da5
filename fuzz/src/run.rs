//! One script as a server runs it: tried, loaded, and called for everything that a client does.
//!
//! Time stands still but for waits, which are skipped, so that a script that sleeps costs nothing. Bounds are small. What
//! must not happen is a panic, an abort, or a script that goes on and on.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::{Arc, Mutex, Once};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::task::{LocalSet, spawn_local};
use wsh_server::config::limits;
use wsh_server::script::{
    Answer, Checker, Handshake, Hook, Host, Library, Limits, Peer, Place, Request, Runtime,
    ScriptSession, Services, Settings, Source, Wire, ensure_begun,
};
use wsh_server::websocket::{Connection, Handle, Outbox, Shared};

const FILE: &str = "fuzz_wsh.rhai";
/// A module that scripts may import.
const MODULE: &str = "export const N = 1;\nfn twice(n) { n * 2 }\nfn endless() { loop {} }\n";

/// Small bounds, so that they are reached.
const BOUNDS: Limits = Limits {
    budget: Duration::from_millis(20),
    close_budget: Duration::from_millis(5),
    operations: 100_000,
    memory: 8 * 1024 * 1024,
    state: 256 * 1024,
    fibers: 8,
    string: 256 * 1024,
    ..limits::SCRIPT
};
/// Real time after which a client goes, whatever the script does.
const STAY: Duration = Duration::from_millis(200);
/// Real time after which a script has gone on for too long: far above what its budgets come to.
const TOO_LONG: Duration = Duration::from_secs(20);

/// Runs a script. Panics if anything panicked on the way, or took too long.
pub fn run(text: &str) {
    static WATCH: Once = Once::new();
    WATCH.call_once(watch_panics);
    thread_local! {
        static RUNTIME: Rc<Runtime> = Rc::new(Runtime::new(&host()));
        static VERSION: Cell<u64> = const { Cell::new(0) };
    }
    let version = VERSION.get() + 1;
    VERSION.set(version);
    let began = Instant::now();
    if let Some(source) = tried(text, version) {
        let clock = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime");
        let served = serve(RUNTIME.with(Rc::clone), source, began);
        LocalSet::new().block_on(&clock, served);
    }
    let took = began.elapsed();
    let panicked = PANICS.lock().map_or(None, |mut panics| panics.take());
    assert!(
        panicked.is_none(),
        "{} with\n{text}",
        panicked.unwrap_or_default()
    );
    assert!(took < TOO_LONG, "{took:?} with\n{text}");
}

/// The last panic: the server survives them, and so nobody would hear of it.
static PANICS: Mutex<Option<String>> = Mutex::new(None);

fn watch_panics() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if let Ok(mut panics) = PANICS.lock() {
            *panics = Some(panic.to_string());
        }
        before(panic);
    }));
}

fn host() -> Host {
    Host::new(Settings {
        limits: BOUNDS,
        allow_raw: true,
        env: Arc::from(["HOME".to_owned()]),
        ..Settings::default()
    })
}

/// As the reconciler does it.
fn tried(text: &str, version: u64) -> Option<Arc<Source>> {
    let mut library = Library::default();
    library.set("lib/m", Some(Ok(MODULE.to_owned())));
    let mut checker = Checker::new(&host(), &mut library);
    let checked = checker.check(FILE, &Ok(text.to_owned()), version);
    checked.result.ok().map(|tried| tried.source)
}

/// As a worker does it.
async fn serve(runtime: Rc<Runtime>, source: Arc<Source>, began: Instant) {
    let turns = Rc::clone(&runtime);
    spawn_local(async move { turns.run_turns().await });
    let mut services = Services::default();
    services.update(
        &runtime,
        &BTreeMap::from([(FILE.to_owned(), Arc::clone(&source))]),
    );
    tokio::select! {
        () = connection(&runtime, &source) => {}
        () = until(began + STAY) => {}
    }
}

/// Ready at a point of real time, told by another thread: a script that never lets this one be idle keeps its time from going on.
async fn until(end: Instant) {
    let (sender, receiver) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        std::thread::sleep(end.saturating_duration_since(Instant::now()));
        let _ = sender.send(());
    });
    let _ = receiver.await;
}

async fn connection(runtime: &Rc<Runtime>, source: &Arc<Source>) {
    let handler = runtime.handler(source);
    if !ensure_begun(runtime, &handler).await {
        return;
    }
    let request = Rc::new(request());
    let mut handshake = Handshake::new(runtime, &handler, Hook::DoExtraHandshake, 1, &request);
    let Ok((
        state,
        Answer {
            is_written: false, ..
        },
        _,
    )) = poll_fn(|context| handshake.poll(context)).await
    else {
        return;
    };
    let (mut client, stream) = duplex(64 * 1024);
    let handle = Handle::new(1, Outbox::default());
    let place = handler.place(Place {
        path: "/fuzz".into(),
        protocol: String::new(),
        send_queue: limits::WEBSOCKET.send_queue,
        ..Place::default()
    });
    let peer = Rc::new(Peer::new(Rc::clone(&handle), place, state, Some(request)));
    let session = ScriptSession::new(Rc::clone(runtime), handler, peer, ());
    let shared = Rc::new(Shared::new(limits::WEBSOCKET));
    let alarms = Rc::clone(&shared);
    spawn_local(async move { alarms.clock.run().await });
    let ticking = Rc::clone(&shared);
    spawn_local(async move {
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            ticking.clock.tick();
        }
    });
    let served = spawn_local(Connection::new(stream, session, handle, shared, Vec::new()));
    talk(&mut client).await;
    drop(client);
    let _ = served.await;
}

fn request() -> Request {
    Request {
        path: "/fuzz".into(),
        params: vec![("id".into(), "7".into())],
        target: "/fuzz?a=1&b=%20".into(),
        method: "GET".into(),
        http_version: "1.1",
        secure: false,
        headers: vec![
            ("Host".into(), "localhost".into()),
            ("Cookie".into(), "a=1; b=2".into()),
        ],
        requested_protocols: vec!["chat".into()],
        remote_addr: Some(([127, 0, 0, 1], 7).into()),
        client_subject: None,
        user: None,
        answer: RefCell::default(),
        wire: RefCell::new(Wire {
            incoming: vec![1, 2, 3],
            ..Wire::default()
        }),
        raw_head: RefCell::new(b"GET / HTTP/1.1\r\n\r\n".to_vec()),
        body: None,
    }
}

/// What a client does: pings, messages of every kind, pauses for timers, a Close. What comes back is passed over.
async fn talk(client: &mut DuplexStream) {
    let frames: [(u8, &[u8]); 7] = [
        (0x89, b"ping"),
        (0x8a, b"pong"),
        (0x81, b"text"),
        (0x81, b"[1,{\"a\":2}]"),
        (0x82, &[0, 255, 7]),
        (0x01, b"frag"),
        (0x80, b"ment"),
    ];
    for (first, payload) in frames {
        if client.write_all(&frame(first, payload)).await.is_err() {
            return;
        }
    }
    listen(client, Duration::from_secs(2)).await;
    if client
        .write_all(&frame(0x88, &1000_u16.to_be_bytes()))
        .await
        .is_ok()
    {
        listen(client, Duration::from_secs(30)).await;
    }
}

fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mask = [1, 2, 3, 4];
    let mut bytes = vec![first, 0x80 | payload.len() as u8];
    bytes.extend(mask);
    bytes.extend(
        payload
            .iter()
            .zip(mask.iter().cycle())
            .map(|(byte, key)| byte ^ key),
    );
    bytes
}

async fn listen(client: &mut DuplexStream, time: Duration) {
    let mut buffer = vec![0; 16 * 1024];
    let reading = async { while client.read(&mut buffer).await.is_ok_and(|count| count > 0) {} };
    let _ = tokio::time::timeout(time, reading).await;
}
