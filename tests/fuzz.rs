//! The fuzzer's scripts without a fuzzer: as many as fit into a few seconds, from random bytes.
//!
//! `FUZZ_SECONDS=600 cargo test --test fuzz` goes on for longer, `FUZZ_SEED=…` begins where another run did. A script that ends
//! the process is found in `target/tmp/fuzz_wsh.rhai` afterwards.

#[path = "../fuzz/src/lib.rs"]
mod fuzz;

use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

#[global_allocator]
static ALLOCATOR: wsh_server::script::Heap = wsh_server::script::Heap;

#[test]
fn generated_scripts_neither_panic_nor_go_on_for_ever() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let time = Duration::from_secs(number("FUZZ_SECONDS").unwrap_or(3));
    let now = SystemTime::UNIX_EPOCH
        .elapsed()
        .map_or(0, |since| since.as_nanos() as u64);
    let mut random = Random(number("FUZZ_SEED").unwrap_or(now));
    let running = Path::new(env!("CARGO_TARGET_TMPDIR")).join("fuzz_wsh.rhai");
    let end = Instant::now() + time;
    let mut scripts = 0;
    while Instant::now() < end {
        let seed = random.0;
        let text = fuzz::generate::script(&random.bytes());
        std::fs::write(&running, &text).expect("a file for the script that runs");
        if std::panic::catch_unwind(|| fuzz::run(&text)).is_err() {
            panic!("FUZZ_SEED={seed} fails at once, and so does the script above");
        }
        scripts += 1;
    }
    println!(
        "{scripts} scripts in {time:?}, up to FUZZ_SEED={}",
        random.0
    );
    assert!(scripts > 0);
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    fn bytes(&mut self) -> Vec<u8> {
        let length = 8 + self.next() as usize % 600;
        (0..length).map(|_| self.next() as u8).collect()
    }
}
