//! Bytes to the text of a handler: by a small grammar of Rhai and of the whole API, or by changing a script that exists.
//!
//! Every byte is a choice, so that a fuzzer that changes bytes changes choices, and no bytes is a script too. The API's
//! functions are those of its tables: one that is added there is called here.

use std::path::Path;
use std::sync::LazyLock;

use wsh_server::script::HOOKS;
use wsh_server::script::api::PACKAGES;

#[allow(dead_code, reason = "only the texts are wanted here")]
#[path = "../../tests/hostile/scripts.rs"]
mod scripts;

/// Every hostile script, and every handler of the examples.
pub static SEEDS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let mut seeds: Vec<_> = scripts::all()
        .into_iter()
        .map(|script| script.source)
        .collect();
    // Of the package, or of the one beside it.
    for folder in ["handlers", "../handlers"] {
        add_handlers(
            &Path::new(env!("CARGO_MANIFEST_DIR")).join(folder),
            &mut seeds,
        );
    }
    seeds
});

fn add_handlers(folder: &Path, seeds: &mut Vec<String>) {
    let mut paths: Vec<_> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            add_handlers(&path, seeds);
        } else if path
            .extension()
            .is_some_and(|extension| extension == "rhai")
        {
            seeds.extend(std::fs::read_to_string(&path).ok());
        }
    }
}

/// Beyond it a script is cut off: long ones are slow to parse and find nothing new.
const LONGEST: usize = 8 * 1024;

/// The script of these bytes.
pub fn script(bytes: &[u8]) -> String {
    let mut choices = Choices(bytes);
    let mut text = if choices.one_in(3) {
        changed(&mut choices)
    } else {
        written(&mut choices)
    };
    if let Some((end, _)) = text.char_indices().nth(LONGEST) {
        text.truncate(end);
    }
    text
}

/// Bytes as choices; those that are used up choose the first.
struct Choices<'b>(&'b [u8]);

impl Choices<'_> {
    fn next(&mut self) -> usize {
        let [first, rest @ ..] = self.0 else {
            return 0;
        };
        self.0 = rest;
        (*first).into()
    }

    fn below(&mut self, bound: usize) -> usize {
        let wide = if bound > 256 { self.next() << 8 } else { 0 };
        (wide + self.next()) % bound.max(1)
    }

    fn one_in(&mut self, chances: usize) -> bool {
        self.below(chances) == chances - 1
    }

    fn of<'a, T: ?Sized>(&mut self, list: &[&'a T]) -> &'a T {
        list[self.below(list.len())]
    }

    fn is_over(&self) -> bool {
        self.0.is_empty()
    }
}

/// A seed with some of its words changed.
fn changed(choices: &mut Choices) -> String {
    let seed = |choices: &mut Choices| words(&SEEDS[choices.below(SEEDS.len())]);
    let mut text = seed(choices);
    for _ in 0..=choices.below(8) {
        let at = choices.below(text.len());
        match choices.below(5) {
            0 => drop(text.splice(at..at, [word(choices)])),
            1 => drop(text.splice(at..=at, [word(choices)])),
            2 => drop(text.remove(at)),
            3 => {
                let end = text.len().min(at + 1 + choices.below(32));
                let again = text[at..end].to_vec();
                drop(text.splice(at..at, again));
            }
            _ => {
                let other = seed(choices);
                let from = choices.below(other.len());
                let end = other.len().min(from + 1 + choices.below(64));
                drop(text.splice(at..at, other[from..end].to_vec()));
            }
        }
        if text.is_empty() {
            break;
        }
    }
    text.concat()
}

/// A text in pieces: runs of letters and digits, and everything else by itself.
fn words(text: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    for c in text.chars().take(LONGEST) {
        match words.last_mut() {
            Some(word) if is_part(c) && word.ends_with(is_part) => word.push(c),
            _ => words.push(c.into()),
        }
    }
    if words.is_empty() {
        words.push(" ".into());
    }
    words
}

fn word(choices: &mut Choices) -> String {
    match choices.below(4) {
        0 => choices.of(KEYWORDS).into(),
        1 => choices.of(OPERATORS).into(),
        2 => choices.of(LITERALS).into(),
        _ => Call::any(choices).name.clone(),
    }
}

/// A handler by the grammar.
fn written(choices: &mut Choices) -> String {
    let mut text = String::from("const C = #{ n: [1, 2] };\n");
    let has_loop = choices.one_in(4);
    for info in &HOOKS {
        let is_message = info.name == "transfer_data";
        let is_loop = is_message && info.params.len() == 1;
        let is_there = if is_message {
            is_loop == has_loop
        } else {
            choices.one_in(3)
        };
        if is_there {
            text.push_str(&function(info.name, info.params, choices));
        }
    }
    text.push_str(&function("own", &["a", "b"], choices));
    text
}

/// Variables that every function has, unless it has a parameter of that name.
const VARIABLES: &[(&str, &str)] = &[
    ("a", "[1, 2, 3]"),
    ("b", "blob(4, 7)"),
    ("m", "#{ k: 1 }"),
    ("n", "1"),
    ("s", "\"text\""),
    ("f", "|x| x"),
];

fn function(name: &str, params: &[&'static str], choices: &mut Choices) -> String {
    let mut names = params.to_vec();
    let mut text = format!("fn {name}({}) {{\n    ", params.join(", "));
    for (name, value) in VARIABLES {
        if !params.contains(name) {
            text += &format!("let {name} = {value}; ");
            names.push(name);
        }
    }
    names.push("this");
    text += "\n";
    let mut writer = Writer {
        text,
        choices,
        names,
        depth: 0,
        loops: 0,
    };
    writer.statements();
    writer.text + "}\n"
}

const KEYWORDS: &[&str] = &[
    "let",
    "const",
    "if",
    "else",
    "while",
    "loop",
    "for",
    "in",
    "do",
    "until",
    "break",
    "continue",
    "return",
    "throw",
    "try",
    "catch",
    "fn",
    "switch",
    "this",
    "global",
    "import",
    "export",
    "as",
    "private",
    "is_shared",
    "type_of",
    "Fn",
    "call",
    "exit",
    "true",
    "false",
    "ws",
    "message",
    "request",
];
/// The first of them stand between two values.
const BINARY: usize = 21;
const OPERATORS: &[&str] = &[
    "+", "-", "*", "/", "%", "**", "<<", ">>", "&", "|", "^", "==", "!=", "<", "<=", ">", ">=",
    "&&", "||", "??", "..", "..=", "in", "+=", "=", "?.", "?[", "!", "::", "=>", "(", ")", "[",
    "]", "{", "}", "#{", "`", "${", "\"", ";", ",",
];
const LITERALS: &[&str] = &[
    "0",
    "1",
    "-1",
    "2",
    "64",
    "1000",
    "65536",
    "9223372036854775807",
    "-9223372036854775807",
    "0.0",
    "0.001",
    "-0.5",
    "1e300",
    "(0.0/0.0)",
    "(1.0/0.0)",
    "true",
    "false",
    "()",
    "'x'",
    "'€'",
    "\"\"",
    "\"text\"",
    "\"añ€😀\"",
    "\"t\"",
    "\"[1,{\\\"a\\\":2}]\"",
    "`${n}`",
    "[]",
    "[1, [2]]",
    "#{}",
    "#{ a: 1, b: [2] }",
    "blob(3)",
    "0..5",
    "3..=1",
    "|x| x",
    "|| own(1, 2)",
    "global::C",
];
/// Functions and methods of Rhai itself.
const METHODS: &[&str] = &[
    "len",
    "push",
    "pop",
    "shift",
    "insert",
    "remove",
    "append",
    "concat",
    "pad",
    "truncate",
    "chop",
    "clear",
    "reverse",
    "splice",
    "extract",
    "split",
    "drain",
    "retain",
    "dedup",
    "sort",
    "sort_by",
    "sort_desc",
    "order",
    "map",
    "filter",
    "reduce",
    "reduce_rev",
    "find",
    "find_map",
    "some",
    "all",
    "zip",
    "index_of",
    "contains",
    "keys",
    "values",
    "mixin",
    "fill_with",
    "get",
    "set",
    "to_string",
    "to_debug",
    "to_int",
    "to_float",
    "to_chars",
    "to_upper",
    "make_lower",
    "trim",
    "replace",
    "crop",
    "sub_string",
    "starts_with",
    "ends_with",
    "chars",
    "bytes",
    "split_rev",
    "to_blob",
    "as_string",
    "write_utf8",
    "parse_le_int",
    "parse_be_float",
    "write_be",
    "get_bit",
    "set_bits",
    "bits",
    "to_json",
    "tag",
    "call",
    "name",
    "is_anonymous",
    "floor",
    "round",
    "abs",
    "sign",
    "elapsed",
    "take",
    "is_shared",
    "type_of",
    "parse_int",
    "parse_float",
    "range",
    "min",
    "max",
    "own",
    "for_each",
];

/// A function, method or property of the API.
struct Call {
    name: String,
    /// What stands before the dot.
    owner: Option<String>,
    /// None for a property.
    arguments: Option<usize>,
}

static CALLS: LazyLock<Vec<Call>> = LazyLock::new(|| {
    let functions = PACKAGES.iter().flat_map(|package| package.functions);
    let signatures = functions.flat_map(|function| function.signatures);
    let call = |signature: &&str| {
        let end = signature.find(['(', ' ']).unwrap_or(signature.len());
        let (path, rest) = signature.split_at(end);
        let (owner, name) = match path.rsplit_once('.') {
            Some((owner, name)) => (Some(owner.to_owned()), name),
            None => (None, path),
        };
        Call {
            name: name.to_owned(),
            owner,
            arguments: rest.starts_with('(').then(|| rest.matches(':').count()),
        }
    };
    signatures.map(call).collect()
});

impl Call {
    fn any(choices: &mut Choices) -> &'static Self {
        &CALLS[choices.below(CALLS.len())]
    }
}

/// Writes the body of a function, with the names that are known in it.
struct Writer<'c, 'b> {
    text: String,
    choices: &'c mut Choices<'b>,
    names: Vec<&'static str>,
    depth: usize,
    /// Loops around this place, which `break` needs.
    loops: usize,
}

impl Writer<'_, '_> {
    fn add(&mut self, text: &str) {
        self.text += text;
    }

    fn one_of(&mut self, list: &[&'static str]) {
        self.text += self.choices.of(list);
    }

    fn name(&mut self) {
        let name = self.names[self.choices.below(self.names.len())];
        self.add(name);
    }

    fn statements(&mut self) {
        for _ in 0..self.choices.below(6) {
            if self.choices.is_over() {
                return;
            }
            self.add("    ");
            self.statement();
            self.add("\n");
        }
    }

    fn block(&mut self) {
        self.depth += 1;
        self.add(" {\n");
        self.statements();
        self.add("}");
        self.depth -= 1;
    }

    fn looping(&mut self) {
        self.loops += 1;
        self.block();
        self.loops -= 1;
    }

    fn statement(&mut self) {
        const SIMPLE: usize = 9;
        let kinds = if self.depth < 4 { 16 } else { SIMPLE };
        match self.choices.below(kinds) {
            0 => self.expression(),
            1 | 2 => {
                self.place();
                self.one_of(&[" = ", " += ", " -= ", " *= "]);
                self.expression();
            }
            3 if self.names.contains(&"ws") => {
                self.add("ws.send(`${");
                self.expression();
                self.add("}`)");
            }
            4 if self.loops > 0 => self.one_of(&["break", "continue"]),
            5 => self.one_of(&["return", "throw n", "throw a", "exit(1)"]),
            6 if self.names.contains(&"ws") => self.one_of(&[
                "ws.receive(0.01)",
                "ws.send(s)",
                "ws.every(0.001, s)",
                "ws.close()",
            ]),
            3 | 4 | 6 | 7 => self.one_of(&[
                "a = [a]",
                "m = #{ k: m }",
                "{ let g = f; f = || g.call(1); }",
                "this.t = [this.t]",
                "s += s",
                "a += a",
                "sleep(0.01)",
                "sleep(0)",
            ]),
            8 => {
                self.add("let v = ");
                self.expression();
            }
            9 => {
                self.add("if ");
                self.expression();
                self.add(" == ");
                self.expression();
                self.block();
                self.add(" else");
                self.block();
            }
            10 => {
                self.add("loop");
                self.looping();
            }
            11 => {
                self.add("for i in ");
                self.one_of(&[
                    "0..50",
                    "a",
                    "b",
                    "s.chars()",
                    "0..=9223372036854775807",
                    "range(0, 9, 2)",
                ]);
                self.looping();
            }
            12 => {
                self.add("try");
                self.block();
                self.add(" catch (e)");
                self.block();
            }
            13 => {
                self.add("switch ");
                self.expression();
                self.add(" { 1 => ");
                self.expression();
                self.add(", \"t\" =>");
                self.block();
                self.add(", _ => () }");
            }
            14 => {
                self.add("do");
                self.looping();
                self.add(" while n < 5");
            }
            _ => self.block(),
        }
        self.add(";");
    }

    /// What can be assigned to.
    fn place(&mut self) {
        self.name();
        match self.choices.below(4) {
            0 => {}
            1 => self.one_of(&[".k", ".t", ".own", ".len"]),
            2 => self.one_of(&["[0]", "[-1]", "[n]", "[\"k\"]", "[1..2]"]),
            _ => {
                self.add("[");
                self.expression();
                self.add("]");
            }
        }
    }

    fn expression(&mut self) {
        const SIMPLE: usize = 2;
        self.depth += 1;
        let kinds = if self.depth < 6 { 10 } else { SIMPLE };
        match self.choices.below(kinds) {
            0 => self.name(),
            1 => self.one_of(LITERALS),
            2 => {
                self.add("(");
                self.expression();
                self.add(" ");
                self.one_of(&OPERATORS[..BINARY]);
                self.add(" ");
                self.expression();
                self.add(")");
            }
            3..=5 => self.call(),
            6 | 7 => {
                self.name();
                self.add(".");
                self.one_of(METHODS);
                let count = self.choices.below(3);
                self.arguments(count);
            }
            8 => {
                let before = self.loops;
                self.loops = 0;
                self.one_of(&["|x| ", "|x, y| ", "|| "]);
                if self.choices.one_in(2) {
                    self.block();
                } else {
                    self.expression();
                }
                self.loops = before;
            }
            _ => {
                let around: [&[&str]; 3] = [
                    &["[", ", ", "]"],
                    &["#{ p: ", ", q: ", " }"],
                    &["own(", ", ", ")"],
                ];
                let [open, middle, close] = around[self.choices.below(3)] else {
                    return;
                };
                self.add(open);
                self.expression();
                self.add(middle);
                self.expression();
                self.add(close);
            }
        }
        self.depth -= 1;
    }

    /// A function of the API, mostly with as many arguments as it takes.
    fn call(&mut self) {
        let call = Call::any(self.choices);
        if let Some(owner) = &call.owner {
            // Where there is no such thing, whatever is there is asked.
            if self.names.iter().any(|name| name == owner) {
                self.add(owner);
            } else {
                self.name();
            }
            self.add(".");
        }
        self.add(&call.name);
        if let Some(count) = call.arguments {
            let count = if self.choices.one_in(8) {
                self.choices.below(4)
            } else {
                count
            };
            self.arguments(count);
        }
    }

    fn arguments(&mut self, count: usize) {
        self.add("(");
        for number in 0..count {
            if number > 0 {
                self.add(", ");
            }
            self.expression();
        }
        self.add(")");
    }
}
