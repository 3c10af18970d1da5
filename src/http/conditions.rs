//! Conditional requests, RFC 9110 section 13: whether what a client has, or believes to have, is
//! still what there is.

use std::fs::Metadata;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::head::Head;

/// The validators of a file, RFC 9110 section 8.8, which tell its versions apart.
#[derive(Debug, Clone)]
pub struct Validators {
    /// The entity tag's characters between the quotes; it is strong. A file from before 1970 has
    /// none.
    tag: Option<String>,
    /// To the second, as HTTP writes dates, and never later than now: section 8.8.2.1.
    modified: Option<SystemTime>,
    /// Whether it was so long ago that the date, too, names one version only: section 8.8.2.2.
    is_settled: bool,
}

/// The outcome of a request's preconditions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is answered; with a part of the file only if `ranges` hold.
    Go {
        /// Whether a `Range` is heeded.
        ranges: bool,
    },
    /// 304: the client has it.
    NotModified,
    /// 412: it is not what the client takes it for.
    Failed,
}

/// The first second that an HTTP date cannot say.
const YEAR_10000: u64 = 253_402_300_800;

impl Validators {
    /// Those of a file.
    pub fn of(metadata: &Metadata) -> Self {
        let modified = metadata.modified().ok();
        Self::new(metadata.len(), modified, SystemTime::now())
    }

    fn new(length: u64, modified: Option<SystemTime>, now: SystemTime) -> Self {
        let since = modified.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        let seconds = since.map(|since| since.as_secs());
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let shown = seconds.filter(|seconds| *seconds < YEAR_10000);
        let shown = shown.map(|seconds| UNIX_EPOCH + Duration::from_secs(seconds.min(now)));
        Self {
            tag: since.map(|since| {
                let (seconds, nanos) = (since.as_secs(), since.subsec_nanos());
                format!("{seconds:x}.{nanos:08x}-{length:x}")
            }),
            modified: shown,
            is_settled: seconds.is_some_and(|seconds| seconds < now),
        }
    }

    /// The `ETag`; a weak one for what says the same in other bytes.
    pub fn tag(&self, is_weak: bool) -> Option<String> {
        let tag = self.tag.as_ref()?;
        Some(if is_weak {
            format!("W/\"{tag}\"")
        } else {
            format!("\"{tag}\"")
        })
    }

    /// Returns the value of `Last-Modified`, if there is one.
    pub fn modified(&self) -> Option<String> {
        self.modified.map(httpdate::fmt_http_date)
    }

    /// Judges a GET or HEAD in the order of section 13.2.2. `is_weak`: what would be sent has a
    /// weak tag.
    pub fn judge(&self, head: &Head, is_weak: bool) -> Verdict {
        let own = self.tag.as_deref();
        let is_same = |tag: Tag<'_>| Some(tag.opaque) == own;
        let is_identical = |tag: Tag<'_>| !is_weak && !tag.is_weak && is_same(tag);
        if let Some(tags) = Tags::of(head, "if-match") {
            if !tags.any(is_identical) {
                return Verdict::Failed;
            }
        } else if let Some((modified, since)) = self.modified.zip(date(head, "if-unmodified-since"))
            && modified > since
        {
            return Verdict::Failed;
        }
        if let Some(tags) = Tags::of(head, "if-none-match") {
            if tags.any(is_same) {
                return Verdict::NotModified;
            }
        } else if let Some((modified, since)) = self.modified.zip(date(head, "if-modified-since"))
            && modified <= since
        {
            return Verdict::NotModified;
        }
        Verdict::Go {
            ranges: head.method() == "GET" && self.allows_ranges(head, is_identical),
        }
    }

    /// `If-Range`: one tag or one date, to be met exactly, section 13.1.5.
    fn allows_ranges(&self, head: &Head, is_identical: impl Fn(Tag<'_>) -> bool) -> bool {
        let said: Vec<_> = head.values("if-range").collect();
        match said[..] {
            [] => true,
            [text] => match Tag::parse(text) {
                Some((tag, rest)) => rest.is_empty() && is_identical(tag),
                None => {
                    let date = httpdate::parse_http_date(text).ok();
                    self.is_settled && date.is_some() && date == self.modified
                }
            },
            _ => false,
        }
    }
}

/// One line with a date; what is none is not said, section 13.1.3.
fn date(head: &Head, name: &str) -> Option<SystemTime> {
    let mut lines = head.values(name);
    let line = lines.next()?;
    let is_alone = lines.next().is_none();
    httpdate::parse_http_date(line).ok().filter(|_| is_alone)
}

/// An entity tag, section 8.8.3.
#[derive(Debug, Clone, Copy)]
struct Tag<'t> {
    is_weak: bool,
    opaque: &'t str,
}

impl<'t> Tag<'t> {
    /// The tag that the text begins with, and what is behind it.
    fn parse(text: &'t str) -> Option<(Self, &'t str)> {
        let bare = text.strip_prefix("W/");
        let (opaque, rest) = bare.unwrap_or(text).strip_prefix('"')?.split_once('"')?;
        let is_weak = bare.is_some();
        Some((Self { is_weak, opaque }, rest))
    }
}

/// The list of an `If-Match` or `If-None-Match`.
struct Tags<'h> {
    lines: Vec<&'h str>,
}

impl<'h> Tags<'h> {
    fn of(head: &'h Head, name: &'h str) -> Option<Self> {
        let lines: Vec<_> = head.values(name).collect();
        (!lines.is_empty()).then_some(Self { lines })
    }

    /// Whether one of the tags is so. `*` is whatever there is; behind what is no tag nothing is
    /// read.
    fn any(&self, is_so: impl Fn(Tag<'_>) -> bool) -> bool {
        self.lines.iter().any(|line| {
            let mut rest = line.trim_matches([' ', '\t']);
            if rest == "*" {
                return true;
            }
            while let Some((tag, behind)) = Tag::parse(rest) {
                if is_so(tag) {
                    return true;
                }
                rest = behind.trim_start_matches([' ', '\t', ',']);
            }
            false
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::limits;

    const WRITTEN: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const BEFORE: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
    const AFTER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";

    fn written() -> SystemTime {
        httpdate::parse_http_date(WRITTEN).unwrap()
    }

    fn judge(method: &str, fields: &str, is_weak: bool) -> Verdict {
        let fields = fields.replace('\n', "\r\n");
        let bytes = format!("{method} / HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n").into_bytes();
        let length = bytes.len();
        let head = Head::parse(bytes, length, &limits::HEAD).unwrap();
        let later = written() + Duration::from_secs(60);
        let modified = written() + Duration::from_millis(5);
        Validators::new(16, Some(modified), later).judge(&head, is_weak)
    }

    const ALL: Verdict = Verdict::Go { ranges: true };
    const WHOLE: Verdict = Verdict::Go { ranges: false };

    #[test]
    fn a_tag_says_when_and_how_long() {
        let modified = written() + Duration::from_millis(5);
        let validators = Validators::new(16, Some(modified), SystemTime::now());
        assert_eq!(validators.tag(false).unwrap(), "\"2ebc98a1.004c4b40-10\"");
        assert_eq!(validators.tag(true).unwrap(), "W/\"2ebc98a1.004c4b40-10\"");
        assert_eq!(validators.modified().unwrap(), WRITTEN);
    }

    #[test]
    fn odd_times_of_files_do_no_harm() {
        let now = written();
        let future = Validators::new(1, Some(now + Duration::from_secs(99)), now);
        assert_eq!(future.modified().unwrap(), WRITTEN);
        assert!(!future.is_settled);
        let ancient = Validators::new(1, Some(UNIX_EPOCH - Duration::from_secs(1)), now);
        assert_eq!((ancient.tag(false), ancient.modified()), (None, None));
        let far = UNIX_EPOCH + Duration::from_secs(YEAR_10000);
        let far = Validators::new(1, Some(far), now);
        assert_eq!(far.modified(), None);
    }

    #[test]
    fn conditions_are_judged_in_their_order() {
        let tag = "\"2ebc98a1.004c4b40-10\"";
        let cases = [
            // Section 13.1.1: strong comparison.
            (format!("If-Match: {tag}"), ALL),
            (format!("If-Match: \"x\", {tag}"), ALL),
            (format!("If-Match: \"x\"\nIf-Match: {tag}"), ALL),
            ("If-Match: *".into(), ALL),
            ("If-Match: \"x\"".into(), Verdict::Failed),
            (format!("If-Match: W/{tag}"), Verdict::Failed),
            ("If-Match: ".into(), Verdict::Failed),
            // 13.1.4, and only without the former.
            (format!("If-Unmodified-Since: {WRITTEN}"), ALL),
            (format!("If-Unmodified-Since: {BEFORE}"), Verdict::Failed),
            (
                format!("If-Match: {tag}\nIf-Unmodified-Since: {BEFORE}"),
                ALL,
            ),
            ("If-Unmodified-Since: yesterday".into(), ALL),
            // 13.1.2: weak comparison.
            (format!("If-None-Match: {tag}"), Verdict::NotModified),
            (format!("If-None-Match: W/{tag}"), Verdict::NotModified),
            (
                format!("If-None-Match: \"a,b\" ,{tag}"),
                Verdict::NotModified,
            ),
            ("If-None-Match: *".into(), Verdict::NotModified),
            ("If-None-Match: \"x\"".into(), ALL),
            ("If-None-Match: 2ebc98a1".into(), ALL),
            // 13.1.3, and only without the former.
            (
                format!("If-Modified-Since: {WRITTEN}"),
                Verdict::NotModified,
            ),
            (format!("If-Modified-Since: {AFTER}"), Verdict::NotModified),
            (format!("If-Modified-Since: {BEFORE}"), ALL),
            (
                format!("If-None-Match: \"x\"\nIf-Modified-Since: {WRITTEN}"),
                ALL,
            ),
            (
                format!("If-Modified-Since: {WRITTEN}\nIf-Modified-Since: {WRITTEN}"),
                ALL,
            ),
            (
                "If-Modified-Since: Sunday, 06-Nov-94 08:49:37 GMT".into(),
                Verdict::NotModified,
            ),
            // 13.2.2: what must be comes before what may be.
            (
                format!("If-Match: \"x\"\nIf-None-Match: {tag}"),
                Verdict::Failed,
            ),
            // 13.1.5.
            (format!("If-Range: {tag}"), ALL),
            ("If-Range: \"old\"".into(), WHOLE),
            (format!("If-Range: W/{tag}"), WHOLE),
            (format!("If-Range: {WRITTEN}"), ALL),
            (format!("If-Range: {AFTER}"), WHOLE),
            (format!("If-Range: {BEFORE}"), WHOLE),
            ("If-Range: nonsense".into(), WHOLE),
            (format!("If-Range: {tag}, \"x\""), WHOLE),
        ];
        for (fields, expected) in cases {
            assert_eq!(judge("GET", &fields, false), expected, "{fields}");
        }
        assert_eq!(judge("HEAD", "", false), WHOLE, "14.2: ranges are for GET");
    }

    #[test]
    fn what_has_a_weak_tag_is_never_identical() {
        let tag = "\"2ebc98a1.004c4b40-10\"";
        assert_eq!(
            judge("GET", &format!("If-None-Match: W/{tag}"), true),
            Verdict::NotModified
        );
        assert_eq!(
            judge("GET", &format!("If-Match: {tag}"), true),
            Verdict::Failed
        );
    }
}
