//! The server itself: bound, run until a signal, drained.

use std::process::ExitCode;

use anyhow::{Context, Result};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::app::App;
use crate::config::Config;

/// Runs the server; exit code 0 after a drain, that of the signal when a second one cuts it short.
pub fn serve(config: Config) -> Result<ExitCode> {
    // Every connection is an open file. A system that refuses says so when the limit is met.
    let _ = rlimit::increase_nofile_limit(u64::MAX);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        // Before anybody is told that the server is ready: who waits for that may send a signal at once.
        let mut signals = Signals::new().context("signals cannot be caught")?;
        App::new(config)?.run(async || signals.next().await).await
    })
}

/// SIGINT and SIGTERM.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        let (interrupt, terminate) = (SignalKind::interrupt(), SignalKind::terminate());
        Ok(Self {
            interrupt: signal(interrupt)?,
            terminate: signal(terminate)?,
        })
    }

    /// The next one, as the exit code that shells expect of it.
    async fn next(&mut self) -> ExitCode {
        tokio::select! {
            _ = self.interrupt.recv() => ExitCode::from(130),
            _ = self.terminate.recv() => ExitCode::from(143),
        }
    }
}
