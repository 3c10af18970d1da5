//! Strings: searching, cutting and replacing in pieces, and no list of all characters where a place
//! in the string will do.
//!
//! Rhai counts characters and not bytes, and so does this. What changes the string itself gives it
//! as well, where Rhai gives nothing: `let name = text.trim();` would be `()` without a word.

use std::any::TypeId;
use std::ops::{Range, RangeInclusive};

use memchr::memmem::Finder;
use rhai::{Array, Blob, Dynamic, Engine, EvalAltResult, ImmutableString, Module};

use super::bounds::{VALUE, change, over};
use crate::machine::Limits;
use crate::machine::budget::Stop;
use crate::machine::meter::{PIECE, Pace};

type Result<T> = std::result::Result<T, Box<EvalAltResult>>;

pub fn register(engine: &mut Engine, limits: &Limits) {
    register_search(engine);
    register_replace(engine, limits.string);
    register_split(engine, limits.list);
    register_parts(engine);
    register_case(engine);
    register_chars(engine);
    register_blobs(engine, limits.string);
    register_pad(engine, limits.string);
}

fn register_search(engine: &mut Engine) {
    engine
        .register_fn("contains", |text: &str, wanted: &str| -> Result<bool> {
            Ok(Matches::new(text, wanted).next().transpose()?.is_some())
        })
        .register_fn("index_of", |text: &str, wanted: &str| {
            index_of(text, wanted, 0)
        })
        .register_fn("index_of", |text: &str, wanted: char| {
            index_of(text, &wanted.to_string(), 0)
        })
        .register_fn("index_of", index_of)
        .register_fn("index_of", |text: &str, wanted: char, start: i64| {
            index_of(text, &wanted.to_string(), start)
        });
}

fn index_of(text: &str, wanted: &str, start: i64) -> Result<i64> {
    let rest = tail(text, place(text, start));
    if rest.is_empty() {
        return Ok(-1);
    }
    let from = text.len() - rest.len();
    let found = Matches::new(rest, wanted).next().transpose()?;
    Ok(found.map_or(-1, |at| text[..from + at].chars().count() as i64))
}

fn register_replace(engine: &mut Engine, most: usize) {
    let replace = move |text: &mut ImmutableString, from: &str, to: &str| {
        if !text.is_empty()
            && let Some(replaced) = replaced(text, from, to, most)?
        {
            *text = replaced.into();
        }
        Ok::<_, Box<EvalAltResult>>(text.clone())
    };
    change(engine, "replace", replace);
    change(
        engine,
        "replace",
        move |text: &mut ImmutableString, from: &str, to: char| {
            replace(text, from, &to.to_string())
        },
    );
    change(
        engine,
        "replace",
        move |text: &mut ImmutableString, from: char, to: &str| {
            replace(text, &from.to_string(), to)
        },
    );
    change(
        engine,
        "replace",
        move |text: &mut ImmutableString, from: char, to: char| {
            replace(text, &from.to_string(), &to.to_string())
        },
    );
    change(
        engine,
        "remove",
        move |text: &mut ImmutableString, part: &str| match part {
            "" => Ok(text.clone()),
            part => replace(text, part, ""),
        },
    );
    change(
        engine,
        "remove",
        move |text: &mut ImmutableString, part: char| replace(text, &part.to_string(), ""),
    );
}

/// The text with `to` for every `from`, if there is any.
fn replaced(text: &str, from: &str, to: &str, most: usize) -> Result<Option<String>> {
    let mut pace = Pace::default();
    let mut out = String::new();
    let mut push = |between: &str, to: &str| {
        pace.step(to.len())?;
        if out.len() + between.len() + to.len() > most {
            return over("replace", most, "bytes");
        }
        out.push_str(between);
        out.push_str(to);
        Ok(())
    };
    let mut end = None;
    for at in Matches::new(text, from) {
        let at = at?;
        push(&text[end.unwrap_or(0)..at], to)?;
        end = Some(at + from.len());
    }
    let Some(end) = end else {
        return Ok(None);
    };
    push(&text[end..], "")?;
    Ok(Some(out))
}

fn register_split(engine: &mut Engine, most: usize) {
    engine
        .register_fn("split", move |text: &str| match text {
            "" => Ok(vec![text.into()]),
            text => list("split", text.split_whitespace(), most),
        })
        .register_fn("split", move |text: &str, at: &str| {
            split(text, at, i64::MAX, most)
        })
        .register_fn("split", move |text: &str, at: char| {
            split(text, &at.to_string(), i64::MAX, most)
        })
        .register_fn("split", move |text: &str, at: &str, parts: i64| {
            split(text, at, parts, most)
        })
        .register_fn("split", move |text: &str, at: char, parts: i64| {
            split(text, &at.to_string(), parts, most)
        })
        .register_fn("split_rev", move |text: &str, at: &str| {
            split_rev(text, at, i64::MAX, most)
        })
        .register_fn("split_rev", move |text: &str, at: char| {
            split_rev(text, &at.to_string(), i64::MAX, most)
        })
        .register_fn("split_rev", move |text: &str, at: &str, parts: i64| {
            split_rev(text, at, parts, most)
        })
        .register_fn("split_rev", move |text: &str, at: char, parts: i64| {
            split_rev(text, &at.to_string(), parts, most)
        })
        .register_fn("to_chars", move |text: &str| {
            list("to_chars", text.chars(), most)
        });
}

fn split(text: &str, separator: &str, parts: i64, most: usize) -> Result<Array> {
    let mut array = Array::new();
    let mut end = 0;
    if !text.is_empty() {
        for at in Matches::new(text, separator) {
            let at = at?;
            if array.len() as i64 + 1 >= parts {
                break;
            }
            if array.len() + 1 >= most {
                return over("split", most, "parts");
            }
            array.push(text[end..at].into());
            end = at + separator.len();
        }
    }
    array.push(text[end..].into());
    Ok(array)
}

fn split_rev(text: &str, separator: &str, parts: i64, most: usize) -> Result<Array> {
    if text.is_empty() {
        return Ok(vec![text.into()]);
    }
    let parts = usize::try_from(parts).unwrap_or(0).max(1);
    list("split_rev", text.rsplitn(parts, separator), most)
}

fn list<T: Into<Dynamic>>(
    function: &str,
    parts: impl Iterator<Item = T>,
    most: usize,
) -> Result<Array> {
    let mut pace = Pace::default();
    let mut array = Array::new();
    for part in parts {
        pace.step(VALUE)?;
        if array.len() == most {
            return over(function, most, "parts");
        }
        array.push(part.into());
    }
    Ok(array)
}

fn register_parts(engine: &mut Engine) {
    let cut = |text: &mut ImmutableString, start, length| {
        *text = part(text, start, length).into();
        text.clone()
    };
    engine
        .register_fn("sub_string", |text: &str, start: i64, length: i64| {
            ImmutableString::from(part(text, start, length))
        })
        .register_fn("sub_string", |text: &str, start: i64| {
            ImmutableString::from(part(text, start, i64::MAX))
        })
        .register_fn("sub_string", |text: &str, range: Range<i64>| {
            let (start, length) = exclusive(&range);
            ImmutableString::from(part(text, start, length))
        })
        .register_fn("sub_string", |text: &str, range: RangeInclusive<i64>| {
            let (start, length) = inclusive(&range);
            ImmutableString::from(part(text, start, length))
        });
    change(engine, "crop", cut);
    change(
        engine,
        "crop",
        move |text: &mut ImmutableString, start: i64| cut(text, start, i64::MAX),
    );
    change(
        engine,
        "crop",
        move |text: &mut ImmutableString, range: Range<i64>| {
            let (start, length) = exclusive(&range);
            cut(text, start, length)
        },
    );
    change(
        engine,
        "crop",
        move |text: &mut ImmutableString, range: RangeInclusive<i64>| {
            let (start, length) = inclusive(&range);
            cut(text, start, length)
        },
    );
    change(
        engine,
        "truncate",
        move |text: &mut ImmutableString, length: i64| cut(text, 0, length),
    );
    change(engine, "pop", |text: &mut ImmutableString, length: i64| {
        let popped = match length {
            ..=0 => "",
            length => tail(text, place(text, -length)),
        };
        let rest = ImmutableString::from(&text[..text.len() - popped.len()]);
        let popped = ImmutableString::from(popped);
        *text = rest;
        popped
    });
    change(
        engine,
        "set",
        |text: &mut ImmutableString, index: i64, character: char| {
            let before = index.checked_add(text.chars().count() as i64);
            if index < 0 && before.is_none_or(|before| before < 0) {
                return text.clone();
            }
            let rest = tail(text, place(text, index));
            if let Some(old) = rest.chars().next() {
                let front = &text[..text.len() - rest.len()];
                let back = &rest[old.len_utf8()..];
                *text = format!("{front}{character}{back}").into();
            }
            text.clone()
        },
    );
    change(engine, "trim", |text: &mut ImmutableString| {
        let trimmed = text.trim();
        if trimmed.len() < text.len() {
            *text = trimmed.into();
        }
        text.clone()
    });
}

/// Returns the number of characters before an index, which counts from the end if it is negative.
fn place(text: &str, index: i64) -> usize {
    let distance = usize::try_from(index.unsigned_abs()).unwrap_or(usize::MAX);
    if index < 0 {
        text.chars().count().saturating_sub(distance)
    } else {
        distance
    }
}

/// The text behind so many characters.
fn tail(text: &str, characters: usize) -> &str {
    let mut rest = text.chars();
    if characters > 0 {
        rest.nth(characters - 1);
    }
    rest.as_str()
}

pub fn part(text: &str, start: i64, length: i64) -> &str {
    let from = tail(text, place(text, start));
    let behind = tail(from, usize::try_from(length).unwrap_or(0));
    &from[..from.len() - behind.len()]
}

/// Start and length of a range, which has no negative numbers.
fn exclusive(range: &Range<i64>) -> (i64, i64) {
    let start = range.start.max(0);
    (start, range.end.max(start) - start)
}

fn inclusive(range: &RangeInclusive<i64>) -> (i64, i64) {
    let start = (*range.start()).max(0);
    let end = (*range.end()).clamp(start, i64::MAX - 1);
    (start, end - start + 1)
}

fn register_case(engine: &mut Engine) {
    engine
        .register_fn("to_upper", |text: &str| in_case(text, str::to_uppercase))
        .register_fn("to_lower", |text: &str| in_case(text, str::to_lowercase));
    change(engine, "make_upper", |text: &mut ImmutableString| {
        *text = in_case(text, str::to_uppercase)?;
        Ok::<_, Box<EvalAltResult>>(text.clone())
    });
    change(engine, "make_lower", |text: &mut ImmutableString| {
        *text = in_case(text, str::to_lowercase)?;
        Ok::<_, Box<EvalAltResult>>(text.clone())
    });
}

fn in_case(mut text: &str, convert: impl Fn(&str) -> String) -> Result<ImmutableString> {
    let mut pace = Pace::default();
    let mut out = String::new();
    while !text.is_empty() {
        let end = text.floor_char_boundary(PIECE);
        // Behind a space where there is one, since a Greek sigma looks at what stands around it.
        let end = match text[..end].rfind(char::is_whitespace) {
            Some(space) if space > 0 && end < text.len() => space,
            _ => end,
        };
        out.push_str(&convert(&text[..end]));
        text = &text[end..];
        pace.step(end)?;
    }
    Ok(out.into())
}

/// A string's characters one by one.
#[derive(Clone)]
struct Chars {
    text: ImmutableString,
    at: usize,
    left: i64,
}

impl Chars {
    fn new(text: ImmutableString, start: i64, length: i64) -> Self {
        let at = text.len() - tail(&text, place(&text, start)).len();
        Self {
            text,
            at,
            left: length,
        }
    }
}

impl Iterator for Chars {
    type Item = char;

    fn next(&mut self) -> Option<char> {
        if self.left <= 0 {
            return None;
        }
        let next = self.text[self.at..].chars().next()?;
        self.at += next.len_utf8();
        self.left -= 1;
        Some(next)
    }
}

fn register_chars(engine: &mut Engine) {
    let all = |text: ImmutableString| Chars::new(text, 0, i64::MAX);
    let mut module = Module::new();
    module.set_iter(TypeId::of::<ImmutableString>(), move |text: Dynamic| {
        Box::new(all(text.cast()).map(Dynamic::from))
    });
    engine
        .register_global_module(module.into())
        .register_iterator::<Chars>()
        .register_type_with_name::<Chars>("chars")
        .register_get("chars", move |text: &mut ImmutableString| all(text.clone()))
        .register_fn("chars", all)
        .register_fn("chars", |text: ImmutableString, start: i64| {
            Chars::new(text, start, i64::MAX)
        })
        .register_fn("chars", Chars::new)
        .register_fn("chars", |text: ImmutableString, range: Range<i64>| {
            let (start, length) = exclusive(&range);
            Chars::new(text, start, length)
        })
        .register_fn(
            "chars",
            |text: ImmutableString, range: RangeInclusive<i64>| {
                let (start, length) = inclusive(&range);
                Chars::new(text, start, length)
            },
        );
}

fn register_blobs(engine: &mut Engine, most: usize) {
    let add = move |text: &str, bytes: &Blob| lossy(String::from(text), bytes, most);
    engine
        .register_fn("as_string", move |bytes: &mut Blob| add("", bytes))
        .register_fn("+", move |text: &str, bytes: Blob| add(text, &bytes))
        .register_fn("+", move |bytes: &mut Blob, text: &str| {
            let front = add("", bytes)?;
            if front.len() + text.len() > most {
                return over("+", most, "bytes");
            }
            Ok(front + text)
        });
    for name in ["+=", "append"] {
        change(
            engine,
            name,
            move |text: &mut ImmutableString, bytes: Blob| {
                *text = add(text, &bytes)?;
                Ok::<_, Box<EvalAltResult>>(())
            },
        );
    }
}

/// A text with bytes behind it that should be UTF-8; those that are not are replaced.
fn lossy(mut text: String, bytes: &Blob, most: usize) -> Result<ImmutableString> {
    let mut pace = Pace::default();
    for chunk in bytes.utf8_chunks() {
        let valid = chunk.valid();
        pace.step(valid.len() + VALUE)?;
        if text.len() + valid.len() + char::REPLACEMENT_CHARACTER.len_utf8() > most {
            return over("a string of these bytes", most, "bytes");
        }
        text.push_str(valid);
        if !chunk.invalid().is_empty() {
            text.push(char::REPLACEMENT_CHARACTER);
        }
    }
    Ok(text.into())
}

fn register_pad(engine: &mut Engine, most: usize) {
    change(
        engine,
        "pad",
        move |text: &mut ImmutableString, length: i64, padding: char| {
            pad(text, length, &padding.to_string(), most)
        },
    );
    change(
        engine,
        "pad",
        move |text: &mut ImmutableString, length: i64, padding: &str| {
            pad(text, length, padding, most)
        },
    );
}

fn pad(
    text: &mut ImmutableString,
    length: i64,
    padding: &str,
    most: usize,
) -> Result<ImmutableString> {
    let length = usize::try_from(length).unwrap_or(0);
    let missing = length.saturating_sub(text.chars().count());
    let each = padding.chars().count();
    if each == 0 || missing == 0 {
        return Ok(text.clone());
    }
    let (times, rest) = (missing / each, (missing % each) as i64);
    if times.saturating_mul(padding.len()) > most {
        return over("pad", most, "bytes");
    }
    let mut out = String::with_capacity(text.len() + (times + 1) * padding.len());
    out.push_str(text);
    let mut pace = Pace::default();
    for _ in 0..times {
        out.push_str(padding);
        pace.step(padding.len() + VALUE)?;
    }
    out.push_str(part(padding, 0, rest));
    *text = out.into();
    Ok(text.clone())
}

/// The places of one string in another. An empty one stands between all characters.
struct Matches<'a> {
    text: &'a str,
    finder: Finder<'a>,
    at: usize,
    pace: Pace,
}

impl<'a> Matches<'a> {
    fn new(text: &'a str, wanted: &'a str) -> Self {
        Self {
            text,
            finder: Finder::new(wanted),
            at: 0,
            pace: Pace::default(),
        }
    }

    fn search(&mut self) -> std::result::Result<Option<usize>, Stop> {
        let (text, wanted) = (self.text.as_bytes(), self.finder.needle().len());
        while self.at + wanted <= text.len() {
            // As much at a time as is wanted, so that long strings are not compared again and
            // again.
            let end = text.len().min(self.at + wanted + wanted.max(PIECE));
            if let Some(found) = self.finder.find(&text[self.at..end]) {
                let found = self.at + found;
                self.pace.step(found - self.at + VALUE)?;
                let next = if wanted == 0 {
                    self.text[found..].chars().next().map_or(1, char::len_utf8)
                } else {
                    wanted
                };
                self.at = found + next;
                return Ok(Some(found));
            }
            self.pace.step(end - self.at)?;
            self.at = end - wanted + 1;
        }
        Ok(None)
    }
}

impl Iterator for Matches<'_> {
    type Item = std::result::Result<usize, Stop>;

    fn next(&mut self) -> Option<Self::Item> {
        self.search().transpose()
    }
}
