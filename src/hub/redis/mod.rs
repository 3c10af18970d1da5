//! Topics through Redis or Valkey: a channel for each topic, and for one that keeps messages a
//! stream of them and a hash with the topic's life and last number.

mod broker;
mod driver;
mod people;
mod scripts;

pub use driver::start;
