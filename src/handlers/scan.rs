//! The folder as it is now: every handler and module with what tells whether it has changed.

use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::path::{LEAVINGS, SUFFIX};
use crate::config;
use crate::script;
use crate::text;

/// What changes when a file does. The change time cannot be set, so a kept modification time does not hide an edit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// Whether there is nothing in the file.
    pub fn is_empty(&self) -> bool {
        self.size == 0
    }

    /// What the file is, whatever it is called: device and inode.
    pub fn inode(&self) -> (u64, u64) {
        (self.device, self.inode)
    }

    /// How long ago the file last changed; zero if its clock is ahead of ours.
    pub fn age(&self) -> Duration {
        let changed = SystemTime::UNIX_EPOCH
            + Duration::new(
                u64::try_from(self.changed.0).unwrap_or(0),
                u32::try_from(self.changed.1).unwrap_or(0),
            );
        changed.elapsed().unwrap_or_default()
    }
}

/// One look: the script files below the root by name, and what could not be taken.
#[derive(Debug, Default)]
pub struct Scan {
    /// Handlers and modules, by name with `/`.
    pub files: BTreeMap<String, (PathBuf, Stamp)>,
    /// Folders that were walked, for watching.
    pub folders: Vec<PathBuf>,
    /// Files that are called like handlers or modules and cannot be, with the reason.
    pub skipped: BTreeMap<String, String>,
}

/// Whether a file is a handler by its name; other scripts are modules.
pub fn is_handler(file: &str) -> bool {
    file.ends_with(SUFFIX)
}

/// Walks the folder. `Err` only if the root itself cannot be read.
pub fn scan(config: &config::Handlers) -> io::Result<Scan> {
    let root = fs::canonicalize(&config.root)?;
    let mut scan = Scan::default();
    let mut walk = |start: &Path, takes| {
        let start = fs::canonicalize(start)?;
        fs::read_dir(&start)?;
        let mut walk = Walk {
            inside: Vec::new(),
            root: &root,
            outside_root: config.outside_root,
            takes,
            scan: &mut scan,
        };
        walk.folder(&start, &name_below(&root, &start).unwrap_or_default());
        io::Result::Ok(())
    };
    match &config.scan_dir {
        None => walk(&root, |_| true)?,
        // Modules may be anywhere below the root, whatever part of it is served.
        Some(folder) => {
            walk(folder, is_handler)?;
            walk(&root, |file| !is_handler(file))?;
        }
    }
    Ok(scan)
}

struct Walk<'a> {
    /// The folders being walked, each inside the one before, by device and inode: a link back to one is a circle.
    inside: Vec<(u64, u64)>,
    root: &'a Path,
    outside_root: bool,
    /// Whether a script of this name is taken.
    takes: fn(&str) -> bool,
    scan: &'a mut Scan,
}

impl Walk<'_> {
    fn folder(&mut self, folder: &Path, name: &str) {
        let (Ok(entries), Ok(metadata)) = (fs::read_dir(folder), fs::metadata(folder)) else {
            return;
        };
        let itself = (metadata.dev(), metadata.ino());
        if self.inside.contains(&itself) {
            return;
        }
        self.inside.push(itself);
        self.scan.folders.push(folder.to_owned());
        for entry in entries.flatten() {
            let Ok(file) = entry.file_name().into_string() else {
                continue;
            };
            if file.starts_with(LEAVINGS) {
                continue;
            }
            let below = if name.is_empty() {
                file.clone()
            } else {
                format!("{name}/{file}")
            };
            let path = entry.path();
            let is_taken = file.ends_with(script::SUFFIX) && (self.takes)(&file);
            match self.kind(&path) {
                Ok(Some(metadata)) if metadata.is_dir() && !is_handler(&file) => {
                    self.folder(&path, &below)
                }
                Ok(Some(metadata)) if is_taken => self.script(below, path, &metadata),
                Ok(None) if is_taken => {
                    let why = "it is a link that leads out of the handler folder; --allow-handlers-outside-root-dir allows it";
                    self.scan.skipped.insert(below, why.into());
                }
                Err(error) if is_taken => {
                    self.scan.skipped.insert(below, error.to_string());
                }
                _ => {}
            }
        }
        self.inside.pop();
    }

    fn script(&mut self, name: String, path: PathBuf, metadata: &Metadata) {
        let kind = metadata.file_type();
        if kind.is_file() {
            self.scan.files.insert(name, (path, Stamp::of(metadata)));
        } else {
            let what = if kind.is_dir() {
                "a folder"
            } else if kind.is_fifo() || kind.is_socket() {
                "a pipe or socket"
            } else {
                "a device"
            };
            self.scan
                .skipped
                .insert(name, format!("it is {what}, not a file"));
        }
    }

    /// What a path leads to; `None` if that is outside the root and may not be.
    fn kind(&self, path: &Path) -> io::Result<Option<Metadata>> {
        let metadata = fs::symlink_metadata(path)?;
        if !metadata.is_symlink() {
            return Ok(Some(metadata));
        }
        let target = fs::canonicalize(path)?;
        if !self.outside_root && !target.starts_with(self.root) {
            return Ok(None);
        }
        fs::metadata(&target).map(Some)
    }
}

/// A path's name below the root, with `/`; `None` if it is not below.
pub fn name_below(root: &Path, path: &Path) -> Option<String> {
    let below = path.strip_prefix(root).ok()?;
    let parts: Option<Vec<_>> = below
        .components()
        .map(|part| part.as_os_str().to_str())
        .collect();
    Some(parts?.join("/"))
}

/// A file's text, of at most `limit` bytes and one more, which shows that there are more.
pub fn read(path: &Path, limit: usize) -> io::Result<String> {
    let mut bytes = Vec::new();
    fs::File::open(path)?
        .take(limit as u64 + 1)
        .read_to_end(&mut bytes)?;
    Ok(text::decode(bytes)?)
}
