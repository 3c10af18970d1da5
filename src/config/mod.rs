//! One checked, immutable configuration: a small struct for each feature, which `app` hands its part.

pub mod limits;

use std::path::PathBuf;
use std::sync::Arc;

/// Everything that a run of the server depends on.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where to listen.
    pub listen: Listen,
    /// Where handlers are.
    pub handlers: Handlers,
    /// Where ordinary files are, if any are served.
    pub document_root: Option<PathBuf>,
    /// What scripts may do and use up.
    pub script: Script,
    /// Worker threads.
    pub workers: usize,
}

/// What scripts may do and use up.
#[derive(Debug, Clone)]
pub struct Script {
    /// The bounds of every run.
    pub limits: limits::Script,
    /// Whether they may send bytes that break the protocol, to test clients with.
    pub allow_raw: bool,
    /// The environment variables that they may read.
    pub env: Arc<[String]>,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            limits: limits::SCRIPT,
            allow_raw: false,
            env: Arc::default(),
        }
    }
}

/// Addresses to listen on.
#[derive(Debug, Clone)]
pub struct Listen {
    /// A host name or address; `None` is loopback, IPv4 and IPv6.
    pub host: Option<String>,
    /// The port; 0 takes a free one.
    pub port: u16,
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
}
