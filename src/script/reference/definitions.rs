//! Definition files: what Rhai's language servers read, so that editors complete and explain what
//! handlers call.

use std::fmt::Write;

use rhai::Engine;
use rhai::packages::{Package as _, StandardPackage};

use crate::machine::host::{Function, Package};
use crate::script::api::PACKAGES;

/// Functions of Rhai that fail here whatever they are given.
const OFF: [&str; 3] = ["eval", "curry", "timestamp"];

/// Their names and contents: Rhai's own functions, and ours in a file for each package.
pub fn definitions() -> Vec<(String, String)> {
    let mut engine = Engine::new_raw();
    engine.register_global_module(StandardPackage::new().as_shared_module());
    let replaced: Vec<_> = PACKAGES
        .iter()
        .flat_map(|package| package.functions)
        .flat_map(Function::paths)
        .collect();
    let is_here = |definition: &&str| {
        let name = name_of(definition);
        !OFF.contains(&name) && !replaced.iter().any(|path| path == name)
    };
    let rhais = engine.definitions();
    let own = rhais.iter_files().map(|(name, text)| {
        let text = text.replace("\r\n", "\n");
        let kept: Vec<_> = text.split("\n\n").filter(is_here).collect();
        (name, kept.join("\n\n"))
    });
    let ours = PACKAGES
        .iter()
        .map(|package| (format!("{}.d.rhai", package.name), definition(package)));
    own.chain(ours).collect()
}

fn definition(package: &Package) -> String {
    let mut text = format!("/// {}\nmodule static;\n", lines(package.about));
    for function in package.functions {
        let mut about = format!("\n/// {}\n///\n", lines(function.about));
        for remark in function.remarks() {
            let _ = writeln!(about, "/// * {remark}");
        }
        let example = lines(function.example);
        let _ = writeln!(about, "///\n/// ```rhai\n/// {example}\n/// ```");
        for form in function.forms() {
            let _ = writeln!(text, "{about}{}", form.definition());
        }
    }
    text
}

/// A text whose first line stands behind `///` already.
fn lines(text: &str) -> String {
    text.replace('\n', "\n/// ")
}

/// The function that a definition is about, below its comments; empty for anything else.
fn name_of(definition: &str) -> &str {
    let line = definition.trim_end().lines().next_back().unwrap_or("");
    let name = line
        .strip_prefix("fn ")
        .and_then(|line| line.split_once('('));
    name.map_or("", |(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::host::Host;
    use crate::script::engine::engine;

    #[test]
    fn every_form_of_every_row_is_defined() {
        let files = definitions();
        for package in PACKAGES {
            let name = format!("{}.d.rhai", package.name);
            let (_, text) = files.iter().find(|(file, _)| *file == name).expect(&name);
            for form in package.functions.iter().flat_map(Function::forms) {
                let line = format!("\n{}\n", form.definition());
                assert_eq!(text.matches(&line).count(), 1, "{line}");
            }
        }
    }

    #[test]
    fn what_is_off_or_replaced_is_not_rhais() {
        let engine = engine(&Host::default());
        let files = definitions();
        let defined = |name: &str| {
            let all = files.iter().flat_map(|(_, text)| text.split("\n\n"));
            all.filter(|definition| name_of(definition) == name).count()
        };
        for word in OFF {
            assert!(engine.run(&format!("{word}()")).is_err(), "{word}");
            assert_eq!(defined(word), 0, "{word}");
        }
        assert_eq!(defined("sleep"), 1);
        assert_eq!(defined("type_of"), 1);
        assert_eq!(defined("parse_float"), 1);
    }
}
