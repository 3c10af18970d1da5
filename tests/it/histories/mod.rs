//! A model checker for what connects connections: random histories of several connections at once,
//! run against the real program, and what they have seen held against plain models. A history is
//! made from its seed, which a failure prints; `HISTORY_SEED` runs that one alone, `HISTORIES` says
//! how many there are.

mod linear;
mod topics;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};

use self::linear::{Call, Model, is_linearizable};
use self::topics::{LAST, Listening, Position, Published, Subscription, check_kept, check_plain};
use super::support::{Client, Server, connect};

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

/// What is in a queue.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
struct Queue(VecDeque<i64>);

impl Model for Queue {
    type Call = (&'static str, i64);
    type Answer = Value;

    fn apply(&mut self, (act, value): &Self::Call) -> Value {
        match *act {
            "put" => {
                self.0.push_back(*value);
                Value::Null
            }
            "take" => json!(self.0.pop_front()),
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

/// A history that runs: its names, its clock and what was seen.
struct History<'s> {
    urls: &'s [String],
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
        ["kept/a", "kept/b", "plain"].map(|topic| format!("{topic}/{}", self.name))
    }
}

impl<'h> Actor<'h> {
    async fn new(history: &'h History<'h>, seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let client = connect(random.choice(history.urls).expect("a node")).await;
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
        match (position, kept, plain) {
            (Some(position), Some(kept), _) => kept.got.push((position, data)),
            (None, _, Some(plain)) => plain.got.push(data),
            (position, ..) => self.early.push((topic.to_owned(), position, data)),
        }
    }

    /// The next message, noted if it is no answer.
    async fn next(&mut self) -> Option<Value> {
        let text = self.client.next_text().await;
        if let Ok(mut answer) = serde_json::from_str::<Value>(&text)
            && let Some(answer) = answer.get_mut("answer")
        {
            return Some(answer.take());
        }
        self.note(&text);
        None
    }

    async fn ask(&mut self, act: &str, name: &str, value: impl Into<Value>) -> Value {
        self.tell(act, name, value).await;
        loop {
            if let Some(answer) = self.next().await {
                assert_eq!(answer.get("error"), None, "{act} {name}: {answer}");
                return answer;
            }
        }
    }

    async fn tell(&mut self, act: &str, name: &str, value: impl Into<Value>) {
        let order = json!({"act": act, "name": name, "value": value.into()});
        self.client.send_text(order.to_string()).await;
    }

    async fn subscribe(&mut self, topic: &str, since: Option<String>) {
        let answer = self.ask("subscribe", topic, since.clone()).await;
        let early = std::mem::take(&mut self.early);
        match answer["position"].as_str() {
            Some(position) => self.kept.push(Subscription {
                topic: topic.to_owned(),
                since,
                position: Position::parse(position).expect("a position"),
                recovered: answer["recovered"] == true,
                missed: answer["missed"].as_u64().expect("a number"),
                got: Vec::new(),
                stayed: false,
            }),
            None => self.plain.push(Listening {
                topic: topic.to_owned(),
                from: self.history.now(),
                got: Vec::new(),
                stayed: false,
            }),
        }
        for (of, position, data) in early {
            assert_eq!(of, topic, "nobody subscribes to it: {data}");
            match position {
                Some(position) => {
                    let one = self.kept.last_mut().expect("a subscription");
                    one.got.push((position, data));
                }
                None => {
                    let one = self.plain.last_mut().expect("a subscription");
                    one.got.push(data);
                }
            }
        }
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
                self.subscribe(&topic, since).await;
            }
            3..6 => {
                let data = format!("{topic}|{unique} {}", self.random.u64(..));
                let start = history.now();
                match is_lost {
                    true => self.tell("publish", &topic, data.clone()).await,
                    false => drop(self.ask("publish", &topic, data.clone()).await),
                }
                history.record().published.push(Published {
                    topic,
                    data,
                    start,
                    is_certain: !is_lost,
                });
            }
            what => {
                let acts: &[&str] = match what {
                    6 | 7 => &["get", "set", "absent", "incr", "update", "delete"],
                    _ => &["put", "put", "take"],
                };
                let act = acts[self.random.usize(..acts.len())];
                let name = format!("{}/{}", history.name, self.random.u8(..2));
                let start = history.now();
                let answer = match is_lost {
                    true => {
                        self.tell(act, &name, unique).await;
                        None
                    }
                    false => Some(self.ask(act, &name, unique).await),
                };
                let call = Call {
                    what: (act, unique),
                    answer,
                    start,
                    end: history.now(),
                };
                let mut record = history.record();
                let record = &mut *record;
                let calls = match what {
                    6 | 7 => &mut record.registers,
                    _ => &mut record.queues,
                };
                calls.entry(name).or_default().push(call);
            }
        }
        if is_lost {
            self.leave(true).await;
        }
    }

    /// Ends the connection, and comes back on any node.
    async fn leave(&mut self, is_lost: bool) {
        let next = connect(self.random.choice(self.history.urls).expect("a node")).await;
        let mut left = std::mem::replace(&mut self.client, next);
        if !is_lost && self.random.bool() {
            left.close(1000, "").await;
        }
        drop(left);
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
            loop {
                let taken = self.call("take", &name).await;
                let is_empty = taken.answer == Some(Value::Null);
                let mut record = self.history.record();
                record.queues.entry(name.clone()).or_default().push(taken);
                if is_empty {
                    break;
                }
            }
            for act in ["get", "delete"] {
                let call = self.call(act, &name).await;
                let mut record = self.history.record();
                record.registers.entry(name.clone()).or_default().push(call);
            }
        }
    }

    /// A call without a value that is answered.
    async fn call(&mut self, act: &'static str, name: &str) -> Call<(&'static str, i64), Value> {
        let start = self.history.now();
        let answer = self.ask(act, name, 0).await;
        Call {
            what: (act, 0),
            answer: Some(answer),
            start,
            end: self.history.now(),
        }
    }

    /// Reads on until every subscription has got the message that was published when all were done.
    /// What a lost connection has published may come behind it.
    async fn finish(&mut self) {
        loop {
            let kept = self.kept.iter().all(Subscription::has_last);
            if kept && self.plain.iter().all(Listening::has_last) {
                return self.end(true);
            }
            let answer = self.next().await;
            assert!(answer.is_none(), "{answer:?} was not asked for");
        }
    }
}

/// Runs one, and says what is wrong.
async fn run(urls: &[String], seed: u64) -> Result<(), String> {
    let history = History {
        urls,
        name: format!("{seed:x}"),
        clock: AtomicU64::new(1),
        record: Mutex::default(),
    };
    let mut listener = Actor::new(&history, seed).await;
    for topic in history.topics() {
        listener.subscribe(&topic, None).await;
    }
    let actors = (1..=ACTORS as u64).map(async |number| {
        let mut actor = Actor::new(&history, seed << 4 | number).await;
        for order in 0..actor.random.usize(ORDERS) {
            actor.act(order << 4 | number as usize).await;
        }
        actor
    });
    let mut actors = join_all(actors).await;
    for topic in history.topics() {
        let (start, data) = (history.now(), format!("{topic}{LAST}"));
        listener.ask("publish", &topic, data.clone()).await;
        history.record().published.push(Published {
            topic,
            data,
            start,
            is_certain: true,
        });
    }
    listener.clear().await;
    actors.push(listener);
    join_all(actors.iter_mut().map(Actor::finish)).await;
    let record = std::mem::take(&mut *history.record());
    check_kept(&record.subscriptions, &record.published, KEPT)?;
    check_plain(&record.listenings, &record.published, false)?;
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

/// Seeds to run: so many unless the environment says otherwise.
fn seeds(count: u64) -> std::ops::Range<u64> {
    let number = |name| std::env::var(name).ok()?.parse::<u64>().ok();
    match number("HISTORY_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("HISTORIES").unwrap_or(count),
    }
}

/// Runs histories side by side, so many at once.
async fn run_all(urls: &[String], seeds: std::ops::Range<u64>, at_once: usize) {
    let next = AtomicU64::new(seeds.start);
    let lanes = (0..at_once).map(async |_| {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                break;
            }
            let outcome = match tokio::time::timeout(HANG, run(urls, seed)).await {
                Ok(outcome) => outcome,
                Err(_) => Err("it does not end".to_owned()),
            };
            if let Err(complaint) = outcome {
                panic!("the history of HISTORY_SEED={seed}: {complaint}");
            }
        }
    });
    join_all(lanes).await;
}

/// One node with two workers, whose handler is saved again and again.
#[tokio::test]
async fn histories_on_one_node_are_as_the_models_say() {
    let server = Server::builder()
        .workers(2)
        .file("model_wsh.rhai", HANDLER)
        .start()
        .await;
    // What `on_load` says holds from then on.
    let urls = [server.url("/model")];
    let mut first = connect(&*urls[0]).await;
    loop {
        let order = json!({"act": "position", "name": "kept/ready"});
        first.send_text(order.to_string()).await;
        if first.next_text().await.contains('.') {
            break;
        }
    }
    let is_over = AtomicBool::new(false);
    let saves = async {
        let mut version = 0;
        // As often as somebody saves who types.
        while !is_over.load(Ordering::Relaxed) {
            version += 1;
            server.replace("model_wsh.rhai", format!("{HANDLER}\n// {version}\n"));
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let histories = async {
        run_all(&urls, seeds(2_000), 16).await;
        is_over.store(true, Ordering::Relaxed);
    };
    tokio::join!(saves, histories);
}
