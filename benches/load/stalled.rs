//! Opening handshakes at a modest rate, alone and then beside thousands of clients that are slow or
//! silent: a third says nothing at all, a third says a byte of its request a second, and a third
//! stops inside the TLS handshake or, where there is no TLS, inside a frame. The server is started
//! with timeouts that let them stay.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use clap::Args;
use serde_json::{Value, json};

use crate::client::{Client, connect};
use crate::measure::Histogram;
use crate::stream::Stream;
use crate::target::{Reach, Target};
use crate::wire;

#[derive(Args)]
pub struct Options {
    #[command(flatten)]
    reach: Reach,
    /// Clients that stall
    #[arg(long, default_value_t = 10_000)]
    clients: usize,
    /// Handshakes a second
    #[arg(long, default_value_t = 100)]
    rate: u32,
    /// Seconds of each of the two parts
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
}

/// Slow clients that say their byte one after the other, before a pause.
const BATCH: usize = 16;

pub fn run(options: &Options) -> Result<Value> {
    let target = options.reach.target()?;
    let alone = handshakes(&target, options)?;

    let begin = Instant::now();
    let mut crowd = Crowd::gather(&target, options.clients)?;
    let gathered = begin.elapsed();
    let stop = AtomicBool::new(false);
    let beside = thread::scope(|scope| -> Result<_> {
        let dripping = scope.spawn(|| crowd.drip(&stop));
        let beside = handshakes(&target, options);
        stop.store(true, Ordering::Relaxed);
        dripping.join().map_err(|_| anyhow!("the crowd panicked"))?;
        beside
    })?;

    let [silent, slow, inside] = [&crowd.silent, &crowd.slow, &crowd.inside].map(|clients| {
        let there = clients.iter().filter(|client| is_there(client));
        json!({ "clients": clients.len(), "still_there": there.count() })
    });
    Ok(json!({
        "scenario": "stalled",
        "rate": options.rate,
        "gathered_s": gathered.as_secs_f64(),
        "silent": silent,
        "slow": slow,
        "inside": inside,
        "handshakes": beside.total(),
        "alone_us": alone.percentiles(),
        "beside_us": beside.percentiles(),
    }))
}

/// Opens and closes connections on a schedule, and times from the beginning of each to its open
/// WebSocket.
fn handshakes(target: &Target, options: &Options) -> Result<Histogram> {
    let mut durations = Histogram::new();
    let interval = Duration::from_secs(1) / options.rate;
    let begin = Instant::now();
    let mut due = begin;
    while due < begin + Duration::from_secs_f64(options.seconds) {
        // One that is due while another still goes on waits for it, and the wait counts; waking up
        // late does not.
        let is_late = due < Instant::now();
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let start = if is_late { due } else { Instant::now() };
        // From an address that no stalled client has.
        let client = Client::open(target, usize::MAX)?;
        durations.record(start.elapsed());
        client.leave()?;
        due += interval;
    }
    Ok(durations)
}

/// The clients that stall.
struct Crowd {
    silent: Vec<Stream<TcpStream>>,
    slow: Vec<Stream<TcpStream>>,
    /// Inside a handshake or a frame.
    inside: Vec<Stream<TcpStream>>,
}

impl Crowd {
    fn gather(target: &Target, count: usize) -> Result<Crowd> {
        let mut crowd = Crowd {
            silent: Vec::new(),
            slow: Vec::new(),
            inside: Vec::new(),
        };
        for index in 0..count {
            let gathered = match index % 3 {
                0 => connect(target, index).map(|client| crowd.silent.push(client)),
                1 => slow(target, index).map(|client| crowd.slow.push(client)),
                _ => inside(target, index).map(|client| crowd.inside.push(client)),
            };
            gathered.with_context(|| format!("stalled client {} of {count}", index + 1))?;
        }
        Ok(crowd)
    }

    /// A byte a second from each slow client. One that the server has ended shows later.
    fn drip(&mut self, stop: &AtomicBool) {
        let batches = self.slow.len().div_ceil(BATCH).max(1) as u32;
        let mut due = Instant::now();
        loop {
            for batch in self.slow.chunks_mut(BATCH) {
                thread::sleep(due.saturating_duration_since(Instant::now()));
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                for client in batch {
                    let _ = client.write(b"a");
                }
                due += Duration::from_secs(1) / batches;
            }
        }
    }
}

/// Has begun a request; what it says from now on is the value of a header.
fn slow(target: &Target, index: usize) -> Result<Stream<TcpStream>> {
    let mut client = connect(target, index)?;
    client.handshake()?;
    client.write_all(b"GET /echo HTTP/1.1\r\nX-Slow: ")?;
    Ok(client)
}

fn inside(target: &Target, index: usize) -> Result<Stream<TcpStream>> {
    if target.tls.is_some() {
        let mut client = connect(target, index)?;
        client.half_a_hello()?;
        return Ok(client);
    }
    let mut client = Client::open(target, index)?;
    let mut half = Vec::new();
    wire::push_head(&mut half, wire::FIN | wire::TEXT, 100);
    wire::push_payload(&mut half, &[b'x'; 50]);
    client.send(&half)?;
    Ok(client.into_stream())
}

/// Whether the server has not ended it.
fn is_there(client: &Stream<TcpStream>) -> bool {
    let mut socket = &client.socket;
    if socket.set_nonblocking(true).is_err() {
        return false;
    }
    loop {
        match socket.read(&mut [0; 1024]) {
            Ok(0) => return false,
            // Session tickets, which nobody has read, or last words.
            Ok(_) => {}
            Err(error) => return error.kind() == ErrorKind::WouldBlock,
        }
    }
}
