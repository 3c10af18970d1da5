//! Frames and messages: table 1.2 of the robustness study, row by row, and the law behind F24: how
//! bytes are cut into segments changes nothing. Every violation is answered with a Close of the
//! right code, then FIN.

use std::time::Duration;

use crate::cases::NOT_UTF8;
use crate::support::{ECHO, Length, PATIENCE, Raw, Request, Server, Wire, every_case, within};

/// The bounds of the protocol that the rows are about.
const MAX_MESSAGE: usize = 16 * 1024 * 1024;
const MAX_FRAGMENTS: usize = 1_024;

async fn echo_server() -> Server {
    Server::start(&[("echo_wsh.rhai", ECHO)]).await
}

/// Each of these byte strings, sent on a connection of its own, is answered with this Close and
/// FIN.
async fn fails<N: Into<String>>(code: u16, cases: impl IntoIterator<Item = (N, Vec<u8>)>) {
    let server = echo_server().await;
    let port = server.port();
    let case = |(name, bytes)| {
        let case = async move {
            let mut raw = Raw::open_at(port, "/echo").await;
            raw.send(bytes).await;
            raw.expect_close(code).await;
            raw.expect_eof().await;
        };
        (name, case)
    };
    every_case(cases.into_iter().map(case)).await;
    // The failures were their connections' own.
    let mut raw = Raw::open(&server, "/echo").await;
    raw.send(Wire::text("still there").bytes()).await;
    raw.expect_text("still there").await;
}

#[tokio::test]
async fn f01_unmasked() {
    let frames = [
        ("text", Wire::text("hello")),
        ("empty text", Wire::text("")),
        ("binary", Wire::binary([0; 200])),
        ("ping", Wire::ping("")),
        ("pong", Wire::pong("x")),
        ("close", Wire::close(1000, "")),
        ("first fragment", Wire::text("hello").more()),
    ];
    fails(
        1002,
        frames.map(|(name, frame)| (name, frame.unmasked().bytes())),
    )
    .await;
}

#[tokio::test]
async fn f02_reserved_bits() {
    let mut cases = Vec::new();
    for rsv in 1..=7 {
        for opcode in [1, 2, 8, 9, 10] {
            // The header only: it is refused before its payload arrives.
            let frame = Wire::new(opcode, "").rsv(rsv).announcing(5);
            cases.push((format!("opcode {opcode}, bits {rsv:03b}"), frame.bytes()));
        }
        let fragments = [
            Wire::text("a").more().bytes(),
            Wire::continuation("").rsv(rsv).announcing(5).bytes(),
        ];
        cases.push((format!("continuation, bits {rsv:03b}"), fragments.concat()));
    }
    fails(1002, cases).await;
}

#[tokio::test]
async fn f03_unknown_opcodes() {
    let mut cases = Vec::new();
    for opcode in (3..=7).chain(11..=15) {
        cases.push((format!("{opcode}"), Wire::new(opcode, "").bytes()));
        cases.push((
            format!("{opcode} with a payload to come"),
            Wire::new(opcode, "").announcing(100).bytes(),
        ));
        cases.push((
            format!("{opcode} as a fragment"),
            Wire::new(opcode, "x").more().bytes(),
        ));
        let inside = [
            Wire::text("a").more().bytes(),
            Wire::new(opcode, "x").bytes(),
        ];
        cases.push((format!("{opcode} inside a message"), inside.concat()));
    }
    fails(1002, cases).await;
}

#[tokio::test]
async fn f04_long_control_frames() {
    let mut cases = Vec::new();
    for opcode in [8, 9, 10] {
        for length in [126, 127, 1_000, 65_535, 65_536, 1 << 32, 1 << 62, 1 << 63] {
            let header = Wire::new(opcode, "").announcing(length).bytes();
            cases.push((format!("opcode {opcode}, {length} bytes announced"), header));
        }
        let header = Wire::new(opcode, "").announcing(126).bytes();
        cases.push((
            format!("opcode {opcode}, only two bytes"),
            header[..2].to_vec(),
        ));
    }
    fails(1002, cases).await;
}

#[tokio::test]
async fn f05_fragmented_control_frames() {
    let mut cases = Vec::new();
    for opcode in [8, 9, 10] {
        cases.push((
            format!("opcode {opcode}"),
            Wire::new(opcode, "").more().bytes(),
        ));
        let inside = [
            Wire::text("a").more().bytes(),
            Wire::new(opcode, "").more().bytes(),
        ];
        cases.push((format!("opcode {opcode} inside a message"), inside.concat()));
    }
    fails(1002, cases).await;
}

#[tokio::test]
async fn f06_fragments_out_of_order() {
    let first = Wire::text("a").more().bytes();
    let whole = [first.clone(), Wire::continuation("b").bytes()].concat();
    let cases = [
        ("last fragment first", Wire::continuation("x").bytes()),
        (
            "middle fragment first",
            Wire::continuation("x").more().bytes(),
        ),
        (
            "text inside a text",
            [first.clone(), Wire::text("x").bytes()].concat(),
        ),
        (
            "binary inside a text",
            [first.clone(), Wire::binary("x").bytes()].concat(),
        ),
        (
            "another first fragment",
            [first.clone(), Wire::text("x").more().bytes()].concat(),
        ),
        (
            "data after a ping inside",
            [
                first.clone(),
                Wire::pong("").bytes(),
                Wire::text("x").bytes(),
            ]
            .concat(),
        ),
    ];
    fails(1002, cases).await;

    let server = echo_server().await;
    for opcode in [0x80, 0x00] {
        let mut raw = Raw::open(&server, "/echo").await;
        raw.send([whole.as_slice(), &[opcode, 0x80, 0, 0, 0, 0]].concat())
            .await;
        raw.expect_text("ab").await;
        raw.expect_close(1002).await;
        raw.expect_eof().await;
    }
}

#[tokio::test]
async fn f07_length_with_the_top_bit() {
    let lengths = [1 << 63, (1 << 63) + 5, u64::MAX, u64::MAX - 13];
    fails(
        1002,
        lengths.map(|length| {
            (
                format!("{length:x}"),
                Wire::binary("").announcing(length).bytes(),
            )
        }),
    )
    .await;
}

#[tokio::test]
async fn f08_length_not_in_its_shortest_form() {
    let mut cases = Vec::new();
    for (form, name, sizes) in [
        (Length::Bits16, "16", [0, 5, 125].as_slice()),
        (Length::Bits64, "64", &[0, 5, 126, 65_535]),
    ] {
        for &size in sizes {
            let payload = vec![b'x'; size];
            cases.push((
                format!("text, {size} in {name} bits"),
                Wire::text(&payload).length(form).bytes(),
            ));
            cases.push((
                format!("binary, {size} in {name} bits"),
                Wire::binary(&payload).length(form).bytes(),
            ));
        }
        cases.push((
            format!("ping in {name} bits"),
            Wire::ping("hello").length(form).bytes(),
        ));
    }
    fails(1002, cases).await;
}

#[tokio::test]
async fn f09_lengths_that_overflow_arithmetic() {
    let mut cases = Vec::new();
    for power in [31, 32, 53, 63] {
        for length in [(1 << power) - 1, 1 << power, (1 << power) + 1] {
            if length < 1 << 63 {
                cases.push((
                    format!("{length}"),
                    Wire::binary("").announcing(length).bytes(),
                ));
                let second = Wire::continuation("").announcing(length).bytes();
                cases.push((
                    format!("{length} more"),
                    [Wire::binary([0; 100]).more().bytes(), second].concat(),
                ));
            }
        }
    }
    fails(1009, cases).await;
}

#[tokio::test]
async fn f10_announced_bytes_cost_nothing() {
    let server = echo_server().await;
    server.warm_up("/echo").await;
    let before = server.memory().now;
    let mut waiting = Vec::new();
    for _ in 0..200 {
        let mut raw = Raw::open(&server, "/echo").await;
        raw.send(
            Wire::binary("a beginning")
                .announcing(MAX_MESSAGE as u64)
                .bytes(),
        )
        .await;
        waiting.push(raw);
    }
    server.warm_up("/echo").await;
    let grown = server.memory().now.saturating_sub(before);
    assert!(
        grown < 16 * 1024,
        "{grown} KiB for 200 announcements of 16 MiB"
    );
}

/// F10 and F16: what has begun and does not end is closed after 30 s, however it lingers.
#[tokio::test]
async fn f16_unfinished_for_30_seconds() {
    let server = echo_server().await;
    let starts = [
        ("half a header", Wire::text("hello").bytes()[..1].to_vec()),
        ("half a payload", Wire::text("hello").bytes()[..9].to_vec()),
        (
            "only the header",
            Wire::binary("").announcing(MAX_MESSAGE as u64).bytes(),
        ),
        ("a first fragment", Wire::text("hello").more().bytes()),
        (
            "and a ping",
            [Wire::text("hello").more().bytes(), Wire::ping("").bytes()].concat(),
        ),
    ];
    let port = server.port();
    let case = |(name, bytes): (&'static str, Vec<u8>)| {
        let case = async move {
            let mut raw = Raw::open_at(port, "/echo").await;
            raw.send(&bytes).await;
            let bound = Duration::from_secs(30) + PATIENCE;
            // Pings of the server come meanwhile.
            let close = async {
                loop {
                    assert!(!raw.at_end().await, "a Close before the end");
                    let frame = raw.frame().await;
                    if frame.opcode == 8 {
                        return frame.payload;
                    }
                }
            };
            let payload = tokio::time::timeout(bound, close).await.expect("a Close");
            assert_eq!(
                payload.get(..2),
                Some([0x03, 0xf0].as_slice()),
                "Close 1008"
            );
            raw.expect_eof().await;
        };
        (name, case)
    };
    every_case(starts.map(case)).await;
}

#[tokio::test]
async fn f11_message_in_one_frame_too_large() {
    let over = MAX_MESSAGE as u64 + 1;
    let cases = [
        ("binary", Wire::binary("").announcing(over)),
        ("text", Wire::text("").announcing(over)),
        ("first fragment", Wire::binary("").announcing(over).more()),
    ];
    fails(1009, cases.map(|(name, frame)| (name, frame.bytes()))).await;
}

#[tokio::test]
async fn f12_message_in_fragments_too_large() {
    let server = echo_server().await;
    let mebibyte = vec![b'x'; 1024 * 1024];
    for (name, last) in [
        ("header only", Wire::continuation("").announcing(1).more()),
        ("one byte", Wire::continuation("x")),
    ] {
        let mut raw = Raw::open(&server, "/echo").await;
        raw.send(Wire::text(&mebibyte).more().bytes()).await;
        for _ in 1..16 {
            raw.send(Wire::continuation(&mebibyte).more().bytes()).await;
        }
        // Up to here it is just not too large.
        raw.send(Wire::ping(name).bytes()).await;
        raw.expect_frame(10, name).await;
        raw.send(last.bytes()).await;
        raw.expect_close(1009).await;
        raw.expect_eof().await;
    }
}

/// A message of this many fragments, the last one final if `ends`.
fn fragments(count: usize, payload: &[u8], ends: bool) -> Vec<u8> {
    let middle = Wire::continuation(payload).more().bytes();
    let mut bytes = Wire::binary(payload).more().bytes();
    for _ in 2..count {
        bytes.extend_from_slice(&middle);
    }
    let last = Wire::continuation(payload);
    bytes.extend(if ends {
        last.bytes()
    } else {
        last.more().bytes()
    });
    bytes
}

#[tokio::test]
async fn f13_endless_tiny_fragments() {
    let sizes = [1, 7, 63].map(|size| {
        (
            format!("{size} bytes each"),
            fragments(2 * MAX_FRAGMENTS, &vec![0; size], false),
        )
    });
    fails(1008, sizes).await;

    let server = echo_server().await;
    let mut raw = Raw::open(&server, "/echo").await;
    raw.send(fragments(MAX_FRAGMENTS, b"x", true)).await;
    raw.expect_frame(2, vec![b'x'; MAX_FRAGMENTS]).await;
}

#[tokio::test]
async fn f14_endless_empty_fragments() {
    fails(1008, [("empty", fragments(100_000, b"", false))]).await;

    let server = echo_server().await;
    let mut raw = Raw::open(&server, "/echo").await;
    raw.send(fragments(3, b"", true)).await;
    raw.expect_frame(2, "").await;
}

#[tokio::test]
async fn f15_many_small_fragments() {
    let server = echo_server().await;
    let mut raw = Raw::open(&server, "/echo").await;
    raw.send(fragments(65_536, &[b'x'; 64], true)).await;
    raw.expect_frame(2, vec![b'x'; 4 * 1024 * 1024]).await;
}

#[tokio::test]
async fn f17_text_that_is_not_utf8() {
    let mut cases = Vec::new();
    for (name, bytes) in NOT_UTF8 {
        cases.push((name.to_string(), Wire::text(bytes).bytes()));
        let inside = [
            b"\xe6\x95\xb0 before, ".as_slice(),
            bytes,
            b" and after \xe6\x95\xb0",
        ]
        .concat();
        cases.push((format!("{name}, inside a text"), Wire::text(inside).bytes()));
        for at in 0..=bytes.len() {
            let (left, right) = bytes.split_at(at);
            let split = [
                Wire::text(left).more().bytes(),
                Wire::continuation(right).bytes(),
            ];
            cases.push((format!("{name}, split at {at}"), split.concat()));
        }
    }
    for unfinished in [
        b"\xc3".as_slice(),
        b"\xe6",
        b"\xe6\x95",
        b"\xf0",
        b"\xf0\x9f",
        b"\xf0\x9f\x98",
    ] {
        cases.push((
            format!("ends in {unfinished:x?}"),
            Wire::text(unfinished).bytes(),
        ));
        let split = [
            Wire::text(unfinished).more().bytes(),
            Wire::continuation("").bytes(),
        ];
        cases.push((
            format!("ends in {unfinished:x?} and an empty fragment"),
            split.concat(),
        ));
    }
    fails(1007, cases).await;
}

#[tokio::test]
async fn f17_the_edges_of_utf8() {
    let edges =
        "\0\u{7f}\u{80}\u{7ff}\u{800}\u{d7ff}\u{e000}\u{fffd}\u{fffe}\u{ffff}\u{10000}\u{10ffff}";
    let server = echo_server().await;
    let mut raw = Raw::open(&server, "/echo").await;
    raw.send(Wire::text(edges).bytes()).await;
    raw.expect_text(edges).await;
    raw.send(Wire::binary(b"\xff\xfe\xc0").bytes()).await;
    raw.expect_frame(2, b"\xff\xfe\xc0").await;
}

/// The Close comes although most of the frame, or of the message, never does.
#[tokio::test]
async fn f18_bad_byte_in_a_frame_that_does_not_end() {
    let mut cases = Vec::new();
    for (name, bytes) in NOT_UTF8 {
        let start = [b"\xe6\x95\xb0 before, ".as_slice(), bytes].concat();
        let frame = Wire::text(&start).announcing(100_000).bytes();
        cases.push((format!("{name}, in a frame"), frame));
        let fragment = [
            Wire::text(start).more().bytes(),
            Wire::continuation("").announcing(10).bytes(),
        ];
        cases.push((format!("{name}, in a fragment"), fragment.concat()));
    }
    fails(1007, cases).await;
}

#[tokio::test]
async fn f19_characters_split_across_frames() {
    let server = echo_server().await;
    let text = "\u{6570}\u{636e}\u{5df2}\u{63a5}\u{6536} \u{e9}\u{1f600}";
    let mut raw = Raw::open(&server, "/echo").await;
    for at in 0..=text.len() {
        let (left, right) = text.as_bytes().split_at(at);
        raw.send(Wire::text(left).more().bytes()).await;
        raw.send(Wire::continuation(right).bytes()).await;
        raw.expect_text(text).await;
    }
    // One byte a fragment, each in a segment of its own.
    raw.send(Wire::text("").more().bytes()).await;
    for byte in text.as_bytes() {
        raw.send(Wire::continuation([*byte]).more().bytes()).await;
    }
    raw.send(Wire::continuation("").bytes()).await;
    raw.expect_text(text).await;
}

#[tokio::test]
async fn f20_more_pings_than_anybody_needs() {
    let server = echo_server().await;
    let mut other = Raw::open(&server, "/echo").await;
    for flood in [Wire::ping("x"), Wire::pong("x")] {
        let mut raw = Raw::open(&server, "/echo").await;
        // Some may come at once, and as much again after a while.
        raw.send(flood.bytes().repeat(150)).await;
        raw.send(Wire::text("still there").bytes()).await;
        let mut pongs = 0;
        while let frame = raw.frame().await
            && frame.opcode != 1
        {
            assert_eq!((frame.opcode, &frame.payload[..]), (10, &b"x"[..]));
            pongs += 1;
        }
        assert!(pongs == 150 || pongs == 0, "{pongs}");
        // The server may close before it has read all of these.
        let _ = raw.try_send(flood.bytes().repeat(100_000)).await;
        let mut frame = raw.frame().await;
        while frame.opcode == 10 {
            frame = raw.frame().await;
        }
        assert_eq!(
            (frame.opcode, &frame.payload[..2]),
            (8, &1008_u16.to_be_bytes()[..])
        );
        other.send(Wire::ping("beside").bytes()).await;
        other.expect_frame(10, "beside").await;
    }
}

/// A handler that answers Pings by itself is not called for more of them either.
#[tokio::test]
async fn f20_pings_that_a_handler_heeds() {
    let handler =
        "fn on_ping(ws, payload) {\n    ws.pong(payload);\n}\n\nfn transfer_data(ws, message) {}\n";
    let server = Server::builder().file("pings_wsh.rhai", handler);
    let server = server
        .args(["--control-rate", "1", "--control-burst", "9"])
        .start()
        .await;
    let mut raw = Raw::open(&server, "/pings").await;
    for number in 0..10 {
        let payload = format!("{number}");
        raw.send(Wire::ping(&payload).bytes()).await;
        raw.expect_frame(10, payload).await;
    }
    raw.send(Wire::ping("").bytes().repeat(1000)).await;
    let mut frame = raw.frame().await;
    while frame.opcode == 10 {
        frame = raw.frame().await;
    }
    assert_eq!(
        (frame.opcode, &frame.payload[..2]),
        (8, &1008_u16.to_be_bytes()[..])
    );
}

/// A server whose clients may send as many Pings and Pongs as they like.
async fn patient_server() -> Server {
    let server = Server::builder().files(&[("echo_wsh.rhai", ECHO)]);
    server.args(["--control-rate", "0"]).start().await
}

#[tokio::test]
async fn f20_many_pings() {
    let server = patient_server().await;
    let mut raw = Raw::open(&server, "/echo").await;
    let mut other = Raw::open(&server, "/echo").await;
    for batch in 0..10 {
        let pings: Vec<_> = (0..1_000)
            .map(|i| Wire::ping(format!("{batch} {i}")).bytes())
            .collect();
        raw.send(pings.concat()).await;
        other.send(Wire::text("beside").bytes()).await;
        other.expect_text("beside").await;
        // A pong may answer several pings, but in their order, and the newest one is answered.
        let mut newest = None;
        while newest != Some(999) {
            let frame = raw.frame().await;
            assert_eq!(frame.opcode, 10, "{frame:?}");
            let payload = String::from_utf8(frame.payload).expect("text");
            let number = payload
                .strip_prefix(&format!("{batch} "))
                .expect("this batch");
            let number: usize = number.parse().expect("a number");
            assert!(newest < Some(number), "{number} after {newest:?}");
            newest = Some(number);
        }
    }
}

#[tokio::test]
async fn f21_pongs_nobody_asked_for() {
    let server = patient_server().await;
    let mut raw = Raw::open(&server, "/echo").await;
    let pongs = Wire::pong("").bytes().repeat(100_000);
    raw.send(&pongs).await;
    raw.send(Wire::text("first").bytes()).await;
    raw.expect_text("first").await;
    let before = server.memory().now;
    for _ in 0..9 {
        raw.send(&pongs).await;
    }
    raw.send(Wire::pong("with a payload").bytes()).await;
    raw.send(Wire::text("last").bytes()).await;
    raw.expect_text("last").await;
    let grown = server.memory().now.saturating_sub(before);
    assert!(grown < 2 * 1024, "{grown} KiB grown over 900,000 pongs");
}

#[tokio::test]
async fn f22_ping_between_fragments() {
    let server = echo_server().await;
    let mut raw = Raw::open(&server, "/echo").await;
    raw.send(Wire::text("frag").more().bytes()).await;
    raw.send(Wire::ping("now").bytes()).await;
    raw.expect_frame(10, "now").await;
    raw.send(Wire::continuation("men").more().bytes()).await;
    raw.send([Wire::pong("").bytes(), Wire::ping([7; 125]).bytes()].concat())
        .await;
    raw.expect_frame(10, [7; 125]).await;
    raw.send(Wire::continuation("ted").bytes()).await;
    raw.expect_text("fragmented").await;
}

/// A client that only sends is held back: its answers fill a bounded queue, then it is not read any
/// more.
#[tokio::test]
async fn f23_peer_that_never_reads() {
    let server = patient_server().await;
    server.warm_up("/echo").await;
    let mut other = Raw::open(&server, "/echo").await;
    let before = server.memory().now;
    for frame in [Wire::ping([7; 125]), Wire::binary([7; 4_096])] {
        let mut raw = Raw::open(&server, "/echo").await;
        let batch = frame.bytes().repeat(64 * 1024 / 131);
        for _ in 0..256 {
            // A second without room means that the server does not read; it is no bound on
            // anything.
            let room = Duration::from_secs(1);
            if !matches!(
                tokio::time::timeout(room, raw.try_send(&batch)).await,
                Ok(Ok(()))
            ) {
                break;
            }
        }
        let grown = server.memory().peak.saturating_sub(before);
        assert!(
            grown < 16 * 1024,
            "{grown} KiB grown for a peer that never reads"
        );
        other.send(Wire::text("beside").bytes()).await;
        other.expect_text("beside").await;
    }
}

/// A conversation with everything in it, and what comes back.
pub fn conversation() -> (Vec<u8>, Vec<u8>) {
    let said = [
        Wire::text("\u{6570}\u{636e}"),
        Wire::text("frag").more(),
        Wire::ping("between"),
        Wire::continuation("men").more(),
        Wire::continuation("").more(),
        Wire::pong("unasked"),
        Wire::continuation("ted"),
        Wire::binary([0xa5; 130]),
        Wire::text(""),
        Wire::close(1000, ""),
    ];
    let answered = [
        Wire::text("\u{6570}\u{636e}"),
        Wire::pong("between"),
        Wire::text("fragmented"),
        Wire::binary([0xa5; 130]),
        Wire::text(""),
        Wire::close(1000, ""),
    ];
    let bytes = |frames: &[Wire]| frames.iter().flat_map(Wire::bytes).collect();
    (bytes(&said), bytes(&answered.map(Wire::unmasked)))
}

/// Sends the pieces so that the server reads each by itself: with one worker, an echo on another
/// connection is answered only after the piece before it has been read.
async fn sent_in_pieces(server: &Server, pieces: impl Iterator<Item = &[u8]>) -> Vec<u8> {
    let mut raw = Raw::open(server, "/echo").await;
    let mut beside = Raw::open(server, "/echo").await;
    for piece in pieces {
        raw.send(piece).await;
        beside.send(Wire::text("read?").bytes()).await;
        beside.expect_text("read?").await;
    }
    raw.until_eof().await
}

#[tokio::test]
async fn f24_every_split_of_a_conversation() {
    let server = Server::builder()
        .files(&[("echo_wsh.rhai", ECHO)])
        .workers(1)
        .start()
        .await;
    let (said, answered) = conversation();
    for at in 0..=said.len() {
        let (left, right) = said.split_at(at);
        let back = sent_in_pieces(&server, [left, right].into_iter()).await;
        assert_eq!(
            back.escape_ascii().to_string(),
            answered.escape_ascii().to_string(),
            "split at {at}"
        );
    }
}

#[tokio::test]
async fn f24_one_byte_at_a_time() {
    let server = Server::builder()
        .files(&[("echo_wsh.rhai", ECHO)])
        .workers(1)
        .start()
        .await;
    let (said, answered) = conversation();
    for size in [1, 2, 3, 7] {
        let back = sent_in_pieces(&server, said.chunks(size)).await;
        assert_eq!(
            back.escape_ascii().to_string(),
            answered.escape_ascii().to_string(),
            "{size} bytes at a time"
        );
    }
}

#[tokio::test]
async fn f26_what_is_no_frame_at_all() {
    let cases = [
        ("an HTTP request", Request::get("/echo").bytes()),
        ("an upgrade", Request::upgrade("/echo").bytes()),
        ("a shout", b"HELLO\r\n".to_vec()),
        ("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc".to_vec()),
    ];
    fails(1002, cases).await;
}

#[tokio::test]
async fn f26_random_bytes() {
    let server = echo_server().await;
    let port = server.port();
    let case = |seed: u64| {
        let case = async move {
            let mut raw = Raw::open_at(port, "/echo").await;
            raw.send(random(seed, 64)).await;
            raw.finish().await;
            // Whatever it said last, it said in frames, and ended.
            while !within("a frame or the end", raw.at_end()).await {
                let frame = raw.frame().await;
                assert!(
                    matches!(frame.opcode, 1 | 2 | 8 | 9 | 10) && frame.fin && frame.rsv == 0,
                    "{frame:?}"
                );
            }
            raw.expect_eof().await;
        };
        (format!("seed {seed}"), case)
    };
    for hundred in 0..5 {
        every_case((hundred * 100..(hundred + 1) * 100).map(case)).await;
    }
    let mut raw = Raw::open(&server, "/echo").await;
    raw.send(Wire::text("still there").bytes()).await;
    raw.expect_text("still there").await;
}

/// Bytes that look random and are the same in every run (splitmix64).
fn random(seed: u64, count: usize) -> Vec<u8> {
    let word = |i: u64| {
        let mut x = (seed << 32 | i).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ x >> 31
    };
    (1..)
        .flat_map(|i| word(i).to_le_bytes())
        .take(count)
        .collect()
}

#[tokio::test]
async fn f27_the_largest_message() {
    let server = echo_server().await;
    let mut raw = Raw::open(&server, "/echo").await;
    let text = "\u{6570}".repeat(MAX_MESSAGE / 3) + "x";
    assert_eq!(text.len(), MAX_MESSAGE);
    raw.send(Wire::text(&text).bytes()).await;
    raw.expect_text(&text).await;
    let binary = random(27, MAX_MESSAGE);
    raw.send(Wire::binary(&binary).bytes()).await;
    raw.expect_frame(2, &binary).await;
    let quarters: Vec<_> = binary.chunks(MAX_MESSAGE / 4).collect();
    raw.send(Wire::binary(quarters[0]).more().bytes()).await;
    raw.send(Wire::continuation(quarters[1]).more().bytes())
        .await;
    raw.send(Wire::continuation(quarters[2]).more().bytes())
        .await;
    raw.send(Wire::continuation(quarters[3]).bytes()).await;
    raw.expect_frame(2, &binary).await;
}

#[tokio::test]
async fn f28_one_message_after_the_other() {
    let source = "fn transfer_data(ws, message) {
        ws.send(`begin ${message}`);
        sleep(0.02);
        ws.send(`end ${message}`);
    }";
    let server = Server::start(&[("slow_wsh.rhai", source)]).await;
    let mut raw = Raw::open(&server, "/slow").await;
    let messages: Vec<_> = (0..10).map(|i| Wire::text(i.to_string()).bytes()).collect();
    raw.send(messages.concat()).await;
    for i in 0..10 {
        raw.expect_text(&format!("begin {i}")).await;
        raw.expect_text(&format!("end {i}")).await;
    }
}

/// While a hook waits, what arrives stays in the kernel but for a bounded part, and nothing of it
/// is lost.
#[tokio::test]
async fn f28_reading_stops_while_a_hook_waits() {
    let source = "fn transfer_data(ws, message) {
        if message == \"wait\" { this.sum = 0; ws.send(\"waiting\"); sleep(2.0); }
        else if message == \"sum\" { ws.send(this.sum.to_string()); }
        else { this.sum += message.len(); }
    }";
    let server = Server::start(&[("slow_wsh.rhai", source)]).await;
    server.warm_up("/slow").await;
    let mut raw = Raw::open(&server, "/slow").await;
    raw.send(Wire::text("wait").bytes()).await;
    raw.expect_text("waiting").await;
    let before = server.memory().now;
    let chunk = Wire::binary(vec![7; 256 * 1024]).bytes();
    for _ in 0..256 {
        raw.send(&chunk).await;
    }
    raw.send(Wire::text("sum").bytes()).await;
    within("the sum", raw.expect_text(&(64 * 1024 * 1024).to_string())).await;
    let grown = server.memory().peak.saturating_sub(before);
    assert!(
        grown < 16 * 1024,
        "{grown} KiB grown for 64 MiB that waited"
    );
}
