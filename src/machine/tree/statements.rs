//! What statements do.

use std::ops::{Range, RangeInclusive};

use rhai::{Array, Dynamic, EvalAltResult, Expr, Position, Stmt};

use super::caught::caught;
use super::node::{Assign, Block, Do, For, If, Node, Plain, Statement, Switch, Target, Try, While};
use super::run::{Outcome, Run};
use super::values::writable;
use crate::machine::meter;

/// How a turn of a loop ended.
enum Turn {
    /// The next one may begin.
    Next,
    /// The loop ends with a value.
    Break(Dynamic),
}

impl Run<'_> {
    /// Runs a block; its value is that of its last statement.
    pub(super) fn block(&mut self, block: &Block) -> Outcome {
        let Some((last, others)) = block.statements.split_last() else {
            return Ok(Dynamic::UNIT);
        };
        let outcome = match self.all(others) {
            Ok(()) => self.statement(last),
            Err(error) => Err(error),
        };
        self.end(block);
        outcome
    }

    /// Runs a block for what it does.
    fn run_block(&mut self, block: &Block) -> Outcome<()> {
        let outcome = self.all(&block.statements);
        self.end(block);
        outcome
    }

    fn all(&mut self, statements: &[Statement]) -> Outcome<()> {
        for statement in statements {
            self.run_statement(statement)?;
        }
        Ok(())
    }

    /// The variables of a block are no more.
    fn end(&mut self, block: &Block) {
        for slot in &mut self.slots[block.from..block.to] {
            *slot = Dynamic::UNIT;
        }
    }

    /// Runs a statement for what it does.
    fn run_statement(&mut self, statement: &Statement) -> Outcome<()> {
        match statement {
            Statement::Value(node, position) => {
                self.count(*position)?;
                self.eval(node).map(|_| ())
            }
            Statement::Assign(assign, position) => {
                self.count(*position)?;
                self.assign(assign)
            }
            Statement::If(parts, position) => {
                self.count(*position)?;
                match self.condition(&parts.condition, parts.condition_position)? {
                    true => self.run_block(&parts.then),
                    false => self.run_block(&parts.otherwise),
                }
            }
            other => self.statement(other).map(|_| ()),
        }
    }

    fn statement(&mut self, statement: &Statement) -> Outcome {
        match statement {
            Statement::Nothing(position) => {
                self.count(*position)?;
                Ok(Dynamic::UNIT)
            }
            Statement::Value(node, position) => {
                self.count(*position)?;
                self.eval(node).map(Dynamic::flatten)
            }
            Statement::Call(node, position) => {
                self.count(*position)?;
                self.called(node)
            }
            Statement::Let {
                slot,
                value,
                is_constant,
                position,
            } => {
                self.count(*position)?;
                let value = self.eval(value)?.flatten();
                self.slots[*slot] = match is_constant {
                    true => value.into_read_only(),
                    false => writable(value),
                };
                Ok(Dynamic::UNIT)
            }
            Statement::Assign(assign, position) => {
                self.count(*position)?;
                self.assign(assign)?;
                Ok(Dynamic::UNIT)
            }
            Statement::If(parts, position) => {
                self.count(*position)?;
                self.branch(parts)
            }
            Statement::While(parts, position) => {
                self.count(*position)?;
                self.repeat_while(parts)
            }
            Statement::Do(parts, position) => {
                self.count(*position)?;
                self.repeat_do(parts)
            }
            Statement::For(parts, position) => {
                self.count(*position)?;
                self.repeat_for(parts)
            }
            Statement::Switch(parts, position) => {
                self.count(*position)?;
                self.switch(parts)
            }
            Statement::Block(block, position) => {
                self.count(*position)?;
                self.block(block)
            }
            Statement::Return(value, position) => {
                let value = self.leave(value.as_ref(), *position)?;
                Err(EvalAltResult::Return(value.flatten(), *position).into())
            }
            Statement::Throw(value, position) => {
                let value = self.leave(value.as_ref(), *position)?;
                Err(EvalAltResult::ErrorRuntime(value.flatten(), *position).into())
            }
            Statement::Break {
                is_break,
                value,
                position,
            } => {
                let value = self.leave(value.as_ref(), *position)?;
                Err(EvalAltResult::LoopBreak(*is_break, value, *position).into())
            }
            Statement::Try(parts, position) => {
                self.count(*position)?;
                self.attempt(parts)
            }
            Statement::Share(slots, position) => {
                self.count(*position)?;
                for slot in slots {
                    let value = &mut self.slots[*slot];
                    if !value.is_shared() {
                        *value = value.take().into_shared();
                    }
                }
                Ok(Dynamic::UNIT)
            }
            Statement::Left(whole) => self.whole(whole, &whole.expr),
        }
    }

    fn leave(&mut self, value: Option<&Node>, position: Position) -> Outcome {
        self.count(position)?;
        value.map_or(Ok(Dynamic::UNIT), |value| self.eval(value))
    }

    fn attempt(&mut self, parts: &Try) -> Outcome {
        let mut error = match self.block(&parts.body) {
            Err(error) if error.is_catchable() => error,
            outcome => return outcome,
        };
        if let Some(slot) = parts.slot {
            let value = caught(&mut error, self.global.source());
            self.slots[slot] = writable(value);
        }
        let outcome = self.run_block(&parts.caught);
        if let Some(slot) = parts.slot {
            self.slots[slot] = Dynamic::UNIT;
        }
        match outcome {
            Ok(()) => Ok(Dynamic::UNIT),
            Err(thrown) => Err(match *thrown {
                // `throw` by itself: the same error again, from there.
                EvalAltResult::ErrorRuntime(value, position) if value.is_unit() => {
                    error.set_position(position);
                    error
                }
                other => other.into(),
            }),
        }
    }

    fn assign(&mut self, assign: &Assign) -> Outcome<()> {
        if let Target::This(_, position) = &assign.target
            && self.this.is_none()
        {
            return Err(EvalAltResult::ErrorUnboundThis(*position).into());
        }
        let value = self.eval(&assign.value)?.flatten();
        let change = &assign.change;
        match &assign.target {
            Target::Local {
                slot,
                position,
                rest,
            } => {
                let target = &self.slots[*slot];
                let is_simple = !target.is_shared() && !target.is_read_only();
                if is_simple && change.is_plain {
                    self.count(*position)?;
                    self.slots[*slot] = writable(value);
                    return Ok(());
                }
                if is_simple && let Some(operator) = change.operator {
                    self.count(*position)?;
                    let target = &mut self.slots[*slot];
                    if let Some(done) = operator.change(target, &value, change.position) {
                        return done;
                    }
                    // Counted already.
                    meter::forgive(1);
                }
                let mut root = self.slots[*slot].take();
                let outcome = self.residue(rest, Some(&mut root), [value]);
                self.slots[*slot] = root;
                outcome.map(|_| ())
            }
            Target::This(rest, _) => self.residue(rest, None, [value]).map(|_| ()),
            Target::Chain(chain) => {
                let mut value = value;
                match self.assign_in_place(chain, &mut value, change) {
                    Some(done) => done,
                    None => self.chain(chain, Some((value, change))).map(|_| ()),
                }
            }
        }
    }

    fn branch(&mut self, parts: &If) -> Outcome {
        match self.condition(&parts.condition, parts.condition_position)? {
            true => self.block(&parts.then),
            false => self.block(&parts.otherwise),
        }
    }

    fn turn(&mut self, body: &Block) -> Outcome<Turn> {
        match self.run_block(body) {
            Ok(()) => Ok(Turn::Next),
            Err(error) => match *error {
                EvalAltResult::LoopBreak(false, ..) => Ok(Turn::Next),
                EvalAltResult::LoopBreak(true, value, _) => Ok(Turn::Break(value)),
                error => Err(error.into()),
            },
        }
    }

    fn repeat_while(&mut self, parts: &While) -> Outcome {
        let is_empty = parts.body.statements.is_empty();
        loop {
            match &parts.condition {
                Some(condition) if !self.condition(condition, parts.condition_position)? => {
                    return Ok(Dynamic::UNIT);
                }
                Some(_) => {}
                None if is_empty => self.count(parts.body_position)?,
                None => {}
            }
            if !is_empty && let Turn::Break(value) = self.turn(&parts.body)? {
                return Ok(value);
            }
        }
    }

    fn repeat_do(&mut self, parts: &Do) -> Outcome {
        loop {
            if !parts.body.statements.is_empty() {
                match self.run_block(&parts.body) {
                    Ok(()) => {}
                    Err(error) => match *error {
                        // On to the next turn, not to the condition: as Rhai does it.
                        EvalAltResult::LoopBreak(false, ..) => continue,
                        EvalAltResult::LoopBreak(true, value, _) => return Ok(value),
                        error => return Err(error.into()),
                    },
                }
            }
            if self.condition(&parts.condition, parts.condition_position)? != parts.is_while {
                return Ok(Dynamic::UNIT);
            }
        }
    }

    fn repeat_for(&mut self, parts: &For) -> Outcome {
        let over = self.eval(&parts.over)?.flatten();
        let outcome = if let Some(range) = over.read_lock::<Range<i64>>().map(|r| r.clone()) {
            self.repeat_over(parts, range.map(Dynamic::from))
        } else if let Some(range) = over.read_lock::<RangeInclusive<i64>>().map(|r| r.clone()) {
            self.repeat_over(parts, range.map(Dynamic::from))
        } else if over.is_array() {
            let array: Array = over.into_array().unwrap_or_default();
            self.repeat_over(parts, array.into_iter())
        } else {
            return self.repeat_elsewhere(parts, over);
        };
        self.slots[parts.slot] = Dynamic::UNIT;
        if let Some(counter) = parts.counter {
            self.slots[counter] = Dynamic::UNIT;
        }
        outcome
    }

    fn repeat_over(&mut self, parts: &For, items: impl Iterator<Item = Dynamic>) -> Outcome {
        if parts.body.statements.is_empty() {
            for _ in items {
                self.count(parts.body_position)?;
            }
            return Ok(Dynamic::UNIT);
        }
        for (number, item) in items.enumerate() {
            if let Some(counter) = parts.counter {
                set(&mut self.slots[counter], Dynamic::from(number as i64));
            }
            set(&mut self.slots[parts.slot], item.flatten());
            if let Turn::Break(value) = self.turn(&parts.body)? {
                return Ok(value);
            }
        }
        Ok(Dynamic::UNIT)
    }

    /// Has Rhai walk through what only it can.
    fn repeat_elsewhere(&mut self, parts: &For, over: Dynamic) -> Outcome {
        let mut whole = parts.rest.expr.clone();
        if let Expr::Stmt(block) = &mut whole
            && let Some(Stmt::For(inner, _)) = block.statements_mut().first_mut()
        {
            inner.2.expr = Expr::DynamicConstant(Box::new(over), parts.over_start);
        }
        self.whole(&parts.rest, &whole)
    }

    fn switch(&mut self, parts: &Switch) -> Outcome {
        /// Values that one `switch` remembers.
        const KNOWN: usize = 16;
        let value = self.eval(&parts.value)?;
        let plain = Plain::of(&value);
        let is_it = |known: &&(Plain, Option<usize>)| Some(&known.0) == plain.as_ref();
        let known = parts.known.borrow().iter().find(is_it).map(|known| known.1);
        let case = match known {
            Some(case) => case,
            None => {
                let chosen = self.residue(&parts.choice, None, [value])?.as_int().ok();
                let case = chosen.and_then(|number| usize::try_from(number).ok());
                if case.is_some() {
                    // The number was an operation.
                    meter::forgive(1);
                }
                let mut known = parts.known.borrow_mut();
                if let Some(plain) = plain
                    && known.len() < KNOWN
                {
                    known.push((plain, case));
                }
                case
            }
        };
        match case.and_then(|number| parts.cases.get(number)) {
            Some(case) => self.eval(case),
            None => Ok(Dynamic::UNIT),
        }
    }
}

/// Changes a variable that a closure may have captured.
fn set(slot: &mut Dynamic, value: Dynamic) {
    if !slot.is_shared() {
        *slot = value;
    } else if let Some(mut place) = slot.write_lock::<Dynamic>() {
        *place = value;
    }
}
