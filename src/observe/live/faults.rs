//! Faults that hooks have met, each with what caused it, until the hook of a newer version has run
//! without one.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

use super::journal::JOURNAL;
use super::seen::of_bytes;
use super::switch::now;

/// Faults that are kept: one for each place.
const MOST: usize = 50;
/// Faults that are mended, and kept.
const MENDED: usize = 10;
/// Bytes of a message that a list of faults has.
const SHOWN: usize = 4 << 10;

/// Faults that hooks have met, until they are mended.
pub static FAULTS: Faults = Faults::new();

/// What a hook was called with when it failed.
#[derive(Debug, Clone, Default)]
pub struct Cause {
    /// The message, or what else it was about.
    pub message: Option<Met>,
    /// `this`, and when it was looked at.
    pub this: Option<(Value, Taken)>,
}

/// A message that a hook has met.
#[derive(Debug, Clone)]
pub struct Met {
    /// Whether it is text.
    pub is_text: bool,
    /// Its bytes, or the first of them.
    pub bytes: Arc<[u8]>,
    /// How many there were.
    pub size: usize,
}

/// When `this` was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// Before the hook that failed.
    Before,
    /// Only after it: nobody looked, or it is large.
    After,
}

/// A fault at one place.
#[derive(Debug, Clone, Default)]
pub struct Fault {
    /// Its number.
    pub number: u64,
    /// The handler's file.
    pub handler: String,
    /// The version.
    pub version: u64,
    /// The hook.
    pub hook: &'static str,
    /// The file that it is in, which may be a module's, and its line there, or 0.
    pub file: String,
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
    /// What is wrong, in a line.
    pub message: String,
    /// The report, with the line and a caret.
    pub report: String,
    /// The connection's number.
    pub connection: Option<u64>,
    /// Its path.
    pub path: String,
    /// What caused it.
    pub cause: Cause,
    /// When it was met last.
    pub time: f64,
    /// How often it was met.
    pub times: u64,
}

impl Fault {
    /// It for the list.
    pub fn to_json(&self) -> Value {
        let Cause { message, this } = &self.cause;
        let message = message.as_ref().map(|message| {
            let mut value = of_bytes(&message.bytes, message.is_text, SHOWN);
            value["size"] = json!(message.size);
            if message.size > message.bytes.len() {
                value["cut"] = json!(true);
            }
            value
        });
        let is_before = this.as_ref().map(|(_, when)| *when == Taken::Before);
        json!({
            "fault": self.number, "handler": self.handler, "version": self.version,
            "hook": self.hook, "file": self.file, "line": self.line, "column": self.column,
            "message": self.message, "report": self.report, "connection": self.connection,
            "path": self.path, "caused_by": message,
            "this": this.as_ref().map(|(value, _)| value), "this_before": is_before,
            "time": self.time, "times": self.times, "can_run": self.can_run(),
        })
    }

    fn is_at(&self, other: &Self) -> bool {
        let place = |fault: &Self| (fault.line, fault.column, fault.hook);
        place(self) == place(other) && self.handler == other.handler && self.file == other.file
    }

    /// Whether what caused it is there as a whole, and can be done again.
    pub fn can_run(&self) -> bool {
        let is_whole = |message: &Met| message.size == message.bytes.len();
        match self.hook {
            "on_open" => true,
            "transfer_data" => self.cause.message.as_ref().is_some_and(is_whole),
            _ => false,
        }
    }
}

/// The faults that are not mended yet.
#[derive(Debug)]
pub struct Faults {
    known: Mutex<BTreeMap<u64, Fault>>,
    /// The last ones that are: somebody may want to see once more that they are.
    mended: Mutex<VecDeque<Fault>>,
    /// Of connections that do something again, what each has met: it takes the place of nothing.
    again: Mutex<BTreeMap<u64, Option<Fault>>>,
    /// How many, for those who only look.
    count: AtomicUsize,
    last: AtomicU64,
    /// Another with each change.
    revision: AtomicU64,
}

impl Faults {
    /// None.
    const fn new() -> Self {
        Self {
            known: Mutex::new(BTreeMap::new()),
            mended: Mutex::new(VecDeque::new()),
            again: Mutex::new(BTreeMap::new()),
            count: AtomicUsize::new(0),
            last: AtomicU64::new(0),
            revision: AtomicU64::new(0),
        }
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<u64, Fault>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn again(&self) -> MutexGuard<'_, BTreeMap<u64, Option<Fault>>> {
        self.again.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What this connection meets from now on is its own.
    pub fn expect(&self, connection: u64) {
        self.again().insert(connection, None);
    }

    /// Takes what it has met, and expects nothing more.
    pub fn take(&self, connection: u64) -> Option<Fault> {
        self.again().remove(&connection).flatten()
    }

    fn changed(&self, known: &BTreeMap<u64, Fault>) {
        self.count.store(known.len(), Ordering::Relaxed);
        self.revision.fetch_add(1, Ordering::Relaxed);
    }

    /// A hook has met one. One more at the same place takes the place of the one before.
    pub fn meet(&self, mut fault: Fault) {
        if let Some(connection) = fault.connection
            && let Some(met) = self.again().get_mut(&connection)
        {
            return met.get_or_insert(fault).time = now();
        }
        let mut known = self.known();
        let before = known.values().find(|known| known.is_at(&fault));
        (fault.number, fault.times) = match before {
            Some(before) => (before.number, before.times + 1),
            None => (self.last.fetch_add(1, Ordering::Relaxed) + 1, 1),
        };
        fault.time = now();
        known.insert(fault.number, fault);
        while known.len() > MOST {
            known.pop_first();
        }
        self.changed(&known);
    }

    /// The same has been met once more than could be told.
    pub fn meet_again(&self, fault: &Fault) {
        let mut known = self.known();
        if let Some(known) = known.values_mut().find(|known| known.is_at(fault)) {
            known.times += 1;
        }
        self.changed(&known);
    }

    /// Whether there are any.
    #[inline]
    pub fn are_there(&self) -> bool {
        self.count.load(Ordering::Relaxed) > 0
    }

    /// A hook of this version has met none: those of versions before are mended.
    pub fn ran_well(&self, handler: &str, hook: &str, version: u64) {
        self.forget_where(|fault| {
            fault.handler == handler && fault.hook == hook && fault.version < version
        });
    }

    /// Nobody wants to see it any more.
    pub fn forget(&self, number: u64) -> bool {
        self.forget_where(|fault| fault.number == number)
    }

    /// Nor any of them.
    pub fn clear(&self) {
        self.forget_where(|_| true);
    }

    fn forget_where(&self, is_over: impl Fn(&Fault) -> bool) -> bool {
        let mut known = self.known();
        let before = known.len();
        let mut mended = self.mended.lock().unwrap_or_else(PoisonError::into_inner);
        mended.extend(
            known
                .extract_if(.., |_, fault| is_over(fault))
                .map(|(_, fault)| fault),
        );
        while mended.len() > MENDED {
            mended.pop_front();
        }
        drop(mended);
        let is_other = known.len() < before;
        if is_other {
            self.changed(&known);
        }
        is_other
    }

    /// The fault of this number, which may be mended.
    pub fn get(&self, number: u64) -> Option<Fault> {
        let known = self.known().get(&number).cloned();
        known.or_else(|| {
            let mended = self.mended.lock().unwrap_or_else(PoisonError::into_inner);
            mended.iter().find(|fault| fault.number == number).cloned()
        })
    }

    /// All of them, the newest first.
    pub fn all(&self) -> Vec<Fault> {
        let mut all: Vec<_> = self.known().values().cloned().collect();
        all.sort_by(|one, other| other.time.total_cmp(&one.time));
        all
    }

    /// A number that is another whenever the list is.
    pub fn revision(&self) -> u64 {
        self.revision.load(Ordering::Relaxed)
    }
}

/// A row about what was saved, for those who look now or later.
pub(super) fn save(event: &'static str, file: &str, text: &str) {
    let row = json!({ "kind": "save", "time": now(), "event": event, "file": file, "text": text });
    JOURNAL.add_save(&row.to_string());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_mended_by_the_same_hook_of_a_newer_version() {
        let faults = Faults::new();
        let fault = |hook, line| Fault {
            handler: "a_wsh.rhai".into(),
            version: 3,
            hook,
            line,
            ..Fault::default()
        };
        for (hook, line) in [("transfer_data", 1), ("transfer_data", 1), ("on_open", 2)] {
            faults.meet(fault(hook, line));
        }
        let times: Vec<_> = faults.all().iter().map(|fault| fault.times).collect();
        assert_eq!(times.iter().sum::<u64>(), 3);
        assert_eq!(times.len(), 2);
        faults.ran_well("a_wsh.rhai", "transfer_data", 3);
        faults.ran_well("b_wsh.rhai", "transfer_data", 4);
        assert_eq!(faults.all().len(), 2, "the same version, another file");
        let revision = faults.revision();
        faults.ran_well("a_wsh.rhai", "transfer_data", 4);
        assert_eq!(faults.all()[0].hook, "on_open");
        assert_ne!(faults.revision(), revision);
        for line in 0..2 * MOST {
            faults.meet(fault("on_timer", line));
        }
        assert_eq!(faults.all().len(), MOST);
        faults.clear();
        assert!(!faults.are_there());
    }
}
