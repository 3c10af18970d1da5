//! Listening sockets to accepted streams on a worker.

mod listener;
mod proxy_protocol;
mod worker;

pub use listener::{Listeners, bind};
pub use worker::{Order, Worker};
