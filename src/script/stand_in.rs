//! Who answers in the place of other servers, where none is to be reached: in tests.

use rhai::{EvalAltResult, NativeCallContext};
use tokio::io::DuplexStream;

use crate::client::{Address, Fetched, Query};

/// Answers for other servers.
pub trait StandIn: Send + Sync {
    /// The answer to a request of this thread's.
    fn answer(
        &self,
        query: &Query,
        context: &NativeCallContext<'_>,
    ) -> Result<Fetched, Box<EvalAltResult>>;

    /// The near end of a stream on which a handshake is answered that is for this address, and the
    /// path that it is to ask for.
    fn open(&self, address: &Address) -> Result<(DuplexStream, String), Box<EvalAltResult>>;
}
