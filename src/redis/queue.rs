//! Commands on their way to the server, in order and within a bound.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ::redis::{Cmd, Value};
use tokio::sync::{Notify, oneshot};

use crate::link::Failed;

/// What a command counts beside its own bytes.
const COMMAND: usize = 256;

/// Where an answer goes.
pub enum Answer {
    /// To one who waits, and may have left: then the command is not sent.
    One(oneshot::Sender<Result<Value, Failed>>),
    /// Into what is done with it, whoever waits for that.
    Then(Box<dyn FnOnce(Result<Value, Failed>) + Send>),
}

impl fmt::Debug for Answer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::One(_) => "One",
            Self::Then(_) => "Then",
        })
    }
}

/// A command, and who waits for its answer.
#[derive(Debug)]
pub struct Job {
    /// The command.
    pub command: Cmd,
    /// Where the answer goes; nobody waits for that of some.
    pub answer: Option<Answer>,
    /// It was sent already, and the server did not know its script.
    pub is_again: bool,
    queued: Instant,
    bytes: usize,
}

impl Job {
    /// A command of so many bytes that has just been thought of.
    pub fn new(command: Cmd, bytes: usize, answer: Option<Answer>) -> Self {
        Self {
            command,
            answer,
            is_again: false,
            queued: Instant::now(),
            bytes: bytes + COMMAND,
        }
    }

    /// Whether somebody was to be answered, and has left: it is not sent then.
    fn is_in_vain(&self) -> bool {
        matches!(&self.answer, Some(Answer::One(answer)) if answer.is_closed())
    }

    /// Answers it.
    pub fn end(self, result: Result<Value, Failed>) {
        match self.answer {
            // Whoever asked may have left.
            Some(Answer::One(answer)) => drop(answer.send(result)),
            Some(Answer::Then(then)) => then(result),
            None => {}
        }
    }
}

/// The queue.
#[derive(Debug)]
pub struct Queue {
    waiting: Mutex<Waiting>,
    bound: usize,
    filled: Notify,
    emptied: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    jobs: VecDeque<Job>,
    bytes: usize,
}

impl Queue {
    /// An empty one, which is full from so many bytes on.
    pub fn new(bound: usize) -> Self {
        Self {
            waiting: Mutex::default(),
            bound,
            filled: Notify::new(),
            emptied: Notify::new(),
        }
    }

    /// Adds a job.
    pub fn push(&self, job: Job) {
        let mut waiting = self.waiting();
        waiting.bytes += job.bytes;
        waiting.jobs.push_back(job);
        drop(waiting);
        self.filled.notify_one();
    }

    /// Puts jobs back, before all others.
    pub fn put_back(&self, jobs: Vec<Job>) {
        let mut waiting = self.waiting();
        for job in jobs.into_iter().rev() {
            waiting.bytes += job.bytes;
            waiting.jobs.push_front(job);
        }
        drop(waiting);
        self.filled.notify_one();
    }

    /// Whether it takes no more now.
    pub fn is_full(&self) -> bool {
        self.waiting().bytes >= self.bound
    }

    /// Ready when it takes more.
    pub async fn has_room(&self) {
        loop {
            let emptied = self.emptied.notified();
            if !self.is_full() {
                return;
            }
            emptied.await;
        }
    }

    /// The next jobs, one at least, up to so many and so many bytes.
    pub async fn take(&self, most: usize, bytes: usize) -> Vec<Job> {
        loop {
            let filled = self.filled.notified();
            let taken = self.take_now(most, bytes);
            if !taken.is_empty() {
                return taken;
            }
            filled.await;
        }
    }

    fn take_now(&self, most: usize, bytes: usize) -> Vec<Job> {
        let mut waiting = self.waiting();
        let (mut taken, mut sum) = (Vec::new(), 0);
        while taken.len() < most
            && sum < bytes
            && let Some(job) = waiting.jobs.pop_front()
        {
            waiting.bytes -= job.bytes;
            if !job.is_in_vain() {
                sum += job.bytes;
                taken.push(job);
            }
        }
        let has_room = waiting.bytes < self.bound;
        drop(waiting);
        if has_room {
            self.emptied.notify_waiters();
        }
        taken
    }

    /// Ends the jobs that have waited for so long; how many of them nobody is told of.
    pub fn expire(&self, patience: Duration, role: &'static str) -> u64 {
        let mut old = Vec::new();
        let mut waiting = self.waiting();
        while let Some(job) = waiting.jobs.front()
            && job.queued.elapsed() >= patience
            && let Some(job) = waiting.jobs.pop_front()
        {
            waiting.bytes -= job.bytes;
            old.push(job);
        }
        let has_room = waiting.bytes < self.bound;
        drop(waiting);
        if has_room {
            self.emptied.notify_waiters();
        }
        let unheard = old.iter().filter(|job| job.answer.is_none()).count();
        for job in old {
            job.end(Err(Failed::Away(role)));
        }
        unheard as u64
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(bytes: usize) -> (Job, oneshot::Receiver<Result<Value, Failed>>) {
        let (answer, answered) = oneshot::channel();
        (
            Job::new(Cmd::new(), bytes, Some(Answer::One(answer))),
            answered,
        )
    }

    #[tokio::test]
    async fn it_is_bounded_and_sends_nothing_in_vain() {
        let queue = Queue::new(2 * COMMAND);
        let ((first, _answered), (second, left)) = (job(0), job(0));
        queue.push(first);
        queue.has_room().await;
        queue.push(second);
        drop(left);
        let has_room = tokio::time::timeout(Duration::ZERO, queue.has_room());
        assert!(has_room.await.is_err());
        assert_eq!(queue.take(10, usize::MAX).await.len(), 1);
        queue.has_room().await;
    }

    #[tokio::test]
    async fn what_waits_for_too_long_was_not_done() {
        let queue = Queue::new(1000);
        let (first, answered) = job(0);
        queue.push(first);
        queue.push(Job::new(Cmd::new(), 0, None));
        assert_eq!(queue.expire(Duration::from_secs(60), "store"), 0);
        assert_eq!(queue.expire(Duration::ZERO, "store"), 1);
        assert_eq!(answered.await, Ok(Err(Failed::Away("store"))));
    }
}
