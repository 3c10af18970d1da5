//! One publication to many subscribers, closed loop: a publisher keeps a fixed number of
//! publications under way, and the delivery to the last subscriber releases the next. Beside them
//! one connection on a thread of its own times echoes, and says what the deliveries cost others.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use clap::Args;
use serde_json::{Value, json};

use crate::client::{Client, Received};
use crate::deflate;
use crate::fleet::Fleet;
use crate::measure::{CpuTimes, Histogram};
use crate::records;
use crate::target::{Reach, Target};
use crate::wire;

#[derive(Args)]
pub struct Options {
    #[command(flatten)]
    reach: Reach,
    /// Path whose connections subscribe
    #[arg(long, default_value = "/fan")]
    subscribe_path: String,
    /// Path on which a message is published to them
    #[arg(long, default_value = "/say")]
    publish_path: String,
    #[arg(long, default_value_t = 1000)]
    subscribers: usize,
    /// Payload of a publication, in bytes
    #[arg(long, default_value_t = 64)]
    size: usize,
    /// Publications under way at once
    #[arg(long, default_value_t = 4)]
    in_flight: usize,
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    #[arg(long, default_value_t = 1.0)]
    warmup: f64,
    /// Echoes a second beside it
    #[arg(long, default_value_t = 100)]
    echo_rate: u32,
    /// The server's process, to report its processor time
    #[arg(long)]
    pid: Option<u32>,
}

/// How long the last subscriber may wait for a publication.
const PATIENCE: Duration = Duration::from_secs(30);

pub fn run(options: &Options) -> Result<Value> {
    ensure!(
        options.subscribers > 0 && options.in_flight > 0 && options.size > 0,
        "nothing to publish"
    );
    let target = options.reach.target()?;
    let mut crowd = Crowd::gather(&target, options)?;
    crowd.drive(Duration::from_secs_f64(options.warmup))?;

    let stop = AtomicBool::new(false);
    let (tally, elapsed, used, echoes) = thread::scope(|scope| -> Result<_> {
        let probe = scope.spawn(|| echo(&target, options.echo_rate, &stop));
        let cpu = CpuTimes::now(options.pid)?;
        let driven = crowd.drive(Duration::from_secs_f64(options.seconds));
        stop.store(true, Ordering::Relaxed);
        let (tally, elapsed) = driven?;
        let used = CpuTimes::now(options.pid)?.since(cpu, elapsed);
        let echoes = probe.join().map_err(|_| anyhow!("the echo panicked"))??;
        Ok((tally, elapsed, used, echoes))
    })?;
    Ok(json!({
        "scenario": "fanout",
        "subscribers": options.subscribers,
        "size": options.size,
        "in_flight": options.in_flight,
        "publications": tally.delays.total(),
        "delivered_bytes": (tally.payload as f64 / tally.deliveries.max(1) as f64).round(),
        "per_second": (tally.deliveries as f64 / elapsed.as_secs_f64()).round(),
        "last_delay_us": tally.delays.percentiles(),
        "echo_us": echoes.percentiles(),
        "client_cpu": used.client_share(),
        "server_cpu": used.server_share(),
        "server_us_per_delivery": used.server_us_per(tally.deliveries),
    }))
}

/// Subscribers, and behind them whoever publishes.
struct Crowd {
    fleet: Fleet,
    subscribers: usize,
    in_flight: usize,
    frame: Vec<u8>,
    /// Publications that each subscriber has got.
    got: Vec<u64>,
    /// The first one that somebody has not got,
    first: u64,
    /// and from it on: when each left, and how many have got it.
    under_way: VecDeque<(Instant, usize)>,
}

#[derive(Default)]
struct Tally {
    delays: Histogram,
    deliveries: u64,
    payload: u64,
}

impl Crowd {
    fn gather(target: &Target, options: &Options) -> Result<Crowd> {
        let mut fleet = Fleet::open(
            &target.with_path(&options.subscribe_path),
            options.subscribers,
        )?;
        let (frame, agreement) = match fleet.agreement() {
            Some(agreement) => {
                let text = records::text(0, options.size);
                let payload = deflate::compress(text.as_bytes(), agreement.client_bits)?;
                let mut frame = Vec::new();
                wire::push_frame(&mut frame, wire::TEXT | wire::RSV1, &payload);
                (frame, Some(agreement))
            }
            None => {
                let mut frame = Vec::new();
                wire::push_frame(&mut frame, wire::TEXT, &vec![b'x'; options.size]);
                (frame, None)
            }
        };
        fleet.join(&target.with_path(&options.publish_path))?;
        ensure!(
            fleet.agreement() == agreement,
            "the server agrees to other terms with each client"
        );
        Ok(Crowd {
            got: vec![0; fleet.len()],
            fleet,
            subscribers: options.subscribers,
            in_flight: options.in_flight,
            frame,
            first: 0,
            under_way: VecDeque::new(),
        })
    }

    /// Publishes for so long, and then waits until everybody has got everything.
    fn drive(&mut self, span: Duration) -> Result<(Tally, Duration)> {
        let mut tally = Tally::default();
        let begin = Instant::now();
        loop {
            let is_over = begin.elapsed() >= span;
            while !is_over && self.under_way.len() < self.in_flight {
                self.under_way.push_back((Instant::now(), 0));
                self.fleet.write(self.subscribers, &self.frame)?;
            }
            let Some((oldest, count)) = self.under_way.front() else {
                return Ok((tally, begin.elapsed()));
            };
            ensure!(
                oldest.elapsed() < PATIENCE,
                "{count} of {} have got a publication after {PATIENCE:?}",
                self.subscribers
            );
            let Crowd {
                fleet,
                subscribers,
                got,
                first,
                under_way,
                ..
            } = self;
            let mut stray = None;
            fleet.turn(Duration::from_millis(100), |index, frame| {
                let place = got[index] - *first;
                got[index] += 1;
                let Some((left, count)) = under_way.get_mut(place as usize) else {
                    stray = Some(index);
                    return;
                };
                *count += 1;
                tally.deliveries += 1;
                tally.payload += frame.length as u64;
                if *count == *subscribers {
                    tally.delays.record(left.elapsed());
                }
            })?;
            ensure!(
                stray.is_none(),
                "connection {stray:?} got what nobody has published"
            );
            while under_way
                .front()
                .is_some_and(|(_, count)| count == subscribers)
            {
                under_way.pop_front();
                *first += 1;
            }
        }
    }
}

/// Times echoes at this rate until it is told to stop.
fn echo(target: &Target, rate: u32, stop: &AtomicBool) -> Result<Histogram> {
    // Its messages are plain, whatever the others have agreed on.
    let mut client = Client::open(&target.without_deflate(), 0)?;
    let mut times = Histogram::new();
    let mut due = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let begin = Instant::now();
        client.send_text("hello")?;
        match client.receive()? {
            Received::Text(_) => times.record(begin.elapsed()),
            other => return Err(anyhow!("{other:?}")).context("instead of an echo"),
        }
        // One that took longer than its turn is not made up for.
        due = Instant::now().max(due + Duration::from_secs(1) / rate);
    }
    Ok(times)
}
