//! The end of a worker's connections: closed a batch at a time, and all of them in time.

use std::rc::{Rc, Weak};
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

use crate::http::Site;
use crate::websocket::{Abort, Close, close};

/// The pause between two batches, on average.
const PAUSE: Duration = Duration::from_millis(50);
/// Connections of a batch, at least: that many clients may come back at once without anybody
/// noticing.
const BATCH: usize = 200;
/// Of the time for draining: until the last Close is sent, and until what is left then is dropped.
/// The rest is for `on_close`.
const SENT: f32 = 0.4;
const DROPPED: f32 = 0.85;

/// Closes every connection with 1001: in batches and in no order, so that ten thousand clients do
/// not come back in one instant. Whoever has not answered in time is dropped, while there is time
/// left for `on_close`.
pub async fn close_all(site: Rc<Site>, time: Duration) {
    let begun = Instant::now();
    site.shared.start_drain();
    let mut open: Vec<_> = site.shared.connections.all();
    fastrand::shuffle(&mut open);
    let open: Vec<_> = open.iter().map(Rc::downgrade).collect();
    let batches = time.mul_f32(SENT).as_millis() / PAUSE.as_millis();
    let batch = open.len().div_ceil((batches as usize).max(1)).max(BATCH);
    let close = Close::new(close::code::GOING_AWAY, "the server is shutting down");
    for (number, batch) in open.chunks(batch).enumerate() {
        if number > 0 {
            sleep(PAUSE.mul_f32(0.5 + fastrand::f32())).await;
        }
        for connection in batch.iter().filter_map(Weak::upgrade) {
            // One that is closing already needs no other Close.
            let _ = connection.close(Some(&close));
        }
    }
    sleep_until(begun + time.mul_f32(DROPPED)).await;
    for connection in site.shared.connections.all() {
        connection.abort(Abort::Now);
    }
}
