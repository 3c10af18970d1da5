//! One topic's replica on this node: which of what comes is next, what is doubled, and what is
//! missing and has to be read from the engine's history.
//!
//! It is pure: what comes goes in, and what is to be done comes out as [`Step`]s. So every order of
//! messages, portions of history and lost connections can be tried without an engine.

use std::collections::VecDeque;

use super::position::Position;

/// Messages that are held while the history is read,
const HELD: usize = 1024;
/// and their bytes. Beyond either the oldest go, and are read instead.
const HELD_BYTES: usize = 1024 * 1024;

/// A message that has come, with its place and its bytes' number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed<M> {
    /// Its place.
    pub place: Position,
    /// The message.
    pub message: M,
    /// What it counts.
    pub bytes: usize,
}

/// A part of the engine's history, oldest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Portion<M> {
    /// The place behind the topic's last message.
    pub last: Position,
    /// Messages behind the place that was asked for.
    pub messages: Vec<Placed<M>>,
    /// The number up to which all that is there is among them, but for what is not ours.
    pub until: u64,
    /// Whether there are no more behind them.
    pub is_end: bool,
}

/// What is to be done, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step<M> {
    /// The copy is empty now, and behind this place.
    Begin(Position),
    /// The next message: it is kept and delivered.
    Append(Placed<M>),
    /// A message that nobody keeps is delivered.
    Deliver(M),
    /// Subscribers may have missed some.
    Gap,
    /// A portion behind this number is to be read.
    Read(u64),
    /// The copy is whole, and what comes is appended.
    InForce,
}

/// The state of one.
#[derive(Debug)]
pub struct Replica<M> {
    keeps: bool,
    state: State,
    /// The place behind the last message that was appended.
    at: Option<Position>,
    held: VecDeque<Placed<M>>,
    held_bytes: usize,
    /// It was in force once: what is missing since was missed by somebody.
    was_in_force: bool,
    /// The number behind which the portion that is being read begins.
    read_from: u64,
    /// Something was missed while a portion was being read, which may not have it.
    reads_again: bool,
    /// A message of another life was held, and the portion that followed did not know that life.
    doubted: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// The channel is not subscribed to yet, or not any more.
    Joining,
    /// A portion is being read.
    Reading,
    InForce,
}

impl<M> Replica<M> {
    /// Of a topic that keeps messages or does not.
    pub fn new(keeps: bool) -> Self {
        Self {
            keeps,
            state: State::Joining,
            at: None,
            held: VecDeque::new(),
            held_bytes: 0,
            was_in_force: false,
            read_from: 0,
            reads_again: false,
            doubted: false,
        }
    }

    /// Whether it has a copy of what the topic keeps.
    pub fn keeps(&self) -> bool {
        self.keeps
    }

    /// The place behind the last message that it has.
    pub fn at(&self) -> Option<Position> {
        self.at
    }

    /// The number behind which the portion begins that it reads.
    pub fn reads_from(&self) -> u64 {
        self.read_from
    }

    /// Whether it waits for its channel.
    pub fn is_joining(&self) -> bool {
        self.state == State::Joining
    }

    /// Whether what is at this place has been appended, or will never be.
    pub fn has(&self, place: Position) -> bool {
        let is_behind = |at: Position| at.epoch != place.epoch || at.number >= place.number;
        self.state == State::Joining || self.at.is_none_or(is_behind)
    }

    /// The channel is subscribed to.
    pub fn joined(&mut self) -> Vec<Step<M>> {
        let mut steps = Vec::new();
        if self.keeps {
            self.read(&mut steps);
        } else {
            if self.was_in_force {
                steps.push(Step::Gap);
            }
            self.enter(&mut steps);
        }
        steps
    }

    /// The connection is gone, and its subscriptions with it.
    pub fn parted(&mut self) {
        self.state = State::Joining;
        self.held.clear();
        self.held_bytes = 0;
    }

    /// From now on it has a copy, which it reads whole; one that it has stays as it is.
    pub fn keep(&mut self) -> Vec<Step<M>> {
        let mut steps = Vec::new();
        match (self.state, self.keeps) {
            (State::InForce, true) => steps.push(Step::InForce),
            (State::InForce, false) => {
                self.was_in_force = false;
                self.read(&mut steps);
            }
            (State::Joining | State::Reading, _) => {}
        }
        self.keeps = true;
        steps
    }

    /// A message without a place has come.
    pub fn plain(&mut self, message: M) -> Vec<Step<M>> {
        vec![Step::Deliver(message)]
    }

    /// A message with a place has come.
    pub fn placed(&mut self, message: Placed<M>) -> Vec<Step<M>> {
        if !self.keeps {
            return vec![Step::Deliver(message.message)];
        }
        let mut steps = Vec::new();
        let at = self.at.filter(|_| self.state == State::InForce);
        match at {
            Some(at) if at.epoch == message.place.epoch && message.place.number <= at.number => {}
            Some(at) if is_next(at, message.place) => self.append(message, &mut steps),
            Some(_) => {
                self.hold(message);
                self.read(&mut steps);
            }
            None => self.hold(message),
        }
        steps
    }

    /// Messages of the channel were dropped before they came here.
    pub fn missed(&mut self) -> Vec<Step<M>> {
        let mut steps = Vec::new();
        match (self.state, self.keeps) {
            (State::InForce, true) => self.read(&mut steps),
            (State::InForce, false) => steps.push(Step::Gap),
            (State::Reading, _) => self.reads_again = true,
            (State::Joining, _) => {}
        }
        steps
    }

    /// There may be more than has come.
    pub fn refresh(&mut self) -> Vec<Step<M>> {
        if self.keeps {
            self.missed()
        } else {
            Vec::new()
        }
    }

    /// The portion that was to be read.
    pub fn portion(&mut self, portion: Portion<M>) -> Vec<Step<M>> {
        let mut steps = Vec::new();
        if self.state != State::Reading {
            return steps;
        }
        let is_same = self.at.is_some_and(|at| at.epoch == portion.last.epoch);
        if !is_same {
            // Another life: what is behind the number of the former one is only a part of it.
            self.at = None;
            if self.read_from > 0 {
                self.read(&mut steps);
                return steps;
            }
        }
        let first = portion.messages.first().map(|message| message.place.number);
        let before = first.map_or(portion.last.number, |first| first.saturating_sub(1));
        if !is_same {
            self.begin(portion.last.epoch, before, &mut steps);
        }
        for message in portion.messages {
            self.append_or_skip(message, &mut steps);
        }
        let number = self.at.map_or(0, |at| at.number);
        if !portion.is_end {
            // However much of it is not ours, the next one is behind it.
            self.read_behind(portion.until.max(number), &mut steps);
            return steps;
        }
        if portion.last.number > number {
            // The last ones have gone from the history already.
            self.begin(portion.last.epoch, portion.last.number, &mut steps);
        }
        self.release(&mut steps);
        steps
    }

    /// A message of a portion: the next, one that was there, or one behind a hole.
    fn append_or_skip(&mut self, message: Placed<M>, steps: &mut Vec<Step<M>>) {
        let Some(at) = self.at else { return };
        let place = message.place;
        if place.epoch != at.epoch || place.number <= at.number {
            return;
        }
        if !is_next(at, place) {
            self.begin(place.epoch, place.number - 1, steps);
        }
        self.append(message, steps);
    }

    /// Goes on with what was held, as far as it is what comes next.
    fn release(&mut self, steps: &mut Vec<Step<M>>) {
        if std::mem::take(&mut self.reads_again) {
            self.read(steps);
            return;
        }
        while let Some(message) = self.pop_held() {
            let Some(at) = self.at else { return };
            let place = message.place;
            if place.epoch != at.epoch {
                // It is old, or of a life that has begun just now.
                if !self.doubted {
                    self.doubted = true;
                    self.held_bytes += message.bytes;
                    self.held.push_front(message);
                    self.read(steps);
                    return;
                }
            } else if is_next(at, place) {
                self.append(message, steps);
            } else if place.number > at.number {
                self.held_bytes += message.bytes;
                self.held.push_front(message);
                self.read(steps);
                return;
            }
        }
        self.doubted = false;
        self.enter(steps);
    }

    fn begin(&mut self, epoch: u64, number: u64, steps: &mut Vec<Step<M>>) {
        let place = Position { epoch, number };
        self.at = Some(place);
        steps.push(Step::Begin(place));
        if self.was_in_force {
            steps.push(Step::Gap);
        }
    }

    fn append(&mut self, message: Placed<M>, steps: &mut Vec<Step<M>>) {
        self.at = Some(message.place);
        steps.push(Step::Append(message));
    }

    fn read(&mut self, steps: &mut Vec<Step<M>>) {
        self.read_behind(self.at.map_or(0, |at| at.number), steps);
    }

    fn read_behind(&mut self, number: u64, steps: &mut Vec<Step<M>>) {
        self.state = State::Reading;
        self.read_from = number;
        steps.push(Step::Read(number));
    }

    fn enter(&mut self, steps: &mut Vec<Step<M>>) {
        self.state = State::InForce;
        self.was_in_force = true;
        steps.push(Step::InForce);
    }

    fn hold(&mut self, message: Placed<M>) {
        self.held_bytes += message.bytes;
        self.held.push_back(message);
        while self.held.len() > HELD || self.held_bytes > HELD_BYTES && self.held.len() > 1 {
            self.pop_held();
        }
    }

    fn pop_held(&mut self) -> Option<Placed<M>> {
        let message = self.held.pop_front()?;
        self.held_bytes -= message.bytes;
        Some(message)
    }
}

fn is_next(at: Position, place: Position) -> bool {
    at.epoch == place.epoch && place.number.checked_sub(1) == Some(at.number)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A message that is its own number.
    fn message(epoch: u64, number: u64) -> Placed<u64> {
        Placed {
            place: Position { epoch, number },
            message: number,
            bytes: 10,
        }
    }

    fn portion(epoch: u64, last: u64, numbers: impl IntoIterator<Item = u64>) -> Portion<u64> {
        let messages = numbers.into_iter().map(|number| message(epoch, number));
        let messages: Vec<_> = messages.collect();
        Portion {
            until: messages.last().map_or(0, |message| message.message),
            last: Position {
                epoch,
                number: last,
            },
            messages,
            is_end: true,
        }
    }

    /// A replica that is in force behind this number of life 1.
    fn in_force(number: u64) -> Replica<u64> {
        let mut replica = Replica::new(true);
        assert_eq!(replica.joined(), [Step::Read(0)]);
        let at = Position { epoch: 1, number };
        let steps = replica.portion(portion(1, number, []));
        assert_eq!(steps, [Step::Begin(at), Step::InForce]);
        replica
    }

    /// What is told of steps: numbers appended, and words for the rest.
    fn told(steps: &[Step<u64>]) -> String {
        let word = |step: &Step<u64>| match step {
            Step::Begin(at) => format!("begin {}.{}", at.epoch, at.number),
            Step::Append(message) => message.message.to_string(),
            Step::Deliver(message) => format!("plain {message}"),
            Step::Gap => "gap".to_owned(),
            Step::Read(number) => format!("read {number}"),
            Step::InForce => "in force".to_owned(),
        };
        steps.iter().map(word).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn live_messages_join_what_was_read() {
        let mut replica = Replica::new(true);
        assert_eq!(told(&replica.placed(message(1, 4))), "");
        assert_eq!(told(&replica.joined()), "read 0");
        assert_eq!(told(&replica.placed(message(1, 5))), "");
        let mut first = portion(1, 5, [2, 3]);
        first.is_end = false;
        assert_eq!(told(&replica.portion(first)), "begin 1.1, 2, 3, read 3");
        assert_eq!(told(&replica.portion(portion(1, 4, [4]))), "4, 5, in force");
        assert_eq!(told(&replica.placed(message(1, 5))), "", "a double");
        assert_eq!(told(&replica.placed(message(1, 6))), "6");
    }

    #[test]
    fn a_portion_in_which_nothing_is_ours_is_passed_over() {
        let mut replica = in_force(10);
        assert_eq!(told(&replica.placed(message(1, 900))), "read 10");
        let mut foreign = portion(1, 900, []);
        (foreign.until, foreign.is_end) = (266, false);
        assert_eq!(told(&replica.portion(foreign)), "read 266");
        let steps = replica.portion(portion(1, 900, [899, 900]));
        assert_eq!(told(&steps), "begin 1.898, gap, 899, 900, in force");
    }

    #[test]
    fn a_hole_is_filled_from_the_history() {
        let mut replica = in_force(10);
        assert_eq!(told(&replica.placed(message(1, 13))), "read 10");
        assert_eq!(
            told(&replica.portion(portion(1, 13, [11, 12, 13]))),
            "11, 12, 13, in force"
        );
        assert_eq!(told(&replica.placed(message(1, 16))), "read 13");
        let steps = replica.portion(portion(1, 16, [15, 16]));
        assert_eq!(told(&steps), "begin 1.14, gap, 15, 16, in force");
        assert_eq!(told(&replica.placed(message(1, 18))), "read 16");
        let steps = replica.portion(portion(1, 18, []));
        assert_eq!(told(&steps), "begin 1.18, gap, in force");
    }

    #[test]
    fn after_a_lost_connection_nothing_is_missing_and_nothing_double() {
        let mut replica = in_force(10);
        replica.parted();
        assert_eq!(told(&replica.placed(message(1, 12))), "");
        assert_eq!(told(&replica.joined()), "read 10");
        assert_eq!(
            told(&replica.portion(portion(1, 12, [11, 12]))),
            "11, 12, in force"
        );
        // Somebody else comes while the connection is away: what is there is not read again.
        replica.parted();
        assert_eq!(told(&replica.keep()), "");
        assert_eq!(told(&replica.joined()), "read 12");
        assert_eq!(told(&replica.keep()), "");
        assert_eq!(told(&replica.portion(portion(1, 12, []))), "in force");
        assert_eq!(told(&replica.keep()), "in force");
        let mut plain = Replica::<u64>::new(false);
        assert_eq!(told(&plain.joined()), "in force");
        assert_eq!(told(&plain.plain(7)), "plain 7");
        plain.parted();
        assert_eq!(told(&plain.joined()), "gap, in force");
        assert_eq!(told(&plain.missed()), "gap");
    }

    #[test]
    fn another_life_is_read_whole() {
        let mut replica = in_force(10);
        assert_eq!(told(&replica.placed(message(2, 2))), "read 10");
        assert_eq!(told(&replica.portion(portion(2, 2, []))), "read 0");
        assert_eq!(
            told(&replica.portion(portion(2, 2, [1, 2]))),
            "begin 2.0, gap, 1, 2, in force"
        );
        // A late message of the former life changes nothing.
        assert_eq!(told(&replica.placed(message(1, 11))), "read 2");
        assert_eq!(told(&replica.portion(portion(2, 2, []))), "read 2");
        assert_eq!(told(&replica.portion(portion(2, 2, []))), "in force");
        assert_eq!(told(&replica.placed(message(2, 3))), "3");
    }

    #[test]
    fn what_is_dropped_while_it_reads_is_read_as_well() {
        let mut replica = in_force(0);
        assert_eq!(told(&replica.missed()), "read 0");
        assert_eq!(told(&replica.missed()), "");
        assert_eq!(told(&replica.portion(portion(1, 1, [1]))), "1, read 1");
        assert_eq!(told(&replica.portion(portion(1, 1, []))), "in force");
        assert_eq!(told(&replica.refresh()), "read 1");
        // More than is held while it reads: the oldest are read.
        for number in 2..2 + HELD as u64 + 10 {
            replica.placed(message(1, number));
        }
        let last = 11 + HELD as u64;
        assert_eq!(
            told(&replica.portion(portion(1, 5, 2..=5))),
            "2, 3, 4, 5, read 5"
        );
        let steps = replica.portion(portion(1, 20, 6..=20));
        assert!(told(&steps).ends_with(&format!("{last}, in force")));
        assert!(replica.has(Position {
            epoch: 1,
            number: last
        }));
        assert!(!replica.has(Position {
            epoch: 1,
            number: last + 1
        }));
    }

    /// Random histories: messages in order, doubled or lost on the way, portions of any size, lost
    /// connections. Whatever happens, what is appended between two gaps is consecutive, and in the
    /// end nothing that the history has is missing.
    #[test]
    fn no_history_confuses_it() {
        for seed in 0..3000 {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut replica = Replica::new(true);
            // The engine: life, kept numbers.
            let (mut epoch, mut last, mut first) = (1, 0_u64, 1_u64);
            let mut on_their_way: VecDeque<Placed<u64>> = VecDeque::new();
            let mut asked: Option<u64> = None;
            let mut seen: Option<Position> = None;
            let mut run = |steps: Vec<Step<u64>>, asked: &mut Option<u64>| {
                for step in steps {
                    match step {
                        Step::Begin(at) => seen = Some(at),
                        Step::Append(message) => {
                            let at = seen.expect("it has begun");
                            assert!(is_next(at, message.place), "seed {seed}: {at} {message:?}");
                            seen = Some(message.place);
                        }
                        Step::Read(from) => *asked = Some(from),
                        Step::Gap | Step::InForce | Step::Deliver(_) => {}
                    }
                }
                seen
            };
            run(replica.joined(), &mut asked);
            for _ in 0..random.usize(10..200) {
                match random.u8(0..20) {
                    0..8 => {
                        last += 1;
                        on_their_way.push_back(message(epoch, last));
                        if last - first >= 20 {
                            first = last - 19;
                        }
                    }
                    8..13 => {
                        if let Some(next) = on_their_way.pop_front() {
                            if random.u8(0..8) == 0 {
                                on_their_way.push_front(next.clone());
                            }
                            run(replica.placed(next), &mut asked);
                        }
                    }
                    13..17 => {
                        if let Some(from) = asked.take() {
                            let (from, most) = ((from + 1).max(first), random.u64(1..8));
                            let to = last.min(from + most - 1);
                            let mut read = portion(epoch, last, from..=to);
                            read.is_end = to == last || from > last;
                            run(replica.portion(read), &mut asked);
                        }
                    }
                    17 => {
                        on_their_way.pop_front();
                        run(replica.missed(), &mut asked);
                    }
                    18 => {
                        replica.parted();
                        on_their_way.clear();
                        asked = None;
                        run(replica.joined(), &mut asked);
                    }
                    _ if random.u8(0..4) == 0 => {
                        (epoch, last, first) = (epoch + 1, 0, 1);
                    }
                    _ => {}
                }
            }
            let mut at = None;
            for _ in 0..1000 {
                if let Some(next) = on_their_way.pop_front() {
                    at = run(replica.placed(next), &mut asked);
                } else if let Some(from) = asked.take() {
                    let from = (from + 1).max(first);
                    at = run(
                        replica.portion(portion(epoch, last, from..=last)),
                        &mut asked,
                    );
                } else if replica.state != State::InForce || at.is_none() {
                    at = run(replica.refresh(), &mut asked);
                    assert!(asked.is_some(), "seed {seed}: {replica:?}");
                } else {
                    break;
                }
            }
            let at = at.expect("it has begun");
            if at.epoch == epoch {
                assert_eq!(at.number, last, "seed {seed}: {replica:?}");
            }
        }
    }
}
