//! `connect` in pipes and in a terminal.

use std::process::{Output, Stdio};

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};

use crate::support::{ECHO, Server, Typed, connect, within};

const CLOSES: &str = "fn transfer_data(ws, message) {\n    if message == \"lose\" { ws.abort(); \
    return; }\n    ws.close(parse_int(message), \"because\");\n}\n";
const REFUSES: &str = "fn do_extra_handshake(request) {\n    request.reject(403, \"Forbidden\", \"no \
    parrots\");\n}\nfn transfer_data(ws, message) {}\n";
const TELLS: &str = "fn do_extra_handshake(request) {\n    this.said = request.header(\"x-test\") + \
    \" \" + request.header(\"origin\");\n    request.protocol = \"b\";\n}\nfn \
    on_open(ws) {\n    ws.send(this.said);\n}\nfn transfer_data(ws, message) {}\n";

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wsh-server"));
    command
        .arg("connect")
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

/// Runs it with this input to its end.
async fn piped(args: &[&str], input: &[u8]) -> Output {
    let mut child = command(args).spawn().expect("start wsh-server");
    let mut stdin = child.stdin.take().expect("piped");
    let input = input.to_vec();
    let feeding = tokio::spawn(async move {
        // It may leave early.
        let _ = stdin.write_all(&input).await;
    });
    let output = within("the end of connect", child.wait_with_output()).await;
    feeding.await.expect("fed");
    output.expect("an output")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[tokio::test]
async fn every_line_of_a_pipe_is_answered() {
    let slow = "fn transfer_data(ws, message) {\n    sleep(0.2);\n    ws.send(message);\n}\n";
    let server = Server::start(&[("slow_wsh.rhai", slow), ("echo_wsh.rhai", ECHO)]).await;
    // Answers come after the end of the input, one by one.
    let done = piped(
        &[&server.url("/slow"), "-q"],
        b"one\ntwo\r\n{\"a\": 1}\n\nlast",
    )
    .await;
    assert_eq!(done.status.code(), Some(0), "{done:?}");
    assert_eq!(text(&done.stdout), "one\ntwo\n{\"a\": 1}\n\nlast\n");
    assert_eq!(text(&done.stderr), "");
    // Lines that begin with a slash are messages like others, and bytes are bytes.
    let done = piped(
        &[&server.url("/echo"), "--wait", "200ms"],
        b"/close\n\xff\n",
    )
    .await;
    assert_eq!(text(&done.stdout), "/close\nff\n", "{done:?}");
    assert!(text(&done.stderr).contains("connected in "), "{done:?}");
    // Many at once, in both directions, compressed.
    let many: String = (0..20_000)
        .map(|number| format!("line {number}\n"))
        .collect();
    let done = piped(
        &[&server.url("/echo"), "-q", "-c", "-n", "20000", "--stay"],
        many.as_bytes(),
    )
    .await;
    assert!(text(&done.stdout) == many, "{}", done.stdout.len());
    let done = piped(&[&server.url("/echo"), "--commands", "-q"], b"/hex 00ff\n").await;
    assert_eq!(text(&done.stdout), "00ff\n", "{done:?}");
}

#[tokio::test]
async fn the_exit_code_tells_how_it_ended() {
    let server = Server::start(&[("closes_wsh.rhai", CLOSES), ("refuses_wsh.rhai", REFUSES)]).await;
    let closes = server.url("/closes");
    for (message, code) in [
        ("1000", 0),
        ("1011", 21),
        ("4000", 60),
        ("4500", 40),
        ("3000", 30),
        ("lose", 3),
    ] {
        let done = piped(&[&closes], message.as_bytes()).await;
        assert_eq!(done.status.code(), Some(code), "{message}: {done:?}");
        if message != "lose" {
            let said = format!("closed by the server: {message} because");
            assert!(text(&done.stderr).contains(&said), "{done:?}");
        }
    }
    let done = piped(&[&server.url("/refuses")], b"").await;
    assert_eq!(done.status.code(), Some(1), "{done:?}");
    let said = text(&done.stderr);
    assert!(
        said.contains("403") && said.contains("no parrots"),
        "{said}"
    );
    let done = piped(&["ws://127.0.0.1:1/"], b"").await;
    assert_eq!(done.status.code(), Some(2), "{done:?}");
    for args in [
        &["ftp://x"][..],
        &["/x", "-H", "no header"],
        &["/x", "--wait", "soon"],
    ] {
        let done = piped(args, b"").await;
        assert_eq!(done.status.code(), Some(2), "{args:?}: {done:?}");
    }
}

#[tokio::test]
async fn what_is_asked_for_arrives() {
    let server = Server::start(&[("tells_wsh.rhai", TELLS)]).await;
    let done = piped(
        &[
            &server.url("/tells"),
            "-H",
            "X-Test: parrot",
            "--origin",
            "http://localhost:1",
            "-s",
            "a,b",
        ],
        b"",
    )
    .await;
    assert_eq!(
        text(&done.stdout),
        "parrot http://localhost:1\n",
        "{done:?}"
    );
    assert!(text(&done.stderr).contains("subprotocol b"), "{done:?}");
}

#[tokio::test]
async fn certificates_are_looked_at() {
    let data = tempfile::tempdir().expect("a folder");
    let server = Server::builder()
        .file("echo_wsh.rhai", ECHO)
        .args(["--tls", "--tls-dev"])
        .env("XDG_DATA_HOME", data.path())
        .start()
        .await;
    let url = server.url("/echo").replace("ws://", "wss://");
    let run = |args: Vec<String>, data: std::path::PathBuf| async move {
        let args: Vec<_> = args.iter().map(String::as_str).collect();
        let mut command = command(&args);
        command.env("XDG_DATA_HOME", data);
        let mut child = command.spawn().expect("start wsh-server");
        let mut stdin = child.stdin.take().expect("piped");
        stdin.write_all(b"hello\n").await.expect("fed");
        drop(stdin);
        let output = within("the end of connect", child.wait_with_output()).await;
        output.expect("an output")
    };
    let args = |more: &[&str]| -> Vec<String> {
        let all = [url.as_str(), "-q"].into_iter().chain(more.iter().copied());
        all.map(str::to_owned).collect()
    };
    let nowhere = data.path().join("nothing");
    let done = run(args(&[]), nowhere.clone()).await;
    assert_eq!(done.status.code(), Some(2), "{done:?}");
    assert!(text(&done.stderr).contains("--insecure"), "{done:?}");
    let authority = data.path().join("wsh-server/authority.pem");
    let authority = authority.to_str().expect("UTF-8");
    for (more, data) in [
        (vec!["--insecure"], nowhere.clone()),
        (vec!["--ca", authority], nowhere),
        (vec![], data.path().to_owned()),
    ] {
        let done = run(args(&more), data).await;
        assert_eq!(text(&done.stdout), "hello\n", "{more:?}: {done:?}");
    }
}

#[tokio::test]
async fn a_lost_server_is_found_again() {
    let closes = "fn on_open(ws) {\n    store.incr(\"n\");\n    ws.send(`${store.get(\"n\")}`);\n    \
        if store.get(\"n\") < 3 { ws.abort(); }\n}\nfn transfer_data(ws, message) {\n    \
        ws.send(message);\n}\n";
    let server = Server::start(&[("closes_wsh.rhai", closes)]).await;
    let mut child: Child = command(&[
        &server.url("/closes"),
        "--reconnect",
        "--stay",
        "--send",
        "first",
    ])
    .spawn()
    .expect("start wsh-server");
    let stdin = child.stdin.take();
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let mut seen = Vec::new();
    while seen.last().is_none_or(|line| line != "first") {
        let line = within("a message", lines.next_line()).await.expect("read");
        seen.push(line.expect("more"));
    }
    assert_eq!(
        seen.iter().filter(|line| *line == "3").count(),
        1,
        "{seen:?}"
    );
    drop(stdin);
}

#[tokio::test]
async fn a_conversation_is_recorded() {
    let server = Server::start(&[("echo_wsh.rhai", ECHO)]).await;
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("x.har");
    let path = file.to_str().expect("UTF-8");
    let done = piped(
        &[
            &server.url("/echo?a=b"),
            "-q",
            "--record",
            path,
            "-H",
            "Cookie: secret",
        ],
        b"hello\n\xff\n",
    )
    .await;
    assert_eq!(done.status.code(), Some(0), "{done:?}");
    let text = std::fs::read_to_string(&file).expect("the recording");
    assert!(!text.contains("secret"), "{text}");
    let har: Value = serde_json::from_str(&text).expect("JSON");
    let entry = &har["log"]["entries"][0];
    assert_eq!(entry["_resourceType"], "websocket");
    assert_eq!(entry["response"]["status"], 101);
    assert_eq!(entry["request"]["queryString"][0]["value"], "b");
    assert_eq!(entry["_wsh"]["close"]["code"], 1000);
    assert_eq!(entry["_wsh"]["close"]["by"], "client");
    let said: Vec<_> = entry["_webSocketMessages"]
        .as_array()
        .expect("messages")
        .iter()
        .collect();
    let of = |kind: &str| -> Vec<(u64, &str)> {
        let of = said.iter().filter(|message| message["type"] == kind);
        of.map(|message| {
            let data = message["data"].as_str().expect("data");
            (message["opcode"].as_u64().expect("an opcode"), data)
        })
        .collect()
    };
    assert_eq!(of("send"), [(1, "hello"), (2, "/w==")]);
    assert_eq!(of("receive"), of("send"));
    let mode = std::os::unix::fs::MetadataExt::mode(&file.metadata().expect("there"));
    assert_eq!(mode & 0o777, 0o600);
}

/// What arrives stands above the line that is being typed, which goes on as it was.
#[tokio::test]
async fn a_terminal_keeps_the_line_that_is_typed() {
    let chat = "fn on_open(ws) {\n    ws.subscribe(\"all\");\n}\nfn transfer_data(ws, message) {\n    \
        if type_of(message) == \"string\" { publish(\"all\", message); } else { ws.send(message); \
        }\n}\n";
    let mut server = Server::start(&[("chat_wsh.rhai", chat)]).await;
    let dir = tempfile::tempdir().expect("a folder");
    let state = dir.path().to_str().expect("UTF-8");
    let env = [("XDG_STATE_HOME", state)];
    let url = server.url("/chat");
    let mut typed = Typed::start(&["connect", &url], &env);
    typed.shows("connected in ").await;
    typed.shows("> ").await;
    typed.types("hel");
    typed.shows("hel").await;
    let mut other = connect(&url).await;
    let long = format!("{{\"a\":\"{}\"}}", "x".repeat(70));
    other.send_text(long.as_str()).await;
    typed.shows("\"a\": \"xxx").await;
    typed.shows("> hel").await;
    typed.types("lo\r");
    typed.shows("< \u{1b}[0mhello").await;
    other.send_text("a\u{1b}[2Jb").await;
    typed.shows("a\\u{1b}[2Jb").await;
    typed.types("/ping\r");
    typed.shows("pong after ").await;
    typed.types("/hex 00ff\r");
    typed.shows("binary, 2 bytes").await;
    typed.types("/nonsense\r");
    typed.shows("there is no /nonsense").await;
    let saved = dir.path().join("saved");
    typed.types(&format!("/save {}\r", saved.display()));
    typed.shows("2 bytes").await;
    assert_eq!(std::fs::read(&saved).expect("written"), [0, 0xff]);
    typed.types("/close 4000 enough\r");
    typed.shows("closed: 4000").await;
    assert_eq!(typed.exited().await.code(), Some(0));
    assert!(typed.is_as_before());

    // The next one remembers, and is left with the server.
    let mut typed = Typed::start(&["connect", &url], &env);
    typed.shows("connected in ").await;
    typed.types("\u{1b}[A\u{1b}[A\u{1b}[A\u{1b}[A\u{1b}[A\u{1b}[A\r");
    typed.shows("< \u{1b}[0mhello").await;
    typed.types("half a li");
    typed.shows("half a li").await;
    assert!(server.stop().await.success());
    typed.shows("closed by the server: 1001").await;
    assert_eq!(typed.exited().await.code(), Some(0));
    assert!(typed.is_as_before());

    let mut typed = Typed::start(&["connect", &url], &env);
    typed.shows("cannot be reached").await;
    assert_eq!(typed.exited().await.code(), Some(2));
    assert!(typed.is_as_before());
}

/// A conversation that is lost goes on where it was: what was said meanwhile comes, once.
#[tokio::test]
async fn a_lost_conversation_is_resumed() {
    let code = "fn on_load() { topic(\"scores\", #{ history: 100, envelope: true }); }
fn on_open(ws) {
    let joined = ws.subscribe(\"scores\", #{ since: ws.query_params.since?[0] });
    ws.send(`recovered ${joined.recovered}`);
}
fn transfer_data(ws, message) {
    publish(\"scores\", message);
    if message == \"lose\" { ws.abort(); }
}";
    let server = Server::start(&[("scores_wsh.rhai", code)]).await;
    let url = server.url("/scores");
    let mut child = command(&[&url, "--reconnect", "--stay", "-q"])
        .spawn()
        .expect("start wsh-server");
    let mut stdin = child.stdin.take().expect("piped");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let mut line = async |what| {
        let line = within(what, lines.next_line()).await;
        line.expect("a line").expect("not the end")
    };
    assert_eq!(line("the welcome").await, "recovered false");
    stdin.write_all(b"1\n").await.expect("written");
    assert!(line("the first").await.contains("\"data\":\"1\""));
    // Whether it has heard of this one is open: it comes in any case, and once.
    let mut other = connect(server.url("/scores?since=")).await;
    other.next_text().await;
    other.send_text("lose").await;
    stdin.write_all(b"lose\n").await.expect("written");
    let mut heard = Vec::new();
    while !heard
        .iter()
        .any(|line: &String| line.starts_with("recovered"))
        || heard.len() < 3
    {
        heard.push(line("what was missed").await);
    }
    let count = |what: &str| heard.iter().filter(|line| line.contains(what)).count();
    assert_eq!(count("recovered true"), 1, "{heard:?}");
    assert_eq!(count("\"data\":\"lose\""), 2, "{heard:?}");
    child.start_kill().expect("it is ended");
}
