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
//! | [`app`] | a `Config` | everything bound and wired, then run, then drained | `client`, `console`, `handlers`, `http`, `hub`, `keeper`, `machine`, `recording`, `runner`, `script`, `server`, `store`, `websocket` |
//! | [`cli`] | flags | a `Config` and a subcommand | `client`, `commands`: what they can be told; `text` |
//! | [`commands`] | a subcommand | what it prints, and the exit code | `app`, `client`, `file`, `handlers`, `recording`, `runner`, `script`, `websocket` |
//! | [`runner`] | a file of tests | what came of each, in a world of its own | `client`, `handlers`, `http`, `hub`, `machine`, `recording`, `script`, `store`, `websocket` |
//! | [`server`] | listening sockets | accepted streams on a worker | `file`, `handlers`, `http`, `hub`, `keeper`, `machine`, `script`, `store`, `text`, `websocket` |
//! | [`http`] | a request head | an upgrade, a file, a refusal | `console`, `handlers`, `link`, `machine`, `recording`, `script`, `websocket` |
//! | [`console`] | a developer's questions | what happens in the server, shown and done | `client`, `handlers`, `hub`, `script`, `store`, `websocket` |
//! | [`handlers`] | a folder | the current generation: path → script | `file`, `keeper`, `machine`, `script` |
//! | [`script`] | a message | hook calls and their effects | `client`, `file`, `hub`, `link`, `local`, `machine`, `store`, `text`, `websocket` |
//! | [`hub`] | a publication | messages in its subscribers' outboxes, on all workers and nodes | `link`, `nats`, `redis`, `websocket` |
//! | [`store`] | keys, queues | values, for all connections and beyond them | `link`, `redis` |
//! | [`redis`] | commands | answers of a Redis server, and messages of its channels | `link` |
//! | [`nats`] | messages | what comes of a NATS server's subjects, and streams of JetStream | `link` |
//! | [`link`] | an engine in another process | whether it is there, and when to try again | nothing |
//! | [`client`] | an address | a connection that we open, and its messages | `websocket` |
//! | [`recording`] | a conversation | a HAR file, and back | `file`, `websocket` |
//! | [`websocket`] | bytes | messages, and back | `local` |
//! | [`machine`] | a script's text | bounded runs on fibers, which may wait | nothing |
//! | [`keeper`] | somebody who asks | a look at what a thread keeps up to date | nothing |
//! | [`local`] | tasks of one thread | whose turn it is, and what they share | nothing |
//! | [`file`] | a path | a regular file's bytes, without waiting for anything else | `text` |
//! | [`text`] | the bytes of a text file | its text | nothing |
//! | [`observe`] | events | log lines and metrics | nothing |
//! | [`config`] | bounds and choices | one immutable `Config` | nothing |
//!
//! `main` is [`cli`] → [`commands`] → [`app`], on an allocator that counts for `script` what each
//! hook holds. A worker is one thread; nothing on a connection's path is shared with another but
//! topics, and what crosses threads is a message on a channel.
//!
//! # Words
//!
//! In the order in which they are met on the way of a message; each is used for this and for
//! nothing else.
//!
//! * *listener*: a bound socket; *gate*: the counts that admit a connection or refuse it, each with
//!   a *permit* that is given back when it ends
//! * *worker*: a thread with a runtime, a script engine and the connections that it was given
//! * *head*: the request line and header fields of a request (RFC 9112 section 2.1)
//! * *admission*: the check of a head's `Host`, `Origin` and credentials
//! * *refusal*: an answer in place of what was asked for: a status, a body, advice for the log
//! * *upgrade*: a head that asks for a WebSocket, answered with 101 (RFC 6455 section 4)
//! * *parameters*: those of permessage-deflate (RFC 7692 section 7.1), offered or agreed on
//! * *frame*, *fragment*, *message*: as in RFC 6455 section 1.2
//! * *violation*: bytes that the protocol forbids, with the close code that says so
//! * *quantum*: bytes, events or time that a connection may use before others have their turn
//! * *session*: what answers a connection's events; that of scripts runs hooks
//! * *handle*: what others hold of a connection; *outbox*: its frames that were not written yet
//! * *handler*: a file `NAME_wsh.rhai` and what serves its paths; *module*: any other script
//! * *hook*: a function of a handler that the server calls by name
//! * *source*: a handler's text with those of its modules; *program*: a source compiled on a worker
//! * *generation*: all sources that serve at one time, immutable; *version*: the number of a file's
//! * *fiber*: a stack of its own on which a hook runs, and may wait
//! * *budget*: what a hook may use between two waits; *slice*: what it may use in one go
//! * *host*, *service*, *package*: what scripts can reach, a part of it, a table of its functions
//! * *fault*: what is wrong with a script, with its place; *report*: the text that shows it
//! * *flood*: repeated log lines of one kind, of which only the first ones are written
//! * *event*: what is logged and counted, by a stable id
//! * *store*, *key*, *queue*, *entry*: values by name for all connections, and values in order
//!   for one taker each; *engine*: what keeps them
//! * *topic*, *publication*, *subscriber*: what is published reaches every subscriber of its topic
//! * *recording*: a file with what a connection's two sides said, in order
//! * *console*: the page on which a developer looks on; *row*: something that it tells
//! * *drain*: the time between the signal to end and the last connection's end

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
mod client;
pub mod commands;
pub mod config;
mod console;
mod file;
pub mod handlers;
pub mod http;
mod hub;
mod keeper;
mod link;
mod local;
pub mod machine;
mod nats;
pub mod observe;
mod recording;
mod redis;
mod runner;
pub mod script;
pub mod server;
mod store;
mod text;
pub mod websocket;

// What engines could say, for those who try hostile bytes.
#[doc(hidden)]
pub use hub::{Said, said};
#[doc(hidden)]
pub use store::kept;
