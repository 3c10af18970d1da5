//! Options of functions: maps with known names.

use rhai::{Array, Dynamic, EvalAltResult, Map};

use crate::machine::error::throw;
use crate::machine::types;

/// The one thing that a function may be told: yes, no, or nothing.
pub fn option(known: &str, options: &Map) -> Result<Option<bool>, Box<EvalAltResult>> {
    let mut wanted = None;
    for (name, value) in options {
        if name != known {
            return throw("option", no_option(name, &[known]));
        }
        match value.as_bool() {
            Ok(value) => wanted = Some(value),
            Err(_) => {
                return throw("option", format!("{known} is true or false, not {value}"));
            }
        }
    }
    Ok(wanted)
}

/// The text that an option is; throws `option` for anything else.
pub fn text(name: &str, value: &Dynamic) -> Result<String, Box<EvalAltResult>> {
    match value.as_immutable_string_ref() {
        Ok(text) => Ok(text.to_string()),
        Err(_) => throw(
            "option",
            format!("{name} is a string, not {}", types::name_of(value)),
        ),
    }
}

/// The texts that an option is: a string, or an array of them.
pub fn texts(name: &str, value: &Dynamic) -> Result<Vec<String>, Box<EvalAltResult>> {
    match value.read_lock::<Array>() {
        Some(all) => all.iter().map(|one| text(name, one)).collect(),
        None => Ok(vec![text(name, value)?]),
    }
}

/// The header fields that an option is: a map of names to texts.
pub fn headers(value: &Dynamic) -> Result<Vec<(String, String)>, Box<EvalAltResult>> {
    let Some(map) = value.read_lock::<Map>() else {
        return throw(
            "option",
            format!("headers is a map, not {}", types::name_of(value)),
        );
    };
    let mut fields = Vec::new();
    for (name, value) in map.iter() {
        for text in texts(&format!("the header {name}"), value)? {
            fields.push((name.to_string(), text));
        }
    }
    Ok(fields)
}

/// The seconds that an option is.
pub fn seconds(name: &str, value: &Dynamic) -> Result<f64, Box<EvalAltResult>> {
    let number = value
        .as_float()
        .or_else(|_| value.as_int().map(|whole| whole as f64));
    number.or_else(|found| throw("option", format!("{name} is a number, not {found}")))
}

/// Returns the message about an unknown option, with the most similar known one.
pub fn no_option(name: &str, options: &[&str]) -> String {
    let likeness = |option: &str| strsim::jaro_winkler(option, name);
    let nearest = options
        .iter()
        .max_by(|a, b| likeness(a).total_cmp(&likeness(b)))
        .map_or(String::new(), |nearest| {
            format!(": did you mean {nearest}?")
        });
    format!("there is no option {name:?}{nearest}")
}
