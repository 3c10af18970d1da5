//! One checked, immutable configuration: a small struct for each feature, which `app` hands its
//! part.

mod credential;
mod destination;
mod editor;
mod engine;
mod host;
mod invalid;
mod json_path;
pub mod limits;
mod link;
mod nearest;
mod origin;
mod trusted;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub use credential::Credential;
pub use destination::{Destination, Destinations};
pub use editor::Editor;
pub use engine::{Broker, Engine, EngineUrl, Place, Store};
pub use host::{Authority, Host, HostPattern};
pub use invalid::Invalid;
pub use json_path::{JsonPath, Part};
pub use link::Link;
pub use nearest::nearest;
pub use origin::{Origin, OriginPattern, Site};
pub use trusted::Trusted;

/// Everything that a run of the server depends on.
#[derive(Debug, Clone)]
pub struct Config {
    /// The addresses, ports and Unix-domain sockets to listen on.
    pub listen: Listen,
    /// The handler folder, and how it is scanned.
    pub handlers: Handlers,
    /// The folder of ordinary files, if any are served.
    pub document_root: Option<PathBuf>,
    /// What keeps stores and queues.
    pub store: Store,
    /// What is recorded, if anything is.
    pub record: Option<Record>,
    /// The recordings that new versions of handlers are played, if they are.
    pub rehearse: Option<Rehearse>,
    /// Whether this is a developer's seat: what happens is shown, on loopback or behind a password.
    pub dev: bool,
    /// What opens a place of a handler from the console, if anything does.
    pub editor: Option<Editor>,
    /// Whether pages of a developer's seat are told when they change.
    pub inject: bool,
    /// Permissions and bounds of scripts.
    pub script: Script,
    /// Number of worker threads.
    pub workers: usize,
    /// Certificates, if TLS is spoken on any port.
    pub tls: Option<Tls>,
    /// The admission rules: origins, hosts and users.
    pub admission: Admission,
    /// The reverse proxies in front of the server.
    pub proxy: Proxy,
    /// Compression of messages.
    pub deflate: Deflate,
    /// The worse network that connections to handlers take, if they do.
    pub link: Option<Link>,
    /// What topics go through.
    pub broker: Broker,
    /// The bounds of connections.
    pub limits: Limits,
    /// Time limit of the drain at a shutdown.
    pub drain: Duration,
    /// How long clients are let in after it was asked for, while load balancers hear that the
    /// server is not ready.
    pub drain_delay: Duration,
    /// Where metrics are served, if they are.
    pub metrics: Option<Metrics>,
    /// Whose probes are answered on the ports of clients.
    pub probes: Vec<Trusted>,
    /// Whether the log goes to a terminal, where somebody watches it.
    pub at_terminal: bool,
    /// Whether connections have a line for each open and close; `None` is up to who looks on.
    pub access_log: Option<bool>,
    /// Warnings about the settings, such as those without effect, a sentence each.
    pub warnings: Vec<String>,
}

/// What is recorded, and where to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The folder of recordings.
    pub folder: PathBuf,
    /// The path whose connections are recorded, and what lies below it; all of them without.
    pub path: Option<String>,
}

impl Record {
    /// Whether connections to this path are recorded.
    pub fn has(&self, path: &str) -> bool {
        let Some(only) = &self.path else { return true };
        let below = path.strip_prefix(only.trim_end_matches('/'));
        below.is_some_and(|below| below.is_empty() || below.starts_with('/'))
    }
}

/// The recordings that a new version of a handler is played before it serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rehearse {
    /// The folder of recordings.
    pub folder: PathBuf,
    /// Whether a version that answers otherwise does not serve.
    pub strict: bool,
    /// What may differ.
    pub ignored: Vec<JsonPath>,
    /// How much is played, and for how long.
    pub limits: limits::Rehearsal,
}

/// The bounds of connections, before and after their handshake.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Upper bounds on open connections, in total and per address.
    pub connections: limits::Connections,
    /// The first request of each.
    pub head: limits::Head,
    /// The bounds of a connection after its upgrade.
    pub websocket: limits::Websocket,
    /// Bytes of messages that all connections hold together; `None` follows from the memory that
    /// there is. Over it: 1013 for those that hold most.
    pub buffered: Option<usize>,
    /// Topics.
    pub topics: limits::Topics,
    /// Stores and queues.
    pub stores: limits::Stores,
    /// Engines in other processes.
    pub engine: limits::Engine,
    /// Connections and requests of scripts.
    pub egress: limits::Egress,
    /// Names of one handler that traffic is counted by.
    pub traffic: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: limits::CONNECTIONS,
            head: limits::HEAD,
            websocket: limits::WEBSOCKET,
            buffered: None,
            topics: limits::TOPICS,
            stores: limits::STORES,
            engine: limits::ENGINE,
            egress: limits::EGRESS,
            traffic: limits::TRAFFIC_NAMES,
        }
    }
}

/// TLS, on the plain port's place or beside it.
#[derive(Debug, Clone)]
pub struct Tls {
    /// The source of the certificate chain and its private key.
    pub identity: Identity,
    /// Whether clients show certificates.
    pub clients: ClientCertificates,
    /// Timeout of a TLS handshake.
    pub handshake: Duration,
}

/// A server's certificate chain and its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// PEM files, read again when they change.
    Files {
        /// The certificate chain, the server's own first.
        certificate: PathBuf,
        /// Its private key.
        private_key: PathBuf,
    },
    /// A certificate for localhost from an authority that is made once and kept in the user's data
    /// folder.
    Development,
}

/// The policy on client certificates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientCertificates {
    /// No certificate is requested.
    Ignored,
    /// A certificate by one of the authorities in this PEM file, or none.
    Optional(PathBuf),
    /// A certificate by one of the authorities in this PEM file.
    Required(PathBuf),
}

/// The admission rules: who may connect.
#[derive(Debug, Clone, Default)]
pub struct Admission {
    /// Origins that are let in, instead of the default.
    pub origins: Vec<OriginPattern>,
    /// Hosts that are answered, instead of the default.
    pub hosts: Vec<HostPattern>,
    /// Users who may connect; `None` asks nobody.
    pub credentials: Option<Vec<Credential>>,
}

/// The reverse proxies between the clients and the server.
#[derive(Debug, Clone, Default)]
pub struct Proxy {
    /// Peers whose word about the client is taken.
    pub trusted: Vec<Trusted>,
    /// Whether each connection from them begins with a PROXY protocol header, version 1 or 2.
    pub protocol: bool,
}

impl Proxy {
    /// Whether the configuration tells of a proxy at all.
    pub fn is_declared(&self) -> bool {
        !self.trusted.is_empty() || self.protocol
    }
}

/// permessage-deflate, RFC 7692.
#[derive(Debug, Clone, Copy)]
pub struct Deflate {
    /// Whether it is agreed to at all.
    pub enabled: bool,
    /// Bytes from which a message is compressed.
    pub threshold: usize,
    /// 1, quick, to 9, small.
    pub level: u32,
    /// Whether the server keeps its window between messages where the client allows it.
    pub server_context: bool,
    /// Whether the client may keep its window between messages.
    pub client_context: bool,
}

impl Default for Deflate {
    fn default() -> Self {
        Self {
            enabled: true,
            // 1 KiB: below it a frame saves less than the time costs.
            threshold: 1024,
            level: 3,
            // A kept window is memory for as long as its connection lives.
            server_context: false,
            client_context: false,
        }
    }
}

/// Permissions and bounds of scripts.
#[derive(Debug, Clone)]
pub struct Script {
    /// The bounds of every run.
    pub limits: limits::Script,
    /// Whether a fault at run time is shown to who develops, and its connection goes on.
    pub dev: bool,
    /// Whether they may send bytes that break the protocol, to test clients with.
    pub allow_raw: bool,
    /// The environment variables that they may read.
    pub env: Arc<[String]>,
    /// Where they may connect to.
    pub connect: Destinations,
    /// The folder whose files they may read, if they may.
    pub files: Option<Arc<Fixtures>>,
    /// Hooks that a handler has unless it defines them.
    pub standard: Arc<[StandardHook]>,
    /// Bytes of the longest message, up to which a script may lower its connection's own bound.
    pub max_message: usize,
    /// What runs hooks.
    pub evaluator: Evaluator,
}

/// What runs hooks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Evaluator {
    /// Rhai's evaluator, which is the reference.
    Rhai,
    /// Hooks are translated when they are loaded.
    #[default]
    Compiled,
}

/// Files that scripts may read.
#[derive(Debug, Clone)]
pub struct Fixtures {
    /// The folder that they are below.
    pub root: PathBuf,
    /// Whether links may lead out of it.
    pub outside_root: bool,
}

/// A hook that handlers need not write.
#[derive(Debug, Clone)]
pub struct StandardHook {
    /// Its name.
    pub name: &'static str,
    /// Its definition.
    pub text: String,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            limits: limits::SCRIPT,
            dev: false,
            allow_raw: false,
            env: Arc::default(),
            connect: Destinations::default(),
            files: None,
            standard: Arc::default(),
            max_message: limits::WEBSOCKET.message,
            evaluator: Evaluator::default(),
        }
    }
}

/// Addresses to listen on.
#[derive(Debug, Clone)]
pub struct Listen {
    /// The interface whose addresses the ports are bound on.
    pub host: Interface,
    /// The port; 0 takes a free one.
    pub port: u16,
    /// Whether that port speaks TLS.
    pub tls: bool,
    /// A port that speaks TLS beside it.
    pub tls_port: Option<u16>,
    /// Unix-domain sockets, never encrypted.
    pub unix: Vec<PathBuf>,
    /// Connections that wait to be accepted.
    pub backlog: i32,
}

/// Where metrics are served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metrics {
    /// The interface whose addresses the ports are bound on.
    pub host: Interface,
    /// The port; 0 takes a free one.
    pub port: u16,
}

/// The addresses of this machine to listen on, IPv4 and IPv6.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Interface {
    /// Those that only this machine reaches.
    Loopback,
    /// Every address: `0.0.0.0` and `::`.
    Every,
    /// Those of this host name, or this address.
    Named(String),
}

/// The handler folder.
#[derive(Debug, Clone)]
pub struct Handlers {
    /// Paths are relative to this folder.
    pub root: PathBuf,
    /// Only what lies below this folder is served.
    pub scan_dir: Option<PathBuf>,
    /// A file of `alias existing` lines.
    pub map_file: Option<PathBuf>,
    /// Whether links may lead out of the root.
    pub outside_root: bool,
    /// The one handler that is served, at every path; `None` serves each at its own.
    pub alone: Option<String>,
}
