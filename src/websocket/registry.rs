//! The open connections of a worker.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use super::handle::Handle;

/// Numbers of one page.
const PAGE: u64 = 256;

/// A worker's connections by their numbers, each of which is given once in the life of the process:
/// a number means one connection, or none any more.
///
/// Pages of connections with neighbouring numbers, in a tree. One table that has to grow would hold
/// up all of its worker's connections; a tree of single connections would take 42 bytes for each,
/// since numbers that rise leave its nodes half empty, where pages take 9.
#[derive(Debug, Default)]
pub struct Connections(RefCell<BTreeMap<u64, Vec<Rc<Handle>>>>);

impl Connections {
    /// A connection begins.
    pub(crate) fn enter(&self, handle: &Rc<Handle>) {
        let mut pages = self.0.borrow_mut();
        let page = pages.entry(handle.id() / PAGE).or_default();
        let place = place(page, handle.id());
        debug_assert!(place.is_err(), "a number is given once");
        page.insert(place.unwrap_or_else(|place| place), Rc::clone(handle));
    }

    /// A connection is over.
    pub(super) fn leave(&self, handle: &Handle) {
        let mut pages = self.0.borrow_mut();
        let Some(page) = pages.get_mut(&(handle.id() / PAGE)) else {
            return;
        };
        if let Ok(place) = place(page, handle.id()) {
            page.remove(place);
        }
        if page.is_empty() {
            pages.remove(&(handle.id() / PAGE));
        } else if page.len() <= page.capacity() / 4 {
            // A few that stay for days are not to keep the room of all that came with them.
            page.shrink_to(page.len() * 2);
        }
    }

    /// The connection of this number, if it is open.
    pub fn get(&self, id: u64) -> Option<Rc<Handle>> {
        let pages = self.0.borrow();
        let page = pages.get(&(id / PAGE))?;
        place(page, id).ok().map(|place| Rc::clone(&page[place]))
    }

    /// All that are open now, the oldest first.
    pub fn all(&self) -> Vec<Rc<Handle>> {
        self.0.borrow().values().flatten().cloned().collect()
    }
}

/// Where the connection of this number stands on its page, or would.
fn place(page: &[Rc<Handle>], id: u64) -> Result<usize, usize> {
    page.binary_search_by_key(&id, |handle| handle.id())
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

    #[test]
    fn a_page_gives_back_what_it_does_not_need() {
        let connections = Connections::default();
        let open = Vec::from_iter((PAGE..3 * PAGE).map(|id| {
            let handle = Handle::new(id, Outbox::default());
            connections.enter(&handle);
            handle
        }));
        for handle in open.iter().filter(|handle| handle.id() % 64 != 0) {
            connections.leave(handle);
        }
        let ids = || Vec::from_iter(connections.all().iter().map(|handle| handle.id()));
        assert_eq!(ids(), [256, 320, 384, 448, 512, 576, 640, 704]);
        let room = || Vec::from_iter(connections.0.borrow().values().map(Vec::capacity));
        assert!(room().iter().all(|&room| room <= 16), "{:?}", room());
        for handle in &open {
            connections.leave(handle);
        }
        assert!(ids().is_empty() && room().is_empty());
    }
}
