//! People on several nodes: presence that all of them share, and connections that are spoken to
//! from another node. Real servers and a real Redis or NATS.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Client, Engine, Kind, Redis, Server, connect, on_each_engine, within};

/// Does what it is told in JSON, and answers with a text that begins with `=`.
const DESK: &str = r#"
fn transfer_data(ws, message) {
    let order = parse_json(message);
    let answer = ();
    try {
        answer = switch order.act {
            "come" => { ws.subscribe(order.topic, #{key: order.key, info: order.info}); () },
            "watch" => { ws.subscribe(order.topic); () },
            "leave" => ws.unsubscribe(order.topic),
            "presence" => presence(order.topic),
            "count" => presence_count(order.topic),
            "id" => ws.id,
            "send" => connection(order.id).send(order.message),
            "close" => connection(order.id).close(order.code, order.reason),
        };
    } catch (e) {
        answer = #{kind: e.kind};
    }
    ws.send(`=${to_json(answer)}`);
}

fn on_presence(ws, topic, joined, left) {
    for one in joined { ws.send(`+${one.key}`); }
    for one in left { ws.send(`-${one.key}`); }
}
"#;

async fn node(engine: &Engine) -> Server {
    let builder = Server::builder().workers(2).file("desk_wsh.rhai", DESK);
    let url = engine.url();
    let args = ["--broker", &url, "--presence-grace", "2s"];
    let server = builder.args(args).start().await;
    server.log("connected to the engine").await;
    server
}

/// The answer to an order, and what was told before it.
async fn ask(client: &mut Client, order: Value) -> (Value, Vec<String>) {
    client.send_text(order.to_string()).await;
    let mut told = Vec::new();
    loop {
        let text = client.next_text().await;
        match text.strip_prefix('=') {
            Some(answer) => return (serde_json::from_str(answer).expect("JSON"), told),
            None => told.push(text),
        }
    }
}

async fn come(server: &Server, key: &str, info: u32) -> Client {
    let mut client = connect(server.url("/desk")).await;
    let order = json!({"act": "come", "topic": "t", "key": key, "info": info});
    assert_eq!(ask(&mut client, order).await.0, Value::Null);
    client
}

async fn watch(server: &Server) -> Client {
    let mut client = connect(server.url("/desk")).await;
    let order = json!({"act": "watch", "topic": "t"});
    assert_eq!(ask(&mut client, order).await.0, Value::Null);
    client
}

/// Who is there: key, info and connections.
async fn present(client: &mut Client) -> Vec<String> {
    let (all, _) = ask(client, json!({"act": "presence", "topic": "t"})).await;
    let all = all.as_array().unwrap_or_else(|| panic!("{all}"));
    let shown = |one: &Value| {
        let key = one["key"].as_str().expect("a key");
        format!("{key} {} {}", one["info"], one["connections"])
    };
    all.iter().map(shown).collect()
}

/// Waits until so many are there.
async fn until(client: &mut Client, wanted: &[&str]) {
    let there = async {
        while present(client).await != wanted {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    within(&format!("{wanted:?}"), there).await;
}

on_each_engine!(
    a_key_on_two_nodes_is_one_entry_and_a_killed_nodes_people_go,
    presence_survives_an_engine_that_loses_everything,
    connections_of_another_node_are_spoken_to,
);

async fn a_key_on_two_nodes_is_one_entry_and_a_killed_nodes_people_go(kind: Kind) {
    let engine = Engine::start(kind);
    let (mut a, b) = (node(&engine).await, node(&engine).await);
    let _early = come(&a, "early", 0).await;
    let mut watcher = watch(&b).await;
    // Whoever asks at once sees those of the other node, and was told nothing of them.
    assert_eq!(present(&mut watcher).await, ["early 0 1"]);
    let mut here = come(&b, "ann", 1).await;
    assert_eq!(watcher.next_text().await, "+ann");
    let _there = come(&a, "ann", 2).await;
    let _bob = come(&a, "bob", 3).await;
    assert_eq!(watcher.next_text().await, "+bob");
    until(&mut watcher, &["ann 2 2", "bob 3 1", "early 0 1"]).await;
    // A node that comes later knows all of them.
    let c = node(&engine).await;
    let mut late = connect(c.url("/desk")).await;
    assert_eq!(
        present(&mut late).await,
        ["ann 2 2", "bob 3 1", "early 0 1"]
    );
    assert_eq!(
        ask(&mut late, json!({"act": "count", "topic": "t"}))
            .await
            .0,
        3
    );
    let begun = Instant::now();
    a.signal("KILL");
    a.exited().await;
    let left = async { [watcher.next_text().await, watcher.next_text().await] };
    let left = within("their end", left).await;
    assert_eq!(left, ["-bob", "-early"]);
    assert!(
        begun.elapsed() < Duration::from_secs(17),
        "with a grace of 2 s"
    );
    // What was said of somebody last holds.
    until(&mut watcher, &["ann 2 1"]).await;
    until(&mut late, &["ann 2 1"]).await;
    // Properly, and at once.
    ask(&mut here, json!({"act": "leave", "topic": "t"})).await;
    assert_eq!(watcher.next_text().await, "-ann");
    until(&mut late, &[]).await;
    let d = node(&engine).await;
    until(&mut connect(d.url("/desk")).await, &[]).await;
    if let Engine::Redis(redis) = &engine {
        let left = redis.ask(&["HLEN", "wsh:p:t"]);
        assert_eq!(left, "0", "what a dead node left is tidied up");
    }
}

async fn presence_survives_an_engine_that_loses_everything(kind: Kind) {
    let mut engine = Engine::start(kind);
    let (a, b) = (node(&engine).await, node(&engine).await);
    let (mut watcher, mut ann) = (watch(&b).await, come(&a, "ann", 1).await);
    assert_eq!(watcher.next_text().await, "+ann");
    engine.kill();
    a.log("the engine is away").await;
    // What happens meanwhile is told when it is back.
    let leaving = json!({"act": "leave", "topic": "t"});
    let order = json!({"act": "come", "topic": "u", "key": "cid", "info": 1});
    assert_eq!(ask(&mut ann, order).await.0["kind"], "engine");
    engine.restart();
    for server in [&a, &b] {
        server.log(["connected to the engine", "seconds="]).await;
    }
    if let Engine::Redis(redis) = &engine {
        let back = async { while redis.ask(&["HLEN", "wsh:p:t"]) != "1" {} };
        within("ann in Redis", back).await;
    }
    let c = node(&engine).await;
    until(&mut connect(c.url("/desk")).await, &["ann 1 1"]).await;
    until(&mut watcher, &["ann 1 1"]).await;
    ask(&mut ann, leaving).await;
    loop {
        match watcher.next_text().await.as_str() {
            "gap in t" => {}
            // Neither left nor come again before.
            text => break assert_eq!(text, "-ann"),
        }
    }
}

async fn connections_of_another_node_are_spoken_to(kind: Kind) {
    let engine = Engine::start(kind);
    let (mut a, b) = (node(&engine).await, node(&engine).await);
    let (mut one, mut other) = (connect(a.url("/desk")).await, connect(b.url("/desk")).await);
    let (id, _) = ask(&mut one, json!({"act": "id"})).await;
    for number in 0..20 {
        let order = json!({"act": "send", "id": id, "message": format!("grüße {number}")});
        assert_eq!(ask(&mut other, order).await.0, true);
    }
    for number in 0..20 {
        assert_eq!(one.next_text().await, format!("grüße {number}"));
    }
    let nobody = id
        .as_str()
        .expect("an id")
        .rsplit_once('-')
        .expect("parts")
        .0
        .to_owned()
        + "-0";
    let order = json!({"act": "send", "id": nobody, "message": "psst"});
    assert_eq!(ask(&mut other, order).await.0, false);
    let order = json!({"act": "close", "id": id, "code": 4001, "reason": "elsewhere"});
    assert_eq!(ask(&mut other, order.clone()).await.0, true);
    assert_eq!(one.next_close().await, (4001, "elsewhere".to_owned()));
    assert_eq!(ask(&mut other, order.clone()).await.0, false);
    // A node that stands still cannot say whether, unless a busy machine has kept it silent for so
    // long already that it counts as gone; one that is gone has no connections.
    a.signal("STOP");
    let (said, _) = ask(&mut other, order.clone()).await;
    assert!(said["kind"] == "engine" || said == false, "{said}");
    a.signal("CONT");
    a.signal("KILL");
    a.exited().await;
    assert_eq!(ask(&mut other, order).await.0, false);
    // Whatever else is on a node's channel is passed over.
    let (id, _) = ask(&mut other, json!({"act": "id"})).await;
    let own = id
        .as_str()
        .and_then(|id| id.split('-').next())
        .expect("a node");
    for bytes in ["", "WSD1", "WSA1xxxxxxxxx", "WSR1", "hello"] {
        match &engine {
            Engine::Redis(redis) => {
                assert_eq!(
                    redis.ask(&["PUBLISH", &format!("wsh:0:n:{own}"), bytes]),
                    "1"
                );
            }
            Engine::Nats(nats) => nats.publish(&format!("wsh.n.{own}"), bytes.as_bytes()),
        }
    }
    b.log("passed over").await;
    let order = json!({"act": "send", "id": id, "message": "still here"});
    let (answer, told) = ask(&mut other, order).await;
    assert_eq!((answer, told), (json!(true), vec!["still here".to_owned()]));
}

/// Stores and queues on two nodes, each with a worker of its own.
const SHELF: &str = r#"
fn transfer_data(ws, message) {
    let order = parse_json(message);
    let answer = ();
    try {
        answer = switch order.act {
            "set" => store.set(order.key, order.value),
            "get" => store.get(order.key),
            "incr" => { for n in 0..order.times { store.incr(order.key); } store.get(order.key) },
            "update" => {
                for n in 0..order.times {
                    // Where others are faster sixteen times, it is tried once more.
                    loop {
                        try { store.update(order.key, |old| (old ?? 0) + 1); break; }
                        catch (e) { if e.kind != "conflict" { throw e; } }
                    }
                }
                store.get(order.key)
            },
            "wait" => store.wait(order.key, order.seen, 20),
            "put" => queue("q").put(order.value),
            "take" => queue("q").take(20),
            "lease" => queue("q").take(20, #{lease: 1}).value,
        };
    } catch (e) {
        answer = #{kind: e.kind, error: e.message};
    }
    ws.send(`=${to_json(answer)}`);
}
"#;

async fn sharing(redis: &Redis) -> Server {
    let builder = Server::builder().workers(2).file("shelf_wsh.rhai", SHELF);
    let url = redis.url();
    let args = [
        "--store",
        &url,
        "--engine-timeout",
        "1s",
        "--metrics-port",
        "0",
    ];
    let server = builder.args(args).start().await;
    server.log("connected to the engine").await;
    server
}

#[tokio::test]
async fn two_nodes_share_stores_and_queues() {
    let mut redis = Redis::with(&["--appendonly", "yes", "--appendfsync", "always"]);
    let (mut a, b) = (sharing(&redis).await, sharing(&redis).await);
    let url = (a.url("/shelf"), b.url("/shelf"));
    let (mut one, mut other) = (connect(url.0).await, connect(url.1).await);
    for act in ["incr", "update"] {
        let order = json!({"act": act, "key": act, "times": 50});
        tokio::join!(ask(&mut one, order.clone()), ask(&mut other, order));
        let order = json!({"act": "get", "key": act});
        assert_eq!(ask(&mut one, order).await.0, 100, "{act}");
    }
    // Whoever waits on one node is woken by the other.
    let order = json!({"act": "wait", "key": "sign", "seen": null});
    let set = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        ask(
            &mut one,
            json!({"act": "set", "key": "sign", "value": {"a": 1}}),
        )
        .await
    };
    let (waited, _) = tokio::join!(ask(&mut other, order), set);
    assert_eq!(waited.0, json!({"a": 1}));
    let put = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        ask(&mut one, json!({"act": "put", "value": "first"})).await
    };
    let (taken, _) = tokio::join!(ask(&mut other, json!({"act": "take"})), put);
    assert_eq!(taken.0, "first");
    // The lease of a node that is killed runs out.
    ask(&mut one, json!({"act": "put", "value": "second"})).await;
    assert_eq!(ask(&mut one, json!({"act": "lease"})).await.0, "second");
    a.signal("KILL");
    a.exited().await;
    assert_eq!(ask(&mut other, json!({"act": "take"})).await.0, "second");
    // Away, and back with what it had.
    redis.kill();
    b.log("the engine is away").await;
    for act in ["incr", "get", "wait", "put", "take"] {
        let order = json!({"act": act, "key": "incr", "times": 1, "value": 1, "seen": 100});
        let (answer, _) = ask(&mut other, order).await;
        assert_eq!(answer["kind"], "engine", "{act}: {answer}");
    }
    redis.restart();
    b.log(["connected to the engine", "seconds="]).await;
    let order = json!({"act": "incr", "key": "incr", "times": 1});
    assert_eq!(ask(&mut other, order).await.0, 101);
    let keys = redis.ask(&["KEYS", "*"]);
    assert!(
        keys.lines().all(|key| key.starts_with("wsh:store:")),
        "{keys}"
    );
}

#[tokio::test]
async fn a_redis_that_does_not_keep_up_is_asked_no_more_than_fits() {
    let redis = Redis::start();
    let url = redis.url();
    let builder = Server::builder().workers(2).file("shelf_wsh.rhai", SHELF);
    let args = ["--store", &url, "--max-engine-queue", "64KiB"];
    let server = builder.args(args).start().await;
    server.log("connected to the engine").await;
    let mut clients = Vec::new();
    for _ in 0..6 {
        clients.push(connect(server.url("/shelf")).await);
    }
    redis.signal("STOP");
    let large = "x".repeat(100_000);
    let order = json!({"act": "set", "key": "k", "value": large}).to_string();
    for client in &mut clients {
        client.send_text(order.clone()).await;
    }
    let mut answers = Vec::new();
    for client in &mut clients {
        answers.push(client.next_text().await);
    }
    let is_full = |answer: &&String| answer.contains("--max-engine-queue");
    assert!(answers.iter().any(|answer| is_full(&answer)), "{answers:?}");
    redis.signal("CONT");
}
