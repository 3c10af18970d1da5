//! The engines that topics go through, for tests that hold for each of them.

use super::{Nats, Redis};

/// Which engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Redis,
    Nats,
}

/// One of them, which runs.
pub enum Engine {
    Redis(Redis),
    Nats(Nats),
}

impl Engine {
    /// An empty one.
    pub fn start(kind: Kind) -> Self {
        match kind {
            Kind::Redis => Self::Redis(Redis::start()),
            Kind::Nats => Self::Nats(Nats::start()),
        }
    }

    /// One that still has, after it was killed, all that it has answered.
    pub fn lasting(kind: Kind) -> Self {
        match kind {
            Kind::Redis => Self::Redis(Redis::with(&[
                "--appendonly",
                "yes",
                "--appendfsync",
                "always",
            ])),
            Kind::Nats => Self::Nats(Nats::start()),
        }
    }

    /// One that wants a password.
    pub fn closed(kind: Kind, password: &str) -> Self {
        match kind {
            Kind::Redis => Self::Redis(Redis::with(&["--requirepass", password])),
            Kind::Nats => Self::Nats(Nats::with(&["-js", "--auth", password])),
        }
    }

    /// Its URL.
    pub fn url(&self) -> String {
        self.at("", self.port())
    }

    /// Its URL by way of another port, with or without a `:PASSWORD@`.
    pub fn at(&self, entry: &str, port: u16) -> String {
        let scheme = match self {
            Self::Redis(_) => "redis",
            Self::Nats(_) => "nats",
        };
        format!("{scheme}://{entry}127.0.0.1:{port}")
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        match self {
            Self::Redis(redis) => redis.port(),
            Self::Nats(nats) => nats.port(),
        }
    }

    /// Ends it at once, as a crash does.
    pub fn kill(&mut self) {
        match self {
            Self::Redis(redis) => redis.kill(),
            Self::Nats(nats) => nats.kill(),
        }
    }

    /// Starts it again after `kill`, with what is on its disk.
    pub fn restart(&mut self) {
        match self {
            Self::Redis(redis) => redis.restart(),
            Self::Nats(nats) => nats.restart(),
        }
    }

    /// Sends it a signal by name.
    pub fn signal(&self, name: &str) {
        match self {
            Self::Redis(redis) => redis.signal(name),
            Self::Nats(nats) => nats.signal(name),
        }
    }

    /// Topics that somebody subscribes to.
    pub fn channels(&self) -> usize {
        match self {
            Self::Redis(redis) => redis.channels(),
            Self::Nats(nats) => nats.subscriptions("wsh.t"),
        }
    }

    /// Has it forget how far a topic has come.
    pub fn forget(&self, topic: &str) {
        match self {
            // The life and the number are evicted, the messages are not.
            Self::Redis(redis) => assert_eq!(redis.ask(&["DEL", &format!("wsh:m:{topic}")]), "1"),
            Self::Nats(nats) => assert_eq!(nats.forget_stream(topic), 1),
        }
    }
}
