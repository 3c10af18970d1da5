//! A HAR file to its recorded connections: what Chrome, Playwright, HTTP Toolkit, mitmproxy and
//! this program write.
//!
//! They differ in what they leave out: old exports of Chrome have an empty method and version, its
//! newer ones no cookies, and some no times. Nothing but the messages is needed here.

use std::path::Path;

use data_encoding::BASE64;
use serde_json::Value;

use super::{ABORTED, Ending, Recording, Said, Side, seconds_of};
use crate::observe::event::By;
use crate::websocket::Message;
use crate::websocket::code::ABNORMAL;

/// Bytes of a file: a browser's export with all that a page has loaded is some tens of MiB.
const LONGEST: usize = 512 * 1024 * 1024;

/// Why a file is no recording.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// It cannot be read.
    #[error("{0}")]
    File(#[from] std::io::Error),
    /// It is too long.
    #[error("it has more than {} MiB", LONGEST >> 20)]
    Long,
    /// It is not JSON.
    #[error("it is no JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// It is JSON and no HAR.
    #[error("it is no HAR: log.entries is missing")]
    NoHar,
    /// No entry has messages.
    #[error(
        "it has no WebSocket: no entry has _webSocketMessages. In Chrome, open the page with the \
        network panel open, then export; in Firefox, which leaves messages out, record with \
        wsh-server --record or connect --record"
    )]
    NoSocket,
    /// A message makes no sense.
    #[error("entry {entry}, message {message}: {what}")]
    Message {
        /// The entry's number, from 1.
        entry: usize,
        /// The message's number, from 1.
        message: usize,
        /// What is wrong.
        what: &'static str,
    },
}

/// The recorded connections of a file, in order of their opening.
pub fn read(file: &Path) -> Result<Vec<Recording>, Unreadable> {
    let bytes = crate::file::read(file, LONGEST)?;
    if bytes.len() > LONGEST {
        return Err(Unreadable::Long);
    }
    // Some exports begin with a byte order mark.
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(&bytes);
    parse(bytes)
}

/// The same of a file's bytes.
pub fn parse(bytes: &[u8]) -> Result<Vec<Recording>, Unreadable> {
    let har: Value = serde_json::from_slice(bytes)?;
    let entries = har["log"]["entries"].as_array().ok_or(Unreadable::NoHar)?;
    let mut found = Vec::new();
    for (number, entry) in (1..).zip(entries) {
        if let Some(messages) = entry["_webSocketMessages"].as_array() {
            found.push(recording(entry, messages, number)?);
        }
    }
    if found.is_empty() {
        return Err(Unreadable::NoSocket);
    }
    found.sort_by(|one, other| one.started.total_cmp(&other.started));
    Ok(found)
}

fn recording(entry: &Value, messages: &[Value], number: usize) -> Result<Recording, Unreadable> {
    let mut said = Vec::new();
    for (place, message) in (1..).zip(messages) {
        let wrong = |what| Unreadable::Message {
            entry: number,
            message: place,
            what,
        };
        let by = match message["type"].as_str() {
            Some("send") => Side::Client,
            Some("receive") => Side::Server,
            // Chrome's note that something went wrong.
            Some("error") => continue,
            _ => return Err(wrong("its type is neither send nor receive")),
        };
        let data = message["data"].as_str().unwrap_or_default();
        let message_said = match message["opcode"].as_u64() {
            Some(1) | None => Message::Text(data.to_owned().into()),
            Some(2) => match BASE64.decode(data.as_bytes()) {
                Ok(bytes) => Message::Binary(bytes.into()),
                Err(_) => return Err(wrong("its data is no base64")),
            },
            // Control frames, which some write down.
            Some(_) => continue,
        };
        said.push(Said {
            by,
            time: time(&message["time"]),
            message: message_said,
        });
    }
    let request = &entry["request"];
    let wsh = &entry["_wsh"];
    let answer = fields(&entry["response"]["headers"]);
    let protocol = answer
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case("sec-websocket-protocol"));
    Ok(Recording {
        url: request["url"].as_str().unwrap_or_default().to_owned(),
        started: entry["startedDateTime"].as_str().map_or(0.0, seconds_of),
        headers: fields(&request["headers"]),
        protocol: protocol.map(|(_, value)| value.clone()),
        said,
        ending: ending(&wsh["close"]).or_else(|| abort(&entry["_webSocketClose"])),
        ended: time(&wsh["close"]["time"]),
        left_out: wsh["left_out"].as_u64().unwrap_or_default(),
    })
}

/// The number from which a time is one in milliseconds: in seconds that would be the year 5138.
const MILLISECONDS: f64 = 1e11;

/// A number of seconds; some write it as a text, and Playwright in milliseconds.
fn time(value: &Value) -> f64 {
    let number = value
        .as_f64()
        .or_else(|| value.as_str().and_then(|text| text.parse().ok()));
    let time = number.filter(|time| time.is_finite()).unwrap_or_default();
    if time >= MILLISECONDS {
        time / 1000.0
    } else {
        time
    }
}

fn fields(value: &Value) -> Vec<(String, String)> {
    let fields = value.as_array().into_iter().flatten();
    let pair = |field: &Value| {
        let text = |name| field[name].as_str().map(str::to_owned);
        Some((text("name")?, text("value")?))
    };
    fields.filter_map(pair).collect()
}

fn ending(close: &Value) -> Option<Ending> {
    let code = close["code"].as_u64()?;
    Some(Ending {
        code: u16::try_from(code).ok()?,
        reason: close["reason"].as_str().unwrap_or_default().to_owned(),
        by: match close["by"].as_str() {
            Some("client") => By::Client,
            Some("server") => By::Server,
            _ => By::Nobody,
        },
    })
}

/// HTTP Toolkit's note of a connection that was cut. Of a Close it says not whose it was, so that
/// there is nothing in it to do again.
fn abort(close: &Value) -> Option<Ending> {
    (close == ABORTED).then(|| Ending {
        code: ABNORMAL,
        reason: String::new(),
        by: By::Nobody,
    })
}
