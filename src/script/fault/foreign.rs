//! What people write who come from another language, and how it is said here.

use super::Location;
use crate::script::hooks::{Hook, HookInfo};

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
        &["use", "include", "require", "from"],
        "a module is brought in by `import \"file\" as name;`",
    ),
    (
        &["public", "protected", "package", "module"],
        "every function is public, and a `private fn` is not",
    ),
    (&["console"], "`print(…)` and `debug(…)` write to the log"),
    (
        &["JSON"],
        "there are `parse_json(text)` and `to_json(value)`",
    ),
    (
        &["Math"],
        "numbers have methods: `x.sqrt()`, `x.floor()`, `x.abs()`",
    ),
    (&["self"], "a connection's own state is `this`"),
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

/// How the word or sign of another language that stands here is said.
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

/// Functions that have another name in other languages, too unlike ours to be found by their letters.
const SYNONYMS: &[(&[&str], &str)] = &[
    (&["size", "count"], "len"),
    (&["includes", "has"], "contains"),
    (&["append", "add"], "push"),
    (&["strip"], "trim"),
    (&["to_int"], "parse_int"),
    (&["to_float"], "parse_float"),
    (&["typeof"], "type_of"),
];

/// What a function of another language is called here.
pub fn synonym(name: &str) -> Option<&'static str> {
    let found = SYNONYMS.iter().find(|(others, _)| others.contains(&name));
    found.map(|(_, ours)| *ours)
}

/// Names that functions and properties have elsewhere, where more is to be said than another name.
const SAID: &[(&[&str], &str)] = &[
    (
        &["forEach", "foreach"],
        "a loop is written `for item in array { … }`",
    ),
    (&["join"], "it is a method of arrays: `list.join(\", \")`"),
    (&["encode"], "`to_blob(text)` makes a blob of a string"),
    (&["decode"], "`utf8(blob)` makes a string of a blob"),
    (
        &["int"],
        "`parse_int(text)` makes an int of a string, `x.to_int()` of a float",
    ),
    (
        &["float"],
        "`parse_float(text)` makes a float of a string, `n.to_float()` of an int",
    ),
    (
        &["str"],
        "`value.to_string()` makes a string, `${value}` is one in a `text` between backticks",
    ),
    (
        &["setTimeout", "setInterval"],
        "`ws.after(seconds, \"name\")` and `ws.every(seconds, \"name\")` set timers, which call `fn on_timer(ws, name)`",
    ),
    (
        &["request"],
        "what the request said is asked of `ws` itself: `ws.path`",
    ),
    (
        &["ws_stream"],
        "the connection has it all: `ws.receive()`, `ws.send(message)`",
    ),
];

/// What to say of a name of another language that nothing has here.
pub fn said(name: &str) -> Option<&'static str> {
    let found = SAID.iter().find(|(names, _)| names.contains(&name));
    found.map(|(_, hint)| *hint)
}

/// Methods that change the value before the dot and give nothing, whatever it is.
const IN_PLACE: &[&str] = &[
    "clear", "truncate", "pad", "push", "append", "insert", "chop", "mixin",
];

/// Whether a method changes the value before the dot and gives nothing.
pub fn is_in_place(method: &str) -> bool {
    IN_PLACE.contains(&method)
}

/// What stands before a hook's name in pywebsocket.
const PREFIX: &str = "web_socket_";

/// What events are called elsewhere, without the `on` before them, `_` and capitals.
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

/// How the form of another language is said, in the middle of which this place is.
pub fn form_here(location: &Location) -> Option<String> {
    let before = location.text[..location.span().start].trim_end();
    let from_here = &location.text[location.span().start..];
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
            (last_word(front) == "for").then(|| {
                "a loop is written `for i in 0..10 { … }` or `for item in array { … }`".to_owned()
            })
        }
        _ => None,
    }
}
