//! The other nodes, as they tell of themselves: which live, and how many subscribe to what there.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::hub::engine::TRUSTED;
use crate::hub::node::Node;

/// Nodes that are known, at the most,
const NODES: usize = 1024;
/// and topics of each: more come from nobody who is one of us.
const TOPICS: usize = 1_000_000;

/// All of them.
#[derive(Debug, Default)]
pub struct Neighbours(Mutex<BTreeMap<Node, Neighbour>>);

#[derive(Debug)]
struct Neighbour {
    heard: Instant,
    counts: BTreeMap<Box<str>, u64>,
}

impl Neighbours {
    /// A node has told how many subscribe to some topics there: whether it was not known before.
    pub fn hear(&self, node: Node, counts: Vec<(String, u64)>) -> bool {
        let mut all = self.all();
        let is_new = !all.contains_key(&node);
        if is_new && all.len() >= NODES {
            return false;
        }
        let neighbour = all.entry(node).or_insert_with(|| Neighbour {
            heard: Instant::now(),
            counts: BTreeMap::new(),
        });
        neighbour.heard = Instant::now();
        for (topic, count) in counts {
            if count == 0 {
                neighbour.counts.remove(&*topic);
            } else if neighbour.counts.len() < TOPICS {
                neighbour.counts.insert(topic.into(), count);
            }
        }
        is_new
    }

    /// Nobody could be heard for a time: all have as much again.
    pub fn trust_again(&self) {
        let now = Instant::now();
        for neighbour in self.all().values_mut() {
            neighbour.heard = now;
        }
    }

    /// Those that live; the others are forgotten.
    pub fn living(&self) -> HashSet<Node> {
        let mut all = self.all();
        all.retain(|_, neighbour| neighbour.heard.elapsed() < Duration::from_secs(TRUSTED));
        all.keys().copied().collect()
    }

    /// How many subscribe to a topic there.
    pub fn subscribers(&self, topic: &str) -> u64 {
        let all = self.all();
        let counts = all.values().filter_map(|node| node.counts.get(topic));
        counts.fold(0, |sum, count| sum.saturating_add(*count))
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<Node, Neighbour>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn whoever_is_not_heard_of_does_not_count() {
        let (all, a, b) = (Neighbours::default(), Node(1), Node(2));
        assert!(all.hear(a, vec![("t".to_owned(), 3)]));
        assert!(!all.hear(a, Vec::new()));
        assert!(all.hear(b, vec![("t".to_owned(), u64::MAX)]));
        assert_eq!(all.subscribers("t"), u64::MAX, "a sum that is too large");
        all.hear(b, vec![("t".to_owned(), 2)]);
        assert_eq!((all.subscribers("t"), all.subscribers("u")), (5, 0));
        tokio::time::advance(Duration::from_secs(TRUSTED - 1)).await;
        all.hear(b, vec![("t".to_owned(), 0)]);
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(all.living(), HashSet::from([b]));
        assert_eq!(all.subscribers("t"), 0);
        assert!(all.hear(a, Vec::new()), "it is new again");
        for number in 3..2 * NODES as u64 {
            all.hear(Node(number), Vec::new());
        }
        assert_eq!(all.living().len(), NODES);
    }
}
