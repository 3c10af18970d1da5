//! Rhai's statements and expressions to nodes.
//!
//! A statement that cannot be translated is left to Rhai as a whole, together with what is inside
//! it. A declaration is always a slot, so that the slots after it keep their numbers; where one
//! cannot be translated, as an import, the block around it is left to Rhai, and at last the
//! function.

use std::cell::RefCell;
use std::num::NonZeroUsize;

use rhai::{ASTFlags, Engine, Expr, FnCallExpr, FnPtr, ImmutableString, Position, Stmt};

use super::chains::{self, Around};
use super::defined::Defined;
use super::mentions::Mentions;
use super::node::{
    Assign, Binary, Block, Call, Change, Closure, Do, First, For, If, Left, Members, Node, Segment,
    Statement, Switch, Target, Translated, Tree, Try, Unary, While, no,
};
use super::operators::Operator;
use super::residue::{self, Given, Residue, Whole};
use super::site::Site;

/// Calls that are syntax, whatever functions there are.
const SYNTAX: [&str; 10] = [
    "call",
    "Fn",
    "curry",
    "is_shared",
    "is_def_fn",
    "is_def_var",
    "eval",
    "type_of",
    "print",
    "debug",
];

/// Translates a function of a file that defines these functions; where that cannot be done, what
/// stands in the way.
pub fn translate(
    engine: &Engine,
    functions: &mut Defined,
    params: &[ImmutableString],
    body: &[Stmt],
) -> Result<Tree, Left> {
    if params.len() > engine.max_variables() {
        return no("too many variables", Position::NONE);
    }
    let mut translator = Translator {
        functions,
        mentions: Mentions::of(body),
        most: engine.max_variables(),
        names: params.to_vec(),
        loops: 0,
        born: vec![0; params.len()],
        slots: params.len(),
        left: Vec::new(),
    };
    let body = translator.statements(body)?;
    Ok(Tree {
        body,
        slots: translator.slots,
        is_stateless: translator.left.is_empty() && translator.mentions.are_without_this(),
        left: translator.left,
    })
}

/// A function that is being translated.
struct Translator<'a> {
    functions: &'a mut Defined,
    mentions: Mentions,
    /// Variables that there may be.
    most: usize,
    /// The variables that there are here, in order.
    names: Vec<ImmutableString>,
    /// Loops around this place.
    loops: usize,
    /// Loops around each variable's declaration.
    born: Vec<usize>,
    slots: usize,
    left: Vec<Left>,
}

impl Translator<'_> {
    /// A block, with variables of its own.
    fn statements(&mut self, statements: &[Stmt]) -> Translated<Block> {
        let from = self.names.len();
        let mut translated = Vec::with_capacity(statements.len());
        for statement in statements {
            match self.statement(statement) {
                Ok(statement) => translated.push(statement),
                Err(left) => {
                    self.forget(from);
                    return Err(left);
                }
            }
        }
        let to = self.names.len();
        self.forget(from);
        Ok(Block {
            statements: translated.into(),
            from,
            to,
        })
    }

    /// The body of a loop.
    fn repeated(&mut self, statements: &[Stmt]) -> Translated<Block> {
        self.loops += 1;
        let body = self.statements(statements);
        self.loops -= 1;
        body
    }

    /// A condition that is looked at again and again.
    fn repeated_condition(&mut self, expr: &Expr) -> Translated<Node> {
        self.loops += 1;
        let node = self.expression(expr);
        self.loops -= 1;
        node
    }

    fn declare(&mut self, name: &ImmutableString, position: Position) -> Translated<usize> {
        if self.names.len() >= self.most {
            return no("too many variables", position);
        }
        let slot = self.names.len();
        self.names.push(name.clone());
        self.born.push(self.loops);
        self.slots = self.slots.max(self.names.len());
        Ok(slot)
    }

    fn forget(&mut self, from: usize) {
        self.names.truncate(from);
        self.born.truncate(from);
    }

    /// A part that is left to Rhai.
    fn whole(&mut self, left: Left, expr: Expr, extra: u32) -> Whole {
        self.left.push(left);
        Whole {
            expr,
            names: self.names.clone().into(),
            extra,
        }
    }

    fn statement(&mut self, statement: &Stmt) -> Translated<Statement> {
        let depth = self.names.len();
        let left = match self.try_statement(statement) {
            Ok(statement) => return Ok(statement),
            Err(left) => left,
        };
        self.forget(depth);
        match statement {
            // What they do goes on after them.
            Stmt::Import(..) | Stmt::Export(..) | Stmt::Share(..) | Stmt::Var(..) => Err(left),
            _ => {
                let expr = residue::statement(statement.clone());
                Ok(Statement::Left(Box::new(self.whole(left, expr, 0))))
            }
        }
    }

    fn try_statement(&mut self, statement: &Stmt) -> Translated<Statement> {
        let position = statement.position();
        Ok(match statement {
            Stmt::Noop(_) => Statement::Nothing(position),
            Stmt::Expr(expr) => Statement::Value(self.expression(expr)?, position),
            Stmt::FnCall(call, place) => Statement::Call(self.call(call, *place)?, position),
            Stmt::Block(block) => Statement::Block(self.statements(block.statements())?, position),
            Stmt::Var(variable, flags, _) => {
                let (name, expr, index) = &**variable;
                if flags.intersects(ASTFlags::EXPORTED) {
                    return no("export", position);
                }
                let value = self.expression(expr)?;
                let slot = match index {
                    Some(_) => self.slot(*index).ok_or(Left {
                        what: "let",
                        position,
                    })?,
                    None => self.declare(&name.name, position)?,
                };
                Statement::Let {
                    slot,
                    value,
                    is_constant: flags.intersects(ASTFlags::CONSTANT),
                    position,
                }
            }
            Stmt::Assignment(assignment) => {
                let (info, parts) = &**assignment;
                let value = self.expression(&parts.rhs)?;
                let target = match &parts.lhs {
                    Expr::ThisPtr(place) => {
                        let mut given = Given::new(1, residue::operand());
                        let rhs = given.next(parts.rhs.position());
                        let expr = residue::assignment(info, Expr::ThisPtr(*place), rhs);
                        Target::This(given.residue(expr, 2), *place)
                    }
                    Expr::Variable(variable, short, place) if variable.2.path.is_empty() => {
                        let index = short.map(NonZeroUsize::from).or(variable.0);
                        let Some(slot) = self.slot(index) else {
                            return no("a variable of another place", *place);
                        };
                        let mut given = Given::new(2, variable.1.clone());
                        let lhs = given.next(*place);
                        let rhs = given.next(parts.rhs.position());
                        let expr = residue::assignment(info, lhs, rhs);
                        Target::Local {
                            slot,
                            position: *place,
                            rest: given.residue(expr, 2),
                        }
                    }
                    lhs => Target::Chain(Box::new(chains::chain(self, lhs, Some(info))?)),
                };
                let change = Change::of(info);
                let assign = Assign {
                    target,
                    value,
                    change,
                };
                Statement::Assign(Box::new(assign), position)
            }
            Stmt::If(flow, _) => Statement::If(
                Box::new(If {
                    condition: self.expression(&flow.expr)?,
                    condition_position: flow.expr.position(),
                    then: self.statements(flow.body.statements())?,
                    otherwise: self.statements(flow.branch.statements())?,
                }),
                position,
            ),
            Stmt::While(flow, _) => {
                let is_endless = matches!(flow.expr, Expr::Unit(_) | Expr::BoolConstant(true, _));
                let condition = match is_endless {
                    true => None,
                    false => Some(self.repeated_condition(&flow.expr)?),
                };
                Statement::While(
                    Box::new(While {
                        condition,
                        condition_position: flow.expr.position(),
                        body: self.repeated(flow.body.statements())?,
                        body_position: flow.body.position(),
                    }),
                    position,
                )
            }
            Stmt::Do(flow, flags, _) => Statement::Do(
                Box::new(Do {
                    body: self.repeated(flow.body.statements())?,
                    condition: self.repeated_condition(&flow.expr)?,
                    condition_position: flow.expr.position(),
                    is_while: !flags.intersects(ASTFlags::NEGATED),
                }),
                position,
            ),
            Stmt::For(parts, _) => {
                let (variable, counter, flow) = &**parts;
                let rest = Whole {
                    expr: residue::statement(statement.clone()),
                    names: self.names.clone().into(),
                    extra: 2,
                };
                let over = self.expression(&flow.expr)?;
                let depth = self.names.len();
                self.loops += 1;
                let counter = match counter {
                    Some(counter) => Some(self.declare(&counter.name, counter.pos)?),
                    None => None,
                };
                let declared = self.declare(&variable.name, variable.pos);
                let body = declared.and_then(|slot| {
                    let body = self.statements(flow.body.statements())?;
                    Ok((slot, body))
                });
                self.loops -= 1;
                self.forget(depth);
                let (slot, body) = body?;
                Statement::For(
                    Box::new(For {
                        slot,
                        counter,
                        over,
                        over_start: flow.expr.start_position(),
                        body,
                        body_position: flow.body.position(),
                        rest,
                    }),
                    position,
                )
            }
            Stmt::Switch(parts, place) => self.switch(parts, *place)?,
            Stmt::Return(value, flags, place) => {
                let value = value.as_deref().map(|value| self.expression(value));
                let value = value.transpose()?;
                match flags.intersects(ASTFlags::BREAK) {
                    true => Statement::Throw(value, *place),
                    false => Statement::Return(value, *place),
                }
            }
            Stmt::BreakLoop(value, flags, place) => {
                let value = value.as_deref().map(|value| self.expression(value));
                Statement::Break {
                    is_break: flags.intersects(ASTFlags::BREAK),
                    value: value.transpose()?,
                    position: *place,
                }
            }
            Stmt::TryCatch(flow, _) => {
                let body = self.statements(flow.body.statements())?;
                let depth = self.names.len();
                let slot = match &flow.expr {
                    Expr::Variable(variable, ..) => {
                        Some(self.declare(&variable.1, flow.expr.position())?)
                    }
                    _ => None,
                };
                let caught = self.statements(flow.branch.statements());
                self.forget(depth);
                let caught = caught?;
                Statement::Try(Box::new(Try { body, slot, caught }), position)
            }
            Stmt::Import(..) => return no("import", position),
            Stmt::Export(..) => return no("export", position),
            Stmt::Share(shared) => {
                let slots = shared.iter().map(|(_, index)| self.slot(*index));
                match slots.collect() {
                    Some(slots) => Statement::Share(slots, position),
                    None => return no("a closure that captures no variable", position),
                }
            }
            _ => return no("a statement", position),
        })
    }

    /// A `switch`: Rhai says which case it is, by a `switch` whose cases are their numbers.
    fn switch(
        &mut self,
        parts: &(Expr, rhai::SwitchCasesCollection),
        position: Position,
    ) -> Translated<Statement> {
        let (expr, all) = parts;
        let value = self.expression(expr)?;
        let mut numbered = all.clone();
        let mut cases = Vec::with_capacity(all.expressions.len());
        for (number, case) in all.expressions.iter().enumerate() {
            if !matches!(case.lhs, Expr::BoolConstant(..)) {
                return no("a condition in a switch", case.lhs.position());
            }
            numbered.expressions[number].rhs = Expr::IntegerConstant(number as i64, Position::NONE);
            cases.push(self.expression(&case.rhs)?);
        }
        let mut given = Given::new(1, residue::operand());
        let operand = given.next(expr.position());
        let choice = Stmt::Switch(Box::new((operand, numbered)), position);
        // The statement, the variable, and the number if there is one.
        let choice = given.residue(residue::statement(choice), 2);
        Ok(Statement::Switch(
            Box::new(Switch {
                value,
                choice,
                cases: cases.into(),
                known: RefCell::default(),
            }),
            position,
        ))
    }

    fn try_expression(&mut self, expr: &Expr) -> Translated<Node> {
        let position = expr.position();
        Ok(match expr {
            Expr::DynamicConstant(..)
            | Expr::BoolConstant(..)
            | Expr::IntegerConstant(..)
            | Expr::FloatConstant(..)
            | Expr::CharConstant(..)
            | Expr::StringConstant(..)
            | Expr::Unit(_) => {
                Node::Literal(expr.get_literal_value(None).unwrap_or_default(), position)
            }
            Expr::Variable(variable, short, _) => {
                let index = short.map(NonZeroUsize::from).or(variable.0);
                match self.slot(index).filter(|_| variable.2.path.is_empty()) {
                    Some(slot) => Node::Local {
                        slot,
                        position,
                        is_last: self.is_last(slot),
                    },
                    // Of the file, or the server's own.
                    None => Node::Residue(Box::new(Residue {
                        expr: expr.clone(),
                        root: residue::operand(),
                        extra: 0,
                    })),
                }
            }
            Expr::ThisPtr(_) => Node::This(position),
            Expr::InterpolatedString(parts, _) => {
                let mut segments = Vec::with_capacity(parts.len());
                for part in parts {
                    let position = part.position();
                    let mut given = Given::new(1, residue::operand());
                    let shown = [given.next(position)].into_iter().collect();
                    let rest = given.residue(Expr::InterpolatedString(shown, position), 2);
                    let node = self.expression(part)?;
                    segments.push(Segment {
                        in_place: node.in_place(),
                        node,
                        position,
                        rest,
                    });
                }
                Node::Text(segments.into(), position)
            }
            Expr::Array(items, _) => Node::Array(self.expressions(items)?, position),
            Expr::Map(parts, _) => {
                let members = parts.0.iter();
                let members = members
                    .map(|(name, value)| Ok((name.name.as_str().into(), self.expression(value)?)));
                let members = Members {
                    members: members.collect::<Translated<_>>()?,
                    template: parts.1.clone(),
                };
                Node::Map(Box::new(members), position)
            }
            Expr::And(parts, _) => Node::And(self.expressions(parts)?, position),
            Expr::Or(parts, _) => Node::Or(self.expressions(parts)?, position),
            Expr::Coalesce(parts, _) => {
                let parts = parts.iter().map(|part| self.expression(part));
                Node::Coalesce(parts.collect::<Translated<_>>()?, position)
            }
            Expr::Stmt(block) => Node::Block(self.statements(block.statements())?, position),
            Expr::FnCall(call, place) => self.call(call, *place)?,
            Expr::Dot(..) | Expr::Index(..) => {
                Node::Chain(Box::new(chains::chain(self, expr, None)?))
            }
            _ => return no("an expression", position),
        })
    }

    fn expressions(&mut self, exprs: &[Expr]) -> Translated<Box<[(Node, Position)]>> {
        let nodes = exprs
            .iter()
            .map(|expr| Ok((self.expression(expr)?, expr.position())));
        nodes.collect()
    }

    /// Whether this mention of a variable is the only one, and comes to pass once.
    fn is_last(&self, slot: usize) -> bool {
        let name = &self.names[slot];
        self.mentions.is_one(name) && self.born[slot] == self.loops
    }

    fn call(&mut self, call: &FnCallExpr, position: Position) -> Translated<Node> {
        if call.capture_parent_scope {
            return no("a call with the variables around it", position);
        }
        if call.name == "curry"
            && let Some((function, captured)) = call.args.split_first()
            && !captured.is_empty()
            && let Some(constant) = function.get_literal_value(None)
            && let Some(pointer) = constant.try_cast::<FnPtr>()
        {
            let captured = captured.iter().map(|arg| self.argument(arg));
            return Ok(Node::Closure(Box::new(Closure {
                function: pointer,
                start: function.start_position(),
                captured: captured.collect::<Translated<_>>()?,
                position,
            })));
        }
        if call.name == "is_def_var" {
            return no("is_def_var", position);
        }
        if let (Some(token), [operand]) = (&call.op_token, &call.args[..]) {
            let mut given = Given::new(1, residue::operand());
            let args = [given.next(operand.start_position())];
            let expr = Expr::FnCall(residue::call(call, args), position);
            let Some(operator) = Operator::of_one(token) else {
                return no("an operator", position);
            };
            return Ok(Node::Unary(Box::new(Unary {
                operator,
                operand: self.argument(operand)?,
                position,
                rest: given.residue(expr, 2),
            })));
        }
        if let (Some(token), [left, right]) = (&call.op_token, &call.args[..]) {
            let mut given = Given::new(2, residue::operand());
            let args = [
                given.next(left.start_position()),
                given.next(right.start_position()),
            ];
            let expr = Expr::FnCall(residue::call(call, args), position);
            let (left, right) = (self.argument(left)?, self.argument(right)?);
            let in_place = left.in_place().zip(right.in_place());
            return Ok(Node::Binary(Box::new(Binary {
                operator: Operator::of(token),
                left,
                right,
                in_place: in_place.map(|(left, right)| left + right),
                position,
                rest: given.residue(expr, 3),
            })));
        }
        if call.op_token.is_some() {
            return no("an operator", position);
        }
        let (first, others) = match call.args.split_first() {
            Some((first, others)) => (Some(first), others),
            None => (None, &[][..]),
        };
        let (kept, first) = match first {
            None => (None, First::None),
            Some(first @ Expr::Variable(variable, short, place)) => {
                let index = short.map(NonZeroUsize::from).or(variable.0);
                match self.slot(index).filter(|_| variable.2.path.is_empty()) {
                    Some(slot) => {
                        let (position, is_last) = (*place, self.is_last(slot));
                        let local = First::Local {
                            slot,
                            position,
                            is_last,
                        };
                        (None, local)
                    }
                    None => {
                        let kept = Residue {
                            expr: first.clone(),
                            root: residue::operand(),
                            // It has been counted.
                            extra: 1,
                        };
                        (Some(first.clone()), First::Kept(kept, *place))
                    }
                }
            }
            Some(first @ Expr::ThisPtr(place)) if !SYNTAX.contains(&call.name.as_str()) => {
                let mut given = Given::new(others.len(), residue::operand());
                let others = others.iter().map(|arg| given.next(arg.start_position()));
                let args: Vec<_> = std::iter::once(first.clone()).chain(others).collect();
                let expr = Expr::FnCall(residue::call(call, args), position);
                let rest = given.residue(expr, 1 + call.args.len());
                let position = *place;
                (None, First::This { position, rest })
            }
            Some(first) => (None, First::Value(self.argument(first)?)),
        };
        let root = match call.args.first() {
            Some(Expr::Variable(variable, ..)) if kept.is_none() => variable.1.clone(),
            _ => residue::operand(),
        };
        let count = call.args.len() - usize::from(kept.is_some());
        let mut given = Given::new(count, root);
        let args = call
            .args
            .iter()
            .enumerate()
            .map(|(number, arg)| match &kept {
                Some(kept) if number == 0 => kept.clone(),
                _ => given.next(arg.start_position()),
            });
        let args: Vec<_> = args.collect();
        let expr = Expr::FnCall(residue::call(call, args), position);
        // The expression, and each argument.
        let rest = given.residue(expr, 1 + call.args.len());
        let others = others.iter().map(|arg| self.argument(arg));
        let others = others.collect::<Translated<_>>()?;
        Ok(Node::Call(Box::new(Call {
            site: Site::new(call.name.clone()),
            is_native: kept.is_none() && call.namespace.path.is_empty() && self.is_native(call),
            is_raw: matches!(call.name.as_str(), "call" | "is_shared"),
            own: self.own(call),
            first,
            others,
            position,
            rest,
        })))
    }
}

impl Around for Translator<'_> {
    fn expression(&mut self, expr: &Expr) -> Translated<Node> {
        let depth = self.names.len();
        self.try_expression(expr).or_else(|left| {
            self.forget(depth);
            let whole = self.whole(left, expr.clone(), 0);
            Ok(Node::Whole(Box::new(whole)))
        })
    }

    fn argument(&mut self, expr: &Expr) -> Translated<Node> {
        match expr.get_literal_value(None) {
            Some(value) => Ok(Node::Literal(value, expr.start_position())),
            None => self.expression(expr),
        }
    }

    fn slot(&self, index: Option<NonZeroUsize>) -> Option<usize> {
        self.names.len().checked_sub(index?.get())
    }

    fn is_native(&self, call: &FnCallExpr) -> bool {
        let name = call.name.as_str();
        !SYNTAX.contains(&name) && !self.functions.has(name)
    }

    fn own(&mut self, call: &FnCallExpr) -> Option<usize> {
        let is_plain = !SYNTAX.contains(&call.name.as_str()) && call.namespace.path.is_empty();
        match is_plain {
            true => self.functions.number(&call.name, call.args.len()),
            false => None,
        }
    }
}
