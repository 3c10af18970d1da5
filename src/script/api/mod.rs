//! What scripts may call beyond the machine's own packages, and the list of all of them.

pub mod connection;
pub mod dial;
mod exchange;
pub mod extensions;
mod files;
pub mod form;
pub(crate) mod http;
mod link;
pub mod log;
pub mod messages;
pub(crate) mod options;
pub mod people;
pub mod queues;
pub mod raw;
pub mod request;
pub mod store;
mod stored;
mod time;
pub mod topics;
mod traffic;
mod trip;

use crate::machine::host::Package;
use crate::machine::packages::{encoding, env, errors, json, random, values};

/// Every package, in the order of the reference.
pub const PACKAGES: &[&Package] = &[
    &request::PACKAGE,
    &exchange::PACKAGE,
    &link::PACKAGE,
    &connection::PACKAGE,
    &topics::PACKAGE,
    &people::PACKAGE,
    &store::PACKAGE,
    &queues::PACKAGE,
    &dial::PACKAGE,
    &http::PACKAGE,
    &time::PACKAGE,
    &traffic::PACKAGE,
    &values::PACKAGE,
    &encoding::PACKAGE,
    &json::PACKAGE,
    &log::PACKAGE,
    &random::PACKAGE,
    &env::PACKAGE,
    &files::PACKAGE,
    &errors::PACKAGE,
    &raw::PACKAGE,
];
