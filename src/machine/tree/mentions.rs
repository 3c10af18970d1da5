//! How often a function mentions each variable: one that is mentioned once may be given away there.
//!
//! Rhai's own walk through a script passes over some places, as the value of a `break`.

use std::collections::HashMap;

use rhai::{Expr, ImmutableString, Stmt};

/// Mentions of each name.
#[derive(Debug, Default)]
pub struct Mentions {
    counts: HashMap<ImmutableString, usize>,
    /// Something mentions whatever there is.
    are_all: bool,
    has_this: bool,
}

impl Mentions {
    /// Those of a function's body.
    pub fn of(statements: &[Stmt]) -> Self {
        let mut mentions = Self::default();
        mentions.statements(statements);
        mentions
    }

    /// Whether a variable is mentioned at most once.
    pub fn is_one(&self, name: &str) -> bool {
        !self.are_all && self.counts.get(name).is_none_or(|count| *count <= 1)
    }

    /// Whether `this` is certainly not mentioned.
    pub fn are_without_this(&self) -> bool {
        !self.are_all && !self.has_this
    }

    fn mention(&mut self, name: &ImmutableString) {
        *self.counts.entry(name.clone()).or_insert(0) += 1;
    }

    fn statements(&mut self, statements: &[Stmt]) {
        for statement in statements {
            self.statement(statement);
        }
    }

    fn statement(&mut self, statement: &Stmt) {
        match statement {
            Stmt::Noop(_) => {}
            Stmt::If(flow, _)
            | Stmt::While(flow, _)
            | Stmt::Do(flow, ..)
            | Stmt::TryCatch(flow, _) => self.flow(flow),
            Stmt::For(parts, _) => self.flow(&parts.2),
            Stmt::Switch(parts, _) => {
                self.expr(&parts.0);
                for case in &parts.1.expressions {
                    self.expr(&case.lhs);
                    self.expr(&case.rhs);
                }
            }
            Stmt::Var(variable, ..) => self.expr(&variable.1),
            Stmt::Assignment(parts) => {
                self.expr(&parts.1.lhs);
                self.expr(&parts.1.rhs);
            }
            Stmt::FnCall(call, _) => self.call(call),
            Stmt::Block(block) => self.statements(block.statements()),
            Stmt::Expr(expr) => self.expr(expr),
            Stmt::BreakLoop(value, ..) | Stmt::Return(value, ..) => {
                if let Some(value) = value {
                    self.expr(value);
                }
            }
            // A closure has it from now on, as often as it likes.
            Stmt::Share(shared) => {
                for (name, _) in &**shared {
                    self.mention(&name.name);
                    self.mention(&name.name);
                }
            }
            _ => self.are_all = true,
        }
    }

    fn flow(&mut self, flow: &rhai::FlowControl) {
        self.expr(&flow.expr);
        self.statements(flow.body.statements());
        self.statements(flow.branch.statements());
    }

    fn call(&mut self, call: &rhai::FnCallExpr) {
        self.are_all |= call.capture_parent_scope;
        self.exprs(&call.args);
    }

    fn exprs(&mut self, exprs: &[Expr]) {
        for expr in exprs {
            self.expr(expr);
        }
    }

    fn expr(&mut self, expr: &Expr) {
        match expr {
            Expr::Variable(variable, ..) => self.mention(&variable.1),
            Expr::InterpolatedString(parts, _) | Expr::Array(parts, _) => self.exprs(parts),
            Expr::And(parts, _) | Expr::Or(parts, _) | Expr::Coalesce(parts, _) => {
                self.exprs(parts);
            }
            Expr::Map(parts, _) => {
                for (_, value) in &parts.0 {
                    self.expr(value);
                }
            }
            Expr::Stmt(block) => self.statements(block.statements()),
            Expr::FnCall(call, _) | Expr::MethodCall(call, _) => self.call(call),
            Expr::Dot(parts, ..) | Expr::Index(parts, ..) => {
                self.expr(&parts.lhs);
                self.expr(&parts.rhs);
            }
            Expr::ThisPtr(_) => self.has_this = true,
            Expr::Property(..)
            | Expr::DynamicConstant(..)
            | Expr::BoolConstant(..)
            | Expr::IntegerConstant(..)
            | Expr::FloatConstant(..)
            | Expr::CharConstant(..)
            | Expr::StringConstant(..)
            | Expr::Unit(_) => {}
            _ => self.are_all = true,
        }
    }
}
