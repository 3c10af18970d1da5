//! Functions of strings, arrays, blobs and numbers that people look for and Rhai's library does not
//! have.

use rhai::{Array, Blob, Dynamic, Engine, EvalAltResult, ImmutableString, NativeCallContext};

use super::bounded::bounds::{VALUE, over};
use super::bounded::equal::offset;
use super::bounded::order::natural;
use super::bounded::strings::part;
use crate::machine::error::throw;
use crate::machine::host::{Allowed, Function, Package};
use crate::machine::meter::Pace;
use crate::machine::types;

type Result<T> = std::result::Result<T, Box<EvalAltResult>>;

/// Functions on values of scripts.
pub const PACKAGE: Package = Package {
    name: "values",
    about: "Beside the functions that Rhai brings for strings, arrays and numbers. They can be \
        called as methods, too: `list.join(\", \")` is \
            `join(list, \", \")`. None of them changes what it is given.",
    functions: &[
        Function {
            signatures: &[
                "join(list: array) -> string",
                "join(list: array, between: string | char) -> string",
            ],
            about: "The elements as text, one behind the other, with a text between them: a comma \
                if there is none. `()` is an empty text.",
            throws: &[("limit", "for a result of more than 16 MiB")],
            allowed: Allowed::Everywhere,
            example: "ws.send([message, 1, true].join(\", \")); // => hello, 1, true",
            register: |engine, host| {
                let most = host.settings.limits.string;
                engine
                    .register_fn(
                        "join",
                        move |context: NativeCallContext, list: &mut Array| {
                            join(&context, list, ",", most)
                        },
                    )
                    .register_fn(
                        "join",
                        move |context: NativeCallContext, list: &mut Array, between: &str| {
                            join(&context, list, between, most)
                        },
                    )
                    .register_fn(
                        "join",
                        move |context: NativeCallContext, list: &mut Array, between: char| {
                            join(&context, list, &between.to_string(), most)
                        },
                    );
            },
        },
        Function {
            signatures: &[
                "slice(value: string | array | blob, start: int) -> string | array | blob",
                "slice(value: string | array | blob, start: int, end: int) -> string | array | \
                blob",
            ],
            about: "A part of a string, an array or a blob: from an index up to another, which \
                does not belong to it. They count from the end if \
                    they are negative, and what is not there is left out. Rhai's \
                    `sub_string(start, length)` and `extract(start, length)` \
                    take a length, or a range.",
            throws: &[],
            allowed: Allowed::Everywhere,
            example: "ws.send(message.slice(1, -1)); // => ell\nws.send(`${[1, 2, 3].slice(-2)} \
                ${message.slice(9)}`); // => [2, 3] ",
            register: |engine, _| register_slice(engine),
        },
        Function {
            signatures: &[
                "trim_start(text: string) -> string",
                "trim_end(text: string) -> string",
            ],
            about: "The text without the spaces and line breaks at its start or end. `trim` takes \
                off both, and changes the string itself.",
            throws: &[],
            allowed: Allowed::Everywhere,
            example: "ws.send(\"  a \".trim_end() + \"|\"); // =>   a|",
            register: |engine, _| {
                engine
                    .register_fn("trim_start", |text: &str| {
                        ImmutableString::from(text.trim_start())
                    })
                    .register_fn("trim_end", |text: &str| {
                        ImmutableString::from(text.trim_end())
                    });
            },
        },
        Function {
            signatures: &[
                "pad_start(text: string, length: int, padding: string | char) -> string",
                "pad_end(text: string, length: int, padding: string | char) -> string",
            ],
            about: "The text with padding before or behind it, so that it has this many \
                characters.",
            throws: &[("limit", "for a result of more than 16 MiB")],
            allowed: Allowed::Everywhere,
            example: "ws.send(\"7\".pad_start(3, '0') + \"7\".pad_end(3, \".\")); // => 0077..",
            register: |engine, host| register_pad(engine, host.settings.limits.string),
        },
        Function {
            signatures: &["repeat(text: string, times: int) -> string"],
            about: "The text so many times.",
            throws: &[("limit", "for a result of more than 16 MiB")],
            allowed: Allowed::Everywhere,
            example: "ws.send(\"ab\".repeat(3)); // => ababab",
            register: |engine, host| {
                let most = host.settings.limits.string;
                engine.register_fn("repeat", move |text: &str, times: i64| {
                    let times = usize::try_from(times).unwrap_or(0);
                    repeated("repeat", text, times, most)
                });
            },
        },
        Function {
            signatures: &["to_fixed(number: int | float, digits: int) -> string"],
            about: "The number as text, with so many digits behind the point: 0 to 20.",
            throws: &[("number", "for another number of digits")],
            allowed: Allowed::Everywhere,
            example: "ws.send((2.0 / 3.0).to_fixed(2)); // => 0.67",
            register: |engine, _| {
                engine
                    .register_fn("to_fixed", to_fixed)
                    .register_fn("to_fixed", |number: i64, digits: i64| {
                        to_fixed(number as f64, digits)
                    });
            },
        },
        Function {
            signatures: &[
                "clamp(number: int | float, low: int | float, high: int | float) -> int | float",
            ],
            about: "The number, or the nearest that is neither below `low` nor above `high`.",
            throws: &[("number", "if `low` is above `high`")],
            allowed: Allowed::Everywhere,
            example: "ws.send(`${clamp(12, 0, 10)} ${(-0.5).clamp(0, 1)}`); // => 10 0",
            register: |engine, _| {
                engine.register_fn("clamp", clamp);
            },
        },
        Function {
            signatures: &[
                "sum(list: array) -> int | float",
                "min(list: array) -> any",
                "max(list: array) -> any",
            ],
            about: "The sum of numbers, 0 if there are none; the least and the greatest of \
                elements that have an order, `()` if there are none. \
                    `min(a, b)` and `max(a, b)` of two values are Rhai's.",
            throws: &[
                ("type", "for elements that are no numbers, or have no order"),
                ("number", "for a sum that no int can hold"),
            ],
            allowed: Allowed::Everywhere,
            example: "let list = [3, 1, 2];\nws.send(`${list.sum()} ${list.min()} ${list.max()}`); \
                // => 6 1 3",
            register: |engine, _| {
                engine
                    .register_fn("sum", |list: &mut Array| sum(list))
                    .register_fn("min", |list: &mut Array| {
                        extreme(list, std::cmp::Ordering::Less)
                    })
                    .register_fn("max", |list: &mut Array| {
                        extreme(list, std::cmp::Ordering::Greater)
                    });
                register_ints(engine);
            },
        },
    ],
};

/// The elements as text, one behind the other, with another text between them.
fn join(
    context: &NativeCallContext,
    list: &Array,
    between: &str,
    most: usize,
) -> Result<ImmutableString> {
    let mut pace = Pace::default();
    let mut text = String::new();
    for (at, element) in list.iter().enumerate() {
        if at > 0 {
            text.push_str(between);
        }
        if let Ok(part) = element.as_immutable_string_ref() {
            text.push_str(&part);
        } else {
            let shown =
                context.call_native_fn_raw("to_string", true, &mut [&mut element.clone()])?;
            text.push_str(&shown.into_immutable_string().unwrap_or_default());
        }
        if text.len() > most {
            return over("join", most, "bytes");
        }
        pace.step(between.len() + VALUE)?;
    }
    Ok(text.into())
}

fn register_slice(engine: &mut Engine) {
    let text = |text: &str, start: i64, end: i64| {
        let length = text.chars().count();
        let (start, end) = (offset(length, start), offset(length, end));
        let length = end.saturating_sub(start) as i64;
        ImmutableString::from(part(text, start as i64, length))
    };
    let array = |list: &mut Array, start: i64, end: i64| {
        let (start, end) = (offset(list.len(), start), offset(list.len(), end));
        list.get(start..end).unwrap_or_default().to_vec()
    };
    let blob = |blob: &mut Blob, start: i64, end: i64| {
        let (start, end) = (offset(blob.len(), start), offset(blob.len(), end));
        blob.get(start..end).unwrap_or_default().to_vec()
    };
    engine
        .register_fn("slice", text)
        .register_fn("slice", move |value: &str, start: i64| {
            text(value, start, i64::MAX)
        })
        .register_fn("slice", array)
        .register_fn("slice", move |value: &mut Array, start: i64| {
            array(value, start, i64::MAX)
        })
        .register_fn("slice", blob)
        .register_fn("slice", move |value: &mut Blob, start: i64| {
            blob(value, start, i64::MAX)
        });
}

fn register_pad(engine: &mut Engine, most: usize) {
    for (name, is_before) in [("pad_start", true), ("pad_end", false)] {
        let pad = move |text: &str, length: i64, padding: &str| {
            let length = usize::try_from(length).unwrap_or(0);
            let missing = length.saturating_sub(text.chars().count());
            let each = padding.chars().count();
            if each == 0 || missing == 0 {
                return Ok(ImmutableString::from(text));
            }
            let mut padded = repeated(name, padding, missing / each, most)?.to_string();
            padded.push_str(part(padding, 0, (missing % each) as i64));
            if padded.len() + text.len() > most {
                return over(name, most, "bytes");
            }
            if is_before {
                padded.push_str(text);
            } else {
                padded.insert_str(0, text);
            }
            Ok::<_, Box<EvalAltResult>>(padded.into())
        };
        engine
            .register_fn(name, pad)
            .register_fn(name, move |text: &str, length: i64, padding: char| {
                pad(text, length, &padding.to_string())
            });
    }
}

fn repeated(function: &str, text: &str, times: usize, most: usize) -> Result<ImmutableString> {
    if text.len().saturating_mul(times) > most {
        return over(function, most, "bytes");
    }
    let mut pace = Pace::default();
    let mut repeated = String::with_capacity(text.len() * times);
    // Nothing, however often, is nothing.
    let times = if text.is_empty() { 0 } else { times };
    for _ in 0..times {
        repeated.push_str(text);
        pace.step(text.len() + VALUE)?;
    }
    Ok(repeated.into())
}

fn to_fixed(number: f64, digits: i64) -> Result<String> {
    match usize::try_from(digits) {
        Ok(digits @ 0..=20) => Ok(format!("{number:.digits$}")),
        _ => throw(
            "number",
            format!("to_fixed takes 0 to 20 digits, not {digits}"),
        ),
    }
}

fn clamp(number: Dynamic, low: Dynamic, high: Dynamic) -> Result<Dynamic> {
    let values = [number, low, high];
    let mut numbers = [0.0; 3];
    for (value, number) in values.iter().zip(&mut numbers) {
        *number = float("clamp", value)?;
    }
    let [number, low, high] = numbers;
    if low > high || low.is_nan() || high.is_nan() {
        return throw("number", format!("clamp: {low} is above {high}"));
    }
    let [value, lowest, highest] = values;
    Ok(if number < low {
        lowest
    } else if number > high {
        highest
    } else {
        value
    })
}

fn float(function: &str, value: &Dynamic) -> Result<f64> {
    match (value.as_float(), value.as_int()) {
        (Ok(number), _) => Ok(number),
        (_, Ok(number)) => Ok(number as f64),
        _ => {
            let other = types::name_of(value);
            throw("type", format!("{function} takes numbers, not {other}"))
        }
    }
}

fn sum(list: &Array) -> Result<Dynamic> {
    let mut pace = Pace::default();
    let (mut whole, mut broken, mut is_whole) = (0_i64, 0.0, true);
    for number in list {
        pace.step(VALUE)?;
        broken += float("sum", number)?;
        match number.as_int() {
            Ok(number) if is_whole => match whole.checked_add(number) {
                Some(sum) => whole = sum,
                None => return throw("number", "the sum is more than an int can be"),
            },
            Ok(_) => {}
            Err(_) => is_whole = false,
        }
    }
    Ok(if is_whole {
        whole.into()
    } else {
        broken.into()
    })
}

/// The element that is less than all others, or greater.
fn extreme(list: &Array, wanted: std::cmp::Ordering) -> Result<Dynamic> {
    let mut pace = Pace::default();
    let mut best: Option<&Dynamic> = None;
    for element in list {
        pace.step(VALUE)?;
        match best {
            Some(known) if natural(element, known)? != wanted => {}
            _ => best = Some(element),
        }
    }
    Ok(best.cloned().unwrap_or_default())
}

/// Rounding and roots of ints, which Rhai has for floats only: a number that came as JSON may be
/// either.
fn register_ints(engine: &mut Engine) {
    for name in ["floor", "ceiling", "round", "int", "to_int"] {
        engine.register_fn(name, |number: i64| number);
    }
    for (name, function) in [
        ("sqrt", f64::sqrt as fn(f64) -> f64),
        ("sin", f64::sin),
        ("cos", f64::cos),
        ("tan", f64::tan),
        ("exp", f64::exp),
        ("ln", f64::ln),
        ("log", f64::log10),
    ] {
        engine.register_fn(name, move |number: i64| function(number as f64));
    }
    for name in ["is_nan", "is_infinite"] {
        engine.register_fn(name, |_: i64| false);
    }
    engine.register_fn("is_finite", |_: i64| true);
}

#[cfg(test)]
mod tests {
    use rhai::Dynamic;

    use crate::machine::packages::test_engine;

    fn shown(script: &str) -> String {
        let script = format!(
            "let value = (); try {{ value = {script}; }} catch (e) {{ value = e.kind; }} \
            `${{value}}`"
        );
        let value = test_engine().eval::<Dynamic>(&script);
        value.map_or_else(|error| error.to_string(), |value| value.to_string())
    }

    #[test]
    fn what_people_look_for() {
        for (script, result) in [
            (
                "[1, \"two\", 'c', 2.5, (), true].join(\", \")",
                "1, two, c, 2.5, , true",
            ),
            (
                "[[1, \"a\"], #{ b: 2 }].join(\"\")",
                r##"[1, "a"]#{"b": 2}"##,
            ),
            ("[\"a\", \"b\"].join() + [\"a\", \"b\"].join('-')", "a,ba-b"),
            ("[].join(\"x\")", ""),
            (
                "{ let s = \"x\".repeat(1_000_000); let a = []; a.pad(17, s); a.join(\"\") }",
                "limit",
            ),
            (
                "\"añbcd\".slice(1, 3) + \"añbcd\".slice(-2) + \"añbcd\".slice(3, 1) \
                + \"añbcd\".slice(9)",
                "ñbcd",
            ),
            (
                "[[1, 2, 3].slice(1), [1, 2, 3].slice(0, -1), [1].slice(5, 9), [1].slice(1, 0)]",
                "[[2, 3], [1, 2], [], []]",
            ),
            (
                "[to_blob(\"abc\").slice(-2, -1), to_blob(\"abc\").slice(1)]",
                "[[62], [6263]]",
            ),
            (
                "\" a \".trim_start() + \"|\" + \" a \".trim_end() + \"|\"",
                "a | a|",
            ),
            (
                "\"7\".pad_start(3, '0') + \"ab\".pad_start(6, \"xyz\") + \"ab\".pad_start(1, 'x')",
                "007xyzxabab",
            ),
            ("\"7\".pad_end(3, \"é\") + \"7\".pad_end(3, \"\")", "7éé7"),
            ("\"7\".pad_end(20_000_000, 'x')", "limit"),
            (
                "\"ab\".repeat(2) + \"ab\".repeat(0) + \"ab\".repeat(-1)",
                "abab",
            ),
            ("\"ab\".repeat(9223372036854775807)", "limit"),
            ("\"\".repeat(9223372036854775807)", ""),
            (
                "[3.14159.to_fixed(2), 2.to_fixed(1), (-0.5).to_fixed(0), 1e21.to_fixed(1)]",
                r#"["3.14", "2.0", "-0", "1000000000000000000000.0"]"#,
            ),
            ("1.0.to_fixed(21)", "number"),
            (
                "[clamp(5, 0, 3), clamp(-5, 0, 3), clamp(2, 0, 3), clamp(2.5, 0, 2), clamp(1, 0.5, \
                0.75)]",
                "[3, 0, 2, 2, 0.75]",
            ),
            ("clamp(1, 3, 2)", "number"),
            ("clamp(\"a\", 3, 2)", "type"),
            ("[[1, 2].sum(), [1, 2.5].sum(), [].sum()]", "[3, 3.5, 0]"),
            ("[9223372036854775807, 1].sum()", "number"),
            ("[1, \"2\"].sum()", "type"),
            (
                "[[2, 1, 3].min(), [2, 1, 3].max(), [\"b\", \"a\"].min(), [].max(), [1.5, \
                0.5].max()]",
                r#"[1, 3, "a", (), 1.5]"#,
            ),
            ("[1, \"a\"].max()", "type"),
            (
                "[5.floor(), 5.round(), 5.ceiling(), 5.to_int(), 9.sqrt(), 5.is_nan(), \
                5.is_finite(), min(1, 2), max(1.5, 2)]",
                "[5, 5, 5, 5, 3.0, false, true, 1, 2.0]",
            ),
        ] {
            assert_eq!(shown(script), result, "{script}");
        }
    }
}
