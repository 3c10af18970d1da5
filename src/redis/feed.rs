//! The connection for messages: it subscribes to channels, and what they carry is read at once.
//! Redis cuts off whoever reads too slowly.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ::redis::{AsyncConnectionConfig, PushInfo, PushKind, Value};
use tokio::sync::Notify;

use super::channels::Channels;
use super::commands::{PING, connect};
use crate::config::EngineUrl;
use crate::link::{Backoff, Feed, Health, News};

/// Its number among the connections of an engine.
const CONNECTION: usize = 1;

/// What one life of the connection tells.
#[derive(Debug)]
struct Told {
    feed: Feed<Channels>,
    /// It is over, and what still comes of it does not count.
    is_over: AtomicBool,
    ended: Notify,
}

impl Told {
    /// Never waits: the connection is not read meanwhile.
    fn take(&self, push: PushInfo) {
        if self.is_over.load(Ordering::Relaxed) {
            return;
        }
        match push.kind {
            PushKind::Disconnection => self.ended.notify_one(),
            PushKind::Message => {
                if let Ok([Value::BulkString(channel), Value::BulkString(payload)]) =
                    <[Value; 2]>::try_from(push.data)
                {
                    self.feed.message(channel, payload);
                }
            }
            _ => {}
        }
    }
}

/// Connects again and again, and feeds whoever reads: runs for ever.
pub async fn feed(url: EngineUrl, feed: Feed<Channels>, health: Arc<Health>) {
    let mut backoff = Backoff::new();
    loop {
        let told = Arc::new(Told {
            feed: feed.clone(),
            is_over: AtomicBool::new(false),
            ended: Notify::new(),
        });
        let error = feed_once(&url, &told, &health, &mut backoff).await;
        health.away(CONNECTION, &error);
        tokio::time::sleep(backoff.next()).await;
    }
}

/// The life of one connection, and what has ended it.
async fn feed_once(
    url: &EngineUrl,
    told: &Arc<Told>,
    health: &Health,
    backoff: &mut Backoff,
) -> String {
    let teller = Arc::clone(told);
    let push = move |push: PushInfo| -> Result<(), ::redis::aio::SendError> {
        teller.take(push);
        Ok(())
    };
    let settings = AsyncConnectionConfig::new().set_push_sender(push);
    let mut connection = match connect(url, settings).await {
        Ok(connection) => connection,
        Err(error) => return error,
    };
    *backoff = Backoff::new();
    told.feed.push(News::Up(Channels::on(connection.clone())));
    health.connected(CONNECTION);
    // Without it a connection that nobody has closed is silent for ever.
    let ping = ::redis::cmd("PING");
    let error = loop {
        tokio::select! {
            () = tokio::time::sleep(PING) => {}
            () = told.ended.notified() => break "it closed the connection".to_owned(),
        }
        if let Err(error) = connection.send_packed_command(&ping).await {
            break error.to_string();
        }
    };
    told.is_over.store(true, Ordering::Relaxed);
    told.feed.push(News::Down);
    error
}
