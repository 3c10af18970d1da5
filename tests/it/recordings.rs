//! `--record`: what connections say, in files that are whole at every moment.

use std::path::{Path, PathBuf};

use serde_json::Value;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use crate::support::{ECHO, PATIENCE, Raw, Server, Wire, connect};

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

/// An echo that knows its version, and fails when it is told to.
fn of_version(version: u32) -> String {
    format!(
        "fn transfer_data(ws, message) {{\n    switch message {{\n        \"fail\" => throw \"on purpose\",\n        \
        \"version\" => ws.send(\"{version}\"),\n        _ => ws.send(message),\n    }}\n}}\n"
    )
}

/// Messages of all kinds, by opcode.
fn of_all_kinds() -> Vec<(u8, Vec<u8>)> {
    let texts = (0..200).map(|number| format!("{number} of many"));
    let texts = texts.chain([
        String::new(),
        "\"quoted\\\" \0\t\r\n\u{1b}\u{7f}\u{2028} 数é".to_owned(),
        "long ".repeat(3_000),
        "long and \"quoted\" ".repeat(3_000),
    ]);
    let binary = [0, 1, 2, 3, 255, 70_000].map(|length| vec![length as u8; length]);
    let texts = texts.map(|text| (1, text.into_bytes()));
    texts.chain(binary.map(|bytes| (2, bytes))).collect()
}

/// Sends messages at once, and reads their answers.
async fn echo_at_once(client: &mut Raw, messages: &[(u8, Vec<u8>)]) {
    let frames = messages.iter();
    let frames = frames.map(|(opcode, payload)| Wire::new(*opcode, payload).bytes());
    client.send(frames.collect::<Vec<_>>().concat()).await;
    for (opcode, payload) in messages {
        client.expect_frame(*opcode, payload).await;
    }
}

/// What a file says of these and their answers.
fn as_recorded<'m>(
    messages: impl IntoIterator<Item = (&'m u8, &'m [u8], &'m [u8])>,
) -> Vec<(String, u64, String)> {
    let data = |opcode: u8, payload: &[u8]| match opcode {
        1 => String::from_utf8(payload.to_vec()).expect("text"),
        _ => data_encoding::BASE64.encode(payload),
    };
    let mut said = Vec::new();
    for (opcode, sent, answered) in messages {
        said.push(("send".to_owned(), u64::from(*opcode), data(*opcode, sent)));
        said.push((
            "receive".to_owned(),
            u64::from(*opcode),
            data(*opcode, answered),
        ));
    }
    said
}

fn said(entry: &Value) -> Vec<(String, u64, String)> {
    let messages = entry["_webSocketMessages"].as_array().expect("messages");
    let mut last = 0.0;
    messages
        .iter()
        .map(|message| {
            let time = message["time"].as_f64().expect("a time");
            assert!(time >= last, "{time} behind {last}");
            last = time;
            let text = |name: &str| message[name].as_str().expect("text").to_owned();
            (
                text("type"),
                message["opcode"].as_u64().expect("an opcode"),
                text("data"),
            )
        })
        .collect()
}

#[tokio::test]
async fn a_recording_is_complete_and_in_order_however_it_ends() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut server = Server::builder()
        .file("echo_wsh.rhai", of_version(1))
        .arg("--record")
        .arg(dir.path())
        .args(["--ping-interval", "0"])
        .workers(2)
        .start()
        .await;
    let messages = of_all_kinds();
    let echoed = |messages: &[(u8, Vec<u8>)]| {
        let messages = messages.iter();
        as_recorded(messages.map(|(opcode, payload)| (opcode, &payload[..], &payload[..])))
    };
    // One goes over to another version, and ends by a fault of that.
    let mut faulty = Raw::open(&server, "/echo").await;
    let mut wanted = echoed(&messages);
    echo_at_once(&mut faulty, &messages).await;
    server.write("echo_wsh.rhai", of_version(2));
    loop {
        faulty.send(Wire::text("version").bytes()).await;
        let version = faulty.frame().await.payload;
        wanted.extend(as_recorded([(&1, &b"version"[..], &version[..])]));
        if version == b"2" {
            break;
        }
    }
    echo_at_once(&mut faulty, &messages).await;
    wanted.extend(echoed(&messages));
    faulty.send(Wire::text("fail").bytes()).await;
    wanted.push(("send".into(), 1, "fail".into()));
    faulty.expect_close(1011).await;
    // One is cut, and one is open when the server ends.
    let mut cut = Raw::open(&server, "/echo").await;
    echo_at_once(&mut cut, &messages).await;
    cut.reset();
    let mut open = Raw::open(&server, "/echo").await;
    echo_at_once(&mut open, &messages).await;
    let (stopped, _) = tokio::join!(server.stop(), open.expect_close(1001));
    assert!(stopped.success());
    let mut found: Vec<_> = files(dir.path())
        .iter()
        .map(|file| {
            let entry = entry(file);
            let close = &entry["_wsh"]["close"];
            (close["code"].as_u64(), said(&entry), entry)
        })
        .collect();
    found.sort_by_key(|(code, ..)| *code);
    let codes: Vec<_> = found.iter().map(|(code, ..)| *code).collect();
    assert_eq!(codes, [Some(1001), Some(1006), Some(1011)]);
    for ((code, found, entry), wanted) in
        found
            .iter()
            .zip([echoed(&messages), echoed(&messages), wanted])
    {
        assert_eq!(found.len(), wanted.len(), "{code:?}");
        for (found, wanted) in found.iter().zip(&wanted) {
            assert_eq!(found, wanted, "{code:?}");
        }
        assert_eq!(entry["_wsh"].get("left_out"), None, "{code:?}");
    }
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
