//! Worse networks over real sockets: `--link`, and `request.link` for one connection.

use std::time::{Duration, Instant};

use crate::support::{ECHO, Raw, Server, Wire, connect};

/// Takes the link that its query says.
const LINKED: &str = r#"
fn do_extra_handshake(request) {
    request.link(parse_json(url_decode(request.query)));
}
fn transfer_data(ws, message) { ws.send(message); }
fn on_close(ws, code, reason, was_clean) { print(`ended with ${code} ${was_clean}`); }
"#;

async fn serve() -> Server {
    Server::start(&[("linked_wsh.rhai", LINKED), ("echo_wsh.rhai", ECHO)]).await
}

fn path(link: &str) -> String {
    let bytes = link.bytes().map(|byte| format!("%{byte:02X}"));
    format!("/linked?{}", bytes.collect::<String>())
}

#[tokio::test]
async fn latency_is_in_both_directions_and_order_stays() {
    let server = serve().await;
    let begun = Instant::now();
    let mut client = connect(server.url(&path(r#"{"latency":0.1,"jitter":0.05}"#))).await;
    assert!(
        begun.elapsed() >= Duration::from_millis(100),
        "the answer, one way"
    );
    let begun = Instant::now();
    for number in 0..50 {
        client.send_text(number.to_string()).await;
    }
    for number in 0..50 {
        assert_eq!(client.next_text().await, number.to_string());
    }
    let took = begun.elapsed();
    assert!(
        took >= Duration::from_millis(200),
        "there and back: {took:?}"
    );
    // Others notice nothing of it, and Closes travel as everything else.
    let mut other = connect(server.url("/echo")).await;
    let begun = Instant::now();
    other.send_text("hello").await;
    assert_eq!(other.next_text().await, "hello");
    assert!(begun.elapsed() < Duration::from_millis(200));
    let begun = Instant::now();
    assert_eq!(client.close(4000, "bye").await, (4000, String::new()));
    assert!(begun.elapsed() >= Duration::from_millis(200));
    server.log("ended with 4000 true").await;
}

#[tokio::test]
async fn a_rate_bounds_what_passes() {
    let server = serve().await;
    let mut client = connect(server.url(&path(r#"{"rate":100000}"#))).await;
    let begun = Instant::now();
    let long = "x".repeat(30_000);
    client.send_text(long.as_str()).await;
    assert!(client.next_text().await == long);
    let took = begun.elapsed();
    // 30 KB each way at 100 KB a second, one after the other.
    assert!(took >= Duration::from_millis(590), "{took:?}");
}

#[tokio::test]
async fn much_goes_through_whole() {
    let server = serve().await;
    let mut client = connect(server.url(&path(r#"{"latency":0.002,"jitter":0.002}"#))).await;
    let long: Vec<u8> = (0..3_000_000_u32)
        .map(|number| (number / 7) as u8)
        .collect();
    client.send_binary(long.clone()).await;
    assert!(client.next_binary().await == long, "3 MB there and back");
}

#[tokio::test]
async fn a_stall_lets_nothing_pass() {
    let server = serve().await;
    let mut client = connect(server.url(&path(r#"{"stall":[0.2,0.15]}"#))).await;
    let mut longest = Duration::ZERO;
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(1) {
        let asked = Instant::now();
        client.send_text("hello").await;
        assert_eq!(client.next_text().await, "hello");
        longest = longest.max(asked.elapsed());
    }
    assert!(longest >= Duration::from_millis(100), "{longest:?}");
}

#[tokio::test]
async fn a_cut_is_no_close_wherever_it_comes() {
    let server = serve().await;
    // In the middle of a message: 101 answers have some 130 bytes.
    let mut raw = Raw::open(&server, &path(r#"{"cut_bytes":1000}"#)).await;
    raw.send(Wire::text("x".repeat(5_000)).bytes()).await;
    let (rest, is_fin) = raw.rest().await;
    assert!(
        is_fin && (700..1_000).contains(&rest.len()),
        "{} bytes",
        rest.len()
    );
    server.log("ended with 1006 false").await;

    let mut client = connect(server.url(&path(r#"{"cut_after":0.1}"#))).await;
    client.send_text("hello").await;
    assert_eq!(client.next_text().await, "hello");
    let mut raw = Raw::open(&server, &path(r#"{"cut_after":0.1}"#)).await;
    assert_eq!(raw.rest().await, (Vec::new(), true));
    server.log("ended with 1006 false").await;

    let mut raw = Raw::open(&server, &path(r#"{"cut_after":0.1,"reset":true}"#)).await;
    let (_, is_fin) = raw.rest().await;
    assert!(!is_fin, "a reset, and no end");
}

#[tokio::test]
async fn a_link_for_all_is_a_flag() {
    let server = Server::builder()
        .file("echo_wsh.rhai", ECHO)
        .args(["--link", "latency=80ms,jitter=1ms,seed=1"])
        .start()
        .await;
    let mut client = connect(server.url("/echo")).await;
    let begun = Instant::now();
    client.send_text("hello").await;
    assert_eq!(client.next_text().await, "hello");
    assert!(begun.elapsed() >= Duration::from_millis(160));
    let wrong = Server::builder().args(["--link", "speed=1"]).run().await;
    assert!(
        wrong.stderr.contains("latency, jitter, rate"),
        "{}",
        wrong.stderr
    );
}

/// In a test of handlers a link costs no time.
#[tokio::test]
async fn a_link_goes_by_the_clock_of_a_test() {
    const TEST: &str = r#"
fn test_it() {
    let began = now();
    let c = connect("/slow");
    c.send("hello");
    expect(c.receive(60), "hello");
    expect(now() - began > 30.0);
    expect(now() - began < 41.0);
    advance(60);
    expect(c.closed().code, 1006);
}
"#;
    const SLOW: &str = r#"
fn do_extra_handshake(request) { request.link(#{latency: 10, jitter: 2, cut_after: 45}); }
fn transfer_data(ws, message) { ws.send(message); }
"#;
    let dir = tempfile::tempdir().expect("a folder");
    std::fs::write(dir.path().join("slow_wsh.rhai"), SLOW).expect("written");
    std::fs::write(dir.path().join("slow_test.rhai"), TEST).expect("written");
    let folder = dir.path().to_str().expect("UTF-8");
    let test = Server::builder()
        .bare()
        .args(["test", "-w", folder])
        .run()
        .await;
    assert!(test.status.success(), "{}{}", test.stdout, test.stderr);
}
