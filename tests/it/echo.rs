//! The three-line handler: what a client sends comes back, whatever its size, in order.

use crate::support::{ECHO, Raw, Request, Server, Wire, connect};

async fn echo_server() -> Server {
    Server::start(&[("echo_wsh.rhai", ECHO)]).await
}

#[tokio::test]
async fn texts() {
    let server = echo_server().await;
    let mut client = connect(server.url("/echo")).await;
    for text in [
        "hello",
        "",
        "发送数据",
        "数据已接收",
        "\u{1f600} \u{0} \r\n",
        "{\"n\": 1}",
    ] {
        client.send_text(text).await;
        assert_eq!(client.next_text().await, text);
    }
    assert_eq!(client.close(1000, "").await.0, 1000);
}

#[tokio::test]
async fn binary_messages() {
    let server = echo_server().await;
    let mut client = connect(server.url("/echo")).await;
    let all: Vec<u8> = (0..=255).collect();
    for data in [vec![], vec![0], all, vec![0xff; 3]] {
        client.send_binary(data.clone()).await;
        assert_eq!(client.next_binary().await, data);
    }
}

/// Around the edges of the three forms of a length, and of any buffer.
#[tokio::test]
async fn every_size() {
    let server = echo_server().await;
    let mut client = connect(server.url("/echo")).await;
    let kib = 1024;
    let sizes = [
        1,
        124,
        125,
        126,
        127,
        128,
        4 * kib,
        16 * kib,
        64 * kib - 1,
        64 * kib,
        64 * kib + 1,
        kib * kib,
        16 * kib * kib,
    ];
    for size in sizes {
        let data: Vec<u8> = (0..size).map(|i| (i % 251) as u8).collect();
        client.send_binary(data.clone()).await;
        assert!(client.next_binary().await == data, "{size} bytes");
        let text: String = ('!'..='~').cycle().take(size).collect();
        client.send_text(&text).await;
        assert!(client.next_text().await == text, "{size} characters");
    }
}

#[tokio::test]
async fn thousand_messages_in_one_segment() {
    let server = echo_server().await;
    let mut raw = Raw::open(&server, "/echo").await;
    let messages: Vec<_> = (0..1_000)
        .map(|i| Wire::text(format!("message {i}")).bytes())
        .collect();
    raw.send(messages.concat()).await;
    for i in 0..1_000 {
        raw.expect_text(&format!("message {i}")).await;
    }
}

/// Larger than any buffer on the way, so that some message lies across the edge of every read.
#[tokio::test]
async fn messages_of_all_sizes_in_one_stream() {
    let server = echo_server().await;
    let mut raw = Raw::open(&server, "/echo").await;
    let sizes = (0..600).map(|i| i * 7 % 1_500);
    let messages: Vec<_> = sizes
        .clone()
        .map(|size| Wire::binary(vec![size as u8; size]).bytes())
        .collect();
    raw.send(messages.concat()).await;
    for size in sizes {
        raw.expect_frame(2, vec![size as u8; size]).await;
    }
}

#[tokio::test]
async fn messages_behind_the_request() {
    let server = echo_server().await;
    let messages = (0..100).flat_map(|i| Wire::text(format!("early {i}")).bytes());
    let mut raw = Raw::connect(&server).await;
    raw.send(
        Request::upgrade("/echo")
            .followed_by(messages.collect::<Vec<_>>())
            .bytes(),
    )
    .await;
    raw.head().await.expect_upgrade();
    for i in 0..100 {
        raw.expect_text(&format!("early {i}")).await;
    }
}

#[tokio::test]
async fn connections_do_not_mix() {
    let server = echo_server().await;
    let mut clients = Vec::new();
    for _ in 0..50 {
        clients.push(connect(server.url("/echo")).await);
    }
    for round in 0..20 {
        for (number, client) in clients.iter_mut().enumerate() {
            client.send_text(format!("{number} in round {round}")).await;
        }
        for (number, client) in clients.iter_mut().enumerate() {
            assert_eq!(
                client.next_text().await,
                format!("{number} in round {round}")
            );
        }
    }
}

#[tokio::test]
async fn over_ipv6() {
    let server = echo_server().await;
    let mut client = connect(format!("ws://[::1]:{}/echo", server.port())).await;
    client.send_text("六").await;
    assert_eq!(client.next_text().await, "六");
}
