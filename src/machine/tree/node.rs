//! What a tree is made of.
//!
//! Every node knows the position at which Rhai counts its operation.

use std::cell::RefCell;

use rhai::{Dynamic, Identifier, ImmutableString, Map, OpAssignment, Position};

use super::operators::Operator;
use super::residue::{Residue, Whole};
use super::site::Site;

/// A function, translated.
#[derive(Debug)]
pub struct Tree {
    /// Its statements.
    pub body: Block,
    /// Slots that it needs, its parameters first.
    pub slots: usize,
    /// What is left to Rhai.
    pub left: Vec<Left>,
}

/// A part of a function that is left to Rhai.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Left {
    /// What it is.
    pub what: &'static str,
    /// Where it begins.
    pub position: Position,
}

/// What a translation gives, or what stands in its way.
pub type Translated<T> = Result<T, Left>;

/// It cannot be translated.
pub fn no<T>(what: &'static str, position: Position) -> Translated<T> {
    Err(Left { what, position })
}

/// Statements, and the slots that they declare.
#[derive(Debug)]
pub struct Block {
    pub statements: Box<[Statement]>,
    /// The first slot that is theirs.
    pub from: usize,
    /// The slot after their last one.
    pub to: usize,
}

/// A statement. Its position is where its operation is counted.
#[derive(Debug)]
pub enum Statement {
    Nothing(Position),
    /// An expression, whose value is the statement's.
    Value(Node, Position),
    /// A call of a function, which counts no operation of an expression.
    Call(Node, Position),
    Let {
        slot: usize,
        value: Node,
        is_constant: bool,
        position: Position,
    },
    Assign(Box<Assign>, Position),
    If(Box<If>, Position),
    While(Box<While>, Position),
    Do(Box<Do>, Position),
    For(Box<For>, Position),
    Switch(Box<Switch>, Position),
    Block(Block, Position),
    Return(Option<Node>, Position),
    Throw(Option<Node>, Position),
    Break {
        is_break: bool,
        value: Option<Node>,
        position: Position,
    },
    /// Left to Rhai, which counts its operation.
    Left(Box<Whole>),
}

/// An assignment: `target = value`, `target += value`.
#[derive(Debug)]
pub struct Assign {
    pub target: Target,
    pub value: Node,
    pub change: Change,
}

/// How a target changes.
#[derive(Debug)]
pub struct Change {
    /// The operator of `+=` and its like; `None` for `=`.
    pub operator: Option<Operator>,
    /// Whether it is `=`.
    pub is_plain: bool,
    pub position: Position,
}

impl Change {
    /// What Rhai says of it.
    pub fn of(info: &OpAssignment) -> Self {
        let operator = info
            .get_op_assignment_info()
            .and_then(|(_, _, _, _, token, _)| Operator::of(token));
        Self {
            operator,
            is_plain: !info.is_op_assignment(),
            position: info.position(),
        }
    }
}

/// What is assigned to.
#[derive(Debug)]
pub enum Target {
    /// A variable.
    Local {
        slot: usize,
        position: Position,
        rest: Residue,
    },
    /// All of `this`.
    This(Residue),
    /// A property or an element.
    Chain(Box<Chain>),
}

#[derive(Debug)]
pub struct If {
    pub condition: Node,
    pub condition_position: Position,
    pub then: Block,
    pub otherwise: Block,
}

#[derive(Debug)]
pub struct While {
    /// `None` for `loop`.
    pub condition: Option<Node>,
    pub condition_position: Position,
    pub body: Block,
    pub body_position: Position,
}

#[derive(Debug)]
pub struct Do {
    pub condition: Node,
    pub condition_position: Position,
    pub body: Block,
    /// Whether it goes on while the condition holds, not until it does.
    pub is_while: bool,
}

#[derive(Debug)]
pub struct For {
    pub slot: usize,
    pub counter: Option<usize>,
    pub over: Node,
    pub over_start: Position,
    pub body: Block,
    pub body_position: Position,
    /// All of it, for what a tree cannot walk through.
    pub rest: Whole,
}

#[derive(Debug)]
pub struct Switch {
    pub value: Node,
    /// Gives the number of the case.
    pub choice: Residue,
    pub cases: Box<[Node]>,
    /// What it has given for some values.
    pub known: RefCell<Vec<(Plain, Option<usize>)>>,
}

/// A value that a `switch` often looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Plain {
    Number(i64),
    Text(ImmutableString),
}

impl Plain {
    /// The value, if it is one that is worth to be kept.
    pub fn of(value: &Dynamic) -> Option<Self> {
        /// Bytes of a name, not of a text.
        const SHORT: usize = 32;
        if value.is_shared() {
            return None;
        }
        if let Ok(number) = value.as_int() {
            return Some(Self::Number(number));
        }
        let text = value.as_immutable_string_ref().ok()?;
        (text.len() <= SHORT).then(|| Self::Text(text.clone()))
    }
}

/// An expression.
#[derive(Debug)]
pub enum Node {
    Literal(Dynamic, Position),
    Local {
        slot: usize,
        position: Position,
        /// Nothing mentions it after this: it is given away, not copied.
        is_last: bool,
    },
    This(Position),
    Text(Box<[Segment]>, Position),
    Array(Box<[(Node, Position)]>, Position),
    Map(Box<Members>, Position),
    And(Box<[(Node, Position)]>, Position),
    Or(Box<[(Node, Position)]>, Position),
    Coalesce(Box<[Node]>, Position),
    Block(Block, Position),
    Unary(Box<Unary>),
    Binary(Box<Binary>),
    Call(Box<Call>),
    Chain(Box<Chain>),
    /// Evaluated by Rhai without any variable.
    Residue(Box<Residue>),
    /// Evaluated by Rhai with all variables.
    Whole(Box<Whole>),
}

/// A part of an interpolated string.
#[derive(Debug)]
pub struct Segment {
    pub node: Node,
    pub position: Position,
    /// Shows a value that is not plain.
    pub rest: Residue,
}

/// An object map's literal.
#[derive(Debug)]
pub struct Members {
    pub template: Map,
    pub members: Box<[(Identifier, Node)]>,
}

#[derive(Debug)]
pub struct Unary {
    pub operator: Operator,
    pub operand: Node,
    pub position: Position,
    pub rest: Residue,
}

#[derive(Debug)]
pub struct Binary {
    pub operator: Option<Operator>,
    pub left: Node,
    pub right: Node,
    pub position: Position,
    pub rest: Residue,
}

/// A call of a function: `name(first, …)`.
#[derive(Debug)]
pub struct Call {
    pub site: Site,
    pub first: First,
    pub others: Box<[Node]>,
    pub position: Position,
    /// Whether it is certain that a native function is called, and nothing of the language.
    pub is_native: bool,
    /// Whether arguments are passed as they are, though shared.
    pub is_raw: bool,
    pub rest: Residue,
}

/// A call's first argument.
#[derive(Debug)]
pub enum First {
    None,
    /// A variable is passed by reference.
    Local {
        slot: usize,
        position: Position,
    },
    Value(Node),
    /// Rhai alone looks at it: a constant of a file.
    Kept(Position),
}

/// `root.property[index].method(…)`.
#[derive(Debug)]
pub struct Chain {
    pub root: Root,
    pub root_position: Position,
    /// What is evaluated before the root is looked at, in this order.
    pub steps: Box<[Step]>,
    pub links: Box<[Link]>,
    pub position: Position,
}

#[derive(Debug)]
pub enum Root {
    Local(usize),
    This,
    Value(Node),
}

/// A step of the evaluation of a chain's arguments.
#[derive(Debug)]
pub enum Step {
    /// An operation that Rhai counts.
    Count(Position),
    Value(Node),
    /// A value that counts none.
    Literal(Dynamic),
}

/// A part of a chain.
#[derive(Debug)]
pub struct Link {
    pub kind: LinkKind,
    /// `?.` and `?[`.
    pub is_optional: bool,
    /// Its first argument's place among the values of the chain.
    pub from: usize,
    /// The place after its last one.
    pub to: usize,
    /// Whether all that follows only reads properties and elements.
    pub is_read_on: bool,
    /// The chain from here on.
    pub rest: Residue,
}

#[derive(Debug)]
pub enum LinkKind {
    Property(Box<Property>),
    Index,
    Method(Box<Method>),
}

#[derive(Debug)]
pub struct Property {
    pub name: ImmutableString,
    pub position: Position,
    pub getter: Site,
    pub setter: Site,
}

#[derive(Debug)]
pub struct Method {
    pub site: Site,
    pub position: Position,
    /// Whether it is certain that a native function is called, and nothing of the language.
    pub is_native: bool,
}
