//! Sinks of log lines: a file that is opened again when it was renamed, or standard error.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The sink that a queue's lines are written to.
pub trait Sink: Write + Send + 'static {
    /// Whatever has this name now gets the lines from here on; one that cannot be opened changes
    /// nothing.
    fn reopen(&mut self) -> io::Result<()>;
}

/// A file to whose end lines are added.
#[derive(Debug)]
pub struct LogFile {
    /// Absolute: the name means the same file wherever the process goes.
    path: PathBuf,
    file: File,
}

impl LogFile {
    /// Opens it, or makes it.
    pub fn open(path: &Path) -> Result<Self> {
        let open = || {
            let path = std::path::absolute(path)?;
            let file = append(&path)?;
            io::Result::Ok(Self { path, file })
        };
        open().with_context(|| {
            format!(
                "the log file {} cannot be written: give --log-file another",
                path.display()
            )
        })
    }
}

fn append(path: &Path) -> io::Result<File> {
    File::options().append(true).create(true).open(path)
}

impl Write for LogFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Sink for LogFile {
    fn reopen(&mut self) -> io::Result<()> {
        self.file = append(&self.path)?;
        Ok(())
    }
}

/// The standard error of the process, which whoever started it keeps.
#[derive(Debug)]
pub struct StandardError;

impl Write for StandardError {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        io::stderr().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

impl Sink for StandardError {
    fn reopen(&mut self) -> io::Result<()> {
        Ok(())
    }
}
