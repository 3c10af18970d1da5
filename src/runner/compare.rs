//! Whether two values are the same, and where they are not.

use std::fmt::Write;

use rhai::{Array, Blob, Dynamic, Map};

use crate::machine::types;

/// Lines of each side that are compared one by one.
const LINES: usize = 400;
/// Lines of a difference that are shown.
const SHOWN: usize = 60;

/// Whether two values are the same: of the same type, and of the same parts.
pub fn is_same(one: &Dynamic, other: &Dynamic) -> bool {
    if let (Some(one), Some(other)) = (map(one), map(other)) {
        let mut parts = one.iter();
        return one.len() == other.len()
            && parts.all(|(name, part)| other.get(name).is_some_and(|same| is_same(part, same)));
    }
    if let (Some(one), Some(other)) = (array(one), array(other)) {
        let mut parts = one.iter().zip(&other);
        return one.len() == other.len() && parts.all(|(part, same)| is_same(part, same));
    }
    one.type_id() == other.type_id() && shown(one) == shown(other)
}

fn map(value: &Dynamic) -> Option<Map> {
    value.read_lock::<Map>().map(|map| map.clone())
}

fn array(value: &Dynamic) -> Option<Array> {
    value.read_lock::<Array>().map(|array| array.clone())
}

/// A value as the report shows it, a part a line.
pub fn shown(value: &Dynamic) -> String {
    let mut text = String::new();
    show(value, 0, &mut text);
    text
}

fn show(value: &Dynamic, depth: usize, text: &mut String) {
    let pad = |text: &mut String, depth: usize| {
        text.push('\n');
        text.extend(std::iter::repeat_n("  ", depth));
    };
    if let Some(map) = map(value) {
        text.push_str("#{");
        for (name, part) in &map {
            pad(text, depth + 1);
            let _ = write!(text, "{name}: ");
            show(part, depth + 1, text);
            text.push(',');
        }
        if !map.is_empty() {
            pad(text, depth);
        }
        text.push('}');
    } else if let Some(array) = array(value) {
        text.push('[');
        for part in &array {
            pad(text, depth + 1);
            show(part, depth + 1, text);
            text.push(',');
        }
        if !array.is_empty() {
            pad(text, depth);
        }
        text.push(']');
    } else if let Some(blob) = value.read_lock::<Blob>() {
        let hex = blob.iter().map(|byte| format!("{byte:02x}"));
        let _ = write!(
            text,
            "blob of {} bytes: {}",
            blob.len(),
            hex.collect::<String>()
        );
    } else if value.is_string() {
        let _ = write!(text, "{:?}", value.to_string());
    } else if value.is_unit() {
        text.push_str("()");
    } else if value.is_int() || value.is_bool() || value.is_float() {
        let _ = write!(text, "{value}");
    } else {
        let _ = write!(text, "{} {value}", types::name_of(value));
    }
}

/// Where what was found differs from what was expected: lines that begin with `-` were expected,
/// those with `+` found.
pub fn difference(found: &Dynamic, expected: &Dynamic) -> String {
    let lines = |value: &Dynamic| -> Vec<String> {
        let text = match value.is_string() {
            true if value.to_string().contains('\n') => value.to_string(),
            _ => shown(value),
        };
        text.lines().map(str::to_owned).collect()
    };
    let (found, expected) = (lines(found), lines(expected));
    let mut text = String::from("- expected\n+ found\n");
    let mut parts = aligned(&expected, &found);
    let left_out = parts.len().saturating_sub(SHOWN);
    parts.truncate(SHOWN);
    for (sign, line) in parts {
        let _ = writeln!(text, "{sign} {line}");
    }
    if left_out > 0 {
        let _ = writeln!(text, "  … {left_out} more lines");
    }
    text
}

/// Lines that both have, in order, and those that one of them has.
fn aligned<'l>(before: &'l [String], after: &'l [String]) -> Vec<(char, &'l str)> {
    if before.len() > LINES || after.len() > LINES {
        let removed = before.iter().map(|line| ('-', line.as_str()));
        return removed
            .chain(after.iter().map(|line| ('+', line.as_str())))
            .collect();
    }
    // The longest common subsequence of what is behind each pair of places.
    let width = after.len() + 1;
    let mut longest = vec![0_u16; (before.len() + 1) * width];
    for i in (0..before.len()).rev() {
        for j in (0..after.len()).rev() {
            longest[i * width + j] = if before[i] == after[j] {
                longest[(i + 1) * width + j + 1] + 1
            } else {
                longest[(i + 1) * width + j].max(longest[i * width + j + 1])
            };
        }
    }
    let (mut i, mut j, mut parts) = (0, 0, Vec::new());
    while i < before.len() || j < after.len() {
        if i < before.len() && j < after.len() && before[i] == after[j] {
            parts.push((' ', before[i].as_str()));
            (i, j) = (i + 1, j + 1);
        } else if i < before.len()
            && (j == after.len() || longest[(i + 1) * width + j] >= longest[i * width + j + 1])
        {
            parts.push(('-', before[i].as_str()));
            i += 1;
        } else {
            parts.push(('+', after[j].as_str()));
            j += 1;
        }
    }
    parts
}
