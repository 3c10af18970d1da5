//! The closing handshake: table 1.3 of the robustness study, row by row, and the hooks that see the
//! end. After every ending the script's `on_close` has run exactly once.

use crate::support::{ECHO, FAILED, Raw, Server, Wire, connect, every_case, within};

/// An echo that tells the log what it saw, and closes when told to: `close`, `close 4000`, `close
/// 4000 why`.
const WITNESS: &str = r#"
fn on_open(ws) { print("opened"); }
fn transfer_data(ws, message) {
    print(`message ${message}`);
    if message == "close" { ws.close(); }
    else if message == "close 4000" { ws.close(4000); }
    else if message == "close 4000 why" { ws.close(4000, "why"); }
    else { ws.send(message); }
}
fn on_close(ws, code, reason, was_clean) { print(`closed code=${code} reason=[${reason}] clean=${was_clean}`); }
"#;

async fn witness() -> (Server, Raw) {
    let server = Server::start(&[("witness_wsh.rhai", WITNESS)]).await;
    let raw = Raw::open(&server, "/witness").await;
    (server, raw)
}

/// `on_close` runs with this, and with nothing else until the server has ended.
///
/// The client goes first, lest the server waits for it to the end of its patience.
async fn closed_once(mut server: Server, client: impl Into<Option<Raw>>, code: u16, clean: bool) {
    drop(client.into());
    server
        .log([
            format!("closed code={code} ").as_str(),
            &format!("clean={clean}"),
        ])
        .await;
    assert!(server.stop().await.success());
    assert_eq!(
        server.count("closed code="),
        server.count("opened"),
        "{}",
        server.logged()
    );
}

#[tokio::test]
async fn c01_empty_close() {
    let (server, mut raw) = witness().await;
    raw.send(Wire::empty_close().bytes()).await;
    raw.expect_empty_close().await;
    raw.expect_eof().await;
    closed_once(server, raw, 1005, true).await;
}

#[tokio::test]
async fn c01_close_with_code_and_reason() {
    let (server, mut raw) = witness().await;
    raw.send(Wire::close(1000, "\u{518d}\u{89c1}").bytes())
        .await;
    raw.expect_close(1000).await;
    raw.expect_eof().await;
    server.log("reason=[\u{518d}\u{89c1}]").await;
    assert_eq!(
        server.count("closed code=1000 reason=[\u{518d}\u{89c1}] clean=true"),
        1,
        "{}",
        server.logged()
    );
}

/// A Close with this body is answered with a Close of this code, and ends unclean.
async fn refuses_body(name: &str, body: &[u8], code: u16) {
    let (server, mut raw) = witness().await;
    raw.send(Wire::new(8, body).bytes()).await;
    raw.expect_close(code).await;
    raw.expect_eof().await;
    server
        .log([format!("closed code={code} ").as_str(), "clean=false"])
        .await;
    assert_eq!(
        server.count("closed code="),
        1,
        "{name}: {}",
        server.logged()
    );
}

#[tokio::test]
async fn c02_body_of_one_byte() {
    refuses_body("one byte", &[3], 1002).await;
}

#[tokio::test]
async fn c03_codes_that_must_not_travel() {
    let codes = [
        0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 32768, 65535,
    ];
    for code in codes {
        refuses_body(&code.to_string(), &u16::to_be_bytes(code), 1002).await;
    }
}

#[tokio::test]
async fn c03_codes_that_may_travel() {
    let server = Server::start(&[("witness_wsh.rhai", WITNESS)]).await;
    let port = server.port();
    let codes = (1000..=1003)
        .chain(1007..=1014)
        .chain([3000, 3999, 4000, 4999]);
    let case = |code: u16| {
        let case = async move {
            let mut raw = Raw::open_at(port, "/witness").await;
            raw.send(Wire::close(code, "").bytes()).await;
            raw.expect_close(code).await;
            raw.expect_eof().await;
        };
        (code.to_string(), case)
    };
    every_case(codes.clone().map(case)).await;
    for code in codes {
        server
            .log([format!("closed code={code} ").as_str(), "clean=true"])
            .await;
    }
}

#[tokio::test]
async fn c04_reason_that_is_not_utf8() {
    for reason in [b"\xff".as_slice(), b"\xe6\x95", b"caf\xe9", b"\xed\xa0\x80"] {
        let body = [&1000u16.to_be_bytes(), reason].concat();
        refuses_body(&reason.escape_ascii().to_string(), &body, 1007).await;
    }
}

#[tokio::test]
async fn c05_reason_too_long() {
    refuses_body(
        "124 bytes",
        &[&1000u16.to_be_bytes(), [b'x'; 124].as_slice()].concat(),
        1002,
    )
    .await;

    let (server, mut raw) = witness().await;
    raw.send(Wire::close(1000, "x".repeat(123)).bytes()).await;
    raw.expect_close(1000).await;
    raw.expect_eof().await;
    closed_once(server, raw, 1000, true).await;
}

#[tokio::test]
async fn c06_frames_behind_a_close() {
    let behind = [
        ("text", Wire::text("late")),
        ("ping", Wire::ping("late")),
        ("Close", Wire::close(1001, "")),
        ("nonsense", Wire::new(7, "").rsv(7)),
        ("half a frame", Wire::text("").announcing(100)),
    ];
    for (name, frame) in behind {
        let (server, mut raw) = witness().await;
        raw.send([Wire::close(1000, "").bytes(), frame.bytes()].concat())
            .await;
        raw.expect_close(1000).await;
        raw.expect_eof().await;
        assert_eq!(server.count("message"), 0, "{name}");
        closed_once(server, raw, 1000, true).await;
    }
}

/// The same when the Close came first from here: only the peer's Close still counts.
#[tokio::test]
async fn c06_frames_behind_the_servers_close() {
    let (server, mut raw) = witness().await;
    raw.send(Wire::text("close 4000").bytes()).await;
    raw.expect_close(4000).await;
    let late = [
        Wire::text("late"),
        Wire::ping("late"),
        Wire::binary([7; 70_000]),
        Wire::close(1000, ""),
    ];
    raw.send(late.iter().flat_map(Wire::bytes).collect::<Vec<_>>())
        .await;
    raw.expect_eof().await;
    assert_eq!(server.count("message late"), 0);
    closed_once(server, raw, 1000, true).await;
}

#[tokio::test]
async fn c07_close_inside_a_message() {
    let (server, mut raw) = witness().await;
    raw.send(
        [
            Wire::text("unfinished").more().bytes(),
            Wire::close(1000, "").bytes(),
        ]
        .concat(),
    )
    .await;
    raw.expect_close(1000).await;
    raw.expect_eof().await;
    assert_eq!(server.count("message"), 0);
    closed_once(server, raw, 1000, true).await;
}

#[tokio::test]
async fn c08_peer_that_never_answers_a_close() {
    let (server, mut raw) = witness().await;
    raw.send(Wire::text("close 4000 why").bytes()).await;
    assert_eq!(raw.expect_close(4000).await, "why");
    raw.expect_eof().await;
    // And not only its sending side: the socket is gone, and what still comes is reset.
    let mut other = Raw::open(&server, "/witness").await;
    within("the socket to be closed", async {
        while raw.try_send("x").await.is_ok() {
            other.send(Wire::text("tick").bytes()).await;
            other.expect_text("tick").await;
        }
    })
    .await;
    drop(other);
    closed_once(server, raw, 4000, false).await;
}

#[tokio::test]
async fn c09_connection_lost() {
    let frame = Wire::text("hello").bytes();
    for (name, start) in [
        ("idle", &frame[..0]),
        ("in a header", &frame[..1]),
        ("in a payload", &frame[..8]),
    ] {
        let (server, mut raw) = witness().await;
        raw.send(start).await;
        drop(raw);
        closed_once(server, None, 1006, false).await;

        let (server, mut raw) = witness().await;
        raw.send(start).await;
        raw.reset();
        closed_once(server, None, 1006, false).await;

        let (server, mut raw) = witness().await;
        raw.send(start).await;
        raw.finish().await;
        let rest = raw.until_eof().await;
        assert!(rest.is_empty(), "{name}: {rest:?} to a peer that is gone");
        closed_once(server, raw, 1006, false).await;
    }
}

/// Inside a fragmented message, and with a message whose answer nobody reads.
#[tokio::test]
async fn c09_connection_lost_with_work_under_way() {
    let (server, mut raw) = witness().await;
    raw.send(
        [
            Wire::text("unfinished").more().bytes(),
            Wire::ping("").bytes(),
        ]
        .concat(),
    )
    .await;
    raw.expect_frame(10, "").await;
    raw.reset();
    closed_once(server, None, 1006, false).await;

    let source = "fn on_open(ws) { print(\"opened\"); }
        fn transfer_data(ws, message) { print(\"begun\"); sleep(60.0); print(\"never\"); }
        fn on_close(ws, code, reason, was_clean) { print(`closed code=${code} \
        clean=${was_clean}`); }";
    let server = Server::start(&[("sleepy_wsh.rhai", source)]).await;
    let mut raw = Raw::open(&server, "/sleepy").await;
    raw.send(Wire::text("").bytes()).await;
    server.log("begun").await;
    raw.reset();
    closed_once(server, None, 1006, false).await;
}

#[tokio::test]
async fn c10_both_close_at_once() {
    let (server, mut raw) = witness().await;
    raw.send(
        [
            Wire::text("close 4000").bytes(),
            Wire::close(1000, "").bytes(),
        ]
        .concat(),
    )
    .await;
    raw.expect_close(4000).await;
    raw.expect_eof().await;
    closed_once(server, raw, 1000, true).await;
}

/// What a script may not close with is an error it can catch; uncaught, it is a fault like any
/// other.
#[tokio::test]
async fn c11_script_closes_with_what_must_not_travel() {
    let long = format!("ws.close(1000, \"{}\")", "x".repeat(124));
    let cut = format!("ws.close(1000, \"{}\u{6570}\")", "x".repeat(122));
    let calls = [
        "ws.close(1005)",
        "ws.close(1006)",
        "ws.close(1015)",
        "ws.close(1004)",
        "ws.close(999)",
        "ws.close(0)",
        "ws.close(-1)",
        "ws.close(2999)",
        "ws.close(5000)",
        "ws.close(66536)",
        "ws.close(1006, \"lost\")",
        &long,
        &cut,
    ];
    let source = |call: &str| {
        format!(
            "fn transfer_data(ws, message) {{
                if message == \"caught\" {{ try {{ {call}; }} catch (e) {{ ws.send(\"refused\"); \
                }} }}
                else {{ {call}; }}
            }}
            fn on_open(ws) {{ print(\"opened\"); }}
            fn on_close(ws, code, reason, was_clean) {{ print(`closed code=${{code}} \
            clean=${{was_clean}}`); }}"
        )
    };
    let names: Vec<_> = (0..calls.len())
        .map(|i| format!("call{i}_wsh.rhai"))
        .collect();
    let sources: Vec<_> = calls.iter().map(|call| source(call)).collect();
    let files: Vec<_> = names
        .iter()
        .zip(&sources)
        .map(|(name, source)| (name.as_str(), source.as_str()))
        .collect();
    let server = Server::start(&files).await;
    let port = server.port();
    let case = |(i, call): (usize, &&str)| {
        let case = async move {
            let mut raw = Raw::open_at(port, &format!("/call{i}")).await;
            raw.send(Wire::text("caught").bytes()).await;
            raw.expect_text("refused").await;
            raw.send(Wire::text("uncaught").bytes()).await;
            raw.expect_close(1011).await;
            raw.send(Wire::close(1011, "").bytes()).await;
            raw.expect_eof().await;
        };
        (call.chars().take(40).collect::<String>(), case)
    };
    every_case(calls.iter().enumerate().map(case)).await;
    for _ in calls {
        server.log("closed code=1011").await;
    }
}

#[tokio::test]
async fn c11_longest_reason_a_script_may_give() {
    let reason = format!("{}\u{6570}", "x".repeat(120));
    let source = format!("fn transfer_data(ws, message) {{ ws.close(4999, \"{reason}\"); }}");
    let server = Server::start(&[("long_wsh.rhai", &source)]).await;
    let mut raw = Raw::open(&server, "/long").await;
    raw.send(Wire::text("").bytes()).await;
    assert_eq!(raw.expect_close(4999).await, reason);
}

/// After its own Close a script may say what it likes: nothing of it goes out.
#[tokio::test]
async fn c12_sends_after_a_close() {
    let source = r#"
        fn on_open(ws) { print("opened"); }
        fn transfer_data(ws, message) {
            ws.close(4000, "first");
            try { ws.send("late"); } catch (e) { print("send refused"); }
            try { ws.close(4001); } catch (e) { print("close refused"); }
            print(`state ${ws.ready_state}`);
        }
        fn on_close(ws, code, reason, was_clean) {
            try { ws.send("too late"); ws.close(4002); } catch (e) {}
            print(`closed code=${code} clean=${was_clean} state=${ws.ready_state}`);
        }"#;
    let server = Server::start(&[("late_wsh.rhai", source)]).await;
    let mut raw = Raw::open(&server, "/late").await;
    raw.send([Wire::text("").bytes(), Wire::text("").bytes()].concat())
        .await;
    assert_eq!(raw.expect_close(4000).await, "first");
    raw.send(Wire::close(4000, "").bytes()).await;
    raw.expect_eof().await;
    server.log("state closing").await;
    closed_once(server, raw, 4000, true).await;
}

#[tokio::test]
async fn c12_sends_after_the_peers_close() {
    let source = r#"
        fn on_open(ws) { print("opened"); }
        fn transfer_data(ws, message) {}
        fn passive_closing_handshake(ws, code, reason) { ws.send("a last word"); code }
        fn on_close(ws, code, reason, was_clean) {
            try { ws.send("late"); } catch (e) {}
            print(`closed code=${code} clean=${was_clean}`);
        }"#;
    let server = Server::start(&[("late_wsh.rhai", source)]).await;
    let mut raw = Raw::open(&server, "/late").await;
    raw.send(Wire::close(4000, "").bytes()).await;
    raw.expect_text("a last word").await;
    raw.expect_close(4000).await;
    raw.expect_eof().await;
    closed_once(server, raw, 4000, true).await;
}

#[tokio::test]
async fn c12_sends_of_another_connection_after_a_close() {
    let source = r#"
        fn on_open(ws) { ws.send(ws.id); }
        fn transfer_data(ws, message) {
            if message == "close" { return ws.close(4000); }
            ws.send(`${connection(message).send("late")}`);
        }"#;
    let server = Server::start(&[("late_wsh.rhai", source)]).await;
    let mut raw = Raw::open(&server, "/late").await;
    let id = String::from_utf8(raw.frame().await.payload).expect("a name");
    raw.send(Wire::text("close").bytes()).await;
    raw.expect_close(4000).await;
    let mut other = Raw::open(&server, "/late").await;
    other.frame().await;
    other.send(Wire::text(id.clone()).bytes()).await;
    other.expect_text("false").await;
    raw.send(Wire::close(4000, "").bytes()).await;
    raw.expect_eof().await;
    other.send(Wire::text(id).bytes()).await;
    other.expect_text("false").await;
}

/// Every byte of a Close is one that the script or the peer gave, whatever the length.
#[tokio::test]
async fn c13_every_byte_of_a_close() {
    let source = r#"
        fn transfer_data(ws, message) {}
        fn passive_closing_handshake(ws, code, reason) { [code, reason] }"#;
    let server = Server::start(&[("mirror_wsh.rhai", source)]).await;
    let port = server.port();
    let case = |length: usize| {
        let case = async move {
            let mut raw = Raw::open_at(port, "/mirror").await;
            let reason: String = ('a'..='z').cycle().take(length).collect();
            raw.send(Wire::close(3000, &reason).bytes()).await;
            let body = [&3000u16.to_be_bytes(), reason.as_bytes()].concat();
            raw.expect_frame(8, body).await;
            raw.expect_eof().await;
        };
        (format!("{length} bytes"), case)
    };
    every_case((0..=123).map(case)).await;
}

#[tokio::test]
async fn passive_closing_handshake_decides_the_answer() {
    let source = r#"
        fn on_open(ws) { print("opened"); }
        fn transfer_data(ws, message) {}
        fn passive_closing_handshake(ws, code, reason) {
            print(`asked code=${code} reason=[${reason}]`);
            switch reason {
                "code" => 4001,
                "both" => [4002, "so be it"],
                "empty" => (),
                "illegal" => 1006,
                "nonsense" => "bye",
                "fault" => throw "no",
                _ => if code == 1005 { () } else { code },
            }
        }
        fn on_close(ws, code, reason, was_clean) { print(`closed code=${code} reason=[${reason}] clean=${was_clean}`); }"#;
    let server = Server::start(&[("passive_wsh.rhai", source)]).await;
    let failed = [&1011u16.to_be_bytes(), FAILED.as_bytes()].concat();
    let answers: [(&str, &[u8]); 7] = [
        ("code", &4001u16.to_be_bytes()),
        (
            "both",
            &[4002u16.to_be_bytes().as_slice(), b"so be it"].concat(),
        ),
        ("empty", &[]),
        ("illegal", &failed),
        ("nonsense", &failed),
        ("fault", &failed),
        ("other", &3000u16.to_be_bytes()),
    ];
    for (reason, body) in answers {
        let mut raw = Raw::open(&server, "/passive").await;
        raw.send(Wire::close(3000, reason).bytes()).await;
        raw.expect_frame(8, body).await;
        raw.expect_eof().await;
        server
            .log(format!("asked code=3000 reason=[{reason}]").as_str())
            .await;
        server
            .log(format!("closed code=3000 reason=[{reason}]").as_str())
            .await;
    }
    let mut raw = Raw::open(&server, "/passive").await;
    raw.send(Wire::empty_close().bytes()).await;
    server.log("asked code=1005 reason=[]").await;
    raw.expect_empty_close().await;
    raw.expect_eof().await;
}

#[tokio::test]
async fn script_closes() {
    for (message, code) in [
        ("close", 1000),
        ("close 4000", 4000),
        ("close 4000 why", 4000),
    ] {
        let (server, mut raw) = witness().await;
        raw.send(Wire::text(message).bytes()).await;
        let frame = raw.frame().await;
        let empty = message == "close" && frame.payload.is_empty();
        assert!(
            frame.opcode == 8 && (empty || frame.payload[..2] == u16::to_be_bytes(code)),
            "{frame:?}"
        );
        raw.send(Wire::new(8, &frame.payload).bytes()).await;
        raw.expect_eof().await;
        closed_once(server, raw, if empty { 1005 } else { code }, true).await;
    }
}

#[tokio::test]
async fn script_fault_closes_with_1011() {
    let source = "fn on_open(ws) { print(\"opened\"); }
        fn transfer_data(ws, message) { ws.send(\"before\"); throw \"no\"; }
        fn on_close(ws, code, reason, was_clean) { print(`closed code=${code} \
        clean=${was_clean}`); }";
    let server = Server::start(&[("fault_wsh.rhai", source), ("echo_wsh.rhai", ECHO)]).await;
    let mut echo = connect(server.url("/echo")).await;
    let mut raw = Raw::open(&server, "/fault").await;
    raw.send(Wire::text("").bytes()).await;
    raw.expect_text("before").await;
    raw.expect_close(1011).await;
    raw.send(Wire::close(1011, "").bytes()).await;
    raw.expect_eof().await;
    server.log("script fault").await;
    echo.send_text("not concerned").await;
    assert_eq!(echo.next_text().await, "not concerned");
    closed_once(server, raw, 1011, true).await;
}

#[tokio::test]
async fn violation_is_told_to_on_close() {
    let (server, mut raw) = witness().await;
    raw.send(Wire::text("unmasked").unmasked().bytes()).await;
    raw.expect_close(1002).await;
    raw.expect_eof().await;
    assert_eq!(server.count("message"), 0);
    closed_once(server, raw, 1002, false).await;
}

#[tokio::test]
async fn messages_before_a_close_are_answered() {
    let (server, mut raw) = witness().await;
    let frames = [Wire::text("one"), Wire::text("two"), Wire::close(1000, "")];
    raw.send(frames.iter().flat_map(Wire::bytes).collect::<Vec<_>>())
        .await;
    raw.expect_text("one").await;
    raw.expect_text("two").await;
    raw.expect_close(1000).await;
    raw.expect_eof().await;
    closed_once(server, raw, 1000, true).await;
}
