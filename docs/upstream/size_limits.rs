//! Size limits do not hold for `m[key] = value`, nor for keys, nor for what closures have captured.
//!
//!     cargo run --release --manifest-path docs/upstream/Cargo.toml --bin size_limits
//!
//! Expected: "Size of object map too large" and "Length of string too large", as `m.set(key, value)` and `m.x = value` give
//! them. Seen: Ok, with 200 times as many entries, and with 100 to 200 times as many bytes.

mod memory;

use rhai::Engine;

fn main() {
    let mut engine = Engine::new();
    engine
        .set_max_map_size(1_000)
        .set_max_array_size(1_000)
        .set_max_string_size(1 << 20);
    let run = |what, body| {
        let script = format!("let mb = \"x\"; mb.pad(1000000, 'x'); {body} ()");
        let result = engine.run(&script);
        println!("{what}: {result:?}; peak so far {} MiB", memory::peak_mib());
    };
    run(
        "200,000 entries, limit 1,000",
        "let m = #{}; for i in 0..200000 { m[`k${i}`] = i; }",
    );
    run(
        "the same with set",
        "let m = #{}; for i in 0..200000 { m.set(`k${i}`, i); }",
    );
    run(
        "100 keys of 1 MB, limit 1 MiB",
        "let m = #{}; for i in 0..100 { m[mb + i] = 1; }",
    );
    run(
        "150 values of 1 MB, limit 1 MiB together",
        "let m = #{}; for i in 0..150 { m[`k${i}`] = mb + i; }",
    );
    run(
        "the same with m.x, 2 values",
        "let m = #{a: mb}; m.b = mb + 1;",
    );
    run(
        "200 closures that hold 1 MB each",
        "let a = []; for i in 0..200 { let held = mb + i; a.push(|| held); }",
    );
}
