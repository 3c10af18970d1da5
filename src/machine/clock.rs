//! The time as scripts see it. Waits and timers go by the same clock as `monotonic`, that of tokio,
//! which tests pause.

use std::time::SystemTime;

use tokio::time::Instant;

/// Two clocks: the time of day, and one that never jumps.
#[derive(Debug, Clone)]
pub struct Clock {
    began: Instant,
    /// The time of day when it began, for one that does not go by the system's.
    epoch: Option<f64>,
}

impl Clock {
    /// A clock that begins now, at this time of day: seconds since 1970.
    pub fn starting_at(epoch: f64) -> Self {
        Self {
            epoch: Some(epoch),
            ..Self::default()
        }
    }

    /// Whether its time of day is not the system's.
    pub fn is_simulated(&self) -> bool {
        self.epoch.is_some()
    }

    /// The time of day: seconds since 1970.
    pub fn now(&self) -> f64 {
        match self.epoch {
            Some(epoch) => epoch + self.monotonic(),
            None => SystemTime::UNIX_EPOCH
                .elapsed()
                .map_or(0.0, |since| since.as_secs_f64()),
        }
    }

    /// Seconds since it began.
    pub fn monotonic(&self) -> f64 {
        self.began.elapsed().as_secs_f64()
    }
}

impl Default for Clock {
    /// The system's.
    fn default() -> Self {
        Self {
            began: Instant::now(),
            epoch: None,
        }
    }
}
