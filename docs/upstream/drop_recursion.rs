//! Freeing nested data recurses: a chain of closures ends the whole process, whatever limits are set.
//!
//!     cargo run --release --manifest-path docs/upstream/Cargo.toml --bin drop_recursion [LEVELS [STACK_KIB]]
//!
//! Expected: an error of the script, or the line "survived". Seen: "has overflowed its stack" and SIGABRT, which cannot
//! be caught. 10000 levels fit 2048 KiB, 20000 do not; 100000 fit 32768 KiB.

use rhai::Engine;

fn main() {
    let mut args = std::env::args()
        .skip(1)
        .map(|arg| arg.parse().expect("a number"));
    let levels = args.next().unwrap_or(100_000_usize);
    let stack = args.next().unwrap_or(2048_usize);
    let thread = std::thread::Builder::new()
        .stack_size(stack * 1024)
        .spawn(move || nest(levels, stack));
    thread.expect("a thread").join().expect("no panic");
}

fn nest(levels: usize, stack: usize) {
    let mut engine = Engine::new();
    engine
        .set_max_operations(1_000_000)
        .set_max_call_levels(32)
        .set_max_array_size(1_000)
        .set_max_map_size(1_000)
        .set_max_string_size(1_000_000)
        .set_max_variables(100);
    let script = format!("let f = || 0; for i in 0..{levels} {{ let g = f; f = || g; }}");
    println!("{levels} levels on a stack of {stack} KiB");
    println!("survived: {:?}", engine.run(&script));
}
