//! Whether an engine is there: asked by whoever calls it, by probes and metrics, and said in the
//! log once when it goes and once when it is back.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::Failed;
use crate::observe::Flood;
use crate::observe::event::Event;

/// What is known of an engine, by all threads.
#[derive(Debug)]
pub struct Health {
    /// What it is for: `broker` or `store`.
    role: &'static str,
    /// Its address, without a password.
    server: String,
    state: Mutex<State>,
    changed: Notify,
    /// Connections that there have been, all parts together.
    connected: AtomicU64,
    refusals: Mutex<Flood<&'static str>>,
}

#[derive(Debug)]
struct State {
    /// Since when each connection to it has been away; `None` for one that is there.
    away: Vec<Option<Instant>>,
    /// Since when the log says that it is away.
    told: Option<Instant>,
    has_been_up: bool,
}

impl Health {
    /// Nothing is known yet of an engine with so many connections.
    pub fn new(role: &'static str, server: String, connections: usize) -> Self {
        Self {
            role,
            server,
            state: Mutex::new(State {
                away: vec![Some(Instant::now()); connections],
                told: None,
                has_been_up: false,
            }),
            changed: Notify::new(),
            connected: AtomicU64::new(0),
            refusals: Mutex::new(Flood::lines(1)),
        }
    }

    /// What it is for.
    pub fn role(&self) -> &'static str {
        self.role
    }

    /// Whether all its connections are there.
    pub fn is_up(&self) -> bool {
        self.state().away.iter().all(Option::is_none)
    }

    /// What is wrong, for whoever asks whether the server is ready.
    pub fn problem(&self) -> Option<String> {
        let state = self.state();
        let longest = state.away.iter().flatten().map(Instant::elapsed).max()?;
        Some(format!(
            "{} has been away for {} s",
            self.server,
            longest.as_secs()
        ))
    }

    /// One of its connections is there.
    pub fn connected(&self, connection: usize) {
        self.connected.fetch_add(1, Ordering::Relaxed);
        let mut state = self.state();
        state.away[connection] = None;
        if state.away.iter().all(Option::is_none) {
            let seconds = state.told.take().map(|told| told.elapsed().as_secs_f64());
            let seconds = seconds.filter(|_| state.has_been_up);
            state.has_been_up = true;
            Event::EngineUp {
                engine: self.role,
                server: &self.server,
                seconds,
            }
            .tell();
        }
        drop(state);
        self.changed.notify_waiters();
    }

    /// One of its connections is away, and why.
    pub fn away(&self, connection: usize, error: &str) {
        let error = self.advised(error);
        let mut state = self.state();
        state.away[connection].get_or_insert_with(Instant::now);
        if state.told.is_none() {
            state.told = Some(Instant::now());
            Event::EngineAway {
                engine: self.role,
                server: &self.server,
                error: &error,
            }
            .tell();
        }
    }

    /// An error, and where a certificate is not trusted, what to do.
    fn advised(&self, error: &str) -> String {
        if !error.contains("certificate") {
            return error.to_owned();
        }
        format!(
            "{error}: a certificate has to be of an authority that the system trusts, or that is \
             in the PEM file which the variable SSL_CERT_FILE names, and for the host that --{} \
             names",
            self.role
        )
    }

    /// Whether this connection has been away for so long.
    pub fn is_away(&self, connection: usize, patience: Duration) -> bool {
        self.state().away[connection].is_some_and(|since| since.elapsed() >= patience)
    }

    /// Ready when this connection is there; an error once it has been away for so long.
    pub async fn is_there(&self, connection: usize, patience: Duration) -> Result<(), Failed> {
        loop {
            let changed = self.changed.notified();
            let Some(since) = self.state().away[connection] else {
                return Ok(());
            };
            let rest = patience.saturating_sub(since.elapsed());
            if tokio::time::timeout(rest, changed).await.is_err() {
                return Err(Failed::Away(self.role));
            }
        }
    }

    /// It does not do what it is asked, and nobody else would be told.
    pub fn refuses(&self, what: &'static str, error: &str) {
        let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        if refusals.admits(&what) {
            Event::EngineRefuses {
                engine: self.role,
                what,
                error: &error,
            }
            .tell();
        }
    }

    /// Once in a while: refusals are said again.
    pub fn tick(&self) {
        let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        refusals.tick(|_, _| {});
    }

    /// How many connections there have been.
    pub fn connections(&self) -> u64 {
        self.connected.load(Ordering::Relaxed)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn whoever_calls_waits_for_a_time() {
        let health = Arc::new(Health::new("broker", "redis://h".into(), 2));
        assert!(!health.is_up());
        let patience = Duration::from_secs(3600);
        let waiting = tokio::spawn({
            let health = Arc::clone(&health);
            async move { health.is_there(0, patience).await }
        });
        tokio::task::yield_now().await;
        health.connected(0);
        assert_eq!(waiting.await.expect("it ends"), Ok(()));
        assert!(!health.is_up() && health.problem().is_some());
        health.connected(1);
        assert!(health.is_up() && health.problem().is_none());
        health.away(0, "gone");
        assert_eq!(health.advised("gone"), "gone");
        let advice = health.advised("invalid peer certificate: UnknownIssuer");
        assert!(
            advice.contains("SSL_CERT_FILE") && advice.contains("--broker"),
            "{advice}"
        );
        assert_eq!(
            health.is_there(0, Duration::ZERO).await,
            Err(Failed::Away("broker"))
        );
        assert_eq!(health.is_there(1, Duration::ZERO).await, Ok(()));
    }
}
