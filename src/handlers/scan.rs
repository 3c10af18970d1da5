//! The folder as it is now: every handler and module with what tells whether it has changed.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs::{self, DirEntry, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::near::NearMisses;
use super::path::IGNORED_PREFIXES;
use super::{is_handler, is_test};
use crate::config;
use crate::file::{self, Disk};
use crate::observe::is_printable;
use crate::script::{self, Fault};

/// Folders inside each other. A path costs its length at every look, and nobody has handlers that
/// deep.
const DEPTH: usize = 64;
/// Folders that are walked: links between folders can multiply them without end.
const FOLDERS: usize = 100_000;

/// File metadata that changes when a file does. The change time cannot be set, so a kept
/// modification time does not hide an edit.
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

    /// Returns the identity of the file, whatever it is called: device and inode.
    pub fn inode(&self) -> (u64, u64) {
        (self.device, self.inode)
    }

    /// Returns the time since the file last changed; zero if its clock is ahead of ours.
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
    /// The root that names are relative to, resolved, and the device that it is on.
    root: PathBuf,
    device: u64,
    /// Handlers and modules, by name with `/`.
    pub files: BTreeMap<String, Stamp>,
    /// Folders outside the root that links have led to, for watching.
    pub outside: BTreeSet<PathBuf>,
    /// Files that are called like handlers or modules and cannot be, with the reason.
    pub skipped: BTreeMap<String, String>,
    /// Folders that cannot be looked into, with the reason: nobody knows what is in them.
    pub unreadable: BTreeMap<String, String>,
    /// Names that no path can have, and folders that are too deep or too many.
    pub passed: Vec<Fault>,
    /// Files that were probably meant as handlers.
    pub near: NearMisses,
}

impl Scan {
    /// Returns the path of a file, from its name below the root.
    pub fn path(&self, file: &str) -> PathBuf {
        self.root.join(file)
    }

    /// Whether a file is on the root's own disk.
    pub fn is_at_home(&self, stamp: &Stamp) -> bool {
        stamp.device == self.device
    }

    /// Whether a file that was not found may be there all the same.
    pub fn may_have(&self, file: &str) -> bool {
        let mut above = file.match_indices('/').map(|(at, _)| &file[..at]);
        self.skipped.contains_key(file) || above.any(|folder| self.unreadable.contains_key(folder))
    }

    /// Looks at some files again, and at nothing else. `false` if that does not tell enough.
    pub fn refresh<'f>(&mut self, files: impl Iterator<Item = &'f str>) -> bool {
        for file in files {
            match fs::symlink_metadata(self.path(file)) {
                Ok(metadata) if metadata.is_file() => {
                    self.files.insert(file.to_owned(), Stamp::of(&metadata));
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    self.files.remove(file);
                }
                _ => return false,
            }
        }
        true
    }
}

/// Walks the folder. `Err` only if the root itself cannot be read.
pub fn scan(config: &config::Handlers, disk: &mut Disk) -> io::Result<Scan> {
    let root = fs::canonicalize(&config.root)?;
    let mut scan = Scan {
        device: fs::metadata(&root)?.dev(),
        root: root.clone(),
        ..Scan::default()
    };
    let mut walk = |start: &Path, takes| {
        let start = fs::canonicalize(start)?;
        fs::read_dir(&start)?;
        let metadata = fs::metadata(&start)?;
        let mut walk = Walk {
            inside: Vec::new(),
            root: &root,
            outside_root: config.outside_root,
            takes,
            folders: 0,
            disk,
            scan: &mut scan,
        };
        let name = name_below(&root, &start).unwrap_or_default();
        walk.folder(&start, name, &metadata);
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
    if let Some(alone) = &config.alone {
        scan.files
            .retain(|file, _| !is_handler(file) || file == alone);
    }
    Ok(scan)
}

struct Walk<'a> {
    /// The folders being walked, each inside the one before, by device and inode: a link back to
    /// one is a circle.
    inside: Vec<(u64, u64)>,
    root: &'a Path,
    outside_root: bool,
    /// Whether a script of this name is taken.
    takes: fn(&str) -> bool,
    folders: usize,
    disk: &'a mut Disk,
    scan: &'a mut Scan,
}

/// The target of a directory entry.
enum Target {
    /// The entry itself, which is no link.
    Here(Metadata),
    /// Something else, where that is.
    Linked(PathBuf, Metadata),
    /// Something outside the root, which may not be.
    Outside,
}

impl Walk<'_> {
    fn folder(&mut self, folder: &Path, name: String, metadata: &Metadata) {
        let itself = (metadata.dev(), metadata.ino());
        if self.inside.contains(&itself) {
            return;
        }
        self.folders += 1;
        if self.inside.len() > DEPTH || self.folders > FOLDERS {
            let why = if self.inside.len() > DEPTH {
                format!("folders may be {DEPTH} deep")
            } else {
                format!("{FOLDERS} folders are looked at")
            };
            // The first one tells enough.
            if !self
                .scan
                .passed
                .iter()
                .any(|known| known.message.ends_with(&why))
            {
                self.pass(
                    &name,
                    &format!("is not looked into, nor others like it: {why}"),
                );
            }
            return;
        }
        let entries: io::Result<Vec<_>> = fs::read_dir(folder).and_then(Iterator::collect);
        let entries = match entries {
            Ok(entries) => entries,
            // It was deleted after its name was read.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return,
            Err(error) => {
                self.scan.unreadable.insert(name, error.to_string());
                return;
            }
        };
        if !folder.starts_with(self.root) {
            self.scan.outside.insert(folder.to_owned());
        }
        self.inside.push(itself);
        for entry in entries {
            self.entry(folder, &name, &entry);
        }
        self.inside.pop();
    }

    fn entry(&mut self, folder: &Path, above: &str, entry: &DirEntry) {
        let raw = entry.file_name();
        let kind = entry.file_type();
        let is_file = kind.as_ref().is_ok_and(fs::FileType::is_file);
        let is_script = raw.as_encoded_bytes().ends_with(script::SUFFIX.as_bytes());
        if IGNORED_PREFIXES
            .iter()
            .any(|c| raw.as_encoded_bytes()[0] == *c as u8)
        {
            return;
        }
        if is_file && !is_script {
            if let Some(name) = raw.to_str().filter(|name| is_reachable(name)) {
                self.scan.near.note(above, name);
            }
            return;
        }
        let below = |name: &str| match above {
            "" => name.to_owned(),
            above => format!("{above}/{name}"),
        };
        let Some(name) = raw.to_str().filter(|name| is_reachable(name)) else {
            if is_script || kind.is_ok_and(|kind| kind.is_dir()) {
                let why = match raw.to_str() {
                    None => "is passed over: its name is not UTF-8",
                    Some(_) => {
                        "is passed over: its name has a backslash or a control character, which no \
                        path may have"
                    }
                };
                self.pass(&below(&shown(&raw)), why);
            }
            return;
        };
        let is_taken = is_script && (self.takes)(name);
        match self.target(folder, entry) {
            Ok(Target::Here(metadata)) if metadata.is_dir() && !is_handler(name) => {
                self.folder(&folder.join(name), below(name), &metadata);
            }
            Ok(Target::Linked(path, metadata)) if metadata.is_dir() && !is_handler(name) => {
                self.folder(&path, below(name), &metadata);
            }
            Ok(Target::Here(metadata) | Target::Linked(_, metadata)) if is_taken => {
                if !is_handler(name) && !is_test(name) {
                    self.scan.near.note(above, name);
                }
                self.script(below(name), &metadata);
            }
            Ok(Target::Outside) if is_taken => {
                let why = "it is a link that leads out of the handler folder; \
                    --allow-handlers-outside-root-dir allows it";
                self.scan.skipped.insert(below(name), why.into());
            }
            // It was deleted after its name was read.
            Err(error) if error.kind() == io::ErrorKind::NotFound && is_file => {}
            Err(error) if is_taken => {
                self.scan.skipped.insert(below(name), error.to_string());
            }
            // Links that lead nowhere are locks and leavings.
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                self.scan.unreadable.insert(below(name), error.to_string());
            }
            _ => {}
        }
    }

    fn script(&mut self, name: String, metadata: &Metadata) {
        match file::kind(metadata) {
            None => {
                self.scan.files.insert(name, Stamp::of(metadata));
            }
            Some(what) => {
                let why = format!("it is {what}, not a file");
                self.scan.skipped.insert(name, why);
            }
        }
    }

    /// Resolves a directory entry. Only the target of a link may be on a disk that does not answer.
    fn target(&mut self, folder: &Path, entry: &DirEntry) -> io::Result<Target> {
        let metadata = entry.metadata()?;
        if !metadata.is_symlink() {
            return Ok(Target::Here(metadata));
        }
        let path = folder.join(entry.file_name());
        let (target, metadata) = self.disk.ask(&path, |path| {
            let target = fs::canonicalize(path)?;
            let metadata = fs::metadata(&target)?;
            Ok((target, metadata))
        })?;
        if !self.outside_root && !target.starts_with(self.root) {
            return Ok(Target::Outside);
        }
        Ok(Target::Linked(target, metadata))
    }

    fn pass(&mut self, name: &str, why: &str) {
        let message = format!("{name} {why}");
        let fault = Fault::of_file(name, message).into_warning();
        self.scan.passed.push(fault);
    }
}

/// Whether a request can have this name in its path, and a terminal can show it.
fn is_reachable(name: &str) -> bool {
    name.chars().all(|c| c != '\\' && is_printable(c))
}

/// A name for people, with what is no text and what a terminal would obey escaped.
fn shown(name: &OsStr) -> String {
    let quoted = format!("{name:?}");
    quoted.trim_matches('"').to_owned()
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
