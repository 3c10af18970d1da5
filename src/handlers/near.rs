//! NearMisses misses: files that are no handlers and were probably meant as such, named where a
//! folder has none.

use std::collections::BTreeMap;
use std::path::Path;

use super::path::SUFFIX;
use crate::script;

/// Number of near misses that the message names.
const NAMED: usize = 5;
/// Upper bound on near misses kept per scan.
const MOST: usize = 100;

/// Files by name, with what each is and what to do.
#[derive(Debug, Default)]
pub struct NearMisses(BTreeMap<String, String>);

impl NearMisses {
    /// Takes note of a file that is no handler.
    pub fn note(&mut self, folder: &str, name: &str) {
        if self.0.len() >= MOST {
            return;
        }
        if let Some(what) = what(name) {
            let slash = if folder.is_empty() { "" } else { "/" };
            self.0.insert(format!("{folder}{slash}{name}"), what);
        }
    }

    /// That there is no handler, the rule, and what there is.
    pub fn sentence(&self, root: &Path) -> String {
        let named: Vec<_> = self
            .0
            .iter()
            .take(NAMED)
            .map(|(name, what)| format!("{name} ({what})"))
            .collect();
        let more = self.0.len() - named.len();
        let listed = match named.split_last() {
            None => ". `wsh-server new NAME` writes one to begin with".to_owned(),
            Some(_) if more > 0 => format!(". There are {} and {more} more", named.join(", ")),
            Some((only, [])) => format!(". There is {only}"),
            Some((last, rest)) => format!(". There are {} and {last}", rest.join(", ")),
        };
        let root = root.display();
        format!("no handler in {root}: a handler is NAME{SUFFIX}{listed}")
    }
}

/// Describes a near miss, and what to do about it; `None` for a file that nobody meant as a
/// handler.
fn what(name: &str) -> Option<String> {
    let small = name.to_ascii_lowercase();
    let stem = |end: &str| &name[..name.len() - end.len()];
    let renamed = |stem: &str| format!("{}{SUFFIX}", bare(stem));
    if small.ends_with("_wsh.py") {
        return Some("a pywebsocket handler: see docs/from-pywebsocket.md".to_owned());
    }
    if small.ends_with(SUFFIX) {
        return Some(format!(
            "capitals: rename it to {} to serve it",
            renamed(stem(script::SUFFIX))
        ));
    }
    if name.ends_with(script::SUFFIX) {
        let new = renamed(stem(script::SUFFIX));
        return Some(format!("a module; rename it to {new} to serve it"));
    }
    if small.ends_with(script::SUFFIX) {
        let new = renamed(stem(script::SUFFIX));
        return Some(format!("capitals: rename it to {new} to serve it"));
    }
    for end in [".rhai.txt", ".rhai.rhai", "_wsh.txt", "_wsh"] {
        if small.ends_with(end) {
            return Some(format!("rename it to {} to serve it", renamed(stem(end))));
        }
    }
    let languages = [
        (".py", "Python"),
        (".js", "JavaScript"),
        (".mjs", "JavaScript"),
        (".ts", "TypeScript"),
        (".lua", "Lua"),
        (".rb", "Ruby"),
    ];
    let (end, language) = languages.iter().find(|(end, _)| small.ends_with(end))?;
    let new = renamed(stem(end));
    Some(format!(
        "{language}: a handler is written in Rhai, in {new}"
    ))
}

/// A stem without what somebody took for the suffix: `echo` of `Echo_WSH`, `echo-wsh`, `echo.wsh`.
fn bare(stem: &str) -> &str {
    let cut = stem.len().saturating_sub(3);
    match stem.get(cut..) {
        Some(end) if cut > 0 && end.eq_ignore_ascii_case("wsh") => {
            stem[..cut].trim_end_matches(['_', '-', '.', ' '])
        }
        _ => stem,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_meant_is_said() {
        for (name, means) in [
            ("echo_wsh.py", "see docs/from-pywebsocket.md"),
            ("echo.rhai", "a module; rename it to echo_wsh.rhai"),
            ("Echo_WSH.rhai", "rename it to Echo_wsh.rhai"),
            ("echo_wsh.RHAI", "rename it to echo_wsh.rhai"),
            ("echo-wsh.rhai", "rename it to echo_wsh.rhai"),
            ("echo_wsh.rhai.txt", "rename it to echo_wsh.rhai"),
            ("echo_wsh.txt", "rename it to echo_wsh.rhai"),
            ("echo_wsh.js", "in Rhai, in echo_wsh.rhai"),
            ("echo.js", "in Rhai, in echo_wsh.rhai"),
        ] {
            let what = what(name).expect(name);
            assert!(what.contains(means), "{name}: {what}");
        }
        for name in ["README.md", "index.html", "photo.png", "wsh"] {
            assert_eq!(what(name), None, "{name}");
        }
    }

    #[test]
    fn the_rule_stands_before_the_names() {
        let said = |names: &[&str]| {
            let mut near = NearMisses::default();
            names.iter().for_each(|name| near.note("", name));
            near.sentence(Path::new("e1"))
        };
        assert_eq!(
            said(&["echo_wsh.py", "echo.rhai"]),
            "no handler in e1: a handler is NAME_wsh.rhai. There are echo.rhai (a module; rename \
            it to echo_wsh.rhai to serve it) \
             and echo_wsh.py (a pywebsocket handler: see docs/from-pywebsocket.md)"
        );
        assert!(said(&[]).ends_with("`wsh-server new NAME` writes one to begin with"));
        let many: Vec<_> = (0..20).map(|number| format!("m{number}.rhai")).collect();
        let many: Vec<_> = many.iter().map(String::as_str).collect();
        assert!(said(&many).ends_with(" and 15 more"), "{}", said(&many));
    }
}
