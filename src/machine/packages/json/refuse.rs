//! Why a text is no JSON, or none that is taken.

use std::cell::{Cell, RefCell};
use std::fmt;

use rhai::EvalAltResult;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::super::bounded::bounds::VALUE;
use crate::machine::Limits;
use crate::machine::budget::Stop;
use crate::machine::error::throw;
use crate::machine::meter::Pace;

/// What becomes of a text.
pub type Result<T> = std::result::Result<T, Box<EvalAltResult>>;

/// Throws what is wrong with a text that could not be read.
#[cold]
pub fn because<T>(json: &[u8], limits: &Limits) -> Result<T> {
    let looking = Looking {
        depth: limits.depth,
        pace: RefCell::default(),
        stop: Cell::new(None),
    };
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let top = Value {
        looking: &looking,
        depth: limits.depth,
    };
    let found = top
        .deserialize(&mut deserializer)
        .and_then(|()| deserializer.end());
    match (found, looking.stop.get()) {
        (_, Some(stop)) => Err(stop.into()),
        (Err(error), None) => throw("json", wrong(json, &error)),
        (Ok(()), None) => throw("json", "this is no JSON".to_owned()),
    }
}

/// State that all values of one text share while it is looked at.
struct Looking {
    depth: usize,
    pace: RefCell<Pace>,
    /// Why looking was ended from outside, kept here since errors of serde are texts.
    stop: Cell<Option<Stop>>,
}

impl Looking {
    fn step<E: Error>(&self, bytes: usize) -> std::result::Result<(), E> {
        self.pace.borrow_mut().step(bytes).map_err(|stop| {
            self.stop.set(Some(stop));
            E::custom("stopped")
        })
    }
}

/// A value that is looked at, with so many containers inside each other at the most. Nothing is
/// made of it.
#[derive(Clone, Copy)]
struct Value<'a> {
    looking: &'a Looking,
    depth: usize,
}

impl Value<'_> {
    fn inside<E: Error>(self) -> std::result::Result<Self, E> {
        match self.depth.checked_sub(1) {
            Some(depth) => Ok(Self { depth, ..self }),
            None => Err(E::custom(format_args!(
                "more than {} arrays and objects inside each other",
                self.looking.depth
            ))),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Value<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> std::result::Result<(), D::Error> {
        self.looking.step(VALUE)?;
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Value<'_> {
    type Value = ();

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> std::result::Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> std::result::Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> std::result::Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> std::result::Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> std::result::Result<(), E> {
        Ok(())
    }

    fn visit_str<E: Error>(self, value: &str) -> std::result::Result<(), E> {
        self.looking.step(value.len())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> std::result::Result<(), A::Error> {
        let inside = self.inside()?;
        while elements.next_element_seed(inside)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut properties: A) -> std::result::Result<(), A::Error> {
        let inside = self.inside()?;
        while properties.next_key_seed(Name(self.looking))?.is_some() {
            properties.next_value_seed(inside)?;
        }
        Ok(())
    }
}

/// A property's name.
struct Name<'a>(&'a Looking);

impl<'de> DeserializeSeed<'de> for Name<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> std::result::Result<(), D::Error> {
        from.deserialize_str(self)
    }
}

impl Visitor<'_> for Name<'_> {
    type Value = ();

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a property's name")
    }

    fn visit_str<E: Error>(self, name: &str) -> std::result::Result<(), E> {
        self.0.step(name.len())
    }
}

/// Returns the message about a text that is no JSON: what it should be, where, and what stands
/// there.
fn wrong(json: &[u8], error: &serde_json::Error) -> String {
    let (line, column) = (error.line(), error.column());
    let said = error.to_string();
    let what = said.split(" at line ").next().unwrap_or_default();
    let (no, what) = match what {
        _ if json.iter().all(u8::is_ascii_whitespace) => {
            return "this is no JSON: it is empty".into();
        }
        _ if error.is_eof() => {
            let inside = what.trim_start_matches("EOF while parsing ");
            return format!("this is no JSON: {inside} has no end at line {line}, column {column}");
        }
        "expected ident" => ("this is no JSON: ", "unknown word"),
        "number out of range" => ("", what),
        _ if error.is_data() => ("", what),
        _ => ("this is no JSON: ", what),
    };
    let text = json
        .split(|byte| *byte == b'\n')
        .nth(line.saturating_sub(1));
    let text = String::from_utf8_lossy(text.unwrap_or_default());
    let before = text.floor_char_boundary(column.saturating_sub(1));
    let word = text[..before].trim_end_matches(char::is_alphanumeric).len();
    let here: String = text[word..].chars().take(20).collect();
    let here = match here.trim_end() {
        here if no.is_empty() || here.is_empty() => String::new(),
        here => format!(", where `{here}` stands"),
    };
    format!("{no}{what} at line {line}, column {column}{here}")
}
