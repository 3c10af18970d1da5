//! Sorting, and picking elements by a function: the script's own function is called, and its errors
//! count.
//!
//! Rhai's sorts go on after an error, up to their end, even if the error says that the script must
//! stop; and picking moves all the rest for each element that is picked.

use std::cmp::Ordering;

use rhai::{Array, Dynamic, Engine, EvalAltResult, FnPtr, NativeCallContext};

use super::bounds::{VALUE, change};
use crate::machine::error::throw;
use crate::machine::meter::Pace;
use crate::machine::types;

type Result<T> = std::result::Result<T, Box<EvalAltResult>>;

pub fn register(engine: &mut Engine) {
    for name in ["sort", "sort_by"] {
        change(
            engine,
            name,
            |context: NativeCallContext, array: &mut Array, comparer: FnPtr| {
                sorted(array, by(&context, &comparer))
            },
        );
    }
    change(
        engine,
        "sort",
        |context: NativeCallContext, array: &mut Array, comparer: &str| {
            sorted(array, by(&context, &FnPtr::new(comparer)?))
        },
    );
    change(engine, "sort", |array: &mut Array| sorted(array, natural));
    change(engine, "sort_desc", |array: &mut Array| {
        sorted(array, |a, b| natural(b, a))
    });
    change(engine, "reverse", |array: &mut Array| {
        array.reverse();
        array.clone()
    });
    for name in ["order", "order_by"] {
        engine.register_fn(
            name,
            |context: NativeCallContext, mut array: Array, comparer: FnPtr| {
                sort(&mut array, by(&context, &comparer))?;
                Ok::<_, Box<EvalAltResult>>(array)
            },
        );
    }
    engine
        .register_fn("order", |mut array: Array| {
            sort(&mut array, natural)?;
            Ok::<_, Box<EvalAltResult>>(array)
        })
        .register_fn("order_desc", |mut array: Array| {
            sort(&mut array, |a, b| natural(b, a))?;
            Ok::<_, Box<EvalAltResult>>(array)
        });
    for (name, picked_stay) in [("retain", true), ("drain", false)] {
        change(
            engine,
            name,
            move |context: NativeCallContext, array: &mut Array, filter: FnPtr| {
                pick(name, &context, array, &filter, picked_stay)
            },
        );
        change(
            engine,
            name,
            move |context: NativeCallContext, array: &mut Array, filter: &str| {
                pick(name, &context, array, &FnPtr::new(filter)?, picked_stay)
            },
        );
    }
}

/// A script's comparison, which gives a number below, at or above 0, or whether the first comes
/// before the second.
fn by<'a>(
    context: &'a NativeCallContext,
    comparer: &'a FnPtr,
) -> impl FnMut(&Dynamic, &Dynamic) -> Result<Ordering> + 'a {
    move |a, b| {
        let result = comparer.call_raw(context, None, [a.clone(), b.clone()])?;
        match (result.as_int(), result.as_bool()) {
            (Ok(number), _) => Ok(number.cmp(&0)),
            (_, Ok(true)) => Ok(Ordering::Less),
            (_, Ok(false)) => Ok(Ordering::Greater),
            _ => throw(
                "type",
                format!(
                    "a comparison gives an int or a bool, not {}",
                    types::name_of(&result)
                ),
            ),
        }
    }
}

/// The order of Rhai's own types; floats that cannot be compared count as equal.
pub fn natural(a: &Dynamic, b: &Dynamic) -> Result<Ordering> {
    if let (Ok(a), Ok(b)) = (a.as_int(), b.as_int()) {
        Ok(a.cmp(&b))
    } else if let (Ok(a), Ok(b)) = (a.as_immutable_string_ref(), b.as_immutable_string_ref()) {
        Ok(a.cmp(&b))
    } else if let (Ok(a), Ok(b)) = (a.as_float(), b.as_float()) {
        Ok(a.partial_cmp(&b).unwrap_or(Ordering::Equal))
    } else if let (Ok(a), Ok(b)) = (a.as_char(), b.as_char()) {
        Ok(a.cmp(&b))
    } else if let (Ok(a), Ok(b)) = (a.as_bool(), b.as_bool()) {
        Ok(a.cmp(&b))
    } else if a.is_unit() && b.is_unit() {
        Ok(Ordering::Equal)
    } else {
        throw(
            "type",
            format!(
                "{} and {} have no order: give a comparison",
                types::name_of(a),
                types::name_of(b)
            ),
        )
    }
}

/// Sorts, and gives what it has sorted as well: Rhai's `sort` gives nothing, which
/// `send_json(list.sort())` would send.
fn sorted(
    array: &mut Array,
    compare: impl FnMut(&Dynamic, &Dynamic) -> Result<Ordering>,
) -> Result<Array> {
    sort(array, compare)?;
    Ok(array.clone())
}

/// Sorts, equal elements in the order they had. After an error the array is as before.
fn sort(
    array: &mut Array,
    mut compare: impl FnMut(&Dynamic, &Dynamic) -> Result<Ordering>,
) -> Result<()> {
    let mut pace = Pace::default();
    let places = merge_sort((0..array.len()).collect(), &mut |a: usize, b: usize| {
        pace.step(VALUE)?;
        compare(&array[a], &array[b])
    })?;
    *array = places
        .into_iter()
        .map(|place| std::mem::take(&mut array[place]))
        .collect();
    Ok(())
}

/// Any comparison will do, also one at odds with itself, which the standard library's sort answers
/// with a panic.
fn merge_sort<T: Copy>(
    mut left: Vec<T>,
    compare: &mut impl FnMut(T, T) -> Result<Ordering>,
) -> Result<Vec<T>> {
    if left.len() <= 1 {
        return Ok(left);
    }
    let right = left.split_off(left.len() / 2);
    let mut left = merge_sort(left, compare)?.into_iter().peekable();
    let mut right = merge_sort(right, compare)?.into_iter().peekable();
    let mut merged = Vec::with_capacity(left.len() + right.len());
    while let (Some(first), Some(second)) = (left.peek(), right.peek()) {
        let next = match compare(*first, *second)? {
            Ordering::Greater => right.next(),
            _ => left.next(),
        };
        merged.extend(next);
    }
    merged.extend(left);
    merged.extend(right);
    Ok(merged)
}

/// Takes out of an array the elements that a function picks, or the others, and gives those.
fn pick(
    name: &str,
    context: &NativeCallContext,
    array: &mut Array,
    filter: &FnPtr,
    picked_stay: bool,
) -> Result<Array> {
    let mut picked = Vec::with_capacity(array.len());
    for (at, element) in array.iter_mut().enumerate() {
        let index = [Dynamic::from(at as i64)];
        let is_picked = filter
            .call_raw_with_extra_args(name, context, Some(element), [], index, Some(0))?
            .as_bool()
            .unwrap_or(false);
        picked.push(is_picked);
    }
    let mut picked = picked.into_iter();
    let (stay, gone) = std::mem::take(array)
        .into_iter()
        .partition(|_| picked.next() == Some(picked_stay));
    *array = stay;
    Ok(gone)
}
