//! The contract that every engine keeps, and what is waited for.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::Limits;
use super::answer::Answer;
use super::change::Change;
use super::engine::{Engine, Named, Place, Taken};
use super::file::File;
use super::memory::Memory;
use super::notices::Notices;
use super::redis::Shared;
use super::refused::Refused;
use super::shelf::Shelf;
use super::value::Bytes;
use crate::config::limits::{ENGINE, STORES};

/// A shelf whose clock a test sets.
struct Bench {
    shelf: Arc<Shelf>,
    notices: Arc<Notices>,
    now: Arc<AtomicU64>,
}

impl Bench {
    fn new(limits: Limits, engine: impl FnOnce(Limits, Arc<Notices>) -> Arc<dyn Engine>) -> Self {
        let notices = Arc::<Notices>::default();
        let now = Arc::new(AtomicU64::new(1_000));
        let clock = Arc::clone(&now);
        let engine = engine(limits, Arc::clone(&notices));
        let clock = move || clock.load(Ordering::Relaxed);
        let shelf = Shelf::new(engine, Arc::clone(&notices), limits, clock);
        Self {
            shelf: Arc::new(shelf),
            notices,
            now,
        }
    }

    fn memory(limits: Limits) -> Self {
        Self::new(limits, |limits, notices| {
            Arc::new(Memory::new(limits, notices))
        })
    }

    /// So much later.
    fn passes(&self, millis: u64) {
        self.now.fetch_add(millis, Ordering::Relaxed);
        self.shelf.tick();
    }

    async fn take(&self, patience: Option<Duration>, lease: Option<Duration>) -> Option<Taken> {
        let taken = self.shelf.take(&name("q"), patience, lease).get().await;
        taken.expect("the engine answers")
    }

    async fn take_now(&self) -> Option<String> {
        let taken = self.take(Some(Duration::ZERO), None).await;
        taken.and_then(text)
    }

    async fn put(&self, value: &str) {
        let put = self.shelf.put(&name("q"), bytes(value), &name("a"));
        put.get().await.expect("it is put");
    }
}

fn name(name: &str) -> Arc<str> {
    name.into()
}

fn bytes(value: &str) -> Bytes {
    value.as_bytes().into()
}

fn at(key: &str) -> Place {
    Place {
        store: name("s"),
        key: name(key),
    }
}

fn text(taken: Taken) -> Option<String> {
    let item = taken.accept()?;
    String::from_utf8(item.value.to_vec()).ok()
}

const SECOND: Duration = Duration::from_secs(1);

async fn values(bench: &Bench) {
    let (shelf, payer) = (&bench.shelf, &name("a"));
    let get = async |key| shelf.get(&at(key)).get().await;
    let set = async |key, value, time, absent| {
        let set = shelf.set(&at(key), bytes(value), time, absent, payer);
        set.get().await.expect("it is set")
    };
    let change = async |key, change| shelf.change(&at(key), change, payer).get().await;
    assert_eq!(get("k").await, Ok(None));
    assert!(set("k", "1", None, true).await);
    assert!(!set("k", "2", None, true).await);
    assert_eq!(get("k").await, Ok(Some(bytes("1"))));
    assert_eq!(change("k", Change::Add(41)).await, Ok(42));
    assert_eq!(get("k").await, Ok(Some(bytes("42"))));
    set("k", "\"x\"", None, false).await;
    let refused = Err(Refused::NoNumber("k".into()));
    assert_eq!(change("k", Change::Add(1)).await, refused);
    let swap = |seen, value| Change::Swap { seen, value };
    assert_eq!(change("k", swap(None, None)).await, Ok(0));
    let seen = Some(bytes("\"x\""));
    let swapped = change("k", swap(seen.clone(), Some(bytes("\"y\"")))).await;
    assert_eq!(swapped, Ok(1));
    assert_eq!(change("k", swap(seen, None)).await, Ok(0));
    assert_eq!(change("k", Change::Delete).await, Ok(1));
    assert_eq!(change("k", Change::Delete).await, Ok(0));
    for key in ["b", "ab", "aa", "a"] {
        set(key, "1", None, false).await;
    }
    let keys = async |prefix, most| {
        let keys = shelf.keys("s", prefix, most).get().await.expect("keys");
        keys.join(" ")
    };
    assert_eq!(keys("", 9).await, "a aa ab b");
    assert_eq!(keys("a", 9).await, "a aa ab");
    assert_eq!(keys("", 2).await, "a aa");
    assert_eq!(keys("z", 9).await, "");
    // Time.
    set("gone", "1", Some(SECOND), false).await;
    set("stays", "1", Some(SECOND), false).await;
    set("stays", "2", None, false).await;
    assert_eq!(
        change("gone", Change::Add(1)).await,
        Ok(2),
        "and goes all the same"
    );
    bench.now.fetch_add(1_000, Ordering::Relaxed);
    assert_eq!(get("gone").await, Ok(None));
    assert_eq!(get("stays").await, Ok(Some(bytes("2"))));
    assert_eq!(keys("g", 9).await, "");
    assert!(set("gone", "new", None, true).await);
    bench.passes(10_000);
    assert_eq!(get("gone").await, Ok(Some(bytes("new"))));
    assert!(shelf.expire(&at("gone"), SECOND, payer).get().await == Ok(true));
    assert!(shelf.expire(&at("none"), SECOND, payer).get().await == Ok(false));
    bench.passes(1_000);
    assert_eq!(get("gone").await, Ok(None));
    // What writes later answers in order.
    assert_eq!(change("none", Change::Delete).await, Ok(0));
    assert_eq!(shelf.sizes().keys, 5);
    for key in ["b", "ab", "aa", "a", "stays"] {
        assert_eq!(change(key, Change::Delete).await, Ok(1));
    }
    assert_eq!(shelf.sizes().keys, 0);
}

async fn bounds(bench: &Bench) {
    let shelf = &bench.shelf;
    let set = async |key: &str, value: &str, payer: &str| {
        let set = shelf.set(&at(key), bytes(value), None, false, &name(payer));
        set.get().await
    };
    let long = "x".repeat(STORES.key + 1);
    for key in ["", "a\nb", &long] {
        assert_eq!(set(key, "1", "a").await, Err(Refused::Name("a key", 256)));
    }
    for key in ["1", "2", "3"] {
        assert_eq!(set(key, "1", "a").await, Ok(true));
    }
    assert_eq!(set("4", "1", "a").await, Err(Refused::Keys(3)));
    assert_eq!(set("4", "1", "b").await, Ok(true), "another has its own");
    assert_eq!(set("3", "1", "b").await, Ok(true), "whoever writes pays");
    assert_eq!(set("5", "1", "a").await, Ok(true));
    let value = "x".repeat(300);
    assert_eq!(set("1", &value, "a").await, Err(Refused::Value(300, 200)));
    let value = &value[..200];
    assert_eq!(set("1", value, "a").await, Ok(true));
    assert_eq!(set("2", value, "a").await, Err(Refused::Room(590)));
    assert_eq!(set("1", "1", "a").await, Ok(true));
    assert_eq!(set("2", value, "a").await, Ok(true), "there is room again");
    for key in ["1", "2", "3", "4", "5"] {
        let deleted = shelf.change(&at(key), Change::Delete, &name("c"));
        assert_eq!(deleted.get().await, Ok(1));
    }
    // Queues pay as well.
    let put = async |queue: &str, value: &str, payer: &str| {
        let put = shelf.put(&name(queue), bytes(value), &name(payer));
        put.get().await
    };
    assert_eq!(put("1", value, "a").await, Ok(()));
    assert_eq!(put("2", value, "a").await, Ok(()));
    assert_eq!(put("3", "1", "a").await, Err(Refused::Queues(2)));
    assert_eq!(put("2", value, "a").await, Err(Refused::Room(590)));
    for queue in ["1", "2"] {
        let taken = shelf.take(&name(queue), Some(Duration::ZERO), None);
        assert!(
            taken
                .get()
                .await
                .expect("an answer")
                .and_then(text)
                .is_some()
        );
    }
    bench.passes(0);
    assert_eq!(put("3", "1", "a").await, Ok(()));
    let taken = shelf.take(&name("3"), Some(Duration::ZERO), None);
    assert!(
        taken
            .get()
            .await
            .expect("an answer")
            .and_then(text)
            .is_some()
    );
}

async fn queues(bench: &Bench) {
    assert_eq!(bench.take_now().await, None);
    for value in ["1", "2", "3"] {
        bench.put(value).await;
    }
    let length = async || bench.shelf.length("q").get().await;
    assert_eq!(length().await, Ok(3));
    // What nobody gets is at the front again, in its order.
    let zero = Some(Duration::ZERO);
    let [first, second] = [bench.take(zero, None).await, bench.take(zero, None).await];
    assert_eq!(length().await, Ok(1));
    drop(second);
    drop(first);
    for value in ["1", "2", "3"] {
        let taken = bench.take(Some(20 * SECOND), None).await.and_then(text);
        assert_eq!(taken.as_deref(), Some(value));
    }
    // Leases.
    for value in ["1", "2"] {
        bench.put(value).await;
    }
    let lease = async || {
        let taken = bench
            .take(Some(20 * SECOND), Some(SECOND))
            .await
            .expect("an entry");
        let item = taken.accept().expect("it is here");
        let value = String::from_utf8(item.value.to_vec()).expect("text");
        (value, item.lease.expect("a lease"))
    };
    let done = async |lease| bench.shelf.done(&name("q"), lease).get().await;
    let (value, kept) = lease().await;
    assert_eq!((value.as_str(), length().await), ("1", Ok(1)));
    bench.passes(500);
    assert_eq!(done(kept).await, Ok(true));
    assert_eq!(done(kept).await, Ok(false));
    let (value, late) = lease().await;
    assert_eq!(value, "2");
    bench.put("3").await;
    bench.passes(1_000);
    let (value, again) = lease().await;
    assert_eq!(value, "2", "at the front");
    assert_eq!(done(late).await, Ok(false), "the lease of another");
    assert_eq!(done(again).await, Ok(true));
    drop(bench.take(zero, Some(SECOND)).await);
    assert_eq!(bench.take_now().await.as_deref(), Some("3"));
    assert_eq!(bench.shelf.sizes().entries, 0);
}

/// Whoever waits is served in order; who goes leaves nothing behind.
async fn waits(bench: &Bench) {
    let shelf = &bench.shelf;
    let mut takers = Vec::new();
    for _ in 0..4 {
        let mut taker = Box::pin(bench.take(None, None));
        assert!(is_pending(&mut taker).await);
        takers.push(taker);
    }
    drop(takers.remove(1));
    drop(takers.remove(0));
    for value in ["1", "2", "3"] {
        bench.put(value).await;
    }
    for (taker, value) in takers.into_iter().zip(["1", "2"]) {
        assert_eq!(taker.await.and_then(text).as_deref(), Some(value));
    }
    assert_eq!(bench.take_now().await.as_deref(), Some("3"));
    // One that has been handed a value and is dropped before it looks.
    for _ in 0..3 {
        let mut taker = Box::pin(bench.take(None, None));
        assert!(is_pending(&mut taker).await);
        bench.put("1").await;
        drop(taker);
        assert_eq!(bench.take_now().await.as_deref(), Some("1"));
    }
    assert!(
        bench
            .take(Some(Duration::from_millis(20)), None)
            .await
            .is_none()
    );
    // Keys.
    let wait = |seen: &str| shelf.wait(&at("k"), Some(bytes(seen)), None).get();
    assert_eq!(wait("1").await, Ok(None), "none is another");
    let payer = &name("a");
    let set = async |value| {
        shelf
            .set(&at("k"), bytes(value), None, false, payer)
            .get()
            .await
    };
    set("1").await.expect("it is set");
    let mut waiting = Box::pin(wait("1"));
    assert!(is_pending(&mut waiting).await);
    set("1").await.expect("it is set");
    assert!(is_pending(&mut waiting).await, "it is the same");
    set("2").await.expect("it is set");
    assert_eq!(waiting.await, Ok(Some(bytes("2"))));
    let patience = Some(Duration::from_millis(20));
    let over = shelf.wait(&at("k"), Some(bytes("2")), patience).get();
    assert_eq!(over.await, Ok(Some(bytes("2"))));
    shelf
        .expire(&at("k"), Duration::from_millis(30), payer)
        .get()
        .await
        .expect("it goes");
    let mut waiting = Box::pin(wait("2"));
    assert!(is_pending(&mut waiting).await);
    bench.now.fetch_add(31, Ordering::Relaxed);
    assert_eq!(waiting.await, Ok(None));
    assert_eq!(bench.notices.waited_for(), (0, 0), "nobody is left");
}

async fn is_pending<F: Future + Unpin>(future: &mut F) -> bool {
    // Long enough for an engine that answers later.
    let polled = tokio::time::timeout(Duration::from_millis(30), future);
    polled.await.is_err()
}

/// Whoever puts into a full queue waits for its turn.
async fn full(bench: &Bench) {
    bench.put("1").await;
    bench.put("2").await;
    let mut third = Box::pin(bench.put("3"));
    assert!(is_pending(&mut third).await);
    let mut gone = Box::pin(bench.put("never"));
    assert!(is_pending(&mut gone).await);
    let mut fourth = Box::pin(bench.put("4"));
    assert!(is_pending(&mut fourth).await);
    drop(gone);
    assert_eq!(bench.take_now().await.as_deref(), Some("1"));
    third.await;
    assert!(is_pending(&mut fourth).await);
    assert_eq!(bench.take_now().await.as_deref(), Some("2"));
    fourth.await;
    for value in ["3", "4"] {
        assert_eq!(bench.take_now().await.as_deref(), Some(value));
    }
    assert_eq!(bench.notices.waited_for(), (0, 0), "nobody is left");
}

/// What there is, by name: so much of it as is asked for.
async fn overview(bench: &Bench) {
    let (shelf, payer) = (&bench.shelf, &name("a"));
    for (store, keys) in [("one*", 1), ("two[x]", 2), ("other", 3)] {
        for number in 0..keys {
            let at = Place {
                store: name(store),
                key: format!("k{number}").as_str().into(),
            };
            let set = shelf.set(&at, bytes("1"), None, false, payer);
            set.get().await.expect("it is set");
        }
    }
    for queue in ["oneq", "q", "q", "q"] {
        let put = shelf.put(&name(queue), bytes("x"), payer);
        put.get().await.expect("it is put");
    }
    let lease = bench.take(Some(Duration::ZERO), Some(SECOND)).await;
    lease.and_then(Taken::accept).expect("an entry, on lease");
    let names = async |find: &str, most| {
        let names = shelf.names(find, most).get().await.expect("names");
        let told = |all: &[Named]| -> Vec<_> {
            let all = all.iter();
            all.map(|named| format!("{} {}", named.name, named.count))
                .collect()
        };
        (told(&names.stores), told(&names.queues), names.is_all)
    };
    let strings = |all: &[&str]| all.iter().map(|one| (*one).to_owned()).collect::<Vec<_>>();
    let stores = strings(&["one* 1", "other 3", "two[x] 2"]);
    let queues = strings(&["oneq 1", "q 2"]);
    assert_eq!(names("", 9).await, (stores, queues, true));
    let found = (strings(&["one* 1"]), strings(&["oneq 1"]), true);
    assert_eq!(names("one", 9).await, found);
    let found = (strings(&["two[x] 2"]), vec![], true);
    assert_eq!(names("[x]", 9).await, found);
    let (stores, queues, is_all) = names("", 1).await;
    assert_eq!((stores.len(), queues.len(), is_all), (1, 1, false));
    assert_eq!(names("nothing", 9).await, (vec![], vec![], true));
}

/// All of the contract, of an engine.
async fn contract(bench: impl Fn(Limits) -> Bench) {
    values(&bench(STORES)).await;
    bounds(&bench(Limits {
        keys: 3,
        value: 200,
        bytes: 590,
        queues: 2,
        ..STORES
    }))
    .await;
    queues(&bench(STORES)).await;
    waits(&bench(STORES)).await;
    overview(&bench(STORES)).await;
    full(&bench(Limits {
        entries: 2,
        ..STORES
    }))
    .await;
}

#[tokio::test]
async fn memory_keeps_the_contract() {
    contract(Bench::memory).await;
}

#[tokio::test]
async fn a_file_keeps_the_contract() {
    let folder = tempfile::tempdir().expect("a folder");
    let number = AtomicU64::new(0);
    contract(|limits| {
        let number = number.fetch_add(1, Ordering::Relaxed);
        let path = folder.path().join(format!("{number}.store"));
        Bench::new(limits, |limits, notices| {
            Arc::new(File::open(&path, limits, notices).expect("it opens"))
        })
    })
    .await;
}

/// A Redis on a socket in a temporary folder.
struct Server(std::process::Child, tempfile::TempDir);

impl Server {
    fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let child = std::process::Command::new("redis-server")
            .args(["--port", "0", "--unixsocket", "redis.sock", "--save", ""])
            .current_dir(folder.path())
            .stdout(std::process::Stdio::null())
            .spawn()
            .expect("redis-server: tests/run installs it");
        Self(child, folder)
    }

    /// A shelf of its own there.
    fn bench(&self, prefix: &str, limits: Limits) -> Bench {
        let socket = self.1.path().join("redis.sock");
        let url = format!("redis+unix:{}?prefix={prefix}", socket.display());
        let url = url.parse().expect("a URL");
        Bench::new(limits, |limits, notices| {
            Arc::new(Shared::start(&url, &ENGINE, limits, notices).expect("a thread"))
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn redis_keeps_the_contract() {
    let server = Server::start();
    let number = AtomicU64::new(0);
    contract(|limits| {
        let number = number.fetch_add(1, Ordering::Relaxed);
        server.bench(&number.to_string(), limits)
    })
    .await;
}

#[tokio::test]
async fn what_one_server_changes_wakes_those_who_wait_on_another() {
    let server = Server::start();
    let (one, other) = (server.bench("s", STORES), server.bench("s", STORES));
    assert_eq!(other.shelf.get(&at("k")).get().await, Ok(None));
    let begun = std::time::Instant::now();
    for round in 0..20 {
        let mut taker = Box::pin(other.take(None, None));
        assert!(is_pending(&mut taker).await);
        let value = round.to_string();
        one.put(&value).await;
        assert_eq!(taker.await.and_then(text), Some(value.clone()));
        let seen = other.shelf.get(&at("k")).get().await.expect("it is there");
        let mut waiting = Box::pin(other.shelf.wait(&at("k"), seen, None).get());
        assert!(is_pending(&mut waiting).await);
        let set = one
            .shelf
            .set(&at("k"), bytes(&value), None, false, &name("a"));
        assert_eq!(set.get().await, Ok(true));
        assert_eq!(waiting.await, Ok(Some(bytes(&value))));
    }
    // Not by looking again, which is once a second.
    assert!(begun.elapsed() < 20 * SECOND, "{:?}", begun.elapsed());
    // Sums of both are one sum.
    let add = |bench: &Bench| {
        let change = bench.shelf.change(&at("n"), Change::Add(1), &name("a"));
        async move { change.get().await.expect("a sum") }
    };
    for _ in 0..100 {
        tokio::join!(add(&one), add(&other));
    }
    assert_eq!(add(&one).await, 201);
}

#[tokio::test]
async fn memory_answers_at_once() {
    let bench = Bench::memory(STORES);
    let set = bench
        .shelf
        .set(&at("k"), bytes("1"), None, false, &name("a"));
    assert!(matches!(set, Answer::Now(Ok(true))));
    assert!(matches!(
        bench.shelf.get(&at("k")),
        Answer::Now(Ok(Some(_)))
    ));
}
