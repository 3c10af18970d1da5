//! Frames on their way past the session, which sees each of them before the protocol does.

use super::Violation;
use super::frame::{self, Raw};

/// The tap of one connection, for as long as its session is interested in frames.
#[derive(Debug, Default)]
pub struct Tap {
    gathered: Vec<u8>,
    /// How many of those bytes have been given out.
    given: usize,
    /// The frame that the session is looking at.
    shown: Vec<u8>,
}

impl Tap {
    /// Adds what has arrived.
    pub fn gather(&mut self, input: &[u8]) {
        self.gathered.drain(..self.given);
        self.given = 0;
        self.gathered.extend_from_slice(input);
    }

    /// The next frame that is there as a whole; none may be longer than a message of so many bytes.
    pub fn next(&mut self, limit: usize) -> Result<Option<Box<[u8]>>, Violation> {
        let rest = &self.gathered[self.given..];
        match Raw::extent(rest) {
            Some((_, length)) if length > (limit + frame::MAX_HEADER) as u64 => {
                Err(Violation::TooBig { limit })
            }
            Some((_, length)) if length <= rest.len() as u64 => {
                let frame = &rest[..length as usize];
                self.given += frame.len();
                Ok(Some(frame.into()))
            }
            _ => Ok(None),
        }
    }

    /// Takes what has not been given out.
    pub fn take_rest(&mut self) -> Vec<u8> {
        let rest = self.gathered.split_off(self.given);
        self.gathered.clear();
        self.given = 0;
        rest
    }

    /// The session begins to look at a frame.
    pub fn show(&mut self, frame: &[u8]) {
        self.shown = frame.to_vec();
    }

    /// The frame that the session has looked at; none if it was something else.
    pub fn take_shown(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.shown)
    }

    /// Whether nothing is left in it.
    pub fn is_empty(&self) -> bool {
        self.given == self.gathered.len() && self.shown.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_out_as_they_went_in_however_they_came() {
        let frames: [&[u8]; 3] = [b"\x81\x01a", b"\x89\0", b"\x82\x7e\0\x80"];
        let mut input = frames.concat();
        input.extend([7; 128]);
        for size in 1..=input.len() {
            let mut tap = Tap::default();
            let mut seen = Vec::new();
            for piece in input.chunks(size) {
                tap.gather(piece);
                while let Some(frame) = tap.next(1000).expect("short ones") {
                    seen.push(frame);
                }
            }
            assert!(tap.is_empty());
            assert_eq!(seen.len(), 3);
            assert_eq!(seen.concat(), input);
        }
    }

    #[test]
    fn a_frame_that_is_too_long_is_refused_by_its_header() {
        let mut tap = Tap::default();
        tap.gather(b"\x81\x01a\x82\x7e\x10\0");
        assert!(tap.next(1000).is_ok_and(|frame| frame.is_some()));
        assert_eq!(tap.next(1000), Err(Violation::TooBig { limit: 1000 }));
        assert_eq!(tap.take_rest(), b"\x82\x7e\x10\0");
        assert!(tap.is_empty());
    }
}
