//! The fuzz targets without a fuzzer: each for a second or two, on its seeds, on changed ones and
//! on random bytes.
//!
//! `FUZZ_SECONDS=60 cargo test --test fuzz message` goes on for longer with one, `FUZZ_SEED=…`
//! begins where another run did. An input that ends the process is found in
//! `target/tmp/fuzz-TARGET` afterwards, as libFuzzer would write it.

#[allow(
    dead_code,
    reason = "what libFuzzer's entries call by name is called by the table here"
)]
#[path = "../fuzz/src/lib.rs"]
mod fuzz;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

#[global_allocator]
static ALLOCATOR: wsh_server::script::Heap = wsh_server::script::Heap;

/// The longest input of random bytes.
const LONGEST: usize = 600;

#[test]
fn every_target_has_an_entry_and_seeds() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let names = |folder: PathBuf| -> Vec<String> {
        let entries =
            std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
        let mut names: Vec<_> = entries
            .map(|entry| entry.expect("an entry").path())
            .map(|path| {
                path.file_stem()
                    .expect("a name")
                    .to_string_lossy()
                    .into_owned()
            })
            .collect();
        names.sort();
        names
    };
    let table: Vec<_> = fuzz::TARGETS
        .iter()
        .map(|(name, _)| (*name).to_owned())
        .collect();
    assert_eq!(names(folder.join("fuzz_targets")), table);
    let cargo = std::fs::read_to_string(folder.join("Cargo.toml")).expect("fuzz/Cargo.toml");
    for name in &table {
        assert!(
            cargo.contains(&format!("name = \"{name}\"")),
            "{name} is not in fuzz/Cargo.toml"
        );
        // A script's bytes are choices, and its seeds are scripts.
        assert!(
            name == "script" || !seeds(name).is_empty(),
            "{name} has no seeds"
        );
    }
}

/// What is in the folder of a target's seeds.
fn seeds(name: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/seeds")
        .join(name);
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .map(|entry| entry.expect("an entry").path())
        .collect();
    files.sort();
    files
        .iter()
        .map(|file| std::fs::read(file).expect("a seed"))
        .collect()
}

/// Runs one target until its time is up.
fn run(name: &str) {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let time = Duration::from_secs(number("FUZZ_SECONDS").unwrap_or(2));
    let now = SystemTime::UNIX_EPOCH
        .elapsed()
        .map_or(0, |since| since.as_nanos() as u64);
    let mut random = Random(number("FUZZ_SEED").unwrap_or(now));
    let (_, target) = fuzz::TARGETS
        .iter()
        .find(|(known, _)| *known == name)
        .expect("a target of this name");
    let running = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("fuzz-{name}"));
    let try_one = |input: &[u8], what: &str| {
        // What ends the process is a script; the rest can only panic.
        if name == "script" {
            std::fs::write(&running, input).expect("a file for the input that runs");
        }
        if std::panic::catch_unwind(|| target(input)).is_err() {
            std::fs::write(&running, input).expect("a file for the input that failed");
            panic!(
                "{what} fails, and is in {}: {}",
                running.display(),
                input.escape_ascii()
            );
        }
    };
    let seeds = seeds(name);
    for seed in &seeds {
        try_one(seed, "a seed");
    }
    let end = Instant::now() + time;
    let mut inputs = 0;
    while Instant::now() < end {
        let state = random.0;
        let input = random.input(&seeds);
        try_one(&input, &format!("FUZZ_SEED={state}"));
        inputs += 1;
    }
    println!(
        "{name}: {inputs} inputs in {time:?}, up to FUZZ_SEED={}",
        random.0
    );
    assert!(inputs > 0);
}

macro_rules! targets {
    ($($name:ident)*) => {
        $(#[test] fn $name() { run(stringify!($name)); })*

        #[test]
        fn every_target_runs_here() {
            let names: Vec<_> = fuzz::TARGETS.iter().map(|(name, _)| *name).collect();
            assert_eq!(names, [$(stringify!($name)),*]);
        }
    };
}

targets! { close configuration connection engine entrance evaluators extension frame handshake inflate message origin path proxy_header request_head script }

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

    fn below(&mut self, bound: usize) -> usize {
        self.next() as usize % bound.max(1)
    }

    fn bytes(&mut self) -> Vec<u8> {
        let length = 8 + self.below(LONGEST);
        (0..length).map(|_| self.next() as u8).collect()
    }

    /// A seed with some changes, or random bytes.
    fn input(&mut self, seeds: &[Vec<u8>]) -> Vec<u8> {
        if seeds.is_empty() || self.below(8) == 0 {
            return self.bytes();
        }
        let mut input = seeds[self.below(seeds.len())].clone();
        for _ in 0..self.below(6) {
            self.change(&mut input, seeds);
        }
        input
    }

    /// What libFuzzer's mutations do, in small.
    fn change(&mut self, input: &mut Vec<u8>, seeds: &[Vec<u8>]) {
        /// Bytes at which formats turn.
        const EDGES: [u8; 10] = [0, 1, 9, 10, 13, 32, 126, 127, 128, 255];
        let at = self.below(input.len() + 1);
        let end = (at + 1 + self.below(16)).min(input.len());
        match self.below(7) {
            0 => input.insert(at, self.next() as u8),
            1 => drop(input.drain(at..end)),
            2 if at < input.len() => input[at] ^= 1 << self.below(8),
            3 if at < input.len() => input[at] = EDGES[self.below(EDGES.len())],
            4 => {
                let again = input[at..end].to_vec();
                input.splice(at..at, again);
            }
            5 => {
                let other = &seeds[self.below(seeds.len())];
                let from = self.below(other.len());
                input.splice(at.., other[from..].iter().copied());
            }
            _ => input.truncate(at),
        }
    }
}
