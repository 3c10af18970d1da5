//! Why an engine has not done what it was asked: what scripts are told.

/// A call that failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failed {
    /// It was not asked: nothing has been done.
    #[error(
        "the {0} is away, and nothing was done: it is tried again and again; the server's log says \
        why"
    )]
    Away(&'static str),
    /// It was not asked, since too much waits for it already.
    #[error(
        "the {0} does not keep up, and nothing was done: more than --max-engine-queue waits for it"
    )]
    Full(&'static str),
    /// It was asked, and has not answered.
    #[error(
        "the {0} was lost before it answered: what it was asked to do may or may not have been done"
    )]
    Lost(&'static str),
    /// It does not do that.
    #[error("the {0} refuses: {1}")]
    Refused(&'static str, String),
}
