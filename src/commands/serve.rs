//! The server itself: bound, run until a signal, drained.

use std::process::ExitCode;

use anyhow::Result;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::app::App;
use crate::config::Config;

/// Runs the server; exit code 0 after a drain, that of the signal when a second one cuts it short.
pub fn serve(config: Config) -> Result<ExitCode> {
    // Every connection is an open file. A system that refuses says so when the limit is met.
    let _ = rlimit::increase_nofile_limit(u64::MAX);
    let mut signals = None;
    App::new(config)?.run(async || next(&mut signals).await)
}

/// Waits for the next SIGINT or SIGTERM, and gives the exit code that shells expect of it.
async fn next(signals: &mut Option<(Signal, Signal)>) -> ExitCode {
    let (interrupt, terminate) = match signals {
        Some(signals) => signals,
        None => match (
            signal(SignalKind::interrupt()),
            signal(SignalKind::terminate()),
        ) {
            (Ok(interrupt), Ok(terminate)) => signals.insert((interrupt, terminate)),
            _ => {
                tracing::error!("signals cannot be caught: the server ends without draining");
                return std::future::pending().await;
            }
        },
    };
    tokio::select! {
        _ = interrupt.recv() => ExitCode::from(130),
        _ = terminate.recv() => ExitCode::from(143),
    }
}
