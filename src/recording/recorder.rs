//! The recordings of a server: one thread that writes them, and what each connection tells it.
//!
//! Nobody waits for the disk. What a connection says is copied into a queue whose bytes are
//! bounded; beyond that it is counted, and the file says how many messages it lacks.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, SystemTime};

use super::{Beat, Ending, Head, Side, Writer, stamp};
use crate::config::Record;
use crate::config::limits::{RECORDINGS, Recordings};
use crate::observe::access::By;
use crate::observe::event::{Event, text};
use crate::websocket::{Message, Onlooker};

/// What a message counts in the queue besides its bytes.
const OVERHEAD: usize = 128;
/// How long the last messages may take to be written when the server ends.
const LAST: Duration = Duration::from_secs(5);
/// Orders that are taken before they are written.
const AT_ONCE: usize = 4_000;
/// Time between two times of writing.
const PAUSE: Duration = Duration::from_millis(2);
/// Letters of a handler's name in that of a file.
const NAME: usize = 60;

/// The recordings of a server.
#[derive(Debug)]
pub struct Recorder {
    settings: Record,
    limits: Recordings,
    orders: Sender<Order>,
    /// Bytes of messages in the queue.
    waiting: Arc<AtomicUsize>,
    /// Connections that are recorded.
    open: AtomicUsize,
    /// It was said that there are too many.
    is_full: AtomicBool,
    done: Mutex<Receiver<()>>,
}

/// What the thread is to write.
enum Order {
    Begin(u64, PathBuf, Box<Head>),
    Message(u64, Side, SystemTime, Kind, Vec<u8>),
    /// With the messages that were not told.
    End(u64, SystemTime, Ending, u64),
    Stop,
}

/// What a message is.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Text,
    Binary,
    Beat(Beat),
}

impl Kind {
    fn of(is_text: bool) -> Self {
        if is_text { Self::Text } else { Self::Binary }
    }
}

impl Recorder {
    /// Makes the folder, and starts the thread.
    pub fn start(settings: Record) -> io::Result<Arc<Self>> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&settings.folder)?;
        let (orders, inbox) = channel();
        let (sender, done) = channel();
        let waiting = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&waiting);
        thread::Builder::new()
            .name("recorder".to_owned())
            .spawn(move || {
                write(&inbox, &counter);
                let _ = sender.send(());
            })?;
        Ok(Arc::new(Self {
            settings,
            limits: RECORDINGS,
            orders,
            waiting,
            open: AtomicUsize::new(0),
            is_full: AtomicBool::new(false),
            done: Mutex::new(done),
        }))
    }

    /// The recording of a connection to this path that begins, if it is to have one. `handler` is
    /// the file that serves.
    pub fn begin(
        self: &Arc<Self>,
        path: &str,
        handler: &str,
        connection: u64,
        head: impl FnOnce() -> Head,
    ) -> Option<Tape> {
        if !self.settings.has(path) {
            return None;
        }
        if self.open.fetch_add(1, Ordering::Relaxed) >= self.limits.connections {
            self.open.fetch_sub(1, Ordering::Relaxed);
            if !self.is_full.swap(true, Ordering::Relaxed) {
                let limit = self.limits.connections;
                Event::RecordingsFull { limit }.tell();
            }
            return None;
        }
        let head = head();
        let name = name(handler, head.started, connection);
        let file = self.settings.folder.join(name);
        let tape = Tape {
            recorder: Arc::clone(self),
            connection,
            lost: Cell::new(0),
            parts: RefCell::default(),
            has_ended: Cell::new(false),
        };
        self.tell(Order::Begin(connection, file, Box::new(head)));
        Some(tape)
    }

    /// Has everything written that was told before, if that can be soon.
    pub fn finish(&self) {
        self.tell(Order::Stop);
        let done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = done.recv_timeout(LAST);
    }

    fn tell(&self, order: Order) {
        // A thread that is gone has said why.
        let _ = self.orders.send(order);
    }

    /// Takes the bytes of a message into account; `false` if there is no room.
    fn admits(&self, bytes: usize) -> bool {
        let count = bytes + OVERHEAD;
        let before = self.waiting.fetch_add(count, Ordering::Relaxed);
        let has_room = before + count <= self.limits.waiting;
        if !has_room {
            self.waiting.fetch_sub(count, Ordering::Relaxed);
        }
        has_room
    }
}

/// What one connection tells of itself.
#[derive(Debug)]
pub struct Tape {
    recorder: Arc<Recorder>,
    connection: u64,
    /// Messages for which there was no room.
    lost: Cell<u64>,
    /// The parts of a message so far.
    parts: RefCell<Vec<u8>>,
    has_ended: Cell<bool>,
}

impl Tape {
    fn message(&self, by: Side, kind: Kind, payload: &[u8]) {
        if self.recorder.admits(payload.len()) {
            let (now, payload) = (SystemTime::now(), payload.to_vec());
            let order = Order::Message(self.connection, by, now, kind, payload);
            self.recorder.tell(order);
        } else {
            self.lost.set(self.lost.get() + 1);
        }
    }

    fn end(&self, ending: Ending) {
        if !self.has_ended.replace(true) {
            let (now, lost) = (SystemTime::now(), self.lost.get());
            self.recorder
                .tell(Order::End(self.connection, now, ending, lost));
            let open = self.recorder.open.fetch_sub(1, Ordering::Relaxed);
            if open <= self.recorder.limits.connections / 2 {
                self.recorder.is_full.store(false, Ordering::Relaxed);
            }
        }
    }
}

impl Onlooker for Tape {
    fn received(&self, is_text: bool, payload: &[u8]) {
        self.message(Side::Client, Kind::of(is_text), payload);
    }

    fn sent(&self, is_text: bool, payload: &[u8]) {
        self.message(Side::Server, Kind::of(is_text), payload);
    }

    fn sent_part(&self, is_text: bool, payload: &[u8], last: bool) {
        let mut parts = self.parts.borrow_mut();
        let room = self.recorder.limits.bytes.saturating_sub(parts.len());
        parts.extend_from_slice(&payload[..payload.len().min(room)]);
        if last {
            let whole = std::mem::take(&mut *parts);
            self.message(Side::Server, Kind::of(is_text), &whole);
        }
    }

    fn pinged(&self, by_client: bool, payload: &[u8]) {
        self.message(side(by_client), Kind::Beat(Beat::Ping), payload);
    }

    fn ponged(&self, by_client: bool, payload: &[u8]) {
        self.message(side(by_client), Kind::Beat(Beat::Pong), payload);
    }

    fn ended(&self, code: u16, reason: &str, by: By) {
        self.end(Ending {
            code,
            reason: reason.to_owned(),
            by,
        });
    }
}

impl Drop for Tape {
    fn drop(&mut self) {
        self.end(Ending {
            code: 1006,
            reason: String::new(),
            by: By::Nobody,
        });
    }
}

fn side(by_client: bool) -> Side {
    match by_client {
        true => Side::Client,
        false => Side::Server,
    }
}

/// `HANDLER-TIME-NUMBER.har`: files of one handler stand together, in the order of their beginning.
pub fn name(handler: &str, started: SystemTime, connection: u64) -> String {
    let stem = handler.strip_suffix("_wsh.rhai").unwrap_or(handler);
    let stem: String = stem
        .chars()
        .take(NAME)
        .map(|letter| match letter {
            letter if letter.is_alphanumeric() => letter,
            _ => '_',
        })
        .collect();
    let time = stamp(started).strftime("%Y%m%dT%H%M%SZ");
    format!("{stem}-{time}-{connection}.har")
}

/// The thread's work: what has come meanwhile is written at once.
fn write(inbox: &Receiver<Order>, waiting: &AtomicUsize) {
    let mut files = Files::default();
    while let Ok(order) = inbox.recv() {
        let (mut next, mut count) = (Some(order), 0);
        while let Some(order) = next {
            if matches!(order, Order::Stop) {
                return files.flush();
            }
            files.take(order, waiting);
            count += 1;
            next = (count < AT_ONCE).then(|| inbox.try_recv().ok()).flatten();
        }
        files.flush();
        // Whoever tells something need not wake this thread meanwhile.
        thread::sleep(PAUSE);
    }
    files.flush();
}

/// The files that are open.
#[derive(Default)]
struct Files {
    open: HashMap<u64, (PathBuf, Writer)>,
    /// Those that hold something.
    held: Vec<u64>,
}

impl Files {
    fn take(&mut self, order: Order, waiting: &AtomicUsize) {
        match order {
            Order::Begin(connection, path, head) => {
                match Writer::create(&path, *head, RECORDINGS) {
                    Ok(writer) => {
                        self.open.insert(connection, (path, writer.gathering()));
                    }
                    Err(error) => failed(&path, &error),
                }
            }
            Order::Message(connection, by, time, kind, payload) => {
                waiting.fetch_sub(payload.len() + OVERHEAD, Ordering::Relaxed);
                let Some((path, writer)) = self.open.get_mut(&connection) else {
                    return;
                };
                let written = match kind {
                    // It was checked, or is what a script sent as a text in parts.
                    Kind::Text => {
                        let text = String::from_utf8_lossy(&payload);
                        writer.message(by, time, &Message::Text(text))
                    }
                    Kind::Binary => writer.message(by, time, &Message::Binary(payload.into())),
                    Kind::Beat(beat) => writer.beat(by, time, beat, &payload),
                };
                match written {
                    Ok(()) => self.held.push(connection),
                    Err(error) => {
                        failed(path, &error);
                        self.open.remove(&connection);
                    }
                }
            }
            Order::End(connection, time, ending, lost) => {
                let Some((path, mut writer)) = self.open.remove(&connection) else {
                    return;
                };
                if lost > 0 {
                    let file = path.display();
                    Event::RecordingLacks {
                        file: text(&file),
                        messages: lost,
                    }
                    .tell();
                }
                let written = writer
                    .leave_out(lost)
                    .and_then(|()| writer.close(time, &ending))
                    .and_then(|()| writer.flush());
                if let Err(error) = written {
                    failed(&path, &error);
                }
            }
            Order::Stop => {}
        }
    }

    fn flush(&mut self) {
        self.held.sort_unstable();
        self.held.dedup();
        for connection in self.held.drain(..) {
            let Some((path, writer)) = self.open.get_mut(&connection) else {
                continue;
            };
            if let Err(error) = writer.flush() {
                failed(path, &error);
                self.open.remove(&connection);
            }
        }
    }
}

fn failed(file: &Path, error: &io::Error) {
    let file = file.display();
    Event::RecordingFailed {
        file: text(&file),
        error,
    }
    .tell();
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    #[test]
    fn names_are_files_of_the_folder() {
        let time = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        for (handler, file) in [
            ("chat_wsh.rhai", "chat-20231114T221320Z-7.har"),
            ("a/../[id]_wsh.rhai", "a_____id_-20231114T221320Z-7.har"),
        ] {
            assert_eq!(name(handler, time, 7), file);
        }
    }

    #[test]
    fn what_does_not_fit_is_counted() {
        let dir = tempfile::tempdir().expect("a folder");
        let (orders, inbox) = channel();
        let recorder = Arc::new(Recorder {
            settings: Record {
                folder: dir.path().to_owned(),
                path: None,
            },
            limits: Recordings {
                waiting: 2 * OVERHEAD + 10,
                connections: 1,
                ..RECORDINGS
            },
            orders,
            waiting: Arc::default(),
            open: AtomicUsize::new(0),
            is_full: AtomicBool::new(false),
            done: Mutex::new(channel().1),
        });
        let head = || Head {
            url: "ws://h/".to_owned(),
            started: UNIX_EPOCH,
            request: Vec::new(),
            answer: Vec::new(),
            secrets: false,
            facts: serde_json::Map::new(),
        };
        let tape = recorder.begin("/a", "a_wsh.rhai", 1, head).expect("a tape");
        assert!(recorder.begin("/a", "a_wsh.rhai", 2, head).is_none());
        for text in ["one", "two", "three"] {
            tape.received(true, text.as_bytes());
        }
        drop(tape);
        assert!(recorder.begin("/a", "a_wsh.rhai", 3, head).is_some());
        recorder.tell(Order::Stop);
        write(&inbox, &recorder.waiting);
        let file = dir.path().join(name("a_wsh.rhai", UNIX_EPOCH, 1));
        let found = super::super::read(&file).expect("a recording").remove(0);
        assert_eq!((found.said.len(), found.left_out), (2, 1));
        assert_eq!(recorder.waiting.load(Ordering::Relaxed), 0);
    }
}
