//! Paths in JSON, as RFC 9535 writes them: the members and elements that may differ.

use std::str::FromStr;

/// A path in JSON whose values may differ: `$.time`, `$.users[*].id`, `$..id`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonPath(pub Vec<Part>);

/// A step of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// A member.
    Name(String),
    /// An element.
    Index(usize),
    /// Every element or member.
    Every,
    /// A member of this name at any depth.
    Anywhere(String),
}

impl FromStr for JsonPath {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || "a path in JSON is wanted, such as $.time, $.users[*].id or $..id".to_owned();
        let mut rest = text.strip_prefix('$').ok_or_else(wrong)?;
        let mut parts = Vec::new();
        while !rest.is_empty() {
            if let Some(behind) = rest.strip_prefix('[') {
                let (inner, more) = behind.split_once(']').ok_or_else(wrong)?;
                let quoted = inner
                    .strip_prefix(['\'', '"'])
                    .and_then(|inner| inner.strip_suffix(['\'', '"']));
                parts.push(match (inner, quoted) {
                    (_, Some(name)) => Part::Name(name.to_owned()),
                    ("*", None) => Part::Every,
                    (index, None) => Part::Index(index.parse().map_err(|_| wrong())?),
                });
                rest = more;
                continue;
            }
            let anywhere = rest.strip_prefix("..");
            let behind = anywhere.or_else(|| rest.strip_prefix('.'));
            let behind = behind.ok_or_else(wrong)?;
            let end = behind.find(['.', '[']).unwrap_or(behind.len());
            let (name, more) = behind.split_at(end);
            parts.push(match (name, anywhere) {
                ("", _) => return Err(wrong()),
                ("*", None) => Part::Every,
                (name, None) => Part::Name(name.to_owned()),
                (name, Some(_)) => Part::Anywhere(name.to_owned()),
            });
            rest = more;
        }
        match parts.is_empty() {
            true => Err(wrong()),
            false => Ok(Self(parts)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_path_is_refused() {
        for path in ["", "a", "$", "$.", "$a", "$[", "$[x]", "$..", "$.a..b."] {
            assert!(path.parse::<JsonPath>().is_err(), "{path}");
        }
    }
}
