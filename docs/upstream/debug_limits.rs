//! The limits of an engine are not those of the same engine in a debug build.
//!
//!     cargo run --manifest-path docs/upstream/Cargo.toml --bin debug_limits
//!     cargo run --release --manifest-path docs/upstream/Cargo.toml --bin debug_limits
//!
//! Expected: the same limits, so that tests mean something. Seen: in debug builds 8 calls inside each other instead of
//! 64, and expressions 32 and 16 deep instead of 64 and 32: this script fails there and runs in release builds.

use rhai::Engine;

fn main() {
    let engine = Engine::new();
    println!(
        "{} build: calls {}, expressions {}, in functions {}",
        if cfg!(debug_assertions) {
            "debug"
        } else {
            "release"
        },
        engine.max_call_levels(),
        engine.max_expr_depth(),
        engine.max_function_expr_depth()
    );
    let script = "fn sum(n) { if n == 0 { 0 } else { n + sum(n - 1) } } sum(20)";
    println!("sum(20) = {:?}", engine.eval::<i64>(script));
}
