//! `replay`: recorded conversations once more, with us as the client, and what is answered
//! otherwise than it was.
//!
//! `party` is one connection, and `again` asks for it as it was asked for then. What was said, in
//! one order, and how messages differ, `recording` knows. Here the steps are gone through.

mod again;
mod party;
mod progress;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tokio_rustls::rustls::ClientConfig;

use super::print;
use crate::client::{Address, Ask, NotOpened, Trust, Way, dial};
use crate::config::JsonPath;
use crate::observe::event::By;
use crate::recording::{Differences, Ending, Recording, Step, What, differ, read, steps};
use crate::websocket::Message;
use party::{Party, Told};
use progress::Progress;

/// Bytes of the longest message.
const LONGEST: usize = 256 * 1024 * 1024;

/// What `replay` is told.
#[derive(Debug)]
pub struct Replay {
    /// The recordings.
    pub files: Vec<PathBuf>,
    /// Where to, instead of where they were recorded.
    pub url: Option<Address>,
    /// Headers instead of those that were recorded.
    pub ask: Ask,
    /// Whom it trusts.
    pub trust: Trust,
    /// How long each answer, and opening a connection, may take.
    pub wait: Duration,
    /// Whether messages are sent at their recorded times, and how many times faster.
    pub timed: Option<f64>,
    /// What may differ.
    pub ignored: Vec<JsonPath>,
}

/// Replays; exit code 1 if anything was otherwise.
pub fn replay(options: Replay) -> Result<ExitCode> {
    let mut recordings = Vec::new();
    for file in &options.files {
        let found = read(file).with_context(|| format!("{} cannot be replayed", file.display()))?;
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        for (number, recording) in (1..).zip(found) {
            recordings.push((format!("{name}, connection {number}"), recording));
        }
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let report = runtime.block_on(Box::pin(run(&options, &recordings)))?;
    print(&report.text());
    Ok(match report.count {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::from(1),
    })
}

/// The state of a run.
struct Run<'r> {
    options: &'r Replay,
    recordings: &'r [(String, Recording)],
    tls: Option<Arc<ClientConfig>>,
    /// Those that are open, by their recording; `None` behind their end.
    parties: Vec<Option<Party>>,
    /// With `--timed`: the messages that are still to be looked at.
    awaited: Vec<Vec<usize>>,
    report: Differences,
}

async fn run(options: &Replay, recordings: &[(String, Recording)]) -> Result<Differences> {
    let steps = steps(recordings.iter().map(|(_, recording)| recording));
    let mut run = Run {
        options,
        recordings,
        tls: None,
        parties: recordings.iter().map(|_| None).collect(),
        awaited: recordings.iter().map(|_| Vec::new()).collect(),
        report: Differences::of(recordings.len()),
    };
    let begun = Instant::now();
    let first = steps.first().map_or(0.0, |step| step.time);
    let mut progress = Progress::new(steps.len());
    for step in &steps {
        if let (Some(faster), What::Open | What::Send(_)) = (options.timed, step.what) {
            let due = Duration::try_from_secs_f64((step.time - first) / faster);
            let due = due.unwrap_or_default().saturating_sub(begun.elapsed());
            tokio::time::sleep(due).await;
        }
        run.take(step).await?;
        progress.step();
    }
    progress.end();
    Ok(run.report)
}

impl Run<'_> {
    async fn take(&mut self, step: &Step) -> Result<()> {
        let index = step.recording;
        match step.what {
            What::Open => return self.open(index).await,
            What::Send(number) => {
                if let Some(party) = &mut self.parties[index] {
                    self.report.messages += 1;
                    let said = &self.recordings[index].1.said[number];
                    party.send(said.message.clone()).await;
                }
            }
            What::Receive(number) if self.options.timed.is_some() => {
                self.awaited[index].push(number);
            }
            What::Receive(number) => self.receive(index, number).await,
            What::End => {
                for number in std::mem::take(&mut self.awaited[index]) {
                    self.receive(index, number).await;
                }
                self.end(index).await;
            }
        }
        Ok(())
    }

    async fn open(&mut self, index: usize) -> Result<()> {
        let (name, recording) = &self.recordings[index];
        let recorded = Address::parse(&recording.url);
        let address = match (&self.options.url, recorded) {
            (Some(url), Ok(recorded)) => url.clone().with_target_of(&recorded),
            (Some(url), Err(_)) => url.clone(),
            (None, Ok(recorded)) => recorded,
            (None, Err(error)) => bail!("{name}: {error}; give a URL behind the files"),
        };
        if address.secure && self.tls.is_none() {
            self.tls = Some(self.options.trust.config()?);
        }
        let ask = again::ask(recording, &self.options.ask);
        let time = self.options.wait;
        match dial(&address, &ask, Way::open(self.tls.as_ref()), time, LONGEST).await {
            Ok(dialed) => self.parties[index] = Some(Party::new(dialed.connection)),
            Err(NotOpened::Refused(answer, body)) => {
                let line = format!("{name}: refused with {} {}", answer.status, answer.reason);
                self.report.differs(&line, &body);
            }
            Err(error) => bail!("{name}: {error}"),
        }
        Ok(())
    }

    async fn receive(&mut self, index: usize, number: usize) {
        let Some(party) = &mut self.parties[index] else {
            return;
        };
        let (name, recording) = &self.recordings[index];
        let place = format!("{name}, message {}", number + 1);
        let wanted = &recording.said[number].message;
        let told = party.told(self.options.wait).await;
        self.report.messages += 1;
        let line = match &told {
            Some(Told::Message(message)) => {
                if let Some(shown) = differ(wanted, message, &self.options.ignored) {
                    self.report.differs(&format!("{place} differs"), &shown);
                }
                return;
            }
            // What would follow it waits for what is missing.
            None => format!(
                "{place} is missing: nothing came within {:?}",
                self.options.wait
            ),
            Some(end) => format!("{place} is missing: {end}"),
        };
        self.parties[index] = None;
        self.report.misses(&line, wanted);
    }

    async fn end(&mut self, index: usize) {
        let Some(mut party) = self.parties[index].take() else {
            return;
        };
        let (name, recording) = &self.recordings[index];
        let wait = self.options.wait;
        // What came behind the last message that was recorded, up to the end.
        let by_server = recording
            .ending
            .as_ref()
            .filter(|ending| ending.by == By::Server);
        if by_server.is_none() {
            party.close(recording.ending.as_ref()).await;
        }
        let mut number = recording.said.len();
        let knows_end = recording.ending.is_some() && recording.left_out == 0;
        loop {
            let line = match (party.told(wait).await, by_server) {
                (Some(Told::Message(message)), _) => {
                    number += 1;
                    if knows_end {
                        self.unexpected(name, number, &message);
                    }
                    continue;
                }
                (Some(Told::Closed(code, _)), Some(ending)) if code == ending.code => return,
                (Some(Told::Lost(_)), Some(Ending { code: 1006, .. })) => return,
                (Some(told), Some(ending)) => {
                    format!("{name}: recorded was a Close with {}; {told}", ending.code)
                }
                (None, Some(ending)) => format!(
                    "{name}: the Close with {} is missing: nothing came within {wait:?}",
                    ending.code
                ),
                // Ours was answered, or it was not: the conversation was over.
                (_, None) => return,
            };
            self.report.differs(&line, "");
            return;
        }
    }

    fn unexpected(&mut self, name: &str, number: usize, message: &Message<'_>) {
        let line = format!("{name}, message {number} was not recorded");
        self.report.exceeds(&line, message);
    }
}
