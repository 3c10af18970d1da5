//! Warnings about what a file says and probably does not mean, read off its AST.

use rhai::{AST, ASTNode, Expr, FnCallExpr, Position, Stmt};

use super::fault::Fault;

/// Doubts that are told of one file at once: each comes with its line, however long that is.
const MOST: usize = 10;

/// The first doubts about a file, as warnings.
pub fn of(file: &str, text: &str, ast: &AST) -> Vec<Fault> {
    let lines: Vec<_> = text.split('\n').collect();
    let mut found: Vec<(Position, String, String)> = Vec::new();
    let is_own = |name: &str| ast.iter_fn_def().any(|function| function.name == name);
    ast.walk(&mut |path| {
        let begins = |position, quote| begins(&lines, position) == Some(quote);
        let (position, doubt) = match path {
            [
                ..,
                ASTNode::Expr(Expr::InterpolatedString(_, template)),
                ASTNode::Expr(Expr::StringConstant(part, _)),
            ] => (*template, escape(part)),
            [.., ASTNode::Expr(Expr::StringConstant(content, position))] => {
                let template = template(content).filter(|_| begins(*position, '"'));
                let escape = || escape(content).filter(|_| begins(*position, '`'));
                (*position, template.or_else(escape))
            }
            [
                ..,
                ASTNode::Expr(Expr::FnCall(call, position) | Expr::MethodCall(call, position)),
            ]
            | [.., ASTNode::Stmt(Stmt::FnCall(call, position))] => {
                (*position, seconds(call).filter(|_| !is_own(&call.name)))
            }
            _ => return true,
        };
        if let Some((message, hint)) = doubt
            && found.last().is_none_or(|(last, ..)| *last != position)
        {
            found.push((position, message, hint));
        }
        found.len() < MOST
    });
    // Functions come in no order of their own.
    found.sort();
    let faults = found.into_iter().map(|(position, message, hint)| {
        let fault = Fault::new(file, text, position, message);
        fault.with_hint(Some(hint)).into_warning()
    });
    faults.collect()
}

/// The character that begins a text.
fn begins(lines: &[&str], position: Position) -> Option<char> {
    let line = lines.get(position.line()? - 1)?;
    line.chars().nth(position.position()?.checked_sub(1)?)
}

/// A text between double quotes that is written like one with values in it.
fn template(content: &str) -> Option<(String, String)> {
    let (_, inside) = content.split_once("${")?;
    let is_name = inside.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let (value, _) = inside.split_once('}')?;
    is_name.then(|| {
        (
            format!("between double quotes `${{{value}}}` is text, not a value"),
            format!("a text with values in it stands between backticks: `… ${{{value}}} …`"),
        )
    })
}

/// A text between backticks with an escape in it. JSON has escapes of its own, and its quotes.
fn escape(content: &str) -> Option<(String, String)> {
    let is_escape = |rest: &&str| rest.starts_with(['r', 'n', 't']) || rest.starts_with("x0");
    let found = content.split('\\').skip(1).find(is_escape)?;
    let letter = found.chars().next()?;
    (!content.contains('"')).then(|| {
        (
            format!("between backticks `\\{letter}` is a backslash and a letter"),
            "nothing is escaped there: break the line in the text itself, or write \"…\", \
            where \\r \\n \\t are what they \
             are elsewhere"
                .to_owned(),
        )
    })
}

/// From where on a number of seconds is probably one of milliseconds.
const LONG: f64 = 100.0;

/// A wait that is probably said in milliseconds. Timers may be long, and then are whole minutes;
/// who writes a fraction, `3600.0`, thinks of seconds.
fn seconds(call: &FnCallExpr) -> Option<(String, String)> {
    let Expr::IntegerConstant(value, _) = call.args.first()? else {
        return None;
    };
    #[allow(
        clippy::cast_precision_loss,
        reason = "the number of a literal, for people"
    )]
    let value = *value as f64;
    let is_doubtful = match &*call.name {
        "sleep" | "receive" => value >= LONG,
        "after" | "every" => value >= 1000.0 && value % 500.0 == 0.0 && value % 3600.0 != 0.0,
        _ => return None,
    };
    let more = if call.args.len() > 1 { ", …" } else { "" };
    is_doubtful.then(|| {
        (
            format!("`{}({value}{more})` is {value} seconds", call.name),
            format!(
                "times are seconds: {value} milliseconds are {:?}",
                value / 1000.0
            ),
        )
    })
}
