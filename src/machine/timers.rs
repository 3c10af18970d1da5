//! Named timers: they belong to a connection (or a handler) and not to its code, so that a reload
//! keeps them.

use std::future::Future;
use std::num::NonZeroU64;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use rhai::ImmutableString;
use tokio::time::{Instant, Sleep};

/// The timers of one owner. One sleep serves all of them.
#[derive(Debug, Default)]
pub struct Timers {
    list: Vec<Timer>,
    /// Until the earliest; made anew when that is another.
    sleep: Option<Pin<Box<Sleep>>>,
}

/// Small, since each of many connections may have one.
#[derive(Debug)]
struct Timer {
    name: ImmutableString,
    at: Instant,
    /// Nanoseconds between two times of one that repeats.
    every: Option<NonZeroU64>,
}

impl Timer {
    fn every(&self) -> Option<Duration> {
        self.every.map(|every| Duration::from_nanos(every.get()))
    }
}

impl Timers {
    /// Sets a timer; one of the same name is replaced.
    pub fn set(&mut self, name: ImmutableString, delay: Duration, repeats: bool) {
        self.list.retain(|timer| timer.name != name);
        // Most have one, or few.
        self.list.reserve_exact(1);
        let every = u64::try_from(delay.as_nanos()).unwrap_or(u64::MAX);
        self.list.push(Timer {
            name,
            at: Instant::now() + delay,
            every: NonZeroU64::new(every).filter(|_| repeats),
        });
    }

    /// Forgets a timer; whether there was one.
    pub fn cancel(&mut self, name: &str) -> bool {
        let before = self.list.len();
        self.list.retain(|timer| timer.name != name);
        self.list.len() < before
    }

    /// Forgets all of them.
    pub fn clear(&mut self) {
        self.list.clear();
    }

    /// Returns the number of timers beside one of this name.
    pub fn others(&self, name: &str) -> usize {
        self.list.iter().filter(|timer| timer.name != name).count()
    }

    /// Their names, the time that is left of each, and the time between two of one that repeats.
    pub fn list(&self) -> Vec<(ImmutableString, Duration, Option<Duration>)> {
        let now = Instant::now();
        let left = |timer: &Timer| timer.at.saturating_duration_since(now);
        let timers = self.list.iter();
        timers
            .map(|timer| (timer.name.clone(), left(timer), timer.every()))
            .collect()
    }

    /// Ready when a timer is due.
    pub fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Some(next) = self.list.iter().map(|timer| timer.at).min() else {
            self.sleep = None;
            return Poll::Pending;
        };
        match &mut self.sleep {
            Some(sleep) if sleep.deadline() == next => {}
            Some(sleep) => sleep.as_mut().reset(next),
            None => self.sleep = Some(Box::pin(tokio::time::sleep_until(next))),
        }
        match &mut self.sleep {
            Some(sleep) => sleep.as_mut().poll(context),
            None => Poll::Pending,
        }
    }

    /// Takes the timer that is due, the earliest if several are. One that repeats is set again;
    /// times that were missed while a hook ran are skipped.
    pub fn take_due(&mut self) -> Option<ImmutableString> {
        let now = Instant::now();
        let earliest = (0..self.list.len()).min_by_key(|place| self.list[*place].at)?;
        let timer = &mut self.list[earliest];
        if timer.at > now {
            return None;
        }
        match timer.every() {
            Some(period) => {
                timer.at += period;
                if timer.at <= now {
                    timer.at = now + period;
                }
                Some(timer.name.clone())
            }
            None => Some(self.list.swap_remove(earliest).name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn next(timers: &mut Timers) -> String {
        std::future::poll_fn(|context| timers.poll(context)).await;
        timers.take_due().expect("one is due").to_string()
    }

    #[tokio::test(start_paused = true)]
    async fn they_come_in_order_and_again() {
        let mut timers = Timers::default();
        timers.set("late".into(), Duration::from_secs(5), false);
        timers.set("beat".into(), Duration::from_secs(2), true);
        timers.set("late".into(), Duration::from_secs(3), false);
        let mut order = Vec::new();
        for _ in 0..4 {
            order.push(next(&mut timers).await);
        }
        assert_eq!(order, ["beat", "late", "beat", "beat"]);
        assert!(timers.cancel("beat") && !timers.cancel("late"));
        assert!(timers.take_due().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn missed_times_are_skipped() {
        let mut timers = Timers::default();
        timers.set("beat".into(), Duration::from_secs(1), true);
        tokio::time::advance(Duration::from_millis(4500)).await;
        assert_eq!(next(&mut timers).await, "beat");
        assert!(timers.take_due().is_none());
        let began = Instant::now();
        assert_eq!(next(&mut timers).await, "beat");
        assert_eq!(began.elapsed().as_secs(), 1);
    }
}
