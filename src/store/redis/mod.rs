//! The engine in Redis or Valkey, `--store redis://HOST`: stores and queues that several servers
//! share.
//!
//! Every call is one command, sent in the order of the calls of a thread, and atomic there. What
//! changes is told to all servers on a channel; whoever waits looks again once a second, too, since
//! a notice may be lost on its way.

mod scripts;

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ::redis::{Cmd, Value};
use tokio::sync::oneshot;
use tokio::task::spawn_local;

use super::Limits;
use super::answer::{Answer, Result};
use super::change::Change;
use super::engine::{Engine, Item, Named, Names, Place, TakeBack, Taken};
use super::notices::Notices;
use super::refused::Refused;
use super::value::{Bytes, Kept, Millis};
use crate::config::{EngineUrl, limits};
use crate::link::{self, Failed, Feed, Health, News};
use crate::observe::metrics::{self, Stores};
use crate::redis::{Channels, Commands, Script, feed};
use scripts::Scripts;

/// What the engine is for, as logs and metrics have it.
const ROLE: &str = "store";
/// Its connections: commands and notices.
const CONNECTIONS: usize = 2;
/// Keys and leases whose time is up that go in one command.
const AT_ONCE: usize = 500;
/// Time before a subscription that has failed is tried again.
const AGAIN: Duration = Duration::from_millis(500);
/// Answers that take longer than this say nothing of Redis' clock.
const PROMPT: Duration = Duration::from_millis(200);
/// Digits of a server's name, in front of a notice.
const NAME: usize = 16;

/// Values and queues in Redis.
#[derive(Debug)]
pub struct Shared(Arc<Inner>);

struct Inner {
    commands: Commands,
    scripts: Scripts,
    /// What the names of all keys begin with.
    base: String,
    channel: String,
    /// This server, which has told itself already.
    name: String,
    limits: Limits,
    notices: Arc<Notices>,
    keys: AtomicU64,
    entries: AtomicU64,
    /// Milliseconds by which Redis' clock is ahead of this machine's.
    ahead: AtomicI64,
}

impl Shared {
    /// The engine at this URL, on a thread of its own, which tells these notices.
    pub fn start(
        url: &EngineUrl,
        engine: &limits::Engine,
        limits: Limits,
        notices: Arc<Notices>,
    ) -> io::Result<Self> {
        let health = Arc::new(Health::new(ROLE, url.to_string(), CONNECTIONS));
        let scripts = Scripts::new();
        let (commands, carrying) = Commands::new(url, engine, &health, scripts.all());
        let inner = Arc::new(Inner {
            commands,
            scripts,
            base: format!("{}:store:", url.prefix),
            channel: format!("{}:{}:store", url.prefix, url.database),
            name: format!("{:016x}", fastrand::u64(..)),
            limits,
            notices,
            keys: AtomicU64::new(0),
            entries: AtomicU64::new(0),
            ahead: AtomicI64::new(0),
        });
        let (told, url, incoming) = (Arc::clone(&inner), url.clone(), engine.incoming);
        link::start(ROLE, move || async move {
            let news = Feed::new(incoming);
            spawn_local(carrying);
            spawn_local(feed(url, news.clone(), health));
            loop {
                told.hear(news.next().await);
            }
        })?;
        Ok(Self(inner))
    }

    /// Redis' time, by this machine's: what runs out does so for all nodes at once.
    pub fn time(&self, here: Millis) -> Millis {
        here.saturating_add_signed(self.0.ahead.load(Ordering::Relaxed))
    }
}

impl Inner {
    /// Takes what has come from the connection for notices. Whatever is missed, whoever waits sees
    /// when it looks again.
    fn hear(&self, news: News<Channels>) {
        match news {
            News::Up(mut channels) => {
                let channel = [self.channel.clone()];
                spawn_local(async move {
                    // The end of the connection ends it as well.
                    for _ in 0..10 {
                        match channels.subscribe(&channel).await {
                            Ok(()) => return,
                            Err(_) => tokio::time::sleep(AGAIN).await,
                        }
                    }
                });
            }
            News::Message(_, bytes) => {
                let text = std::str::from_utf8(&bytes).ok();
                if let Some((from, notice)) = text.and_then(|text| text.split_at_checked(NAME))
                    && from != self.name
                {
                    self.tell(notice);
                }
            }
            News::Missed(_) | News::Down => {}
        }
    }

    /// Something has changed.
    fn tell(&self, notice: &str) {
        if let Some(at) = notice.strip_prefix('k') {
            if let Some((store, key)) = at.split_once('\n') {
                self.notices.changed(&Place {
                    store: store.into(),
                    key: key.into(),
                });
            }
        } else if let Some(queue) = notice.strip_prefix('f') {
            self.notices.filled(queue, 1);
        } else if let Some(queue) = notice.strip_prefix('e') {
            self.notices.emptied(queue);
        }
    }

    fn call(&self, script: &Script) -> Cmd {
        let mut command = script.call(&[&self.base]);
        command.arg(&self.name).arg(&self.channel);
        command
    }

    /// Has a script run, and something made of its answer.
    fn run<T: Send + 'static>(
        self: &Arc<Self>,
        command: Cmd,
        bytes: usize,
        then: impl FnOnce(&Arc<Self>, Result<Parts>) -> Result<T> + Send + 'static,
    ) -> Answer<T> {
        let (sender, receiver) = oneshot::channel();
        let inner = Arc::clone(self);
        self.commands.give(command, bytes, move |answer| {
            let parts = answer.map_err(failed).and_then(|value| inner.read(value));
            // Whoever asked may be gone.
            let _ = sender.send(then(&inner, parts));
        });
        let lost = || failed(Failed::Lost(ROLE));
        Answer::later(async move { receiver.await.unwrap_or_else(|_| Err(lost())) })
    }

    /// Reads an answer: sizes, what was refused, and the rest.
    fn read(&self, value: Value) -> Result<Parts> {
        let Value::Array(parts) = value else {
            return Err(odd());
        };
        let mut parts = parts.into_iter();
        let mut number = || text(parts.next()?)?.parse().ok();
        let (Some(keys), Some(entries)) = (number(), number()) else {
            return Err(odd());
        };
        self.keys.store(keys, Ordering::Relaxed);
        self.entries.store(entries, Ordering::Relaxed);
        let refused = parts.next().and_then(text).ok_or_else(odd)?;
        match refused.as_str() {
            "" => Ok(Parts(parts.collect::<Vec<_>>().into_iter())),
            "room" => Err(Refused::Room(self.limits.bytes)),
            "keys" => Err(Refused::Keys(self.limits.keys)),
            "queues" => Err(Refused::Queues(self.limits.queues)),
            "overflow" => Err(Refused::Overflow(String::new())),
            "number" => Err(Refused::NoNumber(String::new())),
            _ => Err(odd()),
        }
    }
}

/// What an answer says.
struct Parts(std::vec::IntoIter<Value>);

impl Parts {
    fn bytes(&mut self) -> Result<Vec<u8>> {
        match self.0.next() {
            Some(Value::BulkString(bytes)) => Ok(bytes),
            _ => Err(odd()),
        }
    }

    fn text(&mut self) -> Result<String> {
        String::from_utf8(self.bytes()?).map_err(|_| odd())
    }

    fn number<N: std::str::FromStr>(&mut self) -> Result<N> {
        self.text()?.parse().map_err(|_| odd())
    }

    /// Whether something was done.
    fn done(mut self) -> Result<bool> {
        Ok(self.number::<u8>()? == 1)
    }
}

/// How far a clock is ahead that has said this time, when it was asked at that time here, and the
/// answer took so long: nothing is known if that was long.
fn difference(asked: Millis, there: Millis, took: Duration) -> Option<i64> {
    let here = asked.saturating_add(u64::try_from(took.as_millis()).ok()? / 2);
    (took <= PROMPT).then(|| there.wrapping_sub(here).cast_signed())
}

/// Whether all were found, and for each its kind, its name, and how much is in it.
fn named(parts: Vec<Value>, most: usize) -> Option<Names> {
    let mut parts = parts.into_iter().map(text);
    let is_all = parts.next()?? == "all";
    let (mut stores, mut queues) = (Vec::new(), Vec::new());
    while let Some(kind) = parts.next() {
        let named = Named {
            name: parts.next()??.into(),
            count: parts.next()??.parse().ok()?,
            is_all: true,
        };
        match kind?.as_str() {
            "store" => stores.push(named),
            _ => queues.push(named),
        }
    }
    let mut names = Names::first(stores, queues, most);
    names.is_all &= is_all;
    Some(names)
}

fn text(value: Value) -> Option<String> {
    match value {
        Value::BulkString(bytes) => String::from_utf8(bytes).ok(),
        _ => None,
    }
}

fn failed(failed: Failed) -> Refused {
    Refused::Engine(failed.to_string())
}

/// What a command about this key has come to.
fn about(key: &str, error: Failed) -> Refused {
    failed(match error {
        Failed::Refused(role, what) => Failed::Refused(role, format!("{key}: {what}")),
        other => other,
    })
}

/// A key has something that no script of ours has written.
fn foreign(key: &str) -> Refused {
    let what = "no wsh-server has written this".to_owned();
    about(key, Failed::Refused(ROLE, what))
}

/// An answer that no script of ours gives.
fn odd() -> Refused {
    let what = "its answer is not understood: somebody else writes under the same prefix";
    failed(Failed::Refused(ROLE, what.to_owned()))
}

/// A value as it is kept: when it goes, and the value.
fn kept(raw: &[u8]) -> Option<Kept> {
    let space = |bytes: &[u8]| memchr::memchr(b' ', bytes);
    let number = |bytes: &[u8]| std::str::from_utf8(bytes).ok()?.parse::<u64>().ok();
    let (until, rest) = raw.split_at(space(raw)?);
    let rest = &rest[1..];
    let (length, rest) = rest.split_at(space(rest)?);
    let length = usize::try_from(number(length)?).ok()?;
    let (_, value) = rest[1..].split_at_checked(length)?;
    let until = match until {
        b"-" => None,
        until => Some(number(until)?),
    };
    Some(Kept {
        value: value.into(),
        until,
    })
}

/// The bytes of a value that is kept so, for whoever tries what hostile ones do.
pub fn value(raw: &[u8]) -> Option<Bytes> {
    kept(raw).map(|kept| kept.value)
}

fn time(until: Option<Millis>) -> String {
    until.map_or_else(|| "-".to_owned(), |until| until.to_string())
}

impl Engine for Shared {
    fn kind(&self) -> &'static str {
        "redis"
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn health(&self) -> Option<&Arc<Health>> {
        Some(self.0.commands.health())
    }

    fn link(&self) -> Option<metrics::Engine> {
        let health = self.0.commands.health();
        Some(metrics::Engine {
            role: health.role(),
            is_up: health.is_up(),
            connections: health.connections(),
            lost: self.0.commands.lost(),
        })
    }

    fn get(&self, at: &Place, now: Millis) -> Answer<Option<Kept>> {
        let mut command = ::redis::cmd("HGET");
        let hash = format!("{}v:{}", self.0.base, at.store);
        command.arg(&hash).arg(&*at.key);
        let place = format!("{hash} {}", at.key);
        let (sender, receiver) = oneshot::channel();
        self.0.commands.give(command, 0, move |answer| {
            let found = match answer {
                Ok(Value::Nil) => Ok(None),
                Ok(Value::BulkString(raw)) => kept(&raw).map(Some).ok_or_else(|| foreign(&place)),
                Ok(_) => Err(odd()),
                Err(error) => Err(about(&hash, error)),
            };
            // Whoever asked may be gone.
            let _ = sender.send(found.map(|kept| kept.filter(|kept| kept.is_there(now))));
        });
        let lost = || failed(Failed::Lost(ROLE));
        Answer::later(async move { receiver.await.unwrap_or_else(|_| Err(lost())) })
    }

    fn change(&self, at: &Place, change: Change, payer: &Arc<str>, now: Millis) -> Answer<i64> {
        let mut command = self.0.call(&self.0.scripts.change);
        command.arg(&*at.store).arg(&*at.key).arg(&**payer).arg(now);
        let bytes = change.brings();
        let none = &[][..];
        let (op, value, until, is_if, seen, has_value) = match &change {
            Change::Set {
                value,
                until,
                absent,
            } => ("set", &**value, *until, *absent, none, true),
            Change::Add(more) => {
                command.arg("add").arg(*more).arg("-").arg(0).arg("").arg(1);
                ("", none, None, false, none, true)
            }
            Change::Delete => ("delete", none, None, false, none, false),
            Change::Expire(until) => ("expire", none, Some(*until), false, none, false),
            Change::Swap { seen, value } => (
                "swap",
                value.as_deref().unwrap_or_default(),
                None,
                seen.is_some(),
                seen.as_deref().unwrap_or_default(),
                value.is_some(),
            ),
        };
        if !op.is_empty() {
            command.arg(op).arg(value).arg(time(until));
            command
                .arg(u8::from(is_if))
                .arg(seen)
                .arg(u8::from(has_value));
        }
        command.arg(self.0.limits.keys).arg(self.0.limits.bytes);
        let at = at.clone();
        self.0.run(command, bytes, move |inner, parts| {
            let mut parts = parts.map_err(|refused| match refused {
                Refused::Overflow(_) => Refused::Overflow(at.key.to_string()),
                Refused::NoNumber(_) => Refused::NoNumber(at.key.to_string()),
                refused => refused,
            })?;
            let answer = parts.number()?;
            if parts.text()? != "same" {
                inner.notices.changed(&at);
            }
            Ok(answer)
        })
    }

    fn keys(&self, store: &str, prefix: &str, most: usize, now: Millis) -> Answer<Vec<Arc<str>>> {
        let mut command = self.0.call(&self.0.scripts.keys);
        command.arg(store).arg(prefix).arg(most).arg(now);
        let (sender, receiver) = oneshot::channel();
        self.0.commands.give(command, 0, move |answer| {
            let keys = match answer {
                Ok(Value::Array(keys)) => {
                    let keys = keys.into_iter().map(|key| text(key).map(Arc::from));
                    keys.collect::<Option<Vec<_>>>().ok_or_else(odd)
                }
                Ok(_) => Err(odd()),
                Err(error) => Err(failed(error)),
            };
            // Whoever asked may be gone.
            let _ = sender.send(keys);
        });
        let lost = || failed(Failed::Lost(ROLE));
        Answer::later(async move { receiver.await.unwrap_or_else(|_| Err(lost())) })
    }

    fn names(&self, find: &str, most: usize) -> Answer<Names> {
        let mut command = self.0.call(&self.0.scripts.names);
        command.arg(find).arg(most);
        let (sender, receiver) = oneshot::channel();
        self.0.commands.give(command, 0, move |answer| {
            let names = match answer {
                Ok(Value::Array(parts)) => named(parts, most).ok_or_else(odd),
                Ok(_) => Err(odd()),
                Err(error) => Err(failed(error)),
            };
            // Whoever asked may be gone.
            let _ = sender.send(names);
        });
        let lost = || failed(Failed::Lost(ROLE));
        Answer::later(async move { receiver.await.unwrap_or_else(|_| Err(lost())) })
    }

    fn put(&self, queue: &Arc<str>, value: &Bytes, payer: &Arc<str>) -> Answer<bool> {
        let limits = &self.0.limits;
        let mut command = self.0.call(&self.0.scripts.put);
        command.arg(&**queue).arg(&**value).arg(&**payer);
        for bound in [limits.entries, limits.queue, limits.bytes, limits.queues] {
            command.arg(bound);
        }
        let queue = Arc::clone(queue);
        self.0.run(command, value.len(), move |inner, parts| {
            let put = parts?.done()?;
            if put {
                inner.notices.filled(&queue, 1);
            }
            Ok(put)
        })
    }

    fn take(&self, queue: &Arc<str>, lease: Option<Millis>) -> Answer<Option<Taken>> {
        let mut command = self.0.call(&self.0.scripts.take);
        command.arg(&**queue).arg(time(lease));
        let queue = Arc::clone(queue);
        self.0.run(command, 0, move |inner, parts| {
            let item = parts.and_then(|mut parts| {
                if parts.number::<u8>()? == 0 {
                    return Ok(None);
                }
                let item = Item {
                    number: parts.number()?,
                    payer: parts.text()?.into(),
                    value: parts.bytes()?.into(),
                    lease: parts.text()?.parse().ok(),
                    queue: Arc::clone(&queue),
                };
                Ok(Some(item))
            });
            match &item {
                // It may be there still.
                Err(_) => inner.notices.filled(&queue, 1),
                Ok(Some(item)) if item.lease.is_none() => inner.notices.emptied(&queue),
                Ok(_) => {}
            }
            let back: Arc<dyn TakeBack> = Arc::clone(inner) as _;
            item.map(|item| item.map(|item| Taken::new(item, back)))
        })
    }

    fn done(&self, queue: &Arc<str>, lease: u64) -> Answer<bool> {
        let mut command = self.0.call(&self.0.scripts.done);
        command.arg(&**queue).arg(lease);
        let queue = Arc::clone(queue);
        self.0.run(command, 0, move |inner, parts| {
            let done = parts?.done()?;
            if done {
                inner.notices.emptied(&queue);
            }
            Ok(done)
        })
    }

    fn length(&self, queue: &str) -> Answer<usize> {
        let mut command = ::redis::cmd("ZCARD");
        let key = format!("{}r:{queue}", self.0.base);
        command.arg(&key);
        let (sender, receiver) = oneshot::channel();
        self.0.commands.give(command, 0, move |answer| {
            let length = match answer {
                Ok(Value::Int(length)) => usize::try_from(length).map_err(|_| odd()),
                Ok(_) => Err(odd()),
                Err(error) => Err(about(&key, error)),
            };
            // Whoever asked may be gone.
            let _ = sender.send(length);
        });
        let lost = || failed(Failed::Lost(ROLE));
        Answer::later(async move { receiver.await.unwrap_or_else(|_| Err(lost())) })
    }

    fn tick(&self, now: Millis) {
        if !self.0.commands.are_there() {
            return;
        }
        let mut command = self.0.call(&self.0.scripts.sweep);
        command.arg(now).arg(AT_ONCE);
        let (asked, ahead) = (Instant::now(), self.0.ahead.load(Ordering::Relaxed));
        drop(self.0.run(command, 0, move |inner, parts| {
            let mut parts = parts?;
            let there = parts.number()?;
            if let Some(more) = difference(now, there, asked.elapsed()) {
                inner
                    .ahead
                    .store(ahead.saturating_add(more), Ordering::Relaxed);
            }
            for told in parts.0 {
                if let Some(told) = text(told) {
                    inner.tell(&told);
                }
            }
            Ok(())
        }));
    }

    fn sizes(&self) -> Stores {
        Stores {
            keys: self.0.keys.load(Ordering::Relaxed),
            entries: self.0.entries.load(Ordering::Relaxed),
        }
    }
}

impl TakeBack for Inner {
    fn take_back(&self, item: Item) {
        let mut command = self.call(&self.scripts.back);
        let lease = item.lease;
        command
            .arg(&*item.queue)
            .arg(time(lease))
            .arg(item.number)
            .arg(&*item.payer)
            .arg(&*item.value);
        let (queue, notices) = (Arc::clone(&item.queue), Arc::clone(&self.notices));
        self.commands.insist(command, item.value.len(), move |_| {
            notices.filled(&queue, 1);
        });
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Inner")
            .field("commands", &self.commands)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_compared_by_the_middle_of_an_answer() {
        let took = Duration::from_millis(100);
        assert_eq!(difference(1000, 1050, took), Some(0));
        assert_eq!(difference(1000, 61_050, took), Some(60_000));
        assert_eq!(difference(61_000, 1050, took), Some(-60_000));
        assert_eq!(
            difference(0, u64::MAX, Duration::ZERO),
            Some(-1),
            "nonsense is no panic"
        );
        assert_eq!(difference(1000, 1050, PROMPT * 2), None);
    }
}
