//! Settings: flags before the environment before the configuration file before the defaults, and
//! that they hold.

use std::fs;

use clap::CommandFactory;
use wsh_server::cli::{Cli, file};

use crate::support::{ECHO, Raw, Request, Server, Wire, connect};

/// What `config` prints with these flags and this environment, beside a configuration file.
async fn effective(file: &str, args: &[&str], env: &[(&'static str, &'static str)]) -> String {
    let mut builder = Server::builder()
        .bare()
        .file("wsh.toml", file)
        .args(["config", "--config", "wsh.toml"])
        .args(args);
    for (name, value) in env {
        builder = builder.env(name, value);
    }
    let finished = builder.run().await;
    assert_eq!(finished.status.code(), Some(0), "{finished:?}");
    finished.stdout
}

fn line<'t>(text: &'t str, key: &str) -> &'t str {
    let found = text.lines().find(|line| line.contains(&format!("{key} =")));
    found.unwrap_or_else(|| panic!("no {key} in\n{text}"))
}

#[tokio::test]
async fn flags_before_environment_before_file_before_default() {
    let file = "port = 1\nqueue = 1\nmax-message = \"1MiB\"\n";
    let text = effective(file, &["-p", "3"], &[("WSH_PORT", "2"), ("WSH_QUEUE", "2")]).await;
    for (key, value, source) in [
        ("port", "3", "--port"),
        ("queue", "2", "WSH_QUEUE"),
        ("max-message", "\"1MiB\"", "wsh.toml"),
        ("ping-interval", "\"20s\"", "default"),
    ] {
        let line = line(&text, key);
        assert!(
            line.starts_with(&format!("{key} = {value} ")),
            "{key}: {line}"
        );
        assert!(line.ends_with(&format!("# {source}")), "{key}: {line}");
    }
    assert!(line(&text, "tls-port").starts_with("# "), "{text}");
}

/// What `config` prints is a configuration file that means the same.
#[tokio::test]
async fn the_effective_configuration_is_a_file() {
    let file = "allow-raw = true\nallow-env = [\"HOME\", \"7\"]\nping-interval = 10\ncompression = \
        false\n";
    let first = effective(file, &[], &[]).await;
    let second = effective(&first, &[], &[]).await;
    let without_sources = |text: &str| {
        let values = text
            .lines()
            .filter(|line| !line.starts_with('#'))
            .map(|line| {
                line.rsplit_once('#')
                    .map_or(line, |(value, _)| value)
                    .trim()
            });
        values.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(without_sources(&first), without_sources(&second));
    assert!(
        line(&first, "allow-env").contains("[\"HOME\", 7]"),
        "{first}"
    );
}

#[tokio::test]
async fn a_password_is_not_printed() {
    let env = [("WSH_BASIC_AUTH_CREDENTIAL", "somebody:secret")];
    let text = effective("", &[], &env).await;
    assert!(line(&text, "basic-auth-credential").contains("hidden"));
    assert!(!text.contains("secret"), "{text}");
}

/// What is wrong in a file is refused with its line, its key and a way out.
#[test]
fn wrong_files() {
    let command = Cli::command();
    for (text, parts) in [
        ("\nprot = 1", &["line 2, prot", "did you mean port?"][..]),
        ("ping_interval = 3", &["did you mean ping-interval?"]),
        ("config = \"x\"", &["names no other", "on the command line"]),
        ("zzz = 1", &["no such setting: `wsh-server config`"]),
        (
            "log-level = \"loud\"",
            &["line 1, log-level", "there is no level"],
        ),
        ("port = \"abc\"", &["line 1, port", "abc", "invalid digit"]),
        ("port = 70000", &["70000", "65535"]),
        ("port = [1, 2]", &["not a list"]),
        ("allow-raw = 1", &["true or false"]),
        ("max-message = \"big\"", &["16MiB"]),
        ("ping-interval = \"1500ms\"", &["whole seconds"]),
        ("[server]\nport = 1", &["no sections"]),
        ("port = 1\nport = 2", &["line 2", "duplicate"]),
        ("port = ", &["line 1"]),
    ] {
        let error = format!("{:#}", file::parse(text, &command).expect_err(text));
        for part in parts {
            assert!(error.contains(part), "{text:?}: {error}");
        }
    }
}

#[tokio::test]
async fn a_wrong_file_ends_the_start() {
    for options in [
        &["--config", "wsh.toml"][..],
        &["check", "--config", "wsh.toml"],
        &["--config", "nowhere.toml"],
    ] {
        let finished = Server::builder()
            .bare()
            .file("wsh.toml", "max-mesage = 1")
            .args(options)
            .run()
            .await;
        assert_eq!(finished.status.code(), Some(2), "{finished:?}");
        assert!(
            finished.stderr.starts_with("error: the configuration file"),
            "{finished:?}"
        );
    }
}

/// `check` takes from the file what concerns it.
#[tokio::test]
async fn subcommands_read_the_same_file() {
    let finished = Server::builder()
        .bare()
        .files(&[
            (
                "wsh.toml",
                "websock-handlers = \"scripts\"\nport = 1\nallow-raw = true\n",
            ),
            (
                "scripts/raw_wsh.rhai",
                "fn transfer_data(ws, message) { ws.raw_write(blob()); }\nfn on_frame(ws, frame) { \
                }",
            ),
        ])
        .args(["check", "--config", "wsh.toml"])
        .run()
        .await;
    assert_eq!(finished.status.code(), Some(0), "{finished:?}");
    assert!(
        finished.stdout.contains("1 handler, 0 problems"),
        "{finished:?}"
    );
}

/// Flags of pywebsocket without a meaning here are taken, with a line that says what to use.
#[tokio::test]
async fn old_flags_warn() {
    let server = Server::builder()
        .file("echo_wsh.rhai", ECHO)
        .args([
            "--validation_host=a",
            "-P",
            "80",
            "-x",
            "/cgi",
            "--deflate-log-level=warn",
            "--thread_monitor_interval_in_sec=-1",
            "--log-max=1",
            "--log_count",
            "5",
            "--handler-encoding=latin-1",
            "--tls-module=ssl",
            "--allow-draft75",
            "--strict",
            "--log_level=warning",
        ])
        .start()
        .await;
    for flag in [
        "--validation-host",
        "--validation-port",
        "--cgi-paths",
        "--deflate-log-level",
        "--thread-monitor-interval-in-sec",
        "--log-max",
        "--log-count",
        "--handler-encoding",
        "--tls-module",
        "--allow-draft75",
        "--strict",
    ] {
        server.log(["WARN", flag, "sets nothing here"]).await;
    }
    // The one that it must not mind.
    let server = Server::builder()
        .file("echo_wsh.rhai", ECHO)
        .args(["--handler-encoding", "UTF-8"])
        .start()
        .await;
    assert_eq!(server.count("sets nothing"), 0);
}

#[tokio::test]
async fn the_log_goes_to_a_file() {
    let mut server = Server::builder()
        .files(&[("echo_wsh.rhai", ECHO), ("log.txt", "before\n")])
        .arg("--log-file")
        .arg("log.txt")
        .start()
        .await;
    assert!(server.stop().await.success());
    let log = fs::read_to_string(server.dir().join("log.txt")).expect("the log");
    assert!(log.starts_with("before\n"), "{log}");
    assert!(log.contains("draining"), "{log}");
    assert!(!log.contains('\u{1b}'), "{log}");
    assert_eq!(server.logged(), "");
}

/// Limits that were set, not those that are the default, hold.
#[tokio::test]
async fn limits_of_messages_and_heads() {
    let server = Server::builder()
        .files(&[
            ("echo_wsh.rhai", ECHO),
            (
                "wsh.toml",
                "max-message = 100\nmax-headers = 10\nmax-header-size = \"1KiB\"\nmax-header-line \
                = 200\n",
            ),
        ])
        .args(["--config", "wsh.toml", "--log-level", "debug"])
        .start()
        .await;
    let mut raw = Raw::open(&server, "/echo").await;
    raw.send(Wire::text("x".repeat(100)).bytes()).await;
    raw.expect_text(&"x".repeat(100)).await;
    raw.send(Wire::text("x".repeat(101)).bytes()).await;
    raw.expect_close(1009).await;
    server.log("refusal=\"max-message\"").await;

    let many = (0..12).fold(Request::upgrade("/echo"), |request, number| {
        request.with(&format!("X-{number}"), "1")
    });
    let large = (0..6).fold(Request::upgrade("/echo"), |request, number| {
        request.with(&format!("X-{number}"), "x".repeat(180))
    });
    let long = Request::upgrade("/echo").with("X", "x".repeat(200));
    for (request, limit) in [
        (many, "max-headers"),
        (large, "max-header-size"),
        (long, "max-header-line"),
    ] {
        let mut raw = Raw::connect(&server).await;
        raw.send(request.bytes()).await;
        assert_eq!(raw.head().await.status, 431, "{limit}");
        server.log(&format!("refusal=\"{limit}\"")).await;
    }
}

/// What the server lets in, its scripts can hold and send; what a script allows of it is bounded by
/// it.
#[tokio::test]
async fn scripts_follow_the_longest_message() {
    let asks = format!(
        "{ECHO}\nfn do_extra_handshake(request) {{ request.max_message(parse_int(request.query)); \
        }}"
    );
    let server = Server::builder()
        .files(&[("echo_wsh.rhai", ECHO), ("asks_wsh.rhai", &asks)])
        .args(["--max-message", "20MiB"])
        .start()
        .await;
    let mut client = connect(server.url("/echo")).await;
    let long = "x".repeat(18 * 1024 * 1024);
    client.send_text(long.clone()).await;
    assert!(client.next_text().await == long);
    assert_eq!(server.status("/asks?20971520").await, 101);
    assert_eq!(server.status("/asks?20971521").await, 500);
}

/// A second is the shortest time that these have.
#[tokio::test]
async fn times_of_heads_frames_messages_and_pings() {
    let server = Server::builder()
        .file("echo_wsh.rhai", ECHO)
        .args(["--header-timeout", "100ms", "--log-level", "debug"])
        .args(["--frame-timeout", "1s", "--ping-interval", "100s"])
        .start()
        .await;
    let mut raw = Raw::connect(&server).await;
    raw.send(b"GET /echo HTTP/1.1\r\n").await;
    assert_eq!(raw.head().await.status, 408);
    server.log("refusal=\"header-timeout\"").await;
    let mut raw = Raw::open(&server, "/echo").await;
    raw.send(&b"\x81\x85\0\0\0\0hel"[..]).await;
    raw.expect_close(1008).await;
    server.log("refusal=\"frame-timeout\"").await;

    let server = Server::builder()
        .file("echo_wsh.rhai", ECHO)
        .args(["--ping-interval", "1s", "--pong-timeout", "1s"])
        .args(["--log-level", "debug"])
        .start()
        .await;
    let mut raw = Raw::open(&server, "/echo").await;
    assert_eq!(raw.exactly(2).await, b"\x89\x00");
    raw.expect_eof().await;
    server.log("refusal=\"pong-timeout\"").await;
}

/// `check` opens what a server with the same flags would, and binds nothing.
#[tokio::test]
async fn check_opens_what_the_configuration_names() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = |name: &str| dir.path().join(name).display().to_string();
    let make = |names: &[&str]| {
        let key = rcgen::KeyPair::generate().expect("a key");
        let made = rcgen::CertificateParams::new(vec!["localhost".to_owned()]);
        let made = made
            .expect("a name")
            .self_signed(&key)
            .expect("a certificate");
        std::fs::write(path(names[0]), made.pem()).expect("written");
        std::fs::write(path(names[1]), key.serialize_pem()).expect("written");
    };
    make(&["one.pem", "one.key"]);
    make(&["two.pem", "two.key"]);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener
        .local_addr()
        .expect("an address")
        .port()
        .to_string();
    let check = |args: Vec<String>| {
        let builder = Server::builder().bare().file("echo_wsh.rhai", ECHO);
        builder.arg("check").args(&args).run()
    };
    let (one, key, other) = (path("one.pem"), path("one.key"), path("two.key"));
    let tls = |key: &str| {
        let args = [
            "--port",
            &port,
            "--tls",
            "--certificate",
            &one,
            "--private-key",
            key,
        ];
        args.map(str::to_owned).to_vec()
    };
    let good = check(tls(&key)).await;
    assert_eq!(good.status.code(), Some(0), "{}", good.stderr);
    for (args, said) in [
        (tls(&other), "--private-key"),
        (tls(&path("none.key")), "none.key"),
        (vec!["-d".into(), path("nowhere")], "--document-root"),
        (vec!["-d".into(), one.clone()], "is not a folder"),
        (
            vec!["-m".into(), path("nowhere")],
            "--websock-handlers-map-file",
        ),
        (
            vec!["--unix-socket".into(), path("nowhere/socket")],
            "--unix-socket",
        ),
        (vec!["--basic-auth-file".into(), path("nowhere")], "nowhere"),
        (vec!["--log-file".into(), path("nowhere/log")], "nowhere"),
        (vec!["-H".into(), "0.0.0.0".into()], "--allow-host"),
    ] {
        let finished = check(args.clone()).await;
        assert_eq!(
            finished.status.code(),
            Some(2),
            "{args:?}: {}",
            finished.stdout
        );
        assert!(
            finished.stderr.contains(said),
            "{args:?}: {}",
            finished.stderr
        );
    }
}
