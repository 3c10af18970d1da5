//! The functions of a file that its trees call.
//!
//! A call that is certain to be one of a function of its own file knows it by its number. Rhai
//! looks for such a function first, by its name and by how many arguments there are; what is
//! defined for some types of a method's target only is left to it.

use std::collections::{HashMap, HashSet};

use rhai::{AST, ASTNode, Engine, ImmutableString, Module, Stmt};

use super::defined::Defined;
use super::node::{Left, Tree};
use super::translate::translate;

/// Functions of a file, by their numbers.
#[derive(Debug, Default)]
pub struct Functions {
    all: Vec<Function>,
    /// What errors call the file.
    pub(super) source: Option<ImmutableString>,
}

#[derive(Debug)]
struct Function {
    name: ImmutableString,
    /// `Err` where it is left to Rhai.
    tree: Result<Tree, Left>,
}

impl Functions {
    /// Translates these functions of a file, by their names and the number of their parameters, and
    /// all that they call. Their numbers are their places here, where they are defined.
    pub fn of(engine: &Engine, ast: &AST, roots: &[(&str, usize)]) -> (Self, Vec<Option<usize>>) {
        let mut defined = Defined::of(ast);
        let roots = roots.iter();
        let roots = roots.map(|(name, count)| defined.number(&(*name).into(), *count));
        let roots = roots.collect();
        let mut all = Vec::new();
        let mut bodies = Bodies::new();
        if !defined.called.is_empty() {
            let names: Vec<_> = defined.params.keys().cloned().collect();
            split(&ast.clone_functions_only(), &names, &mut bodies);
        }
        while let Some((name, count)) = defined.called.get(all.len()).cloned() {
            let params = defined.params.get(&(name.clone(), count)).cloned();
            let statements = bodies.remove(&(name.clone(), count)).unwrap_or_default();
            let tree = translate(
                engine,
                &mut defined,
                &params.unwrap_or_default(),
                &statements,
            );
            all.push(Function { name, tree });
        }
        let module: &Module = ast.as_ref();
        let source = module.id().map(Into::into);
        (Self { all, source }, roots)
    }

    /// The tree of a function, and its name; `None` where it is left to Rhai.
    pub fn get(&self, number: usize) -> Option<(&str, &Tree)> {
        let function = self.all.get(number)?;
        Some((function.name.as_str(), function.tree.as_ref().ok()?))
    }

    /// Whether a function has a tree.
    #[inline]
    pub(super) fn is_translated(&self, number: usize) -> bool {
        self.all
            .get(number)
            .is_some_and(|function| function.tree.is_ok())
    }

    /// What is left to Rhai, each with the function that it is in.
    pub fn left(&self) -> impl Iterator<Item = (&str, &Left)> {
        self.all.iter().flat_map(|function| {
            let left = match &function.tree {
                Ok(tree) => &tree.left[..],
                Err(left) => std::slice::from_ref(left),
            };
            left.iter().map(|left| (function.name.as_str(), left))
        })
    }
}

/// The statements of functions, by their names and the number of their parameters.
type Bodies = HashMap<(ImmutableString, usize), Vec<Stmt>>;

/// Takes a file apart, by halves: one by one, each function would be as much work as all of them.
fn split(ast: &AST, names: &[(ImmutableString, usize)], bodies: &mut Bodies) {
    if let [name] = names {
        bodies.insert(name.clone(), alone(ast));
        return;
    }
    let (one, other) = names.split_at(names.len() / 2);
    for half in [one, other] {
        let kept: HashSet<_> = half.iter().map(|(name, count)| (&**name, *count)).collect();
        let mut part = ast.clone_functions_only();
        part.retain_functions(|_, _, name, count| kept.contains(&(name, count)));
        split(&part, half, bodies);
    }
}

/// The statements of a function with so many parameters.
pub fn statements(ast: &AST, name: &str, count: usize) -> Vec<Stmt> {
    let is_it = |other: &str, params: usize| other == name && params == count;
    let mut part = ast.clone_functions_only();
    part.retain_functions(|_, _, name, params| is_it(name, params));
    alone(&part)
}

/// The statements of the only function that there is. Rhai does not name the type of a function's
/// body, but walks through it.
fn alone(ast: &AST) -> Vec<Stmt> {
    let mut statements = Vec::new();
    ast.walk(&mut |path| {
        if let [ASTNode::Stmt(statement)] = path {
            statements.push((*statement).clone());
        }
        true
    });
    statements
}
