//! A worker's site: what answering a connection needs.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::Semaphore;

use super::files::Files;
use super::health::Health;
use super::room::Room;
use crate::config::{Admission, Deflate, Limits, Proxy, Trusted};
use crate::handlers::Generation;
use crate::script::Runtime;
use crate::websocket::{Ledger, Shared};

/// What answering a connection needs: one worker's site.
pub struct Site {
    /// The handlers that serve.
    pub generation: RefCell<Arc<Generation>>,
    /// The worker's scripts.
    pub runtime: Rc<Runtime>,
    /// The worker's connections.
    pub shared: Rc<Shared>,
    /// Of those that are sent files, how many may be at it at once.
    pub turns: Semaphore,
    /// What holds for all workers.
    pub settings: Settings,
}

/// What a site is told by the configuration.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Ordinary files, if any are served.
    pub files: Option<Arc<Files>>,
    /// How many descriptors clients may hold.
    pub room: Arc<Room>,
    /// What probes are answered with.
    pub health: Arc<Health>,
    /// Whether this is a developer's seat.
    pub dev: bool,
    /// Whether connections and requests have a line each.
    pub access_log: bool,
    /// The bounds of requests and connections.
    pub limits: Limits,
    /// Who may connect.
    pub admission: Admission,
    /// Whose word about clients is taken.
    pub proxy: Proxy,
    /// Who may ask for the server's health.
    pub probes: Vec<Trusted>,
    /// What is agreed to of compression.
    pub deflate: Deflate,
    /// What all connections may hold together.
    pub ledger: Arc<Ledger>,
}
