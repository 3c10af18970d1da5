//! What crosses to a worker about topics: publications and subscriptions, in order, within a bound.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::direct::Parcel;
use super::presence::Changes;
use super::publication::Publication;

/// What an order counts beside a message's bytes.
const ORDER: usize = 128;

/// Something for a worker's subscribers.
#[derive(Debug)]
pub enum Order {
    /// A connection of the worker subscribes; these it has missed.
    Subscribe(Arc<str>, u64, Vec<Arc<Publication>>),
    /// It does so no more.
    Unsubscribe(Arc<str>, u64),
    /// A message for those who subscribe now.
    Publish(Arc<str>, Arc<Publication>),
    /// Who came and went, for those who subscribe now.
    Presence(Arc<str>, Arc<Changes>),
    /// Something for one connection.
    Direct(Parcel),
    /// They may have missed some.
    Gap(Arc<str>),
}

impl Order {
    /// What it counts for as long as it is not obeyed. What is missed is kept by the history
    /// anyhow.
    fn worth(&self) -> usize {
        ORDER
            + match self {
                Self::Publish(_, publication) => publication.payload().len(),
                Self::Presence(_, changes) => changes.bytes(),
                Self::Direct(parcel) => parcel.worth(),
                Self::Subscribe(..) | Self::Unsubscribe(..) | Self::Gap(_) => 0,
            }
    }
}

/// The orders of one worker. Whoever publishes waits while it is full, before the message has its
/// number; what is on its way is never dropped.
#[derive(Debug)]
pub struct Mailbox {
    orders: Mutex<VecDeque<Order>>,
    bytes: AtomicUsize,
    bound: usize,
    filled: Notify,
    emptied: Notify,
}

impl Mailbox {
    /// An empty one, which is full from so many bytes on.
    pub fn new(bound: usize) -> Self {
        Self {
            orders: Mutex::default(),
            bytes: AtomicUsize::new(0),
            bound,
            filled: Notify::new(),
            emptied: Notify::new(),
        }
    }

    /// Adds an order.
    pub(super) fn push(&self, order: Order) {
        self.bytes.fetch_add(order.worth(), Ordering::Relaxed);
        self.orders().push_back(order);
        self.filled.notify_one();
    }

    /// The next order, which counts until it is [done](Self::done).
    pub(super) fn pop(&self) -> Option<(Order, usize)> {
        let order = self.orders().pop_front()?;
        let worth = order.worth();
        Some((order, worth))
    }

    /// The next order's message, if that is for the same topic and not longer than `most`; it
    /// counts until it is [done](Self::done).
    pub(super) fn pop_same(&self, topic: &str, most: usize) -> Option<(Arc<Publication>, usize)> {
        let mut orders = self.orders();
        let order = orders.front()?;
        let Order::Publish(same, publication) = order else {
            return None;
        };
        if **same != *topic || publication.payload().len() > most {
            return None;
        }
        let found = (Arc::clone(publication), order.worth());
        orders.pop_front();
        Some(found)
    }

    /// An order of this worth was obeyed.
    pub(super) fn done(&self, worth: usize) {
        let before = self.bytes.fetch_sub(worth, Ordering::Relaxed);
        if before >= self.bound && before - worth < self.bound {
            self.emptied.notify_waiters();
        }
    }

    /// Whether it has all that it takes.
    pub fn is_full(&self) -> bool {
        self.bytes.load(Ordering::Relaxed) >= self.bound
    }

    /// Ready when it takes more.
    pub async fn has_room(&self) {
        loop {
            let emptied = self.emptied.notified();
            if !self.is_full() {
                return;
            }
            emptied.await;
        }
    }

    /// Ready when there is an order.
    pub(super) async fn filled(&self) {
        self.filled.notified().await;
    }

    fn orders(&self) -> MutexGuard<'_, VecDeque<Order>> {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn whoever_publishes_waits_while_it_is_full() {
        let mailbox = Arc::new(Mailbox::new(ORDER));
        mailbox.has_room().await;
        mailbox.push(Order::Unsubscribe("a".into(), 1));
        assert!(mailbox.is_full());
        let waiting = tokio::spawn({
            let mailbox = Arc::clone(&mailbox);
            async move { mailbox.has_room().await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        let (_, worth) = mailbox.pop().expect("an order");
        assert!(mailbox.is_full());
        mailbox.done(worth);
        waiting.await.expect("it goes on");
    }
}
