//! The harness: a server per test, a client that speaks raw bytes, a client that speaks messages.
//! Every wait is bounded, and says in its panic what it waited for.
//!
//!     let server = Server::start(&[("echo_wsh.rhai", ECHO)]).await;
//!     let mut client = connect(server.url("/echo")).await;
//!     client.send_text("hello").await;
//!     assert_eq!(client.next_text().await, "hello");

pub mod browser;
mod cases;
mod client;
pub mod desk;
mod engine;
pub mod frame;
mod nats;
mod probe;
pub mod proxy;
mod raw;
mod redis;
mod relay;
pub mod request;
mod server;
mod spawned;
mod tls;
mod typed;

use std::future::Future;
use std::process::Command;
use std::time::Duration;

pub use cases::every_case;
pub use client::{Client, connect, connect_over, try_connect};
pub use engine::{Engine, Kind};
pub use frame::{Frame, Length, Wire};
pub use nats::Nats;
pub use probe::answering;
pub use raw::{Head, Raw};
pub use redis::Redis;
pub use relay::Relay;
pub use request::Request;
pub use server::{Builder, Finished, Server};
pub use spawned::Spawned;
pub use tls::{Authority, Issued, TlsClient};
pub use typed::Typed;

/// The three-line handler that most tests serve.
pub const ECHO: &str = "fn transfer_data(ws, message) {\n    ws.send(message);\n}\n";

/// Each of these is a test of its own on each engine.
macro_rules! on_each_engine {
    ($($name:ident),* $(,)?) => {
        mod redis {
            use crate::support::Kind;

            $(#[tokio::test]
            async fn $name() {
                super::$name(Kind::Redis).await;
            })*
        }

        mod nats {
            use crate::support::Kind;

            $(#[tokio::test]
            async fn $name() {
                super::$name(Kind::Nats).await;
            })*
        }
    };
}
pub(crate) use on_each_engine;

/// What the client of a failing hook is told, unless its author watches.
pub const FAILED: &str = "the handler failed; the server's log says where";

/// How long anything that is due may take: far above what it takes, so that it only ends a hang.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The future's value, or a panic that names what did not come.
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_) => panic!("waited {PATIENCE:?} in vain for {what}"),
    }
}

/// Raises this process's own limit of open files, if it is below this.
pub fn allow_open_files(files: u32) {
    let limits = std::fs::read_to_string("/proc/self/limits").expect("Linux");
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"));
    let soft = line.and_then(|line| line.split_whitespace().next());
    let soft = soft
        .and_then(|number| number.parse().ok())
        .unwrap_or(u32::MAX);
    if soft >= files {
        return;
    }
    // The program of util-linux spares the tests an `unsafe` block.
    let pid = std::process::id().to_string();
    let status = Command::new("prlimit")
        .args(["--pid", &pid, &format!("--nofile={files}:")])
        .status();
    assert!(
        status.is_ok_and(|status| status.success()),
        "{files} open files are not allowed"
    );
}
