//! Values that are looked at where they are, and not copied for it; and changed there.
//!
//! They are those of constants, of variables, and of properties and elements in variables and in
//! `this`. Nothing that a script can tell of happens on the way to one.

use rhai::{Dynamic, ImmutableString, Map, Position};

use super::node::{Chain, Change, Link, LinkKind, Node, Root, Statement, Step};
use super::run::{Outcome, Run, count};
use super::values::{place, writable};
use crate::machine::meter;

/// Where something is assigned to.
enum Target<'a> {
    /// A property or an element that is there.
    Item(&'a mut Dynamic),
    /// A property that is not there.
    Absent(&'a mut Map, &'a ImmutableString),
}

impl Run<'_> {
    /// Looks at the value of a node that has one [in its place](Node::in_place). `None` if it has
    /// none there. Nothing is counted.
    #[inline]
    pub(super) fn in_place<R>(&self, node: &Node, look: impl FnOnce(&Dynamic) -> R) -> Option<R> {
        match node {
            Node::Literal(value, _) => Some(look(value)),
            Node::Local { slot, .. } => {
                let local = &self.slots[*slot];
                (!local.is_shared()).then(|| look(local))
            }
            Node::Block(block, _) => match block.only()? {
                Node::Block(..) => None,
                inner => self.in_place_inside(inner, look),
            },
            other => self.in_place_inside(other, look),
        }
    }

    fn in_place_inside<R>(&self, node: &Node, look: impl FnOnce(&Dynamic) -> R) -> Option<R> {
        match node {
            Node::Literal(value, _) => Some(look(value)),
            Node::Local { slot, .. } => {
                let local = &self.slots[*slot];
                (!local.is_shared()).then(|| look(local))
            }
            Node::Chain(chain) => {
                let root = match chain.root {
                    Root::Local(slot) => &self.slots[slot],
                    Root::This => self.this.as_deref()?,
                    Root::Value(_) => return None,
                };
                let (slots, steps) = (&*self.slots, &*chain.steps);
                if !root.is_shared() {
                    return walk(slots, steps, &chain.links, root, look);
                }
                let inner = root.read_lock::<Dynamic>()?;
                walk(slots, steps, &chain.links, &inner, look)
            }
            _ => None,
        }
    }

    /// Assigns to a property or an element, if it can be changed in its place. If not, `None`:
    /// nothing was done then, nothing is counted, and the value is still there.
    pub(super) fn assign_in_place(
        &mut self,
        chain: &Chain,
        value: &mut Dynamic,
        change: &Change,
    ) -> Option<Outcome<()>> {
        // The chain is no expression of its own.
        let operations = chain.in_place?.checked_sub(1)?;
        let count = || match meter::tick_at_once(operations) {
            true => Ok(()),
            false => count_links(chain),
        };
        let assign = |target: Target| {
            let item = match target {
                Target::Item(item) => item,
                Target::Absent(map, name) => {
                    return change.is_plain.then(|| {
                        count()?;
                        map.insert(name.as_str().into(), writable(value.take()));
                        Ok(())
                    });
                }
            };
            if item.is_shared() || item.is_read_only() {
                return None;
            }
            if change.is_plain {
                return Some(count().map(|()| *item = writable(value.take())));
            }
            let operator = change.operator?;
            if let Err(error) = count() {
                return Some(Err(error));
            }
            let done = operator.change(item, value, change.position);
            if done.is_none() {
                meter::forgive(operations);
            }
            done
        };
        match chain.root {
            Root::Local(slot) => {
                let mut root = self.slots[slot].take();
                let done = reach(self.slots, chain, &mut root, assign);
                self.slots[slot] = root;
                done
            }
            Root::This => reach(self.slots, chain, self.this.as_deref_mut()?, assign),
            Root::Value(_) => None,
        }
    }

    /// Counts what it is to look at these nodes one after the other, so many operations.
    #[inline]
    pub(super) fn count_all(&self, nodes: &[&Node], operations: u32) -> Outcome<()> {
        if meter::tick_at_once(operations) {
            return Ok(());
        }
        nodes.iter().try_for_each(|node| count_one_by_one(node))
    }
}

/// Goes on to the value at a chain's end.
fn walk<R>(
    slots: &[Dynamic],
    steps: &[Step],
    links: &[Link],
    value: &Dynamic,
    look: impl FnOnce(&Dynamic) -> R,
) -> Option<R> {
    let Some((link, following)) = links.split_first() else {
        return Some(look(value));
    };
    match &link.kind {
        LinkKind::Property(property) => {
            let map = value.as_map_ref().ok()?;
            match map.get(property.name.as_str()) {
                Some(item) if !item.is_shared() => walk(slots, steps, following, item, look),
                None if following.is_empty() => Some(look(&Dynamic::UNIT)),
                _ => None,
            }
        }
        LinkKind::Index => {
            let index = index(slots, steps, link)?;
            if value.is_array() {
                let array = value.as_array_ref().ok()?;
                let item = array.get(place(array.len(), index.as_int().ok()?)?)?;
                return match item.is_shared() {
                    true => None,
                    false => walk(slots, steps, following, item, look),
                };
            }
            let map = value.as_map_ref().ok()?;
            let item = map.get(index.as_immutable_string_ref().ok()?.as_str())?;
            match item.is_shared() {
                true => None,
                false => walk(slots, steps, following, item, look),
            }
        }
        LinkKind::Method(_) => None,
    }
}

/// Goes on from a root that may be shared.
fn reach<R>(
    slots: &[Dynamic],
    chain: &Chain,
    root: &mut Dynamic,
    act: impl FnOnce(Target) -> Option<R>,
) -> Option<R> {
    if !root.is_shared() {
        return last(slots, &chain.steps, &chain.links, root, act);
    }
    let mut inner = root.write_lock::<Dynamic>()?;
    last(slots, &chain.steps, &chain.links, &mut inner, act)
}

/// Goes on to what is assigned to at a chain's end.
fn last<R>(
    slots: &[Dynamic],
    steps: &[Step],
    links: &[Link],
    target: &mut Dynamic,
    act: impl FnOnce(Target) -> Option<R>,
) -> Option<R> {
    let (link, following) = links.split_first()?;
    match &link.kind {
        LinkKind::Property(property) => {
            let mut map = target.as_map_mut().ok()?;
            match map.get_mut(property.name.as_str()) {
                Some(item) => last_of(slots, steps, following, item, act),
                None if following.is_empty() => act(Target::Absent(&mut map, &property.name)),
                None => None,
            }
        }
        LinkKind::Index => {
            let index = index(slots, steps, link)?;
            if target.is_array() {
                let mut array = target.as_array_mut().ok()?;
                let place = place(array.len(), index.as_int().ok()?)?;
                return last_of(slots, steps, following, array.get_mut(place)?, act);
            }
            let mut map = target.as_map_mut().ok()?;
            let item = map.get_mut(index.as_immutable_string_ref().ok()?.as_str())?;
            last_of(slots, steps, following, item, act)
        }
        LinkKind::Method(_) => None,
    }
}

/// Does it with an item, or goes on in it.
fn last_of<R>(
    slots: &[Dynamic],
    steps: &[Step],
    following: &[Link],
    item: &mut Dynamic,
    act: impl FnOnce(Target) -> Option<R>,
) -> Option<R> {
    match following.is_empty() {
        true => act(Target::Item(item)),
        false if item.is_shared() => None,
        false => last(slots, steps, following, item, act),
    }
}

/// The value of an index that is a constant or a variable.
fn index<'a>(slots: &'a [Dynamic], steps: &'a [Step], link: &Link) -> Option<&'a Dynamic> {
    let mut values = steps.iter().filter(|step| !matches!(step, Step::Count(_)));
    match values.nth(link.from)? {
        Step::Literal(value) | Step::Value(Node::Literal(value, _)) => Some(value),
        Step::Value(Node::Local { slot, .. }) => {
            let local = &slots[*slot];
            (!local.is_shared()).then_some(local)
        }
        Step::Value(_) | Step::Count(_) => None,
    }
}

/// Counts what it is to look at a node.
#[cold]
fn count_one_by_one(node: &Node) -> Outcome<()> {
    match node {
        Node::Literal(_, position) | Node::Local { position, .. } => count(*position),
        Node::Block(block, position) => {
            count(*position)?;
            for statement in &block.statements {
                if let Statement::Value(node, position) = statement {
                    count(*position)?;
                    count_one_by_one(node)?;
                }
            }
            Ok(())
        }
        Node::Chain(chain) => {
            count(chain.position)?;
            count_links(chain)
        }
        _ => Ok(()),
    }
}

/// Counts what it is to go through a chain.
#[cold]
fn count_links(chain: &Chain) -> Outcome<()> {
    for step in &chain.steps {
        match step {
            Step::Count(position) => count(*position)?,
            Step::Value(node) => count_one_by_one(node)?,
            Step::Literal(_) => {}
        }
    }
    count(chain.root_position)?;
    for _ in &chain.links {
        count(Position::NONE)?;
    }
    Ok(())
}
