//! Values as JSON.

use rhai::{Array, Dynamic, EvalAltResult, ImmutableString, Map};

use super::super::bounded::bounds::{VALUE, over};
use super::read::plain;
use crate::machine::error::throw;
use crate::machine::meter::{PIECE, Pace};
use crate::machine::{Limits, types};

type Result<T> = std::result::Result<T, Box<EvalAltResult>>;

/// A value as JSON.
pub fn to_json(value: &Dynamic, limits: &Limits) -> Result<ImmutableString> {
    let mut writer = Writer::new(limits);
    writer.value(value, limits.depth)?;
    Ok(writer.finish())
}

/// The same for a map.
pub fn map_to_json(map: &Map, limits: &Limits) -> Result<ImmutableString> {
    let mut writer = Writer::new(limits);
    writer.map(map, limits.depth)?;
    Ok(writer.finish())
}

/// Bytes of most texts.
const SHORT: usize = 128;

struct Writer<'a> {
    limits: &'a Limits,
    out: Vec<u8>,
    pace: Pace,
}

impl<'a> Writer<'a> {
    fn new(limits: &'a Limits) -> Self {
        Self {
            limits,
            out: Vec::with_capacity(SHORT),
            pace: Pace::default(),
        }
    }

    fn finish(self) -> ImmutableString {
        String::from_utf8(self.out)
            .expect("strings and ASCII were written")
            .into()
    }

    fn value(&mut self, value: &Dynamic, depth: usize) -> Result<()> {
        if let Ok(text) = value.as_immutable_string_ref() {
            self.text(&text)
        } else if let Ok(number) = value.as_int() {
            self.plain(&number)
        } else if let Ok(map) = value.as_map_ref() {
            self.map(&map, depth)
        } else if let Ok(array) = value.as_array_ref() {
            self.array(&array, depth)
        } else if let Ok(number) = value.as_float() {
            if !number.is_finite() {
                let text = format!("{number} has no form in JSON: send () or a string instead");
                return throw("json", text);
            }
            self.plain(&number)
        } else if let Ok(truth) = value.as_bool() {
            self.plain(&truth)
        } else if value.is_unit() {
            self.plain(&())
        } else if let Ok(letter) = value.as_char() {
            self.plain(&letter)
        } else if value.is_blob() {
            throw("json", "a blob has no form in JSON: make it base64(blob)")
        } else if value.is_fnptr() {
            throw(
                "json",
                "a function has no form in JSON: call it, or leave it out",
            )
        } else {
            let other = types::name_of(value);
            throw(
                "json",
                format!("{other} has no form in JSON: give its parts"),
            )
        }
    }

    fn array(&mut self, array: &Array, depth: usize) -> Result<()> {
        let depth = self.inside(depth)?;
        self.out.push(b'[');
        for (at, element) in array.iter().enumerate() {
            if at > 0 {
                self.out.push(b',');
            }
            self.value(element, depth)?;
        }
        self.out.push(b']');
        self.check()
    }

    fn map(&mut self, map: &Map, depth: usize) -> Result<()> {
        let depth = self.inside(depth)?;
        self.out.push(b'{');
        for (at, (name, value)) in map.iter().enumerate() {
            if at > 0 {
                self.out.push(b',');
            }
            self.text(name)?;
            self.out.push(b':');
            self.value(value, depth)?;
        }
        self.out.push(b'}');
        self.check()
    }

    fn inside(&self, depth: usize) -> Result<usize> {
        match depth.checked_sub(1) {
            Some(depth) => Ok(depth),
            None => throw(
                "json",
                format!(
                    "more than {} arrays and maps inside each other",
                    self.limits.depth
                ),
            ),
        }
    }

    /// A string, in pieces of which each comes with its quotes.
    fn text(&mut self, text: &str) -> Result<()> {
        if text.len() <= PIECE && plain(text.as_bytes()) == text.len() {
            self.out.push(b'"');
            self.out.extend_from_slice(text.as_bytes());
            self.out.push(b'"');
            self.pace.step(text.len() + VALUE)?;
            return self.check();
        }
        let (first, mut rest) = text.split_at(text.floor_char_boundary(PIECE));
        self.plain(first)?;
        while !rest.is_empty() {
            let (piece, behind) = rest.split_at(rest.floor_char_boundary(PIECE));
            self.out.pop();
            let quote = self.out.len();
            self.plain(piece)?;
            self.out.remove(quote);
            rest = behind;
        }
        Ok(())
    }

    fn plain<T: serde::Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        let before = self.out.len();
        serde_json::to_writer(&mut self.out, value).expect("a vector takes everything");
        self.pace.step(self.out.len() - before + VALUE)?;
        self.check()
    }

    fn check(&self) -> Result<()> {
        if self.out.len() > self.limits.string {
            return over("to_json", self.limits.string, "bytes");
        }
        Ok(())
    }
}
