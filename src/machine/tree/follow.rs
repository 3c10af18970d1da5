//! Chains: from link to link, in place.
//!
//! Properties and elements of maps and arrays that are there, and native functions that have been
//! called before, are this module's; at every other link Rhai goes on with the rest of the chain.

use std::mem;

use rhai::{Dynamic, EvalAltResult, FnArgsVec, Map, Position};

use super::node::{Chain, Change, Link, LinkKind, Method, Property, Root, Step};
use super::run::{Outcome, Run, types};
use super::values::{place, writable};
use crate::machine::meter;

/// What is assigned at a chain's end.
type New<'a> = Option<(Dynamic, &'a Change)>;

impl Run<'_> {
    /// Evaluates a chain, or assigns to it.
    pub(super) fn chain(&mut self, chain: &Chain, new: New) -> Outcome {
        let mut values = FnArgsVec::<Dynamic>::new();
        for step in &chain.steps {
            match step {
                Step::Count(position) => self.count(*position)?,
                Step::Literal(value) => values.push(value.clone()),
                Step::Value(node) => {
                    let value = self.eval(node)?;
                    values.push(value.flatten());
                }
            }
        }
        match &chain.root {
            Root::This => {
                self.count(chain.root_position)?;
                let mut this = self.lent(chain.root_position)?;
                let outcome = self.unlocked(&chain.links, &mut this, &mut values, new);
                self.give_back(this);
                outcome
            }
            Root::Local(slot) => {
                self.count(chain.root_position)?;
                let mut root = self.slots[*slot].take();
                let outcome = self.unlocked(&chain.links, &mut root, &mut values, new);
                self.slots[*slot] = root;
                outcome
            }
            Root::Value(node) => {
                let mut root = self.eval(node)?.flatten();
                self.follow(&chain.links, &mut root, &mut values, new)
            }
        }
    }

    /// Goes on with what a shared value holds.
    fn unlocked(
        &mut self,
        links: &[Link],
        root: &mut Dynamic,
        values: &mut [Dynamic],
        new: New,
    ) -> Outcome {
        if !root.is_shared() {
            return self.follow(links, root, values, new);
        }
        match root.write_lock::<Dynamic>() {
            Some(mut inner) => self.follow(links, &mut inner, values, new),
            None => Err(EvalAltResult::ErrorDataRace(String::new(), Position::NONE).into()),
        }
    }

    fn follow(
        &mut self,
        links: &[Link],
        target: &mut Dynamic,
        values: &mut [Dynamic],
        new: New,
    ) -> Outcome {
        let Some((link, following)) = links.split_first() else {
            return Ok(Dynamic::UNIT);
        };
        if link.is_optional && target.is_unit() {
            return Ok(Dynamic::UNIT);
        }
        match &link.kind {
            LinkKind::Property(property) if target.is_map() => {
                let name = property.name.as_str();
                let reached = match target.as_map_mut() {
                    Ok(mut map) => self.member(&mut map, name, following, values, new)?,
                    Err(_) => Reached::Not(new),
                };
                match reached {
                    Reached::Done(value) => Ok(value),
                    Reached::Not(new) => self.elsewhere(link, target, values, new),
                }
            }
            LinkKind::Property(property) => {
                self.property(link, property, following, target, values, new)
            }
            LinkKind::Index => {
                let reached = self.element(link, following, target, values, new)?;
                match reached {
                    Reached::Done(value) => Ok(value),
                    Reached::Not(new) => self.elsewhere(link, target, values, new),
                }
            }
            LinkKind::Method(method) => self.method(link, method, following, target, values, new),
        }
    }

    /// A property of a map.
    fn member<'n>(
        &mut self,
        map: &mut Map,
        name: &str,
        following: &[Link],
        values: &mut [Dynamic],
        new: New<'n>,
    ) -> Outcome<Reached<'n>> {
        match map.get_mut(name) {
            Some(item) if !item.is_shared() => self.item(following, item, values, new),
            Some(_) => Ok(Reached::Not(new)),
            None if !following.is_empty() => Ok(Reached::Not(new)),
            None => match new {
                None => {
                    self.count(Position::NONE)?;
                    Ok(Reached::Done(Dynamic::UNIT))
                }
                Some((value, change)) if change.is_plain => {
                    self.count(Position::NONE)?;
                    map.insert(name.into(), writable(value));
                    Ok(Reached::Done(Dynamic::UNIT))
                }
                new => Ok(Reached::Not(new)),
            },
        }
    }

    /// An element of an array or a map, if it is there.
    fn element<'n>(
        &mut self,
        link: &Link,
        following: &[Link],
        target: &mut Dynamic,
        values: &mut [Dynamic],
        new: New<'n>,
    ) -> Outcome<Reached<'n>> {
        let index = &values[link.from];
        if target.is_array()
            && let Ok(number) = index.as_int()
            && let Ok(mut array) = target.as_array_mut()
            && let Some(place) = place(array.len(), number)
            && let Some(item) = array.get_mut(place)
            && !item.is_shared()
        {
            return self.item(following, item, values, new);
        }
        if target.is_map()
            && let Ok(name) = index.clone().into_immutable_string()
            && let Ok(mut map) = target.as_map_mut()
            && let Some(item) = map.get_mut(name.as_str())
            && !item.is_shared()
        {
            return self.item(following, item, values, new);
        }
        Ok(Reached::Not(new))
    }

    /// An item of a map or an array, which is there.
    fn item<'n>(
        &mut self,
        following: &[Link],
        item: &mut Dynamic,
        values: &mut [Dynamic],
        new: New<'n>,
    ) -> Outcome<Reached<'n>> {
        if !following.is_empty() {
            self.count(Position::NONE)?;
            return self.follow(following, item, values, new).map(Reached::Done);
        }
        let Some((value, change)) = new else {
            self.count(Position::NONE)?;
            return Ok(Reached::Done(item.clone()));
        };
        if item.is_read_only() {
            return Ok(Reached::Not(Some((value, change))));
        }
        if change.is_plain {
            self.count(Position::NONE)?;
            *item = writable(value);
            return Ok(Reached::Done(Dynamic::UNIT));
        }
        let Some(operator) = change.operator else {
            return Ok(Reached::Not(Some((value, change))));
        };
        self.count(Position::NONE)?;
        match operator.change(item, &value, change.position) {
            Some(done) => done.map(|()| Reached::Done(Dynamic::UNIT)),
            None => {
                meter::forgive(1);
                Ok(Reached::Not(Some((value, change))))
            }
        }
    }

    /// A property of what is no map.
    fn property(
        &mut self,
        link: &Link,
        property: &Property,
        following: &[Link],
        target: &mut Dynamic,
        values: &mut [Dynamic],
        new: New,
    ) -> Outcome {
        if let Some((mut value, change)) = new {
            if !following.is_empty() || !change.is_plain {
                return self.elsewhere(link, target, values, Some((value, change)));
            }
            let setter = &property.setter;
            let known = setter.find(target, std::slice::from_ref(&value));
            let Some(known) = known else {
                let types = types(setter, Some(target), std::slice::from_ref(&value));
                let outcome = self.elsewhere(link, target, values, Some((value, change)));
                self.learn(setter, types);
                return outcome;
            };
            let value = std::slice::from_mut(&mut value);
            let first = Some((target, true));
            return self.native(setter, &known, first, value, property.position);
        }
        if !link.is_read_on {
            return self.elsewhere(link, target, values, None);
        }
        let getter = &property.getter;
        let Some(known) = getter.find(target, &[]) else {
            let types = types(getter, Some(target), &[]);
            let outcome = self.elsewhere(link, target, values, None);
            self.learn(getter, types);
            return outcome;
        };
        let first = Some((target, true));
        let value = self.native(getter, &known, first, &mut [], property.position)?;
        self.go_on(following, value, values)
    }

    fn method(
        &mut self,
        link: &Link,
        method: &Method,
        following: &[Link],
        target: &mut Dynamic,
        values: &mut [Dynamic],
        new: New,
    ) -> Outcome {
        let site = &method.site;
        let is_member = target.is_map()
            && target.as_map_ref().is_ok_and(|map| {
                let member = map.get(site.name.as_str());
                member.is_some_and(Dynamic::is_fnptr)
            });
        if let Some(number) = method.own
            && self.functions.is_translated(number)
            && !is_member
            && new.is_none()
        {
            let args = values[link.from..link.to].iter_mut().map(mem::take);
            let value = self.enter(number, Some(target), args, method.position)?;
            return self.go_on(following, value, values);
        }
        if !method.is_native || is_member || new.is_some() {
            return self.elsewhere(link, target, values, new);
        }
        let args = &mut values[link.from..link.to];
        let Some(known) = site.find(target, args) else {
            let types = types(site, Some(target), args);
            let outcome = self.elsewhere(link, target, values, None);
            self.learn(site, types);
            return outcome;
        };
        self.global.level += 1;
        let first = Some((target, true));
        let outcome = self.native(site, &known, first, args, method.position);
        self.global.level -= 1;
        self.go_on(following, outcome?, values)
    }

    /// Goes on from a value that belongs to nothing.
    fn go_on(&mut self, following: &[Link], value: Dynamic, values: &mut [Dynamic]) -> Outcome {
        if following.is_empty() {
            return Ok(value);
        }
        let mut value = value;
        self.unlocked(following, &mut value, values, None)
    }

    /// Has Rhai go on.
    fn elsewhere(
        &mut self,
        link: &Link,
        target: &mut Dynamic,
        values: &mut [Dynamic],
        new: New,
    ) -> Outcome {
        let values = values[link.from..].iter_mut().map(mem::take);
        let new = new.map(|(value, _)| value);
        let values: FnArgsVec<_> = values.chain(new).collect();
        self.residue(&link.rest, Some(target), values)
    }
}

/// Whether an item was dealt with.
enum Reached<'n> {
    /// It was; what that gives.
    Done(Dynamic),
    /// It was not, and nothing was done; what is to be assigned to it.
    Not(New<'n>),
}
