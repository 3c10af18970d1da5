//! A limiter of log lines that anybody can cause as often as they like: the first of a kind are
//! said, the others counted.

use std::borrow::Borrow;
use std::collections::BTreeMap;

/// A limiter by kind. Between two ticks a kind has so many lines, and so many bytes of them.
#[derive(Debug)]
pub struct Flood<K> {
    lines: u32,
    bytes: usize,
    /// Those of which something was said since the last tick.
    kinds: BTreeMap<K, Said>,
}

/// The lines of one kind since the last tick.
#[derive(Debug, Default)]
struct Said {
    lines: u32,
    bytes: usize,
    /// Not said.
    more: u64,
}

impl<K: Ord> Flood<K> {
    /// A limiter to so many lines of a kind. One that is never ticked says them once and for all.
    pub const fn lines(lines: u32) -> Self {
        Self::lines_and_bytes(lines, usize::MAX)
    }

    /// The same, with a bound on their bytes: a line that begins below it is said whole.
    pub const fn lines_and_bytes(lines: u32, bytes: usize) -> Self {
        let kinds = BTreeMap::new();
        Self {
            lines,
            bytes,
            kinds,
        }
    }

    /// Whether another line of this kind may be said now; one that may not is counted.
    pub fn admits<Q>(&mut self, kind: &Q) -> bool
    where
        K: Borrow<Q>,
        Q: Ord + ToOwned<Owned = K> + ?Sized,
    {
        self.admits_bytes(kind, 0)
    }

    /// The same for a line of so many bytes.
    pub fn admits_bytes<Q>(&mut self, kind: &Q, bytes: usize) -> bool
    where
        K: Borrow<Q>,
        Q: Ord + ToOwned<Owned = K> + ?Sized,
    {
        let (lines, most) = (self.lines, self.bytes);
        let said = match self.kinds.get_mut(kind) {
            Some(said) => said,
            None => self.kinds.entry(kind.to_owned()).or_default(),
        };
        let is_admitted = said.lines < lines && said.bytes < most;
        if is_admitted {
            said.lines += 1;
            said.bytes = said.bytes.saturating_add(bytes);
        } else {
            said.more += 1;
        }
        is_admitted
    }

    /// The end of a period: tells of each kind how many lines were not said. That summary is the
    /// first line of the next period.
    pub fn tick(&mut self, mut summary: impl FnMut(&K, u64)) {
        self.kinds.retain(|kind, said| {
            let Said { more, .. } = std::mem::take(said);
            if more > 0 {
                summary(kind, more);
                said.lines = 1;
            }
            more > 0
        });
    }

    /// Whether nothing was said since the last tick.
    pub fn is_idle(&self) -> bool {
        self.kinds.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a tick tells.
    fn summaries<K: Ord + Clone>(flood: &mut Flood<K>) -> Vec<(K, u64)> {
        let mut told = Vec::new();
        flood.tick(|kind, more| told.push((kind.clone(), more)));
        told
    }

    #[test]
    fn the_first_is_said_and_the_others_are_counted() {
        let mut flood = Flood::lines(1);
        assert!(flood.admits("a"));
        assert!(!flood.admits("a"));
        assert!(!flood.admits("a"));
        assert!(flood.admits("b"), "another kind");
        assert_eq!(summaries(&mut flood), [("a".to_owned(), 2)]);
        assert!(!flood.admits("a"), "the summary was the line");
        assert!(flood.admits("b"));
        assert_eq!(summaries(&mut flood), [("a".to_owned(), 1)]);
        assert_eq!(summaries(&mut flood), []);
        assert!(flood.is_idle());
        assert!(flood.admits("a"));
        assert!(!flood.is_idle());
        assert_eq!(summaries(&mut flood), []);
    }

    #[test]
    fn a_kind_may_have_several_lines_and_so_many_bytes() {
        let mut flood = Flood::lines(3);
        let admitted = |flood: &mut Flood<u8>| (0..10).filter(|_| flood.admits(&1)).count();
        assert_eq!(admitted(&mut flood), 3);
        assert_eq!(summaries(&mut flood), [(1, 7)]);
        assert_eq!(admitted(&mut flood), 2, "beside the summary");

        let mut flood = Flood::lines_and_bytes(9, 100);
        assert!(flood.admits_bytes(&1, 99));
        assert!(flood.admits_bytes(&1, 99), "it begins below the bound");
        assert!(!flood.admits_bytes(&1, 1));
        assert_eq!(summaries(&mut flood), [(1, 1)]);
        assert!(flood.admits_bytes(&1, 99));
    }

    #[test]
    fn one_that_is_never_ticked_says_it_once() {
        static ONCE: std::sync::Mutex<Flood<String>> = std::sync::Mutex::new(Flood::lines(1));
        let mut once = ONCE.lock().expect("no panic");
        assert!(once.admits("a"));
        assert!(!once.admits("a"));
        assert!(once.admits("b"));
    }
}
