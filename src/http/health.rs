//! Whether the server lives, and whether it is ready for clients: what load balancers and
//! supervisors ask.

use std::fmt::Write;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use super::head::Head;
use super::response::{Body, Response};
use crate::link;

/// Without a tick for so long, five of them, a worker hangs.
const SILENT: Duration = Duration::from_secs(5);

/// What is known of the server's health, by all threads.
#[derive(Debug)]
pub struct Health {
    begun: Instant,
    is_accepting: AtomicBool,
    is_draining: AtomicBool,
    /// When each worker has last ticked, in milliseconds from the beginning.
    ticks: Box<[AtomicU64]>,
    /// Engines in other processes.
    engines: OnceLock<Vec<Arc<link::Health>>>,
}

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Probe {
    /// Whether the process answers at all.
    Live,
    /// Whether it should be sent clients.
    Ready {
        /// Whether each part is to be named.
        verbose: bool,
    },
}

impl Probe {
    /// The probe that a request is, if it is one.
    pub fn of(head: &Head) -> Option<Self> {
        let is_asked = matches!(head.method(), "GET" | "HEAD") && !head.is_upgrade();
        let verbose = head.query().is_some_and(|query| {
            query
                .split('&')
                .any(|part| part == "verbose" || part.starts_with("verbose="))
        });
        match head.path() {
            "/livez" if is_asked => Some(Self::Live),
            "/readyz" if is_asked => Some(Self::Ready { verbose }),
            _ => None,
        }
    }
}

impl Health {
    /// A server of so many workers that accepts nothing yet.
    pub fn new(workers: usize) -> Self {
        Self {
            begun: Instant::now(),
            is_accepting: AtomicBool::new(false),
            is_draining: AtomicBool::new(false),
            ticks: (0..workers).map(|_| AtomicU64::new(0)).collect(),
            engines: OnceLock::new(),
        }
    }

    /// Connections are accepted from now on. Handlers are loaded then, broken ones included: those
    /// are no reason to send clients elsewhere, since the others serve.
    pub fn accepts(&self) {
        self.is_accepting.store(true, Ordering::Relaxed);
    }

    /// Clients are to be sent elsewhere from now on.
    pub fn drains(&self) {
        self.is_draining.store(true, Ordering::Relaxed);
    }

    /// The server uses these engines. One that is away is named, and is no reason to send clients
    /// elsewhere: it is away for the other nodes as well, and this one serves what needs none.
    pub fn uses(&self, engines: Vec<Arc<link::Health>>) {
        // Said once, at the start.
        let _ = self.engines.set(engines);
    }

    /// A worker, by its number, is alive.
    pub fn tick(&self, worker: usize) {
        self.ticks[worker].store(self.now(), Ordering::Relaxed);
    }

    fn now(&self) -> u64 {
        self.begun.elapsed().as_millis() as u64
    }

    /// Each part, and what is wrong with it.
    fn parts(&self) -> [(&'static str, Option<String>); 3] {
        let wrong = |is_wrong: bool, why: &str| is_wrong.then(|| why.to_owned());
        let is_accepting = self.is_accepting.load(Ordering::Relaxed);
        let is_draining = self.is_draining.load(Ordering::Relaxed);
        let now = self.now();
        let is_silent = |tick: &&AtomicU64| {
            now.saturating_sub(tick.load(Ordering::Relaxed)) > SILENT.as_millis() as u64
        };
        let silent = self.ticks.iter().filter(is_silent).count();
        let all = self.ticks.len();
        [
            ("accepting", wrong(!is_accepting, "the server starts")),
            ("draining", wrong(is_draining, "the server shuts down")),
            (
                "workers",
                (silent > 0).then(|| format!("{silent} of {all} do not answer")),
            ),
        ]
    }

    /// The answer to a probe.
    pub fn answer(&self, probe: Probe) -> Response {
        let (status, text) = match probe {
            Probe::Live => (200, "ok\n".to_owned()),
            Probe::Ready { verbose } => self.ready(verbose),
        };
        Response::new(status)
            .header("Content-Type", "text/plain; charset=utf-8")
            .header("Cache-Control", "no-store")
            .with(Body::of(text.into_bytes()))
    }

    fn ready(&self, verbose: bool) -> (u16, String) {
        let parts = self.parts();
        let is_ready = parts.iter().all(|(_, wrong)| wrong.is_none());
        let mut text = String::new();
        if verbose {
            for (name, wrong) in &parts {
                let _ = match wrong {
                    None => writeln!(text, "[+]{name} ok"),
                    Some(why) => writeln!(text, "[-]{name} failed: {why}"),
                };
            }
            for engine in self.engines.get().into_iter().flatten() {
                let _ = match engine.problem() {
                    None => writeln!(text, "[+]{} ok", engine.role()),
                    Some(why) => writeln!(text, "[!]{} degraded: {why}", engine.role()),
                };
            }
        }
        match is_ready {
            true => (200, text + "ok\n"),
            false => (503, text + "not ready\n"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_can_be_what_is_not_ready() {
        let health = Health::new(1);
        let verbose = |health: &Health| health.ready(true);
        let (status, text) = verbose(&health);
        assert_eq!(status, 503);
        assert!(
            text.starts_with("[-]accepting failed: the server starts\n"),
            "{text}"
        );
        health.accepts();
        let all = "[+]accepting ok\n[+]draining ok\n[+]workers ok\nok\n";
        assert_eq!(verbose(&health), (200, all.to_owned()));
        assert_eq!(health.ready(false), (200, "ok\n".to_owned()));
        let late = Health {
            begun: Instant::now() - SILENT * 2,
            ..health
        };
        let (status, text) = verbose(&late);
        assert_eq!(status, 503);
        assert!(
            text.contains("[-]workers failed: 1 of 1 do not answer\n"),
            "{text}"
        );
        late.tick(0);
        assert_eq!(late.ready(false).0, 200);
        late.drains();
        assert_eq!(late.ready(false), (503, "not ready\n".to_owned()));
    }
}
