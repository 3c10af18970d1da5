//! The ready message on standard output: a line that programs read, an address to click, the
//! handlers.

use std::fmt::Write;
use std::net::TcpListener;

use crate::config::{Config, HostPattern, Interface};
use crate::handlers::Generation;
use crate::server::Listener;

/// Handlers that are listed; of more, nobody reads the list at the start.
const LISTED: usize = 20;
/// Columns of the list's paths, beyond which files do not stand below each other any more.
const PATHS: usize = 36;

/// The addresses, as the ready line and the log name them.
pub fn addresses(listeners: &[Listener]) -> String {
    let urls: Vec<_> = listeners.iter().map(Listener::url).collect();
    urls.join(" ")
}

/// Where metrics are.
pub fn monitors(monitors: &[TcpListener]) -> String {
    let addresses = monitors
        .iter()
        .filter_map(|socket| socket.local_addr().ok());
    let urls: Vec<_> = addresses
        .map(|address| format!("http://{address}/metrics"))
        .collect();
    urls.join(" ")
}

/// Everything, for standard output.
pub fn text(
    listeners: &[Listener],
    monitors: &[TcpListener],
    generation: &Generation,
    config: &Config,
) -> String {
    let count = generation.entries.len();
    let handlers = if count == 1 { "handler" } else { "handlers" };
    let folder = config.handlers.root.display();
    let mut text = format!(
        "ready: {} ({count} {handlers} in {folder})\n",
        addresses(listeners)
    );
    if let Some(address) = page(listeners, config) {
        let _ = writeln!(text, "  open {address}");
    }
    if !monitors.is_empty() {
        let _ = writeln!(text, "  metrics {}", self::monitors(monitors));
    }
    text.push_str(&list(generation, config));
    text
}

/// Paths and files. Hooks are in `routes`, where somebody looks for them.
fn list(generation: &Generation, config: &Config) -> String {
    let routes = generation.routes();
    let widths = routes
        .iter()
        .take(LISTED)
        .map(|(path, _)| path.chars().count());
    let width = widths.max().unwrap_or(0).min(PATHS);
    let mut text = String::new();
    for (path, file) in routes.iter().take(LISTED) {
        let is_broken = generation.entries[*file].source.is_none();
        let broken = if is_broken {
            "  broken: see the log"
        } else {
            ""
        };
        let _ = writeln!(text, "  {path:width$}  {file}{broken}");
    }
    if let Some(more) = routes.len().checked_sub(LISTED).filter(|more| *more > 0) {
        let folder = config.handlers.root.display();
        let _ = writeln!(text, "  … and {more} more: wsh-server routes -w {folder}");
    }
    text
}

/// Returns the URL at which a browser on this machine sees something, if it does.
fn page(listeners: &[Listener], config: &Config) -> Option<String> {
    // Those of the document root, or the server's own.
    let has_own = config.dev || config.admission.hosts.is_empty() && !config.proxy.is_declared();
    if config.document_root.is_none() && !has_own {
        return None;
    }
    let (listener, address) = listeners
        .iter()
        .find_map(|listener| Some((listener, listener.socket.address()?)))?;
    let scheme = if listener.is_encrypted {
        "https"
    } else {
        "http"
    };
    // By this name a browser reaches both loopback addresses, and a page of it may connect.
    let localhost = "localhost".parse().ok()?;
    let is_answered = |pattern: &HostPattern| pattern.has(&localhost, address.port());
    let hosts = &config.admission.hosts;
    let is_local = address.ip().is_loopback() || address.ip().is_unspecified();
    if is_local && (hosts.is_empty() || hosts.iter().any(is_answered)) {
        return Some(format!("{scheme}://localhost:{}/", address.port()));
    }
    match &config.listen.host {
        Interface::Named(host) if !is_local => {
            Some(format!("{scheme}://{host}:{}/", address.port()))
        }
        _ => None,
    }
}
