//! A bar for whoever waits at a terminal.

use std::io::{IsTerminal, Write, stderr};
use std::time::{Duration, Instant};

/// How long nobody needs one.
const SHORT: Duration = Duration::from_secs(1);
/// How often it is drawn.
const PACE: Duration = Duration::from_millis(100);
/// Its columns.
const WIDTH: usize = 40;

/// A bar.
pub struct Progress {
    all: usize,
    done: usize,
    /// When it is drawn next; `None`: nobody looks.
    due: Option<Instant>,
    is_drawn: bool,
}

impl Progress {
    /// A bar for so many steps, where standard error is a terminal.
    pub fn new(all: usize) -> Self {
        Self {
            all,
            done: 0,
            due: stderr().is_terminal().then(|| Instant::now() + SHORT),
            is_drawn: false,
        }
    }

    /// A step is done.
    pub fn step(&mut self) {
        self.done += 1;
        let now = Instant::now();
        if self.due.is_some_and(|due| due <= now) {
            self.due = Some(now + PACE);
            self.is_drawn = true;
            let full = "#".repeat(self.done * WIDTH / self.all.max(1));
            let _ = write!(stderr(), "\r[{full:WIDTH$}] {}/{}", self.done, self.all);
        }
    }

    /// All are.
    pub fn end(&mut self) {
        if self.is_drawn {
            let _ = write!(stderr(), "\r\x1b[K");
        }
    }
}
