//! Every hook beyond the message callback: the loop and `receive`, timers, pings and pongs, a
//! handler's own hooks; in order, never two at once, and over reloads.

use crate::support::{Raw, Request, Server, Wire, answering, connect};

const LOOP: &str = "fn transfer_data(ws) {
    let message = ws.receive();
    while message != () {
        if message == \"leave\" { return; }
        ws.send(`V got ${message}`);
        message = ws.receive();
    }
    print(\"the loop is over\");
}

fn on_close(ws, code, reason, was_clean) {
    print(`closed with ${code} ${was_clean}`);
}
";

#[tokio::test]
async fn a_loop_owns_its_connection_and_closes_it_when_it_returns() {
    let server = Server::start(&[("loop_wsh.rhai", LOOP)]).await;
    let mut client = connect(server.url("/loop")).await;
    for word in ["one", "two", "three"] {
        client.send_text(word).await;
        assert_eq!(client.next_text().await, format!("V got {word}"));
    }
    client.send_text("leave").await;
    assert_eq!(client.next_close().await, (1000, String::new()));
    server.log("closed with 1000").await;
    assert_eq!(server.count("the loop is over"), 0);
}

#[tokio::test]
async fn receive_gives_unit_at_the_end_whatever_the_end() {
    let server = Server::start(&[("loop_wsh.rhai", LOOP)]).await;
    let mut client = connect(server.url("/loop")).await;
    assert_eq!(client.close(4001, "").await.0, 4001);
    server
        .until_logged(&["the loop is over", "closed with 4001 true"])
        .await;
    let raw = Raw::open(&server, "/loop").await;
    raw.reset();
    server.until_logged(&["closed with 1006 false"]).await;
    assert_eq!(server.count("the loop is over"), 2);
    assert_eq!(server.count("script fault"), 0);
}

#[tokio::test]
async fn a_burst_is_received_in_order_while_the_loop_sleeps() {
    let code = "fn transfer_data(ws) {
    ws.send(\"ready\");
    let message = ws.receive();
    while message != () {
        sleep(0.001);
        ws.send(message);
        message = ws.receive();
    }
}";
    let server = Server::start(&[("slow_wsh.rhai", code)]).await;
    let mut raw = Raw::open(&server, "/slow").await;
    raw.expect_text("ready").await;
    let burst: Vec<u8> = (0..200)
        .flat_map(|number| Wire::text(number.to_string()).bytes())
        .collect();
    raw.send(burst).await;
    for number in 0..200 {
        raw.expect_text(&number.to_string()).await;
    }
}

#[tokio::test]
async fn receive_ends_after_its_time_and_the_connection_goes_on() {
    let code = "fn transfer_data(ws) {
    let message = ws.receive(0.05);
    ws.send(`${type_of(message)} ${ws.ready_state}`);
    ws.send(`then ${ws.receive(60)}`);
}";
    let server = Server::start(&[("wait_wsh.rhai", code)]).await;
    let mut client = connect(server.url("/wait")).await;
    assert_eq!(client.next_text().await, "() open");
    client.send_text("late").await;
    assert_eq!(client.next_text().await, "then late");
    assert_eq!(client.next_close().await.0, 1000);
}

/// `receive` in other hooks is a conversation of its own: the messages go there, not to
/// `transfer_data`.
#[tokio::test]
async fn a_message_hook_may_receive_the_next_message_itself() {
    let code = "fn on_open(ws) {
    ws.send(\"name?\");
    this.name = ws.receive();
    ws.send(\"hello \" + this.name);
}

fn transfer_data(ws, message) {
    if message == \"quiz\" {
        ws.send(\"2 + 2?\");
        ws.send(if ws.receive() == \"4\" { \"right\" } else { \"wrong\" });
    } else {
        ws.send(`${this.name}: ${message}`);
    }
}";
    let server = Server::start(&[("talk_wsh.rhai", code)]).await;
    let mut client = connect(server.url("/talk")).await;
    assert_eq!(client.next_text().await, "name?");
    for (said, answer) in [
        ("ada", "hello ada"),
        ("hi", "ada: hi"),
        ("quiz", "2 + 2?"),
        ("4", "right"),
        ("bye", "ada: bye"),
    ] {
        client.send_text(said).await;
        assert_eq!(client.next_text().await, answer);
    }
}

/// Other hooks are called meanwhile, and what follows `on_open` does not follow them.
#[tokio::test]
async fn a_loop_begins_when_on_open_is_done_and_not_before() {
    let code = "fn on_open(ws) {
    ws.send(\"name?\");
    this.name = ws.receive();
    ws.send(\"hello \" + this.name);
}
fn on_ping(ws, payload) { ws.pong(payload); }
fn transfer_data(ws) {
    ws.send(`a loop for ${this.name ?? \"nobody\"}`);
    while ws.receive() != () {}
}";
    let server = Server::start(&[("late_wsh.rhai", code)]).await;
    let mut raw = Raw::open(&server, "/late").await;
    raw.expect_text("name?").await;
    raw.send(Wire::ping("now").bytes()).await;
    raw.expect_frame(10, "now").await;
    raw.send(Wire::text("ada").bytes()).await;
    raw.expect_text("hello ada").await;
    raw.expect_text("a loop for ada").await;
}

#[tokio::test]
async fn only_one_hook_receives() {
    let code = "fn on_open(ws) { ws.after(0, \"now\"); }
fn transfer_data(ws) { ws.receive(); }
fn on_timer(ws, name) {
    try { ws.receive(); } catch (e) { ws.send(e.kind); }
}
fn passive_closing_handshake(ws, code, reason) {
    if ws.receive() == () { 4002 } else { 4003 }
}";
    let server = Server::start(&[("two_wsh.rhai", code)]).await;
    let mut client = connect(server.url("/two")).await;
    assert_eq!(client.next_text().await, "receive");
    assert_eq!(client.close(1000, "").await.0, 4002);
}

/// The other hooks run while the loop waits, and see the same `this`.
#[tokio::test]
async fn hooks_beside_a_waiting_loop_share_its_state() {
    let code = "fn on_open(ws) { this.log = []; ws.every(0.005, \"tick\"); }
fn transfer_data(ws) {
    let message = ws.receive();
    while message != () {
        this.log.push(message);
        ws.send(`${this.log}`);
        this.log.clear();
        message = ws.receive();
    }
    this.log.push(\"end\");
}
fn on_timer(ws, name) { if !this.log.contains(name) { this.log.push(name); ws.ping(name); } }
fn on_pong(ws, payload) { this.log.push(\"pong \" + payload.as_string()); ws.send(\"ponged\"); }
fn on_close(ws, code, reason, was_clean) { print(`at the end ${this.log}`); }";
    let server = Server::start(&[("both_wsh.rhai", code)]).await;
    let mut client = connect(server.url("/both")).await;
    assert_eq!(client.next_text().await, "ponged");
    client.send_text("hello").await;
    assert_eq!(
        client.next_text().await,
        "[\"tick\", \"pong tick\", \"hello\"]"
    );
    client.close(1000, "").await;
    server.until_logged(&["\"end\"]"]).await;
    assert_eq!(server.count("script fault"), 0);
}

#[tokio::test]
async fn timers_are_named_replaced_cancelled_and_kept_over_a_reload() {
    let code = |version: &str| {
        "fn on_open(ws) {
    ws.every(0.01, \"beat\");
    ws.after(0.02, \"once\");
    ws.after(60, \"never\");
    ws.after(0.02, \"never\");
    ws.send(`${ws.cancel(\"never\")} ${ws.cancel(\"never\")}`);
}
fn transfer_data(ws, message) { ws.send(message); }
fn on_timer(ws, name) { ws.send(`V ${name}`); }"
            .replace('V', version)
    };
    let server = Server::start(&[("timer_wsh.rhai", &code("old"))]).await;
    let mut client = connect(server.url("/timer")).await;
    assert_eq!(client.next_text().await, "true false");
    let mut seen = Vec::new();
    while seen.iter().filter(|text| *text == "old beat").count() < 3 || seen.len() < 4 {
        seen.push(client.next_text().await);
    }
    assert_eq!(seen.iter().filter(|text| *text == "old once").count(), 1);
    server.replace("timer_wsh.rhai", code("new"));
    while client.next_text().await != "new beat" {}
    // A version without the hook ignores what is due, and the next one has the timer still.
    server.replace("timer_wsh.rhai", answering("quiet"));
    client.send_text("?").await;
    while client.next_text().await != "quiet" {
        client.send_text("?").await;
    }
    server.replace("timer_wsh.rhai", code("back"));
    while client.next_text().await != "back beat" {}
    assert_eq!(server.count("script fault"), 0);
}

#[tokio::test]
async fn timers_have_bounds_and_need_their_hook() {
    let code = "fn on_open(ws) {
    let tries = [
        || ws.every(0.0001, \"fast\"), || ws.after(-1, \"past\"), || ws.after(100_000, \"far\"),
    ];
    for attempt in tries {
        try { attempt.call(); } catch (e) { ws.send(e.kind); }
    }
    try {
        for number in 0..100 { ws.after(60, `timer ${number}`); }
    } catch (e) { ws.send(e.message); }
}
fn on_timer(ws, name) {}
fn transfer_data(ws, message) {}";
    let without = "fn on_open(ws) { try { ws.after(1, \"x\"); } catch (e) { ws.send(e.message); } }
fn transfer_data(ws, message) {}";
    let server = Server::start(&[("many_wsh.rhai", code), ("none_wsh.rhai", without)]).await;
    let mut client = connect(server.url("/many")).await;
    for kind in ["time", "time", "time"] {
        assert_eq!(client.next_text().await, kind);
    }
    assert!(client.next_text().await.contains("64 timers"));
    let mut client = connect(server.url("/none")).await;
    assert!(client.next_text().await.contains("fn on_timer(ws, name)"));
}

#[tokio::test]
async fn on_ping_takes_the_place_of_the_automatic_pong() {
    let code = "fn transfer_data(ws, message) { ws.send(message); }
fn on_ping(ws, payload) { ws.pong(\"not \" + payload.as_string()); }";
    // One worker, since each takes the new version in its own time.
    let server = Server::builder()
        .file("ping_wsh.rhai", code)
        .workers(1)
        .start()
        .await;
    let mut raw = Raw::open(&server, "/ping").await;
    raw.send(Wire::ping("this").bytes()).await;
    raw.expect_frame(10, "not this").await;
    server.replace("ping_wsh.rhai", answering("plain"));
    let mut other = connect(server.url("/ping")).await;
    other.until_answer("plain").await;
    raw.send(Wire::ping("again").bytes()).await;
    raw.expect_frame(10, "again").await;
}

#[tokio::test]
async fn abort_drops_the_connection_behind_what_was_sent() {
    let code = "fn transfer_data(ws, message) {
    ws.send(\"last words\");
    ws.abort();
    ws.send(\"unheard\");
    print(ws.ready_state);
}
fn on_close(ws, code, reason, was_clean) { print(`gone ${code} ${was_clean}`); }";
    let server = Server::start(&[("abort_wsh.rhai", code)]).await;
    let mut raw = Raw::open(&server, "/abort").await;
    raw.send(Wire::text("go").bytes()).await;
    raw.expect_text("last words").await;
    raw.expect_eof().await;
    server.until_logged(&["gone 1006 false", "closed"]).await;
}

#[tokio::test]
async fn fragments_and_controls_between_them() {
    let code = "fn transfer_data(ws, message) {
    ws.send_fragment(\"a\", false);
    ws.ping(\"p\");
    try { ws.send(\"whole\"); } catch (e) { this.first = e.kind; }
    try { ws.send_fragment(blob(1), true); } catch (e) { this.second = e.kind; }
    ws.send_fragment(\"b\", false);
    ws.send_fragment(\"\", true);
    ws.send(`${this.first} ${this.second}`);
    ws.close(());
}";
    let server = Server::start(&[("parts_wsh.rhai", code)]).await;
    let mut raw = Raw::open(&server, "/parts").await;
    raw.send(Wire::text("go").bytes()).await;
    let bytes = [
        &b"\x01\x01a"[..],
        b"\x89\x01p",
        b"\x00\x01b",
        b"\x80\x00",
        b"\x81\x11fragment fragment",
        b"\x88\x00",
    ]
    .concat();
    assert_eq!(raw.exactly(bytes.len()).await, bytes);
}

/// Eight times what is read ahead does not arrive while the script does not read; then all of it
/// does.
#[tokio::test]
async fn pause_holds_the_peer_back() {
    let code = "fn on_open(ws) { this.bytes = 0; ws.pause(); ws.after(0.3, \"go on\"); }
fn on_timer(ws, name) { ws.send(`${this.bytes}`); ws.resume(); }
fn transfer_data(ws, message) {
    this.bytes += message.len;
    if this.bytes == 67_108_864 { ws.send(\"all\"); }
}";
    let server = Server::start(&[("slow_wsh.rhai", code)]).await;
    let mut raw = Raw::open(&server, "/slow").await;
    let message = Wire::binary(vec![7; 1 << 20]).bytes();
    for _ in 0..64 {
        raw.send(&message).await;
    }
    raw.expect_text("0").await;
    raw.expect_text("all").await;
}

#[tokio::test]
async fn a_hook_that_sleeps_is_ended_with_its_peer_and_on_close_follows() {
    let code =
        "fn transfer_data(ws, message) { print(\"asleep\"); sleep(3600.0); print(\"awake\"); }
fn on_close(ws, code, reason, was_clean) { print(`closed ${code}`); }";
    let server = Server::start(&[("nap_wsh.rhai", code)]).await;
    let mut raw = Raw::open(&server, "/nap").await;
    raw.send(Wire::text("go").bytes()).await;
    server.log("asleep").await;
    raw.reset();
    server.log("closed 1006").await;
    assert_eq!(server.count("awake"), 0);
}

/// A handshake whose client leaves is not slept out.
#[tokio::test]
async fn a_sleeping_handshake_ends_with_its_client() {
    let code = "fn do_extra_handshake(request) { print(\"asleep\"); sleep(3600); }
fn transfer_data(ws, message) {}";
    let server = Server::builder()
        .args(["--log-level", "debug"])
        .files(&[("nap_wsh.rhai", code)])
        .start()
        .await;
    let mut raw = Raw::connect(&server).await;
    raw.send(Request::upgrade("/nap").bytes()).await;
    server.log("asleep").await;
    raw.reset();
    server.log("handshake dropped").await;
}

#[tokio::test]
async fn a_loop_that_sleeps_at_the_end_is_cut_off_and_on_close_still_runs() {
    let code = "fn transfer_data(ws) {
    ws.send(\"ready\");
    while ws.receive() != () {}
    print(\"tidying\");
    sleep(3600);
}
fn on_close(ws, code, reason, was_clean) { print(`closed ${code}`); }";
    let server = Server::start(&[("tidy_wsh.rhai", code)]).await;
    let mut raw = Raw::open(&server, "/tidy").await;
    raw.expect_text("ready").await;
    raw.reset();
    server.log("tidying").await;
    server.log("closed 1006").await;
}

#[tokio::test]
async fn what_a_handlers_own_hooks_log_has_no_connection() {
    let code = "fn on_load() { print(\"loaded\"); every(0.01, \"now\"); }
fn on_interval(name) { if cancel(name) { throw \"thrown\"; } }
fn do_extra_handshake(request) { print(\"asked\"); }
fn transfer_data(ws, message) { print(\"heard\"); throw \"thrown\"; }";
    let server = Server::start(&[("own_wsh.rhai", code)]).await;
    for own in [
        "loaded",
        "hook=\"on_interval\"",
        "in on_interval of version 1",
    ] {
        let line = server.log(own).await;
        assert!(!line.contains("connection"), "{line}");
    }
    let mut client = connect(server.url("/own")).await;
    client.send_text("?").await;
    for its in [
        "asked",
        "heard",
        "hook=\"transfer_data\"",
        "in transfer_data of version 1",
    ] {
        let line = server.log(its).await;
        assert!(line.contains("connection"), "{line}");
    }
}

#[tokio::test]
async fn a_handler_has_hooks_of_its_own_and_each_version_begins_anew() {
    let code = |version: &str| {
        "fn on_load() {
    this.loads = (this.loads ?? 0) + 1;
    print(`V loaded ${this.loads}`);
    every(0.01, \"V\");
}
fn on_interval(name) { print(`interval ${name}`); }
fn transfer_data(ws, message) {
    try { every(1, \"x\"); } catch (e) { ws.send(e.kind); }
}"
        .replace('V', version)
    };
    let server = Server::builder()
        .workers(2)
        .files(&[("own_wsh.rhai", &code("first"))])
        .start()
        .await;
    server
        .until_logged(&["first loaded 1", "interval first"])
        .await;
    let mut client = connect(server.url("/own")).await;
    client.send_text("?").await;
    assert_eq!(client.next_text().await, "timer");
    server.replace("own_wsh.rhai", code("second"));
    server
        .until_logged(&["second loaded 2", "interval second"])
        .await;
    let old = server.count("interval first");
    let seen = server.count("interval second");
    while server.count("interval second") < seen + 5 {
        server.log("interval second").await;
    }
    assert_eq!(server.count("interval first"), old, "the first one's timer");
    assert_eq!(server.count("loaded 1"), 1, "once, on one worker");
    server.remove("own_wsh.rhai");
    server.log("handler removed").await;
}

#[tokio::test]
async fn a_fault_in_any_hook_closes_with_1011_and_on_close_follows() {
    let timer = "fn on_open(ws) { ws.after(0, \"t\"); }";
    let hooks = [
        ("on_open(ws)", "", Wire::text("x")),
        ("on_timer(ws, name)", timer, Wire::text("x")),
        ("on_ping(ws, payload)", "", Wire::ping("")),
        ("on_pong(ws, payload)", "", Wire::pong("")),
        ("transfer_data(ws, message)", "", Wire::text("x")),
        ("transfer_data(ws)", "", Wire::text("x")),
    ];
    for (hook, beside, frame) in hooks {
        let message = if hook.starts_with("transfer") {
            ""
        } else {
            "fn transfer_data(ws, message) {}"
        };
        let code = format!(
            "fn {hook} {{ throw \"thrown\"; }}\n{beside}\n{message}\n\
             fn on_close(ws, code, reason, was_clean) {{ print(`closed ${{code}}`); }}"
        );
        let server = Server::start(&[("bad_wsh.rhai", &code)]).await;
        let mut raw = Raw::open(&server, "/bad").await;
        raw.send(frame.bytes()).await;
        raw.answer_close(1011).await;
        server.log("closed 1011").await;
        assert_eq!(server.count("script fault"), 1, "{hook}");
    }
}
