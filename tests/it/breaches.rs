//! What a client does wrong is said: to it in the Close, and to the operator in one line with the
//! setting that bounds it.

use flate2::{Compress, Compression, FlushCompress};

use crate::support::{ECHO, Raw, Server, Wire, every_case};

#[tokio::test]
async fn b01_every_close_has_a_reason_and_a_line() {
    let long = Wire::text("x".repeat(101)).bytes();
    let fragments = [
        Wire::text("").more().bytes(),
        Wire::continuation("").more().bytes().repeat(8),
    ]
    .concat();
    // On a server each kind is said at once, and the next of it in this second would be counted.
    let first: Vec<Breach> = vec![
        (
            "echo",
            Wire::text("x").unmasked().bytes(),
            1002,
            "a frame without a mask",
            "",
        ),
        (
            "echo",
            Wire::close(999, "").bytes(),
            1002,
            "close code 999 must not be sent",
            "",
        ),
        (
            "echo",
            Wire::text([0xff]).bytes(),
            1007,
            "text that is not UTF-8",
            "",
        ),
        (
            "echo",
            Wire::ping("").bytes().repeat(9),
            1008,
            "too many Pings and Pongs",
            "--control-rate",
        ),
        (
            "echo",
            fragments,
            1008,
            "too many tiny fragments",
            "--max-fragments",
        ),
        (
            "echo",
            long.clone(),
            1009,
            "a message over the limit of 100 bytes",
            "--max-message",
        ),
        (
            "echo",
            vec![0x81, 0x85, 0],
            1008,
            "a message did not go on in time",
            "--frame-timeout",
        ),
    ];
    let second = vec![
        (
            "echo",
            Wire::new(3, "").bytes(),
            1002,
            "unknown opcode 3",
            "",
        ),
        (
            "small",
            long,
            1009,
            "a message over the limit of 10 bytes",
            "request.max_message",
        ),
    ];
    are_said(first).await;
    are_said(second).await;
}

/// Where, what is sent, the code of the Close, its reason, and the setting that the log names.
type Breach = (&'static str, Vec<u8>, u16, &'static str, &'static str);

async fn are_said(breaches: Vec<Breach>) {
    let server = Server::builder()
        .file("echo_wsh.rhai", ECHO)
        .file(
            "small_wsh.rhai",
            format!("fn do_extra_handshake(request) {{ request.max_message(10); }}\n{ECHO}"),
        )
        .args(["--max-message", "100"])
        .args(["--max-fragments", "4"])
        .args(["--control-rate", "1"])
        .args(["--control-burst", "2"])
        .args(["--frame-timeout", "1s"])
        .start()
        .await;
    for (path, bytes, code, sentence, setting) in breaches {
        let mut raw = Raw::open(&server, &format!("/{path}")).await;
        raw.send(&bytes).await;
        let reason = loop {
            let frame = raw.frame().await;
            // Pongs come before.
            if frame.opcode == 8 {
                assert_eq!(frame.payload[..2], code.to_be_bytes(), "{sentence}");
                break String::from_utf8(frame.payload[2..].to_vec()).expect("text");
            }
        };
        assert_eq!(reason, sentence);
        server
            .log([
                "INFO",
                &format!("closed: {sentence}"),
                setting,
                &format!("path=\"/{path}\""),
                &format!("code={code}"),
            ])
            .await;
    }
}

#[tokio::test]
async fn b01_a_flood_of_breaches_is_counted() {
    const CLIENTS: usize = 30;
    let server = Server::builder()
        .workers(1)
        .file("echo_wsh.rhai", ECHO)
        .start()
        .await;
    let port = server.port();
    every_case((0..CLIENTS).map(|number| {
        let case = async move {
            let mut raw = Raw::open_at(port, "/echo").await;
            raw.send(Wire::text("x").unmasked().bytes()).await;
            raw.expect_close(1002).await;
        };
        (number.to_string(), case)
    }))
    .await;
    // Those that have no line of their own are in the sum of some second.
    let mut counted = server.count("closed: a frame without a mask");
    while counted < CLIENTS {
        let line = server
            .log(["INFO", "closed", "more refusal=\"frame\""])
            .await;
        let more = line.split("closed ").nth(1).expect("a number");
        let more = more
            .split(' ')
            .next()
            .and_then(|more| more.parse::<usize>().ok());
        counted = server.count("closed: a frame without a mask") + more.expect("a number");
    }
    assert!(server.count("closed: a frame without a mask") < CLIENTS);
}

#[tokio::test]
async fn b02_a_subprotocol_that_nobody_picks_is_said_once_a_handler() {
    let picks = format!(
        "fn do_extra_handshake(request) {{ request.protocol = request.requested_protocols[0]; \
        }}\n{ECHO}"
    );
    let server = Server::start(&[
        ("none_wsh.rhai", ECHO),
        ("other_wsh.rhai", ECHO),
        ("picks_wsh.rhai", &picks),
    ])
    .await;
    let offer = [("Sec-WebSocket-Protocol", "chat, soap")];
    for path in ["/picks", "/none", "/none", "/other", "/none"] {
        let mut raw = Raw::connect(&server).await;
        let head = raw.handshake(path, &offer).await;
        head.expect_upgrade();
        let picked = (path == "/picks").then_some("chat");
        assert_eq!(head.header("Sec-WebSocket-Protocol"), picked);
    }
    // Without an offer there is nothing to say.
    Raw::open(&server, "/none").await;
    let line = "request.protocol = request.requested_protocols[0]";
    for handler in ["none_wsh.rhai", "other_wsh.rhai"] {
        server.log([line, handler, "chat, soap"]).await;
    }
    assert_eq!(server.count(line), 2);
}

/// Messages of one compressor that keeps its window whatever was agreed on, as that of Safari 15
/// does.
fn with_a_window(texts: &[&str]) -> Vec<Vec<u8>> {
    let mut zlib = Compress::new_with_window_bits(Compression::best(), false, 15);
    let compress = |text: &&str| {
        let mut out = Vec::with_capacity(text.len() + 64);
        zlib.compress_vec(text.as_bytes(), &mut out, FlushCompress::Sync)
            .expect("room");
        out.truncate(out.len() - 4);
        Wire::text(out).rsv(4).bytes()
    };
    texts.iter().map(compress).collect()
}

/// Safari on an iPhone of 2021, the program of another of Apple's systems, Chromium, and Firefox.
const SAFARI: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 15_0 like Mac OS X) AppleWebKit/605.1.15 \
    (KHTML, like Gecko) Version/15.0 \
                      Mobile/15E148 Safari/604.1";
const APPLE: &str = "Chat/1 CFNetwork/1312 Darwin/21.0.0";
const CHROME: &str = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) \
    Chrome/142.0.0.0 Safari/537.36";
const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";

/// WebKit, which offers no parameter of its own, is understood; who knows the parameters is held to
/// them. The log names the cure, which makes the server understand everybody.
#[tokio::test]
async fn b03_a_client_that_keeps_its_window_all_the_same() {
    let server = Server::start(&[("echo_wsh.rhai", ECHO)]).await;
    let texts = [
        "the same words again",
        "the same words again",
        "and the same words again",
    ];
    for (agent, offer, is_understood) in [
        (SAFARI, "permessage-deflate", true),
        (APPLE, "permessage-deflate", true),
        (
            SAFARI,
            "permessage-deflate; server_no_context_takeover",
            true,
        ),
        (
            SAFARI,
            "permessage-deflate; client_no_context_takeover",
            false,
        ),
        (CHROME, "permessage-deflate; client_max_window_bits", false),
        (CHROME, "permessage-deflate", false),
        (FIREFOX, "permessage-deflate", false),
    ] {
        let mut raw = Raw::connect(&server).await;
        let head = raw
            .handshake(
                "/echo",
                &[("Sec-WebSocket-Extensions", offer), ("User-Agent", agent)],
            )
            .await;
        head.expect_upgrade();
        let agreed = head.header("Sec-WebSocket-Extensions").expect("an answer");
        assert!(agreed.contains("client_no_context_takeover"), "{agreed}");
        let messages = with_a_window(&texts);
        raw.send(&messages[0]).await;
        raw.expect_text(texts[0]).await;
        if is_understood {
            for (message, text) in messages[1..].iter().zip(&texts[1..]) {
                raw.send(message).await;
                raw.expect_text(text).await;
            }
        } else {
            raw.send(&messages[1]).await;
            raw.expect_close(1007).await;
        }
    }
    server.log(["INFO", "--compression-client-context"]).await;

    let server = Server::builder()
        .file("echo_wsh.rhai", ECHO)
        .arg("--compression-client-context")
        .start()
        .await;
    let mut raw = Raw::connect(&server).await;
    let offer = [("Sec-WebSocket-Extensions", "permessage-deflate")];
    raw.handshake("/echo", &offer).await.expect_upgrade();
    for (message, text) in with_a_window(&texts).iter().zip(&texts) {
        raw.send(message).await;
        raw.expect_text(text).await;
    }
}
