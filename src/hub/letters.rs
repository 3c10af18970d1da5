//! Letters: what topics have for the hooks of their subscribers, such as a message that
//! `on_publish` looks at before it is sent.
//!
//! All of it is one worker's. A handler has [`Letters`], with a box for each of its connections
//! that has some; the connection's session takes them out one by one. A handler without such a hook
//! never has any.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

use super::presence::Changes;
use super::publication::Publication;

/// Bytes that a letter counts beside its message's.
const LETTER: usize = 64;

/// Something for a hook of a subscriber.
#[derive(Debug, Clone)]
pub enum Letter {
    /// A message of this topic, before it is sent.
    Published(Arc<str>, Arc<Publication>),
    /// Who came to this topic, and who left it.
    Presence(Arc<str>, Arc<Changes>),
    /// Messages of this topic may have been missed.
    Gap(Arc<str>),
}

impl Letter {
    /// The topic that it is about.
    pub fn topic(&self) -> &Arc<str> {
        match self {
            Self::Published(topic, _) | Self::Presence(topic, _) | Self::Gap(topic) => topic,
        }
    }

    fn worth(&self) -> usize {
        LETTER
            + match self {
                Self::Published(_, publication) => publication.payload().len(),
                Self::Presence(_, changes) => changes.bytes(),
                Self::Gap(_) => 0,
            }
    }
}

/// The letters of one handler's connections.
#[derive(Debug, Default)]
pub struct Letters {
    /// A version of the handler has defined `on_publish`. For good: what is on its way then has its
    /// place in the order, and a session whose version lacks the hook sends it as it is.
    sees_messages: Cell<bool>,
    /// One has defined `on_presence`.
    sees_people: Cell<bool>,
    /// One has defined `on_gap`.
    sees_gaps: Cell<bool>,
    boxes: RefCell<BTreeMap<u64, Letterbox>>,
    newcomers: Rc<Newcomers>,
}

#[derive(Debug, Default)]
struct Letterbox {
    letters: VecDeque<Letter>,
    bytes: usize,
}

/// Connections that have subscribed just now, with the letters of their handlers: found here by
/// whoever delivers on the worker.
#[derive(Debug, Default)]
pub struct Newcomers(RefCell<HashMap<u64, Rc<Letters>>>);

impl Newcomers {
    /// The letters of this one's handler, once after it has subscribed.
    pub(super) fn take(&self, connection: u64) -> Option<Rc<Letters>> {
        self.0.borrow_mut().remove(&connection)
    }
}

impl Letters {
    /// Those of a handler on the worker of these newcomers.
    pub fn new(newcomers: &Rc<Newcomers>) -> Self {
        Self {
            newcomers: Rc::clone(newcomers),
            ..Self::default()
        }
    }

    /// The handler defines `on_publish`.
    pub fn see_messages(&self) {
        self.sees_messages.set(true);
    }

    /// The handler defines `on_gap`.
    pub fn see_gaps(&self) {
        self.sees_gaps.set(true);
    }

    /// Tells a connection of the handler of a gap, unless that is what it was told last; whether
    /// its task is to be woken.
    pub(super) fn post_gap(&self, connection: u64, topic: &Arc<str>) -> bool {
        let boxes = self.boxes.borrow();
        let last = boxes
            .get(&connection)
            .and_then(|one| one.letters.back().cloned());
        drop(boxes);
        let is_known = matches!(last, Some(Letter::Gap(of)) if of == *topic);
        let is_news = self.sees_gaps.get() && !is_known;
        if is_news {
            self.post(connection, Letter::Gap(Arc::clone(topic)));
        }
        is_news
    }

    /// Whether messages for this connection go this way: because the hook looks at them, or to come
    /// behind the gap that its handler is to be told of.
    #[inline]
    pub(super) fn sees(&self, connection: u64) -> bool {
        self.sees_messages.get() || self.sees_gaps.get() && self.has(connection)
    }

    /// The handler defines `on_presence`.
    pub fn see_people(&self) {
        self.sees_people.set(true);
    }

    /// Whether somebody wants to know who comes and goes.
    pub(super) fn sees_people(&self) -> bool {
        self.sees_people.get()
    }

    /// A connection of the handler has subscribed to something.
    pub(super) fn admit(self: &Rc<Self>, connection: u64) {
        let mut newcomers = self.newcomers.0.borrow_mut();
        newcomers.insert(connection, Rc::clone(self));
    }

    /// Adds a letter for a connection, whose task is to be woken. About who is in a topic there is
    /// one, however long it waits.
    pub(super) fn post(&self, connection: u64, letter: Letter) {
        let mut boxes = self.boxes.borrow_mut();
        let letterbox = boxes.entry(connection).or_default();
        if let Letter::Presence(topic, later) = &letter {
            for waiting in &mut letterbox.letters {
                if let Letter::Presence(of, changes) = waiting
                    && of == topic
                {
                    letterbox.bytes -= changes.bytes();
                    Arc::make_mut(changes).extend(later);
                    letterbox.bytes += changes.bytes();
                    return;
                }
            }
        }
        letterbox.bytes += letter.worth();
        letterbox.letters.push_back(letter);
    }

    /// Whether there is one for this connection.
    #[inline]
    pub fn has(&self, connection: u64) -> bool {
        let boxes = self.boxes.borrow();
        !boxes.is_empty() && boxes.contains_key(&connection)
    }

    /// Takes the oldest one.
    pub fn take(&self, connection: u64) -> Option<Letter> {
        let mut boxes = self.boxes.borrow_mut();
        let letterbox = boxes.get_mut(&connection)?;
        let letter = letterbox.letters.pop_front()?;
        letterbox.bytes -= letter.worth();
        if letterbox.letters.is_empty() {
            boxes.remove(&connection);
        }
        Some(letter)
    }

    /// Bytes that wait for this connection's hooks.
    #[inline]
    pub(super) fn bytes(&self, connection: u64) -> usize {
        let boxes = self.boxes.borrow();
        match boxes.is_empty() {
            true => 0,
            false => boxes.get(&connection).map_or(0, |one| one.bytes),
        }
    }

    /// Forgets what is about a topic that a connection has left.
    pub(super) fn forget(&self, connection: u64, topic: &str) {
        let mut boxes = self.boxes.borrow_mut();
        let Some(letterbox) = boxes.get_mut(&connection) else {
            return;
        };
        letterbox
            .letters
            .retain(|letter| &**letter.topic() != topic);
        letterbox.bytes = letterbox.letters.iter().map(Letter::worth).sum();
        if letterbox.letters.is_empty() {
            boxes.remove(&connection);
        }
    }

    /// Forgets everything for a connection that is over.
    pub(super) fn close(&self, connection: u64) {
        self.boxes.borrow_mut().remove(&connection);
        self.newcomers.0.borrow_mut().remove(&connection);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::{Draft, Slow};
    use crate::websocket::frame::Data;

    #[test]
    fn letters_are_counted_in_order_and_forgotten_by_topic() {
        let letters = Rc::new(Letters::default());
        let letter = |topic: &str, text: &str| {
            let draft = Draft::plain(Data::Text, text.into());
            Letter::Published(topic.into(), Arc::new(draft.at(1, None, Slow::Close)))
        };
        for (topic, text) in [("a", "1"), ("b", "22"), ("a", "333")] {
            letters.post(7, letter(topic, text));
        }
        assert!(letters.has(7) && !letters.has(8));
        assert_eq!(letters.bytes(7), 3 * LETTER + 6);
        letters.forget(7, "b");
        assert_eq!(letters.bytes(7), 2 * LETTER + 4);
        for text in ["1", "333"] {
            let Some(Letter::Published(topic, publication)) = letters.take(7) else {
                panic!("there is one");
            };
            assert_eq!((&*topic, publication.payload()), ("a", text.as_bytes()));
        }
        assert!(letters.take(7).is_none() && !letters.has(7) && letters.bytes(7) == 0);
        letters.admit(7);
        letters.post(7, letter("a", "1"));
        letters.close(7);
        assert!(!letters.has(7) && letters.newcomers.take(7).is_none());
    }
}
