//! Turns: a fair queue for something of which there is one at a time.
//!
//! Computing scripts get one slice between two looks at the sockets, so that the wait of every
//! other connection is bounded by one slice, however many scripts spin. Hooks that find no fiber
//! get the next one that is free. And whoever inflates a long message does so alone.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use tokio::sync::Notify;

/// A place in a queue, or none yet.
#[derive(Debug, Default)]
pub struct Turn(Option<Rc<Cell<bool>>>);

impl Turn {
    /// A turn that has come without a wait.
    pub fn at_once() -> Self {
        Self(Some(Rc::new(Cell::new(true))))
    }

    /// Whether it has a place, or its turn has come.
    pub fn is_asked_for(&self) -> bool {
        self.0.is_some()
    }

    /// Whether its turn has come.
    pub fn has_come(&self) -> bool {
        self.0.as_ref().is_some_and(|come| come.get())
    }
}

/// A queue of tasks.
#[derive(Debug, Default)]
pub struct Turns {
    queue: RefCell<VecDeque<(Rc<Cell<bool>>, Waker)>>,
    queued: Notify,
}

impl Turns {
    /// Ready when it is this one's turn; it is queued by the first call.
    pub fn poll(&self, turn: &mut Turn, context: &mut Context<'_>) -> Poll<()> {
        match &turn.0 {
            Some(come) if come.get() => Poll::Ready(()),
            Some(_) => Poll::Pending,
            None => {
                let come = Rc::new(Cell::new(false));
                self.queue
                    .borrow_mut()
                    .push_back((Rc::clone(&come), context.waker().clone()));
                self.queued.notify_one();
                turn.0 = Some(come);
                Poll::Pending
            }
        }
    }

    /// Gives the next one its turn; `false` if nobody waits.
    pub fn give(&self) -> bool {
        loop {
            let Some((come, waker)) = self.queue.borrow_mut().pop_front() else {
                return false;
            };
            // One that was cancelled meanwhile has dropped its place.
            if Rc::strong_count(&come) > 1 {
                come.set(true);
                waker.wake();
                return true;
            }
        }
    }

    /// Gives turns for ever, one between two looks at the sockets.
    pub async fn run(&self) {
        loop {
            if self.give() {
                tokio::task::yield_now().await;
            } else {
                self.queued.notified().await;
            }
        }
    }
}
