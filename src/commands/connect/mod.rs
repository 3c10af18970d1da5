//! `connect`: a WebSocket client for the terminal, and for pipes.
//!
//! `input` has the lines that are typed, in an `editor` on a `terminal`, or piped; `slash` what a
//! line that begins with `/` asks for, `screen` how messages look, `resume` where a lost
//! conversation goes on, `verdict` what the exit code says. Here is the conversation.

mod editor;
mod input;
mod resume;
mod screen;
mod slash;
mod terminal;
mod verdict;

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, bail};
use serde_json::json;
use tokio_rustls::rustls::ClientConfig;

use crate::client::{
    Address, Ask, Connection, Dialed, Ended, Incoming, NotOpened, Trust, Way, dial,
};
use crate::config::limits::RECORDINGS;
use crate::observe::event::By;
use crate::recording::{Beat, Ending, Head, Side, Writer};
use crate::websocket::{Close, Message};
use input::{Input, Inputs};
use resume::Positions;
use screen::Screen;
use slash::Command;
use verdict::Verdict;

/// Bytes that may wait for the peer before more is read from the keyboard or the pipe.
const UNSENT: usize = 1024 * 1024;
/// How long the peer may take to answer our Close.
const CLOSING: Duration = Duration::from_secs(5);
/// The first wait before a connection is opened again, and the longest.
const AGAIN: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));
/// A connection that has lasted so long was a good one: the next wait is short again.
const GOOD: Duration = Duration::from_secs(10);
/// A time that nobody waits for.
const NEVER: Duration = Duration::from_hours(24 * 365);

/// What `connect` is told.
#[derive(Debug)]
pub struct Connect {
    /// Where to.
    pub address: Address,
    /// What is asked for.
    pub ask: Ask,
    /// Whom it trusts.
    pub trust: Trust,
    /// The file to record to.
    pub record: Option<PathBuf>,
    /// Whether a lost connection is opened again.
    pub reconnect: bool,
    /// Messages that are sent first, each time that it is opened.
    pub first: Vec<String>,
    /// How long to listen on when a pipe has ended and nothing comes; `None`: until the peer
    /// closes.
    pub wait: Option<Duration>,
    /// Messages after which to close.
    pub count: Option<u64>,
    /// Time between Pings.
    pub ping: Option<Duration>,
    /// How long opening may take.
    pub timeout: Duration,
    /// Bytes of the longest message.
    pub max_message: usize,
    /// Whether lines of a pipe may be commands.
    pub commands: bool,
    /// Whether only messages are printed.
    pub quiet: bool,
    /// Whether lines that are typed are kept for the next time.
    pub history: bool,
}

/// Talks to a server until one of the two has enough.
pub fn connect(options: Connect) -> Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(Box::pin(async {
        let tls = match options.address.secure {
            true => Some(options.trust.config()?),
            false => None,
        };
        let (inputs, terminal) = input::open(options.history)?;
        let is_terminal = terminal.is_some();
        let mut client = Client {
            screen: Screen::new(terminal),
            takes_commands: is_terminal || options.commands,
            is_terminal,
            inputs,
            options,
            last: None,
            pinged: None,
            received: 0,
            opened: 0,
            positions: Positions::default(),
        };
        Ok(client.run(tls.as_ref()).await?.code())
    }))
}

/// The conversation, over one connection or several.
struct Client {
    options: Connect,
    inputs: Inputs,
    screen: Screen,
    is_terminal: bool,
    takes_commands: bool,
    /// The message that came last, for `/save`.
    last: Option<Message<'static>>,
    /// When the Ping left whose Pong is awaited.
    pinged: Option<Instant>,
    received: u64,
    /// Connections so far.
    opened: u32,
    /// Where it was in topics.
    positions: Positions,
}

/// A connection, and what is written down of it.
struct Line {
    connection: Connection,
    record: Option<Writer>,
    /// Whose Close was the first.
    closed_by: Option<By>,
}

impl Client {
    async fn run(&mut self, tls: Option<&Arc<ClientConfig>>) -> Result<Verdict> {
        let mut wait = AGAIN.0;
        loop {
            let begun = Instant::now();
            let verdict = match self.open(tls).await {
                Ok(line) => self.converse(line).await?,
                Err(error) => {
                    let verdict = Verdict::of(&error);
                    self.refused(&error);
                    verdict
                }
            };
            if !self.options.reconnect || !verdict.is_worth_another() {
                return Ok(verdict);
            }
            if begun.elapsed() > GOOD {
                wait = AGAIN.0;
            }
            // Clients that have lost the same server do not come back in the same moment.
            let time = wait.mul_f64(0.5 + fastrand::f64());
            wait = (wait * 2).min(AGAIN.1);
            self.note(&format!("again in {:.1} s", time.as_secs_f64()));
            if self.positions.are_several_for(&self.options.address) {
                self.note(
                    "there are positions of several topics: write {position:TOPIC} in the address \
                    where the server looks for each",
                );
            }
            if !self.pause(time).await {
                return Ok(verdict);
            }
        }
    }

    /// Waits; `false` if the user has enough. Lines stay where they are meanwhile.
    async fn pause(&mut self, time: Duration) -> bool {
        tokio::select! {
            () = tokio::time::sleep(time) => true,
            () = self.inputs.interrupted() => false,
        }
    }

    async fn open(&mut self, tls: Option<&Arc<ClientConfig>>) -> Result<Line, NotOpened> {
        let Connect {
            address,
            ask,
            timeout,
            max_message,
            ..
        } = &self.options;
        let started = SystemTime::now();
        let address = &self.positions.address(address);
        let dialed = dial(address, ask, Way::open(tls), *timeout, *max_message).await?;
        self.opened += 1;
        let mut record = None;
        if let Some(path) = &self.options.record {
            match create(&numbered(path, self.opened), address, &dialed, started) {
                Ok(writer) => record = Some(writer),
                Err(error) => {
                    self.warn(&format!("{} is not recorded to: {error}", path.display()));
                }
            }
        }
        let mut text = format!("connected in {}", dialed.timing);
        if let Some(protocol) = &dialed.terms.protocol {
            text += &format!(", subprotocol {protocol}");
        }
        if dialed.terms.deflate.is_some() {
            text += ", compressed";
        }
        if self.is_terminal && self.opened == 1 {
            text += "; /help for help";
        }
        self.note(&text);
        let mut line = Line {
            connection: dialed.connection,
            record,
            closed_by: None,
        };
        for message in self.options.first.clone() {
            let message = self.positions.message(&message);
            self.send(&mut line, Message::Text(message.into()));
        }
        Ok(line)
    }

    async fn converse(&mut self, mut line: Line) -> Result<Verdict> {
        let pings = self.options.ping;
        let mut ping = tokio::time::interval(pings.unwrap_or(NEVER));
        // The first comes at once.
        ping.tick().await;
        let mut heard = tokio::time::Instant::now();
        let mut closing = None;
        loop {
            let has_closed = line.connection.has_closed();
            if has_closed && closing.is_none() {
                closing = Some(tokio::time::Instant::now() + CLOSING);
            }
            let takes =
                !has_closed && !self.inputs.has_ended() && line.connection.unsent() < UNSENT;
            let rests = self.inputs.has_ended() && !self.is_terminal && !has_closed;
            let rests = rests.then_some(self.options.wait).flatten();
            let silence = heard + rests.unwrap_or(NEVER);
            tokio::select! {
                incoming = line.connection.next() => {
                    heard = tokio::time::Instant::now();
                    match incoming {
                        Ok(incoming) => {
                            if let Some(verdict) = self.incoming(&mut line, incoming)? {
                                line.connection.finish().await;
                                return Ok(verdict);
                            }
                        }
                        Err(ended) => return Ok(self.lost(line, &ended)),
                    }
                }
                input = self.inputs.next(takes) => {
                    if has_closed && matches!(input, Input::Interrupted) {
                        return Ok(Verdict::Interrupted);
                    }
                    heard = tokio::time::Instant::now();
                    self.input(&mut line, input)?;
                }
                _ = ping.tick(), if pings.is_some() => {
                    self.ping(&mut line, b"");
                }
                () = tokio::time::sleep_until(silence), if rests.is_some() => {
                    close(&mut line, 1000, "");
                }
                () = until(closing), if closing.is_some() => {
                    self.warn("the Close was not answered");
                    return Ok(Verdict::Done);
                }
            }
        }
    }

    /// Takes what has come; what is to be thought of it if it was the last.
    fn incoming(&mut self, line: &mut Line, incoming: Incoming) -> Result<Option<Verdict>> {
        match incoming {
            Incoming::Message(message) => {
                self.recorded(line, Side::Server, &message);
                if self.options.reconnect {
                    self.positions.hear(&message);
                }
                let shown = self.screen.message(&message);
                self.last = Some(message);
                self.received += 1;
                let enough = self
                    .options
                    .count
                    .is_some_and(|count| self.received >= count);
                // Nobody reads any more, or all that was wanted is there.
                if (shown.is_err() || enough) && !line.connection.has_closed() {
                    close(line, 1000, "");
                }
            }
            Incoming::Ping(payload) => {
                self.beat(line, Side::Server, Beat::Ping, &payload);
                self.beat(line, Side::Client, Beat::Pong, &payload);
                let payload = String::from_utf8_lossy(&payload).into_owned();
                self.note(&format!("ping {payload:?}, answered"));
            }
            Incoming::Pong(payload) => {
                self.beat(line, Side::Server, Beat::Pong, &payload);
                match self.pinged.take() {
                    Some(then) => {
                        let millis = then.elapsed().as_secs_f64() * 1000.0;
                        self.note(&format!("pong after {millis:.1} ms"));
                    }
                    None => self.note("pong, unasked"),
                }
            }
            Incoming::Close(close) => {
                let by = *line.closed_by.get_or_insert(By::Server);
                let code = close.as_ref().map_or(1005, |close| close.code);
                let reason = close.map_or_else(Box::default, |close| close.reason);
                self.ended(line, code, &reason, by);
                let what = match by {
                    By::Client => "closed",
                    By::Server | By::Nobody => "closed by the server",
                };
                let why = match &*reason {
                    "" => String::new(),
                    reason => format!(" {reason}"),
                };
                self.note(&format!("{what}: {code}{why}"));
                return Ok(Some(match by {
                    By::Client => Verdict::Done,
                    By::Server | By::Nobody => Verdict::Closed(code),
                }));
            }
        }
        Ok(None)
    }

    fn input(&mut self, line: &mut Line, input: Input) -> Result<()> {
        match input {
            Input::Line(text) if self.takes_commands && text.starts_with('/') => {
                match Command::parse(&text) {
                    Ok(command) => self.command(line, command),
                    Err(why) => self.warn(&why),
                }
            }
            Input::Line(text) => self.send(line, Message::Text(text.into())),
            Input::Bytes(bytes) => self.send(line, Message::Binary(bytes.into())),
            Input::Interrupted => close(line, 1000, ""),
            // A pipe's end leaves answers to come.
            Input::End if self.is_terminal => close(line, 1000, ""),
            Input::End => {}
            Input::Broken(error) => {
                close(line, 1000, "");
                bail!("standard input cannot be read: {error}");
            }
        }
        Ok(())
    }

    fn command(&mut self, line: &mut Line, command: Command) {
        match command {
            Command::Text(text) => self.send(line, Message::Text(text.into())),
            Command::Binary(bytes) => self.send(line, Message::Binary(bytes.into())),
            Command::Ping(payload) => {
                self.ping(line, payload.as_bytes());
            }
            Command::Close(close) => {
                line.closed_by.get_or_insert(By::Client);
                line.connection.close(close.as_ref());
            }
            Command::Load(path) => match slash::load(&path, self.options.max_message) {
                Ok(message) => {
                    let kind = match message {
                        Message::Text(_) => "text",
                        Message::Binary(_) => "binary",
                    };
                    let (path, length) = (path.display(), message.len());
                    let note = format!("sent {path}, {length} bytes, {kind}");
                    self.send(line, message);
                    self.note(&note);
                }
                Err(why) => self.warn(&why),
            },
            Command::Save(path) => match slash::save(&path, self.last.as_ref()) {
                Ok(said) => self.note(&said),
                Err(why) => self.warn(&why),
            },
            Command::Help => self.screen.say(slash::HELP),
        }
    }

    fn send(&mut self, line: &mut Line, message: Message<'static>) {
        line.connection.send(&message);
        self.recorded(line, Side::Client, &message);
    }

    fn ping(&mut self, line: &mut Line, payload: &[u8]) {
        self.pinged = Some(Instant::now());
        // What a control frame has room for.
        let payload = &payload[..payload.len().min(125)];
        line.connection.ping(payload);
        self.beat(line, Side::Client, Beat::Ping, payload);
    }

    fn recorded(&mut self, line: &mut Line, by: Side, message: &Message<'_>) {
        let write = |record: &mut Writer| record.message(by, SystemTime::now(), message);
        self.write(line, write);
    }

    fn beat(&mut self, line: &mut Line, by: Side, beat: Beat, payload: &[u8]) {
        let write = |record: &mut Writer| record.beat(by, SystemTime::now(), beat, payload);
        self.write(line, write);
    }

    fn write(&mut self, line: &mut Line, write: impl FnOnce(&mut Writer) -> io::Result<()>) {
        if let Some(record) = &mut line.record
            && let Err(error) = write(record)
        {
            line.record = None;
            self.warn(&format!("recording has ended: {error}"));
        }
    }

    fn ended(&mut self, line: &mut Line, code: u16, reason: &str, by: By) {
        let ending = Ending {
            code,
            reason: reason.to_owned(),
            by,
        };
        if let Some(record) = &mut line.record
            && let Err(error) = record.close(SystemTime::now(), &ending)
        {
            self.warn(&format!("recording has ended: {error}"));
        }
    }

    fn lost(&mut self, mut line: Line, ended: &Ended) -> Verdict {
        let by = line.closed_by.unwrap_or(By::Nobody);
        self.ended(&mut line, 1006, "", by);
        self.warn(&ended.to_string());
        match by {
            // It did what it was told, if not in full.
            By::Client => Verdict::Done,
            By::Server | By::Nobody => Verdict::Closed(1006),
        }
    }

    /// Tells why there is no connection.
    fn refused(&mut self, error: &NotOpened) {
        let mut text = format!("error: {error}");
        if let NotOpened::Refused(answer, body) = error {
            for location in answer.values("location") {
                text += &format!("\nLocation: {location}");
            }
            for challenge in answer.values("www-authenticate") {
                text += &format!("\nWWW-Authenticate: {challenge}");
            }
            if !body.is_empty() {
                text += &format!("\n\n{body}");
            }
        }
        if let NotOpened::Tls(..) = error
            && !self.options.trust.insecure
        {
            text += "\n--ca FILE trusts another authority, --insecure anybody";
        }
        self.screen.warn(&text);
    }

    fn note(&mut self, text: &str) {
        if !self.options.quiet {
            self.screen.note(text);
        }
    }

    fn warn(&mut self, text: &str) {
        self.screen.warn(text);
    }
}

/// Closes from our side, if that is not done.
fn close(line: &mut Line, code: u16, reason: &str) {
    line.closed_by.get_or_insert(By::Client);
    line.connection.close(Some(&Close::new(code, reason)));
}

async fn until(time: Option<tokio::time::Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}

/// The file of the connection of this number: `x.har`, then `x-2.har`.
fn numbered(path: &Path, number: u32) -> PathBuf {
    if number < 2 {
        return path.to_owned();
    }
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    let more = path.extension().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!("{name}-{number}.{more}"))
}

fn create(path: &Path, address: &Address, dialed: &Dialed, started: SystemTime) -> Result<Writer> {
    let mut facts = serde_json::Map::new();
    facts.insert("recorder".to_owned(), json!("connect"));
    let head = Head {
        url: address.to_string(),
        started,
        request: dialed.fields.clone(),
        answer: dialed.answer.headers.clone(),
        secrets: false,
        facts,
    };
    Writer::create(path, head, RECORDINGS).with_context(|| "the file cannot be made".to_owned())
}
