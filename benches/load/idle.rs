//! What an idle connection costs the server in memory: once as opened, once after a message has
//! gone back and forth. Only the process's own memory counts; the kernel's socket buffers are the
//! same for every server. What the kernel needs to map that memory stands beside it.

use std::thread;
use std::time::Duration;

use anyhow::Result;
use clap::Args;
use serde_json::{Value, json};

use crate::fleet::Fleet;
use crate::measure::{page_tables, private_memory};
use crate::records;
use crate::target::Reach;

#[derive(Args)]
pub struct Options {
    #[command(flatten)]
    reach: Reach,
    /// The server's process
    #[arg(long)]
    pid: u32,
    #[arg(long, default_value_t = 10_000)]
    connections: usize,
    /// Seconds to wait before each reading
    #[arg(long, default_value_t = 2.0)]
    settle: f64,
}

/// Connections that come and go before the first reading, so that what a server allocates once is
/// not counted.
const WARM_UP: usize = 64;

pub fn run(options: &Options) -> Result<Value> {
    let settle = Duration::from_secs_f64(options.settle);
    let target = options.reach.target()?;
    // Long enough to be compressed in both directions, where that is asked for.
    let message = if target.offers_deflate {
        records::text(0, 1024)
    } else {
        "hello".to_owned()
    };
    Fleet::open(&target, WARM_UP)?.speak_once(&message)?;
    thread::sleep(settle);
    let before = private_memory(options.pid)?;
    let tables_before = page_tables(options.pid)?;

    let mut fleet = Fleet::open(&target, options.connections)?;
    fleet.rest(settle)?;
    let opened = private_memory(options.pid)?;

    fleet.speak_once(&message)?;
    fleet.rest(settle)?;
    let spoken = private_memory(options.pid)?;

    let taken =
        |after: u64, before: u64| ((after as f64 - before as f64) / fleet.len() as f64).round();
    let each = |after| taken(after, before);
    Ok(json!({
        "scenario": "idle",
        "connections": fleet.len(),
        "before_bytes": before,
        "bytes_per_connection": each(opened),
        "bytes_per_connection_after_message": each(spoken),
        "page_tables_per_connection": taken(page_tables(options.pid)?, tables_before),
    }))
}
