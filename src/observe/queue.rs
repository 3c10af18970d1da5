//! Log lines on their way out: a bounded queue and a thread that writes, so that whoever reads the
//! log, or does not, or a disk that is full, never holds up a worker. What does not fit, or cannot
//! be written, is dropped and counted.

use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tracing_subscriber::fmt::MakeWriter;

use super::event::Event;
use super::file::Sink;
use super::format::Format;
use super::json;
use crate::config::limits::LOG_QUEUE;

/// Upper bound on the wait for lines to be written at the end of the program.
const FLUSH: Duration = Duration::from_secs(2);

/// The queue's end for whoever logs.
#[derive(Debug, Clone)]
pub struct Lines(Arc<Queue>);

/// The log as a whole. Dropped, it waits until what was logged is written, for a while.
#[derive(Debug)]
#[must_use = "lines that are in the queue at the end of the program are lost without it"]
pub struct Log(Arc<Queue>);

#[derive(Debug, Default)]
struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    bytes: Vec<u8>,
    dropped: u64,
    is_writing: bool,
    /// The file was renamed, or will be missed: its name is to be opened anew.
    reopens: bool,
}

/// The next task of the thread that writes.
#[derive(Debug, Default, PartialEq, Eq)]
struct Task {
    /// Lines that had no place.
    dropped: u64,
    /// Whether the file is to be opened again first.
    reopens: bool,
}

/// Starts the thread that writes to `out`. While it cannot be written there is no other place to
/// tell of it: that is said there when it can again.
pub fn start(out: impl Sink, format: Format) -> io::Result<(Lines, Log)> {
    let queue = Arc::new(Queue::default());
    let writing = Arc::clone(&queue);
    std::thread::Builder::new()
        .name("log".into())
        .spawn(move || {
            let mut writer = Writer::new(out, format);
            let mut bytes = Vec::new();
            loop {
                let Task { dropped, reopens } = writing.take(&mut bytes);
                if reopens && let Err(error) = writer.out.reopen() {
                    Event::LogNotReopened { error: &error }.tell();
                }
                if dropped > 0 {
                    let why = "they came faster than they could be written";
                    let said = format.notice("log-dropped", dropped, "dropped", why);
                    bytes.extend_from_slice(said.as_bytes());
                }
                writer.write(&bytes);
                bytes.clear();
                bytes.shrink_to(LOG_QUEUE / 16);
            }
        })?;
    Ok((Lines(Arc::clone(&queue)), Log(queue)))
}

/// The writing end, which counts the lines that it loses.
struct Writer<S> {
    out: S,
    format: Format,
    /// Number of lines lost, and the latest error.
    lost: Option<(u64, io::Error)>,
    /// A line was written up to its middle.
    is_cut: bool,
}

impl<S: Sink> Writer<S> {
    fn new(out: S, format: Format) -> Self {
        Self {
            out,
            format,
            lost: None,
            is_cut: false,
        }
    }

    /// Writes whole lines, after a word about those that were lost before.
    fn write(&mut self, lines: &[u8]) {
        let result = match self.say_lost() {
            Ok(()) => self.try_write(lines),
            Err(error) => Err((0, error)),
        };
        if let Err((written, error)) = result {
            let before = self.lost.take().map_or(0, |(lost, _)| lost);
            self.lost = Some((before + count_lines(&lines[written..]), error));
        }
    }

    fn say_lost(&mut self) -> io::Result<()> {
        let Some((lost, error)) = &self.lost else {
            return Ok(());
        };
        let end = if self.is_cut { "\n" } else { "" };
        let why = format!("they could not be written: {error}");
        let said = self.format.notice("log-lost", *lost, "lost", &why);
        let said = format!("{end}{said}");
        self.try_write(said.as_bytes())
            .map_err(|(_, error)| error)?;
        self.lost = None;
        Ok(())
    }

    /// The error has the number of bytes that were written before.
    fn try_write(&mut self, bytes: &[u8]) -> Result<(), (usize, io::Error)> {
        let mut written = 0;
        while written < bytes.len() {
            match self.out.write(&bytes[written..]) {
                Ok(0) => return Err((written, io::ErrorKind::WriteZero.into())),
                Ok(length) => {
                    written += length;
                    self.is_cut = bytes[written - 1] != b'\n';
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err((written, error)),
            }
        }
        self.out.flush().map_err(|error| (written, error))
    }
}

impl Format {
    /// What the log says of lines that it has not.
    fn notice(self, id: &str, lines: u64, what: &str, why: &str) -> String {
        let said = format!("{lines} log lines {what}: {why}");
        match self {
            Self::Text => format!("WARN wsh_server: {said}\n"),
            Self::Json => json::notice(id, lines, &said),
        }
    }
}

fn count_lines(bytes: &[u8]) -> u64 {
    bytes.iter().filter(|byte| **byte == b'\n').count() as u64
}

impl Log {
    /// Has the file opened again by its name, after whoever turns logs over has renamed it. What is
    /// logged from now on goes there.
    pub fn reopen(&self) {
        self.0.state().reopens = true;
        self.0.changed.notify_all();
    }
}

impl Queue {
    fn state(&self) -> MutexGuard<'_, State> {
        // Bytes in a queue are right whoever panicked while they were added.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for something to do, and moves the bytes out.
    fn take(&self, bytes: &mut Vec<u8>) -> Task {
        let mut state = self.state();
        state.is_writing = false;
        self.changed.notify_all();
        while state.is_idle() {
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        state.is_writing = true;
        std::mem::swap(&mut state.bytes, bytes);
        Task {
            dropped: std::mem::take(&mut state.dropped),
            reopens: std::mem::take(&mut state.reopens),
        }
    }

    fn push(&self, line: &[u8]) {
        let mut state = self.state();
        if state.bytes.len() + line.len() > LOG_QUEUE {
            state.dropped += 1;
        } else {
            state.bytes.extend_from_slice(line);
        }
        self.changed.notify_all();
    }
}

impl State {
    fn is_idle(&self) -> bool {
        self.bytes.is_empty() && self.dropped == 0 && !self.reopens
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        let end = Instant::now() + FLUSH;
        let mut state = self.0.state();
        while state.is_writing || !state.is_idle() {
            let Some(left) = end.checked_duration_since(Instant::now()) else {
                return;
            };
            state = self
                .0
                .changed
                .wait_timeout(state, left)
                .map_or_else(|error| error.into_inner().0, |(state, _)| state);
        }
    }
}

/// One event is written at once, and so is kept or dropped as a whole.
impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'w> MakeWriter<'w> for Lines {
    type Writer = Lines;

    fn make_writer(&'w self) -> Lines {
        self.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Receiver, Sender, channel};

    /// Writes only when it is told to, and tells what it wrote.
    struct Slow(Receiver<()>, Sender<Vec<u8>>);

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.recv().map_err(io::Error::other)?;
            self.1.send(bytes.to_vec()).map_err(io::Error::other)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Sink for Slow {
        fn reopen(&mut self) -> io::Result<()> {
            self.1.send(b"reopened".to_vec()).map_err(io::Error::other)
        }
    }

    #[test]
    fn what_is_logged_after_a_reopen_is_written_after_it() {
        let (go, gone) = channel();
        let (wrote, written) = channel();
        let (mut lines, log) = start(Slow(gone, wrote), Format::Text).expect("a thread");
        let next = || {
            go.send(()).expect("it waits");
            written.recv().expect("bytes")
        };
        lines.write_all(b"one").expect("never an error");
        assert_eq!(next(), b"one");
        log.reopen();
        assert_eq!(written.recv().expect("bytes"), b"reopened");
        lines.write_all(b"two").expect("never an error");
        assert_eq!(next(), b"two");
    }

    /// A disk with room for so many bytes, and what it has taken.
    #[derive(Default, Clone)]
    struct Disk(Arc<Mutex<(usize, Vec<u8>)>>);

    impl Disk {
        fn has_room_for(&self, bytes: usize) {
            self.0.lock().expect("no panic").0 = bytes;
        }

        fn text(&self) -> String {
            String::from_utf8(self.0.lock().expect("no panic").1.clone()).expect("text")
        }
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let (room, taken) = &mut *self.0.lock().expect("no panic");
            let length = bytes.len().min(*room);
            if length == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            *room -= length;
            taken.extend_from_slice(&bytes[..length]);
            Ok(length)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Sink for Disk {
        fn reopen(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_could_not_be_written_is_counted_and_said() {
        let disk = Disk::default();
        let mut writer = Writer::new(disk.clone(), Format::Text);
        disk.has_room_for(6);
        writer.write(b"one\ntwo\nthree\n");
        writer.write(b"four\n");
        // Too little for the word about it: nothing is counted twice, or forgotten.
        disk.has_room_for(3);
        writer.write(b"five\nsix\n");
        disk.has_room_for(1_000);
        writer.write(b"seven\n");
        writer.write(b"eight\n");
        let text = disk.text();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(&lines[..2], ["one", "tw"], "{text}");
        assert!(
            lines[lines.len() - 3].contains(" 5 log lines lost"),
            "{text}"
        );
        assert!(
            lines[lines.len() - 3].contains("no storage space"),
            "{text}"
        );
        assert_eq!(lines[lines.len() - 2..], ["seven", "eight"], "{text}");
    }

    #[test]
    fn what_was_dropped_is_said() {
        let (go, gone) = channel();
        let (wrote, written) = channel();
        let (mut lines, _end) = start(Slow(gone, wrote), Format::Text).expect("a thread");
        let line = [b'x'; 1024];
        for _ in 0..3 * LOG_QUEUE / line.len() {
            lines.write_all(&line).expect("never an error");
        }
        let mut text = Vec::new();
        while !text.ends_with(b"written\n") {
            go.send(()).expect("it waits");
            text.extend(written.recv().expect("bytes"));
        }
        let said = String::from_utf8_lossy(&text);
        assert!(said.contains(" log lines dropped"), "{said:.100}");
        assert!(
            text.len() < 2 * LOG_QUEUE + 4096,
            "{} bytes kept",
            text.len()
        );
    }
}
