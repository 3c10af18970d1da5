//! Reference entry of one name.

use std::fmt::Write;

use super::section;
use crate::config::nearest;
use crate::machine::host::Function;
use crate::script::api::PACKAGES;
use crate::script::hooks::HOOKS;

/// Names that are offered for one that there is not.
const OFFERED: usize = 3;

/// Returns the reference entries of a name as markdown: functions with it, whatever they are called
/// on, the hook, else the package; or the names that were probably meant.
pub fn entry(name: &str) -> Result<String, Vec<String>> {
    let name = name.trim_end_matches("()");
    let mut text = String::new();
    for function in functions().filter(|function| function.is_called(name)) {
        let _ = write!(
            text,
            "### `{}`\n\n{}\n",
            function.paths().join("`, `"),
            function.entry()
        );
    }
    for hook in HOOKS.iter().filter(|hook| hook.name == name) {
        let call = format!("{}({})", hook.name, hook.params.join(", "));
        let _ = write!(
            text,
            "### `{call}`\n\n    fn {call}\n\nA hook. When: {}. Its result: {}.\n\n",
            hook.when, hook.result
        );
    }
    if text.is_empty() {
        let named = PACKAGES.iter().filter(|package| package.name == name);
        for package in named {
            text.push_str(&section(package));
        }
    }
    if text.is_empty() {
        Err(neighbours(name))
    } else {
        Ok(text.trim_end().to_owned() + "\n")
    }
}

fn functions() -> impl Iterator<Item = &'static Function> {
    PACKAGES.iter().flat_map(|package| package.functions)
}

impl Function {
    /// Whether a name is one of its own, with or without what it is called on.
    fn is_called(&self, name: &str) -> bool {
        let paths = self.paths();
        let is_called = |path: &String| path == name || last(path) == name;
        paths.iter().any(is_called)
    }
}

/// A path's name without what it is called on.
fn last(path: &str) -> &str {
    path.rsplit('.').next().unwrap_or(path)
}

fn neighbours(name: &str) -> Vec<String> {
    let mut known: Vec<String> = functions().flat_map(Function::paths).collect();
    known.extend(HOOKS.iter().map(|hook| hook.name.to_owned()));
    known.extend(PACKAGES.iter().map(|package| package.name.to_owned()));
    let mut near: Vec<String> = Vec::new();
    while near.len() < OFFERED {
        let by_name = |path: &&String| !near.contains(path);
        // `ws.snd` is near to `ws.send`, and so is `snd`.
        let whole = name.contains('.');
        let shown = |path: &'_ String| {
            if whole {
                path.clone()
            } else {
                last(path).to_owned()
            }
        };
        let words: Vec<_> = known
            .iter()
            .filter(by_name)
            .map(|path| (shown(path), path))
            .collect();
        let Some(meant) = nearest(name, words.iter().map(|(word, _)| word.as_str())) else {
            break;
        };
        let path = words.iter().find(|(word, _)| word == meant);
        near.extend(path.map(|(_, path)| (*path).clone()));
    }
    near
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_find_their_entry() {
        let send = entry("ws.send").expect("there is one");
        assert!(send.starts_with("### `ws.send`"), "{send}");
        assert!(
            send.contains("```rhai") && send.contains("ws.send("),
            "{send}"
        );
        assert!(!send.contains("### `ws.send_json`"), "{send}");
        assert_eq!(entry("ws.send()").expect("the same"), send);
        let both = entry("send").expect("whatever it is called on");
        assert!(both.starts_with(&*send) && both.contains("### `connection.send`"));
        assert_eq!(entry("send()").expect("the same"), both);
        let hook = entry("transfer_data").expect("a hook");
        assert!(hook.contains("fn transfer_data(ws, message)"), "{hook}");
        let package = entry("json").expect("a package");
        assert!(
            package.contains("parse_json") && package.contains("to_json"),
            "{package}"
        );
    }

    #[test]
    fn a_name_that_there_is_not_finds_its_neighbours() {
        for (name, meant) in [
            ("ws.snd", "ws.send"),
            ("snd", "ws.send"),
            ("transfer_dat", "transfer_data"),
            ("parse_jsno", "parse_json"),
        ] {
            let near = entry(name).expect_err(name);
            assert!(near.contains(&meant.to_owned()), "{name}: {near:?}");
        }
        assert_eq!(entry("zzzzzz").expect_err("nothing"), Vec::<String>::new());
    }
}
