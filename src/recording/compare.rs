//! Whether a message is what was recorded: JSON by its values, without what may differ; everything
//! else to the letter.

use serde_json::Value;

use super::diff;
use crate::config::{JsonPath, Part};
use crate::websocket::Message;

/// Takes out what a path names.
fn remove(value: &mut Value, path: &[Part]) {
    let Some((first, rest)) = path.split_first() else {
        return;
    };
    if let Part::Anywhere(name) = first {
        let here = [Part::Name(name.clone())].into_iter().chain(rest.to_vec());
        remove(value, &here.collect::<Vec<_>>());
        for_each(value, |inner| remove(inner, path));
        return;
    }
    if rest.is_empty() {
        match (first, value) {
            (Part::Name(name), Value::Object(map)) => drop(map.remove(name)),
            (Part::Every, Value::Object(map)) => map.clear(),
            (Part::Every, Value::Array(list)) => list.clear(),
            // Elements keep their places.
            (Part::Index(index), Value::Array(list)) => {
                if let Some(element) = list.get_mut(*index) {
                    *element = Value::Null;
                }
            }
            _ => {}
        }
        return;
    }
    match first {
        Part::Name(name) => {
            if let Some(inner) = value.get_mut(name) {
                remove(inner, rest);
            }
        }
        Part::Index(index) => {
            if let Some(inner) = value.get_mut(index) {
                remove(inner, rest);
            }
        }
        Part::Every | Part::Anywhere(_) => for_each(value, |inner| remove(inner, rest)),
    }
}

fn for_each(value: &mut Value, mut work: impl FnMut(&mut Value)) {
    match value {
        Value::Object(map) => map.values_mut().for_each(&mut work),
        Value::Array(list) => list.iter_mut().for_each(&mut work),
        _ => {}
    }
}

fn json(message: &Message<'_>, ignored: &[JsonPath]) -> Option<Value> {
    let Message::Text(text) = message else {
        return None;
    };
    let mut value = serde_json::from_str(text).ok()?;
    for JsonPath(path) in ignored {
        remove(&mut value, path);
    }
    Some(value)
}

/// How a message differs from what was recorded; `None` if it does not.
pub fn differ(recorded: &Message<'_>, came: &Message<'_>, ignored: &[JsonPath]) -> Option<String> {
    if recorded == came {
        return None;
    }
    let (Some(one), Some(other)) = (json(recorded, ignored), json(came, ignored)) else {
        return Some(diff::of(&lines(recorded), &lines(came)));
    };
    if one == other {
        return None;
    }
    let lines = |value: &Value| -> Vec<String> {
        let text = format!("{value:#}");
        text.lines().map(str::to_owned).collect()
    };
    Some(diff::of(&lines(&one), &lines(&other)))
}

/// A message in lines.
pub fn lines(message: &Message<'_>) -> Vec<String> {
    match message {
        Message::Text(text) => text.split('\n').map(str::to_owned).collect(),
        Message::Binary(bytes) if bytes.is_empty() => vec!["(no bytes)".to_owned()],
        Message::Binary(bytes) => bytes
            .chunks(16)
            .map(|row| {
                let digits: Vec<_> = row.iter().map(|byte| format!("{byte:02x}")).collect();
                digits.join(" ")
            })
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Message<'_> {
        Message::Text(text.into())
    }

    #[test]
    fn json_is_compared_by_its_values() {
        let same = |one: &str, other: &str, ignored: &[&str]| {
            let ignored = ignored.iter().map(|path| path.parse().expect(path));
            differ(&text(one), &text(other), &ignored.collect::<Vec<_>>()).is_none()
        };
        assert!(same(r#"{"a":1,"b":[2]}"#, r#"{ "b": [2], "a": 1 }"#, &[]));
        assert!(!same(r#"{"a":1}"#, r#"{"a":2}"#, &[]));
        assert!(same(r#"{"a":1,"b":1}"#, r#"{"a":2,"b":1}"#, &["$.a"]));
        assert!(same(r#"{"a":1}"#, "{}", &["$.a"]));
        assert!(!same(r#"{"a":1}"#, "[]", &["$.a"]));
        assert!(same(
            r#"[{"i":1},{"i":2}]"#,
            r#"[{"i":3},{"i":4}]"#,
            &["$[*].i"]
        ));
        assert!(!same(
            r#"[{"i":1},{"i":2}]"#,
            r#"[{"i":3},{"i":4}]"#,
            &["$[0].i"]
        ));
        assert!(same(
            r#"{"x":{"y":[{"i":1}]},"i":2}"#,
            r#"{"x":{"y":[{}]}}"#,
            &["$..i"]
        ));
        assert!(same(
            r#"{"a b":{"c":1}}"#,
            r#"{"a b":{"c":2}}"#,
            &["$['a b'].c"]
        ));
        assert!(!same("one", "two", &["$.a"]));
        assert!(differ(&text("a"), &Message::Binary(b"a"[..].into()), &[]).is_some());
    }
}
