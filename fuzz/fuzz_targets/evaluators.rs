#![no_main]
// Scripts are bounded by what they hold, which this allocator counts.
#[global_allocator]
static ALLOCATOR: wsh_server::script::Heap = wsh_server::script::Heap;
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| wsh_server_fuzz::evaluators::evaluators(bytes));
