//! JSON, straight into scripts' values and out of them.
//!
//! Rhai's own goes without bounds, through recursion as deep as the text, and writes what is no
//! JSON as text that is.

mod read;
mod refuse;
mod write;

use rhai::{Blob, Dynamic, Map};

use crate::machine::host::{Allowed, Function, Package};

pub use read::parse;
pub use write::to_json;

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
                        read::parse_text(text, &limits)
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
                    .register_fn("to_json", move |map: &mut Map| write::map_to_json(map, &limits));
            },
        },
    ],
};

#[cfg(test)]
mod tests {
    use rhai::EvalAltResult;

    use super::*;
    use crate::config::limits::SCRIPT;
    use crate::machine::Limits;
    use crate::machine::meter::PIECE;

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
