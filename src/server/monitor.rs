//! The thread of the metrics port: it asks the workers for their numbers, adds them up, and
//! answers.

use std::io;
use std::net::TcpListener;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot::error::TryRecvError;
use tokio::sync::{Mutex, Semaphore, oneshot};
use tokio::task::LocalSet;
use tokio::time::{Instant, sleep, timeout_at};

use super::worker::{Order, Worker};
use crate::http::{self, Descriptors, Health};
use crate::hub::Hub;
use crate::observe::metrics::{self, Snapshot};
use crate::store::Shelf;

/// How long a scrape waits for workers. One that hangs is not to make the others unseen.
const PATIENCE: Duration = Duration::from_secs(1);
/// Scrapers and probes at once; more of them wait to be accepted.
const AT_ONCE: usize = 32;
/// The pause after an accept that failed: there may be no descriptors left.
const PAUSE: Duration = Duration::from_millis(100);

/// Answers on these sockets from now on, on a thread of its own.
pub fn monitor(
    sockets: Vec<TcpListener>,
    workers: Vec<Worker>,
    health: Arc<Health>,
    room: Arc<Descriptors>,
    (hub, shelf): (Arc<Hub>, Arc<Shelf>),
) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let ask = workers
        .into_iter()
        .map(|worker| move |answer| worker.tell(Order::Report(answer)));
    let scraper = Scraper::new(ask);
    std::thread::Builder::new()
        .name("metrics".into())
        .spawn(move || {
            let port = Rc::new(Port {
                scraper: Mutex::new(scraper),
                health,
                room,
                hub,
                shelf,
                places: Arc::new(Semaphore::new(AT_ONCE)),
            });
            LocalSet::new().block_on(&runtime, async {
                for socket in sockets {
                    tokio::task::spawn_local(Rc::clone(&port).accept(socket));
                }
                std::future::pending::<()>().await;
            });
        })?;
    Ok(())
}

struct Port<F> {
    scraper: Mutex<Scraper<F>>,
    health: Arc<Health>,
    room: Arc<Descriptors>,
    hub: Arc<Hub>,
    shelf: Arc<Shelf>,
    places: Arc<Semaphore>,
}

impl<F: Fn(oneshot::Sender<Snapshot>) + 'static> Port<F> {
    async fn accept(self: Rc<Self>, socket: TcpListener) {
        let listening = socket
            .set_nonblocking(true)
            .and_then(|()| tokio::net::TcpListener::from_std(socket));
        let Ok(socket) = listening else { return };
        loop {
            let Ok(place) = Arc::clone(&self.places).acquire_owned().await else {
                return;
            };
            match socket.accept().await {
                Ok((stream, _)) => {
                    let port = Rc::clone(&self);
                    tokio::task::spawn_local(async move {
                        let scrape = async |format| port.scrape().await.text(format);
                        http::monitor(stream, &port.health, scrape).await;
                        drop(place);
                    });
                }
                Err(_) => sleep(PAUSE).await,
            }
        }
    }

    async fn scrape(&self) -> Snapshot {
        let mut sum = self.scraper.lock().await.scrape().await;
        sum.add(&metrics::elsewhere());
        sum.gauges.sockets = self.room.used() as u64;
        sum.topics = self.hub.tally.read();
        sum.stores = self.shelf.sizes();
        sum.store_times = self.shelf.times();
        sum.engines = self.hub.engines();
        sum.engines.extend(self.shelf.link());
        sum
    }
}

/// Asks all workers, and knows the last answer of each.
struct Scraper<F> {
    workers: Vec<Asked<F>>,
}

struct Asked<F> {
    ask: F,
    /// Its answer that is still to come: a worker that hangs is not asked again and again.
    pending: Option<oneshot::Receiver<Snapshot>>,
    last: Snapshot,
}

impl<F: Fn(oneshot::Sender<Snapshot>)> Scraper<F> {
    fn new(workers: impl Iterator<Item = F>) -> Self {
        let asked = |ask| Asked {
            ask,
            pending: None,
            last: Snapshot::default(),
        };
        Self {
            workers: workers.map(asked).collect(),
        }
    }

    /// The sum of what all have counted: of one that does not answer in time, up to its last
    /// answer, since counters must not go down.
    async fn scrape(&mut self) -> Snapshot {
        for worker in &mut self.workers {
            worker.ask();
        }
        let until = Instant::now() + PATIENCE;
        let mut sum = Snapshot::default();
        for worker in &mut self.workers {
            let has_answered = worker.hear(until).await;
            sum.gauges.workers += 1;
            sum.gauges.workers_silent += u64::from(!has_answered);
            sum.add(&worker.last);
        }
        sum
    }
}

impl<F: Fn(oneshot::Sender<Snapshot>)> Asked<F> {
    fn ask(&mut self) {
        // An answer that came after the last scrape is old by now.
        if let Some(pending) = &mut self.pending
            && !matches!(pending.try_recv(), Err(TryRecvError::Empty))
        {
            self.pending = None;
        }
        if self.pending.is_none() {
            let (answer, pending) = oneshot::channel();
            (self.ask)(answer);
            self.pending = Some(pending);
        }
    }

    /// Whether its answer came in time.
    async fn hear(&mut self, until: Instant) -> bool {
        let Some(pending) = &mut self.pending else {
            return false;
        };
        let Ok(answer) = timeout_at(until, pending).await else {
            return false;
        };
        self.pending = None;
        // A worker that is gone says nothing, and hangs for ever.
        answer.map(|snapshot| self.last = snapshot).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::observe::metrics::Gauges;

    /// What a worker answers: so many waiting hooks.
    fn waiting(fibers_waiting: u64) -> Snapshot {
        metrics::Meters::default().snapshot(Gauges {
            fibers_waiting,
            ..Gauges::default()
        })
    }

    #[tokio::test(start_paused = true)]
    async fn a_worker_that_hangs_holds_up_nobody_and_takes_nothing_away() {
        let asked = RefCell::new(Vec::new());
        let answers = std::cell::Cell::new(true);
        let workers = [0, 1].map(|number| {
            let (asked, answers) = (&asked, &answers);
            move |answer: oneshot::Sender<Snapshot>| {
                if number == 0 || answers.get() {
                    let _ = answer.send(waiting(number + 1));
                } else {
                    asked.borrow_mut().push(answer);
                }
            }
        });
        let mut scraper = Scraper::new(workers.into_iter());
        let seen = |sum: &Snapshot| {
            let Gauges {
                fibers_waiting,
                workers,
                workers_silent,
                ..
            } = sum.gauges;
            (fibers_waiting, workers, workers_silent)
        };
        assert_eq!(seen(&scraper.scrape().await), (3, 2, 0));
        answers.set(false);
        for _ in 0..3 {
            let begun = Instant::now();
            assert_eq!(seen(&scraper.scrape().await), (3, 2, 1), "its last answer");
            assert!(begun.elapsed() < PATIENCE * 2);
        }
        assert_eq!(
            asked.borrow().len(),
            1,
            "it is asked once, and not again and again"
        );
        answers.set(true);
        for answer in asked.take() {
            let _ = answer.send(waiting(7));
        }
        assert_eq!(seen(&scraper.scrape().await), (3, 2, 0), "asked anew");
    }
}
