use std::borrow::Cow;
use std::io;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::*;
use crate::config::limits;
use crate::websocket::{Message, Outbox};

/// A peer that takes all it is sent at once, and sends without a pause.
#[derive(Default)]
struct Greedy {
    taken: usize,
    sends: Vec<u8>,
    given: usize,
}

impl AsyncRead for Greedy {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.sends.is_empty() {
            return Poll::Pending;
        }
        while buffer.remaining() >= self.sends.len() {
            buffer.put_slice(&self.sends);
            self.given += self.sends.len();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Greedy {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.taken += bytes.len();
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl Transport for Greedy {}

/// Sends a long message at once and another whenever that is gone, or works a while at each
/// message.
#[derive(Default)]
struct Tireless {
    handle: Option<Rc<Handle>>,
    message: Vec<u8>,
    works: bool,
    handled: usize,
}

impl Session for Tireless {
    fn start(
        &mut self,
        event: Event<'_>,
        handle: &Rc<Handle>,
        context: &mut Context<'_>,
    ) -> Poll<Outcome> {
        self.handle = Some(Rc::clone(handle));
        match event {
            Event::Opened if !self.message.is_empty() => self.resume(context),
            Event::Message(_) => {
                self.handled += 1;
                if self.works {
                    std::thread::sleep(std::time::Duration::from_micros(100));
                }
                Poll::Ready(Outcome::Done)
            }
            _ => Poll::Ready(Outcome::Done),
        }
    }

    fn resume(&mut self, _: &mut Context<'_>) -> Poll<Outcome> {
        let handle = self.handle.as_ref().expect("it was opened");
        if handle.buffered() == 0 {
            let message = Message::Binary(Cow::Borrowed(&self.message));
            handle.send(&message).unwrap();
        }
        Poll::Pending
    }
}

fn connection(stream: Greedy, session: Tireless) -> Connection<Greedy, Tireless> {
    let shared = Rc::new(Shared::new(limits::WEBSOCKET));
    let handle = Handle::new(1, Outbox::default());
    Connection::new(stream, session, handle, shared, Vec::new())
}

fn taken(connection: &Connection<Greedy, Tireless>) -> usize {
    connection.stream.as_ref().map_or(0, |stream| stream.taken)
}

fn given(connection: &Connection<Greedy, Tireless>) -> usize {
    connection.stream.as_ref().map_or(0, |stream| stream.given)
}

fn poll(connection: &mut Connection<Greedy, Tireless>) {
    let mut context = Context::from_waker(std::task::Waker::noop());
    assert!(Pin::new(connection).poll(&mut context).is_pending());
}

#[test]
fn a_peer_that_takes_everything_is_written_a_share_at_a_time() {
    for length in [10_000, 10_000_000] {
        let session = Tireless {
            message: vec![0; length],
            ..Tireless::default()
        };
        let mut connection = connection(Greedy::default(), session);
        for round in 1..=12 {
            poll(&mut connection);
            let most = 2 * quantum::WRITE;
            assert!(taken(&connection) <= round * most, "{length} {round}");
        }
        assert!(taken(&connection) > length);
    }
}

#[test]
fn a_peer_that_sends_without_a_pause_is_heard_a_share_at_a_time() {
    let stream = Greedy {
        sends: b"\x81\x81\0\0\0\0x".to_vec(),
        ..Greedy::default()
    };
    let session = Tireless {
        works: true,
        ..Tireless::default()
    };
    let mut connection = connection(stream, session);
    poll(&mut connection);
    let first = connection.session.handled;
    assert!((8..100).contains(&first), "{first}");
    // What was read and not handled comes later, and nothing is read before it.
    let before = given(&connection);
    poll(&mut connection);
    assert!(connection.session.handled > first);
    assert_eq!(given(&connection), before);
    connection.session.works = false;
    connection.stream.as_mut().expect("no reset").sends.clear();
    while connection.inbox.holds() {
        poll(&mut connection);
    }
    assert_eq!(connection.session.handled, given(&connection) / 7);
}

/// Whoever was sent nothing for longer than it may leave bytes untaken is not late with those that
/// another's hook sends then.
#[test]
fn what_is_sent_after_a_long_while_is_not_late() {
    let shared = Rc::new(Shared::new(limits::Websocket {
        ping: limits::NEVER,
        ..limits::WEBSOCKET
    }));
    let handle = Handle::new(1, Outbox::default());
    let mut connection = Connection::new(
        Greedy::default(),
        Tireless::default(),
        Rc::clone(&handle),
        Rc::clone(&shared),
        Vec::new(),
    );
    poll(&mut connection);
    for _ in 0..=limits::WEBSOCKET.send {
        shared.clock.tick();
    }
    handle.send(&Message::Text("hello".into())).unwrap();
    poll(&mut connection);
    assert_eq!((taken(&connection), handle.buffered()), (7, 0));
}

/// What an idle connection costs beside its session and its handle, with a stream of a pointer.
#[test]
#[cfg(target_pointer_width = "64")]
fn it_is_small() {
    assert_eq!(size_of::<Connection<Box<u8>, ()>>(), 128);
}
