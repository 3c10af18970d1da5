//! A native function counts as a handful of operations, however long it takes, and `on_progress` is not called inside it.
//!
//!     cargo run --release --manifest-path docs/upstream/Cargo.toml --bin native_calls [LENGTH]
//!
//! Expected: work that is counted, as `==` and `contains` of arrays do it, an operation an element. Seen: `sort`,
//! `split`, `pad`, `replace`, `+` and searches in strings take up to 0.4 s for a million elements in one piece.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use rhai::{Array, Dynamic, Engine, Scope};

const CALLS: [&str; 10] = [
    "numbers == same",
    "numbers.contains(-1)",
    "numbers.sort()",
    "strings.sort()",
    "numbers + same",
    "numbers.pad(2 * length, 0)",
    "text.split(\"a\")",
    "text.replace(\"a\", \"aa\")",
    "text.index_of(needle)",
    "blob == blob",
];

/// What `on_progress` saw: how often it was called, when last, and the longest time between two calls.
struct Seen {
    operations: Cell<u64>,
    last: Cell<Instant>,
    longest: Cell<Duration>,
}

impl Seen {
    fn from_now() -> Self {
        Self {
            operations: Cell::new(0),
            last: Cell::new(Instant::now()),
            longest: Cell::default(),
        }
    }

    fn look(&self) {
        let now = Instant::now();
        let gap = now - self.last.replace(now);
        self.longest.set(self.longest.get().max(gap));
    }
}

fn main() {
    let length = std::env::args()
        .nth(1)
        .map_or(1_000_000, |arg| arg.parse().expect("a number"));
    let mixed = |i: i64| i * 79_197_919 % 30_011_011;
    let numbers: Array = (0..length).map(|i| Dynamic::from(mixed(i))).collect();
    let strings: Array = (0..length).map(|i| mixed(i).to_string().into()).collect();
    let mut scope = Scope::new();
    scope.push("length", length);
    scope
        .push("same", numbers.clone())
        .push("numbers", numbers)
        .push("strings", strings);
    scope.push("text", "a".repeat(length as usize));
    scope.push("needle", "a".repeat(length as usize / 2) + "b");
    scope.push("blob", vec![0_u8; length as usize]);

    for call in CALLS {
        let mut scope = scope.clone();
        let seen = Rc::new(Seen::from_now());
        let mut engine = Engine::new();
        let watch = Rc::clone(&seen);
        engine.on_progress(move |_| {
            watch.operations.set(watch.operations.get() + 1);
            watch.look();
            None
        });
        let began = Instant::now();
        let result = engine.run_with_scope(&mut scope, &format!("{call}; ()"));
        let took = began.elapsed();
        seen.look();
        let (operations, longest) = (seen.operations.get(), seen.longest.get());
        println!(
            "{call:27} {operations:8} operations, {took:8.1?}, {longest:8.1?} of them in one piece; {result:?}"
        );
    }
}
