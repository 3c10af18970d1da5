//! Topics on several nodes: real servers and a real Redis or NATS, which is cut off, stopped and
//! killed. The numbers are those of pitfalls that were met by others.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::desk::{ask, loaded, publish, subscribe};
use crate::support::{
    Builder, Client, Engine, Kind, Nats, Redis, Relay, Server, connect, on_each_engine, within,
};

/// Does what it is told in JSON, and answers with a text that begins with `=`.
const DESK: &str = r#"
fn on_load() {
    topic("kept/*", #{history: 5, seconds: 60});
    topic("long/*", #{history: 10000, seconds: 600});
    // The last, for which the tests wait.
    topic("letters/*", #{history: 100, envelope: true});
}

fn transfer_data(ws, message) {
    let order = parse_json(message);
    let answer = ();
    try {
        answer = switch order.act {
            "subscribe" => ws.subscribe(order.topic, #{since: order.since}),
            "unsubscribe" => ws.unsubscribe(order.topic),
            "publish" => publish(order.topic, order.message),
            "others" => ws.publish(order.topic, order.message),
            "history" => history(order.topic, order.since),
            "position" => position(order.topic),
            "subscribers" => subscribers(order.topic),
            "topics" => topics(),
            "many" => {
                for number in 0..order.count { publish(order.topic, `${order.message}${number}`); }
            },
            "come and go" => {
                for number in 0..order.count {
                    ws.subscribe(`${order.topic}/${number}`);
                    ws.unsubscribe(`${order.topic}/${number}`);
                }
            },
        };
    } catch (e) {
        answer = #{kind: e.kind, error: e.message};
    }
    ws.send(`=${to_json(answer)}`);
}

fn on_gap(ws, topic) {
    ws.send(`gap in ${topic}`);
}
"#;

/// A node whose topics go through this engine.
async fn node(url: &str) -> Server {
    let server = node_with(url, |builder| builder).await;
    loaded(&server, "on_load, and the engine").await;
    server
}

async fn node_with(url: &str, build: impl FnOnce(Builder) -> Builder) -> Server {
    let builder = Server::builder().workers(2).file("desk_wsh.rhai", DESK);
    build(builder.args(["--broker", url])).start().await
}

/// So many clients of a node, all of which subscribe.
async fn subscribers(server: &Server, count: usize, topic: &str) -> Vec<Client> {
    let mut clients = Vec::new();
    for _ in 0..count {
        let mut client = connect(server.url("/desk")).await;
        subscribe(&mut client, topic, None).await;
        clients.push(client);
    }
    clients
}

on_each_engine!(
    two_nodes_talk_and_count_and_except_one,
    pitfall_11_publishers_on_two_nodes_make_one_order,
    pitfall_7_a_client_of_a_killed_node_resumes_on_another,
    pitfall_5_numbers_that_begin_anew_are_of_another_life,
    pitfall_1_whoever_joins_while_much_is_published_misses_nothing,
    pitfall_8_a_long_history_is_read_in_portions,
    pitfall_13_channels_come_and_go,
    after_a_restart_nothing_kept_is_lost_or_doubled,
    pitfall_12_a_silent_engine_is_noticed_and_comes_back,
    a_server_starts_without_its_engine_and_says_so,
);

async fn two_nodes_talk_and_count_and_except_one(kind: Kind) {
    let engine = Engine::start(kind);
    let (a, b) = (node(&engine.url()).await, node(&engine.url()).await);
    let mut here = subscribers(&a, 2, "t").await;
    let mut there = subscribers(&b, 3, "t").await;
    let order = json!({"act": "others", "topic": "t", "message": "not for me"});
    assert_eq!(ask(&mut here[0], order).await, 1);
    assert_eq!(here[1].next_text().await, "not for me");
    publish(&mut there[0], "t", "for all").await;
    assert_eq!(here[0].next_text().await, "for all");
    assert_eq!(here[1].next_text().await, "for all");
    for client in &mut there[1..] {
        assert_eq!(client.next_text().await, "not for me");
        assert_eq!(client.next_text().await, "for all");
    }
    let counted = async {
        while ask(&mut here[0], json!({"act": "subscribers", "topic": "t"})).await != 5 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        drop(b);
        while ask(&mut here[0], json!({"act": "subscribers", "topic": "t"})).await != 2 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    within("the counts of all nodes", counted).await;
}

async fn pitfall_11_publishers_on_two_nodes_make_one_order(kind: Kind) {
    const EACH: usize = 300;
    let engine = Engine::start(kind);
    let (a, b) = (node(&engine.url()).await, node(&engine.url()).await);
    for topic in ["plain", "kept/t"] {
        let mut readers = subscribers(&a, 5, topic).await;
        readers.extend(subscribers(&b, 5, topic).await);
        let mut speakers = tokio::task::JoinSet::new();
        for (server, name) in [(&a, "a"), (&b, "b")] {
            let mut speaker = connect(server.url("/desk")).await;
            speakers.spawn(async move {
                let order = json!({"act": "many", "topic": topic, "message": name, "count": EACH});
                ask(&mut speaker, order).await;
            });
        }
        let mut orders = Vec::new();
        for reader in &mut readers {
            let mut seen = Vec::new();
            for _ in 0..2 * EACH {
                seen.push(reader.next_text().await);
            }
            orders.push(seen);
        }
        speakers.join_all().await;
        // NATS has one order for all only where it keeps the messages.
        if kind == Kind::Redis || topic == "kept/t" {
            assert!(orders.windows(2).all(|pair| pair[0] == pair[1]), "{topic}");
        }
        for order in orders {
            for name in ["a", "b"] {
                let of_one = order.iter().filter(|text| text.starts_with(name));
                let wanted: Vec<_> = (0..EACH).map(|number| format!("{name}{number}")).collect();
                assert!(of_one.eq(&wanted), "{name} in its own order");
            }
        }
    }
}

async fn pitfall_7_a_client_of_a_killed_node_resumes_on_another(kind: Kind) {
    let engine = Engine::start(kind);
    let (mut a, b) = (node(&engine.url()).await, node(&engine.url()).await);
    let mut client = connect(a.url("/desk")).await;
    subscribe(&mut client, "kept/t", None).await;
    publish(&mut client, "kept/t", "one").await;
    let position = ask(&mut client, json!({"act": "position", "topic": "kept/t"})).await;
    let position = position.as_str().expect("a position").to_owned();
    a.signal("KILL");
    a.exited().await;
    let mut other = connect(b.url("/desk")).await;
    for message in ["two", "three"] {
        publish(&mut other, "kept/t", message).await;
    }
    let mut back = connect(b.url("/desk")).await;
    let order = json!({"act": "subscribe", "topic": "kept/t", "since": position});
    back.send_text(order.to_string()).await;
    // What was missed may come before the answer or behind it, and is in order.
    let mut messages = Vec::new();
    let mut answer = None;
    while messages.len() < 2 || answer.is_none() {
        let text = back.next_text().await;
        match text.strip_prefix('=') {
            Some(text) => answer = serde_json::from_str::<Value>(text).ok(),
            None => messages.push(text),
        }
    }
    assert_eq!(messages, ["two", "three"]);
    let answer = answer.expect("an answer");
    assert_eq!(
        (&answer["recovered"], &answer["missed"]),
        (&json!(true), &json!(2))
    );
    // A position that another node has given, and that is not here yet, is waited for.
    publish(&mut other, "kept/t", "four").await;
    let position = ask(&mut other, json!({"act": "position", "topic": "kept/t"})).await;
    let c = node(&engine.url()).await;
    let mut third = connect(c.url("/desk")).await;
    let answer = subscribe(&mut third, "kept/t", position.as_str()).await;
    assert_eq!(
        (&answer["recovered"], &answer["missed"]),
        (&json!(true), &json!(0))
    );
}

async fn pitfall_5_numbers_that_begin_anew_are_of_another_life(kind: Kind) {
    let engine = Engine::start(kind);
    let a = node(&engine.url()).await;
    let mut client = connect(a.url("/desk")).await;
    for message in ["one", "two", "three"] {
        publish(&mut client, "kept/t", message).await;
    }
    let position = ask(&mut client, json!({"act": "position", "topic": "kept/t"})).await;
    let old = position.as_str().expect("a position").to_owned();
    assert!(old.ends_with(".3"), "{old}");
    engine.forget("kept/t");
    for message in ["uno", "due", "tre", "quattro"] {
        publish(&mut client, "kept/t", message).await;
    }
    let two = node(&engine.url()).await;
    for server in [&a, &two] {
        let mut back = connect(server.url("/desk")).await;
        let answer = subscribe(&mut back, "kept/t", Some(&old)).await;
        assert_eq!(answer["recovered"], false, "{answer}");
        let order = json!({"act": "history", "topic": "kept/t"});
        let history = ask(&mut back, order).await;
        let messages = history["messages"].as_array().expect("messages");
        let messages: Vec<_> = messages.iter().map(|entry| &entry["message"]).collect();
        assert_eq!(messages, ["uno", "due", "tre", "quattro"]);
    }
}

async fn pitfall_1_whoever_joins_while_much_is_published_misses_nothing(kind: Kind) {
    const MESSAGES: usize = 3000;
    const CLIENTS: usize = 40;
    let engine = Engine::start(kind);
    let (a, b) = (node(&engine.url()).await, node(&engine.url()).await);
    let mut speaker = connect(a.url("/desk")).await;
    let start = ask(&mut speaker, json!({"act": "position", "topic": "long/t"})).await;
    let start = start.as_str().expect("a position").to_owned();
    let speaking = tokio::spawn(async move {
        let order = json!({"act": "many", "topic": "long/t", "message": "", "count": MESSAGES});
        ask(&mut speaker, order).await;
    });
    let mut clients = tokio::task::JoinSet::new();
    for number in 0..CLIENTS {
        let url = [&a, &b][number % 2].url("/desk");
        let start = start.clone();
        clients.spawn(async move {
            tokio::time::sleep(Duration::from_millis(20 * number as u64)).await;
            let mut client = connect(url).await;
            let order = json!({"act": "subscribe", "topic": "long/t", "since": start});
            client.send_text(order.to_string()).await;
            let mut next = 0;
            while next < MESSAGES {
                let text = client.next_text().await;
                match text.strip_prefix('=') {
                    Some(answer) => {
                        let answer: Value = serde_json::from_str(answer).expect("JSON");
                        assert_eq!(answer["recovered"], true, "{number}: {answer}");
                    }
                    None => {
                        assert_eq!(text, next.to_string(), "client {number}");
                        next += 1;
                    }
                }
            }
        });
    }
    clients.join_all().await;
    speaking.await.expect("it ends");
}

async fn pitfall_8_a_long_history_is_read_in_portions(kind: Kind) {
    let engine = Engine::start(kind);
    let a = node(&engine.url()).await;
    let mut speaker = connect(a.url("/desk")).await;
    let body = "x".repeat(4000);
    let start = ask(&mut speaker, json!({"act": "position", "topic": "long/t"})).await;
    let order = json!({"act": "many", "topic": "long/t", "message": body, "count": 1500});
    ask(&mut speaker, order).await;
    if let Engine::Redis(redis) = &engine {
        redis.ask(&["CONFIG", "RESETSTAT"]);
    }
    let b = node(&engine.url()).await;
    let mut back = connect(b.url("/desk")).await;
    let answer = subscribe(&mut back, "long/t", start.as_str()).await;
    assert_eq!(
        (&answer["recovered"], &answer["missed"]),
        (&json!(true), &json!(1500))
    );
    let Engine::Redis(redis) = &engine else {
        return;
    };
    // 6 MB are six portions of a MiB at least, and no answer is all of them.
    let stats = redis.ask(&["INFO", "commandstats"]);
    let calls = stats
        .lines()
        .find(|line| line.starts_with("cmdstat_evalsha"));
    let calls = calls.and_then(|line| line.split("calls=").nth(1)?.split(',').next());
    let calls: usize = calls.and_then(|calls| calls.parse().ok()).expect("calls");
    assert!(calls >= 6, "{stats}");
}

async fn pitfall_13_channels_come_and_go(kind: Kind) {
    let engine = Engine::start(kind);
    let a = node_with(&engine.url(), |builder| {
        builder.args(["--engine-timeout", "1s"])
    })
    .await;
    let mut client = connect(a.url("/desk")).await;
    let order = json!({"act": "come and go", "topic": "room", "count": 2000});
    assert_eq!(ask(&mut client, order).await, Value::Null);
    assert!(engine.channels() >= 1000, "{}", engine.channels());
    let gone = async {
        while engine.channels() > 0 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    within("the end of all channels", gone).await;
    assert_eq!(ask(&mut client, json!({"act": "topics"})).await, json!([]));
}

async fn after_a_restart_nothing_kept_is_lost_or_doubled(kind: Kind) {
    let mut engine = Engine::lasting(kind);
    let (a, b) = (node(&engine.url()).await, node(&engine.url()).await);
    let mut reader = connect(b.url("/desk")).await;
    subscribe(&mut reader, "long/t", None).await;
    let mut speaker = connect(a.url("/desk")).await;
    let mut published = Vec::new();
    let mut refused = 0;
    for number in 0..60 {
        if number == 20 {
            engine.kill();
        }
        if number == 22 {
            engine.restart();
            a.log(["connected to the engine", "seconds="]).await;
        }
        let message = format!("m{number}");
        let answer = publish(&mut speaker, "long/t", &message).await;
        match answer["kind"].as_str() {
            None => published.push(message),
            Some(kind) => {
                assert_eq!(kind, "engine", "{answer}");
                refused += 1;
            }
        }
    }
    assert!(refused >= 1 && published.len() >= 50, "{refused}");
    // All that was acknowledged, once and in order; what was not may be among it.
    let mut seen: Vec<String> = Vec::new();
    while seen.last() != published.last() {
        let text = reader.next_text().await;
        assert!(!seen.contains(&text), "{text} is doubled");
        seen.push(text);
    }
    let known: Vec<_> = seen
        .iter()
        .filter(|text| published.contains(text))
        .collect();
    assert!(known.into_iter().eq(&published), "{seen:?} {published:?}");
    a.log("the engine is away").await;
    assert_eq!(a.count("the engine is away"), 1, "{}", a.logged());
}

async fn pitfall_12_a_silent_engine_is_noticed_and_comes_back(kind: Kind) {
    let engine = Engine::start(kind);
    let relay = Relay::start(engine.port()).await;
    let a = node(&engine.at("", relay.port())).await;
    let b = node(&engine.url()).await;
    let mut reader = connect(a.url("/desk")).await;
    subscribe(&mut reader, "kept/t", None).await;
    let mut plain = connect(a.url("/desk")).await;
    subscribe(&mut plain, "plain", None).await;
    let mut speaker = connect(b.url("/desk")).await;
    publish(&mut speaker, "kept/t", "one").await;
    assert_eq!(reader.next_text().await, "one");
    relay.set_silent(true);
    let begun = Instant::now();
    for message in ["two", "three"] {
        publish(&mut speaker, "kept/t", message).await;
    }
    a.log("the engine is away").await;
    assert!(
        begun.elapsed() < Duration::from_secs(10),
        "{:?}",
        begun.elapsed()
    );
    relay.set_silent(false);
    assert_eq!(reader.next_text().await, "two");
    assert_eq!(reader.next_text().await, "three");
    a.log(["connected to the engine", "seconds="]).await;
    assert_eq!(plain.next_text().await, "gap in plain");
    publish(&mut speaker, "plain", "again").await;
    assert_eq!(plain.next_text().await, "again", "one gap for one break");
    // The engine itself stands still: the same.
    engine.signal("STOP");
    b.log("the engine is away").await;
    let answer = publish(&mut speaker, "t", "into nothing").await;
    assert_eq!(answer["kind"], "engine", "{answer}");
    engine.signal("CONT");
    let back = async { while publish(&mut speaker, "kept/t", "four").await["kind"] == "engine" {} };
    within("the engine again", back).await;
    assert_eq!(reader.next_text().await, "four");
}

#[tokio::test]
async fn what_somebody_else_writes_is_passed_over() {
    let redis = Redis::start();
    let a = node(&redis.url()).await;
    let mut reader = connect(a.url("/desk")).await;
    subscribe(&mut reader, "t", None).await;
    subscribe(&mut reader, "kept/t", None).await;
    for bytes in [
        "hello",
        "",
        "WSH1",
        "WSH1 x",
        "WSH2 0123456789012345678901234567",
    ] {
        for topic in ["t", "kept/t"] {
            let channel = format!("wsh:0:t:{topic}");
            assert_eq!(redis.ask(&["PUBLISH", &channel, bytes]), "1");
        }
    }
    a.log(["passed over", "name=\"t\""]).await;
    let mut speaker = connect(a.url("/desk")).await;
    for topic in ["t", "kept/t"] {
        publish(&mut speaker, topic, "ours").await;
        assert_eq!(reader.next_text().await, "ours");
    }
    // In a history: what is ours is delivered, and the rest is none of a script's business.
    redis.ask(&["XADD", "wsh:s:kept/t", "7", "b", "junk"]);
    redis.ask(&["HSET", "wsh:m:kept/t", "n", "7"]);
    publish(&mut speaker, "kept/t", "eighth").await;
    assert_eq!(
        reader.next_text().await,
        "gap in kept/t",
        "for what is not ours"
    );
    assert_eq!(reader.next_text().await, "eighth");
    // A key of another kind: the error has a name, and all else goes on.
    redis.ask(&["SET", "wsh:m:kept/other", "text"]);
    let answer = publish(&mut speaker, "kept/other", "lost").await;
    assert_eq!(answer["kind"], "engine", "{answer}");
    publish(&mut speaker, "t", "still here").await;
    assert_eq!(reader.next_text().await, "still here");
}

async fn a_server_starts_without_its_engine_and_says_so(kind: Kind) {
    let mut engine = Engine::closed(kind, "tops3cret");
    let port = engine.port();
    engine.kill();
    let url = engine.at(":tops3cret@", port);
    let a = node_with(&url, |builder| {
        builder.args(["--engine-timeout", "300ms", "--metrics-port", "0"])
    })
    .await;
    let line = a.log("the engine is away").await;
    assert!(line.contains(&engine.at(":***@", port)), "{line}");
    let mut client = connect(a.url("/desk")).await;
    for order in [
        json!({"act": "publish", "topic": "t", "message": "x"}),
        json!({"act": "publish", "topic": "kept/t", "message": "x"}),
        json!({"act": "subscribe", "topic": "t", "since": null}),
        json!({"act": "history", "topic": "kept/t", "since": null}),
        json!({"act": "subscribers", "topic": "t"}),
    ] {
        let answer = ask(&mut client, order.clone()).await;
        assert_eq!(answer["kind"], "engine", "{order}: {answer}");
    }
    engine.restart();
    a.log("connected to the engine").await;
    assert_eq!(publish(&mut client, "t", "x").await, 0);
    assert!(!a.logged().contains("tops3cret"), "{}", a.logged());
    // A wrong password is said, and tried again.
    let wrong = node_with(&engine.at(":wr0ng@", port), |builder| builder).await;
    let said = match kind {
        Kind::Redis => "WRONGPASS",
        Kind::Nats => "authorization violation",
    };
    wrong.log(["the engine is away", said]).await;
    assert!(!wrong.logged().contains("wr0ng"), "{}", wrong.logged());
}

#[tokio::test]
async fn a_url_that_is_none_ends_the_start() {
    for url in ["redis", "redis://", "redis://:tops3cret@h/x", "http://h"] {
        let builder = Server::builder().file("desk_wsh.rhai", DESK);
        let ended = builder.args(["--broker", url]).run().await;
        assert!(!ended.status.success(), "{url}");
        assert!(ended.stderr.contains("--broker"), "{}", ended.stderr);
        assert!(!ended.stderr.contains("tops3cret"), "{}", ended.stderr);
    }
    for (name, key) in [("WSH_BROKER", "broker"), ("WSH_STORE", "store")] {
        let builder = Server::builder().bare().env(name, "redis://:tops3cret@h");
        let shown = builder.args(["config"]).run().await;
        assert!(shown.stdout.contains(key), "{}", shown.stdout);
        assert!(!shown.stdout.contains("tops3cret"), "{}", shown.stdout);
        let builder = Server::builder().bare().env(name, "redis://:tops3cret@h/x");
        let ended = builder.args(["config"]).run().await;
        assert!(!ended.stderr.contains("tops3cret"), "{}", ended.stderr);
    }
}

#[tokio::test]
async fn redis_is_reached_by_socket_user_database_and_prefix() {
    let redis = Redis::start();
    let acl = [
        "ACL",
        "SETUSER",
        "node",
        "on",
        ">s3cret",
        "~chat:*",
        "&chat:*",
        "+@all",
        "-@dangerous",
        "+info",
    ];
    assert_eq!(redis.ask(&acl), "OK");
    let url = format!(
        "redis+unix:{}?user=node&password=s3cret&db=3&prefix=chat",
        redis.socket().display()
    );
    let (a, b) = (node(&url).await, node(&url).await);
    let mut reader = connect(a.url("/desk")).await;
    subscribe(&mut reader, "kept/t", None).await;
    let mut speaker = connect(b.url("/desk")).await;
    publish(&mut speaker, "kept/t", "hello").await;
    assert_eq!(reader.next_text().await, "hello");
    let keys = redis.ask(&["-n", "3", "KEYS", "*"]);
    assert!(keys.lines().all(|key| key.starts_with("chat:")), "{keys}");
    let counts: BTreeMap<_, _> = [("0", 0), ("3", keys.lines().count())].into();
    for (database, count) in counts {
        let size = redis.ask(&["-n", database, "DBSIZE"]);
        assert!(size.ends_with(&count.to_string()), "{database}: {size}");
    }
}

#[tokio::test]
async fn what_somebody_else_writes_to_nats_is_passed_over() {
    let nats = Nats::start();
    let a = node(&nats.url()).await;
    let mut reader = connect(a.url("/desk")).await;
    subscribe(&mut reader, "t", None).await;
    subscribe(&mut reader, "kept/t", None).await;
    // base64url of the topics' names.
    let subjects = ["wsh.t.dA", "wsh.t.a2VwdC90"];
    for bytes in ["hello", "", "WSH1", "WSH1 x", "WSP2", "WSN1"] {
        for subject in subjects {
            nats.publish(subject, bytes.as_bytes());
        }
        nats.publish("wsh.all", bytes.as_bytes());
    }
    a.log(["passed over", "name=\"t\""]).await;
    let mut speaker = connect(a.url("/desk")).await;
    for topic in ["t", "kept/t"] {
        publish(&mut speaker, topic, "ours").await;
        assert_eq!(reader.next_text().await, "ours");
    }
    // In a history: what is ours is delivered, and the rest is none of a script's business.
    nats.publish("wsh.h.a2VwdC90", b"junk");
    publish(&mut speaker, "kept/t", "third").await;
    assert_eq!(reader.next_text().await, "gap in kept/t");
    assert_eq!(reader.next_text().await, "third");
    // Somebody else's stream takes what is ours: the error has its name, and all else goes on.
    let settings = json!({"name": "greedy", "subjects": ["wsh.h.a2VwdC9vdGhlcg"]});
    let made = nats.ask("STREAM.CREATE.greedy", &settings.to_string());
    assert!(made.contains("\"config\""), "{made}");
    let answer = publish(&mut speaker, "kept/other", "lost").await;
    assert_eq!(answer["kind"], "engine", "{answer}");
    let told = answer["error"].as_str().expect("a text");
    assert!(told.contains("the stream greedy"), "{told}");
    publish(&mut speaker, "t", "still here").await;
    assert_eq!(reader.next_text().await, "still here");
}

#[tokio::test]
async fn a_nats_that_keeps_nothing_says_so() {
    let nats = Nats::with(&["--user", "node", "--pass", "s3cret"]);
    let url = format!(
        "nats://node:s3cret@127.0.0.1:{}?prefix=my.chat",
        nats.port()
    );
    let a = node_with(&url, |builder| builder).await;
    a.log("connected to the engine").await;
    let mut client = connect(a.url("/desk")).await;
    for order in [
        json!({"act": "publish", "topic": "kept/t", "message": "x"}),
        json!({"act": "subscribe", "topic": "kept/t", "since": null}),
        json!({"act": "history", "topic": "kept/t", "since": null}),
    ] {
        let answer = ask(&mut client, order.clone()).await;
        assert_eq!(answer["kind"], "engine", "{order}: {answer}");
        let told = answer["error"].as_str().expect("a text");
        assert!(told.contains("JetStream"), "{told}");
    }
    // All else is there.
    subscribe(&mut client, "t", None).await;
    let mut speaker = connect(a.url("/desk")).await;
    publish(&mut speaker, "t", "plain").await;
    assert_eq!(client.next_text().await, "plain");
    assert_eq!(nats.subscriptions("my.chat.t"), 1);
}

#[tokio::test]
async fn what_is_too_large_for_nats_is_refused_and_the_next_is_not() {
    let nats = Nats::start();
    let a = node(&nats.url()).await;
    let mut reader = connect(a.url("/desk")).await;
    subscribe(&mut reader, "t", None).await;
    subscribe(&mut reader, "kept/t", None).await;
    let mut speaker = connect(a.url("/desk")).await;
    let large = "x".repeat(1024 * 1024);
    for topic in ["t", "kept/t"] {
        let answer = publish(&mut speaker, topic, &large).await;
        let told = answer["error"].as_str().expect("a text");
        assert!(told.contains("max_payload"), "{told}");
        publish(&mut speaker, topic, "small").await;
        assert_eq!(reader.next_text().await, "small");
    }
    assert_eq!(a.count("the engine is away"), 0, "{}", a.logged());
}
