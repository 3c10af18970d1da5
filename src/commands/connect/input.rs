//! Where lines come from: a terminal with a line editor, or a pipe.
//!
//! Standard input is read by a thread of its own, which nothing else waits for.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::pending;
use std::io::{self, BufRead, IsTerminal, Read};
use std::rc::Rc;
use std::thread;

use anyhow::Result;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use super::editor::Did;
use super::terminal::Terminal;

/// Lines that wait to be sent.
const WAITING: usize = 64;

/// What the user, or a pipe, has.
#[derive(Debug)]
pub enum Input {
    /// A line, without its end.
    Line(String),
    /// A line of a pipe that is not UTF-8.
    Bytes(Vec<u8>),
    /// Ctrl-C, or a signal that asks for the end.
    Interrupted,
    /// Nothing more.
    End,
    /// It cannot be read.
    Broken(String),
}

/// The lines.
pub struct Inputs {
    source: Source,
    /// What came and was not asked for yet.
    ready: VecDeque<Input>,
    has_ended: bool,
    signals: Signal,
}

enum Source {
    Keys(mpsc::Receiver<Vec<u8>>, Rc<RefCell<Terminal>>),
    Lines(mpsc::Receiver<Input>),
    /// It has ended.
    Nothing,
}

impl Inputs {
    /// What is next; Ctrl-C alone, unless lines are asked for. May be given up and called again.
    pub async fn next(&mut self, lines: bool) -> Input {
        loop {
            let is_due = |input: &Input| lines || matches!(input, Input::Interrupted);
            if let Some(at) = self.ready.iter().position(is_due)
                && let Some(input) = self.ready.remove(at)
            {
                self.has_ended |= matches!(input, Input::End | Input::Broken(_));
                return input;
            }
            self.fill().await;
        }
    }

    /// Whether nothing will come any more.
    pub fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// Ready when the user wants the end. Lines stay for later.
    pub async fn interrupted(&mut self) {
        self.next(false).await;
    }

    /// Waits until something has come.
    async fn fill(&mut self) {
        let is_full = self.ready.len() >= WAITING;
        tokio::select! {
            came = came(&mut self.source, is_full) => {
                if came.is_empty() {
                    return;
                }
                if matches!(came.last(), Some(Input::End | Input::Broken(_))) {
                    self.source = Source::Nothing;
                }
                self.ready.extend(came);
            }
            _ = self.signals.recv() => self.ready.push_back(Input::Interrupted),
        }
    }
}

/// What comes from there. Keys are always looked at: one of them may be Ctrl-C.
async fn came(source: &mut Source, is_full: bool) -> Vec<Input> {
    match source {
        Source::Keys(keys, terminal) => match keys.recv().await {
            Some(bytes) => {
                let did = terminal.borrow_mut().feed(&bytes);
                did.into_iter().filter_map(input).collect()
            }
            None => vec![Input::End],
        },
        Source::Lines(lines) if !is_full => {
            let line = lines.recv().await;
            vec![line.unwrap_or(Input::End)]
        }
        Source::Lines(_) | Source::Nothing => pending().await,
    }
}

fn input(did: Did) -> Option<Input> {
    match did {
        Did::Line(line) => Some(Input::Line(line)),
        Did::Interrupted => Some(Input::Interrupted),
        Did::End => Some(Input::End),
        Did::Nothing | Did::Changed | Did::Clear => None,
    }
}

/// Opens standard input: with an editor where both it and standard output are a terminal that can
/// place its cursor.
pub fn open(keeps_history: bool) -> Result<(Inputs, Option<Rc<RefCell<Terminal>>>)> {
    let is_dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
    let is_terminal = io::stdin().is_terminal() && io::stdout().is_terminal() && !is_dumb;
    let (source, terminal, kind) = if is_terminal {
        let terminal = Rc::new(RefCell::new(Terminal::open(keeps_history)?));
        let (sender, keys) = mpsc::channel(WAITING);
        thread::Builder::new().spawn(move || read_keys(&sender))?;
        let source = Source::Keys(keys, Rc::clone(&terminal));
        // Ctrl-C is a key there; whoever ends the program otherwise wants the terminal as it was.
        (source, Some(terminal), SignalKind::terminate())
    } else {
        let (sender, lines) = mpsc::channel(WAITING);
        thread::Builder::new().spawn(move || read_lines(&sender))?;
        (Source::Lines(lines), None, SignalKind::interrupt())
    };
    let inputs = Inputs {
        source,
        ready: VecDeque::new(),
        has_ended: false,
        signals: signal(kind)?,
    };
    Ok((inputs, terminal))
}

fn read_keys(sender: &mpsc::Sender<Vec<u8>>) {
    let mut stdin = io::stdin().lock();
    let mut bytes = [0; 4096];
    while let Ok(count @ 1..) = stdin.read(&mut bytes) {
        if sender.blocking_send(bytes[..count].to_vec()).is_err() {
            return;
        }
    }
}

fn read_lines(sender: &mpsc::Sender<Input>) {
    let mut stdin = io::stdin().lock();
    loop {
        let mut line = Vec::new();
        let input = match stdin.read_until(b'\n', &mut line) {
            Ok(0) => Input::End,
            Err(error) => Input::Broken(error.to_string()),
            Ok(_) => {
                if line.ends_with(b"\n") {
                    line.pop();
                }
                if line.ends_with(b"\r") {
                    line.pop();
                }
                match String::from_utf8(line) {
                    Ok(line) => Input::Line(line),
                    Err(error) => Input::Bytes(error.into_bytes()),
                }
            }
        };
        let is_last = !matches!(input, Input::Line(_) | Input::Bytes(_));
        if sender.blocking_send(input).is_err() || is_last {
            return;
        }
    }
}
