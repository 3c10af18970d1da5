//! Why a store or a queue did not do what it was asked.

/// A reason, as scripts are told it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// No key, or no name of a store or queue.
    #[error("{0} has 1 to {1} bytes, without control characters (--max-key-size)")]
    Name(&'static str, usize),
    /// One key too many.
    #[error(
        "this handler keeps {0} keys already, which is the most (--max-keys): delete some, or let \
        them expire with #{{seconds: …}}"
    )]
    Keys(usize),
    /// A value that is too long.
    #[error("a value of {0} bytes is too long: {1} is the most (--max-value-size)")]
    Value(usize, usize),
    /// More than one handler may keep.
    #[error(
        "there is no room: this handler's stores and queues may keep {0} bytes together \
        (--max-store-size)"
    )]
    Room(usize),
    /// One queue too many.
    #[error(
        "this handler has {0} queues already, which is the most (--max-queues): one that is empty \
        counts no more"
    )]
    Queues(usize),
    /// What is to be added to is no int.
    #[error("incr adds to an int, and the value of {0:?} is none")]
    NoNumber(String),
    /// The sum is none.
    #[error("incr would pass the largest or the smallest int at {0:?}")]
    Overflow(String),
    /// The engine in another process has not done it, or has not answered.
    #[error("{0}")]
    Engine(String),
    /// The disk does not take it.
    #[error("the store cannot be written or read: {0}")]
    Disk(String),
}

impl Refused {
    /// The kind of the error that a script catches.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Name(..) => "key",
            Self::Keys(_) => "keys",
            Self::Value(..) => "value",
            Self::Room(_) => "full",
            Self::Queues(_) => "queues",
            Self::NoNumber(_) | Self::Overflow(_) => "number",
            Self::Engine(_) => "engine",
            Self::Disk(_) => "store",
        }
    }
}
