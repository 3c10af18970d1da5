//! Settings that were given and have no effect without another: said, lest somebody rely on them. Those without which a
//! server would be less safe than its user believes are refused where they are read.

use super::Given;
use crate::config::Config;

/// A setting, when it is in vain, and why.
type Row = (&'static str, fn(&Config) -> bool, &'static str);

const NO_COMPRESSION: &str = "--compression is false";
const HANDED_OVER: &str = "sockets were handed over (LISTEN_FDS), and take the place of ports";

const ROWS: [Row; 14] = [
    (
        "tls-handshake-timeout",
        |config| config.tls.is_none(),
        "no port speaks TLS",
    ),
    (
        "compression-threshold",
        |config| !config.deflate.enabled,
        NO_COMPRESSION,
    ),
    (
        "compression-level",
        |config| !config.deflate.enabled,
        NO_COMPRESSION,
    ),
    (
        "compression-server-context",
        |config| !config.deflate.enabled,
        NO_COMPRESSION,
    ),
    (
        "compression-client-context",
        |config| !config.deflate.enabled,
        NO_COMPRESSION,
    ),
    (
        "pong-timeout",
        |config| config.limits.websocket.ping == crate::config::limits::NEVER,
        "--ping-interval is 0, and no Ping is sent",
    ),
    (
        "control-burst",
        |config| config.limits.websocket.control_rate == 0,
        "--control-rate is 0, which is no bound",
    ),
    (
        "frame-timeout",
        |config| config.limits.websocket.stall > config.limits.websocket.assembly,
        "--message-timeout is less, and comes first",
    ),
    (
        "max-header-line",
        |config| config.limits.head.line > config.limits.head.bytes,
        "--max-header-size is less, and comes first",
    ),
    (
        "compression-threshold",
        |config| {
            config.deflate.enabled && config.deflate.threshold > config.limits.websocket.message
        },
        "--max-message is less, so that no message is compressed",
    ),
    ("port", |_| is_handed_over(), HANDED_OVER),
    ("server-host", |_| is_handed_over(), HANDED_OVER),
    ("tls-port", |_| is_handed_over(), HANDED_OVER),
    ("queue", |_| is_handed_over(), HANDED_OVER),
];

/// A sentence for each that was given.
pub fn warnings(given: &Given, config: &Config) -> Vec<String> {
    let vain = ROWS
        .iter()
        .filter(|(key, is_vain, _)| given.has(key) && is_vain(config));
    vain.map(|(key, _, why)| format!("--{key} sets nothing here: {why}"))
        .collect()
}

/// Whether a service manager has bound sockets for this process.
fn is_handed_over() -> bool {
    let pid = std::env::var("LISTEN_PID").ok();
    std::env::var_os("LISTEN_FDS").is_some()
        && pid.is_some_and(|pid| pid == std::process::id().to_string())
}
