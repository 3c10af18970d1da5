//! JSON, straight into scripts' values and out of them.
//!
//! Rhai's own goes without bounds, through recursion as deep as the text, and writes what is no JSON as text that is.

use std::cell::{Cell, RefCell};
use std::fmt;

use rhai::{Array, Blob, Dynamic, EvalAltResult, ImmutableString, Map};
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::bounded::{VALUE, over};
use super::{Allowed, Function, Package, form, throw};
use crate::script::Limits;
use crate::script::meter::{PIECE, Pace, Stop};

type Result<T> = std::result::Result<T, Box<EvalAltResult>>;

/// The functions of JSON.
pub const PACKAGE: Package = Package {
    name: "json",
    about: "Objects are maps, `null` is `()`, and numbers without a fraction are ints if an int can hold them. Data may nest 64 levels deep.",
    functions: &[
        Function {
            signatures: &[
                "parse_json(text: string) -> any",
                "parse_json(data: blob) -> any",
            ],
            about: "The value of a JSON text. Of two properties of the same name the last one counts.",
            throws: &[(
                "json",
                "for what is no JSON or nests too deep, with line and column; for numbers that no float can hold, and for objects of more than 10,000 entries in all",
            )],
            allowed: Allowed::Everywhere,
            example: "let order = parse_json(`{\"item\": \"tea\", \"cups\": 2}`);\n\
                      ws.send(`${order.cups} ${order.item}`); // => 2 tea\n\
                      try { parse_json(\"{cups: 2}\") } catch (e) { ws.send(e.kind); } // => json",
            register: |engine, settings| {
                let limits = settings.limits;
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
                    "for what JSON has no form for: blobs, functions, `ws`, floats that are no number",
                ),
                ("limit", "for a text of more than 16 MiB"),
            ],
            allowed: Allowed::Everywhere,
            example: "ws.send(to_json(#{ text: message, list: [1, 2.5, ()] })); // => {\"list\":[1,2.5,null],\"text\":\"hello\"}",
            register: |engine, settings| {
                let limits = settings.limits;
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
fn parse(json: &[u8], limits: &Limits) -> Result<Dynamic> {
    let reading = Reading {
        limits,
        entries: Cell::new(0),
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
        (Err(error), None) => throw("json", error.to_string()),
    }
}

/// What all values of a text have in common.
struct Reading<'a> {
    limits: &'a Limits,
    /// Properties of all objects, as Rhai counts those of a map and of the maps in it.
    entries: Cell<usize>,
    pace: RefCell<Pace>,
    /// Why reading was ended from outside, since errors of serde are texts.
    stop: Cell<Option<Stop>>,
}

impl Reading<'_> {
    fn step<E: Error>(&self, bytes: usize) -> std::result::Result<(), E> {
        self.pace.borrow_mut().step(bytes).map_err(|stop| {
            self.stop.set(Some(stop));
            E::custom("stopped")
        })
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

    fn visit_f64<E>(self, value: f64) -> std::result::Result<Dynamic, E> {
        Ok(value.into())
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
        Ok(array.into())
    }

    fn visit_map<A: MapAccess<'de>>(
        self,
        mut properties: A,
    ) -> std::result::Result<Dynamic, A::Error> {
        let inside = self.inside()?;
        let mut map = Map::new();
        while let Some(name) = properties.next_key::<String>()? {
            self.reading.step(name.len())?;
            let entries = self.reading.entries.get() + 1;
            self.reading.entries.set(entries);
            let most = self.reading.limits.map;
            if entries > most {
                return Err(Error::custom(format_args!(
                    "more than {most} entries in all objects"
                )));
            }
            map.insert(name.into(), properties.next_value_seed(inside)?);
        }
        Ok(map.into())
    }
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

struct Writer<'a> {
    limits: &'a Limits,
    out: Vec<u8>,
    pace: Pace,
}

impl<'a> Writer<'a> {
    fn new(limits: &'a Limits) -> Self {
        Self {
            limits,
            out: Vec::new(),
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
            let other = form::name_of(value);
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
            EvalAltResult::ErrorRuntime(value, _) => {
                value.cast::<super::super::HostError>().message.to_string()
            }
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
            ("[0,-0.0,1.0,1e2,1.5e-300]", "[0,-0.0,1.0,100.0,1.5e-300]"),
            ("1e-400", "0.0"),
        ] {
            assert_eq!(there_and_back(json), written, "{json}");
        }
        let long = format!("\"{}\"", "aü\n".repeat(PIECE)).replace('\n', "\\n");
        assert_eq!(there_and_back(&long), long);
    }

    #[test]
    fn what_is_no_json_is_refused_with_its_place() {
        for (json, error) in [
            ("", "EOF while parsing a value at line 1 column 0"),
            ("[1,\n 2,]", "trailing comma at line 2 column 4"),
            ("1 2", "trailing characters at line 1 column 3"),
            ("1e400", "number out of range at line 1 column 5"),
            ("NaN", "expected value at line 1 column 1"),
            (
                "\"\\ud800\"",
                "unexpected end of hex escape at line 1 column 8",
            ),
            (
                "\"\\udc00\"",
                "lone leading surrogate in hex escape at line 1 column 7",
            ),
            (
                "\"\n\"",
                "control character (\\u0000-\\u001F) found while parsing a string at line 2 column 0",
            ),
            ("{a:1}", "key must be a string at line 1 column 2"),
            ("01", "invalid number at line 1 column 2"),
        ] {
            assert_eq!(read(json).unwrap_err(), error, "{json}");
        }
        assert!(parse(b"\"\xff\"", &SCRIPT).is_err());
    }

    #[test]
    fn depth_and_size_are_bounded_both_ways() {
        let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert_eq!(there_and_back(&nested(64)), nested(64));
        let error = "more than 64 arrays and objects inside each other at line 1 column 6";
        for levels in [65, 100_000] {
            assert!(read(&nested(levels)).unwrap_err().starts_with(error));
        }
        assert!(read(&"{\"a\":".repeat(100_000)).is_err());
        let deep = Dynamic::from_array(vec![read(&nested(64)).unwrap()]);
        assert!(to_json(&deep, &SCRIPT).is_err());

        let entries = |count: usize| {
            let entries: Vec<_> = (0..count).map(|name| format!("\"{name}\":{{}}")).collect();
            format!("{{{}}}", entries.join(","))
        };
        assert!(read(&entries(10_000)).is_ok());
        assert!(
            read(&entries(10_001))
                .unwrap_err()
                .contains("10000 entries")
        );
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
