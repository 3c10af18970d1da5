//! What is measured besides counts: round trips in a histogram, processor time and memory of a
//! process from `/proc`.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};

/// Durations in buckets of at most 1/64 width, as HdrHistogram does: recording costs one increment.
pub struct Histogram {
    counts: Vec<u64>,
    total: u64,
    max: u64,
}

impl Histogram {
    pub fn new() -> Histogram {
        Histogram {
            counts: vec![0; 59 * 64],
            total: 0,
            max: 0,
        }
    }

    pub fn record(&mut self, duration: Duration) {
        let nanos = duration.as_nanos() as u64;
        let shift = (63 - (nanos | 1).leading_zeros()).saturating_sub(6);
        self.counts[((shift as usize) << 6) + (nanos >> shift) as usize] += 1;
        self.total += 1;
        self.max = self.max.max(nanos);
    }

    pub fn total(&self) -> u64 {
        self.total
    }

    /// Percentiles in microseconds.
    pub fn percentiles(&self) -> Value {
        json!({
            "p50": self.quantile(0.5),
            "p90": self.quantile(0.9),
            "p99": self.quantile(0.99),
            "p999": self.quantile(0.999),
            "max": micros(self.max),
        })
    }

    /// One of them.
    pub fn quantile(&self, quantile: f64) -> f64 {
        let rank = (self.total as f64 * quantile).ceil() as u64;
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank.max(1) {
                let shift = (index >> 6).saturating_sub(1);
                let upper = ((index - (shift << 6) + 1) << shift) as u64 - 1;
                return micros(upper.min(self.max));
            }
        }
        0.0
    }
}

fn micros(nanos: u64) -> f64 {
    (nanos as f64 / 100.0).round() / 10.0
}

impl Default for Histogram {
    fn default() -> Self {
        Self::new()
    }
}

/// Minimum, median and maximum of a few repetitions, in the unit they came in.
pub fn spread(samples: &mut [f64]) -> Value {
    samples.sort_by(f64::total_cmp);
    let Some(last) = samples.last() else {
        return Value::Null;
    };
    json!({
        "min": hundredths(samples[0]),
        "median": hundredths((samples[(samples.len() - 1) / 2] + samples[samples.len() / 2]) / 2.0),
        "max": hundredths(*last),
        "repetitions": samples.len(),
    })
}

/// Processor time so far of this process and of the server, if its pid is known.
#[derive(Clone, Copy)]
pub struct CpuTimes {
    client: f64,
    server: Option<f64>,
}

impl CpuTimes {
    pub fn now(server: Option<u32>) -> Result<CpuTimes> {
        Ok(CpuTimes {
            client: cpu_seconds(std::process::id())?,
            server: server.map(cpu_seconds).transpose()?,
        })
    }

    /// What was used since `earlier`, which lies `elapsed` back.
    pub fn since(self, earlier: CpuTimes, elapsed: Duration) -> CpuUse {
        let elapsed = elapsed.as_secs_f64();
        CpuUse {
            client_share: (self.client - earlier.client) / elapsed,
            server_share: self
                .server
                .zip(earlier.server)
                .map(|(now, then)| (now - then) / elapsed),
            elapsed,
        }
    }
}

/// Shares of one core. They tell whose limit a throughput is: the server's only where the server is
/// near 1.
pub struct CpuUse {
    client_share: f64,
    server_share: Option<f64>,
    elapsed: f64,
}

impl CpuUse {
    pub fn client_share(&self) -> f64 {
        hundredths(self.client_share)
    }

    pub fn server_share(&self) -> Option<f64> {
        self.server_share.map(hundredths)
    }

    /// The server's time for each of `count` things, in microseconds: comparable even where the
    /// client is the limit.
    pub fn server_us_per(&self, count: u64) -> Option<f64> {
        let each = |share: f64| (share * self.elapsed * 1e9 / count.max(1) as f64).round() / 1e3;
        self.server_share.map(each)
    }
}

fn hundredths(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

/// User and system time of a process with its descendants: websocketd does its work in one child a
/// connection.
fn cpu_seconds(pid: u32) -> Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))
        .with_context(|| format!("no process {pid}"))?;
    // The command name in parentheses may hold spaces; utime, stime, cutime and cstime are fields
    // 14 to 17.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    let ticks: u64 = fields
        .split_whitespace()
        .skip(11)
        .take(4)
        .filter_map(|field| field.parse::<u64>().ok())
        .sum();
    let mut seconds = ticks as f64 / 100.0; // USER_HZ is 100 on every Linux.
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        // A thread or child that has just ended is no error.
        let children = fs::read_to_string(task?.path().join("children")).unwrap_or_default();
        seconds += children
            .split_whitespace()
            .filter_map(|pid| cpu_seconds(pid.parse().ok()?).ok())
            .sum::<f64>();
    }
    Ok(seconds)
}

/// Resident memory that a process shares with no other, in bytes. Page cache of its binary stays
/// out this way.
pub fn private_memory(pid: u32) -> Result<u64> {
    let path = format!("/proc/{pid}/smaps_rollup");
    let rollup = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    let kib: u64 = rollup
        .lines()
        .filter(|line| line.starts_with("Private_"))
        .filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok())
        .sum();
    Ok(kib * 1024)
}

/// Resident memory of a process, in bytes.
pub fn resident_memory(pid: u32) -> Result<u64> {
    status(pid, "VmRSS:")
}

/// What the kernel keeps to map a process's memory, in bytes.
pub fn page_tables(pid: u32) -> Result<u64> {
    status(pid, "VmPTE:")
}

/// The most that it ever was, or since `reset_peak_memory`.
pub fn peak_memory(pid: u32) -> Result<u64> {
    status(pid, "VmHWM:")
}

/// Forgets the peak so far.
pub fn reset_peak_memory(pid: u32) -> Result<()> {
    // 5 does only this; proc_pid_clear_refs(5).
    let path = format!("/proc/{pid}/clear_refs");
    fs::write(&path, "5").with_context(|| format!("cannot write {path}"))
}

fn status(pid: u32, name: &str) -> Result<u64> {
    let path = format!("/proc/{pid}/status");
    let status = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    let kib = status
        .lines()
        .find_map(|line| line.strip_prefix(name)?.split_whitespace().next())
        .with_context(|| format!("no {name} in {path}: the process has ended"))?;
    Ok(kib.parse::<u64>()? * 1024)
}
