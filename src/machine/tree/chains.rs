//! Chains of properties, indexes and methods, translated.
//!
//! Rhai evaluates all arguments of a chain first, from left to right, then its root, and then goes
//! from link to link. A chain can be left to Rhai at each of its links, with what was reached so
//! far as its root.

use std::num::NonZeroUsize;

use rhai::{ASTFlags, Expr, FnCallExpr, OpAssignment, Position};

use super::node::{Chain, Link, LinkKind, Method, Node, Property, Root, Step, Translated, no};
use super::residue::{self, Given};
use super::site::Site;

/// The function that a chain is in, as it is translated.
pub trait Around {
    /// An expression; one that cannot be translated is left to Rhai.
    fn expression(&mut self, expr: &Expr) -> Translated<Node>;

    /// An argument: a literal is one operation, whatever is in it.
    fn argument(&mut self, expr: &Expr) -> Translated<Node>;

    /// The slot of a variable that the parser has found so far from the last one.
    fn slot(&self, index: Option<NonZeroUsize>) -> Option<usize>;

    /// Whether a call of this name is one of a native function, whatever its arguments are.
    fn is_native(&self, call: &FnCallExpr) -> bool;

    /// The number of the file's own function that a call is certain to call.
    fn own(&mut self, call: &FnCallExpr) -> Option<usize>;
}

/// A part of a chain as Rhai has it: what it stands in, and what it is.
struct Part<'a> {
    /// The expression that joins it to what is before it.
    joint: &'a Expr,
    /// The property, method call or index.
    what: &'a Expr,
}

/// Whether a joint is an index.
fn is_index(joint: &Expr) -> bool {
    matches!(joint, Expr::Index(..))
}

/// Both sides of a joint.
fn sides(joint: &Expr) -> Option<(&Expr, &Expr)> {
    match joint {
        Expr::Dot(parts, ..) | Expr::Index(parts, ..) => Some((&parts.lhs, &parts.rhs)),
        _ => None,
    }
}

/// What goes on in the right side of a joint: the next joint, if it is one.
fn next(joint: &Expr) -> Option<&Expr> {
    let (_, right) = sides(joint)?;
    let ends = is_index(joint) && joint.options().intersects(ASTFlags::BREAK);
    (!ends && sides(right).is_some()).then_some(right)
}

/// Translates a chain; with an assignment, one to it.
pub fn chain(
    around: &mut impl Around,
    expr: &Expr,
    assignment: Option<&OpAssignment>,
) -> Translated<Chain> {
    let position = expr.position();
    let Some((root_expr, _)) = sides(expr) else {
        return no("an assignment", position);
    };
    let mut parts = Vec::new();
    let mut joint = expr;
    loop {
        let Some((_, right)) = sides(joint) else {
            return no("a chain", position);
        };
        let following = next(joint);
        let what = match following.and_then(sides) {
            Some((left, _)) => left,
            None => right,
        };
        parts.push(Part { joint, what });
        match following {
            Some(following) => joint = following,
            None => break,
        }
    }
    let steps = steps(around, &parts)?;
    let (root, name) = match root_expr {
        Expr::ThisPtr(_) => (Root::This, "".into()),
        Expr::Variable(variable, short, _) => {
            let index = short.map(NonZeroUsize::from).or(variable.0);
            let slot = around.slot(index);
            match slot.filter(|_| variable.2.path.is_empty()) {
                Some(slot) => (Root::Local(slot), variable.1.clone()),
                None => (
                    Root::Value(around.expression(root_expr)?),
                    residue::operand(),
                ),
            }
        }
        _ => (
            Root::Value(around.expression(root_expr)?),
            residue::operand(),
        ),
    };
    let root_position = root_expr.position();
    let mut links = Vec::with_capacity(parts.len());
    let mut from = 0;
    for (number, part) in parts.iter().enumerate() {
        let following = &parts[number..];
        let to = from + values(part);
        let is_read_on = assignment.is_none()
            && following[1..]
                .iter()
                .all(|part| !matches!(part.what, Expr::MethodCall(..)));
        let count = following.iter().map(values).sum::<usize>();
        let written = usize::from(assignment.is_some());
        let mut given = Given::new(1 + count + written, name.clone());
        let root = given.next(root_position);
        let mut rest = rewritten(following, root, &mut given);
        // The root, and the arguments once more.
        let mut extra = 1 + operations(following);
        match assignment {
            Some(info) => {
                let value = given.next(Position::NONE);
                rest = residue::assignment(info, rest, value);
                extra += 2;
            }
            None => extra += 1,
        }
        links.push(Link {
            kind: kind(around, part)?,
            is_optional: part.joint.options().intersects(ASTFlags::NEGATED),
            from,
            to,
            is_read_on,
            rest: given.residue(rest, extra),
        });
        from = to;
    }
    let in_place = in_place(&root, &steps, &links);
    Ok(Chain {
        root,
        root_position,
        steps: steps.into(),
        links: links.into(),
        in_place,
        position,
    })
}

/// Operations of a chain of properties and elements: its own, those of its steps, one for the root
/// and one for each link.
fn in_place(root: &Root, steps: &[Step], links: &[Link]) -> Option<u32> {
    let is_at_hand = |link: &Link| !link.is_optional && !matches!(link.kind, LinkKind::Method(_));
    if matches!(root, Root::Value(_)) || !links.iter().all(is_at_hand) {
        return None;
    }
    let mut operations = 2 + links.len();
    for step in steps {
        operations += match step {
            Step::Literal(_) => 0,
            Step::Count(_) | Step::Value(Node::Literal(..) | Node::Local { .. }) => 1,
            Step::Value(_) => return None,
        };
    }
    u32::try_from(operations).ok()
}

/// Values that a part takes.
fn values(part: &Part) -> usize {
    match part.what {
        _ if is_index(part.joint) => 1,
        Expr::MethodCall(call, _) => call.args.len(),
        _ => 0,
    }
}

fn kind(around: &mut impl Around, part: &Part) -> Translated<LinkKind> {
    Ok(match part.what {
        _ if is_index(part.joint) => LinkKind::Index,
        Expr::Property(property, position) => {
            let ((getter, _), (setter, _), name) = &**property;
            LinkKind::Property(Box::new(Property {
                name: name.clone(),
                position: *position,
                getter: Site::new(getter.clone()),
                setter: Site::new(setter.clone()),
            }))
        }
        Expr::MethodCall(call, position) => {
            // It asks about the root itself, not about what is in it.
            if call.name == "is_shared" {
                return no("is_shared", *position);
            }
            LinkKind::Method(Box::new(Method {
                site: Site::new(call.name.clone()),
                position: *position,
                is_native: around.is_native(call),
                own: around.own(call),
            }))
        }
        other => return no("a chain", other.position()),
    })
}

/// The evaluation of all arguments, as Rhai counts it.
fn steps(around: &mut impl Around, parts: &[Part]) -> Translated<Vec<Step>> {
    let mut steps = Vec::new();
    let (Some(first), true) = (parts.first(), !parts.is_empty()) else {
        return Ok(steps);
    };
    if parts.len() == 1 {
        match first.what {
            Expr::Property(..) if !is_index(first.joint) => return Ok(steps),
            Expr::MethodCall(call, _) if !is_index(first.joint) && call.args.is_empty() => {
                return Ok(steps);
            }
            what if is_index(first.joint) => {
                if let Some(literal) = what.get_literal_value(None) {
                    steps.push(Step::Literal(literal));
                    return Ok(steps);
                }
            }
            _ => {}
        }
    }
    for part in parts {
        let Some((_, right)) = sides(part.joint) else {
            continue;
        };
        steps.push(Step::Count(right.position()));
        match part.what {
            what if is_index(part.joint) => steps.push(Step::Value(around.expression(what)?)),
            Expr::MethodCall(call, _) => {
                for arg in &call.args {
                    steps.push(Step::Value(around.argument(arg)?));
                }
            }
            _ => {}
        }
    }
    Ok(steps)
}

/// Operations that Rhai counts for the arguments of a chain whose arguments are variables.
fn operations(parts: &[Part]) -> usize {
    let all = parts.iter().map(|part| 1 + values(part)).sum();
    match parts {
        [only] if !is_index(only.joint) && values(only) == 0 => 0,
        _ => all,
    }
}

/// A chain of these parts from another root, with other arguments.
fn rewritten(parts: &[Part], root: Expr, given: &mut Given) -> Expr {
    let Some((part, following)) = parts.split_first() else {
        return root;
    };
    let what = match part.what {
        what if is_index(part.joint) => given.next(what.start_position()),
        Expr::MethodCall(call, position) => {
            let args: Vec<_> = call
                .args
                .iter()
                .map(|arg| given.next(arg.position()))
                .collect();
            Expr::MethodCall(residue::call(call, args), *position)
        }
        what => what.clone(),
    };
    let right = rewritten(following, what, given);
    residue::link(part.joint, root, right)
}
