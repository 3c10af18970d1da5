//! Clients that lose their connections all at once and come back to a topic with history: the time
//! until each has got what it has missed, and whether that was everything and nothing twice.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde_json::{Value, json};

use crate::client::{Client, Received};
use crate::fleet::Fleet;
use crate::measure::{CpuTimes, peak_memory, resident_memory};
use crate::target::Reach;

#[derive(Args)]
pub struct Options {
    #[command(flatten)]
    reach: Reach,
    /// Path whose connections subscribe since the position that follows
    #[arg(long, default_value = "/resume?since=")]
    resume_path: String,
    /// Path on which a message is published to them, and answered with the position behind it
    #[arg(long, default_value = "/kept")]
    publish_path: String,
    #[arg(long, default_value_t = 10_000)]
    clients: usize,
    /// Messages that each has missed
    #[arg(long, default_value_t = 100)]
    missed: usize,
    /// The server's process
    #[arg(long)]
    pid: u32,
}

/// How long everything may take.
const PATIENCE: Duration = Duration::from_secs(60);

pub fn run(options: &Options) -> Result<Value> {
    let target = options.reach.target()?;
    let mut publisher = Client::open(&target.with_path(&options.publish_path), 0)?;
    let mut publish = |text: &str| -> Result<String> {
        publisher.send_text(text)?;
        match publisher.receive()? {
            Received::Text(position) => Ok(position),
            other => anyhow::bail!("{other:?} instead of a position"),
        }
    };
    let start = publish("first")?;
    for number in 0..options.missed {
        publish(&format!("{number:064}"))?;
    }
    let before = resident_memory(options.pid)?;
    let cpu = CpuTimes::now(Some(options.pid))?;
    let begin = Instant::now();
    let since = target.with_path(&format!("{}{start}", options.resume_path));
    // What comes while others still connect is counted, too.
    let mut fleet = Fleet::open(&since, options.clients)?;
    let opened = begin.elapsed();
    let wanted = options.clients * options.missed;
    while fleet.received() < wanted as u64 {
        ensure!(
            begin.elapsed() < PATIENCE,
            "{} of {wanted} messages after {PATIENCE:?}",
            fleet.received()
        );
        fleet.turn(Duration::from_millis(100), |_, _| {})?;
    }
    let elapsed = begin.elapsed();
    let used = CpuTimes::now(Some(options.pid))?.since(cpu, elapsed);
    // Nothing twice: what would come is there by the time that one more has come to all.
    publish("last").context("the last one")?;
    while fleet.received() < (wanted + options.clients) as u64 {
        ensure!(begin.elapsed() < 2 * PATIENCE, "the last one is missing");
        fleet.turn(Duration::from_millis(100), |_, _| {})?;
    }
    let doubled = fleet.received() - (wanted + options.clients) as u64;
    Ok(json!({
        "scenario": "resume",
        "clients": options.clients,
        "missed": options.missed,
        "opened_s": opened.as_secs_f64(),
        "recovered_s": elapsed.as_secs_f64(),
        "doubled": doubled,
        "server_cpu": used.server_share(),
        "taken_bytes": peak_memory(options.pid)?.saturating_sub(before),
    }))
}
