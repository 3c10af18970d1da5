//! The integration tests: the real program on a free port with a folder of its own, spoken to over
//! sockets. `support` is the harness; every other module is one subject.

mod support;

mod cli;
mod close;
mod echo;
mod examples;
mod frames;
mod handlers;
mod handshake;
mod oracle;
mod page;
mod reload;
mod runtime;
