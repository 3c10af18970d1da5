//! Values as variables have them, and their places in arrays.

use rhai::Dynamic;

/// A value that may be changed, with all that is in it, as a variable's is.
pub fn writable(value: Dynamic) -> Dynamic {
    match has_constants(&value) {
        // A copy of a constant is none.
        true => value.clone(),
        false => value,
    }
}

fn has_constants(value: &Dynamic) -> bool {
    if value.is_read_only() {
        return true;
    }
    if value.is_array() {
        let array = value.as_array_ref();
        return array.is_ok_and(|array| array.iter().any(has_constants));
    }
    if value.is_map() {
        let map = value.as_map_ref();
        return map.is_ok_and(|map| map.values().any(has_constants));
    }
    false
}

/// The place of a number in an array, from its end if it is negative.
pub fn place(length: usize, number: i64) -> Option<usize> {
    let place = match usize::try_from(number) {
        Ok(place) => place,
        Err(_) => length.checked_sub(usize::try_from(number.unsigned_abs()).ok()?)?,
    };
    (place < length).then_some(place)
}
