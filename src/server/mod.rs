//! Listening sockets to accepted streams on a worker.

mod listener;
mod worker;

pub use listener::{Listeners, bind};
pub use worker::{Order, Worker};
