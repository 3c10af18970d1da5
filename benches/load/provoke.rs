//! Clients of hostile scripts: each opens one handler after the other, provokes it, and waits for
//! what becomes of that.
//!
//! A process of its own, so that it can be made to give way to the one that measures.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, ensure};
use clap::Args;
use serde_json::{Value, json};

use crate::client::socket_from;
use crate::scripts::{self, Ends, Script};
use crate::target::Target;
use crate::wire::{self, Decoder};

#[derive(Args)]
pub struct Options {
    /// Any path of the server, with a numeric address
    #[arg(long)]
    url: Target,
    /// Clients at a time
    #[arg(long, default_value_t = 8)]
    clients: usize,
    /// Seconds after which no more scripts are begun
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
    /// One script, again and again, instead of all of them
    #[arg(long)]
    only: Option<String>,
}

/// How long a client stays with a script that waits for ever.
const STAY: Duration = Duration::from_millis(500);
/// How long it stays with one that comes to an end.
const BUDGETS: Duration = Duration::from_secs(60);

pub fn run(options: &Options) -> Result<Value> {
    let mut scripts = scripts::all();
    if let Some(only) = &options.only {
        scripts.retain(|script| script.name == *only);
        ensure!(!scripts.is_empty(), "there is no script {only}");
    }
    let next = AtomicUsize::new(0);
    let until = Instant::now() + Duration::from_secs_f64(options.seconds);
    let endings = thread::scope(|scope| {
        let clients: Vec<_> = (0..options.clients)
            .map(|_| {
                scope.spawn(|| {
                    let mut endings = Vec::new();
                    while Instant::now() < until {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        let script = &scripts[number % scripts.len()];
                        endings.push(visit(&options.url, script, number)?);
                    }
                    Ok(endings)
                })
            })
            .collect();
        let joined = clients
            .into_iter()
            .map(|client| client.join().map_err(|_| anyhow!("a client panicked"))?);
        joined.collect::<Result<Vec<Vec<_>>>>()
    })?;
    let mut counts = BTreeMap::<String, u64>::new();
    for ending in endings.into_iter().flatten() {
        *counts.entry(ending).or_default() += 1;
    }
    Ok(json!({
        "scenario": "provoke",
        "scripts": scripts.len(),
        "visits": counts.values().sum::<u64>(),
        "endings": counts,
    }))
}

/// Opens a handler, pings it, pongs it, says `go`; how that ended.
fn visit(target: &Target, script: &Script, number: usize) -> Result<String> {
    let target = target.with_path(&format!("/{}", script.name));
    let waits = matches!(script.ends, Ends::Never | Ends::Deaf);
    let until = Instant::now() + if waits { STAY } else { BUDGETS };
    let socket = socket_from(&target, (number % 8) as u8)?;
    socket.connect(&target.address.into())?;
    let mut stream: TcpStream = socket.into();
    let mut go = target.request();
    wire::push_frame(&mut go, wire::PING, b"p");
    wire::push_frame(&mut go, wire::PONG, b"q");
    wire::push_frame(&mut go, wire::TEXT, b"go");
    stream.write_all(&go)?;
    if script.ends == Ends::Deaf {
        thread::sleep(STAY);
        return Ok("left".into());
    }
    let ended = follow(&mut stream, script.ends, until);
    Ok(ended.unwrap_or_else(|| if waits { "left" } else { "hung" }.into()))
}

/// Takes what comes until the end; `None` if there is none in time.
fn follow(stream: &mut TcpStream, ends: Ends, until: Instant) -> Option<String> {
    let mut buffer = vec![0; 64 * 1024];
    let mut head = Vec::new();
    let mut decoder = None::<Decoder>;
    let mut replies = 0;
    loop {
        let left = until.checked_duration_since(Instant::now())?;
        stream.set_read_timeout(Some(left)).ok()?;
        let count = match stream.read(&mut buffer) {
            Ok(0) => return Some("lost".into()),
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return None,
            Err(_) => return Some("lost".into()),
        };
        let mut bytes = &buffer[..count];
        if decoder.is_none() {
            head.extend_from_slice(bytes);
            match wire::accepted_head(&head) {
                Ok(None) => continue,
                Ok(Some(length)) => bytes = &head[length..],
                Err(_) => return Some("refused".into()),
            }
        }
        let mut answers = Vec::new();
        let mut closed = None;
        let fed = decoder
            .get_or_insert_default()
            .feed(bytes, |frame| match frame.opcode {
                wire::PING => wire::push_frame(&mut answers, wire::PONG, frame.payload),
                wire::PONG => {}
                wire::CLOSE => closed = Some(frame.close_code()),
                _ => {
                    replies += 1;
                    let is_honest =
                        frame.payload == b"go" || matches!(ends, Ends::Reply | Ends::Somehow);
                    if matches!(ends, Ends::Within(most) if replies < most) {
                        wire::push_frame(&mut answers, wire::TEXT, b"go");
                    } else if is_honest && replies == 1 {
                        wire::push_frame(&mut answers, wire::CLOSE, &1000_u16.to_be_bytes());
                    }
                }
            });
        if let Some(code) = closed {
            return Some(code.to_string());
        }
        if fed.is_err() {
            return Some("no frame".into());
        }
        if stream.write_all(&answers).is_err() {
            return Some("lost".into());
        }
    }
}
