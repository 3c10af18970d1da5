//! What expressions give.

use std::fmt::Write as _;

use rhai::{Array, Dynamic, EvalAltResult, Expr, FnArgsVec, Position};

use super::node::{Call, First, Node, Segment};
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
                Ok(self.this.clone())
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
                self.called(node)
            }
            Node::Call(call) => {
                self.count(call.position)?;
                self.called(node)
            }
            Node::Chain(chain) => {
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
            Node::Binary(binary) => {
                let left = self.eval(&binary.left)?.flatten();
                let right = self.eval(&binary.right)?.flatten();
                let operator = binary.operator;
                let done = operator.and_then(|o| o.two(&left, &right, binary.position));
                match done {
                    Some(done) => done,
                    None => self.residue(&binary.rest, None, [left, right]),
                }
            }
            Node::Call(call) => self.call_function(call),
            other => self.eval(other),
        }
    }

    fn call_function(&mut self, call: &Call) -> Outcome {
        let mut values = FnArgsVec::<Dynamic>::new();
        let plain = |value: Dynamic| if call.is_raw { value } else { value.flatten() };
        match &call.first {
            First::Local { position, .. } | First::Kept(position) => self.count(*position)?,
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
        let First::Local { slot, .. } = &call.first else {
            return self.call_on_values(call, values);
        };
        let slot = *slot;
        let local = &self.slots[slot];
        if call.is_native && (local.is_shared() || local.is_read_only()) {
            // Its value, not itself.
            let value = local.clone().flatten();
            values.insert(0, value);
            return self.call_on_values(call, values);
        }
        let mut local = self.slots[slot].take();
        let known = match call.is_native {
            true => call.site.find(&local, &values),
            false => None,
        };
        let outcome = match known {
            Some(known) => {
                self.global.level += 1;
                let first = Some((&mut local, true));
                let position = call.position;
                let outcome = self.native(&call.site, &known, first, &mut values, position);
                self.global.level -= 1;
                outcome
            }
            None => {
                let types = match call.is_native {
                    true => types(&call.site, Some(&local), &values),
                    false => None,
                };
                let outcome = self.residue(&call.rest, Some(&mut local), values);
                self.learn(&call.site, types);
                outcome
            }
        };
        self.slots[slot] = local;
        outcome
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
        let mut text = String::new();
        for segment in segments {
            let value = self.eval(&segment.node)?.flatten();
            if let Ok(string) = value.as_immutable_string_ref() {
                text.push_str(&string);
                continue;
            }
            if let Ok(number) = value.as_int() {
                // To show it is a call, whose failure Rhai passes over.
                let _ = self.count(segment.position);
                let _ = write!(text, "{number}");
                continue;
            }
            let shown = self.residue(&segment.rest, None, [value])?;
            if let Ok(string) = shown.as_immutable_string_ref() {
                text.push_str(&string);
            }
        }
        Ok(text.into())
    }
}
