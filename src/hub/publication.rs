//! One message on its way to many: encoded once, and compressed once for all that agreed on the
//! same.

use std::convert::Infallible;
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};

use super::position::{LONGEST, Position};
use super::settings::Slow;
use crate::websocket::extensions::Parameters;
use crate::websocket::frame::Data;
use crate::websocket::{Handle, Payload, Pool, SendError};

/// What an envelope begins with.
const OPENING: &[u8] = b"{\"position\":";
/// Bytes of a message from which it is compressed on another thread.
const LARGE: usize = 64 * 1024;
/// Bytes of an envelope up to its topic, at the most.
const FRONT: usize = OPENING.len() + LONGEST + 2;

/// A message before it has its place in the topic's order.
#[derive(Debug)]
pub struct Draft {
    kind: Data,
    bytes: Vec<u8>,
    /// Where in an envelope the message itself begins; there is room in front for its beginning,
    /// which names the position.
    data: Option<usize>,
    /// Whose own message it is, and who is not to get it.
    except: Option<u64>,
}

impl Draft {
    /// A message as it is.
    pub fn plain(kind: Data, bytes: Vec<u8>) -> Self {
        Self {
            kind,
            bytes,
            data: None,
            except: None,
        }
    }

    /// `{"position":…,"topic":…,"data":…}`, with `data` as JSON.
    pub fn enveloped(topic: &str, data: &str) -> Self {
        let topic = serde_json::Value::from(topic).to_string();
        let mut bytes = Vec::with_capacity(FRONT + topic.len() + data.len() + 20);
        bytes.resize(FRONT, b' ');
        // A Vec takes every write.
        let _ = write!(bytes, ",\"topic\":{topic},\"data\":");
        let begin = bytes.len();
        let _ = write!(bytes, "{data}}}");
        Self {
            kind: Data::Text,
            bytes,
            data: Some(begin),
            except: None,
        }
    }

    /// The same for all but this connection.
    #[must_use]
    pub fn except(mut self, connection: Option<u64>) -> Self {
        self.except = connection;
        self
    }

    /// Its kind, whether it is in an envelope, and what it says, without that.
    pub(super) fn content(&self) -> (Data, bool, &[u8]) {
        let content = match self.data {
            Some(begin) => self.bytes.get(begin..self.bytes.len() - 1),
            None => Some(self.bytes.as_slice()),
        };
        (self.kind, self.data.is_some(), content.unwrap_or_default())
    }

    /// The connection that is not to get it.
    pub(super) fn excepted(&self) -> Option<u64> {
        self.except
    }

    /// The same behind this place of the order; without a history there is no position to tell.
    pub(super) fn at(mut self, number: u64, position: Option<Position>, slow: Slow) -> Publication {
        let mut start = 0;
        if self.data.is_some() {
            let position = position.map_or("null".to_owned(), |at| format!("\"{at}\""));
            start = FRONT - OPENING.len() - position.len();
            let (opening, name) = self.bytes[start..FRONT].split_at_mut(OPENING.len());
            opening.copy_from_slice(OPENING);
            name.copy_from_slice(position.as_bytes());
        }
        Publication {
            number,
            kind: self.kind,
            bytes: self.bytes.into(),
            start,
            data: self.data,
            slow,
            except: self.except,
            compressed: Mutex::default(),
        }
    }
}

/// What the compressed form depends on: the window, as a power of two, and the level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Form {
    bits: u8,
    level: u32,
}

impl From<&Parameters> for Form {
    fn from(terms: &Parameters) -> Self {
        Self {
            bits: terms.server_bits,
            level: terms.level,
        }
    }
}

/// A published message.
#[derive(Debug)]
pub struct Publication {
    /// Its place in the topic's order, from 1 on.
    pub number: u64,
    /// Text or binary.
    pub kind: Data,
    bytes: Arc<[u8]>,
    /// Where in them the message begins.
    start: usize,
    /// Where in them what an envelope holds begins.
    data: Option<usize>,
    /// What becomes of it where a subscriber is slow.
    pub slow: Slow,
    /// The connection that is not to get it.
    pub except: Option<u64>,
    /// Its compressed forms, made at first use; `None` where that is no smaller.
    compressed: Mutex<Vec<(Form, Compressed)>>,
}

/// A compressed form, if there is one that is smaller.
pub type Compressed = Option<Arc<[u8]>>;

impl Publication {
    /// Its bytes.
    pub fn payload(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    /// The same for an outbox, which may refer to it.
    pub(super) fn shared(&self) -> Payload<'_> {
        Payload {
            bytes: &self.bytes,
            start: self.start,
        }
    }

    /// What its envelope holds, as JSON; `None` without one.
    pub fn data(&self) -> Option<&[u8]> {
        let data = self.bytes.get(self.data?..)?;
        // Without the envelope's last brace.
        data.get(..data.len().checked_sub(1)?)
    }

    /// The same envelope around this JSON; `None` without one.
    pub fn holding(&self, json: &str) -> Option<Vec<u8>> {
        let front = self.bytes.get(self.start..self.data?)?;
        Some([front, json.as_bytes(), b"}"].concat())
    }

    /// Whether it takes long to compress.
    pub(super) fn takes_long(&self) -> bool {
        self.payload().len() >= LARGE
    }

    /// The compressed form, unless that would take long and nobody has made it yet.
    pub(super) fn form_now(&self, terms: &Parameters, pool: &Pool) -> Compressed {
        match self.known_form(terms) {
            Some(known) => known,
            None if self.takes_long() => None,
            None => self.make_form(terms, pool),
        }
    }

    /// Queues it as it is.
    pub fn send(&self, handle: &Handle) -> Result<(), SendError> {
        let terms = handle.agreed().map(|agreed| agreed.terms);
        let form = terms
            .filter(|terms| self.payload().len() >= terms.threshold)
            .zip(handle.pool())
            .and_then(|(terms, pool)| self.form_now(&terms, pool));
        handle.publish(self.kind, self.shared(), form.as_ref())
    }

    /// The form for these terms, if somebody has made it.
    pub fn known_form(&self, terms: &Parameters) -> Option<Compressed> {
        let (form, forms) = (Form::from(terms), self.forms());
        let known = forms.iter().find(|(known, _)| *known == form);
        known.map(|(_, compressed)| compressed.clone())
    }

    /// The form for these terms, made by what `pool` has.
    pub fn make_form(&self, terms: &Parameters, pool: &Pool) -> Compressed {
        if let Some(known) = self.known_form(terms) {
            return known;
        }
        // Not under the lock: two workers may do it at the same time, and neither waits for the
        // other.
        let payload = self.payload();
        let mut compressor = pool.compressor(terms);
        let most = payload.len().saturating_sub(1);
        let Ok(made) = pool.compress(&mut compressor, payload, most, || Ok::<_, Infallible>(()));
        pool.keep_compressor(compressor);
        let made = made.map(|bytes| {
            let shared: Arc<[u8]> = bytes.as_slice().into();
            pool.keep_output(bytes);
            shared
        });
        self.forms().push((Form::from(terms), made.clone()));
        made
    }

    fn forms(&self) -> std::sync::MutexGuard<'_, Vec<(Form, Compressed)>> {
        self.compressed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_envelope_is_json_whatever_is_in_it() {
        let topic = "a \"quoted\"\\ topic \u{1F600}";
        for (data, position) in [
            (
                "42",
                Some(Position {
                    epoch: 0,
                    number: 1,
                }),
            ),
            (
                "{\"a\":[1,null]}",
                Some(Position {
                    epoch: (1 << 48) - 1,
                    number: u64::MAX,
                }),
            ),
            ("\"text\"", None),
        ] {
            let publication = Draft::enveloped(topic, data).at(1, position, Slow::Close);
            let value: serde_json::Value =
                serde_json::from_slice(publication.payload()).expect("JSON");
            assert_eq!(value["topic"], topic);
            assert_eq!(value["data"].to_string(), data);
            let told = position.map(|position| position.to_string());
            assert_eq!(value["position"].as_str(), told.as_deref());
            assert_eq!(publication.data(), Some(data.as_bytes()));
            let other = publication.holding("[7]").expect("an envelope");
            let other: serde_json::Value = serde_json::from_slice(&other).expect("JSON");
            let wanted = serde_json::json!({"position": told, "topic": topic, "data": [7]});
            assert_eq!(other, wanted);
        }
    }

    #[test]
    fn it_is_compressed_once_for_equal_terms() {
        let terms = Parameters::from(&crate::config::Deflate::default());
        let other = Parameters {
            level: terms.level % 9 + 1,
            ..terms
        };
        let publication = Draft::plain(Data::Text, vec![b'a'; 5000]).at(1, None, Slow::Close);
        let pool = Pool::default();
        assert!(publication.known_form(&terms).is_none());
        let first = publication
            .make_form(&terms, &pool)
            .expect("it gets smaller");
        assert!(first.len() < 100);
        let again = publication.make_form(&terms, &pool).expect("it is there");
        assert!(Arc::ptr_eq(&first, &again));
        assert!(publication.known_form(&other).is_none());
        // What does not get smaller is known as well.
        let short = Draft::plain(Data::Text, vec![b'a']).at(1, None, Slow::Close);
        assert!(short.make_form(&terms, &pool).is_none());
        assert!(matches!(short.known_form(&terms), Some(None)));
    }
}
