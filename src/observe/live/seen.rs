//! A connection as somebody who looks on sees it: who it is, what it has sent and received, and its
//! messages while somebody has chosen it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use data_encoding::BASE64;
use serde_json::{Value, json};

use super::journal::JOURNAL;
use super::switch::{is_looked_at, now};

/// Bytes of a message that a row has.
const SHOWN: usize = 16 << 10;

/// The connections that are open.
pub static CONNECTIONS: Connections = Connections::new();

/// The way that a message goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// From the client.
    In,
    /// To the client.
    Out,
}

/// What goes over a connection.
#[derive(Debug, Clone, Copy)]
pub enum Payload<'p> {
    /// A text message.
    Text(&'p [u8]),
    /// A binary message.
    Binary(&'p [u8]),
    /// A part of a message, and whether it is the last one; whether it is text.
    Part(&'p [u8], bool, bool),
    /// A Close: its code, 1005 without one, and its reason.
    Close(u16, &'p str),
    /// A Ping.
    Ping(&'p [u8]),
    /// A Pong.
    Pong(&'p [u8]),
    /// Bytes as they are, outside of all frames.
    Raw(&'p [u8]),
}

/// Who a connection is.
#[derive(Debug, Clone, Default)]
pub struct Person {
    /// Its number.
    pub connection: u64,
    /// The number of its worker.
    pub worker: usize,
    /// The handler's file.
    pub handler: String,
    /// The path, decoded.
    pub path: String,
    /// The address.
    pub client: String,
    /// The subprotocol that was agreed on.
    pub protocol: String,
    /// Whether messages are compressed.
    pub compresses: bool,
}

/// What is seen of one connection. Its own worker alone counts, so that counting takes no lock.
#[derive(Debug)]
pub struct Seen {
    /// Who it is.
    pub person: Person,
    opened: f64,
    version: AtomicU64,
    messages: [AtomicU64; 2],
    bytes: [AtomicU64; 2],
    queued: AtomicU64,
    /// Rows that there was no room for, since the last turn.
    missed: AtomicU64,
    choosers: AtomicUsize,
    /// In place of the journal.
    kept: Option<Mutex<Vec<Value>>>,
}

/// An open connection: it is in the list for as long as this lives.
#[derive(Debug)]
pub struct Entered(pub Arc<Seen>);

impl Entered {
    /// A connection is open.
    pub fn new(person: Person, version: u64) -> Self {
        let seen = Arc::new(Seen::new(person, version, None));
        let row = || {
            let mut row = seen.to_json();
            row["kind"] = json!("opened");
            row["time"] = json!(now());
            row
        };
        tell(None, row);
        CONNECTIONS.list().insert(seen.id(), Arc::clone(&seen));
        Self(seen)
    }

    /// One that is in no list, and keeps what goes over it to itself.
    pub fn apart(person: Person, version: u64) -> Self {
        Self(Arc::new(Seen::new(person, version, Some(Mutex::default()))))
    }

    /// It has ended.
    pub fn ended(&self, code: u16, reason: &str, by: &str) {
        let was_there = CONNECTIONS.list().remove(&self.0.id()).is_some();
        if was_there {
            let row = || {
                json!({
                    "kind": "closed", "time": now(), "connection": self.0.id(), "code": code,
                    "reason": reason, "by": by, "handler": self.0.person.handler,
                })
            };
            tell(None, row);
        }
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        CONNECTIONS.list().remove(&self.0.id());
    }
}

/// A row for everybody who looks.
fn tell(connection: Option<u64>, row: impl FnOnce() -> Value) {
    if is_looked_at() && JOURNAL.admits(false) {
        JOURNAL.add(connection, &row().to_string());
    }
}

impl Seen {
    fn new(person: Person, version: u64, kept: Option<Mutex<Vec<Value>>>) -> Self {
        Self {
            person,
            opened: now(),
            version: AtomicU64::new(version),
            messages: Default::default(),
            bytes: Default::default(),
            queued: AtomicU64::new(0),
            missed: AtomicU64::new(0),
            choosers: AtomicUsize::new(0),
            kept,
        }
    }

    /// The connection's number.
    pub fn id(&self) -> u64 {
        self.person.connection
    }

    /// This version of its handler serves it.
    pub fn served_by(&self, version: u64) {
        self.version.store(version, Ordering::Relaxed);
    }

    /// Its turn is over, and so many bytes wait to be sent.
    pub fn turn_ends(&self, queued: usize) {
        self.queued.store(queued as u64, Ordering::Relaxed);
        if self.missed.load(Ordering::Relaxed) > 0 {
            JOURNAL.misses(self.missed.swap(0, Ordering::Relaxed));
        }
    }

    /// Something goes over it.
    pub fn passes(&self, way: Way, payload: Payload<'_>) {
        if let Payload::Text(bytes) | Payload::Binary(bytes) | Payload::Part(bytes, ..) = payload {
            let is_message = !matches!(payload, Payload::Part(_, false, _));
            add(&self.messages[way as usize], u64::from(is_message));
            add(&self.bytes[way as usize], bytes.len() as u64);
        }
        if let Some(kept) = &self.kept {
            let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
            if kept.len() < KEPT {
                kept.push(self.row(way, payload));
            }
        } else if is_looked_at() {
            let is_chosen = self.choosers.load(Ordering::Relaxed) > 0 || CONNECTIONS.are_chosen();
            if JOURNAL.admits(is_chosen) {
                let row = self.row(way, payload).to_string();
                JOURNAL.add(Some(self.id()), &row);
            } else if is_chosen {
                add(&self.missed, 1);
            }
        }
    }

    /// Takes what has gone over one that is apart.
    pub fn take_kept(&self) -> Vec<Value> {
        let kept = self.kept.as_ref();
        let kept = kept.map(|kept| kept.lock().unwrap_or_else(PoisonError::into_inner));
        kept.map_or(Vec::new(), |mut kept| std::mem::take(&mut kept))
    }

    /// Somebody has chosen it, or has no more.
    pub fn choose(&self, is_chosen: bool) {
        if is_chosen {
            self.choosers.fetch_add(1, Ordering::Relaxed);
        } else {
            self.choosers.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn row(&self, way: Way, payload: Payload<'_>) -> Value {
        let mut row = shown(payload);
        row["kind"] = json!("message");
        row["connection"] = json!(self.id());
        row["path"] = json!(self.person.path);
        row["time"] = json!(now());
        row["way"] = json!(match way {
            Way::In => "in",
            Way::Out => "out",
        });
        row
    }

    /// It as it is now.
    pub fn to_json(&self) -> Value {
        let Person {
            connection,
            worker,
            handler,
            path,
            client,
            protocol,
            compresses,
        } = &self.person;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        json!({
            "connection": connection, "worker": worker, "handler": handler, "path": path,
            "client": client, "protocol": protocol, "compresses": compresses,
            "opened": self.opened, "version": read(&self.version),
            "messages_in": read(&self.messages[0]), "bytes_in": read(&self.bytes[0]),
            "messages_out": read(&self.messages[1]), "bytes_out": read(&self.bytes[1]),
            "queued": read(&self.queued),
        })
    }

    /// Whether a text is found in what it is known by.
    pub fn contains(&self, text: &str) -> bool {
        let Person {
            connection,
            handler,
            path,
            client,
            protocol,
            ..
        } = &self.person;
        [handler, path, client, protocol]
            .iter()
            .any(|known| known.to_lowercase().contains(text))
            || connection.to_string() == text
    }
}

/// Messages that one apart keeps.
const KEPT: usize = 200;

/// Adds to what nobody else adds to.
fn add(counter: &AtomicU64, more: u64) {
    let before = counter.load(Ordering::Relaxed);
    counter.store(before.saturating_add(more), Ordering::Relaxed);
}

/// A payload as rows have it: opcode, size, and its beginning as text or base64.
fn shown(payload: Payload<'_>) -> Value {
    let (opcode, bytes, is_text) = match payload {
        Payload::Text(bytes) => (1, bytes, true),
        Payload::Binary(bytes) => (2, bytes, false),
        Payload::Part(bytes, _, is_text) => (if is_text { 1 } else { 2 }, bytes, is_text),
        Payload::Ping(bytes) => (9, bytes, false),
        Payload::Pong(bytes) => (10, bytes, false),
        Payload::Raw(bytes) => (-1, bytes, false),
        Payload::Close(code, reason) => {
            return json!({ "opcode": 8, "size": reason.len(), "code": code, "text": reason });
        }
    };
    let mut row = of_bytes(bytes, is_text, SHOWN);
    row["opcode"] = json!(opcode);
    if let Payload::Part(_, is_last, _) = payload {
        row["part"] = json!(true);
        row["last"] = json!(is_last);
    }
    row
}

/// Bytes as JSON: how many there are, and the first of them as `text`, or as base64 in `data`.
pub fn of_bytes(bytes: &[u8], is_text: bool, most: usize) -> Value {
    let front = &bytes[..bytes.len().min(most)];
    let is_cut = front.len() < bytes.len();
    let text = match std::str::from_utf8(front) {
        _ if !is_text => None,
        Ok(text) => Some(text),
        // The last character was cut.
        Err(error) if is_cut => std::str::from_utf8(&front[..error.valid_up_to()]).ok(),
        Err(_) => None,
    };
    let mut value = match text {
        Some(text) => json!({ "text": text }),
        None => json!({ "data": BASE64.encode(front) }),
    };
    value["size"] = json!(bytes.len());
    if is_cut {
        value["cut"] = json!(true);
    }
    value
}

/// The connections that are open, by their numbers.
#[derive(Debug)]
pub struct Connections {
    list: Mutex<BTreeMap<u64, Arc<Seen>>>,
    /// How many have chosen all of them.
    choosers: AtomicUsize,
}

impl Connections {
    /// None.
    const fn new() -> Self {
        Self {
            list: Mutex::new(BTreeMap::new()),
            choosers: AtomicUsize::new(0),
        }
    }

    fn list(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<Seen>>> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection of this number.
    pub fn get(&self, id: u64) -> Option<Arc<Seen>> {
        self.list().get(&id).cloned()
    }

    /// The newest ones in which a text is found, so many at the most, and how many there are of
    /// all.
    pub fn newest(&self, text: &str, most: usize) -> (Vec<Arc<Seen>>, usize) {
        let text = text.to_lowercase();
        let list = self.list();
        let found = list.values().rev();
        let found = found.filter(|seen| text.is_empty() || seen.contains(&text));
        (found.take(most).cloned().collect(), list.len())
    }

    /// Somebody has chosen all of them, or has no more.
    pub fn choose_all(&self, is_chosen: bool) {
        if is_chosen {
            self.choosers.fetch_add(1, Ordering::Relaxed);
        } else {
            self.choosers.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn are_chosen(&self) -> bool {
        self.choosers.load(Ordering::Relaxed) > 0
    }

    /// Bytes that wait to be sent, of all of them.
    pub fn queued(&self) -> u64 {
        let list = self.list();
        let queued = list
            .values()
            .map(|seen| seen.queued.load(Ordering::Relaxed));
        queued.sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_is_cut_between_characters() {
        let value = of_bytes("aé数".as_bytes(), true, 5);
        assert_eq!(value, json!({ "text": "aé", "size": 6, "cut": true }));
        let value = of_bytes("aé".as_bytes(), true, 5);
        assert_eq!(value, json!({ "text": "aé", "size": 3 }));
        let value = of_bytes(b"\xff\xfe", true, 5);
        assert_eq!(value, json!({ "data": "//4=", "size": 2 }));
        let value = of_bytes(b"ab", false, 1);
        assert_eq!(value, json!({ "data": "YQ==", "size": 2, "cut": true }));
    }

    #[test]
    fn what_is_apart_keeps_its_messages_to_itself() {
        let entered = Entered::apart(Person::default(), 3);
        entered.0.passes(Way::In, Payload::Text(b"hello"));
        entered.0.passes(Way::Out, Payload::Close(1000, "bye"));
        let kept = entered.0.take_kept();
        assert_eq!(
            (&kept[0]["way"], &kept[0]["text"]),
            (&json!("in"), &json!("hello"))
        );
        assert_eq!(
            (&kept[1]["code"], &kept[1]["text"]),
            (&json!(1000), &json!("bye"))
        );
        let seen = entered.0.to_json();
        assert_eq!(
            (&seen["messages_in"], &seen["version"]),
            (&json!(1), &json!(3))
        );
        assert!(CONNECTIONS.get(0).is_none());
    }
}
