//! What a recording says of its connection's handshake.

use std::time::SystemTime;

use serde_json::{Map, Value, json};

use crate::http::client::Client;
use crate::http::head::Head;
use crate::recording;

/// The beginning of a recording, of a connection that this version of a file serves. `answer` is
/// what went out, bytes of a script's before it.
pub fn head(
    head: &Head,
    client: &Client,
    answer: &[u8],
    (name, version): (&str, u64),
    connection: u64,
) -> recording::Head {
    let scheme = if client.secure { "wss" } else { "ws" };
    let host = head.host().unwrap_or("localhost");
    let request = head.fields().map(|(name, value)| (name.to_owned(), value));
    let answer = String::from_utf8_lossy(answer);
    let answer = answer.split("\r\n").skip(1).filter_map(|line| {
        let (name, value) = line.split_once(':')?;
        Some((name.trim().to_owned(), value.trim().to_owned()))
    });
    let mut facts = Map::new();
    let mut add = |name: &str, value: Value| drop(facts.insert(name.to_owned(), value));
    add("recorder", json!("server"));
    add("handler", json!(name));
    add("version", json!(version));
    add("connection", json!(connection));
    recording::Head {
        url: format!("{scheme}://{host}{}", head.target()),
        started: SystemTime::now(),
        request: request.collect(),
        answer: answer.collect(),
        secrets: false,
        facts,
    }
}
