//! What is written is read, whole at every moment, and what others write is read, too.

use std::time::{Duration, UNIX_EPOCH};

use serde_json::{Value, json};

use super::*;
use crate::config::limits::{RECORDINGS, Recordings};

fn head() -> Head {
    Head {
        url: "ws://localhost:9998/chat?user=ada".to_owned(),
        started: UNIX_EPOCH + Duration::from_millis(1_700_000_000_123),
        request: vec![
            ("Cookie".to_owned(), "secret".to_owned()),
            ("X-Test".to_owned(), "</script>\"".to_owned()),
        ],
        answer: vec![("Sec-WebSocket-Protocol".to_owned(), "v1".to_owned())],
        secrets: false,
        facts: serde_json::Map::new(),
    }
}

#[test]
fn pitfall_24_a_file_is_whole_at_every_moment() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("x.har");
    let mut writer = Writer::create(&path, head(), RECORDINGS).expect("made");
    let mut said = Vec::new();
    for number in 0..20 {
        let (by, message) = match number % 3 {
            0 => (
                Side::Client,
                Message::Text(format!("\"{number}\u{2028}\0").into()),
            ),
            1 => (Side::Server, Message::Binary(vec![number; 7].into())),
            _ => (Side::Server, Message::Text("".into())),
        };
        let time = head().started + Duration::from_millis(10 * u64::from(number));
        writer.message(by, time, &message).expect("written");
        said.push(Said {
            by,
            time: seconds(time),
            message,
        });
        let found = read(&path).expect("valid");
        assert_eq!(found.len(), 1);
        for (found, wanted) in found[0].said.iter().zip(&said) {
            assert_eq!((found.by, &found.message), (wanted.by, &wanted.message));
            assert!((found.time - wanted.time).abs() < 1e-5);
        }
        assert_eq!(found[0].said.len(), said.len());
    }
    let ending = Ending {
        code: 4000,
        reason: "enough".to_owned(),
        by: By::Server,
    };
    writer.close(head().started, &ending).expect("written");
    let found = read(&path).expect("valid").remove(0);
    assert_eq!(found.ending, Some(ending));
    assert_eq!(found.url, head().url);
    assert_eq!(found.protocol.as_deref(), Some("v1"));
    assert!((found.started - 1_700_000_000.123).abs() < 1e-4);
    assert_eq!(found.headers, head().request[1..]);
    let text = std::fs::read_to_string(&path).expect("text");
    assert!(!text.contains("secret"), "{text}");
    // Never over another.
    assert!(Writer::create(&path, head(), RECORDINGS).is_err());
}

/// `generateHarHttpEntry` of HTTP Toolkit: the code is missing where the Close had none.
#[test]
fn the_end_is_where_http_toolkit_looks_for_it() {
    let dir = tempfile::tempdir().expect("a folder");
    let closed = json!({"code": 4000, "reason": "a \"b\"", "timestamp": 1_700_000_000.123});
    let bare = json!({"reason": "", "timestamp": 1_700_000_000.123});
    for (code, reason, wanted) in [
        (4000, "a \"b\"", closed),
        (1005, "", bare),
        (1006, "", json!("aborted")),
    ] {
        let path = dir.path().join(format!("{code}.har"));
        let mut writer = Writer::create(&path, head(), RECORDINGS).expect("made");
        let text = std::fs::read(&path).expect("text");
        let open: Value = serde_json::from_slice(&text).expect("JSON");
        assert!(open["log"]["entries"][0]["_webSocketClose"].is_null());
        let ending = Ending {
            code,
            reason: reason.to_owned(),
            by: By::Client,
        };
        writer.close(head().started, &ending).expect("written");
        let text = std::fs::read(&path).expect("text");
        let har: Value = serde_json::from_slice(&text).expect("JSON");
        assert_eq!(har["log"]["entries"][0]["_webSocketClose"], wanted);
    }
}

#[test]
fn a_connection_that_http_toolkit_saw_cut_is_cut() {
    let har = |close: Value| {
        let entry = json!({
            "startedDateTime": "2026-01-01T00:00:00.000+08:00",
            "request": {"url": "ws://h/a", "headers": []},
            "response": {"status": 101, "headers": []},
            "_resourceType": "websocket",
            "_webSocketMessages": [
                {"type": "send", "opcode": 1, "data": "hi", "time": 1_700_000_000.123},
            ],
            "_webSocketClose": close,
        });
        let har = json!({"log": {"version": "1.2", "pages": [], "entries": [entry]}});
        super::read::parse(har.to_string().as_bytes())
            .expect("a HAR")
            .remove(0)
    };
    let cut = har(json!("aborted")).ending.expect("an end");
    assert_eq!((cut.code, cut.by), (1006, By::Nobody));
    // Whose Close it was is not said.
    assert_eq!(
        har(json!({"code": 1000, "reason": "", "timestamp": 1.0})).ending,
        None
    );
}

#[test]
fn what_is_beyond_the_bound_is_counted() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("x.har");
    let limits = Recordings {
        messages: 2,
        ..RECORDINGS
    };
    let mut writer = Writer::create(&path, head(), limits).expect("made");
    for _ in 0..5 {
        writer
            .message(Side::Client, head().started, &Message::Text("x".into()))
            .expect("written");
    }
    let found = read(&path).expect("valid").remove(0);
    assert_eq!((found.said.len(), found.left_out), (2, 3));
}

#[test]
fn what_others_leave_out_is_not_needed() {
    let har = br#"{"log":{"entries":[
        {"request":{"method":"GET","url":"http://h/"}},
        {"startedDateTime":"2024-01-01T00:00:02.000+00:00",
         "request":{"method":"","url":"ws://h/b","httpVersion":"","headers":[]},
         "_webSocketMessages":[{"type":"send","opcode":1,"data":"b"},
            {"type":"error","data":"x"},{"type":"receive","opcode":9,"data":""}]},
        {"startedDateTime":"2024-01-01T01:00:01.000+01:00",
         "request":{"url":"ws://h/a"},
         "_webSocketMessages":[{"type":"receive","time":"1.5","opcode":2,"data":"AP8="}]}]}}"#;
    let found = super::read::parse(har).expect("a HAR");
    let urls: Vec<_> = found.iter().map(|found| found.url.as_str()).collect();
    assert_eq!(urls, ["ws://h/a", "ws://h/b"]);
    assert_eq!(
        found[0].said[0].message,
        Message::Binary(vec![0, 255].into())
    );
    assert!((found[0].said[0].time - 1.5).abs() < 1e-9);
    assert_eq!(found[1].said.len(), 1);
}

#[test]
fn what_is_no_recording_says_so() {
    for (text, why) in [
        ("", "no JSON"),
        ("{}", "no HAR"),
        (r#"{"log":{"entries":[{}]}}"#, "no WebSocket"),
        (
            r#"{"log":{"entries":[{"_webSocketMessages":[{"type":"up"}]}]}}"#,
            "entry 1, message 1",
        ),
        (
            r#"{"log":{"entries":[{"_webSocketMessages":[{"type":"send","opcode":2,"data":"?"}]}]}}"#,
            "no base64",
        ),
    ] {
        let error = super::read::parse(text.as_bytes())
            .expect_err(text)
            .to_string();
        assert!(error.contains(why), "{error}");
    }
}
