//! The recordings of a server: one thread that writes them, and what each connection tells it.
//!
//! Nobody waits for the disk. What a connection says is queued, within a bound on the bytes of all
//! queues; beyond that it is counted, and the file says how many messages it lacks. Making text of
//! it, and writing that, is the thread's.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, Thread};
use std::time::{Duration, Instant, SystemTime};

use super::queue::{Batch, End, OVERHEAD, Order, Queue, Queues, Said};
use super::{Beat, Ending, Head, Side, Writer, stamp};
use crate::config::Record;
use crate::config::limits::{RECORDINGS, Recordings};
use crate::observe::access::By;
use crate::observe::event::{Event, text};
use crate::websocket::Onlooker;

/// How long the last messages may take to be written when the server ends.
const LAST: Duration = Duration::from_secs(5);
/// Time between two looks at the queues.
const PAUSE: Duration = Duration::from_millis(5);
/// How long a file may lack what was said: a file at a time costs more than its messages.
const LATE: Duration = Duration::from_millis(50);
/// Bytes of a message that is not copied twice.
const LONG: usize = 4 << 10;
/// Letters of a handler's name in that of a file.
const NAME: usize = 60;

/// The recordings of a server.
#[derive(Debug)]
pub struct Recorder {
    settings: Record,
    limits: Recordings,
    queues: Arc<Queues>,
    /// The one that writes.
    writer: Thread,
    /// Connections that are recorded.
    open: AtomicUsize,
    /// It was said that there are too many.
    is_full: AtomicBool,
    done: Mutex<Receiver<()>>,
}

impl Recorder {
    /// Makes the folder, and starts the thread.
    pub fn start(settings: Record) -> io::Result<Arc<Self>> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&settings.folder)?;
        let (sender, done) = channel();
        let queues = Arc::<Queues>::default();
        let place = Arc::clone(&queues);
        let writer = thread::Builder::new()
            .name("recorder".to_owned())
            .spawn(move || {
                write(&place);
                let _ = sender.send(());
            })?;
        Ok(Arc::new(Self {
            settings,
            limits: RECORDINGS,
            queues,
            writer: writer.thread().clone(),
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
            queue: self.queues.here(),
            connection,
            batch: RefCell::default(),
            turn: Cell::default(),
            told: Cell::new(0),
            lost: Cell::new(0),
            beyond: Cell::new(0),
            parts: RefCell::default(),
            has_ended: Cell::new(false),
        };
        tape.push(Some(Order::Begin(connection, Box::new((file, head)))));
        Some(tape)
    }

    /// Has everything written that was told before, if that can be soon.
    pub fn finish(&self) {
        self.queues.end();
        self.writer.unpark();
        let done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = done.recv_timeout(LAST);
    }
}

/// Whether a connection runs, and what the time is meanwhile.
#[derive(Debug, Clone, Copy, Default)]
enum Turn {
    /// Others deliver to it.
    #[default]
    None,
    /// It does, and has said nothing yet.
    Begun,
    /// All that it says in this turn is said at this time.
    At(SystemTime),
}

/// What one connection tells of itself.
#[derive(Debug)]
pub struct Tape {
    recorder: Arc<Recorder>,
    /// That of its worker.
    queue: Arc<Queue>,
    connection: u64,
    /// Messages of this turn, which are not queued yet.
    batch: RefCell<Batch>,
    turn: Cell<Turn>,
    /// Messages that were, or will be, queued.
    told: Cell<u64>,
    /// Messages for which there was no room.
    lost: Cell<u64>,
    /// Messages beyond the bound of a file.
    beyond: Cell<u64>,
    /// The parts of a message so far.
    parts: RefCell<Vec<u8>>,
    has_ended: Cell<bool>,
}

impl Tape {
    fn message(&self, by: Side, opcode: u8, payload: &[u8]) {
        let Recorder { limits, queues, .. } = &*self.recorder;
        if self.told.get() >= limits.messages {
            self.beyond.set(self.beyond.get() + 1);
            return;
        }
        let mut batch = self.batch.borrow_mut();
        let count = batch.weight() + payload.len() + OVERHEAD;
        if queues.waiting() + count > limits.waiting {
            self.lost.set(self.lost.get() + 1);
            return;
        }
        self.told.set(self.told.get() + 1);
        let said = Said {
            time: self.now(),
            by,
            opcode,
            length: payload.len(),
        };
        if payload.len() < LONG {
            batch.say(said, payload);
        } else {
            drop(batch);
            self.push(None);
            self.put(payload.len() + OVERHEAD, |queued| {
                queued.say_at_once(self.connection, said, payload);
            });
        }
    }

    fn now(&self) -> SystemTime {
        match self.turn.get() {
            Turn::At(time) => time,
            Turn::None => SystemTime::now(),
            Turn::Begun => {
                let time = SystemTime::now();
                self.turn.set(Turn::At(time));
                time
            }
        }
    }

    /// Queues the messages of this turn, and what is to follow them.
    fn push(&self, behind: Option<Order>) {
        let mut batch = self.batch.borrow_mut();
        if batch.said.is_empty() && behind.is_none() {
            return;
        }
        self.put(batch.weight(), |queued| {
            queued.take_messages(self.connection, &mut batch);
            queued.orders.extend(behind);
        });
    }

    fn put(&self, weight: usize, put: impl FnOnce(&mut Batch)) {
        let Recorder { queues, writer, .. } = &*self.recorder;
        if queues.push(&self.queue, weight, put) {
            writer.unpark();
        }
    }

    fn end(&self, ending: Ending) {
        if !self.has_ended.replace(true) {
            let end = End {
                time: SystemTime::now(),
                ending,
                lost: self.lost.get(),
                beyond: self.beyond.get(),
            };
            self.push(Some(Order::End(self.connection, Box::new(end))));
            let open = self.recorder.open.fetch_sub(1, Ordering::Relaxed);
            if open <= self.recorder.limits.connections / 2 {
                self.recorder.is_full.store(false, Ordering::Relaxed);
            }
        }
    }
}

impl Onlooker for Tape {
    fn turn_begins(&self) {
        self.turn.set(Turn::Begun);
    }

    fn turn_ends(&self) {
        self.turn.set(Turn::None);
        self.push(None);
    }

    fn received(&self, is_text: bool, payload: &[u8]) {
        self.message(Side::Client, opcode(is_text), payload);
    }

    fn sent(&self, is_text: bool, payload: &[u8]) {
        self.message(Side::Server, opcode(is_text), payload);
    }

    fn sent_part(&self, is_text: bool, payload: &[u8], last: bool) {
        let mut parts = self.parts.borrow_mut();
        let room = self.recorder.limits.bytes.saturating_sub(parts.len());
        parts.extend_from_slice(&payload[..payload.len().min(room)]);
        if last {
            let whole = std::mem::take(&mut *parts);
            self.message(Side::Server, opcode(is_text), &whole);
        }
    }

    fn pinged(&self, by_client: bool, payload: &[u8]) {
        self.message(side(by_client), Beat::Ping.opcode(), payload);
    }

    fn ponged(&self, by_client: bool, payload: &[u8]) {
        self.message(side(by_client), Beat::Pong.opcode(), payload);
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

fn opcode(is_text: bool) -> u8 {
    if is_text { 1 } else { 2 }
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

/// The thread's work.
fn write(queues: &Queues) {
    let (mut files, mut spare) = (Files::default(), Batch::default());
    let mut flushed: Option<Instant> = None;
    loop {
        // What was queued before the end is found behind this.
        let ends = queues.ends();
        let is_any = queues.drain(&mut spare, |batch| files.take(batch, queues));
        if ends || flushed.is_none_or(|flushed| flushed.elapsed() >= LATE) {
            files.flush();
            flushed = Some(Instant::now());
        }
        if ends {
            return;
        }
        if is_any || !files.held.is_empty() {
            // Whoever queues something need not wake this thread meanwhile.
            thread::park_timeout(PAUSE);
        } else {
            queues.sleep(thread::park);
        }
    }
}

/// The files that are open.
#[derive(Default)]
struct Files {
    open: HashMap<u64, (PathBuf, Writer)>,
    /// Those that hold something.
    held: Vec<u64>,
}

impl Files {
    fn take(&mut self, batch: &mut Batch, queues: &Queues) {
        let (mut said, mut bytes) = (&batch.said[..], &batch.bytes[..]);
        for order in batch.orders.drain(..) {
            match order {
                Order::Begin(connection, begin) => {
                    let (path, head) = *begin;
                    match Writer::create(&path, head, RECORDINGS) {
                        Ok(writer) => {
                            self.open.insert(connection, (path, writer.gathering()));
                        }
                        Err(error) => failed(&path, &error),
                    }
                }
                Order::Messages(connection, count) => {
                    let (these, behind) = said.split_at(count);
                    said = behind;
                    let length = these.iter().map(|said| said.length).sum();
                    let (payloads, behind) = bytes.split_at(length);
                    bytes = behind;
                    self.messages(connection, these, payloads);
                    queues.written(length + count * OVERHEAD);
                }
                Order::End(connection, end) => self.end(connection, &end),
            }
        }
    }

    fn messages(&mut self, connection: u64, said: &[Said], mut payloads: &[u8]) {
        let Some((path, writer)) = self.open.get_mut(&connection) else {
            return;
        };
        let held_nothing = !writer.holds();
        for one in said {
            let (payload, behind) = payloads.split_at(one.length);
            payloads = behind;
            if let Err(error) = writer.add(one.by, one.time, one.opcode, payload) {
                failed(path, &error);
                self.open.remove(&connection);
                return;
            }
        }
        if held_nothing && writer.holds() {
            self.held.push(connection);
        }
    }

    fn end(&mut self, connection: u64, end: &End) {
        let Some((path, mut writer)) = self.open.remove(&connection) else {
            return;
        };
        if end.lost > 0 {
            let file = path.display();
            Event::RecordingLacks {
                file: text(&file),
                messages: end.lost,
            }
            .tell();
        }
        let written = writer
            .leave_out(end.lost + end.beyond)
            .and_then(|()| writer.close(end.time, &end.ending))
            .and_then(|()| writer.flush());
        if let Err(error) = written {
            failed(&path, &error);
        }
    }

    fn flush(&mut self) {
        for connection in self.held.drain(..) {
            let Some((path, writer)) = self.open.get_mut(&connection) else {
                continue;
            };
            if writer.holds()
                && let Err(error) = writer.flush()
            {
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
    use crate::recording::Recording;
    use crate::websocket::Message;

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

    fn recorder(folder: &Path, limits: Recordings) -> Arc<Recorder> {
        Arc::new(Recorder {
            settings: Record {
                folder: folder.to_owned(),
                path: None,
            },
            limits,
            queues: Arc::default(),
            writer: thread::current(),
            open: AtomicUsize::new(0),
            is_full: AtomicBool::new(false),
            done: Mutex::new(channel().1),
        })
    }

    fn head() -> Head {
        Head {
            url: "ws://h/".to_owned(),
            started: UNIX_EPOCH,
            request: Vec::new(),
            answer: Vec::new(),
            secrets: false,
            facts: serde_json::Map::new(),
        }
    }

    /// Writes what was told, and reads it.
    fn recorded(recorder: &Recorder, connection: u64) -> Recording {
        recorder.queues.end();
        write(&recorder.queues);
        assert_eq!(recorder.queues.waiting(), 0);
        let name = name("a_wsh.rhai", UNIX_EPOCH, connection);
        let file = recorder.settings.folder.join(name);
        super::super::read(&file).expect("a recording").remove(0)
    }

    #[test]
    fn what_does_not_fit_is_counted() {
        let dir = tempfile::tempdir().expect("a folder");
        let limits = Recordings {
            waiting: 2 * OVERHEAD + 10,
            connections: 1,
            ..RECORDINGS
        };
        let recorder = recorder(dir.path(), limits);
        let tape = recorder.begin("/a", "a_wsh.rhai", 1, head).expect("a tape");
        assert!(recorder.begin("/a", "a_wsh.rhai", 2, head).is_none());
        for text in ["one", "two", "three"] {
            tape.received(true, text.as_bytes());
        }
        drop(tape);
        assert!(recorder.begin("/a", "a_wsh.rhai", 3, head).is_some());
        let found = recorded(&recorder, 1);
        assert_eq!((found.said.len(), found.left_out), (2, 1));
    }

    #[test]
    fn what_is_beyond_a_file_is_counted() {
        let dir = tempfile::tempdir().expect("a folder");
        let limits = Recordings {
            messages: 3,
            ..RECORDINGS
        };
        let recorder = recorder(dir.path(), limits);
        let tape = recorder.begin("/a", "a_wsh.rhai", 1, head).expect("a tape");
        for _ in 0..5 {
            tape.sent(true, b"again");
        }
        drop(tape);
        let found = recorded(&recorder, 1);
        assert_eq!((found.said.len(), found.left_out), (3, 2));
    }

    /// In a turn and between two, in whatever order short and long ones come: the file has the
    /// order in which they were told, and the messages of a turn have one time.
    #[test]
    fn messages_stay_in_their_order() {
        let dir = tempfile::tempdir().expect("a folder");
        let recorder = recorder(dir.path(), RECORDINGS);
        let tape = recorder.begin("/a", "a_wsh.rhai", 1, head).expect("a tape");
        let mut wanted = Vec::new();
        for round in 0..100 {
            if round % 3 == 0 {
                tape.turn_begins();
            }
            let length = if round % 7 == 0 { LONG + round } else { round };
            let payload = vec![b'x'; length];
            match round % 4 {
                0 | 1 => tape.received(round % 4 == 0, &payload),
                2 => tape.sent(true, &payload),
                _ => {
                    tape.sent_part(false, &payload[..length / 2], false);
                    tape.sent_part(false, &payload[length / 2..], true);
                }
            }
            wanted.push(match round % 4 {
                0 | 2 => Message::Text("x".repeat(length).into()),
                _ => Message::Binary(payload.into()),
            });
            if round % 3 == 1 {
                tape.turn_ends();
            }
        }
        tape.ended(1000, "done", By::Client);
        drop(tape);
        let found = recorded(&recorder, 1);
        let messages: Vec<_> = found.said.iter().map(|said| said.message.clone()).collect();
        assert!(messages == wanted);
        let times = found.said.chunks(3);
        assert!(
            times
                .clone()
                .all(|turn| turn.len() < 3 || turn[0].time == turn[1].time)
        );
        assert!(found.said.is_sorted_by_key(|said| said.time));
        assert_eq!(found.ending.map(|ending| ending.code), Some(1000));
    }
}
