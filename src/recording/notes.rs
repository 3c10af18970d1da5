//! Notes of what connections say, on their way to the thread that writes it down.
//!
//! A connection gathers the messages of a turn by itself, and lays them on its worker's desk when
//! the turn ends: no message takes a lock, an allocation or a look at the clock of its own. The
//! writer takes a whole desk at once, and leaves an empty one whose memory is used again.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};
use std::time::SystemTime;

use super::{Ending, Head, Side};

/// What a message counts besides its bytes.
pub const OVERHEAD: usize = size_of::<Said>();
/// Bytes of memory that notes keep for what comes next.
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
pub struct Notes {
    /// The orders.
    pub orders: Vec<Order>,
    /// The messages of all of them.
    pub said: Vec<Said>,
    /// Their bytes.
    pub bytes: Vec<u8>,
}

impl Notes {
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

/// Where the connections of one thread lay what they have noted.
#[derive(Debug, Default)]
pub struct Desk(Mutex<Notes>);

impl Desk {
    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The desks of all threads, and who writes down what lies on them.
#[derive(Debug, Default)]
pub struct Office {
    desks: Mutex<Vec<(ThreadId, Arc<Desk>)>>,
    /// What all messages count that are not written yet.
    waiting: AtomicUsize,
    /// The writer has found nothing, and is to be woken.
    sleeps: AtomicBool,
    /// What lies there is the last.
    ends: AtomicBool,
}

impl Office {
    fn desks(&self) -> MutexGuard<'_, Vec<(ThreadId, Arc<Desk>)>> {
        self.desks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The desk of this thread.
    pub fn desk(&self) -> Arc<Desk> {
        let here = thread::current().id();
        let mut desks = self.desks();
        if let Some((_, desk)) = desks.iter().find(|(thread, _)| *thread == here) {
            return Arc::clone(desk);
        }
        let desk = Arc::<Desk>::default();
        desks.push((here, Arc::clone(&desk)));
        desk
    }

    /// What is not written yet.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// So much of it is.
    pub fn written(&self, weight: usize) {
        self.waiting.fetch_sub(weight, Ordering::Relaxed);
    }

    /// Has something put on a desk, whose messages count so much; whether the writer is to be
    /// woken.
    pub fn lay(&self, desk: &Desk, weight: usize, put: impl FnOnce(&mut Notes)) -> bool {
        self.waiting.fetch_add(weight, Ordering::Relaxed);
        put(&mut desk.notes());
        // The lock orders this with the writer's last look.
        self.sleeps.load(Ordering::Relaxed) && self.sleeps.swap(false, Ordering::Relaxed)
    }

    /// Calls `write` with what lies on each desk; whether there was anything. `spare` is left in
    /// its place.
    pub fn clear_desks(&self, spare: &mut Notes, mut write: impl FnMut(&mut Notes)) -> bool {
        let desks: Vec<_> = self
            .desks()
            .iter()
            .map(|(_, desk)| Arc::clone(desk))
            .collect();
        let mut is_any = false;
        for desk in desks {
            std::mem::swap(&mut *desk.notes(), spare);
            is_any |= !spare.orders.is_empty();
            write(spare);
            spare.clear();
        }
        is_any
    }

    /// Waits until there is something on a desk; `wait` ends when somebody has been told to wake
    /// the writer, or for no reason.
    pub fn sleep(&self, wait: impl FnOnce()) {
        self.sleeps.store(true, Ordering::Relaxed);
        let is_empty = |desk: &Desk| desk.notes().orders.is_empty();
        let is_over = self.ends() || !self.desks().iter().all(|(_, desk)| is_empty(desk));
        if !is_over {
            wait();
        }
        self.sleeps.store(false, Ordering::Relaxed);
    }

    /// Nothing that is laid from now on needs to be written.
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

    fn say(notes: &mut Notes, text: &str) {
        let said = Said {
            time: UNIX_EPOCH,
            by: Side::Client,
            opcode: 1,
            length: text.len(),
        };
        notes.say(said, text.as_bytes());
    }

    /// Every connection's messages come whole and in order, and nothing is left behind, however
    /// those who lay them and the one who takes them meet.
    #[test]
    fn what_is_laid_is_taken_once_and_in_order() {
        const CONNECTIONS: u64 = 4;
        const TURNS: usize = 2_000;
        let office = Office::default();
        let (sender, taken) = channel();
        thread::scope(|scope| {
            let writer = scope.spawn(|| {
                let mut spare = Notes::default();
                loop {
                    let ends = office.ends();
                    let is_any = office.clear_desks(&mut spare, |notes| {
                        let (mut said, mut bytes) = (&notes.said[..], &notes.bytes[..]);
                        for order in notes.orders.drain(..) {
                            let Order::Messages(connection, count) = order else {
                                continue;
                            };
                            for one in &said[..count] {
                                let (text, behind) = bytes.split_at(one.length);
                                bytes = behind;
                                let text = String::from_utf8(text.to_vec()).expect("text");
                                sender.send((connection, text)).expect("a reader");
                                office.written(one.length + OVERHEAD);
                            }
                            said = &said[count..];
                        }
                        assert!(said.is_empty() && bytes.is_empty());
                    });
                    if ends {
                        return;
                    }
                    if !is_any {
                        office.sleep(|| thread::park_timeout(Duration::from_secs(60)));
                    }
                }
            });
            let writer = writer.thread().clone();
            let office = &office;
            let workers: Vec<_> = (0..CONNECTIONS)
                .map(|connection| {
                    let wake = writer.clone();
                    scope.spawn(move || {
                        let (desk, mut batch) = (office.desk(), Notes::default());
                        for turn in 0..TURNS {
                            for part in 0..turn % 3 {
                                say(&mut batch, &format!("{turn}.{part}"));
                            }
                            let weight = batch.weight();
                            if office.lay(&desk, weight, |notes| {
                                notes.take_messages(connection, &mut batch);
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
            office.end();
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
        assert_eq!(office.waiting(), 0);
    }
}
