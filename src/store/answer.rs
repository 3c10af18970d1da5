//! An answer that is there, or that comes.

use std::fmt;
use std::pin::Pin;

use super::refused::Refused;

/// A result of an engine's.
pub type Result<T> = std::result::Result<T, Refused>;

/// A result that is to come. What it is the result of goes on without it.
pub type Later<T> = Pin<Box<dyn Future<Output = Result<T>> + Send>>;

/// What an engine answers. Memory answers at once, which must not cost a future.
pub enum Answer<T> {
    /// It is there.
    Now(Result<T>),
    /// It comes.
    Later(Later<T>),
}

impl<T: Send + 'static> Answer<T> {
    /// One that comes.
    pub fn later(answer: impl Future<Output = Result<T>> + Send + 'static) -> Self {
        Self::Later(Box::pin(answer))
    }

    /// The same with something made of it.
    pub fn map<U: Send + 'static>(self, make: impl FnOnce(T) -> U + Send + 'static) -> Answer<U> {
        match self {
            Self::Now(result) => Answer::Now(result.map(make)),
            Self::Later(answer) => Answer::later(async move { answer.await.map(make) }),
        }
    }

    /// Waits for it, if that is needed.
    pub async fn get(self) -> Result<T> {
        match self {
            Self::Now(result) => result,
            Self::Later(answer) => answer.await,
        }
    }
}

impl<T> From<Result<T>> for Answer<T> {
    fn from(result: Result<T>) -> Self {
        Self::Now(result)
    }
}

impl<T: fmt::Debug> fmt::Debug for Answer<T> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Now(result) => out.debug_tuple("Now").field(result).finish(),
            Self::Later(_) => out.write_str("Later"),
        }
    }
}
