//! An ordinary request of a test, and its answer: what `on_request` is tested with.

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

/// Bytes of an answer's head.
const HEAD: usize = 64 * 1024;
/// Headers of an answer.
const HEADERS: usize = 100;

/// A request. What belongs to its connection is not said.
#[derive(Debug)]
pub struct Asked {
    /// The method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// Headers, which replace its own.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// Headers in their order, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// Sends a request, and reads the answer to its end; `Err` says why there is none.
pub async fn fetch(mut stream: DuplexStream, asked: Asked) -> Result<Answer, String> {
    let sent = stream.write_all(&bytes(&asked)).await;
    sent.map_err(|error| error.to_string())?;
    let mut bytes = Vec::new();
    let (mut answer, head) = loop {
        let read = stream.read_buf(&mut bytes).await;
        match parse(&bytes)? {
            Some(found) => break found,
            None if matches!(read, Ok(1..)) && bytes.len() < HEAD => {}
            None => return Err("the server ended the connection without an answer".into()),
        }
    };
    let mut length = answer.headers.iter();
    let length = length.find(|(name, _)| name == "content-length");
    let length: usize = length
        .and_then(|(_, value)| value.parse().ok())
        .unwrap_or(0);
    let has_body = asked.method != "HEAD" && !matches!(answer.status, 204 | 304);
    let end = head + if has_body { length } else { 0 };
    while bytes.len() < end {
        if !matches!(stream.read_buf(&mut bytes).await, Ok(1..)) {
            return Err(format!(
                "the answer has less than the {length} bytes that it told"
            ));
        }
    }
    answer.body = bytes[head..end].to_vec();
    Ok(answer)
}

fn bytes(asked: &Asked) -> Vec<u8> {
    let mut request = format!("{} {} HTTP/1.1\r\n", asked.method, asked.path);
    let length = asked.body.len().to_string();
    let has_body = !asked.body.is_empty() || matches!(&*asked.method, "POST" | "PUT" | "PATCH");
    let own = [
        ("Host", "localhost", true),
        ("Connection", "close", true),
        ("Content-Length", &length, has_body),
        (
            "Content-Type",
            "application/x-www-form-urlencoded",
            !asked.body.is_empty(),
        ),
    ];
    for (name, value, is_meant) in own {
        let mut given = asked.headers.iter();
        if is_meant && !given.any(|(given, _)| given.eq_ignore_ascii_case(name)) {
            request += &format!("{name}: {value}\r\n");
        }
    }
    for (name, value) in &asked.headers {
        request += &format!("{name}: {value}\r\n");
    }
    request += "\r\n";
    let mut bytes = request.into_bytes();
    bytes.extend_from_slice(&asked.body);
    bytes
}

/// An answer's head, and how long it is, once it is whole.
fn parse(bytes: &[u8]) -> Result<Option<(Answer, usize)>, String> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    match response.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => {
            let headers = response.headers.iter().map(|header| {
                let value = String::from_utf8_lossy(header.value).into_owned();
                (header.name.to_ascii_lowercase(), value)
            });
            let answer = Answer {
                status: response.code.unwrap_or(0),
                headers: headers.collect(),
                body: Vec::new(),
            };
            Ok(Some((answer, length)))
        }
        Ok(httparse::Status::Partial) => Ok(None),
        Err(error) => Err(format!("the answer is no HTTP: {error}")),
    }
}
