//! Several nodes behind a load balancer, with the configurations of `docs/scale-out.md` as they stand
//! there: whoever comes back resumes wherever it lands, whatever happens to a node.

use serde_json::json;

use super::proxies::{block_of, start_at, with};
use super::support::desk::{ask, publish};
use super::support::proxy::{Kind, Proxy};
use super::support::{Client, Redis, Server, connect, try_connect, within};

const PAGE: &str = include_str!("../../docs/scale-out.md");

const DESK: &str = r#"
fn on_load() {
    topic("kept", #{history: 100, seconds: 600});
}

fn transfer_data(ws, message) {
    let order = parse_json(message);
    let answer = switch order.act {
        "subscribe" => ws.subscribe(order.topic, #{since: order.since}),
        "publish" => publish(order.topic, order.message),
        "node" => env("NODE"),
        "position" => position(order.topic),
    };
    ws.send(`=${to_json(answer)}`);
}
"#;

async fn node(redis: &Redis, name: &str) -> Server {
    let builder = Server::builder().file("desk_wsh.rhai", DESK);
    let builder = builder.env("NODE", name).args(["--allow-env", "NODE"]);
    let builder = builder.args(["--broker", &redis.url()]);
    builder.args(["--trusted-proxy", "127.0.0.1"]).start().await
}

/// A client by way of the balancer, once a node takes it.
async fn arrive(proxy: &Proxy) -> Client {
    let url = format!("ws://127.0.0.1:{}/desk", proxy.port());
    let arriving = async {
        loop {
            if let Some(client) = try_connect(&url).await {
                return client;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    within("a node", arriving).await
}

async fn node_of(client: &mut Client) -> String {
    let name = ask(client, json!({"act": "node"})).await;
    name.as_str().expect("a name").to_owned()
}

/// What a client gets that has seen everything up to this position.
async fn resume(client: &mut Client, since: &str, count: usize) -> Vec<String> {
    let order = json!({"act": "subscribe", "topic": "kept", "since": since});
    client.send_text(order.to_string()).await;
    let (mut got, mut recovered) = (Vec::new(), false);
    while got.len() < count || !recovered {
        let text = client.next_text().await;
        match text.strip_prefix('=') {
            Some(answer) => {
                recovered = answer.contains(r#""recovered":true"#);
                assert!(recovered, "{answer}");
            }
            None => got.push(text),
        }
    }
    got
}

async fn nodes_behind(kind: Kind, heading: &str) {
    let redis = Redis::start();
    let (a, mut b) = (node(&redis, "a").await, node(&redis, "b").await);
    let text = block_of(PAGE, heading);
    let text = with(text, "10.0.0.11:9998", &format!("127.0.0.1:{}", a.port()));
    let text = with(&text, "10.0.0.12:9998", &format!("127.0.0.1:{}", b.port()));
    let proxy = start_at(kind, "80", &text).await;
    // Clients of both nodes, as the balancer spreads them.
    let (mut on_a, mut on_b) = (None, None);
    let mut others = Vec::new();
    while on_a.is_none() || on_b.is_none() {
        let mut client = arrive(&proxy).await;
        match node_of(&mut client).await.as_str() {
            "a" if on_a.is_none() => on_a = Some(client),
            "b" if on_b.is_none() => on_b = Some(client),
            _ => others.push(client),
        }
    }
    let (mut on_a, mut on_b) = (on_a.expect("one"), on_b.expect("one"));
    let order = json!({"act": "subscribe", "topic": "kept", "since": null});
    let joined = ask(&mut on_b, order).await;
    let since = joined["position"].as_str().expect("a position").to_owned();
    publish(&mut on_a, "kept", "one").await;
    assert_eq!(on_b.next_text().await, "one");
    // A node is killed; everybody comes back to the other one and has missed nothing.
    b.signal("KILL");
    b.exited().await;
    assert_eq!(on_b.try_next_text().await, None);
    publish(&mut on_a, "kept", "two").await;
    let mut back = arrive(&proxy).await;
    assert_eq!(node_of(&mut back).await, "a");
    assert_eq!(resume(&mut back, &since, 2).await, ["one", "two"]);
    let mut direct = connect(a.url("/desk")).await;
    publish(&mut direct, "kept", "three").await;
    assert_eq!(back.next_text().await, "three");
}

#[tokio::test]
async fn nodes_behind_nginx() {
    nodes_behind(Kind::Nginx, "nginx in front of nodes").await;
}

#[tokio::test]
async fn nodes_behind_haproxy() {
    nodes_behind(Kind::Haproxy, "HAProxy in front of nodes").await;
}

/// A node that drains gets no new connections from a balancer that asks.
#[tokio::test]
async fn haproxy_leaves_out_a_node_that_drains() {
    let redis = Redis::start();
    let a = node(&redis, "a").await;
    let builder = Server::builder().file("desk_wsh.rhai", DESK);
    let builder = builder.env("NODE", "b").args(["--allow-env", "NODE"]);
    let args = ["--drain-delay", "60s", "--broker", &redis.url()];
    let b = builder.args(args).start().await;
    let text = block_of(PAGE, "HAProxy in front of nodes");
    let text = with(text, "10.0.0.11:9998", &format!("127.0.0.1:{}", a.port()));
    let text = with(&text, "10.0.0.12:9998", &format!("127.0.0.1:{}", b.port()));
    let proxy = start_at(Kind::Haproxy, "80", &text).await;
    b.signal("TERM");
    let mut in_a_row = 0;
    let left_out = async {
        while in_a_row < 8 {
            let name = node_of(&mut arrive(&proxy).await).await;
            in_a_row = if name == "a" { in_a_row + 1 } else { 0 };
        }
    };
    within("the balancer to leave it out", left_out).await;
}
