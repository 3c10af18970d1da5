//! Foreign syntax: what people write who come from another language, and how it is said here.

use super::Location;
use super::elsewhere::REGEX;
use crate::script::hooks::{Hook, HookInfo};

const EXPORTS: &str =
    "every function is public, but for a `private fn`, and so is an `export const NAME = …;`";
const MODULES: &str =
    "a module of the handler folder is brought in by `import \"lib/name\" as name;`";
const CLOSURE: &str =
    "a closure is `|a, b| …`, and a function `fn name(a, b) { … }` at the top level";
const BLOCKS: &str = "blocks have braces: `if condition { … } else { … }`, `while condition { … }`";
const TRIES: &str = "it is written `try { … } catch (e) { … }`";
const LOOPS: &str = "a loop is written `for i in 0..10 { … }` or `for item in array { … }`";
const CASES: &str = "it is written `switch value { 1 => …, _ => … }`";
const NAMELESS: &str = "loops have no names: `break` ends the innermost, and a `return` in a \
    function of its own ends several";

/// Position at which a source does not compile, with the line around it.
struct Context<'a> {
    /// Text of the line, without its indentation.
    line: &'a str,
    /// The line up to the place.
    before: &'a str,
    /// The line from the place on.
    here: &'a str,
    /// Token that Rhai misses; empty if it misses none.
    missing: &'a str,
}

impl Context<'_> {
    fn line_begins(&self, words: &[&str]) -> bool {
        words.iter().any(|word| {
            let rest = self.line.strip_prefix(word);
            rest.is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_'))
        })
    }

    fn follows(&self, texts: &[&str]) -> bool {
        texts.iter().any(|text| self.before.ends_with(text))
    }

    fn is_at(&self, texts: &[&str]) -> bool {
        texts.iter().any(|text| self.here.starts_with(text))
    }
}

/// A form of other languages, and how it is said here.
type Form = (fn(&Context<'_>) -> bool, &'static str);

/// Forms of other languages: the first that fits counts.
const FORMS: &[Form] = &[
    (|at| at.follows(&["."]) && at.is_at(&["match"]), REGEX),
    (
        |at| at.line_begins(&["import", "from"]) && !at.before.ends_with('"') && !at.is_at(&["\""]),
        MODULES,
    ),
    (
        |at| at.line_begins(&["export"]) && at.is_at(&["fn", "default", "function", "async"]),
        EXPORTS,
    ),
    (
        |at| at.line_begins(&["for"]) && at.is_at(&["#{"]) && at.follows(&[" in"]),
        "a loop goes through the names of an object map by `map.keys()`, through its values by \
        `map.values()`",
    ),
    (
        |at| at.line_begins(&["for"]) && at.is_at(&[":=", ","]),
        LOOPS,
    ),
    (
        |at| {
            let rest = at
                .here
                .split_once(':')
                .map_or("", |(_, rest)| rest.trim_start());
            at.before.is_empty()
                && ["for ", "while ", "loop "]
                    .iter()
                    .any(|word| rest.starts_with(word))
        },
        NAMELESS,
    ),
    (|at| at.follows(&["break", "continue"]), NAMELESS),
    (
        |at| at.is_at(&["..."]) && at.line_begins(&["fn"]),
        "a function takes as many values as its name is defined with: hand over an array",
    ),
    (
        |at| at.is_at(&["..."]) && at.follows(&["[", "{", ","]),
        "arrays and object maps are put together by `+`: `a + [1]`, `a + #{ name: 1 }`",
    ),
    (
        |at| at.is_at(&["..."]) && at.follows(&["("]),
        "a call takes its values one by one: `f(list[0], list[1])`, or the array itself",
    ),
    (
        |at| at.is_at(&["fn"]) && at.follows(&["=", "(", ","]),
        CLOSURE,
    ),
    (|at| at.follows(&["function(", "lambda"]), CLOSURE),
    (|at| at.is_at(&["=>"]) && at.missing == ";", CLOSURE),
    (
        |at| at.is_at(&["try"]) && at.follows(&["=", "(", ","]),
        "`try` has no value: `let v = (); try { v = …; } catch (e) { … }`",
    ),
    (
        |at| at.follows(&["let", "const"]) && at.is_at(&["[", "(", "()"]),
        "each name has a `let` of its own: `let a = list[0]; let b = list[1];`",
    ),
    (
        |at| at.follows(&["let", "const"]) && at.is_at(&["{", "#{"]),
        "each name has a `let` of its own: `let a = map.a; let b = map.b;`",
    ),
    (
        |at| at.line_begins(&["let", "const", "var"]) && at.missing == ";" && at.is_at(&[","]),
        "each name has a `let` of its own: `let a = 1; let b = 2;`",
    ),
    (
        |at| at.follows(&["let mut"]),
        "every variable can be changed: leave `mut` out",
    ),
    (
        |at| at.missing == ";" && at.is_at(&["if "]),
        "`if a { b } else { c }` is a value",
    ),
    (|at| at.missing == "=>" || at.follows(&["case"]), CASES),
    (
        |at| {
            let is_condition = at.follows(&["if", "while"]) && at.here.contains(" not in ");
            is_condition || at.is_at(&["not in"])
        },
        "it is written `!(value in list)`",
    ),
    (
        |at| at.follows(&["throw"]) && at.is_at(&["new"]),
        "it is written `throw \"text\"`",
    ),
    (
        |at| at.missing == "{" && (at.before.contains("try") || at.before.contains("catch")),
        TRIES,
    ),
    (|at| at.missing == ")" && at.before.contains("catch"), TRIES),
    (
        |at| {
            at.missing == "{"
                && at.line_begins(&["if", "while", "for", "else", "loop", "} else"])
                && !at.is_at(&["is ", "and ", "or ", "not ", "instanceof "])
        },
        BLOCKS,
    ),
    (
        |at| at.is_at(&["else"]) && at.follows(&[";"]),
        "`else` stands right behind the `}` of its `if`, without a `;`",
    ),
    (
        |at| at.before.ends_with('[') && at.here.contains(" for "),
        "a list is made of another by `list.map(|x| …)` and `list.filter(|x| …)`",
    ),
    (
        |at| at.line_begins(&["fn", "private"]) && at.missing == "," && at.is_at(&[":"]),
        "parameters have no types: `fn name(a, b) { … }`",
    ),
    (
        |at| at.line_begins(&["fn", "private"]) && at.missing == "," && at.is_at(&["="]),
        "parameters have no defaults: define `fn name(a)` and `fn name(a, b)`",
    ),
    (
        |at| at.line_begins(&["fn", "private"]) && at.is_at(&["->", ":"]),
        "what a function gives has no type: `fn name(a, b) { … }`",
    ),
    (
        |at| at.is_at(&["&"]),
        "values are handed over by their names: leave the `&` out",
    ),
    (
        |at| at.is_at(&["="]) && at.follows(&["??", "&&", "||", "**"]),
        "it is written out: `a = a ?? b`",
    ),
    (
        |at| at.is_at(&["["]) && at.follows(&["."]),
        "an index is `a[0]`, or `a?[0]` where `a` may be `()`",
    ),
    (
        |at| at.is_at(&["("]) && at.follows(&["?."]),
        "a call is written `f(…)`",
    ),
];

/// Words and signs of other languages, and how it is said here.
const FOREIGN: &[(&[&str], &str)] = &[
    (&["True", "TRUE"], "it is written `true`"),
    (&["False", "FALSE"], "it is written `false`"),
    (
        &["null", "nil", "None", "NULL", "undefined", "void"],
        "nothing is written `()`",
    ),
    (&["and"], "it is written `&&`"),
    (&["or"], "it is written `||`"),
    (&["not"], "it is written `!`"),
    (&["is", "==="], "it is written `==`"),
    (&["!==", "<>"], "it is written `!=`"),
    (&["elif", "elseif", "elsif"], "it is written `else if`"),
    (
        &["def", "function", "func", "sub"],
        "a function is `fn name(a, b) { … }` at the top level, a closure is `|a, b| …`",
    ),
    (&["lambda", "=>", "->"], "a closure is `|a, b| …`"),
    (
        &["var", "val", "auto", "local", "mut"],
        "a variable is made by `let`, a constant by `const`",
    ),
    (
        &["static"],
        "a constant is made by `const` at the top level; `this` keeps what changes",
    ),
    (
        &["async", "await", "yield"],
        "what waits is called like everything else: leave the word out",
    ),
    (
        &["spawn", "thread", "go", "sync"],
        "there are no threads: while a hook waits, others run",
    ),
    (
        &["new", "class", "struct", "interface", "object"],
        "there are no classes: an object map is `#{ name: value }`, and `throw \"text\"` throws",
    ),
    (
        &["match", "case", "select", "default"],
        "it is written `switch value { 1 => …, _ => … }`",
    ),
    (
        &["except", "rescue"],
        "it is written `try { … } catch (e) { … }`",
    ),
    (
        &["foreach", "of", "each"],
        "a loop is written `for item in array { … }`",
    ),
    (
        &["finally"],
        "what stands behind `try { … } catch (e) { … }` runs either way",
    ),
    (&["raise"], "it is written `throw \"text\"`"),
    (
        &["delete"],
        "a map's property is removed by `map.remove(\"name\")`",
    ),
    (&["pass"], "a block may be empty: leave the word out"),
    (
        &["typeof", "instanceof", "isinstance"],
        "it is a function: `type_of(value) == \"string\"`",
    ),
    (&["repeat"], "a loop is written `for i in 0..3 { … }`"),
    (&["unless"], "it is written `if !condition { … }`"),
    (
        &["defer"],
        "`on_close(ws, code, reason, was_clean)` runs at the end of a connection",
    ),
    (
        &["global", "nonlocal"],
        "`this` keeps what changes, and `global::NAME` is a constant of the file",
    ),
    (&["export"], EXPORTS),
    (&[":="], "a variable is made by `let name = …;`"),
    (&["|>"], "a method is called with a dot: `value.to_upper()`"),
    (
        &["@"],
        "there are no decorators: the server calls functions by their names",
    ),
    (
        &["use", "include", "require", "from"],
        "a module is brought in by `import \"file\" as name;`",
    ),
    (&["public", "protected", "package", "module"], EXPORTS),
    (&["type_of"], "it is a function: `type_of(value)`"),
    (&["eval"], "a handler runs no text as code"),
    (
        &["curry"],
        "closures take along what they use: `|y| f(x, y)`",
    ),
    (&["++"], "it is written `+= 1`"),
    (&["--"], "it is written `-= 1`"),
    (&["?"], "`if a { b } else { c }` is a value"),
    (
        &["#"],
        "a comment begins with `//`, an object map with `#{`",
    ),
    (
        &["$"],
        "names have no `$`; in a `text` between backticks it is `${name}`",
    ),
    (&["..."], "a range is `0..10`, or `0..=9` with its end"),
];

/// Returns the hint for the word or sign of another language that stands here.
pub fn said_here(location: &Location) -> Option<&'static str> {
    let (word, from_here) = (location.word(), &location.text[location.span().start..]);
    let is_this = |known: &&str| {
        let is_sign = !known.starts_with(|c: char| c.is_alphabetic());
        if is_sign {
            from_here.starts_with(known)
        } else {
            word == *known
        }
    };
    let mut found = FOREIGN
        .iter()
        .filter(|(known, _)| known.iter().any(is_this));
    found.next().map(|(_, hint)| *hint)
}

/// Prefix of a hook's name in pywebsocket.
const PREFIX: &str = "web_socket_";

/// Names of events elsewhere, with the hook for each: without the `on` before them, `_` and
/// capitals.
const EVENTS: &[(&[&str], Hook)] = &[
    (
        &["message", "data", "text", "binary", "receive"],
        Hook::TransferData,
    ),
    (
        &["open", "connect", "connection", "connected"],
        Hook::OnOpen,
    ),
    (
        &["close", "closed", "disconnect", "disconnected"],
        Hook::OnClose,
    ),
    (&["ping"], Hook::OnPing),
    (&["pong"], Hook::OnPong),
];

/// The hook that another server has under this name.
pub fn hook(name: &str) -> Option<&'static HookInfo> {
    let bare = name.replace('_', "").to_lowercase();
    let event = bare.strip_prefix("on")?;
    let found = EVENTS.iter().find(|(names, _)| names.contains(&event));
    found.map(|(_, hook)| hook.info())
}

/// A hook's name without what pywebsocket writes before it.
pub fn without_prefix(name: &str) -> Option<&str> {
    name.strip_prefix(PREFIX)
}

/// Returns the hint for the form of another language that this place is in the middle of; `missing`
/// is the token that Rhai misses.
pub fn form_here(location: &Location, missing: &str) -> Option<String> {
    let before = location.text[..location.span().start].trim_end();
    let from_here = &location.text[location.span().start..];
    let place = Context {
        line: location.text.trim_start(),
        before: before.trim_start(),
        here: from_here,
        missing,
    };
    if let Some((_, hint)) = FORMS.iter().find(|(fits, _)| fits(&place)) {
        return Some((*hint).to_owned());
    }
    let last_word = |text: &str| {
        let start = text.rfind(|c: char| !c.is_alphanumeric() && c != '_');
        text[start.map_or(0, |at| at + 1)..].to_owned()
    };
    match location.word() {
        ":" => {
            let name = last_word(before);
            let keyword = last_word(before.strip_suffix(&*name)?.trim_end());
            if !name.is_empty() && ["let", "const"].contains(&&*keyword) {
                return Some(format!("types are not written: `{keyword} {name} = …;`"));
            }
            let (front, key) = before.strip_suffix('"')?.rsplit_once('"')?;
            front
                .trim_end()
                .ends_with('{')
                .then(|| format!("an object map is written `#{{ \"{key}\": … }}`"))
        }
        "=" if !from_here.starts_with("==") => {
            let (front, _) = before.rsplit_once('(')?;
            ["if", "while"]
                .contains(&&*last_word(front.trim_end()))
                .then(|| "values are compared by `==`".to_owned())
        }
        "let" | "const" => {
            let front = before.strip_suffix('(').unwrap_or(before).trim_end();
            (last_word(front) == "for").then(|| LOOPS.to_owned())
        }
        _ => None,
    }
}
