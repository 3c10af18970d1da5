//! permessage-deflate on the wire: table 1.4 of the robustness study, row by row, and what scripts
//! say about it. What the server sends is inflated, and what it is sent was compressed, by zlib's
//! own interface, not by the server's.

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};
use serde_json::json;

use crate::support::{Builder, ECHO, Frame, Head, Raw, Server, Wire, every_case};

/// The bound of a message that the rows are about.
const MAX_MESSAGE: usize = 16 * 1024 * 1024;
/// What an offer is answered with where nothing is configured.
const PLAIN: &str = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
/// What every compressed message ends with and leaves out.
const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];
/// `Hello`, RFC 7692 section 7.2.3.1.
const HELLO: [u8; 7] = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];

fn echo() -> Builder {
    Server::builder().files(&[("echo_wsh.rhai", ECHO)])
}

/// The parameters of an offer, or the end of the list of offers, as they stand behind its name.
async fn ask(port: u16, path: &str, params: &str) -> (Raw, Head) {
    let mut raw = Raw::connect_to(port).await;
    let offer = format!("permessage-deflate{params}");
    let head = raw
        .handshake(path, &[("Sec-WebSocket-Extensions", &offer)])
        .await;
    head.expect_upgrade();
    (raw, head)
}

/// A connection on which messages are compressed.
async fn open(server: &Server, path: &str) -> Raw {
    open_at(server.port(), path).await
}

async fn open_at(port: u16, path: &str) -> Raw {
    let (raw, head) = ask(port, path, "").await;
    assert_eq!(head.header("Sec-WebSocket-Extensions"), Some(PLAIN));
    raw
}

/// One side's compressor, as a client has it.
struct Client {
    compress: Compress,
    decompress: Decompress,
}

impl Client {
    fn new(bits: u8) -> Client {
        Client {
            compress: Compress::new_with_window_bits(Compression::best(), false, bits),
            decompress: Decompress::new(false),
        }
    }

    fn deflate(&mut self, data: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(data.len() + data.len() / 8 + 100);
        let flush = FlushCompress::Sync;
        let flushed = self.compress.compress_vec(data, &mut out, flush);
        flushed.expect("room for everything");
        assert_eq!(out.split_off(out.len() - 4), TAIL);
        out
    }

    fn inflate(&mut self, data: &[u8], length: usize) -> Vec<u8> {
        let mut out = Vec::with_capacity(length + 1);
        let data = [data, &TAIL].concat();
        let flush = FlushDecompress::Sync;
        let inflated = self.decompress.decompress_vec(&data, &mut out, flush);
        inflated.expect("raw deflate");
        out
    }
}

fn deflate(data: &[u8]) -> Vec<u8> {
    Client::new(15).deflate(data)
}

fn inflate(data: &[u8], length: usize) -> Vec<u8> {
    Client::new(15).inflate(data, length)
}

/// Letters that compress to a quarter or so.
fn letters(length: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(length as u64);
    (0..length)
        .map(|_| b"aaabcde \n"[random.usize(..9)])
        .collect()
}

/// The frame is a whole compressed message; gives what is in it.
fn unpack(frame: &Frame, length: usize) -> Vec<u8> {
    assert!(
        frame.fin && frame.rsv == 4 && matches!(frame.opcode, 1 | 2),
        "{frame:?}"
    );
    assert!(!frame.payload.ends_with(&TAIL));
    inflate(&frame.payload, length)
}

impl Raw {
    async fn expect_compressed(&mut self, data: &[u8]) {
        let frame = self.frame().await;
        assert!(unpack(&frame, data.len()) == data, "{} bytes", data.len());
    }
}

/// Each of these, sent on a connection of its own on which messages are compressed, is answered
/// with this Close and FIN.
async fn fails<N: Into<String>>(code: u16, cases: impl IntoIterator<Item = (N, Vec<u8>)>) {
    let server = echo().start().await;
    let port = server.port();
    let case = |(name, bytes)| {
        let case = async move {
            let mut raw = open_at(port, "/echo").await;
            raw.send(bytes).await;
            raw.expect_close(code).await;
            raw.expect_eof().await;
        };
        (name, case)
    };
    every_case(cases.into_iter().map(case)).await;
    let mut raw = open(&server, "/echo").await;
    raw.send(Wire::text(HELLO).rsv(4).bytes()).await;
    raw.expect_text("Hello").await;
}

/// Frames of a compressed message, each with so many bytes of it at the most.
fn fragments(compressed: &[u8], length: usize) -> Vec<u8> {
    let count = compressed.len().div_ceil(length).max(1);
    let mut bytes = Vec::new();
    for (number, piece) in compressed.chunks(length).enumerate() {
        let frame = Wire::new(if number == 0 { 2 } else { 0 }, piece);
        let frame = frame.rsv(if number == 0 { 4 } else { 0 });
        let is_last = number + 1 == count;
        bytes.extend(if is_last { frame } else { frame.more() }.bytes());
    }
    bytes
}

/// The bound holds for what comes out, while it comes out: at no moment is there more than twice as
/// much.
#[tokio::test]
async fn d01_bomb_in_one_frame() {
    let server = echo().workers(1).start().await;
    server.warm_up("/echo").await;
    let mut other = open(&server, "/echo").await;
    let before = server.memory().peak;
    let bomb = deflate(&vec![0; 4 * MAX_MESSAGE]);
    assert!(bomb.len() * 1000 < 4 * MAX_MESSAGE);
    let mut raw = open(&server, "/echo").await;
    raw.send(Wire::binary(&bomb).rsv(4).bytes()).await;
    other.send(Wire::text("beside").bytes()).await;
    other.expect_text("beside").await;
    raw.expect_close(1009).await;
    raw.expect_eof().await;
    let grown = server.memory().peak - before;
    let bound = 2 * MAX_MESSAGE / 1024 + 64;
    // Half a MiB for the tables of the first inflater, the stacks and all else that is not this
    // connection's.
    assert!(grown < bound + 512, "{grown} KiB grown");
}

#[tokio::test]
async fn d02_bombs_over_fragments_and_messages() {
    let server = echo()
        .file(
            "slow_wsh.rhai",
            "fn transfer_data(ws, message) {\n    ws.receive(60);\n    \
            ws.send(`${message.len}`);\n}\n",
        )
        .workers(1)
        // What is freed is given back at once, so that the peak is what was held at a time.
        .env("MIMALLOC_PURGE_DELAY", "0")
        .start()
        .await;
    server.warm_up("/echo").await;
    let mut other = open(&server, "/echo").await;
    let before = server.memory().peak;
    let bomb = deflate(&vec![0; 4 * MAX_MESSAGE]);
    for length in [1000, 10_000, 100] {
        let mut raw = open(&server, "/echo").await;
        raw.send(fragments(&bomb, length)).await;
        raw.expect_close(1009).await;
        raw.expect_eof().await;
    }
    // A hundred messages of a MiB in one segment while the first one is worked on: few of them wait
    // inflated.
    let message = Wire::binary(deflate(&vec![0; 1024 * 1024])).rsv(4).bytes();
    let mut raw = open(&server, "/slow").await;
    raw.send(message.repeat(100)).await;
    for _ in 0..20 {
        other.send(Wire::text("beside").bytes()).await;
        other.expect_text("beside").await;
    }
    let grown = server.memory().peak - before;
    // Half as much again as for one connection: the allocator has not given back what it took for
    // the first bomb.
    let bound = 3 * MAX_MESSAGE / 1024;
    assert!(grown < bound + 2 * 1024, "{grown} KiB grown");
    // They are all taken in their turn.
    for _ in 0..50 {
        raw.expect_text("1048576").await;
    }
}

/// Declined: the connection goes on without compression, on which a reserved bit is no more legal
/// than ever.
#[tokio::test]
async fn d03_window_bits_that_are_none() {
    let server = echo().start().await;
    let port = server.port();
    let values = [
        "=0", "=7", "=16", "=08", "=1e9", "=\"8 \"", "=\"\"", "=-8", "",
    ];
    let cases = values.map(|value| {
        let params = format!("; server_max_window_bits{value}");
        (params.clone(), declines(port, params))
    });
    every_case(cases).await;
}

#[tokio::test]
async fn d04_parameters_that_are_none() {
    let server = echo().start().await;
    let port = server.port();
    let params = [
        "; server_no_context_takeover; server_no_context_takeover",
        "; client_max_window_bits; client_max_window_bits",
        "; server_max_window_bits=9; server_max_window_bits=10",
        "; server_no_context_takeover=1",
        "; client_no_context_takeover=\"\"",
        "; x-unknown",
        "; client_max_window_bits=7",
        ", permessage-deflate; x-unknown",
    ];
    let illegal = params.iter().filter(|params| params.starts_with(';'));
    every_case(illegal.map(|params| (*params, declines(port, params.to_string())))).await;
    // The next offer is taken, and only what was offered is answered.
    for (params, more) in [
        ("; x-unknown, permessage-deflate", ""),
        (
            "; client_max_window_bits=7, permessage-deflate; server_max_window_bits=9",
            "; server_max_window_bits=9",
        ),
        (params[7], ""),
    ] {
        let (_, head) = ask(port, "/echo", params).await;
        let expected = format!("{PLAIN}{more}");
        assert_eq!(
            head.header("Sec-WebSocket-Extensions"),
            Some(&expected[..]),
            "{params}"
        );
    }
}

async fn declines(port: u16, params: String) {
    let (mut raw, head) = ask(port, "/echo", &params).await;
    assert_eq!(head.header("Sec-WebSocket-Extensions"), None);
    let message = letters(5000);
    raw.send(Wire::text(&message).bytes()).await;
    raw.expect_frame(1, &message).await;
    raw.send(Wire::text(HELLO).rsv(4).bytes()).await;
    raw.expect_close(1002).await;
}

/// The first reserved bit belongs to the first frame of a message, the others to nobody.
#[tokio::test]
async fn d05_reserved_bits() {
    let mut cases = Vec::new();
    for rsv in 1..=7 {
        for opcode in [1, 2, 8, 9, 10] {
            if rsv != 4 || opcode > 2 {
                let frame = Wire::new(opcode, "").rsv(rsv).announcing(5);
                cases.push((format!("opcode {opcode}, bits {rsv:03b}"), frame.bytes()));
            }
        }
        for first in [
            Wire::text("a").more(),
            Wire::text(&HELLO[..2]).rsv(4).more(),
        ] {
            let fragments = [
                first.bytes(),
                Wire::continuation("").rsv(rsv).announcing(5).bytes(),
            ];
            cases.push((format!("continuation, bits {rsv:03b}"), fragments.concat()));
        }
    }
    fails(1002, cases).await;
}

/// Every form that RFC 7692 section 7.2.3 shows, whole, in fragments and byte by byte.
#[tokio::test]
async fn d06_forms_that_are_legal() {
    let server = echo().start().await;
    let forms: [(&[u8], &str); 9] = [
        (&HELLO, "Hello"),
        (
            &[
                0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00,
            ],
            "Hello",
        ),
        (&[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00], "Hello"),
        (&[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00], "Hello"),
        (
            &[
                0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00,
            ],
            "Hello",
        ),
        (
            &[
                0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0xf2, 0x00, 0x11, 0x00, 0x00,
            ],
            "HelloHello",
        ),
        (&[0x00], ""),
        (&[0x03, 0x00, 0x00], ""),
        (&[0x00, 0x00, 0x00, 0xff, 0xff, 0x00], ""),
    ];
    let mut raw = open(&server, "/echo").await;
    for (form, text) in forms {
        raw.send(Wire::text(form).rsv(4).bytes()).await;
        raw.expect_text(text).await;
        for at in 0..=form.len() {
            let frames = [
                Wire::text(&form[..at]).rsv(4).more().bytes(),
                Wire::ping("between").bytes(),
                Wire::continuation(&form[at..]).bytes(),
            ];
            raw.send(frames.concat()).await;
            raw.expect_frame(10, "between").await;
            raw.expect_text(text).await;
        }
    }
    // In segments of one byte, and with messages that are not compressed in between.
    let frames = [
        Wire::text(HELLO).rsv(4).more().bytes(),
        Wire::continuation("").bytes(),
        Wire::text("plain").bytes(),
        Wire::binary([0x00]).rsv(4).bytes(),
    ];
    for byte in frames.concat() {
        raw.send([byte]).await;
    }
    raw.expect_text("Hello").await;
    raw.expect_text("plain").await;
    raw.expect_frame(2, "").await;
}

#[tokio::test]
async fn d06_data_that_is_broken() {
    let cases: [(&str, &[u8]); 10] = [
        ("no bytes at all", b""),
        ("a reserved kind of block", &[0x06]),
        (
            "garbage behind a final block",
            &[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x06, 0x66],
        ),
        (
            "a stored block with two lengths",
            &[
                0x00, 0x05, 0x00, 0xfa, 0xfe, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00,
            ],
        ),
        (
            "a stored block that is cut off",
            &[0x00, 0x05, 0x00, 0xfa, 0xff, 0x48],
        ),
        (
            "a stored block that swallows the tail",
            &[0x00, 0x09, 0x00, 0xf6, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f],
        ),
        ("a block that is cut off", &HELLO[..4]),
        (
            "a reference to what is forgotten",
            &[0xf2, 0x00, 0x11, 0x00, 0x00],
        ),
        ("text", b"this is no deflate"),
        ("noise", &[0xff; 100]),
    ];
    let whole = cases.map(|(name, data)| (name.to_owned(), Wire::binary(data).rsv(4).bytes()));
    let pieces = cases.map(|(name, data)| {
        let frames = [
            Wire::binary(data).rsv(4).more().bytes(),
            Wire::continuation("").bytes(),
        ];
        (format!("{name}, in fragments"), frames.concat())
    });
    fails(1007, whole.into_iter().chain(pieces)).await;
}

/// Text is checked as soon as it comes out.
#[tokio::test]
async fn d06_text_that_is_no_utf8() {
    let mut wrong = letters(3000);
    wrong[2000] = 0xff;
    let stored = [0x00, 0x03, 0x00, 0xfc, 0xff, b'a', 0xff, b'b', 0x00];
    let cases = [
        ("compressed", Wire::text(deflate(&wrong)).rsv(4).bytes()),
        (
            "at the end",
            Wire::text(deflate(b"\xe2\x82")).rsv(4).bytes(),
        ),
        // The rest of the message never comes.
        (
            "in the first fragment",
            Wire::text(stored).rsv(4).more().bytes(),
        ),
        (
            "in the first bytes of a frame",
            Wire::text(stored).rsv(4).announcing(1000).bytes(),
        ),
    ];
    fails(1007, cases).await;
    let server = echo().start().await;
    let mut raw = open(&server, "/echo").await;
    let euros = "€".repeat(10_000);
    raw.send(fragments(&deflate(euros.as_bytes()), 10)).await;
    raw.expect_compressed(euros.as_bytes()).await;
}

/// A message counts once more than its frames may carry.
#[tokio::test]
async fn d06_lengths_at_the_limit() {
    let server = echo().args(["--max-message", "64KiB"]).start().await;
    let mut random = fastrand::Rng::with_seed(1);
    let noise: Vec<u8> = (0..65_536).map(|_| random.u8(..)).collect();
    let compressed = deflate(&noise);
    assert!(compressed.len() > noise.len());
    let mut raw = open(&server, "/echo").await;
    raw.send(Wire::binary(&compressed).rsv(4).bytes()).await;
    // It would not get smaller, and comes back as it is.
    raw.expect_frame(2, &noise).await;
    raw.send(Wire::binary(deflate(&vec![7; 65_536])).rsv(4).bytes())
        .await;
    raw.expect_compressed(&vec![7; 65_536]).await;
    raw.send(Wire::binary(deflate(&vec![7; 65_537])).rsv(4).bytes())
        .await;
    raw.expect_close(1009).await;
    // Empty blocks without end come to nothing, but they are not free: from the header, and at the
    // byte that crosses.
    let empty = [0x00, 0x00, 0x00, 0xff, 0xff];
    let mut raw = open(&server, "/echo").await;
    raw.send(Wire::binary("").rsv(4).announcing(80_000).bytes())
        .await;
    raw.expect_close(1009).await;
    let mut raw = open(&server, "/echo").await;
    let mut flood = fragments(&empty.repeat(20_000), 5_000);
    flood.truncate(90_000);
    raw.send(flood).await;
    raw.expect_close(1009).await;
    let mut raw = open(&server, "/echo").await;
    raw.send(Wire::binary([0x03, 0x00].repeat(1000)).rsv(4).bytes())
        .await;
    raw.expect_close(1008).await;
}

/// Between messages nothing of zlib's memory belongs to a connection: half a KiB is left for all
/// that is remembered.
#[tokio::test]
async fn d07_idle_connections() {
    const COUNT: usize = 500;
    let server = echo().workers(1).start().await;
    let message = letters(4000);
    let wire = Wire::text(deflate(&message)).rsv(4).bytes();
    let use_it = async |compressed: bool| {
        let mut connections = Vec::new();
        for _ in 0..COUNT {
            let mut raw = if compressed {
                open(&server, "/echo").await
            } else {
                Raw::open(&server, "/echo").await
            };
            if compressed {
                raw.send(&wire).await;
                raw.expect_compressed(&message).await;
            } else {
                raw.send(Wire::text(&message).bytes()).await;
                raw.expect_frame(1, &message).await;
            }
            connections.push(raw);
        }
        connections
    };
    // What is allocated once is there, and so is what the allocator keeps for later.
    drop(use_it(true).await);
    let start = server.memory().now;
    let plain = use_it(false).await;
    let middle = server.memory().now;
    let compressed = use_it(true).await;
    let end = server.memory().now;
    // What was freed may be taken again, so that plain ones can seem to take nothing: a connection
    // takes a KiB, and a window of its own would be 32 times that.
    let (plainly, more) = (middle.saturating_sub(start), end.saturating_sub(middle));
    assert!(
        more < plainly.max(COUNT) + COUNT / 2 + 256,
        "{COUNT} plain connections {plainly} KiB, compressed {more} KiB"
    );
    drop((plain, compressed));
}

/// A length tells nothing of what was said before, and a handler can keep what is secret out of it
/// altogether.
#[tokio::test]
async fn d08_secrets_beside_text_of_others() {
    let server = Server::start(&[(
        "secret_wsh.rhai",
        "fn transfer_data(ws, message) {\n    ws.send(\"session=0123456789abcdef; \" + \
        message);\n    ws.send(message);\n    \
         ws.send(message, #{compress: false});\n}\n",
    )])
    .await;
    let mut raw = open(&server, "/secret").await;
    let noise = String::from_utf8(letters(2000)).expect("letters");
    let mut lengths = Vec::new();
    for guess in ["session=0123456789abcdef; ", "session=fedcba9876543210; "] {
        let message = format!("{guess}{noise}");
        raw.send(Wire::text(&message).bytes()).await;
        raw.frame().await;
        let frame = raw.frame().await;
        assert!(unpack(&frame, message.len()) == message.as_bytes());
        lengths.push(frame.payload.len());
        raw.expect_text(&message).await;
    }
    assert!(lengths[0].abs_diff(lengths[1]) <= 2, "{lengths:?}");
}

/// All offers, in all configurations of contexts, with all ways to cut a message: every message
/// comes back.
#[tokio::test]
async fn d09_parameters_and_fragments() {
    for flags in [
        &[][..],
        &[
            "--compression-server-context",
            "--compression-client-context",
        ],
    ] {
        let server = echo().args(flags.iter().copied()).start().await;
        let port = server.port();
        let mut cases = Vec::new();
        for server_no_context in ["", "; server_no_context_takeover"] {
            for client_no_context in ["", "; client_no_context_takeover"] {
                for server_bits in [
                    "",
                    "; server_max_window_bits=8",
                    "; server_max_window_bits=9",
                    "; server_max_window_bits=15",
                ] {
                    for client_bits in
                        ["", "; client_max_window_bits", "; client_max_window_bits=9"]
                    {
                        let params = [
                            server_no_context,
                            client_no_context,
                            server_bits,
                            client_bits,
                        ]
                        .concat();
                        cases.push((params.clone(), converse(port, params, flags.is_empty())));
                    }
                }
            }
        }
        every_case(cases).await;
    }
}

async fn converse(port: u16, params: String, forgets: bool) {
    let (mut raw, head) = ask(port, "/echo", &params).await;
    let agreed = head
        .header("Sec-WebSocket-Extensions")
        .expect("an agreement");
    let has = |name: &str| agreed.contains(name);
    for name in ["server_no_context_takeover", "client_no_context_takeover"] {
        assert_eq!(has(name), forgets || params.contains(name), "{agreed}");
    }
    let bits = if params.contains("client_max_window_bits=9") {
        9
    } else {
        15
    };
    let (mut client, mut forgetful) = (Client::new(bits), Client::new(15));
    for (length, cut) in [
        (0, 10),
        (100, 1000),
        (3000, 3000),
        (3000, 64),
        (40_000, 256),
        (100_000, 100_000),
        (40_000, 999),
    ] {
        let message = letters(length);
        if has("client_no_context_takeover") {
            client = Client::new(bits);
        }
        let compressed = if length == 0 {
            vec![0]
        } else {
            client.deflate(&message)
        };
        raw.send(fragments(&compressed, cut)).await;
        let frame = raw.frame().await;
        assert_eq!((frame.fin, frame.opcode), (true, 2));
        if length < 1024 {
            assert_eq!((frame.rsv, &frame.payload), (0, &message));
            continue;
        }
        if has("server_no_context_takeover") {
            forgetful = Client::new(15);
        }
        assert!(frame.rsv == 4 && frame.payload.len() < length);
        assert!(
            forgetful.inflate(&frame.payload, length) == message,
            "{length} bytes"
        );
    }
}

/// Where the window is kept, a message is shorter the second time; it would not fit another window.
#[tokio::test]
async fn windows_that_are_kept() {
    let server = echo()
        .arg("--compression-server-context")
        .arg("--compression-client-context")
        .start()
        .await;
    let mut raw = Raw::connect(&server).await;
    let head = raw
        .handshake(
            "/echo",
            &[(
                "Sec-WebSocket-Extensions",
                "permessage-deflate; client_max_window_bits",
            )],
        )
        .await;
    assert_eq!(
        head.header("Sec-WebSocket-Extensions"),
        Some("permessage-deflate")
    );
    let message = letters(20_000);
    let mut client = Client::new(15);
    let (first, second) = (client.deflate(&message), client.deflate(&message));
    assert!(second.len() * 10 < first.len());
    let mut lengths = Vec::new();
    for compressed in [&first, &second] {
        raw.send(fragments(compressed, 5000)).await;
        // Between them a message that is not compressed, which no window remembers.
        raw.send(Wire::text(letters(1000)).bytes()).await;
        let frame = raw.frame().await;
        assert_eq!(
            (frame.rsv, client.inflate(&frame.payload, 20_000)),
            (4, message.clone())
        );
        lengths.push(frame.payload.len());
        raw.expect_frame(1, letters(1000)).await;
    }
    assert!(lengths[1] * 10 < lengths[0], "{lengths:?}");
    // A final block does not end the window, RFC 7692 section 7.2.1.
    let mut raw = Raw::connect(&server).await;
    raw.handshake(
        "/echo",
        &[("Sec-WebSocket-Extensions", "permessage-deflate")],
    )
    .await;
    raw.send(
        Wire::text([0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00])
            .rsv(4)
            .bytes(),
    )
    .await;
    raw.expect_text("Hello").await;
    raw.send(Wire::text([0xf2, 0x00, 0x11, 0x00, 0x00]).rsv(4).bytes())
        .await;
    raw.expect_text("Hello").await;
}

/// Unfinished compressed messages of several connections on one worker do not mix.
#[tokio::test]
async fn interleaved_connections() {
    let server = echo().workers(1).start().await;
    let messages: Vec<_> = (1..=8).map(|number| letters(10_000 * number)).collect();
    let mut connections = Vec::new();
    for message in &messages {
        connections.push((
            open(&server, "/echo").await,
            Wire::text(deflate(message)).rsv(4).bytes(),
        ));
    }
    for round in 0..10 {
        for (raw, bytes) in &mut connections {
            let piece = bytes.len().div_ceil(10);
            raw.send(&bytes[round * piece..bytes.len().min((round + 1) * piece)])
                .await;
        }
    }
    for ((raw, _), message) in connections.iter_mut().zip(&messages) {
        raw.expect_compressed(message).await;
    }
}

#[tokio::test]
async fn the_operator_decides() {
    let server = echo().args(["--compression", "false"]).start().await;
    declines(server.port(), "; client_max_window_bits".to_owned()).await;

    let server = echo()
        .args(["--compression-threshold", "100", "--compression-level", "9"])
        .start()
        .await;
    let mut raw = open(&server, "/echo").await;
    raw.send(Wire::text("x".repeat(99)).bytes()).await;
    raw.expect_text(&"x".repeat(99)).await;
    raw.send(Wire::text("x".repeat(100)).bytes()).await;
    raw.expect_compressed(&[b'x'; 100]).await;
}

const STEERED: &str = r#"
fn do_extra_handshake(request) {
    this.offered = request.requested_extensions;
    if request.query != "" {
        request.deflate(parse_json(url_decode(request.query)));
    }
}

fn transfer_data(ws, message) {
    switch message {
        "what" => ws.send_json(#{offered: this.offered, agreed: ws.extensions}),
        "small" => {
            ws.send("small", #{compress: true});
            ws.send("", #{compress: true});
            ws.send(blob(5, 7), #{compress: true});
            ws.send("small", #{});
        }
        "large" => {
            let large = "";
            large.pad(5000, "large");
            ws.send(large);
            ws.send(large, #{compress: false});
            ws.send_json(large);
            ws.send_fragment(large, false);
            ws.send_fragment(large, true);
        }
        _ => {
            let problems = [];
            for options in [#{compres: true}, #{compress: 1}] {
                try {
                    ws.send("never", options);
                } catch (problem) {
                    problems.push(`${problem.kind}: ${problem.message}`);
                }
            }
            ws.send_json(problems);
        }
    }
}
"#;

#[tokio::test]
async fn scripts_steer_it() {
    let server = Server::start(&[("steered_wsh.rhai", STEERED)]).await;
    let ask = async |query: &str, params: &str| {
        let query = query.replace('"', "%22");
        ask(server.port(), &format!("/steered?{query}"), params).await
    };
    for (query, params, answer) in [
        ("true", "", Some(PLAIN)),
        ("false", "", None),
        ("{}", "; client_max_window_bits", Some(PLAIN)),
        (
            "{\"server_no_context_takeover\":false,\"client_no_context_takeover\":false}",
            "; client_max_window_bits",
            Some("permessage-deflate"),
        ),
        (
            "{\"server_no_context_takeover\":false,\"server_max_window_bits\":10,\"client_max_window_bits\":9,\"level\":1,\"threshold\":0}",
            "; client_max_window_bits",
            Some(
                "permessage-deflate; client_no_context_takeover; server_max_window_bits=10; \
                client_max_window_bits=9",
            ),
        ),
        ("{\"client_max_window_bits\":9}", "", Some(PLAIN)),
    ] {
        let (_, head) = ask(query, params).await;
        assert_eq!(head.header("Sec-WebSocket-Extensions"), answer, "{query}");
    }

    let (mut raw, _) = ask(
        "",
        "; server_max_window_bits=\"12\"; client_max_window_bits",
    )
    .await;
    raw.send(Wire::text("what").bytes()).await;
    let params = json!({"server_no_context_takeover": null, "client_no_context_takeover": null, "server_max_window_bits": "12"});
    assert_eq!(
        raw.json().await,
        json!({
            "offered": [{"name": "permessage-deflate", "params": {"client_max_window_bits": null, "server_max_window_bits": "12"}}],
            "agreed": [{"name": "permessage-deflate", "params": params}],
        })
    );
    raw.send(Wire::text("small").bytes()).await;
    raw.expect_compressed(b"small").await;
    raw.expect_compressed(b"").await;
    raw.expect_compressed(&[7; 5]).await;
    raw.expect_text("small").await;
    raw.send(Wire::text("large").bytes()).await;
    let large = "large".repeat(1000);
    raw.expect_compressed(large.as_bytes()).await;
    raw.expect_text(&large).await;
    raw.expect_compressed(format!("\"{large}\"").as_bytes())
        .await;
    // Fragments are sent as they are.
    for (fin, opcode) in [(false, 1), (true, 0)] {
        let frame = raw.frame().await;
        assert_eq!(
            (frame.fin, frame.rsv, frame.opcode, &frame.payload[..]),
            (fin, 0, opcode, large.as_bytes())
        );
    }
    raw.send(Wire::text("wrong").bytes()).await;
    assert_eq!(
        raw.json().await,
        json!([
            "option: there is no option \"compres\": did you mean compress?",
            "option: compress is true or false, not 1",
        ])
    );

    // Without an agreement everything is sent as it is.
    let mut raw = Raw::open(&server, "/steered").await;
    raw.send(Wire::text("what").bytes()).await;
    assert_eq!(raw.json().await, json!({"offered": [], "agreed": []}));
    raw.send(Wire::text("small").bytes()).await;
    raw.expect_text("small").await;
    raw.expect_text("").await;
    raw.expect_frame(2, [7; 5]).await;
    raw.expect_text("small").await;
}

#[tokio::test]
async fn scripts_are_told_what_is_wrong() {
    let problems = [
        (
            "#{treshold: 5}",
            "there is no option \"treshold\": did you mean threshold?",
        ),
        (
            "#{server_max_windowbits: 9}",
            "there is no option \"server_max_windowbits\": did you mean server_max_window_bits?",
        ),
        ("#{level: 0}", "level is a number from 1 to 9, not 0"),
        ("#{level: 6.0}", "level is a number from 1 to 9, not 6.0"),
        (
            "#{threshold: -1}",
            "threshold is a number from 0 to 4294967295, not -1",
        ),
        (
            "#{server_max_window_bits: 16}",
            "server_max_window_bits is a number from 8 to 15, not 16",
        ),
        (
            "#{client_no_context_takeover: ()}",
            "client_no_context_takeover is true or false, not ",
        ),
    ];
    let options: Vec<_> = problems.iter().map(|(options, _)| *options).collect();
    let handler = format!(
        "fn do_extra_handshake(request) {{\n    this.problems = [];\n    for options in [{}] \
        {{\n        try {{\n            \
         request.deflate(options);\n        }} catch (problem) {{\n            \
         this.problems.push(`${{problem.kind}}: ${{problem.message}}`);\n        }}\n    }}\n}}\n\n\
         fn transfer_data(ws, message) {{\n    ws.send_json(this.problems);\n}}\n",
        options.join(", ")
    );
    let server = Server::start(&[("wrong_wsh.rhai", &handler)]).await;
    let mut raw = open(&server, "/wrong").await;
    raw.send(Wire::text("?").bytes()).await;
    let expected: Vec<_> = problems
        .iter()
        .map(|(_, problem)| format!("deflate: {problem}"))
        .collect();
    assert_eq!(raw.json().await, json!(expected));
}

/// With `--allow-raw` the bits are the script's, as ever: compressed by hand, and wrong.
#[tokio::test]
async fn frames_by_hand() {
    let server = Server::builder()
        .file(
            "raw_wsh.rhai",
            "fn do_extra_handshake(request) {\n    if request.query == \"own\" {\n        \
             request.raw_header(\"Sec-WebSocket-Extensions\", \"x-own\");\n    }\n}\n\n\
             fn transfer_data(ws, message) {\n    ws.frame(#{rsv1: true, payload: message});\n    \
             ws.frame(#{rsv1: true, rsv3: true, opcode: 0, payload: message});\n}\n",
        )
        .arg("--allow-raw")
        .start()
        .await;
    for mut raw in [
        open(&server, "/raw").await,
        Raw::open(&server, "/raw").await,
    ] {
        raw.send(Wire::text("no deflate").bytes()).await;
        for (rsv, opcode) in [(4, 1), (5, 0)] {
            let frame = raw.frame().await;
            assert_eq!(
                (frame.rsv, frame.opcode, &frame.payload[..]),
                (rsv, opcode, &b"no deflate"[..])
            );
        }
    }
    // Who writes the header by himself has it for himself.
    let (_, head) = ask(server.port(), "/raw?own", "").await;
    assert_eq!(head.header("Sec-WebSocket-Extensions"), Some("x-own"));
}

/// Many bombs at once are inflated one after the other: a little of each is held, and the limit
/// once.
#[tokio::test]
async fn d01_many_bombs_at_once() {
    const BOMBS: usize = 40;
    let server = echo()
        .workers(1)
        // What is freed is given back at once, so that the peak is what was held at a time.
        .env("MIMALLOC_PURGE_DELAY", "0")
        .start()
        .await;
    server.warm_up("/echo").await;
    let mut other = open(&server, "/echo").await;
    let bomb = Wire::binary(deflate(&vec![0; 4 * MAX_MESSAGE]))
        .rsv(4)
        .bytes();
    let mut bombs = Vec::new();
    for _ in 0..BOMBS {
        bombs.push(open(&server, "/echo").await);
    }
    let before = server.memory().peak;
    for raw in &mut bombs {
        raw.send(&bomb).await;
    }
    other.send(Wire::text("beside").bytes()).await;
    other.expect_text("beside").await;
    for raw in &mut bombs {
        raw.expect_close(1009).await;
    }
    let grown = server.memory().peak - before;
    let bound = 2 * MAX_MESSAGE / 1024 + BOMBS * 512;
    assert!(grown < bound, "{grown} KiB grown of {bound}");
}
