//! A page that is being developed: it is told when files change that it may be made of, and what is
//! wrong with the handlers that it is connected to.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::{JoinHandle, spawn_blocking, spawn_local};
use tokio::time::{MissedTickBehavior, interval};

use super::page::PREVIEW;
use super::served::{SERVED, Stamp, stamp};
use super::window::{Desk, send};
use crate::observe::live::FAULTS;
use crate::websocket::{self, Event, Handle, Message, Outcome};

/// How often it is looked.
const TICK: Duration = Duration::from_millis(200);
/// Paths that a page connects to.
const PATHS: usize = 64;
/// Bytes of one.
const PATH: usize = 2 << 10;

/// The session of a page. `G` is what must be dropped with it.
pub struct Preview<G> {
    desk: Rc<Desk>,
    /// The paths of this server that the page is connected to.
    paths: Rc<RefCell<BTreeSet<String>>>,
    telling: Option<JoinHandle<()>>,
    _guard: G,
}

impl<G> Preview<G> {
    /// A page that begins.
    pub fn new(desk: Desk, guard: G) -> Self {
        Self {
            desk: Rc::new(desk),
            paths: Rc::default(),
            telling: None,
            _guard: guard,
        }
    }
}

impl<G> Drop for Preview<G> {
    fn drop(&mut self) {
        if let Some(telling) = self.telling.take() {
            telling.abort();
        }
    }
}

impl<G> websocket::Session for Preview<G> {
    fn start(
        &mut self,
        event: Event<'_>,
        handle: &Rc<Handle>,
        _: &mut Context<'_>,
    ) -> Poll<Outcome> {
        match event {
            Event::Opened => {
                let (desk, paths) = (Rc::clone(&self.desk), Rc::clone(&self.paths));
                let handle = Rc::clone(handle);
                let telling = spawn_local(async move { tell(&desk, &paths, &handle).await });
                self.telling = Some(telling);
            }
            // A path of a connection that the page opens.
            Event::Message(Message::Text(path)) => {
                let mut paths = self.paths.borrow_mut();
                if paths.len() < PATHS && path.len() <= PATH {
                    paths.insert(path.into_owned());
                }
            }
            _ => {}
        }
        Poll::Ready(Outcome::Done)
    }

    fn path(&self) -> &str {
        PREVIEW
    }
}

/// Tells what is new, for as long as the page is there.
async fn tell(desk: &Desk, paths: &RefCell<BTreeSet<String>>, handle: &Handle) {
    let mut files = Changes::default();
    let mut told = json!([]);
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let faults = faults(desk, &paths.borrow());
        if faults != told {
            send(handle, &json!({ "push": "faults", "faults": faults }));
            told = faults;
        }
        let looking = spawn_blocking(move || {
            let changed = files.look();
            (files, changed)
        });
        let Ok((looked, changed)) = looking.await else {
            return;
        };
        files = looked;
        if !changed.is_empty() {
            send(handle, &json!({ "push": "files", "files": changed }));
        }
    }
}

/// What is wrong with the handlers of these paths.
fn faults(desk: &Desk, paths: &BTreeSet<String>) -> Value {
    if paths.is_empty() {
        return json!([]);
    }
    let generation = (desk.generation)();
    let found = paths.iter().filter_map(|path| generation.find(path));
    let files: BTreeMap<_, _> = found.map(|found| (found.file, found.entry)).collect();
    let broken = files.iter().filter_map(|(file, entry)| {
        let fault = entry.fault.as_ref()?;
        Some(json!({
            "handler": file, "kind": "broken", "serves": entry.source.is_some(),
            "message": fault.message, "report": fault.to_string(),
        }))
    });
    let met = FAULTS.all().into_iter();
    let met = met.filter(|fault| files.contains_key(fault.handler.as_str()));
    let met = met.map(|fault| {
        json!({
            "handler": fault.handler, "kind": "fault", "message": fault.message,
            "report": fault.report, "times": fault.times,
        })
    });
    broken.chain(met).collect()
}

/// Which files have changed since a page was told.
#[derive(Debug, Default)]
struct Changes {
    /// As the page knows them.
    known: BTreeMap<String, Stamp>,
    /// As they were a moment ago, of those that are others.
    moving: BTreeMap<String, Stamp>,
}

impl Changes {
    /// The paths of files that are others than they were, and stand still.
    fn look(&mut self) -> Vec<String> {
        let mut changed = Vec::new();
        for (path, file, sent) in SERVED.all() {
            let known = *self.known.entry(path.clone()).or_insert(sent);
            // One that is gone may be about to come back.
            let Ok(metadata) = file.metadata() else {
                continue;
            };
            let now = stamp(&metadata);
            if now == known {
                self.moving.remove(&path);
            } else if self.moving.insert(path.clone(), now) == Some(now) {
                self.moving.remove(&path);
                self.known.insert(path.clone(), now);
                changed.push(path);
            }
        }
        changed
    }
}
