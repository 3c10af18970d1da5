//! What is done to a value in one step: a pure function from what is there to what is there then.

use super::answer::Result;
use super::refused::Refused;
use super::value::{Bytes, Kept, Millis};

/// Something to be done to the value of a key.
#[derive(Debug, Clone)]
pub enum Change {
    /// It is this from now on.
    Set {
        /// The value.
        value: Bytes,
        /// When it goes by itself.
        until: Option<Millis>,
        /// Only if there is none.
        absent: bool,
    },
    /// An int is so much more; without a value it was 0. It goes when it would have.
    Add(i64),
    /// It is gone.
    Delete,
    /// It goes by itself at this time.
    Expire(Millis),
    /// If it is what was seen, it is this: of an update. It goes when it would have.
    Swap {
        /// What was seen.
        seen: Option<Bytes>,
        /// What is to be there; nothing deletes it.
        value: Option<Bytes>,
    },
}

/// What a change makes of what is there.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing changes.
    Same,
    /// It is this.
    Put(Kept),
    /// It is gone.
    Gone,
}

impl Change {
    /// What comes of it, with what is answered: the sum of an addition, else 1 if it was done.
    pub fn apply(self, key: &str, known: Option<&Kept>) -> Result<(Outcome, i64)> {
        let put = |value, until| Outcome::Put(Kept { value, until });
        let until = known.and_then(|known| known.until);
        Ok(match (self, known) {
            (Self::Set { absent: true, .. }, Some(_)) => (Outcome::Same, 0),
            (Self::Set { value, until, .. }, _) => (put(value, until), 1),
            (Self::Add(more), known) => {
                let before = known.map_or(Ok(0), |known| number(key, &known.value))?;
                let sum = before
                    .checked_add(more)
                    .ok_or_else(|| Refused::Overflow(key.to_owned()))?;
                (put(sum.to_string().into_bytes().into(), until), sum)
            }
            (Self::Delete | Self::Expire(_), None) => (Outcome::Same, 0),
            (Self::Delete, Some(_)) => (Outcome::Gone, 1),
            (Self::Expire(until), Some(known)) => (put(Bytes::clone(&known.value), Some(until)), 1),
            (Self::Swap { seen, .. }, known)
                if seen.as_ref() != known.map(|known| &known.value) =>
            {
                (Outcome::Same, 0)
            }
            (Self::Swap { value: None, .. }, None) => (Outcome::Same, 1),
            (Self::Swap { value: None, .. }, Some(_)) => (Outcome::Gone, 1),
            (
                Self::Swap {
                    value: Some(value), ..
                },
                _,
            ) => (put(value, until), 1),
        })
    }

    /// The bytes of the value that it brings.
    pub fn brings(&self) -> usize {
        match self {
            Self::Set { value, .. }
            | Self::Swap {
                value: Some(value), ..
            } => value.len(),
            Self::Add(_) | Self::Delete | Self::Expire(_) | Self::Swap { value: None, .. } => 0,
        }
    }
}

/// An int as it is encoded: in decimal, as JSON has it.
fn number(key: &str, value: &[u8]) -> Result<i64> {
    let text = std::str::from_utf8(value).ok();
    // JSON has no sign before a positive number.
    let text = text.filter(|text| !text.starts_with('+'));
    text.and_then(|text| text.parse().ok())
        .ok_or_else(|| Refused::NoNumber(key.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(value: &str, until: Option<Millis>) -> Kept {
        Kept {
            value: value.as_bytes().into(),
            until,
        }
    }

    fn bytes(value: &str) -> Option<Bytes> {
        Some(value.as_bytes().into())
    }

    #[test]
    fn each_change_does_one_thing() {
        let five = kept("5", Some(9));
        let set = |until, absent| Change::Set {
            value: b"1"[..].into(),
            until,
            absent,
        };
        let swap = |seen, value| Change::Swap { seen, value };
        let put = |value: &str, until| Outcome::Put(kept(value, until));
        for (change, known, outcome, answer) in [
            (set(None, false), Some(&five), put("1", None), 1),
            (set(Some(7), true), None, put("1", Some(7)), 1),
            (set(None, true), Some(&five), Outcome::Same, 0),
            (Change::Add(-7), Some(&five), put("-2", Some(9)), -2),
            (Change::Add(3), None, put("3", None), 3),
            (Change::Delete, Some(&five), Outcome::Gone, 1),
            (Change::Delete, None, Outcome::Same, 0),
            (Change::Expire(4), Some(&five), put("5", Some(4)), 1),
            (Change::Expire(4), None, Outcome::Same, 0),
            (
                swap(bytes("5"), bytes("6")),
                Some(&five),
                put("6", Some(9)),
                1,
            ),
            (swap(bytes("4"), bytes("6")), Some(&five), Outcome::Same, 0),
            (swap(None, bytes("6")), Some(&five), Outcome::Same, 0),
            (swap(None, bytes("6")), None, put("6", None), 1),
            (swap(bytes("5"), None), Some(&five), Outcome::Gone, 1),
            (swap(None, None), None, Outcome::Same, 1),
        ] {
            let shown = format!("{change:?} of {known:?}");
            assert_eq!(change.apply("k", known), Ok((outcome, answer)), "{shown}");
        }
    }

    #[test]
    fn what_is_no_sum_is_refused() {
        for value in ["\"5\"", "5.0", "", "+5", "99999999999999999999"] {
            let refused = Change::Add(1).apply("k", Some(&kept(value, None)));
            assert_eq!(refused, Err(Refused::NoNumber("k".into())), "{value}");
        }
        let most = kept(&i64::MAX.to_string(), None);
        let refused = Change::Add(1).apply("k", Some(&most));
        assert_eq!(refused, Err(Refused::Overflow("k".into())));
    }
}
