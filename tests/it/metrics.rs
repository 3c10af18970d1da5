//! Metrics after known traffic, the probes, and what the docs say about both. Debian's promtool
//! reads all of it, too.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::process::{Command, Output, Stdio};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{Builder, ECHO, Raw, Request, Server, Wire, connect, within};

const GUIDE: &str = include_str!("../../docs/metrics.md");
const BOARD: &str = include_str!("../../docs/grafana.json");

/// An answer that is not of a WebSocket's port.
struct Answer {
    status: u16,
    head: String,
    body: String,
}

async fn ask(port: u16, request: &str) -> Answer {
    within("an answer", async {
        let mut stream = TcpStream::connect(("127.0.0.1", port))
            .await
            .expect("the port");
        stream
            .write_all(request.as_bytes())
            .await
            .expect("a request");
        let mut text = String::new();
        stream.read_to_string(&mut text).await.expect("an answer");
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        Answer {
            status: head["HTTP/1.1 ".len()..][..3].parse().expect("a status"),
            head: head.to_ascii_lowercase(),
            body: body.to_owned(),
        }
    })
    .await
}

/// Asks with a name that no client of WebSockets may use.
async fn get(port: u16, path: &str) -> Answer {
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: prometheus.internal\r\nConnection: close\r\n\r\n");
    ask(port, &request).await
}

/// The port of the metrics, by what the server prints.
pub async fn port_of(server: &Server) -> u16 {
    let line = server.printed("  metrics http://127.0.0.1:").await;
    let (_, rest) = line.split_once("127.0.0.1:").expect("an address");
    rest.split('/')
        .next()
        .expect("a port")
        .parse()
        .expect("a number")
}

fn builder() -> Builder {
    Server::builder().args(["--metrics-port", "0"])
}

/// The value of each series.
pub type Series = BTreeMap<String, f64>;

pub async fn scrape(port: u16) -> Series {
    let answer = get(port, "/metrics").await;
    assert_eq!(answer.status, 200, "{}", answer.head);
    let lines = answer.body.lines().filter(|line| !line.starts_with('#'));
    let series = lines.map(|line| {
        let (name, value) = line.rsplit_once(' ').expect("a value");
        (name.to_owned(), value.parse().expect("a number"))
    });
    series.collect()
}

/// Those of some families, and those that are not zero of others.
fn of(series: &Series, families: &[&str]) -> Series {
    let family = |name: &str| name.split('{').next().unwrap_or_default().to_owned();
    let kept = series
        .iter()
        .filter(|(name, _)| families.contains(&family(name).as_str()));
    kept.map(|(name, value)| (name.clone(), *value)).collect()
}

/// Scrapes until all that is counted has these values and there is nothing else: what a client has
/// seen is counted, but the server goes on after the client's last byte.
async fn until(port: u16, families: &[&str], expected: &[(&str, f64)]) {
    let expected: Series = expected
        .iter()
        .map(|(name, value)| ((*name).to_owned(), *value))
        .collect();
    let mut found = Series::new();
    let settled = async {
        loop {
            found = of(&scrape(port).await, families);
            if found == expected {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    let waited = tokio::time::timeout(crate::support::PATIENCE, settled).await;
    assert!(waited.is_ok(), "expected {expected:#?}, found {found:#?}");
}

fn promtool(args: &[&str], input: &str) -> Output {
    let mut child = Command::new("promtool")
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool, of Debian's package prometheus: tests/run installs it");
    let mut stdin = child.stdin.take().expect("piped");
    stdin.write_all(input.as_bytes()).expect("its input");
    drop(stdin);
    child.wait_with_output().expect("its end")
}

fn is_content(output: &Output) {
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "promtool: {said}");
}

const DIVIDES: &str = "fn transfer_data(ws, message) { ws.send(1 / message.len()); }";
const CLOSES: &str = "fn transfer_data(ws, message) { ws.close(4001, \"enough\"); }";
const REJECTS: &str = "fn do_extra_handshake(request) { if request.query == \"\" { throw \"no\"; } \
    request.reject(401, \"Who?\", \"\"); }\nfn transfer_data(ws, message) {}";
const WRONG: &str = "fn do_extra_handshake(request) { 1 / request.headers.get(\"none\").len(); \
    }\nfn transfer_data(ws, message) {}";
const SLEEPS: &str = "fn transfer_data(ws, message) { ws.send(\"a\"); ws.send_fragment(\"b\", \
    false); ws.send_fragment(\"cd\", true); sleep(600.0); }";

#[tokio::test]
async fn a_scrape_has_the_numbers_of_the_traffic() {
    let server = builder()
        .files(&[
            ("echo_wsh.rhai", ECHO),
            ("deep/divides_wsh.rhai", DIVIDES),
            ("closes_wsh.rhai", CLOSES),
            ("rejects_wsh.rhai", REJECTS),
            ("wrong_wsh.rhai", WRONG),
            ("sleeps_wsh.rhai", SLEEPS),
        ])
        .start()
        .await;
    let port = port_of(&server).await;

    // Both ends of an echo, on whatever worker; one of them stays.
    let mut first = Raw::open(&server, "/echo").await;
    let mut second = Raw::open(&server, "/echo").await;
    for text in ["one", "four"] {
        first.send(Wire::text(text).bytes()).await;
        first.expect_text(text).await;
    }
    second.send(Wire::text("x").bytes()).await;
    second.expect_text("x").await;
    first.send(Wire::ping("no message").bytes()).await;
    first.expect_frame(10, "no message").await;
    first.send(Wire::close(1000, "").bytes()).await;
    first.expect_close(1000).await;
    first.expect_eof().await;
    // Codes that a peer chooses are no series of their own.
    for code in [4000, 4999] {
        let mut raw = Raw::open(&server, "/echo").await;
        raw.send(Wire::close(code, "").bytes()).await;
        raw.expect_close(code).await;
        raw.expect_eof().await;
    }
    let mut raw = Raw::open(&server, "/echo").await;
    raw.send(Wire::text("unmasked").unmasked().bytes()).await;
    raw.expect_close(1002).await;
    drop(raw);
    let raw = Raw::open(&server, "/echo").await;
    drop(raw);
    let mut raw = Raw::open(&server, "/deep/divides").await;
    raw.send(Wire::text("").bytes()).await;
    raw.answer_close(1011).await;
    raw.expect_eof().await;
    let mut raw = Raw::open(&server, "/closes").await;
    raw.send(Wire::text("!").bytes()).await;
    raw.answer_close(4001).await;
    let mut sleeper = Raw::open(&server, "/sleeps").await;
    sleeper.send(Wire::binary("12345").bytes()).await;
    sleeper.expect_text("a").await;
    for (path, status) in [
        ("/rejects", 403),
        ("/rejects?a", 401),
        ("/wrong", 500),
        ("/nothing", 404),
        ("/nothing", 404),
    ] {
        let mut raw = Raw::connect(&server).await;
        raw.send(Request::upgrade(path).bytes()).await;
        assert_eq!(raw.head().await.status, status, "{path}");
    }
    let mut raw = Raw::connect(&server).await;
    raw.send(
        Request::upgrade("/echo")
            .set("Origin", "http://evil.example")
            .bytes(),
    )
    .await;
    assert_eq!(raw.head().await.status, 403);
    drop(raw);

    server.replace("echo_wsh.rhai", format!("// anew\n{ECHO}"));
    server.log(["handler reloaded", "echo_wsh.rhai"]).await;
    server.replace("closes_wsh.rhai", "fn transfer_data(ws, message) { ");
    server.log(["handler broken", "closes_wsh.rhai"]).await;
    // After the reload it is the same series.
    second.send(Wire::text("yz").bytes()).await;
    second.expect_text("yz").await;

    let families = [
        "wsh_connections",
        "wsh_handshakes_total",
        "wsh_messages_total",
        "wsh_message_bytes_total",
        "wsh_faults_total",
        "wsh_closes_total",
        "wsh_refusals_total",
        "wsh_reloads_total",
        "wsh_hook_seconds_count",
        "wsh_fibers_waiting",
        "wsh_workers",
        "wsh_workers_silent",
    ];
    until(
        port,
        &families,
        &[
            ("wsh_connections{handler=\"echo_wsh.rhai\"}", 1.0),
            ("wsh_connections{handler=\"deep/divides_wsh.rhai\"}", 0.0),
            ("wsh_connections{handler=\"closes_wsh.rhai\"}", 0.0),
            ("wsh_connections{handler=\"rejects_wsh.rhai\"}", 0.0),
            ("wsh_connections{handler=\"wrong_wsh.rhai\"}", 0.0),
            ("wsh_connections{handler=\"sleeps_wsh.rhai\"}", 1.0),
            ("wsh_handshakes_total{result=\"accepted\"}", 9.0),
            ("wsh_handshakes_total{result=\"rejected\"}", 2.0),
            ("wsh_handshakes_total{result=\"failed\"}", 1.0),
            ("wsh_handshakes_total{result=\"refused\"}", 3.0),
            ("wsh_handshakes_total{result=\"dropped\"}", 0.0),
            (
                "wsh_messages_total{handler=\"echo_wsh.rhai\",direction=\"in\"}",
                4.0,
            ),
            (
                "wsh_messages_total{handler=\"echo_wsh.rhai\",direction=\"out\"}",
                4.0,
            ),
            (
                "wsh_messages_total{handler=\"deep/divides_wsh.rhai\",direction=\"in\"}",
                1.0,
            ),
            (
                "wsh_messages_total{handler=\"deep/divides_wsh.rhai\",direction=\"out\"}",
                0.0,
            ),
            (
                "wsh_messages_total{handler=\"closes_wsh.rhai\",direction=\"in\"}",
                1.0,
            ),
            (
                "wsh_messages_total{handler=\"closes_wsh.rhai\",direction=\"out\"}",
                0.0,
            ),
            (
                "wsh_messages_total{handler=\"rejects_wsh.rhai\",direction=\"in\"}",
                0.0,
            ),
            (
                "wsh_messages_total{handler=\"rejects_wsh.rhai\",direction=\"out\"}",
                0.0,
            ),
            (
                "wsh_messages_total{handler=\"wrong_wsh.rhai\",direction=\"in\"}",
                0.0,
            ),
            (
                "wsh_messages_total{handler=\"wrong_wsh.rhai\",direction=\"out\"}",
                0.0,
            ),
            (
                "wsh_messages_total{handler=\"sleeps_wsh.rhai\",direction=\"in\"}",
                1.0,
            ),
            (
                "wsh_messages_total{handler=\"sleeps_wsh.rhai\",direction=\"out\"}",
                2.0,
            ),
            (
                "wsh_message_bytes_total{handler=\"echo_wsh.rhai\",direction=\"in\"}",
                10.0,
            ),
            (
                "wsh_message_bytes_total{handler=\"echo_wsh.rhai\",direction=\"out\"}",
                10.0,
            ),
            (
                "wsh_message_bytes_total{handler=\"deep/divides_wsh.rhai\",direction=\"in\"}",
                0.0,
            ),
            (
                "wsh_message_bytes_total{handler=\"deep/divides_wsh.rhai\",direction=\"out\"}",
                0.0,
            ),
            (
                "wsh_message_bytes_total{handler=\"closes_wsh.rhai\",direction=\"in\"}",
                1.0,
            ),
            (
                "wsh_message_bytes_total{handler=\"closes_wsh.rhai\",direction=\"out\"}",
                0.0,
            ),
            (
                "wsh_message_bytes_total{handler=\"rejects_wsh.rhai\",direction=\"in\"}",
                0.0,
            ),
            (
                "wsh_message_bytes_total{handler=\"rejects_wsh.rhai\",direction=\"out\"}",
                0.0,
            ),
            (
                "wsh_message_bytes_total{handler=\"wrong_wsh.rhai\",direction=\"in\"}",
                0.0,
            ),
            (
                "wsh_message_bytes_total{handler=\"wrong_wsh.rhai\",direction=\"out\"}",
                0.0,
            ),
            (
                "wsh_message_bytes_total{handler=\"sleeps_wsh.rhai\",direction=\"in\"}",
                5.0,
            ),
            (
                "wsh_message_bytes_total{handler=\"sleeps_wsh.rhai\",direction=\"out\"}",
                4.0,
            ),
            (
                "wsh_faults_total{handler=\"deep/divides_wsh.rhai\",hook=\"transfer_data\"}",
                1.0,
            ),
            (
                "wsh_faults_total{handler=\"wrong_wsh.rhai\",hook=\"do_extra_handshake\"}",
                1.0,
            ),
            ("wsh_closes_total{code=\"1000\",side=\"client\"}", 1.0),
            ("wsh_closes_total{code=\"1002\",side=\"server\"}", 1.0),
            ("wsh_closes_total{code=\"1006\",side=\"nobody\"}", 1.0),
            ("wsh_closes_total{code=\"1011\",side=\"server\"}", 1.0),
            ("wsh_closes_total{code=\"4001\",side=\"server\"}", 1.0),
            ("wsh_closes_total{code=\"4xxx\",side=\"client\"}", 2.0),
            ("wsh_refusals_total{reason=\"frame\"}", 1.0),
            ("wsh_refusals_total{reason=\"rejected\"}", 2.0),
            ("wsh_refusals_total{reason=\"fault\"}", 1.0),
            ("wsh_refusals_total{reason=\"not-found\"}", 2.0),
            ("wsh_refusals_total{reason=\"origin\"}", 1.0),
            (
                "wsh_reloads_total{handler=\"echo_wsh.rhai\",result=\"ok\"}",
                1.0,
            ),
            (
                "wsh_reloads_total{handler=\"closes_wsh.rhai\",result=\"failed\"}",
                1.0,
            ),
            (
                "wsh_hook_seconds_count{handler=\"echo_wsh.rhai\",hook=\"transfer_data\"}",
                4.0,
            ),
            (
                "wsh_hook_seconds_count{handler=\"deep/divides_wsh.rhai\",hook=\"transfer_data\"}",
                1.0,
            ),
            (
                "wsh_hook_seconds_count{handler=\"closes_wsh.rhai\",hook=\"transfer_data\"}",
                1.0,
            ),
            (
                "wsh_hook_seconds_count{handler=\"rejects_wsh.rhai\",hook=\"do_extra_handshake\"}",
                2.0,
            ),
            (
                "wsh_hook_seconds_count{handler=\"wrong_wsh.rhai\",hook=\"do_extra_handshake\"}",
                1.0,
            ),
            ("wsh_fibers_waiting", 1.0),
            ("wsh_workers", 2.0),
            ("wsh_workers_silent", 0.0),
        ],
    )
    .await;

    // A handler whose file is gone keeps its numbers.
    server.remove("echo_wsh.rhai");
    server.log(["handler removed", "echo_wsh.rhai"]).await;
    let series = scrape(port).await;
    assert_eq!(
        series["wsh_messages_total{handler=\"echo_wsh.rhai\",direction=\"in\"}"],
        4.0
    );

    let text = get(port, "/metrics").await.body;
    is_content(&promtool(&["check", "metrics"], &text));
}

/// What a hook's time is: here a wait of at least two tenths of a second, in one bucket and all
/// above it.
#[tokio::test]
async fn topics_are_counted_for_all_workers() {
    let code = r#"
fn on_load() { topic("news", #{history: 2, seconds: 60}); }
fn on_open(ws) { ws.subscribe("news"); }
fn transfer_data(ws, message) {
    switch message {
        "back" => ws.subscribe("news", #{since: this.at}),
        "lost" => ws.subscribe("news", #{since: "another.1"}),
        "mark" => { this.at = position("news"); ws.unsubscribe("news"); }
        "gone" => ws.unsubscribe("news"),
        _ => publish("news", message)
    }
    ws.send("done");
}
"#;
    let server = builder()
        .workers(2)
        .file("news_wsh.rhai", code)
        .start()
        .await;
    let port = port_of(&server).await;
    let mut readers = Vec::new();
    for _ in 0..3 {
        let mut reader = connect(server.url("/news")).await;
        reader.send_text("mark").await;
        assert_eq!(reader.next_text().await, "done");
        reader.send_text("back").await;
        assert_eq!(reader.next_text().await, "done");
        readers.push(reader);
    }
    readers[0].send_text("first").await;
    for reader in &mut readers[1..] {
        assert_eq!(reader.next_text().await, "first");
    }
    let mut came = [readers[0].next_text().await, readers[0].next_text().await];
    came.sort();
    assert_eq!(came, ["done", "first"]);
    for order in ["gone", "lost"] {
        readers[1].send_text(order).await;
        assert_eq!(readers[1].next_text().await, "done");
    }
    let families = [
        "wsh_publish_total",
        "wsh_deliveries_total",
        "wsh_slow_subscribers_total",
        "wsh_resumes_total",
    ];
    let expected = [
        ("wsh_publish_total", 1.0),
        ("wsh_deliveries_total", 3.0),
        ("wsh_slow_subscribers_total{action=\"drop\"}", 0.0),
        ("wsh_slow_subscribers_total{action=\"close\"}", 0.0),
        ("wsh_resumes_total{recovered=\"true\"}", 3.0),
        ("wsh_resumes_total{recovered=\"false\"}", 1.0),
    ];
    until(port, &families, &expected).await;
}

#[tokio::test]
async fn the_time_of_a_hook_has_its_waits_in_it() {
    let code = "fn transfer_data(ws, message) { sleep(0.2); ws.send(message); }";
    let server = builder().file("nap_wsh.rhai", code).start().await;
    let port = port_of(&server).await;
    let mut raw = Raw::open(&server, "/nap").await;
    raw.send(Wire::text("a").bytes()).await;
    raw.expect_text("a").await;
    let labels = "handler=\"nap_wsh.rhai\",hook=\"transfer_data\"";
    let count = format!("wsh_hook_seconds_count{{{labels}}}");
    until(port, &["wsh_hook_seconds_count"], &[(&count, 1.0)]).await;
    let series = scrape(port).await;
    assert!(series[&format!("wsh_hook_seconds_sum{{{labels}}}")] >= 0.2);
    let bucket = |bound: &str| {
        let start = format!("wsh_hook_seconds_bucket{{le=\"{bound}\"");
        let found = series.iter().find(|(name, _)| name.starts_with(&start));
        let other = format!("wsh_hook_seconds_bucket{{{labels},le=\"{bound}\"}}");
        found.map_or_else(|| series[&other], |(_, value)| *value)
    };
    assert_eq!(bucket("0.065536"), 0.0);
    assert_eq!(bucket("+Inf"), 1.0);
}

#[tokio::test]
async fn the_format_is_the_one_that_is_asked_for() {
    let server = builder().file("echo_wsh.rhai", ECHO).start().await;
    let port = port_of(&server).await;
    let asking =
        |accept: &str| format!("GET /metrics HTTP/1.1\r\nHost: a\r\nAccept: {accept}\r\n\r\n");
    let plain = ask(port, &asking("*/*")).await;
    assert!(
        plain
            .head
            .contains("content-type: text/plain; version=0.0.4; charset=utf-8"),
        "{}",
        plain.head
    );
    assert!(!plain.body.contains("# EOF"));
    let open = ask(
        port,
        &asking("application/openmetrics-text;version=1.0.0,text/plain;q=0.5"),
    )
    .await;
    let kind = "content-type: application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert!(open.head.contains(kind), "{}", open.head);
    assert!(open.body.ends_with("# EOF\n"));
    for answer in [&plain, &open] {
        let length = format!("content-length: {}", answer.body.len());
        assert!(answer.head.contains(&length), "{}", answer.head);
    }
    let head = ask(port, "HEAD /metrics HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    let posted = ask(port, "POST /metrics HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(posted.status, 405);
    assert!(posted.head.contains("allow: get, head"), "{}", posted.head);
    assert_eq!(get(port, "/echo").await.status, 404);
    assert_eq!(ask(port, "what\r\n\r\n").await.status, 400);
}

#[tokio::test]
async fn probes_are_answered_by_address() {
    let livez = "fn transfer_data(ws, message) { ws.send(\"a handler\"); }";
    let server = builder()
        .files(&[
            ("echo_wsh.rhai", ECHO),
            ("livez_wsh.rhai", livez),
            ("broken_wsh.rhai", "fn ("),
        ])
        .args(["--trusted-proxy", "127.0.0.1", "--access-log"])
        .start()
        .await;
    let port = port_of(&server).await;
    // A handler that is broken from the start is no reason to send clients elsewhere.
    let verbose = "[+]accepting ok\n[+]draining ok\n[+]workers ok\nok\n";
    for port in [port, server.port()] {
        let answer = get(port, "/livez").await;
        assert_eq!((answer.status, answer.body.as_str()), (200, "ok\n"));
        assert!(
            answer.head.contains("cache-control: no-store"),
            "{}",
            answer.head
        );
        assert_eq!(get(port, "/readyz").await.body, "ok\n");
        assert_eq!(get(port, "/readyz?verbose").await.body, verbose);
    }
    // With the port's own questions it would be refused.
    let other = get(server.port(), "/").await;
    assert_eq!(other.status, 403, "{}", other.head);
    // Somebody behind the proxy is not the proxy.
    let forwarded = |address: &str| {
        format!(
            "GET /readyz HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: {address}\r\nConnection: \
            close\r\n\r\n"
        )
    };
    assert_eq!(
        ask(server.port(), &forwarded("192.0.2.1")).await.status,
        404
    );
    // To WebSockets the path is one like any.
    let mut raw = Raw::open(&server, "/livez").await;
    raw.send(Wire::text("?").bytes()).await;
    raw.expect_text("a handler").await;
    // Probes are no news.
    server.log(["opened", "/livez"]).await;
    assert_eq!(server.count(["answered", "readyz"]), 0);

    let server = builder()
        .file("echo_wsh.rhai", ECHO)
        .args(["--probe-from", "192.0.2.0/24"])
        .start()
        .await;
    let port = port_of(&server).await;
    let local = "GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    assert_eq!(ask(server.port(), local).await.status, 404);
    assert_eq!(
        get(port, "/readyz").await.status,
        200,
        "the other port asks nobody"
    );
}

#[tokio::test]
async fn a_shutdown_is_announced_before_the_first_close() {
    let mut server = builder()
        .file("echo_wsh.rhai", ECHO)
        .args(["--drain-delay", "600"])
        .start()
        .await;
    let port = port_of(&server).await;
    let mut raw = Raw::open(&server, "/echo").await;
    server.signal("TERM");
    server.log("shutting down after a while").await;
    for port in [port, server.port()] {
        let answer = get(port, "/readyz?verbose").await;
        assert_eq!(answer.status, 503, "{}", answer.body);
        let expected = "[+]accepting ok\n[-]draining failed: the server shuts down\n[+]workers \
            ok\nnot ready\n";
        assert_eq!(answer.body, expected);
        assert_eq!(get(port, "/livez").await.status, 200);
    }
    // Whoever has not heard of it is served.
    raw.echoes(2).await;
    Raw::open(&server, "/echo").await.echoes(2).await;
    // A second signal is the end at once.
    server.signal("TERM");
    assert_eq!(server.exited().await.code(), Some(143));
}

#[tokio::test]
async fn the_delay_ends_in_the_drain() {
    let mut server = builder()
        .file("echo_wsh.rhai", ECHO)
        .args(["--drain-delay", "1s"])
        .start()
        .await;
    let mut raw = Raw::open(&server, "/echo").await;
    server.signal("TERM");
    server.log("shutting down after a while").await;
    server.log("draining").await;
    raw.answer_close(1001).await;
    assert!(server.exited().await.success());
}

#[tokio::test]
async fn a_port_of_metrics_that_is_taken_ends_the_start() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("its address").port().to_string();
    let run = Server::builder()
        .file("echo_wsh.rhai", ECHO)
        .args(["--metrics-port", &port])
        .run()
        .await;
    assert_eq!(run.status.code(), Some(2), "{}", run.stderr);
    assert!(
        run.stderr.contains("--metrics-port another"),
        "{}",
        run.stderr
    );
}

/// The blocks of the guide that are YAML, by a word in them.
fn yaml(word: &str) -> &'static str {
    let mut blocks = GUIDE.split("```yaml\n").skip(1);
    let block = blocks.find(|block| block.contains(word)).expect(word);
    block.split("```").next().expect("its end")
}

#[test]
fn the_examples_for_prometheus_are_sound() {
    let dir = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| {
        std::fs::write(dir.path().join(name), text).expect("a file");
        dir.path().join(name).display().to_string()
    };
    let rules = write("wsh-server.rules.yml", yaml("groups:"));
    let config = write("prometheus.yml", yaml("scrape_configs:"));
    is_content(&promtool(&["check", "rules", &rules], ""));
    is_content(&promtool(&["check", "config", &config], ""));
}

/// Words of an expression that begin as our metrics do.
fn names(expression: &str) -> BTreeSet<String> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = expression.split(|c| !is_word(c));
    let names = words.filter(|word| word.starts_with("wsh_"));
    names.map(str::to_owned).collect()
}

/// Every `expr` of a board.
fn expressions(value: &serde_json::Value, found: &mut Vec<String>) {
    match value {
        serde_json::Value::Object(object) => {
            for (name, value) in object {
                match value.as_str() {
                    Some(text) if name == "expr" => found.push(text.to_owned()),
                    _ => expressions(value, found),
                }
            }
        }
        serde_json::Value::Array(list) => list.iter().for_each(|value| expressions(value, found)),
        _ => {}
    }
}

/// The board, the alerts and the guide's table name what there is, and the table all of it.
#[tokio::test]
async fn what_is_named_exists() {
    let server = builder().file("echo_wsh.rhai", ECHO).start().await;
    let port = port_of(&server).await;
    Raw::open(&server, "/echo").await.echoes(1).await;
    let text = get(port, "/metrics").await.body;
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let types: Vec<(&str, &str)> = types.filter_map(|line| line.split_once(' ')).collect();
    let mut known = BTreeSet::new();
    for (name, kind) in &types {
        known.insert((*name).to_owned());
        if *kind == "histogram" {
            known.extend(["_bucket", "_sum", "_count"].map(|end| format!("{name}{end}")));
        }
    }
    let board: serde_json::Value = serde_json::from_str(BOARD).expect("JSON");
    let mut all = Vec::new();
    expressions(&board, &mut all);
    assert!(all.len() >= 10, "{} expressions", all.len());
    for expression in all.iter().map(String::as_str).chain([yaml("groups:")]) {
        let names = names(expression);
        assert!(!names.is_empty(), "{expression}");
        for name in names {
            assert!(known.contains(&name), "there is no {name}: {expression}");
        }
    }
    // promtool reads expressions only as rules.
    let rules: String = all
        .iter()
        .enumerate()
        .map(|(number, expression)| {
            let expression = expression
                .replace("$__rate_interval", "5m")
                .replace("$handler", ".*")
                .replace("$instance", ".*");
            let expression = serde_json::to_string(&expression).expect("text");
            format!("      - record: board:number:{number}\n        expr: {expression}\n")
        })
        .collect();
    let rules = format!("groups:\n  - name: board\n    rules:\n{rules}");
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), rules).expect("the rules");
    is_content(&promtool(
        &["check", "rules", &file.path().display().to_string()],
        "",
    ));
    for (name, _) in types {
        assert!(
            GUIDE.contains(&format!("| `{name}` |")),
            "{name} is not in the guide"
        );
    }
    let rows = GUIDE
        .lines()
        .filter_map(|line| line.strip_prefix("| `wsh_"));
    for row in rows {
        let name = format!("wsh_{}", row.split('`').next().unwrap_or_default());
        assert!(
            known.contains(&name),
            "the guide has {name}, and the server has not"
        );
    }
}

#[tokio::test]
async fn what_a_store_takes_is_measured_by_operation() {
    const SHELF: &str = r#"
        fn transfer_data(ws, message) {
            store.incr("n");
            store.get("n");
            queue("q").put(message);
            ws.send(queue("q").take());
        }"#;
    let server = builder().file("shelf_wsh.rhai", SHELF).start().await;
    let port = port_of(&server).await;
    let mut client = connect(server.url("/shelf")).await;
    for _ in 0..3 {
        client.send_text("hello").await;
        assert_eq!(client.next_text().await, "hello");
    }
    let series = scrape(port).await;
    for (operation, times) in [("read", 3.0), ("write", 3.0), ("queue", 6.0)] {
        let labels = format!("{{engine=\"memory\",operation=\"{operation}\"}}");
        let count = series[&format!("wsh_store_seconds_count{labels}")];
        assert_eq!(count, times, "{operation}");
        let sum = series[&format!("wsh_store_seconds_sum{labels}")];
        assert!(sum > 0.0 && sum < 1.0, "{operation}: {sum}");
    }
}
