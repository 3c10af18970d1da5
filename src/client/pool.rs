//! HTTP connections that stay open for a while behind an answer, for the next request of the same
//! handler to the same server: a handshake of TCP and TLS costs more than most answers.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::client::conn::http1::SendRequest;
use tokio::time::{Instant, sleep};

use super::address::Address;

/// How long a connection stays: less than the five seconds after which some servers end it.
const IDLE: Duration = Duration::from_secs(4);
/// Connections of a handler to one server that stay.
const BY_SERVER: usize = 4;
/// Connections of all that stay.
const ALL: usize = 64;

/// An open connection.
pub struct Kept {
    /// What asks over it.
    pub sender: SendRequest<Full<Bytes>>,
    /// Where it leads.
    pub place: Option<SocketAddr>,
}

/// Whose connections they are, and to which server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    handler: String,
    secure: bool,
    host: String,
    port: u16,
}

impl Key {
    /// Those of a handler to the server of an address.
    pub fn new(handler: &str, address: &Address) -> Self {
        Self {
            handler: handler.to_owned(),
            secure: address.secure,
            host: address.host.to_ascii_lowercase(),
            port: address.port,
        }
    }
}

/// The connections that stay, the newest last.
#[derive(Default)]
pub struct Pool {
    kept: Mutex<Vec<(Key, Kept, Instant)>>,
    /// Somebody ends those whose time is up.
    is_swept: AtomicBool,
}

impl Pool {
    fn kept(&self) -> MutexGuard<'_, Vec<(Key, Kept, Instant)>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the newest one that may still be used for this.
    pub fn take(&self, key: &Key, admits: impl Fn(SocketAddr) -> bool) -> Option<Kept> {
        let mut kept = self.kept();
        expire(&mut kept);
        let fits =
            |(of, kept, _): &(Key, Kept, Instant)| of == key && kept.place.is_none_or(&admits);
        let place = kept.iter().rposition(fits)?;
        Some(kept.remove(place).1)
    }

    /// Keeps one whose answer is there as a whole.
    pub fn put(self: &Arc<Self>, key: Key, connection: Kept) {
        let mut kept = self.kept();
        let of_it = kept.iter().filter(|(of, ..)| *of == key).count();
        if of_it >= BY_SERVER || connection.sender.is_closed() {
            return;
        }
        if kept.len() >= ALL {
            // The one that has waited the longest.
            kept.remove(0);
        }
        kept.push((key, connection, Instant::now()));
        drop(kept);
        if !self.is_swept.swap(true, Ordering::Relaxed) {
            let pool = Arc::clone(self);
            tokio::task::spawn_local(async move { pool.sweep().await });
        }
    }

    /// Ends those whose time is up, until there are none.
    async fn sweep(&self) {
        loop {
            sleep(IDLE / 4).await;
            let mut kept = self.kept();
            expire(&mut kept);
            if kept.is_empty() {
                // Under the lock: whoever puts one from now on begins anew.
                self.is_swept.store(false, Ordering::Relaxed);
                return;
            }
        }
    }
}

/// Ends those whose time is up, and forgets those that have ended.
fn expire(kept: &mut Vec<(Key, Kept, Instant)>) {
    let now = Instant::now();
    kept.retain(|(_, kept, since)| now - *since < IDLE && !kept.sender.is_closed());
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Pool")
            .field("kept", &self.kept().len())
            .finish()
    }
}
