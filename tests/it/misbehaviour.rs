//! Testing clients: the template that misbehaves, byte by byte, and the example for CI.

use std::path::Path;
use std::process::{Command, Output};

use crate::support::{Raw, Request, Server, Wire};

const GUIDE: &str = include_str!("../../docs/testing-clients.md");
const TEMPLATE: &str = include_str!("../../src/commands/templates/misbehave.rhai");

async fn server() -> Server {
    let builder = Server::builder().file("bad_wsh.rhai", TEMPLATE);
    builder.arg("--allow-raw").start().await
}

/// The names in the guide's table.
fn names() -> Vec<&'static str> {
    let rows = GUIDE.lines().filter_map(|line| line.strip_prefix("| `"));
    let names = rows.filter_map(|row| row.split_once('`'));
    let names: Vec<_> = names.map(|(name, _)| name).collect();
    names.into_iter().filter(|name| *name != "how").collect()
}

#[test]
fn the_guide_and_the_template_name_the_same_thirty() {
    let arms = TEMPLATE.lines().filter_map(|line| {
        let (name, _) = line.strip_prefix("        \"")?.split_once("\" =>")?;
        Some(name)
    });
    let arms: Vec<_> = arms.collect();
    let (mut told, mut done) = (names(), arms);
    assert_eq!(told.len(), 30);
    told.sort_unstable();
    done.sort_unstable();
    assert_eq!(told, done);
}

#[tokio::test]
async fn handshakes_go_wrong() {
    let server = server().await;
    let path = |how: &str| format!("/bad?how={how}");
    for (how, status) in [
        ("refuse", 503),
        ("refuse-twice", 503),
        ("refuse-twice", 503),
        ("refuse-twice", 101),
        ("refuse-twice", 101),
        ("refuse-twice&client=7", 503),
        ("redirect", 302),
        ("slow&seconds=0.1", 101),
        ("ok", 200),
        ("protocol", 101),
        ("extension", 101),
        ("nothing", 101),
    ] {
        let mut raw = Raw::connect(&server).await;
        raw.send(Request::upgrade(&path(how)).bytes()).await;
        let head = raw.head().await;
        assert_eq!(head.status, status, "{how}");
        let header = |name| head.header(name).unwrap_or_default();
        match how {
            "refuse" => assert_eq!(header("Retry-After"), "1"),
            "redirect" => assert_eq!(header("Location"), "/elsewhere"),
            "protocol" => assert_eq!(header("Sec-WebSocket-Protocol"), "superchat"),
            "extension" => assert_eq!(header("Sec-WebSocket-Extensions"), "x-unheard-of"),
            _ => {}
        }
    }
    let answer = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Accept: ";
    for (how, bytes) in [
        ("half-answer", "HTTP/1.1 101 Switching Prot".to_owned()),
        (
            "wrong-key",
            format!("{answer}dGhlIHdyb25nIGtleSEhISEhISE=\r\n\r\n"),
        ),
    ] {
        let mut raw = Raw::connect(&server).await;
        raw.send(Request::upgrade(&path(how)).bytes()).await;
        assert_eq!(raw.exactly(bytes.len()).await, bytes.as_bytes(), "{how}");
        if how == "half-answer" {
            raw.expect_eof().await;
        }
    }
    let mut raw = Raw::connect(&server).await;
    raw.send(Request::upgrade(&path("early")).bytes()).await;
    assert_eq!(raw.head().await.status, 101);
    raw.expect_text("early").await;
    raw.send(Wire::text("and on").bytes()).await;
    raw.expect_text("and on").await;

    // Nothing comes until the client leaves: the server goes on with others meanwhile.
    let mut raw = Raw::connect(&server).await;
    raw.send(Request::upgrade(&path("no-answer")).bytes()).await;
    let mut other = Raw::open(&server, "/bad").await;
    other.send(Wire::text("hello").bytes()).await;
    other.expect_text("hello").await;
    raw.finish().await;
    assert!(raw.at_end_or_reset().await, "not a byte");
}

/// Each at once when the address says so, and again when a message does.
#[tokio::test]
async fn frames_break_the_protocol() {
    let server = server().await;
    for (how, bytes) in [
        ("rsv", &b"\xc1\x08reserved"[..]),
        ("opcode", b"\x83\x0dwhat is this?"),
        ("utf-8", b"\x81\x01\xff"),
        ("orphan", b"\x80\x08of what?"),
        ("nested", b"\x01\x04one \x81\x03two"),
        ("split-ping", b"\x09\x02pi"),
        ("endless", b"\x81\x7f\x40\0\0\0\0\0\0\0and so on"),
        ("short", b"\x81\x64short"),
        ("cut", b"\x81\x64short"),
        ("garbage", b"HTTP/1.1 500 Internal Server Error\r\n\r\n"),
        (
            "fragments",
            b"\x01\x01n\x00\x01\xc3\x89\x04ping\x80\x01\xa9",
        ),
        ("trickle", b"\x81\x06slowly"),
        ("close-code", b"\x88\x02\x03\xed"),
        ("late", b"\x88\x02\x03\xe8\x81\x0eone more thing"),
        ("try-later", b"\x88\x11\x03\xf5try again later"),
    ] {
        let mut raw = Raw::open(&server, &format!("/bad?how={how}")).await;
        assert_eq!(raw.exactly(bytes.len()).await, bytes, "{how}");
        if how == "cut" {
            raw.expect_eof().await;
        }
        let mut raw = Raw::open(&server, "/bad").await;
        raw.send(Wire::text(how).bytes()).await;
        assert_eq!(raw.exactly(bytes.len()).await, bytes, "{how} by a message");
    }
    let mut raw = Raw::open(&server, "/bad?how=masked").await;
    assert_eq!(raw.exactly(2).await, b"\x81\x86");
    let mut raw = Raw::open(&server, "/bad?how=reset").await;
    assert!(raw.at_end_or_reset().await);
    let mut raw = Raw::open(&server, "/bad?how=flood").await;
    for number in 1..=10_000 {
        raw.expect_text(&format!("message {number}")).await;
    }
}

#[tokio::test]
async fn the_deaf_hear_messages_alone() {
    let server = server().await;
    let mut raw = Raw::open(&server, "/bad?how=deaf").await;
    raw.send(Wire::ping("anybody?").bytes()).await;
    raw.send(Wire::close(1000, "").bytes()).await;
    raw.send(Wire::text("hello").bytes()).await;
    raw.expect_text("hello").await;
}

/// Runs the example with this command in the place of the client.
fn example(command: &[&str]) -> Output {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/client-tests");
    let program = Path::new(env!("CARGO_BIN_EXE_wsh-server"));
    let path = std::env::var("PATH").unwrap_or_default();
    let path = format!("{}:{path}", program.parent().expect("a folder").display());
    Command::new(folder.join("run.sh"))
        .args(command)
        .env("PATH", path)
        .env("NO_COLOR", "1")
        .current_dir(&folder)
        .output()
        .expect("a shell")
}

#[test]
fn the_example_for_ci_passes_and_fails() {
    let done = example(&["./client.sh"]);
    let said = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success(), "{done:?}");
    assert!(said.ends_with("the client passes\n"), "{said}");
    let failed = example(&["false"]);
    assert!(!failed.status.success());
    let said = String::from_utf8_lossy(&failed.stdout);
    assert!(said.starts_with("the client failed"), "{said}");
}

/// An expectation that is not met fails the run of a client that is content.
#[test]
fn a_client_that_says_nothing_fails() {
    let done = example(&["true"]);
    assert!(!done.status.success());
    let said = String::from_utf8_lossy(&done.stdout);
    assert_eq!(said, "the client has not said hello\n");
    let text = include_str!("../../examples/client-tests/workflow.yml");
    assert!(text.contains("run: ./run.sh ./client.sh"));
}
