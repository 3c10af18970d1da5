//! The subcommands that write and print: `new`, `api`, `completions`, `man`, and the help of all of
//! them.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::process::Command;

use clap::CommandFactory;
use wsh_server::cli::Cli;
use wsh_server::commands::TEMPLATES;

use crate::support::{Finished, Raw, Request, Server, Wire, connect};

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/help");

/// Runs a subcommand to its end.
async fn run<A: AsRef<OsStr>>(args: &[A]) -> Finished {
    let builder = Server::builder().bare();
    builder.args(args.iter().map(AsRef::as_ref)).run().await
}

/// `new` with these arguments in this folder.
async fn new_in(dir: &Path, args: &[&str]) -> Finished {
    let dir = dir.to_str().expect("a path in UTF-8");
    run(&[&["new", "-w", dir], args].concat()).await
}

#[tokio::test]
async fn new_writes_a_handler_and_says_what_to_do_with_it() {
    let dir = tempfile::tempdir().expect("a folder");
    let root = dir.path().join("not/there/yet");
    for (args, file, path) in [
        (&["chat"][..], "chat_wsh.rhai", "/chat"),
        (&["a/b/c"], "a/b/c_wsh.rhai", "/a/b/c"),
        (&["whole_wsh.rhai"], "whole_wsh.rhai", "/whole"),
        (&["lobby/index"], "lobby/index_wsh.rhai", "/lobby"),
        (
            &["room/[id]", "-t", "timer"],
            "room/[id]_wsh.rhai",
            "/room/[id]",
        ),
        (
            &["grüne Höfe"],
            "grüne Höfe_wsh.rhai",
            "/gr%C3%BCne%20H%C3%B6fe",
        ),
    ] {
        let done = new_in(&root, args).await;
        assert_eq!(done.status.code(), Some(0), "{done:?}");
        assert!(root.join(file).is_file(), "{file}: {done:?}");
        let url = format!("ws://localhost:9998{path}");
        let serve = format!("wsh-server -w {}", root.display());
        for said in [file, &url, &serve] {
            let found = done.stdout.lines().any(|line| line.ends_with(said));
            assert!(found, "{said} is missing:\n{}", done.stdout);
        }
        assert!(!done.stdout.contains("warning"), "{}", done.stdout);
    }
    // A second file of the same path is written, since it is no other's; that it is not served is
    // said.
    let done = new_in(&root, &["lobby"]).await;
    assert_eq!(done.status.code(), Some(0), "{done:?}");
    assert!(
        done.stdout.contains("warning: lobby_wsh.rhai and "),
        "{done:?}"
    );
}

#[tokio::test]
async fn new_never_overwrites() {
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("mine_wsh.rhai");
    fs::write(&file, "my work").expect("write a file");
    let done = new_in(dir.path(), &["mine"]).await;
    assert_eq!(done.status.code(), Some(2), "{done:?}");
    assert!(done.stderr.contains("mine_wsh.rhai exists"), "{done:?}");
    assert_eq!(fs::read_to_string(&file).expect("still there"), "my work");
}

#[tokio::test]
async fn new_refuses_names_that_would_not_be_served() {
    let dir = tempfile::tempdir().expect("a folder");
    for name in [
        "",
        "..",
        "../out",
        "/etc/chat",
        "a//b",
        "a/",
        ".hidden",
        "a\\b",
        "a\nb",
    ] {
        let done = new_in(dir.path(), &[name]).await;
        assert_eq!(done.status.code(), Some(2), "{name:?}: {done:?}");
        assert_eq!(done.stdout, "", "{name:?}");
        assert!(done.stderr.starts_with("error: "), "{name:?}: {done:?}");
    }
    for args in [&["-t", "nonsense", "chat"][..], &[], &["--list", "chat"]] {
        let done = new_in(dir.path(), args).await;
        assert_eq!(done.status.code(), Some(2), "{args:?}: {done:?}");
    }
    assert_eq!(fs::read_dir(dir.path()).expect("the folder").count(), 0);
}

#[tokio::test]
async fn new_lists_its_templates() {
    let done = run(&["new", "--list"]).await;
    assert_eq!(done.status.code(), Some(0), "{done:?}");
    let listed: Vec<_> = done
        .stdout
        .lines()
        .filter_map(|line| line.split_once("  "))
        .collect();
    let templates = TEMPLATES.iter().map(|template| template.name);
    assert!(
        listed.iter().map(|(name, _)| name.trim()).eq(templates),
        "{listed:?}"
    );
}

/// A server of all templates, each under its own name.
async fn templates() -> (tempfile::TempDir, Server) {
    let dir = tempfile::tempdir().expect("a folder");
    for template in TEMPLATES {
        let done = new_in(dir.path(), &[template.name, "-t", template.name]).await;
        assert_eq!(done.status.code(), Some(0), "{done:?}");
    }
    let folder = dir.path().to_str().expect("a path in UTF-8");
    let check = run(&["check", "-w", folder]).await;
    assert_eq!(check.status.code(), Some(0), "{check:?}");
    let server = Server::builder()
        .bare()
        .args(["-p", "0", "--allow-raw", "-w", folder]);
    (dir, server.start().await)
}

#[tokio::test]
async fn templates_of_messages_do_what_they_say() {
    let (_dir, server) = templates().await;
    let mut client = connect(server.url("/echo")).await;
    client.echoes(2).await;
    client.send_binary([1, 2, 3]).await;
    assert_eq!(client.next_binary().await, [1, 2, 3]);

    let mut client = connect(server.url("/json")).await;
    for (request, answer) in [
        (
            r#"{"type": "add", "numbers": [1, 2, 3]}"#,
            r#"{"sum":6,"type":"sum"}"#,
        ),
        (
            r#"{"type": "echo", "value": [null]}"#,
            r#"{"type":"echo","value":[null]}"#,
        ),
        (
            r#"{"type": "dance"}"#,
            r#"{"message":"there is no request of type dance","type":"error"}"#,
        ),
    ] {
        client.send_text(request).await;
        assert_eq!(client.next_text().await, answer);
    }
    for wrong in ["no JSON", "7", r#"{"type": "add"}"#] {
        client.send_text(wrong).await;
        let answer = client.next_text().await;
        assert!(answer.ends_with(r#","type":"error"}"#), "{wrong}: {answer}");
    }

    let mut ada = connect(server.url("/chat?name=ada")).await;
    assert_eq!(ada.next_text().await, "here: ada");
    ada.send_text("anybody here?").await;
    assert_eq!(ada.next_text().await, "ada: anybody here?");
    let mut bob = connect(server.url("/chat?name=bob")).await;
    assert_eq!(bob.next_text().await, "ada: anybody here?");
    assert_eq!(bob.next_text().await, "here: ada, bob");
    assert_eq!(ada.next_text().await, "bob came");
    bob.send_text("yes").await;
    for client in [&mut ada, &mut bob] {
        assert_eq!(client.next_text().await, "bob: yes");
    }
    bob.close(1000, "").await;
    assert_eq!(ada.next_text().await, "bob left");

    let mut client = connect(server.url("/state")).await;
    assert_eq!(client.next_text().await, "What is your name?");
    for (said, answer) in [("Ada", "Hello, Ada!"), ("hm", "Ada, message 1: hm")] {
        client.send_text(said).await;
        assert_eq!(client.next_text().await, answer);
    }
    client.close(1000, "").await;
    server.log("Ada left with code 1000").await;
}

#[tokio::test]
async fn templates_that_wait_do_what_they_say() {
    let (_dir, server) = templates().await;
    let mut client = connect(server.url("/loop")).await;
    assert_eq!(client.next_text().await, "What is your name?");
    for (said, answer) in [("Ada", "Hello, Ada!"), ("hm", "Ada: hm")] {
        client.send_text(said).await;
        assert_eq!(client.next_text().await, answer);
    }
    client.send_text("bye").await;
    assert_eq!(client.next_close().await.0, 1000);

    let mut client = connect(server.url("/timer")).await;
    assert_eq!(client.next_text().await, "1 s");
    assert_eq!(client.next_text().await, "2 s");
    client.send_text("stop").await;
    // The third second may have passed meanwhile.
    while client.next_text().await != "stopped" {}
    client.send_text("stop").await;
    assert_eq!(client.next_text().await, "nothing to stop");
    client.send_text("go").await;
    assert!(client.next_text().await.ends_with(" s"));

    let mut client = connect(server.url("/mock")).await;
    client.echoes(1).await;
    client.send_text("error").await;
    assert_eq!(
        client.next_text().await,
        r#"{"code":503,"error":"out of order"}"#
    );
    client.send_text("many").await;
    for number in 1..=100 {
        assert_eq!(client.next_text().await, format!("message {number}"));
    }
    client.send_text("silent").await;
    client.send_text("slow").await;
    assert_eq!(client.next_text().await, "here it is");
    client.send_text("close").await;
    assert_eq!(client.next_close().await, (1013, "try again later".into()));
    let mut raw = Raw::open(&server, "/mock").await;
    raw.send(Wire::text("drop").bytes()).await;
    raw.expect_eof().await;
    assert_eq!(server.status("/mock?status=503").await, 503);
    assert_eq!(server.status("/mock?delay=0.1").await, 101);
}

#[tokio::test]
async fn templates_of_the_handshake_do_what_they_say() {
    let (_dir, server) = templates().await;
    for (query, header, status) in [
        ("", None, 401),
        ("?token=open+sesame", None, 101),
        ("?token=open%20sesam", None, 401),
        ("", Some("Bearer open sesame"), 101),
        ("", Some("Bearer "), 401),
        // ada:open sesame, ada:no, and two that are no pair.
        ("", Some("Basic YWRhOm9wZW4gc2VzYW1l"), 101),
        ("", Some("Basic YWRhOm5v"), 401),
        ("", Some("Basic YWRh"), 401),
        ("", Some("Basic %"), 401),
    ] {
        let request = Request::upgrade(&format!("/auth{query}"));
        let request = match header {
            Some(value) => request.with("Authorization", value),
            None => request,
        };
        let mut raw = Raw::connect(&server).await;
        raw.send(request.bytes()).await;
        let head = raw.head().await;
        assert_eq!(head.status, status, "{query} {header:?}");
        assert_eq!(head.header("WWW-Authenticate").is_some(), status == 401);
    }
    for (offer, choice, answer) in [
        ("v1.chat", "v1.chat", "hello"),
        ("v1.chat, v2.chat", "v2.chat", r#"{"text":"hello"}"#),
    ] {
        let mut raw = Raw::connect(&server).await;
        let head = raw
            .handshake("/subprotocol", &[("Sec-WebSocket-Protocol", offer)])
            .await;
        assert_eq!(head.header("Sec-WebSocket-Protocol"), Some(choice));
        raw.send(Wire::text("hello").bytes()).await;
        raw.expect_text(answer).await;
    }
    assert_eq!(server.status("/subprotocol").await, 400);
}

#[tokio::test]
async fn the_template_of_wrong_bytes_does_what_it_says() {
    let (_dir, server) = templates().await;
    for (said, bytes) in [
        ("rsv", &b"\xc1\x08reserved"[..]),
        ("opcode", b"\x83\x0dwhat is this?"),
        ("utf-8", b"\x81\x01\xff"),
        ("length", b"\x81\x64short"),
        ("garbage", b"garbage"),
        ("correct", b"\x81\x07correct"),
    ] {
        let mut raw = Raw::open(&server, "/raw").await;
        raw.send(Wire::text(said).bytes()).await;
        assert_eq!(raw.exactly(bytes.len()).await, bytes, "{said}");
    }
    let mut raw = Raw::open(&server, "/raw").await;
    raw.send(Wire::text("mask").bytes()).await;
    assert_eq!(raw.exactly(2).await, b"\x81\x86");
    let (mask, payload) = (raw.exactly(4).await, raw.exactly(6).await);
    let payload: Vec<_> = payload
        .iter()
        .zip(mask.iter().cycle())
        .map(|(a, b)| a ^ b)
        .collect();
    assert_eq!(payload, b"masked");
}

#[tokio::test]
async fn raw_bytes_need_their_flag() {
    let dir = tempfile::tempdir().expect("a folder");
    let done = new_in(dir.path(), &["wrong", "-t", "raw"]).await;
    assert!(done.stdout.contains(" --allow-raw"), "{done:?}");
    let folder = dir.path().to_str().expect("a path in UTF-8");
    let answers = [
        (&["--allow-raw"][..], None, 0xc1),
        (&[], Some(("WSH_ALLOW_RAW", "yes")), 0xc1),
        // Close: the script failed.
        (&[], None, 0x88),
        (&[], Some(("WSH_ALLOW_RAW", "false")), 0x88),
    ];
    for (args, env, first) in answers {
        let server = Server::builder()
            .bare()
            .args(["-p", "0", "-w", folder])
            .args(args);
        let server = env
            .into_iter()
            .fold(server, |server, (name, value)| server.env(name, value));
        let server = server.start().await;
        let mut raw = Raw::open(&server, "/wrong").await;
        raw.send(Wire::text("rsv").bytes()).await;
        assert_eq!(raw.exactly(1).await, [first], "{args:?} {env:?}");
    }
}

#[tokio::test]
async fn scripts_read_the_variables_that_they_may() {
    let code = "fn transfer_data(ws, message) {\n    try {\n        \
        ws.send(`${env(message)}`);\n    } catch (error) {\n        ws.send(error.kind);\n    \
        }\n}\n";
    for (args, list) in [
        (&["--allow-env", "ONE", "--allow-env", "UNSET"][..], None),
        (&[], Some("ONE,UNSET")),
    ] {
        let server = Server::builder().file("env_wsh.rhai", code).args(args);
        let server = server.env("ONE", "1").env("TWO", "2");
        let server = match list {
            Some(list) => server.env("WSH_ALLOW_ENV", list),
            None => server,
        };
        let server = server.start().await;
        let mut client = connect(server.url("/env")).await;
        for (name, answer) in [("ONE", "1"), ("UNSET", ""), ("TWO", "env")] {
            client.send_text(name).await;
            assert_eq!(
                client.next_text().await,
                answer,
                "{name}, {args:?} {list:?}"
            );
        }
    }
}

#[tokio::test]
async fn api_prints_the_reference() {
    let done = run(&["api"]).await;
    assert_eq!(done.status.code(), Some(0), "{done:?}");
    let document = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/scripting.md");
    let document = fs::read_to_string(document).expect("docs/scripting.md");
    assert!(done.stdout == document.trim_end_matches('\n'));
}

#[tokio::test]
async fn api_prints_one_entry() {
    for (name, heading) in [
        ("ws.send", "### `ws.send`\n"),
        ("send", "### `ws.send`\n"),
        ("transfer_data", "### `transfer_data(ws, message)`\n"),
        ("json", "## Package json\n"),
    ] {
        let done = run(&["api", name]).await;
        assert_eq!(done.status.code(), Some(0), "{done:?}");
        assert!(done.stdout.starts_with(heading), "{name}: {}", done.stdout);
        assert!(done.stdout.lines().count() < 200, "{name}");
    }
    let both = run(&["api", "send", "--definitions", "d"]).await;
    assert_eq!(both.status.code(), Some(2), "{both:?}");
}

#[tokio::test]
async fn api_writes_definition_files() {
    let dir = tempfile::tempdir().expect("a folder");
    let folder = dir.path().join("new/definitions");
    let done = run(&[
        OsStr::new("api"),
        OsStr::new("--definitions"),
        folder.as_os_str(),
    ])
    .await;
    assert_eq!(done.status.code(), Some(0), "{done:?}");
    let read = |name: &str| fs::read_to_string(folder.join(name)).expect(name);
    // Rhai's own, and ours.
    assert!(read("__builtin__.d.rhai").contains("\nfn type_of("));
    assert!(read("__static__.d.rhai").contains("\nfn split("));
    let time = read("time.d.rhai");
    assert!(time.contains("\nmodule static;\n"), "{time}");
    assert!(
        time.contains("\nfn sleep(seconds: float | int) -> ();\n"),
        "{time}"
    );
    assert!(
        time.contains("\n/// This connection's hook waits"),
        "{time}"
    );
}

#[tokio::test]
async fn every_shell_has_completions() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let done = run(&["completions", shell]).await;
        assert_eq!(done.status.code(), Some(0), "{done:?}");
        for word in ["wsh-server", "routes", "definitions", "allow-raw"] {
            assert!(done.stdout.contains(word), "{word} is missing for {shell}");
        }
    }
    assert_eq!(run(&["completions", "cobol"]).await.status.code(), Some(2));
}

#[tokio::test]
async fn every_command_has_a_page() {
    let done = run(&["man"]).await;
    assert_eq!(done.status.code(), Some(0), "{done:?}");
    assert!(done.stdout.contains(".TH wsh-server 1"), "{}", done.stdout);
    assert!(
        done.stdout.contains(".BR wsh\\-server\\-check (1)"),
        "{}",
        done.stdout
    );
    for command in Cli::command().get_subcommands() {
        let done = run(&["man", command.get_name()]).await;
        assert_eq!(done.status.code(), Some(0), "{done:?}");
        let title = format!(".TH wsh-server-{} 1", command.get_name());
        assert!(done.stdout.contains(&title), "{}", done.stdout);
    }
    let done = run(&["man", "zzz"]).await;
    assert_eq!(done.status.code(), Some(2), "{done:?}");
    assert!(done.stderr.contains("check, routes"), "{done:?}");
}

/// The help of the program and of every command are files under review; `UPDATE_GOLDEN=1 cargo
/// test` writes them anew.
#[test]
fn help_is_as_it_was() {
    let program = Cli::command();
    let commands = program.get_subcommands().map(|command| command.get_name());
    for command in std::iter::once("wsh-server").chain(commands) {
        let mut run = Command::new(env!("CARGO_BIN_EXE_wsh-server"));
        run.args((command != "wsh-server").then_some(command))
            .arg("--help");
        // What variables say would be shown, and how wide the text may be comes from one.
        run.env_clear().env("COLUMNS", "100");
        let help = run.output().expect("run wsh-server").stdout;
        let file = Path::new(GOLDEN).join(format!("{command}.txt"));
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::create_dir_all(GOLDEN).expect("a folder of golden files");
            fs::write(&file, &help).expect("write a golden file");
        }
        let kept = fs::read_to_string(&file).unwrap_or_default();
        assert!(
            String::from_utf8_lossy(&help) == kept,
            "{} is not what --help prints: look at it, and run the tests with UPDATE_GOLDEN=1",
            file.display()
        );
    }
}
