//! The channels that a connection subscribes to.

use ::redis::aio::MultiplexedConnection;

/// One life of the connection, for whoever subscribes on it.
#[derive(Debug, Clone)]
pub struct Channels(MultiplexedConnection);

impl Channels {
    /// Those of this connection.
    pub(super) fn on(connection: MultiplexedConnection) -> Self {
        Self(connection)
    }

    /// Subscribes to channels: ready when the server says that it is in force for all of them.
    pub async fn subscribe(&mut self, channels: &[String]) -> Result<(), String> {
        let subscribed = self.0.subscribe(channels).await;
        subscribed.map_err(|error| error.to_string())
    }

    /// Ends subscriptions: ready when that is so.
    pub async fn unsubscribe(&mut self, channels: &[String]) -> Result<(), String> {
        let ended = self.0.unsubscribe(channels).await;
        ended.map_err(|error| error.to_string())
    }
}
