//! New connections a second: TCP connect, opening handshake, closing handshake, closed; a fixed
//! number at a time.

use std::io::{Error, ErrorKind, Read, Write};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Args;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use serde_json::{Value, json};

use crate::client::socket_from;
use crate::measure::{CpuTimes, Histogram};
use crate::target::Target;
use crate::wire::{self, Decoder};

#[derive(Args)]
pub struct Options {
    #[arg(long)]
    url: Target,
    /// Connections at a time
    #[arg(long, default_value_t = 64)]
    concurrency: usize,
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    #[arg(long, default_value_t = 1.0)]
    warmup: f64,
    /// The server's process, to report its processor time
    #[arg(long)]
    pid: Option<u32>,
}

/// Ports in TIME_WAIT block their source address for a minute; this many addresses outlast any run.
const SOURCES: usize = 64;

pub fn run(options: &Options) -> Result<Value> {
    let mut runner = Runner::new(&options.url)?;
    for slot in 0..options.concurrency {
        let visit = runner.begin(slot)?;
        runner.visits.push(visit);
    }
    runner.drive(Duration::from_secs_f64(options.warmup))?;
    let cpu = CpuTimes::now(options.pid)?;
    let (opened, elapsed) = runner.drive(Duration::from_secs_f64(options.seconds))?;
    let used = CpuTimes::now(options.pid)?.since(cpu, elapsed);
    Ok(json!({
        "scenario": "connect",
        "concurrency": options.concurrency,
        "per_second": (opened.total() as f64 / elapsed.as_secs_f64()).round(),
        "handshake_us": opened.percentiles(),
        "client_cpu": used.client_share(),
        "server_cpu": used.server_share(),
        "server_us_per_connection": used.server_us_per(opened.total()),
    }))
}

struct Runner<'a> {
    poll: Poll,
    target: &'a Target,
    request: Vec<u8>,
    goodbye: Vec<u8>,
    visits: Vec<Visit>,
    started: usize,
}

/// One connection's life. `Leaving` ends with the server's Close, or with the end of a server that
/// sends none.
struct Visit {
    stream: TcpStream,
    begin: Instant,
    stage: Stage,
}

enum Stage {
    Connecting,
    Upgrading(Vec<u8>),
    Leaving(Decoder),
}

enum Progress {
    Waiting,
    Opened(Duration),
    Over,
}

impl<'a> Runner<'a> {
    fn new(target: &'a Target) -> Result<Runner<'a>> {
        let mut goodbye = Vec::new();
        wire::push_frame(&mut goodbye, wire::CLOSE, &1000u16.to_be_bytes());
        Ok(Runner {
            poll: Poll::new()?,
            target,
            request: target.request(),
            goodbye,
            visits: Vec::new(),
            started: 0,
        })
    }

    /// Turns the loop for `span`; returns the handshakes completed in it and the time it really
    /// took.
    fn drive(&mut self, span: Duration) -> Result<(Histogram, Duration)> {
        let mut opened = Histogram::new();
        let mut events = Events::with_capacity(1024);
        let mut buffer = vec![0; 16 * 1024];
        let begin = Instant::now();
        let mut last = begin;
        while begin.elapsed() < span {
            match self
                .poll
                .poll(&mut events, Some(Duration::from_millis(100)))
            {
                Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error.into()),
                _ => {}
            }
            for event in &events {
                let slot = event.token().0;
                loop {
                    match self.visits[slot].advance(&self.request, &self.goodbye, &mut buffer)? {
                        Progress::Waiting => break,
                        Progress::Opened(duration) => opened.record(duration),
                        Progress::Over => {
                            last = Instant::now();
                            self.visits[slot] = self.begin(slot)?;
                            break;
                        }
                    }
                }
            }
            ensure!(
                last.elapsed() < Duration::from_secs(10),
                "no connection has come and gone for 10 s"
            );
        }
        Ok((opened, begin.elapsed()))
    }

    fn begin(&mut self, slot: usize) -> Result<Visit> {
        let begin = Instant::now();
        self.started += 1;
        let socket = socket_from(self.target, 1 + (self.started % SOURCES) as u8)?;
        socket.set_nonblocking(true)?;
        match socket.connect(&self.target.address.into()) {
            Err(error) if error.raw_os_error() != Some(EINPROGRESS) => {
                return Err(error).context("cannot connect");
            }
            _ => {}
        }
        let mut stream = TcpStream::from_std(socket.into());
        self.poll.registry().register(
            &mut stream,
            Token(slot),
            Interest::READABLE | Interest::WRITABLE,
        )?;
        let mut visit = Visit {
            stream,
            begin,
            stage: Stage::Connecting,
        };
        // On loopback the connection stands by now, so this saves a round through epoll.
        visit.ask(&self.request)?;
        Ok(visit)
    }
}

/// `ErrorKind::InProgress` is not stable yet; the number is the same on every Linux but MIPS and
/// SPARC.
const EINPROGRESS: i32 = 115;

impl Visit {
    /// One step: a write that was due, or a read.
    fn advance(&mut self, request: &[u8], goodbye: &[u8], buffer: &mut [u8]) -> Result<Progress> {
        if matches!(self.stage, Stage::Connecting) {
            self.ask(request)?;
            return Ok(Progress::Waiting);
        }
        let bytes = match self.stream.read(buffer) {
            Ok(count) => &buffer[..count],
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Progress::Waiting),
            Err(error) if self.is_leaving() && ended(&error) => return Ok(Progress::Over),
            Err(error) => return Err(error).context("during the opening handshake"),
        };
        match &mut self.stage {
            Stage::Connecting => {}
            Stage::Upgrading(head) => {
                ensure!(
                    !bytes.is_empty(),
                    "the server ended the connection during the handshake"
                );
                head.extend(bytes);
                if wire::accepted_head(head)?.is_some() {
                    self.stream.write_all(goodbye)?;
                    self.stage = Stage::Leaving(Decoder::default());
                    return Ok(Progress::Opened(self.begin.elapsed()));
                }
            }
            Stage::Leaving(decoder) => {
                let mut over = bytes.is_empty();
                decoder.feed(bytes, |frame| over |= frame.opcode == wire::CLOSE)?;
                if over {
                    return Ok(Progress::Over);
                }
            }
        }
        Ok(Progress::Waiting)
    }

    fn ask(&mut self, request: &[u8]) -> Result<()> {
        match self.stream.write_all(request) {
            Ok(()) => self.stage = Stage::Upgrading(Vec::new()),
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::WouldBlock | ErrorKind::NotConnected
                ) => {}
            Err(error) => return Err(error).context("cannot connect"),
        }
        Ok(())
    }

    fn is_leaving(&self) -> bool {
        matches!(self.stage, Stage::Leaving(_))
    }
}

fn ended(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe
    )
}
