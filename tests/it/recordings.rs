//! `--record`: what connections say, in files that are whole at every moment.

use std::path::{Path, PathBuf};

use serde_json::Value;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use crate::support::{ECHO, PATIENCE, Server, connect};

const TALKS: &str = "fn on_open(ws) {\n    ws.send(\"welcome\");\n}\nfn transfer_data(ws, message) {\n    \
    switch message {\n        \"parts\" => { ws.send_fragment(\"one, \", false); \
    ws.send_fragment(\"two\", true); }\n        \"go\" => ws.close(4001, \"gone\"),\n        _ => \
    ws.send(message),\n    }\n}\n";

/// The files of a folder, in the order of their names.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("the folder");
    let mut files: Vec<_> = entries.map(|entry| entry.expect("one").path()).collect();
    files.sort();
    files
}

fn entry(file: &Path) -> Value {
    let text = std::fs::read_to_string(file).expect("a recording");
    let har: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    har["log"]["entries"][0].clone()
}

/// Waits until a recording is as it should be: it is written by a thread of its own.
async fn until(file: &Path, what: impl Fn(&Value) -> bool) -> Value {
    let begun = std::time::Instant::now();
    loop {
        let entry = entry(file);
        if what(&entry) {
            return entry;
        }
        assert!(begun.elapsed() < PATIENCE, "in vain: {entry:#}");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn connections_are_recorded_while_they_last() {
    let dir = tempfile::tempdir().expect("a folder");
    let folder = dir.path().join("made/of/two");
    let mut server = Server::builder()
        .file("talks_wsh.rhai", TALKS)
        .arg("--record")
        .arg(&folder)
        .start()
        .await;
    let mut request = server
        .url("/talks?a=b")
        .into_client_request()
        .expect("a request");
    request
        .headers_mut()
        .insert("Cookie", "session=secret".parse().expect("a value"));
    let mut client = connect(request).await;
    assert_eq!(client.next_text().await, "welcome");
    client.send_text("hello").await;
    assert_eq!(client.next_text().await, "hello");
    let begun = std::time::Instant::now();
    let file = loop {
        if let Some(file) = files(&folder).pop() {
            break file;
        }
        assert!(begun.elapsed() < PATIENCE, "nothing is recorded");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    };
    let count = |entry: &Value| entry["_webSocketMessages"].as_array().map_or(0, Vec::len);
    let open = until(&file, |entry| count(entry) == 3).await;
    assert_eq!(open["_wsh"].get("close"), None);
    client.send_binary([0, 255]).await;
    assert_eq!(client.next_binary().await, [0, 255]);
    client.send_text("parts").await;
    assert_eq!(client.next_text().await, "one, two");
    client.send_text("go").await;
    assert_eq!(client.next_close().await.0, 4001);
    let entry = until(&file, |entry| entry["_wsh"]["close"].is_object()).await;
    let said: Vec<_> = entry["_webSocketMessages"]
        .as_array()
        .expect("messages")
        .iter()
        .collect();
    let said: Vec<_> = said
        .iter()
        .map(|message| format!("{} {}", message["type"], message["data"]).replace('"', ""))
        .collect();
    assert_eq!(
        said,
        [
            "receive welcome",
            "send hello",
            "receive hello",
            "send AP8=",
            "receive AP8=",
            "send parts",
            "receive one, two",
            "send go",
        ]
    );
    assert_eq!(entry["request"]["url"], server.url("/talks?a=b"));
    assert_eq!(entry["_wsh"]["handler"], "talks_wsh.rhai");
    assert_eq!(entry["_wsh"]["version"], 1);
    assert_eq!(entry["_wsh"]["close"]["code"], 4001);
    assert_eq!(entry["_wsh"]["close"]["by"], "server");
    assert!(!entry.to_string().contains("secret"), "{entry}");
    let mode = std::os::unix::fs::MetadataExt::mode(&file.metadata().expect("there"));
    assert_eq!(mode & 0o777, 0o600);

    // What is open when the server ends is written to its end, and all of it can be replayed.
    let mut other = connect(server.url("/talks")).await;
    assert_eq!(other.next_text().await, "welcome");
    other.send_text("last words").await;
    assert_eq!(other.next_text().await, "last words");
    let (stopped, closed) = tokio::join!(server.stop(), other.next_close());
    assert!(stopped.success() && closed.0 == 1001);
    let recorded = files(&folder);
    assert_eq!(recorded.len(), 2);
    let last = recorded
        .iter()
        .map(|file| self::entry(file))
        .find(|entry| entry.to_string().contains("last words"))
        .expect("recorded");
    assert_eq!(last["_wsh"]["close"]["code"], 1001);
    let again = Server::start(&[("talks_wsh.rhai", TALKS)]).await;
    let path = file.to_str().expect("UTF-8");
    let done = Server::builder()
        .bare()
        .args(["replay", path, &again.url("")])
        .run()
        .await;
    assert_eq!(done.status.code(), Some(0), "{done:?}");
}

#[tokio::test]
async fn one_path_alone_is_recorded() {
    let dir = tempfile::tempdir().expect("a folder");
    let setting = format!("{}=/room", dir.path().display());
    let mut server = Server::builder()
        .file("room_wsh.rhai", ECHO)
        .file("room/[id]_wsh.rhai", ECHO)
        .file("roomy_wsh.rhai", ECHO)
        .args(["--record", &setting])
        .start()
        .await;
    for path in ["/room", "/room/blue", "/roomy"] {
        connect(server.url(path)).await.echoes(1).await;
    }
    assert!(server.stop().await.success());
    let names: Vec<_> = files(dir.path())
        .iter()
        .map(|file| {
            let name = file
                .file_name()
                .expect("a name")
                .to_string_lossy()
                .into_owned();
            name.split('-').next().expect("a part").to_owned()
        })
        .collect();
    assert_eq!(names, ["room", "room__id_"]);
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_says_so() {
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("file");
    std::fs::write(&file, "").expect("written");
    let folder = file.join("folder");
    let done = Server::builder()
        .file("echo_wsh.rhai", ECHO)
        .arg("--record")
        .arg(&folder)
        .run()
        .await;
    assert_eq!(done.status.code(), Some(2), "{done:?}");
    assert!(done.stderr.contains("--record"), "{done:?}");

    // One that is gone later costs nobody a connection.
    let folder = dir.path().join("recordings");
    let server = Server::builder()
        .file("echo_wsh.rhai", ECHO)
        .arg("--record")
        .arg(&folder)
        .start()
        .await;
    std::fs::remove_dir(&folder).expect("removed");
    connect(server.url("/echo")).await.echoes(2).await;
    server.log("the recording cannot be written").await;
}
