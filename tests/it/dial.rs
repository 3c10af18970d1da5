//! What scripts open and ask for outside, over real sockets: `dial`, `http_get`, `http_post`.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::metrics::{port_of, scrape};
use crate::support::{Builder, Client, Server, connect, within};

/// Runs what it is sent as JSON, and says what came of it.
const ASKER: &str = r#"
fn transfer_data(ws, message) {
    let order = parse_json(message);
    try {
        let answer = switch order.act {
            "get" => http_get(order.url, order.options ?? #{}),
            "post" => http_post(order.url, order.body, order.options ?? #{}),
        };
        ws.send(`${answer.status} ${answer.text}`);
    } catch (e) {
        ws.send(`${e.kind}: ${e.message}`);
    }
}
"#;

/// A site with answers of every kind.
const SITE: &str = r#"
fn on_request(request) {
    switch request.query {
        "json" => #{method: request.method, sent: request.text, kind: request.header("content-type")},
        "headers" => {
            request.add_header("X-Answer", "yes");
            `${request.header("x-own")} ${request.header("authorization")}`
        },
        "missing" => { request.status = 404; "not here" },
        "bytes" => base64_decode("/wD/"),
        "long" => { let text = ""; text.pad(2000, 'x'); text },
        "slow" => { publish("slow", "asked"); sleep(60); "late" },
        _ => {
            request.status = 302;
            request.add_header("Location", url_decode(request.query));
        }
    }
}

fn transfer_data(ws, message) { ws.subscribe("slow"); ws.send("ready"); }
"#;

async fn site() -> Server {
    Server::start(&[("site_wsh.rhai", SITE)]).await
}

async fn asker(build: impl FnOnce(Builder) -> Builder) -> Server {
    let builder = Server::builder().file("asker_wsh.rhai", ASKER);
    build(builder).start().await
}

async fn ask(client: &mut Client, order: serde_json::Value) -> String {
    client.send_text(order.to_string()).await;
    client.next_text().await
}

async fn get(client: &mut Client, url: &str) -> String {
    ask(client, serde_json::json!({"act": "get", "url": url})).await
}

#[tokio::test]
async fn a_script_asks_another_server() {
    let site = site().await;
    let place = format!("localhost:{}", site.port());
    let asker = asker(|builder| builder.args(["--allow-connect", &place])).await;
    let mut client = connect(asker.url("/asker")).await;
    let url = |query: &str| format!("http://{place}/site?{query}");

    let answer = get(&mut client, &url("json")).await;
    assert_eq!(answer, r#"200 {"kind":null,"method":"GET","sent":""}"#);
    assert_eq!(get(&mut client, &url("missing")).await, "404 not here");
    assert_eq!(get(&mut client, &url("bytes")).await, "200 ");
    let order = serde_json::json!({"act": "post", "url": url("json"), "body": {"a": [1, null]}});
    let answer = ask(&mut client, order).await;
    let sent = r#"{"kind":"application/json","method":"POST","sent":"{\"a\":[1,null]}"}"#;
    assert_eq!(answer, format!("200 {sent}"));
    let order = serde_json::json!({
        "act": "post",
        "url": url("json"),
        "body": "a=1",
        "options": {"method": "PUT", "headers": {"Content-Type": "text/own"}},
    });
    let answer = ask(&mut client, order).await;
    assert_eq!(
        answer,
        r#"200 {"kind":"text/own","method":"PUT","sent":"a=1"}"#
    );
    let order = serde_json::json!({
        "act": "get",
        "url": url("headers"),
        "options": {"headers": {"X-Own": "mine", "Authorization": "Bearer t"}},
    });
    assert_eq!(ask(&mut client, order).await, "200 mine Bearer t");
}

#[tokio::test]
async fn only_hosts_that_are_named_are_asked() {
    let site = site().await;
    let port = site.port();
    let off = asker(|builder| builder).await;
    let mut client = connect(off.url("/asker")).await;
    let answer = get(&mut client, &format!("http://localhost:{port}/site?json")).await;
    let advice = format!(
        "connect: localhost:{port} is not among the hosts that scripts may connect to: \
         --allow-connect localhost:{port} lets them"
    );
    assert_eq!(answer, advice);

    let place = format!("localhost:{port}");
    let asker = asker(|builder| builder.args(["--allow-connect", &place])).await;
    let mut client = connect(asker.url("/asker")).await;
    for url in [
        format!("http://127.0.0.1:{port}/site?json"),
        format!("http://[::1]:{port}/site?json"),
        format!("http://0x7f.1:{port}/site?json"),
        format!("http://localhost.example:{port}/site?json"),
        "http://localhost:1/".to_owned(),
        "https://localhost/".to_owned(),
        // A redirect is looked at like what a script asks for.
        format!("http://{place}/site?http%3A%2F%2F127.0.0.1%3A{port}%2Fsite%3Fjson"),
    ] {
        let answer = get(&mut client, &url).await;
        assert!(answer.starts_with("connect: "), "{url}: {answer}");
    }
    let redirect = format!("http://{place}/site?%2Fsite%3Fmissing");
    assert_eq!(get(&mut client, &redirect).await, "404 not here");
    for url in ["ftp://localhost/", "localhost", "ws://localhost/"] {
        let answer = get(&mut client, url).await;
        assert!(answer.starts_with("url: "), "{url}: {answer}");
    }
}

/// What `localhost` has as other names on this machine leads to it, too, and is not let through by
/// its name alone.
#[tokio::test]
async fn a_name_that_leads_inside_needs_its_address_named() {
    const NAMES: [&str; 3] = ["ip6-localhost", "ip6-loopback", "localhost.localdomain"];
    let mut name = None;
    for known in NAMES {
        let found = tokio::net::lookup_host((known, 1)).await;
        if found.is_ok_and(|mut all| all.all(|place| place.ip().is_loopback())) {
            name.get_or_insert(known);
        }
    }
    // A machine without such a name cannot show it; the rule itself has its unit tests.
    let Some(name) = name else { return };
    let site = site().await;
    let place = format!("{name}:{}", site.port());
    let server = asker(|builder| builder.args(["--allow-connect", &place])).await;
    let mut client = connect(server.url("/asker")).await;
    let url = format!("http://{place}/site?json");
    let answer = get(&mut client, &url).await;
    assert!(
        answer.starts_with(&format!("connect: {name} is ")),
        "{answer}"
    );

    let places = format!("{place},::1,127.0.0.0/8");
    let server = asker(|builder| builder.args(["--allow-connect", &places])).await;
    let mut client = connect(server.url("/asker")).await;
    let answer = get(&mut client, &url).await;
    assert!(!answer.starts_with("connect: "), "{answer}");
}

#[tokio::test]
async fn an_answer_is_bounded_in_length_and_time_and_number() {
    let site = site().await;
    let place = format!("localhost:{}", site.port());
    let args = ["--allow-connect", &place, "--max-response-body", "1000"];
    let more = ["--connect-timeout", "3s", "--max-requests-per-handler", "1"];
    let asker = asker(|builder| builder.args(args).args(more)).await;
    let mut client = connect(asker.url("/asker")).await;
    let url = |query: &str| format!("http://{place}/site?{query}");
    let answer = get(&mut client, &url("long")).await;
    assert!(answer.starts_with("large: "), "{answer}");
    assert!(
        answer.contains("1000 bytes (--max-response-body)"),
        "{answer}"
    );
    let answer = get(&mut client, &url("slow")).await;
    assert!(answer.starts_with("late: "), "{answer}");

    let mut witness = connect(site.url("/site")).await;
    assert_eq!(ask(&mut witness, "asked?".into()).await, "ready");
    let order = serde_json::json!({"act": "get", "url": url("slow"), "options": {"seconds": 60}});
    client.send_text(order.to_string()).await;
    assert_eq!(witness.next_text().await, "asked");
    let mut other = connect(asker.url("/asker")).await;
    let answer = get(&mut other, &url("missing")).await;
    assert!(answer.starts_with("requests: "), "{answer}");
    // Whoever is gone has no request any more.
    drop(client);
    let admitted = async { while get(&mut other, &url("missing")).await != "404 not here" {} };
    within("room again", admitted).await;
}

/// Closed without an answer, or with what is none.
/// Answers requests one after another on connections that stay, and says on which one; after `end`
/// the connection is closed without a word.
async fn keeper() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move {
        for number in 1.. {
            let Ok((mut stream, _)) = listener.accept().await else {
                return;
            };
            tokio::spawn(async move {
                let mut bytes = Vec::new();
                loop {
                    let end = loop {
                        if let Some(place) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
                            break place + 4;
                        }
                        if !matches!(stream.read_buf(&mut bytes).await, Ok(1..)) {
                            return;
                        }
                    };
                    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
                    // No body is longer than what comes with its head, for this one.
                    bytes.clear();
                    let method = head.split(' ').next().unwrap_or_default();
                    let text = format!("{method} on {number}");
                    let answer = format!(
                        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}",
                        text.len()
                    );
                    if stream.write_all(answer.as_bytes()).await.is_err() || head.contains("?end") {
                        return;
                    }
                }
            });
        }
    });
    port
}

/// Requests of a handler use the connection of the one before, and another when that has ended;
/// what comes of them is counted and logged.
#[tokio::test]
async fn connections_are_used_again_and_counted() {
    let port = keeper().await;
    let place = format!("127.0.0.1:{port}");
    let asker = asker(|builder| {
        builder
            .file("other_wsh.rhai", ASKER)
            .args(["--allow-connect", &place, "--log-level", "script=debug"])
            .args(["--metrics-port", "0"])
    })
    .await;
    let mut client = connect(asker.url("/asker")).await;
    let url = |query: &str| format!("http://{place}/?{query}");
    assert_eq!(get(&mut client, &url("a")).await, "200 GET on 1");
    assert_eq!(get(&mut client, &url("b")).await, "200 GET on 1");
    let post = serde_json::json!({"act": "post", "url": url("c"), "body": "a=1"});
    assert_eq!(ask(&mut client, post.clone()).await, "200 POST on 1");
    // Each handler has its own.
    let mut stranger = connect(asker.url("/other")).await;
    assert_eq!(get(&mut stranger, &url("a")).await, "200 GET on 2");
    // One that the server has ended is no error, for a POST neither: nothing of it has left.
    assert_eq!(get(&mut client, &url("end")).await, "200 GET on 1");
    within("the end", async {
        while ask(&mut client, post.clone()).await != "200 POST on 3" {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(get(&mut client, &url("d")).await, "200 GET on 3");
    let barred = get(&mut client, "http://localhost:1/").await;
    assert!(barred.starts_with("connect: "), "{barred}");
    const TOLD: &str = "a script has asked another server";
    asker.log([TOLD, "result=\"ok\"", &place]).await;
    asker.log([TOLD, "result=\"connect\"", "localhost:1"]).await;
    let counted = scrape(port_of(&asker).await).await;
    let of = |handler: &str, result: &str| {
        let name = format!("wsh_fetch_total{{handler=\"{handler}\",result=\"{result}\"}}");
        counted.get(&name).copied()
    };
    assert_eq!(of("other_wsh.rhai", "ok"), Some(1.0), "{counted:?}");
    assert_eq!(of("asker_wsh.rhai", "connect"), Some(1.0), "{counted:?}");
    assert!(of("asker_wsh.rhai", "ok") >= Some(6.0), "{counted:?}");
}

#[tokio::test]
async fn what_is_no_answer_is_an_error() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let place = listener.local_addr().expect("its address").to_string();
    let answering = tokio::spawn(async move {
        for answer in [
            &b""[..],
            b"nonsense\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf",
        ] {
            let (mut stream, _) = listener.accept().await.expect("a client");
            let mut head = [0; 1024];
            let _ = stream.read(&mut head).await.expect("its request");
            stream.write_all(answer).await.expect("an answer");
        }
    });
    let asker = asker(|builder| builder.args(["--allow-connect", &place])).await;
    let mut client = connect(asker.url("/asker")).await;
    for _ in 0..3 {
        let answer = get(&mut client, &format!("http://{place}/")).await;
        assert!(answer.starts_with("unreached: "), "{answer}");
    }
    answering.await.expect("three answers");
    let answer = get(&mut client, &format!("http://{place}/")).await;
    assert!(answer.starts_with("unreached: "), "{answer}");
}

/// A man in the middle.
const MIDDLE: &str = r#"
fn do_extra_handshake(request) {
    this.up = dial(env("BEHIND") + request.query, #{subprotocols: request.requested_protocols});
    if this.up.protocol != "" { request.protocol = this.up.protocol; }
}
fn transfer_data(ws, message) { this.up.send(message); }
fn on_dialed(ws, dialed, message) { ws.send(message); }
fn on_dialed_close(ws, dialed, code, reason) { ws.close(if code > 2999 { code } else { 1001 }, reason); }
"#;

const BEHIND: &str = r#"
fn do_extra_handshake(request) {
    if request.query == "no" { request.reject(403); }
    if "b" in request.requested_protocols { request.protocol = "b"; }
}
fn on_open(ws) { ws.send("welcome"); }
fn transfer_data(ws, message) {
    if message == "end" { ws.close(4001, "enough"); }
    else if message == "drop" { ws.abort(); }
    else { ws.send(message); }
}
fn on_close(ws, code, reason, was_clean) { print(`left with ${code} ${was_clean}`); }
"#;

async fn behind() -> Server {
    Server::start(&[("behind_wsh.rhai", BEHIND)]).await
}

async fn between(behind: &Server, build: impl FnOnce(Builder) -> Builder) -> Server {
    let place = format!("127.0.0.1:{}", behind.port());
    let builder = Server::builder()
        .file("middle_wsh.rhai", MIDDLE)
        .env("BEHIND", format!("ws://{place}/behind?"))
        .args(["--allow-connect", &place, "--allow-env", "BEHIND"]);
    build(builder).start().await
}

#[tokio::test]
async fn a_man_in_the_middle_passes_everything_on() {
    let behind = behind().await;
    let middle = between(&behind, |builder| builder).await;
    let mut client = connect(middle.url("/middle?")).await;
    assert_eq!(client.next_text().await, "welcome");
    client.send_text("text").await;
    assert_eq!(client.next_text().await, "text");
    client.send_binary([0, 255]).await;
    assert_eq!(client.next_binary().await, [0, 255]);
    let long = "long ".repeat(400_000);
    client.send_text(long.clone()).await;
    assert!(client.next_text().await == long, "2 MB there and back");
    for number in 0..1_000 {
        client.send_text(number.to_string()).await;
    }
    for number in 0..1_000 {
        assert_eq!(client.next_text().await, number.to_string());
    }
    client.send_text("end").await;
    assert_eq!(client.next_close().await, (4001, "enough".to_owned()));

    let mut client = connect(middle.url("/middle?")).await;
    assert_eq!(client.next_text().await, "welcome");
    client.send_text("drop").await;
    assert_eq!(client.next_close().await.0, 1001);
}

#[tokio::test]
async fn what_was_dialed_ends_with_its_connection_and_outlives_an_edit() {
    let behind = behind().await;
    let middle = between(&behind, |builder| builder).await;
    let mut client = connect(middle.url("/middle?")).await;
    assert_eq!(client.next_text().await, "welcome");
    let edited = MIDDLE.replace("{ ws.send(message); }", "{ ws.send(`< ${message}`); }");
    assert_ne!(edited, MIDDLE);
    middle.write("middle_wsh.rhai", &edited);
    middle.log("reloaded").await;
    client.send_text("hello").await;
    assert_eq!(client.next_text().await, "< hello");
    client.close(1000, "").await;
    behind.log("left with 1001 true").await;

    // One that is refused after it has dialed has nothing left, and one that goes away neither.
    let mut client = connect(middle.url("/middle?")).await;
    assert_eq!(client.next_text().await, "< welcome");
    drop(client);
    behind.log("left with 1001 true").await;
}

#[tokio::test]
async fn the_handshake_goes_through_as_well() {
    use tokio_tungstenite::tungstenite::client::IntoClientRequest;
    let behind = behind().await;
    let middle = between(&behind, |builder| builder).await;
    let mut request = middle
        .url("/middle?")
        .into_client_request()
        .expect("a request");
    let offered = "a, b".parse().expect("a value");
    request
        .headers_mut()
        .insert("sec-websocket-protocol", offered);
    let (_, answer) = tokio_tungstenite::connect_async(request)
        .await
        .expect("a connection");
    assert_eq!(answer.headers()["sec-websocket-protocol"], "b");
    // Who is refused behind is refused here.
    assert_eq!(
        tokio_tungstenite::connect_async(middle.url("/middle?no"))
            .await
            .map(drop)
            .map_err(|error| match error {
                tokio_tungstenite::tungstenite::Error::Http(answer) => answer.status().as_u16(),
                _ => 0,
            }),
        Err(500)
    );
}

/// Dials what it is told to, and asks by itself.
const LOOP: &str = r#"
fn transfer_data(ws, message) {
    try {
        if message == "dial" {
            this.up = dial(env("BEHIND"));
            ws.send(`${this.up.id} ${this.up.receive()}`);
        } else if message == "wait" {
            ws.send(`${this.up.receive(0.01) == ()} ${this.up.ready_state}`);
        } else if message == "close" {
            this.up.close(4000, "bye");
            ws.send(`${this.up.receive() == ()} ${this.up.ready_state}`);
        } else if message == "header" {
            ws.send(`${this.up.header("upgrade")} ${this.up.header("x") == ()} ${this.up.url}`);
        } else {
            this.up.send(message);
            ws.send(this.up.receive());
        }
    } catch (e) {
        ws.send(e.kind);
    }
}
"#;

#[tokio::test]
async fn a_script_asks_what_it_has_dialed_for_the_next_message() {
    let behind = behind().await;
    let build = |builder: Builder| {
        builder
            .file("loop_wsh.rhai", LOOP)
            .args(["--max-dialed", "2"])
    };
    let server = between(&behind, build).await;
    let mut client = connect(server.url("/loop")).await;
    let mut say = async |text: &str| {
        client.send_text(text).await;
        client.next_text().await
    };
    assert_eq!(say("dial").await, "1 welcome");
    assert_eq!(say("hello").await, "hello");
    assert_eq!(say("wait").await, "true open");
    let url = format!("websocket true ws://127.0.0.1:{}/behind?", behind.port());
    assert_eq!(say("header").await, url);
    assert_eq!(say("close").await, "true closed");
    behind.log("left with 4000 true").await;
    // Those that nobody can ask any more make room for others.
    for number in 2..8 {
        assert_eq!(say("dial").await, format!("{number} welcome"));
    }
}

/// Keeps what it dials.
const KEEPER: &str = r#"
fn on_open(ws) { this.all = []; }
fn transfer_data(ws, message) {
    try {
        this.all.push(dial(env("BEHIND")));
        ws.send(`${this.all.len()}`);
    } catch (e) {
        ws.send(`${e.kind}: ${e.message}`);
    }
}
"#;

#[tokio::test]
async fn a_connection_and_a_handler_dial_so_many_and_no_more() {
    let behind = behind().await;
    let build = |builder: Builder| {
        let args = ["--max-dialed", "2", "--max-dialed-per-handler", "3"];
        builder.file("keeper_wsh.rhai", KEEPER).args(args)
    };
    let server = between(&behind, build).await;
    let mut first = connect(server.url("/keeper")).await;
    let mut second = connect(server.url("/keeper")).await;
    for (client, answers) in [
        (
            &mut first,
            ["1", "2", "dials: this connection has 2 dialed already"],
        ),
        (
            &mut second,
            [
                "1",
                "dials: this handler has 3 connections",
                "dials: this handler has 3",
            ],
        ),
    ] {
        for answer in answers {
            client.send_text("").await;
            let found = client.next_text().await;
            assert!(found.starts_with(answer), "{found}");
        }
    }
    first.close(1000, "").await;
    let mut third = connect(server.url("/keeper")).await;
    let room = async {
        loop {
            third.send_text("").await;
            if third.next_text().await == "1" {
                break;
            }
        }
    };
    within("room again", room).await;
}

/// Sends without an end, and says how much.
const FLOOD: &str = r#"
fn on_open(ws) {
    let piece = "";
    piece.pad(65536, 'x');
    for number in 0..10000 { ws.send(piece); }
}
fn transfer_data(ws, message) {}
"#;

#[tokio::test]
async fn what_nobody_takes_stays_with_the_other_side() {
    let behind = Server::start(&[("flood_wsh.rhai", FLOOD)]).await;
    let place = format!("127.0.0.1:{}", behind.port());
    let server = Server::builder()
        .file("keeper_wsh.rhai", KEEPER)
        .env("BEHIND", format!("ws://{place}/flood"))
        .args(["--allow-connect", &place, "--allow-env", "BEHIND"])
        .start()
        .await;
    let before = server.memory().now;
    let mut client = connect(server.url("/keeper")).await;
    for number in 1..=8 {
        client.send_text("").await;
        assert_eq!(client.next_text().await, number.to_string());
    }
    // All of it would be 5 GB; what goes on meanwhile is an ordinary connection.
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let more = server.memory().now.saturating_sub(before);
        assert!(more < 64 * 1024, "{more} KiB");
    }
}

/// Over TLS as well, and only with those whose certificate is one.
#[tokio::test]
async fn certificates_are_looked_at() {
    let home = tempfile::tempdir().expect("a folder");
    let behind = Server::builder()
        .file("site_wsh.rhai", SITE)
        .file("behind_wsh.rhai", BEHIND)
        .args(["--tls-port", "0", "--tls-dev"])
        .env("XDG_DATA_HOME", home.path())
        .start()
        .await;
    let place = format!("localhost:{}", behind.tls_port());
    let elsewhere = tempfile::tempdir().expect("a folder");
    for (home, answers) in [
        (home.path(), ["404 not here", "1 welcome"]),
        (elsewhere.path(), ["unreached", "unreached"]),
    ] {
        let build = |builder: Builder| {
            builder
                .file("loop_wsh.rhai", LOOP)
                .env("XDG_DATA_HOME", home)
                .env("BEHIND", format!("wss://{place}/behind"))
                .args(["--allow-connect", &place, "--allow-env", "BEHIND"])
        };
        let server = asker(build).await;
        let mut client = connect(server.url("/asker")).await;
        let answer = get(&mut client, &format!("https://{place}/site?missing")).await;
        assert!(answer.starts_with(answers[0]), "{answer}");
        let mut client = connect(server.url("/loop")).await;
        client.send_text("dial").await;
        assert_eq!(client.next_text().await, answers[1]);
    }
}

/// A message that is too much for all that a handler may hold ends the connection that it comes on.
#[tokio::test]
async fn what_a_handler_holds_is_bounded() {
    let behind = behind().await;
    let build = |builder: Builder| {
        builder
            .file("loop_wsh.rhai", LOOP)
            .args(["--max-dialed-size", "100KiB"])
    };
    let server = between(&behind, build).await;
    let mut client = connect(server.url("/loop")).await;
    client.send_text("dial").await;
    assert_eq!(client.next_text().await, "1 welcome");
    client.send_text("x".repeat(50_000)).await;
    assert_eq!(client.next_text().await.len(), 50_000);
    client.send_text("x".repeat(500_000)).await;
    // There is no answer: `()` is no message.
    assert_eq!(client.next_text().await, "type");
    client.send_text("wait").await;
    assert_eq!(client.next_text().await, "true closed");
    behind.log("left with 1006").await;
    // It is over with that one, and others have room.
    client.send_text("dial").await;
    assert_eq!(client.next_text().await, "2 welcome");
}

/// One connection for all clients.
const FEED: &str = r#"
fn on_load() { this.feed = dial(env("BEHIND")); every(0.01, "look"); }
fn on_interval(name) {
    loop {
        let message = this.feed.receive(0);
        if message == () { break; }
        if message == "welcome" { this.feed.send("to all"); }
        store.set("last", message);
    }
}
fn transfer_data(ws, message) {
    let last = store.get("last");
    while last != message { last = store.wait("last", last, 10); }
    ws.send(last);
}
"#;

#[tokio::test]
async fn a_handler_dials_for_all_its_clients() {
    let behind = behind().await;
    let server = between(&behind, |builder| builder.file("feed_wsh.rhai", FEED)).await;
    let mut client = connect(server.url("/feed")).await;
    client.send_text("to all").await;
    assert_eq!(client.next_text().await, "to all");
}

#[tokio::test]
async fn the_template_stands_between() {
    const TEMPLATE: &str = include_str!("../../src/commands/templates/between.rhai");
    let behind = behind().await;
    let place = format!("localhost:{}", behind.port());
    let text = TEMPLATE.replace("ws://localhost:9000", &format!("ws://{place}"));
    let server = Server::builder()
        .file("behind_wsh.rhai", text)
        .args(["--allow-connect", &place])
        .start()
        .await;
    let mut client = connect(server.url("/behind")).await;
    assert_eq!(client.next_text().await, "welcome");
    client.send_text("hello").await;
    assert_eq!(client.next_text().await, "hello");
    client.send_text("end").await;
    assert_eq!(client.next_close().await, (4001, "enough".to_owned()));
    let refused = tokio_tungstenite::connect_async(server.url("/behind?no")).await;
    assert!(refused.is_err());
}
