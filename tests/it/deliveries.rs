//! `on_publish`: what a subscriber's hook sees of the messages of its topics, and what becomes of
//! them.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::support::{Client, Raw, Server, Wire, connect, within};

/// Subscribes to what it is sent, and does what the messages of its topics say.
const OBEDIENT: &str = r#"
fn on_load() {
    topic("boxed/*", #{history: 10, seconds: 60, envelope: true});
}

fn transfer_data(ws, message) {
    let order = parse_json(message);
    switch order.act {
        "subscribe" => ws.subscribe(order.topic, #{since: order.since}),
        "publish" => publish(order.topic, order.message),
        "binary" => publish(order.topic, order.message.to_blob()),
        "fragment" => ws.send_fragment("part, ", false),
        "last" => ws.send_fragment("end", true),
    }
    if order.act != "fragment" && order.act != "last" { ws.send("="); }
}

fn on_publish(ws, topic, message) {
    this.seen = (this.seen ?? 0) + 1;
    switch message {
        "as it is" => true,
        "nothing said" => (),
        "drop" => false,
        "another" => `${topic} ${this.seen}`,
        "a blob" => "blob".to_blob(),
        "a map" => #{seen: this.seen},
        "a number" => 42,
        "publish" => { publish(topic, "from inside"); true },
        "subscribe" => { ws.subscribe("second"); true },
        "leave" => { ws.unsubscribe(topic); true },
        "wait" => { sleep(0.05); ws.send("slept"); },
        _ => {
            if type_of(message) == "map" { message.seen = this.seen; message } else { true }
        },
    }
}
"#;

async fn serve() -> (Server, Client) {
    let server = Server::builder()
        .workers(2)
        .file("it_wsh.rhai", OBEDIENT)
        .start()
        .await;
    let client = connect(server.url("/it")).await;
    (server, client)
}

async fn tell(client: &mut Client, order: Value) {
    client.send_text(order.to_string()).await;
}

/// Does it, and waits until it is done; the messages that came before.
async fn done(client: &mut Client, order: Value) -> Vec<String> {
    tell(client, order).await;
    let mut before = Vec::new();
    loop {
        match client.next_text().await {
            text if text == "=" => return before,
            text => before.push(text),
        }
    }
}

/// The next message is this text, or the log says why not.
async fn expect(client: &mut Client, server: &Server, text: &str) {
    let got = client.next().await;
    assert_eq!(got.to_text().ok(), Some(text), "{}", server.logged());
}

async fn subscribe(client: &mut Client, topic: &str) {
    done(client, json!({"act": "subscribe", "topic": topic})).await;
}

async fn publish(client: &mut Client, topic: &str, message: impl Into<Value>) {
    let order = json!({"act": "publish", "topic": topic, "message": message.into()});
    done(client, order).await;
}

#[tokio::test]
async fn the_hook_says_what_is_sent() {
    let (server, mut client) = serve().await;
    subscribe(&mut client, "t").await;
    let mut speaker = connect(server.url("/it")).await;
    for (message, sent) in [
        ("as it is", Some("as it is")),
        ("nothing said", Some("nothing said")),
        ("drop", None),
        ("another", Some("t 4")),
        ("a map", Some("{\"seen\":5}")),
        ("drop", None),
        ("anything else", Some("anything else")),
    ] {
        publish(&mut speaker, "t", message).await;
        if let Some(sent) = sent {
            assert_eq!(client.next_text().await, sent);
        }
    }
    // As JSON it is a text like others.
    publish(&mut speaker, "t", json!({"a": [1]})).await;
    assert_eq!(client.next_text().await, "{\"a\":[1]}");
    publish(&mut speaker, "t", "a blob").await;
    assert_eq!(client.next_binary().await, b"blob");
    let order = json!({"act": "binary", "topic": "t", "message": "bytes"});
    done(&mut speaker, order).await;
    assert_eq!(client.next_binary().await, b"bytes");
    publish(&mut speaker, "t", "a number").await;
    assert_eq!(client.next_close().await.0, 1011);
    server.log("on_publish gave int").await;
}

#[tokio::test]
async fn an_envelope_is_opened_for_the_hook_and_closed_again() {
    let (server, mut client) = serve().await;
    subscribe(&mut client, "boxed/a").await;
    let mut speaker = connect(server.url("/it")).await;
    for message in [
        json!("as it is"),
        json!("another"),
        json!({"price": 7}),
        json!([1]),
        json!("a blob"),
    ] {
        publish(&mut speaker, "boxed/a", message).await;
    }
    let mut position = None;
    for wanted in [
        json!("as it is"),
        json!("boxed/a 2"),
        json!({"price": 7, "seen": 3}),
        json!([1]),
    ] {
        let message: Value = serde_json::from_str(&client.next_text().await).expect("JSON");
        assert_eq!(
            (&message["topic"], &message["data"]),
            (&json!("boxed/a"), &wanted)
        );
        position = message["position"].as_str().map(str::to_owned);
    }
    assert_eq!(client.next_close().await.0, 1011);
    server.log("JSON has no blobs").await;
    // What was missed goes through the hook as well; of the last one nobody else wants a blob.
    let mut again = connect(server.url("/it")).await;
    publish(&mut speaker, "boxed/a", "another").await;
    let position = position.expect("a position");
    let order = json!({"act": "subscribe", "topic": "boxed/a", "since": position});
    tell(&mut again, order).await;
    assert_eq!(again.next_text().await, "=");
    assert_eq!(again.next_close().await.0, 1011);
}

/// Pitfall 18: whatever the hook does to its topics, nothing recurs, panics or comes twice.
#[tokio::test]
async fn pitfall_18_the_hook_publishes_subscribes_and_leaves() {
    let (server, mut client) = serve().await;
    subscribe(&mut client, "first").await;
    let mut speaker = connect(server.url("/it")).await;
    publish(&mut speaker, "first", "publish").await;
    expect(&mut client, &server, "publish").await;
    expect(&mut client, &server, "from inside").await;
    publish(&mut speaker, "first", "subscribe").await;
    expect(&mut client, &server, "subscribe").await;
    publish(&mut speaker, "second", "hello").await;
    expect(&mut client, &server, "hello").await;
    // Behind the one in which it leaves others are on their way already: nothing of them comes.
    publish(&mut speaker, "first", "wait").await;
    publish(&mut speaker, "first", "leave").await;
    for _ in 0..10 {
        publish(&mut speaker, "first", "too late").await;
    }
    publish(&mut speaker, "second", "the end").await;
    for text in ["slept", "wait", "leave", "the end"] {
        expect(&mut client, &server, text).await;
    }
    assert_eq!(server.count("panic"), 0);
}

#[tokio::test]
async fn hooks_of_a_connection_do_not_overlap() {
    let handler = "fn on_open(ws) { ws.subscribe(\"t\"); }\n\
        fn transfer_data(ws, message) { if message == \"go\" { publish(\"t\", message); } \
        ws.send(`< ${message}`); sleep(0.05); ws.send(`> ${message}`); }\n\
        fn on_publish(ws, topic, message) { ws.send(\"(\"); sleep(0.05); ws.send(\")\"); }\n";
    let server = Server::start(&[("it_wsh.rhai", handler)]).await;
    let mut client = connect(server.url("/it")).await;
    for message in ["go", "1", "2"] {
        client.send_text(message).await;
    }
    let mut seen = Vec::new();
    while seen.len() < 9 {
        seen.push(client.next_text().await);
    }
    let text = seen.join(" ");
    for part in ["< go > go", "< 1 > 1", "< 2 > 2", "( ) go"] {
        assert!(text.contains(part), "{text}");
    }
}

#[tokio::test]
async fn a_message_waits_for_the_end_of_a_fragmented_one() {
    let (server, mut client) = serve().await;
    subscribe(&mut client, "t").await;
    let mut speaker = connect(server.url("/it")).await;
    tell(&mut client, json!({"act": "fragment"})).await;
    publish(&mut speaker, "t", "between").await;
    tell(&mut client, json!({"act": "last"})).await;
    let mut got = [client.next_text().await, client.next_text().await];
    got.sort();
    assert_eq!(got, ["between", "part, end"]);
}

#[tokio::test]
async fn a_new_version_brings_the_hook_and_takes_it_away() {
    let handler = |version: &str, hook: &str| {
        format!(
            "fn on_open(ws) {{ ws.subscribe(\"t\"); }}\n\
             fn transfer_data(ws, message) {{ if message == \"?\" {{ ws.send(\"{version}\"); }} \
             else {{ publish(\"t\", message); }} }}\n{hook}\n"
        )
    };
    let plain = handler("1", "");
    let server = Server::builder()
        .workers(2)
        .file("it_wsh.rhai", &plain)
        .start()
        .await;
    let mut clients = Vec::new();
    for _ in 0..4 {
        let mut client = connect(server.url("/it")).await;
        client.until_answer("1").await;
        clients.push(client);
    }
    let loud = "fn on_publish(ws, topic, message) { message.make_upper(); message }";
    for (version, hook, sent) in [
        ("2", loud, "HELLO"),
        ("3", "", "hello"),
        ("4", loud, "HELLO"),
    ] {
        server.write("it_wsh.rhai", handler(version, hook));
        for client in &mut clients {
            client.until_answer(version).await;
        }
        clients[0].send_text("hello").await;
        for client in &mut clients {
            assert_eq!(client.next_text().await, sent, "version {version}");
        }
    }
}

/// Who is slow in its hook is slow.
#[tokio::test]
async fn pitfall_9_what_waits_for_a_hook_counts_as_unsent() {
    const COUNT: usize = 100;
    let handler = |slow: &str| {
        format!(
            "fn on_load() {{ topic(\"{slow}\", #{{slow: \"{slow}\"}}); }}\n\
             fn transfer_data(ws, message) {{\n\
                 if message == \"subscribe\" {{ ws.subscribe(\"{slow}\"); ws.send(\"=\"); }}\n\
                 else {{ publish(\"{slow}\", message); ws.send(\"=\"); }}\n}}\n\
             fn on_publish(ws, topic, message) {{\n    if this.n == () {{ this.n = 1; \
             sleep(1.5); }}\n}}\n"
        )
    };
    let server = Server::builder()
        .args(["--send-queue", "64KiB"])
        .file("close_wsh.rhai", handler("close"))
        .file("drop_wsh.rhai", handler("drop"))
        .file("latest_wsh.rhai", handler("latest"))
        .start()
        .await;
    let mut got = BTreeMap::new();
    for slow in ["close", "drop", "latest"] {
        let mut raw = Raw::open(&server, &format!("/{slow}")).await;
        raw.send(Wire::text("subscribe").bytes()).await;
        raw.expect_text("=").await;
        let mut speaker = connect(server.url(&format!("/{slow}"))).await;
        for number in 0..COUNT {
            speaker.send_text(format!("{number:.<4000}")).await;
            assert_eq!(speaker.next_text().await, "=");
        }
        let mut numbers = Vec::new();
        let reading = async {
            loop {
                let frame = raw.frame().await;
                if frame.opcode == 8 {
                    return Some(frame.payload);
                }
                let text = String::from_utf8(frame.payload).expect("text");
                let number: usize = text
                    .split('.')
                    .next()
                    .and_then(|number| number.parse().ok())
                    .expect("a number");
                numbers.push(number);
                let is_last = match slow {
                    "latest" => number == COUNT - 1,
                    _ => numbers.len() == 17,
                };
                if is_last {
                    return None;
                }
            }
        };
        let close = within("the end", reading).await;
        assert_eq!(close.is_some(), slow == "close", "{slow}: {numbers:?}");
        if let Some(close) = close {
            assert_eq!(close[..2], 1013_u16.to_be_bytes());
        }
        assert!(numbers.is_sorted(), "{numbers:?}");
        got.insert(slow, numbers);
    }
    assert_eq!(got["close"], Vec::<usize>::new());
    assert_eq!(got["drop"], Vec::from_iter(0..17));
    assert!(got["latest"].len() < 30, "{:?}", got["latest"]);
}

/// What is held for subscribers counts to what all connections hold: whoever does not read while
/// much is held for it goes, and the process stays within its bound.
#[tokio::test]
async fn what_is_held_counts_to_what_all_connections_hold() {
    const CLIENTS: usize = 20;
    let handler = "fn on_load() { topic(\"t\", #{slow: \"latest\"}); }\n\
        fn transfer_data(ws, message) {\n    if message == \"subscribe\" { ws.subscribe(\"t\"); \
        ws.send_fragment(\"begun\", false); }\n    \
        else { publish(\"t\", message); ws.send(\"=\"); }\n}\n";
    let server = Server::builder()
        .workers(2)
        .args(["--max-message", "1MiB", "--max-buffered", "4MiB"])
        .file("it_wsh.rhai", handler)
        .start()
        .await;
    let mut slow = Vec::new();
    for _ in 0..CLIENTS {
        // Nothing is sent inside of a fragmented message, and so all is held.
        let mut raw = Raw::open(&server, "/it").await;
        raw.send(Wire::text("subscribe").bytes()).await;
        raw.frame().await;
        slow.push(raw);
    }
    let mut speaker = connect(server.url("/it")).await;
    speaker.send_text("x".repeat(1 << 20)).await;
    assert_eq!(speaker.next_text().await, "=");
    server.log("max-buffered").await;
    // The others notice nothing.
    speaker.send_text("y").await;
    assert_eq!(speaker.next_text().await, "=");
}
