//! The program as a user meets it: flags, first lines, refusals, subcommands, signals.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{ECHO, Raw, Request, Server, connect, within};

#[tokio::test]
async fn ready_line_names_the_addresses() {
    let server = Server::start(&[("echo_wsh.rhai", ECHO), ("sub/echo_wsh.rhai", ECHO)]).await;
    let line = server.printed("ready: ").await;
    let port = server.port();
    assert!(
        line.starts_with(&format!("ready: ws://127.0.0.1:{port}")),
        "{line}"
    );
    assert!(line.contains("2 handlers"), "{line}");
    assert!(
        line.contains(server.dir().to_str().expect("a path in UTF-8")),
        "{line}"
    );
    connect(server.url("/echo")).await.echoes(1).await;

    // Some containers have no IPv6 at all.
    if TcpListener::bind("[::1]:0").is_ok() {
        assert!(line.contains(&format!(" ws://[::1]:{port}")), "{line}");
        connect(format!("ws://[::1]:{port}/echo"))
            .await
            .echoes(1)
            .await;
    }
}

#[tokio::test]
async fn handlers_are_listed_behind_the_ready_line() {
    let server = Server::start(&[
        ("echo_wsh.rhai", ECHO),
        ("room/[id]_wsh.rhai", ECHO),
        ("index_wsh.rhai", ECHO),
        ("broken_wsh.rhai", "fn transfer_data(ws, message) {"),
    ])
    .await;
    for (file, path) in [
        ("echo_wsh.rhai", "/echo"),
        ("room/[id]_wsh.rhai", "/room/[id]"),
        ("index_wsh.rhai", "/"),
    ] {
        assert_eq!(server.printed(file).await, format!("  {path:10}  {file}"));
    }
    let line = server.printed("broken_wsh.rhai").await;
    assert!(line.ends_with("broken: see the log"), "{line}");
}

#[tokio::test]
async fn o07_loopback_is_the_default_host() {
    let server = Server::start(&[("echo_wsh.rhai", ECHO)]).await;
    let line = server.printed("ready: ").await;
    assert!(
        !line.contains("0.0.0.0") && !line.contains("[::]"),
        "{line}"
    );
    // The whole of 127.0.0.0/8 reaches this machine, but only 127.0.0.1 is listened on.
    assert!(
        TcpStream::connect(("127.0.0.2", server.port()))
            .await
            .is_err()
    );
}

#[tokio::test]
async fn a_host_of_ones_own() {
    let server = Server::builder()
        .file("echo_wsh.rhai", ECHO)
        .args(["-H", "127.0.0.1"])
        .start()
        .await;
    let line = server.printed("ready: ").await;
    assert!(!line.contains("[::1]"), "{line}");
    connect(server.url("/echo")).await.echoes(1).await;
}

#[tokio::test]
async fn long_options_with_dashes_and_with_underscores() {
    let dashes = [
        "--port=0",
        "--server-host=127.0.0.1",
        "--websock-handlers=scripts",
        "--scan-dir=scripts/inner",
        "--websock-handlers-map-file=aliases",
        "--document-root=www",
        "--allow-handlers-outside-root-dir",
        "--allow-raw",
        "--allow-env=HOME",
        "--workers=1",
        "--log-level=debug",
    ];
    let underscores = dashes.map(|option| {
        let (name, value) = option.split_once('=').unwrap_or((option, ""));
        let name = format!("--{}", name[2..].replace('-', "_"));
        if value.is_empty() {
            name
        } else {
            format!("{name}={value}")
        }
    });
    for options in [dashes.map(str::to_owned), underscores] {
        let server = Server::builder()
            .bare()
            .files(&[
                ("scripts/inner/echo_wsh.rhai", ECHO),
                ("scripts/outer_wsh.rhai", ECHO),
                ("www/page.txt", "a page"),
                ("aliases", "/short /inner/echo\n"),
            ])
            .args(&options)
            .start()
            .await;
        for (path, status) in [("/inner/echo", 101), ("/short", 101), ("/outer", 404)] {
            assert_eq!(server.status(path).await, status, "{path} with {options:?}");
        }
        let mut raw = Raw::connect(&server).await;
        raw.send(Request::get("/page.txt").bytes()).await;
        assert_eq!(raw.head().await.status, 200, "{options:?}");
    }
}

#[tokio::test]
async fn the_folder_defaults_to_the_current_one() {
    let server = Server::builder()
        .bare()
        .file("echo_wsh.rhai", ECHO)
        .args(["-p", "0"])
        .start()
        .await;
    connect(server.url("/echo")).await.echoes(1).await;
}

#[tokio::test]
async fn an_empty_folder_serves_what_comes() {
    let server = Server::start(&[]).await;
    assert!(server.printed("ready: ").await.contains("0 handlers"));
    server.write("echo_wsh.rhai", ECHO);
    server.until_status("/echo", 101).await;
}

#[tokio::test]
async fn s04_refuses_what_it_cannot_start_with() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = taken.local_addr().expect("an address").port().to_string();
    // The options, and what the one line must name.
    let refusals: &[(&[&str], &[&str])] = &[
        (&["-p", "0", "-w", "nowhere"], &["nowhere"]),
        (&["-p", "0", "-w", "a_file"], &["a_file"]),
        (&["-p", &port, "-w", "."], &[&port]),
        (&["-p", "0", "-w", ".", "-d", "nowhere"], &["nowhere"]),
        (&["-p", "0", "-w", ".", "-d", "a_file"], &["a_file"]),
        (&["-p", "0", "-w", ".", "-m", "nowhere"], &["nowhere"]),
        (&["-p", "0", "-w", ".", "-s", "nowhere"], &["nowhere"]),
        (
            &["-p", "0", "-w", "inner", "-s", "inner_too"],
            &["inner_too"],
        ),
        (
            &["-p", "0", "-w", ".", "-H", "no such host"],
            &["no such host"],
        ),
        (&["-p", "0", "-w", ".", "-H", "192.0.2.1"], &["192.0.2.1"]),
        (&["check", "-w", "nowhere"], &["nowhere"]),
        (&["routes", "-w", "nowhere"], &["nowhere"]),
    ];
    for (options, names) in refusals {
        let finished = Server::builder()
            .bare()
            .files(&[
                ("a_file", "no folder"),
                ("inner/echo_wsh.rhai", ECHO),
                ("inner_too/echo_wsh.rhai", ECHO),
            ])
            .args(*options)
            .run()
            .await;
        assert_eq!(finished.status.code(), Some(2), "{options:?}: {finished:?}");
        assert_eq!(finished.stdout, "", "{options:?}");
        let error = finished.stderr.trim_end();
        assert!(
            error.starts_with("error: ") && error.lines().count() == 1,
            "{options:?}: {error}"
        );
        for name in *names {
            assert!(
                error.contains(name),
                "{options:?} must name {name}: {error}"
            );
        }
        assert!(
            !error.contains("panicked") && !error.contains("Error {"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn refuses_wrong_flags() {
    let wrong: &[&[&str]] = &[
        &["--wrong-flag"],
        &["-p", "many"],
        &["-p", "65536"],
        &["-p", "-1"],
        &["--workers", "0", "-p", "0"],
        &["--workers", "some"],
        &["--log-level", "http=a=b", "-p", "0"],
        &["serve-me"],
        &["check", "--wrong-flag"],
    ];
    for options in wrong {
        let finished = Server::builder().bare().args(*options).run().await;
        assert_eq!(finished.status.code(), Some(2), "{options:?}: {finished:?}");
        assert_eq!(finished.stdout, "", "{options:?}");
        assert!(
            finished.stderr.starts_with("error: "),
            "{options:?}: {}",
            finished.stderr
        );
    }
    // A negative number is a value, and the error says what the flag takes.
    for (flag, takes) in [
        ("--port", "0..=65535"),
        ("--ping-interval", "a number with a unit"),
        ("--max-connections", "1.."),
    ] {
        let finished = Server::builder().bare().args([flag, "-1"]).run().await;
        let said = finished.stderr;
        assert!(
            said.contains("invalid value '-1'") && said.contains(takes),
            "{said}"
        );
    }
    // A slip of the finger is answered with what was probably meant.
    let finished = Server::builder()
        .bare()
        .args(["--websock-handler", "."])
        .run()
        .await;
    assert!(
        finished.stderr.contains("--websock-handlers"),
        "{}",
        finished.stderr
    );
}

#[tokio::test]
async fn a_port_taken_on_one_of_both_addresses() {
    let Ok(taken) = TcpListener::bind("[::1]:0") else {
        return; // No IPv6 here.
    };
    let port = taken.local_addr().expect("an address").port().to_string();
    let finished = Server::builder().bare().args(["-p", &port]).run().await;
    assert_eq!(finished.status.code(), Some(2), "{finished:?}");
    assert_eq!(finished.stdout, "");
    assert!(finished.stderr.contains(&port), "{}", finished.stderr);
}

#[tokio::test]
async fn help_and_version() {
    let help = Server::builder().bare().arg("--help").run().await;
    assert_eq!(help.status.code(), Some(0));
    assert_eq!(help.stderr, "");
    let options = [
        "--server-host",
        "--port",
        "--websock-handlers",
        "--scan-dir",
        "--websock-handlers-map-file",
        "--document-root",
        "--allow-handlers-outside-root-dir",
        "--allow-raw",
        "--allow-env",
        "--workers",
        "--log-level",
    ];
    for word in options.iter().chain(&["check", "routes", "9998"]) {
        assert!(
            help.stdout.contains(word),
            "{word} is missing:\n{}",
            help.stdout
        );
    }
    let version = Server::builder().bare().arg("--version").run().await;
    assert_eq!(version.status.code(), Some(0));
    assert_eq!(
        version.stdout,
        concat!("wsh-server ", env!("CARGO_PKG_VERSION"))
    );
}

#[tokio::test]
async fn log_level_filters() {
    let server = Server::builder()
        .file("echo_wsh.rhai", ECHO)
        .args(["--log-level", "debug"])
        .start()
        .await;
    connect(server.url("/echo")).await.close(1000, "").await;
    server.log("closed").await;

    let mut quiet = Server::builder()
        .file(
            "print_wsh.rhai",
            "fn transfer_data(ws, message) { print(message); ws.send(message); }\n",
        )
        .args(["--log-level", "error"])
        .start()
        .await;
    connect(quiet.url("/print")).await.echoes(3).await;
    assert!(quiet.stop().await.success());
    assert_eq!(quiet.logged(), "");
}

#[tokio::test]
async fn check_of_a_good_folder() {
    for subcommand in [
        &["check"][..],
        &["check", "-w", "."],
        &["check", "--websock_handlers", "."],
    ] {
        let finished = Server::builder()
            .bare()
            .files(&[("echo_wsh.rhai", ECHO), ("sub/echo_wsh.rhai", ECHO)])
            .args(subcommand)
            .run()
            .await;
        assert_eq!(finished.status.code(), Some(0), "{finished:?}");
    }
}

#[tokio::test]
async fn check_prints_every_problem() {
    let finished = Server::builder()
        .bare()
        .files(&[
            ("good_wsh.rhai", ECHO),
            (
                "syntax_wsh.rhai",
                "fn transfer_data(ws, message) {\n    ws.send(;\n}\n",
            ),
            (
                "sub/typo_wsh.rhai",
                "fn transfer_data(ws, message) {\n\n    wss.send(message);\n}\n",
            ),
            ("hookless_wsh.rhai", "fn on_open(ws) { }\n"),
            (
                "top_wsh.rhai",
                "const X = [1][7];\nfn transfer_data(ws, message) { }\n",
            ),
            ("empty_wsh.rhai", ""),
        ])
        .args(["check", "-w", "."])
        .run()
        .await;
    assert_eq!(finished.status.code(), Some(1), "{finished:?}");
    let printed = &finished.stdout;
    let places = [
        "syntax_wsh.rhai:2:13",
        "ws.send(;",
        "sub/typo_wsh.rhai:3:5",
        "wss.send(message);",
        "hookless_wsh.rhai",
        "transfer_data",
        "top_wsh.rhai:1:",
        "empty_wsh.rhai",
        "^",
    ];
    for place in places {
        assert!(printed.contains(place), "{place} is missing:\n{printed}");
    }
    assert!(!printed.contains("good_wsh.rhai:"), "{printed}");
}

#[tokio::test]
async fn check_says_what_was_probably_meant() {
    let code = format!("{ECHO}fn on_opne(ws) {{ }}\nfn on_close(ws) {{ }}\n");
    let finished = Server::builder()
        .bare()
        .file("typo_wsh.rhai", &code)
        .args(["check", "-w", "."])
        .run()
        .await;
    let said = format!("{}{}", finished.stdout, finished.stderr);
    assert!(
        said.contains("on_opne") && said.contains("on_open"),
        "{said}"
    );
    assert!(said.contains("on_close"), "{said}");

    let server = Server::start(&[("typo_wsh.rhai", &code)]).await;
    server
        .until_logged(&["on_opne", "on_open", "on_close"])
        .await;
    connect(server.url("/typo")).await.echoes(1).await;
}

#[tokio::test]
async fn routes_table() {
    let finished = Server::builder()
        .bare()
        .files(&[
            ("echo_wsh.rhai", ECHO),
            (
                "chat/index_wsh.rhai",
                &format!("fn on_open(ws) {{ }}\n{ECHO}"),
            ),
            ("room/[id]_wsh.rhai", ECHO),
        ])
        .args(["routes", "-w", "."])
        .run()
        .await;
    assert_eq!(finished.status.code(), Some(0), "{finished:?}");
    let rows = [
        ["/echo", "echo_wsh.rhai", "transfer_data"],
        ["/chat", "chat/index_wsh.rhai", "on_open"],
        ["/room/[id]", "room/[id]_wsh.rhai", "transfer_data"],
    ];
    for row in rows {
        let found = finished
            .stdout
            .lines()
            .any(|line| row.iter().all(|cell| line.contains(cell)));
        assert!(found, "{row:?} is missing:\n{}", finished.stdout);
    }
}

#[tokio::test]
async fn s01_signals_end_it_politely() {
    let code = format!(
        "fn on_close(ws, code, reason, was_clean) {{\n    print(`on_close ${{code}} \
        ${{was_clean}}`);\n}}\n{ECHO}"
    );
    for signal in ["INT", "TERM"] {
        let mut server = Server::start(&[("echo_wsh.rhai", &code)]).await;
        let mut clients = Vec::new();
        for _ in 0..3 {
            let mut client = Raw::open(&server, "/echo").await;
            client.echoes(1).await;
            clients.push(client);
        }
        // One that never answers the Close must not be waited for without end.
        let mut mute = Raw::open(&server, "/echo").await;
        server.signal(signal);
        for client in &mut clients {
            client.answer_close(1001).await;
            client.expect_eof().await;
        }
        mute.expect_close(1001).await;
        assert_eq!(server.exited().await.code(), Some(0), "{}", server.logged());
        assert_eq!(server.count("draining"), 1, "{}", server.logged());
        assert_eq!(server.count("on_close 1001 true"), 3, "{}", server.logged());
        assert_eq!(
            server.count("on_close 1001 false"),
            1,
            "{}",
            server.logged()
        );
    }
}

#[tokio::test]
async fn a_signal_with_nobody_connected() {
    let mut server = Server::start(&[("echo_wsh.rhai", ECHO)]).await;
    assert_eq!(server.stop().await.code(), Some(0));
}

#[tokio::test]
async fn nobody_is_let_in_while_it_drains() {
    // Of two workers one may hear of it later.
    let builder = Server::builder().workers(1);
    let mut server = builder
        .file("nap_wsh.rhai", napping_at_the_end())
        .start()
        .await;
    let mut client = Raw::open(&server, "/nap").await;
    client.echoes(1).await;
    let address = ("127.0.0.1", server.port());
    let mut early = TcpStream::connect(address).await.expect("connect");
    server.signal("TERM");
    client.answer_close(1001).await;
    server.log("last words").await;
    assert!(TcpStream::connect(address).await.is_err());
    // A connection from before may be answered or ended, but not upgraded.
    let mut answer = Vec::new();
    let _ = early.write_all(&Request::upgrade("/nap").bytes()).await;
    let _ = within("an answer or the end", early.read_to_end(&mut answer)).await;
    assert!(
        !answer.starts_with(b"HTTP/1.1 101"),
        "{}",
        answer.escape_ascii()
    );
    assert_eq!(server.exited().await.code(), Some(0));
}

#[tokio::test]
async fn s02_a_second_signal_ends_it_at_once() {
    for (first, second, number) in [("TERM", "TERM", 15), ("INT", "INT", 2), ("TERM", "INT", 2)] {
        let mut server = Server::start(&[("nap_wsh.rhai", &napping_at_the_end())]).await;
        let mut client = Raw::open(&server, "/nap").await;
        client.echoes(1).await;
        server.signal(first);
        client.answer_close(1001).await;
        // The hook sleeps for longer than the drain lasts, and the drain would end with code 0.
        server.log("last words").await;
        server.signal(second);
        let status = server.exited().await;
        assert_eq!(
            as_a_shell_sees_it(status),
            128 + number,
            "{first}, {second}"
        );
    }
}

#[tokio::test]
async fn s07_l15_nobody_reads_its_output() {
    // Each stream in turn, and more output than a pipe holds.
    for closed in [Stream::Out, Stream::Err] {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let talk =
            "fn transfer_data(ws, message) {\n    print(message);\n    ws.send(message);\n}\n";
        std::fs::write(dir.path().join("talk_wsh.rhai"), talk).expect("write a handler");
        for number in 0..2_000 {
            let file = dir
                .path()
                .join(format!("a_handler_with_a_long_name_{number}_wsh.rhai"));
            std::fs::write(file, ECHO).expect("write a handler");
        }
        let mut child = Running(
            Command::new(env!("CARGO_BIN_EXE_wsh-server"))
                .args(["-p", "0", "-w"])
                .arg(dir.path())
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(if closed == Stream::Err {
                    Stdio::piped()
                } else {
                    Stdio::null()
                })
                .spawn()
                .expect("start wsh-server"),
        );
        drop(child.0.stderr.take());
        let mut stdout = BufReader::new(child.0.stdout.take().expect("piped"));
        let mut line = String::new();
        stdout.read_line(&mut line).expect("the ready line");
        if closed == Stream::Out {
            drop(stdout);
        } else {
            // Read on in the background: this stream is not the one under test.
            std::thread::spawn(move || std::io::copy(&mut stdout, &mut std::io::sink()));
        }
        let port = line
            .split(':')
            .nth(3)
            .and_then(|rest| rest.split(' ').next());
        let port = port.expect("a port in the ready line");
        let mut client = connect(format!("ws://127.0.0.1:{port}/talk")).await;
        client.echoes(50).await;
        let pid = child.0.id().to_string();
        let killed = Command::new("sh")
            .args(["-c", &format!("kill -s TERM {pid}")])
            .status();
        assert!(killed.expect("a shell").success());
        assert_eq!(client.next_close().await.0, 1001);
        let status = tokio::task::spawn_blocking(move || child.0.wait()).await;
        assert_eq!(status.expect("no panic").expect("a status").code(), Some(0));
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Stream {
    Out,
    Err,
}

/// A child that does not outlive a failing test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A handler whose last hook says so and then outsleeps the drain.
fn napping_at_the_end() -> String {
    format!(
        "fn on_close(ws, code, reason, was_clean) {{\n    print(\"last words\");\n    \
        sleep(60.0);\n}}\n{ECHO}"
    )
}

/// The exit code, or 128 and the number of the signal that ended it.
fn as_a_shell_sees_it(status: ExitStatus) -> i32 {
    status
        .code()
        .or(status.signal().map(|number| 128 + number))
        .expect("ended")
}
