//! The log: table 1.8 of the robustness study. What peers and scripts say comes out as data, one
//! line an event, and in bounds. G03 is in `handshake`, G05 in `faults`, and what scripts print in
//! `runtime`.

use std::time::Duration;

use crate::support::{ECHO, Raw, Request, Server, Wire, within};

/// Every line of the log begins with its time, and none has a control character.
fn is_clean(logged: &str) {
    for line in logged.lines() {
        let begins = line.len() > 20 && line.as_bytes()[4] == b'-' && line.as_bytes()[10] == b'T';
        assert!(begins, "a line that is no event: {line:?}\n{logged}");
        assert!(!line.contains(|c: char| c.is_control()), "{line:?}");
    }
}

/// A carriage return, a line feed, an escape sequence and one that sets a terminal's title,
/// percent-encoded or not.
const ODD: [&str; 4] = ["\r", "\n", "\u{1b}[31mred", "\u{1b}]0;title\u{7}"];

#[tokio::test]
async fn g01_what_a_peer_sends_forges_no_log_line() {
    let code = format!(
        "{ECHO}fn on_close(ws, code, reason, was_clean) {{ print(`closed ${{reason}}`); }}"
    );
    let server = Server::builder()
        .files(&[
            ("echo_wsh.rhai", &code),
            (
                "room/[id]_wsh.rhai",
                "fn do_extra_handshake(request) \
            { print(request.params.id); throw request.params.id; }\nfn transfer_data(ws, message) \
            {}",
            ),
        ])
        .args(["--log-level", "trace"])
        .start()
        .await;
    for odd in ODD {
        let encoded: String = odd.bytes().map(|byte| format!("%{byte:02X}")).collect();
        // In the path, in the query, in a parameter, and in headers that people log.
        for path in [
            format!("/{encoded}"),
            format!("/echo?{encoded}"),
            format!("/room/{encoded}"),
        ] {
            let mut raw = Raw::connect(&server).await;
            raw.send(Request::upgrade(&path).bytes()).await;
            raw.head().await;
        }
        for name in [
            "User-Agent",
            "Origin",
            "Host",
            "Sec-WebSocket-Protocol",
            "Authorization",
            "X-Forwarded-For",
        ] {
            let mut raw = Raw::connect(&server).await;
            raw.send(
                Request::upgrade("/echo")
                    .set(name, format!("a{odd}b"))
                    .bytes(),
            )
            .await;
            raw.head().await;
        }
        let mut raw = Raw::open(&server, "/echo").await;
        raw.send(Wire::close(4000, format!("why{odd}forged")).bytes())
            .await;
        raw.expect_close(4000).await;
        raw.expect_eof().await;
        server.log("closed why").await;
    }
    is_clean(&server.logged());
}

/// Lines are cut at a length, and what a script prints beyond all reading is counted.
#[tokio::test]
async fn g02_a_script_that_prints_without_end() {
    let code = "fn transfer_data(ws, message) {\n    let text = \"x\"; text.pad(100000, 'x');\n    \
        for round in 0..5000 { print(text); }\n    ws.send(\"done\");\n}\n";
    let server = Server::start(&[("talk_wsh.rhai", code), ("echo_wsh.rhai", ECHO)]).await;
    let mut raw = Raw::open(&server, "/talk").await;
    raw.send(Wire::text("").bytes()).await;
    Raw::open(&server, "/echo").await.echoes(20).await;
    raw.expect_text("done").await;
    server
        .log(["WARN", "lines suppressed", "talk_wsh.rhai"])
        .await;
    let logged = server.logged();
    assert!(
        logged.len() < 8 * 1024 * 1024,
        "{} bytes of 500 MB",
        logged.len()
    );
    let longest = logged.lines().map(str::len).max().unwrap_or_default();
    assert!(longest < 9 * 1024, "a line of {longest} bytes");
    // In the next second it may print again.
    server.write(
        "talk_wsh.rhai",
        "fn transfer_data(ws, message) { print(\"again\"); ws.send(\"again\"); }",
    );
    within("a line of the next second", async {
        while server.count("again") == 0 {
            server.until_answer("/talk", "again").await;
        }
    })
    .await;
}

#[tokio::test]
async fn g04_long_headers_make_no_long_lines() {
    let server = Server::builder()
        .file("echo_wsh.rhai", ECHO)
        .args(["--log-level", "trace"])
        .start()
        .await;
    let long = "x".repeat(7_000);
    for name in [
        "User-Agent",
        "Origin",
        "Host",
        "Cookie",
        "Sec-WebSocket-Key",
        "Sec-WebSocket-Version",
        "Upgrade",
        "Connection",
        "X-Other",
    ] {
        for target in ["/echo", "/nothing"] {
            let mut raw = Raw::connect(&server).await;
            raw.send(Request::upgrade(target).set(name, &long).bytes())
                .await;
            raw.head().await;
        }
    }
    let mut raw = Raw::connect(&server).await;
    raw.send(Request::upgrade(&format!("/{long}")).bytes())
        .await;
    raw.expect_refusal(404).await;
    server.log("status=404").await;
    for line in server.logged().lines() {
        assert!(line.len() < 600, "{} bytes: {line:.300}", line.len());
    }
}

/// A log file that may not grow: what is lost is counted, and said when there is room again; the
/// server does nothing for it in the meantime.
#[tokio::test]
async fn c10_lines_that_a_full_disk_lost_are_counted() {
    let code = "fn transfer_data(ws, message) { print(message); ws.send(message); }";
    let builder = Server::builder().file("say_wsh.rhai", code);
    let log = builder.dir().join("log");
    let server = builder.arg("--log-file").arg(&log).start().await;
    let pid = i32::try_from(server.pid()).expect("a process");
    let most = rlimit::Resource::FSIZE.get_hard().expect("a limit");
    let read = || std::fs::read_to_string(&log).expect("the log");
    let bound_to = |bytes| {
        let size = rlimit::Resource::FSIZE;
        rlimit::prlimit(pid, size, Some((bytes, most)), None).expect("a limit for it");
    };
    let mut raw = Raw::open(&server, "/say").await;
    let mut say = async |text: &str| {
        raw.send(Wire::text(text).bytes()).await;
        raw.expect_text(text).await;
    };
    // A file has no event for its growth.
    let written = async |is_there: &dyn Fn(&str) -> bool| {
        within("the log's lines", async {
            while !is_there(&read()) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
    };
    say("first").await;
    written(&|log| log.contains("first")).await;
    let room = read().len() + 10;
    bound_to(room as u64);
    say("lost").await;
    written(&|log| log.len() == room).await;
    let spent = || cpu_time(server.pid());
    within("an idle server", async {
        loop {
            let before = spent();
            tokio::time::sleep(Duration::from_millis(200)).await;
            if spent() - before < 4 {
                return;
            }
        }
    })
    .await;
    bound_to(most);
    say("afterwards").await;
    written(&|log| log.contains("afterwards")).await;
    let logged = read();
    let said = "\nWARN wsh_server: 1 log lines lost: they could not be written";
    assert!(logged.contains(said), "{logged}");
    assert!(!logged.contains("print: lost"), "{logged}");
    assert!(!logged.contains("SIGXFSZ"), "{logged}");
}

/// Hundredths of a second that a process has computed.
fn cpu_time(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("/proc");
    let (_, fields) = stat.rsplit_once(')').expect("a name");
    let fields = fields.split_whitespace().skip(11).take(2);
    fields
        .map(|ticks| ticks.parse::<u64>().expect("a number"))
        .sum()
}
