//! The text files that the server reads, as editors of all kinds leave them.

use super::support::{Authority, ECHO, Raw, Server, Wire, answering};

/// What Notepad puts before UTF-8.
const MARK: &str = "\u{feff}";

#[tokio::test]
async fn a07_a_byte_order_mark_is_skipped_in_every_text_file() {
    let authority = Authority::new();
    let issued = authority.issue("marked");
    let flags = authority.identity(&issued);
    authority.write("cert.pem", &format!("{MARK}{}", issued.certificate));
    authority.write("key.pem", &format!("{MARK}{}", issued.key));
    let handler =
        "import \"lib/v\" as v;\nfn transfer_data(ws, message) {\n    ws.send(v::V);\n}\n";
    let builder = Server::builder()
        .file("a_wsh.rhai", format!("{MARK}{handler}"))
        .file(
            "lib/v.rhai",
            format!("{MARK}export const V = \"marked\";\n"),
        )
        .file("aliases", format!("{MARK}/other /a\n"))
        .file("users", format!("{MARK}ada:countess\n"));
    let dir = builder.dir();
    let quoted = |name: &str| format!("{:?}", dir.join(name));
    let settings = format!(
        "{MARK}websock-handlers-map-file = {}\nbasic-auth-file = {}\ntls-port = 0\n",
        quoted("aliases"),
        quoted("users")
    );
    let server = builder
        .file("wsh.toml", settings)
        .arg("--config")
        .arg(dir.join("wsh.toml"))
        .args(flags)
        .start()
        .await;
    for path in ["/a", "/other"] {
        let mut raw = Raw::connect(&server).await;
        let user = [("Authorization", "Basic YWRhOmNvdW50ZXNz")];
        raw.handshake(path, &user).await.expect_upgrade();
        raw.send(Wire::text("x").bytes()).await;
        raw.expect_text("marked").await;
    }
    authority.client().connect(server.tls_port()).await;
}

#[tokio::test]
async fn a07_positions_do_not_count_the_mark() {
    let finished = Server::builder()
        .bare()
        .file(
            "a_wsh.rhai",
            format!("{MARK}fn transfer_data(ws, message) {{ mesage; }}\n"),
        )
        .file("aliases", format!("{MARK}/one /nowhere\n"))
        .args(["check", "-m", "aliases"])
        .run()
        .await;
    for line in [
        "--> a_wsh.rhai:1:33",
        "1 | fn transfer_data",
        "--> aliases:1:1",
        "1 | /one",
    ] {
        assert!(
            finished.stdout.contains(line),
            "{line}: {}",
            finished.stdout
        );
    }
}

/// A version in another encoding is said with its line; the one before it goes on.
#[tokio::test]
async fn texts_in_other_encodings_are_named() {
    let server = Server::builder()
        .file("a_wsh.rhai", answering("one"))
        .start()
        .await;
    server.until_answer("/a", "one").await;
    let gbk = b"fn transfer_data(ws, message) {\n    ws.send(\"\xC4\xE3\xBA\xC3\");\n}\n";
    server.write("a_wsh.rhai", gbk);
    server
        .log("not UTF-8 in line 2; this looks like GBK: save the file as UTF-8")
        .await;
    server.log("--> a_wsh.rhai:2:14").await;
    server.log("2 |     ws.send(\"").await;
    let utf16 = ECHO.encode_utf16().flat_map(u16::to_le_bytes);
    server.write("a_wsh.rhai", [vec![0xFF, 0xFE], utf16.collect()].concat());
    server
        .log("this looks like UTF-16 LE: save the file as UTF-8")
        .await;
    server.until_answer("/a", "one").await;
}

#[tokio::test]
async fn settings_in_another_encoding_are_refused_with_their_line() {
    let gbk = b"# \xC4\xE3\xBA\xC3\nport = 0\n";
    for (name, flag) in [("wsh.toml", "--config"), ("users", "--basic-auth-file")] {
        let builder = Server::builder().file(name, gbk);
        let file = builder.dir().join(name);
        let finished = builder.arg(flag).arg(file).run().await;
        assert_eq!(finished.status.code(), Some(2), "{}", finished.stderr);
        let said = "not UTF-8 in line 1; this looks like GBK";
        assert!(finished.stderr.contains(said), "{}", finished.stderr);
    }
}
