//! Topics through NATS: a subject for each topic, and for one that keeps messages a stream of
//! JetStream. What Redis keeps for all nodes, they tell each other here.
//!
//! | file | is about |
//! |---|---|
//! | `broker` | what is asked of NATS and of the other nodes |
//! | `channels` | what one life of the connection subscribes to |
//! | `janitor` | streams of topics that nobody uses any more |
//! | `names` | the names of subjects and streams |
//! | `neighbours` | the other nodes, as they tell of themselves |

mod broker;
mod channels;
mod janitor;
mod names;
mod neighbours;

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
use crate::nats::Server;
use broker::NatsBroker;
use channels::NatsChannels;
use names::Names;

/// Its connections: one for all.
const CONNECTIONS: usize = 1;

/// Has the topics of a hub go through NATS, on a thread of its own.
pub fn start(hub: Hub, url: &EngineUrl, limits: &limits::Engine) -> io::Result<Arc<Hub>> {
    let health = Arc::new(Health::new(ROLE, url.to_string(), CONNECTIONS));
    let server = Server::new(&health, limits.time);
    let names = Names {
        prefix: url.prefix.clone(),
    };
    let desk = Desk::new(hub.node, limits.time);
    let broker = Arc::new(NatsBroker::new(names, desk, server.clone()));
    let hub = Arc::new(hub.through(Arc::clone(&broker) as Arc<dyn Broker>));
    let (driven, url, incoming) = (Arc::clone(&hub), url.clone(), limits.incoming);
    link::start(ROLE, move || async move {
        let feed = Feed::new(incoming);
        let (fed, prefix) = (feed.clone(), url.prefix.clone());
        spawn_local(async move { server.carry(&url, &prefix, &fed).await });
        spawn_local(janitor::tidy(Arc::clone(&broker)));
        let open = {
            let (feed, hub, broker) = (feed.clone(), Arc::clone(&driven), Arc::clone(&broker));
            move |life| NatsChannels::new(life, feed.clone(), Arc::clone(&hub), Arc::clone(&broker))
        };
        drive(driven, broker, feed, open).await;
    })?;
    Ok(hub)
}
