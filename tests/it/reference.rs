//! `docs/scripting.md`: it is what the program prints, and every example in it does what it says.

use std::collections::HashMap;

use wsh_server::script::reference;

use crate::support::{Builder, Raw, Request, Server, Wire, connect, every_case, within};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/scripting.md");

/// `UPDATE_GOLDEN=1 cargo test` writes it anew.
#[test]
fn the_document_is_not_stale() {
    let made = reference::markdown();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(FILE, &made).expect("write docs/scripting.md");
    }
    let kept = std::fs::read_to_string(FILE).expect("docs/scripting.md");
    assert!(
        made == kept,
        "docs/scripting.md is not what `wsh-server api` prints: run the tests with UPDATE_GOLDEN=1"
    );
}

/// As GitHub names headings.
#[test]
fn every_link_leads_to_one_heading() {
    let text = reference::markdown();
    let anchor = |heading: &str| {
        let letters = heading.trim_start_matches(['#', ' ']).to_lowercase();
        let kept = letters
            .chars()
            .filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        kept.collect::<String>().replace(' ', "-")
    };
    let headings = text
        .lines()
        .filter(|line| line.starts_with('#'))
        .map(anchor);
    let headings: Vec<_> = headings.collect();
    for link in text.split("](#").skip(1) {
        let (link, _) = link.split_once(')').expect("a link ends");
        let found = headings.iter().filter(|heading| *heading == link).count();
        assert_eq!(found, 1, "headings of {link}");
    }
}

#[tokio::test]
async fn every_example_compiles_without_a_remark() {
    let check = files(Server::builder().bare(), &examples())
        .args(["check", "--allow-raw", "--allow-env", "EXAMPLE"])
        .run()
        .await;
    assert!(check.status.success(), "{}", check.stdout);
}

#[tokio::test]
async fn every_example_does_what_it_says() {
    let examples = examples();
    let mut server = files(Server::builder(), &examples)
        .args(["--allow-raw", "--allow-env", "EXAMPLE"])
        .env("EXAMPLE", "a value")
        .start()
        .await;
    let port = server.port();
    let told: Vec<_> = examples
        .iter()
        .filter(|example| !example.is_told_elsewhere())
        .cloned()
        .collect();
    every_case(told.into_iter().filter_map(|example| {
        let path = example.file.strip_suffix("_wsh.rhai")?.to_owned();
        Some((path.clone(), async move {
            let found = example.talk(port, &path).await;
            assert_eq!(found, example.expected, "\n{}", example.code);
        }))
    }))
    .await;
    server.stop().await;
    for example in &examples {
        let faults = server.count(&format!("--> {}:", example.file)) > 0;
        assert_eq!(
            faults,
            example.faults,
            "{}\n{}",
            example.code,
            server.logged()
        );
    }
}

/// The guide's whole handler, as it stands there.
#[tokio::test]
async fn an_authenticated_echo_with_a_timer() {
    let server = files(Server::builder(), &examples()).start().await;
    for (query, header) in [
        ("", None),
        ("?user=ada", None),
        ("?user=ada&password=builder", None),
        ("?user=eve&password=countess", None),
        ("?user=&password=", None),
        // ada:wrong, eve:, and two that are no pair.
        ("", Some("Basic YWRhOndyb25n")),
        ("", Some("Basic ZXZlOg==")),
        ("", Some("Basic bm8gY29sb24=")),
        ("", Some("Basic %%%")),
    ] {
        let mut raw = Raw::connect(&server).await;
        let request = Request::upgrade(&format!("/secret_echo{query}"));
        let request = match header {
            Some(value) => request.with("Authorization", value),
            None => request,
        };
        raw.send(request.bytes()).await;
        let head = raw.expect_refusal(401).await;
        let wanted = Some("Basic realm=\"secret echo\"");
        assert_eq!(
            head.header("WWW-Authenticate"),
            wanted,
            "{query} {header:?}"
        );
    }
    let mut bob = Raw::connect(&server).await;
    let builder = "Basic Ym9iOmJ1aWxkZXI=";
    bob.handshake("/secret_echo", &[("Authorization", builder)])
        .await
        .expect_upgrade();
    bob.expect_text("hello, bob").await;

    let mut ada = connect(server.url("/secret_echo?user=ada&password=countess")).await;
    assert_eq!(ada.next_text().await, "hello, ada");
    ada.echoes(3).await;
    assert_eq!(ada.next_text().await, "messages so far: 3");
    assert_eq!(ada.close(1000, "").await.0, 1000);
    server.log("ada left after 3 messages").await;
}

/// What a client of an example sees.
#[derive(Clone, Debug, PartialEq)]
enum Event {
    Message(String),
    Closes(u16),
    /// The handshake was refused, or not answered.
    NoUpgrade,
    /// The connection ended without a Close.
    Drops,
}

/// A block of the document.
#[derive(Clone)]
struct Example {
    /// Its own first line, or its heading.
    file: String,
    code: String,
    /// What its comments say, in order.
    expected: Vec<Event>,
    /// Whether it is to fail.
    faults: bool,
}

fn files(builder: Builder, examples: &[Example]) -> Builder {
    let add = |builder: Builder, example: &Example| builder.file(&example.file, &example.code);
    examples.iter().fold(builder, add)
}

/// The blocks of Rhai in the document that the program prints.
fn examples() -> Vec<Example> {
    let text = reference::markdown();
    let mut counts = HashMap::<String, usize>::new();
    let mut heading = String::new();
    let mut block: Option<Vec<&str>> = None;
    let mut examples = Vec::new();
    for line in text.lines() {
        match &mut block {
            None if line == "```rhai" => block = Some(Vec::new()),
            None if line.starts_with('#') => heading = slug(line),
            None => {}
            Some(lines) if line == "```" => {
                let count = counts.entry(heading.clone()).or_default();
                *count += 1;
                examples.push(Example::of(&format!("{heading}_{count}"), lines));
                block = None;
            }
            Some(lines) => lines.push(line),
        }
    }
    examples
}

fn slug(heading: &str) -> String {
    let letters = heading.trim_start_matches(['#', ' ']).chars();
    letters
        .filter(|c| *c != '`')
        .map(|c| if c.is_alphanumeric() { c } else { '_' })
        .collect()
}

impl Example {
    fn of(name: &str, lines: &[&str]) -> Example {
        let text = lines.join("\n");
        let named = lines[0]
            .strip_prefix("// ")
            .filter(|line| line.ends_with(".rhai"));
        let code = if named.is_some() || text.contains("fn transfer_data") {
            text
        } else if text.contains("fn ") {
            // Some of a handler's hooks.
            format!("{text}\nfn transfer_data(ws, message) {{ }}\n")
        } else {
            format!("fn transfer_data(ws, message) {{\n{text}\n}}\n")
        };
        Example {
            file: named.map_or_else(|| format!("{name}_wsh.rhai"), str::to_owned),
            code,
            expected: lines.iter().filter_map(|line| event(line)).collect(),
            faults: lines.iter().any(|line| line.contains("// fault")),
        }
    }

    fn is_told_elsewhere(&self) -> bool {
        self.file == "secret_echo_wsh.rhai"
    }

    /// Says hello, and closes when nothing more is expected; what came back.
    async fn talk(&self, port: u16, path: &str) -> Vec<Event> {
        let mut raw = Raw::connect_to(port).await;
        let head = [
            &format!("GET /{path}?room=blue&user=ada%20l HTTP/1.1"),
            &format!("Host: localhost:{port}"),
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Protocol: chat, superchat",
            "Origin: http://localhost",
            "Cookie: session=42; theme=dark",
            "\r\n",
        ];
        raw.send(head.join("\r\n")).await;
        if within("an answer", raw.at_end()).await || raw.head().await.status != 101 {
            return vec![Event::NoUpgrade];
        }
        raw.send(Wire::text("hello").bytes()).await;
        if self.code.contains("fn on_ping") {
            raw.send(Wire::ping("ping").bytes()).await;
        }
        // Such a handler has the last word, and everybody else the last but one.
        let answers = self.code.contains("fn passive_closing_handshake");
        let mut found = Vec::new();
        while found.len() + usize::from(answers) < self.expected.len() {
            found.push(next(&mut raw).await);
            match found.last() {
                Some(Event::Message(_)) => {}
                Some(Event::Closes(code)) => {
                    // Gone already, where the example cuts the connection behind its Close.
                    let _ = raw.try_send(Wire::close(*code, "").bytes()).await;
                    return found;
                }
                _ => return found,
            }
        }
        raw.send(Wire::close(1000, "").bytes()).await;
        let last = loop {
            match next(&mut raw).await {
                Event::Message(_) => {}
                last => break last,
            }
        };
        found.extend(answers.then_some(last));
        found
    }
}

/// The next message, or the end.
async fn next(raw: &mut Raw) -> Event {
    let mut message = Vec::new();
    loop {
        let Some((fin, opcode, payload)) = within("a frame", frame(raw)).await else {
            return Event::Drops;
        };
        match opcode {
            8 => {
                let code = payload.get(..2);
                let code = code.map_or(1005, |code| u16::from_be_bytes([code[0], code[1]]));
                return Event::Closes(code);
            }
            9 => raw.send(Wire::pong(payload).bytes()).await,
            10 => {}
            _ => {
                message.extend(payload);
                if fin {
                    return Event::Message(String::from_utf8_lossy(&message).into_owned());
                }
            }
        }
    }
}

/// What a line's comment promises.
fn event(line: &str) -> Option<Event> {
    let number = |text: &str| text.split(' ').next()?.parse().ok();
    if let Some((_, text)) = line.split_once("// => ") {
        return Some(Event::Message(text.to_owned()));
    }
    let (_, comment) = line.split_once("// ")?;
    if let Some(code) = comment.strip_prefix("closes ") {
        return Some(Event::Closes(number(code)?));
    }
    (comment == "no upgrade").then_some(Event::NoUpgrade)
}

/// The next frame's last-fragment bit, opcode and payload, whatever else is wrong with it; `None`
/// at the end.
async fn frame(raw: &mut Raw) -> Option<(bool, u8, Vec<u8>)> {
    if raw.at_end().await {
        return None;
    }
    let start = raw.exactly(2).await;
    let more = match start[1] & 0x7f {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    let length = match raw.exactly(more).await[..] {
        [] => usize::from(start[1] & 0x7f),
        ref bytes => bytes
            .iter()
            .fold(0, |length, byte| length << 8 | usize::from(*byte)),
    };
    let mask = match start[1] & 0x80 {
        0 => vec![0; 4],
        _ => raw.exactly(4).await,
    };
    let payload = raw.exactly(length).await;
    let payload = payload
        .iter()
        .zip(mask.iter().cycle())
        .map(|(byte, mask)| byte ^ mask);
    Some((start[0] & 0x80 != 0, start[0] & 0xf, payload.collect()))
}
