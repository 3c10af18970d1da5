//! The deadlines of a connection: which has passed, and when the next one may. Seconds in, a
//! verdict out.

use std::num::NonZeroU32;

use super::Limits;
use super::state::Phase;

/// A second of the worker's clock, whose first is 1: so an `Option` of it, whose `None` is never,
/// has four bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Second(NonZeroU32);

impl Second {
    /// The one that a clock begins with.
    pub const FIRST: Self = Self(NonZeroU32::MIN);

    /// So many seconds later.
    pub fn plus(self, seconds: u32) -> Self {
        Self(self.0.saturating_add(seconds))
    }

    /// So many seconds earlier, if the clock ran then.
    pub fn minus(self, seconds: u32) -> Option<Self> {
        NonZeroU32::new(self.get().saturating_sub(seconds)).map(Self)
    }

    /// Its number.
    pub fn get(self) -> u32 {
        self.0.get()
    }
}

/// A deadline that has passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expiry {
    /// The peer was silent for long: it is sent a Ping.
    Silence,
    /// It has not answered the Ping.
    Pong,
    /// It takes none of what is to be sent.
    Send,
    /// It has not answered our Close.
    Close,
    /// A message has begun and does not go on.
    Stalled,
    /// A message goes on and on.
    Slow,
    /// The hooks of what had arrived before the end take long.
    Ending,
    /// So does the session that is told of the end.
    Told,
    /// There was time enough to read on.
    Lingering,
}

/// What a connection's deadlines depend on beside the time.
#[derive(Debug, Clone, Copy)]
pub struct View {
    /// Where it is in its life.
    pub phase: Phase,
    /// Whether the stream would be read if it had bytes.
    pub reads: bool,
    /// Whether bytes wait to be sent.
    pub has_unsent: bool,
    /// Whether the handler keeps the stream open after the end.
    pub is_kept_open: bool,
}

/// The times that a connection's deadlines are reckoned from.
#[derive(Debug)]
pub struct Deadlines {
    /// When a byte was last heard.
    heard: Second,
    /// When the stream last took one, or one began to wait for it; `None` while none waits.
    taken: Option<Second>,
    /// When the unfinished message began.
    begun: Option<Second>,
    /// Until when the phase may last, or the peer may answer our Close.
    until: Option<Second>,
    is_pinged: bool,
}

impl Deadlines {
    /// Those of a connection that begins.
    pub fn new(now: Second) -> Self {
        Self {
            heard: now,
            taken: Some(now),
            begun: None,
            until: None,
            is_pinged: false,
        }
    }

    /// Bytes were heard.
    pub fn heard(&mut self, now: Second) {
        self.heard = now;
        self.is_pinged = false;
    }

    /// The stream took bytes.
    pub fn taken(&mut self, now: Second) {
        self.taken = Some(now);
    }

    /// A turn ends, and bytes wait for the stream or do not.
    pub fn leaves(&mut self, has_unsent: bool, now: Second) {
        self.taken = has_unsent.then(|| self.taken.unwrap_or(now));
    }

    /// A Ping was sent into the silence.
    pub fn pinged(&mut self) {
        self.is_pinged = true;
    }

    /// Bytes of a message that is not finished are there.
    pub fn unfinished(&mut self, now: Second) {
        self.begun.get_or_insert(now);
    }

    /// No message is unfinished.
    pub fn finished(&mut self) {
        self.begun = None;
    }

    /// The stream is not read for now: what is not read cannot be missed. A Ping will find out
    /// whether the peer is there at all.
    pub fn deaf(&mut self, now: Second, limits: &Limits) {
        self.begun = self.begun.map(|_| now);
        if let Some(earliest) = now.plus(1).minus(limits.ping) {
            self.heard = self.heard.max(earliest);
        }
    }

    /// The phase, or the wait for the peer's Close, may last until then.
    pub fn last_until(&mut self, second: Second) {
        self.until = Some(second);
    }

    /// Until when that is.
    pub fn until(&self) -> Option<Second> {
        self.until
    }

    /// The deadline that has passed, if one has: the one that matters most.
    pub fn expired(&self, now: Second, limits: &Limits, view: &View) -> Option<Expiry> {
        let is_late = self.until.is_some_and(|until| now >= until);
        let stuck = self.unsent_until(limits, view);
        let is_stuck = stuck.is_some_and(|stuck| now >= stuck);
        match view.phase {
            Phase::Running if is_late => Some(Expiry::Close),
            Phase::Running if is_stuck => Some(Expiry::Send),
            Phase::Running if view.reads => self.waits_in_vain(now, limits),
            Phase::Running => None,
            Phase::Ending => is_late.then_some(Expiry::Ending),
            Phase::Told => is_late.then_some(Expiry::Told),
            // What is unsent has the time of any data, as long as the peer takes some.
            Phase::Lingering => {
                let is_done = is_late && (is_stuck || !view.has_unsent);
                is_done.then_some(Expiry::Lingering)
            }
        }
    }

    /// Until when the stream may leave what waits for it.
    fn unsent_until(&self, limits: &Limits, view: &View) -> Option<Second> {
        let taken = self.taken.filter(|_| view.has_unsent);
        taken.map(|taken| taken.plus(limits.send))
    }

    /// The deadline of what the peer has to send.
    fn waits_in_vain(&self, now: Second, limits: &Limits) -> Option<Expiry> {
        if let Some(begun) = self.begun {
            if now >= begun.plus(limits.assembly) {
                return Some(Expiry::Slow);
            }
            if now >= self.heard.plus(limits.stall) {
                return Some(Expiry::Stalled);
            }
        }
        let silence = self.heard.plus(limits.ping);
        if now >= silence.plus(limits.pong) {
            Some(Expiry::Pong)
        } else if now >= silence && !self.is_pinged {
            Some(Expiry::Silence)
        } else {
            None
        }
    }

    /// The second that the next deadline may pass in.
    pub fn next(&self, limits: &Limits, view: &View) -> Option<Second> {
        let silence = self.heard.plus(limits.ping);
        let silence = match self.is_pinged {
            true => silence.plus(limits.pong),
            false => silence,
        };
        let begun = self.begun.map(|begun| {
            let stalled = self.heard.plus(limits.stall);
            stalled.min(begun.plus(limits.assembly))
        });
        let is_running = view.phase == Phase::Running;
        let is_kept = view.phase == Phase::Lingering && view.is_kept_open;
        let kept = self.until.filter(|_| is_kept);
        let all = [
            is_running.then_some(silence),
            begun.filter(|_| is_running),
            self.unsent_until(limits, view),
            kept.and_then(|until| until.minus(limits.linger)),
            self.until,
        ];
        all.into_iter().flatten().min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::limits::{NEVER, WEBSOCKET};

    const LIMITS: Limits = Limits {
        ping: 20,
        pong: 10,
        stall: 15,
        assembly: 40,
        send: 30,
        linger: 2,
        ..WEBSOCKET
    };

    const IDLE: View = View {
        phase: Phase::Running,
        reads: true,
        has_unsent: false,
        is_kept_open: false,
    };

    fn second(number: u32) -> Second {
        Second::FIRST.plus(number - 1)
    }

    fn at(deadlines: &Deadlines, number: u32, view: &View) -> Option<Expiry> {
        deadlines.expired(second(number), &LIMITS, view)
    }

    /// It is woken in the second in which something expires, and not before.
    #[track_caller]
    fn comes(deadlines: &Deadlines, number: u32, view: &View, expiry: Expiry) {
        assert_eq!(deadlines.next(&LIMITS, view), Some(second(number)));
        assert_eq!(at(deadlines, number - 1, view), None);
        assert_eq!(at(deadlines, number, view), Some(expiry));
    }

    #[test]
    fn never_takes_no_place() {
        assert_eq!(size_of::<Option<Second>>(), 4);
        assert_eq!(size_of::<Deadlines>(), 20);
    }

    #[test]
    fn silence_is_asked_into_once_and_then_taken_for_death() {
        let mut deadlines = Deadlines::new(second(1));
        comes(&deadlines, 21, &IDLE, Expiry::Silence);
        deadlines.pinged();
        comes(&deadlines, 31, &IDLE, Expiry::Pong);
        deadlines.heard(second(25));
        comes(&deadlines, 45, &IDLE, Expiry::Silence);
    }

    #[test]
    fn a_message_must_go_on_and_end() {
        let mut deadlines = Deadlines::new(second(1));
        deadlines.unfinished(second(5));
        comes(&deadlines, 16, &IDLE, Expiry::Stalled);
        for now in 6..40 {
            deadlines.heard(second(now));
            deadlines.unfinished(second(now));
        }
        comes(&deadlines, 45, &IDLE, Expiry::Slow);
        deadlines.finished();
        comes(&deadlines, 59, &IDLE, Expiry::Silence);
    }

    /// Whoever is not read is not late with anything, and has all the time again when it is read.
    #[test]
    fn what_is_not_read_is_not_missed() {
        let paused = View {
            reads: false,
            ..IDLE
        };
        let mut deadlines = Deadlines::new(second(1));
        deadlines.unfinished(second(1));
        for now in 2..100 {
            deadlines.deaf(second(now), &LIMITS);
            assert_eq!(at(&deadlines, now, &paused), None, "{now}");
        }
        deadlines.finished();
        assert_eq!(at(&deadlines, 99, &IDLE), None);
        comes(&deadlines, 100, &IDLE, Expiry::Silence);
        let unread = View {
            has_unsent: true,
            ..paused
        };
        assert_eq!(at(&deadlines, 99, &unread), Some(Expiry::Send));
    }

    #[test]
    fn what_is_unsent_must_be_taken() {
        let view = View {
            has_unsent: true,
            ..IDLE
        };
        let mut deadlines = Deadlines::new(second(1));
        deadlines.heard(second(19));
        comes(&deadlines, 31, &view, Expiry::Send);
        deadlines.taken(second(4));
        comes(&deadlines, 34, &view, Expiry::Send);
    }

    /// What is sent after a long while has all its time, from the turn on that leaves it.
    #[test]
    fn the_time_to_take_bytes_begins_when_they_wait() {
        let view = View {
            has_unsent: true,
            ..IDLE
        };
        let mut deadlines = Deadlines::new(second(1));
        deadlines.leaves(false, second(2));
        deadlines.heard(second(99));
        assert_eq!(at(&deadlines, 100, &view), None);
        deadlines.leaves(true, second(100));
        deadlines.leaves(true, second(115));
        deadlines.heard(second(115));
        comes(&deadlines, 130, &view, Expiry::Send);
    }

    #[test]
    fn a_phase_lasts_as_long_as_it_may() {
        let mut deadlines = Deadlines::new(second(1));
        for (phase, expiry) in [
            (Phase::Running, Expiry::Close),
            (Phase::Ending, Expiry::Ending),
            (Phase::Told, Expiry::Told),
            (Phase::Lingering, Expiry::Lingering),
        ] {
            let view = View { phase, ..IDLE };
            deadlines.last_until(second(6));
            comes(&deadlines, 6, &view, expiry);
        }
        // Only a running connection is asked whether it lives.
        let told = View {
            phase: Phase::Told,
            ..IDLE
        };
        deadlines.last_until(second(90));
        comes(&deadlines, 90, &told, Expiry::Told);
    }

    #[test]
    fn lingering_waits_for_a_peer_that_takes_its_bytes() {
        let view = View {
            phase: Phase::Lingering,
            has_unsent: true,
            ..IDLE
        };
        let mut deadlines = Deadlines::new(second(1));
        deadlines.last_until(second(3));
        assert_eq!(at(&deadlines, 30, &view), None);
        assert_eq!(at(&deadlines, 31, &view), Some(Expiry::Lingering));
        deadlines.taken(second(31));
        assert_eq!(at(&deadlines, 60, &view), None);
    }

    /// It wakes in time to shut down its side, and then for the end.
    #[test]
    fn a_stream_that_is_kept_open_is_shut_before_its_end() {
        let mut view = View {
            phase: Phase::Lingering,
            is_kept_open: true,
            ..IDLE
        };
        let mut deadlines = Deadlines::new(second(1));
        deadlines.last_until(second(12));
        assert_eq!(deadlines.next(&LIMITS, &view), Some(second(10)));
        view.is_kept_open = false;
        comes(&deadlines, 12, &view, Expiry::Lingering);
    }

    #[test]
    fn what_is_off_never_comes() {
        let limits = Limits {
            ping: NEVER,
            pong: NEVER,
            stall: NEVER,
            assembly: NEVER,
            send: NEVER,
            ..LIMITS
        };
        let mut deadlines = Deadlines::new(second(1));
        deadlines.unfinished(second(1));
        let view = View {
            has_unsent: true,
            ..IDLE
        };
        let year = second(365 * 24 * 60 * 60);
        assert_eq!(deadlines.expired(year, &limits, &view), None);
        deadlines.deaf(year, &limits);
        assert_eq!(deadlines.expired(year, &limits, &view), None);
    }
}
