//! Keys of somebody else under our prefix, in a real Redis: each is an error that names it, nothing
//! of it is touched, and all else goes on.

use serde_json::{Value, json};

use crate::support::desk::ask;
use crate::support::{Client, Redis, Server, connect, within};

/// Does what it is told in JSON, and answers with a text that begins with `=`.
const DESK: &str = r#"
fn on_load() { topic("kept/*", #{history: 5, seconds: 60}); }

fn transfer_data(ws, message) {
    let order = parse_json(message);
    let answer = ();
    try {
        let shelf = store(order.name);
        let line = queue(order.name);
        answer = switch order.act {
            "get" => shelf.get("k"),
            "set" => shelf.set("k", 1),
            "brief" => shelf.set("k", 1, #{seconds: 0.2}),
            "incr" => shelf.incr("k"),
            "delete" => shelf.delete("k"),
            "keys" => shelf.keys(),
            "put" => line.put("value"),
            "take" => line.take(0),
            "lease" => line.take(0, #{lease: 60}).value,
            "length" => line.length(),
            "publish" => publish(order.name, "message"),
            "presence" => presence(order.name),
        };
    } catch (e) {
        answer = #{kind: e.kind, error: e.message};
    }
    ws.send(`=${to_json(answer)}`);
}
"#;

async fn node(redis: &Redis) -> Server {
    let url = redis.url();
    let builder = Server::builder().file("desk_wsh.rhai", DESK);
    let args = ["--broker", &url, "--store", &url, "--engine-timeout", "1s"];
    let server = builder.args(args).start().await;
    server.log("engine=\"broker\"").await;
    server
}

async fn act(client: &mut Client, act: &str, name: &str) -> Value {
    ask(client, json!({"act": act, "name": name})).await
}

/// What a call throws names this key.
async fn names(client: &mut Client, what: &str, name: &str, key: &str) {
    let answer = act(client, what, name).await;
    assert_eq!(answer["kind"], "engine", "{what} {name}: {answer}");
    let told = answer["error"].as_str().expect("a text");
    assert!(told.contains(key), "{what} {name}: {told}");
}

#[tokio::test]
async fn keys_of_another_kind_are_named_and_left_alone() {
    let redis = Redis::start();
    let server = node(&redis).await;
    let mut client = connect(server.url("/desk")).await;
    for (key, name, acts) in [
        (
            "wsh:store:v:name:bad",
            "bad",
            &["get", "set", "incr", "delete"][..],
        ),
        ("wsh:store:k:name:other", "other", &["keys"]),
        ("wsh:store:e:full", "full", &["put"]),
        ("wsh:store:r:empty", "empty", &["take", "lease", "length"]),
        ("wsh:m:kept/m", "kept/m", &["publish"]),
        ("wsh:s:kept/s", "kept/s", &["publish"]),
    ] {
        assert_eq!(redis.ask(&["SET", key, "theirs"]), "OK");
        for what in acts {
            names(&mut client, what, name, key).await;
        }
        assert_eq!(redis.ask(&["GET", key]), "theirs");
    }
    assert_eq!(redis.ask(&["SET", "wsh:p:crowd", "theirs"]), "OK");
    let answer = act(&mut client, "presence", "crowd").await;
    assert_eq!(answer["kind"], "engine", "{answer}");
    server.log(["a topic's presence", "wsh:p:crowd"]).await;
    // All else goes on.
    assert_eq!(act(&mut client, "incr", "good").await, 1);
    assert_eq!(act(&mut client, "put", "line").await, Value::Null);
    assert_eq!(act(&mut client, "take", "line").await, "value");
    assert_eq!(act(&mut client, "publish", "kept/t").await, 0);
    assert_eq!(act(&mut client, "presence", "t").await, json!([]));
}

#[tokio::test]
async fn values_that_nobody_of_us_has_written_are_named() {
    let redis = Redis::start();
    let server = node(&redis).await;
    let mut client = connect(server.url("/desk")).await;
    let hash = "wsh:store:v:name:junk";
    for junk in [
        "",
        "x",
        "- ",
        "- 5",
        "- x y",
        "- 99 short",
        "1e3 0 ",
        "-1 0 x",
    ] {
        redis.ask(&["HSET", hash, "k", junk]);
        let place = format!("{hash} k");
        for what in ["get", "incr", "set", "delete"] {
            names(&mut client, what, "junk", &place).await;
        }
        assert_eq!(redis.ask(&["HGET", hash, "k"]), junk.trim());
    }
    // Numbers of entries that are not there, or are not ours.
    redis.ask(&["ZADD", "wsh:store:r:line", "5", "5", "6", "6"]);
    redis.ask(&["HSET", "wsh:store:e:line", "6", "junk"]);
    for _ in 0..2 {
        names(&mut client, "take", "line", "wsh:store:e:line").await;
    }
    assert_eq!(act(&mut client, "put", "line").await, Value::Null);
    assert_eq!(act(&mut client, "take", "line").await, "value");
    // What is to run out and does not exist, or is not ours, holds up nothing.
    redis.ask(&[
        "ZADD",
        "wsh:store:due",
        "1",
        "name:junk\nk",
        "2",
        "x",
        "3",
        "name:no\nk",
    ]);
    redis.ask(&["ZADD", "wsh:store:run", "1", "line\n7", "2", "x"]);
    assert_eq!(act(&mut client, "brief", "good").await, true);
    let goes = async { while redis.ask(&["HLEN", "wsh:store:v:name:good"]) != "0" {} };
    within("the end of a value", goes).await;
    assert_eq!(redis.ask(&["HGET", hash, "k"]), "-1 0 x");
    assert_eq!(act(&mut client, "incr", "good").await, 1);
}
