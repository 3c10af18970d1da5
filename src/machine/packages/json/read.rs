//! The value of a JSON text, in one pass.
//!
//! What it cannot read is no JSON; [`refuse`](super::refuse) says why.

use std::borrow::Cow;

use rhai::{Array, Dynamic, Identifier, ImmutableString, Map};

use super::super::bounded::bounds::VALUE;
use super::refuse::{self, Result};
use crate::machine::Limits;
use crate::machine::budget::Stop;
use crate::machine::meter::Pace;

/// The value of a JSON text.
pub fn parse(json: &[u8], limits: &Limits) -> Result<Dynamic> {
    match std::str::from_utf8(json) {
        Ok(text) => parse_text(text, limits),
        Err(_) => refuse::because(json, limits),
    }
}

/// The same of a string.
pub fn parse_text(text: &str, limits: &Limits) -> Result<Dynamic> {
    match read(text, limits.depth) {
        Ok(value) => Ok(value),
        Err(Trouble::Stop(stop)) => Err(stop.into()),
        Err(Trouble::NoJson) => refuse::because(text.as_bytes(), limits),
    }
}

/// Why nothing is read.
#[derive(Debug)]
enum Trouble {
    /// The call must end.
    Stop(Stop),
    /// The text is no JSON, or none that is taken.
    NoJson,
}

type Read<T> = std::result::Result<T, Trouble>;

/// The value of a text with at most so many containers inside each other.
fn read(text: &str, depth: usize) -> Read<Dynamic> {
    let mut reader = Reader {
        text,
        at: 0,
        pace: Pace::default(),
    };
    let value = reader.value(depth)?;
    match reader.next() {
        None => Ok(value),
        Some(_) => Err(Trouble::NoJson),
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    pace: Pace,
}

impl<'a> Reader<'a> {
    #[inline]
    fn step(&mut self, bytes: usize) -> Read<()> {
        self.pace.step(bytes).map_err(Trouble::Stop)
    }

    #[inline]
    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// The next byte that is no space. It is not taken.
    #[inline]
    fn next(&mut self) -> Option<u8> {
        loop {
            match self.byte() {
                Some(b' ' | b'\n' | b'\t' | b'\r') => self.at += 1,
                byte => return byte,
            }
        }
    }

    fn value(&mut self, depth: usize) -> Read<Dynamic> {
        self.step(VALUE)?;
        match self.next() {
            Some(b'"') => {
                let text = self.string()?;
                self.step(text.len())?;
                Ok(string(&text))
            }
            Some(b'{') => self.object(depth),
            Some(b'[') => self.array(depth),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b'n') => self.word("null", Dynamic::UNIT),
            Some(b't') => self.word("true", Dynamic::TRUE),
            Some(b'f') => self.word("false", Dynamic::FALSE),
            _ => Err(Trouble::NoJson),
        }
    }

    fn word(&mut self, word: &str, value: Dynamic) -> Read<Dynamic> {
        let rest = &self.text.as_bytes()[self.at..];
        if !rest.starts_with(word.as_bytes()) {
            return Err(Trouble::NoJson);
        }
        self.at += word.len();
        Ok(value)
    }

    fn array(&mut self, depth: usize) -> Read<Dynamic> {
        let depth = depth.checked_sub(1).ok_or(Trouble::NoJson)?;
        let mut array = Array::new();
        self.at += 1;
        if self.next() == Some(b']') {
            self.at += 1;
            return Ok(Dynamic::from_array(array));
        }
        loop {
            array.push(self.value(depth)?);
            if self.ends(b']')? {
                return Ok(Dynamic::from_array(array));
            }
        }
    }

    fn object(&mut self, depth: usize) -> Read<Dynamic> {
        let depth = depth.checked_sub(1).ok_or(Trouble::NoJson)?;
        let mut map = Map::new();
        self.at += 1;
        if self.next() == Some(b'}') {
            self.at += 1;
            return Ok(Dynamic::from_map(map));
        }
        loop {
            if self.next() != Some(b'"') {
                return Err(Trouble::NoJson);
            }
            let name = self.string()?;
            self.step(name.len())?;
            let name = Identifier::from(&*name);
            if self.next() != Some(b':') {
                return Err(Trouble::NoJson);
            }
            self.at += 1;
            let value = self.value(depth)?;
            map.insert(name, value);
            if self.ends(b'}')? {
                return Ok(Dynamic::from_map(map));
            }
        }
    }

    /// Whether a container ends here; if not, its next item is.
    #[inline]
    fn ends(&mut self, end: u8) -> Read<bool> {
        let next = self.next();
        self.at += 1;
        match next {
            Some(b',') => Ok(false),
            Some(byte) if byte == end => Ok(true),
            _ => Err(Trouble::NoJson),
        }
    }

    /// The string that begins here.
    #[inline]
    fn string(&mut self) -> Read<Cow<'a, str>> {
        let (text, from) = (self.text, self.at + 1);
        let to = from + plain(&text.as_bytes()[from..]);
        if text.as_bytes().get(to) == Some(&b'"')
            && let Some(string) = text.get(from..to)
        {
            self.at = to + 1;
            return Ok(Cow::Borrowed(string));
        }
        self.escaped(to)
    }

    /// The same for one that is plain up to there only.
    #[cold]
    fn escaped(&mut self, plain_to: usize) -> Read<Cow<'a, str>> {
        let (bytes, mut to) = (self.text.as_bytes(), plain_to);
        while bytes.get(to) == Some(&b'\\') {
            let after = bytes.get(to + 2..).ok_or(Trouble::NoJson)?;
            to += 2 + plain(after);
        }
        let string = self.text.get(self.at..=to).ok_or(Trouble::NoJson)?;
        self.at = to + 1;
        let read = serde_json::from_str(string).map(Cow::Owned);
        read.map_err(|_| Trouble::NoJson)
    }

    fn number(&mut self) -> Read<Dynamic> {
        /// Digits that every int holds.
        const FEW: usize = 18;
        let from = self.at;
        let is_negative = self.byte() == Some(b'-');
        self.at += usize::from(is_negative);
        let first = self.byte();
        let (length, number) = self.digits()?;
        if length > 1 && first == Some(b'0') {
            return Err(Trouble::NoJson);
        }
        let is_int = !matches!(self.byte(), Some(b'.' | b'e' | b'E'));
        if is_int && length <= FEW {
            let number = if is_negative { -number } else { number };
            return Ok(Dynamic::from_int(number));
        }
        if self.byte() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.byte() {
            self.at += 1;
            self.at += usize::from(matches!(self.byte(), Some(b'+' | b'-')));
            self.digits()?;
        }
        let written = self.text.get(from..self.at).unwrap_or_default();
        self.step(written.len())?;
        let number: f64 = written.parse().map_err(|_| Trouble::NoJson)?;
        if !number.is_finite() {
            return Err(Trouble::NoJson);
        }
        let int = match number.fract() == 0.0 {
            true => whole(written),
            false => None,
        };
        Ok(int.map_or(number.into(), Dynamic::from_int))
    }

    /// Takes digits: how many there are, and the number, if it is not too large.
    #[inline]
    fn digits(&mut self) -> Read<(usize, i64)> {
        let (from, mut number) = (self.at, 0_i64);
        while let Some(byte @ b'0'..=b'9') = self.byte() {
            number = number.wrapping_mul(10).wrapping_add((byte - b'0').into());
            self.at += 1;
        }
        match self.at - from {
            0 => Err(Trouble::NoJson),
            length => Ok((length, number)),
        }
    }
}

/// A string as scripts have it. A long one has its memory taken once, not for each form on its
/// way.
fn string(text: &str) -> Dynamic {
    /// Bytes that need no memory of their own.
    const SHORT: usize = 23;
    if text.len() <= SHORT {
        return text.into();
    }
    let mut string = Identifier::new_const();
    string.push_str(text);
    ImmutableString::from(string).into()
}

/// How many bytes there are before one that ends a string or is not itself in it.
#[inline]
pub(super) fn plain(bytes: &[u8]) -> usize {
    /// The same byte eight times.
    const fn all(byte: u8) -> u64 {
        u64::from_ne_bytes([byte; 8])
    }
    /// Has the highest bit of each byte that is less than another set, up to the first one.
    const fn less(word: u64, than: u8) -> u64 {
        word.wrapping_sub(all(than)) & !word
    }
    let (words, rest) = bytes.as_chunks::<8>();
    for (number, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let found = less(word, b' ') | less(word ^ all(b'"'), 1) | less(word ^ all(b'\\'), 1);
        let found = found & all(0x80);
        if found != 0 {
            return number * 8 + found.trailing_zeros() as usize / 8;
        }
    }
    let is_special = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..b' ');
    let found = rest.iter().position(is_special);
    words.len() * 8 + found.unwrap_or(rest.len())
}

/// The int that a number without a point is, if there is one.
fn whole(number: &str) -> Option<i64> {
    let (digits, power) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    let (digits, power) = (digits.parse::<i64>().ok()?, power.parse::<i32>().ok()?);
    let factor = 10_i64.checked_pow(power.unsigned_abs());
    match factor {
        _ if digits == 0 => Some(0),
        Some(factor) if power >= 0 => digits.checked_mul(factor),
        Some(factor) if digits % factor == 0 => Some(digits / factor),
        _ => None,
    }
}
#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::config::limits::SCRIPT;

    /// What serde makes of it, but that it tells ints by how they are written.
    fn is_same(value: &Dynamic, wanted: &Value) -> bool {
        match wanted {
            Value::Null => value.is_unit(),
            Value::Bool(wanted) => value.as_bool() == Ok(*wanted),
            Value::String(wanted) => {
                let text = value.as_immutable_string_ref();
                text.is_ok_and(|text| *text == wanted.as_str())
            }
            Value::Number(wanted) => match (wanted.as_i64(), value.as_int(), value.as_float()) {
                (Some(wanted), value, _) => value == Ok(wanted),
                (None, Ok(value), _) => wanted.as_f64() == Some(value as f64),
                (None, _, Ok(value)) => wanted.as_f64() == Some(value),
                _ => false,
            },
            Value::Array(wanted) => value.as_array_ref().is_ok_and(|array| {
                let mut pairs = array.iter().zip(wanted);
                array.len() == wanted.len() && pairs.all(|(value, wanted)| is_same(value, wanted))
            }),
            Value::Object(wanted) => value.as_map_ref().is_ok_and(|map| {
                let mut pairs = wanted.iter();
                map.len() == wanted.len()
                    && pairs.all(|(name, wanted)| {
                        map.get(name.as_str())
                            .is_some_and(|value| is_same(value, wanted))
                    })
            }),
        }
    }

    /// A text that may be JSON.
    fn text(random: &mut fastrand::Rng, depth: usize, out: &mut String) {
        const SCALARS: [&str; 34] = [
            "null",
            "true",
            "false",
            "0",
            "-0",
            "-0.0",
            "7",
            "-12",
            "1e2",
            "1.50",
            "2.5E-3",
            "01",
            "1.",
            ".5",
            "-",
            "+1",
            "1e",
            "123456789012345678",
            "9223372036854775807",
            "9223372036854775808",
            "-9223372036854775809",
            "18446744073709551616",
            "1e400",
            "100e-2",
            "\"\"",
            "\"plain\"",
            "\"longer than what needs no memory of its own\"",
            "\"\\n\\u00fc\\\\\"",
            "\"\\ud83d\\ude00 ü€😀\"",
            "\"\\ud800\"",
            "\"\\x\"",
            "\"a\tb\"",
            "nul",
            "\u{7f}",
        ];
        const SPACES: [&str; 6] = ["", "", "", " ", "\n\t\r ", "\u{b}"];
        let space = |random: &mut fastrand::Rng| match random.usize(0..40) {
            number if number < 20 => SPACES[number % 5],
            39 => SPACES[5],
            _ => "",
        };
        out.push_str(space(random));
        match random.usize(0..8) {
            0 | 1 if depth > 0 => {
                out.push('[');
                for at in 0..random.usize(0..4) {
                    out.push_str(if at > 0 { "," } else { "" });
                    text(random, depth - 1, out);
                }
                out.push(']');
            }
            2 | 3 if depth > 0 => {
                out.push('{');
                for at in 0..random.usize(0..4) {
                    out.push_str(if at > 0 { "," } else { "" });
                    out.push_str(space(random));
                    out.push_str(
                        ["\"a\"", "\"b\"", "\"\\u0061\"", "\"ü\"", "a"][random.usize(0..5)],
                    );
                    out.push_str(space(random));
                    out.push(':');
                    text(random, depth - 1, out);
                }
                out.push('}');
            }
            _ => {
                // Mostly what is JSON.
                let few = random.usize(0..4) > 0;
                let scalar = SCALARS[random.usize(0..if few { 11 } else { SCALARS.len() })];
                out.push_str(scalar);
            }
        }
        out.push_str(space(random));
    }

    /// What is read is what serde reads, and what is refused serde refuses.
    #[test]
    fn it_takes_what_serde_takes() {
        let mut random = fastrand::Rng::with_seed(7);
        let (mut taken, mut refused) = (0, 0);
        for _ in 0..30_000 {
            let mut json = String::new();
            text(&mut random, 3, &mut json);
            if random.usize(0..8) == 0 {
                let end = json.floor_char_boundary(random.usize(0..=json.len()));
                json.truncate(end);
            }
            let wanted = serde_json::from_str::<Value>(&json);
            match (read(&json, SCRIPT.depth), wanted) {
                (Ok(value), Ok(wanted)) => {
                    assert!(is_same(&value, &wanted), "{json}: {value:?}");
                    taken += 1;
                }
                (Err(Trouble::NoJson), Err(_)) => refused += 1,
                (value, wanted) => panic!("{json}: {value:?}, {wanted:?}"),
            }
        }
        assert!(taken > 3_000 && refused > 3_000, "{taken} and {refused}");
    }

    #[test]
    fn a_string_ends_where_it_ends() {
        for length in 0..40 {
            for end in ['"', '\\', '\n', '\u{1f}', '\0'] {
                let text = format!("{}{end}behind\"", "ü".repeat(length));
                assert_eq!(plain(text.as_bytes()), length * 2, "{text}");
                let text = format!("{}{end}", "\u{7f} ".repeat(length));
                assert_eq!(plain(text.as_bytes()), length * 2, "{text}");
            }
            assert_eq!(plain(&[0xff; 40][..length]), length);
        }
    }
}
