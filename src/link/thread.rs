//! A thread for an engine: what it reads and writes waits for no worker.

use std::io;

use tokio::task::LocalSet;

/// Runs what `make` gives on a thread of its own, for as long as the process lives.
pub fn start<F: Future>(
    name: &'static str,
    make: impl FnOnce() -> F + Send + 'static,
) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(2)
        .build()?;
    std::thread::Builder::new()
        .name(name.into())
        .spawn(move || {
            LocalSet::new().block_on(&runtime, make());
        })?;
    Ok(())
}
