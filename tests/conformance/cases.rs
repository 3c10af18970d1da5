//! Rows of the robustness study that need nothing but a socket and an echo: bytes in, verdict out.
//! The tests run them against this server, `cargo run --example conformance` against any.
//!
//! Every case is one connection: either a request head, or frames behind an upgrade that is known
//! to be good.

use super::frame::{Length, Wire};
use super::request::Request;

/// What is sent, and what must come of it.
pub struct Case {
    /// The row's id.
    pub row: &'static str,
    pub name: String,
    pub sent: Sent,
    pub wanted: Wanted,
}

pub enum Sent {
    /// Instead of an upgrade.
    Request(Vec<u8>),
    /// Behind an upgrade.
    Frames(Vec<u8>),
}

#[derive(Clone, Debug, PartialEq)]
pub enum Wanted {
    /// One answer with one of these statuses, then the end.
    Refused(&'static [u16]),
    /// A 101.
    Upgraded,
    /// A Close with this code, then the end.
    Closed(u16),
    /// Exactly these frames.
    Said(Vec<u8>),
}

/// All cases, for a server that echoes at this path and takes messages up to this size.
pub fn all(path: &str, max_message: u64) -> Vec<Case> {
    let mut list = List {
        cases: Vec::new(),
        path: path.to_owned(),
        max_message,
    };
    list.heads();
    list.values();
    list.frames();
    list.messages();
    list.closes();
    list.paths();
    list.cases
}

/// Bytes that no UTF-8 text has.
pub const NOT_UTF8: &[(&str, &[u8])] = &[
    ("a continuation byte alone", b"\x80"),
    ("two of them", b"\xbf\x80"),
    ("a lead byte alone, then ASCII", b"\xc3a"),
    ("three bytes less one, then ASCII", b"\xe6\x95a"),
    ("four bytes less one, then ASCII", b"\xf0\x9f\x98a"),
    ("NUL in two bytes", b"\xc0\x80"),
    ("a slash in two bytes", b"\xc0\xaf"),
    ("overlong, two bytes", b"\xc1\xbf"),
    ("overlong, three bytes", b"\xe0\x9f\xbf"),
    ("overlong, four bytes", b"\xf0\x8f\xbf\xbf"),
    ("the first surrogate", b"\xed\xa0\x80"),
    ("the last surrogate", b"\xed\xbf\xbf"),
    ("a pair of surrogates", b"\xed\xa0\xbd\xed\xb8\x80"),
    ("beyond the last code point", b"\xf4\x90\x80\x80"),
    ("five bytes", b"\xf8\x88\x80\x80\x80"),
    ("six bytes", b"\xfc\x84\x80\x80\x80\x80"),
    ("FE", b"\xfe"),
    ("FF", b"\xff"),
    ("Latin-1", b"caf\xe9 au lait"),
    (
        "the RFC's example",
        b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited",
    ),
];

struct List {
    cases: Vec<Case>,
    path: String,
    max_message: u64,
}

impl List {
    fn upgrade(&self) -> Request {
        Request::upgrade(&self.path)
    }

    fn add(&mut self, row: &'static str, name: impl Into<String>, sent: Sent, wanted: Wanted) {
        let name = name.into();
        self.cases.push(Case {
            row,
            name,
            sent,
            wanted,
        });
    }

    fn refused<N: Into<String>>(
        &mut self,
        row: &'static str,
        statuses: &'static [u16],
        cases: impl IntoIterator<Item = (N, Vec<u8>)>,
    ) {
        for (name, bytes) in cases {
            self.add(row, name, Sent::Request(bytes), Wanted::Refused(statuses));
        }
    }

    fn upgraded<N: Into<String>>(
        &mut self,
        row: &'static str,
        cases: impl IntoIterator<Item = (N, Request)>,
    ) {
        for (name, request) in cases {
            self.add(row, name, Sent::Request(request.bytes()), Wanted::Upgraded);
        }
    }

    fn closed<N: Into<String>>(
        &mut self,
        row: &'static str,
        code: u16,
        cases: impl IntoIterator<Item = (N, Vec<u8>)>,
    ) {
        for (name, bytes) in cases {
            self.add(row, name, Sent::Frames(bytes), Wanted::Closed(code));
        }
    }

    /// Frames, and exactly what comes back.
    fn said(&mut self, row: &'static str, name: &str, frames: &[Wire], answers: &[Wire]) {
        let bytes = frames.iter().flat_map(Wire::bytes).collect();
        let answers = answers
            .iter()
            .flat_map(|frame| frame.clone().unmasked().bytes())
            .collect();
        self.add(row, name, Sent::Frames(bytes), Wanted::Said(answers));
    }

    /// H01, H02, H14, H15, H18 to H21, H27: the request line and the shape of a head.
    fn heads(&mut self) {
        let upgrade = self.upgrade();
        let path = self.path.clone();
        for method in ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"] {
            let request = upgrade.clone().line(format!("{method} {path} HTTP/1.1"));
            self.refused("H01", &[405], [(method, request.bytes())]);
        }
        let line = |line: String| (line.clone(), upgrade.clone().line(line).bytes());
        let old = ["HTTP/1.0", "HTTP/1.10", "HTTP/1", "HTTP/1.1.1", "http/1.1"];
        self.refused(
            "H02",
            &[400, 505],
            old.map(|version| line(format!("GET {path} {version}"))),
        );
        let major = ["HTTP/9.9", "HTTP/2.0"];
        self.refused(
            "H02",
            &[505, 400],
            major.map(|version| line(format!("GET {path} {version}"))),
        );
        self.refused(
            "H02",
            &[400, 505],
            [("HTTP/0.9", format!("GET {path}\r\n\r\n").into_bytes())],
        );
        let of = |count: usize| {
            (5..count).fold(upgrade.clone(), |request, i| {
                request.with(&format!("a{i}"), "b")
            })
        };
        self.refused("H14", &[431], [("1,000 headers", of(1_000).bytes())]);
        let long = upgrade.clone().with("a", "x".repeat(70_000));
        self.refused("H15", &[431], [("a header of 70,000 bytes", long.bytes())]);
        let target = Request::upgrade(&format!("{path}?{}", "x".repeat(70_000)));
        self.refused(
            "H15",
            &[414, 431],
            [("a target of 70,000 bytes", target.bytes())],
        );

        let whole = upgrade.bytes();
        let head = &whole[..whole.len() - 2];
        let lines: [(&str, &[u8]); 11] = [
            ("obs-fold", b"a: b\r\n c"),
            ("space before the colon", b"a : b"),
            ("leading space", b" a: b"),
            ("NUL in a value", b"a: b\0c"),
            ("NUL in a name", b"a\0: b"),
            ("bare CR", b"a: b\rc"),
            ("no colon", b"abc"),
            ("no name", b": b"),
            ("parentheses in a name", b"a(b): c"),
            ("a name in UTF-8", "\u{e9}: b".as_bytes()),
            ("a control character in a value", b"a: \x01"),
        ];
        self.refused(
            "H18",
            &[400],
            lines.map(|(name, line)| (name, [head, line, b"\r\n\r\n"].concat())),
        );
        let text = String::from_utf8_lossy(&whole).into_owned();
        let bare = [
            ("everywhere", text.replace("\r\n", "\n")),
            ("after the request line", text.replacen("\r\n", "\n", 1)),
            ("after a header", text.replace("13\r\n", "13\n")),
            ("before the request", format!("\n{text}")),
        ];
        self.refused(
            "H19",
            &[400],
            bare.map(|(name, text)| (name, text.into_bytes())),
        );
        let bodies: [(&str, &[(&str, &str)]); 8] = [
            (
                "two lengths",
                &[("Content-Length", "5"), ("Content-Length", "6")],
            ),
            ("+5", &[("Content-Length", "+5")]),
            ("-5", &[("Content-Length", "-5")]),
            ("0x5", &[("Content-Length", "0x5")]),
            ("2^64", &[("Content-Length", "18446744073709551616")]),
            (
                "length and encoding",
                &[("Content-Length", "5"), ("Transfer-Encoding", "chunked")],
            ),
            ("xchunked", &[("Transfer-Encoding", "xchunked")]),
            (
                "chunked, identity",
                &[("Transfer-Encoding", "chunked, identity")],
            ),
        ];
        for (name, headers) in bodies {
            let add = |request: Request, (name, value): &(&str, &str)| request.with(name, value);
            let request = headers.iter().fold(upgrade.clone(), add);
            let request = request.followed_by("5\r\nhello\r\n0\r\n\r\n");
            self.refused("H20", &[400], [(name, request.bytes())]);
        }
        let chunked = Request::get(&path).with("Transfer-Encoding", "chunked");
        let chunks = ["fffffffffffffffff\r\nx\r\n0\r\n\r\n", "2;\nxx\r\n0\r\n\r\n"];
        for (name, body) in ["an overflow", "LF in an extension"]
            .into_iter()
            .zip(chunks)
        {
            self.refused(
                "H21",
                &[400, 426],
                [(name, chunked.clone().followed_by(body).bytes())],
            );
        }
        // RFC 9112 section 3.2.2: the authority of such a target stands for the Host, and is none
        // of ours.
        let foreign = format!("GET http://evil.test{path} HTTP/1.1");
        self.refused("H27", &[400, 403, 421], [line(foreign)]);
        let targets = [
            "GET * HTTP/1.1".to_owned(),
            format!("GET {path}#fragment HTTP/1.1"),
            "GET  HTTP/1.1".to_owned(),
            format!("GET  {path} HTTP/1.1"),
            "GET ec ho HTTP/1.1".to_owned(),
            "GET /ech\u{f6} HTTP/1.1".to_owned(),
        ];
        self.refused("H27", &[400], targets.map(line));
    }

    /// H03 to H13, H22 to H26: what the headers say.
    fn values(&mut self) {
        let upgrade = self.upgrade();
        let path = self.path.clone();
        let hosts = [
            ("none", upgrade.clone().without("Host")),
            ("two", upgrade.clone().with("Host", "localhost")),
            ("empty", upgrade.clone().set("Host", "")),
            ("a b", upgrade.clone().set("Host", "a b")),
            ("a,b", upgrade.clone().set("Host", "a,b")),
            ("with a path", upgrade.clone().set("Host", "localhost/echo")),
        ];
        self.refused(
            "H03",
            &[400],
            hosts.map(|(name, request)| (name, request.bytes())),
        );
        let forms = [
            "keep-alive, Upgrade",
            "keep-alive,\tUpgrade",
            "upgrade",
            "Upgrade,keep-alive",
            " ,Upgrade, ,",
        ];
        self.upgraded(
            "H04",
            forms.map(|form| (form, upgrade.clone().set("Connection", form))),
        );
        let two = upgrade
            .clone()
            .set("Connection", "keep-alive")
            .with("Connection", "Upgrade");
        self.upgraded("H04", [("two lines", two)]);
        self.refused(
            "H05",
            &[400],
            [(
                "foo Upgrade",
                upgrade.clone().set("Connection", "foo Upgrade").bytes(),
            )],
        );
        self.upgraded(
            "H06",
            [
                (
                    "h2c, websocket",
                    upgrade.clone().set("Upgrade", "h2c, websocket"),
                ),
                ("WEBSOCKET", upgrade.clone().set("Upgrade", "WEBSOCKET")),
            ],
        );
        self.refused(
            "H06",
            &[400, 426],
            ["WebSocket/13", "websockets"]
                .map(|value| (value, upgrade.clone().set("Upgrade", value).bytes())),
        );
        self.refused(
            "H07",
            &[426],
            [("a plain GET", Request::get(&path).bytes())],
        );
        let mut versions = vec![
            ("absent", upgrade.clone().without("Sec-WebSocket-Version")),
            ("twice", upgrade.clone().with("Sec-WebSocket-Version", "13")),
        ];
        let values = ["", "0", "7", "8", "12", "14", "013", "13, 8"];
        versions.extend(
            values.map(|value| (value, upgrade.clone().set("Sec-WebSocket-Version", value))),
        );
        self.refused(
            "H08",
            &[426, 400],
            versions
                .into_iter()
                .map(|(name, request)| (name, request.bytes())),
        );
        let keys = [
            "",
            "dGhlIHNhbXBsZSBub25j",
            "dGhlIHNhbXBsZSBub25jZTE=",
            "dGhlIHNhbXBsZSBub25jZQ",
            "dGhlIHNhbXBsZSBub25*ZQ==",
        ];
        self.refused(
            "H09",
            &[400],
            keys.map(|key| (key, upgrade.clone().set("Sec-WebSocket-Key", key).bytes())),
        );
        self.refused(
            "H09",
            &[400],
            [
                (
                    "absent",
                    upgrade.clone().without("Sec-WebSocket-Key").bytes(),
                ),
                (
                    "twice",
                    upgrade
                        .clone()
                        .with("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
                        .bytes(),
                ),
            ],
        );
        self.upgraded(
            "H10",
            [(
                "the RFC's key",
                upgrade
                    .clone()
                    .set("Sec-WebSocket-Key", "AQIDBAUGBwgJCgsMDQ4PEC=="),
            )],
        );
        let counted = upgrade.clone().with("Content-Length", "5");
        let chunked = upgrade.clone().with("Transfer-Encoding", "chunked");
        self.refused(
            "H11",
            &[400],
            [
                (
                    "counted, at once",
                    counted.clone().followed_by("hello").bytes(),
                ),
                ("counted, to come", counted.bytes()),
                ("chunked, to come", chunked.bytes()),
            ],
        );
        // One answer and the end, although another request follows.
        let behind = Request::get("/admin").bytes();
        self.refused(
            "H13",
            &[400],
            [(
                "no key",
                upgrade
                    .clone()
                    .without("Sec-WebSocket-Key")
                    .followed_by(&behind)
                    .bytes(),
            )],
        );
        self.refused(
            "H13",
            &[426, 400],
            [(
                "no version",
                upgrade
                    .clone()
                    .without("Sec-WebSocket-Version")
                    .followed_by(&behind)
                    .bytes(),
            )],
        );
        let offer = |value: &str| upgrade.clone().with("Sec-WebSocket-Protocol", value);
        self.refused(
            "H22",
            &[400],
            ["a b", "a;b", "a\"b\"", "a@b"].map(|value| (value, offer(value).bytes())),
        );
        let unknown = upgrade
            .clone()
            .with("Sec-WebSocket-Extensions", "x-unknown; level=9");
        self.upgraded("H24", [("an unknown extension", unknown)]);
        let h2c = Request::get(&path)
            .with("Upgrade", "h2c")
            .with("Connection", "Upgrade, HTTP2-Settings")
            .with("HTTP2-Settings", "AAMAAABkAARAAAAAAAIAAAAA");
        self.refused("H25", &[400, 426], [("h2c", h2c.bytes())]);
        let greetings: [(&str, &[u8]); 3] = [
            (
                "HTTP/2",
                b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0",
            ),
            ("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
            ("Redis", b"PING\r\n\r\n"),
        ];
        self.refused(
            "H26",
            &[400, 405, 505],
            greetings.map(|(name, bytes)| (name, bytes.to_vec())),
        );
    }

    /// F01 to F11: what a header shows.
    fn frames(&mut self) {
        let unmasked = [
            ("text", Wire::text("hello")),
            ("empty text", Wire::text("")),
            ("binary", Wire::binary([0; 200])),
            ("ping", Wire::ping("")),
            ("close", Wire::close(1000, "")),
            ("first fragment", Wire::text("hello").more()),
        ];
        self.closed(
            "F01",
            1002,
            unmasked.map(|(name, frame)| (name, frame.unmasked().bytes())),
        );
        for rsv in 1..=7 {
            for opcode in [1, 2, 8, 9, 10] {
                // The header only: it is refused before its payload arrives.
                let frame = Wire::new(opcode, "").rsv(rsv).announcing(5);
                self.closed(
                    "F02",
                    1002,
                    [(format!("opcode {opcode}, bits {rsv:03b}"), frame.bytes())],
                );
            }
        }
        for opcode in (3..=7).chain(11..=15) {
            self.closed(
                "F03",
                1002,
                [(format!("{opcode}"), Wire::new(opcode, "").bytes())],
            );
        }
        for opcode in [8, 9, 10] {
            for length in [126, 65_536, 1 << 32, 1 << 62] {
                let header = Wire::new(opcode, "").announcing(length);
                self.closed(
                    "F04",
                    1002,
                    [(
                        format!("opcode {opcode}, {length} bytes announced"),
                        header.bytes(),
                    )],
                );
            }
            self.closed(
                "F05",
                1002,
                [(
                    format!("opcode {opcode}"),
                    Wire::new(opcode, "").more().bytes(),
                )],
            );
        }
        let first = Wire::text("a").more().bytes();
        let order = [
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
                [first, Wire::text("x").more().bytes()].concat(),
            ),
        ];
        self.closed("F06", 1002, order);
        let top = [1 << 63, (1 << 63) + 5, u64::MAX];
        self.closed(
            "F07",
            1002,
            top.map(|length| {
                (
                    format!("{length:x}"),
                    Wire::binary("").announcing(length).bytes(),
                )
            }),
        );
        for (form, name) in [(Length::Bits16, "16"), (Length::Bits64, "64")] {
            self.closed(
                "F08",
                1002,
                [
                    (
                        format!("text, 5 in {name} bits"),
                        Wire::text("hello").length(form).bytes(),
                    ),
                    (
                        format!("ping in {name} bits"),
                        Wire::ping("hello").length(form).bytes(),
                    ),
                ],
            );
        }
        for power in [31, 32, 53, 63] {
            for length in [(1u64 << power) - 1, 1 << power] {
                if length < 1 << 63 && length > self.max_message {
                    self.closed(
                        "F09",
                        1009,
                        [(
                            format!("{length}"),
                            Wire::binary("").announcing(length).bytes(),
                        )],
                    );
                }
            }
        }
        let over = self.max_message + 1;
        self.closed(
            "F11",
            1009,
            [
                ("binary", Wire::binary("").announcing(over).bytes()),
                ("text", Wire::text("").announcing(over).bytes()),
                (
                    "first fragment",
                    Wire::binary("").announcing(over).more().bytes(),
                ),
            ],
        );
    }

    /// F06, F14 to F26: what messages are made of.
    fn messages(&mut self) {
        let echo = |text: &str| Wire::text(text);
        self.said(
            "F14",
            "three empty fragments",
            &[
                Wire::text("").more(),
                Wire::continuation("").more(),
                Wire::continuation(""),
            ],
            &[echo("")],
        );
        for (name, bytes) in NOT_UTF8 {
            self.closed("F17", 1007, [(name.to_string(), Wire::text(bytes).bytes())]);
            let start = Wire::text(bytes).announcing(100_000).bytes();
            self.closed(
                "F18",
                1007,
                [(format!("{name}, and the rest to come"), start)],
            );
        }
        let text = "\u{6570}\u{636e} \u{e9}\u{1f600}";
        for at in [1, 4, 8, 10, 12] {
            let (left, right) = text.as_bytes().split_at(at);
            self.said(
                "F19",
                &format!("split at {at}"),
                &[Wire::text(left).more(), Wire::continuation(right)],
                &[echo(text)],
            );
        }
        self.said(
            "F21",
            "an unasked pong",
            &[Wire::pong("x"), echo("a")],
            &[echo("a")],
        );
        self.said(
            "F22",
            "a ping between fragments",
            &[
                Wire::text("frag").more(),
                Wire::ping("now"),
                Wire::continuation("mented"),
            ],
            &[Wire::pong("now"), echo("fragmented")],
        );
        self.closed(
            "F26",
            1002,
            [
                ("an HTTP request", Request::get("/echo").bytes()),
                ("a shout", b"HELLO\r\n".to_vec()),
                ("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc".to_vec()),
            ],
        );
    }

    /// C01 to C07.
    fn closes(&mut self) {
        self.said(
            "C01",
            "an empty body",
            &[Wire::empty_close()],
            &[Wire::empty_close()],
        );
        for code in [1000, 1001, 1003, 1011, 3000, 4999] {
            self.said(
                "C01",
                &code.to_string(),
                &[Wire::close(code, "")],
                &[Wire::close(code, "")],
            );
        }
        self.closed("C02", 1002, [("one byte", Wire::new(8, [3]).bytes())]);
        for code in [
            0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535,
        ] {
            self.closed(
                "C03",
                1002,
                [(code.to_string(), Wire::close(code, "").bytes())],
            );
        }
        for reason in [b"\xff".as_slice(), b"\xe6\x95", b"caf\xe9", b"\xed\xa0\x80"] {
            self.closed(
                "C04",
                1007,
                [(
                    reason.escape_ascii().to_string(),
                    Wire::close(1000, reason).bytes(),
                )],
            );
        }
        self.closed(
            "C05",
            1002,
            [(
                "124 bytes",
                Wire::new(8, [&[3, 232][..], &[b'x'; 124]].concat()).bytes(),
            )],
        );
        let close = Wire::close(1000, "");
        for (name, late) in [
            ("text", Wire::text("late")),
            ("ping", Wire::ping("late")),
            ("Close", Wire::close(1001, "")),
        ] {
            self.said(
                "C06",
                name,
                &[close.clone(), late],
                std::slice::from_ref(&close),
            );
        }
        self.said(
            "C07",
            "inside a message",
            &[Wire::text("unfinished").more(), close.clone()],
            &[close],
        );
    }

    /// P01, P02: paths that are none. Whatever a server serves, an upgrade of these is not it.
    fn paths(&mut self) {
        let ways = [
            "/../echo",
            "/%2e%2e/echo",
            "/..%2fecho",
            "/a/../echo",
            "//etc/passwd",
            "/..%5cecho",
        ];
        self.refused(
            "P01",
            &[400, 404],
            ways.map(|path| (path, Request::upgrade(path).bytes())),
        );
        let odd = ["/echo%00", "/%c0%ae%c0%ae/echo", "/%zz", "/echo%"];
        self.refused(
            "P02",
            &[400, 404],
            odd.map(|path| (path, Request::upgrade(path).bytes())),
        );
    }
}
