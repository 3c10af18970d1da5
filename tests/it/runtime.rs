//! Hooks in fibers: waiting and computing scripts hold up nobody, a connection's hooks come one by
//! one and in order, faults end one connection. What hostile scripts do stands in `hostile`.

use std::time::Duration;

use tokio::task::JoinSet;

use crate::support::{Client, ECHO, Frame, Raw, Request, Server, Wire, allow_open_files, connect};

/// Longer than any test has patience: whoever waits for the end of this sleep fails.
const FOR_EVER: &str = "sleep(60.0);";

#[tokio::test]
async fn sleep_suspends_only_its_own_connection() {
    let nap = format!(
        "fn transfer_data(ws, message) {{\n    print(\"asleep\");\n    {FOR_EVER}\n    \
        ws.send(\"awake\");\n}}\n"
    );
    let server = Server::builder()
        .workers(1)
        .files(&[("nap_wsh.rhai", &nap), ("echo_wsh.rhai", ECHO)])
        .start()
        .await;
    let mut sleeper = connect(server.url("/nap")).await;
    let mut same_handler = connect(server.url("/nap")).await;
    let mut beside = connect(server.url("/echo")).await;
    sleeper.send_text("go").await;
    server.log("asleep").await;
    beside.echoes(100).await;
    // The handler itself is not taken either, only the connection.
    same_handler.send_text("go").await;
    server.log("asleep").await;
    beside.echoes(100).await;
}

#[tokio::test]
async fn sleep_comes_back() {
    let code = "fn transfer_data(ws, message) {\n    \
                sleep(0.01);\n    sleep(0);\n    sleep(0.0);\n    nap(3);\n    \
                ws.send(\"awake\");\n}\n\
                fn nap(n) {\n    if n > 0 { sleep(0.001); nap(n - 1); }\n}\n";
    let server = Server::start(&[("nap_wsh.rhai", code)]).await;
    let mut client = connect(server.url("/nap")).await;
    client.send_text("go").await;
    assert_eq!(client.next_text().await, "awake");
}

/// What a hook has sent is not what it holds, whoever has to make room for it.
#[tokio::test]
async fn a_hook_streams_more_than_it_may_hold() {
    let code = "fn transfer_data(ws, message) {\n    \
                let piece = \"x\";\n    for i in 0..16 { piece += piece; }\n    \
                for i in 0..1600 { ws.send(piece); }\n    ws.send(\"done\");\n}\n";
    let server = Server::start(&[("stream_wsh.rhai", code)]).await;
    let mut client = connect(server.url("/stream")).await;
    client.send_text("go").await;
    for number in 0..1600 {
        assert_eq!(client.next_text().await.len(), 64 * 1024, "{number}");
    }
    assert_eq!(client.next_text().await, "done");
}

#[tokio::test]
async fn a_sleeping_handshake_holds_up_nobody() {
    let code = format!(
        "fn do_extra_handshake(request) {{\n    print(\"asleep\");\n    {FOR_EVER}\n}}\n{ECHO}"
    );
    let server = Server::builder()
        .workers(1)
        .files(&[("nap_wsh.rhai", &code), ("echo_wsh.rhai", ECHO)])
        .start()
        .await;
    let mut waiting = Raw::connect(&server).await;
    waiting.send(Request::upgrade("/nap").bytes()).await;
    server.log("asleep").await;
    connect(server.url("/echo")).await.echoes(20).await;
}

#[tokio::test]
async fn five_thousand_connections_sleep_at_once() {
    const CONNECTIONS: usize = 5_000;
    allow_open_files(6_000);
    let code = "fn transfer_data(ws, message) {\n    sleep(1.0);\n    ws.send(message);\n}\n";
    let server = Server::start(&[("nap_wsh.rhai", code), ("echo_wsh.rhai", ECHO)]).await;
    let mut connections = Vec::with_capacity(CONNECTIONS);
    while connections.len() < CONNECTIONS {
        // In batches, so that no more connections are being accepted than a backlog holds.
        let mut batch = JoinSet::new();
        for _ in 0..250 {
            let port = server.port();
            batch.spawn(async move {
                let mut raw = Raw::connect_to(port).await;
                raw.handshake("/nap", &[]).await.expect_upgrade();
                raw
            });
        }
        connections.extend(batch.join_all().await);
    }
    // One after the other they would sleep for more than an hour.
    for (number, raw) in connections.iter_mut().enumerate() {
        raw.send(Wire::text(number.to_string()).bytes()).await;
    }
    connect(server.url("/echo")).await.echoes(20).await;
    for (number, raw) in connections.iter_mut().enumerate() {
        let answer = data_frame(raw).await;
        assert_eq!(answer.payload, number.to_string().as_bytes());
    }
}

#[tokio::test]
async fn l09_two_endless_loops_beside_an_echo() {
    // All on one worker: another one would answer even if loops were not interrupted.
    let server = Server::builder()
        .workers(1)
        .files(&[("spin_wsh.rhai", LOOP), ("echo_wsh.rhai", ECHO)])
        .start()
        .await;
    let mut spinners = JoinSet::new();
    for _ in 0..2 {
        let url = server.url("/spin");
        spinners.spawn(async move {
            // Spins again and again until the echo is done, which is when this task is dropped.
            loop {
                spin(&url).await;
            }
        });
    }
    server.log("spinning").await;
    server.log("spinning").await;
    connect(server.url("/echo")).await.echoes(200).await;
    server.spent_budget().await;
    server.spent_budget().await;
}

#[tokio::test]
async fn a_loop_cannot_be_caught() {
    let caught = "fn transfer_data(ws, message) {\n    \
                  loop {\n        try { loop {} } catch { ws.send(\"caught\"); }\n    }\n}\n";
    let server = Server::start(&[("spin_wsh.rhai", caught), ("echo_wsh.rhai", ECHO)]).await;
    spin(&server.url("/spin")).await;
    server.spent_budget().await;
    connect(server.url("/echo")).await.echoes(1).await;
}

#[tokio::test]
async fn a_wait_renews_the_budget() {
    let code = "fn transfer_data(ws, message) {\n    \
                loop {\n        \
                let n = 0;\n        while n < 5000 { n += 1; }\n        \
                sleep(0.0001);\n        ws.send(\"still here\");\n    }\n}\n";
    let server = Server::start(&[("work_wsh.rhai", code)]).await;
    let mut client = connect(server.url("/work")).await;
    client.send_text("go").await;
    // Until it has computed for twice the budget, by the clock of its own processor time.
    let start = processor_seconds(server.pid());
    let computing = async {
        while processor_seconds(server.pid()) < start + 2.0 {
            assert_eq!(client.next_text().await, "still here");
        }
    };
    // On a machine that is busy elsewhere that takes its time.
    let bound = Duration::from_secs(600);
    let done = tokio::time::timeout(bound, computing).await;
    done.expect("two seconds of computing");
}

#[tokio::test]
async fn loops_in_every_hook() {
    let server = Server::start(&[
        (
            "hand_wsh.rhai",
            &format!("fn do_extra_handshake(request) {{ loop {{}} }}\n{ECHO}"),
        ),
        (
            "open_wsh.rhai",
            &format!("fn on_open(ws) {{ loop {{}} }}\n{ECHO}"),
        ),
        (
            "passive_wsh.rhai",
            &format!("fn passive_closing_handshake(ws, code, reason) {{ loop {{}} }}\n{ECHO}"),
        ),
        (
            "close_wsh.rhai",
            &format!("fn on_close(ws, code, reason, was_clean) {{ loop {{}} }}\n{ECHO}"),
        ),
        ("echo_wsh.rhai", ECHO),
    ])
    .await;
    let mut beside = connect(server.url("/echo")).await;
    assert_eq!(server.status("/hand").await, 500);
    server.spent_budget().await;

    let mut open = Raw::open(&server, "/open").await;
    open.expect_close(1011).await;
    server.spent_budget().await;

    let mut passive = Raw::open(&server, "/passive").await;
    passive.send(Wire::close(1000, "").bytes()).await;
    passive.expect_close(1011).await;
    server.spent_budget().await;

    let mut close = connect(server.url("/close")).await;
    assert_eq!(close.close(1000, "").await.0, 1000);
    server.spent_budget().await;
    beside.echoes(10).await;
}

#[tokio::test]
async fn hooks_of_a_connection_never_overlap() {
    let code = "fn on_open(ws) {\n    sleep(0.05);\n    ws.send(\"open\");\n}\n\
                fn transfer_data(ws, message) {\n    \
                ws.send(\"begin \" + message);\n    sleep(0.005);\n    ws.send(\"end \" + \
                message);\n}\n\
                fn passive_closing_handshake(ws, code, reason) {\n    \
                ws.send(\"closing\");\n    sleep(0.005);\n    code\n}\n\
                fn on_close(ws, code, reason, was_clean) {\n    print(`closed ${was_clean}`);\n}\n";
    let server = Server::start(&[("slow_wsh.rhai", code)]).await;

    // Everything in one segment: the opening, ten messages, the Close.
    let mut request = Request::upgrade("/slow");
    for number in 0..10 {
        request = request.followed_by(Wire::text(number.to_string()).bytes());
    }
    let request = request.followed_by(Wire::close(3000, "").bytes());
    let mut raw = Raw::connect(&server).await;
    raw.send(request.bytes()).await;
    raw.head().await.expect_upgrade();

    raw.expect_text("open").await;
    for number in 0..10 {
        raw.expect_text(&format!("begin {number}")).await;
        raw.expect_text(&format!("end {number}")).await;
    }
    raw.expect_text("closing").await;
    raw.expect_close(3000).await;
    raw.expect_eof().await;
    server.log("closed true").await;
}

#[tokio::test]
async fn messages_wait_in_order_while_a_hook_sleeps() {
    const MESSAGES: usize = 2_000;
    let code = "fn transfer_data(ws, message) {\n    \
                if message == \"0\" { print(\"asleep\"); sleep(0.3); }\n    \
                ws.send(message);\n}\n";
    let server = Server::start(&[("nap_wsh.rhai", code)]).await;
    let mut client = connect(server.url("/nap")).await;
    client.send_text("0").await;
    server.log("asleep").await;
    for number in 1..MESSAGES {
        client.send_text(number.to_string()).await;
    }
    for number in 0..MESSAGES {
        assert_eq!(client.next_text().await, number.to_string());
    }
}

#[tokio::test]
async fn more_than_the_read_ahead_waits_in_the_socket() {
    // Far more than a connection reads ahead, and more than the sockets hold: the sender is held up
    // until the hook is done, and nothing is lost.
    const MESSAGES: usize = 64;
    let code = "fn transfer_data(ws, message) {\n    \
                if this.n == () { this.n = 0; print(\"asleep\"); sleep(0.3); }\n    \
                this.n += 1;\n    ws.send(`${this.n} ${message.len}`);\n}\n";
    let server = Server::start(&[("nap_wsh.rhai", code)]).await;
    let mut raw = Raw::open(&server, "/nap").await;
    let message = Wire::text(vec![b'x'; 1 << 20]).bytes();
    for _ in 0..MESSAGES {
        raw.send(&message).await;
    }
    for number in 1..=MESSAGES {
        raw.expect_text(&format!("{number} {}", 1 << 20)).await;
    }
}

/// The other direction: a script that sends without end waits for a peer that does not read.
#[tokio::test]
async fn l04_a_sender_waits_for_its_reader() {
    let code = "fn transfer_data(ws, message) {\n    \
                let data = \"x\";\n    while data.len < 65536 { data += data; }\n    \
                print(\"sends\");\n    loop { ws.send(data); }\n}\n";
    let server = Server::builder()
        .workers(1)
        .files(&[("flood_wsh.rhai", code), ("echo_wsh.rhai", ECHO)])
        .start()
        .await;
    let mut raw = Raw::open(&server, "/flood").await;
    raw.send(Wire::text("go").bytes()).await;
    server.log("sends").await;
    connect(server.url("/echo")).await.echoes(200).await;
    let peak = peak_memory_kib(server.pid());
    assert!(
        peak < 512 * 1024,
        "{peak} KiB for a peer that does not read"
    );
    // Far more than any buffer on the way holds, whole and in order.
    for _ in 0..1_000 {
        assert_eq!(data_frame(&mut raw).await.payload.len(), 65536);
    }
}

#[tokio::test]
async fn pings_and_close_are_answered_while_a_hook_sleeps() {
    let code =
        format!("fn transfer_data(ws, message) {{\n    print(\"asleep\");\n    {FOR_EVER}\n}}\n");
    let server = Server::start(&[("nap_wsh.rhai", &code)]).await;
    let mut raw = Raw::open(&server, "/nap").await;
    raw.send(Wire::text("go").bytes()).await;
    server.log("asleep").await;
    for payload in ["one", "two"] {
        raw.send(Wire::ping(payload).bytes()).await;
        raw.expect_frame(10, payload).await;
    }
    raw.send(Wire::close(1000, "enough").bytes()).await;
    raw.expect_close(1000).await;
    raw.expect_eof().await;
}

#[tokio::test]
async fn pings_are_answered_while_a_hook_computes() {
    let server = Server::builder()
        .workers(1)
        .file("spin_wsh.rhai", LOOP)
        .start()
        .await;
    let mut raw = Raw::open(&server, "/spin").await;
    raw.send(Wire::text("go").bytes()).await;
    server.log("spinning").await;
    raw.send(Wire::ping("there?").bytes()).await;
    raw.expect_frame(10, "there?").await;
    raw.expect_close(1011).await;
}

#[tokio::test]
async fn peer_gone_while_a_hook_sleeps() {
    let code = "fn transfer_data(ws, message) {\n    \
                print(\"asleep\");\n    sleep(0.2);\n    ws.send(\"to nobody\");\n}\n\
                fn on_close(ws, code, reason, was_clean) {\n    \
                print(`gone: ${code} ${was_clean}`);\n    ws.send(\"to nobody\");\n}\n";
    let mut server = Server::start(&[("nap_wsh.rhai", code)]).await;
    for ending in [Ending::Reset, Ending::Fin, Ending::HalfClose] {
        let mut raw = Raw::open(&server, "/nap").await;
        raw.send(Wire::text("go").bytes()).await;
        server.log("asleep").await;
        match ending {
            Ending::Reset => raw.reset(),
            Ending::Fin => drop(raw),
            Ending::HalfClose => {
                raw.finish().await;
                raw.until_eof().await;
            }
        }
        server.log("gone: 1006 false").await;
    }
    assert!(server.stop().await.success());
    assert_eq!(server.count("gone:"), 3, "on_close runs once a connection");
}

enum Ending {
    Reset,
    Fin,
    HalfClose,
}

#[tokio::test]
async fn state_is_kept_from_the_handshake_to_the_end_and_not_shared() {
    let code = "fn do_extra_handshake(request) {\n    \
                this.name = request.header(\"X-Name\");\n    this.trace = \"handshake\";\n}\n\
                fn on_open(ws) {\n    this.trace += \" open\";\n}\n\
                fn transfer_data(ws, message) {\n    \
                this.trace += \" \" + message;\n    ws.send(this.name + \": \" + this.trace);\n}\n\
                fn passive_closing_handshake(ws, code, reason) {\n    this.trace += \" \
                passive\";\n    code\n}\n\
                fn on_close(ws, code, reason, was_clean) {\n    print(`${this.name}: ${this.trace} \
                end`);\n}\n";
    let server = Server::builder()
        .workers(1)
        .file("trace_wsh.rhai", code)
        .start()
        .await;
    let mut connections = Vec::new();
    for name in ["ann", "bob"] {
        let mut raw = Raw::connect(&server).await;
        raw.handshake("/trace", &[("X-Name", name)])
            .await
            .expect_upgrade();
        connections.push((name, raw));
    }
    for (name, raw) in &mut connections {
        raw.send(Wire::text(*name).bytes()).await;
        raw.expect_text(&format!("{name}: handshake open {name}"))
            .await;
    }
    for (name, mut raw) in connections {
        raw.send(Wire::close(1000, "").bytes()).await;
        raw.expect_close(1000).await;
        server
            .log(&format!("{name}: handshake open {name} passive end"))
            .await;
    }
}

#[tokio::test]
async fn a_missing_property_of_the_state_is_nothing() {
    let code = "fn transfer_data(ws, message) {\n    \
                ws.send(if this.never == () { \"nothing\" } else { \"something\" });\n}\n";
    let server = Server::start(&[("state_wsh.rhai", code)]).await;
    connect(server.url("/state"))
        .await
        .until_answer("nothing")
        .await;
}

#[tokio::test]
async fn on_open_speaks_first() {
    let code = format!("fn on_open(ws) {{\n    ws.send(\"welcome to \" + ws.path);\n}}\n{ECHO}");
    let server = Server::start(&[("hello_wsh.rhai", &code)]).await;
    let mut client = connect(server.url("/hello")).await;
    assert_eq!(client.next_text().await, "welcome to /hello");
    client.echoes(1).await;
}

#[tokio::test]
async fn a_handshake_that_refuses() {
    let hook = |body: &str| format!("fn do_extra_handshake(request) {{\n    {body}\n}}\n{ECHO}");
    let server = Server::start(&[
        ("status_wsh.rhai", &hook("request.reject(429);")),
        (
            "body_wsh.rhai",
            &hook("request.reject(418, \"I'm a teapot\", \"short and stout\");"),
        ),
        ("thrown_wsh.rhai", &hook("throw \"not you\";")),
        ("thrown_map_wsh.rhai", &hook("throw #{ code: 1 };")),
        ("fault_wsh.rhai", &hook("let x = request.path[99];")),
        (
            "unoffered_wsh.rhai",
            &hook("request.protocol = \"never offered\";"),
        ),
        (
            "newline_wsh.rhai",
            &hook("request.add_header(\"X-A\", \"a\\r\\nX-Evil: b\");"),
        ),
        ("echo_wsh.rhai", ECHO),
    ])
    .await;
    let statuses = [
        ("/status", 429),
        ("/body", 418),
        ("/thrown", 403),
        ("/thrown_map", 403),
        ("/fault", 500),
        ("/unoffered", 500),
        ("/newline", 500),
    ];
    for (path, status) in statuses {
        let mut raw = Raw::connect(&server).await;
        let head = raw.handshake(path, &[]).await;
        assert_eq!(head.status, status, "{path}: {head:?}");
        assert!(head.has("Connection", "close"), "{path}: {head:?}");
        assert_eq!(head.header("X-Evil"), None, "{head:?}");
        let rest = String::from_utf8(raw.until_eof().await).expect("a text");
        match path {
            "/body" => assert_eq!(rest, "short and stout"),
            _ => assert!(
                !rest.contains("_wsh.rhai"),
                "{path} tells of the inside: {rest}"
            ),
        }
    }
    server.fault("do_extra_handshake").await;
    connect(server.url("/echo")).await.echoes(1).await;
}

#[tokio::test]
async fn a_handshake_that_adds() {
    let code = format!(
        "fn do_extra_handshake(request) {{\n    \
         request.add_header(\"X-Name\", \"a name\");\n    \
         request.add_header(\"Set-Cookie\", \"a=1\");\n    \
         request.protocol = request.requested_protocols[1];\n}}\n\
         fn on_open(ws) {{\n    ws.send(ws.protocol);\n}}\n{ECHO}"
    );
    let server = Server::start(&[("add_wsh.rhai", &code)]).await;
    let mut raw = Raw::connect(&server).await;
    let head = raw
        .handshake("/add", &[("Sec-WebSocket-Protocol", "soap, chat, mqtt")])
        .await;
    head.expect_upgrade();
    assert_eq!(head.header("X-Name"), Some("a name"));
    assert_eq!(head.header("Set-Cookie"), Some("a=1"));
    assert_eq!(head.header("Sec-WebSocket-Protocol"), Some("chat"));
    raw.expect_text("chat").await;
    // Who offers nothing meets an index out of bounds: a fault of the script, not of the peer.
    assert_eq!(server.status("/add").await, 500);
}

#[tokio::test]
async fn a_fault_says_where_and_why() {
    let code = "// The fault is in line 5.\n\
                fn on_open(ws) { ws.send(ws.id); }\n\
                fn transfer_data(ws, message) {\n    \
                let parts = message.split(\",\");\n    \
                ws.send(parts[7]);\n}\n";
    let server = Server::start(&[("sub/fault_wsh.rhai", code)]).await;
    let mut client = connect(server.url("/sub/fault")).await;
    // The last part is the number that the log has.
    let id = client.next_text().await;
    let id = id.rsplit('-').next().expect("a number").to_owned();
    client.send_text("a,b").await;
    let (code, reason) = client.next_close().await;
    assert_eq!(code, 1011);
    assert!(
        !reason.contains(".rhai"),
        "the peer is told of the inside: {reason}"
    );

    server
        .until_logged(&[
            "script fault",
            " --> sub/fault_wsh.rhai:5:",
            "ws.send(parts[7]);",
            "hook=",
            "transfer_data",
            "connection=",
            "message = ",
            "a,b",
        ])
        .await;
    server.log("^").await;
    assert!(
        server.logged().contains(&id),
        "connection {id}:\n{}",
        server.logged()
    );
}

#[tokio::test]
async fn a_fault_in_a_function_called_by_a_hook() {
    let code = "fn transfer_data(ws, message) {\n    ws.send(helper(message));\n}\n\
                fn helper(message) {\n    message.to_int() / 0\n}\n";
    let server = Server::start(&[("fault_wsh.rhai", code)]).await;
    let mut client = connect(server.url("/fault")).await;
    client.send_text("8").await;
    assert_eq!(client.next_close().await.0, 1011);
    server
        .until_logged(&[
            "script fault",
            "fault_wsh.rhai:5:",
            "message.to_int() / 0",
            "^",
        ])
        .await;
}

#[tokio::test]
async fn a_fault_ends_one_connection() {
    let code = "fn transfer_data(ws, message) {\n    \
                if message == \"bad\" { throw \"bad\"; }\n    ws.send(message);\n}\n\
                fn on_close(ws, code, reason, was_clean) {\n    print(`ended with ${code}`);\n}\n";
    let mut server = Server::builder()
        .workers(1)
        .file("echo_wsh.rhai", code)
        .start()
        .await;
    let mut good = connect(server.url("/echo")).await;
    let mut bad = Raw::open(&server, "/echo").await;
    // What was sent before the fault goes out, what comes behind it is not looked at.
    let mut batch = Wire::text("before").bytes();
    batch.extend(Wire::text("bad").bytes());
    batch.extend(Wire::text("behind").bytes());
    bad.send(batch).await;
    bad.expect_text("before").await;
    bad.expect_close(1011).await;
    bad.send(Wire::close(1011, "").bytes()).await;
    bad.expect_eof().await;
    server.log("ended with 1011").await;
    good.echoes(5).await;
    good.close(1000, "").await;
    server.log("ended with 1000").await;
    assert!(server.stop().await.success());
    assert_eq!(server.count("ended with"), 2);
}

#[tokio::test]
async fn g01_what_a_script_prints_forges_no_log_line() {
    let code = "fn transfer_data(ws, message) {\n    print(message);\n    throw message;\n}\n";
    let server = Server::start(&[("forge_wsh.rhai", code)]).await;
    let mut client = connect(server.url("/forge")).await;
    client.send_text("first\nforged line\r\u{1b}[31mred").await;
    assert_eq!(client.next_close().await.0, 1011);
    server.log("script fault").await;
    server.until_logged(&["forge_wsh.rhai:"]).await;
    let logged = server.logged();
    assert!(
        !logged.lines().any(|line| line.starts_with("forged")),
        "{logged}"
    );
    assert!(!logged.contains(['\r', '\u{1b}']), "{logged}");
}

#[tokio::test]
async fn r16_throw_in_every_hook() {
    let server = Server::start(&[
        (
            "open_wsh.rhai",
            &format!("fn on_open(ws) {{ throw 1; }}\n{ECHO}"),
        ),
        (
            "data_wsh.rhai",
            "fn transfer_data(ws, message) { throw #{ a: 1 }; }\n",
        ),
        (
            "passive_wsh.rhai",
            &format!("fn passive_closing_handshake(ws, code, reason) {{ throw 1; }}\n{ECHO}"),
        ),
        (
            "close_wsh.rhai",
            &format!("fn on_close(ws, code, reason, was_clean) {{ throw 1; }}\n{ECHO}"),
        ),
        ("echo_wsh.rhai", ECHO),
    ])
    .await;
    let mut beside = connect(server.url("/echo")).await;
    Raw::open(&server, "/open").await.expect_close(1011).await;
    server.fault("on_open").await;

    let mut data = connect(server.url("/data")).await;
    data.send_text("go").await;
    assert_eq!(data.next_close().await.0, 1011);
    server.fault("transfer_data").await;

    let mut passive = Raw::open(&server, "/passive").await;
    passive.send(Wire::close(1000, "").bytes()).await;
    passive.expect_close(1011).await;
    server.fault("passive_closing_handshake").await;

    let mut close = connect(server.url("/close")).await;
    assert_eq!(close.close(1000, "").await.0, 1000);
    server.fault("on_close").await;
    beside.echoes(5).await;
}

#[tokio::test]
async fn errors_of_the_host_can_be_caught() {
    let attempts = [
        "ws.send(())",
        "ws.send(|| 1)",
        "ws.send(42)",
        "ws.send([1, 2])",
        "ws.close(1005)",
        "ws.close(1006)",
        "ws.close(999)",
        "ws.close(5000)",
        "ws.close(70000)",
        "ws.close(-1)",
        "ws.close(1000, reason)",
        "sleep(\"long\")",
        "no_such_function(ws)",
        "ws.no_such_method()",
        "ws.no_such_property",
    ];
    let mut code = String::from("fn transfer_data(ws, message) {\n    let reason = \"x\";\n");
    code += "    while reason.len < 124 { reason += \"x\"; }\n    switch message {\n";
    for (number, attempt) in attempts.iter().enumerate() {
        code += &format!("        \"{number}\" => try {{ {attempt}; ws.send(\"passed\"); }} ");
        code += "catch (error) { ws.send(`caught ${error}`); }\n";
    }
    code += "    }\n}\n";
    let server = Server::start(&[("try_wsh.rhai", &code)]).await;
    let mut client = connect(server.url("/try")).await;
    for (number, attempt) in attempts.iter().enumerate() {
        client.send_text(number.to_string()).await;
        let answer = client.next_text().await;
        assert!(answer.starts_with("caught "), "{attempt}: {answer}");
    }
}

#[tokio::test]
async fn uncaught_errors_of_the_host_say_what_is_wrong() {
    let code = "fn transfer_data(ws, message) {\n    ws.close(1005);\n}\n";
    let server = Server::start(&[("close_wsh.rhai", code)]).await;
    let mut client = connect(server.url("/close")).await;
    client.send_text("go").await;
    assert_eq!(client.next_close().await.0, 1011);
    server.log(["error: ", "1005"]).await;
    server.log("--> close_wsh.rhai:2:").await;
}

#[tokio::test]
async fn global_constants() {
    let code = "const GREETING = \"hello\";\n\
                const LIMITS = #{ most: 40 + 2 };\n\
                fn transfer_data(ws, message) {\n    helper(ws);\n}\n\
                fn helper(ws) {\n    ws.send(`${global::GREETING} ${global::LIMITS.most}`);\n}\n";
    let server = Server::start(&[("const_wsh.rhai", code)]).await;
    connect(server.url("/const"))
        .await
        .until_answer("hello 42")
        .await;
}

/// The same limits in a debug build as in a release build, where Rhai's own defaults differ (R27).
#[tokio::test]
async fn r27_honest_recursion_is_deep_enough() {
    let code = "fn transfer_data(ws, message) {\n    ws.send(`${down(25)}`);\n}\n\
                fn down(n) {\n    if n == 0 { 0 } else { 1 + down(n - 1) }\n}\n";
    let server = Server::start(&[("deep_wsh.rhai", code)]).await;
    connect(server.url("/deep")).await.until_answer("25").await;
}

#[tokio::test]
async fn sleeps_without_an_end_hold_up_nobody() {
    let times = ["86000", "1e300", "1.0 / 0.0", "9223372036854775807", "1e18"];
    let mut builder = Server::builder().workers(1).file("echo_wsh.rhai", ECHO);
    for (number, time) in times.iter().enumerate() {
        let code =
            format!("fn transfer_data(ws, message) {{ print(\"begins\"); sleep({time}); }}\n");
        builder = builder.file(&format!("nap{number}_wsh.rhai"), code);
    }
    let mut server = builder.start().await;
    let mut beside = connect(server.url("/echo")).await;
    let mut sleepers = Vec::new();
    for number in 0..times.len() {
        let mut client = connect(server.url(&format!("/nap{number}"))).await;
        client.send_text("go").await;
        server.log("begins").await;
        sleepers.push(client);
        beside.echoes(5).await;
    }
    assert!(
        server.stop().await.success(),
        "sleepers do not hold up the end"
    );
}

/// The state goes where scripts run, on a stack that is deep enough for it.
#[tokio::test]
async fn deeply_nested_state_is_dropped() {
    let code = "fn transfer_data(ws, message) {\n    \
                let f = if this.f == () { || 1 } else { this.f };\n    \
                for i in 0..20000 { let g = f; f = || g.call(); }\n    \
                this.f = f;\n    ws.send(\"kept\");\n}\n";
    let mut server = Server::builder()
        .workers(1)
        .files(&[("deep_wsh.rhai", code), ("echo_wsh.rhai", ECHO)])
        .start()
        .await;
    let mut beside = connect(server.url("/echo")).await;
    // Once by a Close, once by a lost connection, once more by the end of the server.
    let mut closed = connect(server.url("/deep")).await;
    closed.send_text("go").await;
    if closed.next().await.is_text() {
        closed.close(1000, "").await;
    }
    beside.echoes(2).await;
    let mut lost = connect(server.url("/deep")).await;
    lost.send_text("go").await;
    lost.next().await;
    drop(lost);
    beside.echoes(2).await;
    let mut last = connect(server.url("/deep")).await;
    last.send_text("go").await;
    last.next().await;
    assert!(server.stop().await.success(), "{}", server.logged());
}

/// R28: the drain has a bound, whatever the last hook does.
#[tokio::test]
async fn r28_on_close_that_never_yields_at_shutdown() {
    let code = format!(
        "fn on_close(ws, code, reason, was_clean) {{ \n    print(\"last words\");\n    loop \
        {{}}\n}}\n{ECHO}"
    );
    let mut server = Server::builder()
        .workers(1)
        .files(&[("spin_wsh.rhai", &code), ("echo_wsh.rhai", ECHO)])
        .start()
        .await;
    let mut clients = Vec::new();
    for path in ["/spin", "/spin", "/spin", "/echo"] {
        let mut client = Raw::open(&server, path).await;
        client.echoes(1).await;
        clients.push(client);
    }
    server.signal("TERM");
    for client in &mut clients {
        client.answer_close(1001).await;
    }
    assert_eq!(server.exited().await.code(), Some(0));
    assert_eq!(server.count("last words"), 3);
}

#[tokio::test]
async fn on_close_that_sleeps_is_cut_off_at_the_end_of_the_drain() {
    let code = format!(
        "fn on_close(ws, code, reason, was_clean) {{ print(\"last words\"); {FOR_EVER} }}\n{ECHO}"
    );
    let mut server = Server::start(&[("nap_wsh.rhai", &code)]).await;
    let mut client = Raw::open(&server, "/nap").await;
    client.echoes(1).await;
    server.signal("TERM");
    client.answer_close(1001).await;
    server.log("last words").await;
    assert_eq!(server.exited().await.code(), Some(0));
}

const LOOP: &str = "fn transfer_data(ws, message) {\n    print(\"spinning\");\n    loop {}\n}\n";

/// Lets a handler loop until its budget is spent.
async fn spin(url: &str) {
    let mut client: Client = connect(url).await;
    client.send_text("go").await;
    assert_eq!(client.next_close().await.0, 1011);
}

/// The next frame that is not the server's ping, which is answered.
async fn data_frame(raw: &mut Raw) -> Frame {
    loop {
        let frame = raw.frame().await;
        if frame.opcode != 9 {
            return frame;
        }
        raw.send(Wire::pong(&frame.payload).bytes()).await;
    }
}

/// The processor time a process has used so far.
fn processor_seconds(pid: u32) -> f64 {
    const TICKS_A_SECOND: f64 = 100.0;
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("Linux");
    // Behind the name, which may contain anything, user and system time are the 12th and 13th
    // field.
    let (_, fields) = stat.rsplit_once(')').expect("a name in brackets");
    let times = fields.split_whitespace().skip(11).take(2);
    times
        .map(|ticks| ticks.parse::<f64>().expect("a number"))
        .sum::<f64>()
        / TICKS_A_SECOND
}

/// The most memory a process has had at one time.
fn peak_memory_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    number
        .and_then(|number| number.parse().ok())
        .expect("a peak in KiB")
}

/// R06: `curry` would double what a function holds with every call; closures capture without it.
#[tokio::test]
async fn r06_curry_is_off_and_closures_capture() {
    let captures = "fn transfer_data(ws, message) {\n    let n = 2;\n    let twice = [1, \
        2].map(|x| x * n);\n    \
                    let add = |x| x + n;\n    ws.send(`${twice} ${add.call(3)}`);\n}\n";
    let curries = "fn transfer_data(ws, message) { let f = || 1; loop { f = f.curry(f); } }\n";
    let mut server = Server::builder()
        .files(&[
            ("captures_wsh.rhai", captures),
            ("curries_wsh.rhai", curries),
        ])
        .start()
        .await;
    server.broken("curries_wsh.rhai").await;
    let mut client = connect(server.url("/captures")).await;
    client.send_text("go").await;
    assert_eq!(client.next_text().await, "[2, 4] 5");
    assert!(server.stop().await.success());
}
