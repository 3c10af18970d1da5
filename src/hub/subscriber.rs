//! A connection that subscribes: from a publication to its outbox, or what becomes of it instead.
//!
//! A subscriber whose send queue is full is slow, and what becomes of a message for it is up to the
//! topic. What cannot be sent right now for another reason is held for it: messages that it has
//! missed, of which there may be more than its queue takes at once, and those that come inside of a
//! fragmented message.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use super::letters::{Letter, Letters};
use super::presence::Changes;
use super::publication::{Compressed, Form, Publication};
use super::settings::Slow;
use super::tally::Tally;
use crate::websocket::extensions::Parameters;
use crate::websocket::{Close, Handle, Pool, ReadyState, SendError, Shared, close};

/// A connection that subscribes to something.
pub struct Subscriber {
    handle: Rc<Handle>,
    /// For its hooks.
    letters: Rc<Letters>,
    held: RefCell<Held>,
}

/// What is to be sent to it, oldest first.
#[derive(Default)]
struct Held {
    messages: VecDeque<(Arc<str>, Arc<Publication>)>,
    /// How many of the first ones it had missed.
    missed: usize,
    /// Bytes of the others.
    bytes: usize,
    /// Its queue is full of what it had missed, which is no reason to call it slow.
    catches_up: bool,
}

/// What became of a message for a subscriber.
#[derive(Debug, PartialEq, Eq)]
pub enum Delivered {
    /// It is queued.
    Sent,
    /// It is held, instead of so many others.
    Held(u64),
    /// It is not sent.
    Dropped,
    /// The subscriber is closed.
    Closed,
    /// There is nobody any more.
    Gone,
}

impl Subscriber {
    /// The subscriber behind this handle.
    pub fn new(handle: Rc<Handle>, letters: Rc<Letters>) -> Rc<Self> {
        Rc::new(Self {
            handle,
            letters,
            held: RefCell::default(),
        })
    }

    /// On which terms this message is compressed for it.
    pub fn compresses(&self, publication: &Publication) -> Option<Parameters> {
        let terms = self.handle.agreed()?.terms;
        (publication.payload().len() >= terms.threshold).then_some(terms)
    }

    /// Sends what it has missed, as far as there is room.
    pub fn catch_up(
        &self,
        topic: &Arc<str>,
        missed: Vec<Arc<Publication>>,
        shared: &Shared,
        tally: &Tally,
    ) {
        let mut held = self.held.borrow_mut();
        // What is held already may belong to other topics, and comes first.
        held.missed = held.messages.len() + missed.len();
        held.bytes = 0;
        held.catches_up = true;
        let missed = missed.into_iter();
        held.messages
            .extend(missed.map(|publication| (Arc::clone(topic), publication)));
        held.release(self, shared, tally);
        self.tell_held(&held);
    }

    /// Sends what is held, as far as there is room now.
    pub fn release(&self, shared: &Shared, tally: &Tally) {
        let mut held = self.held.borrow_mut();
        held.release(self, shared, tally);
        self.tell_held(&held);
    }

    /// Whether a message is held for it.
    #[cfg(test)]
    pub fn holds(&self) -> bool {
        !self.held.borrow().messages.is_empty()
    }

    /// Forgets what is held of a topic.
    pub fn forget(&self, topic: &Arc<str>) {
        let mut held = self.held.borrow_mut();
        held.remove(topic, true);
        self.tell_held(&held);
    }

    /// Has the connection know what is held for it: it says when it may have room, and it counts to
    /// what all connections hold. What was missed is the history's.
    fn tell_held(&self, held: &Held) {
        let letters = match self.letters.sees(self.handle.id()) {
            false => 0,
            true => self.letters.bytes(self.handle.id()),
        };
        let is_waited_for = !held.messages.is_empty() || held.catches_up;
        self.handle
            .hold(letters + held.bytes.max(usize::from(is_waited_for)));
    }

    /// Bytes that it has not taken yet.
    fn waiting(&self) -> usize {
        let handle = &self.handle;
        match self.letters.sees(self.handle.id()) {
            false => handle.buffered(),
            true => handle.buffered() + self.letters.bytes(handle.id()),
        }
    }

    /// Queues a message, or has its hook look at it first.
    fn put(
        &self,
        topic: &Arc<str>,
        publication: &Arc<Publication>,
        form: Option<&Arc<[u8]>>,
    ) -> Result<(), SendError> {
        let handle = &self.handle;
        if self.letters.sees(self.handle.id()) {
            let letter = Letter::Published(Arc::clone(topic), Arc::clone(publication));
            self.letters.post(handle.id(), letter);
            handle.wake();
            return Ok(());
        }
        handle.publish(publication.kind, publication.shared(), form)
    }

    /// Tells its hook who came and went.
    pub fn tell(&self, topic: &Arc<str>, changes: &Arc<Changes>) {
        if self.letters.sees_people() && self.handle.state() == ReadyState::Open {
            let letter = Letter::Presence(Arc::clone(topic), Arc::clone(changes));
            self.letters.post(self.handle.id(), letter);
            self.handle.wake();
        }
    }

    /// It may have missed messages of a topic.
    pub fn miss(&self, topic: &Arc<str>) {
        let is_open = self.handle.state() == ReadyState::Open;
        if is_open && self.letters.post_gap(self.handle.id(), topic) {
            self.handle.wake();
        }
    }

    /// Hands it a message.
    pub fn deliver(
        &self,
        topic: &Arc<str>,
        shown: &Shown<'_>,
        shared: &Shared,
        tally: &Tally,
    ) -> Delivered {
        let mut held = self.held.borrow_mut();
        let delivered = self.hand(&mut held, topic, shown, shared, tally);
        self.tell_held(&held);
        delivered
    }

    fn hand(
        &self,
        held: &mut Held,
        topic: &Arc<str>,
        shown: &Shown<'_>,
        shared: &Shared,
        tally: &Tally,
    ) -> Delivered {
        let (handle, publication) = (&self.handle, shown.publication);
        if handle.state() != ReadyState::Open {
            *held = Held::default();
            return Delivered::Gone;
        }
        let queue = shared.limits.send_queue;
        let has_room = || self.waiting() < queue;
        if held.release(self, shared, tally) && has_room() {
            match self.put(topic, publication, shown.form_for(handle)) {
                Ok(()) => return Delivered::Sent,
                Err(SendError::NotOpen) => return Delivered::Gone,
                Err(SendError::InFragments) => {}
            }
        }
        let has_another_reason = has_room() || held.catches_up;
        if has_another_reason && held.bytes < queue {
            held.push(topic, publication);
            return Delivered::Held(0);
        }
        match publication.slow {
            Slow::Close => {
                *held = Held::default();
                let close = Close::new(close::code::TRY_AGAIN, "too slow");
                let _ = handle.close(Some(&close));
                Delivered::Closed
            }
            Slow::Drop => Delivered::Dropped,
            Slow::Latest => {
                let instead_of = held.remove(topic, false);
                held.push(topic, publication);
                Delivered::Held(instead_of)
            }
        }
    }
}

impl Held {
    fn push(&mut self, topic: &Arc<str>, publication: &Arc<Publication>) {
        self.bytes += publication.payload().len();
        self.messages
            .push_back((Arc::clone(topic), Arc::clone(publication)));
    }

    /// Forgets a topic's messages, and if `all` are meant those that were missed as well; how many
    /// there were.
    fn remove(&mut self, topic: &Arc<str>, all: bool) -> u64 {
        let before = self.messages.len();
        let (mut at, mut missed, mut bytes) = (0, 0, 0);
        let were_missed = self.missed;
        self.messages.retain(|(of, publication)| {
            let was_missed = at < were_missed;
            at += 1;
            let stays = of != topic || was_missed && !all;
            if stays && was_missed {
                missed += 1;
            } else if stays {
                bytes += publication.payload().len();
            }
            stays
        });
        (self.missed, self.bytes) = (missed, bytes);
        (before - self.messages.len()) as u64
    }

    fn release(&mut self, subscriber: &Subscriber, shared: &Shared, tally: &Tally) -> bool {
        let queue = shared.limits.send_queue;
        while let Some((topic, publication)) = self.messages.front()
            && subscriber.waiting() < queue
        {
            let form = subscriber
                .compresses(publication)
                .and_then(|terms| publication.form_now(&terms, &shared.pool));
            match subscriber.put(topic, publication, form.as_ref()) {
                Ok(()) => {}
                Err(SendError::InFragments) => return false,
                Err(SendError::NotOpen) => {
                    *self = Self::default();
                    return true;
                }
            }
            Tally::count(&tally.delivered, 1);
            match self.missed {
                0 => self.bytes -= publication.payload().len(),
                _ => self.missed -= 1,
            }
            self.messages.pop_front();
        }
        let is_empty = self.messages.is_empty();
        if is_empty && self.catches_up && subscriber.waiting() < queue {
            *self = Self::default();
        }
        is_empty
    }
}

/// A publication with its compressed form for one kind of terms, as a rule those of all
/// subscribers.
pub struct Shown<'p> {
    /// It.
    pub publication: &'p Arc<Publication>,
    form: Option<(Form, Compressed)>,
}

impl<'p> Shown<'p> {
    /// It as it is.
    pub fn new(publication: &'p Arc<Publication>) -> Self {
        Self {
            publication,
            form: None,
        }
    }

    /// Has the form for these terms ready.
    pub async fn prepare(&mut self, terms: &Parameters, pool: &Pool) {
        let form = Form::from(terms);
        if self.form.as_ref().is_some_and(|(ready, _)| *ready == form) {
            return;
        }
        let publication = self.publication;
        if publication.takes_long() && publication.known_form(terms).is_none() {
            let (publication, terms) = (Arc::clone(publication), *terms);
            let making = tokio::task::spawn_blocking(move || {
                publication.make_form(&terms, &Pool::default());
            });
            // Without it the message goes as it is.
            let _ = making.await;
        }
        self.form = Some((form, publication.form_now(terms, pool)));
    }

    /// The form that is ready, if this connection takes it.
    fn form_for(&self, handle: &Handle) -> Option<&Arc<[u8]>> {
        let terms = handle.agreed()?.terms;
        let (form, compressed) = self.form.as_ref()?;
        let is_long = self.publication.payload().len() >= terms.threshold;
        let fits = *form == Form::from(&terms) && is_long;
        compressed.as_ref().filter(|_| fits)
    }
}
