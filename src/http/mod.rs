//! A request head to what becomes of it: an upgrade, a file, or a refusal.
//!
//! Only requests that a handler answers have bodies here, and whatever could be read in two ways is
//! the last of its connection: so no proxy can be led to see a request where we see none, and files
//! may follow each other on one connection.

pub mod admission;
mod asking;
mod basic_auth;
mod body;
mod client;
mod coding;
mod conditions;
mod decide;
mod descriptors;
mod entrance;
mod exchange;
mod files;
mod finish;
pub mod forwarded;
pub mod head;
mod health;
mod inject;
mod monitor;
mod own;
mod pages;
mod ranges;
mod refusals;
mod respond;
mod response;
mod serve;
mod site;
mod throttle;
mod trace;
mod upgrade;

pub(crate) use admission::{check_bind, check_dev};
pub use client::Client;
pub(crate) use descriptors::Descriptors;
pub(crate) use files::Files;
pub(crate) use finish::finish;
pub(crate) use health::Health;
pub(crate) use monitor::monitor;
pub(crate) use refusals::{Kind, log as log_refusal, note, tick};
pub use respond::Refusal;
pub(crate) use serve::serve;
pub(crate) use site::{Settings, Site};
