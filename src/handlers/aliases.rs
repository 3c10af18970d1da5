//! The map file: further paths for handlers, in pywebsocket's format.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::{LONGEST, STILL};
use crate::file::{self, Disk};
use crate::script::{Fault, Location};

/// Bytes of a map file: some ten thousand lines.
const MOST: usize = 1024 * 1024;

/// A line of a map file: a path, and the path whose handler it shares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alias {
    /// The path that is another's.
    pub path: String,
    /// A path of a handler.
    pub existing: String,
    file: String,
    location: Location,
}

/// The map file as it was read last.
#[derive(Debug, Default)]
pub struct MapFile {
    path: Option<PathBuf>,
    /// The aliases in force.
    pub aliases: Vec<Alias>,
    /// Faults of the file as a whole, or of its lines.
    pub faults: Vec<Fault>,
    /// The text that was parsed last, or why it could not be read.
    text: Option<Result<String, String>>,
    /// A newer text that is not taken yet, and when it was first read: it may be half of what
    /// somebody writes.
    coming: Option<(Result<String, String>, Instant)>,
}

impl MapFile {
    /// A file that has not been read.
    pub fn new(path: Option<PathBuf>) -> Self {
        Self {
            path,
            ..Self::default()
        }
    }

    /// Reads it as it stands.
    pub fn read(&mut self, disk: &mut Disk) {
        if let Some(path) = self.path.clone() {
            let text = read(&path, disk);
            self.take(&path, text);
        }
    }

    /// Reads it again. What is new counts when it was found twice: whether that is so now, and how
    /// soon to look again.
    pub fn look(&mut self, disk: &mut Disk) -> (bool, Option<Duration>) {
        let Some(path) = self.path.clone() else {
            return (false, None);
        };
        let text = read(&path, disk);
        if self.text.as_ref() == Some(&text) {
            self.coming = None;
            return (false, None);
        }
        let since = match &self.coming {
            Some((coming, since)) if *coming == text => *since,
            _ => Instant::now(),
        };
        // Whoever saves in place cuts a file to nothing first, and may be held up before it writes.
        let is_begun = text.as_ref().is_ok_and(String::is_empty);
        let rest = if is_begun { LONGEST } else { STILL };
        let left = rest.saturating_sub(since.elapsed());
        if !left.is_zero() {
            self.coming = Some((text, since));
            return (false, Some(left));
        }
        self.coming = None;
        self.take(&path, text);
        (true, None)
    }

    fn take(&mut self, path: &Path, text: Result<String, String>) {
        let file = path.display().to_string();
        match &text {
            Ok(text) => (self.aliases, self.faults) = parse(&file, text),
            Err(error) => {
                let message = format!("{error}; the aliases read before go on");
                self.faults = vec![Fault::of_file(&file, message).into_warning()];
            }
        }
        self.text = Some(text);
    }
}

impl Alias {
    /// Returns the fault of an alias whose existing path no handler serves.
    pub fn dangling(&self) -> Fault {
        let (path, existing) = (&self.path, &self.existing);
        let message = format!("the alias {path} is for {existing}, which no handler serves");
        at(&self.file, self.location.clone(), message)
    }
}

fn read(path: &Path, disk: &mut Disk) -> Result<String, String> {
    let text = disk.ask(path, |path| file::read_text(path, MOST));
    let text = text.map_err(|error| error.to_string())?;
    if text.len() > MOST {
        return Err(format!("it has more than {MOST} bytes"));
    }
    Ok(text)
}

/// An alias and an existing path a line; `#` begins a comment line. A later alias may be for an
/// earlier one. Lines of another shape are faults.
fn parse(file: &str, text: &str) -> (Vec<Alias>, Vec<Fault>) {
    let (mut aliases, mut faults) = (Vec::new(), Vec::new());
    for (number, line) in text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.starts_with('#') && !line.trim().is_empty())
    {
        let location = Location {
            line: number + 1,
            column: 1,
            text: line.into(),
        };
        let words: Vec<_> = line.split_whitespace().collect();
        match words[..] {
            [alias, existing] if alias.starts_with('/') && existing.starts_with('/') => {
                aliases.push(Alias {
                    path: alias.to_owned(),
                    existing: existing.to_owned(),
                    file: file.to_owned(),
                    location,
                });
            }
            _ => {
                let message = "this line is not two paths, /alias /existing".to_owned();
                faults.push(at(file, location, message));
            }
        }
    }
    (aliases, faults)
}

fn at(file: &str, location: Location, message: String) -> Fault {
    Fault {
        location: Some(location),
        ..Fault::of_file(file, message).into_warning()
    }
}
