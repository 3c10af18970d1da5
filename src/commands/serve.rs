//! The server itself: bound, run until a signal, drained.

use std::process::ExitCode;

use anyhow::{Context, Result};
use tokio::signal::unix::{self, SignalKind, signal};

use crate::app::{self, App};
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

/// SIGINT and SIGTERM, which end it, and SIGHUP, which has it look at its files unless the terminal is gone.
struct Signals {
    interrupt: unix::Signal,
    terminate: unix::Signal,
    hang_up: unix::Signal,
    /// It was started from a terminal, and not detached from it since.
    has_terminal: bool,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
            has_terminal: has_terminal(),
        })
    }

    /// The next one; an end with the exit code that shells expect of it.
    async fn next(&mut self) -> app::Signal {
        tokio::select! {
            _ = self.interrupt.recv() => app::Signal::Stop(ExitCode::from(130)),
            _ = self.terminate.recv() => app::Signal::Stop(ExitCode::from(143)),
            // The signal's first meaning: whoever closes the window does not leave a server behind.
            _ = self.hang_up.recv() => match self.has_terminal && !has_terminal() {
                true => app::Signal::Stop(ExitCode::from(129)),
                false => app::Signal::Reload,
            },
        }
    }
}

/// Whether there is a terminal that controls this process.
fn has_terminal() -> bool {
    std::fs::File::open("/dev/tty").is_ok()
}
