//! The integration tests: the real program on a free port with a folder of its own, spoken to over
//! sockets. `support` is the harness; every other module is one subject.

mod support;

// Shared with `examples/conformance.rs`, which runs them against any server.
use support::{frame, request};
#[path = "../conformance/cases.rs"]
mod conformance_cases;
#[path = "../conformance/run.rs"]
mod conformance_run;
use conformance_cases as cases;

mod access;
mod between;
mod breaches;
mod broker;
mod buffered;
mod capabilities;
mod catalogue;
mod chat_page;
mod cli;
mod close;
mod commands;
mod config;
mod conformance;
mod connect;
mod console;
mod deflate;
mod deliveries;
mod dev;
mod dial;
mod echo;
mod events;
mod examples;
mod faults;
mod folder;
mod following;
mod frames;
mod habits;
mod handlers;
mod handshake;
mod histories;
mod hooks;
mod hostile;
mod house;
mod http_files;
mod http_pages;
mod last_words;
mod lifecycle;
mod load;
mod logs;
mod metrics;
mod misbehaviour;
mod modules;
mod nodes;
mod operating;
mod oracle;
mod origins;
mod packages;
mod page;
mod peers;
mod polling_page;
mod porting;
mod presence;
mod process;
mod proxies;
mod readme;
mod recordings;
mod reference;
mod refusals;
mod rehearsal;
mod reload;
mod repeatable;
mod replay;
mod requests;
mod resuming;
mod runtime;
mod scale_out;
mod services;
mod store;
mod targets;
mod terminal;
mod testing;
mod texts;
mod tls;
mod topics;
mod tutorial;
mod wpt;
