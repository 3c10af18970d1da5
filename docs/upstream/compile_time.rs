//! Compiling takes time that grows with the square of the source, and cannot be interrupted.
//!
//!     cargo run --release --manifest-path docs/upstream/Cargo.toml --bin compile_time
//!
//! Expected: twice the source, twice the time. Seen: four times the time. Without the optimizer, `switch` is linear.

use std::fmt::Write;
use std::time::Instant;

use rhai::{Engine, OptimizationLevel};

fn main() {
    for bytes in [32, 64, 128, 256] {
        let lets = (0..).map(|i| format!("let v{i}=1;"));
        report("let", &fill(bytes * 1024, "", lets, ""));
        let arms = (0..).map(|i| format!("{i}=>{i},"));
        report(
            "switch",
            &fill(bytes * 1024, "let x = 1; switch x {", arms, "_=>0}"),
        );
    }
}

fn fill(bytes: usize, head: &str, parts: impl Iterator<Item = String>, tail: &str) -> String {
    let mut source = String::from(head);
    for part in parts {
        let _ = write!(source, "{part}");
        if source.len() >= bytes {
            break;
        }
    }
    source + tail
}

fn report(what: &str, source: &str) {
    let mut engine = Engine::new();
    let mut seconds = [OptimizationLevel::Simple, OptimizationLevel::None].map(|level| {
        let began = Instant::now();
        engine
            .set_optimization_level(level)
            .compile(source)
            .expect("a correct script");
        began.elapsed().as_secs_f64()
    });
    let [simple, none] = &mut seconds;
    println!(
        "{what:6} {:4} KiB: {simple:6.2} s, without the optimizer {none:6.2} s",
        source.len() / 1024
    );
}
