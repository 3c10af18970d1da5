//! A worker: one thread with its own runtime, engine, buffers and connections. What crosses to it
//! is an order.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{Semaphore, oneshot};
use tokio::task::LocalSet;
use tokio::time::MissedTickBehavior;

use super::drain;
use super::gate::{Gate, GatePermit};
use super::proxy_protocol;
use super::refusal;
use super::stream::{Peek, Stream};
use super::tls::{self, Terms};
use crate::config::limits::{self, FILES};
use crate::handlers::Generation;
use crate::http::{self, Client, Descriptors, Kind, Site, log_refusal};
use crate::hub::{Delivery, Hub, Seat};
use crate::observe::live;
use crate::observe::metrics::{Gauges, Meters, Snapshot};
use crate::script::{self, Host, Runtime, Services};
use crate::store::Shelf;
use crate::websocket::{Shared, Transport};

/// The unit of the connections' clock.
const SECOND: Duration = Duration::from_secs(1);

/// An order to a worker, from another thread.
#[derive(Debug)]
pub enum Order {
    /// Serve this connection.
    Connection(Arrival, Permit),
    /// These handlers serve from now on; the sender is dropped when they do.
    Generation(Arc<Generation>, Sender<()>),
    /// Close every connection within this time; take no more.
    Drain(Duration),
    /// Say what was counted.
    Report(oneshot::Sender<Snapshot>),
}

/// An accepted connection on its way to a worker.
#[derive(Debug)]
pub struct Arrival {
    /// The stream, before its first byte.
    pub stream: Stream,
    /// The peer, as far as the socket tells.
    pub client: Client,
    /// Terms of its TLS handshake; `None` if it speaks plain HTTP.
    pub tls: Option<Terms>,
    /// Its place among the connections of its address.
    pub place: Option<GatePermit>,
    /// The gate that gives it a place, once a proxy has told its address.
    pub gate: Arc<Gate>,
}

/// A worker as others hold it.
#[derive(Debug, Clone)]
pub struct Worker {
    orders: UnboundedSender<Order>,
    load: Arc<Load>,
}

/// The load of a worker, in connections.
#[derive(Debug)]
struct Load {
    connections: AtomicUsize,
    /// All workers' together.
    room: Arc<Descriptors>,
}

/// Counts a connection for as long as it lives.
#[derive(Debug)]
pub struct Permit {
    load: Arc<Load>,
    place: Option<GatePermit>,
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.load.connections.fetch_sub(1, Ordering::Relaxed);
        self.load.room.leave();
    }
}

impl Worker {
    /// Starts the thread: number so and so of so many.
    pub fn start(
        generation: Arc<Generation>,
        site: &http::Settings,
        host: &Host,
        hub: &Arc<Hub>,
        (number, workers): (usize, usize),
    ) -> std::io::Result<Self> {
        let seat = Seat {
            hub: Arc::clone(hub),
            worker: number,
        };
        let (site, mut host) = (site.clone(), host.clone().providing(seat.clone()));
        let room = Arc::clone(&site.room);
        let limits = &mut host.settings.limits;
        limits.fibers = limits.fibers.div_ceil(workers);
        limits.stacks = limits.stacks.div_ceil(workers);
        limits.waiting = limits.waiting.div_ceil(workers);
        limits.receiving = limits.receiving.div_ceil(workers);
        limits.frames = limits.frames.div_ceil(workers);
        // Unbounded, but what is in it holds a socket, a generation, a question or an end: their
        // numbers are bounded elsewhere.
        let (orders, inbox) = unbounded_channel();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(FILES.at_once)
            .build()?;
        std::thread::Builder::new()
            .name(format!("worker {number}"))
            .spawn(move || {
                LocalSet::new().block_on(&runtime, run(inbox, generation, site, host, seat));
            })?;
        Ok(Self {
            orders,
            load: Arc::new(Load {
                connections: AtomicUsize::new(0),
                room,
            }),
        })
    }

    /// Returns the number of connections it has.
    pub fn connections(&self) -> usize {
        self.load.connections.load(Ordering::Relaxed)
    }

    /// Gives it a connection.
    pub fn take(&self, mut arrival: Arrival) {
        self.load.connections.fetch_add(1, Ordering::Relaxed);
        self.load.room.enter();
        let permit = Permit {
            load: Arc::clone(&self.load),
            place: arrival.place.take(),
        };
        self.tell(Order::Connection(arrival, permit));
    }

    /// Gives it an order.
    pub fn tell(&self, order: Order) {
        // A worker that is gone has no use for it; the process is about to end.
        let _ = self.orders.send(order);
    }
}

async fn run(
    mut orders: UnboundedReceiver<Order>,
    generation: Arc<Generation>,
    site: http::Settings,
    host: Host,
    Seat {
        hub,
        worker: number,
    }: Seat,
) {
    let meters = Meters::start();
    let shelf = host.service::<Arc<Shelf>>();
    let runtime = Rc::new(Runtime::new(&host));
    let shared = Rc::new(Shared::new(site.limits.websocket).within(Arc::clone(&site.ledger)));
    let site = Rc::new(Site {
        generation: RefCell::new(generation),
        runtime,
        shared,
        turns: Semaphore::new(FILES.at_once),
        settings: site,
    });
    // What runs once in the process runs on the first worker.
    let is_first = number == 0;
    let mut services = is_first.then(Services::default);
    if let Some(services) = &mut services {
        services.update(&site.runtime, &site.generation.borrow().services());
    }
    let turns = Rc::clone(&site.runtime);
    tokio::task::spawn_local(async move { turns.run_turns().await });
    let alarms = Rc::clone(&site.shared);
    tokio::task::spawn_local(async move { alarms.clock.run().await });
    let delivery = Delivery::new(
        Arc::clone(&hub),
        number,
        Rc::clone(&site.shared),
        Rc::clone(&site.runtime.newcomers),
    );
    tokio::task::spawn_local(delivery.run());
    if let Some(console) = &site.settings.console {
        let attending = Arc::clone(console).attend(Rc::clone(&site.runtime));
        tokio::task::spawn_local(attending);
    }
    let mut tick = tokio::time::interval(SECOND);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last = Instant::now();
    loop {
        tokio::select! {
            order = orders.recv() => match order {
                Some(Order::Report(answer)) => {
                    let gauges = Gauges {
                        fibers_waiting: site.runtime.waiting() as u64,
                        ..Gauges::default()
                    };
                    // Whoever asked may have left.
                    let _ = answer.send(meters.snapshot(gauges));
                }
                Some(order) => obey(&site, order, &mut services),
                None => return,
            },
            _ = tick.tick() => {
                // After a stop, or a long wait for the processor, what peers have answered
                // meanwhile is still to be read.
                site.shared.tick(last.elapsed() < 2 * SECOND);
                last = Instant::now();
                site.settings.health.tick(number);
                site.runtime.tick();
                if is_first {
                    live::tick();
                    hub.tick();
                    if let Some(shelf) = &shelf {
                        shelf.tick();
                    }
                }
                http::tick();
            }
        }
    }
}

fn obey(site: &Rc<Site>, order: Order, services: &mut Option<Services>) {
    match order {
        Order::Connection(arrival, permit) => receive(site, arrival, permit),
        Order::Generation(generation, serves) => {
            for source in generation
                .entries
                .values()
                .filter_map(|entry| entry.source.as_ref())
            {
                if site.runtime.is_outdated(source) {
                    let reload = script::reload(Rc::clone(&site.runtime), Arc::clone(source));
                    let serves = serves.clone();
                    tokio::task::spawn_local(async move {
                        reload.await;
                        drop(serves);
                    });
                }
            }
            if let Some(services) = services {
                services.update(&site.runtime, &generation.services());
            }
            *site.generation.borrow_mut() = generation;
        }
        // Answered where the meters are.
        Order::Report(_) => {}
        Order::Drain(time) => {
            *services = None;
            tokio::task::spawn_local(drain::close_all(Rc::clone(site), time));
        }
    }
}

/// Starts the task of a connection.
fn receive(site: &Rc<Site>, arrival: Arrival, permit: Permit) {
    let Arrival {
        stream,
        client,
        tls,
        place: _,
        gate,
    } = arrival;
    let site = Rc::clone(site);
    match stream {
        Stream::Tcp(stream) => {
            if let Ok(stream) = tokio::net::TcpStream::from_std(stream) {
                tokio::task::spawn_local(serve(site, stream, client, tls, gate, permit));
            }
        }
        Stream::Unix(stream) => {
            if let Ok(stream) = tokio::net::UnixStream::from_std(stream) {
                tokio::task::spawn_local(serve(site, stream, client, tls, gate, permit));
            }
        }
    }
}

/// From the raw stream to the one that HTTP is spoken on.
async fn serve<S>(
    site: Rc<Site>,
    mut stream: S,
    client: Client,
    tls: Option<Terms>,
    gate: Arc<Gate>,
    mut permit: Permit,
) where
    S: Transport + Peek + 'static,
{
    let settings = &site.settings;
    let peer = client.address;
    let limits::Head { time, linger, .. } = settings.limits.head;
    let client = tokio::select! {
        client = proxy_protocol::read(&mut stream, client, &settings.proxy, time) => client,
        () = site.shared.drained() => None,
    };
    let Some(mut client) = client else { return };
    if client.address != peer {
        // The proxy's own connections are counted in total only; whose it passes on, by their
        // address.
        match gate.place(client.address) {
            Ok(place) => permit.place = place,
            Err(refusal) => {
                log_refusal(Kind::Address, &client, None, &refusal.to_string());
                return Box::pin(refusal::tell(stream, tls.is_some(), linger)).await;
            }
        }
    }
    drop(gate);
    let Some(mut terms) = tls else {
        return http::serve(site, stream, client, permit).await;
    };
    let begun = Instant::now();
    let first = tokio::select! {
        first = tokio::time::timeout(terms.time, stream.first_byte()) => first.ok().flatten(),
        () = site.shared.drained() => return,
    };
    // A handshake begins with 22; a request with a letter.
    if first.is_some_and(|first| first.is_ascii_uppercase()) {
        return Box::pin(tls::refuse_plain(stream, &client, &settings.limits.head)).await;
    }
    terms.time = terms.time.saturating_sub(begun.elapsed());
    // It takes several times the memory of all the rest, for as long as it lasts. In a statement of
    // its own: as a part of the next one it would have its place in this future as well.
    let handshake = Box::pin(tls::shake_hands(stream, &terms, &client, linger));
    let encrypted = tokio::select! {
        encrypted = handshake => encrypted,
        () = site.shared.drained() => return,
    };
    // Whoever keeps a connection for hours is not to keep a certificate that was replaced.
    drop(terms);
    if let Some((stream, subject)) = encrypted {
        client.secure = true;
        client.subject = subject;
        http::serve(site, stream, client, permit).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::ScriptSession;
    use crate::websocket::Connection;

    /// Tasks are aligned to 128 bytes, of which tokio has 104 for itself: with a byte more in a
    /// connection each of them would take 512 instead of 384.
    #[test]
    #[cfg(target_arch = "x86_64")]
    fn a_connections_task_is_small() {
        type Task = Connection<tokio::net::TcpStream, ScriptSession<Permit>>;
        assert!(size_of::<Task>() <= 384 - 104);
    }
}
