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
//! | module | turns | into | imports (besides `config`, `local`, `observe` and `text`) |
//! |---|---|---|---|
//! | [`server`] | listening sockets | accepted streams on a worker | `http`, and what a worker's site is made of |
//! | [`http`] | a request head | an upgrade, a file, a refusal | `websocket`, `handlers`, `script` |
//! | [`websocket`] | bytes | messages, and back | nothing |
//! | [`handlers`] | a folder | the current generation: path → script | `script`, to compile |
//! | [`script`] | a message | hook calls and their effects | `machine`; `websocket`: session, outbox, frames |
//! | [`machine`] | a script's text | bounded runs on fibers, which may wait | nothing |
//! | [`config`] | bounds and choices | one immutable `Config` | nothing |
//! | [`keeper`] | somebody who asks | a look at what a thread keeps up to date | nothing |
//! | [`file`] | a path | a regular file's bytes, without waiting for anything else | nothing |
//! | [`local`] | tasks of one thread | whose turn it is | nothing |
//! | [`observe`] | events | log lines | nothing |
//! | [`text`] | the bytes of a text file | its text | nothing |
//! | [`app`] | a `Config` | everything bound and wired, then run, then drained | `server`, `handlers`, `script` |
//! | [`commands`] | a subcommand | what it prints, and the exit code | `app`, `handlers`, `script` |
//! | [`cli`] | flags | a `Config` and a subcommand | `commands`: what they can be told |
//!
//! `main` is [`cli`] → [`commands`] → [`app`], on an allocator that counts for `script` what each hook holds. A worker is one thread; nothing on a connection's path is shared with
//! another, and what crosses threads is a message on a channel.

pub mod app;
pub mod cli;
pub mod commands;
pub mod config;
pub mod file;
pub mod handlers;
pub mod http;
pub mod keeper;
pub mod local;
pub mod machine;
pub mod observe;
pub mod script;
pub mod server;
pub mod text;
pub mod websocket;
