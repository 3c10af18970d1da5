//! The close handshake's payload: which codes may travel, and what a Close says. RFC 6455 sections
//! 5.5.1 and 7.4.

use std::fmt;

use super::Violation;
pub(crate) use super::code;

/// The longest reason: a control frame's 125 bytes less the code.
pub const MAX_REASON: usize = 123;

/// Body of a Close frame; a frame with an empty body is `None` of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Close {
    /// A code that may travel, see [`is_sendable`].
    pub code: u16,
    /// At most [`MAX_REASON`] bytes.
    pub reason: Box<str>,
}

impl Close {
    /// A Close with this code and a reason cut to [`MAX_REASON`] bytes at a character's edge.
    pub fn new(code: u16, reason: &str) -> Self {
        Self {
            code,
            reason: reason[..reason.floor_char_boundary(MAX_REASON)].into(),
        }
    }

    /// A Close from a handler's code and reason, or what is wrong with them.
    pub fn checked(code: i64, reason: &str) -> Result<Self, String> {
        let Some(code) = u16::try_from(code).ok().filter(|code| is_sendable(*code)) else {
            return Err(format!(
                "close code {code} must not be sent: use 1000 to 1003, 1007 to 1014, or 3000 to \
                4999 for \
                 codes of your own"
            ));
        };
        if reason.len() > MAX_REASON {
            return Err(format!(
                "a close reason has at most {MAX_REASON} bytes of UTF-8, this one has {}",
                reason.len()
            ));
        }
        Ok(Self::new(code, reason))
    }

    /// Reads a Close frame's payload (section 5.5.1).
    pub fn decode(payload: &[u8]) -> Result<Option<Self>, Violation> {
        let (code, reason) = match payload {
            [] => return Ok(None),
            [_] => return Err(Violation::CloseBodyTooShort),
            [high, low, reason @ ..] => (u16::from_be_bytes([*high, *low]), reason),
        };
        if !is_sendable(code) {
            return Err(Violation::CloseCode(code));
        }
        let reason = std::str::from_utf8(reason).map_err(|_| Violation::CloseReason)?;
        Ok(Some(Self {
            code,
            reason: reason.into(),
        }))
    }

    /// The payload of a Close frame that says this.
    pub fn encode(&self) -> Vec<u8> {
        [&self.code.to_be_bytes(), self.reason.as_bytes()].concat()
    }
}

impl fmt::Display for Close {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} {:?}", self.code, self.reason)
    }
}

/// Whether an endpoint may put this code into a Close frame: the registered codes but 1004, 1005,
/// 1006 and 1015, and those for libraries (3000 to 3999) and applications (4000 to 4999). Section
/// 7.4.2.
pub fn is_sendable(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_codes_that_may_travel_are_read() {
        for code in [
            0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535,
        ] {
            assert_eq!(
                Close::decode(&u16::to_be_bytes(code)),
                Err(Violation::CloseCode(code))
            );
        }
        for code in [
            1000, 1001, 1002, 1003, 1007, 1011, 1014, 3000, 3999, 4000, 4999,
        ] {
            assert_eq!(
                Close::decode(&u16::to_be_bytes(code)),
                Ok(Some(Close::new(code, "")))
            );
        }
    }

    #[test]
    fn a_reason_is_cut_at_a_character() {
        assert_eq!(Close::new(1000, &"数".repeat(42)).reason.len(), 123);
        assert_eq!(
            Close::new(1000, &format!("a{}", "数".repeat(42)))
                .reason
                .len(),
            121
        );
    }

    #[test]
    fn a_reason_must_be_utf8_and_a_body_not_one_byte() {
        assert_eq!(Close::decode(&[3]), Err(Violation::CloseBodyTooShort));
        assert_eq!(Close::decode(&[3, 232, 0xFF]), Err(Violation::CloseReason));
        assert_eq!(Close::decode(&[]), Ok(None));
    }
}
