//! A WebSocket server whose handlers are small scripts in a folder.
//!
//! One connection is a straight line:
//!
//! ```text
//!  TCP bytes ─ server ─── http ───── websocket ──── script
//!              accept     head       frames         hook in
//!              TLS        upgrade?   messages       a fiber
//!     ▲                                  │ outbox ◄───┘
//!     └──────────────────────────────────┘   replies
//! ```
//!
//! | module | turns | into | imports (besides `config` and `observe`) |
//! |---|---|---|---|
//! | [`app`] | a `Config` | everything bound and wired, then run, then drained | `handlers`, `http`, `hub`, `keeper`, `machine`, `script`, `server`, `websocket` |
//! | [`cli`] | flags | a `Config` and a subcommand | `commands`: what they can be told; `text` |
//! | [`commands`] | a subcommand | what it prints, and the exit code | `app`, `handlers`, `script` |
//! | [`server`] | listening sockets | accepted streams on a worker | `file`, `handlers`, `http`, `hub`, `keeper`, `machine`, `script`, `text`, `websocket` |
//! | [`http`] | a request head | an upgrade, a file, a refusal | `handlers`, `machine`, `script`, `websocket` |
//! | [`handlers`] | a folder | the current generation: path → script | `file`, `keeper`, `machine`, `script` |
//! | [`script`] | a message | hook calls and their effects | `hub`, `local`, `machine`, `text`, `websocket` |
//! | [`hub`] | a publication | messages in its subscribers' outboxes, on all workers | `websocket` |
//! | [`websocket`] | bytes | messages, and back | `local` |
//! | [`machine`] | a script's text | bounded runs on fibers, which may wait | nothing |
//! | [`keeper`] | somebody who asks | a look at what a thread keeps up to date | nothing |
//! | [`local`] | tasks of one thread | whose turn it is, and what they share | nothing |
//! | [`file`] | a path | a regular file's bytes, without waiting for anything else | `text` |
//! | [`text`] | the bytes of a text file | its text | nothing |
//! | [`observe`] | events | log lines | nothing |
//! | [`config`] | bounds and choices | one immutable `Config` | nothing |
//!
//! `main` is [`cli`] → [`commands`] → [`app`], on an allocator that counts for `script` what each hook holds. A worker is one thread; nothing on a connection's path is shared with
//! another but topics, and what crosses threads is a message on a channel.

// Of the library alone: tests, benches and examples may.
#![cfg_attr(
    not(test),
    warn(
        clippy::panic,
        clippy::unwrap_used,
        reason = "whatever peers, scripts and operators write has an answer"
    )
)]
#![warn(
    clippy::exit,
    reason = "main owns the exit code, and what is open is closed before"
)]
#![warn(
    clippy::large_futures,
    clippy::large_stack_arrays,
    reason = "16 KiB are some connections' worth, and a good part of a fiber's stack"
)]
#![warn(
    clippy::missing_docs_in_private_items,
    reason = "most of the library is its own; clippy.toml says which items are meant"
)]
#![warn(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "println! panics when nobody reads any more"
)]

pub mod app;
pub mod cli;
pub mod commands;
pub mod config;
mod file;
pub mod handlers;
pub mod http;
mod hub;
mod keeper;
mod local;
pub mod machine;
pub mod observe;
pub mod script;
pub mod server;
mod text;
pub mod websocket;
