//! Scripts' values as somebody who looks on sees them, and back: JSON within bounds, in which what
//! JSON has no form for says what it is.

use std::sync::Arc;

use data_encoding::BASE64;
use rhai::{Array, Dynamic, FnPtr, Map};
use serde_json::{Map as Object, Value, json};

use crate::observe::live::{self, Cause, Met, Taken};

/// Bytes of `this` that are shown.
const SHOWN: usize = 64 << 10;
/// The same where it is looked at before every hook, in case that fails.
const BEFORE: usize = 2 << 10;
/// Levels of it.
const DEPTH: usize = 16;
/// Bytes of a blob in it.
const BLOB: usize = 1 << 10;
/// Bytes of a binary message that are kept for a fault while nobody looks closely: of text, all of
/// them are there anyway.
const BINARY: usize = 4 << 10;
/// Bytes of a message that are kept for a fault.
const MESSAGE: usize = 256 << 10;

/// A value as JSON, and whether that is all of it.
pub fn shown(value: &Dynamic) -> (Value, bool) {
    shown_within(value, SHOWN)
}

fn shown_within(value: &Dynamic, most: usize) -> (Value, bool) {
    let mut looking = Looking {
        room: most,
        is_whole: true,
    };
    let value = looking.value(value, DEPTH);
    (value, looking.is_whole)
}

/// Keeps what a hook is called with, in case it fails. A text is not part of it: whoever runs the
/// hook has it still.
pub fn before(argument: &Dynamic, this: &Dynamic) -> Cause {
    let is_looked_at = live::is_looked_at_closely();
    let met = |is_text, bytes: &[u8], most: usize| Met {
        is_text,
        bytes: Arc::from(&bytes[..bytes.len().min(most)]),
        size: bytes.len(),
    };
    let message = if let Ok(blob) = argument.as_blob_ref() {
        let most = if is_looked_at { MESSAGE } else { BINARY };
        Some(met(false, &blob, most))
    } else {
        let number = argument.as_int().ok().map(|number| number.to_string());
        number.map(|number| met(true, number.as_bytes(), MESSAGE))
    };
    let this = match is_looked_at {
        true => Some(shown_within(this, BEFORE)).filter(|(_, is_whole)| *is_whole),
        false => None,
    };
    Cause {
        message,
        this: this.map(|(value, _)| (value, Taken::Before)),
    }
}

/// What a hook that has failed was called with, where that was not kept before.
pub fn after(mut cause: Cause, text: Option<&str>, this: &Dynamic) -> Cause {
    if cause.message.is_none()
        && let Some(text) = text
    {
        let most = text.floor_char_boundary(MESSAGE);
        cause.message = Some(Met {
            is_text: true,
            bytes: Arc::from(&text.as_bytes()[..most]),
            size: text.len(),
        });
    }
    if cause.this.is_none() {
        cause.this = Some((shown(this).0, Taken::After));
    }
    cause
}

struct Looking {
    room: usize,
    is_whole: bool,
}

impl Looking {
    fn takes(&mut self, bytes: usize) -> bool {
        self.is_whole &= bytes <= self.room;
        self.room = self.room.saturating_sub(bytes);
        self.room > 0
    }

    fn value(&mut self, value: &Dynamic, depth: usize) -> Value {
        /// What every value takes.
        const LEAST: usize = 8;
        if !self.takes(LEAST) || depth == 0 {
            self.is_whole = false;
            return json!("…");
        }
        if value.is_unit() {
            Value::Null
        } else if let Ok(flag) = value.as_bool() {
            json!(flag)
        } else if let Ok(number) = value.as_int() {
            json!(number)
        } else if let Ok(number) = value.as_float() {
            match number.is_finite() {
                true => json!(number),
                false => json!({ "$float": number.to_string() }),
            }
        } else if let Ok(text) = value.as_immutable_string_ref() {
            let most = text.floor_char_boundary(self.room);
            self.takes(text.len());
            match text.get(..most) {
                Some(front) if front.len() < text.len() => json!(format!("{front}…")),
                _ => json!(text.as_str()),
            }
        } else if let Ok(blob) = value.as_blob_ref() {
            let most = blob.len().min(BLOB).min(self.room);
            self.takes(2 * blob.len().min(BLOB));
            self.is_whole &= most == blob.len();
            json!({ "$blob": BASE64.encode(&blob[..most]), "$size": blob.len() })
        } else if let Ok(map) = value.as_map_ref() {
            let mut object = Object::new();
            for (key, inside) in map.iter() {
                if !self.takes(key.len()) {
                    self.is_whole = false;
                    break;
                }
                object.insert(key.to_string(), self.value(inside, depth - 1));
            }
            Value::Object(object)
        } else if let Ok(array) = value.as_array_ref() {
            let mut values = Vec::new();
            for inside in array.iter() {
                if self.room == 0 {
                    self.is_whole = false;
                    break;
                }
                values.push(self.value(inside, depth - 1));
            }
            Value::Array(values)
        } else if let Ok(letter) = value.as_char() {
            json!({ "$char": letter })
        } else if let Some(function) = value.read_lock::<FnPtr>() {
            json!({ "$fn": function.fn_name() })
        } else {
            json!({ "$type": value.type_name() })
        }
    }
}

/// A value that was shown, as a script's again; `()` for what JSON has no form for.
pub fn restored(value: &Value) -> Dynamic {
    match value {
        Value::Null => Dynamic::UNIT,
        Value::Bool(flag) => (*flag).into(),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(number), _) => number.into(),
            (None, number) => number.unwrap_or_default().into(),
        },
        Value::String(text) => text.as_str().into(),
        Value::Array(values) => Dynamic::from_array(values.iter().map(restored).collect::<Array>()),
        Value::Object(object) => {
            let special = |name: &str| object.get(name).and_then(Value::as_str);
            if let Some(blob) = special("$blob") {
                let bytes = BASE64.decode(blob.as_bytes()).unwrap_or_default();
                return Dynamic::from_blob(bytes);
            }
            if let Some(letter) = special("$char").and_then(|text| text.chars().next()) {
                return letter.into();
            }
            if let Some(number) = special("$float") {
                return number.parse::<f64>().unwrap_or(f64::NAN).into();
            }
            if special("$fn").is_some() || special("$type").is_some() {
                return Dynamic::UNIT;
            }
            let values = object.iter();
            let map = values.map(|(key, value)| (key.as_str().into(), restored(value)));
            Dynamic::from_map(map.collect::<Map>())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_is_shown_whole_comes_back() {
        let map: Map = [
            (
                "list",
                Dynamic::from_array(vec![1_i64.into(), 2.5_f64.into(), Dynamic::UNIT]),
            ),
            ("blob", Dynamic::from_blob(vec![0, 255])),
            ("text", "<b>".into()),
            ("letter", 'x'.into()),
            ("endless", f64::INFINITY.into()),
        ]
        .into_iter()
        .map(|(key, value)| (key.into(), value))
        .collect();
        let value = Dynamic::from_map(map).into_shared();
        let (json, is_whole) = shown(&value);
        assert!(is_whole, "{json}");
        let again = restored(&json);
        assert_eq!(shown(&again).0, json);
        assert_eq!(json["blob"]["$size"], 2);
    }

    #[test]
    fn what_is_too_large_or_too_deep_is_cut() {
        let deep = (0..100).fold(Dynamic::UNIT, |inside, _| Dynamic::from_array(vec![inside]));
        assert!(!shown(&deep).1);
        let long = Dynamic::from("数".repeat(SHOWN));
        let (json, is_whole) = shown(&long);
        assert!(!is_whole && json.as_str().expect("text").ends_with('…'));
        let many = Dynamic::from_array(vec![Dynamic::UNIT; 1_000_000]);
        let (json, is_whole) = shown(&many);
        assert!(!is_whole && json.as_array().expect("a list").len() < SHOWN);
        let blob = Dynamic::from_blob(vec![7; BLOB + 1]);
        assert!(!shown(&blob).1);
    }
}
