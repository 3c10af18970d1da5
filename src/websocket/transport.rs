//! Transport of a connection: a stream of bytes in both directions, which ends in order or with a
//! reset.

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream};
use tokio::net::{TcpStream, UnixStream};

/// A stream that a connection can run on.
pub trait Transport: AsyncRead + AsyncWrite + Unpin {
    /// Has the peer see a reset when the stream is dropped, and not the end of it. A stream that
    /// knows no resets just ends.
    fn reset_when_dropped(&self) {}

    /// Whether it holds what it could do without while nothing happens.
    fn may_rest(&self) -> bool {
        false
    }

    /// Gives that up.
    fn rest(&mut self) {}
}

impl Transport for TcpStream {
    fn reset_when_dropped(&self) {
        // Where that is refused the peer sees an end, which is as good as it gets.
        let _ = self.set_zero_linger();
    }
}

impl Transport for UnixStream {}

/// In memory, for tests.
impl Transport for DuplexStream {}

impl<T: Transport> Transport for Box<T> {
    fn reset_when_dropped(&self) {
        T::reset_when_dropped(self);
    }

    fn may_rest(&self) -> bool {
        T::may_rest(self)
    }

    fn rest(&mut self) {
        T::rest(self);
    }
}
