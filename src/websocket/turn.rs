//! The worker's turn to inflate: whoever inflates more than a little at once does so alone.
//!
//! A thousand bombs take a thousand times a little and once the limit, rather than a thousand times the limit.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::{Rc, Weak};

use super::outbox::Outbox;

/// Who has the turn, and who is next.
#[derive(Debug, Default)]
pub struct Turns {
    holder: RefCell<Weak<Outbox>>,
    waiting: RefCell<VecDeque<Weak<Outbox>>>,
}

/// A connection's part in it.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// It does not need it.
    #[default]
    None,
    /// It is woken when it has it.
    Awaited,
    /// It has it, until it [gives it back](Turns::give).
    Held,
}

impl Turns {
    /// Asks for the turn, or whether it has come; gives what the connection's part is now.
    pub fn ask(&self, outbox: &Rc<Outbox>, turn: Turn) -> Turn {
        let mut holder = self.holder.borrow_mut();
        let is_mine = std::ptr::eq(holder.as_ptr(), Rc::as_ptr(outbox));
        // A holder that is gone has nobody to give it back.
        if is_mine || holder.strong_count() == 0 {
            *holder = Rc::downgrade(outbox);
            return Turn::Held;
        }
        if turn == Turn::None {
            self.waiting.borrow_mut().push_back(Rc::downgrade(outbox));
        }
        Turn::Awaited
    }

    /// Gives it to whoever waits longest.
    pub fn give(&self) {
        let next = std::iter::from_fn(|| self.waiting.borrow_mut().pop_front())
            .find_map(|next| next.upgrade());
        *self.holder.borrow_mut() = next.as_ref().map(Rc::downgrade).unwrap_or_default();
        if let Some(next) = next {
            next.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outbox(id: u64) -> Rc<Outbox> {
        Rc::new(Outbox::new(id, Vec::new()))
    }

    #[test]
    fn one_at_a_time_in_the_order_of_asking() {
        let turns = Turns::default();
        let [first, second, third] = [1, 2, 3].map(outbox);
        assert_eq!(turns.ask(&first, Turn::None), Turn::Held);
        assert_eq!(turns.ask(&second, Turn::None), Turn::Awaited);
        assert_eq!(turns.ask(&third, Turn::None), Turn::Awaited);
        assert_eq!(turns.ask(&second, Turn::Awaited), Turn::Awaited);
        turns.give();
        assert_eq!(turns.ask(&third, Turn::Awaited), Turn::Awaited);
        assert_eq!(turns.ask(&second, Turn::Awaited), Turn::Held);
        turns.give();
        assert_eq!(turns.ask(&third, Turn::Awaited), Turn::Held);
        turns.give();
        assert_eq!(turns.ask(&first, Turn::None), Turn::Held);
    }

    #[test]
    fn whoever_is_gone_holds_up_nobody() {
        let turns = Turns::default();
        let [first, second, third] = [1, 2, 3].map(outbox);
        assert_eq!(turns.ask(&first, Turn::None), Turn::Held);
        assert_eq!(turns.ask(&second, Turn::None), Turn::Awaited);
        drop(second);
        assert_eq!(turns.ask(&third, Turn::None), Turn::Awaited);
        turns.give();
        assert_eq!(turns.ask(&third, Turn::Awaited), Turn::Held);
        drop(third);
        assert_eq!(turns.ask(&first, Turn::None), Turn::Held);
    }
}
