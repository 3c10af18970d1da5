//! The load generator of the benchmarks: one scenario a run, one line of JSON on stdout.
//!
//! It must cost less than the servers it loads, so it is a single epoll loop without a runtime:
//! frames are built and masked once, replies are checked in the read buffer, and a connection costs
//! one read and one write a batch. `benches/run.py` starts it beside each server; every scenario
//! ends by itself.

mod bombs;
mod client;
mod connect;
mod deflate;
mod echo;
mod fanout;
mod fleet;
mod hostile;
mod idle;
mod latency;
mod measure;
mod messages;
mod provoke;
mod records;
mod reload;
mod resume;
mod services;
mod stalled;
mod startup;
mod stream;
mod target;
mod topics;
mod wire;

#[path = "../../tests/hostile/scripts.rs"]
mod scripts;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Loads a WebSocket server and prints what it measured as one line of JSON
#[derive(Parser)]
struct Args {
    #[command(subcommand)]
    scenario: Option<Scenario>,

    /// What `cargo bench` adds to every bench target's command line
    #[arg(long, hide = true, global = true)]
    bench: bool,
}

#[derive(Subcommand)]
enum Scenario {
    /// Messages a second and round trips, closed loop
    Echo(echo::Options),
    /// Server memory per idle connection
    Idle(idle::Options),
    /// New connections a second: handshake, then close
    Connect(connect::Options),
    /// Round trips at a modest rate beside handlers that never return
    Latency(latency::Options),
    /// Round trips beside every hostile script
    Hostile(hostile::Options),
    /// Clients of hostile scripts, and nothing measured
    Provoke(provoke::Options),
    /// Opening handshakes beside thousands of clients that are slow or silent
    Stalled(stalled::Options),
    /// Memory that hostile messages make the server take, and how they end
    Bombs(bombs::Options),
    /// Time from saving a handler to the first reply of the new code
    Reload(reload::Options),
    /// Time from the start of the server to its ready line
    Startup(startup::Options),
    /// Deliveries a second of publications to many subscribers
    Fanout(fanout::Options),
    /// Time until clients that come back all at once have got what they missed
    Resume(resume::Options),
    /// Calls of stores and queues a second
    Services(services::Options),
    /// Memory of subscriptions, topics and a message to those who do not read
    Topics(topics::Options),
}

fn main() -> Result<()> {
    let Some(scenario) = Args::parse().scenario else {
        // A plain `cargo bench` or `cargo test --all-targets` lands here and has no server to load.
        println!("the load generator is started by benches/run.py");
        return Ok(());
    };
    let report = match scenario {
        Scenario::Echo(options) => echo::run(&options)?,
        Scenario::Idle(options) => idle::run(&options)?,
        Scenario::Connect(options) => connect::run(&options)?,
        Scenario::Latency(options) => latency::run(&options)?,
        Scenario::Hostile(options) => hostile::run(&options)?,
        Scenario::Provoke(options) => provoke::run(&options)?,
        Scenario::Stalled(options) => stalled::run(&options)?,
        Scenario::Bombs(options) => bombs::run(&options)?,
        Scenario::Reload(options) => reload::run(&options)?,
        Scenario::Startup(options) => startup::run(&options)?,
        Scenario::Fanout(options) => fanout::run(&options)?,
        Scenario::Resume(options) => resume::run(&options)?,
        Scenario::Services(options) => services::run(&options)?,
        Scenario::Topics(options) => topics::run(&options)?,
    };
    println!("{report}");
    Ok(())
}
