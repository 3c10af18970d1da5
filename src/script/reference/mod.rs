//! The reference of everything a handler may define and call: a hand-written guide, the table of
//! hooks, the bounds, and the packages' own rows, as markdown for people and as definition files
//! for editors.
//!
//! Nothing here says what a function does: that stands beside what registers it.

mod definitions;
mod entry;

use std::fmt::Write;
use std::time::Duration;

pub use definitions::definitions;
pub use entry::entry;

use super::api::PACKAGES;
use super::hooks::HOOKS;
use crate::config::limits::{SCRIPT, STORES, TOPICS, WEBSOCKET};
use crate::machine::host::{Allowed, Function, Package};

/// Template of the guide that a person reads; `{{hooks}}`, `{{limits}}` and `{{reference}}` stand
/// for what is made from tables.
const GUIDE: &str = include_str!("guide.md");

/// The whole reference as markdown: what `wsh-server api` prints, and `docs/scripting.md`.
pub fn markdown() -> String {
    GUIDE
        .replace("{{hooks}}\n", &hooks())
        .replace("{{limits}}\n", &limits())
        .replace("{{reference}}\n", &packages())
}

fn hooks() -> String {
    let mut table = "| hook | when | its result |\n|---|---|---|\n".to_owned();
    for hook in &HOOKS {
        let call = format!("{}({})", hook.name, hook.params.join(", "));
        let _ = writeln!(table, "| `{call}` | {} | {} |", hook.when, hook.result);
    }
    table
}

fn limits() -> String {
    let rows = [
        (
            "a message, in or out",
            bytes(WEBSOCKET.message),
            "Close 1009; `request.max_message` makes it less",
        ),
        (
            "computing of a hook between two waits",
            format!(
                "{}, {} operations",
                time(SCRIPT.budget),
                count(SCRIPT.operations as usize)
            ),
            "fault",
        ),
        ("the same in `on_close`", time(SCRIPT.close_budget), "fault"),
        ("memory that a hook takes", bytes(SCRIPT.memory), "fault"),
        (
            "of that, a string or blob",
            bytes(2 * SCRIPT.string),
            "fault",
        ),
        (
            "a string or blob that one call makes, like `pad`",
            bytes(SCRIPT.string),
            "throws `limit`",
        ),
        (
            "an array that one call makes, like `split`",
            format!("{} elements", count(SCRIPT.list)),
            "throws `limit`",
        ),
        ("strings and blobs in `this`", bytes(SCRIPT.state), "fault"),
        (
            "maps and arrays inside each other in `this` and in JSON",
            count(SCRIPT.depth),
            "fault",
        ),
        (
            "calls inside each other",
            count(SCRIPT.call_levels),
            "fault",
        ),
        ("variables at a time", count(SCRIPT.variables), "fault"),
        (
            "functions of a file",
            count(SCRIPT.functions),
            "it does not compile",
        ),
        (
            "a handler's file",
            bytes(SCRIPT.source),
            "it does not compile",
        ),
        (
            "modules of a handler",
            count(SCRIPT.modules),
            "it does not compile",
        ),
        (
            "unsent bytes",
            bytes(WEBSOCKET.send_queue),
            "`ws.send` waits",
        ),
        (
            "a client that says nothing",
            format!(
                "{} s, then a Ping, then {} s more",
                WEBSOCKET.ping, WEBSOCKET.pong
            ),
            "it is dropped",
        ),
        (
            "bytes of messages that arrive while a hook runs",
            bytes(WEBSOCKET.read_ahead),
            "the client has to wait",
        ),
        (
            "hooks that wait at the same time",
            count(SCRIPT.waiting),
            "the next one that would is ended, with Close 1013",
        ),
        (
            "of those, hooks in `receive()`, as a loop for as long as its connection lives",
            count(SCRIPT.receiving),
            "Close 1013",
        ),
        (
            "topics of a handler",
            count(TOPICS.topics),
            "throws `topics`",
        ),
        (
            "topics that a connection subscribes to",
            count(TOPICS.subscriptions),
            "throws `subscriptions`",
        ),
        ("a topic's name", bytes(TOPICS.name), "throws `topic`"),
        (
            "messages in a topic's history",
            count(TOPICS.history),
            "throws `history`",
        ),
        (
            "what the histories of a handler's topics keep",
            bytes(TOPICS.bytes),
            "older messages go",
        ),
        ("keys of a handler", count(STORES.keys), "throws `keys`"),
        ("a key", bytes(STORES.key), "throws `key`"),
        (
            "a value in a store or a queue",
            bytes(STORES.value),
            "throws `value`",
        ),
        (
            "what the stores and queues of a handler keep",
            bytes(STORES.bytes),
            "throws `full`",
        ),
        (
            "queues of a handler",
            count(STORES.queues),
            "throws `queues`",
        ),
        (
            "values of a queue",
            format!("{}, {}", count(STORES.entries), bytes(STORES.queue)),
            "`put` waits",
        ),
    ];
    let mut table = "| what | bound | beyond it |\n|---|---|---|\n".to_owned();
    for (what, bound, beyond) in rows {
        let _ = writeln!(table, "| {what} | {bound} | {beyond} |");
    }
    table
}

fn packages() -> String {
    let mut text = String::new();
    for Package {
        name, functions, ..
    } in PACKAGES
    {
        let _ = write!(text, "* [**{name}**](#package-{name}):");
        for function in *functions {
            let anchor = function.name().replace('.', "");
            for path in function.paths() {
                let _ = write!(text, " [`{path}`](#{anchor})");
            }
        }
        text.push('\n');
    }
    for package in PACKAGES {
        let _ = write!(text, "\n{}", section(package));
    }
    text
}

/// A package, with all that is in it.
fn section(package: &Package) -> String {
    let Package {
        name,
        about,
        functions,
    } = package;
    let mut text = format!("## Package {name}\n\n{about}\n");
    for function in *functions {
        let _ = write!(text, "\n### `{}`\n\n{}", function.name(), function.entry());
    }
    text
}

impl Function {
    /// Returns its names, with what it belongs to: `sleep`, `ws.send`; every name of its own once.
    fn paths(&self) -> Vec<String> {
        let mut paths: Vec<_> = self.written().map(|form| form.path()).collect();
        paths.dedup();
        paths
    }

    /// The first of its names.
    fn name(&self) -> String {
        self.paths().into_iter().next().unwrap_or_default()
    }

    /// All that there is to know of it, below its heading.
    fn entry(&self) -> String {
        let mut text = String::new();
        for form in self.forms() {
            let _ = writeln!(text, "    {form}");
        }
        let _ = writeln!(text, "\n{}\n", self.about);
        for remark in self.remarks() {
            let _ = writeln!(text, "* {remark}");
        }
        let _ = writeln!(text, "\n```rhai\n{}\n```", self.example);
        text
    }

    /// Returns the remarks on where it may be called and what it throws, a sentence each.
    fn remarks(&self) -> impl Iterator<Item = String> {
        let throws = self
            .throws
            .iter()
            .map(|(kind, when)| format!("Throws `{kind}` {when}."));
        std::iter::once(self.place()).chain(throws)
    }

    fn place(&self) -> String {
        match self.allowed {
            Allowed::Everywhere if self.forms().count() > self.signatures.len() => {
                "With `request` in `do_extra_handshake`, with `ws` in every later hook.".into()
            }
            Allowed::Everywhere => "In every hook.".into(),
            Allowed::Open => "In every hook that has `ws`.".into(),
            Allowed::Only(hooks) => {
                let names: Vec<_> = hooks.iter().map(|hook| format!("`{hook}`")).collect();
                format!("Only in {}.", names.join(" and "))
            }
        }
    }
}

/// A number with its thousands apart.
fn count(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.char_indices() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn bytes(number: usize) -> String {
    const KIB: usize = 1024;
    const MIB: usize = KIB * KIB;
    match number {
        MIB.. if number.is_multiple_of(MIB) => format!("{} MiB", count(number / MIB)),
        KIB.. if number.is_multiple_of(KIB) => format!("{} KiB", count(number / KIB)),
        _ => format!("{} bytes", count(number)),
    }
}

fn time(duration: Duration) -> String {
    match duration.subsec_millis() {
        0 => format!("{} s", duration.as_secs()),
        _ => format!("{} ms", duration.as_millis()),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use rhai::Engine;
    use rhai::packages::{Package as _, StandardPackage};

    use super::*;
    use crate::machine::host::Host;
    use crate::script::api::form::{Form, OBJECTS, types};
    use crate::script::engine::engine;

    /// The type that a function belongs to if it is one of ours, its name and the number of its
    /// parameters.
    type Known = (Option<&'static str>, String, usize);

    /// Returns the functions registered with an engine, beside its packages or with them.
    fn registered(engine: &Engine, packages: bool) -> BTreeSet<Known> {
        let known = |info: rhai::FuncInfo<'_>| {
            let class = info.metadata.param_types.first().and_then(|first| {
                let (name, _) = types().find(|(_, of)| of == first)?;
                OBJECTS
                    .iter()
                    .map(|(class, _)| *class)
                    .find(|class| *class == name)
            });
            let name = info.metadata.name.to_string();
            Some((class, name, info.metadata.num_params))
        };
        let all = engine.collect_fn_metadata(None, known, packages);
        all.into_iter().collect()
    }

    #[test]
    fn every_row_is_registered_and_every_registration_has_a_row() {
        let ours = registered(&engine(&Host::default()), false);
        let mut rhai = Engine::new_raw();
        rhai.register_global_module(StandardPackage::new().as_shared_module());
        let rhais = registered(&rhai, true);
        let mut documented = BTreeSet::new();
        for function in PACKAGES.iter().flat_map(|package| package.functions) {
            for text in function.signatures {
                assert!(Form::of(text).is_some(), "{text} is no signature");
            }
            documented.extend(function.forms().map(|form| form.registered()));
        }
        let unknown: Vec<_> = documented.difference(&ours).collect();
        assert!(
            unknown.is_empty(),
            "in a row and not registered: {unknown:?}"
        );
        let undocumented = ours.difference(&documented).filter(|(_, name, params)| {
            // Conversions to text belong to every type, and some of Rhai's functions are made anew.
            !rhais.contains(&(None, name.clone(), *params))
        });
        let undocumented: Vec<_> = undocumented.collect();
        assert!(
            undocumented.is_empty(),
            "registered without a row: {undocumented:?}"
        );
    }

    #[test]
    fn numbers_are_readable() {
        assert_eq!(
            [count(0), count(999), count(1_000), count(1_234_567)],
            ["0", "999", "1,000", "1,234,567"]
        );
        assert_eq!(
            [bytes(123), bytes(1_536), bytes(64 << 10), bytes(3 << 20)],
            ["123 bytes", "1,536 bytes", "64 KiB", "3 MiB"]
        );
        assert_eq!(
            [
                time(Duration::from_secs(90)),
                time(Duration::from_millis(100))
            ],
            ["90 s", "100 ms"]
        );
    }
}
