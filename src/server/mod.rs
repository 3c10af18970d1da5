//! Listening sockets to accepted streams on a worker.
//!
//! Ports, Unix-domain sockets and sockets that were handed over are accepted in one loop, where the bounds on connections
//! hold. What costs a client something, TLS first, happens on the worker that got it.

mod bind;
mod certificates;
mod development;
mod drain;
mod gate;
mod listener;
mod memory;
pub mod proxy_protocol;
mod refusal;
mod stream;
mod systemd;
mod tls;
mod unix;
mod worker;

pub use bind::bind;
pub use certificates::{Certificates, Unusable};
pub use gate::Gate;
pub use listener::{Admission, Listener, accept};
pub use memory::memory;
pub use stream::Socket;
pub use systemd::{State, inherited, notify};
pub use unix::bind_unix;
pub use worker::{Order, Worker};
