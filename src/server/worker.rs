//! A worker: one thread with its own runtime, engine, buffers and connections. What crosses to it is an order.

use std::cell::RefCell;
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::LocalSet;
use tokio::time::MissedTickBehavior;

use crate::config::limits;
use crate::handlers::Generation;
use crate::http::{self, Site};
use crate::script::{self, Runtime};
use crate::websocket::{Close, Shared, close};

/// What a worker is told.
#[derive(Debug)]
pub enum Order {
    /// Serve this connection.
    Connection(TcpStream, SocketAddr, Permit),
    /// These handlers serve from now on.
    Generation(Arc<Generation>),
    /// Close every connection; take no more.
    Drain,
}

/// A worker as others hold it.
#[derive(Debug, Clone)]
pub struct Worker {
    orders: UnboundedSender<Order>,
    connections: Arc<AtomicUsize>,
}

/// Counts a connection for as long as it lives.
#[derive(Debug)]
pub struct Permit(Arc<AtomicUsize>);

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Worker {
    /// Starts the thread.
    pub fn start(
        name: String,
        generation: Arc<Generation>,
        document_root: Option<PathBuf>,
        workers: usize,
    ) -> std::io::Result<Self> {
        // Unbounded, but what is in it holds a socket, a generation or an end: their numbers are bounded elsewhere.
        let (orders, inbox) = unbounded_channel();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        std::thread::Builder::new().name(name).spawn(move || {
            LocalSet::new().block_on(&runtime, run(inbox, generation, document_root, workers));
        })?;
        Ok(Self {
            orders,
            connections: Arc::default(),
        })
    }

    /// How many connections it has.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// Gives it a connection.
    pub fn take(&self, stream: TcpStream, remote: SocketAddr) {
        self.connections.fetch_add(1, Ordering::Relaxed);
        self.tell(Order::Connection(
            stream,
            remote,
            Permit(Arc::clone(&self.connections)),
        ));
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
    document_root: Option<PathBuf>,
    workers: usize,
) {
    let script_limits = script::Limits {
        fibers: limits::SCRIPT.fibers.div_ceil(workers),
        ..limits::SCRIPT
    };
    let runtime = Rc::new(Runtime::new(script_limits));
    let shared = Rc::new(Shared::new(limits::WEBSOCKET));
    let site = Rc::new(Site {
        generation: RefCell::new(generation),
        runtime,
        shared,
        document_root,
    });
    let turns = Rc::clone(&site.runtime);
    tokio::task::spawn_local(async move { turns.run_turns().await });
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            order = orders.recv() => match order {
                Some(order) => obey(&site, order),
                None => return,
            },
            _ = tick.tick() => {
                site.shared.clock.tick();
                site.runtime.tick();
            }
        }
    }
}

fn obey(site: &Rc<Site>, order: Order) {
    match order {
        Order::Connection(stream, remote, permit) => {
            let Ok(stream) = tokio::net::TcpStream::from_std(stream) else {
                return;
            };
            tokio::task::spawn_local(http::serve(Rc::clone(site), stream, remote, permit));
        }
        Order::Generation(generation) => {
            for source in generation
                .entries
                .values()
                .filter_map(|entry| entry.source.as_ref())
            {
                if site.runtime.is_outdated(source) {
                    tokio::task::spawn_local(script::reload(
                        Rc::clone(&site.runtime),
                        Arc::clone(source),
                    ));
                }
            }
            *site.generation.borrow_mut() = generation;
        }
        Order::Drain => {
            let close = Close::new(close::code::GOING_AWAY, "the server is shutting down");
            site.shared.start_drain(&close);
        }
    }
}
