//! `docs/from-pywebsocket.md`: its handlers do what their Python originals do, and what it calls
//! missing is missing.

use super::support::{FAILED, Raw, Server, Wire, connect};

const PAGE: &str = include_str!("../../docs/from-pywebsocket.md");

/// The page's Rhai blocks as files: each begins with a comment that names it.
fn handlers() -> Vec<(&'static str, &'static str)> {
    let blocks = PAGE.split("```rhai\n").skip(1);
    let handlers = blocks.map(|block| {
        let (text, _) = block.split_once("```").expect("the end of the block");
        let first = text.lines().next().unwrap_or_default();
        let name = first.strip_prefix("// ").expect("a comment with the name");
        (name, text)
    });
    handlers.collect()
}

/// A server of them that has nothing to remark.
async fn serve() -> Server {
    let builder = Server::builder().files(&handlers());
    // One of them decides about origins itself.
    let server = builder.args(["--allow-origin", "*"]).start().await;
    server.printed(["/sum ", "sum_wsh.rhai"]).await;
    server.printed(["/survey ", "survey_wsh.rhai"]).await;
    let remarks = server.count("WARN") + server.count("ERROR");
    assert_eq!(remarks, 0, "{}", server.logged());
    server
}

#[tokio::test]
async fn sum_adds_for_each_connection_and_reverses_what_is_binary() {
    let server = serve().await;
    let mut one = connect(server.url("/sum")).await;
    let mut two = connect(server.url("/sum")).await;
    for (client, message, total) in [
        (&mut one, "[1, 2]", r#"{"total":3}"#),
        (&mut two, "[40]", r#"{"total":40}"#),
    ] {
        client.send_text(message).await;
        assert_eq!(client.next_text().await, total);
    }
    one.send_text("[]").await;
    assert_eq!(one.next_text().await, r#"{"total":3}"#);
    one.send_binary([1, 2, 3]).await;
    assert_eq!(one.next_binary().await, [3, 2, 1]);

    one.send_text("no JSON").await;
    assert_eq!(one.next_close().await, (1011, FAILED.to_owned()));
    server.fault("transfer_data").await;
    two.send_text("[2]").await;
    assert_eq!(two.next_text().await, r#"{"total":42}"#);
}

/// What a page of the right origin asks for.
const PAGE_HEADERS: [(&str, &str); 2] = [
    ("Origin", "http://localhost"),
    ("Sec-WebSocket-Protocol", "chat, survey"),
];

#[tokio::test]
async fn survey_asks_in_turn_and_closes() {
    let server = serve().await;
    let mut raw = Raw::connect(&server).await;
    let head = raw.handshake("/survey?pause=0.05", &PAGE_HEADERS).await;
    head.expect_upgrade();
    assert_eq!(head.header("Sec-WebSocket-Protocol"), Some("survey"));
    assert_eq!(head.header("X-Questions"), Some("2"));
    raw.expect_text("What is your name?").await;
    raw.send(Wire::text("Ada").bytes()).await;
    raw.expect_text("Which colour do you like?").await;
    raw.send(Wire::text("blue").bytes()).await;
    raw.expect_text("Ada likes blue.").await;
    raw.answer_close(1000).await;
    raw.expect_eof().await;
}

#[tokio::test]
async fn survey_turns_foreign_pages_away() {
    let server = serve().await;
    for headers in [&[][..], &[("Origin", "http://example.com")]] {
        let mut raw = Raw::connect(&server).await;
        let head = raw.handshake("/survey", headers).await;
        assert_eq!(head.status, 403, "{head:?}");
    }
}

#[tokio::test]
async fn survey_answers_a_close_in_its_own_words() {
    let server = serve().await;
    let mut raw = Raw::connect(&server).await;
    raw.handshake("/survey", &PAGE_HEADERS)
        .await
        .expect_upgrade();
    raw.expect_text("What is your name?").await;
    raw.send(Wire::close(4000, "no time").bytes()).await;
    assert_eq!(raw.expect_close(4000).await, "come back soon");
    raw.expect_eof().await;

    let mut raw = Raw::connect(&server).await;
    raw.handshake("/survey", &PAGE_HEADERS)
        .await
        .expect_upgrade();
    raw.expect_text("What is your name?").await;
    raw.send(Wire::empty_close().bytes()).await;
    raw.expect_empty_close().await;
    raw.expect_eof().await;
}

/// The flags table: a flag that is there is one of `--help`, and one that is "not yet" is not.
#[tokio::test]
async fn the_flags_are_what_the_table_says() {
    let help = Server::builder().bare().arg("--help").run().await.stdout;
    let (_, table) = PAGE.split_once("\n## Flags\n").expect("the flags");
    let rows = table.lines().filter(|line| line.starts_with("| "));
    let mut checked = 0;
    for row in rows {
        let cells: Vec<_> = row.split('|').map(str::trim).collect();
        let (theirs, ours) = (cells[1], cells[2]);
        let (named, is_there) = match ours {
            "the same" => (theirs, true),
            "not yet" | "–" => (theirs, false),
            ours => (ours, true),
        };
        for flag in flags(named) {
            let found = help.split([' ', ',', '\n']).any(|word| word == flag);
            assert_eq!(found, is_there, "{flag}: {row}");
            checked += 1;
        }
    }
    assert!(checked > 30, "{checked} flags checked");
}

/// The long flags that a cell names.
fn flags(cell: &str) -> impl Iterator<Item = &str> {
    cell.split(['`', ' ', ','])
        .filter(|word| word.starts_with("--"))
}

/// The names that the reference lists are those that are refused, each with the reason.
#[tokio::test]
async fn b09_headers_that_the_server_writes_itself_are_named() {
    const REFERENCE: &str = include_str!("../../docs/scripting.md");
    let (_, listed) = REFERENCE
        .split_once("The server writes these itself: ")
        .expect("the list");
    let (listed, _) = listed.split_once('.').expect("its end");
    let names: Vec<&str> = listed.split('`').skip(1).step_by(2).collect();
    assert_eq!(names.len(), 9, "{names:?}");
    let handler = "fn do_extra_handshake(request) {
        try {
            request.add_header(request.query_params.name[0], \"x\");
        } catch (error) {
            this.problem = `${error.kind}: ${error.message}`;
        }
    }
    fn on_open(ws) { ws.send(this.problem ?? \"added\"); }
    fn transfer_data(ws, message) { }";
    let server = Server::start(&[("add_wsh.rhai", handler)]).await;
    let mut cases = vec![
        ("X-Mine", "added".to_owned()),
        ("a%20b", "header: \"a b\" is no name of a header".to_owned()),
    ];
    for name in names {
        let message = format!("header: the server writes {name} itself: a handler may not add it");
        cases.push((name, message));
    }
    for (name, answer) in cases {
        let mut raw = Raw::open(&server, &format!("/add?name={name}")).await;
        raw.expect_text(&answer).await;
    }
}

/// What the hook's row says about its results.
#[tokio::test]
async fn b09_what_goes_back_to_a_client_that_closes() {
    let hook = |body: &str| {
        format!(
            "fn passive_closing_handshake(ws, code, reason) {{ {body} }}\n\
             fn transfer_data(ws, message) {{ }}"
        )
    };
    let handlers = [
        (
            "none_wsh.rhai",
            "fn transfer_data(ws, message) { }".to_owned(),
        ),
        ("prints_wsh.rhai", hook("print(code);")),
        ("says_wsh.rhai", hook("print(code); code")),
        ("empty_wsh.rhai", hook("[1005, reason]")),
    ];
    let handlers = handlers
        .each_ref()
        .map(|(name, text)| (*name, text.as_str()));
    let server = Server::start(&handlers).await;
    for (path, answer) in [
        ("/none", &b"\x88\x02\x0b\xb9"[..]),
        ("/prints", b"\x88\x00"),
        ("/says", b"\x88\x02\x0b\xb9"),
        ("/empty", b"\x88\x00"),
    ] {
        let mut raw = Raw::open(&server, path).await;
        raw.send(Wire::close(3001, "mine").bytes()).await;
        assert_eq!(raw.exactly(answer.len()).await, answer, "{path}");
        raw.expect_eof().await;
    }
}

/// The page's line for a server that lets everybody in; the address that goes before it keeps the
/// test on loopback.
#[tokio::test]
async fn b09_a_test_server_for_everybody() {
    let line = PAGE
        .lines()
        .find(|line| line.contains("--public --allow-raw"));
    let words: Vec<&str> = line.expect("the line").trim().split(' ').collect();
    assert_eq!(words[..3], ["wsh-server", "-w", "handlers"]);
    let server = Server::builder().file("echo_wsh.rhai", super::support::ECHO);
    let server = server.args(&words[3..]).args(["-H", "127.0.0.1"]);
    let server = server.start().await;
    for (host, origin) in [
        ("pywebsocket.example:8800", "http://www1.example:8800"),
        ("192.0.2.1", "null"),
        ("localhost", "file://"),
        ("localhost", "https://localhost"),
    ] {
        let mut raw = Raw::connect(&server).await;
        let request = super::support::Request::upgrade("/echo");
        raw.send(request.set("Host", host).with("Origin", origin).bytes())
            .await;
        raw.head().await.expect_upgrade();
    }
}
