//! What one console has chosen to see, and what it is told of it.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{MissedTickBehavior, interval};

use super::clients::{Clients, Door};
use super::lists::{faults, handlers};
use super::workers::Console;
use crate::handlers::Generation;
use crate::observe::live::{self, CONNECTIONS, FAULTS, JOURNAL, Onlooker, RATE, Row, Seen};
use crate::script::Runtime;
use crate::websocket::{Handle, Message};

/// How often it is told something.
const TICK: Duration = Duration::from_millis(250);
/// Every so many times, the numbers as well.
const NUMBERS: u32 = 4;
/// Connections that it is told.
const CONNECTIONS_TOLD: usize = 200;
/// Bytes that wait for a console from which on it is told nothing more for now.
const BEHIND: usize = 1 << 20;

/// What a console reaches: the process's, and its worker's.
pub struct Desk {
    /// What all consoles share.
    pub console: Arc<Console>,
    /// The worker's scripts.
    pub runtime: Rc<Runtime>,
    /// The handlers that serve.
    pub generation: Box<dyn Fn() -> Arc<Generation>>,
    /// The way in for clients of its own, where there is one.
    pub door: Option<Door>,
}

/// What one console has chosen to see.
pub struct Window {
    /// What it reaches.
    pub desk: Desk,
    /// The clients that it runs.
    pub clients: Clients,
    choice: RefCell<Choice>,
    filter: RefCell<String>,
    /// The last row that it was told.
    last: Cell<u64>,
    /// Rows that there was no room for, as of then.
    missed: Cell<u64>,
    faults: Cell<Option<u64>>,
    generation: RefCell<Option<Arc<Generation>>>,
    _onlooker: Onlooker,
}

/// The connections whose messages a console is told.
enum Choice {
    None,
    All,
    One(Arc<Seen>),
}

impl Window {
    /// A console that begins.
    pub fn new(desk: Desk) -> Self {
        Self {
            desk,
            clients: Clients::default(),
            choice: RefCell::new(Choice::None),
            filter: RefCell::default(),
            last: Cell::new(JOURNAL.last()),
            missed: Cell::new(JOURNAL.missed()),
            faults: Cell::new(None),
            generation: RefCell::default(),
            _onlooker: Onlooker::begin(),
        }
    }

    /// Tells what is new, for as long as the console is there.
    pub async fn tell(&self, handle: &Handle) {
        let hello = json!({
            "push": "hello", "version": env!("CARGO_PKG_VERSION"), "time": live::now(),
            "rate": RATE,
        });
        send(handle, &hello);
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for number in 0.. {
            tick.tick().await;
            if handle.buffered() > BEHIND {
                continue;
            }
            self.tell_rows(handle);
            if let Some(news) = self.clients.news() {
                send(handle, &news);
            }
            self.tell_faults(handle);
            self.tell_handlers(handle);
            if number % NUMBERS == 0 {
                send(handle, &self.numbers().await);
            }
        }
    }

    fn tell_rows(&self, handle: &Handle) {
        /// The share of a tick.
        const MOST: usize = (RATE as usize * TICK.as_millis() as usize) / 1000;
        let (rows, last) = JOURNAL.since(self.last.get(), MOST, |row| self.wants(row));
        self.last.set(last);
        let missed = JOURNAL.missed();
        let missed = missed - self.missed.replace(missed);
        if rows.is_empty() && missed == 0 {
            return;
        }
        let rows: Vec<_> = rows.iter().map(|row| &*row.json).collect();
        let rows = rows.join(",");
        let text = format!("{{\"push\":\"rows\",\"missed\":{missed},\"rows\":[{rows}]}}");
        let _ = handle.send(&Message::Text(text.into()));
    }

    fn wants(&self, row: &Row) -> bool {
        match (row.connection, &*self.choice.borrow()) {
            (None, _) | (_, Choice::All) => true,
            (Some(connection), Choice::One(seen)) => connection == seen.id(),
            (Some(_), Choice::None) => false,
        }
    }

    fn tell_faults(&self, handle: &Handle) {
        let revision = FAULTS.revision();
        if self.faults.replace(Some(revision)) != Some(revision) {
            send(handle, &json!({ "push": "faults", "faults": faults() }));
        }
    }

    fn tell_handlers(&self, handle: &Handle) {
        let generation = (self.desk.generation)();
        let mut known = self.generation.borrow_mut();
        let is_known = |known: &Arc<Generation>| Arc::ptr_eq(known, &generation);
        if !known.as_ref().is_some_and(is_known) {
            let handlers = handlers(&generation);
            send(handle, &json!({ "push": "handlers", "handlers": handlers }));
            *known = Some(generation);
        }
    }

    async fn numbers(&self) -> Value {
        let snapshot = self.desk.console.count().await;
        let (found, total) = CONNECTIONS.newest(&self.filter.borrow(), CONNECTIONS_TOLD);
        let connections: Vec<_> = found.iter().map(|seen| seen.to_json()).collect();
        let hub = &self.desk.console.hub;
        json!({
            "push": "numbers", "time": live::now(), "connections": connections, "total": total,
            "queued": CONNECTIONS.queued(), "counted": snapshot.to_json(),
            "published": hub.tally.read().published, "delivered": hub.tally.read().delivered,
        })
    }

    /// Chooses the connections whose messages are told: one, all, or none. Rows of it that are kept
    /// are given back.
    pub fn choose(&self, connection: Option<u64>, all: bool) -> Result<Vec<Value>, String> {
        let choice = match connection {
            _ if all => Choice::All,
            None => Choice::None,
            Some(id) => {
                let seen = CONNECTIONS.get(id);
                Choice::One(seen.ok_or_else(|| format!("connection {id} is not open"))?)
            }
        };
        choice.count(true);
        self.choice.replace(choice).count(false);
        // Those that come now are told as they come.
        let most = usize::MAX;
        let is_of_it = |row: &Row| row.connection.is_some() && self.wants(row);
        let (rows, _) = JOURNAL.since(0, most, is_of_it);
        let told = self.last.get();
        let rows = rows.iter().filter(|row| row.number <= told);
        Ok(rows
            .filter_map(|row| serde_json::from_str(&row.json).ok())
            .collect())
    }

    /// Only connections in which this text is found are told.
    pub fn filter(&self, text: &str) {
        *self.filter.borrow_mut() = text.to_owned();
    }
}

impl Choice {
    fn count(&self, begins: bool) {
        match self {
            Self::None => {}
            Self::All => CONNECTIONS.choose_all(begins),
            Self::One(seen) => seen.choose(begins),
        }
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        self.choice.borrow().count(false);
    }
}

/// Sends a value, unless it has gone.
pub fn send(handle: &Handle, value: &Value) {
    let _ = handle.send(&Message::Text(value.to_string().into()));
}
