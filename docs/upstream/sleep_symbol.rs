//! `disable_symbol` knows keywords and operators only: a function of the library stays callable.
//!
//!     cargo run --release --manifest-path docs/upstream/Cargo.toml --bin sleep_symbol
//!
//! Expected: a compile error for both. Seen: `eval` is refused, and `sleep` sleeps. A registered function of the same
//! name does replace it.

use std::time::Instant;

use rhai::{Engine, EvalAltResult};

fn main() {
    let mut engine = Engine::new();
    engine.disable_symbol("eval").disable_symbol("sleep");
    for script in [r#"eval("1")"#, "sleep(0.3)"] {
        let began = Instant::now();
        let result = engine.run(script);
        println!(
            "{script} after disable_symbol: {result:?} after {:.1?}",
            began.elapsed()
        );
    }
    engine.register_fn("sleep", |_: f64| -> Result<(), Box<EvalAltResult>> {
        Err("no sleeping".into())
    });
    println!(
        "sleep(0.3) after register_fn: {:?}",
        engine.run("sleep(0.3)")
    );
}
