//! Files of the handler folder that scripts read, where they may.

use crate::support::{Builder, Server, connect};

const READER: &str = r#"
fn transfer_data(ws, message) {
    try {
        ws.send(file(message));
    } catch (e) {
        ws.send(`${e.kind}: ${e.message}`);
    }
}
"#;

async fn serve(build: impl FnOnce(Builder) -> Builder) -> Server {
    let builder = Server::builder()
        .file("reader_wsh.rhai", READER)
        .file("fixtures/a.bin", [0, 1, 255])
        .file("fixtures/.hidden", "hidden");
    build(builder).start().await
}

#[tokio::test]
async fn a_script_reads_what_is_below_its_folder() {
    let server = serve(|builder| builder.args(["--allow-files", "--max-message", "100"])).await;
    let mut client = connect(server.url("/reader")).await;
    for _ in 0..3 {
        client.send_text("fixtures/a.bin").await;
        assert_eq!(client.next_binary().await, [0, 1, 255]);
    }
    // What is saved is what is read next.
    server.replace("fixtures/a.bin", [2]);
    client.send_text("fixtures/a.bin").await;
    assert_eq!(client.next_binary().await, [2]);
    server.write("fixtures/a.bin", [3; 100]);
    client.send_text("fixtures/a.bin").await;
    assert_eq!(client.next_binary().await, [3; 100]);

    server.write("fixtures/a.bin", [3; 101]);
    std::os::unix::fs::symlink("/etc/hostname", server.dir().join("out")).expect("linked");
    for (path, why) in [
        ("fixtures/a.bin", "longer than 100 bytes"),
        ("out", "leads out of the handler folder"),
        ("../secret", "no path of a file below"),
        ("/etc/passwd", "no path of a file below"),
        ("fixtures/.hidden", "no path of a file below"),
        ("fixtures", "fixtures: "),
        ("missing", "missing: "),
    ] {
        client.send_text(path).await;
        let said = client.next_text().await;
        assert!(
            said.starts_with("file: ") && said.contains(why),
            "{path}: {said}"
        );
    }
}

#[tokio::test]
async fn it_is_off_unless_somebody_says_so() {
    let server = serve(|builder| builder).await;
    let mut client = connect(server.url("/reader")).await;
    client.send_text("fixtures/a.bin").await;
    let said = client.next_text().await;
    assert!(said.contains("--allow-files"), "{said}");
}
