//! Bytes to a script, and the script through all its hooks. `cargo +nightly fuzz run script`, see fuzz/README.md.

#![no_main]

use libfuzzer_sys::fuzz_target;
use wsh_server_fuzz::{generate, run};

#[global_allocator]
static ALLOCATOR: wsh_server::script::Heap = wsh_server::script::Heap;

fuzz_target!(|bytes: &[u8]| run(&generate::script(bytes)));
