//! What a tree is made of.
//!
//! Every node knows the position at which Rhai counts its operation.

use std::cell::RefCell;

use rhai::{Dynamic, FnPtr, Identifier, ImmutableString, Map, OpAssignment, Position};

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
    /// Whether it runs without a `this`: nothing in it mentions one, and nothing is left to Rhai.
    pub is_stateless: bool,
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
    /// The statements, in order.
    pub statements: Box<[Statement]>,
    /// The first slot that is theirs.
    pub from: usize,
    /// The slot after their last one.
    pub to: usize,
}

impl Block {
    /// The only expression that it has.
    pub fn only(&self) -> Option<&Node> {
        match &*self.statements {
            [Statement::Value(node, _)] if self.from == self.to => Some(node),
            _ => None,
        }
    }
}

/// A statement. Its position is where its operation is counted.
#[derive(Debug)]
pub enum Statement {
    /// `;` by itself.
    Nothing(Position),
    /// An expression, whose value is the statement's.
    Value(Node, Position),
    /// A call of a function, which counts no operation of an expression.
    Call(Node, Position),
    /// `let` and `const`.
    Let {
        /// Slot of the variable.
        slot: usize,
        /// The value, if there is one.
        value: Node,
        /// Whether it is a `const`.
        is_constant: bool,
        /// Where its operation is counted.
        position: Position,
    },
    /// `target = value` and its like.
    Assign(Box<Assign>, Position),
    /// `if`.
    If(Box<If>, Position),
    /// `while` and `loop`.
    While(Box<While>, Position),
    /// `do`.
    Do(Box<Do>, Position),
    /// `for`.
    For(Box<For>, Position),
    /// `switch`.
    Switch(Box<Switch>, Position),
    /// A block.
    Block(Block, Position),
    /// `return`.
    Return(Option<Node>, Position),
    /// `throw`.
    Throw(Option<Node>, Position),
    /// `break` and `continue`.
    Break {
        /// Whether it is `break`.
        is_break: bool,
        /// The value, if there is one.
        value: Option<Node>,
        /// Where its operation is counted.
        position: Position,
    },
    /// `try { … } catch (variable) { … }`.
    Try(Box<Try>, Position),
    /// Variables that a closure captures, which are shared from here on.
    Share(Box<[usize]>, Position),
    /// Left to Rhai, which counts its operation.
    Left(Box<Whole>),
}

/// An assignment: `target = value`, `target += value`.
#[derive(Debug)]
pub struct Assign {
    /// What changes.
    pub target: Target,
    /// The right side, which is evaluated first.
    pub value: Node,
    /// How it changes.
    pub change: Change,
}

/// How a target changes.
#[derive(Debug)]
pub struct Change {
    /// The operator of `+=` and its like; `None` for `=`.
    pub operator: Option<Operator>,
    /// Whether it is `=`.
    pub is_plain: bool,
    /// The operator's place.
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
        /// The variable's slot.
        slot: usize,
        /// Where the variable stands.
        position: Position,
        /// The assignment, for values that are not plain.
        rest: Residue,
    },
    /// All of `this`, with its place.
    This(Residue, Position),
    /// A property or an element.
    Chain(Box<Chain>),
}

/// `if condition { … } else { … }`.
#[derive(Debug)]
pub struct If {
    /// The condition.
    pub condition: Node,
    /// Where an error of its type is.
    pub condition_position: Position,
    /// The statements if it holds.
    pub then: Block,
    /// Those if not; empty without an `else`.
    pub otherwise: Block,
}

/// `while condition { … }` and `loop { … }`.
#[derive(Debug)]
pub struct While {
    /// `None` for `loop`.
    pub condition: Option<Node>,
    /// Where an error of its type is.
    pub condition_position: Position,
    /// The statements.
    pub body: Block,
    /// Where each turn is counted.
    pub body_position: Position,
}

/// `do { … } while condition` and `until`.
#[derive(Debug)]
pub struct Do {
    /// The condition.
    pub condition: Node,
    /// Where an error of its type is.
    pub condition_position: Position,
    /// The statements.
    pub body: Block,
    /// Whether it goes on while the condition holds, not until it does.
    pub is_while: bool,
}

/// `for (variable, counter) in over { … }`.
#[derive(Debug)]
pub struct For {
    /// The variable's slot.
    pub slot: usize,
    /// The counter's slot, if there is one.
    pub counter: Option<usize>,
    /// What is walked through.
    pub over: Node,
    /// Where that begins: the place of an error.
    pub over_start: Position,
    /// The statements.
    pub body: Block,
    /// Where each turn is counted.
    pub body_position: Position,
    /// All of it, for what a tree cannot walk through.
    pub rest: Whole,
}

/// `try { … } catch (variable) { … }`.
#[derive(Debug)]
pub struct Try {
    /// The statements that may fail.
    pub body: Block,
    /// The slot of the variable that has the error, if there is one.
    pub slot: Option<usize>,
    /// The statements after a failure.
    pub caught: Block,
}

/// `switch value { … }`.
#[derive(Debug)]
pub struct Switch {
    /// The value.
    pub value: Node,
    /// Gives the number of the case.
    pub choice: Residue,
    /// The expressions of the cases, by their numbers.
    pub cases: Box<[Node]>,
    /// What it has given for some values.
    pub known: RefCell<Vec<(Plain, Option<usize>)>>,
}

/// A value that a `switch` often looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Plain {
    /// An `int`.
    Number(i64),
    /// A short string.
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
    /// A constant.
    Literal(Dynamic, Position),
    /// A variable.
    Local {
        /// The variable's slot.
        slot: usize,
        /// Where its operation is counted.
        position: Position,
        /// Nothing mentions it after this: it is given away, not copied.
        is_last: bool,
    },
    /// `this`.
    This(Position),
    /// An interpolated string.
    Text(Box<[Segment]>, Position),
    /// An array's literal, each element with its place.
    Array(Box<[(Node, Position)]>, Position),
    /// An object map's literal.
    Map(Box<Members>, Position),
    /// `&&`, each operand with the place of an error of its type.
    And(Box<[(Node, Position)]>, Position),
    /// `||`, in the same way.
    Or(Box<[(Node, Position)]>, Position),
    /// `??`.
    Coalesce(Box<[Node]>, Position),
    /// A block as an expression.
    Block(Block, Position),
    /// `!x`, `-x`.
    Unary(Box<Unary>),
    /// `x + y` and its like.
    Binary(Box<Binary>),
    /// A function's call.
    Call(Box<Call>),
    /// A closure that captures variables.
    Closure(Box<Closure>),
    /// Properties, elements and methods.
    Chain(Box<Chain>),
    /// Evaluated by Rhai without any variable.
    Residue(Box<Residue>),
    /// Evaluated by Rhai with all variables.
    Whole(Box<Whole>),
}

impl Node {
    /// How many operations it is to look at its value where it is, if it may have one somewhere: a
    /// constant, a variable, or a property or element in one.
    pub fn in_place(&self) -> Option<u32> {
        match self {
            Self::Literal(..) | Self::Local { .. } => Some(1),
            Self::Block(block, _) => {
                let inner = block.only()?;
                Some(2 + inner.in_place()?)
            }
            Self::Chain(chain) => chain.in_place,
            _ => None,
        }
    }
}

/// A part of an interpolated string.
#[derive(Debug)]
pub struct Segment {
    /// The text, or what is between `${` and `}`.
    pub node: Node,
    /// Operations of looking at the value [in its place](Node::in_place).
    pub in_place: Option<u32>,
    /// Where it is appended.
    pub position: Position,
    /// Shows a value that is not plain.
    pub rest: Residue,
}

/// An object map's literal.
#[derive(Debug)]
pub struct Members {
    /// The map with all its keys.
    pub template: Map,
    /// The values of those that are no constants.
    pub members: Box<[(Identifier, Node)]>,
}

/// An operation on one operand.
#[derive(Debug)]
pub struct Unary {
    /// The operator.
    pub operator: Operator,
    /// The operand.
    pub operand: Node,
    /// The operator's place.
    pub position: Position,
    /// The operation, for values that are not plain.
    pub rest: Residue,
}

/// An operation on two operands.
#[derive(Debug)]
pub struct Binary {
    /// The operator; `None` for one that has no plain values.
    pub operator: Option<Operator>,
    /// The left operand, which is evaluated first.
    pub left: Node,
    /// The right one.
    pub right: Node,
    /// Operations of looking at both operands [in their places](Node::in_place).
    pub in_place: Option<u32>,
    /// The operator's place.
    pub position: Position,
    /// The operation, for values that are not plain.
    pub rest: Residue,
}

/// A closure that captures variables.
#[derive(Debug)]
pub struct Closure {
    /// The function without them.
    pub function: FnPtr,
    /// Where it begins.
    pub start: Position,
    /// The variables that it captures.
    pub captured: Box<[Node]>,
    /// Where its operation is counted.
    pub position: Position,
}

/// A call of a function: `name(first, …)`.
#[derive(Debug)]
pub struct Call {
    /// What it has called before, by the types of the arguments.
    pub site: Site,
    /// The first argument.
    pub first: First,
    /// The others.
    pub others: Box<[Node]>,
    /// The place of its errors.
    pub position: Position,
    /// Whether it is certain that a native function is called, and nothing of the language.
    pub is_native: bool,
    /// Whether arguments are passed as they are, though shared.
    pub is_raw: bool,
    /// The number of the file's own function that it calls.
    pub own: Option<usize>,
    /// The call, for Rhai to resolve.
    pub rest: Residue,
}

/// A call's first argument.
#[derive(Debug)]
pub enum First {
    /// There is none.
    None,
    /// A variable is passed by reference.
    Local {
        /// The variable's slot.
        slot: usize,
        /// Where it stands.
        position: Position,
        /// Nothing mentions it after this.
        is_last: bool,
    },
    /// `this` is passed by reference, unless it is shared.
    This {
        /// Where it stands.
        position: Position,
        /// The call on `this` itself.
        rest: Residue,
    },
    /// A value.
    Value(Node),
    /// Rhai alone looks at it: a constant of a file.
    Kept(Residue, Position),
}

/// `root.property[index].method(…)`.
#[derive(Debug)]
pub struct Chain {
    /// What it begins with.
    pub root: Root,
    /// Where that stands.
    pub root_position: Position,
    /// What is evaluated before the root is looked at, in this order.
    pub steps: Box<[Step]>,
    /// What follows, in order.
    pub links: Box<[Link]>,
    /// Operations of looking at the value [in its place](Node::in_place): where there are only
    /// properties and elements, of a variable or of `this`.
    pub in_place: Option<u32>,
    /// Where its operation is counted.
    pub position: Position,
}

/// What a chain begins with.
#[derive(Debug)]
pub enum Root {
    /// The variable of this slot.
    Local(usize),
    /// `this`.
    This,
    /// A value of its own.
    Value(Node),
}

/// A step of the evaluation of a chain's arguments.
#[derive(Debug)]
pub enum Step {
    /// An operation that Rhai counts.
    Count(Position),
    /// A value.
    Value(Node),
    /// A value that counts none.
    Literal(Dynamic),
}

/// A part of a chain.
#[derive(Debug)]
pub struct Link {
    /// Which kind of part.
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

/// The kinds of a chain's parts.
#[derive(Debug)]
pub enum LinkKind {
    /// `.name`.
    Property(Box<Property>),
    /// `[index]`.
    Index,
    /// `.name(…)`.
    Method(Box<Method>),
}

/// A property: a member of a map, or a getter and a setter.
#[derive(Debug)]
pub struct Property {
    /// Its name.
    pub name: ImmutableString,
    /// Where it stands.
    pub position: Position,
    /// The getters that were called.
    pub getter: Site,
    /// The setters that were called.
    pub setter: Site,
}

/// A method.
#[derive(Debug)]
pub struct Method {
    /// What it has called before, by the types of the arguments.
    pub site: Site,
    /// Where it stands.
    pub position: Position,
    /// Whether it is certain that a native function is called, and nothing of the language.
    pub is_native: bool,
    /// The number of the file's own function that it calls.
    pub own: Option<usize>,
}
