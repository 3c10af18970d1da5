//! Random numbers as scripts get them: the system's, or those of a seed, with which a run can be
//! repeated.

use std::cell::RefCell;
use std::ops::Range;

use fastrand::Rng;

/// Where random numbers come from.
#[derive(Debug, Clone, Copy, Default)]
pub struct Random(Option<u64>);

impl Random {
    /// Numbers that follow from a seed. Nothing that is made of them is a secret.
    pub fn seeded(seed: u64) -> Self {
        Self(Some(seed))
    }

    /// The numbers of one function: a call of another does not change which come next.
    pub fn stream(&self, function: &str) -> Stream {
        Stream(self.0.map(|seed| {
            // FNV-1a: each function begins elsewhere.
            let begin = function
                .bytes()
                .fold(seed ^ 0xcbf2_9ce4_8422_2325, |hash, byte| {
                    (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
                });
            RefCell::new(Rng::with_seed(begin))
        }))
    }
}

/// Random numbers, one after the other.
#[derive(Debug)]
pub struct Stream(Option<RefCell<Rng>>);

impl Stream {
    /// A number from 0 to below 1.
    pub fn fraction(&self) -> f64 {
        match &self.0 {
            Some(rng) => rng.borrow_mut().f64(),
            None => fastrand::f64(),
        }
    }

    /// A number of a range that is not empty.
    pub fn number(&self, range: Range<i64>) -> i64 {
        match &self.0 {
            Some(rng) => rng.borrow_mut().i64(range),
            None => fastrand::i64(range),
        }
    }

    /// Bytes that nobody guesses, unless there is a seed. The error is the system's, when it has
    /// none to give.
    pub fn fill(&self, bytes: &mut [u8]) -> Result<(), getrandom::Error> {
        match &self.0 {
            Some(rng) => rng.borrow_mut().fill(bytes),
            None => return getrandom::fill(bytes),
        }
        Ok(())
    }
}
