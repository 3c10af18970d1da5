//! F25: all 65,536 first two bytes of a header in every state of a connection, against an oracle
//! that is a table.
//!
//! The connection is the library's own, on a stream in memory, so that what is compared is what a
//! peer and a session see: the exact bytes that come back and how the session is told of the end.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use wsh_server::config::limits;
use wsh_server::websocket::frame::Raw;
use wsh_server::websocket::{
    Close, Connection, Event, Handle, Outbox, Outcome, Session, Shared, Transport,
};

use crate::support::Wire;

/// Where the connection is when the two bytes come.
#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    Idle,
    InMessage,
    /// Our Close is out, the peer's is awaited.
    Closing,
    /// The same inside a fragmented message.
    ClosingInMessage,
    /// The peer's Close has come.
    Closed,
}

const STATES: [State; 5] = [
    State::Idle,
    State::InMessage,
    State::Closing,
    State::ClosingInMessage,
    State::Closed,
];

impl State {
    fn in_message(self) -> bool {
        matches!(self, State::InMessage | State::ClosingInMessage)
    }

    fn closing(self) -> bool {
        matches!(self, State::Closing | State::ClosingInMessage)
    }
}

/// What an opcode is, RFC 6455 section 11.8.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Continuation,
    Data,
    Close,
    Ping,
    Pong,
    Unknown,
}

const OPCODES: [Kind; 16] = [
    Kind::Continuation,
    Kind::Data,
    Kind::Data,
    Kind::Unknown,
    Kind::Unknown,
    Kind::Unknown,
    Kind::Unknown,
    Kind::Unknown,
    Kind::Close,
    Kind::Ping,
    Kind::Pong,
    Kind::Unknown,
    Kind::Unknown,
    Kind::Unknown,
    Kind::Unknown,
    Kind::Unknown,
];

/// How a frame of this kind may look: whether as a fragment that is not the last, inside a
/// fragmented message, outside of one, and up to which value of the 7-bit length.
struct Allowed {
    unfinished: bool,
    inside: bool,
    outside: bool,
    length: u8,
}

fn allowed(kind: Kind) -> Allowed {
    let (unfinished, inside, outside, length) = match kind {
        Kind::Continuation => (true, true, false, 127),
        Kind::Data => (true, false, true, 127),
        Kind::Close | Kind::Ping | Kind::Pong => (false, true, true, 125),
        Kind::Unknown => (false, false, false, 0),
    };
    Allowed {
        unfinished,
        inside,
        outside,
        length,
    }
}

/// Whether the two bytes may begin a frame of a client here. No extension is negotiated, so no
/// reserved bit is legal.
fn legal(first: u8, second: u8, in_message: bool) -> bool {
    let allowed = allowed(OPCODES[usize::from(first & 0x0f)]);
    let (fin, reserved) = (first & 0x80 != 0, first & 0x70 != 0);
    let (masked, length) = (second & 0x80 != 0, second & 0x7f);
    masked
        && !reserved
        && (fin || allowed.unfinished)
        && (if in_message {
            allowed.inside
        } else {
            allowed.outside
        })
        && length <= allowed.length
}

/// What goes in, what must come out, and how the session must be told of the end.
struct Case {
    input: Vec<u8>,
    output: Vec<u8>,
    code: u16,
    clean: bool,
}

/// The conversation around two bytes: what leads to the state, the frame, and a probe that shows
/// what it left behind.
fn case(first: u8, second: u8, state: State) -> Case {
    let mut input = Vec::new();
    let mut output = Vec::new();
    // The opcode and payload of the fragmented message that is open.
    let mut open: Option<(u8, Vec<u8>)> = None;
    if state.closing() {
        output.extend(Wire::close(OUR_CODE, "").unmasked().bytes());
    }
    if state.in_message() {
        input.extend(Wire::text("held ").more().bytes());
        open = Some((1, b"held ".to_vec()));
    }
    if state == State::Closed {
        input.extend(Wire::close(1000, "").bytes());
        input.extend([first, second]);
        output.extend(Wire::close(1000, "").unmasked().bytes());
        return Case {
            input,
            output,
            code: 1000,
            clean: true,
        };
    }
    let failed = |input, mut output: Vec<u8>| {
        if !state.closing() {
            output.extend(Wire::close(1002, "").unmasked().bytes());
        }
        Case {
            input,
            output,
            code: if state.closing() { OUR_CODE } else { 1002 },
            clean: false,
        }
    };
    let ended = |input, mut output: Vec<u8>, close: Wire, code| {
        if !state.closing() {
            output.extend(close.unmasked().bytes());
        }
        Case {
            input,
            output,
            code,
            clean: true,
        }
    };
    let say = |output: &mut Vec<u8>, frame: Wire| {
        if !state.closing() {
            output.extend(frame.unmasked().bytes());
        }
    };

    if !legal(first, second, state.in_message()) {
        // The two bytes are enough: nothing else of the frame ever comes.
        input.extend([first, second]);
        return failed(input, output);
    }

    let fin = first & 0x80 != 0;
    let opcode = first & 0x0f;
    let kind = OPCODES[usize::from(opcode)];
    let length = match second & 0x7f {
        126 => 126,
        127 => 65_536,
        short => usize::from(short),
    };
    let mut payload = vec![b'a'; length];
    if kind == Kind::Close {
        let code = 1000u16.to_be_bytes();
        let known = length.min(2);
        payload[..known].copy_from_slice(&code[..known]);
    }
    let frame = Wire::new(opcode, &payload);
    input.extend(if fin { frame } else { frame.more() }.bytes());

    match kind {
        Kind::Unknown => unreachable!("never legal"),
        Kind::Pong => {}
        Kind::Ping => say(&mut output, Wire::pong(&payload)),
        Kind::Close => {
            return match length {
                0 => ended(input, output, Wire::empty_close(), 1005),
                1 => failed(input, output),
                _ => ended(input, output, Wire::close(1000, ""), 1000),
            };
        }
        Kind::Data if fin => say(&mut output, Wire::new(opcode, &payload)),
        Kind::Data => open = Some((opcode, payload)),
        Kind::Continuation => {
            let (opcode, mut held) = open.take().expect("legal only inside a message");
            held.extend(payload);
            if fin {
                say(&mut output, Wire::new(opcode, held));
            } else {
                open = Some((opcode, held));
            }
        }
    }

    let probe = match open {
        Some((opcode, held)) => {
            input.extend(Wire::continuation("probe").bytes());
            Wire::new(opcode, [held.as_slice(), b"probe"].concat())
        }
        None => {
            input.extend(Wire::text("probe").bytes());
            Wire::text("probe")
        }
    };
    say(&mut output, probe);
    input.extend(Wire::close(1001, "").bytes());
    ended(input, output, Wire::close(1001, ""), 1001)
}

/// The code of a session that closes as soon as it is open.
const OUR_CODE: u16 = 4000;

/// Sends back what it gets, and remembers how it was told of the end.
struct Echo {
    closes: bool,
    ends: Rc<RefCell<Vec<(u16, bool)>>>,
}

impl Session for Echo {
    fn start(
        &mut self,
        event: Event<'_>,
        handle: &Rc<Handle>,
        _: &mut Context<'_>,
    ) -> Poll<Outcome> {
        match event {
            Event::Opened if self.closes => handle
                .close(Some(&Close::new(OUR_CODE, "")))
                .expect("it is open"),
            Event::Opened => {}
            Event::Message(message) => handle.send(&message).expect("it is open"),
            Event::Ping(_)
            | Event::Pong(_)
            | Event::Frame(_)
            | Event::Due
            | Event::CloseRequested(_) => unreachable!("it heeds nothing of the kind"),
            Event::Closed {
                code, was_clean, ..
            } => self.ends.borrow_mut().push((code, was_clean)),
        }
        Poll::Ready(Outcome::Done)
    }

    fn resume(&mut self, _: &mut Context<'_>) -> Poll<Outcome> {
        unreachable!("it never waits")
    }
}

/// A peer that has said all it will ever say, and takes whatever comes.
struct Peer {
    input: Vec<u8>,
    read: usize,
    output: Rc<RefCell<Vec<u8>>>,
}

impl Transport for Peer {}

impl AsyncRead for Peer {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let rest = &self.input[self.read..];
        let count = rest.len().min(buffer.remaining());
        buffer.put_slice(&rest[..count]);
        self.read += count;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Peer {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        self.output.borrow_mut().extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Runs one connection to its end: what it wrote, and how its session was told.
fn run(input: Vec<u8>, closes: bool, shared: &Rc<Shared>) -> (Vec<u8>, Vec<(u16, bool)>) {
    let output = Rc::default();
    let ends = Rc::default();
    let peer = Peer {
        input,
        read: 0,
        output: Rc::clone(&output),
    };
    let session = Echo {
        closes,
        ends: Rc::clone(&ends),
    };
    let handle = Handle::new(1, Outbox::default());
    let connection = Connection::new(peer, session, handle, Rc::clone(shared), Vec::new());
    // Nothing on this stream is ever pending, so that some polls, a turn each, go to the end.
    let mut connection = connection;
    let mut poll = || Pin::new(&mut connection).poll(&mut Context::from_waker(Waker::noop()));
    let is_ready = (0..4).any(|_| poll().is_ready());
    assert!(is_ready, "the connection waits for something");
    (output.take(), ends.take())
}

/// What was written, but for the words in a Close: they are for people.
fn without_reason(output: &[u8]) -> Vec<u8> {
    let (mut rest, mut bare) = (output, Vec::new());
    while let Some(mut frame) = Raw::decode(rest) {
        rest = &rest[frame.encode().len()..];
        if frame.opcode == 8 {
            let reason = frame.payload.split_off(frame.payload.len().min(2));
            assert!(reason.is_ascii() && reason.len() <= 123);
        }
        bare.extend(frame.encode());
    }
    [&bare, rest].concat()
}

#[test]
fn f25_every_first_two_bytes_in_every_state() {
    let shared = Rc::new(Shared::new(limits::WEBSOCKET));
    let mut wrong = Vec::new();
    for state in STATES {
        for header in 0..=u16::MAX {
            let [first, second] = header.to_be_bytes();
            let case = case(first, second, state);
            let (output, ends) = run(case.input, state.closing(), &shared);
            let output = without_reason(&output);
            if output != case.output || ends != [(case.code, case.clean)] {
                let shown = |bytes: &[u8]| bytes[..bytes.len().min(40)].escape_ascii().to_string();
                wrong.push(format!(
                    "{header:04x} in {state:?}: wrote {}, not {}; told {ends:?}, not {:?}",
                    shown(&output),
                    shown(&case.output),
                    (case.code, case.clean)
                ));
            }
        }
    }
    let first = &wrong[..wrong.len().min(20)];
    assert!(
        wrong.is_empty(),
        "{} of {} differ:\n{}",
        wrong.len(),
        STATES.len() << 16,
        first.join("\n")
    );
}
