//! Arrays and blobs that are made at once: `pad`, `blob`, `to_array`.

use rhai::{Array, Blob, Dynamic, Engine, EvalAltResult};

use super::bounds::{change, over};
use crate::machine::Limits;
use crate::machine::meter::{self, PIECE};

pub fn register(engine: &mut Engine, limits: &Limits) {
    let (made, list) = (limits.string, limits.list);
    let blob = move |length: i64, value: i64| {
        let mut blob = Blob::new();
        pad_blob(&mut blob, length, value, made, "blob")?;
        Ok::<_, Box<EvalAltResult>>(blob)
    };
    engine
        .register_fn("blob", move |length: i64| blob(length, 0))
        .register_fn("blob", blob)
        .register_fn("to_array", move |blob: &mut Blob| {
            if blob.len() > list {
                return over("to_array", list, "elements");
            }
            let numbers = blob.iter().map(|byte| Dynamic::from_int((*byte).into()));
            Ok(numbers.collect::<Array>())
        });
    change(
        engine,
        "pad",
        move |blob: &mut Blob, length: i64, value: i64| pad_blob(blob, length, value, made, "pad"),
    );
    change(
        engine,
        "pad",
        move |array: &mut Array, length: i64, item: Dynamic| {
            let length = usize::try_from(length).unwrap_or(0);
            let missing = length.saturating_sub(array.len());
            if missing.saturating_mul(count(&item, list)) > list {
                return over("pad", list, "elements");
            }
            array.resize(length.max(array.len()), item);
            Ok(())
        },
    );
}

fn pad_blob(
    blob: &mut Blob,
    length: i64,
    value: i64,
    most: usize,
    function: &str,
) -> Result<(), Box<EvalAltResult>> {
    let length = usize::try_from(length).unwrap_or(0);
    if length.saturating_sub(blob.len()) > most {
        return over(function, most, "bytes");
    }
    let [byte, ..] = value.to_le_bytes();
    blob.reserve(length.saturating_sub(blob.len()));
    while blob.len() < length {
        blob.resize(length.min(blob.len() + PIECE), byte);
        meter::pause()?;
    }
    Ok(())
}

/// The values that a copy of this one takes, itself among them; more than `most` are not counted
/// exactly.
fn count(value: &Dynamic, most: usize) -> usize {
    let mut values = 1;
    let mut add = |inside: &Dynamic| {
        if values <= most {
            values += count(inside, most - values);
        }
    };
    if let Ok(array) = value.as_array_ref() {
        array.iter().for_each(&mut add);
    } else if let Ok(map) = value.as_map_ref() {
        map.values().for_each(&mut add);
    } else if let Ok(blob) = value.as_blob_ref() {
        values += blob.len() / size_of::<Dynamic>();
    }
    values
}
