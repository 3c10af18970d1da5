//! `docs/tutorial.md` and its Chinese twin: read from top to bottom, with every command, page,
//! handler and byte of it, and the same ones in both.

use std::path::Path;
use std::process::Command;

use super::support::browser::Page;
use super::support::{Raw, Server};

const ENGLISH: &str = include_str!("../../docs/tutorial.md");
const CHINESE: &str = include_str!("../../docs/tutorial.zh-CN.md");

/// A fenced block, or a remark of the document to this test.
#[derive(Debug, PartialEq)]
struct Block {
    /// `sh`, `html`, `rhai`, `js`, `http`, `hex`, `text` for what a page shows, `console` for what
    /// a terminal does.
    kind: &'static str,
    text: &'static str,
}

fn blocks(page: &'static str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut rest = page;
    while let Some(at) = [rest.find("```"), rest.find("<!-- The test")]
        .into_iter()
        .flatten()
        .min()
    {
        let found = &rest[at..];
        let (kind, end) = match found.strip_prefix("```") {
            Some(fence) => (fence.lines().next().expect("a kind"), "\n```\n"),
            None => ("remark", " -->\n"),
        };
        let length = found.find(end).expect("the end of the block");
        let skipped = if kind == "remark" { 0 } else { kind.len() + 4 };
        let text = &found[skipped..length];
        blocks.push(Block { kind, text });
        rest = &found[length + end.len()..];
    }
    blocks
}

#[test]
fn the_twins_have_the_same_code_and_the_same_sections() {
    let (english, chinese) = (blocks(ENGLISH), blocks(CHINESE));
    for (one, other) in english.iter().zip(&chinese) {
        assert_eq!(one, other);
    }
    assert_eq!(english.len(), chinese.len());
    assert!(english.len() > 30, "{}", english.len());
    for prefix in ["#", "| ", "- "] {
        let count = |page: &str| page.lines().filter(|line| line.starts_with(prefix)).count();
        assert_eq!(
            count(ENGLISH),
            count(CHINESE),
            "lines that begin with {prefix}"
        );
    }
}

/// The table of section 1 counts the heads that stand in the page.
#[test]
fn the_bytes_are_counted_right() {
    let heads: Vec<usize> = blocks(ENGLISH)
        .iter()
        .filter(|block| block.kind == "http")
        .map(|block| head(block.text, 9998).len())
        .collect();
    let [poll, answer, request, accepted] = heads[..] else {
        panic!("{heads:?}");
    };
    let once = poll + answer;
    for number in [
        format!("{poll} + {answer} + 5 = {} ", once + 5),
        format!("3600 × ({poll} + {answer}) = {} ", 3600 * once),
        format!(" {request} "),
        format!(" {accepted}"),
    ] {
        for page in [ENGLISH, CHINESE] {
            assert!(page.contains(&number), "{number}");
        }
    }
}

#[tokio::test]
async fn from_top_to_bottom() {
    let mut reader = Reader::start().await;
    // Those of section 1, which no server is asked.
    let mut blocks = blocks(ENGLISH).into_iter().skip(2);
    while let Some(Block { kind, text }) = blocks.next() {
        match kind {
            "sh" => text.lines().for_each(|line| reader.command(line)),
            "html" => reader.opens_page(text).await,
            "text" => reader.sees(text).await,
            "js" => reader.types(text).await,
            "rhai" => reader.saves(text).await,
            "console" => reader.server.until_logged(&[text]).await,
            "http" => {
                let answer = blocks.next().expect("its answer").text;
                reader.shakes_hands(text, answer).await;
            }
            "hex" => reader.exchanges(text).await,
            "remark" if text.contains("stops the server") => {
                assert!(reader.server.stop().await.success());
            }
            "remark" if text.contains("opens first.html") => reader.returns("first.html").await,
            _ => panic!("{kind}: {text}"),
        }
    }
}

/// The classic page of the Chinese tutorials, with its dialogs, opened from the disk.
#[tokio::test]
async fn the_classic_page_runs_unchanged() {
    const CLASSIC: &str = r#"<!DOCTYPE HTML><html><head><meta charset="utf-8"><script>
        function WebSocketTest() {
            if (!("WebSocket" in window)) return alert("您的浏览器不支持 WebSocket!");
            alert("您的浏览器支持 WebSocket!");
            var ws = new WebSocket("ws://localhost:9998/echo");
            ws.onopen = function () { ws.send("发送数据"); alert("数据发送中..."); };
            ws.onmessage = function (evt) { var received_msg = evt.data; alert("数据已接收..."); };
            ws.onclose = function () { alert("连接已关闭..."); };
        }
        </script></head><body><a href="javascript:WebSocketTest()">运行 WebSocket</a></body></html>"#;
    let mut reader = Reader::start().await;
    reader
        .opens_page(&format!("<!-- classic.html -->{CLASSIC}"))
        .await;
    let page = reader.page();
    page.value("(window.said = [], window.alert = text => { said.push(text) }, 0)")
        .await;
    page.click("a").await;
    page.until("said.length == 3").await;
    assert!(reader.server.stop().await.success());
    let page = reader.page();
    page.until("said.length == 4").await;
    let said = page.value("said.join(' ')").await;
    let expected = "您的浏览器支持 WebSocket! 数据发送中... 数据已接收... 连接已关闭...";
    assert_eq!(said, expected);
}

/// The guide's first minute: the console of the handler's own address reaches it.
#[tokio::test]
async fn the_guides_console_lines_work_where_it_says() {
    const GUIDE: &str = include_str!("../../docs/scripting.md");
    let lines: Vec<&str> = GUIDE
        .lines()
        .skip_while(|line| !line.starts_with("    ws = new WebSocket("))
        .take_while(|line| line.starts_with("    "))
        .collect();
    assert_eq!(lines.len(), 3, "{lines:?}");
    let server = Server::start(&[("hello_wsh.rhai", super::support::ECHO)]).await;
    let here = |text: &str| text.replace("localhost:9998", &format!("localhost:{}", server.port()));
    assert!(GUIDE.contains("<http://localhost:9998/hello>"));
    let mut page = Page::open(&here("http://localhost:9998/hello")).await;
    page.value("(window.said = [], console.log = text => { said.push(text) }, 0)")
        .await;
    page.value(&here(&format!("{{ {} }} 0", lines.join("\n"))))
        .await;
    page.until("said[0] == 'hello'").await;
}

/// Somebody who does what the page says, beside a server of the current folder.
struct Reader {
    server: Server,
    /// Each in a browser of its own: what the page says stays open does. The last one is looked at.
    pages: Vec<(String, Page)>,
    /// The connection of the section about bytes.
    wire: Option<Raw>,
}

impl Reader {
    /// The page's first two commands: with a free port, or it would be the only test that may run.
    async fn start() -> Reader {
        let builder = Server::builder().bare().args(["-p", "0", "--dev"]);
        let commands = blocks(ENGLISH).into_iter().find(|block| block.kind == "sh");
        assert_eq!(
            commands.expect("commands").text,
            "wsh-server new echo\nwsh-server --dev"
        );
        run(&builder.dir(), "wsh-server new echo");
        let server = builder.start().await;
        Reader {
            server,
            pages: Vec::new(),
            wire: None,
        }
    }

    fn page(&mut self) -> &mut Page {
        let (_, page) = self.pages.last_mut().expect("an open page");
        page
    }

    /// With the port that the server has.
    fn here(&self, text: &str) -> String {
        text.replace(
            "localhost:9998",
            &format!("localhost:{}", self.server.port()),
        )
    }

    fn command(&mut self, line: &str) {
        // Both have been given at the start.
        if !matches!(line, "wsh-server --dev" | "wsh-server new echo") {
            run(self.server.dir(), line);
        }
    }

    /// Saves the page under the name in its first line, and opens it from there.
    async fn opens_page(&mut self, text: &str) {
        let name = text.split(' ').nth(1).expect("a name");
        self.server.write(name, self.here(text));
        let page = Page::open(&self.address(name)).await;
        self.pages.push((name.to_owned(), page));
    }

    /// Comes back to a page that was opened before, and loads it anew.
    async fn returns(&mut self, name: &str) {
        let at = self.pages.iter().position(|(page, _)| page == name);
        let page = self.pages.remove(at.expect("a page of this name"));
        self.pages.push(page);
        let address = self.address(name);
        self.page().go(&address).await;
    }

    fn address(&self, name: &str) -> String {
        format!("file://{}/{name}", self.server.dir().display())
    }

    /// The page shows this, after a click on its button unless it does already or has lost its
    /// server.
    async fn sees(&mut self, text: &str) {
        let page = self.page();
        if !text.contains("onclose: 1001") {
            // What says hello has to be connected first.
            page.until(
                "!document.querySelector('form') || document.querySelector('#log').innerText",
            )
            .await;
            page.click("button").await;
        }
        let shown = format!(
            "document.querySelector('#log').innerText.trim() == {}",
            serde_json::json!(text)
        );
        page.until(&shown).await;
    }

    /// In the browser's console: a line with `// => value` has that value.
    async fn types(&mut self, text: &str) {
        let mut code = String::new();
        let mut expected = Vec::new();
        for line in text.lines() {
            match line.split_once("; // => ") {
                Some((expression, value)) => {
                    code += &format!("values.push(String({expression}));\n");
                    expected.push(value);
                }
                None => code += &format!("{line}\n"),
            }
        }
        assert_ne!(expected.len(), 0, "{text}");
        let code = self.here(&format!(
            "(async () => {{ const values = [];\n{code}return values; }})()"
        ));
        assert_eq!(
            self.page().value(&code).await,
            serde_json::json!(expected),
            "{text}"
        );
    }

    /// Saves a handler under the name in its first line, and waits until the server has seen it.
    async fn saves(&mut self, text: &str) {
        let first = text.lines().next().expect("a line");
        let name = first.strip_prefix("// ").expect("a name");
        let seen = self.server.count([" handler ", name]);
        self.server.write(name, text);
        super::support::within("the handler's turn", async {
            while self.server.count([" handler ", name]) == seen {
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        })
        .await;
    }

    async fn shakes_hands(&mut self, request: &str, answer: &str) {
        let mut raw = Raw::connect(&self.server).await;
        raw.send(head(request, self.server.port())).await;
        let answer = head(answer, self.server.port());
        let found = raw.exactly(answer.len()).await;
        assert_eq!(String::from_utf8_lossy(&found), answer);
        self.wire = Some(raw);
    }

    /// `→` is what the client sends, `←` what it gets.
    async fn exchanges(&mut self, text: &str) {
        let mut raw = self.wire.take().expect("a connection");
        for line in text.lines() {
            let (direction, bytes) = line.split_once(' ').expect("a direction");
            let bytes: Vec<u8> = bytes
                .split(' ')
                .map(|byte| u8::from_str_radix(byte, 16).expect("hex"))
                .collect();
            match direction {
                "→" => raw.send(bytes).await,
                _ => assert_eq!(raw.exactly(bytes.len()).await, bytes, "{line}"),
            }
        }
        raw.expect_eof().await;
    }
}

/// A head as it goes over the wire.
fn head(text: &str, port: u16) -> String {
    let text = text.replace("localhost:9998", &format!("localhost:{port}"));
    text.replace('\n', "\r\n") + "\r\n\r\n"
}

/// A command of the page in this folder, which has to succeed.
fn run(dir: &Path, line: &str) {
    let words = line.strip_prefix("wsh-server ").expect("our program");
    let done = Command::new(env!("CARGO_BIN_EXE_wsh-server"))
        .args(words.split(' '))
        .current_dir(dir)
        .output();
    let done = done.expect("start wsh-server");
    assert!(done.status.success(), "{line}: {done:?}");
}
