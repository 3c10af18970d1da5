//! Hints about `()` where a value is wanted: which name gave it, and what that name needs.

use crate::script::fault::Location;
use crate::script::fault::describe::Call;
use crate::script::hooks::HOOKS;

/// Said where it is not known what gave `()`.
pub const NOTHING: &str = "`()` is nothing: what a map has under a name that is not there, and \
    what a function gives that \
     returns nothing";

/// For an operator that was given `()`.
pub fn of_operator(call: &Call<'_>, location: Option<&Location>) -> String {
    let (path, other) = match (&call.types[..], location) {
        (["()", other], Some(at)) => (at.path_before(), *other),
        ([other, "()"], Some(at)) => (at.path_behind(), *other),
        (_, _) => ("", ""),
    };
    let value = match other {
        "int" => "0",
        "float" => "0.0",
        "string" | "char" => "\"\"",
        "bool" => "false",
        "array" => "[]",
        "map" => "#{}",
        _ => "other",
    };
    of(path, Default::Value(value))
}

/// For a method of `()`, a property of it or an index into it, where a value of another type has
/// one.
pub fn of_member(location: Option<&Location>, begin: Option<&str>) -> String {
    let path = location.map_or("", Location::path_before);
    let rest = location.map_or("", |at| &at.text[at.span().start..]);
    of(path, Default::Begin { value: begin, rest })
}

/// Replacement for `()` that a hint suggests.
enum Default<'a> {
    /// A value for this once.
    Value(&'a str),
    /// A value for as long as the connection lives, if it is known; and what stands behind the dot.
    Begin {
        value: Option<&'a str>,
        rest: &'a str,
    },
}

/// For what stands here, a path of names.
pub fn of_path(path: &str) -> Option<String> {
    is_path(path).then(|| of(path, Default::Value("other")))
}

fn is_path(path: &str) -> bool {
    path.contains(['.', '[']) && path.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

fn of(path: &str, default: Default<'_>) -> String {
    if !is_path(path) {
        return NOTHING.to_owned();
    }
    if path.starts_with("this.") {
        let sets = match &default {
            Default::Value(value) => {
                format!("write `{path} ?? {value}`, or set it in `on_open`")
            }
            Default::Begin {
                value: Some(value), ..
            } => format!("`{path} = {value};` in `on_open`"),
            Default::Begin { value: None, .. } => "set it in `on_open`".to_owned(),
        };
        return format!(
            "`{path}` is `()` until something sets it: {sets}{}",
            on_reload()
        );
    }
    match default {
        Default::Value(value) => format!(
            "`{path}` is `()`, there is nothing under that name: `{path} ?? {value}` gives \
            something else then"
        ),
        Default::Begin { rest, .. } => {
            let rest = rest
                .strip_prefix('[')
                .map_or(format!("?.{}", word(rest)), |index| {
                    let index = index.split(']').next().unwrap_or(index);
                    format!("?[{index}]")
                });
            format!(
                "`{path}` is `()`, there is nothing under that name: `{path}{rest}` is `()` then, \
                `{path} ?? other` the other"
            )
        }
    }
}

/// The name that a text begins with.
fn word(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_');
    match end {
        Some(end) if text[end..].starts_with('(') && text[end..].contains(')') => {
            &text[..=end + text[end..].find(')').unwrap_or(0)]
        }
        Some(end) => &text[..end],
        None => text,
    }
}

/// Returns the words about how open connections come to what `on_open` would have set; empty
/// without `on_reload`.
pub fn on_reload() -> &'static str {
    let is_there = HOOKS.iter().any(|hook| hook.name == "on_reload");
    if is_there {
        "; `on_reload(ws)` adds it to open connections"
    } else {
        ""
    }
}
