//! Listening sockets to accepted streams on a worker.
//!
//! Ports, Unix-domain sockets and sockets that were handed over are accepted in one loop, where the
//! bounds on connections hold. What costs a client something, TLS first, happens on the worker that
//! got it.

mod bind;
mod certificates;
mod development;
mod drain;
mod encrypted;
mod gate;
mod listener;
mod memory;
mod monitor;
pub mod proxy_protocol;
mod records;
mod refusal;
mod stream;
mod systemd;
mod tls;
mod unix;
mod worker;

pub(crate) use bind::bind;
pub(crate) use certificates::Certificates;
pub(crate) use gate::Gate;
pub(crate) use listener::{Admission, Listener, accept};
pub(crate) use memory::memory;
pub(crate) use monitor::monitor;
pub(crate) use stream::Socket;
pub(crate) use systemd::{State, inherited, notify};
pub(crate) use unix::bind_unix;
pub(crate) use worker::{Order, Worker};
