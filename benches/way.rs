//! The way of a message through the server, without a kernel: frames are decoded, hooks run on
//! fibers, and replies are gathered and written into nothing.
//!
//!     cargo bench --bench way
//!     cargo bench --bench way -- echo compiled 100000
//!
//! A line has the best and the median of a message's mean, 16 of them in a read. With a name, an
//! evaluator and a number, that handler alone gets so many messages, for a profiler that counts
//! instructions.

mod asked;

use std::cell::Cell;
use std::future::poll_fn;
use std::hint::black_box;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use wsh_server::config::{Evaluator, limits};
use wsh_server::script::{
    Heap, Host, Peer, Place, Runtime, ScriptSession, Settings, Source, State, ensure_begun,
};
use wsh_server::websocket::frame::Raw;
use wsh_server::websocket::{Connection, Handle, Outbox, Shared, Transport};

#[global_allocator]
static ALLOCATOR: Heap = Heap;

const ROUNDS: usize = 15;
/// Messages of a round.
const MESSAGES: usize = 32_000;
/// Messages in a read.
const IN_FLIGHT: usize = 16;
/// Bytes of a message.
const LENGTH: usize = 64;

/// Name, source, and whether messages are binary.
const HANDLERS: [(&str, &str, bool); 6] = [
    ("empty", "fn transfer_data(ws, message) {}", false),
    (
        "echo",
        "fn transfer_data(ws, message) { ws.send(message); }",
        false,
    ),
    (
        "echo, binary",
        "fn transfer_data(ws, message) { ws.send(message); }",
        true,
    ),
    (
        "echo, with `this`",
        "fn on_open(ws) { this.n = 0; } \
        fn transfer_data(ws, message) { this.n += 1; ws.send(message); }",
        false,
    ),
    (
        "count",
        "fn transfer_data(ws, message) { this.count = (this.count ?? 0) + 1; \
        if this.count % 2 == 0 { ws.send(`even: ${this.count}`); } \
        else { ws.send(`odd: ${this.count}`); } }",
        false,
    ),
    (
        "a loop that receives",
        "fn transfer_data(ws) { let m = ws.receive(); \
        while m != () { ws.send(m); m = ws.receive(); } }",
        false,
    ),
];

fn main() {
    if let Some(alone) = asked::alone() {
        let handler = HANDLERS.iter().find(|(known, ..)| *known == alone.name);
        let (_, text, binary) = handler.expect("the name of a handler");
        served(alone.evaluator, text, *binary, alone.count as usize);
        return;
    }
    println!("| handler | Rhai, ns: best, median | translated, ns: best, median |");
    println!("|---|---:|---:|");
    for (name, text, binary) in HANDLERS {
        let (mut rhai, mut tree) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            rhai.push(served(Evaluator::Rhai, text, binary, MESSAGES));
            tree.push(served(Evaluator::Compiled, text, binary, MESSAGES));
        }
        let [(a, a_middle), (b, b_middle)] = [rhai, tree].map(spread);
        println!("| {name} | {a:.0}, {a_middle:.0} | {b:.0}, {b_middle:.0} |");
    }
}

/// The best and the median.
fn spread(mut times: Vec<f64>) -> (f64, f64) {
    times.sort_by(f64::total_cmp);
    (times[0], times[times.len() / 2])
}

/// A peer that sends so many messages, and takes whatever comes.
struct Flood {
    frames: Vec<u8>,
    /// Reads that are left.
    reads: Rc<Cell<usize>>,
}

impl AsyncRead for Flood {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Some(left) = self.reads.get().checked_sub(1) else {
            return Poll::Pending;
        };
        self.reads.set(left);
        buffer.put_slice(&self.frames);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Flood {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(black_box(bytes).len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl Transport for Flood {}

/// Nanoseconds of a message, the mean of so many.
fn served(evaluator: Evaluator, text: &str, is_binary: bool, messages: usize) -> f64 {
    let tokio = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    tokio.block_on(async {
        let source = Arc::new(Source {
            file: "bench_wsh.rhai".into(),
            text: text.into(),
            version: 1,
            modules: Vec::new(),
        });
        let runtime = Rc::new(Runtime::new(&Host::new(Settings {
            evaluator,
            ..Settings::default()
        })));
        let handler = runtime.handler(&source);
        // Where it is slow, as below a profiler, others have their turns while a file is compiled.
        tokio::select! {
            () = runtime.run_turns() => {}
            serves = ensure_begun(&runtime, &handler) => assert!(serves, "it serves"),
        }
        let frame = Raw {
            fin: true,
            rsv: [false; 3],
            opcode: if is_binary { 2 } else { 1 },
            mask: Some([0x12, 0x34, 0x56, 0x78]),
            length: None,
            form: None,
            payload: vec![b'x'; LENGTH],
        };
        let reads = Rc::new(Cell::new(messages / IN_FLIGHT));
        let stream = Flood {
            frames: frame.encode().repeat(IN_FLIGHT),
            reads: Rc::clone(&reads),
        };
        let handle = Handle::new(1, Outbox::default());
        let place = handler.place(Place {
            send_queue: usize::MAX,
            ..Place::default()
        });
        let peer = Rc::new(Peer::new(Rc::clone(&handle), place, State::default(), None));
        let session = ScriptSession::new(Rc::clone(&runtime), handler, peer, ());
        let shared = Rc::new(Shared::new(limits::WEBSOCKET));
        let mut connection = pin!(Connection::new(stream, session, handle, shared, Vec::new()));
        let began = Instant::now();
        // Each poll is a connection's share of its worker.
        let all = poll_fn(|context| {
            assert!(connection.as_mut().poll(context).is_pending());
            if reads.get() == 0 {
                return Poll::Ready(());
            }
            context.waker().wake_by_ref();
            Poll::Pending
        });
        tokio::select! {
            () = runtime.run_turns() => {}
            () = all => {}
        }
        began.elapsed().as_nanos() as f64 / messages as f64
    })
}
