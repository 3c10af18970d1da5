//! Blobs as arrays of ints: what goes through a blob gives ints, and what goes through an array
//! goes through a blob.
//!
//! Rhai's own iterator gives a type of number that nothing takes, and its library has few of an
//! array's functions for blobs.

use std::any::TypeId;

use memchr::memmem;
use rhai::{Array, Blob, Dynamic, Engine, EvalAltResult, FnPtr, Module, NativeCallContext};

use super::bounds::{change, over};
use super::equal::offset;
use crate::machine::Limits;
use crate::machine::error::throw;
use crate::machine::meter::{self, PIECE, Pace};
use crate::machine::types;

type Result<T> = std::result::Result<T, Box<EvalAltResult>>;

pub fn register(engine: &mut Engine, limits: &Limits) {
    let mut module = Module::new();
    module.set_iter(TypeId::of::<Blob>(), |blob: Dynamic| {
        let bytes = blob.cast::<Blob>().into_iter();
        Box::new(bytes.map(int))
    });
    engine.register_global_module(module.into());
    register_search(engine);
    register_picking(engine);
    register_folding(engine);
    register_order(engine);
    register_joining(engine, limits.string);
}

/// A byte as scripts have it.
fn int(byte: u8) -> Dynamic {
    Dynamic::from_int(byte.into())
}

/// Calls a closure with a byte, as a parameter or in `this`, and with its index, and returns its
/// result.
fn ask(
    name: &str,
    context: &NativeCallContext,
    closure: &FnPtr,
    (at, byte): (usize, u8),
) -> Result<Dynamic> {
    let index = [Dynamic::from_int(at as i64)];
    closure.call_raw_with_extra_args(name, context, Some(&mut int(byte)), [], index, Some(0))
}

fn is_picked(
    name: &str,
    context: &NativeCallContext,
    closure: &FnPtr,
    byte: (usize, u8),
) -> Result<bool> {
    let said = ask(name, context, closure, byte)?;
    Ok(said.as_bool().unwrap_or(false))
}

/// The bytes from an index on, which counts from the end if it is negative, with their indices.
fn from(blob: &[u8], start: i64) -> impl Iterator<Item = (usize, u8)> {
    let start = offset(blob.len(), start);
    blob.iter().copied().enumerate().skip(start)
}

/// Returns the index at which `find` meets a byte, or a row of them, from `start` on; -1 if
/// nowhere.
fn place(blob: &[u8], start: i64, find: impl FnOnce(&[u8]) -> Option<usize>) -> i64 {
    let start = offset(blob.len(), start);
    find(&blob[start..]).map_or(-1, |at| (start + at) as i64)
}

fn index_of(blob: &[u8], value: i64, start: i64) -> i64 {
    place(blob, start, |rest| {
        let byte = u8::try_from(value).ok()?;
        memchr::memchr(byte, rest)
    })
}

fn index_of_row(blob: &[u8], row: &[u8], start: i64) -> i64 {
    place(blob, start, |rest| memmem::find(rest, row))
}

fn register_search(engine: &mut Engine) {
    let find = |context: NativeCallContext, blob: &mut Blob, closure: FnPtr, start: i64| {
        for byte in from(blob, start) {
            if is_picked("find", &context, &closure, byte)? {
                return Ok(int(byte.1));
            }
        }
        Ok::<_, Box<EvalAltResult>>(Dynamic::UNIT)
    };
    let find_map = |context: NativeCallContext, blob: &mut Blob, closure: FnPtr, start: i64| {
        for byte in from(blob, start) {
            let said = ask("find_map", &context, &closure, byte)?;
            if !said.is_unit() {
                return Ok(said);
            }
        }
        Ok::<_, Box<EvalAltResult>>(Dynamic::UNIT)
    };
    let find_index = |context: NativeCallContext, blob: &mut Blob, closure: FnPtr, start: i64| {
        for byte in from(blob, start) {
            if is_picked("index_of", &context, &closure, byte)? {
                return Ok(byte.0 as i64);
            }
        }
        Ok::<_, Box<EvalAltResult>>(-1)
    };
    engine
        .register_fn("index_of", |blob: &mut Blob, value: i64| {
            index_of(blob, value, 0)
        })
        .register_fn("index_of", |blob: &mut Blob, value: i64, start: i64| {
            index_of(blob, value, start)
        })
        .register_fn("index_of", |blob: &mut Blob, row: Blob| {
            index_of_row(blob, &row, 0)
        })
        .register_fn("index_of", |blob: &mut Blob, row: Blob, start: i64| {
            index_of_row(blob, &row, start)
        })
        .register_fn(
            "index_of",
            move |context: NativeCallContext, blob: &mut Blob, closure: FnPtr| {
                find_index(context, blob, closure, 0)
            },
        )
        .register_fn("index_of", find_index)
        .register_fn("contains", |blob: &mut Blob, value: i64| {
            index_of(blob, value, 0) >= 0
        })
        .register_fn("contains", |blob: &mut Blob, row: Blob| {
            index_of_row(blob, &row, 0) >= 0
        })
        .register_fn(
            "find",
            move |context: NativeCallContext, blob: &mut Blob, closure: FnPtr| {
                find(context, blob, closure, 0)
            },
        )
        .register_fn("find", find)
        .register_fn(
            "find_map",
            move |context: NativeCallContext, blob: &mut Blob, closure: FnPtr| {
                find_map(context, blob, closure, 0)
            },
        )
        .register_fn("find_map", find_map);
    for (name, wanted) in [("some", true), ("all", false)] {
        engine.register_fn(
            name,
            move |context: NativeCallContext, blob: &mut Blob, closure: FnPtr| {
                for byte in from(blob, 0) {
                    if is_picked(name, &context, &closure, byte)? == wanted {
                        return Ok(wanted);
                    }
                }
                Ok::<_, Box<EvalAltResult>>(!wanted)
            },
        );
    }
}

fn register_picking(engine: &mut Engine) {
    engine
        .register_fn(
            "map",
            |context: NativeCallContext, blob: &mut Blob, closure: FnPtr| {
                from(blob, 0)
                    .map(|byte| ask("map", &context, &closure, byte))
                    .collect::<Result<Array>>()
            },
        )
        .register_fn(
            "filter",
            |context: NativeCallContext, blob: &mut Blob, closure: FnPtr| {
                Ok::<_, Box<EvalAltResult>>(pick("filter", &context, blob, &closure)?.0)
            },
        );
    change(
        engine,
        "retain",
        |context: NativeCallContext, blob: &mut Blob, closure: FnPtr| {
            let (picked, rest) = pick("retain", &context, blob, &closure)?;
            *blob = picked;
            Ok::<_, Box<EvalAltResult>>(rest)
        },
    );
    change(
        engine,
        "drain",
        |context: NativeCallContext, blob: &mut Blob, closure: FnPtr| {
            let (picked, rest) = pick("drain", &context, blob, &closure)?;
            *blob = rest;
            Ok::<_, Box<EvalAltResult>>(picked)
        },
    );
    // As for arrays: the byte is `this`, and the parameter is its index.
    change(
        engine,
        "for_each",
        |context: NativeCallContext, blob: &mut Blob, closure: FnPtr| {
            for (at, place) in blob.iter_mut().enumerate() {
                let (mut byte, index) = (int(*place), [Dynamic::from_int(at as i64)]);
                let _ = closure.call_raw_with_extra_args(
                    "for_each",
                    &context,
                    Some(&mut byte),
                    [],
                    index,
                    None,
                )?;
                *place = low(&byte)?;
            }
            Ok::<_, Box<EvalAltResult>>(())
        },
    );
}

/// The bytes that a closure picks, and the others.
fn pick(
    name: &str,
    context: &NativeCallContext,
    blob: &[u8],
    closure: &FnPtr,
) -> Result<(Blob, Blob)> {
    let (mut picked, mut rest) = (Blob::new(), Blob::new());
    for byte in from(blob, 0) {
        let is_picked = is_picked(name, context, closure, byte)?;
        if is_picked { &mut picked } else { &mut rest }.push(byte.1);
    }
    Ok((picked, rest))
}

fn register_folding(engine: &mut Engine) {
    for (name, is_reversed) in [("reduce", false), ("reduce_rev", true)] {
        let fold =
            move |context: NativeCallContext, blob: &mut Blob, closure: FnPtr, first: Dynamic| {
                let count = blob.len();
                let mut result = first;
                for step in 0..count {
                    let at = if is_reversed { count - 1 - step } else { step };
                    result = closure.call_raw_with_extra_args(
                        name,
                        &context,
                        None,
                        [result, int(blob[at])],
                        [Dynamic::from_int(at as i64)],
                        None,
                    )?;
                }
                Ok::<_, Box<EvalAltResult>>(result)
            };
        engine
            .register_fn(
                name,
                move |context: NativeCallContext, blob: &mut Blob, closure: FnPtr| {
                    fold(context, blob, closure, Dynamic::UNIT)
                },
            )
            .register_fn(name, fold);
    }
}

fn register_order(engine: &mut Engine) {
    for (name, changed, is_descending) in
        [("order", "sort", false), ("order_desc", "sort_desc", true)]
    {
        engine.register_fn(name, move |blob: &mut Blob| ordered(blob, is_descending));
        change(engine, changed, move |blob: &mut Blob| {
            *blob = ordered(blob, is_descending)?;
            Ok::<_, Box<EvalAltResult>>(blob.clone())
        });
    }
    change(engine, "reverse", |blob: &mut Blob| {
        blob.reverse();
        blob.clone()
    });
    change(engine, "dedup", |blob: &mut Blob| {
        blob.dedup();
        blob.clone()
    });
}

/// The same bytes in their order, by counting them.
fn ordered(blob: &[u8], is_descending: bool) -> Result<Blob> {
    let mut counts = [0; 256];
    for piece in blob.chunks(PIECE) {
        for byte in piece {
            counts[usize::from(*byte)] += 1;
        }
        meter::pause()?;
    }
    let mut sorted = Blob::with_capacity(blob.len());
    for byte in u8::MIN..=u8::MAX {
        let byte = if is_descending { u8::MAX - byte } else { byte };
        sorted.resize(sorted.len() + counts[usize::from(byte)], byte);
    }
    Ok(sorted)
}

fn register_joining(engine: &mut Engine, most: usize) {
    engine
        .register_fn("to_blob", move |numbers: &mut Array| bytes(numbers, most))
        .register_fn("+", move |blob: Blob, mut numbers: Array| {
            let mut blob = blob;
            blob.extend(bytes(&mut numbers, most)?);
            Ok::<_, Box<EvalAltResult>>(blob)
        });
    for name in ["+=", "append"] {
        change(engine, name, move |blob: &mut Blob, mut numbers: Array| {
            blob.extend(bytes(&mut numbers, most)?);
            Ok::<_, Box<EvalAltResult>>(())
        });
    }
}

/// The blob of an array of ints.
fn bytes(numbers: &mut Array, most: usize) -> Result<Blob> {
    if numbers.len() > most {
        return over("to_blob", most, "bytes");
    }
    let mut pace = Pace::default();
    let mut blob = Blob::with_capacity(numbers.len());
    for (at, number) in numbers.iter().enumerate() {
        pace.step(size_of::<Dynamic>())?;
        match number.as_int().map(u8::try_from) {
            Ok(Ok(byte)) => blob.push(byte),
            Ok(Err(_)) => {
                return throw(
                    "type",
                    format!("a byte is 0 to 255, not {number}, at index {at}"),
                );
            }
            Err(_) => {
                let other = types::name_of(number);
                return throw(
                    "type",
                    format!("a byte is an int, not {other}, at index {at}"),
                );
            }
        }
    }
    Ok(blob)
}

/// The byte that a number leaves in a blob, as with `blob[0] = number`.
fn low(number: &Dynamic) -> Result<u8> {
    match number.as_int() {
        Ok(number) => Ok(number.to_le_bytes()[0]),
        Err(_) => throw(
            "type",
            format!("a byte is an int, not {}", types::name_of(number)),
        ),
    }
}
