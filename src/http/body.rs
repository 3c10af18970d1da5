//! The body of a request, RFC 9112 sections 6 and 7: as long as its head says, or in chunks.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use super::head::Head;
use super::respond::Refusal;
use super::site::Site;
use crate::config::limits::FILES;

/// Bytes of the line in front of a chunk, and of each line behind the last one.
const LINE: usize = 1024;
/// Bytes of all lines behind the last chunk.
const TRAILERS: usize = 8 * 1024;

/// Where the reading of a body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// In a body of a known length, of which so much is still to come.
    Rest(usize),
    /// In front of a chunk.
    Size,
    /// In a chunk, of which so much is still to come.
    Chunk(usize),
    /// Behind a chunk.
    End,
    /// Behind the last chunk, with so many bytes of lines.
    Trailers(usize),
    /// All of it is there.
    Done,
}

/// A body that is being read.
#[derive(Debug)]
struct Reader {
    state: State,
    most: usize,
    body: Vec<u8>,
}

/// Reads the body of this request, of which the bytes behind the head are the beginning; `None` if
/// the client has left. What may be read in two ways is refused, and what comes behind the body is
/// not looked at: the connection ends with the answer.
pub async fn read<S>(site: &Site, head: &Head, stream: &mut S) -> Option<Result<Vec<u8>, Refusal>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let most = site.settings.limits.head.body;
    let mut reader = match Reader::new(head, most) {
        Ok(reader) => reader,
        Err(refusal) => return Some(Err(refusal)),
    };
    let mut bytes = head.rest().to_vec();
    let is_waited_for = bytes.is_empty() && !reader.is_done() && head.is_current();
    if is_waited_for && head.values("expect").any(is_continue) {
        let go_on = b"HTTP/1.1 100 Continue\r\n\r\n";
        stream.write_all(go_on).await.ok()?;
    }
    let time = FILES.time + Duration::from_secs(most as u64 / FILES.rate);
    let mut held = None;
    let reading = async {
        loop {
            match reader.take(&mut bytes) {
                Ok(()) if reader.is_done() => return Some(Ok(reader.body)),
                Ok(()) => {}
                Err(refusal) => return Some(Err(refusal)),
            }
            if stream.read_buf(&mut bytes).await.ok()? == 0 {
                return None;
            }
            // Strangers with a little each are too much together: it counts to what all hold.
            let waker = poll_fn(|context| Poll::Ready(context.waker().clone())).await;
            let held = held.get_or_insert_with(|| site.settings.ledger.hold(&waker));
            held.set(reader.body.len() + bytes.len());
            if held.is_evicted() {
                let refusal = Refusal::new(503, "the server has no memory left");
                return Some(Err(refusal.with_retry_after().limit("max-buffered")));
            }
        }
    };
    let late = || Some(Err(Refusal::new(408, "the body did not arrive in time")));
    timeout(time, reading).await.unwrap_or_else(|_| late())
}

fn is_continue(value: &str) -> bool {
    value.eq_ignore_ascii_case("100-continue")
}

impl Reader {
    /// By what the head says of the body.
    fn new(head: &Head, most: usize) -> Result<Self, Refusal> {
        let codings: Vec<_> = head.values("transfer-encoding").collect();
        let lengths: Vec<_> = head.values("content-length").collect();
        let state = match (&codings[..], &lengths[..]) {
            ([], []) => State::Done,
            ([], [length]) => match number(length) {
                Some(0) => State::Done,
                Some(length) if length > most => return Err(too_long(most)),
                Some(length) => State::Rest(length),
                None => return Err(Refusal::new(400, "the Content-Length is no number")),
            },
            ([coding], []) if coding.eq_ignore_ascii_case("chunked") && head.is_current() => {
                State::Size
            }
            ([_], []) => return Err(Refusal::new(501, "the transfer coding here is chunked")),
            _ => return Err(Refusal::new(400, "the length of the body is said twice")),
        };
        let body = Vec::new();
        Ok(Self { state, most, body })
    }

    fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Takes what has come, as far as it belongs to the body.
    fn take(&mut self, bytes: &mut Vec<u8>) -> Result<(), Refusal> {
        let mut at = 0;
        while let Some((taken, state)) = self.step(&bytes[at..])? {
            at += taken;
            self.state = state;
        }
        bytes.drain(..at);
        Ok(())
    }

    /// How much of these bytes the next step takes, and what is behind it; `None` if it needs more
    /// of them, or there is none.
    fn step(&mut self, bytes: &[u8]) -> Result<Option<(usize, State)>, Refusal> {
        let malformed = || Refusal::new(400, "the chunks of the body are malformed");
        Ok(match self.state {
            State::Done => None,
            State::Rest(_) | State::Chunk(_) if bytes.is_empty() => None,
            State::Rest(left) => Some(self.data(left, bytes, State::Rest, State::Done)),
            State::Chunk(left) => Some(self.data(left, bytes, State::Chunk, State::End)),
            State::Size => match httparse::parse_chunk_size(bytes) {
                Ok(httparse::Status::Complete((count, 0))) => Some((count, State::Trailers(0))),
                Ok(httparse::Status::Complete((count, size))) => {
                    let room = self.most - self.body.len();
                    let size = usize::try_from(size).ok().filter(|size| *size <= room);
                    let size = size.ok_or_else(|| too_long(self.most))?;
                    Some((count, State::Chunk(size)))
                }
                Ok(httparse::Status::Partial) if bytes.len() <= LINE => None,
                _ => return Err(malformed()),
            },
            State::End if bytes.len() < 2 => None,
            State::End if bytes.starts_with(b"\r\n") => Some((2, State::Size)),
            State::End => return Err(malformed()),
            State::Trailers(before) => match bytes.windows(2).position(|two| two == b"\r\n") {
                Some(0) => Some((2, State::Done)),
                Some(end) if before + end <= TRAILERS => {
                    Some((end + 2, State::Trailers(before + end + 2)))
                }
                None if bytes.len() <= LINE => None,
                _ => return Err(malformed()),
            },
        })
    }

    /// Takes what belongs to the body, of which so much is still to come.
    fn data(
        &mut self,
        left: usize,
        bytes: &[u8],
        more: fn(usize) -> State,
        end: State,
    ) -> (usize, State) {
        let count = left.min(bytes.len());
        self.body.extend_from_slice(&bytes[..count]);
        match left - count {
            0 => (count, end),
            left => (count, more(left)),
        }
    }
}

/// A length in digits; one that no machine could hold is as long as any.
fn number(text: &str) -> Option<usize> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().unwrap_or(usize::MAX))
}

fn too_long(most: usize) -> Refusal {
    let refusal = Refusal::new(413, format!("the body has more than {most} bytes"));
    refusal.limit("max-request-body")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(state: State, parts: &[&[u8]]) -> Result<(Vec<u8>, bool), u16> {
        let mut reader = Reader {
            state,
            most: 20,
            body: Vec::new(),
        };
        let mut bytes = Vec::new();
        for part in parts {
            bytes.extend_from_slice(part);
            reader.take(&mut bytes).map_err(|refusal| refusal.status)?;
        }
        let is_done = reader.is_done();
        Ok((reader.body, is_done))
    }

    #[test]
    fn chunks_are_put_together_wherever_they_are_cut() {
        let whole = b"4\r\nWiki\r\n6;name=value\r\npedia \r\n0\r\nExpires: never\r\n\r\nGET";
        for cut in 0..whole.len() {
            let parts = [&whole[..cut], &whole[cut..]];
            assert_eq!(
                read(State::Size, &parts),
                Ok((b"Wikipedia ".to_vec(), true)),
                "{cut}"
            );
        }
        let one_by_one: Vec<_> = whole.chunks(1).collect();
        assert_eq!(
            read(State::Size, &one_by_one),
            Ok((b"Wikipedia ".to_vec(), true))
        );
        for cut in 0..5 {
            let parts = [&b"hello"[..cut], &b"hello"[cut..], b"GET"];
            assert_eq!(read(State::Rest(5), &parts), Ok((b"hello".to_vec(), true)));
        }
    }

    #[test]
    fn what_is_no_body_is_refused() {
        for (bytes, status) in [
            (&b"x\r\n"[..], 400),
            (b"-1\r\n", 400),
            (b"2\r\nabX\r\n", 400),
            (b"15\r\n", 413),
            (b"ffffffffffffffff\r\n", 413),
            (b"10000000000000000\r\n", 400),
            (&[b'0'; LINE + 1], 400),
        ] {
            assert_eq!(read(State::Size, &[bytes]), Err(status), "{bytes:?}");
        }
        let endless = [b"0\r\n".to_vec(), b"a: b\r\n".repeat(2000)].concat();
        assert_eq!(read(State::Size, &[&endless]), Err(400));
        for text in ["", "+5", "-1", "5 5", "0x5", "5,5"] {
            assert_eq!(number(text), None, "{text}");
        }
        assert_eq!(number("99999999999999999999999"), Some(usize::MAX));
    }
}
