//! How an event gets to its readers.

use std::borrow::Borrow;

use super::event::Event;
use super::flood::Flood;
use super::{live, metrics};

impl Event<'_> {
    /// Tells all readers of it.
    pub(crate) fn tell(self) {
        metrics::count(&self);
        live::hear(&self);
        self.log();
    }

    /// The same, but for the log only if its kind is not a flood of lines.
    pub(crate) fn tell_within<K, Q>(self, flood: &mut Flood<K>, kind: &Q)
    where
        K: Ord + Borrow<Q>,
        Q: Ord + ToOwned<Owned = K> + ?Sized,
    {
        metrics::count(&self);
        if flood.admits(kind) {
            self.log();
        }
    }
}
