//! JSON, straight into scripts' values and out of them.
//!
//! Rhai's own goes without bounds, through recursion as deep as the text, and writes what is no
//! JSON as text that is.

use std::cell::{Cell, RefCell};
use std::fmt;

use memchr::memchr2;
use rhai::{Array, Blob, Dynamic, EvalAltResult, Identifier, ImmutableString, Map};

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::bounded::bounds::{VALUE, over};
use crate::machine::budget::Stop;
use crate::machine::error::throw;
use crate::machine::host::{Allowed, Function, Package};
use crate::machine::meter::{PIECE, Pace};
use crate::machine::{Limits, types};

type Result<T> = std::result::Result<T, Box<EvalAltResult>>;

/// The functions of JSON.
pub const PACKAGE: Package = Package {
    name: "json",
    about: "Objects are maps, `null` is `()`, and numbers that are written without a point are \
        ints if an int can hold them: `1` and `1e2` are, `1.0` and 2^63 are floats. Data may nest \
        64 levels deep.",
    functions: &[
        Function {
            signatures: &[
                "parse_json(text: string) -> any",
                "parse_json(data: blob) -> any",
            ],
            about: "The value of a JSON text. Of two properties of the same name the last one \
                counts.",
            throws: &[(
                "json",
                "for what is no JSON or nests too deep, with line, column and what stands there; \
                and for numbers that no float can hold",
            )],
            allowed: Allowed::Everywhere,
            example: "let order = parse_json(`{\"item\": \"tea\", \"cups\": 2}`);\n\
                      ws.send(`${order.cups} ${order.item}`); // => 2 tea\n\
                      try { parse_json(\"{cups: 2}\") } catch (e) { ws.send(e.kind); } // => json",
            register: |engine, host| {
                let limits = host.settings.limits;
                engine
                    .register_fn("parse_json", move |text: &str| {
                        parse(text.as_bytes(), &limits)
                    })
                    .register_fn("parse_json", move |data: &mut Blob| parse(data, &limits));
            },
        },
        Function {
            signatures: &["to_json(value: any) -> string"],
            about: "A value as JSON, without spaces, properties in the order of their names.",
            throws: &[
                (
                    "json",
                    "for what JSON has no form for: blobs, functions, `ws`, floats that are no \
                    number",
                ),
                ("limit", "for a text of more than 16 MiB"),
            ],
            allowed: Allowed::Everywhere,
            example: "ws.send(to_json(#{ text: message, list: [1, 2.5, ()] })); // => \
                {\"list\":[1,2.5,null],\"text\":\"hello\"}",
            register: |engine, host| {
                let limits = host.settings.limits;
                engine
                    .register_fn("to_json", move |value: &mut Dynamic| {
                        to_json(value, &limits)
                    })
                    // Rhai's own has this type, and would be found first.
                    .register_fn("to_json", move |map: &mut Map| map_to_json(map, &limits));
            },
        },
    ],
};

/// The value of a JSON text.
pub fn parse(json: &[u8], limits: &Limits) -> Result<Dynamic> {
    let reading = Reading {
        limits,
        json,
        scanned: Cell::new(0),
        fractions: Cell::new(0),
        pace: RefCell::default(),
        stop: Cell::new(None),
    };
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let top = Value {
        reading: &reading,
        depth: limits.depth,
    };
    let value = top
        .deserialize(&mut deserializer)
        .and_then(|value| deserializer.end().map(|()| value));
    match (value, reading.stop.get()) {
        (_, Some(stop)) => Err(stop.into()),
        (Ok(value), None) => Ok(value),
        (Err(error), None) => throw("json", wrong(json, &error)),
    }
}

/// State that all values of one JSON text share while it is read.
struct Reading<'a> {
    limits: &'a Limits,
    json: &'a [u8],
    /// Bytes of the text that have been searched for numbers.
    scanned: Cell<usize>,
    /// Numbers with a fraction that have been read since then: what they are is no question.
    fractions: Cell<usize>,
    pace: RefCell<Pace>,
    /// Reason why reading was ended from outside, kept here since errors of serde are texts.
    stop: Cell<Option<Stop>>,
}

impl Reading<'_> {
    fn step<E: Error>(&self, bytes: usize) -> std::result::Result<(), E> {
        self.pace.borrow_mut().step(bytes).map_err(|stop| {
            self.stop.set(Some(stop));
            E::custom("stopped")
        })
    }

    /// The number that was read last, one that is more than a plain int, as it is written: serde
    /// tells of its value only, and not whether it has a point. The text is JSON as far as it has
    /// been read.
    fn number<E: Error>(&self) -> std::result::Result<&str, E> {
        for _ in 0..self.fractions.take() {
            self.next_number()?;
        }
        self.next_number()
    }

    fn next_number<E: Error>(&self) -> std::result::Result<&str, E> {
        while let Some(first) = self.json.get(self.scanned.get()) {
            let rest = &self.json[self.scanned.get()..];
            let length = match first {
                b'"' => string_length(rest),
                b'-' | b'0'..=b'9' => number_length(rest),
                _ => 1,
            };
            self.scanned.set(self.scanned.get() + length);
            self.step(length)?;
            if *first == b'-' || first.is_ascii_digit() {
                let number = std::str::from_utf8(&rest[..length]).unwrap_or_default();
                if !is_plain(number) {
                    return Ok(number);
                }
            }
        }
        Ok("")
    }
}

/// A value that is to be read, with so many containers at the most.
#[derive(Clone, Copy)]
struct Value<'a> {
    reading: &'a Reading<'a>,
    depth: usize,
}

impl Value<'_> {
    fn inside<E: Error>(self) -> std::result::Result<Self, E> {
        match self.depth.checked_sub(1) {
            Some(depth) => Ok(Self { depth, ..self }),
            None => Err(E::custom(format_args!(
                "more than {} arrays and objects inside each other",
                self.reading.limits.depth
            ))),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Value<'_> {
    type Value = Dynamic;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> std::result::Result<Dynamic, D::Error> {
        self.reading.step(VALUE)?;
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Value<'_> {
    type Value = Dynamic;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> std::result::Result<Dynamic, E> {
        Ok(Dynamic::UNIT)
    }

    fn visit_bool<E>(self, value: bool) -> std::result::Result<Dynamic, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> std::result::Result<Dynamic, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> std::result::Result<Dynamic, E> {
        Ok(match i64::try_from(value) {
            Ok(value) => value.into(),
            Err(_) => (value as f64).into(),
        })
    }

    fn visit_f64<E: Error>(self, value: f64) -> std::result::Result<Dynamic, E> {
        if value.fract() != 0.0 {
            let fractions = &self.reading.fractions;
            fractions.set(fractions.get() + 1);
            return Ok(value.into());
        }
        let written = self.reading.number()?;
        Ok(whole(written).map_or(value.into(), Dynamic::from))
    }

    fn visit_str<E: Error>(self, value: &str) -> std::result::Result<Dynamic, E> {
        self.reading.step(value.len())?;
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(
        self,
        mut elements: A,
    ) -> std::result::Result<Dynamic, A::Error> {
        let inside = self.inside()?;
        let mut array = Array::new();
        while let Some(element) = elements.next_element_seed(inside)? {
            array.push(element);
        }
        Ok(Dynamic::from_array(array))
    }

    fn visit_map<A: MapAccess<'de>>(
        self,
        mut properties: A,
    ) -> std::result::Result<Dynamic, A::Error> {
        let inside = self.inside()?;
        let mut map = Map::new();
        while let Some(name) = properties.next_key_seed(Name(self.reading))? {
            map.insert(name, properties.next_value_seed(inside)?);
        }
        Ok(Dynamic::from_map(map))
    }
}

/// A property's name that is to be read. Names are short: none is allocated on its way.
struct Name<'a>(&'a Reading<'a>);

impl<'de> DeserializeSeed<'de> for Name<'_> {
    type Value = Identifier;

    fn deserialize<D: Deserializer<'de>>(
        self,
        from: D,
    ) -> std::result::Result<Identifier, D::Error> {
        from.deserialize_str(self)
    }
}

impl Visitor<'_> for Name<'_> {
    type Value = Identifier;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a property's name")
    }

    fn visit_str<E: Error>(self, name: &str) -> std::result::Result<Identifier, E> {
        self.0.step(name.len())?;
        Ok(name.into())
    }
}

/// Returns the length of the string that begins here, its quotes included.
fn string_length(text: &[u8]) -> usize {
    let mut at = 1;
    while let Some(found) = memchr2(b'"', b'\\', text.get(at..).unwrap_or_default()) {
        at += found;
        if text[at] == b'"' {
            return at + 1;
        }
        at += 2;
    }
    text.len()
}

/// Returns the length of the number that begins here.
fn number_length(text: &[u8]) -> usize {
    let belongs = |byte: &u8| byte.is_ascii_digit() || b"+-.eE".contains(byte);
    let end = text.iter().position(|byte| !belongs(byte));
    end.unwrap_or(text.len())
}

/// Whether serde tells of this number as an int.
fn is_plain(number: &str) -> bool {
    number.parse::<u64>().is_ok() || number.parse::<i64>().is_ok_and(|number| number != 0)
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

/// A value as JSON.
pub fn to_json(value: &Dynamic, limits: &Limits) -> Result<ImmutableString> {
    let mut writer = Writer::new(limits);
    writer.value(value, limits.depth)?;
    Ok(writer.finish())
}

fn map_to_json(map: &Map, limits: &Limits) -> Result<ImmutableString> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::limits::SCRIPT;

    fn read(json: &str) -> std::result::Result<Dynamic, String> {
        parse(json.as_bytes(), &SCRIPT).map_err(|error| match *error {
            EvalAltResult::ErrorRuntime(value, _) => value
                .cast::<crate::machine::error::HostError>()
                .message
                .to_string(),
            other => other.to_string(),
        })
    }

    fn there_and_back(json: &str) -> String {
        match read(json) {
            Ok(value) => to_json(&value, &SCRIPT).unwrap().to_string(),
            Err(error) => error,
        }
    }

    #[test]
    fn what_is_json_comes_through() {
        for (json, written) in [
            (" null ", "null"),
            ("[true,false]", "[true,false]"),
            ("\"\"", "\"\""),
            (
                r#""\u00fc\ud83d\ude00\u0000\n\"\\\/\u2028""#,
                "\"ü😀\\u0000\\n\\\"\\\\/\u{2028}\"",
            ),
            ("{\"b\":[1,{}],\"a\":[],\"b\":2}", "{\"a\":[],\"b\":2}"),
            ("9223372036854775807", "9223372036854775807"),
            ("-9223372036854775808", "-9223372036854775808"),
            ("9223372036854775808", "9.223372036854776e+18"),
            ("[0,-0.0,1.0,1.5e-300]", "[0,-0.0,1.0,1.5e-300]"),
            ("[1e2,-1E+2,100e-2,0e9,-0]", "[100,-100,1,0,0]"),
            ("[1e18,1e19,1e-2,5e0]", "[1000000000000000000,1e+19,0.01,5]"),
            (
                "[\"1e3\",1.0,{\"\\\"1.5\":1e1},2e0]",
                "[\"1e3\",1.0,{\"\\\"1.5\":10},2]",
            ),
            (
                "[18446744073709551615,18446744073709551616,-9223372036854775809,1e1]",
                "[1.8446744073709552e+19,1.8446744073709552e+19,-9.223372036854776e+18,10]",
            ),
            ("1e-400", "0.0"),
            (
                "[1.5,2e0,\"1.5\",0.5,25e-1,1e0,1.0,-2.5]",
                "[1.5,2,\"1.5\",0.5,2.5,1,1.0,-2.5]",
            ),
        ] {
            assert_eq!(there_and_back(json), written, "{json}");
        }
        let long = format!("\"{}\"", "aü\n".repeat(PIECE)).replace('\n', "\\n");
        assert_eq!(there_and_back(&long), long);
    }

    #[test]
    fn what_is_no_json_is_refused_with_its_place() {
        for (json, error) in [
            ("", "this is no JSON: it is empty"),
            ("  \n", "this is no JSON: it is empty"),
            (
                "hello",
                "this is no JSON: expected value at line 1, column 1, where `hello` stands",
            ),
            (
                "[1, nul]",
                "this is no JSON: unknown word at line 1, column 8, where `nul]` stands",
            ),
            (
                "[1,\n 2,]",
                "this is no JSON: trailing comma at line 2, column 4, where `]` stands",
            ),
            (
                "1 2",
                "this is no JSON: trailing characters at line 1, column 3, where `2` stands",
            ),
            (
                "{\"a\": [1",
                "this is no JSON: a list has no end at line 1, column 8",
            ),
            ("1e400", "number out of range at line 1, column 5"),
            (
                "NaN",
                "this is no JSON: expected value at line 1, column 1, where `NaN` stands",
            ),
            (
                "\"\\ud800\"",
                "this is no JSON: unexpected end of hex escape at line 1, column 8, where \
                `ud800\"` stands",
            ),
            (
                "\"\\udc00\"",
                "this is no JSON: lone leading surrogate in hex escape at line 1, column 7, where \
                `udc00\"` stands",
            ),
            (
                "\"\n\"",
                "this is no JSON: control character (\\u0000-\\u001F) found while parsing a string \
                at line 2, column 0, where `\"` stands",
            ),
            (
                "{a:1}",
                "this is no JSON: key must be a string at line 1, column 2, where `a:1}` stands",
            ),
            (
                "{\"ü\": 'x'}",
                "this is no JSON: expected value at line 1, column 8, where `'x'}` stands",
            ),
            (
                "01",
                "this is no JSON: invalid number at line 1, column 2, where `01` stands",
            ),
        ] {
            assert_eq!(read(json).unwrap_err(), error, "{json}");
        }
        assert!(parse(b"\"\xff\"", &SCRIPT).is_err());
    }

    #[test]
    fn depth_and_size_are_bounded_both_ways() {
        let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert_eq!(there_and_back(&nested(64)), nested(64));
        let error = "more than 64 arrays and objects inside each other at line 1, column 6";
        for levels in [65, 100_000] {
            assert!(read(&nested(levels)).unwrap_err().starts_with(error));
        }
        assert!(read(&"{\"a\":".repeat(100_000)).is_err());
        let deep = Dynamic::from_array(vec![read(&nested(64)).unwrap()]);
        assert!(to_json(&deep, &SCRIPT).is_err());

        let small = Limits {
            string: 10,
            ..SCRIPT
        };
        assert!(to_json(&"12345678".into(), &small).is_ok());
        assert!(to_json(&"123456789".into(), &small).is_err());
    }

    #[test]
    fn what_json_has_no_form_for_is_refused() {
        for value in [
            Dynamic::from_blob(vec![1]),
            f64::NAN.into(),
            f64::INFINITY.into(),
            rhai::FnPtr::new("f").unwrap().into(),
            (0..1_i64).into(),
            Dynamic::from(std::time::Instant::now()),
        ] {
            assert!(to_json(&value, &SCRIPT).is_err(), "{value:?}");
        }
        let shared = Dynamic::from_int(1).into_shared();
        let array = Dynamic::from_array(vec!['c'.into(), shared]).into_shared();
        assert_eq!(to_json(&array, &SCRIPT).unwrap(), "[\"c\",1]");
    }
}
