//! A function pointer that is curried with itself doubles: every clone copies what it holds.
//!
//!     cargo run --release --manifest-path docs/upstream/Cargo.toml --bin curry_doubling [ROUNDS]
//!
//! Expected: a limit, or sharing. Seen: time and memory double with every round; 24 of them, a hundred operations, take
//! 3.6 s and 1.9 GiB. A round is one native call, so that neither `max_operations` nor `on_progress` can end it.

mod memory;

use std::time::Instant;

use rhai::Engine;

fn main() {
    let rounds = std::env::args()
        .nth(1)
        .map_or(20, |arg| arg.parse().expect("a number"));
    let mut engine = Engine::new();
    engine.set_max_operations(1_000);
    for rounds in (rounds - 6..=rounds).step_by(2) {
        let began = Instant::now();
        let script = format!("let f = |x| 0; for i in 0..{rounds} {{ f = f.curry(f); }} ()");
        let result = engine.run(&script);
        println!(
            "{rounds} rounds: {result:?} in {:.1?}; peak memory {} MiB",
            began.elapsed(),
            memory::peak_mib()
        );
    }
}
