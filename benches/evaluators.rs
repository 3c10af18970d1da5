//! The cost of one hook call, without a server: by Rhai's evaluator, and translated.
//!
//!     cargo bench --bench evaluators
//!     cargo bench --bench evaluators -- echo compiled 100000
//!
//! Both run on the engine that handlers have, budgets included. Rounds alternate in one process; a
//! line has the best and the median of a round's mean, and their ratios. With a name, an evaluator
//! and a number, that hook alone is called so often, for a profiler that counts instructions.

mod asked;

use std::hint::black_box;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use rhai::{Dynamic, Map};
use wsh_server::config::Evaluator;
use wsh_server::machine::meter;
use wsh_server::script::api::connection::WebSocket;
use wsh_server::script::{
    Compiler, Heap, Hook, Host, Peer, Place, Program, Settings, Source, State,
};
use wsh_server::websocket::{Handle, Outbox};

#[global_allocator]
static ALLOCATOR: Heap = Heap;

const ROUNDS: usize = 21;
/// Calls of a round: an outbox that nobody empties does not grow out of the cache.
const CALLS: u32 = 10_000;

const JSON: &str = r#"{"id":7,"name":"Ada","tags":["a","b"],"at":{"x":1.5,"y":-2},"count":1}"#;
const SAY: &str = r#"{"type":"say","text":"hello, everybody"}"#;

/// Name, body of `transfer_data(ws, message)`, message.
const HOOKS: [(&str, &str, &str); 7] = [
    ("empty", "", "hello"),
    ("echo", "ws.send(message);", "hello"),
    (
        "count",
        "this.count = (this.count ?? 0) + 1; if this.count % 2 == 0 { \
        ws.send(`even: ${this.count}`); } else { ws.send(`odd: ${this.count}`); }",
        "hello",
    ),
    (
        "chat",
        "let m = parse_json(message); if m.type == \"say\" { this.said = (this.said ?? 0) + 1; \
        ws.send(`${m.text} (${this.said})`); } else { ws.send(\"what?\"); }",
        SAY,
    ),
    (
        "JSON in and out",
        "let m = parse_json(message); m.count += 1; ws.send(m.to_json());",
        JSON,
    ),
    (
        "`for` of 100",
        "let n = 0; for i in 0..100 { n += i; }",
        "hello",
    ),
    (
        "`while` of 100",
        "let n = 0; let i = 0; while i < 100 { n += i; i += 1; }",
        "hello",
    ),
];

fn main() {
    if let Some(alone) = asked::alone() {
        let hook = HOOKS.iter().find(|(known, ..)| *known == alone.name);
        let (_, body, message) = hook.expect("the name of a hook");
        Called::new(alone.evaluator, body, message).times(alone.count);
        return;
    }
    println!(
        "| hook | Rhai, ns: best, median | translated, ns: best, median | best / best | median / median |"
    );
    println!("|---|---:|---:|---:|---:|");
    for (name, body, message) in HOOKS {
        let rhai = Called::new(Evaluator::Rhai, body, message);
        let tree = Called::new(Evaluator::Compiled, body, message);
        let (mut a, mut b) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            a.push(rhai.times(CALLS));
            b.push(tree.times(CALLS));
        }
        a.sort_by(f64::total_cmp);
        b.sort_by(f64::total_cmp);
        let middle = ROUNDS / 2;
        println!(
            "| {name} | {:.0}, {:.0} | {:.0}, {:.0} | {:.2} | {:.2} |",
            a[0],
            a[middle],
            b[0],
            b[middle],
            b[0] / a[0],
            b[middle] / a[middle]
        );
    }
}

/// A hook and what it is called with.
struct Called {
    compiler: Compiler,
    program: Program,
    this: Dynamic,
    message: Dynamic,
}

impl Called {
    fn new(evaluator: Evaluator, body: &str, message: &str) -> Self {
        let source = Arc::new(Source {
            file: "bench_wsh.rhai".into(),
            text: format!("fn transfer_data(ws, message) {{ {body} }}\n"),
            version: 1,
            modules: Vec::new(),
        });
        let compiler = Compiler::new(&Host::new(Settings {
            evaluator,
            ..Settings::default()
        }));
        Self {
            program: Program::compile(&compiler, &source).expect("it serves"),
            compiler,
            this: Dynamic::from_map(Map::new()).into_shared(),
            message: message.into(),
        }
    }

    /// Nanoseconds of a call, the mean of so many.
    fn times(&self, count: u32) -> f64 {
        let place = Place {
            send_queue: usize::MAX,
            ..Place::default()
        };
        let handle = Handle::new(1, Outbox::default());
        let peer = Peer::new(handle, Rc::new(place), State::default(), None);
        let ws = Dynamic::from(WebSocket(Rc::new(peer))).into_shared();
        let began = Instant::now();
        for _ in 0..count {
            let mut args = [ws.clone(), self.message.clone()];
            let mut this = self.this.clone();
            meter::start(self.compiler.budget());
            let called = self.program.call(Hook::TransferData, &mut this, &mut args);
            let _ = black_box(called.expect("it does not fail"));
        }
        began.elapsed().as_nanos() as f64 / f64::from(count)
    }
}
