//! Files of the handler folder as scripts read them: fixtures, answers too long to be written down.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use rhai::{Blob, EvalAltResult, ImmutableString};
use tokio::sync::Semaphore;

use crate::config::Fixtures;
use crate::config::limits::FILES;
use crate::file;
use crate::machine::error::throw;
use crate::machine::host::{Allowed, Function, Package};
use crate::machine::meter;
use crate::script::caller;

type Result<T> = std::result::Result<T, Box<EvalAltResult>>;

/// `file`.
pub const PACKAGE: Package = Package {
    name: "files",
    about: "Files of the handler folder, where `--allow-files` lets a script read them.",
    functions: &[Function {
        signatures: &["file(path: string) -> blob"],
        about: "The bytes of a file below the handler folder, such as `file(\"fixtures/a.bin\")`; \
            `.as_string()` makes text of them. It is read again when it has changed. A path has no \
            `..`, no name that begins with a dot, and no link that leads out of the folder.",
        throws: &[(
            "file",
            "without `--allow-files`, for a path that leads elsewhere, and for what is no \
                 file, cannot be read, or is longer than a message may be (`--max-message`)",
        )],
        allowed: Allowed::Everywhere,
        example: "try {\n    ws.send(file(\"fixtures/hello.bin\"));\n} catch (e) {\n    \
                  ws.send(e.kind); // => file\n}",
        register: |engine, host| {
            let shelf = host.settings.files.clone().map(|fixtures| {
                let limit = host.settings.max_message;
                Rc::new(Reader::new(fixtures, limit))
            });
            engine.register_fn("file", move |path: ImmutableString| match &shelf {
                Some(reader) => read(reader, &path),
                None => throw(
                    "file",
                    "scripts may not read files: --allow-files lets them read those of the \
                     handler folder",
                ),
            });
        },
    }],
};

/// The files that a worker's scripts have read.
struct Reader {
    fixtures: Arc<Fixtures>,
    /// Bytes of a file, and of all that are kept.
    limit: usize,
    known: RefCell<HashMap<String, Known>>,
    /// Threads of the worker that wait for the disk.
    turns: Arc<Semaphore>,
}

/// A file as it was read.
#[derive(Clone)]
struct Known {
    stamp: Stamp,
    bytes: Arc<[u8]>,
}

/// What changes when a file does: device, inode, size, and the time of its last change, which
/// nobody can set.
type Stamp = (u64, u64, u64, i64, i64);

impl Reader {
    fn new(fixtures: Arc<Fixtures>, limit: usize) -> Self {
        Self {
            fixtures,
            limit,
            known: RefCell::default(),
            turns: Arc::new(Semaphore::new(FILES.at_once)),
        }
    }

    /// Keeps a file's bytes; those of others go if there are too many.
    fn keep(&self, path: &str, known: Known) {
        let mut all = self.known.borrow_mut();
        all.remove(path);
        let held: usize = all.values().map(|known| known.bytes.len()).sum();
        if held + known.bytes.len() > self.limit {
            all.clear();
        }
        all.insert(path.to_owned(), known);
    }
}

fn read(reader: &Rc<Reader>, path: &str) -> Result<Blob> {
    if caller::hook().is_none() {
        return throw("file", "file is there in hooks, not at the top level");
    }
    if !is_below(path) {
        return throw(
            "file",
            format!(
                "{path:?} is no path of a file below the handler folder: write it as in \
                 fixtures/a.bin, without .. and without names that begin with a dot"
            ),
        );
    }
    let known = reader.known.borrow().get(path).cloned();
    let (fixtures, limit) = (Arc::clone(&reader.fixtures), reader.limit);
    let (name, turns) = (path.to_owned(), Arc::clone(&reader.turns));
    let found = meter::until(async move {
        let _turn = turns.acquire().await;
        let look = move || look(&fixtures, &name, known, limit);
        let looked = tokio::task::spawn_blocking(look).await;
        looked.unwrap_or_else(|error| Err(io::Error::other(error)))
    })?;
    match found {
        Ok(known) => {
            let bytes = known.bytes.to_vec();
            meter::exempt(|| reader.keep(path, known));
            Ok(bytes)
        }
        Err(error) => throw("file", format!("{path}: {error}")),
    }
}

/// Whether a path stays below the folder, as far as its names tell.
fn is_below(path: &str) -> bool {
    let is_name =
        |name: &str| !name.is_empty() && !name.starts_with('.') && !name.contains(['\\', '\0']);
    path.split('/').all(is_name)
}

/// The file as it is now, read unless it is known so.
fn look(fixtures: &Fixtures, name: &str, known: Option<Known>, limit: usize) -> io::Result<Known> {
    let path = place(fixtures, name)?;
    let stamp = stamp(&path)?;
    if let Some(known) = known.filter(|known| known.stamp == stamp) {
        return Ok(known);
    }
    let bytes = file::read(&path, limit)?;
    if bytes.len() > limit {
        return Err(io::Error::other(format!(
            "it is longer than {limit} bytes, the longest message (--max-message)"
        )));
    }
    Ok(Known {
        stamp,
        bytes: bytes.into(),
    })
}

/// Where a file really is, which is below the folder.
fn place(fixtures: &Fixtures, name: &str) -> io::Result<PathBuf> {
    let root = fs::canonicalize(&fixtures.root)?;
    let path = fs::canonicalize(root.join(name))?;
    match path.starts_with(&root) || fixtures.outside_root {
        true => Ok(path),
        false => Err(io::Error::other(
            "it is a link that leads out of the handler folder; \
             --allow-handlers-outside-root-dir allows it",
        )),
    }
}

fn stamp(path: &Path) -> io::Result<Stamp> {
    let it = fs::metadata(path)?;
    Ok((it.dev(), it.ino(), it.size(), it.ctime(), it.ctime_nsec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_stays_below_the_folder() {
        for path in ["a", "fixtures/a.bin", "a/b/c", "ü/数"] {
            assert!(is_below(path), "{path:?}");
        }
        for path in [
            "",
            "/etc/passwd",
            "..",
            "../a",
            "a/../b",
            "a//b",
            "a/",
            ".env",
            "a/.git/b",
            "a\\b",
        ] {
            assert!(!is_below(path), "{path:?}");
        }
    }

    #[test]
    fn a_link_out_is_no_way_out() {
        let dir = tempfile::tempdir().expect("a folder");
        let root = dir.path().join("handlers");
        fs::create_dir(&root).expect("made");
        fs::write(dir.path().join("secret"), "s").expect("written");
        fs::write(root.join("mine"), "mine").expect("written");
        let link = |to: &str, name: &str| {
            std::os::unix::fs::symlink(to, root.join(name)).expect("linked");
        };
        link("../secret", "out");
        link("..", "up");
        link("mine", "in");
        let fixtures = |outside_root| Fixtures {
            root: root.clone(),
            outside_root,
        };
        let text = |fixtures: &Fixtures, name: &str| {
            let known = look(fixtures, name, None, 4)?;
            io::Result::Ok(String::from_utf8_lossy(&known.bytes).into_owned())
        };
        let closed = fixtures(false);
        assert_eq!(text(&closed, "mine").expect("read"), "mine");
        assert_eq!(text(&closed, "in").expect("read"), "mine");
        for name in ["out", "up/secret", "missing", "mine/x", ""] {
            assert!(text(&closed, name).is_err(), "{name}");
        }
        assert_eq!(text(&fixtures(true), "up/secret").expect("read"), "s");
        fs::write(root.join("mine"), "longer").expect("written");
        assert!(text(&closed, "mine").is_err(), "over 4 bytes");
    }
}
