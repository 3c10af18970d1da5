//! What scripts reach: an engine, the bounds of what it is given, and the waits that no engine
//! knows of.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OwnedMutexGuard;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use super::Limits;
use super::answer::{Answer, Result};
use super::change::Change;
use super::engine::{Engine, Names, Place, Taken};
use super::notices::{Line, Notices};
use super::refused::Refused;
use super::timing::{Operation, Timing};
use super::turns::{Turn, Turns};
use super::value::{Bytes, Kept, Millis};
use crate::link::Health;
use crate::observe::metrics::{self, StoreTimes, Stores};

/// How often whoever waits looks again where other processes change things as well: a notice may be
/// lost on its way from them.
const LOOK: Duration = Duration::from_secs(1);

/// A day that nobody waits longer than: what waits without a bound looks again then.
const LONG: Duration = Duration::from_secs(86_400);

/// The stores and queues of the process.
pub struct Shelf {
    engine: Arc<dyn Engine>,
    notices: Arc<Notices>,
    turns: Turns,
    limits: Limits,
    timing: Arc<Timing>,
    /// Milliseconds on the clock that the engine goes by.
    clock: Box<dyn Fn() -> Millis + Send + Sync>,
}

impl Shelf {
    /// An engine, which tells these notices.
    pub fn new(
        engine: Arc<dyn Engine>,
        notices: Arc<Notices>,
        limits: Limits,
        clock: impl Fn() -> Millis + Send + Sync + 'static,
    ) -> Self {
        Self {
            timing: Arc::new(Timing::new(engine.kind())),
            engine,
            notices,
            turns: Turns::default(),
            limits,
            clock: Box::new(clock),
        }
    }

    /// The process is about to end: nothing is kept from now on.
    pub fn close(&self) {
        self.engine.close();
    }

    fn now(&self) -> Millis {
        (self.clock)()
    }

    fn after(&self, time: Duration) -> Millis {
        let millis = u64::try_from(time.as_millis()).unwrap_or(Millis::MAX);
        // Not earlier than was said, and never at once.
        self.now().saturating_add(millis.max(1))
    }

    /// Whether there can be a key, or a store or queue, of this name.
    pub fn check(&self, what: &'static str, name: &str) -> Result<()> {
        let most = self.limits.key;
        if !(1..=most).contains(&name.len()) || name.chars().any(char::is_control) {
            return Err(Refused::Name(what, most));
        }
        Ok(())
    }

    /// The value of a key, if there is one.
    pub fn get(&self, at: &Place) -> Answer<Option<Bytes>> {
        self.look(at).map(|kept| kept.map(|kept| kept.value))
    }

    fn look(&self, at: &Place) -> Answer<Option<Kept>> {
        match self.check("a key", &at.key) {
            Ok(()) => {
                let get = || self.engine.get(at, self.now());
                self.timing.of(Operation::Read, get)
            }
            Err(refused) => Answer::Now(Err(refused)),
        }
    }

    /// Sets a value, for so long, perhaps only where there is none: whether it did.
    pub fn set(
        &self,
        at: &Place,
        value: Bytes,
        time: Option<Duration>,
        absent: bool,
        payer: &Arc<str>,
    ) -> Answer<bool> {
        let until = time.map(|time| self.after(time));
        let set = Change::Set {
            value,
            until,
            absent,
        };
        self.change(at, set, payer).map(|done| done > 0)
    }

    /// Lets a value go by itself after this time; whether there is one.
    pub fn expire(&self, at: &Place, time: Duration, payer: &Arc<str>) -> Answer<bool> {
        let change = Change::Expire(self.after(time));
        self.change(at, change, payer).map(|done| done > 0)
    }

    /// Changes the value of a key, at a handler's expense.
    pub fn change(&self, at: &Place, change: Change, payer: &Arc<str>) -> Answer<i64> {
        let checked = self
            .check("a key", &at.key)
            .and_then(|()| self.fits(change.brings()));
        match checked {
            Ok(()) => {
                let change = || self.engine.change(at, change, payer, self.now());
                self.timing.of(Operation::Write, change)
            }
            Err(refused) => Answer::Now(Err(refused)),
        }
    }

    fn fits(&self, bytes: usize) -> Result<()> {
        match self.limits.value {
            most if bytes > most => Err(Refused::Value(bytes, most)),
            _ => Ok(()),
        }
    }

    /// The keys of a store that begin so, in order, so many at the most.
    pub fn keys(&self, store: &str, prefix: &str, most: usize) -> Answer<Vec<Arc<str>>> {
        let keys = || self.engine.keys(store, prefix, most, self.now());
        self.timing.of(Operation::Read, keys)
    }

    /// The stores and queues in whose name a text is found, so many of each at the most.
    pub fn names(&self, find: &str, most: usize) -> Answer<Names> {
        let names = || self.engine.names(find, most);
        self.timing.of(Operation::Read, names)
    }

    /// Whether updates of a key have to take turns.
    pub fn takes_turns(&self, at: &Place) -> bool {
        self.turns.are_taken(at)
    }

    /// A turn at a key, for an update.
    pub fn turn(&self, at: &Place) -> impl Future<Output = Turn> + Send + use<> {
        self.turns.take(at)
    }

    /// Waits until the value of a key is not this one, for so long at the most: the value then.
    pub fn wait(
        self: &Arc<Self>,
        at: &Place,
        seen: Option<Bytes>,
        patience: Option<Duration>,
    ) -> Answer<Option<Bytes>> {
        match self.get(at) {
            Answer::Now(Ok(value)) if value == seen => {}
            Answer::Later(_) => {}
            answer => return answer,
        }
        let (shelf, at, end) = (Arc::clone(self), at.clone(), end(patience));
        Answer::later(async move { shelf.watch(&at, seen, end).await })
    }

    async fn watch(&self, at: &Place, seen: Option<Bytes>, end: Instant) -> Result<Option<Bytes>> {
        let watch = self.notices.watch(at);
        loop {
            // From here on changes count.
            let changed = watch.value.notified();
            let kept = self.look(at).get().await?;
            let (value, until) = kept.map(|kept| (kept.value, kept.until)).unzip();
            if value != seen {
                return Ok(value);
            }
            let goes = match until.flatten() {
                Some(until) => Duration::from_millis(until.saturating_sub(self.now()).max(1)),
                None => LONG,
            };
            tokio::select! {
                () = changed => {}
                () = sleep(goes) => {}
                () = sleep(LOOK), if self.engine.is_shared() => {}
                () = sleep_until(end) => return Ok(value),
            }
        }
    }

    /// Adds an entry at the end of a queue, at a handler's expense. It waits while the queue is
    /// full; whoever came first puts first.
    pub fn put(self: &Arc<Self>, queue: &Arc<str>, value: Bytes, payer: &Arc<str>) -> Answer<()> {
        let fits = match self.limits.queue {
            most if value.len() > most => Err(Refused::Value(value.len(), most)),
            _ => self.fits(value.len()),
        };
        if let Err(refused) = fits.and_then(|()| self.check("a queue's name", queue)) {
            return Answer::Now(Err(refused));
        }
        let (shelf, queue, payer) = (Arc::clone(self), Arc::clone(queue), Arc::clone(payer));
        let waits = |line: Arc<Line>| line.putters.try_lock().is_err();
        if self.notices.line(&queue).is_some_and(waits) {
            return Answer::later(async move { shelf.put_in_turn(&queue, &value, &payer).await });
        }
        let put = || self.engine.put(&queue, &value, &payer);
        match self.timing.of(Operation::Queue, put) {
            Answer::Now(Ok(false)) => {
                Answer::later(async move { shelf.put_in_turn(&queue, &value, &payer).await })
            }
            Answer::Now(result) => Answer::Now(result.map(drop)),
            Answer::Later(answer) => Answer::later(async move {
                match answer.await? {
                    true => Ok(()),
                    false => shelf.put_in_turn(&queue, &value, &payer).await,
                }
            }),
        }
    }

    async fn put_in_turn(&self, queue: &Arc<str>, value: &Bytes, payer: &Arc<str>) -> Result<()> {
        let place = self.notices.enter(queue, || self.entries(queue));
        let _turn = place.value.putters.lock().await;
        loop {
            let emptied = place.value.emptied();
            let put = || self.engine.put(queue, value, payer);
            if self.timing.of(Operation::Queue, put).get().await? {
                return Ok(());
            }
            tokio::select! {
                () = emptied => {}
                () = sleep(LOOK), if self.engine.is_shared() => {}
            }
        }
    }

    /// Entries of a queue, for those who begin to wait there. Where others use it as well, whoever
    /// waits looks for itself.
    fn entries(&self, queue: &str) -> usize {
        match self.engine.length(queue) {
            Answer::Now(Ok(entries)) => entries,
            Answer::Now(Err(_)) | Answer::Later(_) => 0,
        }
    }

    /// Takes the first entry of a queue, for good or on lease, and waits for one so long at the
    /// most. Whoever came first takes first.
    pub fn take(
        self: &Arc<Self>,
        queue: &Arc<str>,
        patience: Option<Duration>,
        lease: Option<Duration>,
    ) -> Answer<Option<Taken>> {
        if let Err(refused) = self.check("a queue's name", queue) {
            return Answer::Now(Err(refused));
        }
        let waits = patience.is_none_or(|patience| !patience.is_zero());
        let answer = match self.notices.line(queue) {
            None => Some(self.take_now(queue, lease, None)),
            Some(line) => Arc::clone(&line.takers)
                .try_lock_owned()
                .ok()
                .filter(|_| line.claim() || self.engine.is_shared())
                .map(|turn| self.take_now(queue, lease, Some(turn))),
        };
        if !waits {
            return answer.unwrap_or(Answer::Now(Ok(None)));
        }
        let (shelf, queue, end) = (Arc::clone(self), Arc::clone(queue), end(patience));
        match answer {
            Some(Answer::Later(answer)) => Answer::later(async move {
                match answer.await? {
                    Some(taken) => Ok(Some(taken)),
                    None => shelf.take_in_turn(&queue, end, lease).await,
                }
            }),
            Some(answer @ Answer::Now(Ok(Some(_)) | Err(_))) => answer,
            Some(Answer::Now(Ok(None))) | None => {
                Answer::later(async move { shelf.take_in_turn(&queue, end, lease).await })
            }
        }
    }

    /// Takes what is there. The turn is over once the engine has been asked: it answers in order.
    fn take_now(
        &self,
        queue: &Arc<str>,
        lease: Option<Duration>,
        turn: Option<OwnedMutexGuard<()>>,
    ) -> Answer<Option<Taken>> {
        let lease = lease.map(|time| self.after(time));
        let take = || self.engine.take(queue, lease);
        let answer = self.timing.of(Operation::Queue, take);
        drop(turn);
        answer
    }

    async fn take_in_turn(
        &self,
        queue: &Arc<str>,
        end: Instant,
        lease: Option<Duration>,
    ) -> Result<Option<Taken>> {
        let place = self.notices.enter(queue, || self.entries(queue));
        let line = &place.value;
        loop {
            let turn = Arc::clone(&line.takers).lock_owned();
            let Ok(turn) = timeout_at(end, turn).await else {
                return Ok(None);
            };
            while !line.claim() {
                tokio::select! {
                    () = line.filled() => {}
                    () = sleep_until(end) => return Ok(None),
                    () = sleep(LOOK), if self.engine.is_shared() => break,
                }
            }
            if let Some(taken) = self.take_now(queue, lease, Some(turn)).get().await? {
                return Ok(Some(taken));
            }
        }
    }

    /// Ends a lease for good; whether it was still one.
    pub fn done(&self, queue: &Arc<str>, lease: u64) -> Answer<bool> {
        match self.check("a queue's name", queue) {
            Ok(()) => {
                let done = || self.engine.done(queue, lease);
                self.timing.of(Operation::Queue, done)
            }
            Err(refused) => Answer::Now(Err(refused)),
        }
    }

    /// How many entries of a queue can be taken.
    pub fn length(&self, queue: &str) -> Answer<usize> {
        match self.check("a queue's name", queue) {
            Ok(()) => {
                let length = || self.engine.length(queue);
                self.timing.of(Operation::Queue, length)
            }
            Err(refused) => Answer::Now(Err(refused)),
        }
    }

    /// Once a second: what has run out goes, or goes back.
    pub fn tick(&self) {
        self.engine.tick(self.now());
    }

    /// Whether the engine is there, if it is in another process.
    pub fn health(&self) -> Option<&Arc<Health>> {
        self.engine.health()
    }

    /// The same for the metrics.
    pub fn link(&self) -> Option<metrics::Engine> {
        self.engine.link()
    }

    /// How long the engine takes.
    pub fn times(&self) -> Vec<StoreTimes> {
        self.timing.read()
    }

    /// What is kept.
    pub fn sizes(&self) -> Stores {
        self.engine.sizes()
    }
}

/// When patience ends.
fn end(patience: Option<Duration>) -> Instant {
    Instant::now() + patience.unwrap_or(365 * LONG)
}

impl fmt::Debug for Shelf {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Shelf")
            .field("engine", &self.engine)
            .finish_non_exhaustive()
    }
}
