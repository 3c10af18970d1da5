//! Text files: bytes to UTF-8 text without its byte order mark, or to where they are none and what
//! they are instead.
//!
//! Every text file that the server reads comes through here. Notepad writes marks, and editors in
//! China GBK.

use std::fmt;
use std::io;
use std::path::Path;

/// The byte order mark that Windows editors put before UTF-8.
const MARK: &str = "\u{feff}";

/// Bytes that are no UTF-8.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotUtf8 {
    /// The encoding that the bytes look like, if one is likely.
    pub encoding: Option<&'static str>,
    /// The line of the first wrong byte, from 1.
    pub line: usize,
    /// The characters of the line before that byte, and 1.
    pub column: usize,
    /// The line, with U+FFFD for what is wrong.
    pub excerpt: String,
}

impl std::error::Error for NotUtf8 {}

impl fmt::Display for NotUtf8 {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.encoding {
            Some(encoding) => write!(
                out,
                "not UTF-8 in line {}; this looks like {encoding}: save the file as UTF-8",
                self.line
            ),
            None => write!(
                out,
                "not UTF-8 in line {}: save the file as UTF-8",
                self.line
            ),
        }
    }
}

impl From<NotUtf8> for io::Error {
    fn from(error: NotUtf8) -> Self {
        Self::new(io::ErrorKind::InvalidData, error)
    }
}

/// A file's text.
pub fn read(path: &Path) -> io::Result<String> {
    Ok(decode(std::fs::read(path)?)?)
}

/// The text that these bytes are.
pub fn decode(mut bytes: Vec<u8>) -> Result<String, NotUtf8> {
    let wide = utf16(&bytes);
    bytes.drain(..bytes.len() - without_mark(&bytes).len());
    match String::from_utf8(bytes) {
        Ok(text) if wide.is_none() => Ok(text),
        Ok(text) => Err(NotUtf8::at(0, text.as_bytes(), wide)),
        Err(error) => {
            let at = error.utf8_error().valid_up_to();
            let bytes = error.as_bytes();
            Err(NotUtf8::at(at, bytes, wide.or_else(|| likely(bytes))))
        }
    }
}

/// Returns the bytes without a leading byte order mark.
pub fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(MARK.as_bytes()).unwrap_or(bytes)
}

impl NotUtf8 {
    fn at(at: usize, bytes: &[u8], encoding: Option<&'static str>) -> Self {
        let begin = bytes[..at]
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |at| at + 1);
        let length = bytes[begin..].iter().position(|byte| *byte == b'\n');
        let end = length.map_or(bytes.len(), |length| begin + length);
        let excerpt = String::from_utf8_lossy(&bytes[begin..end]);
        Self {
            encoding,
            line: bytes[..at].iter().filter(|byte| **byte == b'\n').count() + 1,
            column: String::from_utf8_lossy(&bytes[begin..at]).chars().count() + 1,
            excerpt: excerpt.trim_end_matches('\r').to_owned(),
        }
    }
}

/// Whether it is what Notepad calls "Unicode", by its mark or by the zeros that ASCII has in it.
fn utf16(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [0xFF, 0xFE, ..] | [1..=0x7F, 0, 1..=0x7F, 0, ..] => Some("UTF-16 LE"),
        [0xFE, 0xFF, ..] | [0, 1..=0x7F, 0, 1..=0x7F, ..] => Some("UTF-16 BE"),
        _ => None,
    }
}

/// The encoding of one byte or two that it most likely is: a wrong name would be worse than none.
fn likely(bytes: &[u8]) -> Option<&'static str> {
    let runs = || bytes.split(u8::is_ascii).filter(|run| !run.is_empty());
    // GB 2312, what GBK texts are made of but for rare characters: two bytes each, of which the
    // first is mostly that of punctuation or of one of the 3,755 usual characters. Cyrillic letters
    // are pairs, too, but seldom of those.
    let pairs = || runs().flat_map(|run| run.chunks(2));
    let is_pair = |pair: &[u8]| matches!(pair, [0xA1..=0xF7, 0xA1..=0xFE]);
    let is_usual = |pair: &&[u8]| matches!(pair[0], 0xA1 | 0xA3 | 0xB0..=0xD7);
    if pairs().all(is_pair) && pairs().filter(is_usual).count() * 4 >= pairs().count() * 3 {
        return Some("GBK");
    }
    // Single letters among those of ASCII, as in "Grüße".
    let is_latin = |byte: &u8| matches!(byte, 0xA0..=0xFE | 0x80 | 0x84 | 0x91..=0x97);
    runs()
        .all(|run| run.len() <= 2 && run.iter().all(is_latin))
        .then_some("Windows-1252")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_no_text() {
        for (bytes, text) in [
            ("\u{feff}fn f() {}", "fn f() {}"),
            ("\u{feff}", ""),
            ("", ""),
            ("a\u{feff}b", "a\u{feff}b"),
        ] {
            assert_eq!(decode(bytes.into()).as_deref(), Ok(text));
        }
    }

    #[test]
    fn other_encodings_are_named_with_their_line() {
        let hello = b"\xC4\xE3\xBA\xC3"; // 你好
        let front = "// 数\nlet x = \"é".as_bytes();
        let found = decode([front, hello, b"\";\r\n"].concat()).expect_err("GBK");
        assert_eq!(
            found,
            NotUtf8 {
                encoding: None,
                line: 2,
                column: 11,
                excerpt: "let x = \"é\u{fffd}\u{fffd}\u{fffd}\";".into(),
            }
        );
        let utf16: Vec<u8> = "fn f() {}"
            .encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect();
        for (bytes, encoding) in [
            (&b"// \xC4\xE3\xBA\xC3"[..], Some("GBK")),
            // A full-width semicolon alone.
            (b"f()\xA3\xBB", Some("GBK")),
            // こんにちは in Shift_JIS, Привет in Windows-1251: no name is better than a wrong one.
            (b"\x82\xB1\x82\xF1\x82\xC9\x82\xBF\x82\xCD", None),
            (b"\xCF\xF0\xE8\xE2\xE5\xF2", None),
            (b"Gr\xFC\xDFe", Some("Windows-1252")),
            (b"caf\xE9", Some("Windows-1252")),
            (&utf16, Some("UTF-16 LE")),
            (b"\xFF\xFEf\0", Some("UTF-16 LE")),
            (b"\xFE\xFF\0f", Some("UTF-16 BE")),
            (b"\xFF", None),
        ] {
            let found = decode(bytes.into()).expect_err("not UTF-8");
            assert_eq!((found.encoding, found.line), (encoding, 1), "{bytes:x?}");
        }
    }
}
