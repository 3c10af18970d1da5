//! A Rhai engine as handlers see it.

use rhai::Engine;
use tracing::Level;

use super::api::log::log;
use super::api::{PACKAGES, store};
use crate::machine::engine;
use crate::machine::host::Host;

/// An engine with everything a script may call.
pub fn engine(host: &Host) -> Engine {
    let mut engine = engine::engine(host, PACKAGES);
    store::variable(&mut engine);
    engine
        .on_print(|text| log(Level::INFO, text))
        .on_debug(|text, _, _| log(Level::DEBUG, text));
    engine
}
