//! What scripts may call beside `ws`: results go over the wire, lines into the log, and what would
//! be too much or too long ends one connection or throws, and nothing else.

use tokio_tungstenite::tungstenite::Message;

use crate::support::{ECHO, Server, connect};

/// A handler that answers every message with the value of an expression.
fn answering(expression: &str) -> String {
    format!("fn transfer_data(ws, message) {{\n    ws.send({expression});\n}}\n")
}

#[tokio::test]
async fn vectors_come_out_over_the_wire() {
    let cases = [
        // RFC 4648 section 10.
        ("foobar", "base64(message)", "Zm9vYmFy"),
        ("Zm9vYg==", "utf8(base64_decode(message))", "foob"),
        ("foobar", "hex(message)", "666f6f626172"),
        // RFC 6234 section 8.5, RFC 3174 section 7.3.
        (
            "abc",
            "hex(sha256(message))",
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        ),
        (
            "abc",
            "hex(sha1(message))",
            "a9993e364706816aba3e25717850c26c9cd0d89d",
        ),
        // RFC 4231 section 4.3.
        (
            "what do ya want for nothing?",
            "hex(hmac_sha256(\"Jefe\", message))",
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
        ),
        // RFC 6455 section 1.3.
        (
            "dGhlIHNhbXBsZSBub25jZQ==",
            "base64(sha1(message + \"258EAFA5-E914-47DA-95CA-C5AB0DC85B11\"))",
            "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
        ),
        // RFC 7692 section 7.2.3.1.
        (
            "f248cdc9c907000000ffff",
            "utf8(inflate(hex_decode(message)))",
            "Hello",
        ),
        (
            "3",
            "hex(pack(\">HI\", [message.to_int(), 70000]))",
            "000300011170",
        ),
        ("a b", "url_encode(message)", "a%20b"),
        (
            "{\"b\":[1,2.0,null],\"a\":\"\\u00fc\"}",
            "to_json(parse_json(message))",
            "{\"a\":\"ü\",\"b\":[1,2.0,null]}",
        ),
    ];
    let mut builder = Server::builder();
    for (number, (_, expression, _)) in cases.iter().enumerate() {
        let expression = expression.replace("message.to_int()", "parse_int(message)");
        builder = builder.file(&format!("{number}_wsh.rhai"), answering(&expression));
    }
    let server = builder.start().await;
    for (number, (message, expression, answer)) in cases.into_iter().enumerate() {
        let mut client = connect(server.url(&format!("/{number}"))).await;
        client.send_text(message).await;
        assert_eq!(client.next_text().await, answer, "{expression}");
    }
}

#[tokio::test]
async fn binary_messages_are_bytes() {
    let code = answering("deflate(inflate(deflate(message, 9)) + sha1(message), 0)");
    let server = Server::start(&[("bytes_wsh.rhai", &code)]).await;
    let mut client = connect(server.url("/bytes")).await;
    client.send_binary([0xff; 3]).await;
    let answer = client.next_binary().await;
    // A stored block: 5 bytes before what was compressed.
    assert_eq!(answer[..8], [0x01, 23, 0, 232, 255, 0xff, 0xff, 0xff]);
    assert_eq!(answer.len(), 28);
}

#[tokio::test]
async fn failures_can_be_caught_and_say_what_they_are() {
    let attempts = [
        ("parse_json(\"[1,\\n2,]\")", "json", "line 2"),
        ("parse_json(\"1e400\")", "json", "out of range"),
        ("to_json(blob(1))", "json", "base64"),
        ("#{ f: || 1 }.to_json()", "json", "function"),
        ("base64_decode(\"a b\")", "base64", "byte 1"),
        ("hex_decode(\"xx\")", "hex", "byte 0"),
        ("base64(42)", "type", "int"),
        ("utf8(hex_decode(\"61ff\"))", "utf8", "byte 1"),
        ("url_decode(\"%ff\")", "url", "byte 0"),
        ("pack(\">B\", [256])", "pack", "256"),
        ("inflate(to_blob(\"hello\"))", "inflate", "deflate"),
        ("inflate(deflate(blob(1000)), 999)", "inflate", "999"),
        ("deflate(message, 10)", "deflate", "9"),
        ("random(0)", "random", "below 0"),
        ("random_bytes(16777217)", "limit", "16777216"),
        ("env(\"PATH\")", "env", "--allow-env PATH"),
        ("message.pad(20000000, 'x')", "limit", "16777216"),
    ];
    let mut code = String::from("fn transfer_data(ws, message) {\n    switch message {\n");
    for (number, (attempt, ..)) in attempts.iter().enumerate() {
        code += &format!("        \"{number}\" => try {{ {attempt}; ws.send(\"passed\"); }} ");
        code += "catch (e) { ws.send(e.kind); ws.send(e.message); }\n";
    }
    code += "    }\n}\n";
    let server = Server::start(&[("try_wsh.rhai", &code)]).await;
    let mut client = connect(server.url("/try")).await;
    for (number, (attempt, kind, part)) in attempts.into_iter().enumerate() {
        client.send_text(number.to_string()).await;
        assert_eq!(client.next_text().await, kind, "{attempt}");
        let message = client.next_text().await;
        assert!(message.contains(part), "{attempt}: {message}");
    }
}

#[tokio::test]
async fn lines_have_levels_and_whose_they_are() {
    let code = "fn transfer_data(ws, message) {\n    \
                debug(\"finest\");\n    info(message);\n    warn(\"be careful\");\n    \
                error(\"it failed\");\n    let long = \"\";\n    long.pad(9000, 'x');\n    \
                print(long);\n}\n";
    let server = Server::start(&[("log_wsh.rhai", code)]).await;
    let mut client = connect(server.url("/log")).await;
    client.send_text("one\nline").await;
    let whose = ["log_wsh.rhai", "transfer_data", "connection="];
    for (level, text) in [
        ("INFO", "one\\nline"),
        ("WARN", "be careful"),
        ("ERROR", "it failed"),
        ("INFO", "xxx… (9000 bytes)"),
    ] {
        let line = server.log([level, text]).await;
        assert!(whose.iter().all(|part| line.contains(part)), "{line}");
    }
    assert_eq!(server.count("finest"), 0);
}

#[tokio::test]
async fn chance_is_within_its_bounds() {
    let code = "fn transfer_data(ws, message) {\n    \
                for i in 0..1000 {\n        \
                let whole = random(-1, 2);\n        let part = random();\n        \
                if whole < -1 || whole > 1 || part < 0.0 || part >= 1.0 || random(1) != 0 { throw \
                whole; }\n    }\n    \
                ws.send(`${random_bytes(16) == random_bytes(16)} ${uuid() == uuid()} \
                ${uuid()}`);\n}\n";
    let server = Server::start(&[("random_wsh.rhai", code)]).await;
    let mut client = connect(server.url("/random")).await;
    client.send_text("go").await;
    let answer = client.next_text().await;
    let uuid = answer.strip_prefix("false false ").expect(&answer);
    assert_eq!((uuid.len(), &uuid[14..15]), (36, "4"), "{uuid}");
}

/// Natives that would take for ever or any memory, and values that nest too deep for a stack: a
/// reply, a Close with 1011, and nothing else.
const HOSTILE: &[(&str, &str)] = &[
    (
        "r07_replace",
        "let s = \"\"; s.pad(1000000, 'a'); s.replace(\"a\", s);",
    ),
    (
        "r08_keys",
        "let m = #{}; let k = \"\"; k.pad(500000, 'k'); for i in 0..2000 { m[k + i] = 1; }",
    ),
    (
        "r09_values",
        "let m = #{}; for i in 0..2000 { let s = \"\"; s.pad(1000000, 's'); m[`${i}`] = s; }",
    ),
    (
        "r10_captured",
        "let f = []; for i in 0..2000 { let a = []; a.pad(60000, 0); f.push(|| a); }",
    ),
    (
        "r11_compare",
        "let a = []; a.pad(60000, \"x\"); let b = []; b.pad(60000, \"x\"); loop { a == b; \
        b.contains(1); }",
    ),
    ("r12_sleep", "Fn(\"sleep\").call(1e300);"),
    ("double", "let a = []; a.pad(60000, 0); loop { a += a; }"),
    (
        "copies",
        "let a = []; a.pad(60000, 0); a += a; a += a; a += a; let l = []; l += [a]; l += [a]; l += \
        [a]; l += [a]; \
         let b = l; let c = l; let d = l; let e = l; let f = l; let g = l; let h = l; let i = l; \
         let j = l;",
    ),
    (
        "pad_nothing",
        "let s = \"\"; s.pad(5, \"\"); ws.send(\"padded\");",
    ),
    (
        "sort_for_ever",
        "let a = []; a.pad(60000, 0); a.sort(|x, y| { loop {} });",
    ),
    (
        "dedup_for_ever",
        "let a = []; a.pad(60000, 0); a.dedup(|x, y| { loop {} });",
    ),
    (
        "sort_at_odds",
        "let a = []; for i in 0..2000 { a.push(i); } a.sort(|x, y| random(3) - 1); \
        ws.send(\"sorted\");",
    ),
    (
        "print_deep",
        "let a = [1]; for i in 0..1000 { a = [a]; } print(a); ws.send(`${a}`);",
    ),
    (
        "compare_deep",
        "let a = [1]; for i in 0..1000 { a = [a]; } let b = [2]; for i in 0..1000 { b = [b]; } \
        ws.send(`${a == b}`);",
    ),
    (
        "json_deep",
        "let a = [1]; for i in 0..1000 { a = [a]; } ws.send(to_json(a));",
    ),
    (
        "throw_deep",
        "let a = [1]; for i in 0..1000 { a = [a]; } throw a;",
    ),
    (
        "throw_closures",
        "let f = || 1; for i in 0..50000 { let g = f; f = || g.call(); } throw f;",
    ),
    (
        "json_itself",
        "let m = #{}; let f = || m; m.own = f; ws.send(m.to_json());",
    ),
    (
        "json_brackets",
        "let s = \"\"; s.pad(1000000, '['); ws.send(parse_json(s));",
    ),
    (
        "json_numbers",
        "let s = \"\"; s.pad(1000000, \"1,\"); ws.send(`${parse_json(`[${s}1]`).len}`);",
    ),
    (
        "inflate_bomb",
        "let b = deflate(blob(1000000)); loop { b = inflate(b); b = deflate(b + b); }",
    ),
    (
        "hash_for_ever",
        "let b = blob(1000000); loop { sha256(b); }",
    ),
    ("unpack_much", "unpack(\">1000000b\", blob(1000000));"),
];

#[tokio::test]
async fn hostile_natives_end_their_connection_and_nothing_else() {
    let mut builder = Server::builder().workers(1).file("echo_wsh.rhai", ECHO);
    for (name, body) in HOSTILE {
        let code = format!("fn transfer_data(ws, message) {{\n    {body}\n}}\n");
        builder = builder.file(&format!("{name}_wsh.rhai"), code);
    }
    let mut server = builder.start().await;
    let mut beside = connect(server.url("/echo")).await;
    beside.echoes(1).await;
    for (name, _) in HOSTILE {
        let mut client = connect(server.url(&format!("/{name}"))).await;
        client.send_text("go").await;
        beside.echoes(5).await;
        match client.next().await {
            Message::Text(_) => {}
            Message::Close(Some(frame)) => assert_eq!(u16::from(frame.code), 1011, "{name}"),
            other => panic!("a text or a Close from {name} expected: {other:?}"),
        }
    }
    beside.echoes(5).await;
    let peak = server.memory().peak;
    assert!(peak < 600 * 1024, "{peak} KiB");
    drop(beside);
    assert!(server.stop().await.success());
}
