//! What each fuzz target does with its bytes: for libFuzzer, and for a test that is bounded in time.
//!
//! `model` says what is right, in its own slow words; `pieces` cuts input as a network does.

pub mod config;
pub mod connection;
pub mod deflate;
pub mod engine;
pub mod entrance;
pub mod evaluators;
pub mod frames;
pub mod generate;
pub mod http;
mod model;
mod pieces;
mod run;

/// Runs one input; a panic is a finding.
pub type Target = fn(&[u8]);

/// Every target by its name, which is that of its file in `fuzz_targets` and of its folder in `seeds`.
pub const TARGETS: &[(&str, Target)] = &[
    ("close", frames::close),
    ("configuration", config::configuration),
    ("connection", connection::connection),
    ("engine", engine::engine),
    ("entrance", entrance::entrance),
    ("evaluators", evaluators::evaluators),
    ("extension", deflate::extension),
    ("frame", frames::frame),
    ("handshake", http::handshake),
    ("inflate", deflate::inflate),
    ("message", frames::message),
    ("origin", http::origin),
    ("path", http::path),
    ("proxy_header", entrance::proxy_header),
    ("request_head", http::request_head),
    ("script", script),
];

/// Bytes to a script, and the script through all its hooks.
pub fn script(bytes: &[u8]) {
    run::run(&generate::script(bytes));
}
