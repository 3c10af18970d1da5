//! Line coverage: which lines of handlers have run.
//!
//! Rhai has no hook for a statement that costs nothing where nobody asks. So where somebody does, a
//! script is compiled with a call in front of each statement, on the statement's own line: lines
//! stay what they are, columns of faults move to the right.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rhai::{AST, ASTFlags, ASTNode, Engine, Expr, FnCallExpr, Position, Stmt, Token};

use super::fault::outline::tokens;

/// The function that is called in front of a statement.
const COVERED: &str = "__covered";

/// Lines that can run, each with how often it has.
#[derive(Debug, Default)]
pub struct Coverage(Mutex<Points>);

#[derive(Debug, Default)]
struct Points {
    /// By file and line.
    places: BTreeMap<(String, usize), usize>,
    counts: Vec<u64>,
}

impl Points {
    /// The number of a line.
    fn of(&mut self, file: &str, line: usize) -> usize {
        let next = self.counts.len();
        let number = *self.places.entry((file.to_owned(), line)).or_insert(next);
        if number == next {
            self.counts.push(0);
        }
        number
    }
}

/// The lines of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Covered {
    /// Its name below the handler folder.
    pub file: String,
    /// Lines that can run, each with how often it has.
    pub lines: Vec<(usize, u64)>,
}

impl Covered {
    /// How many lines have run.
    pub fn hit(&self) -> usize {
        self.lines.iter().filter(|(_, count)| *count > 0).count()
    }
}

impl Coverage {
    fn points(&self) -> MutexGuard<'_, Points> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the engine know what is called in front of a statement.
    pub(super) fn register(self: &Arc<Self>, engine: &mut Engine) {
        let coverage = Arc::clone(self);
        engine.register_fn(COVERED, move |number: i64| {
            let mut points = coverage.points();
            let count = usize::try_from(number).ok();
            if let Some(count) = count.and_then(|number| points.counts.get_mut(number)) {
                *count += 1;
            }
        });
    }

    /// A script's text with a call in front of each statement.
    pub(super) fn mark(&self, engine: &Engine, ast: &AST, file: &str, text: &str) -> String {
        let starts = starts(engine, ast, text);
        let mut points = self.points();
        let mut marked = String::with_capacity(text.len() * 2);
        for (row, line) in (1..).zip(text.split_inclusive('\n')) {
            // One on a line will do: coverage is told by line.
            let start = starts.get(&row);
            let at = start.and_then(|(column, _)| line.char_indices().nth(column - 1));
            let Some(((at, _), (_, behind))) = at.zip(start) else {
                marked.push_str(line);
                continue;
            };
            let (before, rest) = line.split_at(at);
            let number = points.of(file, row);
            let _ = write!(marked, "{before}{COVERED}({number}){behind} {rest}");
        }
        marked
    }

    /// Forgets a file, whose lines cannot be told.
    pub(super) fn forget(&self, file: &str) {
        self.points().places.retain(|(known, _), _| known != file);
    }

    /// The lines of each file.
    pub fn read(&self) -> Vec<Covered> {
        let points = self.points();
        let mut files: Vec<Covered> = Vec::new();
        for ((file, line), number) in &points.places {
            let count = points.counts.get(*number).copied().unwrap_or_default();
            match files.last_mut().filter(|last| last.file == *file) {
                Some(last) => last.lines.push((*line, count)),
                None => files.push(Covered {
                    file: file.clone(),
                    lines: vec![(*line, count)],
                }),
            }
        }
        files
    }
}

/// The first statement that begins on each line: its column, and what has to stand between the call
/// and it.
fn starts(engine: &Engine, ast: &AST, text: &str) -> BTreeMap<usize, (usize, &'static str)> {
    let mut found = BTreeMap::new();
    let tokens = tokens(engine, text);
    let before: BTreeMap<Position, &Token> = tokens
        .windows(2)
        .map(|pair| (pair[1].1, &pair[0].0))
        .collect();
    ast.walk(&mut |path| {
        let Some(ASTNode::Stmt(statement)) = path.last() else {
            return true;
        };
        let is_value = matches!(statement, Stmt::Expr(_) | Stmt::FnCall(..));
        let start = start_of(statement);
        let behind = match (statement, before.get(&start)) {
            (Stmt::Share(..) | Stmt::Noop(..) | Stmt::Import(..) | Stmt::Export(..), _) => None,
            // A constant of the top level is no code.
            (Stmt::Var(_, flags, _), _) if flags.intersects(ASTFlags::CONSTANT) => None,
            (_, Some(Token::LeftBrace | Token::RightBrace | Token::SemiColon)) => Some(";"),
            // The call gives `()`, so that the arm of the `switch` has its own value.
            (_, Some(Token::DoubleArrow)) if is_value => Some(" ??"),
            _ => None,
        };
        if let (Some(line), Some(column), Some(behind)) = (start.line(), start.position(), behind) {
            let first = found.entry(line).or_insert((column, behind));
            if column < first.0 {
                *first = (column, behind);
            }
        }
        true
    });
    found
}

/// Where a statement begins.
fn start_of(statement: &Stmt) -> Position {
    match statement {
        Stmt::Expr(of) => start(of),
        Stmt::Assignment(of) => start(&of.1.lhs),
        Stmt::FnCall(of, position) => start_of_call(of, *position),
        other => other.position(),
    }
}

/// Where an expression begins; what is in parentheses, behind the first of them.
fn start(expression: &Expr) -> Position {
    match expression {
        Expr::FnCall(of, position) => start_of_call(of, *position),
        Expr::Dot(of, ..) | Expr::Index(of, ..) => start(&of.lhs),
        Expr::And(of, _) | Expr::Or(of, _) | Expr::Coalesce(of, _) => {
            of.first().map_or(Position::NONE, start)
        }
        other => other.start_position(),
    }
}

fn start_of_call(call: &FnCallExpr, position: Position) -> Position {
    match &*call.args {
        [first, _] if call.op_token.is_some() => start(first),
        _ if call.namespace.is_empty() => position,
        _ => call.namespace.position(),
    }
}

#[cfg(test)]
mod tests {
    use rhai::OptimizationLevel;

    use super::*;

    fn marked(text: &str) -> String {
        let mut engine = Engine::new_raw();
        engine.set_optimization_level(OptimizationLevel::None);
        let ast = engine.compile(text).expect("a script");
        let marked = Coverage::default().mark(&engine, &ast, "a.rhai", text);
        engine.compile(&marked).expect("a script");
        marked.replace(COVERED, "c")
    }

    #[test]
    fn a_line_is_marked_where_its_first_statement_begins() {
        for (text, expected) in [
            ("fn f(x) {\n  x + 2\n}", "fn f(x) {\n  c(0); x + 2\n}"),
            ("fn f() {\n  a::b(1);\n}", "fn f() {\n  c(0); a::b(1);\n}"),
            ("fn f() { g(); h() }", "fn f() { c(0); g(); h() }"),
            (
                "fn f(x) {\n  x.y[1] = 2; // z\n  !x\n}",
                "fn f(x) {\n  c(0); x.y[1] = 2; // z\n  c(1); !x\n}",
            ),
            (
                "fn f(x) { switch x {\n  1 => g(),\n  2 => x + 1,\n  3 => return,\n  _ => {}\n} }",
                "fn f(x) { c(0); switch x {\n  1 => c(1) ?? g(),\n  2 => c(2) ?? x + 1,\n  \
                    3 => return,\n  _ => {}\n} }",
            ),
            // Neither are broken, nor is what is within a text.
            ("fn f(x) {\n  (x + 1).g()\n}", "fn f(x) {\n  (x + 1).g()\n}"),
            (
                "fn f() {\n  `{\n ; g();\n`\n}",
                "fn f() {\n  c(0); `{\n ; g();\n`\n}",
            ),
            ("const A = 1;\nfn f() {}", "const A = 1;\nfn f() {}"),
        ] {
            assert_eq!(marked(text), expected);
        }
    }
}
