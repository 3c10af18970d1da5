//! What a worker counts: plain cells, added to without a lock, an atomic or a look-up by name on a
//! message's way.
//!
//! What happens for each message and each hook is counted by the meter that its handler holds; all
//! the rest is counted as an [`Event`] is told. Labels are a handler's *file* and words of closed
//! lists, never what a peer chose, since a series lives as long as its process.

mod counter;
mod histogram;
mod snapshot;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::event::Event;
use super::live::is_looked_at;
use counter::{Counter, Counters, FILES, OTHER};
use histogram::{BUCKETS, bucket};
pub use histogram::{Spread, Stopwatch};
pub use snapshot::{Engine, Format, Gauges, Snapshot, StoreTimes, Stores, Topics, negotiate};

/// Which way a message went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From the peer.
    In,
    /// To the peer.
    Out,
}

thread_local! {
    static WORKER: RefCell<Option<Rc<Meters>>> = const { RefCell::new(None) };
}

/// What is counted on threads that are no workers: those that accept, and that keep handlers and
/// certificates.
static ELSEWHERE: Mutex<Counters> = Mutex::new(BTreeMap::new());

/// Files that have series of their own: the same ones on every worker.
static KNOWN: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// Whether anybody asks for the times of hooks: looking at the clock costs more than an echo's
/// counters.
static IS_TIMED: AtomicBool = AtomicBool::new(false);

/// From now on the times of hooks are measured. Before the first worker starts.
pub fn measure_times() {
    IS_TIMED.store(true, Ordering::Relaxed);
}

/// Counts an event.
pub(super) fn count(event: &Event<'_>) {
    if let Event::HandlerBroken { files, .. } = event {
        for file in *files {
            add_one(Counter::Reloads(file.clone(), "failed"));
        }
    } else if let Some(counter) = Counter::of(event) {
        add_one(counter);
    }
}

fn add_one(counter: Counter) {
    WORKER.with_borrow(|worker| match worker {
        Some(meters) => *meters.counters.borrow_mut().entry(counter).or_default() += 1,
        None => {
            let mut counters = ELSEWHERE.lock().unwrap_or_else(PoisonError::into_inner);
            *counters.entry(counter).or_default() += 1;
        }
    });
}

/// What was counted on no worker.
pub fn elsewhere() -> Snapshot {
    let counters = ELSEWHERE.lock().unwrap_or_else(PoisonError::into_inner);
    Snapshot::of_counters(counters.clone())
}

/// What one worker counts.
#[derive(Debug, Default)]
pub struct Meters {
    handlers: RefCell<BTreeMap<String, Rc<HandlerMeter>>>,
    counters: RefCell<Counters>,
}

impl Meters {
    /// Makes this thread one whose numbers are its own.
    pub fn start() -> Rc<Self> {
        let meters = Rc::new(Self::default());
        WORKER.set(Some(Rc::clone(&meters)));
        meters
    }

    /// Those of this thread, or some that nobody reads.
    pub fn here() -> Rc<Self> {
        WORKER.with_borrow(Option::clone).unwrap_or_default()
    }

    /// The meter of a handler file whose hooks have these names. It outlives the handler: a file
    /// that comes back goes on where it was.
    pub fn handler(
        &self,
        file: &str,
        hooks: impl Iterator<Item = &'static str>,
    ) -> Rc<HandlerMeter> {
        let mut handlers = self.handlers.borrow_mut();
        let file = if has_series(file) { file } else { OTHER };
        if let Some(meter) = handlers.get(file) {
            return Rc::clone(meter);
        }
        let meter = Rc::new(HandlerMeter::new(hooks));
        handlers.insert(file.to_owned(), Rc::clone(&meter));
        meter
    }

    /// What was counted up to now.
    pub fn snapshot(&self, gauges: Gauges) -> Snapshot {
        let handlers = self.handlers.borrow();
        let handlers = handlers.iter();
        Snapshot {
            handlers: handlers
                .map(|(file, meter)| (file.clone(), meter.totals()))
                .collect(),
            counters: self.counters.borrow().clone(),
            gauges,
            ..Snapshot::default()
        }
    }
}

/// Whether a file has series of its own, which it keeps then.
fn has_series(file: &str) -> bool {
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if known.contains(file) {
        return true;
    }
    known.len() < FILES && known.insert(file.to_owned())
}

/// Runs of a hook that share two looks at the clock.
const TOGETHER: u8 = 4;

/// Runs of a hook for messages that are handled one after another, and whose times are not added
/// yet.
#[derive(Debug, Clone, Copy)]
struct Together {
    since: Instant,
    hook: usize,
    count: u8,
}

/// What one worker counts of one handler.
#[derive(Debug)]
pub struct HandlerMeter {
    is_timed: bool,
    together: Cell<Option<Together>>,
    connections: Cell<u64>,
    messages: [Cell<u64>; 2],
    bytes: [Cell<u64>; 2],
    hooks: Box<[HookMeter]>,
}

/// A connection that is counted.
#[derive(Debug)]
pub struct Open(Rc<HandlerMeter>);

impl Drop for Open {
    fn drop(&mut self) {
        let connections = &self.0.connections;
        connections.set(connections.get().saturating_sub(1));
    }
}

/// The times of one hook, and its faults.
#[derive(Debug)]
struct HookMeter {
    name: &'static str,
    /// The last one is for what took longer than any bound.
    buckets: [Cell<u64>; BUCKETS + 1],
    nanoseconds: Cell<u64>,
    faults: Cell<u64>,
}

fn add(cell: &Cell<u64>, more: u64) {
    cell.set(cell.get().saturating_add(more));
}

impl HandlerMeter {
    fn new(hooks: impl Iterator<Item = &'static str>) -> Self {
        let meter = |name| HookMeter {
            name,
            buckets: Default::default(),
            nanoseconds: Cell::default(),
            faults: Cell::default(),
        };
        Self {
            is_timed: IS_TIMED.load(Ordering::Relaxed),
            together: Cell::new(None),
            connections: Cell::default(),
            messages: Default::default(),
            bytes: Default::default(),
            hooks: hooks.map(meter).collect(),
        }
    }

    /// Counts a connection of it, until the result is dropped.
    pub fn opened(self: &Rc<Self>) -> Open {
        add(&self.connections, 1);
        Open(Rc::clone(self))
    }

    /// A message of so many bytes went this way.
    #[inline]
    pub fn message(&self, direction: Direction, bytes: usize) {
        self.passed(direction, 1, bytes);
    }

    /// Messages that ended, and bytes of them or of parts, went this way.
    #[inline]
    pub fn passed(&self, direction: Direction, messages: u64, bytes: usize) {
        add(&self.messages[direction as usize], messages);
        add(&self.bytes[direction as usize], bytes as u64);
    }

    /// When a hook begins, if that is to be known.
    #[inline]
    pub fn begin(&self) -> Option<Instant> {
        (self.is_timed || is_looked_at()).then(|| {
            self.part();
            Instant::now()
        })
    }

    /// The same for a hook that may be one of several in a turn: some of these have one time
    /// together, of which each is said to have taken its share. Looking at the clock twice costs a
    /// tenth of a short one.
    #[inline]
    pub fn begin_together(&self, hook: usize) -> Option<Instant> {
        if !(self.is_timed || is_looked_at()) {
            return None;
        }
        let known = self.together.get().filter(|known| known.hook == hook);
        let since = known.map_or_else(
            || {
                self.part();
                let since = Instant::now();
                let count = 0;
                self.together.set(Some(Together { since, hook, count }));
                since
            },
            |known| known.since,
        );
        Some(since)
    }

    /// A hook, by its place among the names, has ended.
    #[inline]
    pub fn ran(&self, hook: usize, begun: Option<Instant>) {
        let Some(begun) = begun else {
            return;
        };
        match self.together.get() {
            // It has not waited meanwhile.
            Some(mut known) if known.since == begun && known.hook == hook => {
                known.count += 1;
                if known.count < TOGETHER {
                    self.together.set(Some(known));
                } else {
                    let since = self.share(known);
                    let count = 0;
                    self.together.set(Some(Together { since, hook, count }));
                }
            }
            _ => self.took(hook, 1, begun.elapsed()),
        }
    }

    /// The turn is over, or a hook waits: what follows has a time of its own.
    #[inline]
    pub fn part(&self) {
        if let Some(known) = self.together.take()
            && known.count > 0
        {
            self.share(known);
        }
    }

    /// Adds the time of several runs; when that ended.
    fn share(&self, known: Together) -> Instant {
        let now = Instant::now();
        let count = u64::from(known.count);
        self.took(known.hook, count, now.duration_since(known.since));
        now
    }

    /// So many runs have taken so long, all together.
    fn took(&self, hook: usize, count: u64, time: Duration) {
        let meter = &self.hooks[hook];
        let nanoseconds = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        add(&meter.buckets[bucket(nanoseconds / count)], count);
        add(&meter.nanoseconds, nanoseconds);
    }

    /// A hook failed.
    pub fn failed(&self, hook: usize) {
        add(&self.hooks[hook].faults, 1);
    }

    fn totals(&self) -> snapshot::Totals {
        let mut totals = snapshot::Totals {
            connections: self.connections.get(),
            messages: self.messages.each_ref().map(Cell::get),
            bytes: self.bytes.each_ref().map(Cell::get),
            ..snapshot::Totals::default()
        };
        for meter in &self.hooks {
            let times = snapshot::Times {
                buckets: meter.buckets.each_ref().map(Cell::get),
                nanoseconds: meter.nanoseconds.get(),
                faults: meter.faults.get(),
            };
            if !times.is_empty() {
                totals.hooks.entry(meter.name).or_default().add(&times);
            }
        }
        totals
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::event::By;

    const HOOKS: [&str; 3] = ["on_open", "transfer_data", "transfer_data"];

    /// Every run is counted once, and no time is lost, with whatever it shares its looks at the
    /// clock.
    #[test]
    fn runs_that_share_a_time_are_all_counted() {
        const PART: Duration = Duration::from_millis(1);
        let begun = Instant::now();
        let meter = HandlerMeter {
            is_timed: true,
            ..HandlerMeter::new(HOOKS.into_iter())
        };
        let count = || {
            let totals = meter.totals().hooks;
            let of = |name| {
                let times = totals.get(name);
                times.map_or(0, |times| times.buckets.iter().sum::<u64>())
            };
            (of("transfer_data"), of("on_open"))
        };
        let run = || {
            let begun = meter.begin_together(1);
            std::thread::sleep(PART);
            meter.ran(1, begun);
        };
        for _ in 0..u64::from(TOGETHER) + 2 {
            run();
        }
        assert_eq!(count(), (TOGETHER.into(), 0), "some are yet to be added");
        meter.part();
        assert_eq!(count(), (u64::from(TOGETHER) + 2, 0));
        meter.part();
        // Another hook has a time of its own, and so has what waits.
        run();
        meter.ran(0, meter.begin());
        assert_eq!(count(), (u64::from(TOGETHER) + 3, 1));
        let waits = meter.begin_together(1);
        meter.part();
        run();
        meter.part();
        meter.ran(1, waits);
        assert_eq!(count(), (u64::from(TOGETHER) + 5, 1));
        let nanoseconds = meter.totals().hooks["transfer_data"].nanoseconds;
        let least = PART * (u32::from(TOGETHER) + 5);
        // One of them has waited while another ran.
        let most = 2 * begun.elapsed();
        let times = least.as_nanos()..=most.as_nanos();
        assert!(times.contains(&nanoseconds.into()), "{nanoseconds} ns");
    }

    #[test]
    fn workers_are_added_up() {
        let mut sum = Snapshot::default();
        for _ in 0..2 {
            let worker = std::thread::spawn(|| {
                let meters = Meters::start();
                let echo = meters.handler("added_up_wsh.rhai", HOOKS.into_iter());
                let open = echo.opened();
                drop(echo.opened());
                echo.message(Direction::In, 5);
                echo.message(Direction::Out, 5);
                echo.took(1, 1, Duration::from_micros(3));
                // The other hook of that name, in another version of the file.
                echo.took(2, 1, Duration::from_micros(3));
                echo.failed(1);
                for (code, side) in [(1000, By::Client), (4321, By::Client), (4321, By::Server)] {
                    Event::ConnectionClosed {
                        connection: 1,
                        code,
                        reason: "",
                        was_clean: true,
                        by: super::super::event::text(&side),
                        side,
                    }
                    .tell();
                }
                let gauges = Gauges {
                    fibers_waiting: 3,
                    ..Gauges::default()
                };
                let snapshot = meters.snapshot(gauges);
                drop(open);
                snapshot
            });
            sum.add(&worker.join().expect("no panic"));
        }
        let text = sum.text(Format::Prometheus);
        for line in [
            "wsh_connections{handler=\"added_up_wsh.rhai\"} 2",
            "wsh_messages_total{handler=\"added_up_wsh.rhai\",direction=\"in\"} 2",
            "wsh_message_bytes_total{handler=\"added_up_wsh.rhai\",direction=\"out\"} 10",
            "wsh_hook_seconds_count{handler=\"added_up_wsh.rhai\",hook=\"transfer_data\"} 4",
            "wsh_faults_total{handler=\"added_up_wsh.rhai\",hook=\"transfer_data\"} 2",
            "wsh_closes_total{code=\"1000\",side=\"client\"} 2",
            "wsh_closes_total{code=\"4xxx\",side=\"client\"} 2",
            "wsh_closes_total{code=\"4321\",side=\"server\"} 2",
            "wsh_fibers_waiting 6",
        ] {
            assert!(
                text.lines().any(|known| known == line),
                "no {line} in\n{text}"
            );
        }
        assert!(!text.contains("on_open"), "{text}");
        assert!(sum.text(Format::OpenMetrics).ends_with("# EOF\n"));
    }

    #[test]
    fn a_hook_is_timed_only_if_somebody_asks() {
        let untimed = HandlerMeter::new(HOOKS.into_iter());
        untimed.ran(0, untimed.begin());
        assert!(untimed.totals().hooks.is_empty());
        let timed = HandlerMeter {
            is_timed: true,
            ..untimed
        };
        timed.ran(0, timed.begin());
        assert_eq!(timed.totals().hooks.len(), 1);
    }
}
