//! Programs by both evaluators: the grammar of the tests in `src/script/evaluators`, with a fuzzer's bytes as choices.

use std::ops::Range;
use std::rc::Rc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use rhai::{Dynamic, EvalAltResult, Map};
use wsh_server::config::{Evaluator, limits};
use wsh_server::machine::meter;
use wsh_server::script::api::connection::WebSocket;
use wsh_server::script::{
    Compiler, Hook, Host, Limits, Peer, Place, Program, Settings, Source, State,
};
use wsh_server::websocket::{Handle, Outbox};

#[path = "../../src/script/evaluators/generate.rs"]
mod programs;

/// Calls of one program: a tree's calls go another way the first, the second and the third time.
const CALLS: usize = 4;
const BOUNDS: Limits = Limits {
    operations: 20_000,
    ..limits::SCRIPT
};
/// Operations before the last ones of a budget: how close to it a script is stopped is a matter of the clock.
const CLOSE: u32 = 100;
/// Bytes of stack, as a fiber has it.
const STACK: usize = 256 * 1024 * 1024;
/// Programs after which both begin anew, since engines learn.
const AGAIN: usize = 5_000;

/// Bytes that choose; when they are used up, the first of what there is.
struct Bytes<'a>(std::slice::Iter<'a, u8>);

impl programs::Choose for Bytes<'_> {
    fn number(&mut self, range: Range<usize>) -> usize {
        let byte = self.0.next().copied().unwrap_or(0);
        range.start + usize::from(byte) % range.len().max(1)
    }
}

/// Who runs programs, on a large stack: a program goes there, and what differs comes back.
type Worker = (Sender<String>, Receiver<Option<String>>);

/// Bytes to a program, which both evaluators run to the same end.
pub fn evaluators(bytes: &[u8]) {
    static WORKER: LazyLock<Mutex<Worker>> = LazyLock::new(|| {
        let (send, programs) = channel::<String>();
        let (tell, told) = channel();
        let work = move || {
            let mut sides = sides();
            for (number, text) in (1..).zip(programs) {
                if number % AGAIN == 0 {
                    sides = self::sides();
                }
                let _ = tell.send(difference(&sides, &text));
            }
        };
        let thread = std::thread::Builder::new().stack_size(STACK);
        thread.spawn(work).expect("a thread");
        Mutex::new((send, told))
    });
    let text = programs::program(&mut Bytes(bytes.iter()));
    let worker = WORKER.lock().unwrap_or_else(PoisonError::into_inner);
    let _ = worker.0.send(text.clone());
    match worker.1.recv() {
        Ok(difference) => assert!(
            difference.is_none(),
            "{text}\n{}",
            difference.unwrap_or_default()
        ),
        Err(_) => panic!("an evaluator panicked with\n{text}"),
    }
}

fn sides() -> [Compiler; 2] {
    [Evaluator::Rhai, Evaluator::Compiled].map(|evaluator| {
        Compiler::new(&Host::new(Settings {
            evaluator,
            limits: BOUNDS,
            ..Settings::default()
        }))
    })
}

/// What the two do differently.
fn difference(sides: &[Compiler; 2], text: &str) -> Option<String> {
    let source = Arc::new(Source {
        file: "fuzz_wsh.rhai".into(),
        text: text.into(),
        version: 1,
        modules: Vec::new(),
    });
    let [rhai, tree] = sides.each_ref().map(|side| {
        meter::start(side.budget());
        Program::compile(side, &source)
            .ok()
            .map(|program| calls(side, &program))
    });
    let (rhai, tree) = match (rhai, tree) {
        (None, None) => return None,
        (Some(rhai), Some(tree)) => (rhai, tree),
        _ => return Some("only one compiles".into()),
    };
    for (a, b) in rhai.iter().zip(&tree) {
        if a.is_stopped || b.is_stopped {
            // How much is held is not the same, and when the time is up is a matter of the clock.
            let is_early = a.operations.max(b.operations) + CLOSE < BOUNDS.operations;
            let is_close = a.operations.min(b.operations) + CLOSE > BOUNDS.operations;
            if is_close || is_early || a.is_stopped && b.is_stopped {
                return None;
            }
        }
        if a.what != b.what || a.is_stopped != b.is_stopped {
            return Some(format!("rhai: {}\ntree: {}", a.what, b.what));
        }
    }
    None
}

struct Called {
    what: String,
    operations: u32,
    is_stopped: bool,
}

fn calls(side: &Compiler, program: &Program) -> Vec<Called> {
    let mut all = Vec::new();
    let mut this = Dynamic::from_map(Map::new()).into_shared();
    for _ in 0..CALLS {
        let place = Place {
            send_queue: usize::MAX,
            ..Place::default()
        };
        let handle = Handle::new(1, Outbox::default());
        let peer = Peer::new(Rc::clone(&handle), Rc::new(place), State::default(), None);
        let ws = Dynamic::from(WebSocket(Rc::new(peer))).into_shared();
        let mut args = [ws, "hello".into()];
        meter::start(side.budget());
        let outcome =
            meter::without_waits(|| program.call(Hook::TransferData, &mut this, &mut args));
        let operations = meter::operations();
        let is_stopped = outcome
            .as_ref()
            .is_err_and(|error| matches!(error.unwrap_inner(), EvalAltResult::ErrorTerminated(..)));
        let what = match outcome {
            Ok(value) => format!("{value:?}"),
            Err(error) => format!("error {error} {error:?}"),
        };
        let buffered = handle.buffered();
        let what = format!("{what}; {operations} operations; this {this:?}; {buffered} bytes sent");
        all.push(Called {
            what,
            operations,
            is_stopped,
        });
        if is_stopped {
            break;
        }
    }
    all
}
