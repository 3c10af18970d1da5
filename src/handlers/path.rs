//! Paths: a handler's file name to a route, and a request's target to what routes are compared
//! with.

use std::fmt;

use percent_encoding::percent_decode_str;

/// The end of a handler's file name.
pub const SUFFIX: &str = "_wsh.rhai";

/// First characters of names that are passed over, because they are editors' leavings:
/// `.echo_wsh.rhai.swp`, `.#echo_wsh.rhai`, `#echo_wsh.rhai#`, `~echo_wsh.rhai`.
pub const IGNORED_PREFIXES: [char; 3] = ['.', '#', '~'];

/// The path pattern of a handler: literal segments and parameters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Route(Vec<Segment>);

/// Literals come before parameters, also in order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Segment {
    Literal(String),
    Parameter(String),
}

impl Route {
    /// The routes of a file below the root, named with `/`: `a/b_wsh.rhai` is `/a/b`;
    /// `a/index_wsh.rhai` and `a/_wsh.rhai` are `/a` and `/a/`; `room/[id]_wsh.rhai` has a
    /// parameter. Empty if it is no handler.
    pub fn of_file(file: &str) -> Vec<Self> {
        let Some(stem) = file.strip_suffix(SUFFIX) else {
            return Vec::new();
        };
        let (folder, name) = stem
            .rsplit_once('/')
            .map_or(("", stem), |(folder, name)| (folder, name));
        let mut segments: Vec<_> = folder
            .split('/')
            .filter(|part| !part.is_empty())
            .map(Segment::of_name)
            .collect();
        if !name.is_empty() && name != "index" {
            segments.push(Segment::of_name(name));
            return vec![Self(segments)];
        }
        let mut with_slash = segments.clone();
        with_slash.push(Segment::Literal(String::new()));
        if segments.is_empty() {
            vec![Self(with_slash)]
        } else {
            vec![Self(segments), Self(with_slash)]
        }
    }

    /// The path, if it has no parameters.
    pub fn as_literal(&self) -> Option<String> {
        self.0
            .iter()
            .all(|segment| matches!(segment, Segment::Literal(_)))
            .then(|| self.to_string())
    }

    /// Returns the parameters and their values, if a decoded path matches.
    pub fn matches(&self, path: &str) -> Option<Vec<(String, String)>> {
        let mut parts = path.strip_prefix('/')?.split('/');
        let mut params = Vec::new();
        for segment in &self.0 {
            match (segment, parts.next()?) {
                (Segment::Literal(literal), part) if literal == part => {}
                (Segment::Parameter(name), part) if !part.is_empty() => {
                    params.push((name.clone(), part.to_owned()))
                }
                _ => return None,
            }
        }
        parts.next().is_none().then_some(params)
    }
}

impl Segment {
    fn of_name(name: &str) -> Self {
        match name
            .strip_prefix('[')
            .and_then(|name| name.strip_suffix(']'))
        {
            Some(parameter) if !parameter.is_empty() => Self::Parameter(parameter.to_owned()),
            _ => Self::Literal(name.to_owned()),
        }
    }
}

impl fmt::Display for Route {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|segment| match segment {
            Segment::Literal(text) => write!(out, "/{text}"),
            Segment::Parameter(name) => write!(out, "/[{name}]"),
        })
    }
}

/// The reason why a path is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// Not `%` and two hexadecimal digits, or not UTF-8.
    #[error("the path is not percent-encoded UTF-8")]
    Encoding,
    /// An encoded slash, a NUL, a backslash or another control character.
    #[error("the path has a character that no path may have")]
    Character,
    /// `.` or `..`, or an empty one at the front.
    #[error("the path has a dot segment or begins with two slashes")]
    Segment,
}

/// A target's path, decoded once. It names things and is never joined to a folder.
pub fn decode_path(path: &str) -> Result<String, PathError> {
    let bytes = path.as_bytes();
    for (at, _) in bytes.iter().enumerate().filter(|(_, byte)| **byte == b'%') {
        match bytes.get(at + 1..at + 3) {
            Some(b"2f" | b"2F" | b"5c" | b"5C") => return Err(PathError::Character),
            Some(digits) if digits.iter().all(u8::is_ascii_hexdigit) => {}
            _ => return Err(PathError::Encoding),
        }
    }
    let decoded = percent_decode_str(path)
        .decode_utf8()
        .map_err(|_| PathError::Encoding)?;
    if decoded.chars().any(|c| c.is_control() || c == '\\') {
        return Err(PathError::Character);
    }
    if decoded.starts_with("//") || decoded.split('/').any(|part| part == "." || part == "..") {
        return Err(PathError::Segment);
    }
    Ok(decoded.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routes(file: &str) -> Vec<String> {
        Route::of_file(file).iter().map(Route::to_string).collect()
    }

    #[test]
    fn files_have_routes() {
        assert_eq!(routes("echo_wsh.rhai"), ["/echo"]);
        assert_eq!(routes("a/b_wsh.rhai"), ["/a/b"]);
        assert_eq!(routes("a/index_wsh.rhai"), ["/a", "/a/"]);
        assert_eq!(routes("a/_wsh.rhai"), ["/a", "/a/"]);
        assert_eq!(routes("_wsh.rhai"), ["/"]);
        assert_eq!(routes("room/[id]_wsh.rhai"), ["/room/[id]"]);
        assert_eq!(routes("[a]/x/[b]_wsh.rhai"), ["/[a]/x/[b]"]);
        assert!(routes("lib/chat.rhai").is_empty());
    }

    #[test]
    fn parameters_match_one_part_that_is_not_empty() {
        let route = &Route::of_file("room/[id]_wsh.rhai")[0];
        assert_eq!(
            route.matches("/room/7"),
            Some(vec![("id".into(), "7".into())])
        );
        assert_eq!(route.matches("/room/"), None);
        assert_eq!(route.matches("/room/7/8"), None);
    }

    #[test]
    fn paths_are_decoded_once() {
        assert_eq!(decode_path("/sp%20ace/%65cho"), Ok("/sp ace/echo".into()));
        assert_eq!(decode_path("/%252e"), Ok("/%2e".into()));
        for path in ["/%2fetc", "/a%5cb", "/%00", "/a\\b"] {
            assert_eq!(decode_path(path), Err(PathError::Character), "{path}");
        }
        for path in ["/..", "/a/./b", "/%2e%2e/x", "//etc/passwd"] {
            assert_eq!(decode_path(path), Err(PathError::Segment), "{path}");
        }
        for path in ["/%zz", "/%c0%ae", "/%", "/%4"] {
            assert_eq!(decode_path(path), Err(PathError::Encoding), "{path}");
        }
    }
}
