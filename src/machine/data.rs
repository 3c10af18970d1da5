//! Values that are no more than data: no closure shares them, and freeing them takes little of a
//! stack.

use rhai::{Dynamic, FnPtr};

/// Whether a value may outlive the top level that made it: no closure has captured any of it, so
/// that it stays as it is, and it nests at most so deep, so that it can be freed anywhere.
pub fn is_data(value: &Dynamic, depth: usize) -> bool {
    let is_inside = |inside: &Dynamic| depth > 0 && is_data(inside, depth - 1);
    if value.is_shared() {
        false
    } else if let Ok(map) = value.as_map_ref() {
        map.values().all(is_inside)
    } else if let Ok(array) = value.as_array_ref() {
        array.iter().all(is_inside)
    } else if let Some(function) = value.read_lock::<FnPtr>() {
        function.iter_curry().all(is_inside)
    } else {
        true
    }
}

/// Whether a closure has captured any of a value, as far as so deep.
pub fn is_captured(value: &Dynamic, depth: usize) -> bool {
    let is_inside = |inside: &Dynamic| depth > 0 && is_captured(inside, depth - 1);
    if value.is_shared() {
        true
    } else if let Ok(map) = value.as_map_ref() {
        map.values().any(is_inside)
    } else if let Ok(array) = value.as_array_ref() {
        array.iter().any(is_inside)
    } else if let Some(function) = value.read_lock::<FnPtr>() {
        function.iter_curry().any(is_inside)
    } else {
        false
    }
}
