//! Engines over TLS: a real Redis and a real NATS with certificates of the tests' own authority.

use std::net::TcpListener;

use serde_json::json;

use crate::support::desk::{ask, subscribe};
use crate::support::{Authority, Engine, Kind, Nats, Redis, Server, connect, on_each_engine};

/// Topics and a store.
const DESK: &str = r#"
fn on_load() { topic("kept", #{history: 5}); }

fn transfer_data(ws, message) {
    let order = parse_json(message);
    let answer = switch order.act {
        "subscribe" => ws.subscribe(order.topic, #{since: order.since}),
        "publish" => publish(order.topic, order.message),
        "store" => store.incr("key"),
    };
    ws.send(`=${to_json(answer)}`);
}
"#;

/// An engine that speaks TLS, and its URL.
fn encrypted(kind: Kind, authority: &Authority) -> (Engine, String) {
    let issued = authority.issue("an engine");
    let file = |name: &str, text: &str| {
        let file = authority.write(name, text);
        file.to_str().expect("UTF-8").to_owned()
    };
    let certificate = file("engine.pem", &issued.certificate);
    let (key, ca) = (
        file("engine.key", &issued.key),
        file("ca.pem", authority.pem()),
    );
    if kind == Kind::Nats {
        let args = ["-js", "--tls", "--tlscert", &certificate, "--tlskey", &key];
        let nats = Nats::with(&args);
        let url = format!("tls://localhost:{}", nats.port());
        return (Engine::Nats(nats), url);
    }
    let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = free.local_addr().expect("an address").port().to_string();
    drop(free);
    let redis = Redis::with(&[
        "--tls-port",
        &port,
        "--tls-cert-file",
        &certificate,
        "--tls-key-file",
        &key,
        "--tls-ca-cert-file",
        &ca,
        "--tls-auth-clients",
        "no",
    ]);
    (Engine::Redis(redis), format!("rediss://localhost:{port}"))
}

on_each_engine!(a_broker_over_tls_is_checked_against_the_authorities,);

async fn a_broker_over_tls_is_checked_against_the_authorities(kind: Kind) {
    let authority = Authority::new();
    let (_engine, url) = encrypted(kind, &authority);
    let trusted = authority.write("trusted.pem", authority.pem());
    let trusted = trusted.to_str().expect("UTF-8");
    let node = async |trusted: &str| {
        let builder = Server::builder().file("desk_wsh.rhai", DESK);
        let builder = builder.env("SSL_CERT_FILE", trusted);
        builder.args(["--broker", &url]).start().await
    };
    let (a, b) = (node(trusted).await, node(trusted).await);
    for server in [&a, &b] {
        server.log("connected to the engine").await;
    }
    let (mut reader, mut speaker) = (connect(a.url("/desk")).await, connect(b.url("/desk")).await);
    for topic in ["plain", "kept"] {
        subscribe(&mut reader, topic, None).await;
        let order = json!({"act": "publish", "topic": topic, "message": "encrypted"});
        ask(&mut speaker, order).await;
        assert_eq!(reader.next_text().await, "encrypted", "{topic}");
    }
    // Another authority than that of the certificate.
    let other = Authority::new();
    let other = other.write("other.pem", other.pem());
    let stranger = node(other.to_str().expect("UTF-8")).await;
    let line = stranger.log("the engine is away").await;
    for word in ["certificate", "SSL_CERT_FILE", "--broker"] {
        assert!(line.contains(word), "{line}");
    }
}

#[tokio::test]
async fn a_store_over_tls_is_checked_against_the_authorities() {
    let authority = Authority::new();
    let (_engine, url) = encrypted(Kind::Redis, &authority);
    let trusted = authority.write("trusted.pem", authority.pem());
    let node = async |trusted: &str| {
        let builder = Server::builder().file("desk_wsh.rhai", DESK);
        let builder = builder.env("SSL_CERT_FILE", trusted);
        builder.args(["--store", &url]).start().await
    };
    let a = node(trusted.to_str().expect("UTF-8")).await;
    let mut client = connect(a.url("/desk")).await;
    assert_eq!(ask(&mut client, json!({"act": "store"})).await, 1);
    let other = Authority::new();
    let other = other.write("other.pem", other.pem());
    let stranger = node(other.to_str().expect("UTF-8")).await;
    let line = stranger.log("the engine is away").await;
    for word in ["certificate", "SSL_CERT_FILE", "--store"] {
        assert!(line.contains(word), "{line}");
    }
}
