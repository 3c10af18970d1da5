//! Ordinary files of the document root: found and opened so that no link leads out, then answered
//! as RFC 9110 has it.
//!
//! All of it waits for the disk, and happens on threads that may.

use std::fs::{File, Metadata};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mime_guess::Mime;

use super::coding::{self, Compressed};
use super::conditions::{Validators, Verdict};
use super::descriptors::Descriptors;
use super::head::{Head, METHODS};
use super::inject;
use super::ranges::Wanted;
use super::respond::Refusal;
use super::response::{Body, Part, Response};
use crate::config::limits::FILES;
use crate::console::SERVED;

/// The document root, and what all workers share of it.
#[derive(Debug)]
pub struct Files {
    /// Path of the document root, resolved.
    root: PathBuf,
    room: Arc<Descriptors>,
    compressed: Compressed,
    /// Whether pages are told when they change.
    injects: bool,
}

/// A file that is open, and so stays what it was checked to be.
struct Document {
    file: File,
    metadata: Metadata,
    kind: Mime,
    resolved: PathBuf,
}

impl Files {
    /// The files below a folder, whose path is resolved.
    pub fn new(root: PathBuf, room: Arc<Descriptors>) -> Self {
        Self {
            root,
            room,
            compressed: Compressed::default(),
            injects: false,
        }
    }

    /// The same for a developer: pages get a script that is told when they change.
    pub fn developed(self, injects: bool) -> Self {
        Self { injects, ..self }
    }

    /// Answers a request for a decoded path.
    pub fn answer(&self, head: &Head, path: &str) -> Result<Response, Refusal> {
        match head.method() {
            "GET" | "HEAD" => {}
            "OPTIONS" => return Ok(Response::new(204).header("Allow", METHODS)),
            _ => return Err(Refusal::new(405, "files are read here").header("Allow", METHODS)),
        }
        let Document {
            file,
            metadata,
            kind,
            resolved,
        } = self.find(head, path)?;
        if self.injects {
            SERVED.note(path, &resolved, &metadata);
            // Browsers that go to it say so; programs, and pages that fetch a part, do not.
            let is_page = kind.essence_str() == "text/html" && head.wants_page();
            if is_page && metadata.len() <= inject::LONGEST {
                return injected(&file, &metadata, &kind);
            }
        }
        let validators = Validators::of(&metadata);
        let length = metadata.len();
        let is_text = coding::is_worth_it(&kind, length);
        let ranges: Vec<_> = head.values("range").collect();
        // A part is one of the file as it is: what is compressed has no tag that says it byte for
        // byte.
        let compressed =
            if is_text && ranges.is_empty() && coding::takes_gzip(head.values("accept-encoding")) {
                let content = || read(&file, 0, length);
                let compressed = self.compressed.of(&metadata, content);
                compressed.map_err(|error| unreadable(&error))?
            } else {
                None
            };
        let is_weak = compressed.is_some();
        let common = |status| {
            let response = Response::new(status).header("Cache-Control", "no-cache");
            let response = match validators.tag(is_weak) {
                Some(tag) => response.header("ETag", tag),
                None => response,
            };
            if is_text {
                response.header("Vary", "Accept-Encoding")
            } else {
                response
            }
        };
        let ranges = match validators.judge(head, is_weak) {
            Verdict::NotModified => return Ok(common(304)),
            Verdict::Failed => {
                return Err(Refusal::new(412, "the file is not what the condition says"));
            }
            Verdict::Go { ranges: false } => Wanted::Whole,
            Verdict::Go { ranges: true } => Wanted::of(&ranges, length),
        };
        let dated = |status| {
            let response = common(status).header("Accept-Ranges", "bytes");
            match validators.modified() {
                Some(date) => response.header("Last-Modified", date),
                None => response,
            }
        };
        let typed = |response: Response| {
            let response = response.header("Content-Type", kind.as_ref());
            response.header("X-Content-Type-Options", "nosniff")
        };
        match ranges {
            Wanted::Unsatisfiable => {
                let refusal = Refusal::new(416, format!("the file has {length} bytes"));
                Err(refusal.header("Content-Range", format!("bytes */{length}")))
            }
            Wanted::Whole => match compressed {
                Some(bytes) => {
                    Ok(typed(dated(200))
                        .header("Content-Encoding", "gzip")
                        .with(Body {
                            parts: vec![Part::Shared(bytes)],
                            file: None,
                        }))
                }
                None if head.method() == "HEAD" => {
                    // Never read: the length alone is told.
                    let parts = vec![Part::File(0..length)];
                    Ok(typed(dated(200)).with(Body { parts, file: None }))
                }
                None => {
                    let body = self.body(file, vec![Part::File(0..length)])?;
                    Ok(typed(dated(200)).with(body))
                }
            },
            Wanted::Parts(parts) => match &parts[..] {
                [part] => {
                    let said = content_range(part, length);
                    let body = self.body(file, vec![Part::File(part.clone())])?;
                    Ok(typed(dated(206)).header("Content-Range", said).with(body))
                }
                _ => {
                    // Twice 64 random bits: no file has it in a line of its own.
                    let boundary = format!("{:016x}{:016x}", fastrand::u64(..), fastrand::u64(..));
                    let mut multiple = Vec::new();
                    for part in &parts {
                        let said = content_range(part, length);
                        let head = format!(
                            "\r\n--{boundary}\r\nContent-Type: {kind}\r\nContent-Range: \
                            {said}\r\n\r\n"
                        );
                        multiple.push(Part::Bytes(head.into_bytes().into()));
                        multiple.push(Part::File(part.clone()));
                    }
                    let end = format!("\r\n--{boundary}--\r\n");
                    multiple.push(Part::Bytes(end.into_bytes().into()));
                    let body = self.body(file, multiple)?;
                    let kind = format!("multipart/byteranges; boundary={boundary}");
                    Ok(dated(206).header("Content-Type", kind).with(body))
                }
            },
        }
    }

    /// Parts of a file: read at once if they are short, so that nothing is held; otherwise the file
    /// counts as a connection does.
    fn body(&self, file: File, parts: Vec<Part>) -> Result<Body, Refusal> {
        let body = Body { parts, file: None };
        if body.len() <= FILES.chunk as u64 {
            let parts = body.parts.into_iter().map(|part| match part {
                Part::File(range) => read(&file, range.start, range.end - range.start)
                    .map(|bytes| Part::Bytes(bytes.into())),
                other => Ok(other),
            });
            let parts = parts.collect::<io::Result<_>>();
            let parts = parts.map_err(|error| unreadable(&error))?;
            return Ok(Body { parts, file: None });
        }
        let Some(held) = self.room.hold() else {
            let refusal = Refusal::new(503, "the server sends as many files as it can");
            return Err(refusal.limit("max-connections").with_retry_after());
        };
        Ok(Body {
            file: Some((Arc::new(file), held)),
            ..body
        })
    }

    /// Finds a file: nothing hidden, no handler source, nothing that a link leads out of the root.
    fn find(&self, head: &Head, path: &str) -> Result<Document, Refusal> {
        let root = &self.root;
        let missing = || Refusal::new(404, "nothing has this path");
        if path.split('/').any(is_hidden) {
            return Err(missing());
        }
        let mut wanted = root.join(path.trim_start_matches('/'));
        let is_below = |path: &Path| {
            let resolved = path.canonicalize();
            resolved.is_ok_and(|resolved| resolved.starts_with(root))
        };
        if wanted.is_dir() {
            if !is_below(&wanted) {
                return Err(missing());
            }
            if !path.ends_with('/') {
                let query = head
                    .query()
                    .map_or(String::new(), |query| format!("?{query}"));
                let there = format!("{}/{query}", head.path());
                return Err(Refusal::new(308, "this is a folder").header("Location", there));
            }
            wanted.push("index.html");
        }
        let (file, metadata, resolved) = open(&wanted).map_err(|error| match error.kind() {
            // Somebody's secret outside is not even known to be there.
            io::ErrorKind::PermissionDenied if !is_below(&wanted) => missing(),
            _ => unreadable(&error),
        })?;
        let below = resolved.strip_prefix(root).map_err(|_| missing())?;
        if below.iter().any(|part| part.to_str().is_none_or(is_hidden)) {
            return Err(missing());
        }
        Ok(Document {
            file,
            metadata,
            kind: kind(&resolved),
            resolved,
        })
    }
}

/// A page with the script: all of it, whatever was asked for, since no other tool is to keep it.
fn injected(file: &File, metadata: &Metadata, kind: &Mime) -> Result<Response, Refusal> {
    let page = read(file, 0, metadata.len()).map_err(|error| unreadable(&error))?;
    Ok(Response::new(200)
        .header("Content-Type", kind.as_ref())
        .header("Cache-Control", "no-store")
        .header("X-Content-Type-Options", "nosniff")
        .with(Body::of(inject::inject(page))))
}

fn content_range(part: &std::ops::Range<u64>, length: u64) -> String {
    format!("bytes {}-{}/{length}", part.start, part.end - 1)
}

/// Returns the refusal for a file that cannot be opened or read: 404 only if it is not there.
fn unreadable(error: &io::Error) -> Refusal {
    match error.raw_os_error() {
        Some(libc::EMFILE | libc::ENFILE) => {
            let refusal = Refusal::new(503, "the server has too many files open");
            let refusal = refusal.named(OPEN_FILES).with_retry_after();
            refusal.advising("; raise the open-file limit (ulimit -n)")
        }
        Some(libc::ENOMEM) => Refusal::new(503, "the server has no memory left").with_retry_after(),
        Some(libc::EACCES | libc::EPERM) => {
            Refusal::new(403, "the server may not read this file").named("unreadable")
        }
        Some(libc::EIO | libc::ESTALE) => Refusal::new(500, "the file cannot be read"),
        None if error.kind() == io::ErrorKind::UnexpectedEof => {
            Refusal::new(503, "the file is being written").with_retry_after()
        }
        _ => Refusal::new(404, "nothing has this path"),
    }
}

/// By which logs and counters know that descriptors have run out.
pub const OPEN_FILES: &str = "open-files";

/// So many bytes from there on.
fn read(file: &File, at: u64, count: u64) -> io::Result<Vec<u8>> {
    let count = usize::try_from(count).map_err(io::Error::other)?;
    let mut bytes = vec![0; count];
    file.read_exact_at(&mut bytes, at)?;
    Ok(bytes)
}

/// The content type by the file's name; text here is UTF-8.
fn kind(path: &Path) -> Mime {
    let kind = mime_guess::from_path(path).first_or_octet_stream();
    let with_charset = format!("{kind}; charset=utf-8").parse();
    if kind.type_() == "text" {
        with_charset.unwrap_or(kind)
    } else {
        kind
    }
}

fn is_hidden(part: &str) -> bool {
    part.starts_with('.') || part.to_ascii_lowercase().contains(".rhai")
}

/// Opens a regular file, and says where it really is: asked of the descriptor, so that no link can
/// be changed between the question and the answer.
fn open(path: &Path) -> io::Result<(File, Metadata, PathBuf)> {
    // Without waiting for a pipe's other end.
    let file = File::options()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::ErrorKind::NotFound.into());
    }
    let resolved = std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd()))?;
    Ok((file, metadata, resolved))
}
