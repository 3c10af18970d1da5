//! What the driver tells the other nodes of those who are here.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use crate::hub::engine::Engine;
use crate::hub::table::Hub;

/// Time before reports that did not get through are made again.
const AGAIN: Duration = Duration::from_millis(500);

/// Tells the other nodes who is here: one after the other, so that the last report is the last
/// state. Runs for ever.
pub async fn report<E: Engine>(hub: Arc<Hub>, engine: Arc<E>) {
    loop {
        engine.desk().people.notified().await;
        for (topic, key, report) in hub.take_reports() {
            let reported = Arc::clone(&engine).report(&topic, &key, report);
            if reported.await.is_err() {
                sleep(AGAIN).await;
                hub.report_all();
                break;
            }
        }
    }
}
