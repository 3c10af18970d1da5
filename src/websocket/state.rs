//! Where a connection is in its life, and what its stream is good for: small enums with named
//! transitions.

/// The stations of a connection's life, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Messages flow, or our Close is out and the peer's is awaited.
    Running,
    /// It is known how it ends; what had arrived before is still handled.
    Ending,
    /// The session is being told.
    Told,
    /// Our last byte is out; reading on until the peer ends, lest a reset overtakes our Close.
    Lingering,
}

/// The stream's condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Link {
    /// It takes and gives bytes.
    Up,
    /// Our side is shut down.
    Shut,
    /// It takes or gives nothing more.
    Lost,
}

/// A connection's phase, its stream, and whether its session is at work.
#[derive(Debug)]
pub struct State {
    phase: Phase,
    link: Link,
    is_busy: bool,
}

impl Default for State {
    fn default() -> Self {
        Self {
            phase: Phase::Running,
            link: Link::Up,
            is_busy: false,
        }
    }
}

impl State {
    /// The station that it is at.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// Whether messages flow.
    pub fn is_running(&self) -> bool {
        self.phase == Phase::Running
    }

    /// Whether what had arrived before the end is still handled.
    pub fn is_ending(&self) -> bool {
        self.phase == Phase::Ending
    }

    /// Whether all is done but to read on.
    pub fn is_lingering(&self) -> bool {
        self.phase == Phase::Lingering
    }

    /// Whether the session is handling an event.
    pub fn is_busy(&self) -> bool {
        self.is_busy
    }

    /// The session begins to handle an event.
    pub fn handle(&mut self) {
        self.is_busy = true;
    }

    /// It has handled the event; whether there was one.
    pub fn handled(&mut self) -> bool {
        std::mem::replace(&mut self.is_busy, false)
    }

    /// Whether the stream takes or gives nothing more.
    pub fn is_lost(&self) -> bool {
        self.link == Link::Lost
    }

    /// Whether our side of the stream is shut down.
    pub fn is_shut(&self) -> bool {
        self.link == Link::Shut
    }

    /// Whether the connection is over.
    pub fn is_over(&self) -> bool {
        self.is_lingering() && self.is_lost()
    }

    /// It is known how it ends.
    pub fn end(&mut self) {
        self.phase = Phase::Ending;
    }

    /// The session is to be told how it ended.
    pub fn tell(&mut self) {
        self.phase = Phase::Told;
    }

    /// The session knows.
    pub fn linger(&mut self) {
        self.phase = Phase::Lingering;
    }

    /// Our side of the stream is shut down.
    pub fn shut(&mut self) {
        if self.link == Link::Up {
            self.link = Link::Shut;
        }
    }

    /// The stream is gone or useless.
    pub fn lose(&mut self) {
        self.link = Link::Lost;
    }
}
