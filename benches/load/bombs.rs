//! Hostile messages, from one connection or from many: the memory that they make the server take,
//! and how they end.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use crate::client::{Client, Received};
use crate::measure::{peak_memory, reset_peak_memory, resident_memory};
use crate::target::{Reach, Target};
use crate::{deflate, records, wire};

#[derive(Args)]
pub struct Options {
    #[command(flatten)]
    reach: Reach,
    /// The server's process
    #[arg(long)]
    pid: u32,
    #[arg(long, value_enum)]
    kind: Kind,
    #[arg(long, default_value_t = 1)]
    connections: usize,
    /// Bytes of the longest message that the server takes
    #[arg(long, default_value_t = 16 * 1024 * 1024)]
    limit: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// A compressed message that inflates to a thousand times its bytes, beyond the limit; needs
    /// --deflate
    Bomb,
    /// The same, but what leads beyond the limit comes when all connections have sent the rest
    Withheld,
    /// Fragments of a byte each without an end
    Fragments,
    /// A frame of the longest message is announced, and comes byte by byte
    Drip,
    /// The same, but only its last KiB comes byte by byte
    Brim,
}

/// How long before a server that hangs is given up.
const PATIENCE: Duration = Duration::from_secs(120);

/// What is left of a frame when it begins to come byte by byte, and how often a byte comes.
const REST: usize = 1024;
const DRIP: Duration = Duration::from_millis(50);

pub fn run(options: &Options) -> Result<Value> {
    let target = options.reach.target()?;
    // What the server allocates once is not counted.
    let mut warm = Client::open(&target, 0)?;
    warm.send(&honest(&warm)?)?;
    warm.receive()?;
    warm.leave()?;
    thread::sleep(Duration::from_millis(500));
    let before = resident_memory(options.pid)?;
    reset_peak_memory(options.pid)?;

    let begin = Instant::now();
    let endings = match options.kind {
        Kind::Bomb | Kind::Withheld => explode(options, &target)?,
        kind => vec![pour(kind, options.limit, &target)?],
    };
    let elapsed = begin.elapsed();
    let peak = peak_memory(options.pid)?;
    let mut counts = BTreeMap::<String, u64>::new();
    for ending in endings {
        *counts.entry(ending).or_default() += 1;
    }
    Ok(json!({
        "scenario": "bombs",
        "connections": options.connections,
        "limit": options.limit,
        "before_bytes": before,
        "peak_bytes": peak,
        "taken_bytes": peak.saturating_sub(before),
        "endings": counts,
        "seconds": (elapsed.as_secs_f64() * 100.0).round() / 100.0,
    }))
}

/// A message that the server echoes, in the way that the others come.
fn honest(client: &Client) -> Result<Vec<u8>> {
    let text = records::text(0, 16 * 1024);
    let mut frame = Vec::new();
    match client.agreement {
        Some(agreement) => {
            let payload = deflate::compress(text.as_bytes(), agreement.client_bits)?;
            wire::push_frame(&mut frame, wire::TEXT | wire::RSV1, &payload);
        }
        None => wire::push_frame(&mut frame, wire::TEXT, text.as_bytes()),
    }
    Ok(frame)
}

/// Sends a bomb on every connection before any reply is read.
fn explode(options: &Options, target: &Target) -> Result<Vec<String>> {
    let mut clients = (0..options.connections)
        .map(|index| Client::open(target, index))
        .collect::<Result<Vec<_>>>()?;
    let agreement = clients.first().and_then(|client| client.agreement);
    let agreement = agreement.context("bombs need --deflate")?;
    // As much again as a quarter of the limit: each of its bytes inflates to as many as the others
    // do.
    let inflated = options.limit + options.limit / 4;
    let payload = deflate::compress(&vec![0; inflated], agreement.client_bits)?;
    let mut frame = Vec::new();
    wire::push_frame(&mut frame, wire::TEXT | wire::RSV1, &payload);
    let first = match options.kind {
        // To 256 KiB below the limit.
        Kind::Withheld => frame.len() * (options.limit - 256 * 1024) / inflated,
        _ => frame.len(),
    };
    for client in &mut clients {
        client.send(&frame[..first])?;
    }
    if first < frame.len() {
        wait_until_steady(options.pid)?;
        for client in &mut clients {
            client.send(&frame[first..])?;
        }
    }
    clients.into_iter().map(ending).collect()
}

/// Waits until the server has done with what it has got.
fn wait_until_steady(pid: u32) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    let mut last = 0;
    loop {
        thread::sleep(Duration::from_millis(500));
        let now = peak_memory(pid)?;
        if now == last {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "the server takes ever more");
        last = now;
    }
}

/// Sends a message that never ends.
fn pour(kind: Kind, limit: usize, target: &Target) -> Result<String> {
    let client = Client::open(target, 0)?;
    let (mut first, mut then) = (Vec::new(), Vec::new());
    let pause = if kind == Kind::Fragments {
        wire::push_head(&mut first, wire::TEXT, 0);
        for _ in 0..1024 {
            wire::push_head(&mut then, wire::CONTINUATION, 1);
            wire::push_payload(&mut then, b"x");
        }
        Duration::ZERO
    } else {
        wire::push_head(&mut first, wire::FIN | wire::BINARY, limit);
        if kind == Kind::Brim {
            wire::push_payload(&mut first, &vec![b'x'; limit - REST]);
        }
        then.push(b'x');
        DRIP
    };
    let mut socket = client.socket()?;
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let pouring = scope.spawn(|| -> std::io::Result<()> {
            socket.write_all(&first)?;
            while !stop.load(Ordering::Relaxed) {
                socket.write_all(&then)?;
                thread::sleep(pause);
            }
            Ok(())
        });
        let connection: TcpStream = client.socket()?;
        let ending = ending(client);
        stop.store(true, Ordering::Relaxed);
        // One that is still being written has its end here, too, and its error is no news.
        let _ = connection.shutdown(Shutdown::Both);
        let _ = pouring.join();
        ending
    })
}

/// How the server ends a connection that has sent what it must not take.
fn ending(mut client: Client) -> Result<String> {
    Ok(match client.receive() {
        Ok(Received::Close(code)) => code.to_string(),
        Ok(Received::End) => "lost".to_owned(),
        Ok(Received::Text(_)) => "reply".to_owned(),
        Err(error) => format!("{error:#}"),
    })
}
