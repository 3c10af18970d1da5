//! What statements do.

use std::ops::{Range, RangeInclusive};

use rhai::{Array, Dynamic, EvalAltResult, Expr, Position, Stmt};

use super::node::{Assign, Block, Do, For, If, Node, Plain, Statement, Switch, Target, While};
use super::run::{Outcome, Run};
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
        let mut value = Dynamic::UNIT;
        let mut outcome = Ok(());
        for statement in &block.statements {
            match self.statement(statement) {
                Ok(given) => value = given,
                Err(error) => {
                    outcome = Err(error);
                    break;
                }
            }
        }
        for slot in &mut self.slots[block.from..block.to] {
            *slot = Dynamic::UNIT;
        }
        outcome.map(|()| value)
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
            Statement::Left(whole) => self.whole(whole, &whole.expr),
        }
    }

    fn leave(&mut self, value: Option<&Node>, position: Position) -> Outcome {
        self.count(position)?;
        value.map_or(Ok(Dynamic::UNIT), |value| self.eval(value))
    }

    fn assign(&mut self, assign: &Assign) -> Outcome<()> {
        let value = self.eval(&assign.value)?.flatten();
        let change = &assign.change;
        match &assign.target {
            Target::Local {
                slot,
                position,
                rest,
            } => {
                let target = &mut self.slots[*slot];
                let is_simple = !target.is_shared() && !target.is_read_only();
                if is_simple && change.is_plain {
                    self.count(*position)?;
                    self.slots[*slot] = writable(value);
                    return Ok(());
                }
                if is_simple && let Some(operator) = change.operator {
                    let mut target = target.take();
                    let outcome = self.count(*position);
                    let done = match outcome {
                        Ok(()) => operator.change(&mut target, &value, change.position),
                        Err(error) => Some(Err(error)),
                    };
                    self.slots[*slot] = target;
                    if let Some(done) = done {
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
            Target::This(rest) => self.residue(rest, None, [value]).map(|_| ()),
            Target::Chain(chain) => self.chain(chain, Some((value, change))).map(|_| ()),
        }
    }

    fn branch(&mut self, parts: &If) -> Outcome {
        match self.condition(&parts.condition, parts.condition_position)? {
            true => self.block(&parts.then),
            false => self.block(&parts.otherwise),
        }
    }

    fn turn(&mut self, body: &Block) -> Outcome<Turn> {
        match self.block(body) {
            Ok(_) => Ok(Turn::Next),
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
                match self.block(&parts.body) {
                    Ok(_) => {}
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

/// A value that may be changed, with all that is in it, as a variable's is.
pub(super) fn writable(value: Dynamic) -> Dynamic {
    match has_constants(&value) {
        // A copy of a constant is none.
        true => value.clone(),
        false => value,
    }
}

fn has_constants(value: &Dynamic) -> bool {
    if value.is_read_only() {
        return true;
    }
    if value.is_array() {
        let array = value.as_array_ref();
        return array.is_ok_and(|array| array.iter().any(has_constants));
    }
    if value.is_map() {
        let map = value.as_map_ref();
        return map.is_ok_and(|map| map.values().any(has_constants));
    }
    false
}
