//! Round trips of a few well-behaved connections at a modest rate, alone and then beside clients of
//! every hostile script.
//!
//! The clients are a process of their own that gives way to this one, so that a delay is the
//! server's.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde_json::{Value, json};

use crate::client::Client;
use crate::fleet::Fleet;
use crate::latency::round_trips;
use crate::measure::Histogram;
use crate::scripts;
use crate::target::Target;

#[derive(Args)]
pub struct Options {
    /// The echo path, with a numeric address
    #[arg(long)]
    url: Target,
    /// The server's folder of handlers, into which the scripts are written
    #[arg(long)]
    handlers: PathBuf,
    /// Clients of hostile scripts at a time
    #[arg(long, default_value_t = 8)]
    clients: usize,
    #[arg(long, default_value_t = 10)]
    connections: usize,
    /// Messages a second, of all connections together
    #[arg(long, default_value_t = 1000)]
    rate: u32,
    /// Seconds beside all scripts; beside each by itself, if they are to be told apart
    #[arg(long, default_value_t = 30.0)]
    seconds: f64,
    /// Each script by itself: which of them others feel most
    #[arg(long)]
    apart: bool,
}

/// Scripts that are named.
const WORST: usize = 12;

pub fn run(options: &Options) -> Result<Value> {
    let count = serve_scripts(options)?;
    let mut fleet = Fleet::open(&options.url, options.connections)?;
    fleet.speak_once("warm")?;
    let alone = round_trips(&mut fleet, options.rate, 3.0)?;
    let measured = if options.apart {
        each(options, &mut fleet)?
    } else {
        all(options, &mut fleet)?
    };
    Ok(json!({
        "scenario": "hostile",
        "scripts": count,
        "clients": options.clients,
        "connections": options.connections,
        "rate": options.rate,
        "alone_us": alone.percentiles(),
        "beside": measured,
    }))
}

/// Writes them, and waits until the server has compiled them all.
fn serve_scripts(options: &Options) -> Result<usize> {
    let scripts = scripts::all();
    for script in &scripts {
        let file = options.handlers.join(format!("{}_wsh.rhai", script.name));
        fs::write(file, &script.source)?;
    }
    // The reconciler takes files as one generation, and this one's name is the last.
    let last = options.handlers.join("zz_wsh.rhai");
    fs::write(last, "fn transfer_data(ws, message) { }\n")?;
    let target = options.url.with_path("/zz");
    let deadline = Instant::now() + Duration::from_secs(60);
    while Client::open(&target, 0).is_err() {
        ensure!(Instant::now() < deadline, "the scripts are not served");
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(scripts.len())
}

fn all(options: &Options, fleet: &mut Fleet) -> Result<Value> {
    let provoking = provoke(options, None, options.seconds)?;
    let beside = round_trips(fleet, options.rate, options.seconds)?;
    Ok(json!({
        "us": beside.percentiles(),
        "messages": beside.total(),
        "provoked": report(provoking)?,
    }))
}

fn each(options: &Options, fleet: &mut Fleet) -> Result<Value> {
    let mut measured: Vec<(String, Histogram)> = Vec::new();
    for script in scripts::all() {
        let provoking = provoke(options, Some(&script.name), options.seconds)?;
        let beside = round_trips(fleet, options.rate, options.seconds)
            .with_context(|| format!("beside {}", script.name))?;
        report(provoking)?;
        measured.push((script.name, beside));
    }
    measured.sort_by(|(_, a), (_, b)| b.quantile(0.99).total_cmp(&a.quantile(0.99)));
    let over = measured
        .iter()
        .filter(|(_, beside)| beside.quantile(0.99) >= 10_000.0);
    Ok(json!({
        "over_10_ms": over.count(),
        "worst": measured
            .iter()
            .take(WORST)
            .map(|(name, beside)| json!({ "script": name, "us": beside.percentiles() }))
            .collect::<Vec<_>>(),
    }))
}

fn provoke(options: &Options, only: Option<&str>, seconds: f64) -> Result<Child> {
    let mut command = Command::new("nice");
    command
        .args(["-n", "19"])
        .arg(std::env::current_exe()?)
        .arg("provoke")
        .args(["--url", &options.url.with_path("/").to_string()])
        .args(["--clients", &options.clients.to_string()])
        .args(["--seconds", &seconds.to_string()]);
    if let Some(only) = only {
        command.args(["--only", only]);
    }
    Ok(command.stdout(Stdio::piped()).spawn()?)
}

fn report(provoking: Child) -> Result<Value> {
    let ended = provoking.wait_with_output()?;
    ensure!(ended.status.success(), "the clients of the scripts failed");
    Ok(serde_json::from_slice(&ended.stdout)?)
}
