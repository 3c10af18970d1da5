//! A connection's `this` between hooks, and the bound on how deeply it nests.
//!
//! Freeing nested data recurses, so data that grew one level deeper with every message would one day end the process.

use rhai::{Dynamic, FnPtr};

/// Operations after which the depth is looked at: fewer cannot nest more than a stack can free many times over.
const INTERVAL: u32 = 10_000;
/// Values that are looked at; what has more of them in ever new combinations is as bad as deep.
const VALUES: usize = 1_000_000;

/// `this`, put away.
#[derive(Debug, Default)]
pub struct State {
    /// `()` for an object map without properties.
    pub value: Dynamic,
    /// Operations since its depth was looked at.
    operations: u32,
}

impl State {
    /// Counts a hook's operations; `false` if the state nests deeper than `depth`.
    pub fn is_within(&mut self, operations: u32, depth: usize) -> bool {
        self.operations = self.operations.saturating_add(operations);
        if self.value.is_unit() || self.operations < INTERVAL {
            return true;
        }
        self.operations = 0;
        let mut values = VALUES;
        is_shallow(&self.value, depth, &mut values)
    }

    /// Whether freeing it can recurse.
    pub fn nests(&self) -> bool {
        let is_empty_map = self.value.as_map_ref().is_ok_and(|map| map.is_empty());
        !self.value.is_unit() && !is_empty_map
    }
}

fn is_shallow(value: &Dynamic, depth: usize, values: &mut usize) -> bool {
    let mut is_inside = |inside: &Dynamic| {
        *values = values.saturating_sub(1);
        depth > 0 && *values > 0 && is_shallow(inside, depth - 1, values)
    };
    if let Ok(map) = value.as_map_ref() {
        map.values().all(is_inside)
    } else if let Ok(array) = value.as_array_ref() {
        array.iter().all(is_inside)
    } else if let Some(function) = value.read_lock::<FnPtr>() {
        function.iter_curry().all(&mut is_inside)
    } else {
        true
    }
}

#[cfg(test)]
mod tests {
    use rhai::{Array, Map};

    use super::*;

    fn nested(levels: usize) -> Dynamic {
        (0..levels).fold(Dynamic::from(1_i64), |inside, level| {
            if level % 2 == 0 {
                Dynamic::from_array(Array::from([inside]))
            } else {
                Dynamic::from_map(Map::from([("inside".into(), inside)]))
            }
        })
    }

    #[test]
    fn depth_is_bounded_and_looked_at_now_and_then() {
        let mut state = State {
            value: nested(64),
            operations: 0,
        };
        assert!(state.is_within(INTERVAL, 64));
        state.value = nested(65);
        assert!(state.is_within(INTERVAL - 1, 64));
        assert!(!state.is_within(1, 64));
    }

    #[test]
    fn values_in_ever_new_combinations_are_not_followed_for_ever() {
        let mut value = Dynamic::from(1_i64).into_shared();
        for _ in 0..60 {
            value = Dynamic::from_array(Array::from([value.clone(), value])).into_shared();
        }
        assert!(
            !State {
                value,
                operations: 0
            }
            .is_within(INTERVAL, 64)
        );
    }
}
