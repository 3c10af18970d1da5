//! The last bytes of a stream.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

/// Writes what is left to say, ends our side, and reads on until the peer ends its own, so that a
/// reset does not overtake it; all of that within `time`.
pub async fn finish<S>(mut stream: S, bytes: &[u8], time: Duration)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let finishing = async {
        stream.write_all(bytes).await?;
        stream.shutdown().await?;
        let mut rest = [0; 2048];
        while stream.read(&mut rest).await? > 0 {}
        io::Result::Ok(())
    };
    // A peer that is gone, or goes on sending, has been told as well as it can be.
    let _ = timeout(time, finishing).await;
}
