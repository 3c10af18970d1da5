//! The server in the hands of who operates it: signals, the log file, the time of a drain, settings
//! that name nothing or set nothing, what it says when it is ready.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::support::{ECHO, Finished, Raw, Server, Wire, connect, within};

/// Runs a start that must fail, with its one reason.
async fn refused(args: &[&str], env: &[(&'static str, &'static str)]) -> String {
    let mut builder = Server::builder()
        .bare()
        .file("echo_wsh.rhai", ECHO)
        .args(args);
    for (name, value) in env {
        builder = builder.env(name, value);
    }
    let finished = builder.run().await;
    assert_eq!(finished.status.code(), Some(2), "{args:?}: {finished:?}");
    assert_eq!(finished.stdout, "", "{args:?}");
    finished.stderr
}

#[tokio::test]
async fn a_log_level_that_is_none_ends_the_start() {
    for (args, env) in [
        (&["--log-level", "inof"][..], &[][..]),
        (&["check", "--log-level", "inof"], &[]),
        (&[], &[("WSH_LOG_LEVEL", "inof")]),
    ] {
        let error = refused(args, env).await;
        assert!(error.contains("did you mean info?"), "{error}");
        assert_eq!(error.contains("WSH_LOG_LEVEL"), !env.is_empty(), "{error}");
    }
    let finished = Server::builder()
        .bare()
        .file("wsh.toml", "\nlog-level = \"info,htpp=debug\"\n")
        .args(["--config", "wsh.toml"])
        .run()
        .await;
    assert_eq!(finished.status.code(), Some(2), "{finished:?}");
    for part in ["line 2, log-level", "did you mean http?"] {
        assert!(finished.stderr.contains(part), "{finished:?}");
    }
}

/// A part of the server by its name: its lines and no other's.
#[tokio::test]
async fn a_target_has_a_level_of_its_own() {
    let code = "fn transfer_data(ws, message) { debug(message); ws.send(message); }";
    let mut server = Server::builder()
        .file("talk_wsh.rhai", code)
        .args(["--log-level", "error,print=debug"])
        .start()
        .await;
    connect(server.url("/talk")).await.echoes(1).await;
    assert!(server.stop().await.success());
    let logged = server.logged();
    assert!(logged.contains("DEBUG wsh_server::print"), "{logged}");
    assert!(!logged.contains("draining"), "{logged}");
}

#[tokio::test]
async fn what_sets_nothing_is_refused_or_said() {
    let refusals: &[(&[&str], &str)] = &[
        (&["-c", "a.pem"], "add --tls, or --tls-port PORT"),
        (&["-k", "a.pem"], "add --tls, or --tls-port PORT"),
        (&["--tls-client-ca", "a.pem"], "add --tls"),
        (&["--tls-client-auth"], "add --tls"),
        (
            &["-t", "--tls-dev", "--tls-client-ca", "a.pem"],
            "add --tls-client-auth",
        ),
        (&["--proxy-protocol"], "give --trusted-proxy"),
        (
            &["-H", "127.0.0.1:9000"],
            "--server-host 127.0.0.1 --port 9000",
        ),
        (&["-H", "[::1]:9000"], "--server-host [::1] --port 9000"),
        (&["-H", "ws://localhost"], "is a URL"),
        (&["-H", "*"], "0.0.0.0"),
        (&["-H", "nosuch.invalid"], "there is no such host"),
        (
            &["-H", "192.0.2.1", "-p", "0"],
            "no address of this machine",
        ),
        (&["--allow-host", "::1"], "[::1]"),
        (&["--allow-origin", "http://::1"], "[::1]"),
        (&["--allow-origin", "smae"], "did you mean same?"),
        (&["--trusted-proxy", "lopback"], "did you mean loopback?"),
        (&["--close-timeout", "0"], "the least is 1s"),
        (&["--ping-interval", "500ms"], "0 is off"),
        (&["serve"], "`wsh-server` without a command is the server"),
        (&["help", "nosuch"], "check, routes"),
        (&["help", "chek"], "did you mean check?"),
        (&["man", "chek"], "did you mean check?"),
        (&["api", "ws.snd"], "did you mean ws.send"),
        (&["api", "zzzz"], "`wsh-server api`"),
    ];
    for (args, expected) in refusals {
        let error = refused(args, &[]).await;
        assert!(error.contains(expected), "{args:?}: {error}");
    }

    let server = Server::builder()
        .file("echo_wsh.rhai", ECHO)
        .args(["--allow-host", "loopbak,localhost", "--allow-env", "HOEM"])
        .args(["--compression=false", "--compression-level=9"])
        .args(["--ping-interval=0", "--pong-timeout=3"])
        .args(["--tls-handshake-timeout=3"])
        .env("WSH_PROT", "1")
        .env("WSH_WORKERS", "2")
        .start()
        .await;
    for parts in [
        ["WSH_PROT", "did you mean WSH_PORT?"],
        ["loopbak", "did you mean loopback?"],
        ["HOEM", "did you mean HOME?"],
        ["--compression-level", "--compression is false"],
        ["--pong-timeout", "--ping-interval is 0"],
        ["--tls-handshake-timeout", "no port speaks TLS"],
    ] {
        server.log(["WARN", parts[0], parts[1]]).await;
    }
    // It says so, and serves.
    assert_eq!(server.count("WARN"), 6, "{}", server.logged());
}

/// `--ping-interval 0`: a client that says nothing is left alone.
#[tokio::test]
async fn pings_can_be_off() {
    let quick = Server::builder()
        .file("echo_wsh.rhai", ECHO)
        .args(["--ping-interval", "1", "--pong-timeout", "1"])
        .start()
        .await;
    let off = Server::builder()
        .file("echo_wsh.rhai", ECHO)
        .args(["--ping-interval", "0"])
        .start()
        .await;
    let mut silent = Raw::open(&off, "/echo").await;
    // As long as it takes the other to find its own silent client dead.
    let mut dead = Raw::open(&quick, "/echo").await;
    dead.expect_frame(9, "").await;
    dead.expect_eof().await;
    silent.send(Wire::text("still here").bytes()).await;
    silent.expect_text("still here").await;
}

/// One flag, and whoever asks by whatever name is let in.
#[tokio::test]
async fn a_server_for_everybody() {
    let server = Server::builder()
        .bare()
        .file("echo_wsh.rhai", ECHO)
        .args(["-p", "0", "--public"])
        .start()
        .await;
    let line = server.printed("ready: ").await;
    assert!(line.contains("ws://0.0.0.0:"), "{line}");
    let mut raw = Raw::connect(&server).await;
    let request = crate::support::Request::upgrade("/echo")
        .set("Host", "anything.example:1")
        .set("Origin", "https://elsewhere.example");
    raw.send(request.bytes()).await;
    assert_eq!(raw.head().await.status, 101);
    // What is said beside it goes before it.
    let narrow = Server::builder()
        .file("echo_wsh.rhai", ECHO)
        .args(["--public", "-H", "127.0.0.1", "--allow-host", "a.example"])
        .start()
        .await;
    let line = narrow.printed("ready: ").await;
    assert!(line.contains("ws://127.0.0.1:"), "{line}");
    for (host, status) in [("a.example", 101), ("b.example", 403)] {
        let mut raw = Raw::connect(&narrow).await;
        let request = crate::support::Request::upgrade("/echo")
            .set("Host", host)
            .set("Origin", "https://elsewhere.example");
        raw.send(request.bytes()).await;
        assert_eq!(raw.head().await.status, status, "{host}");
    }
}

/// Numbers without a unit are what the help says, and `config` says it beside them.
#[tokio::test]
async fn numbers_without_a_unit_are_bytes_and_seconds() {
    let finished = Server::builder()
        .bare()
        .file(
            "wsh.toml",
            "max-message = 5\nping-interval = 20\nport = 1\n",
        )
        .args(["config", "--config", "wsh.toml"])
        .run()
        .await;
    for (key, unit) in [
        ("max-message = 5 ", "# wsh.toml, in bytes"),
        ("ping-interval = 20 ", "# wsh.toml, in seconds"),
        ("port = 1 ", "# wsh.toml"),
    ] {
        let line = finished.stdout.lines().find(|line| line.starts_with(key));
        let line = line.unwrap_or_else(|| panic!("{key}: {finished:?}"));
        assert!(line.ends_with(unit), "{line}");
    }
}

fn logging(file: &str, content: &str) -> crate::support::Builder {
    Server::builder()
        .file(file, content)
        .args(["--log-file", "wsh.log"])
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

async fn until(what: &str, done: impl Fn() -> bool) {
    let wait = async {
        while !done() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    within(what, wait).await;
}

/// As logrotate does it: the file is renamed, a signal is sent, and a new file of the name has what
/// follows.
#[tokio::test]
async fn the_log_file_is_opened_anew() {
    const SAYS: &str = "fn transfer_data(ws, message) { print(message); ws.send(message); }";
    for signal in ["USR1", "HUP"] {
        let mut server = logging("says_wsh.rhai", SAYS).start().await;
        let log = server.dir().join("wsh.log");
        let turned = server.dir().join("wsh.log.1");
        let mut client = Raw::open(&server, "/says").await;
        let mut say = async |words: &str| {
            client.send(Wire::text(words).bytes()).await;
            client.expect_text(words).await;
        };
        say("before").await;
        until("a line", || text(&log).contains("before")).await;
        let first = text(&log);
        let first = first.lines().next().unwrap_or_default();
        for part in [
            "INFO",
            "wsh-server starts",
            "version=",
            "addresses=",
            "ws://127.0.0.1:",
        ] {
            assert!(first.contains(part), "{part}: {first}");
        }
        fs::rename(&log, &turned).expect("rename");
        say("between").await;
        // It is written by a thread of its own.
        until("a line", || text(&turned).contains("between")).await;
        server.signal(signal);
        until("a new file", || text(&log).contains("opened anew")).await;
        say("after").await;
        until("a line", || text(&log).contains("after")).await;
        let old = text(&turned);
        assert!(old.contains("between") && !old.contains("after"), "{old}");
        assert!(server.stop().await.success(), "{}", text(&log));
        let new = text(&log);
        assert!(!new.contains("between"), "{new}");
        assert!(
            new.lines()
                .last()
                .is_some_and(|line| line.contains("stopped")),
            "{new}"
        );
    }
}

/// A folder that is gone when the file is to be opened: the old one has the reason, and what
/// follows.
#[tokio::test]
async fn a_log_file_that_cannot_be_opened_anew_goes_on() {
    let elsewhere = tempfile::tempdir().expect("a temporary folder");
    let logs = elsewhere.path().join("logs");
    fs::create_dir(&logs).expect("a folder");
    let server = Server::builder()
        .file("echo_wsh.rhai", ECHO)
        .arg("--log-file")
        .arg(logs.join("wsh.log"))
        .start()
        .await;
    let moved = elsewhere.path().join("moved");
    fs::rename(&logs, &moved).expect("rename");
    server.signal("USR1");
    let log = moved.join("wsh.log");
    until("the reason", || {
        text(&log).contains("cannot be opened again")
    })
    .await;
    connect(server.url("/echo")).await.echoes(1).await;
}

/// Signals of recipes for other servers, and of timers, end nothing.
#[tokio::test]
async fn signals_that_mean_nothing_end_nothing() {
    let mut server = Server::start(&[("echo_wsh.rhai", ECHO)]).await;
    let mut client = Raw::open(&server, "/echo").await;
    for signal in [
        "USR1", "USR2", "ALRM", "VTALRM", "PROF", "IO", "XFSZ", "PIPE", "WINCH",
    ] {
        server.signal(signal);
    }
    for signal in ["SIGUSR2", "SIGALRM", "SIGVTALRM", "SIGPROF", "SIGIO"] {
        server.log([signal, "means nothing here"]).await;
    }
    client.echoes(3).await;
    assert!(server.stop().await.success());
}

/// SIGQUIT is an end like SIGTERM.
#[tokio::test]
async fn quit_is_a_polite_end() {
    let mut server = Server::start(&[("echo_wsh.rhai", ECHO)]).await;
    let mut client = Raw::open(&server, "/echo").await;
    client.echoes(1).await;
    server.signal("QUIT");
    client.answer_close(1001).await;
    assert_eq!(server.exited().await.code(), Some(0));
}

/// Who answers late, and within the time of the drain, has closed cleanly.
#[tokio::test]
async fn a_drain_waits_for_who_answers_late() {
    let code = format!(
        "{ECHO}fn on_close(ws, code, reason, was_clean) {{ print(`closed ${{code}} \
        ${{was_clean}}`); }}"
    );
    let mut server = Server::builder()
        .file("echo_wsh.rhai", code)
        .args(["--drain-timeout", "60s", "--close-timeout", "1s"])
        .start()
        .await;
    let mut late = Raw::open(&server, "/echo").await;
    late.echoes(1).await;
    server.signal("TERM");
    late.expect_close(1001).await;
    // Longer than any bound that is not the drain's: this is about time.
    tokio::time::sleep(Duration::from_millis(3_500)).await;
    late.send(Wire::close(1001, "").bytes()).await;
    late.expect_eof().await;
    assert_eq!(server.exited().await.code(), Some(0));
    assert_eq!(server.count("closed 1001 true"), 1, "{}", server.logged());
}

/// Who does not answer at all is dropped when most of the time is up, and not before.
#[tokio::test]
async fn a_drain_takes_the_time_that_it_has() {
    let mut server = Server::builder()
        .file("echo_wsh.rhai", ECHO)
        .args(["--drain-timeout", "4s"])
        .start()
        .await;
    let mut mute = Raw::open(&server, "/echo").await;
    let began = Instant::now();
    server.signal("TERM");
    mute.expect_close(1001).await;
    assert_eq!(server.exited().await.code(), Some(0));
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(3_300), "{took:?}");
}

/// What is printed at the start fits 80 columns, and of many handlers it names the first.
#[tokio::test]
async fn what_is_printed_at_the_start_is_short() {
    let mut builder = Server::builder()
        .bare()
        .file("www/index.html", "a page")
        .args(["-p", "0", "-w", "handlers", "-d", "www"]);
    let code = format!("fn do_extra_handshake(request) {{ }}\nfn on_open(ws) {{ }}\n{ECHO}");
    for number in 0..30 {
        builder = builder.file(
            &format!("handlers/a_rather_long_name_{number:02}_wsh.rhai"),
            &code,
        );
    }
    let server = builder.start().await;
    let port = server.port();
    let more = server.printed("more").await;
    assert_eq!(more, "  … and 10 more: wsh-server routes -w handlers");
    let line = server.printed("open").await;
    assert_eq!(line, format!("  open http://localhost:{port}/"));
    let line = server.printed("_19_wsh.rhai").await;
    assert_eq!(
        line,
        "  /a_rather_long_name_19  a_rather_long_name_19_wsh.rhai"
    );
    for line in server.output().lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
}

/// Without a folder of files, the server's own pages are there to be opened, unless a proxy or a
/// name is configured.
#[tokio::test]
async fn the_address_of_the_servers_own_pages_is_printed_where_they_are() {
    let server = Server::start(&[("echo_wsh.rhai", ECHO)]).await;
    let line = server.printed("open").await;
    assert_eq!(line, format!("  open http://localhost:{}/", server.port()));
    for flags in [
        ["--trusted-proxy", "loopback"],
        ["--allow-host", "localhost"],
    ] {
        let builder = Server::builder().file("echo_wsh.rhai", ECHO).args(flags);
        let server = builder.start().await;
        server.printed("/echo").await;
        let output = server.output();
        assert!(!output.contains("open http"), "{flags:?}: {output}");
    }
}

/// A program under another name has the same short help, and its errors show the usage of the whole
/// command.
#[tokio::test]
async fn help_does_not_depend_on_the_programs_name() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let renamed = dir.path().join("wsh");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_wsh-server"), &renamed).expect("a link");
    let run = |args: &[&str]| {
        let output = std::process::Command::new(&renamed).args(args).output();
        let output = output.expect("the program runs");
        let text = [output.stdout, output.stderr].concat();
        String::from_utf8(text).expect("text")
    };
    let short = run(&["-h"]);
    assert!(short.lines().count() <= 30, "{short}");
    let wrong = run(&["--prot", "1"]);
    for line in ["'--port'", "Usage: wsh-server [OPTIONS]\n"] {
        assert!(wrong.contains(line), "{wrong}");
    }
    let wrong = run(&["check", "--formta", "json"]);
    for line in ["'--format'", "Usage: wsh-server check [OPTIONS]\n"] {
        assert!(wrong.contains(line), "{wrong}");
    }
}

/// The short help is a screen, the long one has every flag.
#[tokio::test]
async fn the_short_help_fits_a_screen() {
    let help = async |flag: &str| -> Finished {
        let builder = Server::builder().bare().arg(flag).env("COLUMNS", "80");
        builder.run().await
    };
    let short = help("-h").await;
    assert_eq!(short.status.code(), Some(0), "{short:?}");
    assert!(short.stdout.lines().count() <= 30, "{}", short.stdout);
    for line in short.stdout.lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
    for word in [
        "--websock-handlers",
        "--port",
        "check",
        "--public",
        "--help has all",
    ] {
        assert!(short.stdout.contains(word), "{word}: {}", short.stdout);
    }
    let long = help("--help").await;
    for word in ["--max-message", "--tls-client-ca", "--unix-socket", ":* "] {
        assert!(long.stdout.contains(word), "{word}: {}", long.stdout);
    }
}

/// The page has the sections that a page has.
#[tokio::test]
async fn the_manual_page_is_whole() {
    let page = Server::builder().bare().arg("man").run().await.stdout;
    let mut at = 0;
    for section in [
        "NAME",
        "SYNOPSIS",
        "DESCRIPTION",
        "COMMANDS",
        "OPTIONS",
        "ENVIRONMENT",
        "EXIT STATUS",
        "SIGNALS",
        "FILES",
        "EXAMPLES",
        "SEE ALSO",
    ] {
        let heading = page[at..].lines().position(|line| {
            let words = line
                .strip_prefix(".SH ")
                .map(|words| words.trim_matches('"'));
            words == Some(section)
        });
        assert!(
            heading.is_some(),
            "{section} is missing, or not in its place:\n{page}"
        );
        at = page
            .find(&format!(".SH {section}"))
            .or(page.find(&format!(".SH \"{section}\"")))
            .unwrap_or(at);
    }
    for word in ["WSH_PORT", "SIGUSR1", "ws.send", "wsh\\-server new hello"] {
        assert!(page.contains(word), "{word} is missing:\n{page}");
    }
}

/// The stacks of hooks are address space: with little of it the server says what that means, and
/// still answers.
#[tokio::test]
async fn c10_little_address_space_is_warned_of() {
    let builder = Server::builder().file("echo_wsh.rhai", ECHO);
    let server = builder.address_space(4 * 1024).start().await;
    server.log(["WARN", "4096 MiB (ulimit -v"]).await;
    Raw::open(&server, "/echo").await.echoes(3).await;
    let builder = Server::builder().file("echo_wsh.rhai", ECHO);
    let server = builder.start().await;
    assert_eq!(server.count("ulimit -v"), 0, "{}", server.logged());
}
