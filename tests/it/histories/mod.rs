//! A model checker for what connects connections: random histories of several connections at once,
//! run against the real program, and what they have seen held against plain models. A history is
//! made from its seed, which a failure prints; `HISTORY_SEED` runs that one alone, `HISTORIES` says
//! how many there are.

mod linear;
mod nodes;
mod topics;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};

use self::linear::{Call, Model, is_linearizable};
use self::nodes::Nodes;
use self::topics::{LAST, Listening, Position, Published, Subscription, check_kept, check_plain};
use super::support::{Client, Engine, Kind, Redis, Server, on_each_engine};

/// Does what it is told, and answers `{"answer": …}`.
const HANDLER: &str = r#"
fn on_load() {
    topic("kept/*", #{history: 8, seconds: 600, envelope: true});
}

fn transfer_data(ws, message) {
    let order = parse_json(message);
    let state = store("model");
    let answer = ();
    try {
        answer = switch order.act {
            "subscribe" => ws.subscribe(order.name, #{since: order.value}),
            "publish" => publish(order.name, order.value),
            "position" => position(order.name),
            "get" => state.get(order.name),
            "set" => state.set(order.name, order.value),
            "absent" => state.set(order.name, order.value, #{absent: true}),
            "incr" => state.incr(order.name),
            "update" => { let more = order.value; state.update(order.name, |old| (old ?? 0) + more) },
            "delete" => state.delete(order.name),
            "put" => queue(order.name).put(order.value),
            "take" => queue(order.name).take(0),
        };
    } catch (error) {
        answer = #{error: error.kind, message: error.message};
    }
    ws.send_json(#{answer: answer});
}

fn on_gap(ws, topic) {
    ws.send(`${topic}|gap`);
}
"#;

/// Messages that a topic keeps, as the handler says.
const KEPT: u64 = 8;

/// Connections of a history, beside the one that listens to everything.
const ACTORS: usize = 3;

/// A history that takes so long hangs.
const HANG: Duration = Duration::from_secs(60);

/// Orders of one of them.
const ORDERS: std::ops::Range<usize> = 4..16;

/// What is stored under one key.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
struct Register(Option<i64>);

impl Model for Register {
    type Call = (&'static str, i64);
    type Answer = Value;

    fn apply(&mut self, (act, value): &Self::Call) -> Value {
        match *act {
            "get" => json!(self.0),
            "set" => {
                self.0 = Some(*value);
                json!(true)
            }
            "absent" => {
                let is_absent = self.0.is_none();
                self.0.get_or_insert(*value);
                json!(is_absent)
            }
            "incr" | "update" => {
                let more = if *act == "incr" { 1 } else { *value };
                json!(*self.0.insert(self.0.unwrap_or(0) + more))
            }
            "delete" => json!(self.0.take().is_some()),
            other => unreachable!("{other}"),
        }
    }
}

/// What is in a queue, and what was taken by those who had gone when the answer came: it is put
/// back in front, perhaps after somebody else has taken what was behind it.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
struct Queue {
    values: VecDeque<i64>,
    lost: BTreeMap<i64, i64>,
}

impl Model for Queue {
    type Call = (&'static str, i64);
    type Answer = Value;

    fn apply(&mut self, (act, value): &Self::Call) -> Value {
        match *act {
            "put" => {
                self.values.push_back(*value);
                Value::Null
            }
            "take" => json!(self.values.pop_front()),
            "lose" => {
                let taken = self.values.pop_front();
                self.lost.extend(taken.map(|taken| (*value, taken)));
                Value::Null
            }
            "back" => {
                if let Some(taken) = self.lost.remove(value) {
                    self.values.push_front(taken);
                }
                Value::Null
            }
            other => unreachable!("{other}"),
        }
    }
}

type Calls = BTreeMap<String, Vec<Call<(&'static str, i64), Value>>>;

/// What was seen in a history.
#[derive(Default)]
struct Record {
    subscriptions: Vec<Subscription>,
    listenings: Vec<Listening>,
    published: Vec<Published>,
    registers: Calls,
    queues: Calls,
    /// Positions that somebody has seen, of any topic.
    positions: Vec<String>,
}

/// Why there is no answer.
enum Unanswered {
    /// Nothing was done, as was said.
    Undone,
    /// It may have been done or not.
    Unknown,
}

/// A history that runs: its names, its clock and what was seen.
struct History<'s> {
    nodes: &'s Nodes,
    name: String,
    clock: AtomicU64,
    record: Mutex<Record>,
}

/// One of its connections.
struct Actor<'h> {
    history: &'h History<'h>,
    random: fastrand::Rng,
    client: Client,
    /// What this connection subscribes to.
    kept: Vec<Subscription>,
    plain: Vec<Listening>,
    /// Messages of topics whose subscription has not been answered yet.
    early: Vec<(String, Option<Position>, String)>,
}

impl History<'_> {
    fn now(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::SeqCst)
    }

    fn record(&self) -> std::sync::MutexGuard<'_, Record> {
        self.record.lock().expect("nobody panicked")
    }

    fn topics(&self) -> [String; 3] {
        let third = if self.nodes.order_all() {
            "plain"
        } else {
            "kept/c"
        };
        ["kept/a", "kept/b", third].map(|topic| format!("{topic}/{}", self.name))
    }
}

impl<'h> Actor<'h> {
    async fn new(history: &'h History<'h>, seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let client = history.nodes.connect(&mut random).await;
        Self {
            history,
            random,
            client,
            kept: Vec::new(),
            plain: Vec::new(),
            early: Vec::new(),
        }
    }

    /// Takes note of a message that is no answer.
    fn note(&mut self, text: &str) {
        let (position, data) = match serde_json::from_str::<Value>(text) {
            Ok(envelope) => {
                let position = envelope["position"].as_str().expect("a position");
                self.history.record().positions.push(position.to_owned());
                let data = envelope["data"].as_str().expect("data").to_owned();
                (Position::parse(position), data)
            }
            Err(_) => (None, text.to_owned()),
        };
        let (topic, _) = data.split_once('|').expect("a message of ours");
        let kept = self.kept.iter_mut().find(|one| one.topic == topic);
        let plain = self.plain.iter_mut().find(|one| one.topic == topic);
        match (kept, plain) {
            (Some(kept), _) => kept.hear(position, data),
            (_, Some(plain)) => plain.hear(data),
            _ => self.early.push((topic.to_owned(), position, data)),
        }
    }

    /// The next message, noted if it is no answer; an error where the connection is lost.
    async fn next(&mut self) -> Result<Option<Value>, ()> {
        let text = self.client.try_next_text().await.ok_or(())?;
        if let Ok(mut answer) = serde_json::from_str::<Value>(&text)
            && let Some(answer) = answer.get_mut("answer")
        {
            return Ok(Some(answer.take()));
        }
        self.note(&text);
        Ok(None)
    }

    /// The answer to an order. Whoever loses the connection has another one afterwards.
    async fn ask(
        &mut self,
        act: &str,
        name: &str,
        value: impl Into<Value>,
    ) -> Result<Value, Unanswered> {
        let answer = async {
            self.tell(act, name, value).await?;
            loop {
                if let Some(answer) = self.next().await? {
                    return Ok(answer);
                }
            }
        };
        let answer: Result<Value, ()> = answer.await;
        let Ok(answer) = answer else {
            assert!(self.history.nodes.may_fail(), "{act} {name}: lost");
            self.leave(true).await;
            return Err(Unanswered::Unknown);
        };
        if answer.get("error").is_none() {
            return Ok(answer);
        }
        let is_expected = self.history.nodes.may_fail() && answer["error"] == "engine";
        assert!(is_expected, "{act} {name}: {answer}");
        let message = answer["message"].as_str().expect("words");
        if message.contains("nothing was done") {
            return Err(Unanswered::Undone);
        }
        assert!(message.contains("may or may not"), "{act} {name}: {answer}");
        Err(Unanswered::Unknown)
    }

    async fn tell(&mut self, act: &str, name: &str, value: impl Into<Value>) -> Result<(), ()> {
        let order = json!({"act": act, "name": name, "value": value.into()});
        let sent = self.client.try_send_text(order.to_string()).await;
        sent.ok_or(())
    }

    /// Subscribes, unless that fails: then the connection is another one.
    async fn subscribe(&mut self, topic: &str, since: Option<String>) -> Result<(), Unanswered> {
        let answer = match self.ask("subscribe", topic, since.clone()).await {
            Ok(answer) => answer,
            Err(why) => {
                self.leave(true).await;
                return Err(why);
            }
        };
        let early = std::mem::take(&mut self.early);
        let topic = topic.to_owned();
        match answer["position"].as_str() {
            Some(position) => self.kept.push(Subscription {
                topic,
                since,
                position: Position::parse(position).expect("a position"),
                recovered: answer["recovered"] == true,
                missed: answer["missed"].as_u64().expect("a number"),
                got: Vec::new(),
                gaps: Vec::new(),
                stayed: false,
            }),
            None => self.plain.push(Listening {
                topic,
                from: self.history.now(),
                got: Vec::new(),
                stayed: false,
            }),
        }
        for (of, position, data) in early {
            match (self.kept.last_mut(), self.plain.last_mut()) {
                (Some(one), _) if one.topic == of => one.hear(position, data),
                (_, Some(one)) if one.topic == of => one.hear(data),
                _ => panic!("nobody subscribes to it: {data}"),
            }
        }
        Ok(())
    }

    /// Does something, and perhaps loses the connection before it is answered.
    async fn act(&mut self, number: usize) {
        let history = self.history;
        let topics = history.topics();
        let topic = topics[self.random.usize(..topics.len())].clone();
        let unique = (number as i64) << 8 | i64::from(self.random.u8(..));
        let is_lost = self.random.u8(..10) == 0;
        match self.random.usize(..10) {
            0..3 => {
                let subscribes = self.kept.iter().any(|one| one.topic == topic)
                    || self.plain.iter().any(|one| one.topic == topic);
                if subscribes {
                    return self.leave(false).await;
                }
                let since = match self.random.u8(..8) {
                    0 => None,
                    1 => Some("k3f9.".to_owned()),
                    _ => {
                        let record = history.record();
                        self.random.choice(&record.positions).cloned()
                    }
                };
                let _ = self.subscribe(&topic, since).await;
            }
            3..6 => {
                let data = format!("{topic}|{unique} {}", self.random.u64(..));
                match is_lost {
                    true => {
                        let start = history.now();
                        let _ = self.tell("publish", &topic, data.clone()).await;
                        self.published(topic, data, start, false);
                    }
                    false => drop(self.publish(topic, data).await),
                }
            }
            what => {
                let acts: &[&str] = match what {
                    6 | 7 => &["get", "set", "absent", "incr", "update", "delete"],
                    _ => &["put", "put", "take"],
                };
                let act = acts[self.random.usize(..acts.len())];
                let name = format!("{}/{}", history.name, self.random.u8(..2));
                match is_lost {
                    true => {
                        let start = history.now();
                        let _ = self.tell(act, &name, unique).await;
                        self.called(act, name, unique, start, None);
                    }
                    false => drop(self.call(act, &name, unique).await),
                }
            }
        }
        if is_lost {
            self.leave(true).await;
        }
    }

    /// Publishes something. An error says that it was not answered.
    async fn publish(&mut self, topic: String, data: String) -> Result<(), Unanswered> {
        let start = self.history.now();
        match self.ask("publish", &topic, data.clone()).await {
            Ok(_) => self.published(topic, data, start, true),
            Err(Unanswered::Undone) => return Err(Unanswered::Undone),
            Err(Unanswered::Unknown) => {
                self.published(topic, data, start, false);
                return Err(Unanswered::Unknown);
            }
        }
        Ok(())
    }

    fn published(&self, topic: String, data: String, start: u64, is_certain: bool) {
        self.history.record().published.push(Published {
            topic,
            data,
            start,
            is_certain,
        });
    }

    /// A call of a store or a queue. An error says that it was not answered.
    async fn call(
        &mut self,
        act: &'static str,
        name: &str,
        value: i64,
    ) -> Result<Value, Unanswered> {
        let start = self.history.now();
        let answer = self.ask(act, name, value).await;
        if !matches!(answer, Err(Unanswered::Undone)) {
            let answer = answer.as_ref().ok().cloned();
            self.called(act, name.to_owned(), value, start, answer);
        }
        answer
    }

    fn called(
        &self,
        act: &'static str,
        name: String,
        value: i64,
        start: u64,
        answer: Option<Value>,
    ) {
        let end = self.history.now();
        let mut record = self.history.record();
        let record = &mut *record;
        let (calls, acts) = match act {
            "take" if answer.is_none() => (&mut record.queues, &["lose", "back"][..]),
            "put" | "take" => (&mut record.queues, &[act][..]),
            _ => (&mut record.registers, &[act][..]),
        };
        let calls = calls.entry(name).or_default();
        calls.extend(acts.iter().map(|act| Call {
            what: (*act, value),
            answer: answer.clone(),
            start,
            end,
        }));
    }

    /// Ends the connection, and comes back on any node.
    async fn leave(&mut self, is_lost: bool) {
        let next = self.history.nodes.connect(&mut self.random).await;
        let mut left = std::mem::replace(&mut self.client, next);
        if !is_lost && !self.history.nodes.may_fail() && self.random.bool() {
            left.close(1000, "").await;
        }
        drop(left);
        self.early.clear();
        self.end(false);
    }

    /// What this connection has seen is all that it has seen.
    fn end(&mut self, stayed: bool) {
        let mut record = self.history.record();
        for mut one in self.kept.drain(..) {
            one.stayed = stayed;
            record.subscriptions.push(one);
        }
        for mut one in self.plain.drain(..) {
            one.stayed = stayed;
            record.listenings.push(one);
        }
    }

    /// Takes note of what is left in queues and under keys, and leaves nothing there.
    async fn clear(&mut self) {
        for place in 0..2 {
            let name = format!("{}/{place}", self.history.name);
            // Numbers that no other lost one has.
            let mut number = -1;
            while !matches!(self.call("take", &name, number).await, Ok(Value::Null)) {
                number -= 1;
            }
            for act in ["get", "delete"] {
                while self.call(act, &name, 0).await.is_err() {}
            }
        }
    }

    /// Reads on until every subscription has got the message that was published when all were done.
    /// What a lost connection has published may come behind it.
    async fn finish(&mut self) {
        let may_fail = self.history.nodes.may_fail();
        loop {
            let kept = self.kept.iter().all(Subscription::is_complete);
            if kept && (may_fail || self.plain.iter().all(Listening::has_last)) {
                return self.end(true);
            }
            match self.next().await {
                Ok(answer) => assert!(answer.is_none(), "{answer:?} was not asked for"),
                Err(()) if may_fail => return self.end(false),
                Err(()) => panic!("the connection was lost"),
            }
        }
    }
}

/// Runs one, and says what is wrong.
async fn run(nodes: &Nodes, seed: u64) -> Result<(), String> {
    let history = History {
        nodes,
        name: format!("{seed:x}"),
        clock: AtomicU64::new(1),
        record: Mutex::default(),
    };
    let mut listener = Actor::new(&history, seed).await;
    for topic in history.topics() {
        while listener.subscribe(&topic, None).await.is_err() {}
    }
    let actors = (1..=ACTORS as u64).map(async |number| {
        let mut actor = Actor::new(&history, seed << 4 | number).await;
        for order in 0..actor.random.usize(ORDERS) {
            actor.act(order << 4 | number as usize).await;
        }
        actor
    });
    let mut actors = join_all(actors).await;
    // Its subscriptions are what is looked at: another one speaks.
    let mut speaker = Actor::new(&history, seed).await;
    for topic in history.topics() {
        let mut attempt = 0;
        loop {
            let data = format!("{topic}|{attempt}{LAST}");
            match speaker.publish(topic.clone(), data).await {
                Ok(()) => break,
                Err(_) => attempt += 1,
            }
        }
    }
    speaker.clear().await;
    actors.push(listener);
    join_all(actors.iter_mut().map(Actor::finish)).await;
    let record = std::mem::take(&mut *history.record());
    check_kept(&record.subscriptions, &record.published, KEPT)?;
    check_plain(&record.listenings, &record.published, nodes.may_fail())?;
    for (name, calls) in &record.registers {
        if !is_linearizable::<Register>(calls) {
            return Err(format!("the key {name}: {calls:#?}"));
        }
    }
    for (name, calls) in &record.queues {
        if !is_linearizable::<Queue>(calls) {
            return Err(format!("the queue {name}: {calls:#?}"));
        }
    }
    Ok(())
}

/// Seeds to run: so many of a thousand that are to be run on one node, unless one is named.
fn seeds(per_mille: u64) -> std::ops::Range<u64> {
    let number = |name| std::env::var(name).ok()?.parse::<u64>().ok();
    match number("HISTORY_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("HISTORIES").unwrap_or(2_000) * per_mille / 1_000,
    }
}

/// Runs histories side by side, so many at once, while something else goes on again and again.
async fn run_all(
    nodes: &Nodes,
    seeds: std::ops::Range<u64>,
    at_once: usize,
    mut beside: impl AsyncFnMut(),
) {
    let next = AtomicU64::new(seeds.start);
    let lanes = (0..at_once).map(async |_| {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                break;
            }
            let outcome = match tokio::time::timeout(HANG, run(nodes, seed)).await {
                Ok(outcome) => outcome,
                Err(_) => Err("it does not end".to_owned()),
            };
            if let Err(complaint) = outcome {
                panic!("the history of HISTORY_SEED={seed}: {complaint}");
            }
        }
    });
    let is_over = AtomicBool::new(false);
    let histories = async {
        join_all(lanes).await;
        is_over.store(true, Ordering::Relaxed);
    };
    let beside = async {
        while !is_over.load(Ordering::Relaxed) {
            beside().await;
        }
    };
    tokio::join!(histories, beside);
}

/// A handler is saved, as often as somebody saves who types.
async fn save(server: &Server, version: &mut u64) {
    *version += 1;
    server.replace("model_wsh.rhai", format!("{HANDLER}\n// {version}\n"));
    tokio::time::sleep(Duration::from_millis(100)).await;
}

/// One node with two workers, whose handler is saved again and again.
#[tokio::test]
async fn histories_on_one_node_are_as_the_models_say() {
    let mut server = nodes::start(&[]).await;
    let nodes = Nodes::new([&server], false);
    let mut version = 0;
    run_all(&nodes, seeds(1_000), 16, async || {
        save(&server, &mut version).await
    })
    .await;
    server.stop().await;
}

on_each_engine!(
    histories_on_three_nodes_are_as_the_models_say,
    histories_with_failures_are_as_the_models_say,
);

/// What stores and queues are in beside an engine that has none.
fn store_beside(kind: Kind) -> Option<Redis> {
    (kind == Kind::Nats).then(Redis::start)
}

/// These nodes, with what is promised where this is the engine.
fn with(kind: Kind, nodes: Nodes) -> Nodes {
    match kind {
        Kind::Redis => nodes,
        Kind::Nats => nodes.ordering_what_is_kept(),
    }
}

/// Three nodes with an engine for topics, stores and queues, and a handler that is saved.
async fn histories_on_three_nodes_are_as_the_models_say(kind: Kind) {
    let (engine, beside) = (Engine::start(kind), store_beside(kind));
    let url = engine.url();
    let store = beside.as_ref().map_or_else(|| url.clone(), Redis::url);
    let args = ["--broker", &url, "--store", &store];
    let servers = [
        nodes::start(&args).await,
        nodes::start(&args).await,
        nodes::start(&args).await,
    ];
    let nodes = with(kind, Nodes::new(&servers, false));
    let mut version = 0;
    run_all(&nodes, seeds(25), 8, async || {
        save(&servers[0], &mut version).await
    })
    .await;
}

/// Three nodes of which two are killed again and again, whose connections to the engine go silent
/// and break, and an engine that stops for a while, or is killed and comes back with what it has
/// written.
async fn histories_with_failures_are_as_the_models_say(kind: Kind) {
    let (mut engine, beside) = (Engine::lasting(kind), store_beside(kind));
    let store = beside.as_ref().map(Redis::url);
    let mut lanes = Vec::new();
    for _ in 0..3 {
        lanes.push(nodes::Lane::start(&engine, store.as_deref()).await);
    }
    let nodes = Nodes::new(lanes.iter().map(nodes::Lane::server), true);
    let nodes = with(kind, nodes);
    let mut random = fastrand::Rng::with_seed(1);
    let fail = async || {
        let place = random.usize(1..3);
        match random.u8(..4) {
            0 => lanes[place].replace(place, &nodes).await,
            1 => lanes[random.usize(..3)].cut().await,
            2 => {
                engine.signal("STOP");
                tokio::time::sleep(Duration::from_millis(200)).await;
                engine.signal("CONT");
            }
            _ => {
                engine.kill();
                engine.restart();
            }
        }
        tokio::time::sleep(Duration::from_millis(random.u64(100..600))).await;
    };
    run_all(&nodes, seeds(25), 8, fail).await;
}
