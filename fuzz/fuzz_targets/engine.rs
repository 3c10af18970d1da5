#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| wsh_server_fuzz::engine::engine(bytes));
