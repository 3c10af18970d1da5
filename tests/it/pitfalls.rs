//! Pitfalls that others have met with topics, by their numbers, where no other file has them.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::support::desk::{ask, publish, subscribe};
use super::support::{Server, connect, within};
use super::testing;

const DESK: &str = r#"
fn on_load() {
    topic("kept", #{history: 5, seconds: 3600});
    topic("short", #{history: 5, seconds: 60});
}

fn transfer_data(ws, message) {
    let order = parse_json(message);
    let answer = switch order.act {
        "subscribe" => ws.subscribe(order.topic, #{since: order.since}),
        "publish" => publish(order.topic, order.message),
        "position" => position(order.topic),
    };
    ws.send(`=${to_json(answer)}`);
}
"#;

/// Silence that lasts, broken connections, ages and numbers, on the clock of the tests of handlers.
const TESTS: &str = r#"
fn order(c, order) {
    c.send_json(order);
    let before = [];
    loop {
        let text = c.receive();
        if text.starts_with("=") {
            text.remove("=");
            return #{answer: parse_json(text), before: before};
        }
        before.push(text);
    }
}

fn subscribe(c, topic, since) {
    order(c, #{act: "subscribe", topic: topic, since: since}).answer
}

// The texts of a topic since this position, and whether it was recovered.
fn resume(topic, since) {
    let c = connect("/desk");
    let joined = subscribe(c, topic, since);
    let texts = [];
    for number in 0..joined.missed { texts.push(c.receive()); }
    expect_silence(c, 1);
    c.abort();
    #{recovered: joined.recovered, texts: texts, position: joined.position}
}

fn say(topic, texts) {
    let c = connect("/desk");
    for text in texts { order(c, #{act: "publish", topic: topic, message: text}); }
    c.close();
}

// 2: nothing for ten minutes, then three.
fn test_silence_does_not_age_a_position() {
    let c = connect("/desk");
    let joined = subscribe(c, "kept", ());
    expect_silence(c, 600);
    c.abort();
    say("kept", ["1", "2", "3"]);
    let back = resume("kept", joined.position);
    expect(back.recovered);
    expect(back.texts, ["1", "2", "3"]);
    // 3: and again, with nothing new.
    let again = resume("kept", back.position);
    expect(again.recovered);
    expect(again.texts, []);
}

// 4: more than is kept, and older than it is kept.
fn test_what_is_gone_is_not_recovered_in_part() {
    let start = resume("kept", ()).position;
    say("kept", ["1", "2", "3", "4", "5", "6", "7"]);
    let back = resume("kept", start);
    expect(back.recovered, false);
    expect(back.texts, []);
    let start = resume("short", ()).position;
    say("short", ["1"]);
    advance(30);
    say("short", ["2"]);
    expect(resume("short", start).texts, ["1", "2"]);
    advance(31);
    let back = resume("short", start);
    expect(back.recovered, false);
    expect(back.texts, []);
}
"#;

#[tokio::test]
async fn pitfall_2_3_4_silence_repetition_and_age() {
    let dir = testing::folder(&[("desk_wsh.rhai", DESK), ("desk_test.rhai", TESTS)]);
    let done = testing::run(&["-w", testing::path(&dir)]).await;
    assert_eq!(
        done.status.code(),
        Some(0),
        "{}{}",
        done.stdout,
        done.stderr
    );
}

/// Everybody loses the connection at the same moment, and is back at the same moment.
#[tokio::test]
async fn pitfall_16_all_come_back_at_once() {
    const CLIENTS: usize = 400;
    let server = Server::builder()
        .workers(2)
        .file("desk_wsh.rhai", DESK)
        .args(["--max-connections-per-address", "0"])
        .start()
        .await;
    let mut speaker = connect(server.url("/desk")).await;
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        let mut client = connect(server.url("/desk")).await;
        subscribe(&mut client, "kept", None).await;
        clients.push(client);
    }
    let since = ask(&mut speaker, json!({"act": "position", "topic": "kept"})).await;
    drop(clients);
    for text in ["1", "2", "3"] {
        publish(&mut speaker, "kept", text).await;
    }
    let back = join_all((0..CLIENTS).map(async |_| {
        let mut client = connect(server.url("/desk")).await;
        let order = json!({"act": "subscribe", "topic": "kept", "since": since});
        client.send_text(order.to_string()).await;
        let (mut texts, mut answer) = (Vec::new(), Value::Null);
        while texts.len() < 3 || answer.is_null() {
            let text = client.next_text().await;
            match text.strip_prefix('=') {
                Some(json) => answer = serde_json::from_str(json).expect("JSON"),
                None => texts.push(text),
            }
        }
        assert_eq!(
            (&answer["recovered"], texts.join(" ").as_str()),
            (&json!(true), "1 2 3")
        );
        client
    }))
    .await;
    // All are there, and hear the next one once.
    publish(&mut speaker, "kept", "4").await;
    for mut client in back {
        assert_eq!(client.next_text().await, "4");
    }
}

/// Tests of handlers that never answer, spin, or sleep for a day.
#[tokio::test]
async fn pitfall_22_a_test_ends_whatever_its_handler_does() {
    let handler = |body: &str| format!("fn transfer_data(ws, message) {{ {body} }}");
    let test = "fn test_it() {\n    let c = connect(\"/NAME\");\n    c.send(\"x\");\n    \
        expect(c.receive(TIME), \"x\");\n}\n";
    for (name, body, time, says) in [
        ("silent", "", "1", Some("nothing came within 1 s")),
        ("spins", "loop { }", "1", Some("connection has ended")),
        ("sleeps", "sleep(86399); ws.send(message);", "86400", None),
    ] {
        let test = test.replace("NAME", name).replace("TIME", time);
        let files = [
            (format!("{name}_wsh.rhai"), handler(body)),
            (format!("{name}_test.rhai"), test),
        ];
        let files: Vec<_> = files
            .iter()
            .map(|(name, text)| (&**name, &**text))
            .collect();
        let dir = testing::folder(&files);
        let done = testing::run(&["-w", testing::path(&dir)]).await;
        let code = i32::from(says.is_some());
        assert_eq!(
            done.status.code(),
            Some(code),
            "{}{}",
            done.stdout,
            done.stderr
        );
        if let Some(says) = says {
            let place = format!("{name}_test.rhai:4:");
            assert!(done.stdout.contains(&place), "{}", done.stdout);
            assert!(done.stdout.contains(says), "{}", done.stdout);
        }
    }
}

/// Paths are not labels: a hundred thousand rooms are one handler.
#[tokio::test]
async fn pitfall_21_paths_make_no_series() {
    let server = Server::builder()
        .file("room/[id]_wsh.rhai", super::support::ECHO)
        .args(["--metrics-port", "0"])
        .start()
        .await;
    let port = super::metrics::port_of(&server).await;
    connect(server.url("/room/first")).await.echoes(1).await;
    let names = async || {
        let series = super::metrics::scrape(port).await;
        series.into_keys().collect::<Vec<_>>()
    };
    // What a first connection has brought may come a moment later.
    let mut before = names().await;
    let steady = async {
        loop {
            tokio::time::sleep(Duration::from_millis(50)).await;
            let now = names().await;
            if now == before {
                break;
            }
            before = now;
        }
    };
    within("steady series", steady).await;
    for number in 0..500 {
        connect(server.url(&format!("/room/{number}")))
            .await
            .echoes(1)
            .await;
    }
    assert_eq!(names().await, before);
}
