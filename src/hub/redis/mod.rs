//! Topics through Redis or Valkey: a channel for each topic, and for one that keeps messages a
//! stream of them and a hash with the topic's life and last number.
//!
//! | file | is about |
//! |---|---|
//! | `broker` | what is asked of Redis, by whom |
//! | `channels` | the channels of topics and nodes |
//! | `names` | the names of channels and keys |
//! | `read` | what its answers say |
//! | `scripts` | what runs in it, each atomic |

mod broker;
mod channels;
mod names;
pub mod read;
mod scripts;

use std::io;
use std::sync::Arc;

use tokio::task::spawn_local;

use super::broker::Broker;
use super::desk::Desk;
use super::driver::drive;
use super::engine::ROLE;
use super::table::Hub;
use crate::config::{EngineUrl, limits};
use crate::link::{self, Feed, Health};
use crate::redis::{Commands, feed};
use broker::RedisBroker;
use channels::RedisChannels;
use names::Names;
use scripts::Scripts;

/// Its connections: commands and messages.
const CONNECTIONS: usize = 2;

/// Has the topics of a hub go through Redis, on a thread of its own.
pub fn start(hub: Hub, url: &EngineUrl, limits: &limits::Engine) -> io::Result<Arc<Hub>> {
    let health = Arc::new(Health::new(ROLE, url.to_string(), CONNECTIONS));
    let scripts = Scripts::new();
    let (commands, carrying) = Commands::new(url, limits, &health, scripts.all());
    let names = Names::new(&url.prefix, url.database);
    let desk = Desk::new(hub.node, limits.time);
    let broker = Arc::new(RedisBroker::new(names, desk, commands, scripts));
    let hub = Arc::new(hub.through(Arc::clone(&broker) as Arc<dyn Broker>));
    let (driven, url, incoming) = (Arc::clone(&hub), url.clone(), limits.incoming);
    link::start(ROLE, move || async move {
        let news = Feed::new(incoming);
        spawn_local(carrying);
        spawn_local(feed(url, news.clone(), health));
        let (names, node) = (broker.names.clone(), driven.node);
        let open = move |channels| RedisChannels::new(channels, names.clone(), node);
        drive(driven, broker, news, open).await;
    })?;
    Ok(hub)
}
