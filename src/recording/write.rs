//! A HAR file of one connection, written while it happens, and whole at every moment.
//!
//! What stands behind the messages is short: each new message, or several at once, is written over
//! it, with the same end behind itself, in one call. So whoever opens the file meanwhile, or finds
//! it after a crash, has valid JSON, and a message costs the same however long the file is.

use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::time::SystemTime;

use data_encoding::BASE64;
use serde_json::{Map, Value, json};

use super::{ABORTED, Beat, Ending, Side, date, is_secret, seconds};
use crate::config::limits::Recordings;
use crate::websocket::Message;
use crate::websocket::code::{ABNORMAL, NO_STATUS};

/// Bytes that are not held any longer.
const GATHERED: usize = 128 * 1024;

/// What is known of a connection when it is opened.
#[derive(Debug, Clone)]
pub struct Head {
    /// Its address.
    pub url: String,
    /// When it was opened.
    pub started: SystemTime,
    /// The request's header fields.
    pub request: Vec<(String, String)>,
    /// The answer's.
    pub answer: Vec<(String, String)>,
    /// Whether headers that are secrets are written down, too.
    pub secrets: bool,
    /// What goes into `_wsh` besides.
    pub facts: Map<String, Value>,
}

/// A file that grows.
#[derive(Debug)]
pub struct Writer {
    file: File,
    limits: Recordings,
    /// Where the next message goes.
    at: u64,
    /// What goes there.
    held: String,
    /// Whether it waits for others.
    gathers: bool,
    messages: u64,
    bytes: usize,
    left_out: u64,
    started: SystemTime,
    last: SystemTime,
    facts: Map<String, Value>,
    /// The Close as HTTP Toolkit writes and reads it.
    closed: Option<Value>,
}

impl Writer {
    /// Makes a file that nobody else can read. One of this name must not exist.
    pub fn create(path: &Path, head: Head, limits: Recordings) -> io::Result<Self> {
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)?;
        let front = front(&head);
        let mut writer = Self {
            file,
            limits,
            at: 0,
            held: String::new(),
            gathers: false,
            messages: 0,
            bytes: 0,
            left_out: 0,
            started: head.started,
            last: head.started,
            facts: head.facts,
            closed: None,
        };
        writer.put(&front)?;
        Ok(writer)
    }

    /// Waits for [`flush`](Self::flush), or for much, before it writes: a message alone costs more
    /// than several at once.
    pub fn gathering(mut self) -> Self {
        self.gathers = true;
        self
    }

    /// Adds a message; beyond the file's bound it is counted only.
    pub fn message(&mut self, by: Side, time: SystemTime, message: &Message<'_>) -> io::Result<()> {
        let (opcode, data) = match message {
            Message::Text(text) => (1, serde_json::to_string(text)?),
            Message::Binary(bytes) => (2, format!("\"{}\"", BASE64.encode(bytes))),
        };
        self.add(by, time, opcode, &data)
    }

    /// Adds a Ping or a Pong, which counts as a message does.
    pub fn beat(
        &mut self,
        by: Side,
        time: SystemTime,
        beat: Beat,
        payload: &[u8],
    ) -> io::Result<()> {
        let data = format!("\"{}\"", BASE64.encode(payload));
        self.add(by, time, beat.opcode(), &data)
    }

    fn add(&mut self, by: Side, time: SystemTime, opcode: u8, data: &str) -> io::Result<()> {
        self.last = time;
        if self.messages >= self.limits.messages || self.bytes >= self.limits.bytes {
            self.left_out += 1;
            return self.put("");
        }
        let kind = match by {
            Side::Client => "send",
            Side::Server => "receive",
        };
        let separator = if self.messages == 0 { "\n" } else { ",\n" };
        // Microseconds are as fine as the number is.
        let time = seconds(time);
        self.messages += 1;
        self.bytes += data.len();
        self.put(&format!(
            "{separator}{{\"type\":\"{kind}\",\"time\":{time:.6},\"opcode\":{opcode},\
            \"data\":{data}}}"
        ))
    }

    /// Messages that were not written down elsewhere.
    pub fn leave_out(&mut self, messages: u64) -> io::Result<()> {
        self.left_out += messages;
        self.put("")
    }

    /// Writes down how it has ended: for us with whose Close was the first, and for others in the
    /// member that HTTP Toolkit has for it.
    pub fn close(&mut self, time: SystemTime, ending: &Ending) -> io::Result<()> {
        self.last = time;
        let mut closed = json!({ "reason": ending.reason, "timestamp": seconds(time) });
        match ending.code {
            ABNORMAL => closed = ABORTED.into(),
            NO_STATUS => {}
            code => closed["code"] = code.into(),
        }
        self.closed = Some(closed);
        self.facts.insert(
            "close".to_owned(),
            json!({
                "code": ending.code,
                "reason": ending.reason,
                "by": ending.by.name(),
                "time": seconds(time),
            }),
        );
        self.put("")
    }

    fn put(&mut self, text: &str) -> io::Result<()> {
        self.held += text;
        match self.gathers && self.held.len() < GATHERED {
            true => Ok(()),
            false => self.flush(),
        }
    }

    /// Writes what is held over the end, and the end behind it.
    pub fn flush(&mut self) -> io::Result<()> {
        let took = self.last.duration_since(self.started).unwrap_or_default();
        let mut facts = self.facts.clone();
        if self.left_out > 0 {
            facts.insert("left_out".to_owned(), self.left_out.into());
        }
        let length = self.held.len();
        // Writing to a String never fails.
        let _ = write!(
            self.held,
            "\n],\"time\":{:.3},",
            took.as_secs_f64() * 1000.0
        );
        if let Some(closed) = &self.closed {
            let _ = write!(self.held, "\"_webSocketClose\":{closed},");
        }
        let _ = writeln!(self.held, "\"_wsh\":{}}}]}}}}", Value::Object(facts));
        let written = self.file.write_all_at(self.held.as_bytes(), self.at);
        self.at += length as u64;
        self.held.clear();
        self.held.shrink_to(4096);
        written
    }
}

/// All that stands before the messages.
fn front(head: &Head) -> String {
    let fields = |fields: &[(String, String)]| -> Vec<Value> {
        let told = fields
            .iter()
            .filter(|(name, _)| head.secrets || !is_secret(name));
        told.map(|(name, value)| json!({ "name": name, "value": value }))
            .collect()
    };
    let query = head.url.split_once('?').map_or("", |(_, query)| query);
    let query: Vec<_> = form_urlencoded::parse(query.as_bytes())
        .map(|(name, value)| json!({ "name": name, "value": value }))
        .collect();
    let entry = json!({
        "startedDateTime": date(head.started),
        "_resourceType": "websocket",
        "request": {
            "method": "GET",
            "url": head.url,
            "httpVersion": "HTTP/1.1",
            "cookies": [],
            "headers": fields(&head.request),
            "queryString": query,
            "headersSize": -1,
            "bodySize": 0,
        },
        "response": {
            "status": 101,
            "statusText": "Switching Protocols",
            "httpVersion": "HTTP/1.1",
            "cookies": [],
            "headers": fields(&head.answer),
            "content": { "size": 0, "mimeType": "x-unknown" },
            "redirectURL": "",
            "headersSize": -1,
            "bodySize": -1,
            "_transferSize": 0,
        },
        "cache": {},
        "timings": { "send": 0, "wait": 0, "receive": 0 },
    });
    let entry = entry.to_string();
    let open = entry.strip_suffix('}').unwrap_or(&entry);
    format!(
        "{{\"log\":{{\"version\":\"1.2\",\"creator\":{{\"name\":\"wsh-server\",\"version\":\"{}\"\
        }},\"pages\":[],\"entries\":[{open},\"_webSocketMessages\":[",
        env!("CARGO_PKG_VERSION")
    )
}
