//! A call of a tree: its slots, its `this`, and how Rhai is asked.

use std::any::TypeId;

use rhai::{
    Caches, Dynamic, Engine, EvalAltResult, EvalContext, Expression, FnArgsVec, GlobalRuntimeState,
    NativeCallContext, Position, Scope,
};

use super::functions::Functions;
use super::node::Tree;
use super::residue::{Residue, Whole, operand};
use super::site::{Known, Site};
use super::values::writable;
use crate::machine::meter;

/// What an evaluation gives.
pub type Outcome<T = Dynamic> = Result<T, Box<EvalAltResult>>;

/// A call of a tree.
#[derive(Debug)]
pub struct Run<'a> {
    /// Rhai.
    pub engine: &'a Engine,
    /// Its state.
    pub global: &'a mut GlobalRuntimeState,
    /// The functions that the tree calls.
    pub functions: &'a Functions,
    /// What Rhai has resolved.
    pub caches: &'a mut Caches,
    /// A scope without variables, for what Rhai evaluates.
    pub scope: &'a mut Scope<'static>,
    /// The variables; as many as the tree has slots, the arguments first.
    pub slots: &'a mut [Dynamic],
    /// Variables of calls that are over, for others.
    pub spare: &'a mut Vec<Vec<Dynamic>>,
    /// `this`, if there is one: the hook's is shared, a method's is its target.
    pub this: Option<&'a mut Dynamic>,
}

impl Run<'_> {
    /// Runs a function, and gives what it returns.
    pub fn call(&mut self, tree: &Tree) -> Outcome {
        self.block(&tree.body).or_else(|error| match *error {
            EvalAltResult::Return(value, _) | EvalAltResult::Exit(value, _) => Ok(value),
            error => Err(error.into()),
        })
    }

    /// Calls a function of the file, which is translated.
    pub(super) fn enter(
        &mut self,
        number: usize,
        this: Option<&mut Dynamic>,
        args: impl IntoIterator<Item = Dynamic>,
        position: Position,
    ) -> Outcome {
        let functions = self.functions;
        let Some((function, tree)) = functions.get(number) else {
            return Ok(Dynamic::UNIT);
        };
        if tree.body.statements.is_empty() {
            return Ok(Dynamic::UNIT);
        }
        self.count(position)?;
        if self.global.level >= self.engine.max_call_levels() {
            return Err(EvalAltResult::ErrorStackOverflow(position).into());
        }
        let mut slots = self.spare.pop().unwrap_or_default();
        slots.extend(args.into_iter().map(writable));
        slots.resize(tree.slots, Dynamic::UNIT);
        self.global.level += 1;
        let source = std::mem::replace(&mut self.global.source, functions.source.clone());
        let mut run = Run {
            engine: self.engine,
            global: self.global,
            functions,
            caches: self.caches,
            scope: self.scope,
            slots: &mut slots,
            spare: self.spare,
            this,
        };
        let outcome = run.block(&tree.body);
        self.global.source = source;
        self.global.level -= 1;
        slots.clear();
        self.spare.push(slots);
        outcome.or_else(|mut error| match *error {
            EvalAltResult::Return(value, _) => Ok(value),
            EvalAltResult::Exit(..) => {
                error.set_position(position);
                Err(error)
            }
            _ if error.is_system_exception() => {
                error.set_position(position);
                Err(error)
            }
            _ => {
                let source = functions.source.as_deref().unwrap_or_default();
                let (name, source) = (function.to_string(), source.to_owned());
                Err(EvalAltResult::ErrorInFunctionCall(name, source, error, position).into())
            }
        })
    }

    /// Whether `this` is passed by reference.
    pub(super) fn is_this_lent(&self) -> bool {
        self.this.as_ref().is_some_and(|this| !this.is_shared())
    }

    /// `this`: the shared one, or itself, to be [given back](Self::give_back).
    pub(super) fn lent(&mut self, position: Position) -> Outcome {
        match &mut self.this {
            Some(this) if this.is_shared() => Ok(this.clone()),
            Some(this) => Ok(std::mem::take(&mut **this)),
            None => Err(EvalAltResult::ErrorUnboundThis(position).into()),
        }
    }

    /// Gives back what was lent of `this`.
    pub(super) fn give_back(&mut self, value: Dynamic) {
        if let Some(this) = &mut self.this
            && !this.is_shared()
        {
            **this = value;
        }
    }

    /// A copy of `this`.
    pub(super) fn own_this(&self, position: Position) -> Outcome {
        match &self.this {
            Some(this) => Ok((**this).clone()),
            None => Err(EvalAltResult::ErrorUnboundThis(position).into()),
        }
    }

    /// Counts an operation.
    #[inline]
    pub(super) fn count(&self, position: Position) -> Outcome<()> {
        count(position)
    }

    /// Has Rhai evaluate an expression on values. The root, if there is one, is changed in place.
    #[cold]
    pub(super) fn residue(
        &mut self,
        residue: &Residue,
        root: Option<&mut Dynamic>,
        values: impl IntoIterator<Item = Dynamic>,
    ) -> Outcome {
        let before = self.scope.len();
        let mut moved = None;
        if let Some(root) = root {
            let value = if root.is_read_only() {
                let is_constant = !root.is_shared();
                let copy = root.clone();
                if is_constant {
                    copy.into_read_only()
                } else {
                    copy
                }
            } else {
                let value = root.take();
                moved = Some(root);
                value
            };
            self.scope.push_dynamic(residue.root.clone(), value);
        }
        for value in values {
            let name = match self.scope.len() - before {
                0 => residue.root.clone(),
                _ => operand(),
            };
            self.scope.push_dynamic(name, value);
        }
        let outcome = self.by_rhai(&residue.expr, residue.extra);
        if let Some(root) = moved {
            self.scope.rewind(before + 1);
            if let Some(value) = self.scope.get_mut(&residue.root) {
                *root = value.take();
            }
        }
        self.scope.rewind(before);
        outcome
    }

    /// Has Rhai evaluate an expression in the scope as it is; `extra` operations are not counted.
    fn by_rhai(&mut self, expr: &rhai::Expr, extra: u32) -> Outcome {
        let forgiven = meter::forgive(extra);
        let mut context = EvalContext::new(
            self.engine,
            self.global,
            self.caches,
            self.scope,
            self.this.as_deref_mut(),
        );
        #[allow(deprecated, reason = "Rhai marks its volatile interfaces so")]
        let outcome = context.eval_expression_tree_raw(&Expression::from(expr), true);
        meter::forgive(forgiven);
        outcome
    }

    /// Has Rhai evaluate a part of the function.
    #[cold]
    pub(super) fn whole(&mut self, whole: &Whole, expr: &rhai::Expr) -> Outcome {
        let before = self.scope.len();
        for (slot, name) in whole.names.iter().enumerate() {
            let value = &mut self.slots[slot];
            let value = match (value.is_read_only(), value.is_shared()) {
                (true, false) => value.clone().into_read_only(),
                (true, true) => value.clone(),
                (false, _) => value.take(),
            };
            self.scope.push_dynamic(name.clone(), value);
        }
        let outcome = self.by_rhai(expr, whole.extra);
        self.scope.rewind(before + whole.names.len());
        for (slot, name) in whole.names.iter().enumerate().rev() {
            let local = &mut self.slots[slot];
            if !local.is_read_only() {
                if let Some(value) = self.scope.get_mut(name) {
                    *local = value.take();
                }
            } else if !local.is_shared()
                && let Some(value) = self.scope.get(name)
                && value.is_shared()
            {
                // A closure has captured the constant.
                *local = value.clone();
            }
            self.scope.pop();
        }
        outcome
    }

    /// Calls a native function. The first argument may be changed in place; the others are
    /// consumed.
    #[inline]
    pub(super) fn native(
        &mut self,
        site: &Site,
        known: &Known,
        first: Option<(&mut Dynamic, bool)>,
        others: &mut [Dynamic],
        position: Position,
    ) -> Outcome {
        self.count(position)?;
        let mut copy;
        let first = match first {
            Some((first, true)) if !known.is_method => {
                copy = first.clone();
                Some(&mut copy)
            }
            Some((first, _)) => Some(first),
            None => None,
        };
        if !known.is_pure && first.as_ref().is_some_and(|first| first.is_read_only()) {
            let name = site.name.to_string();
            return Err(EvalAltResult::ErrorNonPureMethodCallOnConstant(name, position).into());
        }
        let source = known.source.as_deref();
        let context = known.has_context.then(|| {
            NativeCallContext::new_with_all_fields(
                self.engine,
                &site.name,
                source,
                self.global,
                position,
            )
        });
        let outcome = match (first, others) {
            (Some(first), []) => known.call(context, &mut [first]),
            (Some(first), [other]) => known.call(context, &mut [first, other]),
            (first, others) => {
                let mut args = FnArgsVec::<&mut Dynamic>::new();
                args.extend(first.into_iter().chain(others));
                known.call(context, &mut args)
            }
        };
        outcome.map_err(|mut error| {
            if error.position().is_none() {
                error.set_position(position);
            }
            error
        })
    }

    /// A site takes what Rhai has just called for arguments of these types.
    pub(super) fn learn(&mut self, site: &Site, types: Option<FnArgsVec<TypeId>>) {
        if let Some(types) = types {
            site.learn(types, self.caches);
        }
    }
}

/// Counts an operation.
#[inline]
pub(super) fn count(position: Position) -> Outcome<()> {
    match meter::tick() {
        None => Ok(()),
        Some(token) => Err(EvalAltResult::ErrorTerminated(token, position).into()),
    }
}

/// The types of a call's arguments, if its site wants to know them.
pub(super) fn types(
    site: &Site,
    first: Option<&Dynamic>,
    others: &[Dynamic],
) -> Option<FnArgsVec<TypeId>> {
    site.is_open().then(|| {
        let all = first.into_iter().chain(others);
        all.map(Dynamic::type_id).collect()
    })
}
