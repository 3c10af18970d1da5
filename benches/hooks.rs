//! The cost of one hook call: with Rhai's evaluator as the server runs it, and with Rhai's bytecode
//! VM, `grain`.
//!
//!     cargo bench --bench hooks --features bench-grain
//!
//! Both run on the engine that handlers have, budgets included. Rounds alternate; a line has the
//! median of a round's mean, with minimum and maximum. Behind the times stands what the VM does
//! otherwise than the evaluator: calls whose results differ, and how often each of them asks
//! whether a script must end.

use std::cell::Cell;
use std::hint::black_box;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use rhai::grain;
use rhai::{AST, CallFnOptions, Dynamic, Engine, ImmutableString, Map, Scope};
use wsh_server::script::api::connection::WebSocket;
use wsh_server::script::{Compiler, Heap, Hook, Host, Peer, Program, Source};

#[global_allocator]
static ALLOCATOR: Heap = Heap;

const ROUNDS: usize = 15;
const CALLS: u32 = 100_000;

const JSON: &str = r#"{"id":7,"name":"Ada","tags":["a","b"],"at":{"x":1.5,"y":-2},"count":1}"#;

/// What is timed: its name, the body of `transfer_data(ws, message)`, and the message.
const TIMED: [(&str, &str, &str); 4] = [
    ("empty", "", "hello"),
    ("echo", "ws.send(message);", "hello"),
    (
        "JSON in and out",
        "let m = parse_json(message); m.count += 1; ws.send(m.to_json());",
        JSON,
    ),
    (
        "loop of 100",
        "let n = 0; for i in 0..100 { n += i; }",
        "hello",
    ),
];

/// What is compared: bodies that return a value.
const COMPARED: [(&str, &str); 12] = [
    ("a function of the file", "twice(21)"),
    ("a function as a method", "let n = 21; n.doubled()"),
    ("`this`", "this.n = 41; this.n += 1; this.n"),
    ("a constant of the file", "global::ANSWER"),
    ("a caught error", "try { throw 42; } catch (e) { e }"),
    ("a switch", "switch message { \"hello\" => 42, _ => 0 }"),
    ("a closure, called", "let f = |x| x * 2; f.call(21)"),
    ("a function by its name", "Fn(\"twice\").call(21)"),
    ("a closure in a callback", "[20, 21].map(|x| x * 2)"),
    ("a captured variable", "let n = 2; [20, 21].map(|x| x * n)"),
    (
        "a closure kept in `this`",
        "this.f = |x| x * 2; this.f.call(21)",
    ),
    ("sorting", "let a = [2, 1]; a.sort(|x, y| x - y); a"),
];

const BESIDE: &str = "const ANSWER = 42;\nfn twice(n) { n * 2 }\nfn doubled() { this * 2 }\n";

/// What must be ended: bodies without an end of their own.
const ENDLESS: [(&str, &str); 4] = [
    ("loop {}", "loop {}"),
    (
        "a loop in a function",
        "endless(); fn endless() { loop {} }",
    ),
    ("a loop with a catch", "loop { try { loop {} } catch { } }"),
    (
        "a loop over a range",
        "let n = 0; for i in 0..9223372036854775807 { n = i; }",
    ),
];

fn main() {
    println!("| hook | evaluator, ns | min – max | grain, ns | min – max | grain / evaluator |");
    println!("|---|---:|---:|---:|---:|---:|");
    for (name, body, message) in TIMED {
        let hooks = Hooks::new(&handler(body));
        let (mut vm, message) = (hooks.vm(), &message.into());
        let (mut evaluator, mut bytecode) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            evaluator.push(time(|ws| hooks.evaluate(ws, message)));
            bytecode.push(time(|ws| hooks.execute(&mut vm, ws, message)));
        }
        let ([a, a_least, a_most], [b, b_least, b_most]) = (spread(evaluator), spread(bytecode));
        println!(
            "| {name} | {a:.0} | {a_least:.0} – {a_most:.0} | {b:.0} | {b_least:.0} – {b_most:.0} \
            | {:.2} |",
            b / a
        );
    }
    println!("\n| what a hook does | evaluator | grain |\n|---|---|---|");
    for (name, body) in COMPARED {
        let hooks = Hooks::new(&handler(body));
        let (ws, message) = (socket(), &"hello".into());
        let evaluated = shown(hooks.evaluate(&ws, message));
        let executed = shown(hooks.execute(&mut hooks.vm(), &ws, message));
        println!("| {name} | {evaluated} | {executed} |");
    }
    println!("\n| without an end | evaluator | grain |\n|---|---|---|");
    for (name, body) in ENDLESS {
        println!(
            "| {name} | {} | {} |",
            ended(body, false),
            ended(body, true)
        );
    }
}

fn handler(body: &str) -> String {
    format!("fn transfer_data(ws, message) {{ {body} }}\n{BESIDE}")
}

/// One handler, for both.
struct Hooks {
    engine: Rc<Engine>,
    program: Program,
    bytecode: grain::Program<'static>,
    this: Dynamic,
}

impl Hooks {
    fn new(text: &str) -> Self {
        let source = Arc::new(Source {
            file: "bench_wsh.rhai".into(),
            text: text.into(),
            version: 1,
            modules: Vec::new(),
        });
        let compiler = Compiler::new(&Host::default());
        let ast = compiler.parse(&source.file, text).expect("it parses");
        Self {
            engine: Rc::clone(&compiler.engine),
            bytecode: grain::Compiler::new().compile(&ast),
            program: Program::new(&compiler, &source, ast).expect("it serves"),
            this: Dynamic::from_map(Map::new()).into_shared(),
        }
    }

    fn vm(&self) -> grain::Vm<'_> {
        grain::Vm::new(&self.engine)
    }

    fn evaluate(&self, ws: &Dynamic, message: &ImmutableString) -> Outcome {
        let mut args = [ws.clone(), message.clone().into()];
        self.program
            .call(Hook::TransferData, &mut self.this.clone(), &mut args)
    }

    fn execute(&self, vm: &mut grain::Vm<'_>, ws: &Dynamic, message: &ImmutableString) -> Outcome {
        let mut this = self.this.clone();
        let options = CallFnOptions::new()
            .eval_ast(false)
            .bind_this_ptr(&mut this);
        let args = (ws.clone(), message.clone());
        let mut scope = Scope::new();
        vm.call_fn_with_options(options, &mut scope, &self.bytecode, "transfer_data", args)
    }
}

type Outcome = Result<Dynamic, Box<rhai::EvalAltResult>>;

/// A `ws` that nobody reads from: what is sent stays in its buffer for the length of a round.
fn socket() -> Dynamic {
    Dynamic::from(WebSocket(Rc::new(Peer::nobody(1, None)))).into_shared()
}

/// Nanoseconds of a call.
fn time(mut call: impl FnMut(&Dynamic) -> Outcome) -> f64 {
    let ws = socket();
    let began = Instant::now();
    for _ in 0..CALLS {
        let _ = black_box(call(&ws).expect("it does not fail"));
    }
    began.elapsed().as_nanos() as f64 / f64::from(CALLS)
}

/// Median, minimum and maximum.
fn spread(mut samples: Vec<f64>) -> [f64; 3] {
    samples.sort_by(f64::total_cmp);
    [
        samples[samples.len() / 2],
        samples[0],
        samples[samples.len() - 1],
    ]
}

fn shown(outcome: Outcome) -> String {
    match outcome {
        Ok(value) => value.to_string(),
        Err(error) => format!("error: {}", error.unwrap_inner()),
    }
}

/// Whether such a script was ended from outside, and how many operations it had been asked at.
fn ended(body: &str, by_grain: bool) -> String {
    const MOST: u64 = 100_000;
    let asked = Rc::new(Cell::new(0));
    let mut engine = Engine::new();
    let counter = Rc::clone(&asked);
    engine.on_progress(move |_| {
        counter.set(counter.get() + 1);
        (counter.get() > MOST).then_some(Dynamic::UNIT)
    });
    let ast: AST = engine.compile(body).expect("it parses");
    let outcome = if by_grain {
        let program = grain::Compiler::new().compile(&ast);
        grain::Vm::new(&engine).eval(&program)
    } else {
        engine.eval_ast(&ast)
    };
    let is_ended = |error: &rhai::EvalAltResult| {
        matches!(
            error.unwrap_inner(),
            rhai::EvalAltResult::ErrorTerminated(..)
        )
    };
    match outcome {
        Err(error) if is_ended(&error) => format!("ended after {} operations", asked.get()),
        other => shown(other),
    }
}
