//! UTF-8 that arrives in pieces: an error is reported at the byte that makes it certain.
//!
//! RFC 6455 section 8.1; failing before the message is complete is what Autobahn's cases 6.4.* ask
//! for.

/// The state between two pieces of one text message: at most three bytes of an unfinished code
/// point.
#[derive(Debug, Default, Clone, Copy)]
pub struct Utf8 {
    pending: [u8; 4],
    len: u8,
}

impl Utf8 {
    /// Checks the next piece. `false`: no continuation can make the text valid any more.
    #[must_use]
    pub fn feed(&mut self, mut bytes: &[u8]) -> bool {
        while self.len > 0 {
            let Some((&next, rest)) = bytes.split_first() else {
                return true;
            };
            self.pending[usize::from(self.len)] = next;
            self.len += 1;
            bytes = rest;
            match std::str::from_utf8(&self.pending[..usize::from(self.len)]) {
                Ok(_) => self.len = 0,
                Err(error) if error.error_len().is_some() => return false,
                Err(_) => {}
            }
        }
        match simdutf8::compat::from_utf8(bytes) {
            Ok(_) => true,
            Err(error) if error.error_len().is_some() => false,
            Err(error) => {
                let tail = &bytes[error.valid_up_to()..];
                self.pending[..tail.len()].copy_from_slice(tail);
                self.len = tail.len() as u8;
                true
            }
        }
    }

    /// Whether the text may end here: no code point is open.
    #[cfg(test)]
    fn is_complete(&self) -> bool {
        self.len == 0
    }
}

#[cfg(test)]
mod tests {
    use super::Utf8;

    /// Every split of the text into two pieces is accepted, and ends complete.
    #[test]
    fn accepts_code_points_split_anywhere() {
        let text = "Hello-µ@ßöäüàá-UTF-8!! 发送数据 𝄞";
        for at in 0..=text.len() {
            let mut utf8 = Utf8::default();
            assert!(
                utf8.feed(&text.as_bytes()[..at]) && utf8.feed(&text.as_bytes()[at..]),
                "split at {at}"
            );
            assert!(utf8.is_complete());
        }
    }

    /// A surrogate, an overlong form and a code point over U+10FFFF fail at their second byte, not
    /// at their last.
    #[test]
    fn fails_at_the_first_impossible_byte() {
        for (good, bad) in [(0xED, 0xA0), (0xE0, 0x80), (0xF4, 0x90)] {
            let mut utf8 = Utf8::default();
            assert!(utf8.feed(&[b'a', good]));
            assert!(!utf8.is_complete());
            assert!(!utf8.feed(&[bad]));
        }
    }
}
