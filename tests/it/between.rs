//! `proxy`: what stands between a client and its server changes nothing, and shows all.

use serde_json::Value;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use crate::support::{ECHO, Server, connect};

const TELLS: &str = "fn do_extra_handshake(request) {\n    this.said = request.header(\"x-given\") + \
    \" \" + request.header(\"host\");\n}\nfn on_open(ws) {\n    ws.send(this.said);\n}\nfn \
    transfer_data(ws, message) {\n    if message == \"go\" { ws.close(4001, \"gone\"); } else { \
    ws.send(message); }\n}\n";

/// The proxy of a server, and its port.
async fn proxy(url: &str, more: &[&str]) -> (Server, String) {
    let args = [&["proxy", url, "-p", "0"], more].concat();
    let proxy = Server::builder().bare().args(args).spawn();
    let ready = proxy.printed("ready: ").await;
    let own = ready
        .split_whitespace()
        .nth(1)
        .expect("an address")
        .to_owned();
    (proxy, own)
}

#[tokio::test]
async fn messages_go_through_and_are_shown() {
    let server = Server::start(&[("tells_wsh.rhai", TELLS)]).await;
    let dir = tempfile::tempdir().expect("a folder");
    let folder = dir.path().join("recordings");
    let folder = folder.to_str().expect("UTF-8");
    let more = ["-H", "X-Given: parrot", "--record", folder];
    let (proxy, own) = proxy(&server.url(""), &more).await;
    let mut client = connect(format!("{own}/tells?a=b")).await;
    let authority = server.url("").replace("ws://", "");
    assert_eq!(client.next_text().await, format!("parrot {authority}"));
    client.send_text("hello\nworld").await;
    assert_eq!(client.next_text().await, "hello\nworld");
    client.send_binary([0, 255]).await;
    assert_eq!(client.next_binary().await, [0, 255]);
    let long = "x".repeat(200_000);
    client.send_text(long.as_str()).await;
    assert_eq!(client.next_text().await, long);
    client.send_text("go").await;
    assert_eq!(client.next_close().await, (4001, "gone".to_owned()));
    // A client ends its side when it likes.
    drop(client);
    for line in [
        "#1 101 Switching Protocols for ",
        "#1 < parrot",
        "#1 > hello world",
        "#1 < hello world",
        "#1 > binary, 2 bytes: 00ff",
        "#1 > xxx",
        "#1 > go",
        "#1 < close 4001 gone",
        "#1 ended: 4001",
    ] {
        proxy.printed(line).await;
    }
    let file = std::fs::read_dir(folder)
        .expect("the folder")
        .next()
        .expect("a file");
    let file = file.expect("an entry").path();
    let text = std::fs::read_to_string(&file).expect("text");
    let har: Value = serde_json::from_str(&text).expect("JSON");
    let entry = &har["log"]["entries"][0];
    assert_eq!(entry["request"]["url"], server.url("/tells?a=b"));
    assert_eq!(
        entry["_webSocketMessages"].as_array().map(Vec::len),
        Some(8)
    );
    assert_eq!(entry["_wsh"]["close"]["by"], "server");
}

#[tokio::test]
async fn compressed_messages_are_read_and_refusals_passed_on() {
    let server = Server::builder()
        .file("echo_wsh.rhai", ECHO)
        .args([
            "--compression-client-context",
            "--compression-server-context",
        ])
        .start()
        .await;
    let (proxy, own) = proxy(&server.url(""), &[]).await;
    let text = "again and again ".repeat(100);
    let url = format!("{own}/echo");
    for count in [1, 3] {
        let mut child = tokio::process::Command::new(env!("CARGO_BIN_EXE_wsh-server"))
            .args(["connect", &url, "-c", "-q", "-n", &count.to_string()])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .expect("start wsh-server");
        let mut stdin = child.stdin.take().expect("piped");
        let lines = format!("{text}\n").repeat(count);
        tokio::io::AsyncWriteExt::write_all(&mut stdin, lines.as_bytes())
            .await
            .expect("fed");
        drop(stdin);
        let output = child.wait_with_output().await.expect("an output");
        assert_eq!(String::from_utf8_lossy(&output.stdout), lines);
        for _ in 0..count {
            proxy.printed("> again and again again").await;
            proxy.printed("< again and again again").await;
        }
    }
    // What the server says is what the client hears; a page elsewhere is not let through.
    let refused = tokio_tungstenite::connect_async(format!("{own}/nowhere")).await;
    assert!(refused.expect_err("refused").to_string().contains("404"));
    proxy.printed("404").await;
    let mut request = format!("{own}/echo")
        .into_client_request()
        .expect("a request");
    request
        .headers_mut()
        .insert("Host", "evil.example".parse().expect("a value"));
    let refused = tokio_tungstenite::connect_async(request).await;
    assert!(refused.expect_err("refused").to_string().contains("502"));
    proxy.printed("is not this machine's").await;
}

/// What the handler does not say goes through as it is; what it says is what the other side hears.
#[tokio::test]
async fn a_handler_changes_what_goes_through_and_is_edited_meanwhile() {
    let server = Server::start(&[("tells_wsh.rhai", TELLS), ("echo_wsh.rhai", ECHO)]).await;
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("change_wsh.rhai");
    // At once: a file that is empty for a moment is a handler, too, which changes nothing.
    let write = |text: &str| {
        let new = dir.path().join("new");
        std::fs::write(&new, text).expect("written");
        std::fs::rename(&new, &file).expect("renamed");
    };
    write("fn on_dialed(ws, dialed, message) { ws.send(`< ${message}`); }");
    // Another handler in the folder serves nothing.
    std::fs::write(dir.path().join("echo_wsh.rhai"), ECHO).expect("written");
    let handler = file.to_str().expect("UTF-8");
    let more = ["-H", "X-Given: parrot", "--handler", handler];
    let (proxy, own) = proxy(&server.url(""), &more).await;
    let mut client = connect(format!("{own}/tells?a=b")).await;
    let authority = server.url("").replace("ws://", "");
    assert_eq!(client.next_text().await, format!("< parrot {authority}"));
    client.send_text("hello").await;
    assert_eq!(client.next_text().await, "< hello");
    proxy.printed("#1 > hello").await;
    proxy.printed("#1 < < hello").await;

    write(
        "fn transfer_data(ws, message) { this.server.send(message.to_upper()); }\n\
         fn on_dialed(ws, dialed, message) { ws.send(message); }",
    );
    proxy.log("reloaded").await;
    client.send_text("hello").await;
    assert_eq!(
        client.next_text().await,
        "HELLO",
        "on the connection that was open"
    );
    client.send_binary([1, 2]).await;
    let fault = proxy.log("to_upper").await;
    assert!(
        fault.contains("change_wsh.rhai") || fault.contains("blob"),
        "{fault}"
    );
    client.send_text("again").await;
    assert_eq!(
        client.next_text().await,
        "AGAIN",
        "a fault costs its message alone"
    );

    // Both ends hear how the other has ended.
    let mut other = connect(format!("{own}/tells")).await;
    assert_eq!(other.next_text().await, format!("parrot {authority}"));
    write("fn transfer_data(ws, message) { this.server.send(\"go\"); }");
    proxy.log("reloaded").await;
    other.send_text("x").await;
    assert_eq!(other.next_close().await, (4001, "gone".to_owned()));
    drop(other);
    proxy.printed("ended: 4001").await;
    client.close(4002, "bye").await;
    drop(client);
    proxy.printed("ended: 4002").await;

    // Who is refused there is refused here, and says why.
    let refused = tokio_tungstenite::connect_async(format!("{own}/nowhere")).await;
    let refused = refused.expect_err("refused").to_string();
    assert!(refused.contains("404 Not Found"), "{refused}");
    let binary = env!("CARGO_BIN_EXE_wsh-server");
    for name in ["change.rhai", "missing_wsh.rhai"] {
        let wrong = std::process::Command::new(binary)
            .args(["proxy", "localhost:1", "-p", "0", "--handler", name])
            .output()
            .expect("it runs");
        let said = String::from_utf8_lossy(&wrong.stderr);
        assert!(
            !wrong.status.success() && said.contains("--handler"),
            "{said}"
        );
    }
}
