//! What a test has to itself: hub, store, clock, chance, and handlers that serve.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use tokio::io::DuplexStream;
use tokio::sync::{Semaphore, oneshot};
use tokio::task::{LocalSet, spawn_local};

use super::client::Client;
use super::mocks::Mocks;
use crate::client::Egress;
use crate::config::limits::FILES;
use crate::config::{Admission, Deflate, Destinations, Limits, Proxy};
use crate::handlers::Generation;
use crate::http::{self, Site};
use crate::hub::{Delivery, Hub, Recorded, Seat};
use crate::machine::clock::Clock;
use crate::machine::random::Random;
use crate::observe::accounts::Accounts;
use crate::observe::metrics::Meters;
use crate::script::{self, Begun, Compiler, Coverage, Fault, Host, Runtime, Services, Source};
use crate::store::{Memory, Notices, Shelf};
use crate::websocket::{Ledger, Shared};

/// The time of day at which every test begins: the first of January 2026.
pub const BEGIN: f64 = 1_767_225_600.0;
/// The unit of the connections' clock.
const SECOND: Duration = Duration::from_secs(1);
/// Seconds between two looks at what nobody uses any more, which costs more than the rest of one.
const TIDY: u32 = 64;
/// Turns that handlers have to begin, before a test does.
const TURNS: usize = 64;
/// Bytes that are under way in each direction of a stream in memory.
const PIPE: usize = 256 * 1024;

/// What all tests of a run have in common.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The handlers.
    pub generation: Arc<Generation>,
    /// What scripts may do, with what tests may call.
    pub host: Host,
    /// What random numbers follow from.
    pub seed: u64,
    /// The real time that a test may take.
    pub limit: Duration,
    /// The time of day at which it begins, in seconds since 1970.
    pub begin: f64,
    /// Who may connect.
    pub admission: Admission,
    /// Where it is told which lines have run, if anybody asks.
    pub coverage: Option<Arc<Coverage>>,
}

impl Plan {
    /// Takes note of all lines of handlers, whether or not they will run, if anybody asks.
    pub fn expect_lines(&self) {
        let Some(coverage) = &self.coverage else {
            return;
        };
        let compiler = Compiler::new(&self.host.clone().providing(Arc::clone(coverage)));
        let entries = self.generation.entries.values();
        for source in entries.filter_map(|entry| entry.source.as_ref()) {
            for (file, text) in source.texts() {
                // What does not compile does not run.
                let _ = compiler.parse(file, text);
            }
        }
    }
}

/// What came of a test.
#[derive(Debug)]
pub struct Outcome {
    /// The fault that it failed for.
    pub fault: Option<Box<Fault>>,
    /// Where what was found differs from what was expected.
    pub difference: Option<String>,
    /// The real time that it took.
    pub took: Duration,
    /// The time that passed in it.
    pub passed: Duration,
}

/// A running test's world.
pub struct World {
    site: Rc<Site>,
    hub: Arc<Hub>,
    /// They stay open until the test ends, whether or not it still knows them.
    clients: RefCell<Vec<Client>>,
    /// What other servers answer.
    mocks: Mocks,
    difference: RefCell<Option<String>>,
    port: Cell<u16>,
}

thread_local! {
    /// That of the test that this thread runs.
    static CURRENT: RefCell<Option<Rc<World>>> = const { RefCell::new(None) };
}

impl World {
    /// The world of the test that runs.
    pub fn current() -> Option<Rc<Self>> {
        CURRENT.with_borrow(Clone::clone)
    }

    /// Has the server take a new connection; the client's end of it.
    pub fn dial(&self) -> DuplexStream {
        let (near, far) = tokio::io::duplex(PIPE);
        let port = self.port.get();
        self.port.set(port.wrapping_add(1).max(1024));
        let address = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
        let client = http::Client {
            address: Some(address),
            ..http::Client::default()
        };
        spawn_local(http::serve(Rc::clone(&self.site), far, client, ()));
        near
    }

    /// Keeps a client's connection open.
    pub fn keep(&self, client: Client) {
        self.clients.borrow_mut().push(client);
    }

    /// What other servers answer, and what they were asked.
    pub fn mocks(&self) -> &Mocks {
        &self.mocks
    }

    /// What was published in a topic.
    pub fn published(&self, topic: &str) -> Vec<Recorded> {
        self.hub.published(topic)
    }

    /// Takes note of where two values differ, for the report.
    pub fn differ(&self, difference: String) {
        *self.difference.borrow_mut() = Some(difference);
    }
}

/// Runs one test in a world of its own. `Err` is the system's, which has no more of something.
pub fn run(plan: &Plan, source: &Arc<Source>, name: &str) -> io::Result<Outcome> {
    let began = Instant::now();
    let (_running, over) = watchdog(plan.limit)?;
    let outcome = LocalSet::new().block_on(&clockwork()?, async {
        let begun = tokio::time::Instant::now();
        let world = begin(plan).await;
        CURRENT.set(Some(Rc::clone(&world)));
        let limit = async {
            let _ = over.await;
        };
        let fault = script::run_test(&world.site.runtime, source, name, limit).await;
        CURRENT.set(None);
        let difference = fault.as_ref().and_then(|_| world.difference.take());
        world.clients.borrow_mut().clear();
        Outcome {
            fault,
            difference,
            took: began.elapsed(),
            passed: begun.elapsed(),
        }
    });
    Ok(outcome)
}

/// Does something in a world of its own; `None` if its real time was over before. `Err` is the
/// system's.
pub fn inside<T>(plan: &Plan, work: impl AsyncFnOnce(&World) -> T) -> io::Result<Option<T>> {
    let (_running, over) = watchdog(plan.limit)?;
    let done = LocalSet::new().block_on(&clockwork()?, async {
        let world = begin(plan).await;
        tokio::select! {
            done = work(&world) => Some(done),
            _ = over => None,
        }
    });
    Ok(done)
}

/// A runtime whose clock stands still while anybody has something to do.
fn clockwork() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
}

/// Has somebody told when so much real time is over: a thread, since the test's own clock may stand
/// still. It ends when the first of the two is dropped.
fn watchdog(limit: Duration) -> io::Result<(mpsc::Sender<()>, oneshot::Receiver<()>)> {
    let (running, ended) = mpsc::channel();
    let (tell, over) = oneshot::channel();
    thread::Builder::new().spawn(move || {
        if ended.recv_timeout(limit) == Err(mpsc::RecvTimeoutError::Timeout) {
            let _ = tell.send(());
        }
    })?;
    Ok((running, over))
}

/// A worker with these handlers, and everything that they reach, as new. Their `on_load` has run.
async fn begin(plan: &Plan) -> Rc<World> {
    let limits = Limits::default();
    let mut host = plan.host.clone();
    host.clock = Clock::starting_at(plan.begin);
    host.random = Random::seeded(plan.seed);
    let shelf = Arc::new(shelf(&limits, host.clock.clone()));
    let hub = Arc::new(Hub::new(1, limits.topics).recording());
    let seat = Seat {
        hub: Arc::clone(&hub),
        worker: 0,
    };
    // Nobody is reached outside: of this way out only the bounds count.
    let (egress, longest) = (limits.egress, limits.websocket.message);
    let egress = Egress::new(Destinations::default(), None, egress, longest);
    let host = host
        .providing(Arc::clone(&shelf))
        .providing(seat)
        .providing(Arc::new(egress));
    let host = host.providing(Begun::default());
    let mut host = host.providing(Accounts::new(limits.traffic));
    if let Some(coverage) = &plan.coverage {
        host = host.providing(Arc::clone(coverage));
    }
    Meters::start();
    let ledger = Ledger::new(usize::MAX / 2);
    let shared = Shared::new(limits.websocket).within(Arc::clone(&ledger));
    let site = Rc::new(Site {
        generation: RefCell::new(Arc::clone(&plan.generation)),
        runtime: Rc::new(Runtime::new(&host)),
        shared: Rc::new(shared),
        turns: Semaphore::new(FILES.at_once),
        settings: settings(plan, limits, ledger),
    });
    let runtime = Rc::clone(&site.runtime);
    spawn_local(async move { runtime.run_turns().await });
    let alarms = Rc::clone(&site.shared);
    spawn_local(async move { alarms.clock.run().await });
    let newcomers = Rc::clone(&site.runtime.newcomers);
    let delivery = Delivery::new(Arc::clone(&hub), 0, Rc::clone(&site.shared), newcomers);
    spawn_local(delivery.run());
    spawn_local(tick(Rc::clone(&site), Arc::clone(&hub), shelf));
    for _ in 0..TURNS {
        tokio::task::yield_now().await;
    }
    World {
        site,
        hub,
        clients: RefCell::default(),
        mocks: Mocks::default(),
        difference: RefCell::default(),
        port: Cell::new(1024),
    }
    .into()
}

/// Lets the seconds pass for what counts them, as a worker does.
async fn tick(site: Rc<Site>, hub: Arc<Hub>, shelf: Arc<Shelf>) {
    let mut services = Services::default();
    services.update(&site.runtime, &site.generation.borrow().services());
    let mut seconds = 0_u32;
    loop {
        tokio::time::sleep(SECOND).await;
        site.shared.tick(true);
        hub.tick();
        shelf.tick();
        seconds = seconds.wrapping_add(1);
        if seconds.is_multiple_of(TIDY) {
            site.runtime.tick();
        }
    }
}

/// Stores and queues in memory.
fn shelf(limits: &Limits, clock: Clock) -> Shelf {
    let notices = Arc::<Notices>::default();
    let engine = Arc::new(Memory::new(limits.stores, Arc::clone(&notices)));
    let now = move || (clock.monotonic() * 1000.0) as u64;
    Shelf::new(engine, notices, limits.stores, now)
}

/// A server as it is without flags, but for who may connect.
fn settings(plan: &Plan, limits: Limits, ledger: Arc<Ledger>) -> http::Settings {
    http::Settings {
        recorder: None,
        files: None,
        room: http::Descriptors::new(usize::MAX / 2),
        health: Arc::new(http::Health::new(1)),
        dev: plan.host.settings.dev,
        access_log: false,
        limits,
        admission: plan.admission.clone(),
        proxy: Proxy::default(),
        probes: Vec::new(),
        deflate: Deflate::default(),
        link: None,
        ledger,
        console: None,
    }
}
