//! The open connections of a worker.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use super::handle::Handle;

/// A worker's connections by their numbers, each of which is given once in the life of the process:
/// a number means one connection, or none any more. A tree, because a table that has to grow holds
/// up all of its worker's connections.
#[derive(Debug, Default)]
pub struct Connections(RefCell<BTreeMap<u64, Rc<Handle>>>);

impl Connections {
    /// A connection begins.
    pub(crate) fn enter(&self, handle: &Rc<Handle>) {
        let before = self.0.borrow_mut().insert(handle.id(), Rc::clone(handle));
        debug_assert!(before.is_none(), "a number is given once");
    }

    /// A connection is over.
    pub(super) fn leave(&self, handle: &Handle) {
        self.0.borrow_mut().remove(&handle.id());
    }

    /// The connection of this number, if it is open.
    pub fn get(&self, id: u64) -> Option<Rc<Handle>> {
        self.0.borrow().get(&id).cloned()
    }

    /// All that are open now, the oldest first.
    pub fn all(&self) -> Vec<Rc<Handle>> {
        self.0.borrow().values().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::websocket::Outbox;

    #[test]
    fn a_number_finds_one_connection_for_as_long_as_that_is_open() {
        let connections = Connections::default();
        let open = [3, 7, 5].map(|id| {
            let handle = Handle::new(id, Outbox::default());
            connections.enter(&handle);
            handle
        });
        let ids = || Vec::from_iter(connections.all().iter().map(|handle| handle.id()));
        assert_eq!(ids(), [3, 5, 7]);
        let found = connections.get(7).expect("it is open");
        assert!(Rc::ptr_eq(&found, &open[1]));
        connections.leave(&found);
        assert!(connections.get(7).is_none());
        assert_eq!(ids(), [3, 5]);
    }
}
