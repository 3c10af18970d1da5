//! How long an engine takes for what it is asked, for the metrics.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::answer::Answer;
use crate::observe::metrics::{Stopwatch, StoreTimes};

/// What an engine is asked.
#[derive(Debug, Clone, Copy)]
pub enum Operation {
    /// To read a value, or the names of keys.
    Read,
    /// To change a value.
    Write,
    /// Something about a queue.
    Queue,
}

/// The times of an engine.
#[derive(Debug)]
pub struct Timing {
    engine: &'static str,
    operations: [Stopwatch; 3],
}

impl Timing {
    /// Nothing was asked yet.
    pub fn new(engine: &'static str) -> Self {
        Self {
            engine,
            operations: Default::default(),
        }
    }

    /// Has something asked: from here until the answer is there. One that nobody waits for any more
    /// has no time.
    pub fn of<T: Send + 'static>(
        self: &Arc<Self>,
        operation: Operation,
        ask: impl FnOnce() -> Answer<T>,
    ) -> Answer<T> {
        let begun = Instant::now();
        match ask() {
            Answer::Now(result) => {
                self.add(operation, begun.elapsed());
                Answer::Now(result)
            }
            Answer::Later(answer) => {
                let timing = Arc::clone(self);
                Answer::later(async move {
                    let result = answer.await;
                    timing.add(operation, begun.elapsed());
                    result
                })
            }
        }
    }

    fn add(&self, operation: Operation, time: Duration) {
        self.operations[operation as usize].add(time);
    }

    /// The times of each operation.
    pub fn read(&self) -> Vec<StoreTimes> {
        let names = ["read", "write", "queue"].iter().zip(&self.operations);
        let times = names.map(|(operation, watch)| StoreTimes {
            engine: self.engine,
            operation,
            times: watch.read(),
        });
        times.collect()
    }
}
