//! What a topic keeps for those who come back: the last messages, bounded by number, by age and by
//! bytes.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::time::Instant;

use super::account::{Account, Charge};
use super::position::Position;
use super::publication::Publication;
use super::settings::Settings;

/// Bytes that a kept message counts beside its own.
const ENTRY: usize = 128;

/// A topic's history: consecutive messages up to the last.
#[derive(Debug)]
pub struct History {
    epoch: u64,
    /// The last message's number.
    last: u64,
    settings: Settings,
    kept: VecDeque<Kept>,
    /// When something was last published or asked for.
    used: Instant,
}

#[derive(Debug)]
struct Kept {
    publication: Arc<Publication>,
    published: Instant,
    _charge: Charge,
}

impl History {
    /// An empty one.
    pub fn new(settings: Settings, now: Instant) -> Self {
        Self {
            epoch: Position::new_epoch(),
            last: 0,
            settings,
            kept: VecDeque::new(),
            used: now,
        }
    }

    /// The copy of one that another engine keeps: empty, behind this place.
    pub fn behind(place: Position, settings: Settings, now: Instant) -> Self {
        Self {
            epoch: place.epoch,
            last: place.number,
            ..Self::new(settings, now)
        }
    }

    /// It is used, and is so from now on.
    pub fn touch(&mut self, settings: Settings, now: Instant) {
        self.settings = settings;
        self.used = now;
        self.expire(now);
    }

    /// The place behind the last message.
    pub fn position(&self) -> Position {
        self.at(self.last)
    }

    /// The place behind the message of this number.
    pub fn at(&self, number: u64) -> Position {
        Position {
            epoch: self.epoch,
            number,
        }
    }

    /// The next message's number.
    pub fn next(&self) -> u64 {
        self.last + 1
    }

    /// Adds the next message. If there is no room for it beside what the handler's other topics
    /// keep, older ones go; a message that does not fit at all leaves a hole, of which those who
    /// come back are told.
    pub fn push(
        &mut self,
        publication: &Arc<Publication>,
        account: &Arc<Account>,
        most: usize,
        now: Instant,
    ) {
        debug_assert_eq!(publication.number, self.next());
        self.last = publication.number;
        while self.kept.len() >= self.settings.history.max(1) {
            self.kept.pop_front();
        }
        let bytes = publication.payload().len() + ENTRY;
        loop {
            if let Some(charge) = account.charge(bytes, most) {
                self.kept.push_back(Kept {
                    publication: Arc::clone(publication),
                    published: now,
                    _charge: charge,
                });
                return;
            }
            if self.kept.pop_front().is_none() {
                return;
            }
        }
    }

    /// All messages behind this position, oldest first; `None` if one of them is not there any
    /// more, or if the position is of another history.
    pub fn since(&self, position: Position) -> Option<Vec<Arc<Publication>>> {
        if position.epoch != self.epoch || position.number > self.last {
            return None;
        }
        let missed = usize::try_from(self.last - position.number).ok()?;
        // What is kept is consecutive up to the last, unless that did not fit.
        let is_whole = self
            .kept
            .back()
            .is_some_and(|kept| kept.publication.number == self.last);
        if missed > 0 && (!is_whole || missed > self.kept.len()) {
            return None;
        }
        let newest = self.kept.iter().skip(self.kept.len() - missed);
        Some(newest.map(|kept| Arc::clone(&kept.publication)).collect())
    }

    /// Everything that is kept.
    pub fn all(&self) -> Vec<Arc<Publication>> {
        let kept = self.kept.iter();
        kept.map(|kept| Arc::clone(&kept.publication)).collect()
    }

    /// Forgets what is too old.
    pub fn expire(&mut self, now: Instant) {
        let age = self.settings.age;
        let is_old = |kept: &Kept| now.saturating_duration_since(kept.published) > age;
        while self.kept.front().is_some_and(is_old) {
            self.kept.pop_front();
        }
        if self.kept.is_empty() {
            self.kept.shrink_to(0);
        }
    }

    /// Whether nobody who comes back can find anything, now that nobody subscribes: not even that
    /// nothing was missed.
    pub fn is_over(&self, now: Instant) -> bool {
        self.kept.is_empty() && now.saturating_duration_since(self.used) > self.settings.age
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::hub::{Draft, Slow};
    use crate::websocket::frame::Data;

    fn history(entries: usize) -> (History, Arc<Account>, Instant) {
        let settings = Settings {
            history: entries,
            age: Duration::from_secs(60),
            ..Settings::default()
        };
        let now = Instant::now();
        (History::new(settings, now), Arc::default(), now)
    }

    fn publication(history: &History, bytes: usize) -> Arc<Publication> {
        let draft = Draft::plain(Data::Text, vec![b'a'; bytes]);
        Arc::new(draft.at(history.next(), None, Slow::Close))
    }

    fn numbers(found: Option<Vec<Arc<Publication>>>) -> Option<Vec<u64>> {
        Some(
            found?
                .iter()
                .map(|publication| publication.number)
                .collect(),
        )
    }

    #[test]
    fn it_is_all_or_nothing() {
        let (mut history, account, now) = history(5);
        let start = history.position();
        assert_eq!(numbers(history.since(start)), Some(vec![]));
        for _ in 0..7 {
            history.push(&publication(&history, 1), &account, 10_000, now);
        }
        let since = |number| numbers(history.since(history.at(number)));
        assert_eq!(since(0), None);
        assert_eq!(since(1), None);
        assert_eq!(since(2), Some(vec![3, 4, 5, 6, 7]));
        assert_eq!(since(6), Some(vec![7]));
        assert_eq!(since(7), Some(vec![]));
        assert_eq!(since(8), None);
        let other = Position {
            epoch: history.epoch + 1,
            number: 7,
        };
        assert_eq!(numbers(history.since(other)), None);
    }

    #[test]
    fn age_ends_it() {
        let (mut history, account, now) = history(5);
        history.push(&publication(&history, 1), &account, 10_000, now);
        let later = now + Duration::from_secs(61);
        history.push(&publication(&history, 1), &account, 10_000, later);
        history.expire(later);
        assert_eq!(numbers(history.since(history.at(0))), None);
        assert_eq!(numbers(history.since(history.at(1))), Some(vec![2]));
        let much_later = later + Duration::from_secs(61);
        history.expire(much_later);
        assert_eq!(numbers(history.since(history.at(1))), None);
        assert_eq!(numbers(history.since(history.at(2))), Some(vec![]));
        assert!(account.is_empty());
        assert!(history.is_over(much_later));
        history.touch(history.settings, much_later);
        assert!(!history.is_over(much_later));
    }

    #[test]
    fn what_does_not_fit_is_a_hole() {
        let (mut history, account, now) = history(5);
        let most = 2 * (100 + ENTRY);
        for _ in 0..3 {
            history.push(&publication(&history, 100), &account, most, now);
        }
        assert_eq!(numbers(history.since(history.at(1))), Some(vec![2, 3]));
        assert_eq!(numbers(history.since(history.at(0))), None);
        history.push(&publication(&history, 1000), &account, most, now);
        assert_eq!(numbers(history.since(history.at(3))), None);
        assert_eq!(numbers(history.since(history.at(4))), Some(vec![]));
        history.push(&publication(&history, 1), &account, most, now);
        assert_eq!(numbers(history.since(history.at(3))), None);
        assert_eq!(numbers(history.since(history.at(4))), Some(vec![5]));
    }
}
