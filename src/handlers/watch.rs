//! Triggers of looks at the folder: file events, requests, and a timer, because events get lost.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use notify::event::{Event, EventKind};
use notify::{RecommendedWatcher, RecursiveMode, Watcher};

use super::reconcile::{Reconciled, Reconciler};
use super::registry::Generation;
use super::report::Report;
use crate::config;
use crate::keeper::{Ask, Asked};
use crate::observe::event;

/// A look without an event.
const PERIOD: Duration = Duration::from_secs(2);
/// A look that costs much is taken more seldom where there are file events: this many times as long
/// as it takes, so that it is one percent of a processor. 20,000 handlers are looked at every few
/// seconds.
const SHARE: u32 = 100;
/// However much a look costs.
const LONGEST_PERIOD: Duration = Duration::from_secs(30);

impl Reconciler {
    /// Keeps looking for as long as the process lives, at once at file events and when asked to,
    /// and tells `publish` what came of it; `false` ends it. For a thread with the stack of a
    /// fiber.
    pub fn run(
        mut self,
        (ask, asked): (Ask, Asked),
        publish: impl Fn(Option<Generation>, Report) -> bool,
    ) {
        let mut watch = Watch::new(ask);
        watch.follow(self.config(), []);
        let mut wait = Duration::ZERO;
        // Of the last two looks; the lesser counts, because somebody else may have had the
        // processor in the other.
        let mut costs = [Duration::ZERO; 2];
        let mut askers = Vec::new();
        let mut is_first = true;
        loop {
            // The watch can always wake it.
            let is_woken = asked.wait(wait).unwrap_or(false);
            askers.extend(asked.askers());
            let began = Instant::now();
            // Between two looks that follow each other, an event would have told of whatever else
            // happened.
            let is_quiet = !is_woken && !is_first && wait < PERIOD && watch.is_armed();
            let Reconciled {
                generation,
                report,
                again,
                is_whole,
            } = self.look(is_quiet);
            if !is_quiet {
                costs = [began.elapsed(), costs[0]];
            }
            if is_whole {
                watch.follow(self.config(), self.outside());
            } else {
                watch.follow(self.config(), []);
            }
            is_first = false;
            let has_news = generation.is_some() || report != Report::default();
            if has_news && !publish(generation, report) {
                return;
            }
            match again {
                Some(again) => wait = again,
                None => {
                    wait = watch.period(costs[0].min(costs[1]));
                    // The answer to whoever asked.
                    askers.clear();
                }
            }
        }
    }
}

/// The watcher of file events, armed again when the root becomes another folder.
struct Watch {
    ask: Ask,
    watcher: Option<RecommendedWatcher>,
    /// Device and inode of the root that is watched.
    root: Option<(u64, u64)>,
    outside: BTreeSet<PathBuf>,
    warned: bool,
}

impl Watch {
    fn new(ask: Ask) -> Self {
        Self {
            ask,
            watcher: None,
            root: None,
            outside: BTreeSet::new(),
            warned: false,
        }
    }

    /// Whether file events tell what happens.
    fn is_armed(&self) -> bool {
        self.watcher.is_some()
    }

    /// Returns the time to wait for an event after a look of this cost.
    fn period(&self, cost: Duration) -> Duration {
        if self.is_armed() {
            (cost * SHARE).clamp(PERIOD, LONGEST_PERIOD)
        } else {
            PERIOD
        }
    }

    fn follow<'p>(
        &mut self,
        config: &config::Handlers,
        outside: impl IntoIterator<Item = &'p PathBuf>,
    ) {
        let now = fs::metadata(&config.root)
            .ok()
            .map(|metadata| (metadata.dev(), metadata.ino()));
        if now != self.root {
            self.root = now;
            self.outside.clear();
            self.watcher = now.and_then(|_| self.arm(config));
        }
        // Linked folders outside the root are not part of the recursive watch.
        let Some(watcher) = &mut self.watcher else {
            return;
        };
        for folder in outside {
            if !self.outside.contains(folder) {
                self.outside.insert(folder.clone());
                let _ = watcher.watch(folder, RecursiveMode::NonRecursive);
            }
        }
    }

    fn arm(&mut self, config: &config::Handlers) -> Option<RecommendedWatcher> {
        let ask = self.ask.clone();
        let wake = move |event: notify::Result<Event>| {
            // Reading a file is an event too, and must not lead to reading it again.
            if !event.is_ok_and(|event| matches!(event.kind, EventKind::Access(_))) {
                ask.wake();
            }
        };
        let armed = notify::recommended_watcher(wake).and_then(|mut watcher| {
            watcher.watch(&config.root, RecursiveMode::Recursive)?;
            Ok(watcher)
        });
        match armed {
            Ok(watcher) => Some(watcher),
            Err(error) => {
                if !self.warned {
                    self.warned = true;
                    event::Event::NoFileEvents {
                        error: &error,
                        seconds: PERIOD.as_secs(),
                    }
                    .tell();
                }
                None
            }
        }
    }
}
