//! What has come from an engine's channels, in order and within a bound. Whoever reads the
//! connection never waits: what there is no room for is dropped, and told of in its place.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// What a message counts beside its own bytes.
const MESSAGE: usize = 256;

/// Something that has come.
#[derive(Debug)]
pub enum News<C> {
    /// The connection is there, and subscribes to nothing yet: here is what does.
    Up(C),
    /// A message of a channel.
    Message(Vec<u8>, Vec<u8>),
    /// Messages of these channels were dropped.
    Missed(BTreeSet<Vec<u8>>),
    /// The connection is gone, and all its subscriptions with it.
    Down,
}

impl<C> News<C> {
    fn worth(&self) -> usize {
        match self {
            Self::Message(channel, payload) => MESSAGE + channel.len() + payload.len(),
            Self::Up(_) | Self::Missed(_) | Self::Down => 0,
        }
    }
}

/// The news, from the one who reads to the one who delivers.
#[derive(Debug)]
pub struct Feed<C>(Arc<Shared<C>>);

#[derive(Debug)]
struct Shared<C> {
    waiting: Mutex<Waiting<C>>,
    bound: usize,
    filled: Notify,
}

#[derive(Debug)]
struct Waiting<C> {
    news: VecDeque<News<C>>,
    bytes: usize,
}

impl<C> Clone for Feed<C> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<C> Feed<C> {
    /// An empty one, which is full from so many bytes on.
    pub fn new(bound: usize) -> Self {
        Self(Arc::new(Shared {
            waiting: Mutex::new(Waiting {
                news: VecDeque::new(),
                bytes: 0,
            }),
            bound,
            filled: Notify::new(),
        }))
    }

    /// The next.
    pub async fn next(&self) -> News<C> {
        loop {
            let filled = self.0.filled.notified();
            if let Some(news) = self.pop() {
                return news;
            }
            filled.await;
        }
    }

    /// The next, if there is one.
    pub fn pop(&self) -> Option<News<C>> {
        let mut waiting = self.waiting();
        let news = waiting.news.pop_front()?;
        waiting.bytes -= news.worth();
        Some(news)
    }

    /// Adds what is never dropped.
    pub fn push(&self, news: News<C>) {
        self.waiting().news.push_back(news);
        self.0.filled.notify_one();
    }

    /// Adds a message if there is room.
    pub fn message(&self, channel: Vec<u8>, payload: Vec<u8>) {
        let mut waiting = self.waiting();
        let message = News::Message(channel, payload);
        if waiting.bytes < self.0.bound {
            waiting.bytes += message.worth();
            waiting.news.push_back(message);
        } else if let News::Message(channel, _) = message {
            match waiting.news.back_mut() {
                Some(News::Missed(channels)) => {
                    channels.insert(channel);
                }
                _ => waiting.news.push_back(News::Missed([channel].into())),
            }
        }
        drop(waiting);
        self.0.filled.notify_one();
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting<C>> {
        self.0
            .waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_there_is_no_room_for_is_told_in_its_place() {
        let feed = Feed::<()>::new(2 * MESSAGE);
        for channel in ["a", "b", "c", "d", "c"] {
            feed.message(channel.into(), b"message".to_vec());
        }
        let next = || match feed.pop() {
            Some(News::Message(channel, _)) => format!("{channel:?}"),
            Some(News::Missed(channels)) => format!("missed {}", channels.len()),
            _ => String::new(),
        };
        assert_eq!(next(), format!("{:?}", b"a"));
        feed.message(b"e".to_vec(), Vec::new());
        assert_eq!(next(), format!("{:?}", b"b"));
        assert_eq!(next(), "missed 2");
        assert_eq!(next(), format!("{:?}", b"e"));
        assert_eq!(next(), "");
    }
}
