//! The server itself: bound, run until a signal, drained.

use std::future::poll_fn;
use std::process::ExitCode;
use std::task::Poll;

use anyhow::{Context, Result};
use tokio::signal::unix::{self, SignalKind, signal};

use crate::app::{self, App};
use crate::config::Config;
use crate::observe::Log;
use crate::observe::event::Event;

/// Runs the server; exit code 0 after a drain, that of the signal when a second one cuts it short.
pub fn serve(config: Config, log: &Log) -> Result<ExitCode> {
    // Every connection is an open file. A system that refuses says so when the limit is met.
    let _ = rlimit::increase_nofile_limit(u64::MAX);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let code = runtime.block_on(async {
        // Before anybody is told that the server is ready: who waits for that may send a signal at
        // once.
        let mut signals = Signals::new(log).context("signals cannot be caught")?;
        let host = app::host(config.script.clone());
        App::new(config, host)?
            .run(async || signals.next().await)
            .await
    })?;
    Event::Stop {}.tell();
    Ok(code)
}

/// The action that a signal asks for.
#[derive(Debug, Clone, Copy)]
enum Disposition {
    /// The end; a second one has this exit code, which shells expect of it.
    Stop(u8),
    /// A look at everything that is read from files, unless the terminal is gone.
    HangUp,
    /// The log's file by its name, as those who turn logs over ask.
    Reopen,
    /// Nothing that this server knows. By itself it would end the process, and its connections
    /// without a Close.
    Nothing(&'static str),
    /// No action: the call that raised the signal has returned an error as well.
    Failed,
}

/// The signals that are handled: those of a terminal, a service manager, logrotate or whoever
/// monitors. The rest are reports of faults, or end nothing.
const DISPOSITIONS: [(i32, Disposition); 11] = [
    (libc::SIGINT, Disposition::Stop(130)),
    (libc::SIGTERM, Disposition::Stop(143)),
    (libc::SIGQUIT, Disposition::Stop(131)),
    (libc::SIGHUP, Disposition::HangUp),
    (libc::SIGUSR1, Disposition::Reopen),
    (libc::SIGUSR2, Disposition::Nothing("SIGUSR2")),
    (libc::SIGALRM, Disposition::Nothing("SIGALRM")),
    (libc::SIGVTALRM, Disposition::Nothing("SIGVTALRM")),
    (libc::SIGPROF, Disposition::Nothing("SIGPROF")),
    (libc::SIGIO, Disposition::Nothing("SIGIO")),
    // A log file as long as files may be: writing to it fails then, and that is all. A line about
    // it would be the next that fails.
    (libc::SIGXFSZ, Disposition::Failed),
];

struct Signals<'l> {
    wishes: Vec<(unix::Signal, Disposition)>,
    log: &'l Log,
    /// It was started from a terminal, and not detached from it since.
    has_terminal: bool,
}

impl<'l> Signals<'l> {
    fn new(log: &'l Log) -> std::io::Result<Self> {
        let caught =
            DISPOSITIONS.map(|(number, wish)| Ok((signal(SignalKind::from_raw(number))?, wish)));
        Ok(Self {
            wishes: caught.into_iter().collect::<std::io::Result<_>>()?,
            log,
            has_terminal: has_terminal(),
        })
    }

    /// The next one that concerns more than the log.
    async fn next(&mut self) -> app::Signal {
        loop {
            match self.wish().await {
                Disposition::Stop(code) => return app::Signal::Stop(code.into()),
                // The signal's first meaning: whoever closes the window does not leave a server
                // behind.
                Disposition::HangUp if self.has_terminal && !has_terminal() => {
                    return app::Signal::Stop(129.into());
                }
                Disposition::HangUp => {
                    self.log.reopen();
                    return app::Signal::Reload;
                }
                Disposition::Reopen => {
                    self.log.reopen();
                    Event::LogReopened {}.tell();
                }
                Disposition::Nothing(name) => Event::SignalIgnored { name }.tell(),
                Disposition::Failed => {}
            }
        }
    }

    async fn wish(&mut self) -> Disposition {
        poll_fn(|context| {
            for (signal, wish) in &mut self.wishes {
                if signal.poll_recv(context).is_ready() {
                    return Poll::Ready(*wish);
                }
            }
            Poll::Pending
        })
        .await
    }
}

/// Whether there is a terminal that controls this process.
fn has_terminal() -> bool {
    std::fs::File::open("/dev/tty").is_ok()
}
