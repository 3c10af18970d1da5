//! A request head to what becomes of it: an upgrade, a file, or a refusal.
//!
//! A connection's first head decides everything: after a refusal nothing more is read as HTTP, and ordinary requests
//! are answered one a connection, so that no proxy can be led to see a request where we see none.

pub mod admission;
mod basic_auth;
mod client;
mod entrance;
mod files;
pub mod forwarded;
pub mod head;
mod refusals;
mod respond;
mod upgrade;

use std::cell::RefCell;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};

use crate::config::{Admission, Deflate, Limits, Proxy, limits};
use crate::handlers::{Found, Generation, decode_path};
use crate::script::Runtime;
use crate::websocket::{Shared, Transport};
pub use admission::{Exposed, Unstated, check_bind, check_dev};
pub use client::Client;
use head::Head;
pub use refusals::{Kind, log as log_refusal, tick};
pub use respond::Refusal;

/// What answering a connection needs: one worker's site.
pub struct Site {
    /// The handlers that serve.
    pub generation: RefCell<Arc<Generation>>,
    /// The worker's scripts.
    pub runtime: Rc<Runtime>,
    /// The worker's connections.
    pub shared: Rc<Shared>,
    /// What holds for all workers.
    pub settings: Settings,
}

/// What a site is told by the configuration.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The folder of ordinary files, resolved.
    pub document_root: Option<PathBuf>,
    /// Whether this is a developer's seat.
    pub dev: bool,
    /// The bounds of requests and connections.
    pub limits: Limits,
    /// Who may connect.
    pub admission: Admission,
    /// Whose word about clients is taken.
    pub proxy: Proxy,
    /// What is agreed to of compression.
    pub deflate: Deflate,
}

/// Numbers connections, the same way on all workers.
static CONNECTIONS: AtomicU64 = AtomicU64::new(1);

/// Answers one connection from its first byte on. `permit` is dropped when it ends.
pub async fn serve<S, P>(site: Rc<Site>, mut stream: S, client: Client, permit: P)
where
    S: Transport + 'static,
    P: Unpin + 'static,
{
    let time = site.settings.limits.head.time;
    let id = CONNECTIONS.fetch_add(1, Ordering::Relaxed);
    let reading = tokio::select! {
        reading = tokio::time::timeout(time, read_head(&mut stream, &site.settings.limits.head)) => reading,
        // Browsers open connections that they may never use.
        () = site.shared.drained() => return,
    };
    let head = match reading {
        Ok(Ok(Some(head))) => Ok(head),
        Ok(Ok(None)) => return,
        Ok(Err(refusal)) => Err(refusal),
        Err(_) => {
            let refusal = Refusal::new(408, "the request did not arrive in time");
            Err(refusal.limit("header-timeout"))
        }
    };
    // It takes several times the memory of what is above, which is all that a client has that only connects.
    Box::pin(answer(site, stream, head, client, id, permit)).await;
}

/// Answers a request, or what is none.
async fn answer<S, P>(
    site: Rc<Site>,
    stream: S,
    head: Result<Head, Refusal>,
    mut client: Client,
    id: u64,
    permit: P,
) where
    S: Transport + 'static,
    P: Unpin + 'static,
{
    let head = match head {
        Ok(head) => head,
        Err(refusal) => return refuse(refusal, stream, id, &client, false).await,
    };
    let without_body = head.method() == "HEAD";
    let decision =
        entrance::admit(&site.settings, &head, &mut client).and_then(|()| decide(&site, &head));
    let refusal = match decision {
        Ok(Decision::Upgrade(entry, path)) => {
            match upgrade::upgrade(&site, stream, head, entry, path, client.clone(), id, permit)
                .await
            {
                Ok(()) => return,
                Err((stream, refusal)) => return refuse(refusal, stream, id, &client, false).await,
            }
        }
        Ok(Decision::File(document)) => return files::serve(stream, head, document).await,
        Err(refusal) => refusal,
    };
    refuse(refusal, stream, id, &client, without_body).await;
}

async fn refuse<S: AsyncRead + AsyncWrite + Unpin>(
    refusal: Refusal,
    stream: S,
    id: u64,
    client: &Client,
    without_body: bool,
) {
    tracing::debug!(connection = id, %client, refusal = refusal.id, status = refusal.status, "request refused: {}", refusal.why());
    refusal.send(stream, without_body).await;
}

/// What a request is for.
enum Decision {
    Upgrade(upgrade::Target, String),
    File(files::Document),
}

fn decide(site: &Site, head: &Head) -> Result<Decision, Refusal> {
    let path = decode_path(head.path()).map_err(|error| Refusal::new(400, error.to_string()))?;
    let generation = site.generation.borrow().clone();
    let found = generation.find(&path);
    if head.is_upgrade() {
        head.check_upgrade()?;
        refuse_while_draining(site)?;
        let Some(found) = found else {
            return Err(Refusal::new(404, "no handler has this path"));
        };
        let Found { entry, params } = found;
        return match &entry.source {
            Some(source) => Ok(Decision::Upgrade(
                upgrade::Target {
                    source: Arc::clone(source),
                    params,
                },
                path,
            )),
            None => Err(Refusal::new(
                500,
                "the handler is broken; the server's log says where",
            )),
        };
    }
    if found.is_some() {
        return Err(head.refuse_plain());
    }
    match &site.settings.document_root {
        Some(root) => files::find(head, &path, root).map(Decision::File),
        None => Err(Refusal::new(404, "nothing has this path")),
    }
}

/// A server that goes down takes no new connections.
fn refuse_while_draining(site: &Site) -> Result<(), Refusal> {
    if site.shared.is_draining() {
        return Err(Refusal::new(503, "the server is shutting down"));
    }
    Ok(())
}

/// Reads up to the end of a request head; `None` if the peer left before.
async fn read_head<S: AsyncRead + Unpin>(
    stream: &mut S,
    limits: &limits::Head,
) -> Result<Option<Head>, Refusal> {
    let mut bytes = Vec::with_capacity(1024);
    loop {
        match stream.read_buf(&mut bytes).await {
            Ok(0) | Err(_) => return Ok(None),
            Ok(count) => {
                if let Some(length) = head::end(&bytes, count, limits)? {
                    return Head::parse(bytes, length, limits).map(Some);
                }
            }
        }
    }
}
