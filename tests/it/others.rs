//! What other programs read of our recordings: what the real ones have said is kept beside a
//! recording, see `tests/fixtures/har/others.mjs`, and what is recorded today is of the same form.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::{PATIENCE, Server, connect};

const CHAT: &str = include_str!("../fixtures/har/chat_wsh.rhai");
const OURS: &str = include_str!("../fixtures/har/ours.har");
const READ: &str = include_str!("../fixtures/har/read.json");

fn parse(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

#[test]
fn ours_are_read_by_other_programs() {
    let (ours, read) = (parse(OURS), parse(READ));
    let entry = &ours["log"]["entries"][0];
    let messages = entry["_webSocketMessages"].as_array().expect("messages");

    // The network panel shows every frame, Pings and Pongs among them.
    let shown = &read[0]["requests"][0];
    assert_eq!(
        (&shown["url"], &shown["status"], &shown["type"]),
        (&entry["request"]["url"], &json!(101), &json!("websocket"))
    );
    let frames = messages.iter().map(|message| {
        json!({
            "type": message["type"], "opcode": message["opcode"], "data": message["data"],
        })
    });
    assert_eq!(shown["frames"], frames.collect::<Value>());
    let opcodes: BTreeSet<_> = messages.iter().map(|one| one["opcode"].as_u64()).collect();
    assert_eq!(opcodes, [1, 2, 9, 10].map(Some).into());

    // A page that Playwright answers from the file hears what it has heard from the server.
    let heard = read[1]["heard"].as_array().expect("a list");
    let texts = messages
        .iter()
        .filter(|message| message["type"] == "receive" && message["opcode"] == 1);
    for text in texts {
        assert!(heard.contains(&text["data"]), "{heard:?}");
    }
    assert_eq!(heard[2], json!([0, 255, 7]));
    assert_eq!(heard.last(), Some(&json!("4000 so long")));

    // mitmproxy takes the handshake, and none of the messages of any program's file.
    let flow = &read[2]["flows"][0];
    assert_eq!(
        (&flow["url"], &flow["status"]),
        (&entry["request"]["url"], &json!(101))
    );

    // HTTP Toolkit checks a file before it looks for messages and the Close.
    assert_eq!(read[3]["isValid"], true);
    let close = &entry["_webSocketClose"];
    assert_eq!(
        (&close["code"], &close["reason"]),
        (&json!(4000), &json!("so long"))
    );
}

/// The members of a value, at any depth; header fields are as the client sends them.
fn members(value: &Value, at: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(object) => {
            for (name, value) in object {
                let at = format!("{at}.{name}");
                members(value, &at, found);
                found.insert(at);
            }
        }
        Value::Array(list) => {
            for value in list {
                members(value, at, found);
            }
        }
        _ => {}
    }
}

#[tokio::test]
async fn what_is_recorded_is_of_the_form_that_others_have_read() {
    let dir = tempfile::tempdir().expect("a folder");
    let server = Server::builder()
        .file("chat_wsh.rhai", CHAT)
        .arg("--record")
        .arg(dir.path())
        .start()
        .await;
    let mut client = connect(server.url("/chat")).await;
    client.send_text("hello ✓").await;
    client.send_binary([0, 255, 7]).await;
    client.send_text("bye").await;
    for _ in 0..2 {
        client.next_text().await;
    }
    assert_eq!(client.next_binary().await, [0, 255, 7]);
    client.next_text().await;
    assert_eq!(client.next_close().await.0, 4000);
    client.expect_end().await;
    let file = recorded(dir.path()).await;
    let found = |value: &Value| {
        let mut found = BTreeSet::new();
        members(value, "", &mut found);
        found
    };
    assert_eq!(found(&file), found(&parse(OURS)));
    let opcodes = |har: &Value| {
        let messages = har["log"]["entries"][0]["_webSocketMessages"].as_array();
        let messages = messages.expect("messages").iter();
        messages
            .map(|one| format!("{} {}", one["type"], one["opcode"]))
            .collect::<BTreeSet<_>>()
    };
    assert_eq!(opcodes(&file), opcodes(&parse(OURS)));
}

/// The recording of a folder, once it has its end.
async fn recorded(folder: &Path) -> Value {
    let begun = std::time::Instant::now();
    loop {
        let files = std::fs::read_dir(folder).expect("the folder");
        let whole = files.filter_map(|file| {
            let text = std::fs::read_to_string(file.ok()?.path()).ok()?;
            let har: Value = serde_json::from_str(&text).ok()?;
            har["log"]["entries"][0]["_wsh"]["close"]
                .is_object()
                .then_some(har)
        });
        if let Some(har) = whole.last() {
            return har;
        }
        assert!(begun.elapsed() < PATIENCE, "nothing is recorded");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}
