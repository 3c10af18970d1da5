//! Closed-loop echo: every connection keeps a fixed number of messages in flight, and a reply releases the next.
//! Each reply is checked: kind, length, and a mark in its first and last byte that names its place in the order.

use std::io::{ErrorKind, Read, Write};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use serde_json::{Value, json};

use crate::client::Client;
use crate::measure::{CpuTimes, Histogram};
use crate::wire::{self, Decoder, Frame, Target};

#[derive(Args)]
pub struct Options {
    /// The echo path, with a numeric address
    #[arg(long)]
    url: Target,
    #[arg(long, default_value_t = 100)]
    connections: usize,
    /// Payload of a message, in bytes
    #[arg(long, default_value_t = 64)]
    size: usize,
    /// Messages of one connection on their way at once
    #[arg(long, default_value_t = 1)]
    in_flight: usize,
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    #[arg(long, default_value_t = 1.0)]
    warmup: f64,
    /// Binary messages instead of text
    #[arg(long)]
    binary: bool,
    /// The server's process, to report its processor time
    #[arg(long)]
    pid: Option<u32>,
}

pub fn run(options: &Options) -> Result<Value> {
    ensure!(
        options.size > 0 && options.in_flight > 0 && options.connections > 0,
        "nothing to send"
    );
    let opcode = if options.binary {
        wire::BINARY
    } else {
        wire::TEXT
    };
    let script = Script::new(opcode, options.size, options.in_flight);
    let mut poll = Poll::new()?;
    let mut speakers = Vec::with_capacity(options.connections);
    for index in 0..options.connections {
        let mut stream = Client::open(&options.url, index)?.into_stream()?;
        poll.registry().register(
            &mut stream,
            Token(index),
            Interest::READABLE | Interest::WRITABLE,
        )?;
        speakers.push(Speaker::new(stream, options.in_flight));
    }
    for speaker in &mut speakers {
        speaker.release(options.in_flight, Instant::now(), &script)?;
    }

    let mut events = Events::with_capacity(1024);
    // Small enough to stay in the second-level cache, large enough for a 64 KiB reply in one read.
    let mut buffer = vec![0; 128 * 1024];
    drive(
        &mut poll,
        &mut events,
        &mut speakers,
        &mut buffer,
        &script,
        Duration::from_secs_f64(options.warmup),
    )?;
    let cpu = CpuTimes::now(options.pid)?;
    let span = Duration::from_secs_f64(options.seconds);
    let (round_trips, elapsed) = drive(
        &mut poll,
        &mut events,
        &mut speakers,
        &mut buffer,
        &script,
        span,
    )?;
    let used = CpuTimes::now(options.pid)?.since(cpu, elapsed);

    Ok(json!({
        "scenario": "echo",
        "connections": options.connections,
        "size": options.size,
        "in_flight": options.in_flight,
        "messages": round_trips.total(),
        "per_second": (round_trips.total() as f64 / elapsed.as_secs_f64()).round(),
        "round_trip_us": round_trips.percentiles(),
        "client_cpu": used.client_share(),
        "server_cpu": used.server_share(),
        "server_us_per_message": used.server_us_per(round_trips.total()),
    }))
}

/// Turns the loop for `span`; returns the round trips that ended in it and the time it really took.
fn drive(
    poll: &mut Poll,
    events: &mut Events,
    speakers: &mut [Speaker],
    buffer: &mut [u8],
    script: &Script,
    span: Duration,
) -> Result<(Histogram, Duration)> {
    let mut round_trips = Histogram::new();
    let begin = Instant::now();
    let mut last_reply = begin;
    while begin.elapsed() < span {
        match poll.poll(events, Some(Duration::from_millis(100))) {
            Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error.into()),
            _ => {}
        }
        for event in &*events {
            let speaker = &mut speakers[event.token().0];
            if speaker.unsent > 0 && event.is_writable() {
                speaker.write(script)?;
            }
            if event.is_readable() || event.is_read_closed() {
                last_reply =
                    speaker.converse(buffer, script, &mut round_trips, event.is_read_closed())?;
            }
        }
        ensure!(
            last_reply.elapsed() < Duration::from_secs(10),
            "the server has not answered for 10 s"
        );
    }
    Ok((round_trips, begin.elapsed()))
}

/// The frames of one round of marks, back to back, so that any batch is one slice of it.
struct Script {
    bytes: Vec<u8>,
    frame_length: usize,
    marks: usize,
    opcode: u8,
    size: usize,
}

impl Script {
    fn new(opcode: u8, size: usize, in_flight: usize) -> Script {
        // Four marks at least, so that a lost or doubled reply shows with one message in flight too.
        let marks = in_flight.max(4);
        let mut bytes = Vec::new();
        for index in 0..marks + in_flight - 1 {
            let mut payload = vec![b'x'; size];
            payload[0] = mark(index % marks);
            payload[size - 1] = mark(index % marks);
            wire::push_frame(&mut bytes, opcode, &payload);
        }
        let frame_length = bytes.len() / (marks + in_flight - 1);
        Script {
            bytes,
            frame_length,
            marks,
            opcode,
            size,
        }
    }
}

fn mark(index: usize) -> u8 {
    b'A' + (index % 26) as u8
}

struct Speaker {
    stream: TcpStream,
    decoder: Decoder,
    /// The mark of the frame to write next, and how much of it is already written.
    next: usize,
    offset: usize,
    /// Frames released and not completely written.
    unsent: usize,
    /// The mark that the next reply must bear.
    expected: usize,
    /// When each message in flight was released: a ring over the last `in_flight` messages.
    released: Box<[Instant]>,
    newest: usize,
    oldest: usize,
}

impl Speaker {
    fn new(stream: TcpStream, in_flight: usize) -> Speaker {
        let released = vec![Instant::now(); in_flight].into_boxed_slice();
        let decoder = Decoder::default();
        Speaker {
            stream,
            decoder,
            next: 0,
            offset: 0,
            unsent: 0,
            expected: 0,
            released,
            newest: 0,
            oldest: 0,
        }
    }

    /// Reads what has arrived, checks it, and releases as many messages as were answered.
    fn converse(
        &mut self,
        buffer: &mut [u8],
        script: &Script,
        round_trips: &mut Histogram,
        to_the_end: bool,
    ) -> Result<Instant> {
        let mut now = Instant::now();
        loop {
            let count = match self.stream.read(buffer) {
                Ok(0) => bail!("the server ended a connection"),
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(now),
                Err(error) => return Err(error.into()),
            };
            now = Instant::now();
            let answered = self.check(&buffer[..count], script, now, round_trips)?;
            self.release(answered, now, script)?;
            // A short read has emptied the socket; what comes later raises a new event.
            if count < buffer.len() && !to_the_end {
                return Ok(now);
            }
        }
    }

    /// Counts the replies in `bytes`.
    fn check(
        &mut self,
        bytes: &[u8],
        script: &Script,
        now: Instant,
        round_trips: &mut Histogram,
    ) -> Result<usize> {
        let Speaker {
            decoder,
            expected,
            released,
            oldest,
            stream,
            ..
        } = self;
        let mut answered = 0;
        let mut wrong = None;
        let mut pongs = Vec::new();
        decoder.feed(bytes, |frame| {
            if frame.opcode == wire::PING {
                wire::push_frame(&mut pongs, wire::PONG, frame.short);
                return;
            }
            let mark = mark(*expected);
            if frame.opcode != script.opcode
                || frame.length != script.size
                || frame.first != mark
                || frame.last != mark
            {
                wrong.get_or_insert_with(|| describe(&frame, mark));
            }
            round_trips.record(now - released[*oldest]);
            advance(oldest, released.len());
            advance(expected, script.marks);
            answered += 1;
        })?;
        if let Some(wrong) = wrong {
            bail!(wrong);
        }
        ensure!(answered <= released.len(), "more replies than messages");
        if !pongs.is_empty() {
            // Between two frames only: a ping's answer must not cut a message in two.
            ensure!(self.offset == 0, "a ping while a message is half written");
            stream.write_all(&pongs).context("cannot answer a ping")?;
        }
        Ok(answered)
    }

    fn release(&mut self, count: usize, now: Instant, script: &Script) -> Result<()> {
        for _ in 0..count {
            self.released[self.newest] = now;
            advance(&mut self.newest, self.released.len());
        }
        self.unsent += count;
        self.write(script)
    }

    fn write(&mut self, script: &Script) -> Result<()> {
        while self.unsent > 0 {
            let begin = self.next * script.frame_length;
            let batch =
                &script.bytes[begin + self.offset..begin + self.unsent * script.frame_length];
            let count = match self.stream.write(batch) {
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            let written = self.offset + count;
            let frames = written / script.frame_length;
            self.offset = written % script.frame_length;
            self.unsent -= frames;
            self.next = (self.next + frames) % script.marks;
        }
        Ok(())
    }
}

fn advance(index: &mut usize, length: usize) {
    *index = if *index + 1 == length { 0 } else { *index + 1 };
}

fn describe(frame: &Frame, mark: u8) -> String {
    let Frame {
        opcode,
        length,
        first,
        last,
        ..
    } = frame;
    if *opcode == wire::CLOSE {
        return format!("the server closed with {}", frame.close_code());
    }
    format!(
        "a wrong reply: opcode {opcode}, {length} bytes, from {first:#x} to {last:#x}, expected mark {mark:#x}"
    )
}
