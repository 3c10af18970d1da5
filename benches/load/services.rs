//! Calls of stores and queues, one after the other in each connection: how many a second there are,
//! and what one costs the server.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use clap::Args;
use serde_json::{Map, Value, json};

use crate::client::{Client, Received};
use crate::measure::CpuTimes;
use crate::target::{Reach, Target};

#[derive(Args)]
pub struct Options {
    #[command(flatten)]
    reach: Reach,
    /// Path that does what a message says: `ACT COUNT KEY`
    #[arg(long, default_value = "/services")]
    path: String,
    /// Connections that call at once
    #[arg(long, default_value_t = 16)]
    connections: usize,
    /// Calls for each message
    #[arg(long, default_value_t = 100)]
    each: usize,
    /// Time for each kind of call
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// The server's process
    #[arg(long)]
    pid: u32,
}

/// The kinds of calls; with `loop`, which calls nothing, what the rest of the script costs is known.
const ACTS: [&str; 6] = [
    "loop",
    "get",
    "set",
    "incr",
    "put and take",
    "take with lease",
];

pub fn run(options: &Options) -> Result<Value> {
    let target = options.reach.target()?.with_path(&options.path);
    let mut calls = Map::new();
    for act in ACTS {
        let (count, elapsed, cost) = drive(&target, options, act)?;
        let per_second = (count as f64 / elapsed.as_secs_f64()).round();
        let found = json!({"per_second": per_second, "server_us_per_call": cost});
        calls.insert(act.to_owned(), found);
    }
    Ok(json!({"scenario": "services", "connections": options.connections, "calls": calls}))
}

fn drive(target: &Target, options: &Options, act: &str) -> Result<(u64, Duration, Option<f64>)> {
    let mut clients = (0..options.connections)
        .map(|index| Client::open(target, index))
        .collect::<Result<Vec<_>>>()?;
    let orders: Vec<_> = (0..options.connections)
        .map(|index| format!("{}|{}|{index}", act, options.each))
        .collect();
    let span = Duration::from_secs_f64(options.seconds);
    let cpu = CpuTimes::now(Some(options.pid))?;
    let (begin, mut count) = (Instant::now(), 0);
    while begin.elapsed() < span {
        for (client, order) in clients.iter_mut().zip(&orders) {
            client.send_text(order)?;
        }
        for client in &mut clients {
            let answer = client.receive()?;
            let is_done = matches!(&answer, Received::Text(text) if text == "done");
            ensure!(is_done, "{act}: {answer:?}");
        }
        count += (options.connections * options.each) as u64;
    }
    let elapsed = begin.elapsed();
    let used = CpuTimes::now(Some(options.pid))?.since(cpu, elapsed);
    Ok((count, elapsed, used.server_us_per(count)))
}
