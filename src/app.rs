//! The composition root: everything is bound and wired here, then run, then drained.

mod checks;
mod ready;

use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::task::JoinSet;

use crate::client::{Egress, Trust};
use crate::config::{Broker, Config, Engine, Interface, Limits, Listen, Metrics, Store, limits};
use crate::console::Console;
use crate::handlers::{Generation, Reconciler, Report};
use crate::http::{self, Health};
use crate::hub::{self, Hub};
use crate::keeper::{Ask, asking};
use crate::observe::accounts::Accounts;
use crate::observe::event::{Event, text};
use crate::observe::{live, metrics, terminal};
use crate::recording::Recorder;
use crate::runner::Rehearsal;
use crate::script::{self, Begun, Host, loops};
use crate::server::{
    self, Admission, Certificates, Gate, Listener, Order, Socket, State, Worker, notify,
};
use crate::store::{File, Memory, Notices, Shared, Shelf};
use crate::websocket::Ledger;

pub use checks::check;

/// How long a save waits to be announced for a worker on which it does not serve yet.
const SERVES: Duration = Duration::from_millis(500);

/// A server that is bound and has its handlers, and does not answer yet.
#[derive(Debug)]
pub struct App {
    listeners: Vec<Listener>,
    /// Of the metrics.
    monitors: Vec<TcpListener>,
    certificates: Option<Certificates>,
    reconciler: Reconciler,
    generation: Arc<Generation>,
    config: Config,
    host: Host,
    shelf: Arc<Shelf>,
    /// Whether it says on standard output that it serves.
    is_said: bool,
}

/// What scripts may reach besides values of their own. A service of the process is added here, in a
/// line: `.with(service)`.
pub fn host(settings: script::Settings) -> Host {
    Host::new(settings)
}

/// A control request to the running server, as signals make it.
#[derive(Debug)]
pub enum Signal {
    /// Look at handlers and certificates now.
    Reload,
    /// End; the exit code if it is to end at once.
    Stop(ExitCode),
}

impl App {
    /// Checks, reads and binds everything that can fail. `host` is what scripts reach, see
    /// [`host`].
    pub fn new(config: Config, host: Host) -> Result<Self> {
        checks::folders(&config)?;
        let mut reconciler = Reconciler::new(config.handlers.clone(), host.clone());
        if let Some(rehearse) = &config.rehearse {
            reconciler = reconciler.proven_by(Rehearsal::new(rehearse.clone(), host.clone()));
        }
        let (generation, report) = reconciler.first().with_context(|| {
            format!(
                "the handler folder {} cannot be read",
                config.handlers.root.display()
            )
        })?;
        let certificates = config.tls.clone().map(Certificates::new).transpose()?;
        let shelf = shelf(&config, &host)?;
        let listeners = listen(&config.listen)?;
        let monitors = match &config.metrics {
            Some(Metrics { host, port }) => {
                // Else nobody looks at the clock.
                metrics::measure_times();
                server::bind(host, *port, config.listen.backlog)
                    .map_err(|error| unbound(error, host, *port, "--metrics-port"))?
            }
            None => Vec::new(),
        };
        let is_encrypted = listeners.iter().any(|listener| listener.is_encrypted);
        if is_encrypted && certificates.is_none() {
            bail!(
                "a socket that was handed over is to speak TLS: give --tls, --certificate FILE and \
                --private-key FILE"
            );
        }
        let addresses = listeners.iter().filter_map(|listener| listener.socket.ip());
        http::check_bind(&config.admission, addresses.clone())?;
        if config.dev {
            http::check_dev(&config.admission, addresses)?;
        }
        // Before everything else that the log says of this run; a terminal shows the same on
        // standard output.
        if !config.at_terminal {
            Event::Start {
                version: env!("CARGO_PKG_VERSION"),
                addresses: &ready::addresses(&listeners),
                handlers: generation.entries.len(),
            }
            .tell();
        }
        if !monitors.is_empty() {
            let addresses = &ready::monitors(&monitors);
            Event::Metrics { addresses }.tell();
        }
        for warning in config.warnings.iter().chain(&warnings_of_memory(&config)) {
            Event::Configuration { warning }.tell();
        }
        terminal::reports_are_about(&config.handlers.root);
        announce(Some(&generation), &report, true);
        Ok(Self {
            listeners,
            monitors,
            certificates,
            reconciler,
            generation: Arc::new(generation),
            config,
            host,
            shelf,
            is_said: true,
        })
    }

    /// The same for one that is a part of something else, which says by itself where it is.
    pub fn unsaid(mut self) -> Self {
        self.is_said = false;
        self
    }

    /// Where it listens, ports that were left to the system among them.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        let tcp = self
            .listeners
            .iter()
            .filter_map(|listener| match &listener.socket {
                Socket::Tcp(socket) => socket.local_addr().ok(),
                Socket::Unix(_) => None,
            });
        tcp.collect()
    }

    /// Serves until the first [`Signal::Stop`], then drains: every connection is closed with 1001,
    /// within the bound. A second one cuts that short, and its code is returned.
    pub async fn run(self, mut signals: impl AsyncFnMut() -> Signal) -> Result<ExitCode> {
        let Self {
            listeners,
            monitors,
            certificates,
            reconciler,
            generation,
            config,
            host,
            shelf,
            is_said,
        } = self;
        let mut site = site(&config)?;
        let hub = hub(&config)?;
        if config.dev {
            live::turn_on();
            let console = Console::new(Arc::clone(&hub), Arc::clone(&shelf));
            let editing = config.editor.clone().map(|editor| {
                let root = &config.handlers.root;
                (
                    editor,
                    std::path::absolute(root).unwrap_or_else(|_| root.clone()),
                )
            });
            site.console = Some(Arc::new(console.editing(editing)));
        }
        let engines = [hub.broker().map(|broker| broker.health()), shelf.health()];
        let engines = engines.into_iter().flatten().map(Arc::clone);
        site.health.uses(engines.collect());
        let mut host = host
            .providing(Arc::clone(&shelf))
            .providing(Begun::default())
            .providing(Accounts::new(config.limits.traffic));
        // Whoever has made the host may know better where scripts may go.
        if host.service::<Arc<Egress>>().is_none() {
            host = host.providing(Arc::new(egress(&config)?));
        }
        let workers = (0..config.workers)
            .map(|number| {
                Worker::start(
                    Arc::clone(&generation),
                    &site,
                    &host,
                    &hub,
                    (number, config.workers),
                )
            })
            .collect::<std::io::Result<Vec<_>>>()
            .context("a worker thread cannot be started")?;
        let said = ready::text(&listeners, &monitors, &generation, &config);
        if !monitors.is_empty() {
            let (health, room) = (Arc::clone(&site.health), Arc::clone(&site.room));
            let shared = (Arc::clone(&hub), Arc::clone(&shelf));
            server::monitor(monitors, workers.clone(), health, room, shared)?;
        }
        let mut keepers = vec![keep_handlers(reconciler, workers.clone())?];
        if is_said {
            say_ready(said, &config, certificates.as_ref());
        }
        let admission = admission(&config, &site, certificates.as_ref());
        if let Some(certificates) = certificates {
            keepers.push(keep_certificates(certificates)?);
        }
        notify(State::Ready);
        site.health.accepts();
        let serving = async {
            stopped(&mut signals, &keepers).await;
            notify(State::Stopping);
            site.health.drains();
            wait_before_drain(config.drain_delay, &mut signals).await
        };
        let cut_short = tokio::select! {
            result = server::accept(listeners, admission, &workers) => {
                match result.context("accepting connections failed")? {}
            }
            code = serving => code,
        };
        if let Some(code) = cut_short {
            return Ok(code);
        }
        let code = tokio::select! {
            () = drain(&workers, config.drain) => ExitCode::SUCCESS,
            code = stopped_again(&mut signals) => code,
        };
        if let Some(recorder) = &site.recorder {
            recorder.finish();
        }
        shelf.close();
        Ok(code)
    }
}

/// The stores and queues. An engine that ends with the process goes by its clock that never jumps.
fn shelf(config: &Config, host: &Host) -> Result<Arc<Shelf>> {
    let (limits, clock) = (config.limits.stores, host.clock.clone());
    let notices = Arc::<Notices>::default();
    let told = Arc::clone(&notices);
    let millis = |seconds: f64| (seconds * 1000.0) as u64;
    let shelf = match &config.store {
        Store::Memory => {
            let engine = Arc::new(Memory::new(limits, told));
            let now = move || millis(clock.monotonic());
            Shelf::new(engine, notices, limits, now)
        }
        Store::File(path) => {
            let engine = Arc::new(File::open(path, limits, told)?);
            Shelf::new(engine, notices, limits, move || millis(clock.now()))
        }
        Store::Redis(url) => {
            let engine = Shared::start(url, &config.limits.engine, limits, told)
                .context("a thread for the store cannot be started")?;
            let engine = Arc::new(engine);
            let shared = Arc::clone(&engine);
            let now = move || shared.time(millis(clock.now()));
            Shelf::new(engine, notices, limits, now)
        }
    };
    Ok(Arc::new(shelf))
}

/// The way out of the process for scripts. The authorities that the system trusts are read if they
/// have one.
fn egress(config: &Config) -> Result<Egress> {
    let allowed = config.script.connect.clone();
    let trust = Trust {
        authorities: Trust::own_authority().into_iter().collect(),
        ..Trust::default()
    };
    let tls = match allowed.is_empty() {
        true => None,
        false => Some(
            trust
                .config()
                .context("--allow-connect: TLS cannot be set up")?,
        ),
    };
    let limits = &config.limits;
    Ok(Egress::new(
        allowed,
        tls,
        limits.egress,
        limits.websocket.message,
    ))
}

/// The topics, and what they go through.
fn hub(config: &Config) -> Result<Arc<Hub>> {
    let hub = Hub::new(config.workers, config.limits.topics);
    match &config.broker {
        Broker::Memory => Ok(Arc::new(hub)),
        Broker::Engine(url) => match url.engine {
            Engine::Redis => hub::start_redis(hub, url, &config.limits.engine)
                .context("a thread for the broker cannot be started"),
            Engine::Nats => hub::start_nats(hub, url, &config.limits.engine)
                .context("a thread for the broker cannot be started"),
        },
    }
}

/// What the workers' sites are told.
fn site(config: &Config) -> Result<http::Settings> {
    let document_root = config.document_root.as_ref();
    let document_root = document_root.map(|root| root.canonicalize()).transpose()?;
    let room = http::Descriptors::new(connections(&config.limits.connections));
    let files = document_root.map(|root| {
        let files = http::Files::new(root, Arc::clone(&room));
        Arc::new(files.developed(config.dev && config.inject))
    });
    let recorder = config.record.clone().map(|record| {
        let folder = record.folder.display().to_string();
        Recorder::start(record)
            .with_context(|| format!("--record {folder}: the folder cannot be made; give another"))
    });
    Ok(http::Settings {
        recorder: recorder.transpose()?,
        files,
        room,
        health: Arc::new(Health::new(config.workers)),
        probes: config.probes.clone(),
        dev: config.dev,
        access_log: config
            .access_log
            .unwrap_or(config.dev || config.at_terminal),
        limits: config.limits,
        admission: config.admission.clone(),
        proxy: config.proxy.clone(),
        deflate: config.deflate,
        link: config.link,
        ledger: Ledger::new(buffered(&config.limits)),
        console: None,
    })
}

/// Says on standard output, and in the log unless that is shown there as well, that the server
/// serves.
fn say_ready(said: String, config: &Config, certificates: Option<&Certificates>) {
    let advice = certificates.and_then(Certificates::advice);
    let said = said + advice.unwrap_or_default();
    let mut out = std::io::stdout().lock();
    // A closed standard output is nobody's loss.
    let _ = out.write_all(said.as_bytes()).and_then(|()| out.flush());
    drop(out);
    if !config.at_terminal {
        Event::Ready {}.tell();
    }
}

/// Who may come in, and how.
fn admission(
    config: &Config,
    site: &http::Settings,
    certificates: Option<&Certificates>,
) -> Admission {
    let limits = &config.limits;
    let gate = Gate::new(
        connections(&limits.connections),
        limits.connections.by_address,
        config.proxy.trusted.clone(),
    );
    let tls = config.tls.as_ref().zip(certificates);
    Admission {
        gate: Arc::new(gate),
        room: Arc::clone(&site.room),
        tls: tls.map(|(tls, certificates)| (certificates.current(), tls.handshake)),
        linger: limits.head.linger,
    }
}

/// Ready at the first signal to stop; until then the others are obeyed.
async fn stopped(signals: &mut impl AsyncFnMut() -> Signal, keepers: &[Ask]) {
    // Reloads under way end with it: nobody is told "ready" after "stopping".
    let mut reloads = JoinSet::new();
    loop {
        tokio::select! {
            signal = signals() => match signal {
                Signal::Reload => drop(reloads.spawn(reload(keepers.to_vec()))),
                Signal::Stop(_) => return,
            },
            Some(_) = reloads.join_next() => {}
        }
    }
}

/// Ready at another signal to stop, with its exit code.
async fn stopped_again(signals: &mut impl AsyncFnMut() -> Signal) -> ExitCode {
    loop {
        if let Signal::Stop(code) = signals().await {
            return code;
        }
    }
}

/// Load balancers are told to send nobody any more, and have this time to hear of it. A second
/// signal cuts it short with its exit code.
async fn wait_before_drain(
    time: Duration,
    signals: &mut impl AsyncFnMut() -> Signal,
) -> Option<ExitCode> {
    if time.is_zero() {
        return None;
    }
    let seconds = time.as_secs();
    Event::Unready { seconds }.tell();
    tokio::time::timeout(time, stopped_again(signals))
        .await
        .ok()
}

/// Binds everything that the configuration names. Sockets that were handed over take the place of
/// ports.
fn listen(listen: &Listen) -> Result<Vec<Listener>> {
    let inherited = server::inherited()
        .context("a socket that was handed over (LISTEN_FDS) cannot be listened on")?;
    let mut sockets = inherited;
    if listen.tls && !sockets.is_empty() && !sockets.iter().any(|(_, is_encrypted)| *is_encrypted) {
        bail!(
            "none of the sockets that were handed over would speak TLS: name one so with \
            FileDescriptorName=tls, or leave out --tls"
        );
    }
    if sockets.is_empty() {
        let ports = [
            (Some(listen.port), listen.tls, "--port"),
            (listen.tls_port, true, "--tls-port"),
        ];
        for (port, is_encrypted, flag) in ports {
            let Some(port) = port else { continue };
            let bound = server::bind(&listen.host, port, listen.backlog)
                .map_err(|error| unbound(error, &listen.host, port, flag))?;
            sockets.extend(
                bound
                    .into_iter()
                    .map(|socket| (Socket::Tcp(socket), is_encrypted)),
            );
        }
    }
    let ports = sockets.into_iter().map(|(socket, is_encrypted)| Listener {
        socket,
        is_encrypted,
        file: None,
    });
    let mut listeners: Vec<_> = ports.collect();
    for path in &listen.unix {
        let (socket, file) = server::bind_unix(path, listen.backlog).with_context(|| {
            format!(
                "cannot listen on the Unix-domain socket {}: give --unix-socket another path",
                path.display()
            )
        })?;
        listeners.push(Listener {
            socket: Socket::Unix(socket),
            is_encrypted: false,
            file: Some(file),
        });
    }
    Ok(listeners)
}

/// Returns the error for a port that cannot be listened on, with advice on what helps.
fn unbound(error: std::io::Error, host: &Interface, port: u16, flag: &str) -> anyhow::Error {
    use std::io::ErrorKind;
    let name = match host {
        Interface::Named(name) => name,
        Interface::Loopback => "loopback",
        Interface::Every => "every address",
    };
    let advice = match error.kind() {
        ErrorKind::NotFound => {
            "there is no such host: give --server-host a name or an address of this machine".into()
        }
        ErrorKind::AddrNotAvailable => {
            "that is no address of this machine: give --server-host another, or 0.0.0.0 for all of \
            them"
                .into()
        }
        ErrorKind::PermissionDenied => format!(
            "ports below 1024 need a privilege: give {flag} another, or a socket of systemd's"
        ),
        _ => format!("give {flag} another, or 0 for a free one"),
    };
    anyhow::Error::new(error).context(format!("cannot listen on {name}, port {port}: {advice}"))
}

/// Returns the connection limit: the configured one, or what the open-file limit leaves room for.
fn connections(limits: &limits::Connections) -> usize {
    limits.total.unwrap_or_else(|| {
        let files = rlimit::Resource::NOFILE
            .get_soft()
            .unwrap_or(limits::OPEN_FILES);
        let most = usize::try_from(files / 5 * 4).unwrap_or(usize::MAX);
        most.min(limits::MOST_CONNECTIONS)
    })
}

/// Returns the bound on message bytes that all connections hold together: the configured one, or a
/// share of the available memory.
fn buffered(limits: &Limits) -> usize {
    limits.buffered.unwrap_or_else(|| {
        let memory = server::memory().unwrap_or(usize::MAX);
        (memory / limits::BUFFERED_SHARE).max(limits::BUFFERED_LEAST)
    })
}

/// Returns warnings about the memory that is available, or may be used.
fn warnings_of_memory(config: &Config) -> Vec<String> {
    let mut warnings = Vec::new();
    let (buffered, message) = (buffered(&config.limits), config.limits.websocket.message);
    if buffered < message {
        warnings.push(format!(
            "a message of {message} bytes (--max-message) is never taken: all connections together \
            may hold {buffered} \
             (--max-buffered)"
        ));
    }
    let addresses = rlimit::Resource::AS.get_soft().ok();
    let needed = limits::ADDRESSES + (config.workers + limits::FEW_STACKS) * script::STACK;
    if let Some(limit) = addresses.filter(|limit| *limit < needed as u64) {
        warnings.push(format!(
            "address space is limited to {} MiB (ulimit -v, LimitAS=), of which each stack of hooks \
            reserves {} MiB: with few of them hooks that wait cost more time, and with none all \
            get 1011 or 500; bound the memory instead (MemoryMax=), or allow {} MiB at least",
            limit >> 20,
            script::STACK >> 20,
            needed >> 20,
        ));
    }
    warnings
}

/// Keeps the workers' handlers up to date, on a thread of its own.
fn keep_handlers(reconciler: Reconciler, workers: Vec<Worker>) -> Result<Ask> {
    let (ask, asked) = asking();
    let events = ask.clone();
    std::thread::Builder::new()
        .name("handlers".into())
        .stack_size(script::STACK)
        .spawn(move || {
            reconciler.run((events, asked), |generation, report| {
                let generation = generation.map(Arc::new);
                if let Some(generation) = &generation {
                    let (serves, all_serve) = std::sync::mpsc::channel();
                    for worker in &workers {
                        worker.tell(Order::Generation(Arc::clone(generation), serves.clone()));
                    }
                    drop(serves);
                    let _ = all_serve.recv_timeout(SERVES);
                }
                announce(generation.as_deref(), &report, false);
                true
            });
        })?;
    Ok(ask)
}

/// Keeps the certificates up to date, on a thread of its own: a slow disk is not to hold up who
/// connects.
fn keep_certificates(certificates: Certificates) -> Result<Ask> {
    let (ask, asked) = asking();
    std::thread::Builder::new()
        .name("certificates".into())
        .spawn(move || certificates.run(&asked))?;
    Ok(ask)
}

/// Has handlers and certificates looked at now, and tells the service manager when that is done.
async fn reload(keepers: Vec<Ask>) {
    Event::ReloadAsked {}.tell();
    notify(State::Reloading);
    for keeper in &keepers {
        keeper.done().await;
    }
    notify(State::Ready);
}

/// Logs what a look at the folder found. At the start the table says what is served.
fn announce(generation: Option<&Generation>, report: &Report, first: bool) {
    for file in report.added.iter().filter(|_| !first) {
        Event::HandlerAdded { file }.tell();
    }
    for (file, modules) in &report.reloaded {
        let modules = (!modules.is_empty()).then(|| modules.join(", "));
        let modules = modules.as_deref();
        Event::HandlerReloaded { file, modules }.tell();
        let entry = generation.and_then(|generation| generation.entries.get(file));
        let serving = entry.and_then(|entry| entry.source.as_ref());
        let version = serving.map_or(0, |source| source.version);
        for (version, count) in loops::of_other_versions(file, version) {
            let connections = match count {
                1 => "1 connection is".to_owned(),
                _ => format!("{count} connections are"),
            };
            let connections = connections.as_str();
            Event::LoopsStay {
                file,
                connections,
                version,
            }
            .tell();
        }
    }
    for file in &report.removed {
        Event::HandlerRemoved { file }.tell();
    }
    for (fault, files) in &report.broken {
        let others: Vec<_> = files
            .iter()
            .filter(|file| **file != fault.file)
            .cloned()
            .collect();
        let kept_back =
            (!others.is_empty()).then(|| format!("it keeps back {}", others.join(", ")));
        let notes: Vec<_> = kept_back.into_iter().collect();
        let report = fault.in_log(&notes);
        Event::HandlerBroken {
            file: &files.join(", "),
            report: text(&report),
            files,
            plain: fault,
        }
        .tell();
    }
    for problem in &report.problems {
        let file = &problem.file;
        if problem.location.is_some() {
            let report = problem.in_log(&[]);
            let report = text(&report);
            Event::HandlerDoubt {
                file,
                report,
                plain: problem,
            }
            .tell();
        } else {
            let problem = problem.message.as_str();
            Event::HandlerProblem { file, problem }.tell();
        }
    }
    for (file, what) in &report.over {
        Event::ProblemOver { file, what }.tell();
    }
}

async fn drain(workers: &[Worker], time: Duration) {
    let open = || workers.iter().map(Worker::connections).sum::<usize>();
    let connections = open();
    Event::Drain { connections }.tell();
    for worker in workers {
        worker.tell(Order::Drain(time));
    }
    let all_closed = async {
        while open() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    if tokio::time::timeout(time, all_closed).await.is_err() {
        let connections = open();
        Event::DrainOver { connections }.tell();
    }
}
