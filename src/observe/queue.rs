//! Log lines on their way out: a bounded queue and a thread that writes, so that whoever reads the log, or does not, or a
//! disk that is full, never holds up a worker. What does not fit is dropped and counted.

use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tracing_subscriber::fmt::MakeWriter;

use crate::config::limits::LOG_QUEUE;

/// How long the end of the program waits for lines to be written.
const FLUSH: Duration = Duration::from_millis(500);

/// The queue's end for whoever logs.
#[derive(Debug, Clone)]
pub struct Lines(Arc<Queue>);

/// Dropped, it waits until what was logged is written, for a while.
#[derive(Debug)]
#[must_use = "lines that are in the queue at the end of the program are lost without it"]
pub struct Written(Arc<Queue>);

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
}

/// Starts the thread that writes to `out`, whose errors are nobody's: there is no other place to tell of them.
pub fn start(mut out: impl Write + Send + 'static) -> io::Result<(Lines, Written)> {
    let queue = Arc::new(Queue::default());
    let writing = Arc::clone(&queue);
    std::thread::Builder::new()
        .name("log".into())
        .spawn(move || {
            let mut bytes = Vec::new();
            loop {
                let dropped = writing.take(&mut bytes);
                if dropped > 0 {
                    let _ = writeln!(
                        bytes,
                        "WARN wsh_server: {dropped} log lines dropped: they came faster than they could be written"
                    );
                }
                let _ = out.write_all(&bytes).and_then(|()| out.flush());
                bytes.clear();
                bytes.shrink_to(LOG_QUEUE / 16);
            }
        })?;
    Ok((Lines(Arc::clone(&queue)), Written(queue)))
}

impl Queue {
    fn state(&self) -> MutexGuard<'_, State> {
        // Bytes in a queue are right whoever panicked while they were added.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for bytes and moves them out; how many lines had no place beside them.
    fn take(&self, bytes: &mut Vec<u8>) -> u64 {
        let mut state = self.state();
        state.is_writing = false;
        self.changed.notify_all();
        while state.bytes.is_empty() && state.dropped == 0 {
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        state.is_writing = true;
        std::mem::swap(&mut state.bytes, bytes);
        std::mem::take(&mut state.dropped)
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

impl Drop for Written {
    fn drop(&mut self) {
        let end = Instant::now() + FLUSH;
        let mut state = self.0.state();
        while state.is_writing || !state.bytes.is_empty() || state.dropped > 0 {
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

    #[test]
    fn what_was_dropped_is_said() {
        let (go, gone) = channel();
        let (wrote, written) = channel();
        let (mut lines, _end) = start(Slow(gone, wrote)).expect("a thread");
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
