//! Time from starting the server's process to its ready line, with a folder of many handlers.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde_json::{Value, json};

use crate::measure::spread;

#[derive(Args)]
pub struct Options {
    /// The server's binary
    #[arg(long)]
    server: PathBuf,
    #[arg(long, default_value_t = 1000)]
    handlers: usize,
    #[arg(long, default_value_t = 10)]
    repetitions: usize,
    /// Run the server on this core only
    #[arg(long)]
    server_core: Option<u32>,
}

pub fn run(options: &Options) -> Result<Value> {
    let folder = tempfile::tempdir()?;
    write_handlers(folder.path(), options.handlers)?;
    // Once uncounted, to have the binary and the folder in the page cache.
    start(options, folder.path())?;
    let mut samples = Vec::new();
    for _ in 0..options.repetitions {
        samples.push(start(options, folder.path())?.as_secs_f64() * 1000.0);
    }
    Ok(json!({
        "scenario": "startup",
        "handlers": options.handlers,
        "server_core": options.server_core,
        "ready_ms": spread(&mut samples),
    }))
}

/// Starts the server, waits for the ready line, and ends the server again.
fn start(options: &Options, folder: &Path) -> Result<Duration> {
    let mut command = match options.server_core {
        Some(core) => {
            let mut command = Command::new("taskset");
            command.arg("-c").arg(core.to_string()).arg(&options.server);
            command
        }
        None => Command::new(&options.server),
    };
    command
        .args(["-p", "0", "--workers", "1", "-w"])
        .arg(folder);
    let begin = Instant::now();
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .with_context(|| format!("cannot start {}", options.server.display()))?;
    let mut line = String::new();
    let read = match child.stdout.take() {
        Some(stdout) => BufReader::new(stdout).read_line(&mut line),
        None => Ok(0),
    };
    let elapsed = begin.elapsed();
    child.kill()?;
    child.wait()?;
    read?;
    ensure!(
        line.starts_with("ready:"),
        "the server's first line is {line:?}"
    );
    ensure!(
        line.contains(&format!("({} handlers", options.handlers)),
        "not all handlers are served: {line}"
    );
    Ok(elapsed)
}

/// Handlers of ordinary size, a hundred a subfolder, no two alike.
fn write_handlers(folder: &Path, count: usize) -> Result<()> {
    for index in 0..count {
        let group = folder.join(format!("group{:02}", index / 100));
        fs::create_dir_all(&group)?;
        fs::write(
            group.join(format!("handler{index:04}_wsh.rhai")),
            source(index),
        )?;
    }
    Ok(())
}

fn source(index: usize) -> String {
    format!(
        r#"// Handler {index}: counts its messages and answers each with the number so far.
const GREETING = "hello from {index}";

fn on_open(ws) {{
    this.count = 0;
    ws.send(global::GREETING);
}}

fn transfer_data(ws, message) {{
    this.count += 1;
    if message == "bye" {{
        ws.close(1000, "bye");
        return;
    }}
    ws.send(`${{this.count}}: ${{message}}`);
}}

fn on_close(ws, code, reason, was_clean) {{
    print(`handler {index}: ${{this.count}} messages, closed with ${{code}}`);
}}
"#
    )
}
