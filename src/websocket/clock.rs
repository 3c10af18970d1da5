//! Coarse time for many connections: one tick a second, and a wheel of alarms instead of a timer a
//! connection.
//!
//! An idle connection costs one pointer in the wheel and is woken only when one of its deadlines
//! may have come.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::{Rc, Weak};

use tokio::sync::Notify;

use super::deadlines::Second;
use super::handle::Handle;

/// Seconds that the wheel spans; an alarm further away is looked at once a round.
const SLOTS: usize = 64;
/// Connections that are woken before others have their turn: of a hundred thousand, five thousand
/// send a Ping every second.
const TOGETHER: usize = 8;

/// A worker's clock, and its connections' alarms.
#[derive(Debug)]
pub struct Clock {
    now: Cell<Second>,
    wheel: RefCell<Vec<Vec<Weak<Handle>>>>,
    /// Whose alarm has come.
    due: RefCell<VecDeque<Weak<Handle>>>,
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
    pub fn wake_at(&self, handle: &Rc<Handle>, second: Second) {
        let now = self.now();
        let second = second.clamp(now.plus(1), now.plus(SLOTS as u32 - 1));
        // Less than a round away, as every alarm is.
        let wait = |slot: u8| (usize::from(slot) + SLOTS - usize::from(slot_of(now))) % SLOTS;
        let slot = slot_of(second);
        let alarm = handle.alarm.get();
        if alarm.is_some_and(|earlier| wait(earlier) <= wait(slot)) {
            return;
        }
        handle.alarm.set(Some(slot));
        self.wheel.borrow_mut()[usize::from(slot)].push(Rc::downgrade(handle));
    }

    /// One second has passed: every connection whose alarm it is will be [woken](Self::run). They
    /// set their next one when they run.
    pub fn tick(&self) {
        let now = self.now().plus(1);
        self.now.set(now);
        let slot = slot_of(now);
        let alarms = std::mem::take(&mut self.wheel.borrow_mut()[usize::from(slot)]);
        let mut due = self.due.borrow_mut();
        for alarm in alarms {
            // An entry that a nearer alarm has replaced wakes nobody.
            if let Some(handle) = alarm.upgrade()
                && handle.alarm.get() == Some(slot)
            {
                handle.alarm.set(None);
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
                if let Some(handle) = next.and_then(|next| next.upgrade()) {
                    handle.wake();
                }
            }
            if self.due.borrow().is_empty() {
                self.ticked.notified().await;
            } else {
                tokio::task::yield_now().await;
            }
        }
    }
}

/// Where in the wheel a second's alarms are.
fn slot_of(second: Second) -> u8 {
    (second.get() as usize % SLOTS) as u8
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Context, Wake, Waker};

    use super::*;
    use crate::websocket::Outbox;

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
                let handle = Handle::new(id, Outbox::default());
                let context = Context::from_waker(&waker);
                handle.leave(None, &context, &mut Vec::new());
                clock.wake_at(&handle, Second::FIRST.plus(1));
                handle
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
        for turn in 1..=3 {
            assert_eq!(poll(), turn * TOGETHER);
        }
        assert_eq!(poll(), open.len());
        assert_eq!(poll(), open.len());
    }

    /// A nearer alarm replaces one that is further away, a further one changes nothing, and each
    /// comes once.
    #[test]
    fn the_nearest_alarm_holds() {
        let clock = Clock::default();
        let handle = Handle::new(1, Outbox::default());
        let second = |number: u32| Second::FIRST.plus(number - 1);
        let due = || std::mem::take(&mut *clock.due.borrow_mut()).len();
        for (at, others) in [(30, [60, 63]), (62, [64, 90]), (100, [110, 120])] {
            for other in others {
                clock.wake_at(&handle, second(other));
            }
            clock.wake_at(&handle, second(at));
            for other in others {
                clock.wake_at(&handle, second(other));
            }
            while clock.now() < second(at - 1) {
                clock.tick();
                assert_eq!(due(), 0, "{:?}", clock.now());
            }
            clock.tick();
            assert_eq!(due(), 1);
        }
        // One that is further away than a round is looked at within it.
        clock.wake_at(&handle, second(1_000_000));
        for _ in 1..SLOTS - 1 {
            clock.tick();
            assert_eq!(due(), 0);
        }
        clock.tick();
        assert_eq!(due(), 1);
    }
}
