//! The nodes of a history: where they are, and how they come to harm.

use std::sync::Mutex;
use std::time::Duration;

use super::HANDLER;
use crate::support::{Client, Engine, Relay, Server, connect, try_connect};

/// Where the nodes are that live.
pub struct Nodes {
    urls: Mutex<Vec<String>>,
    may_fail: bool,
    orders_all: bool,
}

impl Nodes {
    /// These, which may come to harm or not.
    pub fn new<'s>(servers: impl IntoIterator<Item = &'s Server>, may_fail: bool) -> Self {
        let urls = servers.into_iter().map(|server| server.url("/model"));
        Self {
            urls: Mutex::new(urls.collect()),
            may_fail,
            orders_all: true,
        }
    }

    /// The same where topics that keep nothing have no order between nodes.
    pub fn ordering_what_is_kept(self) -> Self {
        Self {
            orders_all: false,
            ..self
        }
    }

    /// Whether all topics have one order, and not only those that keep messages.
    pub fn order_all(&self) -> bool {
        self.orders_all
    }

    /// Whether orders may stay without an answer, and connections be lost.
    pub fn may_fail(&self) -> bool {
        self.may_fail
    }

    /// A connection to any that takes it.
    pub async fn connect(&self, random: &mut fastrand::Rng) -> Client {
        loop {
            let url = {
                let urls = self.urls.lock().expect("nobody panicked");
                random.choice(&*urls).expect("a node").clone()
            };
            if !self.may_fail {
                return connect(url).await;
            }
            if let Some(client) = try_connect(&url).await {
                return client;
            }
        }
    }

    fn set(&self, place: usize, server: &Server) {
        self.urls.lock().expect("nobody panicked")[place] = server.url("/model");
    }
}

/// A node of the handler with these arguments.
pub async fn start(args: &[&str]) -> Server {
    let builder = Server::builder().workers(2).file("model_wsh.rhai", HANDLER);
    builder.args(args).start().await
}

/// A node that reaches its engine by a way of its own.
pub struct Lane {
    server: Server,
    relay: Relay,
    broker: String,
    store: String,
}

impl Lane {
    /// One with this engine for topics; its stores are in the same, or in a Redis at this URL.
    pub async fn start(engine: &Engine, store: Option<&str>) -> Self {
        let relay = Relay::start(engine.port()).await;
        let broker = engine.at("", relay.port());
        let store = store.unwrap_or(&broker).to_owned();
        let server = start(&["--broker", &broker, "--store", &store]).await;
        Self {
            server,
            relay,
            broker,
            store,
        }
    }

    pub fn server(&self) -> &Server {
        &self.server
    }

    /// Kills it, and starts another one in its place.
    pub async fn replace(&mut self, place: usize, nodes: &Nodes) {
        self.server.signal("KILL");
        self.server.exited().await;
        self.server = start(&["--broker", &self.broker, "--store", &self.store]).await;
        nodes.set(place, &self.server);
    }

    /// Its way to the engine goes silent, and breaks then.
    pub async fn cut(&self) {
        self.relay.set_silent(true);
        tokio::time::sleep(Duration::from_millis(200)).await;
        self.relay.set_silent(false);
    }
}
