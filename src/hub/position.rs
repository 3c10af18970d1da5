//! Positions in a topic's history, as clients keep them: `k3f9.1042`.

use std::fmt;

/// What the digits of an epoch are.
const RADIX: u32 = 36;
/// Bits of an epoch: ten digits.
const EPOCH_BITS: u32 = 48;
/// Bytes of a position at the most.
pub const LONGEST: usize = 10 + 1 + 20;

/// The place behind a message: its number, within one life of its topic's history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Which life: numbers begin anew with each.
    pub epoch: u64,
    /// The last message's number, 0 before the first.
    pub number: u64,
}

impl Position {
    /// An epoch that no other history has.
    pub fn new_epoch() -> u64 {
        fastrand::u64(1 << (EPOCH_BITS - 8)..1 << EPOCH_BITS)
    }

    /// An epoch that no other history has, as text.
    pub fn new_life() -> String {
        Self {
            epoch: Self::new_epoch(),
            number: 0,
        }
        .life()
    }

    /// Its epoch as text.
    pub fn life(self) -> String {
        let text = self.to_string();
        let (life, _) = text.split_once('.').unwrap_or_default();
        life.to_owned()
    }

    /// Reads a position as it was given out; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() > LONGEST {
            return None;
        }
        let (epoch, number) = text.split_once('.')?;
        let position = Self {
            epoch: u64::from_str_radix(epoch, RADIX).ok()?,
            number: number.parse().ok()?,
        };
        // There is one spelling of each.
        (position.to_string() == text).then_some(position)
    }
}

impl fmt::Display for Position {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut digits = Vec::new();
        let mut rest = self.epoch;
        while rest > 0 || digits.is_empty() {
            let digit = (rest % u64::from(RADIX)) as u32;
            digits.extend(char::from_digit(digit, RADIX));
            rest /= u64::from(RADIX);
        }
        let epoch: String = digits.iter().rev().collect();
        write!(out, "{epoch}.{}", self.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_read_as_it_was_written() {
        for (epoch, number) in [
            (0, 0),
            (35, 7),
            (36, u64::MAX),
            ((1 << EPOCH_BITS) - 1, 1042),
        ] {
            let position = Position { epoch, number };
            let text = position.to_string();
            assert!(text.len() <= LONGEST, "{text}");
            assert_eq!(Position::parse(&text), Some(position), "{text}");
        }
        let epoch = Position::new_epoch();
        let position = Position { epoch, number: 1 };
        assert_eq!(Position::parse(&position.to_string()), Some(position));
    }

    #[test]
    fn nothing_else_is_a_position() {
        let long = "1".repeat(4096);
        for text in [
            "",
            ".",
            "connected",
            "k3f9.",
            ".1",
            "k3f9.01",
            "+k.1",
            "k.+1",
            "K3F9.1",
            "k3f9.1.2",
            "k3f9.-1",
            "ü.1",
            &long,
        ] {
            assert_eq!(Position::parse(text), None, "{text}");
        }
    }
}
