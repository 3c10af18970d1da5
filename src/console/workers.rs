//! What only a connection's own worker knows, asked from the worker that a console is on.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::timeout;

use super::journal::Listening;
use crate::config::Editor;
use crate::hub::Hub;
use crate::observe::metrics::{Gauges, Meters, Snapshot};
use crate::script::Runtime;
use crate::store::Shelf;

/// Consoles at once. Each is one of its developer's windows.
const CONSOLES: usize = 16;
/// Pages at once that are being developed.
const PREVIEWS: usize = 64;
/// How long a worker is waited for: one that is busy is not to hold up the console.
const PATIENCE: Duration = Duration::from_millis(500);

/// The console of the process: what all of its windows share.
pub struct Console {
    pub(super) hub: Arc<Hub>,
    pub(super) shelf: Arc<Shelf>,
    workers: Mutex<BTreeMap<usize, UnboundedSender<Question>>>,
    places: Arc<Semaphore>,
    previews: Arc<Semaphore>,
    pub(super) listening: Listening,
    editing: Option<(Editor, PathBuf)>,
}

/// A question to a worker.
enum Question {
    /// What is kept for this connection?
    Inspect(u64, oneshot::Sender<Option<Value>>),
    /// What was counted?
    Count(oneshot::Sender<Snapshot>),
}

impl Console {
    /// The console of a process with these topics and stores.
    pub fn new(hub: Arc<Hub>, shelf: Arc<Shelf>) -> Self {
        Self {
            hub,
            shelf,
            workers: Mutex::default(),
            places: Arc::new(Semaphore::new(CONSOLES)),
            previews: Arc::new(Semaphore::new(PREVIEWS)),
            listening: Listening::default(),
            editing: None,
        }
    }

    /// The same with what opens the handlers of a folder, if anything does.
    pub fn editing(self, editing: Option<(Editor, PathBuf)>) -> Self {
        Self { editing, ..self }
    }

    /// What opens the handlers of a folder: the address to be filled in, and the folder.
    pub fn editor(&self) -> Option<(&str, &Path)> {
        let (editor, folder) = self.editing.as_ref()?;
        Some((editor.address(), folder))
    }

    /// A place for one more window.
    pub fn place(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.places).try_acquire_owned().ok()
    }

    /// A place for one more page that is being developed.
    pub fn place_of_page(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.previews).try_acquire_owned().ok()
    }

    /// Answers questions about a worker's connections, for ever: a task of the worker.
    pub async fn attend(self: Arc<Self>, runtime: Rc<Runtime>) {
        // Unbounded, and a window asks a few times a second.
        let (questions, mut asked) = unbounded_channel();
        self.workers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(runtime.worker(), questions);
        if runtime.worker() == 0 {
            let console = Arc::clone(&self);
            tokio::task::spawn_local(async move { console.listening.end_in_time().await });
        }
        while let Some(question) = asked.recv().await {
            // Whoever asked may be gone.
            match question {
                Question::Inspect(connection, answer) => {
                    let peers = runtime.peers.as_ref();
                    let _ = answer.send(peers.and_then(|peers| peers.inspect(connection)));
                }
                Question::Count(answer) => {
                    let gauges = Gauges {
                        fibers_waiting: runtime.waiting() as u64,
                        ..Gauges::default()
                    };
                    let _ = answer.send(Meters::here().snapshot(gauges));
                }
            }
        }
    }

    /// What a connection's handler keeps for it.
    pub(super) async fn inspect(&self, worker: usize, connection: u64) -> Option<Value> {
        let (answer, answered) = oneshot::channel();
        let sender = {
            let workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
            workers.get(&worker)?.clone()
        };
        let _ = sender.send(Question::Inspect(connection, answer));
        timeout(PATIENCE, answered).await.ok()?.ok()?
    }

    /// What all workers have counted, but for those that do not answer in time.
    pub(super) async fn count(&self) -> Snapshot {
        let asked: Vec<_> = {
            let workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
            let ask = |worker: &UnboundedSender<Question>| {
                let (answer, answered) = oneshot::channel();
                let _ = worker.send(Question::Count(answer));
                answered
            };
            workers.values().map(ask).collect()
        };
        let mut sum = Snapshot::default();
        for answered in asked {
            if let Ok(Ok(snapshot)) = timeout(PATIENCE, answered).await {
                sum.add(&snapshot);
            }
        }
        sum
    }
}

impl fmt::Debug for Console {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Console").finish_non_exhaustive()
    }
}
