//! Turns for scripts that compute: between two runs of the worker's other tasks, one of them gets one slice.
//!
//! So the wait of every other connection is bounded by one slice, however many scripts spin.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use tokio::sync::Notify;

/// A place in the queue.
#[derive(Debug, Default)]
pub struct Turn(Option<Rc<Cell<bool>>>);

/// The queue of one worker.
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

    /// Gives turns for ever, one between two looks at the sockets.
    pub async fn run(&self) {
        loop {
            let next = self.queue.borrow_mut().pop_front();
            let Some((come, waker)) = next else {
                self.queued.notified().await;
                continue;
            };
            // One that was cancelled meanwhile has dropped its place.
            if Rc::strong_count(&come) > 1 {
                come.set(true);
                waker.wake();
                tokio::task::yield_now().await;
            }
        }
    }
}
