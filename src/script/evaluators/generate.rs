//! Programs by chance: a grammar of the language, with values of all types in all places.
//!
//! What chooses is a generator of random numbers here, and a fuzzer's bytes in `fuzz/`.

use std::fmt::Write as _;
use std::ops::Range;

/// What chooses.
pub trait Choose {
    /// One of these numbers.
    fn number(&mut self, range: Range<usize>) -> usize;
}

/// What every program has beside its hook.
pub const BESIDE: &str = "
const LIMIT = 7;
const NAMES = [\"a\", \"b\", [1, 2]];
const TABLE = #{ n: 1, list: [1, 2] };
fn twice(n) { n * 2 }
fn add(a, b) { a + b }
fn bump() { this.n += 1; this.n }
fn put(list) { list.push(9); list }
fn deep(n) { if n <= 0 { return throw_it(n); } deep(n - 1) }
fn throw_it(n) { throw `thrown ${n}`; }
fn nothing() { }
fn uses_this() { this.n }
fn sets_this() { this = 5; }
fn asks_this() { type_of(this) }
fn grow(by) { this.n += by; this }
fn count_down(n) { if n > 0 { this.n = n; this.count_down(n - 1) } else { this.len() } }
fn attempt(f, x) { try { f.call(x) } catch (e) { `${e}` } }
fn pair(a, b) { let c = [a, b]; a = 1; c.push(b); c }
fn map.total() { this.len() }
";

/// The program that is chosen.
pub fn program(choices: &mut dyn Choose) -> String {
    let mut writer = Writer {
        choices,
        out: String::new(),
        variables: vec![("ws".into(), true), ("message".into(), true)],
        next: 0,
        loops: 0,
        is_inside: false,
        left: 0,
    };
    writer.out.push_str("fn transfer_data(ws, message) {\n");
    writer.body(60);
    // Functions of its own, which call each other.
    for (head, second) in [("own(ws, a)", Some("a")), ("method(ws)", None)] {
        let names = ["ws"].into_iter().chain(second);
        writer.variables = names.map(|name| (name.into(), true)).collect();
        writer.is_inside = true;
        let _ = writeln!(writer.out, "fn {head} {{");
        writer.body(12);
    }
    writer.out.push_str(BESIDE);
    writer.out
}

struct Writer<'a> {
    choices: &'a mut dyn Choose,
    out: String,
    /// Names, and whether they may be changed.
    variables: Vec<(String, bool)>,
    next: usize,
    loops: usize,
    /// Whether it is a function that the hook calls.
    is_inside: bool,
    /// Statements that may yet be written.
    left: usize,
}

const BINARY: [&str; 24] = [
    "+", "+", "+", "-", "*", "/", "%", "**", "<<", ">>", "&", "|", "^", "==", "!=", "<", "<=", ">",
    ">=", "&&", "||", "??", "..", "in",
];
const CHANGE: [&str; 12] = [
    "=", "=", "=", "+=", "+=", "-=", "*=", "/=", "%=", "**=", "|=", "&=",
];
const NAMES: [&str; 6] = ["n", "a", "b", "list", "text", "len"];
const METHODS: [&str; 37] = [
    "len()",
    "to_string()",
    "trim()",
    "keys()",
    "values()",
    "pop()",
    "push(@)",
    "contains(@)",
    "twice()",
    "bump()",
    "abs()",
    "type_of()",
    "is_empty()",
    "split(\",\")",
    "to_upper()",
    "add(@)",
    "map(|x| x)",
    "map(twice)",
    "filter(|x| x == 1)",
    "call(@)",
    "to_json()",
    "insert(0, @)",
    "remove(@)",
    "total()",
    "index_of(@)",
    "clear()",
    "reverse()",
    "nowhere()",
    "sub_string(1)",
    "is_shared()",
    "uses_this()",
    "sets_this()",
    "grow(@)",
    "count_down(3)",
    "pair(1, @)",
    "put()",
    "method(ws)",
];

impl Writer<'_> {
    fn number(&mut self, range: Range<usize>) -> usize {
        self.choices.number(range)
    }

    fn is_it(&mut self) -> bool {
        self.number(0..2) == 1
    }

    /// Statements, and perhaps a value.
    fn body(&mut self, most: usize) {
        self.left = most;
        let count = self.number(1..8);
        self.statements(count, 3);
        if self.is_it() {
            self.expression(2);
        }
        self.out.push_str("\n}\n");
    }

    fn pick<'t>(&mut self, from: &[&'t str]) -> &'t str {
        from[self.number(0..from.len())]
    }

    fn name(&mut self) -> String {
        self.next += 1;
        // Some names come again, and hide others.
        match self.number(0..5) {
            0 => "x".into(),
            _ => format!("v{}", self.next),
        }
    }

    fn variable(&mut self) -> String {
        let count = self.variables.len();
        let place = self.number(0..count);
        self.variables[place].0.clone()
    }

    fn changeable(&mut self) -> Option<String> {
        let names: Vec<_> = self
            .variables
            .iter()
            .map(|(name, _)| name)
            .filter(|name| {
                let last = self.variables.iter().rev().find(|other| other.0 == **name);
                last.is_some_and(|last| last.1)
            })
            .cloned()
            .collect();
        let place = self.number(0..names.len().max(1));
        names.get(place).cloned()
    }

    fn statements(&mut self, count: usize, depth: usize) {
        for _ in 0..count {
            if self.left == 0 {
                return;
            }
            self.left -= 1;
            self.statement(depth);
            self.out.push('\n');
        }
    }

    fn block(&mut self, depth: usize) {
        let before = self.variables.len();
        self.out.push_str("{ ");
        let count = self.number(0..4);
        self.statements(count, depth.saturating_sub(1));
        if self.number(0..3) == 0 {
            self.expression(1);
        }
        self.out.push_str(" }");
        self.variables.truncate(before);
    }

    fn statement(&mut self, depth: usize) {
        let kind = if depth == 0 {
            self.number(0..9)
        } else {
            self.number(0..21)
        };
        match kind {
            0 | 1 => {
                let name = self.name();
                let is_constant = self.number(0..6) == 0;
                let word = if is_constant { "const" } else { "let" };
                let _ = write!(self.out, "{word} {name} = ");
                self.expression(depth);
                self.out.push(';');
                self.variables.push((name, !is_constant));
            }
            2 => {
                let Some(name) = self.changeable() else {
                    return;
                };
                let sign = self.pick(&CHANGE);
                let _ = write!(self.out, "{name} {sign} ");
                self.expression(depth);
                self.out.push(';');
            }
            3 | 4 => {
                let root = match self.number(0..2) {
                    0 => "this".into(),
                    _ => self.changeable().unwrap_or_else(|| "this".into()),
                };
                self.out.push_str(&root);
                for _ in 0..self.number(1..3) {
                    if self.number(0..3) > 0 {
                        let name = self.pick(&NAMES);
                        let _ = write!(self.out, ".{name}");
                    } else {
                        self.out.push('[');
                        self.expression(0);
                        self.out.push(']');
                    }
                }
                let sign = self.pick(&CHANGE);
                let _ = write!(self.out, " {sign} ");
                self.expression(depth);
                self.out.push(';');
            }
            5 | 6 => {
                self.out.push_str("ws.send(");
                match self.is_it() {
                    true => self.text(depth.min(1)),
                    false => self.expression(depth.min(1)),
                }
                self.out.push_str(");");
            }
            7 => {
                self.expression(depth.min(2));
                self.out.push(';');
            }
            8 => match self.number(0..12) {
                0 => self.out.push_str("return;"),
                1 => {
                    self.out.push_str("return ");
                    self.expression(1);
                    self.out.push(';');
                }
                2 => {
                    self.out.push_str("throw ");
                    self.expression(1);
                    self.out.push(';');
                }
                3 | 4 if self.loops > 0 => self.out.push_str("break;"),
                5 if self.loops > 0 => {
                    self.out.push_str("break ");
                    self.expression(1);
                    self.out.push(';');
                }
                6 | 7 if self.loops > 0 => self.out.push_str("continue;"),
                _ => {
                    self.out.push_str("this.n = ");
                    self.expression(0);
                    self.out.push(';');
                }
            },
            9..=11 => {
                self.out.push_str("if ");
                self.condition(1);
                self.out.push(' ');
                self.block(depth);
                if self.is_it() {
                    self.out.push_str(" else ");
                    self.block(depth);
                }
            }
            12 => {
                let name = self.name();
                let most = self.number(0..5);
                let _ = write!(self.out, "let {name} = 0; while {name} < {most} ");
                self.variables.push((name.clone(), true));
                self.loops += 1;
                let _ = write!(self.out, "{{ {name} += 1; ");
                self.block(depth);
                self.out.push_str(" }");
                self.loops -= 1;
            }
            13 => {
                self.loops += 1;
                self.out.push_str("loop { ");
                self.block(depth);
                self.out.push_str(" if ");
                self.condition(1);
                self.out
                    .push_str(" { break } this.turns += 1; if this.turns > 4 { break 5; } }");
                self.loops -= 1;
            }
            14 => {
                let name = self.name();
                let word = if self.is_it() { "while" } else { "until" };
                let _ = write!(self.out, "let {name} = 0; do {{ {name} += 1; ");
                self.variables.push((name.clone(), true));
                self.loops += 1;
                self.block(depth);
                self.loops -= 1;
                let sign = if word == "while" { "<" } else { ">" };
                let _ = write!(self.out, " }} {word} {name} {sign} 3;");
            }
            15 | 16 => {
                let (name, counter) = (self.name(), self.name());
                let before = self.variables.len();
                let has_counter = self.number(0..3) == 0 && name != counter;
                match has_counter {
                    true => {
                        let _ = write!(self.out, "for ({name}, {counter}) in ");
                    }
                    false => {
                        let _ = write!(self.out, "for {name} in ");
                    }
                }
                match self.number(0..6) {
                    0 => self.out.push_str("0..4"),
                    1 => self.out.push_str("1..=3"),
                    2 => self.out.push_str("[1, \"a\", #{ n: 1 }]"),
                    3 => self.out.push_str("range(0, 6, 2)"),
                    4 => self.out.push_str("\"abc\""),
                    _ => self.expression(1),
                }
                self.out.push(' ');
                if has_counter {
                    self.variables.push((counter, true));
                }
                self.variables.push((name, true));
                self.loops += 1;
                self.block(depth);
                self.loops -= 1;
                self.variables.truncate(before);
            }
            17 => {
                self.out.push_str("try ");
                self.block(depth);
                let before = self.variables.len();
                match self.number(0..4) {
                    0 => self.out.push_str(" catch "),
                    _ => {
                        self.out.push_str(" catch (e) ");
                        self.variables.push(("e".into(), true));
                    }
                }
                if self.number(0..6) == 0 {
                    self.out.push_str("{ throw; }");
                } else {
                    self.block(depth);
                }
                self.variables.truncate(before);
            }
            18 => {
                self.out.push_str("switch ");
                self.switch(depth);
            }
            19 => self.block(depth),
            _ => {
                let name = self.name();
                let inner = self.variable();
                let _ = write!(self.out, "let {name} = |x| ");
                match self.number(0..6) {
                    0 => self.out.push_str("x + 1;"),
                    1 => {
                        let _ = write!(self.out, "[x, {inner}];");
                    }
                    2 => {
                        let inner = self.changeable().unwrap_or_else(|| "x".into());
                        let _ = write!(self.out, "{{ {inner} += x; }};");
                    }
                    3 => {
                        let _ = write!(self.out, "|y| [x, y, {inner}];");
                    }
                    _ => {
                        let _ = write!(self.out, "{{ {inner} }};");
                    }
                }
                if self.is_it() {
                    let _ = write!(self.out, " {name}.call(");
                    self.simple();
                    self.out.push_str(");");
                }
                self.variables.push((name, true));
            }
        }
    }

    fn switch(&mut self, depth: usize) {
        self.expression(1);
        self.out.push_str(" { 1 => ");
        self.expression(depth.min(1));
        self.out.push_str(", \"hello\" | 2 => ");
        self.block(depth.min(1));
        self.out.push_str(", 3..9 => ");
        self.expression(1);
        if self.number(0..3) == 0 {
            self.out.push_str(", 'x' if this.n == 1 => 5");
        }
        if self.is_it() {
            self.out.push_str(", _ => ");
            self.expression(1);
        }
        self.out.push_str(" }");
    }

    fn condition(&mut self, depth: usize) {
        match self.number(0..6) {
            0 => self.out.push_str("true"),
            1 => self.expression(depth),
            2 => {
                self.out.push('!');
                self.simple();
            }
            _ => {
                self.simple();
                let sign = self.pick(&["==", "!=", "<", ">", "<=", ">="]);
                let _ = write!(self.out, " {sign} ");
                self.simple();
            }
        }
    }

    fn text(&mut self, depth: usize) {
        self.out.push_str("`t");
        for _ in 0..self.number(0..3) {
            self.out.push_str("${");
            self.expression(depth);
            self.out.push('}');
        }
        self.out.push('`');
    }

    /// Something without an operator.
    fn simple(&mut self) {
        match self.number(0..27) {
            0..=8 => {
                let name = self.variable();
                self.out.push_str(&name);
            }
            9 => self.out.push_str("this"),
            10..=12 => {
                let name = self.pick(&NAMES);
                let _ = write!(self.out, "this.{name}");
            }
            13 | 14 => {
                let number = self.number(0..5);
                let _ = write!(self.out, "{number}");
            }
            15 => self.out.push_str("9223372036854775807"),
            16 => self.out.push_str("-1"),
            17 => self.out.push_str("1.5"),
            18 => self.out.push_str("\"text\""),
            19 => self.out.push_str("'c'"),
            20 => self.out.push_str("true"),
            21 => self.out.push_str("()"),
            22 => self.out.push_str("global::LIMIT"),
            23 => self.out.push_str("global::NAMES"),
            24 => self.out.push_str("global::TABLE"),
            25 => self.out.push_str("blob(3)"),
            _ => self.out.push_str("Fn(\"twice\")"),
        }
    }

    fn expression(&mut self, depth: usize) {
        if depth == 0 {
            return self.simple();
        }
        let depth = depth - 1;
        match self.number(0..29) {
            0..=3 => self.simple(),
            // A function that calls itself twice does so for as long as it may.
            26..=28 if self.is_inside && self.number(0..4) > 0 => self.simple(),
            26 | 27 => {
                self.out.push_str("own(ws, ");
                self.expression(depth);
                self.out.push(')');
            }
            28 => {
                let target = self.pick(&["this", "#{}", "5", "\"text\""]);
                let _ = write!(self.out, "{target}.method(ws)");
            }
            4..=7 => {
                self.out.push('(');
                self.expression(depth);
                let sign = self.pick(&BINARY);
                let _ = write!(self.out, " {sign} ");
                self.expression(depth);
                self.out.push(')');
            }
            8 => {
                let sign = self.pick(&["-", "!", "+"]);
                self.out.push_str(sign);
                self.simple();
            }
            9 => self.text(depth),
            10 => {
                self.out.push('[');
                for _ in 0..self.number(0..4) {
                    self.expression(depth);
                    self.out.push_str(", ");
                }
                self.out.push(']');
            }
            11 => {
                self.out.push_str("#{ ");
                let from = self.number(0..NAMES.len() - 2);
                for name in &NAMES[from..from + 2] {
                    let _ = write!(self.out, "{name}: ");
                    self.expression(depth);
                    self.out.push_str(", ");
                }
                self.out.push('}');
            }
            12..=16 => self.chain(depth),
            17 | 18 => {
                let name = self.pick(&[
                    "twice",
                    "add",
                    "put",
                    "nothing",
                    "len",
                    "type_of",
                    "deep",
                    "pair",
                    "uses_this",
                    "sets_this",
                    "attempt",
                    "asks_this",
                ]);
                let _ = write!(self.out, "{name}(");
                let count = match name {
                    "nothing" | "uses_this" | "sets_this" | "asks_this" => 0,
                    "add" | "pair" | "attempt" => 2,
                    _ => 1,
                };
                for number in 0..count {
                    if number > 0 {
                        self.out.push_str(", ");
                    }
                    self.expression(depth);
                }
                self.out.push(')');
            }
            19 => {
                self.out.push_str("if ");
                self.condition(depth);
                self.out.push_str(" { ");
                self.expression(depth);
                self.out.push_str(" } else { ");
                self.expression(depth);
                self.out.push_str(" }");
            }
            20 => {
                self.out.push_str("switch ");
                self.switch(0);
            }
            21 => {
                let name = self.name();
                let _ = write!(self.out, "{{ let {name} = ");
                self.expression(depth);
                let _ = write!(self.out, "; {name} }}");
            }
            22 => self.out.push_str("|x| x * 2"),
            23 => {
                let name = self.pick(&["parse_json", "to_json", "abs", "max", "is_shared"]);
                let _ = write!(self.out, "{name}(");
                self.expression(depth);
                if name == "max" {
                    self.out.push_str(", ");
                    self.expression(depth);
                }
                self.out.push(')');
            }
            24 => {
                self.out.push_str("call(Fn(\"twice\"), ");
                self.expression(depth);
                self.out.push(')');
            }
            _ => {
                let word = self.pick(&[
                    "is_def_var(\"x\")",
                    "is_def_fn(\"twice\", 1)",
                    "ws.id",
                    "()",
                ]);
                self.out.push_str(word);
            }
        }
    }

    fn chain(&mut self, depth: usize) {
        match self.number(0..4) {
            0 => self.out.push_str("this"),
            1 => {
                self.out.push('(');
                self.expression(depth);
                self.out.push(')');
            }
            _ => {
                let name = self.variable();
                self.out.push_str(&name);
            }
        }
        for _ in 0..self.number(1..4) {
            let mark = if self.number(0..6) == 0 { "?" } else { "" };
            match self.number(0..5) {
                0 | 1 => {
                    let name = self.pick(&NAMES);
                    let _ = write!(self.out, "{mark}.{name}");
                }
                2 => {
                    let _ = write!(self.out, "{mark}[");
                    self.expression(depth);
                    self.out.push(']');
                }
                _ => {
                    let method = self.pick(&METHODS);
                    let _ = write!(self.out, "{mark}.");
                    match method.split_once('@') {
                        Some((before, after)) => {
                            self.out.push_str(before);
                            self.expression(depth);
                            self.out.push_str(after);
                        }
                        None => self.out.push_str(method),
                    }
                }
            }
        }
    }
}
