//! Values as engines keep them.

use std::sync::Arc;

/// A value, as it is encoded.
pub type Bytes = Arc<[u8]>;

/// Milliseconds on the engine's clock.
pub type Millis = u64;

/// A value with the time at which it goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// The value.
    pub value: Bytes,
    /// When it goes, if it does.
    pub until: Option<Millis>,
}

impl Kept {
    /// Whether it is still there at this time.
    pub fn is_there(&self, now: Millis) -> bool {
        self.until.is_none_or(|until| until > now)
    }
}
