//! Coarse time for many connections: one tick a second, and a wheel of alarms instead of a timer a connection.
//!
//! An idle connection costs one pointer in the wheel and is woken only when one of its deadlines may have come.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};

use super::outbox::Outbox;

/// Seconds that the wheel spans; an alarm further away is looked at once a round.
const SLOTS: usize = 64;

/// A worker's clock, and through its alarms the list of its connections.
#[derive(Debug)]
pub struct Clock {
    now: Cell<u32>,
    wheel: RefCell<Vec<Vec<Weak<Outbox>>>>,
}

impl Default for Clock {
    fn default() -> Self {
        // It starts at 1, so that 0 can mean "never" in a connection's fields.
        Self {
            now: Cell::new(1),
            wheel: RefCell::new(vec![Vec::new(); SLOTS]),
        }
    }
}

impl Clock {
    /// Seconds since the worker began.
    pub fn now(&self) -> u32 {
        self.now.get()
    }

    /// Wakes this connection at the given second, or up to a second later. An earlier alarm stays.
    pub fn wake_at(&self, outbox: &Rc<Outbox>, second: u32) {
        let second = second.clamp(self.now() + 1, self.now() + SLOTS as u32 - 1);
        let earlier = outbox.alarm.get();
        if earlier > self.now() && earlier <= second {
            return;
        }
        outbox.alarm.set(second);
        self.wheel.borrow_mut()[second as usize % SLOTS].push(Rc::downgrade(outbox));
    }

    /// One second has passed: wakes every connection whose alarm it is. They set their next one when they run.
    pub fn tick(&self) {
        self.now.set(self.now() + 1);
        let due = std::mem::take(&mut self.wheel.borrow_mut()[self.now() as usize % SLOTS]);
        for outbox in due.iter().filter_map(Weak::upgrade) {
            // An entry that a nearer alarm has replaced wakes nobody.
            if outbox.alarm.get() == self.now() {
                outbox.alarm.set(0);
                outbox.wake();
            }
        }
    }

    /// Every connection that has an alarm, which is every open one.
    pub fn connections(&self) -> Vec<Rc<Outbox>> {
        let mut all: Vec<_> = self
            .wheel
            .borrow()
            .iter()
            .flatten()
            .filter_map(Weak::upgrade)
            .collect();
        all.sort_by_key(|outbox| outbox.id());
        all.dedup_by_key(|outbox| outbox.id());
        all
    }
}
