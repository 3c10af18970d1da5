//! Both evaluators on the same programs: what one does the other does, to the letter.
//!
//! Every program runs four times on each: a tree's calls go another way the first, the second and
//! the third time. Compared are the value or the error with its positions, the number of
//! operations, `this`, and the bytes that were sent.
//!
//! The generated programs follow from seeds. `DIFFERENTIAL_PROGRAMS=1000000 cargo test --release
//! --lib evaluators::` runs as many as one likes, `DIFFERENTIAL_SEED` says where they begin: a
//! failure prints the seed of its program. What programs hold is not counted in this binary: one
//! in some ten thousand doubles a text again and again, which `ulimit -v` ends.

mod cases;
mod generate;

use std::fmt::Write as _;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use rhai::{Dynamic, EvalAltResult, Map};

use super::api::PACKAGES;
use super::api::connection::WebSocket;
use super::caller::{self, Caller, Served};
use super::hooks::{HOOKS, HookSet};
use super::owner::Owner;
use super::{Compiler, Host, Peer, Place, Program, Settings, Source, State};
use crate::config::Evaluator;
use crate::machine::budget::{Budget, Stop};
use crate::machine::meter;
use crate::machine::random::Random;
use crate::machine::source::ModuleText;
use crate::websocket::{Handle, Outbox};

/// Calls of each hook.
const CALLS: usize = 4;

const BUDGET: Budget = Budget {
    time: Duration::MAX,
    operations: 20_000,
    memory: 64 * 1024 * 1024,
    yields: true,
};

/// Operations before the last ones of a budget: how close to it a script is stopped is a matter of
/// the clock.
const CLOSE: u32 = 100;

/// A call, as it is compared.
struct Called {
    what: String,
    operations: u32,
    is_stopped: bool,
}

/// One of the evaluators, with a compiler of its own.
struct Side(Rc<Compiler>);

impl Side {
    fn new(evaluator: Evaluator) -> Self {
        let mut host = Host::new(Settings {
            evaluator,
            allow_raw: true,
            ..Settings::default()
        });
        host.random = Random::seeded(7);
        Self(Rc::new(Compiler::new(&host)))
    }

    fn program(&self, text: &str, modules: &[Arc<ModuleText>]) -> Result<Program, String> {
        let source = Arc::new(Source {
            file: "it_wsh.rhai".into(),
            text: text.into(),
            version: 1,
            modules: modules.to_vec(),
        });
        Program::compile(&self.0, &source).map_err(|fault| fault.message)
    }
}

/// What happens in the calls of a program.
fn calls(program: &Program, message: &Dynamic, budget: Budget) -> Vec<Called> {
    let mut lines = Vec::new();
    for info in &HOOKS {
        if !program.has(info.hook) || info.params.contains(&"request") {
            continue;
        }
        let mut this = Dynamic::from_map(Map::new()).into_shared();
        for number in 0..CALLS {
            let place = Place {
                send_queue: usize::MAX,
                ..Place::default()
            };
            let handle = Handle::new(1, Outbox::default());
            let handle_of = Rc::clone(&handle);
            let peer = Rc::new(Peer::new(handle, Rc::new(place), State::default(), None));
            let ws = Dynamic::from(WebSocket(Rc::clone(&peer))).into_shared();
            let args: Vec<_> = info
                .params
                .iter()
                .map(|param| match *param {
                    "ws" => ws.clone(),
                    "code" => Dynamic::from(1000_i64),
                    _ => message.clone(),
                })
                .collect();
            let units = [Dynamic::UNIT, Dynamic::UNIT, Dynamic::UNIT, Dynamic::UNIT];
            let caller = Caller::new(info.hook, &Owner::Connection(peer), units);
            let _ = caller.served.set(Rc::new(Served {
                source: Arc::clone(&program.source),
                own: "file:it".into(),
                hooks: HookSet::default(),
            }));
            meter::start(budget);
            let mut args = args;
            let mut call =
                || caller::with(&caller, || program.call(info.hook, &mut this, &mut args));
            // Off a fiber nobody waits: who does so for ever would compute for ever.
            let outcome = match budget.time < Duration::MAX {
                true => meter::without_waits(call),
                false => call(),
            };
            let operations = meter::operations();
            let stop = outcome.as_ref().err().and_then(|error| Stop::of(error));
            let mut what = format!("{} {number}: ", info.name);
            let is_stopped = stop.is_some();
            if is_stopped {
                lines.push(Called {
                    what,
                    operations,
                    is_stopped,
                });
                return lines;
            }
            let _ = match outcome {
                Ok(value) => write!(what, "{value:?}"),
                Err(error) => write!(what, "{}", told(&error)),
            };
            let sent = handle_of.take_unsent(usize::MAX);
            let _ = write!(
                what,
                "; {operations} operations; this {this:?}; sent {sent:02x?}"
            );
            lines.push(Called {
                what,
                operations,
                is_stopped,
            });
        }
    }
    lines
}

/// An error with all its positions.
fn told(error: &EvalAltResult) -> String {
    format!("error {error} {error:?}")
}

/// Messages: a text, JSON, and bytes.
const MESSAGES: [fn() -> Dynamic; 3] = [
    || Dynamic::from("hello"),
    || Dynamic::from(r#"{"type":"say","text":"hi","n":3,"list":[1,2,{"a":null}]}"#),
    || Dynamic::from_blob(vec![1, 2, 255]),
];

/// What the two do differently; `Ok` whether the program is one.
fn difference(
    sides: &[Side; 2],
    text: &str,
    modules: &[Arc<ModuleText>],
    budget: Budget,
    messages: &[fn() -> Dynamic],
) -> Result<bool, String> {
    let [rhai, tree] = sides;
    meter::start(Budget::UNLIMITED);
    let programs = match (rhai.program(text, modules), tree.program(text, modules)) {
        (Ok(rhai), Ok(tree)) => (rhai, tree),
        (Err(_), Err(_)) => return Ok(false),
        (rhai, tree) => {
            return Err(format!(
                "only one compiles: {:?}, {:?}",
                rhai.err(),
                tree.err()
            ));
        }
    };
    for message in messages {
        let message = &message();
        let (a, b) = (
            calls(&programs.0, message, budget),
            calls(&programs.1, message, budget),
        );
        for (a, b) in a.iter().zip(&b) {
            if a.is_stopped || b.is_stopped {
                let least = a.operations.min(b.operations);
                let is_close = least + CLOSE > budget.operations || budget.time < Duration::MAX;
                if a.is_stopped && b.is_stopped || is_close {
                    break;
                }
            }
            if a.what != b.what || a.is_stopped != b.is_stopped {
                return Err(format!("rhai: {}\ntree: {}", a.what, b.what));
            }
        }
    }
    Ok(true)
}

fn sides() -> [Side; 2] {
    [Side::new(Evaluator::Rhai), Side::new(Evaluator::Compiled)]
}

/// Runs on a stack as a fiber has it.
fn on_a_large_stack(work: impl FnOnce() + Send + 'static) {
    let thread = std::thread::Builder::new().stack_size(super::STACK);
    let work = move || {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_all().build().expect("a runtime");
        let _entered = runtime.enter();
        work();
    };
    let ended = thread.spawn(work).expect("a thread").join();
    assert!(ended.is_ok(), "it failed");
}

/// Compares all of them, and tells all differences at once.
fn compare_all(programs: Vec<(String, String)>, budget: Budget) -> usize {
    let (tell, told) = std::sync::mpsc::channel();
    on_a_large_stack(move || {
        let sides = sides();
        let (mut broken, mut told) = (0, Vec::new());
        for (name, text) in &programs {
            match difference(&sides, text, &[], budget, &MESSAGES) {
                Ok(true) => {}
                Ok(false) => broken += 1,
                Err(difference) => told.push(format!("{name}: {text}\n{difference}\n")),
            }
        }
        assert!(
            told.is_empty(),
            "{} of {} differ:\n{}",
            told.len(),
            programs.len(),
            told.join("\n")
        );
        let _ = tell.send(programs.len() - broken);
    });
    told.recv().unwrap_or(0)
}

fn handler(body: &str) -> String {
    let (body, rest) = body.split_once("---").unwrap_or((body, ""));
    format!(
        "fn transfer_data(ws, message) {{ {body} }}\n{}{rest}",
        generate::BESIDE
    )
}

#[test]
fn named_cases() {
    let cases = cases::CASES
        .iter()
        .map(|case| ((*case).into(), handler(case)));
    assert!(compare_all(cases.collect(), BUDGET) > 200);
}

/// What is compared is not twice the same.
#[test]
fn every_case_is_translated() {
    let [rhai, tree] = sides();
    for case in cases::CASES {
        let trees = |side: &Side| {
            let program = side.program(&handler(case), &[]).ok()?;
            Some(program.trees().count())
        };
        assert!(matches!(trees(&rhai), None | Some(0)));
        assert!(matches!(trees(&tree), None | Some(1)), "{case}");
    }
}

#[test]
fn every_example_of_the_reference() {
    let functions = PACKAGES.iter().flat_map(|package| package.functions);
    let examples = functions.map(|function| {
        let example = function.example;
        let text = match example.contains("fn ") {
            true => example.to_owned(),
            false => handler(example),
        };
        (function.signatures.concat(), text)
    });
    let count = compare_all(examples.collect(), BUDGET);
    assert!(count > 25, "{count} programs");
}

#[test]
fn handlers_and_documents() {
    let mut programs = Vec::new();
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders = vec![
        root.join("handlers"),
        root.join("docs"),
        root.join("tests/fixtures"),
    ];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let name = path.display().to_string();
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(text) = std::fs::read_to_string(&path) {
                if name.ends_with(".rhai") {
                    programs.push((name, text));
                } else if name.ends_with(".md") {
                    let blocks = text.split("```rhai\n").skip(1);
                    let blocks = blocks.filter_map(|block| block.split("```").next());
                    programs.extend(blocks.map(|block| {
                        let text = match block.contains("fn ") {
                            true => block.to_owned(),
                            false => handler(block),
                        };
                        (name.clone(), text)
                    }));
                }
            }
        }
    }
    assert!(programs.len() > 50, "{} programs", programs.len());
    assert!(compare_all(programs, BUDGET) > 50);
}

#[allow(dead_code, reason = "only the texts are wanted here")]
#[path = "../../../tests/hostile/scripts.rs"]
mod scripts;

#[test]
fn hostile_scripts() {
    let budget = Budget {
        time: Duration::from_millis(5),
        // To show a value takes more of a stack than to free it.
        memory: 1024 * 1024,
        ..BUDGET
    };
    // Each of them takes all of its time: one in so many.
    let step = number("DIFFERENTIAL_PROGRAMS").map_or(16, |_| 1);
    let scripts = scripts::all().into_iter().step_by(step);
    let scripts = scripts.map(|script| (script.name, script.source));
    let count = compare_all(scripts.collect(), budget);
    assert!(count > 20, "{count} programs");
}

#[test]
fn functions_of_other_files() {
    on_a_large_stack(|| {
        let module = ModuleText {
            file: "lib/texts.rhai".into(),
            text: "export const LIMIT = 3; export const LIST = [1, [2]];\n\
                fn greet(name) { `hello ${name} ${global::LIMIT}` }\n\
                fn reply(target, text) { target.send(text); }\n\
                fn fails(x) { x.nothing() }\n\
                fn applies(f, x) { f.call(x) }\n\
                fn push(list) { list.push(1); list.len() }"
                .into(),
            version: 9,
            imports: Default::default(),
        };
        let modules = [Arc::new(module)];
        let sides = sides();
        for body in cases::MODULES {
            let text = format!("import \"lib/texts\" as texts;\n{}", handler(body));
            match difference(&sides, &text, &modules, BUDGET, &MESSAGES) {
                Ok(true) => {}
                Ok(false) => panic!("no program: {text}"),
                Err(difference) => panic!("{text}\n{difference}"),
            }
        }
    });
}

impl generate::Choose for fastrand::Rng {
    fn number(&mut self, range: std::ops::Range<usize>) -> usize {
        self.usize(range)
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn generated_programs() {
    let count = number("DIFFERENTIAL_PROGRAMS").unwrap_or(1_500);
    let first = number("DIFFERENTIAL_SEED").unwrap_or(1);
    on_a_large_stack(move || {
        let mut sides = sides();
        let (mut ran, mut differences) = (0, String::new());
        for seed in first..first + count {
            // Engines learn: others now and then.
            if seed % 5_000 == 0 {
                sides = self::sides();
            }
            let text = generate::program(&mut fastrand::Rng::with_seed(seed));
            let message = &MESSAGES[seed as usize % MESSAGES.len()..][..1];
            match difference(&sides, &text, &[], BUDGET, message) {
                Ok(is_program) => ran += u64::from(is_program),
                Err(difference) => {
                    let _ = writeln!(differences, "seed {seed}:\n{text}\n{difference}\n");
                }
            }
        }
        assert!(differences.is_empty(), "{differences}");
        // About half of them compile, with whichever seeds.
        assert!(ran * 5 > count * 2, "{ran} of {count} are programs");
    });
}
