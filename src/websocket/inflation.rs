//! The budget of inflating: a little at once for every connection, and much for one of the worker
//! at a time.
//!
//! A thousand bombs take a thousand times a little and once the limit, rather than a thousand times
//! the limit.

use std::cell::Cell;
use std::task::{Context, Poll};

use crate::local::{Turn, Turns};

/// The work of inflating that any number of connections may be in the middle of: most messages are
/// done by then.
pub const SHORT_TURN: usize = 64 * 1024;
/// The work after which others go first: a millisecond or two.
pub const LONG_TURN: usize = 1024 * 1024;
/// Bytes that are inflated between two looks at that, of a little and of much: a bomb makes a
/// thousand times as many.
const PIECES: (usize, usize) = (256, 1024);

/// A connection's share of work, counted in about the bytes that come out.
#[derive(Debug)]
pub struct Budget {
    spent: usize,
    share: usize,
    /// Its turn to do much.
    turn: Turn,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            spent: 0,
            share: SHORT_TURN,
            turn: Turn::default(),
        }
    }
}

impl Budget {
    /// Begins a new share, [`SHORT_TURN`] or [`LONG_TURN`].
    pub fn refresh(&mut self, share: usize) {
        self.spent = 0;
        self.share = share;
    }

    /// The connection begins to run: with a new share, unless it waits for its turn.
    pub fn begin(&mut self) {
        if self.turn.has_come() {
            self.refresh(LONG_TURN);
        } else if !self.turn.is_asked_for() {
            self.refresh(SHORT_TURN);
        }
    }

    /// Goes on at once with a long share if it is nobody else's turn; otherwise it waits for its
    /// own.
    pub fn extend(&mut self, exclusive: &Exclusive, context: &mut Context<'_>) -> bool {
        let extends =
            !self.turn.is_asked_for() && exclusive.poll(&mut self.turn, context).is_ready();
        if extends {
            self.refresh(LONG_TURN);
        }
        extends
    }

    /// Whether it waits for its turn.
    pub fn is_waiting(&self) -> bool {
        self.turn.is_asked_for() && !self.turn.has_come()
    }

    /// Ends its turn, if it is its own.
    pub fn end_turn(&mut self, exclusive: &Exclusive) {
        if self.turn.has_come() {
            exclusive.give_back(&mut self.turn);
        }
    }

    /// Counts work that was done.
    pub fn spend(&mut self, work: usize) {
        self.spent += work;
    }

    /// Whether nothing is left.
    pub fn is_spent(&self) -> bool {
        self.spent >= self.share
    }

    /// Bytes of input until the next look at it.
    pub fn piece(&self) -> usize {
        match self.share {
            SHORT_TURN => PIECES.0,
            _ => PIECES.1,
        }
    }
}

/// The right to inflate much, which one connection of a worker has at a time.
#[derive(Debug, Default)]
pub struct Exclusive {
    is_taken: Cell<bool>,
    turns: Turns,
}

impl Exclusive {
    /// Ready when this connection has it; it is queued by the first call.
    pub fn poll(&self, turn: &mut Turn, context: &mut Context<'_>) -> Poll<()> {
        if !turn.is_asked_for() && !self.is_taken.replace(true) {
            *turn = Turn::at_once();
        }
        if turn.has_come() {
            return Poll::Ready(());
        }
        self.turns.poll(turn, context)
    }

    /// Ends a connection's turn or its wait for it.
    pub fn give_back(&self, turn: &mut Turn) {
        if std::mem::take(turn).has_come() && !self.turns.give() {
            self.is_taken.set(false);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    fn has(exclusive: &Exclusive, turn: &mut Turn) -> bool {
        let mut context = Context::from_waker(Waker::noop());
        exclusive.poll(turn, &mut context).is_ready()
    }

    #[test]
    fn one_at_a_time_in_the_order_of_asking() {
        let exclusive = Exclusive::default();
        let [mut first, mut second, mut third] = <[Turn; 3]>::default();
        assert!(has(&exclusive, &mut first) && has(&exclusive, &mut first));
        assert!(!has(&exclusive, &mut second));
        assert!(!has(&exclusive, &mut third));
        exclusive.give_back(&mut first);
        assert!(!has(&exclusive, &mut third));
        assert!(has(&exclusive, &mut second));
        assert!(!has(&exclusive, &mut first));
        exclusive.give_back(&mut second);
        assert!(has(&exclusive, &mut third) && !has(&exclusive, &mut first));
        exclusive.give_back(&mut third);
        assert!(has(&exclusive, &mut first));
        exclusive.give_back(&mut first);
        assert!(has(&exclusive, &mut second));
    }

    #[test]
    fn whoever_is_gone_holds_up_nobody() {
        let exclusive = Exclusive::default();
        let [mut first, mut second, mut third] = <[Turn; 3]>::default();
        assert!(has(&exclusive, &mut first));
        assert!(!has(&exclusive, &mut second));
        assert!(!has(&exclusive, &mut third));
        exclusive.give_back(&mut second);
        exclusive.give_back(&mut first);
        assert!(has(&exclusive, &mut third));
        exclusive.give_back(&mut third);
        assert!(has(&exclusive, &mut first));
    }
}
