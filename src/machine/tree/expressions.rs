//! What expressions give.

use std::any::TypeId;
use std::fmt::Write as _;

use rhai::{Array, Dynamic, EvalAltResult, Expr, FnArgsVec, Identifier, ImmutableString, Position};

use super::node::{Binary, Call, First, Node, Segment};
use super::operators::Operator;
use super::run::{Outcome, Run, types};

impl Run<'_> {
    /// Evaluates an expression.
    pub(super) fn eval(&mut self, node: &Node) -> Outcome {
        match node {
            Node::Literal(value, position) => {
                self.count(*position)?;
                Ok(value.clone())
            }
            Node::Local {
                slot,
                position,
                is_last,
            } => {
                self.count(*position)?;
                let slot = &mut self.slots[*slot];
                if *is_last && !slot.is_read_only() {
                    return Ok(slot.take());
                }
                Ok(slot.clone())
            }
            Node::This(position) => {
                self.count(*position)?;
                self.own_this(*position)
            }
            Node::Text(segments, position) => {
                self.count(*position)?;
                self.text(segments)
            }
            Node::Array(items, position) => {
                self.count(*position)?;
                let mut array = Array::with_capacity(items.len());
                for (item, _) in items {
                    array.push(self.eval(item)?.flatten());
                }
                Ok(Dynamic::from_array(array))
            }
            Node::Map(parts, position) => {
                self.count(*position)?;
                let mut map = parts.template.clone();
                for (name, value) in &parts.members {
                    let value = self.eval(value)?.flatten();
                    if let Some(place) = map.get_mut(name) {
                        *place = value;
                    }
                }
                Ok(Dynamic::from_map(map))
            }
            Node::And(parts, position) => {
                self.count(*position)?;
                for (part, position) in parts {
                    if !self.condition(part, *position)? {
                        return Ok(Dynamic::FALSE);
                    }
                }
                Ok(Dynamic::TRUE)
            }
            Node::Or(parts, position) => {
                self.count(*position)?;
                for (part, position) in parts {
                    if self.condition(part, *position)? {
                        return Ok(Dynamic::TRUE);
                    }
                }
                Ok(Dynamic::FALSE)
            }
            Node::Coalesce(parts, position) => {
                self.count(*position)?;
                let mut value = Dynamic::UNIT;
                for part in parts {
                    value = self.eval(part)?;
                    if !value.is_unit() {
                        break;
                    }
                }
                Ok(value)
            }
            Node::Block(block, position) => {
                self.count(*position)?;
                self.block(block)
            }
            Node::Unary(unary) => {
                self.count(unary.position)?;
                self.called(node)
            }
            Node::Binary(binary) => {
                self.count(binary.position)?;
                self.binary(binary)
            }
            Node::Call(call) => {
                self.count(call.position)?;
                self.called(node)
            }
            Node::Closure(closure) => {
                self.count(closure.position)?;
                self.count(closure.start)?;
                let mut function = closure.function.clone();
                for captured in &closure.captured {
                    let value = self.eval(captured)?;
                    function.add_curry(value);
                }
                Ok(function.into())
            }
            Node::Chain(chain) => {
                if let Some(operations) = chain.in_place
                    && let Some(value) = self.in_place(node, |value| {
                        self.count_all(&[node], operations)?;
                        Ok(value.clone())
                    })
                {
                    return value;
                }
                self.count(chain.position)?;
                self.chain(chain, None)
            }
            Node::Residue(residue) => self.residue(residue, None, []),
            Node::Whole(whole) => {
                // Rhai looks at a block itself, not at it as an expression.
                if let Expr::Stmt(_) = &whole.expr {
                    self.count(whole.expr.position())?;
                }
                self.whole(whole, &whole.expr)
            }
        }
    }

    /// A condition's value.
    pub(super) fn condition(&mut self, node: &Node, position: Position) -> Outcome<bool> {
        self.eval(node)?.as_bool().map_err(|actual| {
            let wanted = self.engine.map_type_name("bool").to_owned();
            EvalAltResult::ErrorMismatchDataType(wanted, actual.to_owned(), position).into()
        })
    }

    /// Calls a function or an operator, whose expression has been counted.
    pub(super) fn called(&mut self, node: &Node) -> Outcome {
        match node {
            Node::Unary(unary) => {
                let operand = self.eval(&unary.operand)?.flatten();
                match unary.operator.one(&operand, unary.position) {
                    Some(done) => done,
                    None => self.residue(&unary.rest, None, [operand]),
                }
            }
            Node::Binary(binary) => self.binary(binary),
            Node::Call(call) => self.call_function(call),
            other => self.eval(other),
        }
    }

    fn binary(&mut self, binary: &Binary) -> Outcome {
        // What is somewhere need not be copied to be looked at.
        if let Some(operations) = binary.in_place
            && let Some(operator) = binary.operator
            && let Some(done) = self.both_in_place(binary, operator, operations)
        {
            return match done? {
                Ok(value) => Ok(value),
                Err(operands) => self.residue(&binary.rest, None, operands),
            };
        }
        let left = self.eval(&binary.left)?.flatten();
        let right = self.eval(&binary.right)?.flatten();
        let operator = binary.operator;
        let done = operator.and_then(|o| o.two(&left, &right, binary.position));
        match done {
            Some(done) => done,
            None => self.residue(&binary.rest, None, [left, right]),
        }
    }

    /// What an operator gives for operands that are in their places, or copies of them where it is
    /// Rhai's to say; `None` where one of them is in none.
    #[inline]
    fn both_in_place(
        &self,
        binary: &Binary,
        operator: Operator,
        operations: u32,
    ) -> Option<Outcome<Result<Dynamic, [Dynamic; 2]>>> {
        let (left, right) = (&binary.left, &binary.right);
        self.in_place(left, |x| {
            self.in_place(right, |y| {
                self.count_all(&[left, right], operations)?;
                match operator.two(x, y, binary.position) {
                    Some(done) => done.map(Ok),
                    None => Ok(Err([x.clone(), y.clone()])),
                }
            })
        })?
    }

    fn call_function(&mut self, call: &Call) -> Outcome {
        let own = call.own.filter(|own| self.functions.is_translated(*own));
        let is_this_lent = matches!(call.first, First::This { .. }) && self.is_this_lent();
        let mut values = FnArgsVec::<Dynamic>::new();
        let plain = |value: Dynamic| if call.is_raw { value } else { value.flatten() };
        match &call.first {
            First::Local { position, .. } | First::Kept(_, position) => {
                self.count(*position)?;
                if own.is_some() {
                    values.push(Dynamic::UNIT);
                }
            }
            First::This { position, .. } => {
                self.count(*position)?;
                if !is_this_lent {
                    let value = self.own_this(*position)?;
                    values.push(plain(value));
                } else if own.is_some() {
                    values.push(Dynamic::UNIT);
                }
            }
            First::Value(node) => {
                let value = self.eval(node)?;
                values.push(plain(value));
            }
            First::None => {}
        }
        for other in &call.others {
            let value = self.eval(other)?;
            values.push(plain(value));
        }
        if let Some(own) = own {
            // It gets a copy of what natives would be lent; what the others have changed is in it.
            match &call.first {
                First::Local { slot, is_last, .. } => {
                    let local = &mut self.slots[*slot];
                    values[0] = match *is_last && !local.is_read_only() {
                        true => local.take(),
                        false => local.clone(),
                    }
                    .flatten();
                }
                First::Kept(kept, _) => values[0] = self.residue(kept, None, [])?.flatten(),
                First::This { position, .. } if is_this_lent => {
                    values[0] = self.own_this(*position)?;
                }
                _ => {}
            }
            return self.enter(own, None, values, call.position);
        }
        match &call.first {
            First::Local { slot, .. } => {
                let local = &self.slots[*slot];
                if call.is_native && (local.is_shared() || local.is_read_only()) {
                    // Its value, not itself.
                    let value = local.clone().flatten();
                    values.insert(0, value);
                    return self.call_on_values(call, values);
                }
                let mut local = self.slots[*slot].take();
                let outcome = match self.call_on_lent(call, &mut local, &mut values) {
                    Some(outcome) => outcome,
                    None => {
                        let types = self.unknown(call, &local, &values);
                        let outcome = self.residue(&call.rest, Some(&mut local), values);
                        self.learn(&call.site, types);
                        outcome
                    }
                };
                self.slots[*slot] = local;
                outcome
            }
            First::This { position, rest } if is_this_lent => {
                let mut this = self.lent(*position)?;
                let outcome = self.call_on_lent(call, &mut this, &mut values);
                let types = match outcome {
                    Some(_) => None,
                    None => self.unknown(call, &this, &values),
                };
                self.give_back(this);
                outcome.unwrap_or_else(|| {
                    let outcome = self.residue(rest, None, values);
                    self.learn(&call.site, types);
                    outcome
                })
            }
            _ => self.call_on_values(call, values),
        }
    }

    /// Calls the native function that it has called before on such arguments, the first of which
    /// may be changed in place.
    fn call_on_lent(
        &mut self,
        call: &Call,
        first: &mut Dynamic,
        others: &mut [Dynamic],
    ) -> Option<Outcome> {
        if !call.is_native {
            return None;
        }
        let known = call.site.find(first, others)?;
        self.global.level += 1;
        let first = Some((first, true));
        let outcome = self.native(&call.site, &known, first, others, call.position);
        self.global.level -= 1;
        Some(outcome)
    }

    /// The types of arguments that a call has not met, if it wants to know them.
    fn unknown(
        &self,
        call: &Call,
        first: &Dynamic,
        others: &[Dynamic],
    ) -> Option<FnArgsVec<TypeId>> {
        match call.is_native {
            true => types(&call.site, Some(first), others),
            false => None,
        }
    }

    fn call_on_values(&mut self, call: &Call, mut values: FnArgsVec<Dynamic>) -> Outcome {
        if !call.is_native {
            return self.residue(&call.rest, None, values);
        }
        let known = match values.split_first() {
            Some((first, others)) => call.site.find(first, others),
            None => call.site.find_bare(),
        };
        let Some(known) = known else {
            let types = types(&call.site, None, &values);
            let outcome = self.residue(&call.rest, None, values);
            self.learn(&call.site, types);
            return outcome;
        };
        self.global.level += 1;
        let (first, others) = match values.split_first_mut() {
            Some((first, others)) => (Some((first, false)), others),
            None => (None, &mut [][..]),
        };
        let outcome = self.native(&call.site, &known, first, others, call.position);
        self.global.level -= 1;
        outcome
    }

    fn text(&mut self, segments: &[Segment]) -> Outcome {
        let mut text = Identifier::new_const();
        for segment in segments {
            let in_place = segment.in_place.and_then(|operations| {
                let node = &segment.node;
                self.in_place(node, |value| {
                    self.count_all(&[node], operations)?;
                    Ok(match self.show(&mut text, segment, value) {
                        true => None,
                        false => Some(value.clone()),
                    })
                })
            });
            let value = match in_place {
                Some(Ok(None)) => continue,
                Some(Ok(Some(value))) => value,
                Some(Err(error)) => return Err(error),
                None => {
                    let value = self.eval(&segment.node)?.flatten();
                    if self.show(&mut text, segment, &value) {
                        continue;
                    }
                    value
                }
            };
            let shown = self.residue(&segment.rest, None, [value])?;
            if let Ok(string) = shown.as_immutable_string_ref() {
                text.push_str(&string);
            }
        }
        Ok(ImmutableString::from(text).into())
    }

    /// Appends a string or an int to a text; whether it is one.
    #[inline]
    fn show(&self, text: &mut Identifier, segment: &Segment, value: &Dynamic) -> bool {
        if let Ok(string) = value.as_immutable_string_ref() {
            text.push_str(&string);
        } else if let Ok(number) = value.as_int() {
            // To show it is a call, whose failure Rhai passes over.
            let _ = self.count(segment.position);
            let _ = write!(text, "{number}");
        } else {
            return false;
        }
        true
    }
}
