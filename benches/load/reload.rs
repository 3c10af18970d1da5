//! Time from saving a handler to the first reply that comes from the new code, on a connection that
//! stays open while many others do too. Both ways editors save are measured: writing in place, and
//! a temporary file renamed over.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail, ensure};
use clap::Args;
use serde_json::{Value, json};

use crate::client::{Client, Received};
use crate::fleet::Fleet;
use crate::measure::spread;
use crate::target::Target;

#[derive(Args)]
pub struct Options {
    /// The path of the handler, with a numeric address
    #[arg(long)]
    url: Target,
    /// The folder in which this scenario overwrites `echo_wsh.rhai`
    #[arg(long)]
    handlers: PathBuf,
    /// Other connections that are open meanwhile
    #[arg(long, default_value_t = 0)]
    connections: usize,
    #[arg(long, default_value_t = 20)]
    repetitions: u32,
}

pub fn run(options: &Options) -> Result<Value> {
    let mut others = Fleet::open(&options.url, options.connections)?;
    let done = AtomicBool::new(false);
    let (in_place, renamed) = thread::scope(|scope| -> Result<_> {
        let keeper = scope.spawn(|| -> Result<()> {
            while !done.load(Ordering::Relaxed) {
                others.rest(Duration::from_millis(100))?;
            }
            Ok(())
        });
        let measured = measure(options);
        done.store(true, Ordering::Relaxed);
        keeper
            .join()
            .map_err(|_| anyhow!("the keeper panicked"))??;
        measured
    })?;
    Ok(json!({
        "scenario": "reload",
        "connections": options.connections,
        "in_place_ms": in_place,
        "renamed_ms": renamed,
    }))
}

fn measure(options: &Options) -> Result<(Value, Value)> {
    let mut probe = Probe {
        client: Client::open(&options.url, 0)?,
        version: 0,
    };
    probe.save_and_wait(&options.handlers, write_in_place)?;
    let mut in_place = probe.repeat(options, write_in_place)?;
    let mut renamed = probe.repeat(options, write_and_rename)?;
    Ok((spread(&mut in_place), spread(&mut renamed)))
}

type Save = fn(&Path, &str) -> std::io::Result<()>;

struct Probe {
    client: Client,
    version: u32,
}

impl Probe {
    fn repeat(&mut self, options: &Options, save: Save) -> Result<Vec<f64>> {
        let mut samples = Vec::new();
        for repetition in 0..options.repetitions {
            // Uneven pauses, so that no periodic work of the server is always met at the same
            // moment.
            thread::sleep(Duration::from_millis(
                300 + u64::from(repetition) * 37 % 200,
            ));
            samples.push(self.save_and_wait(&options.handlers, save)?.as_secs_f64() * 1000.0);
        }
        Ok(samples)
    }

    fn save_and_wait(&mut self, handlers: &Path, save: Save) -> Result<Duration> {
        self.version += 1;
        let expected = format!("version {}", self.version);
        let source =
            format!("fn transfer_data(ws, message) {{\n    ws.send(\"{expected}\");\n}}\n");
        let begin = Instant::now();
        save(&handlers.join("echo_wsh.rhai"), &source)?;
        loop {
            self.client.send_text("which version?")?;
            match self.client.receive()? {
                Received::Text(reply) if reply == expected => return Ok(begin.elapsed()),
                Received::Text(_) => {}
                ending => bail!("the probing connection was not kept: {ending:?}"),
            }
            ensure!(
                begin.elapsed() < Duration::from_secs(10),
                "no new code 10 s after the save"
            );
            // Rarely enough to leave the server its time, often enough for a fraction of a
            // millisecond.
            thread::sleep(Duration::from_micros(200));
        }
    }
}

fn write_in_place(path: &Path, source: &str) -> std::io::Result<()> {
    fs::write(path, source)
}

fn write_and_rename(path: &Path, source: &str) -> std::io::Result<()> {
    let temporary = path.with_file_name(".echo_wsh.rhai.saving");
    fs::write(&temporary, source)?;
    fs::rename(temporary, path)
}
