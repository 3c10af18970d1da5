//! Why no script overflows a stack, which would end the process.
//!
//! Two things recurse on a fiber's stack. Calls and expressions inside each other end at Rhai's own
//! bounds. Nested data is copied, compared, shown and freed by recursion, a level at a time, and
//! Rhai bounds neither how deep a script nests it nor who frees it. But every level has a block of
//! memory of its own, each block counts [`BLOCK`](super::heap::BLOCK) bytes beside its size, and a
//! run ends when it holds more than its budget: so a budget is a bound on levels, too. What a
//! connection keeps in `this` is held to a depth of its own, but looked at only now and then; a run
//! begins with less than another budget of levels there.
//!
//! Fibers share stacks, but not at the same time: whoever runs has the whole of one, with its guard
//! below.

use super::heap::BLOCK;
use crate::config::limits::SCRIPT;

/// Bytes of address space of a fiber's stack, and of threads that compile.
pub const STACK: usize = 256 * 1024 * 1024;

/// Bytes of stack that a level of nested data takes at most. Measured: 220 for closures in
/// closures, and up to 700 where the optimizer does nothing.
const LEVEL: usize = 1024;

/// Levels that a run's budget pays for.
const LEVELS: usize = SCRIPT.memory / BLOCK;

const _: () = assert!(
    2 * LEVELS * LEVEL < STACK,
    "a run can nest data so deep that freeing it overflows a fiber's stack"
);

#[cfg(test)]
mod tests {
    use rhai::{Dynamic, FnPtr, Map};

    use super::*;

    /// As deep as a budget pays for, freed on a stack that has no more than is reckoned with.
    #[test]
    fn no_level_takes_more_of_the_stack_than_is_reckoned() {
        let kinds: [fn(Dynamic) -> Dynamic; 4] = [
            |inner| vec![inner].into(),
            |inner| Map::from([("x".into(), inner)]).into(),
            |inner| Dynamic::from_array(vec![inner]).into_shared(),
            |inner| {
                let mut closure = FnPtr::new("f").expect("a name");
                closure.add_curry(inner);
                closure.into()
            },
        ];
        for kind in kinds {
            let free = move || {
                let nested = (0..LEVELS).fold(Dynamic::UNIT, |inner, _| kind(inner));
                drop(nested);
            };
            let thread = std::thread::Builder::new().stack_size(LEVELS * LEVEL);
            thread
                .spawn(free)
                .expect("a thread")
                .join()
                .expect("no panic");
        }
    }
}
