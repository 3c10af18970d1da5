//! Topics over real sockets: who gets what is published, in which order, and what becomes of those
//! who are slow, come back or ask for too much.

use serde_json::{Value, json};

use crate::support::desk::{ask, publish, subscribe};
use crate::support::{Builder, Client, Frame, Raw, Server, Wire, connect, within};

/// Does what it is told in JSON, and answers with a text that begins with `=`.
const DESK: &str = r#"
fn on_load() {
    topic("kept/*", #{history: 5, seconds: 60});
    topic("dropping", #{slow: "drop"});
    topic("latest", #{slow: "latest"});
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
            "topic" => topic(order.topic, #{}),
            "many" => {
                for number in 0..order.count { publish(order.topic, `${order.message}${number}`); }
            },
        };
    } catch (e) {
        answer = #{kind: e.kind};
    }
    ws.send(`=${to_json(answer)}`);
}
"#;

async fn serve(build: impl FnOnce(Builder) -> Builder) -> Server {
    let builder = Server::builder().workers(2).file("desk_wsh.rhai", DESK);
    build(builder).start().await
}

/// Topics are from the first connection on as `on_load` says, even if that takes a while, also
/// those of a file that comes later; one that takes too long holds nobody up.
#[tokio::test]
async fn on_load_comes_before_the_first_connection() {
    let handler = |seconds: f64, topic: &str| {
        format!(
            "fn on_load() {{\n    sleep({seconds});\n    topic(\"{topic}\", #{{history: 1}});\n}}\n\nfn \
             on_open(ws) {{\n    ws.send_json(ws.subscribe(\"{topic}\"));\n}}\n\nfn \
             transfer_data(ws, message) {{\n    ws.send_json(position(\"{topic}\"));\n}}\n"
        )
    };
    let position = |text: &str| -> Value {
        let joined: Value = serde_json::from_str(text).expect("JSON");
        joined["position"].clone()
    };
    let server = Server::builder()
        .workers(2)
        .file("first_wsh.rhai", handler(0.3, "first"))
        .file("late_wsh.rhai", handler(10_000.0, "late"))
        .start()
        .await;
    let first = async {
        for _ in 0..4 {
            let mut client = connect(server.url("/first")).await;
            let joined = client.next_text().await;
            assert!(position(&joined).is_string(), "{joined}");
        }
    };
    let late = async {
        let mut client = connect(server.url("/late")).await;
        let joined = client.next_text().await;
        assert_eq!(position(&joined), Value::Null, "{joined}");
    };
    tokio::join!(first, late);
    server.write("second_wsh.rhai", handler(0.3, "second"));
    server.log(["handler added", "second"]).await;
    let mut client = connect(server.url("/second")).await;
    let joined = client.next_text().await;
    assert!(position(&joined).is_string(), "{joined}");
}

#[tokio::test]
async fn all_subscribers_see_one_order_and_are_counted() {
    const EACH: usize = 200;
    let server = serve(|builder| builder).await;
    let mut readers = Vec::new();
    for _ in 0..8 {
        let mut reader = connect(server.url("/desk")).await;
        subscribe(&mut reader, "t", None).await;
        readers.push(reader);
    }
    let mut asker = connect(server.url("/desk")).await;
    assert_eq!(publish(&mut asker, "t", "first").await, 8);
    assert_eq!(
        ask(&mut asker, json!({"act": "subscribers", "topic": "t"})).await,
        8
    );
    let mut speakers = tokio::task::JoinSet::new();
    for name in ["a", "b", "c", "d"] {
        let mut speaker = connect(server.url("/desk")).await;
        speakers.spawn(async move {
            let order = json!({"act": "many", "topic": "t", "message": name, "count": EACH});
            ask(&mut speaker, order).await;
        });
    }
    let mut orders = Vec::new();
    for reader in &mut readers {
        assert_eq!(reader.next_text().await, "first");
        let mut seen = Vec::new();
        for _ in 0..4 * EACH {
            seen.push(reader.next_text().await);
        }
        orders.push(seen);
    }
    speakers.join_all().await;
    assert!(
        orders.windows(2).all(|pair| pair[0] == pair[1]),
        "one order"
    );
    for name in ["a", "b", "c", "d"] {
        let of_one = orders[0].iter().filter(|text| text.starts_with(name));
        let wanted: Vec<_> = (0..EACH).map(|number| format!("{name}{number}")).collect();
        assert!(of_one.eq(&wanted), "{name} in its own order");
    }
}

#[tokio::test]
async fn whoever_publishes_for_the_others_gets_nothing() {
    let server = serve(|builder| builder).await;
    let mut clients = Vec::new();
    for _ in 0..4 {
        let mut client = connect(server.url("/desk")).await;
        subscribe(&mut client, "t", None).await;
        clients.push(client);
    }
    let order = json!({"act": "others", "topic": "t", "message": "not for me"});
    assert_eq!(ask(&mut clients[0], order).await, 3);
    assert_eq!(publish(&mut clients[1], "t", "for all").await, 4);
    assert_eq!(clients[0].next_text().await, "for all");
    for client in &mut clients[2..] {
        assert_eq!(client.next_text().await, "not for me");
        assert_eq!(client.next_text().await, "for all");
    }
    let mut outside = connect(server.url("/desk")).await;
    let order = json!({"act": "others", "topic": "t", "message": "from outside"});
    assert_eq!(ask(&mut outside, order).await, 4);
}

#[tokio::test]
async fn a_subscription_ends_with_its_connection_or_before() {
    let server = serve(|builder| builder).await;
    let mut asker = connect(server.url("/desk")).await;
    let mut leaving = connect(server.url("/desk")).await;
    let mut closing = connect(server.url("/desk")).await;
    let mut lost = connect(server.url("/desk")).await;
    for client in [&mut leaving, &mut closing, &mut lost] {
        subscribe(client, "t", None).await;
        // Again changes nothing.
        subscribe(client, "t", None).await;
    }
    let count = json!({"act": "subscribers", "topic": "t"});
    assert_eq!(ask(&mut asker, count.clone()).await, 3);
    let order = json!({"act": "unsubscribe", "topic": "t"});
    assert_eq!(ask(&mut leaving, order.clone()).await, true);
    assert_eq!(ask(&mut leaving, order).await, false);
    assert_eq!(ask(&mut asker, count.clone()).await, 2);
    closing.close(1000, "").await;
    drop(lost);
    let all_gone = async { while ask(&mut asker, count.clone()).await != 0 {} };
    within("the end of the subscriptions", all_gone).await;
    assert_eq!(publish(&mut asker, "t", "nobody").await, 0);
    let topics = ask(&mut asker, json!({"act": "topics"})).await;
    assert!(!topics.as_array().expect("names").contains(&json!("t")));
}

const COUNT: usize = 300;

/// Publishes more than anybody's buffers hold to one that reads, who gets all of it, and to one
/// that does not.
async fn beside_a_slow_one(topic: &str) -> (Server, Client, Raw) {
    const SIZE: usize = 60_000;
    let server = serve(|builder| builder.args(["--send-queue", "128KiB"])).await;
    let mut slow = Raw::open_narrow(&server, "/desk").await;
    let order = json!({"act": "subscribe", "topic": topic});
    slow.send(Wire::text(order.to_string()).bytes()).await;
    assert!(slow.frame().await.payload.starts_with(b"="));
    let mut reader = connect(server.url("/desk")).await;
    subscribe(&mut reader, topic, None).await;
    let mut speaker = connect(server.url("/desk")).await;
    for number in 0..COUNT {
        let message = format!("{number:.<SIZE$}");
        assert!(publish(&mut speaker, topic, &message).await.is_u64());
        assert_eq!(number_of(&reader.next_text().await), Some(number));
    }
    (server, speaker, slow)
}

fn number_of(text: &str) -> Option<usize> {
    text.split('.').next()?.parse().ok()
}

/// From the first message on, none twice and none before an older one. There may be gaps anywhere:
/// the system takes more for the reader when it likes.
fn are_in_order(numbers: &[usize]) {
    let rise = numbers.windows(2).all(|pair| pair[0] < pair[1]);
    assert!(numbers.first() == Some(&0) && rise, "{numbers:?}");
}

/// The numbers that come, up to the first frame that has none.
async fn numbers(slow: &mut Raw) -> (Vec<usize>, Frame) {
    let mut numbers = Vec::new();
    loop {
        let frame = slow.frame().await;
        match std::str::from_utf8(&frame.payload).ok().and_then(number_of) {
            Some(number) if frame.opcode == 1 => numbers.push(number),
            _ => return (numbers, frame),
        }
    }
}

#[tokio::test]
async fn pitfall_9_a_slow_subscriber_is_closed_and_can_come_back() {
    let (server, mut speaker, mut slow) = beside_a_slow_one("plain").await;
    let (got, last) = numbers(&mut slow).await;
    assert!(
        got.len() < COUNT && got.iter().copied().eq(0..got.len()),
        "{got:?}"
    );
    let wanted = [&1013_u16.to_be_bytes()[..], b"too slow"].concat();
    assert_eq!((last.opcode, last.payload), (8, wanted));
    server.log("closed with 1013").await;
    // It is said before all of the connection is taken down.
    let gone = async { while publish(&mut speaker, "plain", "still there").await != 1 {} };
    within("the end of its subscription", gone).await;
}

/// A long message is in memory once, however many have not taken it.
#[tokio::test]
async fn l12_a_long_message_to_many_who_do_not_read_is_one() {
    const SIZE: usize = 1 << 20;
    let server = serve(|builder| builder).await;
    let mut slow = Vec::new();
    for _ in 0..250 {
        let mut raw = Raw::open_narrow(&server, "/desk").await;
        let order = json!({"act": "subscribe", "topic": "plain"});
        raw.send(Wire::text(order.to_string()).bytes()).await;
        assert!(raw.frame().await.payload.starts_with(b"="));
        slow.push(raw);
    }
    let mut speaker = connect(server.url("/desk")).await;
    let before = server.memory().peak;
    let sent = publish(&mut speaker, "plain", &"x".repeat(SIZE)).await;
    assert_eq!(sent, 250);
    for raw in &mut slow {
        let frame = raw.frame().await;
        assert!(frame.payload.len() == SIZE && frame.payload.iter().all(|&byte| byte == b'x'));
    }
    let grown = (server.memory().peak - before) / 1024;
    assert!(grown < 50, "{grown} MiB for 250 messages of 1 MiB");
}

#[tokio::test]
async fn pitfall_9_a_slow_subscriber_misses_messages_where_it_may() {
    let (_server, mut speaker, mut slow) = beside_a_slow_one("dropping").await;
    let reading = async {
        let (got, last) = numbers(&mut slow).await;
        assert!(got.len() < COUNT, "{got:?}");
        are_in_order(&got);
        assert_eq!(last.payload, b"the end");
    };
    let publishing = async {
        loop {
            publish(&mut speaker, "dropping", "the end").await;
        }
    };
    tokio::select! {
        () = reading => {}
        () = publishing => {}
    }
}

#[tokio::test]
async fn pitfall_9_a_slow_subscriber_gets_the_newest_where_that_is_enough() {
    let (_server, _speaker, mut slow) = beside_a_slow_one("latest").await;
    let mut got = Vec::new();
    while got.last() != Some(&(COUNT - 1)) {
        let frame = slow.frame().await;
        let text = String::from_utf8(frame.payload).expect("text");
        got.extend(number_of(&text));
    }
    assert!(got.len() < COUNT, "{}", got.len());
    are_in_order(&got);
}

#[tokio::test]
async fn pitfall_6_who_comes_back_gets_what_it_missed_or_is_told_that_it_cannot() {
    let server = serve(|builder| builder).await;
    let mut speaker = connect(server.url("/desk")).await;
    let come = async |since: &str| {
        let mut client = connect(server.url("/desk")).await;
        let order = json!({"act": "subscribe", "topic": "kept/a", "since": since}).to_string();
        client.send_text(order).await;
        let (mut missed, mut answer) = (Vec::new(), Value::Null);
        // Both are sent, in no order between them.
        while answer.is_null() || missed.len() as u64 != answer["missed"] {
            let text = client.next_text().await;
            match text.strip_prefix('=') {
                Some(json) => answer = serde_json::from_str(json).expect("JSON"),
                None => missed.push(text),
            }
        }
        (client, answer, missed)
    };
    let mut first = connect(server.url("/desk")).await;
    let answer = subscribe(&mut first, "kept/a", None).await;
    assert_eq!(answer["recovered"], false);
    let start = answer["position"].as_str().expect("a position").to_owned();
    drop(first);
    for text in ["1", "2", "3"] {
        publish(&mut speaker, "kept/a", text).await;
    }
    let (mut client, answer, missed) = come(&start).await;
    assert_eq!(
        (&answer["recovered"], missed),
        (&json!(true), vec!["1".into(), "2".into(), "3".into()])
    );
    publish(&mut speaker, "kept/a", "4").await;
    assert_eq!(client.next_text().await, "4");
    // Nothing new is recovered as well.
    let now = ask(&mut speaker, json!({"act": "position", "topic": "kept/a"})).await;
    let now = now.as_str().expect("a position");
    let (_, answer, missed) = come(now).await;
    assert_eq!(
        (&answer["recovered"], &answer["position"], missed.len()),
        (&json!(true), &json!(now), 0)
    );
    // More than is kept, and what is no position of this topic.
    for number in 5..8 {
        publish(&mut speaker, "kept/a", &number.to_string()).await;
    }
    let other = ask(&mut speaker, json!({"act": "position", "topic": "kept/b"})).await;
    let long = "9".repeat(4096);
    let stranger = other.as_str().expect("a position");
    for since in [&*start, stranger, "", "connected", "k3f9.", "k3f9.1", &long] {
        let (mut client, answer, missed) = come(since).await;
        assert_eq!(
            (&answer["recovered"], &answer["missed"], missed.len()),
            (&json!(false), &json!(0), 0),
            "{since}"
        );
        assert_eq!(publish(&mut client, "kept/none", "it goes on").await, 0);
    }
    let history = ask(
        &mut speaker,
        json!({"act": "history", "topic": "kept/a", "since": now}),
    )
    .await;
    let texts: Vec<_> = history["messages"]
        .as_array()
        .expect("messages")
        .iter()
        .map(|entry| entry["message"].clone())
        .collect();
    assert_eq!(
        (&history["recovered"], texts),
        (&json!(true), vec![json!("5"), json!("6"), json!("7")])
    );
    let history = ask(&mut speaker, json!({"act": "history", "topic": "kept/a"})).await;
    assert_eq!(history["messages"].as_array().map(Vec::len), Some(5));
    let history = ask(
        &mut speaker,
        json!({"act": "history", "topic": "kept/a", "since": start}),
    )
    .await;
    assert_eq!(
        (&history["recovered"], &history["messages"]),
        (&json!(false), &json!([]))
    );
    // A number that exists again, after a restart.
    drop(server);
    let server = serve(|builder| builder).await;
    let mut speaker = connect(server.url("/desk")).await;
    for number in 0..8 {
        publish(&mut speaker, "kept/a", &number.to_string()).await;
    }
    let answer = subscribe(&mut speaker, "kept/a", Some(now)).await;
    assert_eq!(
        (&answer["recovered"], &answer["missed"]),
        (&json!(false), &json!(0))
    );
}

#[tokio::test]
async fn an_envelope_says_where_a_message_is() {
    let server = serve(|builder| builder).await;
    let mut client = connect(server.url("/desk")).await;
    subscribe(&mut client, "letters/a", None).await;
    let mut speaker = connect(server.url("/desk")).await;
    publish(&mut speaker, "letters/a", "a \"text\"").await;
    let order = json!({"act": "publish", "topic": "letters/a", "message": {"price": [1, null]}});
    ask(&mut speaker, order).await;
    let [first, second] = [client.next_text().await, client.next_text().await]
        .map(|text| serde_json::from_str::<Value>(&text).expect("JSON"));
    assert_eq!(
        (&first["topic"], &first["data"]),
        (&json!("letters/a"), &json!("a \"text\""))
    );
    assert_eq!(second["data"], json!({"price": [1, null]}));
    let mut again = connect(server.url("/desk")).await;
    let answer = subscribe(&mut again, "letters/a", first["position"].as_str()).await;
    assert_eq!(
        (&answer["recovered"], &answer["missed"], &answer["position"]),
        (&json!(true), &json!(1), &second["position"])
    );
}

#[tokio::test]
async fn a_new_version_keeps_subscriptions_and_loses_settings_that_it_does_not_say() {
    let handler = |version: &str, load: &str| {
        format!(
            "fn on_load() {{ {load} }}\nfn on_open(ws) {{ ws.subscribe(\"t\"); }}\n\
             fn transfer_data(ws, message) {{\n    if message == \"?\" {{ ws.send(\"{version}\"); \
             }} else {{ publish(\"t\", message); }}\n}}\n\
             fn on_ping(ws, payload) {{ ws.send(`kept: ${{position(\"t\") != ()}}`); }}\n"
        )
    };
    let old = handler("old", "topic(\"t\", #{history: 2});");
    let server = Server::builder()
        .workers(2)
        .file("it_wsh.rhai", &old)
        .start()
        .await;
    let mut clients = [
        connect(server.url("/it")).await,
        connect(server.url("/it")).await,
        connect(server.url("/it")).await,
    ];
    for client in &mut clients {
        client.until_answer("old").await;
    }
    server.write("it_wsh.rhai", handler("new", ""));
    for client in &mut clients {
        client.until_answer("new").await;
    }
    clients[0].send_text("hello").await;
    for client in &mut clients {
        assert_eq!(client.next_text().await, "hello");
    }
    // Once each.
    clients[1].send_text("again").await;
    for client in &mut clients {
        assert_eq!(client.next_text().await, "again");
    }
    let [client, ..] = &mut clients;
    let is_forgotten = async {
        loop {
            client
                .send(tokio_tungstenite::tungstenite::Message::Ping(
                    Vec::new().into(),
                ))
                .await;
            if client.next_text().await == "kept: false" {
                break;
            }
        }
    };
    within("the old settings to be over", is_forgotten).await;
}

#[tokio::test]
async fn a_handler_publishes_by_itself() {
    let server = Server::start(&[(
        "clock_wsh.rhai",
        "fn on_load() { every(0.02, \"tick\"); }\nfn on_interval(name) { publish(\"clock\", name); \
        }\n\
         fn on_open(ws) { ws.subscribe(\"clock\"); }\nfn transfer_data(ws, message) {}\n",
    )])
    .await;
    let mut client = connect(server.url("/clock")).await;
    for _ in 0..3 {
        assert_eq!(client.next_text().await, "tick");
    }
}

#[tokio::test]
async fn what_is_too_much_is_an_error_with_a_kind() {
    let server = serve(|builder| {
        let other = "fn transfer_data(ws, message) { ws.subscribe(message); ws.send(message); }";
        builder
            .args([
                "--max-topics",
                "2",
                "--max-subscriptions",
                "3",
                "--max-topic-name",
                "16",
            ])
            .file("other_wsh.rhai", other)
    })
    .await;
    let mut client = connect(server.url("/desk")).await;
    subscribe(&mut client, "a", None).await;
    subscribe(&mut client, "b", None).await;
    assert_eq!(
        subscribe(&mut client, "c", None).await,
        json!({"kind": "topics"})
    );
    // Another handler has its own.
    let mut other = connect(server.url("/other")).await;
    other.send_text("c").await;
    assert_eq!(other.next_text().await, "c");
    assert!(subscribe(&mut client, "c", None).await["missed"].is_u64());
    other.send_text("d").await;
    assert_eq!(other.next_text().await, "d");
    assert_eq!(
        subscribe(&mut client, "d", None).await,
        json!({"kind": "subscriptions"})
    );
    for name in ["", "12345678901234567", "a\nb"] {
        assert_eq!(
            subscribe(&mut client, name, None).await,
            json!({"kind": "topic"})
        );
        assert_eq!(
            publish(&mut client, name, "").await,
            json!({"kind": "topic"})
        );
    }
    for message in [json!(1), json!(null), json!(true)] {
        let order = json!({"act": "publish", "topic": "a", "message": message});
        assert_eq!(ask(&mut client, order).await, json!({"kind": "type"}));
    }
    assert_eq!(
        ask(&mut client, json!({"act": "topic", "topic": "a"})).await,
        json!({"kind": "hook"})
    );
}

#[tokio::test]
async fn settings_that_cannot_be_are_faults_and_those_that_differ_are_warned_of() {
    let says = |options: &str| {
        format!(
            "fn on_load() {{ try {{ topic(\"t\", {options}); }} catch (e) {{ print(`${{e.kind}}: \
            ${{e.message}}`); }} }}\n\
             fn transfer_data(ws, message) {{}}\n"
        )
    };
    let server = Server::builder()
        .args(["--max-history", "50", "--max-history-age", "60s"])
        .file("a_wsh.rhai", says("#{history: 51}"))
        .file("b_wsh.rhai", says("#{history: 5, seconds: 61}"))
        .file("c_wsh.rhai", says("#{slow: \"wait\"}"))
        .file("d_wsh.rhai", says("#{histry: 5}"))
        .file("e_wsh.rhai", says("#{history: 5, seconds: 10}"))
        .file("f_wsh.rhai", says("#{history: 6}"))
        .start()
        .await;
    for line in [
        "history: 50 messages may be kept (--max-history), not 51",
        "history: messages may be kept for 60 seconds (--max-history-age), not 61",
        "option: slow is \"close\", \"drop\" or \"latest\", not wait",
        "option: there is no option \"histry\": did you mean history?",
        "says something else of this topic",
    ] {
        server.log(line).await;
    }
}

/// Pitfall 10: who does not read for a while and pings meanwhile gets every Pong, in order.
#[tokio::test]
async fn pitfall_10_pongs_come_to_a_slow_subscriber_as_well() {
    const PINGS: u8 = 20;
    let (_server, mut speaker, mut slow) = beside_a_slow_one("dropping").await;
    for number in 0..PINGS {
        slow.send(Wire::ping([number]).bytes()).await;
    }
    publish(&mut speaker, "dropping", "more").await;
    let mut pongs = Vec::new();
    while pongs.len() < usize::from(PINGS) {
        let frame = slow.frame().await;
        if frame.opcode == 10 {
            pongs.extend(frame.payload);
        } else {
            assert_eq!(frame.opcode, 1, "{pongs:?}");
        }
    }
    assert_eq!(pongs, Vec::from_iter(0..PINGS));
}
