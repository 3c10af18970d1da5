//! Round trips of a few well-behaved connections at a modest rate, alone and then beside
//! connections whose handler never returns. Messages leave on a schedule whether or not earlier
//! ones were answered, so a stall shows in full.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, ensure};
use clap::Args;
use serde_json::{Value, json};

use crate::client::{Client, Received};
use crate::fleet::Fleet;
use crate::measure::Histogram;
use crate::target::Target;
use crate::wire;

#[derive(Args)]
pub struct Options {
    /// The echo path, with a numeric address
    #[arg(long)]
    url: Target,
    /// A path on the same server whose handler loops for ever on a message
    #[arg(long, default_value = "/spin")]
    spin_path: String,
    #[arg(long, default_value_t = 1)]
    spinners: usize,
    #[arg(long, default_value_t = 10)]
    connections: usize,
    /// Messages a second, of all connections together
    #[arg(long, default_value_t = 1000)]
    rate: u32,
    /// Seconds of each of the two parts
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
}

pub fn run(options: &Options) -> Result<Value> {
    let mut fleet = Fleet::open(&options.url, options.connections)?;
    fleet.speak_once("warm")?;
    let alone = round_trips(&mut fleet, options.rate, options.seconds)?;

    let spin_target = options.url.with_path(&options.spin_path);
    let stop = AtomicBool::new(false);
    let (beside, endings) = thread::scope(|scope| -> Result<_> {
        let spinners: Vec<_> = (0..options.spinners)
            .map(|_| scope.spawn(|| spin(&spin_target, &stop)))
            .collect();
        // All spinners are at it before the first message counts.
        thread::sleep(Duration::from_millis(200));
        let beside = round_trips(&mut fleet, options.rate, options.seconds);
        stop.store(true, Ordering::Relaxed);
        let mut endings = BTreeMap::<String, u64>::new();
        for spinner in spinners {
            for ending in spinner
                .join()
                .map_err(|_| anyhow!("a spinner panicked"))??
            {
                *endings.entry(ending).or_default() += 1;
            }
        }
        Ok((beside?, endings))
    })?;

    Ok(json!({
        "scenario": "latency",
        "connections": options.connections,
        "rate": options.rate,
        "spinners": options.spinners,
        "alone_us": alone.percentiles(),
        "beside_us": beside.percentiles(),
        "messages": beside.total(),
        "spinner_endings": endings,
    }))
}

/// Sends `rate` messages a second, each on the next connection, and times the replies.
pub fn round_trips(fleet: &mut Fleet, rate: u32, seconds: f64) -> Result<Histogram> {
    let mut frame = Vec::new();
    wire::push_frame(&mut frame, wire::TEXT, &[b'x'; 64]);
    let mut round_trips = Histogram::new();
    let mut sent: Vec<VecDeque<Instant>> = vec![VecDeque::new(); fleet.len()];
    let interval = Duration::from_secs(1) / rate;
    let begin = Instant::now();
    let end = begin + Duration::from_secs_f64(seconds);
    let mut due = begin;
    let mut turn = 0;
    loop {
        let now = Instant::now();
        while due <= now && due < end {
            let index = turn % fleet.len();
            // The clock starts when the message leaves: epoll's whole milliseconds would blur the
            // planned time.
            sent[index].push_back(Instant::now());
            fleet.write(index, &frame)?;
            due += interval;
            turn += 1;
        }
        if due >= end && sent.iter().all(VecDeque::is_empty) {
            return Ok(round_trips);
        }
        ensure!(
            now < end + Duration::from_secs(10),
            "replies are missing 10 s after the last message"
        );
        let patience = if due < end {
            due.saturating_duration_since(now)
        } else {
            Duration::from_millis(100)
        };
        fleet.turn(patience, |index, _| {
            if let Some(begin) = sent[index].pop_front() {
                round_trips.record(begin.elapsed());
            }
        })?;
    }
}

/// Enters the endless handler again each time the server throws this connection out; returns how
/// each stay ended.
fn spin(target: &Target, stop: &AtomicBool) -> Result<Vec<String>> {
    let mut endings = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let mut client = Client::open(target, 0)?;
        client.send_text("spin")?;
        endings.push(match client.receive()? {
            Received::Close(code) => code.to_string(),
            Received::End => "end".to_owned(),
            Received::Text(_) => "reply".to_owned(),
        });
    }
    Ok(endings)
}
