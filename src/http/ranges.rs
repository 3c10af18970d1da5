//! Parts of a file, RFC 9110 section 14.

use std::ops::Range;

/// Parts that are sent at once: whoever asks for more gets the whole, section 14.2.
const MOST: usize = 16;

/// The ranges of a file that a `Range` header requests.
#[derive(Debug, PartialEq, Eq)]
pub enum Wanted {
    /// All of it: there is no such header, or one that is not to be heeded.
    Whole,
    /// These bytes, one part or several.
    Parts(Vec<Range<u64>>),
    /// Bytes that it does not have: 416.
    Unsatisfiable,
}

impl Wanted {
    /// Reads the header lines. What is malformed, of another unit, overlapping or too much asks for
    /// the whole.
    pub fn of(lines: &[&str], length: u64) -> Self {
        let [line] = lines else { return Self::Whole };
        let Some((unit, set)) = line.split_once('=') else {
            return Self::Whole;
        };
        if !unit.trim().eq_ignore_ascii_case("bytes") {
            return Self::Whole;
        }
        let specs = set.split(',').map(|spec| spec.trim_matches([' ', '\t']));
        let specs = specs.filter(|spec| !spec.is_empty());
        let Some(parts) = specs
            .map(|spec| part(spec, length))
            .collect::<Option<Vec<_>>>()
        else {
            return Self::Whole;
        };
        if parts.is_empty() || parts.len() > MOST {
            return Self::Whole;
        }
        let parts: Vec<_> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        if parts.is_empty() {
            return Self::Unsatisfiable;
        }
        let mut sorted: Vec<_> = parts.iter().collect();
        sorted.sort_by_key(|part| part.start);
        if sorted.windows(2).any(|pair| pair[0].end > pair[1].start) {
            return Self::Whole;
        }
        Self::Parts(parts)
    }
}

/// One part, empty if the file does not reach so far; `None` for what is none.
fn part(spec: &str, length: u64) -> Option<Range<u64>> {
    let (first, last) = spec.split_once('-')?;
    if first.is_empty() {
        let suffix = number(last)?;
        return Some(length.saturating_sub(suffix)..length);
    }
    let first = number(first)?;
    let end = match last {
        "" => u64::MAX,
        last => number(last)?.saturating_add(1),
    };
    if end <= first {
        return None;
    }
    Some(first.min(length)..end.min(length))
}

/// Digits; more of them than a number holds are more bytes than any file has.
fn number(digits: &str) -> Option<u64> {
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_ask_for_parts() {
        let cases: &[(&str, &[(u64, u64)])] = &[
            ("bytes=0-3", &[(0, 4)]),
            ("bytes=7-", &[(7, 10)]),
            ("bytes=-2", &[(8, 10)]),
            ("bytes=-99", &[(0, 10)]),
            ("bytes=5-100", &[(5, 10)]),
            ("bytes=0-18446744073709551616", &[(0, 10)]),
            ("Bytes=0-0", &[(0, 1)]),
            ("bytes=0-0,-1", &[(0, 1), (9, 10)]),
            ("bytes= 5-6 , 0-1,,", &[(5, 7), (0, 2)]),
            ("bytes=0-1,50-60", &[(0, 2)]),
        ];
        for (line, parts) in cases {
            let parts = parts.iter().map(|&(start, end)| start..end).collect();
            assert_eq!(Wanted::of(&[line], 10), Wanted::Parts(parts), "{line}");
        }
        for line in ["bytes=10-", "bytes=-0", "bytes=99-100,200-"] {
            assert_eq!(Wanted::of(&[line], 10), Wanted::Unsatisfiable, "{line}");
        }
        assert_eq!(Wanted::of(&["bytes=0-"], 0), Wanted::Unsatisfiable);
        let many = format!("bytes={}", "0-0,".repeat(1_000));
        let whole = [
            "bytes=3-1",
            "bytes=a-b",
            "bytes=",
            "bytes",
            "lines=1-2",
            "bytes=+1-2",
            "bytes=1-2-3",
            "bytes=--1",
            "bytes=-",
            "bytes=0-4,2-6",
            "bytes=0-,0-,0-",
            "bytes=0-1,x",
            &many,
        ];
        for line in whole {
            assert_eq!(Wanted::of(&[line], 10), Wanted::Whole, "{line}");
        }
        assert_eq!(Wanted::of(&[], 10), Wanted::Whole);
        assert_eq!(Wanted::of(&["bytes=0-1", "bytes=2-3"], 10), Wanted::Whole);
    }
}
