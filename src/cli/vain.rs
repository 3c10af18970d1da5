//! Settings that were given and have no effect without another: said, lest somebody rely on them.
//! Those without which a server would be less safe than its user believes are refused where they
//! are read.

use super::given::Given;
use crate::config::{Config, limits};

/// Settings, when they are in vain, and why.
type Row = (&'static [&'static str], fn(&Config) -> bool, &'static str);

const ROWS: [Row; 9] = [
    (
        &[
            "replay-strict",
            "replay-ignore",
            "replay-timeout",
            "max-replay-files",
            "max-replay-size",
        ],
        |config| config.rehearse.is_none(),
        "no folder is given with --replay",
    ),
    (
        &["tls-handshake-timeout"],
        |config| config.tls.is_none(),
        "no port speaks TLS",
    ),
    (
        &[
            "compression-threshold",
            "compression-level",
            "compression-server-context",
            "compression-client-context",
        ],
        |config| !config.deflate.enabled,
        "--compression is false",
    ),
    (
        &["pong-timeout"],
        |config| config.limits.websocket.ping == limits::NEVER,
        "--ping-interval is 0, and no Ping is sent",
    ),
    (
        &["control-burst"],
        |config| config.limits.websocket.control_rate == 0,
        "--control-rate is 0, which is no bound",
    ),
    (
        &["frame-timeout"],
        |config| config.limits.websocket.stall > config.limits.websocket.assembly,
        "--message-timeout is less, and comes first",
    ),
    (
        &["max-header-line"],
        |config| config.limits.head.line > config.limits.head.bytes,
        "--max-header-size is less, and comes first",
    ),
    (
        &["compression-threshold"],
        |config| {
            config.deflate.enabled && config.deflate.threshold > config.limits.websocket.message
        },
        "--max-message is less, so that no message is compressed",
    ),
    (
        &["port", "server-host", "tls-port", "queue"],
        |_| is_handed_over(),
        "sockets were handed over (LISTEN_FDS), and take the place of ports",
    ),
];

/// A sentence for each that was given.
pub fn warnings(given: &Given, config: &Config) -> Vec<String> {
    let vain = ROWS.iter().filter(|(_, is_vain, _)| is_vain(config));
    let keys = vain.flat_map(|(keys, _, why)| keys.iter().map(move |key| (key, why)));
    keys.filter(|(key, _)| given.has(key))
        .map(|(key, why)| format!("--{key} sets nothing here: {why}"))
        .collect()
}

/// Whether a service manager has bound sockets for this process.
fn is_handed_over() -> bool {
    let pid = std::env::var("LISTEN_PID").ok();
    std::env::var_os("LISTEN_FDS").is_some()
        && pid.is_some_and(|pid| pid == std::process::id().to_string())
}
