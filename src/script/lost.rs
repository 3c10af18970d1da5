//! Writes that would be lost without a word: assignments to what is a copy or a constant.
//!
//! Rhai hands out constants, and properties of the host's objects, as copies. An assignment to an
//! element that is there throws; one that adds an element changes the copy, which nobody sees
//! again. What can be told from the text is refused when the file is loaded. A parameter is a copy,
//! too, but may be read afterwards.

use std::collections::BTreeSet;

use rhai::{AST, ASTFlags, ASTNode, Expr, Position, ScriptFuncDef, Stmt};

use super::api::PACKAGES;
use super::api::form::OBJECTS;
use super::hooks::HOOKS;
use crate::machine::host::Function;

/// A write whose effect would be lost.
#[derive(Debug)]
pub struct Lost {
    /// Position of the write in the file.
    pub position: Position,
    /// Message about what it changes in vain.
    pub message: String,
    /// Hint at what would not be lost.
    pub hint: String,
}

/// The first write of a file that would be lost.
pub fn find(ast: &AST) -> Option<Lost> {
    let functions: Vec<&ScriptFuncDef> = ast.iter_fn_def().map(AsRef::as_ref).collect();
    let own = functions.iter().map(|defined| defined.name.to_string());
    let own: BTreeSet<_> = own.collect();
    let mut bodies = vec![Body::default()];
    bodies.extend(functions.iter().map(|defined| Body::of(defined)));
    let (mut current, mut seen) = (0, 0);
    ast.walk(&mut |path: &[ASTNode]| {
        if let [ASTNode::Stmt(statement)] = path {
            seen += 1;
            current = match seen <= ast.statements().len() {
                true => 0,
                false => owner(&functions, statement.position()),
            };
        }
        if let Some(node) = path.last() {
            bodies[current].read(node, &own);
        }
        true
    });
    bodies.into_iter().find_map(Body::lost)
}

/// Returns the number of the body that a statement of a function belongs to: of those around it the
/// one that begins last. A closure's body that is an expression has no end, and is that statement.
fn owner(functions: &[&ScriptFuncDef], at: Position) -> usize {
    let around = functions.iter().enumerate().filter(|(_, defined)| {
        let (start, end) = (defined.body.start_position(), defined.body.end_position());
        start <= at && at <= if end.is_none() { start } else { end }
    });
    let innermost = around.max_by_key(|(_, defined)| defined.body.start_position());
    innermost.map_or(0, |(number, _)| number + 1)
}

/// Names and writes of the top level or of a function.
#[derive(Default)]
struct Body {
    /// Names that are the host's objects here, with their types.
    objects: Vec<(String, &'static str)>,
    /// Names that are constants somewhere in it.
    constants: BTreeSet<String>,
    /// Names that are something else, maybe also.
    others: BTreeSet<String>,
    /// Write that is lost whatever its names are.
    lost: Option<Lost>,
    writes: Vec<Write>,
}

/// A change of something inside of a variable's value.
struct Write {
    name: String,
    position: Position,
    /// The property that comes first, with its place.
    property: Option<(String, Position)>,
    /// Whether it is more than that property that is assigned to.
    is_inside: bool,
}

impl Body {
    fn of(function: &ScriptFuncDef) -> Self {
        let params = &function.params;
        let hook = HOOKS
            .iter()
            .find(|hook| function.name == hook.name && params.len() == hook.params.len());
        let objects = params.iter().enumerate().filter_map(|(at, name)| {
            let called = hook.map_or(name.as_str(), |hook| hook.params[at]);
            let (class, _) = OBJECTS.iter().find(|(_, object)| *object == called)?;
            (*class != "Error").then(|| (name.to_string(), *class))
        });
        Self {
            objects: objects.collect(),
            others: params.iter().map(ToString::to_string).collect(),
            ..Self::default()
        }
    }

    fn read(&mut self, node: &ASTNode, own: &BTreeSet<String>) {
        match node {
            ASTNode::Stmt(Stmt::Var(variable, flags, _)) => {
                let is_constant = flags.intersects(ASTFlags::CONSTANT);
                let names = if is_constant {
                    &mut self.constants
                } else {
                    &mut self.others
                };
                names.insert(variable.0.name.to_string());
            }
            ASTNode::Stmt(Stmt::TryCatch(of, _)) => {
                self.others.extend(name_of(&of.expr).map(ToOwned::to_owned));
            }
            ASTNode::Stmt(Stmt::For(of, _)) => {
                self.others.insert(of.0.name.to_string());
                let counter = of.1.as_ref().map(|counter| counter.name.to_string());
                self.others.extend(counter);
                self.keep(by_loop(&of.0.name, of.2.body.statements()));
            }
            ASTNode::Stmt(Stmt::Assignment(of)) => self.assignment(&of.1.lhs),
            ASTNode::Expr(expr @ Expr::Dot(..)) => self.method(expr, own),
            _ => {}
        }
    }

    fn keep(&mut self, lost: Option<Lost>) {
        self.lost = self.lost.take().or(lost);
    }

    fn assignment(&mut self, target: &Expr) {
        let chain = Chain::of(target);
        let Expr::Variable(variable, _, position) = chain.root else {
            return;
        };
        let (name, namespace) = (variable.1.as_str(), &variable.2);
        if !namespace.is_empty() {
            let name = format!("{namespace}::{name}");
            self.keep(Some(constant(&name, namespace.position())));
        } else if !chain.steps.is_empty() {
            self.writes.push(chain.write(name, *position, 1));
        }
    }

    /// A method that only changes what it is called on.
    fn method(&mut self, expr: &Expr, own: &BTreeSet<String>) {
        let mut chain = Chain::of(expr);
        let Some(Step::Method(method, position)) = chain.steps.pop() else {
            return;
        };
        if !CHANGING.contains(&method) || own.contains(method) {
            return;
        }
        match chain.steps.last() {
            Some(Step::Method(giving, _)) => {
                let is_copy = GIVING.contains(giving) && !own.contains(*giving);
                self.keep(is_copy.then(|| Lost {
                    position,
                    message: format!(
                        "`{giving}` gives a copy: what `{method}` changes in it would be lost"
                    ),
                    hint: "put it in a variable first, and set that where it belongs".into(),
                }));
            }
            Some(Step::Property(..) | Step::Index) => {
                if let (Some(name), false) = (name_of(chain.root), chain.calls()) {
                    // A constant's method throws by itself.
                    let write = chain.write(name, chain.root.position(), 0);
                    self.keep(self.copied(&write));
                }
            }
            None => {}
        }
    }

    /// Something in a property of the host's that is a copy.
    fn copied(&self, write: &Write) -> Option<Lost> {
        let name = &write.name;
        let (property, position) = write.property.as_ref()?;
        let (_, class) = self.objects.iter().find(|(object, _)| object == name)?;
        (write.is_inside && is_copy(class, property)).then(|| Lost {
            position: *position,
            message: format!("`{name}.{property}` is a copy: what is changed in it would be lost"),
            hint: format!("keep it in `this`: `this.{property} = {name}.{property};`"),
        })
    }

    fn lost(self) -> Option<Lost> {
        let by_name = self.writes.iter().find_map(|write| {
            let is_constant =
                self.constants.contains(&write.name) && !self.others.contains(&write.name);
            is_constant
                .then(|| constant(&write.name, write.position))
                .or_else(|| self.copied(write))
        });
        self.lost.or(by_name)
    }
}

fn constant(name: &str, position: Position) -> Lost {
    Lost {
        position,
        message: format!("`{name}` is a constant and cannot be changed"),
        hint: "copy it into a variable first, or keep what changes in `this`".into(),
    }
}

/// Methods that change what they are called on and give nothing.
const CHANGING: &[&str] = &[
    "append",
    "chop",
    "clear",
    "fill_with",
    "insert",
    "mixin",
    "push",
    "set",
];

/// Methods that give a new value.
const GIVING: &[&str] = &[
    "extract",
    "filter",
    "get",
    "keys",
    "map",
    "order",
    "order_by",
    "order_desc",
    "slice",
    "split",
    "split_rev",
    "to_array",
    "to_chars",
    "values",
    "zip",
];

/// Whether a property of an object of the host's can be read, and not be set.
fn is_copy(class: &str, property: &str) -> bool {
    let functions = PACKAGES.iter().flat_map(|package| package.functions);
    let forms = functions.flat_map(Function::forms);
    let mut arities = forms
        .filter(|form| form.is_property() && form.name == property && form.of_type() == Some(class))
        .map(|form| form.arity())
        .peekable();
    arities.peek().is_some() && arities.all(|arity| arity == 1)
}

/// An element that a loop changes and never looks at: arrays give copies of their elements.
fn by_loop(name: &str, statements: &[Stmt]) -> Option<Lost> {
    let (mut first, mut written, mut used) = (None, 0, 0);
    each(statements, &mut |node| match node {
        ASTNode::Stmt(Stmt::Assignment(of)) => {
            let chain = Chain::of(&of.1.lhs);
            if name_of(chain.root) == Some(name) && !chain.steps.is_empty() {
                written += 1;
                first.get_or_insert(chain.root.position());
            }
        }
        ASTNode::Stmt(Stmt::Share(..)) => used += 1,
        ASTNode::Expr(expr) if name_of(expr) == Some(name) => used += 1,
        _ => {}
    });
    (written == used).then_some(first)?.map(|position| Lost {
        position,
        message: format!("`{name}` is a copy of the element: what is changed in it would be lost"),
        hint: format!("change the array itself: `for ({name}, i) in list {{ list[i].… = …; }}`"),
    })
}

/// The name of a variable of no other file.
fn name_of(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Variable(variable, ..) if variable.2.is_empty() => Some(variable.1.as_str()),
        _ => None,
    }
}

/// Goes through statements and what is in them.
fn each(statements: &[Stmt], on_node: &mut dyn FnMut(&ASTNode)) {
    for statement in statements {
        statement.walk(&mut Vec::new(), &mut |path: &[ASTNode]| {
            path.last().into_iter().for_each(&mut *on_node);
            true
        });
    }
}

/// Access chain: the expression before the first dot or bracket, and the steps that follow.
struct Chain<'a> {
    root: &'a Expr,
    steps: Vec<Step<'a>>,
}

enum Step<'a> {
    Property(&'a str, Position),
    Method(&'a str, Position),
    Index,
}

impl<'a> Chain<'a> {
    fn of(expr: &'a Expr) -> Self {
        let (Expr::Dot(sides, flags, _) | Expr::Index(sides, flags, _)) = expr else {
            return Self {
                root: expr,
                steps: Vec::new(),
            };
        };
        let mut chain = Self {
            root: &sides.lhs,
            steps: Vec::new(),
        };
        let mut next = (&sides.rhs, matches!(expr, Expr::Dot(..)), *flags);
        loop {
            let (expr, is_dot, flags) = next;
            match expr {
                // With this flag it is the index itself that has dots or brackets.
                Expr::Dot(sides, inner, _) | Expr::Index(sides, inner, _)
                    if !flags.contains(ASTFlags::BREAK) =>
                {
                    chain.step(&sides.lhs, is_dot);
                    next = (&sides.rhs, matches!(expr, Expr::Dot(..)), *inner);
                }
                last => {
                    chain.step(last, is_dot);
                    return chain;
                }
            }
        }
    }

    /// The change that it makes, when so many steps are not yet inside of the first property.
    fn write(&self, name: &str, position: Position, further: usize) -> Write {
        Write {
            name: name.to_owned(),
            position,
            property: match self.steps.first() {
                Some(Step::Property(property, at)) => Some(((*property).to_owned(), *at)),
                _ => None,
            },
            is_inside: self.steps.len() > further,
        }
    }

    fn calls(&self) -> bool {
        self.steps
            .iter()
            .any(|step| matches!(step, Step::Method(..)))
    }

    fn step(&mut self, expr: &'a Expr, is_dot: bool) {
        self.steps.push(match expr {
            Expr::Property(property, position) if is_dot => {
                Step::Property(property.2.as_str(), *position)
            }
            Expr::MethodCall(call, position) if is_dot => {
                Step::Method(call.name.as_str(), *position)
            }
            _ => Step::Index,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::host::Host;
    use crate::script::engine::engine;

    fn lost(script: &str) -> Option<(String, Option<usize>)> {
        let ast = engine(&Host::default()).compile(script).expect(script);
        find(&ast).map(|lost| (lost.message, lost.position.position()))
    }

    #[test]
    fn a04_what_would_be_lost_is_found() {
        let constants = "const M = #{ a: #{} }; const A = [1]; import \"v\" as v;";
        for (body, wanted, at) in [
            ("global::M[key] = 1;", "`global::M` is a constant", 1),
            ("global::M.x = 1;", "`global::M` is a constant", 1),
            ("global::M.a.b = 1;", "`global::M` is a constant", 1),
            ("global::M.a[key].b += 1;", "`global::M` is a constant", 1),
            ("global::A[0] = 1;", "`global::A` is a constant", 1),
            ("global::M = 1;", "`global::M` is a constant", 1),
            (
                "if true { while true { global::M.x += 1; } }",
                "`global::M` is a constant",
                24,
            ),
            (
                "let f = |x| { global::M.x = x; };",
                "`global::M` is a constant",
                15,
            ),
            ("v::M.x = 1;", "`v::M` is a constant", 1),
            ("v::M[key].x -= 1;", "`v::M` is a constant", 1),
            ("const C = #{}; C.x = 1;", "`C` is a constant", 16),
            ("const C = [#{}]; C[0].x = 1;", "`C` is a constant", 18),
            ("ws.params.x = 1;", "`ws.params` is a copy", 4),
            (
                "ws.query_params.x[0] = 1;",
                "`ws.query_params` is a copy",
                4,
            ),
            ("ws.headers[\"x\"] = [1];", "`ws.headers` is a copy", 4),
            ("ws.cookies.a += \"b\";", "`ws.cookies` is a copy", 4),
            ("ws.path[0] = 'x';", "`ws.path` is a copy", 4),
            (
                "ws.requested_protocols.push(\"x\");",
                "`ws.requested_protocols` is a copy",
                4,
            ),
            (
                "ws.query_params.x.push(\"x\");",
                "`ws.query_params` is a copy",
                4,
            ),
            ("this.get(\"users\").push(1);", "`get` gives a copy", 19),
            ("message.split(\",\").push(1);", "`split` gives a copy", 20),
            (
                "for user in this.users { user.seen = true; }",
                "`user` is a copy",
                26,
            ),
            (
                "for (user, i) in this.users { user.tags[i] = i; user.n += 1; }",
                "`user` is a copy",
                31,
            ),
        ] {
            let script =
                format!("{constants} fn transfer_data(ws, message) {{ let key = 1;\n{body}\n}}");
            let found = lost(&script);
            let (message, position) = found.expect(body);
            assert!(message.starts_with(wanted), "{body}: {message}");
            assert_eq!(position, Some(at), "{body}");
        }
        for (script, wanted) in [
            (
                "fn do_extra_handshake(r) { r.headers.x = 1; }",
                "`r.headers`",
            ),
            (
                "fn do_extra_handshake(request) { request.cookies.x = 1; }",
                "`request.cookies`",
            ),
            ("fn help(ws) { ws.params.x = 1; }", "`ws.params`"),
            ("const M = #{}; M.x = 1;", "`M`"),
        ] {
            assert!(
                lost(script).expect(script).0.starts_with(wanted),
                "{script}"
            );
        }
    }

    #[test]
    fn what_has_an_effect_is_left_alone() {
        for script in [
            "fn f(list) { list.push(1); list[0] = 2; list }",
            "fn transfer_data(ws, message) { message += 1; this.m = global::M; this.m.x = 1; }",
            "fn transfer_data(ws, message) { let params = ws.params; params.x = 1; }",
            "fn transfer_data(ws, message) { this[ws.params.id] = 1; this.a[ws.path].b = 2; }",
            "fn transfer_data(ws, message) { let m = #{}; m[global::K] = 1; m[global::M.x[0]] = 2; \
            }",
            "fn transfer_data(ws, message) { const C = 1; if true { let C = #{}; C.x = 1; } }",
            "fn transfer_data(ws, message) { for u in this.users { u.seen = true; print(u); } }",
            "fn transfer_data(ws, message) { for u in this.users { u.n = u.n + 1; } }",
            "fn transfer_data(ws, message) { for u in this.users { u.n = 1; let f = || u; } }",
            "fn transfer_data(ws, message) { let n = #{}; [1].for_each(|x| n.x = x); }",
            "fn do_extra_handshake(request) { request.protocol = \"chat\"; request.protocol[0] = \
            'x'; }",
            "fn transfer_data(ws, message) { ws.params.id.trim(); ws.headers.keys(); \
            ws.header(\"x\"); }",
            "fn push(x) { this.n = x; } fn transfer_data(ws, message) { this.get(\"x\").push(1); }",
            "fn f(params) { params.x = 1; params.list.push(1); }",
        ] {
            let script = format!("const K = 1; const M = #{{}}; {script}");
            assert_eq!(lost(&script), None, "{script}");
        }
    }
}
