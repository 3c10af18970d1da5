//! What topics cost the server in memory: a subscription, a topic with nobody but one subscriber,
//! and a long message on its way to thousands that do not read.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use clap::Args;
use serde_json::{Value, json};

use crate::client::{Client, Received};
use crate::measure::{peak_memory, private_memory, reset_peak_memory, resident_memory};
use crate::target::{Reach, Target};

#[derive(Args)]
pub struct Options {
    #[command(flatten)]
    reach: Reach,
    /// Path whose connections subscribe to as many topics as a message says: `FIRST COUNT`
    #[arg(long, default_value = "/many")]
    many_path: String,
    #[arg(long, default_value_t = 1000)]
    connections: usize,
    /// Subscriptions of each
    #[arg(long, default_value_t = 100)]
    each: usize,
    /// Path whose connections subscribe to one topic
    #[arg(long, default_value = "/fan")]
    subscribe_path: String,
    /// Path on which a message is published to it
    #[arg(long, default_value = "/say")]
    publish_path: String,
    /// Subscribers that do not read
    #[arg(long, default_value_t = 10_000)]
    unread: usize,
    /// Bytes of the message that is published to them
    #[arg(long, default_value_t = 1 << 20)]
    size: usize,
    /// The server's process
    #[arg(long)]
    pid: u32,
}

/// How long memory is left alone before it is read.
const SETTLE: Duration = Duration::from_secs(2);

pub fn run(options: &Options) -> Result<Value> {
    let target = options.reach.target()?;
    let many = target.with_path(&options.many_path);
    // Everybody to the same topics, and then each to topics of its own.
    let (shared, clients) = subscribed(&many, options, |_| 0)?;
    drop(clients);
    thread::sleep(SETTLE);
    let (own, clients) = subscribed(&many, options, |index| (index + 1) * options.each)?;
    drop(clients);
    thread::sleep(SETTLE);
    let count = (options.connections * options.each) as f64;

    let subscribe = target.with_path(&options.subscribe_path);
    let silent: Vec<_> = (0..options.unread)
        .map(|index| Client::open(&subscribe, index))
        .collect::<Result<_>>()?;
    let mut publisher = Client::open(&target.with_path(&options.publish_path), 0)?;
    // Its read buffer and its own copy are not what is asked.
    publisher.send_text("warm")?;
    thread::sleep(SETTLE);
    let idle = resident_memory(options.pid)?;
    reset_peak_memory(options.pid)?;
    publisher.send_text(&"x".repeat(options.size))?;
    // It is there once the peak stands still.
    let (mut peak, mut since) = (0, Instant::now());
    let begin = Instant::now();
    while since.elapsed() < SETTLE {
        ensure!(begin.elapsed() < Duration::from_secs(60), "no end");
        thread::sleep(Duration::from_millis(100));
        let now = peak_memory(options.pid)?;
        if now > peak {
            (peak, since) = (now, Instant::now());
        }
    }
    Ok(json!({
        "scenario": "topics",
        "subscriptions": count,
        "bytes_per_subscription": (shared / count).round(),
        "bytes_per_topic_and_subscription": (own / count).round(),
        "unread": silent.len(),
        "unread_size": options.size,
        "unread_bytes": peak.saturating_sub(idle),
    }))
}

/// What the server takes for subscriptions beyond its connections, in bytes.
fn subscribed(
    target: &Target,
    options: &Options,
    first: impl Fn(usize) -> usize,
) -> Result<(f64, Vec<Client>)> {
    let mut clients: Vec<_> = (0..options.connections)
        .map(|index| Client::open(target, index))
        .collect::<Result<_>>()?;
    let mut say = |text: &dyn Fn(usize) -> String| -> Result<()> {
        for (index, client) in clients.iter_mut().enumerate() {
            client.send_text(&text(index))?;
            let answer = client.receive()?;
            ensure!(
                matches!(&answer, Received::Text(text) if text == "done"),
                "{answer:?}"
            );
        }
        Ok(())
    };
    say(&|_| "0 0".to_owned())?;
    thread::sleep(SETTLE);
    let before = private_memory(options.pid)?;
    say(&|index| format!("{} {}", first(index), options.each))?;
    thread::sleep(SETTLE);
    let after = private_memory(options.pid)?;
    Ok((after as f64 - before as f64, clients))
}
