//! Which handlers have begun: the `on_load` of their first version has run. Whoever connects before
//! that waits for it, so that topics are from the first connection on as it says.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::sync::watch;

/// How long somebody waits at the most: an `on_load` that waits itself holds nobody up for longer.
const MOST: Duration = Duration::from_secs(1);

/// The files of those that have begun, for all workers.
#[derive(Debug, Default)]
pub struct Begun(watch::Sender<BTreeSet<String>>);

impl Begun {
    /// The first `on_load` of this file has ended, in whatever way.
    pub(super) fn tell(&self, file: &str) {
        self.0
            .send_if_modified(|files| files.insert(file.to_owned()));
    }

    /// Ready when the first `on_load` of this file has ended.
    pub(super) async fn of(&self, file: &str) {
        let mut told = self.0.subscribe();
        let begun = told.wait_for(|files| files.contains(file));
        // Neither the end of the time nor that of the server is anybody's fault here.
        let _ = tokio::time::timeout(MOST, begun).await;
    }
}
