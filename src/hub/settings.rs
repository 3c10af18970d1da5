//! What handlers say about topics: by name, or for all below a prefix.

use std::collections::BTreeMap;
use std::time::Duration;

/// What becomes of a message for a subscriber whose send queue is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Slow {
    /// The connection is closed with 1013, so that the client comes back and resumes.
    #[default]
    Close,
    /// This message is not sent to it.
    Drop,
    /// Of the topic's messages only the newest is kept for it.
    Latest,
}

/// How a topic is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Messages that are kept; none in a plain topic.
    pub history: usize,
    /// How long they are.
    pub age: Duration,
    /// What becomes of slow subscribers.
    pub slow: Slow,
    /// Whether messages are sent as JSON with their topic and position.
    pub envelope: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            history: 0,
            age: Duration::ZERO,
            slow: Slow::Close,
            envelope: false,
        }
    }
}

/// What follows a prefix that is meant with all that lies below it.
const BELOW: &str = "/*";

/// The settings of all handlers. What two of them say of the same name holds as the first file by
/// name says it.
#[derive(Debug, Default)]
pub struct Declared(BTreeMap<String, BTreeMap<String, (u64, Settings)>>);

impl Declared {
    /// A handler's file, in this version, says so of a name; the file that says otherwise, if there
    /// is one.
    pub fn set(
        &mut self,
        name: &str,
        file: &str,
        version: u64,
        settings: Settings,
    ) -> Option<&str> {
        let all = self.0.entry(name.to_owned()).or_default();
        all.insert(file.to_owned(), (version, settings));
        all.iter()
            .find(|(_, (_, other))| *other != settings)
            .map(|(other, _)| other.as_str())
    }

    /// What other versions of a file have said holds no more.
    pub fn retire(&mut self, file: &str, version: Option<u64>) {
        self.0.retain(|_, all| {
            let is_stale = all.get(file).is_some_and(|(of, _)| Some(*of) != version);
            if is_stale {
                all.remove(file);
            }
            !all.is_empty()
        });
    }

    /// How a topic is: by its own name, or by the longest prefix.
    pub fn of(&self, topic: &str) -> Settings {
        if self.0.is_empty() {
            return Settings::default();
        }
        let first = |name: &str| Some(self.0.get(name)?.values().next()?.1);
        let slashes = topic.rmatch_indices('/').map(|(at, _)| &topic[..at]);
        first(topic)
            .or_else(|| {
                let mut prefixes = slashes.map(|prefix| [prefix, BELOW].concat());
                prefixes.find_map(|prefix| first(&prefix))
            })
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keeping(history: usize) -> Settings {
        Settings {
            history,
            ..Settings::default()
        }
    }

    #[test]
    fn the_nearest_name_counts() {
        let mut declared = Declared::default();
        declared.set("room/*", "a", 1, keeping(1));
        declared.set("room/blue/*", "a", 1, keeping(2));
        declared.set("room/blue", "a", 1, keeping(3));
        let of = |topic: &str| declared.of(topic).history;
        assert_eq!(of("room"), 0);
        assert_eq!(of("room/red"), 1);
        assert_eq!(of("room/red/x"), 1);
        assert_eq!(of("room/blue"), 3);
        assert_eq!(of("room/blue/x"), 2);
        assert_eq!(of("rooms/x"), 0);
    }

    #[test]
    fn one_handler_does_not_overrule_another() {
        let mut declared = Declared::default();
        assert_eq!(declared.set("t", "b", 1, keeping(2)), None);
        assert_eq!(declared.set("t", "a", 1, keeping(2)), None);
        assert_eq!(declared.set("t", "b", 2, keeping(3)), Some("a"));
        assert_eq!(declared.of("t").history, 2);
        declared.retire("a", Some(2));
        assert_eq!(declared.of("t").history, 3);
        declared.retire("b", Some(2));
        assert_eq!(declared.of("t").history, 3);
        declared.retire("b", None);
        assert_eq!(declared.of("t"), Settings::default());
    }
}
