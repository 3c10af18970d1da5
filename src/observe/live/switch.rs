//! Whether anybody looks on: the flag that a message costs a look at.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use super::journal::JOURNAL;
use crate::observe::apart;

/// Whether this is a developer's seat.
static IS_ON: AtomicBool = AtomicBool::new(false);
/// How many look.
static LOOKING: AtomicUsize = AtomicUsize::new(0);

/// `this` of hooks that are looked at in a second, in case they fail.
const LOOKS: usize = 1_000;
/// Those that there were in this one.
static LOOKS_TAKEN: AtomicUsize = AtomicUsize::new(0);

/// A second is over.
pub fn tick() {
    JOURNAL.tick();
    LOOKS_TAKEN.store(0, Ordering::Relaxed);
}

/// Whether somebody looks, and one of so many hooks in a second is to be looked at more closely.
pub fn is_looked_at_closely() -> bool {
    is_looked_at() && LOOKS_TAKEN.load(Ordering::Relaxed) < LOOKS && {
        LOOKS_TAKEN.fetch_add(1, Ordering::Relaxed);
        true
    }
}

/// From now on this is a developer's seat. Before the first connection.
pub fn turn_on() {
    IS_ON.store(true, Ordering::Relaxed);
}

/// Whether it is one, and what happens on this thread is for those who look on.
pub fn is_on() -> bool {
    IS_ON.load(Ordering::Relaxed) && !apart::is_here()
}

/// Whether somebody looks.
#[inline]
pub fn is_looked_at() -> bool {
    LOOKING.load(Ordering::Relaxed) > 0
}

/// Somebody who looks, for as long as this lives.
#[derive(Debug)]
pub struct Onlooker(());

impl Onlooker {
    /// Somebody begins to look.
    pub fn begin() -> Self {
        LOOKING.fetch_add(1, Ordering::Relaxed);
        Self(())
    }
}

impl Drop for Onlooker {
    fn drop(&mut self) {
        LOOKING.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Seconds since 1970, as rows have them.
pub fn now() -> f64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0.0, |since| since.as_secs_f64())
}
