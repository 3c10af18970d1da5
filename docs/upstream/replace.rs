//! `replace` makes the whole result before its length is looked at.
//!
//!     cargo run --release --manifest-path docs/upstream/Cargo.toml --bin replace [LENGTH]
//!
//! Expected: an error as soon as the result passes the limit. Seen: an error after the whole result was made, LENGTH²
//! bytes of it (16,384 makes 256 MiB and peaks at twice that). A LENGTH of 1,000,000, which a limit of 1 MiB allows, asks
//! for a terabyte: the allocation fails, and the process aborts.

mod memory;

use rhai::{Engine, Scope};

fn main() {
    let length = std::env::args()
        .nth(1)
        .map_or(16_384, |arg| arg.parse().expect("a number"));
    let mut engine = Engine::new();
    engine.set_max_string_size(1 << 20);
    let mut scope = Scope::new();
    scope.push("s", "a".repeat(length));
    let result = engine.run_with_scope(&mut scope, r#"s.replace("a", s);"#);
    println!(
        "{length} bytes, limit 1 MiB: {result:?}; peak memory {} MiB",
        memory::peak_mib()
    );
}
