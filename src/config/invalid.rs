//! A value that cannot be one of its setting.

/// Error of a value that cannot be parsed: the message for whoever wrote it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Invalid(pub(super) String);
