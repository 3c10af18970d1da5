//! A worker's site: what answering a connection needs.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::Semaphore;

use super::descriptors::Descriptors;
use super::files::Files;
use super::health::Health;
use crate::config::{Admission, Deflate, Limits, Link, Proxy, Trusted};
use crate::console::Console;
use crate::handlers::Generation;
use crate::recording::Recorder;
use crate::script::Runtime;
use crate::websocket::{Ledger, Shared};

/// One worker's site: the state that answering a connection needs.
pub struct Site {
    /// The handlers that serve.
    pub generation: RefCell<Arc<Generation>>,
    /// The worker's scripts.
    pub runtime: Rc<Runtime>,
    /// The worker's connections.
    pub shared: Rc<Shared>,
    /// Of those that are sent files, how many may be at it at once.
    pub turns: Semaphore,
    /// The settings of all workers.
    pub settings: Settings,
}

/// The settings of a site, the same on all workers.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Ordinary files, if any are served.
    pub files: Option<Arc<Files>>,
    /// The count of descriptors that clients hold, and its bound.
    pub room: Arc<Descriptors>,
    /// What probes are answered with.
    pub health: Arc<Health>,
    /// Whether this is a developer's seat.
    pub dev: bool,
    /// Whether connections and requests have a line each.
    pub access_log: bool,
    /// The bounds of requests and connections.
    pub limits: Limits,
    /// The admission rules: origins, hosts and users.
    pub admission: Admission,
    /// The trusted proxies, whose word about clients is taken.
    pub proxy: Proxy,
    /// Who may ask for the server's health.
    pub probes: Vec<Trusted>,
    /// The terms on which permessage-deflate is agreed to.
    pub deflate: Deflate,
    /// The worse network that connections to handlers take, if they do.
    pub link: Option<Link>,
    /// The account of message bytes that all connections hold together, and its bound.
    pub ledger: Arc<Ledger>,
    /// The console of a developer's seat.
    pub console: Option<Arc<Console>>,
    /// What records connections, if any are.
    pub recorder: Option<Arc<Recorder>>,
}
