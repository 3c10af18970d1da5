//! How a topic of the table is with the broker: asked for, in force, or not used any more.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

/// How long a topic that nobody uses is kept beyond the time for which a call may wait for it.
const IDLE: Duration = Duration::from_secs(5);

/// How a topic is with the broker.
#[derive(Debug)]
pub struct Membership {
    /// The life of the broker's connection in which it was in force; 0 before.
    pub life: u64,
    /// Whether the broker was asked for what the topic keeps.
    pub keeps: bool,
    /// The life in which it is known who is there on other nodes; 0 before.
    pub people: u64,
    /// The broker was asked, and has not answered.
    pub is_asked: bool,
    /// When it was last used.
    used: Instant,
    /// Who waits until it is in force.
    pub joined: Arc<Notify>,
}

impl Membership {
    /// Nobody was asked yet.
    pub fn new() -> Self {
        Self {
            life: 0,
            keeps: false,
            people: 0,
            is_asked: false,
            used: Instant::now(),
            joined: Arc::default(),
        }
    }

    /// Whether nobody has used it for long enough.
    pub fn is_idle(&self, now: Instant, patience: Duration) -> bool {
        now.saturating_duration_since(self.used) > patience + IDLE
    }

    /// It is used.
    pub fn touch(&mut self, now: Instant) {
        self.used = now;
    }
}
