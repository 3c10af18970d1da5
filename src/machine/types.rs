//! The types that scripts have, and what they are called.

use std::any::TypeId;
use std::ops::{Range, RangeInclusive};

use rhai::{Array, Blob, Dynamic, FnPtr, ImmutableString, Map};

use super::error::HostError;

/// The types that scripts have.
pub const TYPES: [(&str, TypeId); 14] = [
    ("int", TypeId::of::<i64>()),
    ("float", TypeId::of::<f64>()),
    ("bool", TypeId::of::<bool>()),
    ("char", TypeId::of::<char>()),
    ("()", TypeId::of::<()>()),
    ("string", TypeId::of::<ImmutableString>()),
    ("blob", TypeId::of::<Blob>()),
    ("array", TypeId::of::<Array>()),
    ("map", TypeId::of::<Map>()),
    ("function", TypeId::of::<FnPtr>()),
    ("any", TypeId::of::<Dynamic>()),
    ("range", TypeId::of::<Range<i64>>()),
    ("range", TypeId::of::<RangeInclusive<i64>>()),
    ("Error", TypeId::of::<HostError>()),
];

/// A value's type as the reference names it; those of a host are named as they are in Rust.
pub fn name_of(value: &Dynamic) -> &'static str {
    let known = TYPES.iter().find(|(_, id)| *id == value.type_id());
    known.map_or_else(|| last_part(value.type_name()), |(name, _)| *name)
}

/// `Request` of `alloc::rc::Rc<wsh_server::script::request::Request>`.
fn last_part(path: &'static str) -> &'static str {
    let last = path.rsplit("::").next().unwrap_or(path);
    last.trim_end_matches('>')
}
