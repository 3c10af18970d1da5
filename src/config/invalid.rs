//! A value that cannot be one of its setting.

/// What is wrong with a value that was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Invalid(pub(super) String);
