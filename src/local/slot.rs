//! A slot: a value that is taken out to be looked at, and put back.

use std::cell::Cell;
use std::fmt;

/// A value that whoever has a reference to it may change, without the count of borrows that a
/// `RefCell` keeps.
///
/// While it is looked at the slot is empty: a second look from inside of one would see nothing, and
/// what it left there would be lost. Debug builds refuse that.
#[derive(Default)]
pub struct Slot<T> {
    value: Cell<T>,
    #[cfg(debug_assertions)]
    is_empty: Cell<bool>,
}

impl<T: Default> Slot<T> {
    /// A slot with a value in it.
    pub fn new(value: T) -> Self {
        Self {
            value: Cell::new(value),
            #[cfg(debug_assertions)]
            is_empty: Cell::new(false),
        }
    }

    /// Looks at the value, and may change it.
    #[inline]
    pub fn look<R>(&self, at: impl FnOnce(&mut T) -> R) -> R {
        #[cfg(debug_assertions)]
        assert!(!self.is_empty.replace(true), "a look inside of a look");
        let mut look = Restore {
            slot: self,
            value: self.value.take(),
        };
        at(&mut look.value)
    }

    /// Takes the value for good.
    #[inline]
    pub fn take(&self) -> T {
        self.look(std::mem::take)
    }

    /// Puts another value in.
    #[inline]
    pub fn set(&self, value: T) {
        self.look(|old| *old = value);
    }
}

/// The value while it is out.
struct Restore<'s, T: Default> {
    slot: &'s Slot<T>,
    value: T,
}

impl<T: Default> Drop for Restore<'_, T> {
    /// Puts it back, after a panic as well.
    #[inline]
    fn drop(&mut self) {
        self.slot.value.set(std::mem::take(&mut self.value));
        #[cfg(debug_assertions)]
        self.slot.is_empty.set(false);
    }
}

impl<T> fmt::Debug for Slot<T> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Slot").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    #[test]
    fn what_is_looked_at_is_put_back() {
        let slot = Slot::new(vec![1]);
        assert_eq!(slot.look(|value| std::mem::replace(value, vec![2])), [1]);
        let looked = catch_unwind(AssertUnwindSafe(|| {
            slot.look(|value| {
                value.push(3);
                panic!("in the middle of it");
            });
        }));
        assert!(looked.is_err());
        assert_eq!(slot.take(), [2, 3]);
        assert_eq!(slot.take(), [0; 0]);
    }

    #[test]
    #[cfg(debug_assertions)]
    #[should_panic(expected = "a look inside of a look")]
    fn a_second_look_is_refused() {
        let slot = Slot::new(1);
        slot.look(|_| slot.take());
    }
}
