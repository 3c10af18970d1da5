//! Closed-loop echo: every connection keeps a fixed number of messages in flight, and a reply
//! releases the next. Each reply is checked, as far as [`Messages`] tells; of compressed ones a
//! sample is inflated.

use std::io::{ErrorKind, Read, Write};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use serde_json::{Value, json};

use crate::client::Client;
use crate::deflate::Sample;
use crate::measure::{CpuTimes, Histogram};
use crate::messages::Messages;
use crate::stream::Stream;
use crate::target::Reach;
use crate::wire::{self, Decoder};

#[derive(Args)]
pub struct Options {
    #[command(flatten)]
    reach: Reach,
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
    /// Binary messages instead of text; not with --deflate
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
    let target = options.reach.target()?;
    let mut poll = Poll::new()?;
    let mut speakers = Vec::with_capacity(options.connections);
    let mut agreement = None;
    for index in 0..options.connections {
        let client = Client::open(&target, index)?;
        ensure!(
            index == 0 || client.agreement == agreement,
            "the server agrees to other terms with each client"
        );
        agreement = client.agreement;
        let sample = agreement.and_then(|agreement| Sample::of(agreement, index));
        let (mut stream, decoder) = client.into_parts(|_| {})?;
        poll.registry().register(
            &mut stream.socket,
            Token(index),
            Interest::READABLE | Interest::WRITABLE,
        )?;
        speakers.push(Speaker::new(stream, decoder, sample, options.in_flight));
    }
    let messages = match agreement {
        Some(agreement) => Messages::compressed(options.size, options.in_flight, agreement)?,
        None => Messages::marked(options.binary, options.size, options.in_flight),
    };
    for speaker in &mut speakers {
        speaker.release(options.in_flight, Instant::now(), &messages)?;
    }

    let mut events = Events::with_capacity(1024);
    // Small enough to stay in the second-level cache, large enough for a 64 KiB reply in one read.
    let mut buffer = vec![0; 128 * 1024];
    drive(
        &mut poll,
        &mut events,
        &mut speakers,
        &mut buffer,
        &messages,
        Duration::from_secs_f64(options.warmup),
    )?;
    let cpu = CpuTimes::now(options.pid)?;
    let span = Duration::from_secs_f64(options.seconds);
    let (tally, elapsed) = drive(
        &mut poll,
        &mut events,
        &mut speakers,
        &mut buffer,
        &messages,
        span,
    )?;
    let used = CpuTimes::now(options.pid)?.since(cpu, elapsed);

    let count = tally.round_trips.total();
    let samples = speakers
        .iter()
        .filter_map(|speaker| speaker.sample.as_ref());
    let inflated: u64 = samples.map(|sample| sample.checked).sum();
    Ok(json!({
        "scenario": "echo",
        "connections": options.connections,
        "size": options.size,
        "in_flight": options.in_flight,
        "messages": count,
        "sent_bytes": messages.mean_payload,
        "reply_bytes": (tally.payload as f64 / count.max(1) as f64).round(),
        "inflated": inflated,
        "per_second": (count as f64 / elapsed.as_secs_f64()).round(),
        "round_trip_us": tally.round_trips.percentiles(),
        "client_cpu": used.client_share(),
        "server_cpu": used.server_share(),
        "server_us_per_message": used.server_us_per(count),
    }))
}

/// Turns the loop for `span`; returns the round trips that ended in it and the time it really took.
fn drive(
    poll: &mut Poll,
    events: &mut Events,
    speakers: &mut [Speaker],
    buffer: &mut [u8],
    messages: &Messages,
    span: Duration,
) -> Result<(Tally, Duration)> {
    let mut tally = Tally {
        round_trips: Histogram::new(),
        payload: 0,
    };
    let begin = Instant::now();
    let mut last_reply = begin;
    while begin.elapsed() < span {
        match poll.poll(events, Some(Duration::from_millis(100))) {
            Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error.into()),
            _ => {}
        }
        for event in &*events {
            let speaker = &mut speakers[event.token().0];
            if event.is_writable() && speaker.wants_to_write() {
                speaker.write(messages)?;
            }
            if event.is_readable() || event.is_read_closed() {
                last_reply =
                    speaker.converse(buffer, messages, &mut tally, event.is_read_closed())?;
            }
        }
        ensure!(
            last_reply.elapsed() < Duration::from_secs(10),
            "the server has not answered for 10 s"
        );
    }
    Ok((tally, begin.elapsed()))
}

/// What has come back.
struct Tally {
    round_trips: Histogram,
    /// Bytes of all payloads, as they came.
    payload: u64,
}

struct Speaker {
    stream: Stream<TcpStream>,
    decoder: Decoder,
    sample: Option<Sample>,
    /// The number of the frame to write next, and how much of it is already written.
    next: usize,
    offset: usize,
    /// Frames released and not completely written.
    unsent: usize,
    /// The number of the message that the next reply must repeat.
    expected: usize,
    /// When each message in flight was released: a ring over the last `in_flight` messages.
    released: Box<[Instant]>,
    newest: usize,
    oldest: usize,
}

impl Speaker {
    fn new(
        stream: Stream<TcpStream>,
        decoder: Decoder,
        sample: Option<Sample>,
        in_flight: usize,
    ) -> Speaker {
        let released = vec![Instant::now(); in_flight].into_boxed_slice();
        Speaker {
            stream,
            decoder,
            sample,
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
        messages: &Messages,
        tally: &mut Tally,
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
            let answered = self.check(&buffer[..count], messages, now, tally)?;
            self.release(answered, now, messages)?;
            if self.stream.is_drained() && !to_the_end {
                return Ok(now);
            }
        }
    }

    /// Counts the replies in `bytes`.
    fn check(
        &mut self,
        bytes: &[u8],
        messages: &Messages,
        now: Instant,
        tally: &mut Tally,
    ) -> Result<usize> {
        let Speaker {
            decoder,
            sample,
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
                wire::push_frame(&mut pongs, wire::PONG, frame.payload);
                return;
            }
            let checked = messages.check(*expected, &frame).and_then(|()| {
                let sample = sample.as_mut();
                sample.map_or(Ok(()), |sample| {
                    sample.check(frame.payload, messages.text(*expected))
                })
            });
            if let Err(error) = checked {
                wrong.get_or_insert(error);
            }
            tally.round_trips.record(now - released[*oldest]);
            tally.payload += frame.length as u64;
            advance(oldest, released.len());
            advance(expected, messages.len());
            answered += 1;
        })?;
        if let Some(wrong) = wrong {
            return Err(wrong);
        }
        ensure!(answered <= released.len(), "more replies than messages");
        if !pongs.is_empty() {
            // Between two frames only: a ping's answer must not cut a message in two.
            ensure!(self.offset == 0, "a ping while a message is half written");
            stream.write_all(&pongs).context("cannot answer a ping")?;
        }
        Ok(answered)
    }

    fn release(&mut self, count: usize, now: Instant, messages: &Messages) -> Result<()> {
        for _ in 0..count {
            self.released[self.newest] = now;
            advance(&mut self.newest, self.released.len());
        }
        self.unsent += count;
        self.write(messages)
    }

    fn wants_to_write(&self) -> bool {
        self.unsent > 0 || self.stream.has_backlog()
    }

    fn write(&mut self, messages: &Messages) -> Result<()> {
        while self.wants_to_write() {
            let batch = &messages.frames(self.next, self.unsent)[self.offset..];
            let written = match batch {
                [] => self.stream.flush().map(|()| 0),
                batch => self.stream.write(batch),
            };
            match written {
                Ok(count) => self.offset += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            }
            while self.unsent > 0 && self.offset >= messages.frames(self.next, 1).len() {
                self.offset -= messages.frames(self.next, 1).len();
                self.unsent -= 1;
                advance(&mut self.next, messages.len());
            }
        }
        Ok(())
    }
}

fn advance(index: &mut usize, length: usize) {
    *index = if *index + 1 == length { 0 } else { *index + 1 };
}
