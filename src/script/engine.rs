//! A Rhai engine as handlers see it.

use rhai::Engine;
use tracing::Level;

use super::Settings;
use super::api::PACKAGES;
use super::api::log::log;
use crate::machine::engine;

/// An engine with everything a script may call.
pub fn engine(settings: &Settings) -> Engine {
    let mut engine = engine::engine(settings, PACKAGES);
    engine
        .on_print(|text| log(Level::INFO, text))
        .on_debug(|text, _, _| log(Level::DEBUG, text));
    engine
}
