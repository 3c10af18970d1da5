//! A HAR file of one connection, written while it happens, and whole at every moment.
//!
//! What stands behind the messages is short: each new message, or several at once, is written over
//! it, with the same end behind itself, in one call. So whoever opens the file meanwhile, or finds
//! it after a crash, has valid JSON, and a message costs the same however long the file is.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use data_encoding::BASE64;
use serde_json::{Map, Value, json};

use super::{ABORTED, Beat, Ending, Side, date, is_secret, seconds};
use crate::config::limits::Recordings;
use crate::websocket::Message;
use crate::websocket::code::{ABNORMAL, NO_STATUS};

/// Bytes that are not held any longer.
const GATHERED: usize = 64 * 1024;

/// The opcode of a text.
const TEXT: u8 = 1;

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
    held: Vec<u8>,
    /// Whether it waits for others.
    gathers: bool,
    /// The last message's time, and how it is written.
    stamp: (SystemTime, Vec<u8>),
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
            held: front.into_bytes(),
            gathers: false,
            stamp: (UNIX_EPOCH, b"0.000000".to_vec()),
            messages: 0,
            bytes: 0,
            left_out: 0,
            started: head.started,
            last: head.started,
            facts: head.facts,
            closed: None,
        };
        writer.flush()?;
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
        match message {
            Message::Text(text) => self.add(by, time, TEXT, text.as_bytes()),
            Message::Binary(bytes) => self.add(by, time, 2, bytes),
        }
    }

    /// Adds a Ping or a Pong, which counts as a message does.
    pub fn beat(
        &mut self,
        by: Side,
        time: SystemTime,
        beat: Beat,
        payload: &[u8],
    ) -> io::Result<()> {
        self.add(by, time, beat.opcode(), payload)
    }

    /// Adds any of these, by its opcode. What of a text is none is replaced.
    pub fn add(
        &mut self,
        by: Side,
        time: SystemTime,
        opcode: u8,
        payload: &[u8],
    ) -> io::Result<()> {
        self.last = time;
        if self.messages >= self.limits.messages || self.bytes >= self.limits.bytes {
            self.left_out += 1;
            return self.put();
        }
        let separator: &[u8] = if self.messages == 0 { b"\n" } else { b",\n" };
        self.held.extend_from_slice(separator);
        self.held.extend_from_slice(match by {
            Side::Client => b"{\"type\":\"send\",\"time\":",
            Side::Server => b"{\"type\":\"receive\",\"time\":",
        });
        self.time(time);
        write!(self.held, ",\"opcode\":{opcode},\"data\":")?;
        let begin = self.held.len();
        match opcode {
            TEXT => put_text(&mut self.held, payload)?,
            _ => put_binary(&mut self.held, payload),
        }
        self.messages += 1;
        self.bytes += self.held.len() - begin;
        self.held.push(b'}');
        self.put()
    }

    /// Microseconds are as fine as the number is.
    fn time(&mut self, time: SystemTime) {
        let (known, text) = &mut self.stamp;
        if *known != time {
            let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
            text.clear();
            // A Vec takes every write.
            let _ = write!(text, "{}.{:06}", since.as_secs(), since.subsec_micros());
            *known = time;
        }
        self.held.extend_from_slice(text);
    }

    /// Messages that were not written down elsewhere.
    pub fn leave_out(&mut self, messages: u64) -> io::Result<()> {
        self.left_out += messages;
        self.put()
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
        self.put()
    }

    /// Whether something is not in the file yet.
    pub fn holds(&self) -> bool {
        !self.held.is_empty()
    }

    fn put(&mut self) -> io::Result<()> {
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
        // A Vec takes every write.
        let _ = write!(
            self.held,
            "\n],\"time\":{:.3},",
            took.as_secs_f64() * 1000.0
        );
        if let Some(closed) = &self.closed {
            let _ = write!(self.held, "\"_webSocketClose\":{closed},");
        }
        let _ = writeln!(self.held, "\"_wsh\":{}}}]}}}}", Value::Object(facts));
        let written = self.file.write_all_at(&self.held, self.at);
        self.at += length as u64;
        self.held.clear();
        // As much as it needed this time.
        self.held.shrink_to(2 * length);
        written
    }
}

/// Appends a text as JSON.
fn put_text(out: &mut Vec<u8>, payload: &[u8]) -> io::Result<()> {
    let text = String::from_utf8_lossy(payload);
    // One pass without a branch is many bytes at once, and most texts are this.
    let is_plain = text.bytes().fold(true, |is, byte| {
        is & (byte >= 0x20) & (byte != b'"') & (byte != b'\\')
    });
    if is_plain {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
        return Ok(());
    }
    Ok(serde_json::to_writer(out, &*text)?)
}

/// Appends bytes in base64, as JSON.
fn put_binary(out: &mut Vec<u8>, payload: &[u8]) {
    out.push(b'"');
    let begin = out.len();
    out.resize(begin + BASE64.encode_len(payload.len()), 0);
    BASE64.encode_mut(payload, &mut out[begin..]);
    out.push(b'"');
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
