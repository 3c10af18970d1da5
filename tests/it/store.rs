//! Stores and queues over real sockets: what is kept, who gets it, and what becomes of those who wait
//! when their connection, their handler's version or their time ends.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::support::{Builder, Client, Server, connect, within};

/// Does what it is told in JSON, and answers in JSON.
const DESK: &str = r#"
fn transfer_data(ws, message) {
    let order = parse_json(message);
    let kept = if order.store == () { store } else { store(order.store) };
    let line = queue(order.queue ?? "q");
    let answer = ();
    try {
        answer = switch order.act {
            "get" => kept.get(order.key),
            "set" => kept.set(order.key, order.value, order.options ?? #{}),
            "incr" => kept.incr(order.key, order.more ?? 1),
            "append" => kept.update(order.key, |list| (list ?? []) + [order.value]),
            "delete" => kept.delete(order.key),
            "keys" => kept.keys(order.prefix ?? ""),
            "expire" => kept.expire(order.key, order.seconds),
            "wait" => if order.seconds == () {
                kept.wait(order.key, order.seen)
            } else {
                kept.wait(order.key, order.seen, order.seconds)
            },
            "sum" => {
                for i in 0..order.times { kept.update(order.key, |n| (n ?? 0) + 1); }
                "summed"
            },
            "waiting" => kept.update(order.key, |n| { sleep(0.0); n }),
            "nesting" => kept.update(order.key, |n| { store.incr("other"); n }),
            "put" => { line.put(order.value); "put" },
            "take" => line.take(order.seconds, order.options ?? #{}),
            "done" => line.done(order.id),
            "length" => line.length(),
        };
    } catch (e) {
        answer = #{kind: e.kind};
    }
    ws.send(to_json(answer));
}
"#;

async fn serve(build: impl FnOnce(Builder) -> Builder) -> Server {
    let builder = Server::builder().workers(2).file("desk_wsh.rhai", DESK);
    build(builder).start().await
}

async fn ask(client: &mut Client, order: Value) -> Value {
    client.send_text(order.to_string()).await;
    serde_json::from_str(&client.next_text().await).expect("JSON")
}

async fn put(client: &mut Client, value: impl Into<Value>) {
    let order = json!({"act": "put", "value": value.into()});
    assert_eq!(ask(client, order).await, "put");
}

#[tokio::test]
async fn values_are_kept_for_all_connections_and_over_reloads() {
    let other = format!("// Another.\n{DESK}");
    let server = serve(|builder| builder.file("other_wsh.rhai", other)).await;
    let mut client = connect(server.url("/desk")).await;
    let mut other = connect(server.url("/other")).await;
    let value = json!({"list": [1, 2.5, null, "ü"], "deep": {"a": true}});
    let set = json!({"act": "set", "key": "k", "value": value});
    assert_eq!(ask(&mut client, set).await, true);
    let get = json!({"act": "get", "key": "k"});
    assert_eq!(ask(&mut other, get.clone()).await, Value::Null, "its own");
    let shared = json!({"act": "set", "store": "s", "key": "k", "value": 7});
    assert_eq!(ask(&mut client, shared).await, true);
    let shared = json!({"act": "get", "store": "s", "key": "k"});
    assert_eq!(ask(&mut other, shared).await, 7);
    drop(client);
    server.write("desk_wsh.rhai", format!("{DESK}// saved\n"));
    server.log(["desk_wsh.rhai", "reloaded"]).await;
    let mut client = connect(server.url("/desk")).await;
    assert_eq!(ask(&mut client, get).await, value);
    let keys = json!({"act": "keys"});
    assert_eq!(ask(&mut client, keys).await, json!(["k"]));
}

#[tokio::test]
async fn the_store_is_known_everywhere_and_gives_way_to_a_variable() {
    let module = "fn count(key) { store.incr(key) }";
    let code = r#"
import "lib/m" as m;
fn do_extra_handshake(request) { store.incr("n"); }
fn on_open(ws) { m::count("n"); [1].for_each(|| store.incr("n")); }
fn transfer_data(ws, message) {
    let blob = to_blob("raw");
    store.set("blob", blob);
    ws.send(store.get("blob"));
    let sum = helper() + [1, 2].map(|x| store.incr("n", x))[1];
    let store = "mine";
    let text = [store].map(|x| x + store)[0];
    ws.send(`${sum} ${store.len()} ${text}`);
}
fn helper() { store.get("n") }
"#;
    let server = Server::builder()
        .files(&[("store_wsh.rhai", code), ("lib/m.rhai", module)])
        .start()
        .await;
    let mut client = connect(server.url("/store")).await;
    client.send_text("go").await;
    assert_eq!(client.next_binary().await, b"raw");
    assert_eq!(client.next_text().await, "9 4 minemine");
}

#[tokio::test]
async fn what_is_too_much_is_an_error_with_a_kind() {
    let args = [
        "--max-keys=2",
        "--max-key-size=8",
        "--max-value-size=1KiB",
        "--max-store-size=2KiB",
        "--max-queues=1",
    ];
    let server = serve(|builder| builder.args(args)).await;
    let mut client = connect(server.url("/desk")).await;
    let kind = |kind: &str| json!({"kind": kind});
    let set = |key: &str, value: Value| json!({"act": "set", "key": key, "value": value});
    let long = "x".repeat(1_000);
    for (order, answer) in [
        (set("", json!(1)), kind("key")),
        (set("123456789", json!(1)), kind("key")),
        (set("a\nb", json!(1)), kind("key")),
        (set("a", json!("x".repeat(1_023))), kind("value")),
        (set("a", json!(long)), json!(true)),
        (set("b", json!(long)), kind("full")),
        (set("b", json!("1")), json!(true)),
        (set("c", json!(1)), kind("keys")),
        (json!({"act": "incr", "key": "b"}), kind("number")),
        (set("b", json!(i64::MAX)), json!(true)),
        (json!({"act": "incr", "key": "b"}), kind("number")),
        (
            json!({"act": "incr", "key": "b", "more": -1}),
            json!(i64::MAX - 1),
        ),
        (json!({"act": "put", "value": null}), kind("type")),
        (json!({"act": "put", "value": 1}), json!("put")),
        (
            json!({"act": "put", "queue": "p", "value": 1}),
            kind("queues"),
        ),
        (json!({"act": "take", "seconds": -1}), kind("time")),
        (
            json!({"act": "take", "seconds": 1, "options": {"leese": 1}}),
            kind("option"),
        ),
        (
            json!({"act": "set", "key": "a", "value": 1, "options": {"seconds": 0}}),
            kind("option"),
        ),
    ] {
        assert_eq!(ask(&mut client, order.clone()).await, answer, "{order}");
    }
}

/// Pitfall 17 of those that others have met.
#[tokio::test]
async fn pitfall_17_updates_of_one_key_are_exact_and_may_not_wait() {
    const EACH: usize = 1_000;
    let server = serve(|builder| builder).await;
    let mut all = JoinSet::new();
    for _ in 0..100 {
        let mut client = connect(server.url("/desk")).await;
        all.spawn(async move {
            let order = json!({"act": "sum", "key": "n", "times": EACH});
            assert_eq!(ask(&mut client, order).await, "summed");
        });
    }
    within("the updates", all.join_all()).await;
    let mut client = connect(server.url("/desk")).await;
    let get = json!({"act": "get", "key": "n"});
    assert_eq!(ask(&mut client, get).await, 100 * EACH);
    for act in ["waiting", "nesting"] {
        let answer = ask(&mut client, json!({"act": act, "key": "n"})).await;
        assert_eq!(answer, json!({"kind": "update"}));
    }
}

/// Takes and waits that end in every way, in the middle of what others put.
async fn cut(server: &Server) {
    const VALUES: u64 = 60;
    let mut putter = connect(server.url("/desk")).await;
    let mut got = Vec::new();
    for value in 0..VALUES {
        let mut takers = Vec::new();
        for _ in 0..3 {
            let mut taker = connect(server.url("/desk")).await;
            let seconds = if value % 3 == 0 {
                json!(0.001)
            } else {
                json!(30)
            };
            let order = json!({"act": "take", "seconds": seconds});
            taker.send_text(order.to_string()).await;
            let order = json!({"act": "wait", "key": "never", "seen": null});
            takers.push(taker);
            let mut waiter = connect(server.url("/desk")).await;
            waiter.send_text(order.to_string()).await;
            takers.push(waiter);
        }
        if value % 7 == 0 {
            server.write("desk_wsh.rhai", format!("{DESK}// {value}\n"));
        }
        putter
            .send_text(json!({"act": "put", "value": value}).to_string())
            .await;
        for (number, mut taker) in takers.into_iter().enumerate() {
            // Some break off, some say goodbye while a value may be on its way to them.
            if (value as usize + number).is_multiple_of(2) {
                drop(taker);
            } else {
                taker.close(1000, "").await;
            }
        }
        assert_eq!(putter.next_text().await, "\"put\"");
    }
    // What went to those who left had been sent to them; everything else is here, once and in order.
    loop {
        let taken = ask(&mut putter, json!({"act": "take", "seconds": 1})).await;
        match taken.as_u64() {
            Some(value) => got.push(value),
            None => break,
        }
    }
    assert!(got.windows(2).all(|pair| pair[0] < pair[1]), "{got:?}");
    // Nobody is left who would take the next one away.
    for value in 0..20 {
        put(&mut putter, value).await;
        let taken = ask(&mut putter, json!({"act": "take", "seconds": 20})).await;
        assert_eq!(taken, value);
    }
}

#[tokio::test]
async fn pitfall_14_takes_and_waits_are_cut_at_every_point() {
    cut(&serve(|builder| builder).await).await;
}

/// The same where every value is accounted for: those who leave have not sent for one yet.
#[tokio::test]
async fn pitfall_14_no_value_is_lost_with_those_who_only_waited() {
    let server = serve(|builder| builder).await;
    let mut asker = connect(server.url("/desk")).await;
    for round in 0..30 {
        let mut waiting = Vec::new();
        for _ in 0..4 {
            let mut taker = connect(server.url("/desk")).await;
            let order = json!({"act": "take", "seconds": 60});
            taker.send_text(order.to_string()).await;
            waiting.push(taker);
        }
        // Two that leave, and two that stay.
        for mut taker in waiting.drain(..2) {
            taker.close(1000, "").await;
        }
        let mut got = BTreeSet::new();
        for value in 0..2 {
            put(&mut asker, round * 2 + value).await;
        }
        for taker in &mut waiting {
            got.insert(taker.next_text().await);
        }
        let wanted = [round * 2, round * 2 + 1].map(|value| value.to_string());
        assert_eq!(got, BTreeSet::from(wanted));
        let length = ask(&mut asker, json!({"act": "length"})).await;
        assert_eq!(length, 0);
    }
}

#[tokio::test]
async fn each_value_goes_to_one_taker_in_order() {
    const EACH: i64 = 200;
    let server = serve(|builder| builder.args(["--max-queue-entries=10"])).await;
    let mut all = JoinSet::new();
    for name in 0..4 {
        let mut putter = connect(server.url("/desk")).await;
        all.spawn(async move {
            for number in 0..EACH {
                put(&mut putter, json!([name, number])).await;
            }
        });
    }
    let mut takers = JoinSet::new();
    for _ in 0..4 {
        let mut taker = connect(server.url("/desk")).await;
        takers.spawn(async move {
            let mut got = Vec::new();
            for _ in 0..EACH {
                let order = json!({"act": "take", "seconds": 60});
                let value = ask(&mut taker, order).await;
                got.push((value[0].as_i64(), value[1].as_i64()));
            }
            got
        });
    }
    let got = within("the takers", takers.join_all()).await;
    all.join_all().await;
    for one in &got {
        for name in 0..4 {
            let of_one = one.iter().filter(|(from, _)| *from == Some(name));
            let numbers: Vec<_> = of_one.map(|(_, number)| *number).collect();
            assert!(
                numbers.windows(2).all(|pair| pair[0] < pair[1]),
                "{numbers:?}"
            );
        }
    }
    let all: BTreeSet<_> = got.iter().flatten().collect();
    assert_eq!(all.len() as i64, 4 * EACH);
}

#[tokio::test]
async fn a_lease_that_runs_out_goes_to_another() {
    let server = serve(|builder| builder).await;
    let mut client = connect(server.url("/desk")).await;
    put(&mut client, "job").await;
    put(&mut client, "later").await;
    let take = json!({"act": "take", "seconds": 60, "options": {"lease": 0.1}});
    let first = ask(&mut client, take.clone()).await;
    assert_eq!(first["value"], "job");
    let other = ask(&mut client, json!({"act": "take", "seconds": 60})).await;
    assert_eq!(other, "later");
    let mut another = connect(server.url("/desk")).await;
    let second = ask(&mut another, take).await;
    assert_eq!(second["value"], "job");
    let done = ask(&mut client, json!({"act": "done", "id": first["id"]})).await;
    assert_eq!(done, false);
}

#[tokio::test]
async fn a_wait_misses_no_change() {
    let server = serve(|builder| builder).await;
    let mut waiter = connect(server.url("/desk")).await;
    let mut writer = connect(server.url("/desk")).await;
    let waiting = async {
        let mut seen = 0;
        while seen < 500 {
            let order = json!({"act": "wait", "key": "n", "seen": if seen == 0 {
                Value::Null
            } else {
                json!(seen)
            }});
            let value = ask(&mut waiter, order).await;
            let value = value.as_i64().expect("a number");
            assert!(value > seen);
            seen = value;
        }
    };
    let writing = async {
        for _ in 0..500 {
            ask(&mut writer, json!({"act": "incr", "key": "n"})).await;
        }
    };
    within("the last value", async { tokio::join!(waiting, writing) }).await;
    let over = json!({"act": "wait", "key": "n", "seen": 500, "seconds": 0.01});
    assert_eq!(ask(&mut waiter, over).await, 500);
}

/// Kills it at any time, a hundred times: everything that was answered is there.
#[tokio::test]
async fn a_file_has_what_was_answered_however_the_server_ends() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = format!("file:{}", folder.path().join("store").display());
    let with = |builder: Builder| builder.args(["--store", &store]);
    let (mut answered, mut taken) = (0, Vec::new());
    for round in 0..100 {
        let server = serve(with).await;
        let mut client = connect(server.url("/desk")).await;
        let value = ask(&mut client, json!({"act": "get", "key": "n"})).await;
        // One that was not answered may be there as well.
        let value = value.as_i64().unwrap_or(0);
        assert!(
            (answered..=answered + 1).contains(&value),
            "{value} {answered}"
        );
        answered = value;
        put(&mut client, round).await;
        let order = json!({"act": "take", "seconds": 20});
        taken.push(ask(&mut client, order).await.as_i64());
        let writing = async {
            loop {
                let sum = ask(&mut client, json!({"act": "incr", "key": "n"})).await;
                answered = sum.as_i64().expect("a number");
                if answered % 10 == 9 {
                    break;
                }
            }
        };
        within("the writes", writing).await;
        client
            .send_text(json!({"act": "incr", "key": "n"}).to_string())
            .await;
        server.signal("KILL");
    }
    assert_eq!(taken, (0..100).map(Some).collect::<Vec<_>>());
}

/// One that was closed need not be looked through from its first page to its last.
#[tokio::test]
async fn a_server_that_is_told_to_stop_closes_its_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store");
    let store = format!("file:{}", path.display());
    let mut is_killed = true;
    for _ in 0..2 {
        let mut server = serve(|builder| builder.args(["--store", &store])).await;
        let mut client = connect(server.url("/desk")).await;
        ask(&mut client, json!({"act": "incr", "key": "n"})).await;
        if is_killed {
            server.signal("KILL");
            server.exited().await;
        } else {
            assert!(server.stop().await.success());
        }
        let is_repaired = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&is_repaired);
        let opened = redb::Builder::new()
            .set_repair_callback(move |_| seen.store(true, Ordering::Relaxed))
            .open(&path);
        drop(opened.expect("it is whole"));
        assert_eq!(is_repaired.load(Ordering::Relaxed), is_killed);
        is_killed = false;
    }
}

#[tokio::test]
async fn a_file_is_for_one_server() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = format!("file:{}", folder.path().join("store").display());
    let _server = serve(|builder| builder.args(["--store", &store])).await;
    let other = Server::builder()
        .file("desk_wsh.rhai", DESK)
        .args(["--store", &store])
        .run()
        .await;
    assert!(!other.status.success());
    assert!(
        other.stderr.contains("in use by another process"),
        "{}",
        other.stderr
    );
}

/// A limit on the length of files stands for a full disk.
#[tokio::test]
async fn a_full_disk_is_an_error_and_no_end() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = format!("file:{}", folder.path().join("store").display());
    let with = |builder: Builder| builder.args(["--store", &store]).file_size(8);
    let server = serve(with).await;
    let mut client = connect(server.url("/desk")).await;
    let value = "x".repeat(500_000);
    let set = |key: usize| json!({"act": "set", "key": key.to_string(), "value": value});
    let mut kept = 0;
    let full = loop {
        match ask(&mut client, set(kept)).await {
            Value::Bool(true) => kept += 1,
            answer => break answer,
        }
    };
    assert_eq!(full, json!({"kind": "store"}));
    server.log("store cannot be written").await;
    let keys = json!({"act": "keys"});
    let count = ask(&mut client, keys).await.as_array().map(Vec::len);
    assert_eq!(count, Some(kept), "nothing is torn");
    let script = format!("prlimit --pid {} --fsize=unlimited:", server.pid());
    let raised = std::process::Command::new("sh")
        .args(["-c", &script])
        .status();
    assert!(raised.expect("a shell").success());
    assert_eq!(ask(&mut client, set(kept)).await, true);
    server.log("store can be written again").await;
}
