//! Compression of text files: whether a client takes it, RFC 9110 section 12.5.3, and what was
//! compressed, kept.

use std::collections::HashMap;
use std::fs::Metadata;
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::sync::{Arc, Mutex, PoisonError};

use flate2::Compression;
use flate2::write::GzEncoder;
use mime_guess::Mime;

/// Bytes of a file that is worth it, and of one that is compressed in a moment: about 50 ms.
const SIZES: std::ops::RangeInclusive<u64> = 256..=4 * 1024 * 1024;
/// Bytes of compressed files that are kept for all workers together, in memory that whoever reads
/// slowly shares.
const KEPT: usize = 16 * 1024 * 1024;

/// Whether a file of this kind and size gets smaller.
pub fn is_worth_it(kind: &Mime, length: u64) -> bool {
    let subtype = kind.subtype().as_str();
    let is_text = kind.type_() == "text"
        || kind
            .suffix()
            .is_some_and(|suffix| suffix == "xml" || suffix == "json")
        || matches!(
            subtype,
            "javascript" | "json" | "xml" | "wasm" | "x-javascript" | "manifest+json"
        );
    is_text && SIZES.contains(&length)
}

/// Whether these `Accept-Encoding` lines prefer gzip to the file as it is.
pub fn takes_gzip<'h>(lines: impl Iterator<Item = &'h str>) -> bool {
    let (mut gzip, mut identity, mut any) = (None, None, None);
    for element in lines.flat_map(|line| line.split(',')) {
        let mut parts = element
            .split(';')
            .map(|part| part.trim_matches([' ', '\t']));
        let coding = parts.next().unwrap_or_default();
        let Some(weight) = parts.try_fold(1000, |_, part| weight(part)) else {
            continue;
        };
        let place = match coding.to_ascii_lowercase().as_str() {
            "gzip" | "x-gzip" => &mut gzip,
            "identity" => &mut identity,
            "*" => &mut any,
            _ => continue,
        };
        *place = Some(weight);
    }
    let gzip = gzip.or(any).unwrap_or(0);
    gzip > 0 && gzip >= identity.unwrap_or(0)
}

/// A `q=0.5`, in thousandths.
fn weight(part: &str) -> Option<u32> {
    let (name, value) = part.split_once('=')?;
    let is_weight = name.trim().eq_ignore_ascii_case("q");
    let value: f32 = value.trim().parse().ok()?;
    (is_weight && (0.0..=1.0).contains(&value)).then_some((value * 1000.0) as u32)
}

/// Compressed files by what they were made of.
#[derive(Debug, Default)]
pub struct Compressed {
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    bytes: usize,
    /// `None`: it does not get smaller.
    files: HashMap<Version, Option<Arc<[u8]>>>,
}

/// One version of one file: device, inode, length, seconds and nanoseconds of its last change.
type Version = (u64, u64, u64, i64, i64);

impl Compressed {
    /// A file compressed; `None` if it is better sent as it is. `content` is read if it was not
    /// before.
    pub fn of(
        &self,
        metadata: &Metadata,
        content: impl FnOnce() -> io::Result<Vec<u8>>,
    ) -> io::Result<Option<Arc<[u8]>>> {
        let version = (
            metadata.dev(),
            metadata.ino(),
            metadata.len(),
            metadata.mtime(),
            metadata.mtime_nsec(),
        );
        if let Some(known) = self.lock().files.get(&version) {
            return Ok(known.clone());
        }
        let content = content()?;
        let mut encoder = GzEncoder::new(Vec::new(), Compression::new(5));
        encoder.write_all(&content)?;
        let compressed = encoder.finish()?;
        let is_smaller = compressed.len() < content.len();
        Ok(self
            .lock()
            .keep(version, is_smaller.then(|| compressed.into())))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Kept> {
        // Whoever panicked, an entry is whole or not there.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    /// Keeps it if there is room, for which those go that nobody is being sent. Without room it is
    /// not used either: memory is not to depend on how many clients read slowly.
    fn keep(&mut self, version: Version, file: Option<Arc<[u8]>>) -> Option<Arc<[u8]>> {
        /// Approximate overhead of an entry, in bytes.
        const ENTRY: usize = 128;
        let size = |file: &Option<Arc<[u8]>>| ENTRY + file.as_ref().map_or(0, |file| file.len());
        if self.bytes + size(&file) > KEPT {
            self.files.retain(|_, file| {
                file.as_ref()
                    .is_some_and(|file| Arc::strong_count(file) > 1)
            });
            self.bytes = self.files.values().map(size).sum();
        }
        if self.bytes + size(&file) > KEPT {
            return None;
        }
        self.bytes += size(&file);
        if let Some(other) = self.files.insert(version, file.clone()) {
            self.bytes -= size(&other);
        }
        file
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_says_what_it_takes() {
        let cases = [
            ("gzip, deflate, br, zstd", true),
            ("GZIP", true),
            ("x-gzip", true),
            ("*", true),
            ("gzip;q=0.5, identity;q=0.1", true),
            ("gzip; q=0.001", true),
            ("gzip;q=0.5, identity", false),
            ("gzip;q=0", false),
            ("gzip;q=0, *", false),
            ("*;q=0", false),
            ("br", false),
            ("identity", false),
            ("", false),
            ("gzip;q=2", false),
            ("gzip;q=x", false),
            ("gzip;level=9", false),
            ("mygzip", false),
        ];
        for (line, expected) in cases {
            assert_eq!(takes_gzip([line].into_iter()), expected, "{line}");
        }
        assert!(!takes_gzip([].into_iter()));
        assert!(takes_gzip(["br", "gzip"].into_iter()));
    }

    #[test]
    fn text_is_worth_it() {
        for (kind, expected) in [
            ("text/html; charset=utf-8", true),
            ("text/javascript", true),
            ("application/javascript", true),
            ("application/json", true),
            ("application/manifest+json", true),
            ("image/svg+xml", true),
            ("application/wasm", true),
            ("image/png", false),
            ("application/zip", false),
            ("application/octet-stream", false),
        ] {
            assert_eq!(
                is_worth_it(&kind.parse().unwrap(), 1000),
                expected,
                "{kind}"
            );
        }
        let html: Mime = "text/html".parse().unwrap();
        assert!(!is_worth_it(&html, 100));
        assert!(!is_worth_it(&html, 5 * 1024 * 1024));
    }

    #[test]
    fn what_is_kept_is_bounded_and_what_is_being_sent_stays() {
        let mut kept = Kept::default();
        let third: Arc<[u8]> = vec![0; KEPT / 3].into();
        let version = |number| (0, number, 0, 0, 0);
        let first = kept.keep(version(1), Some(Arc::clone(&third)));
        drop(third);
        assert!(
            kept.keep(version(2), Some(vec![0; KEPT / 3].into()))
                .is_some()
        );
        assert!(
            kept.keep(version(3), Some(vec![0; KEPT / 2].into()))
                .is_some()
        );
        assert!(kept.files.contains_key(&version(1)) && !kept.files.contains_key(&version(2)));
        assert!(
            kept.keep(version(4), Some(vec![0; KEPT / 3 * 2 + 1].into()))
                .is_none()
        );
        assert!(kept.bytes <= KEPT);
        drop(first);
    }
}
