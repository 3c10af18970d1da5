//! A connection's `this`, and the bounds on it.
//!
//! It is one shared value for as long as it has properties, so that a hook that waits for a message
//! and one that runs meanwhile see the same. Freeing nested data recurses, so data that grew one
//! level deeper with every message would one day end the process.
//!
//! That of a connection with which little happens is [packed] between two hooks.

use std::cell::Cell;

use rhai::{Dynamic, FnPtr, Map};

use super::Limits;
use super::dialed::Lines;
use super::hooks::Hook;
use super::packed;
use crate::local::Slot;

/// Operations after which it is looked at: fewer cannot nest more than a stack can free many times
/// over.
const INTERVAL: u16 = 10_000;
/// Bytes of messages, and of what a hook holds more than before, that count as one operation: what
/// is kept of them grows the state, too.
const BYTES: usize = 64;
/// Hooks in some seconds from which on it is not packed between them any more, but when nothing has
/// happened for some seconds. Connections that open, and those that speak now and then, leave no
/// maps behind so, between which there would be pages that others cannot use.
const BUSY: u8 = 4;
/// Bytes that a value is taken for, beside those of its text.
const VALUE: usize = 32;

/// A connection's `this`, and what its hooks have done since it was looked at. Small, since every
/// connection has one.
#[derive(Default)]
pub struct State {
    /// Shared; `()` for an object map without properties; a blob for one that is packed.
    value: Slot<Dynamic>,
    /// Operations, and bytes as operations: less than `INTERVAL`.
    charge: Cell<u16>,
    /// A hook that waits for a message goes on with it.
    is_held: Cell<bool>,
    /// Hooks that have had it since somebody [asked](Self::was_used).
    uses: Cell<u8>,
    /// The version of the handler that served it last, as far as the bits go; 0 before the first.
    served_by: Cell<u32>,
    /// What it has dialed, if it has.
    lines: Slot<Option<Box<Lines>>>,
}

impl State {
    /// One that begins as this map.
    pub fn of(value: Dynamic) -> Self {
        let value = match value.is_map() {
            true => value,
            false => Dynamic::from_map(Map::new()),
        };
        Self {
            value: Slot::new(value.into_shared()),
            ..Self::default()
        }
    }

    /// Looks at the value; `()` for one without properties.
    pub fn look<R>(&self, look: impl FnOnce(&Dynamic) -> R) -> R {
        self.value.look(|value| match unpacked(value) {
            Some(value) => look(&value),
            None => look(value),
        })
    }

    /// Whether it might be [packed](Self::pack).
    pub fn may_rest(&self) -> bool {
        !self.is_held() && self.value.look(|value| value.is_shared())
    }

    /// Whether a hook has had it since the last time that this was asked.
    pub fn was_used(&self) -> bool {
        self.uses.take() > 0
    }

    /// Keeps it in a small form until the next hook, if all of it is plain. To be called while no
    /// hook runs or waits: nobody else refers to it then.
    pub fn pack(&self) {
        if !self.is_held() {
            self.value.look(pack);
        }
    }

    /// For a hook's call: the value, which stays here as well. An empty one is taken from `spare`.
    pub fn lend(&self, spare: impl FnOnce() -> Dynamic) -> Dynamic {
        self.uses.set(self.uses.get().saturating_add(1));
        self.value.look(|value| {
            if value.is_unit() {
                *value = spare();
            } else if let Some(unpacked) = unpacked(value) {
                *value = unpacked;
            }
            value.clone()
        })
    }

    /// No hook uses it for now. An empty one is given back, since most connections need none while
    /// they are idle; another one is packed, unless hooks come one behind the other.
    pub fn put_away(&self) -> Option<Dynamic> {
        let is_held = self.is_held();
        self.value.look(|value| {
            if is_held || !value.is_shared() {
                return None;
            }
            if is_empty(value) {
                return Some(std::mem::take(value));
            }
            if self.uses.get() < BUSY {
                pack(value);
            }
            None
        })
    }

    /// Whether a hook waits for a message.
    pub fn is_held(&self) -> bool {
        self.is_held.get()
    }

    /// A hook begins to wait for a message, or does so no more.
    pub fn hold(&self, begins: bool) {
        self.is_held.set(begins);
    }

    /// All of it, for the next owner.
    pub fn take(&self) -> Self {
        Self {
            value: Slot::new(self.value.take()),
            charge: Cell::new(self.charge.take()),
            is_held: Cell::default(),
            uses: Cell::default(),
            served_by: Cell::new(self.served_by.take()),
            lines: Slot::new(self.lines.take()),
        }
    }

    /// Looks at what it has dialed, from the first time on.
    pub fn lines<R>(&self, look: impl FnOnce(&mut Lines) -> R) -> R {
        self.lines.look(|lines| look(lines.get_or_insert_default()))
    }

    /// Looks at what it has dialed, if it has.
    pub fn dialed<R>(&self, look: impl FnOnce(&mut Lines) -> R) -> Option<R> {
        self.lines.look(|lines| lines.as_deref_mut().map(look))
    }

    /// This version serves from now on, unless another one did before.
    pub fn begin(&self, version: u64) {
        if self.served_by.get() == 0 {
            self.served_by.set(version as u32);
        }
    }

    /// This version runs a hook; whether it is the first one that it runs after those of another
    /// version.
    pub fn is_served_anew(&self, version: u64, hook: Hook) -> bool {
        let version = version as u32;
        let before = self.served_by.replace(version);
        before != 0 && before != version && hook.follows_reloads()
    }

    /// Whether freeing it can recurse.
    pub fn nests(&self) -> bool {
        self.value
            .look(|value| value.is_shared() && !is_empty(value))
    }

    /// Counts operations, and bytes that may have been kept: those of a message, and what the hook
    /// has come to hold. `false` if the state is beyond its bounds, which is looked at now and
    /// then.
    pub fn is_within(&self, operations: u32, bytes: usize, limits: &Limits) -> bool {
        let charge = u32::from(self.charge.get())
            .saturating_add(operations)
            .saturating_add(worth(bytes));
        if charge < u32::from(INTERVAL) {
            self.charge.set(charge as u16);
            return true;
        }
        self.charge.set(0);
        self.value
            .look(|value| Allowance(limits.state).fits(value, limits.depth))
    }

    /// Empties it, also of a value that refers to it. On a fiber, since that may recurse deeply.
    pub fn clear(&self) {
        let mut shared = self.value.take();
        if let Some(mut value) = shared.write_lock::<Dynamic>() {
            *value = Dynamic::from_map(Map::new());
        }
        self.value.set(shared);
    }
}

impl std::fmt::Debug for State {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("State").finish_non_exhaustive()
    }
}

/// Packs a shared map, if all of it is plain.
fn pack(value: &mut Dynamic) {
    let packed = value.read_lock::<Map>().and_then(|map| packed::pack(&map));
    if let Some(packed) = packed {
        *value = Dynamic::from_blob(packed);
    }
}

/// A packed value as it was.
fn unpacked(value: &Dynamic) -> Option<Dynamic> {
    if value.is_shared() || value.is_unit() {
        return None;
    }
    let map = packed::unpack(&value.as_blob_ref().ok()?)?;
    Some(Dynamic::from_map(map).into_shared())
}

fn is_empty(value: &Dynamic) -> bool {
    value.read_lock::<Map>().is_some_and(|map| map.is_empty())
}

/// A new `this`.
pub fn new() -> Dynamic {
    Dynamic::from_map(Map::new()).into_shared()
}

/// So many bytes as operations.
fn worth(bytes: usize) -> u32 {
    u32::try_from(bytes / BYTES).unwrap_or(u32::MAX)
}

/// Bytes that a look may still come across.
struct Allowance(usize);

impl Allowance {
    fn fits(&mut self, value: &Dynamic, depth: usize) -> bool {
        if let Ok(map) = value.as_map_ref() {
            map.iter()
                .all(|(key, inside)| self.takes(key.len()) && self.fits_inside(inside, depth))
        } else if let Ok(array) = value.as_array_ref() {
            array.iter().all(|inside| self.fits_inside(inside, depth))
        } else if let Some(function) = value.read_lock::<FnPtr>() {
            function
                .iter_curry()
                .all(|inside| self.fits_inside(inside, depth))
        } else {
            let bytes = match (value.as_immutable_string_ref(), value.as_blob_ref()) {
                (Ok(text), _) => text.len(),
                (_, Ok(blob)) => blob.len(),
                _ => 0,
            };
            self.takes(bytes)
        }
    }

    fn fits_inside(&mut self, value: &Dynamic, depth: usize) -> bool {
        depth > 0 && self.takes(VALUE) && self.fits(value, depth - 1)
    }

    fn takes(&mut self, bytes: usize) -> bool {
        self.0 = self.0.saturating_sub(bytes);
        self.0 > 0
    }
}

#[cfg(test)]
mod tests {
    use rhai::Array;

    use super::*;
    use crate::config::limits::SCRIPT;

    fn nested(levels: usize) -> Dynamic {
        (0..levels).fold(Dynamic::from(1_i64), |inside, level| {
            if level % 2 == 0 {
                Dynamic::from_array(Array::from([inside]))
            } else {
                Dynamic::from_map(Map::from([("inside".into(), inside)]))
            }
        })
    }

    fn state(value: Dynamic) -> State {
        State {
            value: Slot::new(value),
            ..State::default()
        }
    }

    #[test]
    fn depth_is_bounded_and_looked_at_now_and_then() {
        assert!(state(nested(64)).is_within(INTERVAL.into(), 0, &SCRIPT));
        let deep = state(nested(65));
        assert!(deep.is_within(u32::from(INTERVAL) - 1, 0, &SCRIPT));
        assert!(!deep.is_within(1, 0, &SCRIPT));
    }

    #[test]
    fn values_in_ever_new_combinations_are_not_followed_for_ever() {
        let mut value = Dynamic::from(1_i64).into_shared();
        for _ in 0..60 {
            value = Dynamic::from_array(Array::from([value.clone(), value])).into_shared();
        }
        assert!(!state(value).is_within(INTERVAL.into(), 0, &SCRIPT));
    }

    #[test]
    fn bytes_are_bounded_and_what_may_have_been_kept_brings_a_look() {
        let half = Dynamic::from("x".repeat(SCRIPT.state / 2));
        let both = state(Dynamic::from_array(Array::from([half.clone(), half])));
        assert!(both.is_within(1, 0, &SCRIPT));
        assert!(!both.is_within(1, SCRIPT.state, &SCRIPT));
    }

    #[test]
    fn keys_count() {
        let long = "k".repeat(SCRIPT.state);
        let map = Map::from([(long.as_str().into(), Dynamic::UNIT)]);
        assert!(!state(map.into()).is_within(INTERVAL.into(), 0, &SCRIPT));
    }
}
