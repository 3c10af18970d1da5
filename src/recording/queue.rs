//! Queues of what connections say, from their workers to the thread that writes it down.
//!
//! A connection gathers the messages of a turn in a batch of its own, and appends that to its
//! worker's queue when the turn ends: no message takes a lock, an allocation or a look at the clock
//! of its own. The writer takes a whole queue at once, and leaves an empty one whose memory is used
//! again.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};
use std::time::SystemTime;

use super::{Ending, Head, Side};

/// What a message counts besides its bytes.
pub const OVERHEAD: usize = size_of::<Said>();
/// Bytes of memory that an empty batch keeps for what comes next.
const KEPT: usize = 4 << 20;

/// What is to be written, in its order.
#[derive(Debug)]
pub enum Order {
    /// A connection's file begins.
    Begin(u64, Box<(PathBuf, Head)>),
    /// So many of the messages are the connection's.
    Messages(u64, usize),
    /// It has ended.
    End(u64, Box<End>),
}

/// The end of a connection's file.
#[derive(Debug)]
pub struct End {
    /// When.
    pub time: SystemTime,
    /// How it has ended.
    pub ending: Ending,
    /// Messages that there was no room for.
    pub lost: u64,
    /// Messages beyond the bound of a file.
    pub beyond: u64,
}

/// A message, but for its bytes.
#[derive(Debug, Clone, Copy)]
pub struct Said {
    /// When.
    pub time: SystemTime,
    /// By whom.
    pub by: Side,
    /// What it is: RFC 6455 section 11.8.
    pub opcode: u8,
    /// How many bytes.
    pub length: usize,
}

/// Orders, their messages, and the bytes of those.
#[derive(Debug, Default)]
pub struct Batch {
    /// The orders.
    pub orders: Vec<Order>,
    /// The messages of all of them.
    pub said: Vec<Said>,
    /// Their bytes.
    pub bytes: Vec<u8>,
}

impl Batch {
    /// What its messages count.
    pub fn weight(&self) -> usize {
        self.bytes.len() + self.said.len() * OVERHEAD
    }

    /// Adds a message of a connection.
    pub fn say_at_once(&mut self, connection: u64, said: Said, payload: &[u8]) {
        self.orders.push(Order::Messages(connection, 1));
        self.say(said, payload);
    }

    /// Adds a message, which is yet to be ordered.
    pub fn say(&mut self, said: Said, payload: &[u8]) {
        self.said.push(said);
        self.bytes.extend_from_slice(payload);
    }

    /// Takes the messages of another, which are a connection's.
    pub fn take_messages(&mut self, connection: u64, other: &mut Self) {
        if !other.said.is_empty() {
            let order = Order::Messages(connection, other.said.len());
            self.orders.push(order);
            self.said.append(&mut other.said);
            self.bytes.append(&mut other.bytes);
        }
    }

    /// Forgets what is done.
    pub fn clear(&mut self) {
        self.orders.clear();
        self.said.clear();
        self.bytes.clear();
        self.bytes.shrink_to(KEPT);
        self.said.shrink_to(KEPT / OVERHEAD);
    }
}

/// What the connections of one thread have said.
#[derive(Debug, Default)]
pub struct Queue(Mutex<Batch>);

impl Queue {
    fn batch(&self) -> MutexGuard<'_, Batch> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The queues of all threads.
#[derive(Debug, Default)]
pub struct Queues {
    all: Mutex<Vec<(ThreadId, Arc<Queue>)>>,
    /// What all messages count that are not written yet.
    waiting: AtomicUsize,
    /// The writer has found nothing, and is to be woken.
    sleeps: AtomicBool,
    /// What is queued is the last.
    ends: AtomicBool,
}

impl Queues {
    fn all(&self) -> MutexGuard<'_, Vec<(ThreadId, Arc<Queue>)>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The queue of this thread.
    pub fn here(&self) -> Arc<Queue> {
        let here = thread::current().id();
        let mut all = self.all();
        if let Some((_, queue)) = all.iter().find(|(thread, _)| *thread == here) {
            return Arc::clone(queue);
        }
        let queue = Arc::<Queue>::default();
        all.push((here, Arc::clone(&queue)));
        queue
    }

    /// What is not written yet.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// So much of it is.
    pub fn written(&self, weight: usize) {
        self.waiting.fetch_sub(weight, Ordering::Relaxed);
    }

    /// Appends something, whose messages count so much, to a queue; whether the writer is to be
    /// woken.
    pub fn push(&self, queue: &Queue, weight: usize, put: impl FnOnce(&mut Batch)) -> bool {
        self.waiting.fetch_add(weight, Ordering::Relaxed);
        put(&mut queue.batch());
        // The lock orders this with the writer's last look.
        self.sleeps.load(Ordering::Relaxed) && self.sleeps.swap(false, Ordering::Relaxed)
    }

    /// Calls `write` with what each queue has; whether there was anything. `spare` is left in its
    /// place.
    pub fn drain(&self, spare: &mut Batch, mut write: impl FnMut(&mut Batch)) -> bool {
        let all: Vec<_> = self
            .all()
            .iter()
            .map(|(_, queue)| Arc::clone(queue))
            .collect();
        let mut is_any = false;
        for queue in all {
            std::mem::swap(&mut *queue.batch(), spare);
            is_any |= !spare.orders.is_empty();
            write(spare);
            spare.clear();
        }
        is_any
    }

    /// Waits until a queue has something; `wait` ends when somebody has been told to wake
    /// the writer, or for no reason.
    pub fn sleep(&self, wait: impl FnOnce()) {
        self.sleeps.store(true, Ordering::Relaxed);
        let is_empty = |queue: &Queue| queue.batch().orders.is_empty();
        let is_over = self.ends() || !self.all().iter().all(|(_, queue)| is_empty(queue));
        if !is_over {
            wait();
        }
        self.sleeps.store(false, Ordering::Relaxed);
    }

    /// Nothing that is queued from now on needs to be written.
    pub fn end(&self) {
        self.ends.store(true, Ordering::Release);
    }

    /// Whether that was said.
    pub fn ends(&self) -> bool {
        self.ends.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    fn say(batch: &mut Batch, text: &str) {
        let said = Said {
            time: UNIX_EPOCH,
            by: Side::Client,
            opcode: 1,
            length: text.len(),
        };
        batch.say(said, text.as_bytes());
    }

    /// Every connection's messages come whole and in order, and nothing is left behind, however
    /// those who push them and the one who takes them meet.
    #[test]
    fn what_is_laid_is_taken_once_and_in_order() {
        const CONNECTIONS: u64 = 4;
        const TURNS: usize = 2_000;
        let queues = Queues::default();
        let (sender, taken) = channel();
        thread::scope(|scope| {
            let writer = scope.spawn(|| {
                let mut spare = Batch::default();
                loop {
                    let ends = queues.ends();
                    let is_any = queues.drain(&mut spare, |batch| {
                        let (mut said, mut bytes) = (&batch.said[..], &batch.bytes[..]);
                        for order in batch.orders.drain(..) {
                            let Order::Messages(connection, count) = order else {
                                continue;
                            };
                            for one in &said[..count] {
                                let (text, behind) = bytes.split_at(one.length);
                                bytes = behind;
                                let text = String::from_utf8(text.to_vec()).expect("text");
                                sender.send((connection, text)).expect("a reader");
                                queues.written(one.length + OVERHEAD);
                            }
                            said = &said[count..];
                        }
                        assert!(said.is_empty() && bytes.is_empty());
                    });
                    if ends {
                        return;
                    }
                    if !is_any {
                        queues.sleep(|| thread::park_timeout(Duration::from_secs(60)));
                    }
                }
            });
            let writer = writer.thread().clone();
            let queues = &queues;
            let workers: Vec<_> = (0..CONNECTIONS)
                .map(|connection| {
                    let wake = writer.clone();
                    scope.spawn(move || {
                        let (queue, mut batch) = (queues.here(), Batch::default());
                        for turn in 0..TURNS {
                            for part in 0..turn % 3 {
                                say(&mut batch, &format!("{turn}.{part}"));
                            }
                            let weight = batch.weight();
                            if queues.push(&queue, weight, |queued| {
                                queued.take_messages(connection, &mut batch);
                            }) {
                                wake.unpark();
                            }
                            if turn % 100 == 0 {
                                // The writer may fall asleep.
                                thread::yield_now();
                            }
                        }
                    })
                })
                .collect();
            for worker in workers {
                worker.join().expect("no panic");
            }
            queues.end();
            writer.unpark();
        });
        drop(sender);
        let mut wanted =
            vec![
                (0..TURNS).flat_map(|turn| (0..turn % 3).map(move |part| format!("{turn}.{part}")));
                CONNECTIONS as usize
            ];
        for (connection, text) in taken {
            assert_eq!(wanted[connection as usize].next(), Some(text));
        }
        assert!(wanted.iter_mut().all(|left| left.next().is_none()));
        assert_eq!(queues.waiting(), 0);
    }
}
