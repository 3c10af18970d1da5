//! Parts of a script that Rhai evaluates, on values that the tree gives it.
//!
//! A *residue* is an expression whose operands the tree has evaluated: variables of a scope that
//! has nothing else stand for them. A *whole* is left to Rhai with all variables of the function,
//! under their names. Neither declares a variable that goes on after it.

use std::num::NonZeroUsize;

use rhai::{
    ASTFlags, BinaryExpr, Expr, FnCallExpr, ImmutableString, Namespace, OpAssignment, Position,
    Stmt, StmtBlock,
};

/// An expression on given values.
#[derive(Debug)]
pub struct Residue {
    /// What Rhai evaluates.
    pub expr: Expr,
    /// Name of the first value, which may be changed in place: errors tell it.
    pub root: ImmutableString,
    /// Operations that Rhai counts for looking at the values, and the script has not.
    pub extra: u32,
}

/// A part on all variables of its function.
#[derive(Debug)]
pub struct Whole {
    /// What Rhai evaluates.
    pub expr: Expr,
    /// Names of the variables that there are, in order.
    pub names: Box<[ImmutableString]>,
    /// Operations that Rhai counts, and the script has not.
    pub extra: u32,
}

/// Values by which a residue's operands are replaced.
pub struct Given {
    /// How many there are.
    pub count: usize,
    /// Name of the first one.
    pub root: ImmutableString,
    next: usize,
}

/// Name of every value but the first.
const OPERAND: &str = "$";

impl Given {
    /// So many values, of which the first has this name.
    pub fn new(count: usize, root: impl Into<ImmutableString>) -> Self {
        Self {
            count,
            root: root.into(),
            next: 0,
        }
    }

    /// The next value, read at this position.
    pub fn next(&mut self, position: Position) -> Expr {
        let name = match self.next {
            0 => self.root.clone(),
            _ => OPERAND.into(),
        };
        // Rhai counts from the last variable on.
        let index = NonZeroUsize::new(self.count - self.next);
        self.next += 1;
        let variable = (index, name, Namespace::default(), 0);
        Expr::Variable(Box::new(variable), None, position)
    }

    /// A residue of this expression.
    pub fn residue(self, expr: Expr, extra: usize) -> Residue {
        Residue {
            expr,
            root: self.root,
            extra: extra as u32,
        }
    }
}

/// Name of an operand that no error tells.
pub fn operand() -> ImmutableString {
    OPERAND.into()
}

/// The same call on other arguments.
pub fn call(call: &FnCallExpr, args: impl IntoIterator<Item = Expr>) -> Box<FnCallExpr> {
    Box::new(FnCallExpr {
        args: args.into_iter().collect(),
        ..call.clone()
    })
}

/// The same link of a chain, between other parts.
pub fn link(like: &Expr, lhs: Expr, rhs: Expr) -> Expr {
    let parts = Box::new(BinaryExpr { lhs, rhs });
    match like {
        Expr::Index(_, flags, position) => Expr::Index(parts, *flags, *position),
        Expr::Dot(_, flags, position) => Expr::Dot(parts, *flags, *position),
        _ => Expr::Dot(parts, ASTFlags::empty(), like.position()),
    }
}

/// A statement as an expression.
pub fn statement(statement: Stmt) -> Expr {
    let position = statement.position();
    Expr::Stmt(StmtBlock::new([statement], position, Position::NONE).into())
}

/// An assignment as an expression.
pub fn assignment(info: &OpAssignment, lhs: Expr, rhs: Expr) -> Expr {
    let parts = BinaryExpr { lhs, rhs };
    statement(Stmt::Assignment(Box::new((info.clone(), parts))))
}
