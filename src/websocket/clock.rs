//! Coarse time for many connections: one tick a second, and a wheel of alarms instead of a timer a connection.
//!
//! An idle connection costs one pointer in the wheel and is woken only when one of its deadlines may have come.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::{Rc, Weak};

use tokio::sync::Notify;

use super::deadlines::Second;
use super::outbox::Outbox;

/// Seconds that the wheel spans; an alarm further away is looked at once a round.
const SLOTS: usize = 64;
/// Connections that are woken before others have their turn: of a hundred thousand, five thousand send a Ping every second.
const TOGETHER: usize = 8;

/// A worker's clock, and through its alarms the list of its connections.
#[derive(Debug)]
pub struct Clock {
    now: Cell<Second>,
    wheel: RefCell<Vec<Vec<Weak<Outbox>>>>,
    /// Whose alarm has come.
    due: RefCell<VecDeque<Weak<Outbox>>>,
    ticked: Notify,
}

impl Default for Clock {
    fn default() -> Self {
        Self {
            now: Cell::new(Second::FIRST),
            wheel: RefCell::new(vec![Vec::new(); SLOTS]),
            due: RefCell::default(),
            ticked: Notify::new(),
        }
    }
}

impl Clock {
    /// Seconds since the worker began.
    pub fn now(&self) -> Second {
        self.now.get()
    }

    /// Wakes this connection at the given second, or up to a second later. An earlier alarm stays.
    pub fn wake_at(&self, outbox: &Rc<Outbox>, second: Second) {
        let now = self.now();
        let second = second.clamp(now.plus(1), now.plus(SLOTS as u32 - 1));
        let alarm = outbox.alarm.get();
        if alarm.is_some_and(|earlier| earlier > now && earlier <= second) {
            return;
        }
        outbox.alarm.set(Some(second));
        self.wheel.borrow_mut()[slot(second)].push(Rc::downgrade(outbox));
    }

    /// One second has passed: every connection whose alarm it is will be [woken](Self::run). They set their next one when
    /// they run.
    pub fn tick(&self) {
        let now = self.now().plus(1);
        self.now.set(now);
        let alarms = std::mem::take(&mut self.wheel.borrow_mut()[slot(now)]);
        let mut due = self.due.borrow_mut();
        for alarm in alarms {
            // An entry that a nearer alarm has replaced wakes nobody.
            if let Some(outbox) = alarm.upgrade()
                && outbox.alarm.get() == Some(now)
            {
                outbox.alarm.set(None);
                due.push_back(alarm);
            }
        }
        if !due.is_empty() {
            self.ticked.notify_one();
        }
    }

    /// Wakes those whose alarm has come, for ever, some of them between two looks at the sockets.
    pub async fn run(&self) {
        loop {
            for _ in 0..TOGETHER {
                let next = self.due.borrow_mut().pop_front();
                if let Some(outbox) = next.and_then(|next| next.upgrade()) {
                    outbox.wake();
                }
            }
            if self.due.borrow().is_empty() {
                self.ticked.notified().await;
            } else {
                tokio::task::yield_now().await;
            }
        }
    }

    /// Every connection that has an alarm, which is every open one.
    pub fn connections(&self) -> Vec<Rc<Outbox>> {
        let (wheel, due) = (self.wheel.borrow(), self.due.borrow());
        let mut all: Vec<_> = wheel
            .iter()
            .flatten()
            .chain(&*due)
            .filter_map(Weak::upgrade)
            .collect();
        all.sort_by_key(|outbox| outbox.id());
        all.dedup_by_key(|outbox| outbox.id());
        all
    }
}

/// Where in the wheel a second's alarms are.
fn slot(second: Second) -> usize {
    second.get() as usize % SLOTS
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Context, Wake, Waker};

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn alarms_of_a_second_come_some_at_a_time() {
        let clock = Clock::default();
        let woken = Arc::new(Count::default());
        let waker = Waker::from(Arc::clone(&woken));
        let open: Vec<_> = (0..3 * TOGETHER as u64 + 1)
            .map(|id| {
                let outbox = Rc::new(Outbox::new(id, Vec::new()));
                outbox.enter(&Context::from_waker(&waker), &mut Vec::new());
                outbox.leave(&mut Vec::new());
                clock.wake_at(&outbox, Second::FIRST.plus(1));
                outbox
            })
            .collect();
        let mut running = pin!(clock.run());
        let mut poll = || {
            let mut context = Context::from_waker(Waker::noop());
            assert!(running.as_mut().poll(&mut context).is_pending());
            woken.0.load(Ordering::Relaxed)
        };
        assert_eq!(poll(), 0);
        clock.tick();
        assert_eq!(clock.connections().len(), open.len());
        for turn in 1..=3 {
            assert_eq!(poll(), turn * TOGETHER);
        }
        assert_eq!(poll(), open.len());
        assert_eq!(poll(), open.len());
    }
}
