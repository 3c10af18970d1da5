//! Regular files, read with a bound, and never waited for: a pipe, a device or a disk that hangs
//! stops nobody.
//!
//! What is read while the server runs is read here. A name may lead to anything by then, whatever
//! it led to at the start.

use std::collections::HashMap;
use std::fs::{self, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel};
use std::thread;
use std::time::Duration;

use crate::text;

/// Timeout for a disk's answer. Network disks that are there answer in tens of milliseconds.
const PATIENCE: Duration = Duration::from_secs(5);

/// Threads that may wait for disks that hang. Beyond it nothing is asked until one of them comes
/// back.
const MOST_STUCK: usize = 16;

/// A regular file's bytes, `limit` and one more at most, which shows that there are more.
pub fn read(path: &Path, limit: usize) -> io::Result<Vec<u8>> {
    // Looked at first, because opening a device can do something to it; and again when it is open.
    regular(&fs::metadata(path)?)?;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)?;
    regular(&file.metadata()?)?;
    let mut bytes = Vec::new();
    file.take(limit as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The same as text. A byte order mark is no part of it.
pub fn read_text(path: &Path, limit: usize) -> io::Result<String> {
    Ok(text::decode(read(path, limit)?)?)
}

fn regular(metadata: &Metadata) -> io::Result<()> {
    match kind(metadata) {
        None => Ok(()),
        Some(what) => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("it is {what}, not a file"),
        )),
    }
}

/// Returns the file type, worded for a message; `None` for a regular file.
pub fn kind(metadata: &Metadata) -> Option<&'static str> {
    let kind = metadata.file_type();
    if kind.is_file() {
        None
    } else if kind.is_dir() {
        Some("a folder")
    } else if kind.is_fifo() || kind.is_socket() {
        Some("a pipe or socket")
    } else {
        Some("a device")
    }
}

type Job = Box<dyn FnOnce() + Send>;

/// A thread that asks disks, with somebody who does not wait for it for ever.
#[derive(Debug, Default)]
pub struct Disk {
    /// Takes the next job, unless the last one hangs.
    thread: Option<Sender<Job>>,
    /// Paths whose job hangs, each with a channel that is disconnected once the job has ended.
    stuck: HashMap<PathBuf, Receiver<()>>,
}

impl Disk {
    /// Returns the result of `work` on a path, run on the disk thread. While that hangs, every
    /// further call for the path fails at once.
    pub fn ask<T: Send + 'static>(
        &mut self,
        path: &Path,
        work: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        self.ask_within(PATIENCE, path, work)
    }

    fn ask_within<T: Send + 'static>(
        &mut self,
        patience: Duration,
        path: &Path,
        work: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        self.stuck
            .retain(|_, ended| ended.try_recv() == Err(TryRecvError::Empty));
        if self.stuck.contains_key(path) || self.stuck.len() >= MOST_STUCK {
            return Err(hangs());
        }
        let (answer, answered) = channel();
        let (alive, ended) = channel::<()>();
        let asked = path.to_owned();
        let job: Job = Box::new(move || {
            let _alive = alive;
            // Whoever asked may have gone on without the answer.
            let _ = answer.send(work(&asked));
        });
        let thread = match self.thread.take() {
            Some(thread) => thread,
            None => start()?,
        };
        let failed = || io::Error::other("the thread that reads has ended");
        thread.send(job).map_err(|_| failed())?;
        match answered.recv_timeout(patience) {
            Ok(result) => {
                self.thread = Some(thread);
                result
            }
            Err(RecvTimeoutError::Timeout) => {
                // The thread ends when its job does: nobody holds its other end any more.
                self.stuck.insert(path.to_owned(), ended);
                Err(hangs())
            }
            Err(RecvTimeoutError::Disconnected) => Err(failed()),
        }
    }
}

fn hangs() -> io::Error {
    let message = "its disk does not answer; it is asked again when it does";
    io::Error::new(io::ErrorKind::TimedOut, message)
}

fn start() -> io::Result<Sender<Job>> {
    let (sender, jobs) = channel::<Job>();
    thread::Builder::new()
        .name("disk".into())
        .spawn(move || jobs.iter().for_each(|job| job()))?;
    Ok(sender)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_regular_files_are_read() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let file = dir.path().join("file");
        fs::write(&file, "\u{feff}text").expect("write");
        assert_eq!(read_text(&file, 100).expect("text"), "text");
        assert_eq!(read(&file, 3).expect("bytes").len(), 4);
        let fifo = dir.path().join("fifo");
        let made = std::process::Command::new("mkfifo").arg(&fifo).status();
        assert!(made.expect("mkfifo").success());
        for (path, what) in [
            (fifo.as_path(), "a pipe or socket"),
            (dir.path(), "a folder"),
            (Path::new("/dev/zero"), "a device"),
        ] {
            let error = read(path, 100).expect_err("no file").to_string();
            assert!(error.contains(what), "{error}");
        }
    }

    #[test]
    fn a_disk_that_hangs_is_left_behind_until_it_answers() {
        let mut disk = Disk::default();
        let (slow, other) = (Path::new("/slow"), Path::new("/other"));
        let (answer, wait) = channel::<()>();
        let hang = move |_: &Path| wait.recv().map_err(io::Error::other);
        let soon = Duration::from_millis(1);
        assert!(timed_out(disk.ask_within(soon, slow, hang)));
        assert!(timed_out(disk.ask(slow, |_| Ok(()))));
        // Others are answered meanwhile.
        assert_eq!(disk.ask(other, |_| Ok(1)).expect("an answer"), 1);
        answer.send(()).expect("it still waits");
        while timed_out(disk.ask(slow, |_| Ok(()))) {
            thread::yield_now();
        }
    }

    fn timed_out(result: io::Result<()>) -> bool {
        result.is_err_and(|error| error.kind() == io::ErrorKind::TimedOut)
    }
}
