//! A file's syntax tree to what it refers to, and to what it has for others.

use std::collections::{BTreeSet, HashMap};

use rhai::{
    AST, ASTFlags, ASTNode, Expr, FlowControl, FnAccess, FnCallExpr, FnPtr, ImmutableString,
    Position, Stmt, is_valid_function_name,
};

use super::bodies::Bodies;
use crate::script::fault::describe::UNKNOWN;

/// References of a file, and the names in it that others may refer to.
#[derive(Debug, Default)]
pub struct References {
    /// The top level, then every function and closure.
    pub functions: Vec<Function>,
    /// Indices of the functions of each name among them.
    named: HashMap<ImmutableString, Vec<usize>>,
    /// Number of parameters of each closure that are what it captures.
    captures: HashMap<ImmutableString, usize>,
    /// Constants that the file's own functions find as `global::NAME`.
    pub constants: BTreeSet<ImmutableString>,
    /// Names that other files find as `module::NAME`.
    pub exports: BTreeSet<ImmutableString>,
    /// Names of modules, with what is imported by that name.
    imports: BTreeSet<(ImmutableString, ImmutableString)>,
    /// Functions that the file asks `is_def_fn` for; `None` among them is any.
    probed: BTreeSet<Option<ImmutableString>>,
    /// Functions that may be called from anywhere, because they are spoken of; `None` among them is
    /// any.
    mentioned: BTreeSet<Option<ImmutableString>>,
    /// Variables that become something else than they began as.
    assigned: BTreeSet<ImmutableString>,
    /// Whether `this` does.
    changes_this: bool,
}

/// A function of a file, or its top level.
#[derive(Debug, Default)]
pub struct Function {
    /// Its name; empty for the top level.
    pub name: ImmutableString,
    /// Number of parameters; what a closure captures comes before those that it shows.
    pub params: usize,
    /// It is called as a method of one type.
    pub is_typed: bool,
    /// It is a closure.
    pub is_closure: bool,
    /// Other files cannot call it.
    pub is_private: bool,
    /// References that the function makes.
    pub uses: Vec<Use>,
    /// It does something else for other types.
    pub asks_for_types: bool,
    /// Positions at which it returns a plain value, as if that were for somebody.
    pub returned: Vec<Position>,
}

/// A place that refers to something.
#[derive(Debug)]
pub struct Use {
    /// Target of the reference.
    pub what: Reference,
    /// Arguments of the call.
    pub args: Vec<Argument>,
    /// Position of the reference in the file.
    pub position: Position,
    /// It is reached whenever the function is called, as far as it gets there.
    pub is_certain: bool,
    /// It stands in a `try` block.
    pub is_tried: bool,
}

/// Target of a reference.
#[derive(Debug)]
pub enum Reference {
    /// Function that is called, `name(…)`.
    Function(ImmutableString),
    /// Function that is spoken of, `Fn("name")`.
    Pointer(ImmutableString),
    /// Function of a module that is called, `module::name(…)`.
    InModule(Vec<ImmutableString>, ImmutableString),
    /// `module::NAME` or `global::NAME`.
    Constant(Vec<ImmutableString>, ImmutableString),
    /// Method that is called, `value.name(…)`.
    Method(Value, ImmutableString),
    /// Property that is read, `value.name`.
    Get(Value, ImmutableString),
    /// `value.name = …`, with what it is set to as argument.
    Set(Value, ImmutableString),
    /// A closure that is made here, with what it captures as arguments.
    Closure(ImmutableString),
}

/// Origin of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value {
    /// A parameter of the function that it is used in.
    Param(usize),
    /// Any other origin.
    Unknown,
}

/// Argument of a call.
#[derive(Debug)]
pub struct Argument {
    /// Origin of the argument's value.
    pub value: Value,
    /// Text that a report shows for it: a variable's name, a literal's type.
    pub written: ImmutableString,
}

impl Use {
    /// Whether another file is to have it.
    pub fn is_of_module(&self) -> bool {
        match &self.what {
            Reference::InModule(..) => true,
            Reference::Constant(path, _) => path[0] != "global",
            _ => false,
        }
    }
}

impl References {
    /// Reads a file's tree.
    pub fn of(ast: &AST) -> Self {
        // What is said of names holds for the whole file, wherever it stands: so it is read twice.
        let mut known = Self::default();
        known.read(ast);
        let mut references = Self {
            assigned: std::mem::take(&mut known.assigned),
            changes_this: known.changes_this,
            ..Self::default()
        };
        references.read(ast);
        references
    }

    /// The paths of the modules that go by this name, in one place of the file or another.
    pub fn modules(&self, name: &str) -> impl Iterator<Item = &str> {
        let named = self.imports.iter().filter(move |(alias, _)| alias == name);
        named.map(|(_, path)| &**path)
    }

    /// Whether something is imported by this name.
    pub fn imports(&self, name: &str) -> bool {
        self.modules(name).next().is_some()
    }

    /// The functions of a name, with their places.
    pub fn named(&self, name: &str) -> impl Iterator<Item = (usize, &Function)> {
        let places = self.named.get(name).into_iter().flatten();
        places.map(|at| (*at, &self.functions[*at]))
    }

    /// Returns the number of a closure's parameters that are what it captures; the rest is what it
    /// is called with.
    pub fn captures(&self, closure: &Function) -> usize {
        self.captures.get(&closure.name).copied().unwrap_or(0)
    }

    /// Whether `name(…)` with so many arguments is a function of this file.
    pub fn has_function(&self, name: &str, arguments: usize) -> bool {
        let mut functions = self.named(name);
        functions.any(|(_, function)| !function.is_typed && function.params == arguments)
    }

    /// Whether there is a function of this name in the file.
    pub fn knows(&self, name: &str) -> bool {
        self.named(name).next().is_some()
    }

    /// Whether `value.name(…)` with so many arguments can be a function of this file.
    pub fn has_method(&self, name: &str, arguments: usize) -> bool {
        let mut functions = self.named(name);
        functions.any(|(_, function)| function.params == arguments)
    }

    /// Whether `module::name(…)` with so many arguments is a function of this file.
    pub fn offers_function(&self, name: &str, arguments: usize) -> bool {
        let mut functions = self.named(name);
        functions.any(|(_, function)| {
            !function.is_typed && !function.is_private && function.params == arguments
        })
    }

    /// Whether the file looks for itself whether there is a function of this name.
    pub fn is_probed(&self, name: &ImmutableString) -> bool {
        self.probed.contains(&None) || self.probed.contains(&Some(name.clone()))
    }

    /// Whether a function may be called by more than the calls that are written.
    pub fn is_mentioned(&self, function: &Function) -> bool {
        self.mentioned.contains(&None) || self.mentioned.contains(&Some(function.name.clone()))
    }

    fn read(&mut self, ast: &AST) {
        self.functions.push(Function::default());
        let mut bodies = Bodies::default();
        for defined in ast.iter_fn_def() {
            let at = self.functions.len();
            bodies.add(
                at,
                defined.body.start_position(),
                defined.body.end_position(),
            );
            self.named.entry(defined.name.clone()).or_default().push(at);
            self.functions.push(Function {
                name: defined.name.clone(),
                params: defined.params.len(),
                is_typed: defined.this_type.is_some(),
                is_closure: !is_valid_function_name(&defined.name),
                is_private: defined.access == FnAccess::Private,
                ..Function::default()
            });
        }
        let bodies = bodies.sorted();
        let params: Vec<_> = ast
            .iter_fn_def()
            .map(|defined| &defined.params[..])
            .collect();
        let mut readers: Vec<Option<Reader>> = Vec::new();
        readers.resize_with(self.functions.len(), || None);
        let top_level = ast.statements().len();
        let mut seen = 0;
        let mut last = vec![None; self.functions.len()];
        // Rhai names no type for a function's body, and shows its statements in a walk, for as long
        // as a call takes.
        ast.walk(&mut |path| {
            let [ASTNode::Stmt(statement)] = path else {
                return true;
            };
            seen += 1;
            let at = match seen <= top_level {
                true => 0,
                false => bodies.around(statement.position()).unwrap_or(0),
            };
            let reader = readers[at].get_or_insert_with(|| {
                let params = at.checked_sub(1).map_or(&[][..], |at| params[at]);
                Reader::new(params)
            });
            reader.statement(self, at, statement);
            last[at] = match statement {
                Stmt::Expr(value) if is_plain(value) => Some(value.position()),
                _ => None,
            };
            true
        });
        for (function, last) in self.functions.iter_mut().zip(last) {
            function.returned.extend(last);
        }
        self.read_exports(ast);
    }

    /// Reads the constants and exports that the statements of the top level leave for functions and
    /// for other files.
    fn read_exports(&mut self, ast: &AST) {
        for statement in ast.statements() {
            match statement {
                Stmt::Var(variable, flags, _) => {
                    let name = &variable.0.name;
                    if flags.intersects(ASTFlags::CONSTANT) {
                        self.constants.insert(name.clone());
                    }
                    if flags.intersects(ASTFlags::EXPORTED) {
                        self.exports.insert(name.clone());
                    }
                }
                Stmt::Export(names, _) => {
                    let (name, alias) = (&names.0.name, &names.1.name);
                    let shown = if alias.is_empty() { name } else { alias };
                    self.exports.insert(shown.clone());
                }
                _ => {}
            }
        }
    }
}

/// Scope and nesting at the place where a function is being read.
struct Reader {
    /// The variables that are seen, with where their values come from.
    scope: Vec<(ImmutableString, Value)>,
    /// Nesting depth of conditions, loops and the like.
    conditions: usize,
    /// Nesting depth of `try` blocks.
    tries: usize,
    /// It may have returned before.
    is_left: bool,
}

impl Reader {
    fn new(params: &[ImmutableString]) -> Self {
        let params = params.iter().enumerate();
        Self {
            scope: params
                .map(|(at, name)| (name.clone(), Value::Param(at)))
                .collect(),
            conditions: 0,
            tries: 0,
            is_left: false,
        }
    }

    fn statements<'s>(
        &mut self,
        into: &mut References,
        at: usize,
        statements: impl IntoIterator<Item = &'s Stmt>,
    ) {
        let outer = self.scope.len();
        for statement in statements {
            self.statement(into, at, statement);
        }
        self.scope.truncate(outer);
    }

    /// Reads code that is reached only sometimes.
    fn sometimes(&mut self, read: impl FnOnce(&mut Self)) {
        self.conditions += 1;
        read(self);
        self.conditions -= 1;
    }

    fn statement(&mut self, into: &mut References, at: usize, statement: &Stmt) {
        match statement {
            Stmt::If(flow, _) => {
                self.expression(into, at, &flow.expr);
                self.branches(into, at, flow);
            }
            Stmt::Switch(switch, _) => {
                let (value, cases) = &**switch;
                self.expression(into, at, value);
                self.sometimes(|reader| {
                    for case in &cases.expressions {
                        reader.expression(into, at, &case.lhs);
                        reader.expression(into, at, &case.rhs);
                    }
                });
            }
            Stmt::While(flow, _) | Stmt::Do(flow, ..) => {
                self.expression(into, at, &flow.expr);
                self.branches(into, at, flow);
            }
            Stmt::For(looped, _) => {
                let (item, counter, flow) = &**looped;
                self.expression(into, at, &flow.expr);
                let outer = self.scope.len();
                let names = counter.iter().chain([item]);
                self.scope
                    .extend(names.map(|ident| (ident.name.clone(), Value::Unknown)));
                self.branches(into, at, flow);
                self.scope.truncate(outer);
            }
            Stmt::Var(variable, ..) => {
                let (ident, value, _) = &**variable;
                self.expression(into, at, value);
                let value = self.value(into, value);
                let value = match into.assigned.contains(&ident.name) {
                    true => Value::Unknown,
                    false => value,
                };
                self.scope.push((ident.name.clone(), value));
            }
            Stmt::Assignment(assignment) => {
                let (operator, sides) = &**assignment;
                self.expression(into, at, &sides.rhs);
                if operator.is_op_assignment() {
                    self.expression(into, at, &sides.lhs);
                }
                let to = self.argument(into, &sides.rhs);
                self.target(into, at, &sides.lhs, to);
            }
            Stmt::FnCall(call, position) => self.call(into, at, call, *position),
            Stmt::Block(block) => self.statements(into, at, block.statements()),
            Stmt::TryCatch(flow, _) => {
                self.sometimes(|reader| {
                    reader.tries += 1;
                    reader.statements(into, at, flow.body.statements());
                    reader.tries -= 1;
                    let outer = reader.scope.len();
                    if let Expr::Variable(caught, ..) = &flow.expr {
                        reader.scope.push((caught.1.clone(), Value::Unknown));
                    }
                    reader.statements(into, at, flow.branch.statements());
                    reader.scope.truncate(outer);
                });
            }
            Stmt::Expr(expression) => self.expression(into, at, expression),
            Stmt::BreakLoop(value, ..) => {
                if let Some(value) = value {
                    self.expression(into, at, value);
                }
                self.is_left = true;
            }
            Stmt::Return(value, flags, _) => {
                if let Some(value) = value {
                    self.expression(into, at, value);
                    if !flags.intersects(ASTFlags::BREAK) && is_plain(value) {
                        into.functions[at].returned.push(value.position());
                    }
                }
                self.is_left = true;
            }
            Stmt::Import(import, _) => {
                let (path, ident) = &**import;
                if let Expr::StringConstant(path, _) = path {
                    into.imports.insert((ident.name.clone(), path.clone()));
                }
            }
            _ => {}
        }
    }

    fn branches(&mut self, into: &mut References, at: usize, flow: &FlowControl) {
        self.sometimes(|reader| {
            reader.statements(into, at, flow.body.statements());
            reader.statements(into, at, flow.branch.statements());
        });
    }

    fn expression(&mut self, into: &mut References, at: usize, expression: &Expr) {
        match expression {
            Expr::StringConstant(text, _) => {
                into.mentioned.insert(Some(text.clone()));
            }
            Expr::DynamicConstant(value, _) => {
                if let Some(pointer) = value.read_lock::<FnPtr>() {
                    into.mentioned.insert(Some(pointer.fn_name().into()));
                }
            }
            Expr::Variable(variable, _, position) => {
                let (_, name, path, _) = &**variable;
                if path.is_empty() {
                    if !self.sees(name) {
                        into.mentioned.insert(Some(name.clone()));
                    }
                } else {
                    let what = Reference::Constant(names(path), name.clone());
                    self.refer(
                        into,
                        at,
                        what,
                        Vec::new(),
                        path.position().or_else(*position),
                    );
                }
            }
            Expr::InterpolatedString(parts, _) | Expr::Array(parts, _) => {
                for part in &**parts {
                    self.expression(into, at, part);
                }
            }
            Expr::Map(map, _) => {
                for (_, value) in &map.0 {
                    self.expression(into, at, value);
                }
            }
            Expr::Stmt(block) => self.statements(into, at, block.statements()),
            Expr::FnCall(call, position) => self.call(into, at, call, *position),
            Expr::And(parts, _) | Expr::Or(parts, _) | Expr::Coalesce(parts, _) => {
                let mut parts = parts.iter();
                if let Some(first) = parts.next() {
                    self.expression(into, at, first);
                }
                self.sometimes(|reader| {
                    for part in parts {
                        reader.expression(into, at, part);
                    }
                });
            }
            Expr::Dot(sides, ..) => {
                self.expression(into, at, &sides.lhs);
                let value = self.value(into, &sides.lhs);
                self.member(into, at, value, &sides.rhs);
            }
            Expr::Index(sides, flags, _) => {
                self.expression(into, at, &sides.lhs);
                self.index(into, at, &sides.rhs, *flags);
            }
            _ => {}
        }
    }

    /// Reads what stands behind a dot: a member, perhaps with more behind it.
    fn member(&mut self, into: &mut References, at: usize, of: Value, member: &Expr) {
        match member {
            Expr::Property(property, position) => {
                let what = Reference::Get(of, property.2.clone());
                self.refer(into, at, what, Vec::new(), *position);
            }
            Expr::MethodCall(call, position) => {
                let args = self.arguments(into, at, call);
                into.functions[at].asks_for_types |= call.name == "type_of";
                let what = Reference::Method(of, call.name.clone());
                self.refer(into, at, what, args, *position);
            }
            Expr::Dot(sides, ..) => {
                self.member(into, at, of, &sides.lhs);
                self.member(into, at, Value::Unknown, &sides.rhs);
            }
            Expr::Index(sides, flags, _) => {
                self.member(into, at, of, &sides.lhs);
                self.index(into, at, &sides.rhs, *flags);
            }
            other => self.expression(into, at, other),
        }
    }

    /// Reads what stands in brackets, and, unless the chain ends there, what follows them.
    fn index(&mut self, into: &mut References, at: usize, index: &Expr, flags: ASTFlags) {
        match index {
            Expr::Dot(sides, ..) if !flags.intersects(ASTFlags::BREAK) => {
                self.expression(into, at, &sides.lhs);
                self.member(into, at, Value::Unknown, &sides.rhs);
            }
            Expr::Index(sides, inner, _) if !flags.intersects(ASTFlags::BREAK) => {
                self.expression(into, at, &sides.lhs);
                self.index(into, at, &sides.rhs, *inner);
            }
            index => self.expression(into, at, index),
        }
    }

    /// Reads the target of an assignment.
    fn target(&mut self, into: &mut References, at: usize, target: &Expr, to: Argument) {
        match target {
            Expr::Variable(variable, ..) if variable.2.is_empty() => {
                into.assigned.insert(variable.1.clone());
            }
            Expr::ThisPtr(_) => into.changes_this = true,
            Expr::Dot(sides, ..) => {
                let value = self.value(into, &sides.lhs);
                self.expression(into, at, &sides.lhs);
                match &sides.rhs {
                    Expr::Property(property, position) => {
                        let what = Reference::Set(value, property.2.clone());
                        self.refer(into, at, what, vec![to], *position);
                    }
                    // The last of a chain is set, on a value that is not known.
                    member => self.member(into, at, value, member),
                }
            }
            target => self.expression(into, at, target),
        }
    }

    fn call(&mut self, into: &mut References, at: usize, call: &FnCallExpr, position: Position) {
        let args = self.arguments(into, at, call);
        // An operator is for its operands' types to decide.
        if call.op_token.is_some() {
            return;
        }
        if call.is_qualified() {
            let what = Reference::InModule(names(&call.namespace), call.name.clone());
            return self.refer(into, at, what, args, position);
        }
        let literal = match call.args.first() {
            Some(Expr::StringConstant(name, _)) => Some(name.clone()),
            _ => None,
        };
        match &*call.name {
            "type_of" => into.functions[at].asks_for_types = true,
            "is_def_fn" => drop(into.probed.insert(literal)),
            "Fn" => {
                let name = literal.clone();
                into.mentioned.insert(literal);
                if let Some(name) = name.filter(|name| is_valid_function_name(name)) {
                    return self.refer(into, at, Reference::Pointer(name), Vec::new(), position);
                }
            }
            // What a closure captures is handed to it so.
            "curry" => {
                if let Some(Expr::DynamicConstant(value, _)) = call.args.first()
                    && let Some(pointer) = value.read_lock::<FnPtr>()
                {
                    let captured: Vec<_> = args.into_iter().skip(1).collect();
                    let name = ImmutableString::from(pointer.fn_name());
                    into.captures.insert(name.clone(), captured.len());
                    let what = Reference::Closure(name);
                    return self.refer(into, at, what, captured, position);
                }
            }
            _ => {}
        }
        self.refer(
            into,
            at,
            Reference::Function(call.name.clone()),
            args,
            position,
        );
    }

    fn arguments(&mut self, into: &mut References, at: usize, call: &FnCallExpr) -> Vec<Argument> {
        let args = call.args.iter().map(|arg| {
            self.expression(into, at, arg);
            self.argument(into, arg)
        });
        args.collect()
    }

    fn argument(&self, known: &References, expression: &Expr) -> Argument {
        Argument {
            value: self.value(known, expression),
            written: written(expression),
        }
    }

    fn refer(
        &mut self,
        into: &mut References,
        at: usize,
        what: Reference,
        args: Vec<Argument>,
        position: Position,
    ) {
        into.functions[at].uses.push(Use {
            what,
            args,
            position,
            is_certain: self.conditions == 0 && !self.is_left,
            is_tried: self.tries > 0,
        });
    }

    /// Returns the origin of an expression's value.
    fn value(&self, known: &References, expression: &Expr) -> Value {
        let Expr::Variable(variable, ..) = expression else {
            return Value::Unknown;
        };
        let (_, name, path, _) = &**variable;
        if !path.is_empty() || known.assigned.contains(name) || known.changes_this {
            return Value::Unknown;
        }
        let mut seen = self.scope.iter().rev();
        let found = seen.find(|(known, _)| known == name);
        found.map_or(Value::Unknown, |(_, value)| *value)
    }

    fn sees(&self, name: &str) -> bool {
        self.scope.iter().any(|(known, _)| known == name)
    }
}

/// Whether an expression is a value that was there before: what a call gives may be returned for
/// nothing but its end.
fn is_plain(value: &Expr) -> bool {
    matches!(
        value,
        Expr::Variable(..)
            | Expr::StringConstant(..)
            | Expr::InterpolatedString(..)
            | Expr::BoolConstant(..)
            | Expr::Map(..)
            | Expr::Array(..)
    )
}

fn names(path: &rhai::Namespace) -> Vec<ImmutableString> {
    path.path.iter().map(|ident| ident.name.clone()).collect()
}

/// Returns the text that a report shows for an argument.
fn written(argument: &Expr) -> ImmutableString {
    match argument {
        Expr::Variable(variable, ..) if variable.2.is_empty() => variable.1.clone(),
        Expr::ThisPtr(_) => "this".into(),
        Expr::BoolConstant(..) => "bool".into(),
        Expr::IntegerConstant(..) => "int".into(),
        Expr::FloatConstant(..) => "float".into(),
        Expr::CharConstant(..) => "char".into(),
        Expr::StringConstant(..) | Expr::InterpolatedString(..) => "string".into(),
        Expr::Array(..) => "array".into(),
        Expr::Map(..) => "map".into(),
        Expr::Unit(_) => "()".into(),
        _ => UNKNOWN.into(),
    }
}
