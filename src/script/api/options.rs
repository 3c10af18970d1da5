//! Options of functions: maps with known names.

use rhai::{EvalAltResult, Map};

use crate::machine::error::throw;

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
