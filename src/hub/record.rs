//! All that was published, for tests that ask afterwards.

use std::sync::{Mutex, PoisonError};

use super::publication::Draft;
use crate::websocket::frame::Data;

/// A message as it was given to be published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// Text or binary.
    pub kind: Data,
    /// Whether its topic has envelopes, and the message is JSON in one.
    pub is_enveloped: bool,
    /// What it says, without the envelope.
    pub bytes: Vec<u8>,
}

/// Messages in the order in which they were published, with their topics.
#[derive(Debug, Default)]
pub struct Record(Mutex<Vec<(String, Recorded)>>);

impl Record {
    /// Takes note of a message.
    pub fn take(&self, topic: &str, draft: &Draft) {
        let (kind, is_enveloped, bytes) = draft.content();
        let recorded = Recorded {
            kind,
            is_enveloped,
            bytes: bytes.to_vec(),
        };
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.push((topic.to_owned(), recorded));
    }

    /// The messages of a topic.
    pub fn of(&self, topic: &str) -> Vec<Recorded> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of_it = all.iter().filter(|(name, _)| name == topic);
        of_it.map(|(_, recorded)| recorded.clone()).collect()
    }
}
