//! The nodes of a history: where they are, and how they come to harm.

use std::sync::Mutex;
use std::time::Duration;

use super::HANDLER;
use crate::support::{Client, Relay, Server, connect, try_connect};

/// Where the nodes are that live.
pub struct Nodes {
    urls: Mutex<Vec<String>>,
    may_fail: bool,
}

impl Nodes {
    /// These, which may come to harm or not.
    pub fn new<'s>(servers: impl IntoIterator<Item = &'s Server>, may_fail: bool) -> Self {
        let urls = servers.into_iter().map(|server| server.url("/model"));
        Self {
            urls: Mutex::new(urls.collect()),
            may_fail,
        }
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
}

impl Lane {
    /// One with an engine at this port.
    pub async fn start(engine: u16) -> Self {
        let relay = Relay::start(engine).await;
        let server = start_behind(&relay).await;
        Self { server, relay }
    }

    pub fn server(&self) -> &Server {
        &self.server
    }

    /// Kills it, and starts another one in its place.
    pub async fn replace(&mut self, place: usize, nodes: &Nodes) {
        self.server.signal("KILL");
        self.server.exited().await;
        self.server = start_behind(&self.relay).await;
        nodes.set(place, &self.server);
    }

    /// Its way to the engine goes silent, and breaks then.
    pub async fn cut(&self) {
        self.relay.set_silent(true);
        tokio::time::sleep(Duration::from_millis(200)).await;
        self.relay.set_silent(false);
    }
}

async fn start_behind(relay: &Relay) -> Server {
    let url = format!("redis://127.0.0.1:{}", relay.port());
    start(&["--broker", &url, "--store", &url]).await
}
