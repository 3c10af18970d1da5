//! A whole connection on a stream in memory, whose bytes come and go in pieces and with waits: what it writes and how its
//! session is told of the end is what the model says.
//!
//! The session sends messages back, closes on some, and waits before it answers if the input says so. Then answers to
//! pings may overtake it, and what waits behind a violation is dropped.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use wsh_server::websocket::frame::Raw;
use wsh_server::websocket::{
    Close, Connection, Event, Handle, Message, Outbox, Outcome, Session, Shared, Transport,
};

use super::frames::BOUNDS;
use super::model::{self, Heard};
use super::pieces::{Pieces, scheduled};

/// A message that begins with this is answered with a Close of this code.
const QUIT: u8 = b'q';
const CODE: u16 = 4000;
/// Polls of a connection, far above what the longest input takes.
const POLLS: usize = 1 << 20;

/// A connection from its first byte to its last.
pub fn connection(bytes: &[u8]) {
    let (pieces, bytes) = scheduled(bytes);
    let [manner, input @ ..] = bytes else {
        return;
    };
    let waits = manner & 1 == 1;
    let seen = Rc::new(RefCell::new(Seen::default()));
    let stream = Stream {
        input: input.to_vec(),
        reads: pieces.clone(),
        writes: pieces,
        seen: Rc::clone(&seen),
    };
    let session = Echo {
        waits,
        held: None,
        seen: Rc::clone(&seen),
    };
    let handle = Handle::new(1, Outbox::default());
    let shared = Rc::new(Shared::new(BOUNDS));
    let early = if manner & 2 == 2 {
        take_early(&seen, input)
    } else {
        Vec::new()
    };
    let mut connection = Connection::new(stream, session, handle, Rc::clone(&shared), early);
    run(&mut connection, &shared);
    let seen = seen.take();
    judge(&seen, input, waits);
}

/// The first bytes of the input, which come with the request head instead of by the stream.
fn take_early(seen: &RefCell<Seen>, input: &[u8]) -> Vec<u8> {
    let count = input.len() / 2;
    seen.borrow_mut().read = count;
    input[..count].to_vec()
}

fn run(connection: &mut Connection<Stream, Echo>, shared: &Shared) {
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(Arc::clone(&woken));
    for _ in 0..POLLS {
        woken.0.store(false, Ordering::Relaxed);
        let polled = Pin::new(&mut *connection).poll(&mut Context::from_waker(&waker));
        if polled.is_ready() {
            return;
        }
        if !woken.0.load(Ordering::Relaxed) {
            // Only a time-out can come now.
            shared.clock.tick();
        }
    }
    panic!("the connection does not end");
}

/// What happened, as peer and session saw it.
#[derive(Debug, Default)]
struct Seen {
    /// Bytes of the input that have been read.
    read: usize,
    output: Vec<u8>,
    opened: usize,
    ends: Vec<(u16, bool)>,
}

fn judge(seen: &Seen, input: &[u8], waits: bool) {
    assert_eq!(seen.opened, 1, "opened once");
    let (expected, end) = expected(input);
    let (written, is_cut) = frames(&seen.output);
    // Who leaves without a Close may miss what was on its way.
    let is_lost = matches!(end, (CODE | 1006, false));
    assert!(is_lost || !is_cut, "whole frames");
    if let Some(at) = written.iter().position(|frame| frame.opcode == 8) {
        assert_eq!(
            (at + 1, is_cut),
            (written.len(), false),
            "nothing follows a Close"
        );
    }
    if waits {
        assert_eq!(seen.ends.len(), 1, "closed once: {:?}", seen.ends);
        let of = |frames: &[Raw]| -> Vec<Raw> {
            let messages = frames.iter().filter(|frame| frame.opcode < 8);
            messages.cloned().collect()
        };
        // Of the answers that a waiting session was late with, the first are there.
        assert!(of(&expected).starts_with(&of(&written)), "{written:?}");
        return;
    }
    assert_eq!(seen.ends, [end], "how it ended");
    if is_lost {
        assert!(
            expected.starts_with(&written),
            "{written:?}, not {expected:?}"
        );
    } else {
        assert_eq!(written, expected, "what is written");
    }
}

/// The frames that a session without waits has to cause, and the end that it has to see.
fn expected(input: &[u8]) -> (Vec<Raw>, (u16, bool)) {
    let mut frames = Vec::new();
    let mut is_closing = false;
    let mut say = |opcode, payload: Vec<u8>, is_closing: bool| {
        if !is_closing {
            frames.push(Raw {
                fin: true,
                rsv: [false; 3],
                opcode,
                mask: None,
                length: None,
                form: None,
                payload,
            });
        }
    };
    for heard in model::hear(input, &BOUNDS) {
        match heard {
            Heard::Text(data) | Heard::Binary(data) if data.first() == Some(&QUIT) => {
                say(8, CODE.to_be_bytes().to_vec(), is_closing);
                is_closing = true;
            }
            Heard::Text(data) => say(1, data, is_closing),
            Heard::Binary(data) => say(2, data, is_closing),
            Heard::Ping(payload) => say(10, payload, is_closing),
            Heard::Pong(_) => {}
            Heard::Close(close) => {
                let code = close.as_ref().map(|(code, _)| *code);
                let payload = code.map(u16::to_be_bytes);
                say(8, payload.map(Vec::from).unwrap_or_default(), is_closing);
                return (frames, (code.unwrap_or(1005), true));
            }
            Heard::Violation(code) => {
                say(8, code.to_be_bytes().to_vec(), is_closing);
                let code = if is_closing { CODE } else { code };
                return (frames, (code, false));
            }
        }
    }
    let code = if is_closing { CODE } else { 1006 };
    (frames, (code, false))
}

/// What was written: frames, unmasked and in their shortest form, and whether the last one is cut off.
fn frames(mut output: &[u8]) -> (Vec<Raw>, bool) {
    let mut frames = Vec::new();
    while let Some(mut frame) = Raw::decode(output) {
        let bytes = frame.encode();
        assert_eq!(bytes, output[..bytes.len()], "the shortest form");
        assert!(frame.mask.is_none() && frame.rsv == [false; 3] && frame.fin);
        output = &output[bytes.len()..];
        if frame.opcode == 8 {
            // The words in a Close are for people.
            frame.payload.truncate(2);
        }
        frames.push(frame);
    }
    (frames, !output.is_empty())
}

#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Says and takes its bytes in pieces, and waits between some of them.
struct Stream {
    input: Vec<u8>,
    reads: Pieces,
    writes: Pieces,
    seen: Rc<RefCell<Seen>>,
}

impl Transport for Stream {}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Some(size) = self.reads.next() else {
            context.waker().wake_by_ref();
            return Poll::Pending;
        };
        let mut seen = self.seen.borrow_mut();
        let rest = &self.input[seen.read..];
        let count = rest.len().min(buffer.remaining()).min(size);
        buffer.put_slice(&rest[..count]);
        seen.read += count;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let Some(size) = self.writes.next() else {
            context.waker().wake_by_ref();
            return Poll::Pending;
        };
        let count = size.min(bytes.len());
        let mut seen = self.seen.borrow_mut();
        seen.output.extend_from_slice(&bytes[..count]);
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

struct Echo {
    waits: bool,
    /// The message that it waits with, and where its answer goes.
    held: Option<(Message<'static>, Rc<Handle>)>,
    seen: Rc<RefCell<Seen>>,
}

impl Session for Echo {
    fn start(
        &mut self,
        event: Event<'_>,
        handle: &Rc<Handle>,
        context: &mut Context<'_>,
    ) -> Poll<Outcome> {
        match event {
            Event::Opened => self.seen.borrow_mut().opened += 1,
            Event::Message(message) if self.waits => {
                assert!(self.held.is_none(), "one at a time");
                self.held = Some((message.into_owned(), Rc::clone(handle)));
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            Event::Message(message) => answer(&message, handle),
            Event::Closed {
                code, was_clean, ..
            } => self.seen.borrow_mut().ends.push((code, was_clean)),
            other => panic!("it heeds nothing of the kind: {other:?}"),
        }
        Poll::Ready(Outcome::Done)
    }

    fn resume(&mut self, _: &mut Context<'_>) -> Poll<Outcome> {
        if let Some((message, handle)) = self.held.take() {
            answer(&message, &handle);
        }
        Poll::Ready(Outcome::Done)
    }

    fn cancel(&mut self) {
        self.held = None;
    }
}

fn answer(message: &Message<'_>, handle: &Handle) {
    // A session may say what it likes after a Close: it is not taken.
    let _ = match message {
        Message::Text(text) if text.as_bytes().first() == Some(&QUIT) => quit(handle),
        Message::Binary(data) if data.first() == Some(&QUIT) => quit(handle),
        message => handle.send(message),
    };
}

fn quit(handle: &Handle) -> Result<(), wsh_server::websocket::SendError> {
    handle.close(Some(&Close::new(CODE, "")))
}
