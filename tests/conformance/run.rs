//! One case on one connection, and what came of it. Blocking sockets: a case is a few packets.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::cases::{Case, Sent, Wanted};
use super::request::Request;

/// How long anything may take that a server does at once.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a server that owes an end is waited for, and one that owes nothing more.
const MOMENT: Duration = Duration::from_millis(300);

/// What came of a case.
#[derive(Debug, PartialEq)]
pub enum Got {
    /// An answer that ended the connection.
    Refused(u16),
    /// An answer, and the connection stays open or more is answered.
    Lenient(u16),
    Upgraded,
    /// A Close with this code, 1005 if it has none, then the end.
    Closed(u16),
    /// The end without a word.
    Dropped,
    /// Frames, then the end or not.
    Said(Vec<u8>),
    /// Nothing at all within the time.
    Silent,
    /// The server could not be asked.
    Failed(String),
}

impl Got {
    /// In two words, for a table.
    pub fn shortly(&self) -> String {
        match self {
            Got::Refused(status) => format!("refused {status}"),
            Got::Lenient(status) => format!("{status}, goes on"),
            Got::Upgraded => "upgraded".to_owned(),
            Got::Closed(code) => format!("closed {code}"),
            Got::Dropped => "dropped".to_owned(),
            Got::Said(_) => "taken".to_owned(),
            Got::Silent => "waits".to_owned(),
            Got::Failed(_) => "not asked".to_owned(),
        }
    }

    /// Whether this is what was wanted.
    pub fn fits(&self, wanted: &Wanted) -> bool {
        match (self, wanted) {
            (Got::Refused(status), Wanted::Refused(statuses)) => statuses.contains(status),
            (Got::Upgraded, Wanted::Upgraded) => true,
            (Got::Closed(code), Wanted::Closed(wanted)) => code == wanted,
            (Got::Said(bytes), Wanted::Said(wanted)) => bytes == wanted,
            // A Close alone is said, too.
            (Got::Closed(1005), Wanted::Said(wanted)) => wanted[..] == [0x88, 0],
            (Got::Closed(code), Wanted::Said(wanted)) => {
                wanted[..] == [&[0x88, 2], &code.to_be_bytes()[..]].concat()
            }
            _ => false,
        }
    }
}

/// Runs a case against the server at this address.
pub fn run(address: &str, path: &str, case: &Case) -> Got {
    match attempt(address, path, case) {
        Ok(got) => got,
        Err(error) => Got::Failed(error.to_string()),
    }
}

fn attempt(address: &str, path: &str, case: &Case) -> std::io::Result<Got> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_write_timeout(Some(PATIENCE))?;
    match &case.sent {
        Sent::Request(bytes) => {
            // A server may refuse before it has read all.
            let _ = stream.write_all(bytes);
            Ok(answer(&mut stream))
        }
        Sent::Frames(bytes) => {
            stream.write_all(&Request::upgrade(path).bytes())?;
            let (head, mut rest) = head(&mut stream);
            if status(&head) != Some(101) {
                return Ok(Got::Failed(format!(
                    "no upgrade: {}",
                    head.lines().next().unwrap_or("nothing")
                )));
            }
            let _ = stream.write_all(bytes);
            let is_enough = |bytes: &[u8]| match &case.wanted {
                Wanted::Said(wanted) => bytes.len() >= wanted.len() || ends_with_close(bytes),
                _ => ends_with_close(bytes),
            };
            let ended = read(&mut stream, &mut rest, PATIENCE, is_enough);
            // The end that belongs to a Close, or what should not come behind the last frame.
            let ended = ended || read(&mut stream, &mut rest, MOMENT, |_| false);
            Ok(said(rest, ended, &case.wanted))
        }
    }
}

/// What a request was answered with.
fn answer(stream: &mut TcpStream) -> Got {
    let (head, mut rest) = head(stream);
    match status(&head) {
        Some(101) => Got::Upgraded,
        Some(status) => {
            let length = |line: &str| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("content-length")
                    .then(|| value.trim().parse().ok())?
            };
            let length: Option<usize> = head.lines().find_map(length);
            let ended = read(stream, &mut rest, PATIENCE, |_| false);
            // Another answer behind the first is what smugglers look for.
            let alone = match length {
                Some(length) => rest.len() <= length,
                None => !rest.starts_with(b"HTTP/"),
            };
            if ended && alone {
                Got::Refused(status)
            } else {
                Got::Lenient(status)
            }
        }
        None if head.is_empty() => Got::Dropped,
        None => Got::Said(head.into_bytes()),
    }
}

fn said(bytes: Vec<u8>, ended: bool, wanted: &Wanted) -> Got {
    let close = match bytes[..] {
        [0x88, 0] => Some(1005),
        [0x88, length, high, low, ..] if usize::from(length) + 2 == bytes.len() => {
            Some(u16::from_be_bytes([high, low]))
        }
        _ => None,
    };
    match close {
        Some(code) => Got::Closed(code),
        None if bytes.is_empty() && ended => Got::Dropped,
        None if bytes.is_empty() => Got::Silent,
        // Frames before the Close are beside the point where only the Close is wanted.
        None if matches!(wanted, Wanted::Closed(_)) && ends_with_close(&bytes) => {
            let code = &bytes[bytes.len() - 2..];
            Got::Closed(u16::from_be_bytes([code[0], code[1]]))
        }
        None => Got::Said(bytes),
    }
}

/// Whether the last of these frames is a Close.
fn ends_with_close(mut bytes: &[u8]) -> bool {
    while let [first, second, rest @ ..] = bytes {
        let (length, rest) = match (second & 127, rest) {
            (126, [high, low, rest @ ..]) => (usize::from(u16::from_be_bytes([*high, *low])), rest),
            (126 | 127, _) => return false,
            (length, rest) => (usize::from(length), rest),
        };
        if rest.len() < length {
            return false;
        }
        if first & 15 == 8 {
            return true;
        }
        bytes = &rest[length..];
    }
    false
}

/// An answer's head as text, and the bytes behind it.
fn head(stream: &mut TcpStream) -> (String, Vec<u8>) {
    let mut bytes = Vec::new();
    let end = |bytes: &[u8]| bytes.windows(4).position(|window| window == b"\r\n\r\n");
    read(stream, &mut bytes, PATIENCE, |bytes| end(bytes).is_some());
    let rest = end(&bytes)
        .map(|at| bytes.split_off(at + 4))
        .unwrap_or_default();
    (String::from_utf8_lossy(&bytes).into_owned(), rest)
}

fn status(head: &str) -> Option<u16> {
    head.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()
}

/// Reads until it is enough, or the end, or the time is up; whether the connection ended.
fn read(
    stream: &mut TcpStream,
    bytes: &mut Vec<u8>,
    time: Duration,
    is_enough: impl Fn(&[u8]) -> bool,
) -> bool {
    let end = Instant::now() + time;
    let mut buffer = [0; 4096];
    while !is_enough(bytes) {
        let Some(left) = end
            .checked_duration_since(Instant::now())
            .filter(|left| !left.is_zero())
        else {
            return false;
        };
        let _ = stream.set_read_timeout(Some(left));
        match stream.read(&mut buffer) {
            Ok(0) => return true,
            Ok(count) => bytes.extend_from_slice(&buffer[..count]),
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
                ) => {}
            Err(_) => return true,
        }
    }
    false
}
