//! A client of a handler that does what it is told in JSON, and answers with a text that begins
//! with `=`.

use serde_json::{Value, json};

use super::{Client, Server, connect, within};

/// The answer to an order; what is published meanwhile is passed over.
pub async fn ask(client: &mut Client, order: Value) -> Value {
    client.send_text(order.to_string()).await;
    loop {
        if let Some(answer) = client.next_text().await.strip_prefix('=') {
            return serde_json::from_str(answer).expect("JSON");
        }
    }
}

/// What `ws.subscribe` gives, from this position on if there is one.
pub async fn subscribe(client: &mut Client, topic: &str, since: Option<&str>) -> Value {
    let order = json!({"act": "subscribe", "topic": topic, "since": since});
    ask(client, order).await
}

/// What `publish` gives.
pub async fn publish(client: &mut Client, topic: &str, message: &str) -> Value {
    let order = json!({"act": "publish", "topic": topic, "message": message});
    ask(client, order).await
}

/// Waits until what `on_load` says of `letters/*`, which it says last, holds.
pub async fn loaded(server: &Server, what: &str) {
    let mut client = connect(server.url("/desk")).await;
    let is_ready = async {
        loop {
            let order = json!({"act": "position", "topic": "letters/ready"});
            if ask(&mut client, order).await.is_string() {
                break;
            }
        }
    };
    within(what, is_ready).await;
}
