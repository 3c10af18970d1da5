//! Presence over real sockets, and connections that speak to each other by their ids.

use serde_json::{Value, json};

use crate::support::desk::ask;
use crate::support::{Builder, Client, Raw, Server, Wire, connect, within};

const DESK: &str = r#"
fn transfer_data(ws, message) {
    let order = parse_json(message);
    let answer = ();
    try {
        answer = switch order.act {
            "subscribe" => { ws.subscribe(order.topic, order.options); () },
            "unsubscribe" => ws.unsubscribe(order.topic),
            "publish" => publish(order.topic, order.message),
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
"#;

const TOLD: &str = r#"
fn on_presence(ws, topic, joined, left) {
    ws.send_json(#{topic: topic, joined: joined, left: left});
}
"#;

async fn serve(build: impl FnOnce(Builder) -> Builder) -> Server {
    let builder = Server::builder()
        .workers(2)
        .args(["--presence-grace", "1s"])
        .file("desk_wsh.rhai", DESK)
        .file("told_wsh.rhai", [DESK, TOLD].concat());
    build(builder).start().await
}

async fn join(client: &mut Client, topic: &str, options: Value) -> Value {
    let order = json!({"act": "subscribe", "topic": topic, "options": options});
    ask(client, order).await
}

async fn come(server: &Server, topic: &str, options: Value) -> Client {
    let mut client = connect(server.url("/desk")).await;
    assert_eq!(join(&mut client, topic, options).await, Value::Null);
    client
}

async fn present(client: &mut Client, topic: &str) -> Value {
    let mut all = ask(client, json!({"act": "presence", "topic": topic})).await;
    for one in all.as_array_mut().expect("entries") {
        let since = one["since"].take();
        assert!(since.as_f64().expect("a time") > 1e9);
        one.as_object_mut().expect("an entry").remove("since");
    }
    all
}

/// What is told next.
async fn told(client: &mut Client) -> (Value, Value) {
    let mut text: Value = serde_json::from_str(&client.next_text().await).expect("JSON");
    (text["joined"].take(), text["left"].take())
}

fn of(key: &str, info: Value) -> Value {
    json!([{"key": key, "info": info}])
}

/// Pitfall 15: two tabs are one entry, a page that is loaded anew is no leave, and what was said
/// last is what is told.
#[tokio::test]
async fn pitfall_15_keys_come_and_go_once() {
    let server = serve(|builder| builder).await;
    let mut watcher = connect(server.url("/told")).await;
    join(&mut watcher, "room", json!({})).await;
    let none = json!([]);
    let mut first = come(&server, "room", json!({"key": "ann", "info": {"n": 1}})).await;
    assert_eq!(
        told(&mut watcher).await,
        (of("ann", json!({"n": 1})), none.clone())
    );
    let second = come(&server, "room", json!({"key": "ann", "info": {"n": 2}})).await;
    assert_eq!(
        present(&mut first, "room").await,
        json!([{"key": "ann", "info": {"n": 2}, "connections": 2}])
    );
    // One tab is closed, the other loaded anew: it is back before anybody notices.
    let mut third = second;
    third.close(1000, "").await;
    first.close(1001, "").await;
    let mut first = come(&server, "room", json!({"key": "ann"})).await;
    assert_eq!(
        present(&mut first, "room").await,
        json!([{"key": "ann", "info": {"n": 2}, "connections": 1}])
    );
    // So the next thing that is told is about somebody else.
    let mut bob = come(&server, "room", json!({"key": "bob"})).await;
    assert_eq!(
        told(&mut watcher).await,
        (of("bob", Value::Null), none.clone())
    );
    let count = json!({"act": "count", "topic": "room"});
    assert_eq!(ask(&mut bob, count.clone()).await, 2);
    // Who says good-bye is gone at once.
    bob.close(1000, "").await;
    assert_eq!(
        told(&mut watcher).await,
        (none.clone(), of("bob", Value::Null))
    );
    // Who is lost a while later, with what was said just before.
    let last = json!({"key": "ann", "info": "last words"});
    assert_eq!(join(&mut first, "room", last).await, Value::Null);
    drop(first);
    assert_eq!(
        told(&mut watcher).await,
        (none.clone(), of("ann", json!("last words")))
    );
    assert_eq!(present(&mut watcher, "room").await, json!([]));
    // It does not come back by itself, and leaving a topic is enough to be gone.
    let mut eve = come(&server, "room", json!({"key": "eve"})).await;
    assert_eq!(
        told(&mut watcher).await,
        (of("eve", Value::Null), none.clone())
    );
    ask(&mut eve, json!({"act": "unsubscribe", "topic": "room"})).await;
    assert_eq!(told(&mut watcher).await, (none, of("eve", Value::Null)));
}

#[tokio::test]
async fn a_new_version_keeps_presence_and_may_want_to_hear_of_it() {
    let server = serve(|builder| builder).await;
    let mut watcher = connect(server.url("/desk")).await;
    join(&mut watcher, "room", json!({"key": "ann"})).await;
    assert_eq!(
        ask(&mut watcher, json!({"act": "version"})).await,
        Value::Null
    );
    let desk = DESK.replace("\"id\" =>", "\"version\" => 2, \"id\" =>");
    let handler = [&desk, TOLD].concat();
    server.write("desk_wsh.rhai", handler);
    let is_new = async { while ask(&mut watcher, json!({"act": "version"})).await != 2 {} };
    within("the new version", is_new).await;
    let bob = come(&server, "room", json!({"key": "bob"})).await;
    assert_eq!(
        told(&mut watcher).await,
        (of("bob", Value::Null), json!([]))
    );
    assert_eq!(
        present(&mut watcher, "room").await,
        json!([{"key": "ann", "info": null, "connections": 1},
            {"key": "bob", "info": null, "connections": 1}])
    );
    drop(bob);
}

#[tokio::test]
async fn what_presence_does_not_take_is_an_error_with_a_kind() {
    let server =
        serve(|builder| builder.args(["--max-presence", "2", "--max-presence-info", "10"])).await;
    let mut client = connect(server.url("/desk")).await;
    for (options, kind) in [
        (json!({"key": ""}), "key"),
        (json!({"key": "k".repeat(257)}), "key"),
        (json!({"key": 5}), "option"),
        (json!({"info": 5}), "option"),
        (json!({"keys": "a"}), "option"),
        (json!({"key": "a", "info": "12345678901"}), "info"),
    ] {
        let answer = join(&mut client, "room", options.clone()).await;
        assert_eq!(answer["kind"], kind, "{options}");
    }
    let subscribers = json!({"act": "publish", "topic": "room", "message": "?"});
    assert_eq!(ask(&mut client, subscribers.clone()).await, 0);
    let _others = [
        come(&server, "room", json!({"key": "a"})).await,
        come(&server, "other", json!({"key": "b"})).await,
    ];
    let answer = join(&mut client, "room", json!({"key": "c"})).await;
    assert_eq!(answer, json!({"kind": "presence"}));
    // It does not subscribe either.
    assert_eq!(ask(&mut client, subscribers).await, 1);
    assert_eq!(
        join(&mut client, "room", json!({"key": "a"})).await,
        Value::Null
    );
    // Another handler has its own.
    let mut told = connect(server.url("/told")).await;
    assert_eq!(
        join(&mut told, "room", json!({"key": "c"})).await,
        Value::Null
    );
}

#[tokio::test]
async fn connections_reach_each_other_by_their_ids() {
    let server = serve(|builder| builder.args(["--send-queue", "64KiB"])).await;
    let mut clients = Vec::new();
    let mut ids = Vec::new();
    for _ in 0..4 {
        let mut client = connect(server.url("/desk")).await;
        let id = ask(&mut client, json!({"act": "id"})).await;
        ids.push(id.as_str().expect("an id").to_owned());
        clients.push(client);
    }
    let send = |id: &str| json!({"act": "send", "id": id, "message": "psst"});
    for id in &ids[1..] {
        assert_eq!(ask(&mut clients[0], send(id)).await, true, "{id}");
    }
    for client in &mut clients[1..] {
        assert_eq!(client.next_text().await, "psst");
    }
    let stranger = format!("0{}", &ids[1][1..]);
    for id in ["", "1", "nobody", &stranger, &format!("{}9", ids[1])] {
        assert_eq!(ask(&mut clients[0], send(id)).await, false, "{id}");
    }
    let close = json!({"act": "close", "id": ids[1], "code": 4001, "reason": "elsewhere"});
    assert_eq!(ask(&mut clients[0], close.clone()).await, true);
    assert_eq!(
        clients[1].next_close().await,
        (4001, "elsewhere".to_owned())
    );
    assert_eq!(ask(&mut clients[0], close).await, false);
    assert_eq!(ask(&mut clients[0], send(&ids[1])).await, false);
    let wrong = json!({"act": "close", "id": ids[2], "code": 1006, "reason": ""});
    assert_eq!(ask(&mut clients[0], wrong).await, json!({"kind": "close"}));
    // One that takes nothing holds nobody up.
    let mut slow = Raw::open_narrow(&server, "/desk").await;
    slow.send(Wire::text("{\"act\": \"id\"}").bytes()).await;
    let id = slow.frame().await.payload;
    let id: Value = serde_json::from_slice(&id[1..]).expect("JSON");
    let long = json!({"act": "send", "id": id, "message": "x".repeat(50_000)});
    let is_full = async { while ask(&mut clients[0], long.clone()).await == true {} };
    within("its queue to be full", is_full).await;
}

/// Pitfall 19: subscriptions are kept over reloads, and none is doubled.
#[tokio::test]
async fn pitfall_19_reloads_under_load_keep_subscriptions() {
    const TOPICS: usize = 64;
    let handler = |version: usize| {
        format!(
            "fn on_open(ws) {{ if ws.query == \"all\" {{ for n in 0..{TOPICS} {{ \
             ws.subscribe(`t/${{n}}`); }} }} }}\n\
             fn on_reload(ws) {{ if ws.query == \"all\" {{ ws.subscribe(\"t/0\"); }} }}\n\
             fn transfer_data(ws, message) {{\n\
                 if message == \"?\" {{ ws.send(\"{version}\"); }}\n\
                 else {{ for n in 0..{TOPICS} {{ publish(`t/${{n}}`, `${{message}}.${{n}}`); }} \
             ws.send(\"=\"); }}\n}}\n"
        )
    };
    let server = Server::builder()
        .workers(2)
        .file("it_wsh.rhai", handler(0))
        .start()
        .await;
    let mut reader = connect(server.url("/it?all")).await;
    reader.until_answer("0").await;
    let mut speaker = connect(server.url("/it")).await;
    for version in 1..=100 {
        server.write("it_wsh.rhai", handler(version));
        speaker.send_text(version.to_string()).await;
        for number in 0..TOPICS {
            assert_eq!(reader.next_text().await, format!("{version}.{number}"));
        }
        assert_eq!(speaker.next_text().await, "=");
        if version % 10 == 0 {
            reader.until_answer(&version.to_string()).await;
        }
    }
}
